//! The state of a fold in many parts, such as conversations or incidents.
//!
//! A fold has to tell the hash of its state every few thousand records, and to save all of it now
//! and then, while records wait. So nothing here goes through the parts that have not changed: the
//! hash of the whole is a sum of hashes of parts, brought up to date where a part changed, and a
//! copy of the whole shares its parts until one of them changes.

mod digest;
mod parts;

pub use digest::{Digest, Part, encode};
pub use parts::Parts;
