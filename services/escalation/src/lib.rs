//! Keeps incidents with people until somebody answers for them.
//!
//! Signals become incidents in the fold of `zhili.escalation.v1`; the owner of a partition pages
//! whoever the tenant's configuration names, by webhook, chat robot, PagerDuty or mail; supervisors list, watch, acknowledge and
//! resolve over gRPC and HTTP at any replica.
//!
//! Each page is delivered at least once per destination, at most once more per crash or takeover
//! while it is in flight and per attempt whose outcome the receiver left unknown, always with the
//! same id.

mod address;
mod api;
mod attempts;
mod board;
pub mod bundle;
mod canary;
mod card;
mod channel;
mod config;
mod convert;
#[cfg(test)]
mod crash_points;
mod cursor;
mod delivery;
#[cfg(test)]
mod faulty;
mod fold;
mod heartbeat;
mod link;
mod metrics;
mod owner;
mod reach;
mod secret;
mod serve;
mod settings;
mod signature;
#[cfg(test)]
mod vectors;
mod warning;
mod watch;

pub use bundle::{DefaultError, Published, parse as parse_bundle, publish_default};
pub use config::{Config, DefaultWebhook};
pub use fold::Incidents;
pub use serve::{GROUP, serve};
pub use settings::Settings;
