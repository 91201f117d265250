//! What tests need besides the log itself.

pub mod kafka_server;
