use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, OwnedHeaders};

use crate::{Headers, LogError, MAX_RECORD_BYTES, NewRecord, Record};

/// Refuses what a broker would refuse, or librdkafka would stumble over, before anything is sent.
pub(super) fn check(record: &NewRecord) -> Result<(), LogError> {
    let size = record.size();
    if size > MAX_RECORD_BYTES {
        return Err(LogError::TooLarge {
            partition: record.partition.clone(),
            size,
            limit: MAX_RECORD_BYTES,
        });
    }
    if record.headers.0.iter().any(|(name, _)| name.contains('\0')) {
        return Err(LogError::Refused("a header's name contains a null character".to_owned()));
    }
    Ok(())
}

pub(super) fn headers_to_kafka(headers: &Headers) -> Option<OwnedHeaders> {
    if headers.0.is_empty() {
        return None;
    }
    let empty = OwnedHeaders::new_with_capacity(headers.0.len());
    Some(headers.0.iter().fold(empty, |headers, (name, value)| {
        headers.insert(Header { key: name, value: Some(value.as_ref()) })
    }))
}

pub(super) fn from_kafka(message: &BorrowedMessage<'_>) -> Record {
    let copy = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
    Record {
        offset: offset(message),
        append_ms: message.timestamp().to_millis().unwrap_or_default(),
        key: copy(message.key()),
        value: copy(message.payload()),
        headers: headers_from_kafka(message),
    }
}

/// Offsets of messages are never negative.
pub(super) fn offset(message: &BorrowedMessage<'_>) -> u64 {
    message.offset().cast_unsigned()
}

fn headers_from_kafka(message: &BorrowedMessage<'_>) -> Headers {
    let Some(headers) = message.headers() else {
        return Headers::default();
    };
    // rdkafka panics on a header name that is not UTF-8, which any producer may write. Such a
    // record must not take the partition down; it is taken without its headers.
    let read = catch_unwind(AssertUnwindSafe(|| {
        let pairs = headers.iter().map(|header| {
            let value = header.value.map(Bytes::copy_from_slice).unwrap_or_default();
            (header.key.to_owned(), value)
        });
        Headers(pairs.collect())
    }));
    read.unwrap_or_else(|_| {
        tracing::warn!(
            topic = message.topic(),
            partition = message.partition(),
            offset = message.offset(),
            "a header's name is not UTF-8, so the record's headers are ignored"
        );
        Headers::default()
    })
}
