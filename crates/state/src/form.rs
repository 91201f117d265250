//! How a part of a state is kept.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::encode;

/// How a part is kept in memory: [`Open`] or [`Packed`].
pub trait Form: Clone {
    /// What the part is.
    type Value: Clone + Serialize;
    /// A look at it.
    type Look<'a>: Deref<Target = Self::Value>
    where
        Self: 'a;

    /// A part that is about to be looked at or changed.
    fn new(value: Self::Value) -> Self;
    /// The part as it is.
    fn look(&self) -> Self::Look<'_>;
    /// Whether [`open`](Self::open) has nothing to do.
    fn is_open(&self) -> bool;
    /// The value, which stays open until it is at rest.
    fn open(&mut self) -> &mut Arc<Self::Value>;
    /// The value alone.
    fn into_value(self) -> Self::Value;
    /// Appends it as it is saved.
    fn append_to(&self, bytes: Vec<u8>) -> Vec<u8>;
    /// It will not be changed for a while; `saved` is what [`append_to`](Self::append_to) gave.
    fn rest(&mut self, saved: &[u8]);
}

/// A part that is always open: for states that are looked at as a whole.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent, bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de>"))]
pub struct Open<T>(#[serde(with = "shared")] Arc<T>);

/// A part that is, at rest, the bytes that it is saved as: a fraction of what the value takes with all
/// that it owns. It is read when it is asked for.
pub enum Packed<T> {
    /// It was changed, or is about to be.
    Open(Arc<T>),
    /// It is at rest.
    Bytes(Arc<[u8]>),
}

/// A look at a part that may be packed: the value as it is kept, or read for this occasion.
#[derive(Debug)]
pub enum Look<'a, T> {
    /// It is kept as it is.
    Kept(&'a T),
    /// It was packed.
    Read(Box<T>),
}

impl<T> Deref for Look<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Kept(value) => value,
            Self::Read(value) => value,
        }
    }
}

impl<T> Clone for Open<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone + Serialize> Form for Open<T> {
    type Value = T;
    type Look<'a>
        = &'a T
    where
        T: 'a;

    fn new(value: T) -> Self {
        Self(Arc::new(value))
    }

    fn look(&self) -> &T {
        &self.0
    }

    fn is_open(&self) -> bool {
        true
    }

    fn open(&mut self) -> &mut Arc<T> {
        &mut self.0
    }

    fn into_value(self) -> T {
        Arc::unwrap_or_clone(self.0)
    }

    fn append_to(&self, bytes: Vec<u8>) -> Vec<u8> {
        encode(self.0.as_ref(), bytes)
    }

    fn rest(&mut self, _saved: &[u8]) {}
}

impl<T> Clone for Packed<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Open(value) => Self::Open(Arc::clone(value)),
            Self::Bytes(bytes) => Self::Bytes(Arc::clone(bytes)),
        }
    }
}

impl<T: Clone + Serialize + DeserializeOwned> Form for Packed<T> {
    type Value = T;
    type Look<'a>
        = Look<'a, T>
    where
        T: 'a;

    fn new(value: T) -> Self {
        Self::Open(Arc::new(value))
    }

    fn look(&self) -> Look<'_, T> {
        match self {
            Self::Open(value) => Look::Kept(value),
            Self::Bytes(bytes) => Look::Read(Box::new(read(bytes))),
        }
    }

    fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    fn open(&mut self) -> &mut Arc<T> {
        if let Self::Bytes(bytes) = self {
            *self = Self::new(read(bytes));
        }
        match self {
            Self::Open(value) => value,
            Self::Bytes(_) => unreachable!("it was opened"),
        }
    }

    fn into_value(self) -> T {
        match self {
            Self::Open(value) => Arc::unwrap_or_clone(value),
            Self::Bytes(bytes) => read(&bytes),
        }
    }

    fn append_to(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Open(value) => encode(value.as_ref(), bytes),
            Self::Bytes(packed) => {
                bytes.extend_from_slice(packed);
                bytes
            }
        }
    }

    fn rest(&mut self, saved: &[u8]) {
        *self = Self::Bytes(saved.into());
    }
}

/// Reads what [`encode`] wrote in this process, or what was tried when it came in.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> T {
    match postcard::from_bytes(bytes) {
        Ok(value) => value,
        Err(error) => unreachable!("a part cannot be read again: {error}"),
    }
}

impl<T: fmt::Debug> fmt::Debug for Packed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(value) => value.fmt(f),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

impl<T: Clone + Serialize + DeserializeOwned + PartialEq> PartialEq for Packed<T> {
    fn eq(&self, other: &Self) -> bool {
        *self.look() == *other.look()
    }
}

/// As its bytes, so that what is packed need not be read to be saved.
impl<T: Serialize> Serialize for Packed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Open(value) => serializer.serialize_bytes(&encode(value.as_ref(), Vec::new())),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Packed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        // Whoever asks for it later could not say what is wrong.
        let (_, rest) = postcard::take_from_bytes::<T>(bytes).map_err(D::Error::custom)?;
        if !rest.is_empty() {
            return Err(D::Error::custom("a part has bytes behind its end"));
        }
        Ok(Self::Bytes(bytes.into()))
    }
}

/// A value that is shared in memory and not when it is saved.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Arc<impl Serialize>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
        deserializer: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(deserializer).map(Arc::new)
    }
}
