//! The log on a real Kafka behaves as every event log must, and as only a broker can test.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use zhili_eventlog::EventLog;
use zhili_eventlog::kafka::{KafkaConfig, KafkaLog};
use zhili_eventlog::testkit::kafka_server::KafkaServer;

/// As in production, but for one broker and with failover in a second.
fn config(server: &KafkaServer) -> KafkaConfig {
    KafkaConfig {
        replication_factor: 1,
        min_insync_replicas: 1,
        session_timeout: Duration::from_secs(1),
        transaction_timeout: Duration::from_secs(5),
        ..KafkaConfig::new(server.bootstrap_servers())
    }
}

async fn on_kafka(_test: &str) -> Option<Arc<dyn EventLog>> {
    let server = KafkaServer::shared()?;
    let log = KafkaLog::connect(config(server)).await.unwrap();
    Some(Arc::new(log))
}

mod conformance {
    use super::on_kafka;
    zhili_eventlog::conformance!(on_kafka);
}
