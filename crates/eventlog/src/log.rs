use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::topics::TopicSpec;
use crate::{LogError, NewRecord, Position, Record, TopicPartition};

/// Largest record, key and headers included.
pub const MAX_RECORD_BYTES: usize = 1 << 20;

/// Largest offset metadata, in bytes of printable ASCII.
pub const MAX_METADATA_BYTES: usize = 1024;

/// What exists of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// Number of partitions.
    pub partitions: u32,
    /// Identity given at creation; a topic created again under the same name has another.
    pub log_id: String,
    /// Whether only the last record of each key is kept.
    pub compacted: bool,
    /// How long records are kept, in milliseconds; `None` for ever.
    pub retention_ms: Option<i64>,
}

/// First offset held and offset of the next record. For readers of committed data: an open
/// transaction's records are beyond the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// First offset held.
    pub start: u64,
    /// Offset after the last visible record.
    pub end: u64,
}

/// How much to read at once.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    /// Most records to return.
    pub records: usize,
    /// Stop after about this many bytes; one record is returned however large it is.
    pub bytes: usize,
    /// Wait this long for a first record; zero returns at once.
    pub wait: Duration,
}

impl Default for ReadLimit {
    fn default() -> Self {
        Self { records: 4_096, bytes: 4 << 20, wait: Duration::from_millis(500) }
    }
}

/// What a read found.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// In order of their offsets, which may have gaps.
    pub records: Vec<Record>,
    /// Where the next read goes on; beyond the last record when offsets after it are gaps.
    pub next: u64,
    /// Nothing visible lay beyond `next` at the time of the read.
    pub caught_up: bool,
}

/// A group's position in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Committed {
    /// Next record to be read.
    pub offset: u64,
    /// What the owner noted with it: printable ASCII, at most 1 KiB.
    pub metadata: String,
}

/// Outputs and progress that become visible together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Records to append.
    pub outputs: Vec<NewRecord>,
    /// Next input record to be read.
    pub offset: u64,
    /// Kept with the offset.
    pub metadata: String,
}

/// A wish to share a group's partitions.
#[derive(Clone, Debug)]
pub struct Membership {
    /// Name of the group.
    pub group: String,
    /// Name of this member, stable over restarts where possible (static membership) so that a
    /// quick restart moves no partition; unique within the group.
    pub member: String,
    /// Topics whose partitions are shared out.
    pub topics: Vec<String>,
}

/// A change of what a member owns.
pub enum Rebalance {
    /// The member now owns these.
    Assigned(Vec<Box<dyn PartitionHandle>>),
    /// The member no longer owns these; their handles are dead already.
    Revoked(Vec<TopicPartition>),
}

/// Says of a record whether it is to be removed out of its turn.
pub type Condemned = Arc<dyn Fn(&TopicPartition, &Record) -> bool + Send + Sync>;

/// What became of records that were to be removed out of their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purged {
    /// They are gone, and so is every byte of what was removed or replaced before.
    Now {
        /// How many were removed.
        records: u64,
    },
    /// This log cannot rewrite what it holds: they go when their topic's retention is over.
    ByRetention,
}

/// An ordered, durable log shared by producers and groups of consumers.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Creates the topics that are missing and checks the others.
    async fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<(), LogError>;

    /// What exists of a topic.
    async fn topic(&self, name: &str) -> Result<TopicInfo, LogError>;

    /// Appends records and returns, for each in order, its place once it is durable. Records of
    /// one call to one partition keep their order. A failure of one is no failure of the others.
    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<Position, LogError>>;

    /// First and next offset of a partition.
    async fn bounds(&self, partition: &TopicPartition) -> Result<Bounds, LogError>;

    /// Reads without belonging to a group. A position outside of the bounds is an error.
    async fn read(
        &self,
        partition: &TopicPartition,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Batch, LogError>;

    /// A group's position, `None` before its first commit.
    async fn committed(
        &self,
        group: &str,
        partition: &TopicPartition,
    ) -> Result<Option<Committed>, LogError>;

    /// Joins a group. Dropping the member leaves it.
    async fn join(&self, membership: Membership) -> Result<Box<dyn GroupMember>, LogError>;

    /// Removes the records before `offset`, which may lie inside what was appended at once.
    async fn trim(&self, partition: &TopicPartition, offset: u64) -> Result<(), LogError>;

    /// Removes every record that is condemned, wherever it lies; the others keep their offsets.
    /// What was removed or replaced at any time before is not in the log's files afterwards
    /// either, except by [`Purged::ByRetention`].
    async fn purge(&self, condemned: Condemned) -> Result<Purged, LogError> {
        let _ = condemned;
        Ok(Purged::ByRetention)
    }

    /// Writes the log as it is at one moment, with its groups' positions, into `folder`, which is
    /// created if needed and holds no log yet. Nobody waits for it. Refused by a log whose copies
    /// are somebody else's to make.
    async fn copy_to(&self, folder: &Path) -> Result<(), LogError> {
        let folder = folder.display();
        let because = format!("it is kept by brokers, which make copies of it, not in {folder}");
        Err(LogError::Refused(because))
    }
}

/// One member of a group.
#[async_trait]
pub trait GroupMember: Send {
    /// Waits for the next change of ownership. An error ends the membership. Nothing is lost
    /// when the wait is given up.
    async fn next(&mut self) -> Result<Rebalance, LogError>;
}

/// The right to read a partition for a group and to commit progress in it.
#[async_trait]
pub trait PartitionHandle: Send {
    /// Which partition.
    fn partition(&self) -> &TopicPartition;

    /// The group's position when the partition was assigned, `None` on a first start.
    fn committed(&self) -> Option<&Committed>;

    /// Cancelled as soon as the partition belongs to somebody else. From then on nothing that
    /// this handle is asked to commit becomes visible.
    fn revoked(&self) -> CancellationToken;

    /// Reads on from where the last fetch ended; the first begins at the committed position, or
    /// at the first record on a first start.
    async fn fetch(&mut self, limit: ReadLimit) -> Result<Batch, LogError>;

    /// Makes outputs and progress visible together, durably. Tries again by itself for as long
    /// as the partition is owned; an error means that nothing of it is or will be visible,
    /// except [`LogError::Ambiguous`], after which the handle is dead.
    async fn commit(&mut self, commit: Commit) -> Result<(), LogError>;
}
