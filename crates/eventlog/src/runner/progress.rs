use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::TopicPartition;

/// How far the folds of a service have come. Cheap to clone; readable at any time.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<BTreeMap<TopicPartition, PartitionProgress>>>);

/// How far one partition has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionProgress {
    /// Next record to be read; what is before it is committed.
    pub offset: u64,
    /// Append time of the last record processed, 0 before the first.
    pub append_ms: i64,
    /// Nothing lay beyond at the last read.
    pub caught_up: bool,
    /// Records processed since the partition was assigned.
    pub records: u64,
    /// Records that became dead letters since then, those that the fold itself gave up included.
    pub dead_letters: u64,
    /// Times that a commit or read had to be tried again since then.
    pub retries: u64,
    /// Why the partition stopped for good, if it did.
    pub halted: Option<String>,
    /// Clock time of the last change of `offset`, or of the last time it had caught up.
    pub progressed_ms: i64,
    /// Since which clock time there are records whose effect is in no snapshot of this owner:
    /// whoever takes over replays them.
    pub unsaved_ms: Option<i64>,
}

impl Progress {
    /// A copy of everything.
    pub fn all(&self) -> BTreeMap<TopicPartition, PartitionProgress> {
        self.lock().clone()
    }

    /// Why work does not go on: partitions that halted, or that had work and made no progress
    /// for `patience_ms`. Empty when all is well.
    pub fn complaints(&self, now_ms: i64, patience_ms: i64) -> Vec<String> {
        self.lock()
            .iter()
            .filter_map(|(partition, progress)| match &progress.halted {
                Some(reason) => Some(format!("{partition} halted: {reason}")),
                None if !progress.caught_up && now_ms - progress.progressed_ms > patience_ms => {
                    let seconds = (now_ms - progress.progressed_ms) / 1000;
                    Some(format!(
                        "{partition} has not moved from {} for {seconds} s",
                        progress.offset
                    ))
                }
                None => None,
            })
            .collect()
    }

    /// Changes what is known of a partition.
    pub fn update(&self, partition: &TopicPartition, change: impl FnOnce(&mut PartitionProgress)) {
        change(self.lock().entry(partition.clone()).or_default());
    }

    /// Forgets a partition that belongs to somebody else now.
    pub fn remove(&self, partition: &TopicPartition) {
        self.lock().remove(partition);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, PartitionProgress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
