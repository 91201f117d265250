//! Typed questions to the views. Tenants, ids and times are bound as parameters, never pasted.

mod conversation;
mod metric;
mod overview;

pub use conversation::{Conversation, Message, Turn, conversation};
pub use metric::{Dimension, Metric, MetricPoint, MetricQuery, Unit, metric};
pub use overview::{Summary, summary};
