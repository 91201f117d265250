//! The fold as its users see it: one test binary, one file per subject.

mod desk;
mod incidents;
mod paging;
