//! Typed questions to the views. Tenants, ids and times are bound as parameters, never pasted.

mod complaints;
mod conversation;
mod distribution;
mod health;
mod interval;
mod metric;
mod observations;
mod overview;
mod phrases;
mod registry;
mod runs;
mod scope;
mod timeline;
mod wall;

pub use complaints::{Complaints, Pending, Promised, Told, Urgent, complaints};
pub use conversation::{
    Care, Conversation, Cycle, Incident, Message, Promise, Reason, Signal, Slot, Turn, conversation,
};
pub use distribution::{Bin, Distribution, distribution};
pub use health::{DeadLetters, Health, LATE_MS, Masked, Notifier, Taken, health};
pub use interval::{FEW, Interval};
pub(crate) use metric::rolled_statements;
pub use metric::{
    Comparison, Figure, Leaderboard, MetricPoint, MetricQuery, Ranked, Standing, comparison,
    figure, leaderboard, metric,
};
pub use observations::{Observation, Order, observations};
pub use overview::{Summary, summary};
pub use phrases::{Library, PhraseUse, Said, Wording, phrase_use};
pub use registry::{Benchmark, Better, Dimension, Measure, Metric, Unit};
pub use runs::{CustomerRun, customer_runs};
pub(crate) use scope::interactive;
pub use scope::{Filter, Scope, Zone};
pub use timeline::{IncidentEvent, timeline};
pub use wall::{Active, Open, OpenIncidents, Waiting, Wall, wall};
