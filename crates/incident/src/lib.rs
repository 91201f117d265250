//! Signals, commands, delivery results and time to incidents and pages: the fold of one
//! partition of the escalation log. Pure: no clock, no I/O; the same records give the same
//! incidents, pages, ids and events, live or replayed.
//!
//! # Incidents
//!
//! An urgent [`Signal`] opens an incident, and the team's policy starts: its first step pages at
//! once, each next one after the delay of the step before, for as long as nobody acknowledges,
//! through all repeats. The end of the policy is an event of its own ([`Exhausted`]); so is a
//! team with nobody to page. There is one open incident per tenant, team, conversation and
//! family. Further signals are evidence and page nobody; how a rise of severity is treated is
//! up to the policy ([`Team::page_on_rise`]), except that an exhausted policy always starts
//! again.
//!
//! Acknowledging stops all pages but one that is on the wire, for [`Team::ack_timeout_ms`]; so
//! does snoozing, until a time. Many may watch, one answers for an incident: whoever else
//! acknowledges or snoozes it is refused, and takes it by reassigning it. Resolving is final, and
//! so is marking it as a false positive. For [`Team::cool_down_ms`] afterwards a signal that is no more severe is
//! recorded with the resolved incident; a worse or later one opens a new incident that names
//! its predecessor. Historical signals are recorded and never page.
//!
//! # Who is not paged
//!
//! An incident is suppressed while something holds its pages back: it is told of, listed, takes
//! evidence, acknowledgement and resolution, and is looked at again when the cause ends. Kinds
//! that only announce something ([`UNPAGED_KINDS`]) page nobody unless a [`Rule`] of the team
//! says so. A [`Silence`] holds what matches it for a time, either calling pages off or, as a
//! maintenance window, making policies stand still. A step may name a [`Schedule`]: it pages
//! whoever is on call when it is taken. A step that has nobody, because nobody is on call or
//! everybody has quiet hours, is passed over at once; if that holds for all steps, the fallback
//! is paged and the policy starts again when somebody is there. While somebody of the team is in
//! the conversation ([`Presence`]) nobody else is paged about it, and beyond
//! [`Team::most_open_per_queue`] one incident of kind [`STORM`] pages for all. A person who escalates or reassigns a suppressed incident is obeyed.
//!
//! # Pages
//!
//! See [`Page`]. Pages of the destinations of one step go out together. A page that the
//! receiver refuses for good has failed; when all pages of a step have failed, the next step of
//! the pass does not wait. Failures that may pass are tried again ([`RETRY_MS`]) until the page
//! is delivered, acknowledged, superseded by a later page to the same destination, or a day
//! old.
//!
//! Chat robots take only so many messages ([`Channel::limits`]). A quarter of those is kept for
//! incidents of which nobody has been told; a page for which there is no room waits, and goes
//! together with the next one to its destination.
//!
//! PagerDuty keeps incidents of its own: when somebody acknowledges or snoozes one that it was
//! paged about, or the incident is over, it is told ([`Reason::is_news`]).
//!
//! A person can have a page that has come to its end sent once more ([`Action::Redeliver`]).
//!
//! # Use
//!
//! ```
//! use zhili_incident::{Effect, Entry, Partition};
//! # fn records() -> Vec<(i64, Entry)> { Vec::new() }
//!
//! let mut partition = Partition::new();
//! let mut events = Vec::new();
//! for (at_ms, entry) in records() {
//!     partition.apply(at_ms, entry, &mut events); // a tick is `partition.advance(at_ms, ...)`
//! }
//! // Events and offsets are committed together; then the live owner acts.
//! for effect in partition.effects(partition.now_ms(), "escalation-1", |_page, _attempt| false) {
//!     match effect {
//!         Effect::Claim { page_id, attempt, .. } => { /* append a claim */ }
//!         Effect::Send { page, destination, .. } => { /* send, then append the result */ }
//!     }
//! }
//! ```

mod bundling;
mod command;
mod config;
mod configs;
mod destination;
mod entry;
mod event;
mod forgetting;
mod handling;
mod health;
mod hours;
mod ical;
mod id;
mod imported;
mod incident;
mod index;
mod lifecycle;
mod matcher;
mod news;
mod pace;
mod page;
mod partition;
mod policy;
mod presence;
mod redelivery;
mod rule;
mod schedule;
mod signal;
mod silence;
mod silencing;
mod snapshot;
mod steps;
mod storm;
mod suppression;
mod telling;

pub use command::{Action, Answer, Assignee, Command, LONGEST_SNOOZE_MS, Refusal, Until};
pub use config::{
    ANY_TENANT, Config, ConfigError, DEFAULT_DELAY_MS, DEFAULT_POLICY, DEFAULT_REPEAT,
    DEFAULT_TEAM, Step, Steps, Team,
};
pub use destination::{Destination, Email, Language, Pagerduty, Robot, Security, Webhook};
pub use entry::{Effect, Entry, Ignored};
pub use event::{EventKind, IncidentEvent};
pub use forgetting::Erased;
pub use health::{DestinationHealth, Unreachable, UnreachableCause};
pub use hours::WeeklyHours;
pub use ical::calendar;
pub use id::{IdError, IncidentId, PageId, SilenceId};
pub use incident::{
    Exhausted, Incident, KEPT_ANSWERS, KEPT_EVIDENCE, KEPT_PAGES, KEPT_SIGNAL_IDS, RESOLVED_FOR_MS,
    Resolution, State,
};
pub use matcher::{Matcher, Pattern};
pub use pace::Limit;
pub use page::{
    Attempt, Channel, Claim, DeliveryResult, KEPT_ATTEMPTS, LEASE_MS, LONGEST_RETRY_AFTER_MS,
    LONGEST_TRY_MS, Outcome, Page, PageState, RETRY_MS, Reason, Stop, retry_wait_ms,
};
pub use partition::Partition;
pub use policy::Policy;
pub use presence::{PRESENT_FOR_MS, Presence};
pub use rule::{Rule, UNPAGED_KINDS};
pub use schedule::{LONGEST_VIEW_MS, Rotation, Schedule, Shift};
pub use signal::{Background, Family, Said, Severity, Signal, Speaker};
pub use silence::{
    Instant, LONGEST_SILENCE_MS, MOST_SILENCES, Mode, NewSilence, PlannedSilence, Silence,
    SilenceAction, SilenceCommand, SilenceState,
};
pub use snapshot::{Frozen, SnapshotError};
pub use storm::STORM;
pub use suppression::{Held, Suppression, UNPAGED_FOR_MS};
