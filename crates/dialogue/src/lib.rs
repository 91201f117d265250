//! Turns, response times, care cycles and signals of the conversations of one log partition.
//!
//! Pure: no clock, no I/O. [`Partition`] folds [`Event`]s (metadata and the engine's marks,
//! never text) in log order and states [`Fact`]s and [`Signal`]s; the same records give the same
//! outputs bit for bit, live or replayed, in any batches, from any snapshot. Definitions are
//! those of the metric book (`docs/metrics.md`): response times on the clock and in business
//! hours, targets of service, silences, phrases that are due, promises, mood and care.
//!
//! # What stays in memory
//!
//! - A conversation with an open live cycle. The cycle ends by itself after
//!   [`Config::idle_close_ms`] of silence, but not while a customer message waits for an answer.
//! - Any other conversation until [`Config::horizon_ms`] of log time have passed since its last
//!   accepted event, the latest `sent_ms` of any (a clock may be ahead) or the end of its last
//!   cycle, whichever is latest. Its event ids, by which duplicates are known, live as long as
//!   it does.
//! - An ended cycle, and an answered turn of an open one, until a horizon after it ended or was
//!   answered: a reply that comes later than that corrects it no more.
//! - A live promise until its due time, at most 35 days, and its conversation with it; and while
//!   the conversation is there until a horizon later, for what was said in time and logged too
//!   late. Of one conversation 16 promises are followed at a time; further ones are counted.
//! - Settings for as long as a cycle in memory goes by them.
//! - A conversation with historical events alone has no idle timer. When it leaves memory, an
//!   open turn is stated as unanswered and an open cycle as final without an end.
//!
//! # Where the definitions leave a choice
//!
//! - A customer message of thanks alone outside a cycle opens one, as any customer message
//!   does, and its first-reply times count from there; it opens no turn.
//! - When a late reply answers part of a run, the part with the run's first message keeps the
//!   turn's number and the other part becomes a turn of its own.
//! - A record's log time is the largest seen so far in the partition.
//! - A state sent before its cycle began ends the cycle at its beginning.
//! - Only texts of role agent raise `forbidden_wording`, machines under an agent's name (`auto`,
//!   `ai`) included; bots and supervisors do not. Private messages raise nothing. An edit is
//!   judged by its new text and is an event of its own.
//! - Turns and cycles are historical while every customer message, or every event, of them is.

mod book;
mod calendar;
mod care;
mod config;
mod conversation;
mod customer;
mod cycle;
mod deadline;
mod event;
mod event_id;
mod history;
mod ledger;
mod mood;
mod output;
mod partition;
mod place;
mod policy;
mod profile;
mod pulse;
mod scorecard;
mod seen;
mod silence;
mod slots;
mod snapshot;
mod statement;
mod stint;
mod timers;
mod turn;

pub use calendar::{Calendar, CalendarError};
pub use care::CareStatement;
pub use config::Config;
pub use customer::{Contact, Customers, FrozenCustomers, RepeatPolicy, What};
pub use event::{
    Act, Acts, Author, Event, EventKind, Former, Marks, Mode, Polarity, Promise, PromiseDue,
    PromiseKind, QuestionKind, Role, Sentiment, Status, Subtype, Urgent, UrgentCategory,
};
pub use ledger::PromiseState;
pub use mood::MoodStatement;
pub use output::{
    Complaint, Correction, Cycle, CycleBusiness, Fact, FactBody, Family, FormerIds, Output,
    Presence, Promise as PromiseFact, Recontact, Session, Severity, Signal, SignalKind, Silences,
    Sla, SlaState, Slot, Stint, Turn, TurnBusiness,
};
pub use partition::{Applied, Partition};
pub use policy::{Policies, Policy, PolicyError, ReplyDue, Silence, Target, Wait};
pub use profile::{Measured, Profile, Run};
pub use pulse::{Count, Dimensions, Pulse, PulsePolicy};
pub use scorecard::{
    DimensionScore, Fatal, IndicatorScore, Name, Scorecard, ScorecardError, Scores,
};
pub use slots::SlotKind;
pub use snapshot::{Frozen, SnapshotError};
