//! What the fold takes in, and what it wants done.

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::config::Config;
use crate::destination::Destination;
use crate::id::PageId;
use crate::incident::Incident;
use crate::page::{Claim, DeliveryResult, Page};
use crate::presence::Presence;
use crate::signal::Signal;
use crate::silence::SilenceCommand;

/// A record of the escalation log, besides time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "one is in memory at a time, most often a signal")]
pub enum Entry {
    /// Scoring wants a person to look.
    Signal(Signal),
    /// A person wants something done.
    Command(Command),
    /// A person wants something done about silences.
    Silence(SilenceCommand),
    /// Somebody of the team enters or leaves a conversation.
    Presence(Presence),
    /// A process is about to send a page.
    Claim(Claim),
    /// What came of a send.
    Result(DeliveryResult),
    /// A tenant's configuration changes here.
    Config {
        /// The tenant, or [`crate::ANY_TENANT`] for all that have none of their own.
        tenant: String,
        /// Content address of the bundle, kept with incidents that start under it.
        bundle: String,
        /// Must be higher than that of the configuration in force.
        sequence: u64,
        /// The settings.
        config: Config,
    },
    /// A tenant gives up its own configuration here: that of any tenant counts from now on.
    NoConfig {
        /// The tenant, or [`crate::ANY_TENANT`].
        tenant: String,
        /// Must be higher than that of the configuration in force.
        sequence: u64,
    },
}

/// Why a record had no effect. None of these is an error: they are what repeated, late and
/// crossing records come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Ignored {
    /// The signal was folded before.
    #[error("the signal was folded before")]
    DuplicateSignal,
    /// The page does not exist, or was forgotten with its incident.
    #[error("the page is not known")]
    UnknownPage,
    /// Another claim came first, or the page needs no attempt any more.
    #[error("another claim came first or the page needs no further attempt")]
    StaleClaim,
    /// The page waits for its next attempt.
    #[error("the page waits for its next attempt")]
    ClaimTooEarly,
    /// A result without a claim.
    #[error("the result is of an attempt that was never claimed")]
    UnclaimedAttempt,
    /// The attempt has a result already.
    #[error("the attempt has a result already")]
    DuplicateResult,
    /// A configuration of a later sequence is in force.
    #[error("a configuration of the same or a later sequence is in force")]
    OldConfig,
}

impl Ignored {
    /// Stable name for metric labels.
    pub fn code(self) -> &'static str {
        match self {
            Self::DuplicateSignal => "duplicate_signal",
            Self::UnknownPage => "unknown_page",
            Self::StaleClaim => "stale_claim",
            Self::ClaimTooEarly => "claim_too_early",
            Self::UnclaimedAttempt => "unclaimed_attempt",
            Self::DuplicateResult => "duplicate_result",
            Self::OldConfig => "old_config",
        }
    }
}

/// Something the live owner of the partition should do now.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect<'a> {
    /// Append a [`Claim`] of this page and attempt.
    Claim {
        /// The incident, for the record's key and trace.
        incident: &'a Incident,
        /// The page.
        page_id: PageId,
        /// The attempt to claim.
        attempt: u32,
    },
    /// Send this page; the claim was read back.
    Send {
        /// The incident as it is now.
        incident: &'a Incident,
        /// The page.
        page: &'a Page,
        /// The attempt that was claimed.
        attempt: u32,
        /// Where to.
        destination: &'a Destination,
        /// The send must have started by then, log time.
        lease_until_ms: i64,
        /// Pages to the same destination that had no room, with their incidents: the message
        /// tells of these as well.
        others: Vec<(&'a Incident, &'a Page)>,
    },
}
