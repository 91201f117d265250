//! What every service needs before it does its own job: configuration, telemetry, health,
//! shutdown, access control, and one way to serve gRPC and HTTP on one port.

pub mod auth;
pub mod config;
mod error;
mod failure;
mod health;
pub mod log_service;
mod run;
mod server;
pub mod telemetry;

pub use error::{ErrorCode, ServiceError};
pub use failure::Failure;
pub use health::{Condition, Health};
pub use run::{Context, RuntimeConfig, run};
pub use server::{Server, bind};
