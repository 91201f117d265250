//! Tries every destination out from time to time, so that a robot that was removed from its group
//! or a secret that has expired is noticed before somebody is needed there.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zhili_eventlog::Clock;
use zhili_incident::{Destination, Outcome};

use crate::card::Card;
use crate::channel::{Send, Sender, Sent};
use crate::metrics::{self, Metrics};
use crate::reach::Reach;

/// A message that has not arrived by then has not arrived.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries of one message.
const PAUSE: Duration = Duration::from_secs(10);

/// Who tries out what, and how.
pub(crate) struct Canary<F> {
    pub(crate) reach: Reach,
    pub(crate) sender: Sender,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    /// Whether the partition of a tenant's team is owned here: every team is tried out once.
    pub(crate) owns: F,
}

impl<F: Fn(&str, &str) -> bool> Canary<F> {
    /// Tries all destinations out every so often, until the shutdown. The first time is one
    /// interval after the start, when partitions have found their owners.
    pub(crate) async fn fly(self, every: Duration, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
            for (tenant, team, destinations) in self.reach.teams() {
                if (self.owns)(&tenant, &team) {
                    let (clock, metrics) = (&self.clock, &self.metrics);
                    let round = Round { tenant: &tenant, team: &team, clock, metrics };
                    round.run(&self.sender, &destinations, PATIENCE).await;
                }
            }
        }
    }
}

/// One trial of all destinations of a team.
struct Round<'a> {
    tenant: &'a str,
    team: &'a str,
    clock: &'a Clock,
    metrics: &'a Metrics,
}

impl Round<'_> {
    /// Returns the names of those that cannot be reached, of which another one was told.
    async fn run(
        &self,
        sender: &Sender,
        destinations: &BTreeMap<String, Destination>,
        patience: Duration,
    ) -> Vec<String> {
        let mut silent = Vec::new();
        let mut working = Vec::new();
        let people = destinations.iter().filter(|(_, destination)| destination.pages_somebody());
        for (name, destination) in people {
            let card = self.card(name);
            let sent = deliver(sender, destination, &card, patience).await;
            let arrived = sent.outcome == Outcome::Delivered;
            self.metrics.canaries.get_or_create(&metrics::Canary { arrived }).inc();
            if arrived {
                working.push(destination);
            } else {
                let (tenant, team, detail) = (self.tenant, self.team, &sent.detail);
                tracing::error!(tenant, team, destination = name, detail, "cannot be reached");
                silent.push((name.clone(), sent.detail));
            }
        }
        for (name, detail) in &silent {
            let card = Card { excerpt: detail.clone(), ..self.card(name) };
            let mut told = false;
            for destination in &working {
                let sent = deliver(sender, destination, &card, patience).await;
                told |= sent.outcome == Outcome::Delivered;
                if told {
                    break;
                }
            }
            if !told {
                let (tenant, team) = (self.tenant, self.team);
                tracing::error!(tenant, team, destination = name, "and nobody could be told of it");
            }
        }
        silent.into_iter().map(|(name, _)| name).collect()
    }

    fn card(&self, destination: &str) -> Card {
        Card::test(self.tenant, self.team, destination, (self.clock)(), rand::random())
    }
}

/// Tries until the message has arrived, is refused for good, or is late.
async fn deliver(
    sender: &Sender,
    destination: &Destination,
    card: &Card,
    patience: Duration,
) -> Sent {
    let deadline = Instant::now() + patience;
    loop {
        let page = Send { destination, card, at_ms: card.created_at_ms, traceparent: None };
        // It is never called off.
        let sent = sender.send(page, || true).await;
        let sent = sent.unwrap_or_else(|| Sent::new(Outcome::Failed, "called off"));
        if sent.outcome != Outcome::Failed || Instant::now() + PAUSE > deadline {
            return sent;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::extract::State;
    use prometheus_client::registry::Registry;
    use tokio::sync::mpsc;
    use zhili_incident::Webhook;
    use zhili_runtime::config::Secret;

    use super::*;

    async fn take(State(sender): State<mpsc::UnboundedSender<String>>, body: String) {
        sender.send(body).unwrap();
    }

    #[tokio::test]
    async fn a_destination_that_cannot_be_reached_is_told_of_at_another_one() {
        let (sender, mut received) = mpsc::unbounded_channel();
        let app = Router::new().fallback(take).with_state(sender);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let working = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let webhook = |address: std::net::SocketAddr| {
            let url = format!("http://{address}/");
            Destination::Webhook(Webhook { url, secret: None, allow_private: true })
        };
        let destinations = BTreeMap::from([
            ("floor".to_owned(), webhook(working)),
            ("gone".to_owned(), webhook(closed)),
            ("screen".to_owned(), Destination::Watch {}),
        ]);
        let clock: Clock = Arc::new(|| 0);
        let metrics = Metrics::register(&mut Registry::default());
        let round = Round { tenant: "acme", team: "default", clock: &clock, metrics: &metrics };
        let sender = Sender::new(false, Secret::default()).unwrap();
        let silent = round.run(&sender, &destinations, Duration::ZERO).await;
        assert_eq!(silent, ["gone"]);
        for arrived in [true, false] {
            let counted = metrics.canaries.get_or_create(&metrics::Canary { arrived }).get();
            assert_eq!(counted, 1, "arrived: {arrived}");
        }
        let data = |body: String| {
            let event: serde_json::Value = serde_json::from_str(&body).unwrap();
            event["data"].clone()
        };
        let trial = data(received.recv().await.unwrap());
        assert_eq!(
            (&trial["page"]["destination"], &trial["excerpt"]),
            (&"floor".into(), &"".into())
        );
        let alarm = data(received.recv().await.unwrap());
        assert_eq!(alarm["page"]["destination"], "gone");
        assert!(alarm["excerpt"].as_str().unwrap().contains("no connection"), "{alarm}");
    }
}
