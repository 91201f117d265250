use std::fmt::Write;

use zhili_proto::log::v1::DeadLetter;

use super::{Poison, required};
use crate::Origin;
use crate::column::{Binary, Instant, Word};
use crate::table::table_row;

table_row! {
    /// A row of `dead_letters`.
    DeadLetterRow of DeadLetters by [], precedence {
        precedence: i64,
        tenant: Word,
        source_topic: Word,
        source_partition: u32,
        source_offset: u64,
        reason: Word,
        detail: String,
        payload: Binary,
        payload_sha256: String,
        payload_length: u64,
        component: Word,
        failed_at: Instant,
    }
}

pub(super) fn row(letter: DeadLetter, origin: &Origin) -> Result<DeadLetterRow, Poison> {
    let failed_at = match &letter.failed_at {
        Some(_) => required(&letter.tenant, "failed_at", letter.failed_at.as_ref())?,
        None => origin.append_at,
    };
    Ok(DeadLetterRow {
        precedence: origin.precedence(),
        tenant: letter.tenant.into(),
        source_topic: letter.topic.into(),
        source_partition: letter.partition,
        source_offset: letter.offset,
        reason: letter.reason.into(),
        detail: letter.detail,
        payload: Binary(letter.payload.to_vec()),
        payload_sha256: hex(&letter.payload_sha256),
        payload_length: letter.payload_length,
        component: letter.component.into(),
        failed_at,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
