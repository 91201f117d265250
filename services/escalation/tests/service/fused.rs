//! A log that dies: at the n-th boundary around a write, everything that its process asks of it
//! hangs for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use async_trait::async_trait;
use prost::Message;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::topics::TopicSpec;
use zhili_eventlog::{
    Batch, Bounds, Commit, Committed, EventLog, GroupMember, LogError, Membership, NewRecord,
    PartitionHandle, Position, ReadLimit, Rebalance, TopicInfo, TopicPartition,
};
use zhili_proto::escalation::v1 as pb;

#[derive(Default)]
pub(crate) struct Fuse {
    /// Boundaries left; never blows when negative from the start.
    left: AtomicI64,
    passed: AtomicI64,
    is_blown: AtomicBool,
    /// Blows when a claim of a page has been appended.
    after_claim: bool,
    blown: Notify,
}

impl Fuse {
    pub(crate) fn never() -> Arc<Self> {
        Self::at(-1)
    }

    pub(crate) fn at(boundary: i64) -> Arc<Self> {
        Arc::new(Self { left: AtomicI64::new(boundary), ..Self::default() })
    }

    /// Of a process that dies before it reads its first claim back.
    pub(crate) fn after_claim() -> Arc<Self> {
        Arc::new(Self { left: AtomicI64::new(-1), after_claim: true, ..Self::default() })
    }

    pub(crate) fn passed(&self) -> i64 {
        self.passed.load(Ordering::SeqCst)
    }

    pub(crate) async fn blown(&self) {
        if !self.is_blown.load(Ordering::SeqCst) {
            self.blown.notified().await;
        }
    }

    async fn boundary(&self) {
        self.passed.fetch_add(1, Ordering::SeqCst);
        if self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.blow();
        }
        self.alive().await;
    }

    fn blow(&self) {
        self.is_blown.store(true, Ordering::SeqCst);
        self.blown.notify_one();
    }

    async fn alive(&self) {
        if self.is_blown.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

fn is_claim(record: &NewRecord) -> bool {
    let entry = record.value.as_deref().and_then(|value| pb::LogEntry::decode(value).ok());
    matches!(entry.and_then(|entry| entry.entry), Some(pb::log_entry::Entry::Claim(_)))
}

#[derive(Clone)]
pub(crate) struct Fused {
    pub(crate) log: EmbeddedLog,
    pub(crate) fuse: Arc<Fuse>,
}

struct FusedMember(Box<dyn GroupMember>, Arc<Fuse>);
struct FusedHandle(Box<dyn PartitionHandle>, Arc<Fuse>);

#[async_trait]
impl EventLog for Fused {
    async fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<(), LogError> {
        self.log.ensure_topics(specs).await
    }
    async fn topic(&self, name: &str) -> Result<TopicInfo, LogError> {
        self.log.topic(name).await
    }
    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<Position, LogError>> {
        self.fuse.boundary().await;
        let claims = records.iter().any(is_claim);
        let results = self.log.append(records).await;
        if claims && self.fuse.after_claim {
            self.fuse.blow();
        }
        self.fuse.boundary().await;
        results
    }
    async fn bounds(&self, partition: &TopicPartition) -> Result<Bounds, LogError> {
        self.log.bounds(partition).await
    }
    async fn read(
        &self,
        partition: &TopicPartition,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Batch, LogError> {
        let batch = self.log.read(partition, from, limit).await;
        self.fuse.alive().await;
        batch
    }
    async fn committed(
        &self,
        group: &str,
        partition: &TopicPartition,
    ) -> Result<Option<Committed>, LogError> {
        self.log.committed(group, partition).await
    }
    async fn join(&self, membership: Membership) -> Result<Box<dyn GroupMember>, LogError> {
        let member = self.log.join(membership).await?;
        Ok(Box::new(FusedMember(member, Arc::clone(&self.fuse))))
    }
    async fn trim(&self, partition: &TopicPartition, offset: u64) -> Result<(), LogError> {
        self.log.trim(partition, offset).await
    }
}

#[async_trait]
impl GroupMember for FusedMember {
    async fn next(&mut self) -> Result<Rebalance, LogError> {
        let fuse = &self.1;
        Ok(match self.0.next().await? {
            Rebalance::Assigned(handles) => Rebalance::Assigned(
                handles
                    .into_iter()
                    .map(|handle| {
                        Box::new(FusedHandle(handle, Arc::clone(fuse))) as Box<dyn PartitionHandle>
                    })
                    .collect(),
            ),
            revoked @ Rebalance::Revoked(_) => revoked,
        })
    }
}

#[async_trait]
impl PartitionHandle for FusedHandle {
    fn partition(&self) -> &TopicPartition {
        self.0.partition()
    }
    fn committed(&self) -> Option<&Committed> {
        self.0.committed()
    }
    fn revoked(&self) -> CancellationToken {
        self.0.revoked()
    }
    async fn fetch(&mut self, limit: ReadLimit) -> Result<Batch, LogError> {
        let batch = self.0.fetch(limit).await;
        self.1.alive().await;
        batch
    }
    async fn commit(&mut self, commit: Commit) -> Result<(), LogError> {
        self.1.boundary().await;
        let result = self.0.commit(commit).await;
        self.1.boundary().await;
        result
    }
}
