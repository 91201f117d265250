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
        // Under the lock: whoever finds the batch must not be told of an end before it.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Headers, Record};

    #[test]
    fn nobody_reads_beyond_the_end_that_is_told() {
        const BATCHES: u64 = 200_000;
        let tail = Arc::new(Tail::new(Bounds { start: 0, end: 0 }));
        let writer = Arc::clone(&tail);
        let writer = std::thread::spawn(move || {
            for base in 0..BATCHES {
                let record = Record {
                    offset: base,
                    append_ms: 0,
                    key: None,
                    value: None,
                    headers: Headers::default(),
                };
                // As large as 8,192 in memory may be.
                writer.publish(Arc::new(StoredBatch { base, records: vec![record], bytes: 256 }));
            }
        });
        let mut next = 0;
        while next < BATCHES {
            if let Lookup::Recent(batches) = tail.lookup(next, usize::MAX) {
                next = batches.last().map_or(next, |batch| batch.end());
            } else {
                next = tail.bounds().end;
            }
            let told = tail.bounds().end;
            assert!(next <= told, "read up to {next}, told {told}");
        }
        writer.join().expect("the writer does not panic");
    }
}
