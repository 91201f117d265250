//! The log of services that do not live in one process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zhili_eventlog::kafka::{ClientCertificate, KafkaConfig, KafkaLog, Security};
use zhili_eventlog::{EventLog, LogError, topics};

use crate::Failure;

/// How long the brokers may take to answer at the start.
const CONNECT: Duration = Duration::from_secs(10);
/// How often to look whether one of them listens.
const LOOK: Duration = Duration::from_millis(200);

/// How to reach Kafka and what its topics are like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaSettings {
    /// `host:port` of some brokers, separated by commas.
    pub brokers: String,
    /// Partitions of the keyed topics; the same for all services, and never changed.
    pub partitions: u32,
    /// Copies of each partition; fewer are refused at the start.
    pub replication: u16,
    /// How long a replica may be silent before the others take its partitions, in milliseconds.
    pub session_timeout_ms: u64,
    /// How long a transaction may stay open, in milliseconds: how long readers wait for a replica
    /// that was killed in the middle and does not come back.
    pub transaction_timeout_ms: u64,
    /// Protection of the connection; none unless given.
    pub tls: Option<KafkaTls>,
}

/// TLS with the brokers; their certificates are always verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaTls {
    /// File of the authorities to trust (PEM); the system's unless given.
    pub ca: Option<PathBuf>,
    /// File of the certificate to show (PEM).
    pub certificate: Option<PathBuf>,
    /// File of its private key (PEM).
    pub key: Option<PathBuf>,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        let defaults = KafkaConfig::new("");
        Self {
            brokers: "127.0.0.1:9092".to_owned(),
            partitions: 12,
            replication: defaults.replication_factor,
            session_timeout_ms: defaults.session_timeout.as_millis() as u64,
            transaction_timeout_ms: defaults.transaction_timeout.as_millis() as u64,
            tls: None,
        }
    }
}

impl KafkaSettings {
    /// What the client is told; `client_id` is this process's name in the brokers' logs.
    ///
    /// # Errors
    /// [`Failure::Usage`] that names the setting.
    pub fn config(&self, client_id: &str) -> Result<KafkaConfig, Failure> {
        for (name, wrong) in [
            ("brokers", self.brokers.is_empty()),
            ("partitions", self.partitions == 0),
            ("replication", self.replication == 0),
            ("session_timeout_ms", self.session_timeout_ms == 0),
            ("transaction_timeout_ms", self.transaction_timeout_ms == 0),
        ] {
            if wrong {
                return Err(Failure::Usage(format!("kafka.{name}: must not be empty or 0")));
            }
        }
        let security = match &self.tls {
            None => Security::Plaintext,
            Some(KafkaTls { ca, certificate, key }) => {
                let client = match (certificate.clone(), key.clone()) {
                    (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
                    (None, None) => None,
                    _ => {
                        return Err(Failure::Usage(
                            "kafka.tls: certificate and key go together".to_owned(),
                        ));
                    }
                };
                Security::Tls { ca: ca.clone(), client }
            }
        };
        Ok(KafkaConfig {
            security,
            client_id: client_id.to_owned(),
            replication_factor: self.replication,
            // One copy may be away without anything being lost or standing still.
            min_insync_replicas: self.replication.clamp(1, 2),
            session_timeout: Duration::from_millis(self.session_timeout_ms),
            transaction_timeout: Duration::from_millis(self.transaction_timeout_ms),
            ..KafkaConfig::new(&self.brokers)
        })
    }

    /// Connects; says after ten seconds that nobody answers.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] when nobody answers, [`Failure::Usage`] for wrong settings.
    pub async fn connect(&self, client_id: &str) -> Result<KafkaLog, Failure> {
        let config = self.config(client_id)?;
        let connecting = async {
            // The client itself would say so over and over.
            while !self.somebody_listens().await {
                tokio::time::sleep(LOOK).await;
            }
            KafkaLog::connect(config).await
        };
        match tokio::time::timeout(CONNECT, connecting).await {
            Ok(Ok(log)) => Ok(log),
            Ok(Err(error)) => Err(unusable(&error)),
            Err(_) => Err(Failure::Unavailable(format!(
                "no broker answers at {} within {} s; check kafka.brokers and that Kafka runs",
                self.brokers,
                CONNECT.as_secs()
            ))),
        }
    }

    async fn somebody_listens(&self) -> bool {
        for broker in self.brokers.split(',') {
            if tokio::net::TcpStream::connect(broker.trim()).await.is_ok() {
                return true;
            }
        }
        false
    }
}

/// Connects to the log and checks its topics; makes none, which is `zhili topics apply`'s job.
///
/// # Errors
/// [`Failure::Unavailable`] when it cannot be reached or a topic is missing, [`Failure::Usage`]
/// when a topic is not as the settings say.
pub async fn open_log(
    settings: &KafkaSettings,
    client_id: &str,
) -> Result<Arc<dyn EventLog>, Failure> {
    let log = settings.connect(client_id).await?;
    let specs = topics::all(settings.partitions);
    for spec in &specs {
        log.topic(spec.name).await.map_err(|error| unusable(&error))?;
    }
    // All are there, so this only looks at them.
    log.ensure_topics(&specs).await.map_err(|error| unusable(&error))?;
    Ok(Arc::new(log))
}

/// Why a process ends that needs the log.
#[must_use]
pub fn unusable(error: &LogError) -> Failure {
    match error {
        LogError::InUse(_) => Failure::TryAgain(error.to_string()),
        LogError::Storage(_) | LogError::Corrupt(_) => Failure::Io(error.to_string()),
        LogError::TopicMismatch { .. } => Failure::Usage(error.to_string()),
        _ => Failure::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_ask_for_three_copies_of_which_one_may_be_away() {
        let config = KafkaSettings::default().config("test").unwrap();
        assert_eq!((config.replication_factor, config.min_insync_replicas), (3, 2));
    }

    #[test]
    fn a_cluster_of_one_broker_can_be_asked_for() {
        let settings = KafkaSettings { replication: 1, ..KafkaSettings::default() };
        assert_eq!(settings.config("test").unwrap().min_insync_replicas, 1);
    }

    #[test]
    fn a_certificate_without_its_key_is_refused() {
        let tls = KafkaTls { certificate: Some("a.pem".into()), ..KafkaTls::default() };
        let settings = KafkaSettings { tls: Some(tls), ..KafkaSettings::default() };
        assert_eq!(settings.config("test").unwrap_err().code(), 64);
    }

    #[test]
    fn a_setting_that_cannot_work_is_named() {
        let settings = KafkaSettings { partitions: 0, ..KafkaSettings::default() };
        let error = settings.config("test").unwrap_err();
        assert!(error.to_string().starts_with("kafka.partitions"), "{error}");
    }

    #[tokio::test]
    async fn brokers_that_nobody_runs_are_named() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let brokers = format!("127.0.0.1:{port}");
        let settings = KafkaSettings { brokers: brokers.clone(), ..KafkaSettings::default() };
        let error = settings.connect("test").await.map(|_| ()).unwrap_err();
        assert_eq!(error.code(), 69);
        assert!(error.to_string().contains(&brokers), "{error}");
    }
}
