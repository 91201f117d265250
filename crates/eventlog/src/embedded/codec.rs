//! Bytes of one stored batch: records that were appended to a partition by one commit.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{Headers, LogError, Record};

const VERSION: u8 = 1;

/// Records with consecutive offsets from `base` on and one append time.
#[derive(Debug)]
pub(super) struct StoredBatch {
    pub(super) base: u64,
    pub(super) records: Vec<Record>,
    pub(super) bytes: usize,
}

impl StoredBatch {
    pub(super) fn end(&self) -> u64 {
        self.base + self.records.len() as u64
    }
}

/// What a stored batch tells without being decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) append_ms: i64,
    pub(super) records: u32,
    /// The first record has a key and no value.
    pub(super) tombstone: bool,
}

pub(super) fn head(mut bytes: &[u8]) -> Result<Head, LogError> {
    let input = &mut bytes;
    let early = || damaged("a batch ends early");
    if input.try_get_u8().map_err(|_| early())? != VERSION {
        return Err(damaged("unknown batch version"));
    }
    let append_ms = input.try_get_i64_le().map_err(|_| early())?;
    let records = input.try_get_u32_le().map_err(|_| early())?;
    let mut tombstone = false;
    if records > 0 {
        let key = input.try_get_u32_le().map_err(|_| early())?;
        if key != u32::MAX {
            *input = input.get(key as usize..).ok_or_else(early)?;
            tombstone = input.try_get_u32_le().map_err(|_| early())? == u32::MAX;
        }
    }
    Ok(Head { append_ms, records, tombstone })
}

pub(super) fn encode(append_ms: i64, records: &[Record]) -> BytesMut {
    let mut out = BytesMut::with_capacity(64 * records.len() + 16);
    out.put_u8(VERSION);
    out.put_i64_le(append_ms);
    out.put_u32_le(records.len() as u32);
    for record in records {
        put_optional(&mut out, record.key.as_ref());
        put_optional(&mut out, record.value.as_ref());
        out.put_u16_le(record.headers.0.len() as u16);
        for (name, value) in &record.headers.0 {
            out.put_u16_le(name.len() as u16);
            out.put_slice(name.as_bytes());
            out.put_u32_le(value.len() as u32);
            out.put_slice(value);
        }
    }
    out
}

pub(super) fn decode(base: u64, mut bytes: Bytes) -> Result<StoredBatch, LogError> {
    let size = bytes.len();
    let input = &mut bytes;
    if need(input, 1)?.get_u8() != VERSION {
        return Err(damaged("unknown batch version"));
    }
    let append_ms = need(input, 8)?.get_i64_le();
    let count = need(input, 4)?.get_u32_le();
    let mut records = Vec::with_capacity(count.min(65_536) as usize);
    for index in 0..u64::from(count) {
        let key = get_optional(input)?;
        let value = get_optional(input)?;
        let header_count = need(input, 2)?.get_u16_le();
        let mut headers = Headers(Vec::with_capacity(usize::from(header_count)));
        for _ in 0..header_count {
            let length = usize::from(need(input, 2)?.get_u16_le());
            let name = String::from_utf8(need(input, length)?.split_to(length).to_vec())
                .map_err(|_| damaged("header name is not UTF-8"))?;
            let length = need(input, 4)?.get_u32_le() as usize;
            headers.0.push((name, need(input, length)?.split_to(length)));
        }
        records.push(Record { offset: base + index, append_ms, key, value, headers });
    }
    Ok(StoredBatch { base, records, bytes: size })
}

/// `u32::MAX` stands for an absent value, which differs from an empty one.
fn put_optional(out: &mut BytesMut, value: Option<&Bytes>) {
    match value {
        None => out.put_u32_le(u32::MAX),
        Some(value) => {
            out.put_u32_le(value.len() as u32);
            out.put_slice(value);
        }
    }
}

fn get_optional(input: &mut Bytes) -> Result<Option<Bytes>, LogError> {
    let length = need(input, 4)?.get_u32_le();
    if length == u32::MAX {
        return Ok(None);
    }
    let length = length as usize;
    Ok(Some(need(input, length)?.split_to(length)))
}

fn need(input: &mut Bytes, length: usize) -> Result<&mut Bytes, LogError> {
    if input.len() < length { Err(damaged("a batch ends early")) } else { Ok(input) }
}

fn damaged(what: &str) -> LogError {
    LogError::Corrupt(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> impl Strategy<Value = Record> {
        let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
        let headers = proptest::collection::vec(
            ("[a-z-]{0,12}", proptest::collection::vec(any::<u8>(), 0..12)),
            0..4,
        );
        (bytes(), bytes(), headers).prop_map(|(key, value, headers)| Record {
            offset: 0,
            append_ms: 0,
            key: key.map(Bytes::from),
            value: value.map(Bytes::from),
            headers: Headers(
                headers.into_iter().map(|(name, value)| (name, Bytes::from(value))).collect(),
            ),
        })
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(
            base in 0..u64::MAX / 2,
            append_ms in any::<i64>(),
            mut records in proptest::collection::vec(record(), 0..20),
        ) {
            for (index, record) in records.iter_mut().enumerate() {
                record.offset = base + index as u64;
                record.append_ms = append_ms;
            }
            let encoded = encode(append_ms, &records).freeze();
            let tombstone = records.first().is_some_and(|r| r.key.is_some() && r.value.is_none());
            let expected = Head { append_ms, records: records.len() as u32, tombstone };
            prop_assert_eq!(head(&encoded).unwrap(), expected);
            let batch = decode(base, encoded).unwrap();
            prop_assert_eq!(batch.records, records);
        }

        #[test]
        fn damaged_bytes_are_an_error_not_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = head(&bytes);
            let _ = decode(0, Bytes::from(bytes));
        }
    }

    #[test]
    fn fuzzed_batches_are_read_as_they_were_written_or_refused() {
        let record = |key: Option<&'static [u8]>, value: Option<&'static [u8]>| Record {
            offset: 0,
            append_ms: 7,
            key: key.map(Bytes::from_static),
            value: value.map(Bytes::from_static),
            headers: Headers(vec![("zhili-schema".to_owned(), Bytes::from_static(b"x"))]),
        };
        let batches = [
            vec![],
            vec![record(Some(b"a/b"), Some(b"value"))],
            vec![record(Some(b"a/b"), None), record(None, Some(b""))],
        ];
        let corpus = batches.map(|records| encode(7, &records).to_vec());
        zhili_fuzz::Search::of("batches of the log").corpus(corpus).longest(512).run(|input| {
            let told = head(input);
            match decode(0, Bytes::copy_from_slice(input)) {
                Ok(batch) => {
                    let told = told.unwrap();
                    assert_eq!(batch.records.len() as u64, u64::from(told.records));
                    let again = encode(told.append_ms, &batch.records).freeze();
                    // What follows the records is not looked at.
                    assert_eq!(again, input[..again.len()]);
                    let shape = batch.records.iter().map(|record| {
                        let sizes = (record.key.as_ref(), record.value.as_ref());
                        (sizes.0.is_some(), sizes.1.is_some(), record.headers.0.len().min(3))
                    });
                    zhili_fuzz::kind(&shape.take(4).collect::<Vec<_>>())
                }
                Err(error) => {
                    let head = told.map(|told| (told.records.min(3), told.tombstone)).ok();
                    zhili_fuzz::kind(&(error.to_string(), head, input.len() / 16))
                }
            }
        });
    }
}
