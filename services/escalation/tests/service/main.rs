//! The service from signal to page to answer, on the embedded log with a receiver of its own.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod answers;
mod bench;
mod channels;
mod crash;
mod defaults;
mod faults;
mod links;
mod pages;
mod receiver;
mod replay;
mod watching;
