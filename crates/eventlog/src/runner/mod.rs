//! Runs pure folds over partitions of the log.
//!
//! A batch of input is folded; its outputs and the new position become visible in one commit. So
//! nothing is counted twice or lost when the process dies anywhere. Time is data: `now` is the
//! largest append time (or tick) seen, and timers due by a record's time fire before it. When a
//! fold has caught up and a timer is due, its owner appends a tick and acts when it reads it.

mod bundles;
mod erasure;
mod group;
mod outputs;
mod partition;
mod progress;
mod snapshots;

use bytes::Bytes;

pub use bundles::{Bundles, Head, Published, publish_bundle, publish_bundle_after};
pub use erasure::{Erasure, NotAnErasure};
pub use group::run_group;
pub use outputs::{Outputs, SOURCE};
pub use progress::{PartitionProgress, Progress};

use crate::{Clock, LogError, Record, TopicPartition};

/// What a record of a fold's input is.
#[derive(Debug)]
pub enum Entry<I> {
    /// Something to fold.
    Input(I),
    /// Time has reached this.
    Tick {
        /// Milliseconds since the Unix epoch.
        at_ms: i64,
    },
    /// A tenant's configuration changes here.
    Marker(Marker),
    /// Somebody is forgotten here.
    Erasure(Erasure),
}

/// Where a tenant's configuration changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Whose.
    pub tenant: String,
    /// Lower-case hex SHA-256 of the bundle.
    pub bundle: String,
    /// Grows with each change; lower or equal ones are ignored.
    pub sequence: u64,
}

/// Why a record cannot be folded.
#[derive(Debug)]
pub enum Undecodable {
    /// It never will be: it becomes a dead letter and the fold goes on.
    Poison {
        /// Machine-readable, such as `undecodable`.
        reason: &'static str,
        /// For a person.
        detail: String,
    },
    /// A newer version wrote it: the fold must not skip it, so the partition stops.
    UnknownKind,
}

/// A state at one moment, which gives its bytes when it is called.
pub type Frozen = Box<dyn FnOnce() -> Vec<u8> + Send>;

/// A pure fold over one partition: the same records give the same outputs and state, in whatever
/// batches and with whatever restarts in between.
pub trait Fold: Send + Sync + 'static {
    /// A decoded record.
    type Input: Send;

    /// Name in snapshot keys, metrics and logs.
    fn name(&self) -> &'static str;

    /// Version of everything that outputs and state depend on besides the records. Snapshots of
    /// another version are not used.
    fn engine(&self) -> &str;

    /// What the record is. Must not depend on the state.
    fn decode(&self, record: &Record) -> Result<Entry<Self::Input>, Undecodable>;

    /// A tick as a record value of the input topic.
    fn encode_tick(&self, at_ms: i64) -> Bytes;

    /// A marker as a record value of the input topic.
    fn encode_marker(&self, marker: &Marker) -> Bytes;

    /// Fires the timers due until `now_ms`, each effective at its due time.
    fn advance(&mut self, now_ms: i64, outputs: &mut Outputs);

    /// Folds one record; timers due by `now_ms` have fired.
    fn apply(&mut self, now_ms: i64, record: &Record, input: Self::Input, outputs: &mut Outputs);

    /// Switches a tenant's configuration. An error is a bundle that this version cannot read:
    /// the fold keeps the old one. Timers due by `now_ms` have fired.
    fn configure(
        &mut self,
        now_ms: i64,
        marker: &Marker,
        bundle: &[u8],
        outputs: &mut Outputs,
    ) -> Result<(), String>;

    /// Forgets everything about whom the erasure names, and names them to nobody in saying so. Timers
    /// due by `now_ms` have fired. A snapshot follows, and earlier ones are given up.
    fn erase(&mut self, now_ms: i64, erasure: &Erasure, outputs: &mut Outputs);

    /// Sequence of the configuration in force, 0 for none.
    fn config_sequence(&self, tenant: &str) -> u64;

    /// When the next timer is due.
    fn next_due(&self) -> Option<i64>;

    /// The whole state as it is now, to be written while the fold goes on. Records wait for this:
    /// it should share rather than copy, and leave the bytes to [`Frozen`].
    fn freeze(&self) -> Frozen;

    /// The whole state as bytes.
    fn save(&self) -> Vec<u8> {
        (self.freeze())()
    }

    /// Replaces the state by a saved one.
    fn load(&mut self, state: &[u8]) -> Result<(), String>;

    /// Hash of the state; equal states have equal hashes. Asked every [`HASH_EVERY`] records, so it
    /// should cost time for what changed since then, not for the whole.
    fn hash(&mut self) -> [u8; 32];
}

/// What an observer is shown after each commit, and when nothing happened for a while.
#[derive(Debug)]
pub struct Observation<'a> {
    /// Which partition.
    pub partition: &'a TopicPartition,
    /// Largest time seen.
    pub now_ms: i64,
    /// Nothing lay beyond when this was read.
    pub caught_up: bool,
    /// The state is that of now, or of a second ago at most: acting on it is right.
    pub current: bool,
}

/// Sees a fold's committed states; acts on them or not. Never changes the fold.
pub type Observer<F> = Box<dyn FnMut(&F, &Observation<'_>) + Send>;

/// How folds are run.
#[derive(Clone)]
pub struct RunnerOptions {
    /// Number of partitions of the keyed topics that outputs go to.
    pub partitions: u32,
    /// Tells when timers are due; append times are the log's own.
    pub clock: Clock,
    /// Most input records of one commit.
    pub batch_records: usize,
    /// A snapshot is taken after this many records ...
    pub snapshot_records: u64,
    /// ... or, if there were any, after this many milliseconds.
    pub snapshot_ms: i64,
}

impl RunnerOptions {
    /// The usual: a snapshot every 100,000 records or 60 s.
    pub fn new(partitions: u32, clock: Clock) -> Self {
        let (batch_records, snapshot_records, snapshot_ms) = (4_096, 100_000, 60_000);
        Self { partitions, clock, batch_records, snapshot_records, snapshot_ms }
    }
}

/// The state's hash is noted whenever the offset passes a multiple of this.
pub const HASH_EVERY: u64 = 4_096;

/// Why a partition stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The log refused.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A record that a newer version wrote.
    #[error(
        "{partition} holds a record of a kind unknown to this version at offset {offset}; run the version that wrote it"
    )]
    UnknownKind {
        /// Where.
        partition: TopicPartition,
        /// Which record.
        offset: u64,
    },
    /// Replaying the log gave another state than it gave before.
    #[error(
        "the state of {fold} at {partition} offset {offset} differs from the one noted before: the log or the engine changed under it"
    )]
    Diverged {
        /// Name of the fold.
        fold: &'static str,
        /// Where.
        partition: TopicPartition,
        /// At which offset.
        offset: u64,
    },
    /// The input topic is another one than the snapshots were made from.
    #[error(
        "{partition} was created again since the last snapshot: restore the log or remove the snapshots of {fold}"
    )]
    Recreated {
        /// Name of the fold.
        fold: &'static str,
        /// Where.
        partition: TopicPartition,
    },
    /// The fold itself failed.
    #[error("the fold of {0} panicked")]
    Panicked(TopicPartition),
}
