//! What happened to incidents, as told to watchers, reports and callers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::command::{Answer, Command};
use crate::id::{PageId, digest, spell};
use crate::incident::Incident;
use crate::page::{Attempt, Page};
use crate::silence::Silence;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The incident was opened, or came back from acknowledged or from being exhausted: its
    /// acknowledgement timed out, its severity rose, or its team became reachable. `note`
    /// says which.
    Triggered,
    /// A page was delivered.
    Paged,
    /// Somebody answers for the incident.
    Acknowledged,
    /// Somebody comes back to it later; nobody is paged until then.
    Snoozed,
    /// It was opened or goes on without paging anybody for a while; `note` says why.
    Suppressed,
    /// Somebody else shall answer for it and is paged from now on.
    Reassigned,
    /// Evidence was added; nobody is paged for it, unless the severity rose and the policy
    /// pages for that.
    Updated,
    /// The policy went on to its next step or started again.
    Escalated,
    /// The incident is over.
    Resolved,
    /// A person says that the signals were wrong.
    FalsePositive,
    /// The policy has come to its end, or there is nobody to page; `note` says which. Nothing
    /// further happens by itself.
    Exhausted,
    /// A page could not be delivered.
    DeliveryFailed,
    /// A person wants a page to go to its destination once more.
    Redelivered,
    /// A historical signal was kept with a resolved incident or a new one that is resolved
    /// from the start. Nobody is paged.
    Recorded,
    /// A silence was made.
    Silenced,
    /// A silence was ended before its time.
    SilenceExpired,
    /// A command was refused; the incident is unchanged.
    Refused,
    /// A command came again and was answered again; the incident is unchanged.
    Repeated,
    /// An attempt to deliver a page has come to something that changes nothing yet: another one
    /// follows, or is not needed. The incident is unchanged.
    Attempted,
}

impl EventKind {
    /// The name used on the wire and as a metric label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Triggered => "triggered",
            Self::Paged => "paged",
            Self::Acknowledged => "acknowledged",
            Self::Snoozed => "snoozed",
            Self::Suppressed => "suppressed",
            Self::Reassigned => "reassigned",
            Self::Updated => "updated",
            Self::Escalated => "escalated",
            Self::Resolved => "resolved",
            Self::FalsePositive => "false_positive",
            Self::Exhausted => "exhausted",
            Self::DeliveryFailed => "delivery_failed",
            Self::Redelivered => "redelivered",
            Self::Recorded => "recorded",
            Self::Silenced => "silenced",
            Self::SilenceExpired => "silence_expired",
            Self::Refused => "refused",
            Self::Repeated => "repeated",
            Self::Attempted => "attempted",
        }
    }
}

/// Something that happened to an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentEvent {
    /// Unique, and the same after a replay.
    pub event_id: String,
    /// What happened.
    pub kind: EventKind,
    /// Tenant of the incident or of the refused command.
    pub tenant: String,
    /// Team of the incident or of the refused command.
    pub team: String,
    /// The incident right after the event; absent when a command named none that is known or was
    /// about a silence. Every event but `Refused`, `Repeated` and `Attempted` raises its version by
    /// one.
    pub incident: Option<Arc<Incident>>,
    /// When it was folded: log time, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// When it became true: of a signal when it did, of a timer when it was due, of a page when
    /// its claim was appended, else `at_ms`.
    pub effective_ms: i64,
    /// Who caused it; empty for time and signals.
    pub actor: String,
    /// Words of the person who caused it, or the reason.
    pub note: String,
    /// The page, for `Paged`, `DeliveryFailed`, `Attempted` and `Redelivered`.
    pub page: Option<Page>,
    /// The silence, for commands about one.
    pub silence: Option<Silence>,
    /// The attempt whose result it is; absent if no result of an attempt caused it.
    pub attempt: Option<Attempt>,
    /// The command that caused it; empty if none did.
    pub command_id: String,
    /// What came of that command.
    pub answer: Option<Answer>,
}

/// Identity of the event that brought an incident to a version.
pub(crate) fn event_id(incident: &Incident) -> String {
    let parts = [&incident.incident_id.0[..], &incident.version.to_le_bytes()];
    spell("evt_", digest("event", &parts))
}

/// Identity of the event that tells what came of an attempt.
pub(crate) fn attempt_id(page_id: PageId, attempt: u32) -> String {
    spell("evt_", digest("attempt", &[&page_id.0, &attempt.to_le_bytes()]))
}

/// Identity of the nth event that changed no incident.
pub(crate) fn reply_id(nth: u64, tenant: &str, incident_id: &str, command_id: &str) -> String {
    let parts =
        [&nth.to_le_bytes()[..], tenant.as_bytes(), incident_id.as_bytes(), command_id.as_bytes()];
    spell("evt_", digest("reply", &parts))
}

/// What an event is about besides the incident.
#[derive(Debug, Default)]
pub(crate) struct Cause {
    pub(crate) effective_ms: Option<i64>,
    pub(crate) actor: String,
    pub(crate) note: String,
    pub(crate) page: Option<PageId>,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) command_id: String,
}

impl Cause {
    /// What a person has caused.
    pub(crate) fn of(command: &Command) -> Self {
        Self {
            actor: command.actor.clone(),
            note: command.note.clone(),
            command_id: command.command_id.clone(),
            ..Self::default()
        }
    }
}
