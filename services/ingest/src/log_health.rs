use std::convert::Infallible;
use std::time::Duration;

use prost::Message;
use tokio::sync::watch;
use zhili_eventlog::{Clock, EventLog, NewRecord, TopicPartition, topics};
use zhili_proto::conversation::v1::{LogEntry, log_entry};
use zhili_proto::log::v1::Tick;
use zhili_runtime::Condition;

/// How often a log that failed is tried again when nobody publishes.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Whether the last append succeeded. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LogHealth {
    state: watch::Sender<Option<Broken>>,
    clock: Clock,
}

/// Since when and why appends fail.
#[derive(Clone)]
struct Broken {
    since_ms: i64,
    reason: String,
}

impl LogHealth {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { state: watch::Sender::new(None), clock }
    }

    pub(crate) fn succeeded(&self) {
        let changed = self.state.send_if_modified(|state| state.take().is_some());
        if changed {
            tracing::info!("the log takes events again");
        }
    }

    pub(crate) fn failed(&self, reason: &str) {
        let mut first = false;
        self.state.send_modify(|state| {
            first = state.is_none();
            let since_ms = state.as_ref().map_or_else(|| (self.clock)(), |broken| broken.since_ms);
            *state = Some(Broken { since_ms, reason: reason.to_owned() });
        });
        if first {
            tracing::error!(reason, "the log does not take events; publishers are told to wait");
        }
    }

    pub(crate) fn condition(&self) -> Condition {
        match &*self.state.borrow() {
            None => Condition::Ready,
            Some(Broken { since_ms, reason }) => {
                let age = ((self.clock)() - since_ms).max(0) / 1000;
                Condition::NotReady(format!("appends fail since {age} s: {reason}"))
            }
        }
    }

    /// Tries a log that failed until it takes records again. Without it a service that a load
    /// balancer took out because it was not ready would get no event to show that it is.
    ///
    /// What is appended is a tick at time 0, which changes no fold: the largest tick wins.
    pub(crate) async fn probe(&self, log: &dyn EventLog) -> Infallible {
        let partition = TopicPartition::new(topics::EVENTS, 0);
        let tick = LogEntry { entry: Some(log_entry::Entry::Tick(Tick { at_ms: 0 })) };
        let record = NewRecord::new(partition, None, bytes::Bytes::from(tick.encode_to_vec()));
        let mut state = self.state.subscribe();
        loop {
            // The sender lives in self, so the wait cannot end in an error.
            let _ = state.wait_for(Option::is_some).await;
            tokio::time::sleep(PROBE_EVERY).await;
            if self.state.borrow().is_none() {
                continue;
            }
            match log.append(vec![record.clone()]).await.pop() {
                Some(Err(error)) => self.failed(&error.to_string()),
                _ => self.succeeded(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use redb::backends::InMemoryBackend;
    use zhili_eventlog::embedded::EmbeddedLog;
    use zhili_eventlog::system_clock;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_log_that_failed_is_tried_until_it_takes_records_again() {
        let log = EmbeddedLog::open_on(InMemoryBackend::new, system_clock()).unwrap();
        let health = LogHealth::new(Arc::new(|| 0));
        health.failed("a publisher saw it");
        let mut state = health.state.subscribe();
        let healed = async {
            // Without its topic the log refuses the first try.
            let refused = |broken: &Option<Broken>| {
                broken.as_ref().is_some_and(|broken| broken.reason.contains("does not exist"))
            };
            state.wait_for(refused).await.unwrap();
            log.ensure_topics(&topics::all(1)).await.unwrap();
            state.wait_for(Option::is_none).await.unwrap();
        };
        tokio::select! {
            () = healed => {}
            never = health.probe(&log) => match never {},
        }
        assert_eq!(health.condition(), Condition::Ready);
    }

    #[test]
    fn a_broken_log_says_since_when_and_why() {
        let times = std::sync::Mutex::new([1000, 5000, 9000].into_iter());
        let clock: Clock = Arc::new(move || times.lock().unwrap().next().unwrap());
        let health = LogHealth::new(clock);
        health.failed("disk full");
        let expected = Condition::NotReady("appends fail since 4 s: disk full".to_owned());
        assert_eq!(health.condition(), expected);
        health.succeeded();
        assert_eq!(health.condition(), Condition::Ready);
    }
}
