//! Erases a person from the log and the tables, verifies it, and signs what was done.
//!
//! What is chosen and why is ADR 9. [`Owner`] does the work; every step of it is a record in
//! `zhili.erasures.v1` first, so that the next owner goes on where the last one stopped.
//!
//! - [`names`] recognises a person's pseudonyms in records; pure.
//! - [`search`] looks through the whole log.
//! - [`register`] keeps how erasures and holds stand.
//! - [`receipt`] says what was done, under a signature; pure.

mod error;
pub mod names;
mod owner;
pub mod receipt;
pub mod register;
pub mod restored;
pub mod search;

pub use error::ErasureError;
pub use owner::{GROUP, Owner, dry_run};
