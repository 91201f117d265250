use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One part of a state. A clone shares its value until either is changed.
#[derive(Debug, Clone)]
pub struct Part<T> {
    value: Arc<T>,
    /// Hash of key and value; zero while the digest does not count it.
    print: Print,
}

/// A hash of 128 bits, as two halves so that a part takes 24 bytes.
type Print = [u64; 2];

const NOT_COUNTED: Print = [0; 2];

/// Keys of parts that are no more, kept before they are looked for.
const MOST_GONE: usize = 1024;

impl<T> Part<T> {
    /// The part as it is.
    pub fn get(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Part<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Serialize> Serialize for Part<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

/// Hash of parts that are added, changed and removed one by one: the sum of their hashes.
///
/// Equal states have equal hashes, however they came about. It finds differences that nobody made
/// on purpose; against somebody who chooses parts to make two sums meet it is no protection.
#[derive(Debug, Clone)]
pub struct Digest<K> {
    /// Of the parts that are counted.
    sum: u128,
    /// Keys of parts that are not counted, and perhaps of some that are, or that are no more.
    changed: Vec<K>,
    /// Kept so that a part does not allocate it anew.
    bytes: Vec<u8>,
}

impl<K> Default for Digest<K> {
    fn default() -> Self {
        Self { sum: 0, changed: Vec::new(), bytes: Vec::new() }
    }
}

impl<K> Digest<K> {
    /// A new part.
    pub fn add<T>(&mut self, key: K, value: T) -> Part<T> {
        self.changed.push(key);
        Part { value: Arc::new(value), print: NOT_COUNTED }
    }

    /// The value of a part, to be changed.
    pub fn change<'a, T: Clone>(&mut self, key: K, part: &'a mut Part<T>) -> &'a mut T {
        if part.print != NOT_COUNTED {
            self.changed.push(key);
            self.discount(part.print);
            part.print = NOT_COUNTED;
        }
        Arc::make_mut(&mut part.value)
    }

    /// Takes a part out of the sum. `left` is how many parts there are now, and `is_there` whether
    /// one of them has a key: so that keys do not pile up where nobody asks for the hash.
    pub fn remove<T: Clone>(
        &mut self,
        part: Part<T>,
        left: usize,
        is_there: impl Fn(&K) -> bool,
    ) -> T
    where
        K: Ord,
    {
        self.discount(part.print);
        if self.changed.len() > MOST_GONE.max(2 * left) {
            self.changed.retain(is_there);
            self.changed.sort_unstable();
            self.changed.dedup();
        }
        Arc::unwrap_or_clone(part.value)
    }

    /// Keys of all parts that may have changed since this was asked last. Each that is still there
    /// is to be [counted](Self::count) before the hash is that of the state.
    pub fn take_changed(&mut self) -> Vec<K> {
        std::mem::take(&mut self.changed)
    }

    /// Counts a part that changed.
    pub fn count<T: Serialize>(&mut self, key: &K, part: &mut Part<T>)
    where
        K: Serialize,
    {
        if part.print == NOT_COUNTED {
            self.bytes.clear();
            self.bytes = encode(&(key, &*part.value), std::mem::take(&mut self.bytes));
            part.print = print(&self.bytes);
            self.sum = self.sum.wrapping_add(number(part.print));
        }
    }

    /// The hash of the parts that are counted.
    pub fn hash(&self) -> [u8; 16] {
        self.sum.to_le_bytes()
    }

    fn discount(&mut self, print: Print) {
        self.sum = self.sum.wrapping_sub(number(print));
    }
}

fn number([low, high]: Print) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

fn print(bytes: &[u8]) -> Print {
    let hash = blake3::hash(bytes);
    let (halves, _) = hash.as_bytes().as_chunks::<8>();
    let print = [u64::from_le_bytes(halves[0]), u64::from_le_bytes(halves[1])];
    // One part in 2^128 would seem not to be counted.
    if print == NOT_COUNTED { [1, 0] } else { print }
}

/// Appends a state, or a part of one, to bytes.
pub fn encode(value: &impl Serialize, bytes: Vec<u8>) -> Vec<u8> {
    match postcard::to_extend(value, bytes) {
        Ok(bytes) => bytes,
        // Writing to memory fails only for sequences of unknown length, which no state has.
        Err(error) => unreachable!("cannot encode a state: {error}"),
    }
}

/// A part that was read is counted when its digest is told of it.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { value: Arc::new(T::deserialize(deserializer)?), print: NOT_COUNTED })
    }
}

impl<K> FromIterator<K> for Digest<K> {
    /// The digest of parts that were read, by their keys.
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Self {
        Self { changed: keys.into_iter().collect(), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_not_pile_up_where_nobody_asks_for_the_hash() {
        let mut digest = Digest::default();
        let stays = digest.add(0, "stays");
        for key in 1..100_000 {
            let part = digest.add(key, "goes");
            digest.remove(part, 1, |key| *key == 0);
        }
        assert!(digest.changed.len() <= MOST_GONE + 1, "{}", digest.changed.len());
        let mut stays = Some(stays);
        for key in digest.take_changed() {
            if let Some(part) = stays.as_mut().filter(|_| key == 0) {
                digest.count(&key, part);
            }
        }
        let mut alone = Digest::default();
        let mut part = alone.add(0, "stays");
        alone.count(&0, &mut part);
        assert_eq!(digest.hash(), alone.hash());
    }
}
