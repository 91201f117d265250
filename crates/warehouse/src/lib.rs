//! Zhili's side of ClickHouse: migrations, rows, the exactly-once sink, typed queries.
//!
//! - [`migrate()`] brings the database to this version's schema.
//! - [`rows`] turns records of the log into rows; pure.
//! - [`sink`] writes them exactly once; [`audit()`] proves it, [`repair()`] fills the holes.
//! - [`backup`] writes rows into files and reads them again.
//! - [`erase`](mod@erase) takes a person out of the rows.
//! - [`query`] asks the views, and what [`Roller`] has put together of them.
//! - [`bring_in()`] takes scores of people from outside.
//!
//! The same code speaks to `zhili store` on one machine and to a ClickHouse cluster.

mod audit;
pub mod backup;
mod block;
mod client;
mod column;
pub mod erase;
mod error;
mod migrate;
pub mod query;
mod rollup;
pub mod rows;
mod scores;
pub mod sink;
mod table;

pub use audit::{Audit, AuditError, Finding, audit, repair};
pub use block::Block;
pub use client::{Address, CONNECT_TIMEOUT, MAX_EXECUTION, REQUEST_TIMEOUT, Tables, Warehouse};
pub use column::{Binary, Instant, Word};
pub use error::{SinkError, WarehouseError};
pub use migrate::{
    DEDUPLICATION_WINDOW, INSERTS_PER_SECOND, Layout, Migrated, Retention, check_windows, migrate,
};
pub use rollup::{LANDING, Passed, Roller};
pub use scores::{OutsideScore, bring_in};
pub use table::{Identity, Origin, RowKey, Table};
