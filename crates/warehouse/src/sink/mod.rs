//! Records of the log into tables, exactly once, with no store besides the log and ClickHouse.
//!
//! The range of offsets that is about to be written is announced in the metadata of the group's
//! position, and that commit is confirmed before the INSERT starts. After it, one commit says
//! that the range is done and announces the next. Whoever takes the partition over finishes
//! exactly the announced range: it asks the tables which rows of it landed and inserts the rest
//! under the same token. An INSERT of the former owner that lands late carries that token too,
//! so the table drops whichever comes second.

mod batch;
mod driver;
mod pace;
mod position;
mod service;
mod writer;

pub use batch::Batch;
pub use driver::{Observer, PartitionSink, Shared, Silent, SinkOptions, Stopped};
pub use pace::{Backoff, Pace};
pub use position::{OffsetRange, PositionNote, token};
pub use service::{TOPICS, run_sinks};
pub(crate) use writer::ROUNDS;
