//! End-to-end, conformance, chaos and load tests of the running system: here is what they share.
//!
//! A test starts the program itself, on a folder of its own and free ports, and speaks to it as
//! its users do: over the command line, HTTP, gRPC and ClickHouse's interface.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    reason = "in a test a panic is the message, and a skipped one says so"
)]

pub mod chaos;
mod collector;
pub mod conservation;
pub mod machine;
pub mod personal;
mod program;
pub mod python;
pub mod samples;
mod sinks;
mod system;
mod tables;
mod webhook;

pub use collector::{Collector, Span};
pub use program::{has_library, program, skipped};
pub use sinks::Sinks;
pub use system::{Options, System, free_ports};
pub use tables::{Tables, fingerprint};
pub use webhook::{Page, Receiver};

use std::time::{Duration, Instant};

/// Asks again until there is an answer; panics with `what` when there is none in `patience`.
pub async fn eventually<T>(
    what: &str,
    patience: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
