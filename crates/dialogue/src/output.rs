//! What the fold states: facts, which later facts may correct, and signals, which stay.

use serde::{Deserialize, Serialize};

/// One statement of the fold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Output {
    /// A measured thing.
    Fact(Fact),
    /// Something that a person should look at.
    Signal(Signal),
}

/// A measured thing. Identity: `(tenant, fact_id)`; the highest `revision` is the one in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// Owner of the conversation.
    pub tenant: String,
    /// The conversation that it is about.
    pub conversation_id: String,
    /// `<conversation>/<cycle>` or `<conversation>/<cycle>/t<turn>`, where `<cycle>` comes from
    /// the identity of the event that opened the cycle: the same log gives the same ids, also
    /// when the conversation left memory in between.
    pub fact_id: String,
    /// 0 for the first statement, then one more for each correction.
    pub revision: u32,
    /// Where the fact counts in time: the start of the turn or cycle, milliseconds since the
    /// Unix epoch. The same in every revision, so a correction replaces its predecessor also in
    /// a table that is ordered by time.
    pub at_ms: i64,
    /// Turn: who answered, else who was in charge when the cycle ended. Cycle: who gave the
    /// first human reply, else who is in charge. Empty if nobody was.
    pub agent: String,
    /// Pseudonym of the customer.
    pub customer: String,
    /// Channel at the time of the answer.
    pub channel: String,
    /// Queue at the time of the answer.
    pub queue: String,
    /// Team at the time of the answer.
    pub team: String,
    /// Every event behind it was backfilled or older than the horizon.
    pub historical: bool,
    /// What was measured.
    pub body: FactBody,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FactBody {
    /// A customer run and its answer.
    Turn(Turn),
    /// A care cycle.
    Cycle(Cycle),
}

/// A customer run and the human answer to it, stated when it is answered or its cycle ends.
/// Times in milliseconds, never negative; `None` is "not measured".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Number of the cycle in its conversation, from 1; starts again when the conversation
    /// left memory.
    pub cycle: u32,
    /// Number of the turn in its cycle, from 1.
    pub turn: u32,
    /// `event_id` of the first unanswered customer message.
    pub first_event_id: String,
    /// `event_id` of the customer's last message.
    pub last_event_id: String,
    /// `event_id` of the answer; empty if there is none.
    pub answer_event_id: String,
    /// When the first unanswered message was sent.
    pub started_ms: i64,
    /// When the answer was sent.
    pub answered_ms: Option<i64>,
    /// `rt.first_unanswered.v1`.
    pub rt_first_unanswered_ms: Option<i64>,
    /// `rt.last_msg.v1`.
    pub rt_last_msg_ms: Option<i64>,
    /// `rt.human.v1`.
    pub rt_human_ms: Option<i64>,
    /// How many customer messages the answer is for.
    pub customer_messages: u32,
}

/// A care cycle, stated when a first-reply time changes and when the cycle ends.
/// Times in milliseconds, never negative; `None` is "not measured".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cycle {
    /// Number of the cycle in its conversation, from 1; starts again when the conversation
    /// left memory.
    pub cycle: u32,
    /// When what opened it was sent.
    pub started_ms: i64,
    /// When it ended; `None` while it is open, and for a historical cycle that nothing ended.
    pub ended_ms: Option<i64>,
    /// `frt.any.v1`.
    pub frt_any_ms: Option<i64>,
    /// `frt.human.v1`.
    pub frt_human_ms: Option<i64>,
    /// `frt.substantive.v1`.
    pub frt_substantive_ms: Option<i64>,
    /// It ended with `resolved`.
    pub resolved: bool,
    /// The cycle is open: its values may still change.
    pub provisional: bool,
    /// It began with a reopen.
    pub reopened: bool,
    /// Turns so far.
    pub turns: u32,
    /// Turns without an answer so far.
    pub unanswered: u32,
}

/// Something in a conversation that a person should look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Hash of tenant, conversation, kind and event: a replay repeats nothing.
    pub signal_id: String,
    /// Owner of the conversation.
    pub tenant: String,
    /// The conversation that it is about.
    pub conversation_id: String,
    /// One incident is open per conversation and family.
    pub family: Family,
    /// What happened.
    pub kind: SignalKind,
    /// Category of urgency; empty if the kind has none or the engine cannot say.
    pub category: String,
    /// How bad it is.
    pub severity: Severity,
    /// `event_id` of its cause.
    pub event_id: String,
    /// When it became true, milliseconds since the Unix epoch.
    pub effective_ms: i64,
    /// Probability that it is what it says, 0 ..= 1.
    pub probability: f64,
    /// Names of the rules that matched.
    pub rules: Vec<String>,
    /// Author of forbidden wording, else who is in charge; empty if nobody is.
    pub agent: String,
    /// Pseudonym of the customer.
    pub customer: String,
    /// Channel of the conversation.
    pub channel: String,
    /// Queue of the conversation.
    pub queue: String,
    /// Team of the conversation.
    pub team: String,
    /// Backfilled or older than the horizon: recorded, never paged.
    pub historical: bool,
}

/// Family of a signal: the part of an incident's key that is not the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// A customer complains.
    Complaint,
    /// An agent's words.
    Wording,
    /// Danger to people or to the company.
    Crisis,
}

/// Kind of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalKind {
    /// A customer's message was assessed as urgent.
    UrgentComplaint,
    /// Words to a customer that are never acceptable.
    ForbiddenWording,
}

impl SignalKind {
    /// The kind's name in contracts and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::UrgentComplaint => "urgent_complaint",
            Self::ForbiddenWording => "forbidden_wording",
        }
    }
}

/// How bad a signal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Should be looked at today.
    Warning,
    /// Should be looked at now.
    High,
    /// Somebody may come to harm.
    Critical,
}
