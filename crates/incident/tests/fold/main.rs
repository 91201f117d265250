//! The fold as its users see it: one test binary, one file per subject.
#![allow(clippy::expect_used, reason = "helpers of tests")]

mod commands;
mod configuration;
mod delivery;
mod desk;
mod incidents;
mod paging;
