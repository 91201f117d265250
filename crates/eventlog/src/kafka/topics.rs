use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::Offset;

use super::Client;
use super::client::Logged;
use super::config::MAX_MESSAGE_BYTES;
use super::error::{code_error, log_error};
use crate::topics::{Cleanup, TopicSpec};
use crate::{LogError, TopicInfo, TopicPartition};

/// The setting that carries a topic's identity: a number of messages after which the log is
/// flushed to disk.
const IDENTITY: &str = "flush.messages";

/// Identities are at least this: half of what the setting can hold, and more messages than any
/// partition will ever see between two flushes.
const LEAST_IDENTITY: i64 = 1 << 62;

/// Compacted topics are read whole at every start; an hour bounds how much of them is not
/// compacted.
const COMPACTION_LAG_MS: &str = "3600000";

/// Number of partitions of the topics known to exist.
#[derive(Default)]
pub(super) struct Topics {
    partitions: Mutex<HashMap<Arc<str>, u32>>,
}

impl Topics {
    /// Asks again when the topic is used next.
    pub(super) fn forget(&self, topic: &str) {
        self.known().remove(topic);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Arc<str>, u32>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a topic is spread over the brokers.
struct Spread {
    /// Copies of each partition.
    copies: Vec<usize>,
    /// Whether every partition has a leader now.
    led: bool,
}

/// A topic as the cluster has it.
pub(super) struct Described {
    pub(super) info: TopicInfo,
    replication_factor: usize,
    settings: HashMap<String, String>,
}

impl Client {
    /// Number of partitions of a topic.
    pub(super) async fn partitions(self: &Arc<Self>, topic: &str) -> Result<u32, LogError> {
        if let Some(partitions) = self.topics.known().get(topic) {
            return Ok(*partitions);
        }
        let unknown = LogError::UnknownTopic(topic.to_owned());
        let topic = topic.to_owned();
        self.blocking(move |client| {
            client.refresh_topics()?;
            client.topics.known().get(&*topic).copied().ok_or(unknown)
        })
        .await
    }

    /// Fails when there is no such partition. Asked before anything is sent: librdkafka would
    /// wait for 30 s whether the topic turns up.
    pub(super) async fn check_partition(
        self: &Arc<Self>,
        partition: &TopicPartition,
    ) -> Result<(), LogError> {
        if partition.partition < self.partitions(&partition.topic).await? {
            Ok(())
        } else {
            Err(LogError::UnknownPartition(partition.clone()))
        }
    }

    /// As [`Client::check_partition`], on a thread that may block.
    pub(super) fn check_partition_blocking(
        &self,
        partition: &TopicPartition,
    ) -> Result<(), LogError> {
        let known = || self.topics.known().get(&partition.topic).copied();
        if known().is_none() {
            self.refresh_topics()?;
        }
        let partitions =
            known().ok_or_else(|| LogError::UnknownTopic(partition.topic.to_string()))?;
        if partition.partition < partitions {
            Ok(())
        } else {
            Err(LogError::UnknownPartition(partition.clone()))
        }
    }

    /// Makes sure of an error that says that something does not exist. Brokers say so, too, of a
    /// partition that has no leader or that they have yet to hear of; only the cluster's list of
    /// topics tells. Blocks.
    pub(super) fn confirm_blocking(&self, error: LogError) -> LogError {
        let partition = match &error {
            LogError::UnknownTopic(topic) => TopicPartition::new(topic.as_str(), 0),
            LogError::UnknownPartition(partition) => partition.clone(),
            _ => return error,
        };
        self.topics.forget(&partition.topic);
        match self.check_partition_blocking(&partition) {
            Ok(()) => LogError::Unavailable(format!("{partition} has no leader")),
            Err(error) => error,
        }
    }

    /// As [`Client::confirm_blocking`], where nothing may block.
    pub(super) async fn confirm(self: &Arc<Self>, error: LogError) -> LogError {
        if !matches!(error, LogError::UnknownTopic(_) | LogError::UnknownPartition(_)) {
            return error;
        }
        let confirmed = self.blocking(move |client| Ok(client.confirm_blocking(error))).await;
        confirmed.unwrap_or_else(|error| error)
    }

    /// Learns all topics. Asking for one by name could create it on a cluster that allows that.
    pub(super) fn refresh_topics(&self) -> Result<(), LogError> {
        self.learn_topics(self.config.request_timeout)
    }

    /// As [`Client::refresh_topics`], with a limit of its own.
    pub(super) fn learn_topics(&self, timeout: Duration) -> Result<(), LogError> {
        let spreads = self.spreads_within(timeout)?;
        let mut known = self.topics.known();
        known.clear();
        known.extend(
            spreads.into_iter().map(|(name, spread)| (Arc::from(name), spread.copies.len() as u32)),
        );
        Ok(())
    }

    /// How every topic is spread over the brokers.
    fn spreads(&self) -> Result<HashMap<String, Spread>, LogError> {
        self.spreads_within(self.config.request_timeout)
    }

    fn spreads_within(&self, timeout: Duration) -> Result<HashMap<String, Spread>, LogError> {
        let producer = self.appender.producer()?;
        let metadata = producer.client().fetch_metadata(None, timeout);
        let metadata = metadata.map_err(|error| {
            let failure = producer.client().context().failure();
            let why = failure.unwrap_or_else(|| error.to_string());
            LogError::Unavailable(format!(
                "no broker of {} answered within {timeout:?}: {why}",
                self.config.bootstrap_servers
            ))
        })?;
        let topics = metadata.topics().iter().filter(|topic| topic.error().is_none());
        Ok(topics
            .map(|topic| {
                let partitions = topic.partitions();
                let spread = Spread {
                    copies: partitions.iter().map(|it| it.replicas().len()).collect(),
                    led: partitions.iter().all(|it| it.leader() >= 0),
                };
                (topic.name().to_owned(), spread)
            })
            .collect())
    }

    /// What the cluster has of a topic.
    pub(super) async fn describe(self: &Arc<Self>, name: &str) -> Result<Described, LogError> {
        let mut spreads = self.blocking(Self::spreads).await?;
        let Spread { copies, .. } =
            spreads.remove(name).ok_or_else(|| LogError::UnknownTopic(name.to_owned()))?;
        let admin = self.admin()?;
        let described = admin
            .client()
            .describe_configs(&[ResourceSpecifier::Topic(name)], &self.admin_options())
            .await;
        let settings = settings(described, name)?;
        let log_id = identity(&settings).ok_or_else(|| LogError::TopicMismatch {
            topic: name.to_owned(),
            actual: format!("{IDENTITY} {}", value(&settings, IDENTITY)),
            needed: format!("a random {IDENTITY} of at least {LEAST_IDENTITY}, its identity"),
            advice: "let `zhili topics apply` create the topic, or set it with `kafka-configs.sh`",
        })?;
        let retention = value(&settings, "retention.ms").parse().ok();
        Ok(Described {
            info: TopicInfo {
                name: name.to_owned(),
                partitions: copies.len() as u32,
                log_id,
                compacted: value(&settings, "cleanup.policy").contains("compact"),
                retention_ms: retention.filter(|retention| *retention >= 0),
            },
            replication_factor: copies.into_iter().min().unwrap_or_default(),
            settings,
        })
    }

    pub(super) async fn ensure_topics(
        self: &Arc<Self>,
        specs: &[TopicSpec],
    ) -> Result<(), LogError> {
        let existing = self.blocking(Self::spreads).await?;
        let missing: Vec<&TopicSpec> =
            specs.iter().filter(|spec| !existing.contains_key(spec.name)).collect();
        if !missing.is_empty() {
            self.create_topics(&missing).await?;
        }
        self.blocking(Self::refresh_topics).await?;
        for spec in specs {
            let described = self.describe(spec.name).await?;
            self.verify(spec, &described)?;
        }
        Ok(())
    }

    async fn create_topics(self: &Arc<Self>, specs: &[&TopicSpec]) -> Result<(), LogError> {
        let settings: Vec<Vec<(&str, String)>> =
            specs.iter().map(|spec| self.settings_of(spec)).collect();
        let new = specs.iter().zip(&settings).map(|(spec, settings)| {
            let replication = TopicReplication::Fixed(i32::from(self.config.replication_factor));
            let topic = NewTopic::new(spec.name, spec.partitions.cast_signed(), replication);
            settings.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
        });
        let new: Vec<NewTopic<'_>> = new.collect();
        let admin = self.admin()?;
        let results = admin
            .client()
            .create_topics(&new, &self.admin_options())
            .await
            .map_err(|error| admin_error(&error))?;
        for result in results {
            match result {
                // Another process was quicker; what it made is checked like any other.
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    return Err(code_error(code, format!("cannot create {topic}: {code}")));
                }
            }
        }
        self.wait_for_topics(specs).await
    }

    /// Brokers hear of a new topic one after the other, and its leaders a little later still.
    async fn wait_for_topics(self: &Arc<Self>, specs: &[&TopicSpec]) -> Result<(), LogError> {
        let deadline = Instant::now() + self.config.request_timeout;
        loop {
            let spreads = self.blocking(Self::spreads).await?;
            let led = |name| spreads.get(name).is_some_and(|spread| spread.led);
            let Some(missing) = specs.iter().find(|spec| !led(spec.name)) else {
                return Ok(());
            };
            if Instant::now() > deadline {
                return Err(LogError::Unavailable(format!(
                    "{} was created but has no leaders yet",
                    missing.name
                )));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn settings_of(&self, spec: &TopicSpec) -> Vec<(&'static str, String)> {
        let identity = rand::rng().random_range(LEAST_IDENTITY..i64::MAX);
        let mut settings = vec![
            (IDENTITY, identity.to_string()),
            ("message.timestamp.type", "LogAppendTime".to_owned()),
            ("max.message.bytes", MAX_MESSAGE_BYTES.to_string()),
            ("min.insync.replicas", self.config.min_insync_replicas.to_string()),
            ("unclean.leader.election.enable", "false".to_owned()),
            ("cleanup.policy", policy(spec.cleanup).to_owned()),
        ];
        match spec.cleanup {
            Cleanup::Delete { retention_ms } => {
                settings.push(("retention.ms", retention_ms.to_string()));
            }
            Cleanup::Compact => {
                settings.push(("segment.ms", COMPACTION_LAG_MS.to_owned()));
                settings.push(("max.compaction.lag.ms", COMPACTION_LAG_MS.to_owned()));
            }
        }
        settings
    }

    /// Everything that what we promise rests on. Retention is the operator's to change.
    fn verify(&self, spec: &TopicSpec, topic: &Described) -> Result<(), LogError> {
        let mismatch = |actual: String, needed: String, advice| {
            Err(LogError::TopicMismatch { topic: spec.name.to_owned(), actual, needed, advice })
        };
        if topic.info.partitions != spec.partitions {
            return mismatch(
                format!("{} partitions", topic.info.partitions),
                format!("{} partitions", spec.partitions),
                "set the number of partitions in the configuration to what the topic has; \
                 adding partitions would move keys and lose their order",
            );
        }
        let replicas = usize::from(self.config.replication_factor);
        if topic.replication_factor < replicas {
            return mismatch(
                format!("{} copies", topic.replication_factor),
                format!("at least {replicas} copies"),
                "add replicas with `kafka-reassign-partitions.sh`, or ask for fewer in the \
                 configuration",
            );
        }
        let number = |name| value(&topic.settings, name).parse::<usize>().unwrap_or_default();
        for (name, least) in [
            ("min.insync.replicas", usize::from(self.config.min_insync_replicas)),
            ("max.message.bytes", MAX_MESSAGE_BYTES),
        ] {
            if number(name) < least {
                return mismatch(
                    format!("{name} {}", number(name)),
                    format!("at least {least}"),
                    CHANGE_SETTING,
                );
            }
        }
        for (name, needed) in [
            ("message.timestamp.type", "LogAppendTime"),
            ("cleanup.policy", policy(spec.cleanup)),
            ("unclean.leader.election.enable", "false"),
        ] {
            let actual = value(&topic.settings, name);
            if actual != needed {
                return mismatch(format!("{name} {actual}"), needed.to_owned(), CHANGE_SETTING);
            }
        }
        Ok(())
    }

    pub(super) async fn trim(
        self: &Arc<Self>,
        partition: &TopicPartition,
        offset: u64,
    ) -> Result<(), LogError> {
        self.check_partition(partition).await?;
        let bounds = {
            let partition = partition.clone();
            self.blocking(move |client| client.bounds(&partition)).await?
        };
        if offset > bounds.end {
            return Err(LogError::OutOfRange {
                partition: partition.clone(),
                offset,
                start: bounds.start,
                end: bounds.end,
            });
        }
        if offset <= bounds.start {
            return Ok(());
        }
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset(
                &partition.topic,
                partition.partition.cast_signed(),
                Offset::Offset(offset.cast_signed()),
            )
            .map_err(|error| log_error(&error))?;
        let admin = self.admin()?;
        let trimmed = admin
            .client()
            .delete_records(&offsets, &self.admin_options())
            .await
            .map_err(|error| admin_error(&error))?;
        for element in trimmed.elements() {
            element.error().map_err(|error| log_error(&error))?;
        }
        Ok(())
    }

    fn admin(&self) -> Result<Admin, LogError> {
        let client = AdminClient::from_config_and_context(&self.config.client(), Logged);
        Ok(Admin(Some(client.map_err(|error| log_error(&error))?)))
    }

    fn admin_options(&self) -> AdminOptions {
        let timeout = Some(self.config.request_timeout);
        AdminOptions::new().request_timeout(timeout).operation_timeout(timeout)
    }
}

const CHANGE_SETTING: &str = "change the topic's setting with `kafka-configs.sh --alter`";

/// An administrative client. Its drop waits for a thread, so another one does that.
struct Admin(Option<AdminClient<Logged>>);

impl Admin {
    #[expect(clippy::expect_used, reason = "only taken when dropped")]
    fn client(&self) -> &AdminClient<Logged> {
        self.0.as_ref().expect("present until dropped")
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        let client = self.0.take();
        std::thread::spawn(move || drop(client));
    }
}

fn admin_error(error: &KafkaError) -> LogError {
    match error {
        KafkaError::AdminOp(code) => code_error(*code, error.to_string()),
        _ => log_error(error),
    }
}

fn settings(
    described: Result<Vec<Result<ConfigResource, Code>>, KafkaError>,
    topic: &str,
) -> Result<HashMap<String, String>, LogError> {
    let described = described.map_err(|error| admin_error(&error))?;
    let Some(resource) = described.into_iter().next() else {
        return Err(LogError::UnknownTopic(topic.to_owned()));
    };
    let resource = resource.map_err(|code| match code {
        Code::UnknownTopicOrPartition => LogError::UnknownTopic(topic.to_owned()),
        _ => code_error(code, format!("cannot describe {topic}: {code}")),
    })?;
    let entries = resource.entries.into_iter();
    Ok(entries.filter_map(|entry| Some((entry.name, entry.value?))).collect())
}

fn value<'a>(settings: &'a HashMap<String, String>, name: &str) -> &'a str {
    settings.get(name).map_or("unset", String::as_str)
}

fn identity(settings: &HashMap<String, String>) -> Option<String> {
    let number: i64 = value(settings, IDENTITY).parse().ok()?;
    // The default is the largest number there is.
    (LEAST_IDENTITY..i64::MAX).contains(&number).then(|| format!("{number:016x}"))
}

const fn policy(cleanup: Cleanup) -> &'static str {
    match cleanup {
        Cleanup::Delete { .. } => "delete",
        Cleanup::Compact => "compact",
    }
}
