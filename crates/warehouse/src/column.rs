//! ClickHouse's `RowBinary` encoding of the column types that Zhili's tables use, each with the
//! type's name, so that a block of rows tells the server what it holds.

use std::collections::BTreeMap;

/// A value that fills one column.
pub(crate) trait Column {
    /// ClickHouse's name of the type, exactly as `DESCRIBE TABLE` prints it.
    fn type_name() -> String;
    /// Appends the value.
    fn put(&self, out: &mut Vec<u8>);
}

/// A `LowCardinality(String)`: words from a small vocabulary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word(pub String);

impl AsRef<str> for Word {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Word {
    fn from(word: &str) -> Self {
        Self(word.to_owned())
    }
}

impl From<String> for Word {
    fn from(word: String) -> Self {
        Self(word)
    }
}

/// A `DateTime64(3, 'UTC')`: milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub i64);

/// First instant that `DateTime64(3)` holds: 1900-01-01T00:00:00Z.
const FIRST_INSTANT: i64 = -2_208_988_800_000;
/// Last one: 2299-12-31T23:59:59.999Z.
const LAST_INSTANT: i64 = 10_413_791_999_999;

impl Instant {
    /// `ms` milliseconds since the Unix epoch, `None` outside of the years 1900 to 2299, which
    /// ClickHouse would silently turn into another time.
    pub fn new(ms: i64) -> Option<Self> {
        (FIRST_INSTANT..=LAST_INSTANT).contains(&ms).then_some(Self(ms))
    }
}

macro_rules! fixed_width {
    ($($rust:ty => $name:literal),* $(,)?) => {$(
        impl Column for $rust {
            fn type_name() -> String {
                $name.to_owned()
            }
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

fixed_width! {
    u16 => "UInt16",
    u32 => "UInt32",
    u64 => "UInt64",
    i64 => "Int64",
    f64 => "Float64",
}

impl Column for bool {
    fn type_name() -> String {
        "Bool".to_owned()
    }
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Column for String {
    fn type_name() -> String {
        "String".to_owned()
    }
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }
}

/// A `String` column that holds bytes rather than text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binary(pub Vec<u8>);

impl Column for Binary {
    fn type_name() -> String {
        "String".to_owned()
    }
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(&self.0, out);
    }
}

impl Column for Word {
    fn type_name() -> String {
        "LowCardinality(String)".to_owned()
    }
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.0.as_bytes(), out);
    }
}

impl Column for Instant {
    fn type_name() -> String {
        "DateTime64(3, 'UTC')".to_owned()
    }
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
}

impl<T: Column> Column for Option<T> {
    fn type_name() -> String {
        format!("Nullable({})", T::type_name())
    }
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_none()));
        if let Some(value) = self {
            value.put(out);
        }
    }
}

impl<T: Column> Column for Vec<T> {
    fn type_name() -> String {
        format!("Array({})", T::type_name())
    }
    fn put(&self, out: &mut Vec<u8>) {
        put_length(self.len(), out);
        for value in self {
            value.put(out);
        }
    }
}

impl<K: Column, V: Column> Column for BTreeMap<K, V> {
    fn type_name() -> String {
        format!("Map({}, {})", K::type_name(), V::type_name())
    }
    fn put(&self, out: &mut Vec<u8>) {
        put_length(self.len(), out);
        for (key, value) in self {
            key.put(out);
            value.put(out);
        }
    }
}

pub(crate) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends a length as unsigned LEB128.
pub(crate) fn put_length(length: usize, out: &mut Vec<u8>) {
    let mut rest = length as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: &impl Column) -> Vec<u8> {
        let mut out = Vec::new();
        value.put(&mut out);
        out
    }

    #[test]
    fn lengths_are_leb128() {
        for (length, bytes) in
            [(0, vec![0]), (127, vec![127]), (128, vec![0x80, 1]), (16_384, vec![0x80, 0x80, 1])]
        {
            let mut out = Vec::new();
            put_length(length, &mut out);
            assert_eq!(out, bytes, "{length}");
        }
    }

    #[test]
    fn a_null_is_one_byte_and_a_value_follows_a_zero() {
        assert_eq!(encoded(&None::<u16>), [1]);
        assert_eq!(encoded(&Some(0x0102_u16)), [0, 2, 1]);
    }

    #[test]
    fn containers_name_the_types_of_their_items() {
        assert_eq!(Vec::<Word>::type_name(), "Array(LowCardinality(String))");
        assert_eq!(Option::<Instant>::type_name(), "Nullable(DateTime64(3, 'UTC'))");
        assert_eq!(BTreeMap::<String, String>::type_name(), "Map(String, String)");
    }

    #[test]
    fn an_instant_that_clickhouse_cannot_hold_is_refused() {
        assert_eq!(Instant::new(i64::MAX), None);
        assert_eq!(Instant::new(FIRST_INSTANT - 1), None);
        assert_eq!(Instant::new(0), Some(Instant(0)));
        assert_eq!(Instant::new(LAST_INSTANT), Some(Instant(LAST_INSTANT)));
    }
}
