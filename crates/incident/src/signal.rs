//! What scoring says about a conversation: something that a person should look at.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{IncidentId, digest};

/// What a signal is about. There is one open incident per conversation and family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// The customer complains.
    Complaint,
    /// The agent used words that are forbidden.
    Wording,
    /// A response-time promise was or will be broken.
    Sla,
    /// Many customers at once, or danger to life or brand.
    Crisis,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Complaint, Self::Wording, Self::Sla, Self::Crisis];

    /// The name used in configuration, on the wire and as a metric label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complaint => "complaint",
            Self::Wording => "wording",
            Self::Sla => "sla",
            Self::Crisis => "crisis",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How bad it is, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Should be looked at today.
    Warning,
    /// Should be looked at now.
    High,
    /// Nothing else comes first.
    Critical,
}

/// Something in a conversation that a person should look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Deterministic: the same cause gives the same id. An id that was seen before has no
    /// effect while its incident is in memory; one that comes later is expected to be marked
    /// historical, or it opens the same incident again.
    pub signal_id: String,
    /// Whose conversation it is.
    pub tenant: String,
    /// The team that answers for it.
    pub team: String,
    /// The conversation, pseudonymous.
    pub conversation_id: String,
    /// What it is about.
    pub family: Family,
    /// `urgent_complaint`, `forbidden_wording`, ...
    pub kind: String,
    /// `regulator`, `legal`, `media`, ...; empty if the kind has none.
    pub category: String,
    /// How bad it is.
    pub severity: Severity,
    /// The event that caused it.
    pub event_id: String,
    /// When it became true, milliseconds since the Unix epoch.
    pub effective_ms: i64,
    /// P(urgent) as scored, 0 to 1.
    pub probability: f64,
    /// Names of the rules that matched.
    pub rules: Vec<String>,
    /// Other conversations that it comes from, latest first.
    pub related: Vec<String>,
    /// Masked words of the conversation.
    pub excerpt: String,
    /// The agent, pseudonymous; empty if there is none yet.
    pub agent: String,
    /// The customer, pseudonymous.
    pub customer: String,
    /// The channel of the conversation: app, phone, web, ...
    pub channel: String,
    /// The queue of the conversation.
    pub queue: String,
    /// Backfilled or older than the horizon: recorded, never paged.
    pub historical: bool,
    /// Engine version that scored it.
    pub engine: String,
    /// What a person who is paged should know besides.
    pub background: Background,
}

/// What is known of the customer and was said before a signal was raised.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Background {
    /// `vip`, else the segment that the platform gives the customer; empty if it says nothing.
    pub customer_tier: String,
    /// The last messages of the conversation, oldest first. Of an incident's evidence only the
    /// newest has them.
    pub said: Vec<Said>,
}

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// Its event.
    pub event_id: String,
    /// The side its author is on.
    pub speaker: Speaker,
    /// When it was sent, milliseconds since the Unix epoch.
    pub sent_at_ms: i64,
    /// Masked, and cut.
    pub text: String,
    /// Sentiment of a customer's message, -1 to 1; `None` if it was not judged.
    pub sentiment: Option<f64>,
}

/// The side that the author of a message is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speaker {
    /// The one who asks.
    Customer,
    /// The one who answers.
    Agent,
    /// A robot, or the platform itself.
    Machine,
    /// Somebody who looks after agents.
    Supervisor,
}

impl Speaker {
    /// The name used on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Agent => "agent",
            Self::Machine => "machine",
            Self::Supervisor => "supervisor",
        }
    }
}

/// What there may be one open incident of: tenant, team, conversation and family. The team
/// belongs to it because two teams may live in different partitions and cannot see each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key([u8; 16]);

impl Key {
    pub(crate) fn of(tenant: &str, team: &str, conversation_id: &str, family: Family) -> Self {
        let parts = [tenant, team, conversation_id, family.name()].map(str::as_bytes);
        Self(digest("key", &parts))
    }
}

impl Signal {
    pub(crate) fn key(&self) -> Key {
        Key::of(&self.tenant, &self.team, &self.conversation_id, self.family)
    }

    /// The incident that this signal opens if none is open.
    pub(crate) fn incident_id(&self) -> IncidentId {
        IncidentId(digest(
            "incident",
            &[self.tenant.as_bytes(), &self.key().0, self.signal_id.as_bytes()],
        ))
    }

    /// 64 bits of its id, to recognise it when it comes again.
    pub(crate) fn fingerprint(&self) -> u64 {
        let digest = digest("signal", &[self.signal_id.as_bytes()]);
        u64::from_le_bytes([
            digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
        ])
    }
}
