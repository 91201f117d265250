//! What people do with incidents, and what came of it.

use serde::{Deserialize, Serialize};

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

/// The things that can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The actor answers for the incident from now on: nobody else is paged until the
    /// acknowledgement times out. The owner may acknowledge again to restart that time.
    Acknowledge,
    /// The incident is over.
    Resolve,
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
