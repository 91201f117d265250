//! What every service needs before it does its own job: configuration, telemetry, health,
//! shutdown, access control, and one way to serve gRPC and HTTP on one port.

mod audit;
pub mod auth;
pub mod bundle;
pub mod config;
mod connections;
mod error;
mod failure;
mod folds;
mod headers;
mod health;
mod lag;
pub mod log_service;
mod memory;
#[cfg(feature = "standalone")]
mod open_log;
mod personal;
mod quota;
mod routes;
mod run;
mod scrape;
mod server;
mod sessions;
#[cfg(feature = "standalone")]
pub mod standalone;
pub mod telemetry;
mod tls;
mod together;

/// Of every program that serves: with the one of glibc, a service that took in 100,000 incidents
/// after a restart spent most of its time in it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub use error::{ErrorCode, ServiceError};
pub use failure::Failure;
pub use folds::Folds;
pub use health::{Condition, Health};
pub use lag::watch_groups;
pub use memory::Memory;
#[cfg(feature = "standalone")]
pub use open_log::{KafkaSettings, KafkaTls, open_log, unusable};
pub use personal::{impersonal, masked};
pub use quota::Quota;
pub use routes::{Endpoint, Routes};
pub use run::{Context, RuntimeConfig, run};
pub use server::{Server, bind};
pub use sessions::Sessions;
pub use tls::{Connector, Protocol, Tls, TlsSettings};
pub use together::together;
