//! How the folds of this service read their records and write what they state.

use prost::Message;
use zhili_dialogue::{Fact, Output, Presence, Signal};
use zhili_eventlog::runner::{Entry, Erasure, Marker, Outputs, Undecodable};
use zhili_eventlog::{Record, topics};
use zhili_proto::escalation::v1 as escalation;
use zhili_proto::log::v1 as log;

use crate::convert;
use crate::recent::Background;

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

/// Writes what a fold of many conversations states. `version` is what it depends on besides the
/// records.
pub(crate) fn emit(output: Output, version: &str, outputs: &mut Outputs) {
    match output {
        Output::Fact(it) => fact(it, version, outputs),
        Output::Signal(it) => signal(it, "", Background::default(), version, outputs),
        Output::Presence(it) => presence(it, outputs),
        // Of interest only beside the other outputs of its conversation.
        Output::Complaint(_) => {}
    }
}

pub(crate) fn fact(fact: Fact, version: &str, outputs: &mut Outputs) {
    let key = format!("{}/{}", fact.tenant, fact.conversation_id);
    let fact = convert::fact(fact, version);
    outputs.emit(topics::FACTS, key.as_bytes(), fact.encode_to_vec().into());
}

/// `text` is the masked text that it comes from, if one does, `about` what is known besides.
pub(crate) fn signal(
    signal: Signal,
    text: &str,
    about: Background,
    version: &str,
    outputs: &mut Outputs,
) {
    let Background { customer_tier, said } = about;
    let signal =
        escalation::Signal { customer_tier, said, ..convert::signal(signal, text, version) };
    let key = format!("{}/{}", signal.tenant, signal.team);
    escalate(&key, escalation::log_entry::Entry::Signal(signal), outputs);
}

pub(crate) fn presence(presence: Presence, outputs: &mut Outputs) {
    let presence = convert::presence(presence);
    let key = format!("{}/{}", presence.tenant, presence.team);
    escalate(&key, escalation::log_entry::Entry::Presence(presence), outputs);
}

fn escalate(key: &str, entry: escalation::log_entry::Entry, outputs: &mut Outputs) {
    let entry = escalation::LogEntry { entry: Some(entry) };
    outputs.emit(topics::ESCALATION, key.as_bytes(), entry.encode_to_vec().into());
}
