//! A log that fails as it is told, for tests.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::topics::TopicSpec;
use zhili_eventlog::{
    Batch, Bounds, Committed, EventLog, GroupMember, LogError, Membership, NewRecord, Position,
    ReadLimit, TopicInfo, TopicPartition,
};

pub(crate) struct Faulty {
    log: EmbeddedLog,
    /// Of the next appends and reads, in this order.
    errors: Mutex<VecDeque<LogError>>,
    hangs: AtomicBool,
}

impl Faulty {
    pub(crate) fn new(log: &EmbeddedLog) -> Arc<Self> {
        Arc::new(Self { log: log.clone(), errors: Mutex::default(), hangs: AtomicBool::new(false) })
    }

    /// Fails an append or a read after those that are to fail already.
    pub(crate) fn fail(&self, error: LogError) {
        self.errors.lock().unwrap().push_back(error);
    }

    /// Answers no append any more.
    pub(crate) fn hang(&self) {
        self.hangs.store(true, Ordering::SeqCst);
    }

    fn next(&self) -> Option<LogError> {
        self.errors.lock().unwrap().pop_front()
    }
}

#[async_trait]
impl EventLog for Faulty {
    async fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<(), LogError> {
        self.log.ensure_topics(specs).await
    }
    async fn topic(&self, name: &str) -> Result<TopicInfo, LogError> {
        self.log.topic(name).await
    }
    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<Position, LogError>> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        match self.next() {
            Some(error) => records.iter().map(|_| Err(error.clone())).collect(),
            None => self.log.append(records).await,
        }
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
        match self.next() {
            Some(error) => Err(error),
            None => self.log.read(partition, from, limit).await,
        }
    }
    async fn committed(
        &self,
        group: &str,
        partition: &TopicPartition,
    ) -> Result<Option<Committed>, LogError> {
        self.log.committed(group, partition).await
    }
    async fn join(&self, membership: Membership) -> Result<Box<dyn GroupMember>, LogError> {
        self.log.join(membership).await
    }
    async fn trim(&self, partition: &TopicPartition, offset: u64) -> Result<(), LogError> {
        self.log.trim(partition, offset).await
    }
}
