//! The audit log: who has seen or done what must be answered for, and what came of it.
//!
//! A handler says what it does to the caller's [`Principal`], where it asks whether they may; what
//! was said is written here, once the answer is known.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use prost::Message;
use zhili_eventlog::{EventLog, NewRecord, TopicPartition, partition_of, topics};
use zhili_proto::log::v1::AuditEntry;

use crate::auth::{Deed, Principal};

/// How long an answer waits for its entry. What was done was done: an entry that cannot be written
/// is told of, and the answer is given.
const PATIENCE: Duration = Duration::from_secs(2);
/// Characters of an endpoint or a target that are kept.
const LONGEST: usize = 256;

/// Writes entries to the log of the process.
#[derive(Clone)]
pub(crate) struct Audit {
    log: Arc<dyn EventLog>,
    partitions: u32,
    written: Counter,
    lost: Counter,
}

impl Audit {
    pub(crate) fn new(log: Arc<dyn EventLog>, partitions: u32, registry: &mut Registry) -> Self {
        let (written, lost) = (Counter::default(), Counter::default());
        registry.register("audit_entries", "Entries of the audit log written", written.clone());
        let words = "Entries of the audit log that could not be written; must stay at 0";
        registry.register("audit_entries_lost", words, lost.clone());
        Self { log, partitions, written, lost }
    }

    /// Writes what a caller has done through `endpoint`, with what came of it.
    pub(crate) async fn write(
        &self,
        caller: &Principal,
        deed: Deed,
        endpoint: &str,
        outcome: &str,
    ) {
        let at_ms = zhili_eventlog::system_clock()();
        let entry = AuditEntry {
            at: Some(zhili_proto::timestamp(at_ms)),
            tenant: caller.tenant.to_string(),
            actor: caller.name.clone(),
            permission: deed.permission.name().to_owned(),
            // People paste numbers into addresses, too.
            endpoint: told(endpoint),
            target: told(&deed.target),
            outcome: outcome.to_owned(),
        };
        let key = Bytes::from(entry.tenant.clone());
        let at = TopicPartition::new(topics::AUDIT, partition_of(&key, self.partitions));
        let record = NewRecord::new(at, key, Bytes::from(entry.encode_to_vec()));
        let appended = tokio::time::timeout(PATIENCE, self.log.append(vec![record])).await;
        let cause = match appended.map(|mut outcomes| outcomes.pop()) {
            Ok(Some(Ok(_))) => {
                self.written.inc();
                return;
            }
            Ok(Some(Err(error))) => error.to_string(),
            Ok(None) => "nothing was appended".to_owned(),
            Err(_) => format!("no answer of the log within {} s", PATIENCE.as_secs()),
        };
        self.lost.inc();
        tracing::error!(?entry, cause, "cannot write an entry of the audit log");
    }
}

/// A text of the caller's as it may be kept: masked, and no longer than ids are.
fn told(text: &str) -> String {
    crate::masked(&unescaped(text)).chars().take(LONGEST).collect()
}

/// An address as it was meant: what is not ASCII comes as `%E6%96%87`, in which nobody sees a street.
fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut meant, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let escape = (*byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        let escaped = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        meant.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&meant).into_owned()
}

/// What came of a request: the code of gRPC, or the status of HTTP.
pub(crate) fn outcome(response: &axum::response::Response) -> String {
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
        // Without one the answer has begun; a stream that fails later has shown what it has shown.
        let status = tonic::Status::from_header_map(response.headers());
        return status.map_or_else(|| "Ok".to_owned(), |status| format!("{:?}", status.code()));
    }
    response.status().as_u16().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callers_write_is_masked_and_bounded_and_ids_stay() {
        assert_eq!(told("GET /v1/conversations/13800138000"), "GET /v1/conversations/[PHONE]");
        let escaped = "GET /v1/conversations/%E6%96%87%E4%B8%80%E8%A5%BF%E8%B7%AF969%E5%8F%B7";
        assert_eq!(told(escaped), "GET /v1/conversations/[ADDRESS]");
        assert_eq!(
            told("100%, %zz and a mark at the end %4"),
            "100%, %zz and a mark at the end %4"
        );
        let id = "inc_0123456789abcdef0123456789abcdef";
        assert_eq!(told(id), id);
        assert_eq!(told(&"长".repeat(1_000)).chars().count(), LONGEST);
    }
}
