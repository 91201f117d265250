//! How the folds of this service read their records and write what they state.

use prost::Message;
use zhili_dialogue::Output;
use zhili_eventlog::runner::{Entry, Erasure, Marker, Outputs, Undecodable};
use zhili_eventlog::{Record, topics};
use zhili_proto::escalation::v1 as escalation;
use zhili_proto::log::v1 as log;

use crate::convert;

/// What a record is, its kind told by `kind`; `None` of it is a kind that this version does not
/// know.
pub(crate) fn decode<M: Message + Default, I>(
    record: &Record,
    kind: impl FnOnce(M) -> Option<Entry<I>>,
) -> Result<Entry<I>, Undecodable> {
    let poison = |detail: String| Undecodable::Poison { reason: "undecodable", detail };
    let value = record.value.as_deref().unwrap_or_default();
    if value.is_empty() {
        return Err(poison("the record is empty".to_owned()));
    }
    let decoded = M::decode(value).map_err(|error| poison(error.to_string()))?;
    kind(decoded).ok_or(Undecodable::UnknownKind)
}

pub(crate) fn marker(marker: log::Marker) -> Marker {
    let log::Marker { tenant, bundle, sequence } = marker;
    Marker { tenant, bundle, sequence }
}

/// Of an erasure that cannot be read it is not known who is to be forgotten, so it is not skipped.
pub(crate) fn erasure<I>(erasure: log::Erasure) -> Option<Entry<I>> {
    Erasure::try_from(erasure).ok().map(Entry::Erasure)
}

pub(crate) fn marker_record(marker: &Marker) -> log::Marker {
    let Marker { tenant, bundle, sequence } = marker.clone();
    log::Marker { tenant, bundle, sequence }
}

/// Writes a fact or signal. `text` is the masked text that it comes from, if one does; `version`
/// what it depends on besides the records.
pub(crate) fn emit(output: Output, text: &str, version: &str, outputs: &mut Outputs) {
    match output {
        Output::Fact(fact) => {
            let key = format!("{}/{}", fact.tenant, fact.conversation_id);
            let fact = convert::fact(fact, version);
            outputs.emit(topics::FACTS, key.as_bytes(), fact.encode_to_vec().into());
        }
        Output::Signal(signal) => {
            let signal = convert::signal(signal, text, version);
            let key = format!("{}/{}", signal.tenant, signal.team);
            let entry = escalation::log_entry::Entry::Signal(signal);
            let entry = escalation::LogEntry { entry: Some(entry) };
            outputs.emit(topics::ESCALATION, key.as_bytes(), entry.encode_to_vec().into());
        }
        // Of interest only beside the other outputs of its conversation.
        Output::Complaint(_) => {}
    }
}
