//! A machine that runs the system on either log and breaks everything that it stands on, while
//! publishers go on; afterwards the oracle of [`crate::conservation`] judges.

mod broker;
mod clock;
mod disk;
mod evidence;
mod overload;
mod process;
mod proxy;
mod publisher;
mod run;
mod stage;

pub use overload::{Overload, overload};
pub use run::{Run, run};
