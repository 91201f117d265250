//! State of a partition as bytes, and its hash.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use zhili_state::{Part, encode};

use crate::book::{Book, BookState};
use crate::partition::{Partition, Slots};

/// First bytes of every snapshot, then the version.
const MAGIC: [u8; 4] = *b"ZDLG";

/// Changes whenever the layout of the state or the meaning of a field does.
const VERSION: u16 = 10;

/// Why a snapshot cannot be used; replay the log instead.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The bytes are something else.
    #[error("not a snapshot of conversations: the first bytes are wrong")]
    Foreign,
    /// Another engine wrote it.
    #[error("snapshot of conversations has version {found}, this engine reads {wanted}")]
    Version {
        /// The version found.
        found: u16,
        /// The version that this engine writes.
        wanted: u16,
    },
    /// Cut off or damaged.
    #[error("snapshot of conversations is damaged: {0}")]
    Damaged(#[from] postcard::Error),
    /// Readable, but its parts contradict each other.
    #[error("snapshot of conversations contradicts itself: {0}")]
    Inconsistent(&'static str),
}

/// All that a [`Partition`] knows at one moment. It shares the conversations until they change, so
/// it is made at once, and its bytes can be written while the fold goes on. The same log gives the
/// same bytes.
#[derive(Debug, Serialize, Deserialize)]
pub struct Frozen {
    book: BookState,
    now_ms: i64,
    slots: Slots,
    free: Vec<u32>,
}

impl Frozen {
    /// The state as [`Partition::restore`] reads it.
    pub fn to_bytes(&self) -> Vec<u8> {
        with_version(MAGIC, VERSION, self)
    }
}

impl Partition {
    /// Version of the state's layout and meaning; a state of another one cannot be restored.
    pub const STATE_VERSION: u16 = VERSION;

    /// The state as it is now.
    pub fn freeze(&self) -> Frozen {
        Frozen {
            book: self.book.state(),
            now_ms: self.now_ms,
            slots: self.slots.clone(),
            free: self.free.clone(),
        }
    }

    /// The whole state. Folds restored from it go on exactly as this one does.
    pub fn snapshot(&self) -> Vec<u8> {
        self.freeze().to_bytes()
    }

    /// The fold that [`snapshot`](Self::snapshot) was taken of.
    pub fn restore(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let state: Frozen = of_version(MAGIC, VERSION, bytes)?;
        let empty = state.slots.iter().filter(|slot| slot.is_none()).count();
        let is_empty = |&slot: &u32| matches!(state.slots.get(slot as usize), Some(None));
        let free: HashSet<u32> = state.free.iter().copied().filter(is_empty).collect();
        // As many as there are, all of them empty and none twice.
        if state.free.len() != empty || free.len() != empty {
            return Err(SnapshotError::Inconsistent("the list of free places is wrong"));
        }
        let mut keys = HashSet::with_capacity(state.slots.len() - empty);
        let mut terms = HashSet::new();
        let mut is_consistent = true;
        // In one go: each is read for it.
        for conversation in state.slots.iter().flatten().map(Part::get) {
            let (tenant, id) = conversation.key();
            if !keys.insert((tenant.to_owned(), id.to_owned())) {
                return Err(SnapshotError::Inconsistent("a conversation is there twice"));
            }
            terms.extend(conversation.terms());
            is_consistent &= conversation.is_consistent();
        }
        drop(keys);
        let book = Book::try_from(state.book)
            .map_err(|_| SnapshotError::Inconsistent("the settings cannot be read"))?;
        if !book.is_consistent() {
            return Err(SnapshotError::Inconsistent("a tenant's settings are missing"));
        }
        if !terms.into_iter().all(|at| book.has(at)) {
            return Err(SnapshotError::Inconsistent("a cycle goes by unknown settings"));
        }
        if !is_consistent {
            return Err(SnapshotError::Inconsistent("a conversation refers to an unknown place"));
        }
        Ok(Self::assemble(book, state.now_ms, state.slots, state.free))
    }

    /// Hash of the state: equal for folds of the same log, whoever ran them. Costs time for the
    /// conversations that changed since it was asked last.
    pub fn hash(&mut self) -> [u8; 32] {
        for slot in self.digest.take_changed() {
            if let Some(conversation) = &mut self.slots[slot as usize] {
                self.digest.count(&slot, conversation);
            }
        }
        let rest = (self.book.state(), self.now_ms, self.slots.len() as u64, &self.free);
        let bytes = encode(&(self.digest.hash(), rest), Vec::new());
        blake3::hash(&bytes).into()
    }
}

/// State behind the name and version of its layout.
pub(crate) fn with_version(magic: [u8; 4], version: u16, state: &impl Serialize) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend(version.to_le_bytes());
    encode(state, bytes)
}

/// Reads what [`with_version`] wrote.
pub(crate) fn of_version<T: for<'de> Deserialize<'de>>(
    magic: [u8; 4],
    wanted: u16,
    bytes: &[u8],
) -> Result<T, SnapshotError> {
    let rest = bytes.strip_prefix(&magic).ok_or(SnapshotError::Foreign)?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or(SnapshotError::Foreign)?;
    let found = u16::from_le_bytes(*version);
    if found != wanted {
        return Err(SnapshotError::Version { found, wanted });
    }
    let (state, rest) = postcard::take_from_bytes(rest)?;
    if !rest.is_empty() {
        return Err(SnapshotError::Inconsistent("bytes follow the state"));
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::event::{Event, EventKind, Former, Marks, Mode};

    /// Two conversations in memory.
    fn partition() -> Partition {
        let mut partition = Partition::new(Config::default());
        for conversation_id in ["one", "two"] {
            let event = Event {
                tenant: "acme",
                source: "desk",
                event_id: "1",
                conversation_id,
                kind: EventKind::Message,
                sent_ms: 1_000,
                author: None,
                private: false,
                mode: Mode::Live,
                channel: "",
                queue: "",
                team: "",
                customer: "",
                former: Former::default(),
                fingerprint: [0; 16],
                marks: Marks::default(),
            };
            partition.apply(1_000, &event, &mut Vec::new());
        }
        partition
    }

    fn refusal(partition: &Partition) -> String {
        match Partition::restore(&partition.snapshot()) {
            Err(error) => error.to_string(),
            Ok(_) => String::new(),
        }
    }

    #[test]
    fn a_free_place_that_is_listed_twice_is_refused() {
        let mut partition = partition();
        partition.slots = vec![None, None];
        partition.free = vec![0, 1];
        assert_eq!(refusal(&partition), "");
        partition.free = vec![1, 1];
        assert!(refusal(&partition).contains("the list of free places is wrong"));
    }

    #[test]
    fn a_conversation_that_is_there_twice_is_refused() {
        let mut partition = partition();
        assert_eq!(refusal(&partition), "");
        partition.slots[1] = partition.slots[0].clone();
        assert!(refusal(&partition).contains("a conversation is there twice"));
    }
}
