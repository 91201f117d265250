//! The events that a conversation has seen, 12 bytes each.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Keys of events with a short print of their content, ascending by key.
///
/// Keys are compared within one conversation only: 64 bits of BLAKE3 make two ids of a
/// conversation of 1,000 events meet once in 3e13 conversations.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Seen(Vec<[u32; 3]>);

/// What is known of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Never seen.
    New,
    /// Seen with the same content.
    Same,
    /// Seen with another content.
    Other,
}

/// Key of an event in its conversation.
pub(crate) fn event_key(source: &str, event_id: &str) -> u64 {
    let length = (source.len() as u64).to_le_bytes();
    let mut buffer = [0; 256];
    let (said, rest) = buffer.split_at_mut(8);
    said.copy_from_slice(&length);
    let hash = if let Some(rest) = rest.get_mut(..source.len() + event_id.len()) {
        // At once, which is twice as fast.
        let (first, second) = rest.split_at_mut(source.len());
        first.copy_from_slice(source.as_bytes());
        second.copy_from_slice(event_id.as_bytes());
        blake3::hash(&buffer[..8 + source.len() + event_id.len()])
    } else {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&length).update(source.as_bytes()).update(event_id.as_bytes());
        hasher.finalize()
    };
    let mut key = [0; 8];
    key.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(key)
}

impl Seen {
    pub(crate) fn look_up(&self, key: u64, fingerprint: &[u8; 16]) -> Known {
        match self.find(key) {
            Ok(index) if self.0[index][2] == print(fingerprint) => Known::Same,
            Ok(_) => Known::Other,
            Err(_) => Known::New,
        }
    }

    /// Remembers an event; one that is known stays as it is.
    pub(crate) fn insert(&mut self, key: u64, fingerprint: &[u8; 16]) {
        if let Err(index) = self.find(key) {
            // An eighth to spare: doubling would waste as much as the ids take.
            if self.0.len() == self.0.capacity() {
                self.0.reserve_exact(4 + self.0.len() / 8);
            }
            let [high, low] = halves(key);
            self.0.insert(index, [high, low, print(fingerprint)]);
        }
    }

    fn find(&self, key: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&halves(key), |&[high, low, _]| [high, low])
    }
}

/// Bytes of one event, as it is saved.
const EVENT: usize = 12;

/// As bytes: hashes have no small numbers, which a sequence of them would be written for.
impl Serialize for Seen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.as_flattened().iter().flat_map(|it| it.to_le_bytes()).collect();
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (events, []) = <&[u8]>::deserialize(deserializer)?.as_chunks::<EVENT>() else {
            return Err(D::Error::custom("the events that were seen end early"));
        };
        let word = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
        let event = |event: &[u8; EVENT]| {
            let (words, _) = event.as_chunks();
            [word(&words[0]), word(&words[1]), word(&words[2])]
        };
        Ok(Self(events.iter().map(event).collect()))
    }
}

fn halves(key: u64) -> [u32; 2] {
    [(key >> 32) as u32, key as u32]
}

/// Folds a fingerprint to 32 bits: one conflicting duplicate in 4e9 passes for an equal one,
/// and then the first still wins.
fn print(fingerprint: &[u8; 16]) -> u32 {
    let word = |index: usize| {
        let bytes = [0, 1, 2, 3].map(|byte| fingerprint[index + byte]);
        u32::from_le_bytes(bytes)
    };
    word(0) ^ word(4) ^ word(8) ^ word(12)
}
