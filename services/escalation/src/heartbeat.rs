//! A sign of life for somebody outside: whoever watches it raises the alarm when it stays away,
//! be it because this process has died, cannot reach the network, or is late itself.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use zhili_incident::Outcome;
use zhili_runtime::config::Secret;

use crate::channel::Sender;

/// Between two signs of life; watchers should wait for two or three.
pub(crate) const EVERY: Duration = Duration::from_secs(60);

/// Requests `url` as long as `audit` has nothing to complain about, until the shutdown.
pub(crate) async fn beat(
    sender: Sender,
    url: Secret,
    every: Duration,
    audit: impl Fn() -> Vec<String>,
    shutdown: CancellationToken,
) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let complaints = audit();
        if !complaints.is_empty() {
            tracing::error!(complaints = complaints.join("; "), "no heartbeat: something is late");
            continue;
        }
        let sent = sender.ping(url.expose()).await;
        if sent.outcome != Outcome::Delivered {
            tracing::warn!(detail = sent.detail, "the heartbeat did not arrive");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    #[tokio::test]
    async fn there_is_no_sign_of_life_while_something_is_late() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Secret::new(format!("http://{}/alive", listener.local_addr().unwrap()));
        let sender = Sender::new(false, Secret::default()).unwrap();
        let audits = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&audits);
        let audit = move || {
            let late = counted.fetch_add(1, Ordering::SeqCst) < 3;
            if late { vec!["a timer is late".to_owned()] } else { Vec::new() }
        };
        let every = Duration::from_millis(5);
        let beating = beat(sender, url, every, audit, CancellationToken::new());
        let _beating = AbortOnDropHandle::new(tokio::spawn(beating));
        listener.accept().await.unwrap();
        assert!(audits.load(Ordering::SeqCst) > 3);
    }
}
