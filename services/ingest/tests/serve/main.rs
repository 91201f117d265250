//! The service on a port of its own, with the embedded log in memory.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod adapters;
mod grpc;
mod http;
mod support;
