//! From records of the log to rows. Pure: the same record gives the same rows, byte for byte.

mod dead_letters;
mod events;
mod facts;
mod incidents;
mod signals;

use prost::Message;
use sha2::{Digest, Sha256};
use zhili_eventlog::{Record, TopicPartition, topics};
use zhili_proto::Timestamp;
use zhili_proto::escalation::v1::{IncidentEvent, LogEntry, log_entry};
use zhili_proto::log::v1::DeadLetter;
use zhili_proto::scoring::v1::{Fact, ScoredEvent};

pub use dead_letters::DeadLetterRow;
pub use events::EventRow;
pub use facts::{CorrectionRow, CycleRow, PromiseRow, RecontactRow, SessionRow, SlotRow, TurnRow};
pub use incidents::{DeliveryRow, IncidentRow};
pub use signals::SignalRow;

use crate::column::{Instant, Word};
use crate::table::TableRow;
use crate::{Identity, Origin, Table};

/// A row of any table.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// See [`Table::Events`].
    Event(Box<EventRow>),
    /// See [`Table::Turns`].
    Turn(Box<TurnRow>),
    /// See [`Table::Cycles`].
    Cycle(Box<CycleRow>),
    /// See [`Table::Sessions`].
    Session(Box<SessionRow>),
    /// See [`Table::Slots`].
    Slot(Box<SlotRow>),
    /// See [`Table::Promises`].
    Promise(Box<PromiseRow>),
    /// See [`Table::Recontacts`].
    Recontact(Box<RecontactRow>),
    /// See [`Table::Corrections`].
    Correction(Box<CorrectionRow>),
    /// See [`Table::Signals`].
    Signal(Box<SignalRow>),
    /// See [`Table::Incidents`].
    Incident(Box<IncidentRow>),
    /// See [`Table::Deliveries`].
    Delivery(Box<DeliveryRow>),
    /// See [`Table::DeadLetters`].
    DeadLetter(Box<DeadLetterRow>),
}

macro_rules! each_row {
    ($self:expr, $row:ident => $body:expr) => {
        match $self {
            Row::Event($row) => $body,
            Row::Turn($row) => $body,
            Row::Cycle($row) => $body,
            Row::Session($row) => $body,
            Row::Slot($row) => $body,
            Row::Promise($row) => $body,
            Row::Recontact($row) => $body,
            Row::Correction($row) => $body,
            Row::Signal($row) => $body,
            Row::Incident($row) => $body,
            Row::Delivery($row) => $body,
            Row::DeadLetter($row) => $body,
        }
    };
}

fn table_of<R: TableRow>(_: &R) -> Table {
    R::TABLE
}

impl Row {
    /// The table it belongs to.
    #[must_use]
    pub fn table(&self) -> Table {
        each_row!(self, row => table_of(row.as_ref()))
    }

    /// What it is about.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity {
            tenant: self.tenant().to_owned(),
            parts: each_row!(self, row => row.identity()).into_iter().map(str::to_owned).collect(),
        }
    }

    /// Value of [`Table::version`].
    #[must_use]
    pub fn version(&self) -> i64 {
        each_row!(self, row => row.version())
    }

    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> &str {
        each_row!(self, row => row.tenant())
    }

    pub(crate) fn put(&self, origin: &Origin, index: u16, out: &mut Vec<u8>) {
        each_row!(self, row => row.put(origin, index, out));
    }
}

/// Names and types of a table's columns, in the order in which rows are written.
#[must_use]
pub fn columns(table: Table) -> Vec<(&'static str, String)> {
    match table {
        Table::Events => EventRow::columns(),
        Table::Turns => TurnRow::columns(),
        Table::Cycles => CycleRow::columns(),
        Table::Sessions => SessionRow::columns(),
        Table::Slots => SlotRow::columns(),
        Table::Promises => PromiseRow::columns(),
        Table::Recontacts => RecontactRow::columns(),
        Table::Corrections => CorrectionRow::columns(),
        Table::Signals => SignalRow::columns(),
        Table::Incidents => IncidentRow::columns(),
        Table::Deliveries => DeliveryRow::columns(),
        Table::DeadLetters => DeadLetterRow::columns(),
    }
}

/// A record that can never become rows, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    /// `undecodable` or `invalid`.
    pub reason: &'static str,
    /// One sentence for a person.
    pub detail: String,
    /// Whose it is; empty when it cannot be told.
    pub tenant: String,
}

impl Poison {
    fn undecodable(what: &str, cause: &dyn std::fmt::Display) -> Self {
        Self {
            reason: "undecodable",
            detail: format!("the value is no {what}: {cause}"),
            tenant: String::new(),
        }
    }

    fn invalid(tenant: &str, detail: impl Into<String>) -> Self {
        Self { reason: "invalid", detail: detail.into(), tenant: tenant.to_owned() }
    }

    /// The dead letter that tells of it. The payload is kept only where it could be decoded,
    /// because only then is it known to be masked; else its hash and length.
    #[must_use]
    pub fn dead_letter(
        &self,
        partition: &TopicPartition,
        record: &Record,
        component: &str,
    ) -> DeadLetter {
        let value = record.value.as_deref().unwrap_or_default();
        let decodable = self.reason != "undecodable";
        DeadLetter {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            offset: record.offset,
            reason: self.reason.to_owned(),
            detail: self.detail.clone(),
            payload: if decodable { value.to_vec().into() } else { Vec::new().into() },
            payload_sha256: if decodable {
                Vec::new().into()
            } else {
                Sha256::digest(value).to_vec().into()
            },
            payload_length: value.len() as u64,
            component: component.to_owned(),
            failed_at: Some(zhili_proto::timestamp(record.append_ms)),
            tenant: self.tenant.clone(),
        }
    }
}

/// The rows of one record of a topic that feeds tables. Records that are of no interest here,
/// such as ticks, give none.
///
/// # Errors
/// A record that can never be stored.
pub fn rows_of(topic: &str, origin: &Origin, record: &Record) -> Result<Vec<Row>, Poison> {
    let Some(value) = record.value.as_deref() else {
        return Ok(Vec::new());
    };
    match topic {
        topics::SCORES => {
            let scored: ScoredEvent = decode("zhili.scoring.v1.ScoredEvent", value)?;
            Ok(vec![Row::Event(Box::new(events::row(&scored, origin)?))])
        }
        topics::FACTS => {
            let fact: Fact = decode("zhili.scoring.v1.Fact", value)?;
            Ok(vec![facts::row(fact, origin)?])
        }
        topics::ESCALATION => {
            let entry: LogEntry = decode("zhili.escalation.v1.LogEntry", value)?;
            match entry.entry {
                Some(log_entry::Entry::Signal(signal)) => {
                    Ok(vec![Row::Signal(Box::new(signals::row(signal, origin)?))])
                }
                _ => Ok(Vec::new()),
            }
        }
        topics::INCIDENTS => {
            let event: IncidentEvent = decode("zhili.escalation.v1.IncidentEvent", value)?;
            incidents::rows(&event, origin)
        }
        topics::DEAD_LETTERS => {
            let letter: DeadLetter = decode("zhili.log.v1.DeadLetter", value)?;
            Ok(vec![Row::DeadLetter(Box::new(dead_letters::row(letter, origin)?))])
        }
        _ => Ok(Vec::new()),
    }
}

fn decode<M: Message + Default>(what: &str, value: &[u8]) -> Result<M, Poison> {
    M::decode(value).map_err(|cause| Poison::undecodable(what, &cause))
}

/// A field that must be there.
fn required(tenant: &str, field: &str, value: Option<&Timestamp>) -> Result<Instant, Poison> {
    optional(tenant, field, value)?
        .ok_or_else(|| Poison::invalid(tenant, format!("{field} is missing")))
}

fn optional(
    tenant: &str,
    field: &str,
    value: Option<&Timestamp>,
) -> Result<Option<Instant>, Poison> {
    let Some(value) = value else { return Ok(None) };
    zhili_proto::millis(value)
        .and_then(Instant::new)
        .map(Some)
        .ok_or_else(|| out_of_range(tenant, field))
}

fn instant(tenant: &str, field: &str, ms: i64) -> Result<Instant, Poison> {
    Instant::new(ms).ok_or_else(|| out_of_range(tenant, field))
}

fn out_of_range(tenant: &str, field: &str) -> Poison {
    Poison::invalid(tenant, format!("{field} is not within the years 1900 to 2299"))
}

/// The contract's word for an enum value; empty for the unspecified one, and for values that
/// this version does not know.
macro_rules! word {
    ($type:ty, $value:expr) => {{
        let value: i32 = $value;
        match <$type>::try_from(value) {
            Ok(known) if value != 0 => $crate::column::Word::from(known.as_str_name()),
            _ => $crate::column::Word::default(),
        }
    }};
}
use word;

fn words(list: Vec<String>) -> Vec<Word> {
    list.into_iter().map(Word).collect()
}

#[cfg(test)]
mod tests;
