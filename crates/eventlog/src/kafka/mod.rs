//! The log as a client of Apache Kafka.
//!
//! What a commit promises rests on three things. One transactional producer per member, with a
//! stable id, carries outputs and positions together and fences its own predecessor. The group's
//! generation, sent along with the positions, fences a member that the group gave up on. And a
//! lock that both the rebalance callback and the commit hold fences a partition that was taken
//! from a member which is still in the group, which brokers do not check.
//!
//! A transaction is durable when the commit returns and becomes visible to readers, here as
//! elsewhere, when its markers are written: a few milliseconds later.
//!
//! A topic's identity is a random number in its setting `flush.messages`, so large that nothing is
//! ever flushed because of it: that setting is made with the topic, goes with it, outlives every
//! record, and any client may read it. (Kafka's own topic id cannot be read with librdkafka's safe
//! interface.)

mod append;
mod client;
mod commit;
mod config;
mod contact;
mod error;
mod member;
mod partition;
mod read;
mod record;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::config::{ClientCertificate, Compression, KafkaConfig, Security};

use self::append::Appender;
use self::read::Readers;
use self::topics::Topics;
use crate::topics::TopicSpec;
use crate::{
    Batch, Bounds, Committed, EventLog, GroupMember, LogError, Membership, NewRecord, Position,
    ReadLimit, TopicInfo, TopicPartition,
};

/// How long the first answer of a broker may take. Somebody waits for it, and a wrong address is more
/// likely than a slow cluster.
const CONNECT: Duration = Duration::from_secs(10);

/// A log kept by a Kafka cluster.
///
/// Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct KafkaLog {
    client: Arc<Client>,
}

/// What handles, members and the log share.
struct Client {
    config: KafkaConfig,
    appender: Appender,
    topics: Topics,
    readers: Readers,
}

impl KafkaLog {
    /// Connects to the cluster.
    ///
    /// # Errors
    /// [`LogError::Refused`] when the settings do not work, [`LogError::Unavailable`] when no
    /// broker answers within 10 s.
    pub async fn connect(config: KafkaConfig) -> Result<Self, LogError> {
        let appender = Appender::new(config.producer())?;
        let log = Self {
            client: Arc::new(Client {
                topics: Topics::default(),
                readers: Readers::default(),
                appender,
                config,
            }),
        };
        let patience = CONNECT.min(log.client.config.request_timeout);
        let learn = move |client: &Client| client.learn_topics(patience);
        log.client.blocking(learn).await?;
        Ok(log)
    }
}

impl Client {
    /// Runs one of librdkafka's blocking calls where it blocks nobody.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce(&Self) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let client = Arc::clone(self);
        tokio::task::spawn_blocking(move || call(&client))
            .await
            .map_err(|error| LogError::Unavailable(error.to_string()))?
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    async fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<(), LogError> {
        self.client.ensure_topics(specs).await
    }

    async fn topic(&self, name: &str) -> Result<TopicInfo, LogError> {
        Ok(self.client.describe(name).await?.info)
    }

    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<Position, LogError>> {
        self.client.append(records).await
    }

    async fn bounds(&self, partition: &TopicPartition) -> Result<Bounds, LogError> {
        let partition = partition.clone();
        self.client.blocking(move |client| client.bounds(&partition)).await
    }

    async fn read(
        &self,
        partition: &TopicPartition,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Batch, LogError> {
        let partition = partition.clone();
        self.client.blocking(move |client| client.read(&partition, from, limit)).await
    }

    async fn committed(
        &self,
        group: &str,
        partition: &TopicPartition,
    ) -> Result<Option<Committed>, LogError> {
        let (group, partition) = (group.to_owned(), partition.clone());
        self.client.blocking(move |client| client.committed(&group, &partition)).await
    }

    async fn join(&self, membership: Membership) -> Result<Box<dyn GroupMember>, LogError> {
        Ok(Box::new(member::join(Arc::clone(&self.client), membership).await?))
    }

    async fn trim(&self, partition: &TopicPartition, offset: u64) -> Result<(), LogError> {
        self.client.trim(partition, offset).await
    }
}
