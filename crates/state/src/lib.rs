//! The state of a fold in many parts, such as conversations or incidents.
//!
//! A fold has to tell the hash of its state every few thousand records, and to save all of it now
//! and then, while records wait. So nothing here goes through the parts that have not changed: the
//! hash of the whole is a sum of hashes of parts, brought up to date where a part changed, and a
//! copy of the whole shares its parts until one of them changes. Parts that are
//! many and seldom looked at can be packed: at rest they are the bytes that they are saved as.

mod digest;
mod form;
mod parts;

pub use digest::{Digest, Part, encode};
pub use form::{Form, Look, Open, Packed};
pub use parts::Parts;
