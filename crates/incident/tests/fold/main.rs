//! The fold as its users see it: one test binary, one file per subject.
#![allow(clippy::expect_used, reason = "helpers of tests")]

mod attended;
mod commands;
mod configuration;
mod crash_points;
mod delivery;
mod desk;
mod forgetting;
mod handling;
mod incidents;
mod news;
mod on_call;
mod pacing;
mod paging;
mod properties;
mod redelivery;
mod silences;
mod snapshots;
mod suppression;
