//! The conservation oracle: what was acknowledged to publishers, against what is there when all
//! faults are over.
//!
//! Traffic and faults follow from a seed and are pure, and so is the judgement; [`crate::machine`] runs the
//! processes, breaks what they stand on and collects what the judgement is about.

mod ledger;
mod oracle;
pub mod plan;
mod report;
mod traffic;

pub use ledger::{Ledger, Poison};
pub use oracle::{Arrival, DeadLetter, Disturbance, Judge, Verdict};
pub use report::{Report, append_to};
pub(crate) use traffic::payload;
pub use traffic::{Event, Intent, Item, Kind, Role, SOURCE, Traffic};
