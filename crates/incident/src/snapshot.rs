//! The state of a partition as bytes, and its hash.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::id::IncidentId;
use crate::partition::{Durable, Partition};
use crate::policy::Policy;

/// First byte of a snapshot; another layout gets another number.
const FORMAT: u8 = 11;

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

/// All that a [`Partition`] knows at one moment. It shares the incidents until they change, so it
/// is made at once, and its bytes can be written while the fold goes on.
#[derive(Debug)]
pub struct Frozen(Durable);

impl Frozen {
    /// The state as bytes that [`Partition::restore`] reads. Equal states give equal bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SnapshotError> {
        postcard::to_stdvec(&(FORMAT, &self.0)).map_err(SnapshotError::Unwritable)
    }
}

impl Partition {
    /// The state as it is now.
    pub fn freeze(&self) -> Frozen {
        Frozen(self.durable.clone())
    }

    /// The state as bytes that [`Partition::restore`] reads. Equal states give equal bytes.
    pub fn snapshot(&self) -> Result<Vec<u8>, SnapshotError> {
        self.freeze().to_bytes()
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

    /// Hash of the state; equal for equal states, whether folded live, replayed or restored. Costs
    /// time for the incidents that changed since it was asked last.
    pub fn hash(&mut self) -> Result<[u8; 32], SnapshotError> {
        let Durable {
            now_ms,
            configs,
            silences,
            presences,
            health,
            paces,
            replies,
            opened,
            incidents,
        } = &mut self.durable;
        let rest = (now_ms, configs, silences, presences, health, paces, replies, opened);
        let bytes =
            postcard::to_stdvec(&(incidents.hash(), rest)).map_err(SnapshotError::Unwritable)?;
        Ok(blake3::hash(&bytes).into())
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
    let ids: Vec<IncidentId> = durable.incidents.iter().map(|(id, _)| *id).collect();
    for id in ids {
        let Some(tracked) = durable.incidents.get_mut(&id) else { continue };
        let policy = &mut tracked.incident.policy;
        match shared.iter().find(|known| *known == policy) {
            Some(known) => *policy = Arc::clone(known),
            None => shared.push(Arc::clone(policy)),
        }
    }
}
