use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::form::Form;

/// One part of a state, kept in some [`Form`]. A clone shares its value until either is changed.
#[derive(Debug, Clone)]
pub struct Part<F> {
    form: F,
    /// Hash of key and value; zero while the digest does not count it.
    print: Print,
}

/// A hash of 128 bits, as two halves so that a part takes 24 bytes.
type Print = [u64; 2];

const NOT_COUNTED: Print = [0; 2];

/// Keys of parts that are no more, kept before they are looked for.
const MOST_GONE: usize = 1024;

impl<F: Form> Part<F> {
    /// The part as it is.
    pub fn get(&self) -> F::Look<'_> {
        self.form.look()
    }
}

impl<F: PartialEq> PartialEq for Part<F> {
    fn eq(&self, other: &Self) -> bool {
        self.form == other.form
    }
}

impl<F: Serialize> Serialize for Part<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.form.serialize(serializer)
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
    pub fn add<F: Form>(&mut self, key: K, value: F::Value) -> Part<F> {
        self.changed.push(key);
        Part { form: F::new(value), print: NOT_COUNTED }
    }

    /// The value of a part that is about to be looked at more than once, or changed: it stays open
    /// until it is counted.
    pub fn open<'a, F: Form>(&mut self, key: K, part: &'a mut Part<F>) -> &'a F::Value {
        if !part.form.is_open() && part.print != NOT_COUNTED {
            self.changed.push(key);
        }
        part.form.open()
    }

    /// The value of a part, to be changed.
    pub fn change<'a, F: Form>(&mut self, key: K, part: &'a mut Part<F>) -> &'a mut F::Value {
        if part.print != NOT_COUNTED {
            self.changed.push(key);
            self.discount(part.print);
            part.print = NOT_COUNTED;
        }
        Arc::make_mut(part.form.open())
    }

    /// Takes a part out of the sum. `left` is how many parts there are now, and `is_there` whether
    /// one of them has a key: so that keys do not pile up where nobody asks for the hash.
    pub fn remove<F: Form>(
        &mut self,
        part: Part<F>,
        left: usize,
        is_there: impl Fn(&K) -> bool,
    ) -> F::Value
    where
        K: Ord,
    {
        self.discount(part.print);
        if self.changed.len() > MOST_GONE.max(2 * left) {
            self.changed.retain(is_there);
            self.changed.sort_unstable();
            self.changed.dedup();
        }
        part.form.into_value()
    }

    /// Keys of all parts that may have changed since this was asked last. Each that is still there
    /// is to be [counted](Self::count) before the hash is that of the state.
    pub fn take_changed(&mut self) -> Vec<K> {
        std::mem::take(&mut self.changed)
    }

    /// Counts a part that changed or was opened, and lets it rest.
    pub fn count<F: Form>(&mut self, key: &K, part: &mut Part<F>)
    where
        K: Serialize,
    {
        let is_counted = part.print != NOT_COUNTED;
        if is_counted && !part.form.is_open() {
            return;
        }
        self.bytes.clear();
        self.bytes = encode(key, std::mem::take(&mut self.bytes));
        let begin = self.bytes.len();
        self.bytes = part.form.append_to(std::mem::take(&mut self.bytes));
        if !is_counted {
            part.print = print(&self.bytes);
            self.sum = self.sum.wrapping_add(number(part.print));
        }
        part.form.rest(&self.bytes[begin..]);
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
impl<'de, F: Deserialize<'de>> Deserialize<'de> for Part<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { form: F::deserialize(deserializer)?, print: NOT_COUNTED })
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
    use crate::form::{Open, Packed};

    #[test]
    fn keys_do_not_pile_up_where_nobody_asks_for_the_hash() {
        let mut digest = Digest::default();
        let stays: Part<Open<&str>> = digest.add(0, "stays");
        for key in 1..100_000 {
            let part: Part<Open<&str>> = digest.add(key, "goes");
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
        let mut part: Part<Open<&str>> = alone.add(0, "stays");
        alone.count(&0, &mut part);
        assert_eq!(digest.hash(), alone.hash());
    }

    #[test]
    fn a_part_is_packed_when_it_is_counted_and_open_when_it_is_changed() {
        let is_open = |part: &Part<Packed<Vec<u64>>>| part.form.is_open();
        let mut digest = Digest::default();
        let mut part = digest.add(7, vec![1, 2]);
        assert!(is_open(&part));
        digest.count(&7, &mut part);
        let hash = digest.hash();
        assert!(!is_open(&part));
        assert_eq!(*part.get(), [1, 2]);
        assert!(!is_open(&part), "looking at it once does not open it");

        let before = part.clone();
        digest.change(7, &mut part).push(3);
        assert!(is_open(&part));
        assert_eq!((&*before.get(), &*part.get()), (&vec![1, 2], &vec![1, 2, 3]));
        digest.count(&7, &mut part);
        assert_ne!(digest.hash(), hash);
        digest.change(7, &mut part).pop();
        digest.count(&7, &mut part);
        assert_eq!(digest.hash(), hash, "what is in it counts, and not how it came there");
    }

    #[test]
    fn what_is_opened_and_not_changed_is_packed_again() {
        let mut digest = Digest::default();
        let mut part: Part<Packed<Vec<u64>>> = digest.add(7, vec![1, 2]);
        digest.count(&7, &mut part);
        let hash = digest.hash();
        assert!(digest.take_changed() == [7]);
        assert_eq!(digest.open(7, &mut part), &[1, 2]);
        for key in digest.take_changed() {
            digest.count(&key, &mut part);
        }
        assert!(!part.form.is_open());
        assert_eq!(digest.hash(), hash);
    }

    #[test]
    fn a_damaged_part_is_refused_when_it_is_read() {
        let mut digest = Digest::default();
        let part: Part<Packed<Vec<String>>> = digest.add(7, vec!["text".to_owned()]);
        let bytes = encode(&part, Vec::new());
        let read: Part<Packed<Vec<String>>> = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(read, part);
        // Its length, how many texts, the length of one.
        for (at, byte) in [(1, 2), (2, 9), (0, 5)] {
            let mut damaged = bytes.clone();
            damaged[at] = byte;
            assert!(postcard::from_bytes::<Part<Packed<Vec<String>>>>(&damaged).is_err(), "{at}");
        }
    }
}
