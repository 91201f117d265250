//! The ordered event log, its two homes, and the runner that folds it.
//!
//! A log is a set of topics, each split into partitions; a record's place is its
//! [`Position`]. Order holds within a partition only. Offsets grow but may have gaps (control
//! records, compaction), and the first offsets may be gone (retention).
//!
//! [`EventLog`] is what services see. `EmbeddedLog` keeps it in one file of the
//! process that owns it; `KafkaLog` is a client of Apache Kafka. Both pass `conformance`.

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod embedded;
mod error;
#[cfg(feature = "kafka")]
pub mod kafka;
mod log;
mod partitioner;
mod record;
pub mod runner;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod topics;
pub mod trace;

pub use error::LogError;
pub use log::{
    Batch, Bounds, Commit, Committed, Condemned, EventLog, GroupMember, MAX_METADATA_BYTES,
    MAX_RECORD_BYTES, Membership, PartitionHandle, Purged, ReadLimit, Rebalance, TopicInfo,
};
pub use partitioner::partition_of;
pub use record::{Headers, NewRecord, Position, Record, TopicPartition};

/// Milliseconds since the Unix epoch, given by whoever runs the log.
pub type Clock = std::sync::Arc<dyn Fn() -> i64 + Send + Sync>;

/// The machine's wall clock.
#[must_use]
pub fn system_clock() -> Clock {
    std::sync::Arc::new(|| {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    })
}
