//! An incident as people and programs see it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{IncidentId, PageId};
use crate::page::Page;
use crate::policy::Policy;
use crate::signal::{Family, Severity, Signal};
use crate::suppression::Suppression;

/// Signals kept with an incident: the first and the newest; all are counted.
pub const KEPT_EVIDENCE: usize = 21;
/// Pages kept with an incident. Beyond it the oldest settled ones go; none that is under way.
pub const KEPT_PAGES: usize = 32;
/// Commands whose answers an incident remembers, the newest.
pub const KEPT_ANSWERS: usize = 64;
/// Signals that an incident recognises when they come again, the newest.
pub const KEPT_SIGNAL_IDS: usize = 256;
/// How long a resolved incident stays in memory.
pub const RESOLVED_FOR_MS: i64 = 24 * 60 * 60_000;

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody answers for it yet.
    Triggered,
    /// `owner` answers for it.
    Acknowledged,
    /// `owner` comes back to it at `next_at_ms`; until then nobody is paged.
    Snoozed,
    /// Recorded; nobody is paged because of its `suppression`, which is looked at again at
    /// `next_at_ms`.
    Suppressed,
    /// It is over, for good.
    Resolved,
}

impl State {
    /// The name used on the wire and as a metric label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Triggered => "triggered",
            Self::Acknowledged => "acknowledged",
            Self::Snoozed => "snoozed",
            Self::Suppressed => "suppressed",
            Self::Resolved => "resolved",
        }
    }
}

/// How an incident came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// A person has resolved it.
    Resolved,
    /// A person says that its signals were wrong.
    FalsePositive,
    /// Nobody was to be paged for it, and nobody has taken it in a day.
    Unpaged,
    /// It was opened by a historical signal.
    Historical,
}

impl Resolution {
    /// The name used on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::FalsePositive => "false_positive",
            Self::Unpaged => "unpaged",
            Self::Historical => "historical",
        }
    }
}

/// Why nothing further happens by itself though nobody has acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exhausted {
    /// The team has no destination at all, so nobody was paged.
    NobodyReachable,
    /// All steps, repeats and the fallback were used.
    PolicyEnded,
}

impl Exhausted {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::NobodyReachable => {
                "nobody is reachable: the team has no destination; configure one to page for \
                 this incident"
            }
            Self::PolicyEnded => "the policy has come to its end and nobody has acknowledged",
        }
    }
}

/// Something that a person should look at, from the first signal until it is resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Derived from its key and the signal that opened it.
    pub incident_id: IncidentId,
    /// Whose conversation it is.
    pub tenant: String,
    /// The team that answers for it.
    pub team: String,
    /// The conversation.
    pub conversation_id: String,
    /// Queue of the conversation when it was opened.
    pub queue: String,
    /// What it is about.
    pub family: Family,
    /// Kind of its first most severe signal.
    pub kind: String,
    /// Category of that signal.
    pub category: String,
    /// Where it stands.
    pub state: State,
    /// The highest severity of its live signals; it never falls.
    pub severity: Severity,
    /// Grows by one with every event, from 1.
    pub version: u64,
    /// When it was opened, log time.
    pub triggered_at_ms: i64,
    /// When it was last acknowledged; absent when it came back from that.
    pub acknowledged_at_ms: Option<i64>,
    /// When it was resolved.
    pub resolved_at_ms: Option<i64>,
    /// How it was resolved; absent while it is open.
    pub resolution: Option<Resolution>,
    /// Who acknowledged or snoozed it and answers for it; empty if nobody does.
    pub owner: String,
    /// The incident of the same key before this one, if it was still in memory.
    pub previous: Option<IncidentId>,
    /// Opened by a historical signal: resolved from the start, never paged.
    pub historical: bool,
    /// The first signal and the newest, at most [`KEPT_EVIDENCE`].
    pub evidence: Vec<Arc<Signal>>,
    /// All signals, also those no longer kept.
    pub signals: u64,
    /// The policy as it was when the incident started.
    pub policy: Arc<Policy>,
    /// Index of the step that was entered last, from 0.
    pub step: u32,
    /// Passes through the policy before this one: repeats and new starts.
    pub pass: u32,
    /// Repeats that remain after this pass.
    pub repeats_left: u32,
    /// Whether any of its live signals is of a kind that pages.
    pub pages_people: bool,
    /// A person has escalated or reassigned it: nothing suppresses it any more.
    pub insisted: bool,
    /// Why and since when nobody is paged, while it is suppressed.
    pub suppression: Option<Suppression>,
    /// When time changes its state: the next step, or the end of the acknowledgement, snooze or
    /// suppression.
    pub next_at_ms: Option<i64>,
    /// Set when nothing further happens by itself.
    pub exhausted: Option<Exhausted>,
    /// Notifications, oldest first, at most [`KEPT_PAGES`] unless more are under way.
    pub pages: Vec<Page>,
}

impl Incident {
    /// Not resolved.
    pub fn is_open(&self) -> bool {
        self.state != State::Resolved
    }

    /// A page of this incident, if it is kept.
    pub fn page(&self, page_id: PageId) -> Option<&Page> {
        self.pages.iter().find(|page| page.page_id == page_id)
    }
}
