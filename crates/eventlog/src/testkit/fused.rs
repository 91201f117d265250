//! A log that dies: at the n-th boundary around a write, everything that its process asks of it
//! hangs for ever.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::topics::TopicSpec;
use crate::{
    Batch, Bounds, Commit, Committed, EventLog, GroupMember, LogError, Membership, NewRecord,
    PartitionHandle, Position, ReadLimit, Rebalance, TopicInfo, TopicPartition,
};

/// Blows at a boundary, of which every write has one before and one after it.
#[derive(Debug)]
pub struct Fuse {
    /// Boundaries left; never blows when negative from the start.
    left: AtomicI64,
    passed: AtomicI64,
    blown: CancellationToken,
    /// Its last write is under way: nothing of it is to be read back.
    dying: CancellationToken,
}

impl Fuse {
    /// One that holds.
    #[must_use]
    pub fn never() -> Arc<Self> {
        Self::at(-1)
    }

    /// One that blows at this boundary, counted from 0.
    #[must_use]
    pub fn at(boundary: i64) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicI64::new(boundary),
            passed: AtomicI64::new(0),
            blown: CancellationToken::new(),
            dying: CancellationToken::new(),
        })
    }

    /// Boundaries reached so far.
    #[must_use]
    pub fn passed(&self) -> i64 {
        self.passed.load(Ordering::SeqCst)
    }

    /// Waits until it has blown.
    pub async fn blown(&self) {
        self.blown.cancelled().await;
    }

    async fn boundary(&self) {
        self.passed.fetch_add(1, Ordering::SeqCst);
        if self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.blown.cancel();
        }
        self.alive().await;
    }

    async fn alive(&self) {
        if self.blown.is_cancelled() || self.dying.is_cancelled() {
            std::future::pending::<()>().await;
        }
    }
}

/// Another log, behind a fuse.
#[derive(Clone)]
pub struct Fused {
    log: Arc<dyn EventLog>,
    fuse: Arc<Fuse>,
    dies_after: Arc<Which>,
    revokes: bool,
    endless: bool,
}

/// Tells some appends from others.
type Which = dyn Fn(&[NewRecord]) -> bool + Send + Sync;

impl Fused {
    /// Puts a log behind a fuse.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, fuse: Arc<Fuse>) -> Self {
        Self { log, fuse, dies_after: Arc::new(|_| false), revokes: false, endless: false }
    }

    /// Blows the fuse when an append is stored that `which` says, before anybody hears of it.
    #[must_use]
    pub fn dying_after(self, which: impl Fn(&[NewRecord]) -> bool + Send + Sync + 'static) -> Self {
        Self { dies_after: Arc::new(which), ..self }
    }

    /// Takes every partition away right after its first commit, and blows the fuse then.
    #[must_use]
    pub fn revoking(self) -> Self {
        Self { revokes: true, ..self }
    }

    /// Never tells a member that it has seen the end of a partition, as on a busy one.
    #[must_use]
    pub fn endless(self) -> Self {
        Self { endless: true, ..self }
    }
}

impl fmt::Debug for Fused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fused").field("fuse", &self.fuse).finish_non_exhaustive()
    }
}

struct FusedMember {
    member: Box<dyn GroupMember>,
    fuse: Arc<Fuse>,
    revokes: bool,
    endless: bool,
}

struct FusedHandle {
    handle: Box<dyn PartitionHandle>,
    fuse: Arc<Fuse>,
    revoked: CancellationToken,
    revokes: bool,
    endless: bool,
}

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
        let last = (self.dies_after)(&records);
        if last {
            self.fuse.dying.cancel();
        }
        let results = self.log.append(records).await;
        if last {
            self.fuse.blown.cancel();
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
        let fuse = Arc::clone(&self.fuse);
        let Self { revokes, endless, .. } = *self;
        Ok(Box::new(FusedMember { member, fuse, revokes, endless }))
    }
    async fn trim(&self, partition: &TopicPartition, offset: u64) -> Result<(), LogError> {
        self.log.trim(partition, offset).await
    }
}

#[async_trait]
impl GroupMember for FusedMember {
    async fn next(&mut self) -> Result<Rebalance, LogError> {
        Ok(match self.member.next().await? {
            Rebalance::Assigned(handles) => Rebalance::Assigned(
                handles
                    .into_iter()
                    .map(|handle| {
                        let fused = FusedHandle {
                            revoked: handle.revoked().child_token(),
                            handle,
                            fuse: Arc::clone(&self.fuse),
                            revokes: self.revokes,
                            endless: self.endless,
                        };
                        Box::new(fused) as Box<dyn PartitionHandle>
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
        self.handle.partition()
    }
    fn committed(&self) -> Option<&Committed> {
        self.handle.committed()
    }
    fn revoked(&self) -> CancellationToken {
        self.revoked.clone()
    }
    async fn fetch(&mut self, limit: ReadLimit) -> Result<Batch, LogError> {
        let batch = self.handle.fetch(limit).await;
        self.fuse.alive().await;
        batch.map(|batch| Batch { caught_up: batch.caught_up && !self.endless, ..batch })
    }
    async fn commit(&mut self, commit: Commit) -> Result<(), LogError> {
        self.fuse.boundary().await;
        let result = self.handle.commit(commit).await;
        if self.revokes {
            self.revoked.cancel();
            self.fuse.blown.cancel();
        }
        self.fuse.boundary().await;
        result
    }
}
