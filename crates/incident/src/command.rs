//! What people do with incidents, and what came of it.

use serde::{Deserialize, Serialize};

use crate::id::PageId;

/// What a person wants done with an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Chosen by the caller, unique per incident; the same id again has no further effect and
    /// gets the same answer.
    pub command_id: String,
    /// Tenant of the principal.
    pub tenant: String,
    /// Team of the incident; empty means that of the incident.
    pub team: String,
    /// The incident as the caller spelled it.
    pub incident_id: String,
    /// The version that the person saw; 0 means any.
    pub expected_version: u64,
    /// Principal that gave the command.
    pub actor: String,
    /// Free words of the person, kept with the event.
    pub note: String,
    /// What to do.
    pub action: Action,
}

/// The longest time that an incident can be snoozed.
pub const LONGEST_SNOOZE_MS: i64 = 7 * 24 * 60 * 60_000;

/// The things that can be done.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The actor answers for the incident from now on: nobody else is paged until the
    /// acknowledgement times out. The owner may acknowledge again to restart that time.
    Acknowledge,
    /// The actor will come back to it: nobody is paged until then. At the end it is treated as
    /// one that was just received. Another snooze replaces the end.
    Snooze(Until),
    /// Somebody else shall answer for it: they are paged at once, whoever answered for it
    /// before. This is also how to take it from its owner.
    Reassign(Assignee),
    /// The next step of the policy is taken now, also if somebody has acknowledged or snoozed
    /// it. From then on the incident pages through silences.
    EscalateNow,
    /// The signals were wrong: it is over, and kept as an example to tune by. A resolved
    /// incident can still be marked.
    MarkFalsePositive,
    /// The incident is over.
    Resolve,
    /// A page that has come to its end goes to the same destination once more, whatever came of it
    /// and whoever answers for the incident, also when that is over: the receiver had lost it. It
    /// is a page of its own, see [`crate::Page::redelivery_of`].
    Redeliver(PageId),
}

/// When something ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// At this instant, milliseconds since the Unix epoch.
    At(i64),
    /// So many milliseconds after the command was appended to the log.
    For(i64),
}

impl Until {
    /// The instant, for something that begins at `now_ms`.
    pub fn instant_ms(self, now_ms: i64) -> i64 {
        match self {
            Self::At(at_ms) => at_ms,
            Self::For(ms) => now_ms.saturating_add(ms),
        }
    }
}

/// Who is to answer for an incident.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assignee {
    /// A destination of the team. If it does not answer within the first step's delay, the
    /// policy of the incident starts.
    Destination(String),
    /// Another policy of the team, from its first step.
    Policy(String),
}

impl Assignee {
    /// The name of the destination or policy.
    pub fn name(&self) -> &str {
        let (Self::Destination(name) | Self::Policy(name)) = self;
        name
    }
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Done; the incident then had this version.
    Applied {
        /// Version of the incident after the command.
        version: u64,
    },
    /// Not done, and why.
    Refused(Refusal),
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Nothing of that id is known to this tenant and team, or it was resolved over a day ago.
    #[error("no such incident: it does not exist or was resolved over 24 hours ago")]
    UnknownIncident,
    /// The incident has changed since the person looked.
    #[error(
        "the incident has changed since: version {expected} was seen, it is at {actual} now; \
         look again and repeat the command with a new id"
    )]
    StaleVersion {
        /// The version that the command was given against.
        expected: u64,
        /// The version that the incident has.
        actual: u64,
    },
    /// Somebody else answers for it.
    #[error("{owner} has acknowledged it already")]
    AlreadyAcknowledged {
        /// Who answers for it.
        owner: String,
    },
    /// It is over; resolved is final.
    #[error("it is resolved already")]
    AlreadyResolved,
    /// It was marked before.
    #[error("it is marked as a false positive already")]
    AlreadyMarked,
    /// A snooze that ends in the past or too late.
    #[error("a snooze ends later than now and within 7 days; this one would last {length_ms} ms")]
    SnoozeOutOfRange {
        /// From the command to the end that was wanted.
        length_ms: i64,
    },
    /// The team has no such destination or policy.
    #[error("the team has no destination or policy called {name:?}; name one of its configuration")]
    UnknownAssignee {
        /// What was named.
        name: String,
    },
    /// The incident has no such page, or keeps it no longer.
    #[error("the incident has no such page, or keeps it no longer; look at its attempts")]
    UnknownPage,
    /// It is tried again anyway.
    #[error("the page is still on its way and is tried again by itself")]
    PageUnderWay,
    /// A silence that matches everything would hide what nobody has thought of.
    #[error("the silence matches everything; give at least one condition")]
    EmptyMatcher,
    /// Whoever finds a silence must know why it is there.
    #[error("comment is empty; say why")]
    MissingComment,
    /// A silence of no length, or one that ends too late.
    #[error("a silence ends after it begins and within 30 days from now")]
    SilenceOutOfRange,
    /// Nothing of that id is known to this tenant and team, or it ended over a day ago.
    #[error(
        "no such silence: it does not exist, ended over 24 hours ago, or stands in the \
         configuration and is changed there"
    )]
    UnknownSilence,
    /// The team has as many as it can have.
    #[error("the team has 200 silences that have not ended; end one first")]
    TooManySilences,
    /// The id was used for another command on the same incident.
    #[error("the command id was used for another command; choose a new one")]
    CommandIdReused,
    /// A command without an id could not be told from its own repetition.
    #[error("command_id is empty; choose a unique one")]
    MissingCommandId,
}

impl Refusal {
    /// Stable name for APIs and metric labels.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownIncident => "unknown_incident",
            Self::StaleVersion { .. } => "stale_version",
            Self::AlreadyAcknowledged { .. } => "already_acknowledged",
            Self::AlreadyResolved => "already_resolved",
            Self::AlreadyMarked => "already_marked",
            Self::SnoozeOutOfRange { .. } => "snooze_out_of_range",
            Self::UnknownAssignee { .. } => "unknown_assignee",
            Self::UnknownPage => "unknown_page",
            Self::PageUnderWay => "page_under_way",
            Self::EmptyMatcher => "empty_matcher",
            Self::MissingComment => "missing_comment",
            Self::SilenceOutOfRange => "silence_out_of_range",
            Self::UnknownSilence => "unknown_silence",
            Self::TooManySilences => "too_many_silences",
            Self::CommandIdReused => "command_id_reused",
            Self::MissingCommandId => "missing_command_id",
        }
    }
}

/// An answered command, kept with its incident to recognise its repetition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answered {
    pub(crate) command_id: String,
    pub(crate) action: Action,
    pub(crate) actor: String,
    pub(crate) answer: Answer,
}
