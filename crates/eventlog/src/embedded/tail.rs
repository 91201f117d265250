//! The visible end of each partition, kept in memory so that readers who keep up never touch the
//! file, and slow ones only in short reads of their own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::codec::StoredBatch;
use crate::Bounds;

/// Newest batches of one partition, at most this many bytes of them.
const KEEP_BYTES: usize = 2 << 20;

#[derive(Debug)]
pub(super) struct Tail {
    recent: Mutex<Recent>,
    /// Next offset: whatever is below it is durable.
    end: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Recent {
    start: u64,
    bytes: usize,
    batches: VecDeque<Arc<StoredBatch>>,
}

/// Where to look for an offset.
pub(super) enum Lookup {
    /// In these batches.
    Recent(Vec<Arc<StoredBatch>>),
    /// In the file.
    Stored,
}

impl Tail {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            recent: Mutex::new(Recent { start: bounds.start, ..Recent::default() }),
            end: watch::Sender::new(bounds.end),
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        // The end is read first: a trim in between then shows as an empty range, not a wrong one.
        let end = *self.end.borrow();
        let start = self.lock().start;
        Bounds { start, end: end.max(start) }
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    /// Makes a durable batch visible.
    pub(super) fn publish(&self, batch: Arc<StoredBatch>) {
        let end = batch.end();
        let mut recent = self.lock();
        recent.bytes += batch.bytes;
        recent.batches.push_back(batch);
        while recent.bytes > KEEP_BYTES && recent.batches.len() > 1 {
            if let Some(old) = recent.batches.pop_front() {
                recent.bytes -= old.bytes;
            }
        }
        drop(recent);
        self.end.send_replace(end);
    }

    /// What is before `start` is gone.
    pub(super) fn trim(&self, start: u64) {
        let mut recent = self.lock();
        recent.start = start;
        while recent.batches.front().is_some_and(|batch| batch.end() <= start) {
            if let Some(old) = recent.batches.pop_front() {
                recent.bytes -= old.bytes;
            }
        }
    }

    /// Forgets what is in memory: the file is the truth again.
    pub(super) fn reset(&self, bounds: Bounds) {
        let mut recent = self.lock();
        *recent = Recent { start: bounds.start, ..Recent::default() };
        drop(recent);
        self.end.send_replace(bounds.end);
    }

    /// The batches from the one that holds `offset` on, up to about `bytes`.
    pub(super) fn lookup(&self, offset: u64, bytes: usize) -> Lookup {
        let recent = self.lock();
        match recent.batches.front() {
            Some(first) if first.base <= offset => {}
            _ => return Lookup::Stored,
        }
        let from = recent.batches.partition_point(|batch| batch.end() <= offset);
        let mut taken = 0;
        let batches = recent
            .batches
            .range(from..)
            .take_while(|batch| {
                let wanted = taken < bytes;
                taken += batch.bytes;
                wanted
            })
            .cloned()
            .collect();
        Lookup::Recent(batches)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
