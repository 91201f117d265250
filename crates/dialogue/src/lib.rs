//! Turns, response times, care cycles and signals of the conversations of one log partition.
//!
//! Pure: no clock, no I/O. [`Partition`] folds [`Event`]s (metadata and the engine's marks,
//! never text) in log order and states [`Fact`]s and [`Signal`]s; the same records give the same
//! outputs bit for bit, live or replayed, in any batches, from any snapshot. Definitions are
//! those of the metric book: `rt.first_unanswered.v1`, `rt.last_msg.v1`, `rt.human.v1`,
//! `frt.any.v1`, `frt.human.v1`, `frt.substantive.v1`.
//!
//! # What stays in memory
//!
//! - A conversation with an open live cycle. The cycle ends by itself after
//!   [`Config::idle_close_ms`] of silence, but not while a customer message waits for an answer.
//! - Any other conversation until [`Config::horizon_ms`] of log time have passed since its last
//!   accepted event or the end of its last cycle, whichever is later. Its event ids, by which
//!   duplicates are known, live as long as it does.
//! - An ended cycle, and an answered turn of an open one, until a horizon after it ended or was
//!   answered: a reply that comes later than that corrects it no more.
//! - A conversation with historical events alone has no idle timer. When it leaves memory, an
//!   open turn is stated as unanswered and an open cycle as final without an end.

mod config;
mod conversation;
mod cycle;
mod event;
mod event_id;
mod history;
mod output;
mod partition;
mod place;
mod seen;
mod snapshot;
mod turn;

pub use config::Config;
pub use event::{
    Author, Event, EventKind, Marks, Mode, Role, Status, Subtype, Urgent, UrgentCategory,
};
pub use output::{Cycle, Fact, FactBody, Family, Output, Severity, Signal, SignalKind, Turn};
pub use partition::{Applied, Partition};
pub use snapshot::SnapshotError;
