use std::collections::BTreeMap;
use std::collections::btree_map;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{Digest, Part};
use crate::form::Form;

/// A map of parts in the order of their keys, each kept in some [`Form`].
#[derive(Debug, Clone)]
pub struct Parts<K, F> {
    parts: BTreeMap<K, Part<F>>,
    digest: Digest<K>,
}

impl<K, F> Default for Parts<K, F> {
    fn default() -> Self {
        Self { parts: BTreeMap::new(), digest: Digest::default() }
    }
}

impl<K: Ord + Clone + Serialize, F: Form> Parts<K, F> {
    /// The part of a key.
    pub fn get(&self, key: &K) -> Option<F::Look<'_>> {
        self.parts.get(key).map(Part::get)
    }

    /// The part of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut F::Value> {
        let part = self.parts.get_mut(key)?;
        Some(self.digest.change(key.clone(), part))
    }

    /// The part of a key, to be changed; an empty one if there was none.
    pub fn get_or_default(&mut self, key: K) -> &mut F::Value
    where
        F::Value: Default,
    {
        let Self { parts, digest } = self;
        match parts.entry(key.clone()) {
            btree_map::Entry::Occupied(found) => digest.change(key, found.into_mut()),
            btree_map::Entry::Vacant(empty) => {
                let part = empty.insert(digest.add(key.clone(), F::Value::default()));
                digest.change(key, part)
            }
        }
    }

    /// Puts a part in place of the one with its key, which it gives back.
    pub fn insert(&mut self, key: K, value: F::Value) -> Option<F::Value> {
        let part = self.digest.add(key.clone(), value);
        let replaced = self.parts.insert(key, part)?;
        Some(self.discard(replaced))
    }

    /// Takes a part out.
    pub fn remove(&mut self, key: &K) -> Option<F::Value> {
        let part = self.parts.remove(key)?;
        Some(self.discard(part))
    }

    fn discard(&mut self, part: Part<F>) -> F::Value {
        let parts = &self.parts;
        self.digest.remove(part, parts.len(), |key| parts.contains_key(key))
    }

    /// Keys and parts, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, F::Look<'_>)> {
        self.parts.iter().map(|(key, part)| (key, part.get()))
    }

    /// Parts, by key.
    pub fn values(&self) -> impl Iterator<Item = F::Look<'_>> {
        self.parts.values().map(Part::get)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Hash of all keys and parts: equal for equal maps. Costs time for what changed since it was
    /// asked last.
    pub fn hash(&mut self) -> [u8; 16] {
        for key in self.digest.take_changed() {
            if let Some(part) = self.parts.get_mut(&key) {
                self.digest.count(&key, part);
            }
        }
        self.digest.hash()
    }
}

impl<K: PartialEq, F: PartialEq> PartialEq for Parts<K, F> {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl<K: Serialize, F: Serialize> Serialize for Parts<K, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.parts.serialize(serializer)
    }
}

impl<'de, K, F> Deserialize<'de> for Parts<K, F>
where
    K: Deserialize<'de> + Ord + Clone,
    F: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = BTreeMap::<K, Part<F>>::deserialize(deserializer)?;
        let digest = parts.keys().cloned().collect();
        Ok(Self { parts, digest })
    }
}
