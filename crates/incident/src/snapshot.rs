//! The state of a partition as bytes, and its hash.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufWriter;
use std::sync::Arc;

use crate::id::IncidentId;
use crate::partition::{Durable, Partition};
use crate::policy::Policy;

/// First byte of a snapshot; another layout gets another number.
const FORMAT: u8 = 9;

/// A snapshot that cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Written by another version.
    #[error("snapshot of format {found}, this version reads {FORMAT}; replay from the log")]
    Format {
        /// Its first byte; 0 if it is empty.
        found: u8,
    },
    /// Not a snapshot, or damaged.
    #[error("cannot read the snapshot: {0}")]
    Malformed(#[from] postcard::Error),
    /// The state could not be written.
    #[error("cannot write the snapshot: {0}")]
    Unwritable(#[source] postcard::Error),
}

impl Partition {
    /// The state as bytes that [`Partition::restore`] reads. Equal states give equal bytes.
    pub fn snapshot(&self) -> Result<Vec<u8>, SnapshotError> {
        postcard::to_stdvec(&(FORMAT, &self.durable)).map_err(SnapshotError::Unwritable)
    }

    /// The state of a snapshot. Folding the records after it gives what folding all of them
    /// would have given.
    pub fn restore(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let (found, bytes) = bytes.split_first().unwrap_or((&0, &[]));
        if *found != FORMAT {
            return Err(SnapshotError::Format { found: *found });
        }
        let (mut durable, rest): (Durable, _) = postcard::take_from_bytes(bytes)?;
        if !rest.is_empty() {
            return Err(postcard::Error::DeserializeBadEncoding.into());
        }
        share_policies(&mut durable);
        let mut opened: Vec<(u64, IncidentId)> =
            durable.incidents.iter().map(|(id, tracked)| (tracked.nth, *id)).collect();
        opened.sort_unstable();
        let mut partition = Self::new();
        partition.durable = durable;
        for (_, id) in opened {
            partition.enter_key(id);
            partition.refresh(id);
        }
        partition.enter_starts();
        Ok(partition)
    }

    /// BLAKE3 of the state; equal for equal states, whether folded live, replayed or restored.
    pub fn hash(&self) -> Result<[u8; 32], SnapshotError> {
        // Many fields are a few bytes; the hasher is fast on blocks.
        let mut blocks = BufWriter::with_capacity(64 * 1024, Blocks(blake3::Hasher::new()));
        postcard::to_io(&self.durable, &mut blocks).map_err(SnapshotError::Unwritable)?;
        let flushed = blocks.into_inner().map_err(|_| postcard::Error::SerializeBufferFull);
        let Blocks(hasher) = flushed.map_err(SnapshotError::Unwritable)?;
        Ok(*hasher.finalize().as_bytes())
    }

    /// Whether the derived indexes are what a restore would build; for tests.
    #[doc(hidden)]
    pub fn index_is_consistent(&self) -> bool {
        let Ok(bytes) = self.snapshot() else {
            return false;
        };
        Self::restore(&bytes).is_ok_and(|restored| {
            let empty = |open: &BTreeMap<String, BTreeSet<IncidentId>>| {
                open.iter()
                    .filter(|(_, ids)| !ids.is_empty())
                    .map(|(tenant, ids)| (tenant.clone(), ids.clone()))
                    .collect::<Vec<_>>()
            };
            restored.durable == self.durable
                && restored.index.timers == self.index.timers
                && restored.index.starts == self.index.starts
                && restored.index.crowds == self.index.crowds
                && restored.index.active == self.index.active
                && restored.index.pages == self.index.pages
                && restored.index.keys == self.index.keys
                && restored.index.waiting == self.index.waiting
                && restored.index.bundled == self.index.bundled
                && empty(&restored.index.open) == empty(&self.index.open)
        })
    }
}

/// A snapshot spells every incident's policy out; in memory equal ones are one.
fn share_policies(durable: &mut Durable) {
    let mut shared: Vec<Arc<Policy>> = Vec::new();
    for tracked in durable.incidents.values_mut() {
        let policy = &mut tracked.incident.policy;
        match shared.iter().find(|known| *known == policy) {
            Some(known) => *policy = Arc::clone(known),
            None => shared.push(Arc::clone(policy)),
        }
    }
}

struct Blocks(blake3::Hasher);

impl std::io::Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
