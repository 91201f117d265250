//! What tests need besides the log itself.

pub mod fused;
pub mod kafka_server;
pub mod seeds;
pub mod simulated;
