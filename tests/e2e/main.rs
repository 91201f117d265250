//! Tests of the whole system as its users meet it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "in a test a panic is the message, and figures are told"
)]

mod access;
mod agents;
mod client_examples;
mod clients;
mod conservation;
mod console;
mod erasure;
mod hostile;
mod keys;
mod kills;
mod members;
mod metrics;
mod openapi;
mod outage;
mod pages;
mod platforms;
mod published;
mod readme;
mod relentless;
mod tokens;
mod trace;
