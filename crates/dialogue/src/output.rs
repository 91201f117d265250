//! What the fold states: facts, which later facts may correct, and signals, which stay.

use serde::{Deserialize, Serialize};

use crate::care::CareStatement;
use crate::event::{Former, PromiseKind};
use crate::ledger::PromiseState;
use crate::mood::MoodStatement;
use crate::slots::SlotKind;

/// One statement of the fold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Output {
    /// A measured thing.
    Fact(Fact),
    /// Something that a person should look at.
    Signal(Signal),
    /// A customer begins to complain.
    Complaint(Complaint),
    /// Somebody who looks after agents is in the conversation, or leaves it.
    Presence(Presence),
}

/// Somebody who looks after agents enters a conversation, writes in it, or leaves it. Live only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Owner of the conversation.
    pub tenant: String,
    /// The conversation.
    pub conversation_id: String,
    /// Team of the conversation.
    pub team: String,
    /// Pseudonym of the supervisor.
    pub supervisor: String,
    /// False when they leave.
    pub here: bool,
    /// When, milliseconds since the Unix epoch, not after its log time.
    pub at_ms: i64,
}

/// Pseudonyms of a customer under keys that were replaced and are still joined, as
/// [`Former`](crate::Former) has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerIds {
    /// The latest key's first.
    pub ids: Box<[Box<str>]>,
    /// Under which of the customer's pseudonyms repeat contacts are stated: 0 for the newest, n for
    /// the n-th of `ids`.
    pub speaker: u32,
}

impl FormerIds {
    /// No key that is still joined was replaced.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(crate) fn are(&self, former: Former<'_>) -> bool {
        let ids = self.ids.iter().map(|id| &**id);
        self.speaker == former.spoken_by() && ids.eq(former.ids.iter().map(String::as_str))
    }
}

impl From<Former<'_>> for FormerIds {
    fn from(former: Former<'_>) -> Self {
        let ids = former.ids.iter().map(|id| id.as_str().into()).collect();
        Self { ids, speaker: former.spoken_by() }
    }
}

/// A measured thing. Identity: `(tenant, fact_id)`; the highest `revision` is the one in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// Owner of the conversation.
    pub tenant: String,
    /// The conversation that it is about.
    pub conversation_id: String,
    /// `<conversation>/<cycle>` of a cycle, with `/t<turn>`, `/s`, `/<slot><number>` or
    /// `/p<number>` behind it of its turns, session, slots and promises, where `<cycle>` comes from
    /// the identity of the event that opened the cycle: the same log gives the same ids, also
    /// when the conversation left memory in between. Of a promise made outside the open cycle it
    /// comes from the message.
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
    /// The customer's other pseudonyms.
    #[serde(default, skip_serializing_if = "FormerIds::is_empty")]
    pub former: FormerIds,
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
    /// Mood and care of a cycle, stated when it ends.
    Session(Session),
    /// A standard phrase that was due.
    Slot(Slot),
    /// A promise with a due time.
    Promise(Promise),
    /// What came after an ended cycle.
    Recontact(Recontact),
    /// A deadline was told as missed, and an answer that was sent in time came to light later.
    Correction(Correction),
}

/// Mood and care of a care cycle, which is a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Number of the cycle in its conversation.
    pub cycle: u32,
    /// When the cycle began.
    pub started_ms: i64,
    /// The customer's mood.
    pub mood: MoodStatement,
    /// The agents' care.
    pub care: CareStatement,
    /// What each agent did in it, in the order of their first messages; of the first 16.
    pub stints: Vec<Stint>,
}

/// One agent's part in a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stint {
    /// Pseudonym of the agent.
    pub agent: String,
    /// Messages to the customer.
    pub messages: u32,
    /// `aht.v1`: time at work in milliseconds, from whatever was said before each of these messages
    /// to the message, five minutes at most.
    pub active_ms: i64,
    /// `mechanical.v1`: messages that say again what the agent said before, and saved texts that say
    /// nothing to what the customer wants.
    pub mechanical: u32,
}

/// A standard phrase that was due, stated once it is settled whether it was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Number of the cycle in its conversation.
    pub cycle: u32,
    /// Which phrase.
    pub kind: SlotKind,
    /// When the message that made it due was sent.
    pub due_ms: i64,
    /// `event_id` of that message; empty for a closing.
    pub due_event_id: String,
    /// It was said in time.
    pub present: bool,
    /// `event_id` of the message that said it; empty if none did.
    pub event_id: String,
}

/// A promise with a due time (`promise.v1`), stated when it is made and when it is settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// What was promised.
    pub kind: PromiseKind,
    /// When it was made.
    pub made_ms: i64,
    /// By when.
    pub due_ms: i64,
    /// `event_id` of the message that made it.
    pub made_event_id: String,
    /// What became of it.
    pub state: PromiseState,
    /// When that was settled: when it was kept, or its due time.
    pub settled_ms: Option<i64>,
    /// `event_id` of the message that kept it; empty if none did.
    pub event_id: String,
}

/// Whether the customer of an ended cycle came back (`fcr.v1`, `reopen.v1`); stated when the cycle
/// ends, when the customer comes back, and when it is settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recontact {
    /// When the cycle ended.
    pub ended_ms: i64,
    /// It ended resolved.
    pub resolved: bool,
    /// When the customer next asked for something, in whatever conversation; `None` so far.
    pub next_ms: Option<i64>,
    /// When the customer next asked for something in the same conversation; `None` so far.
    pub reopened_ms: Option<i64>,
    /// More than 30 days have passed: this is how it stays.
    pub settled: bool,
}

/// A care cycle in which the customer begins to complain, or to complain urgently: what the
/// folds over many conversations ([`Customers`](crate::Customers), [`Pulse`](crate::Pulse)) live
/// on. Stated once for each of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaint {
    /// Owner of the conversation.
    pub tenant: String,
    /// The conversation.
    pub conversation_id: String,
    /// `fact_id` of the cycle.
    pub cycle_id: String,
    /// The message.
    pub event_id: String,
    /// When it was sent, milliseconds since the Unix epoch, not after its log time.
    pub at_ms: i64,
    /// It needs a person now.
    pub urgent: bool,
    /// Danger to people or to the company.
    pub dangerous: bool,
    /// The cycle was known to complain before this message.
    pub again: bool,
    /// Who is in charge; empty if nobody is.
    pub agent: String,
    /// Pseudonym of the customer; empty if it is not known.
    pub customer: String,
    /// The customer's other pseudonyms.
    #[serde(default, skip_serializing_if = "FormerIds::is_empty")]
    pub former: FormerIds,
    /// Channel of the conversation.
    pub channel: String,
    /// Queue of the conversation.
    pub queue: String,
    /// Team of the conversation.
    pub team: String,
    /// Backfilled or older than the horizon.
    pub historical: bool,
}

/// Takes back a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// The signal that does not hold.
    pub signal_id: String,
    /// What it said.
    pub kind: SignalKind,
}

/// A target of service (`sla.{frt,nrt,resolution}.v1`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sla {
    /// How far it has come.
    pub state: SlaState,
    /// The target in the time that it runs in, in milliseconds.
    pub target_ms: i64,
    /// When it is or was due, milliseconds since the Unix epoch; `None` while it stands still.
    pub due_ms: Option<i64>,
}

/// How far a target has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlaState {
    /// Runs.
    Pending,
    /// Runs, and not much is left.
    Warned,
    /// Missed.
    Breached,
    /// Reached in time.
    Met,
    /// Nothing answers it any more, and it was not due yet.
    Cancelled,
}

impl SlaState {
    /// The state's name in contracts and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Warned => "warned",
            Self::Breached => "breached",
            Self::Met => "met",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Business values of a turn's times, in milliseconds: time inside business hours. `None` where
/// there is no calendar, no answer, or no business time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnBusiness {
    /// Of `rt.first_unanswered.v1`.
    pub rt_first_unanswered_ms: Option<i64>,
    /// Of `rt.last_msg.v1`.
    pub rt_last_msg_ms: Option<i64>,
    /// Of `rt.human.v1`.
    pub rt_human_ms: Option<i64>,
}

/// Business values of a cycle's times, as those of a turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CycleBusiness {
    /// Of `frt.any.v1`.
    pub frt_any_ms: Option<i64>,
    /// Of `frt.human.v1`.
    pub frt_human_ms: Option<i64>,
    /// Of `frt.substantive.v1`.
    pub frt_substantive_ms: Option<i64>,
}

/// Stretches of more than 30 s inside a cycle that end with a message that the customer sees, or
/// with the end of the cycle unless it was idle (`silence.v1`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silences {
    /// While the customer waited for an answer.
    pub agent: u32,
    /// Their time, in milliseconds.
    pub agent_ms: i64,
    /// The others: the customer had the word.
    pub customer: u32,
    /// Their time, in milliseconds.
    pub customer_ms: i64,
    /// Of the customer's, those that an agent ended by speaking again.
    pub restated: u32,
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
    /// The same in business hours.
    pub business: TurnBusiness,
    /// `sla.nrt.v1`; `None` without such a target and for the first reply of a cycle.
    pub sla_nrt: Option<Sla>,
    /// How many customer messages the answer is for.
    pub customer_messages: u32,
}

/// A care cycle, stated when a first-reply time changes, when a target is missed and when the
/// cycle ends.
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
    /// `frt.join.v1`: first message minus the agent's coming in.
    pub frt_join_ms: Option<i64>,
    /// The first three in business hours.
    pub business: CycleBusiness,
    /// `sla.frt.v1`; `None` without such a target, or if nothing live asked for a reply.
    pub sla_frt: Option<Sla>,
    /// `sla.resolution.v1`; `None` without such a target.
    pub sla_resolution: Option<Sla>,
    /// `silence.v1` so far.
    pub silences: Silences,
    /// It ended with `resolved`.
    pub resolved: bool,
    /// The cycle is open: its values may still change.
    pub provisional: bool,
    /// It began with a reopen.
    pub reopened: bool,
    /// Somebody was asked to take over, from a bot or from a person.
    pub handed_over: bool,
    /// A bot, not an automatic greeting, has spoken in it.
    pub bot_served: bool,
    /// Turns so far.
    pub turns: u32,
    /// Turns without an answer so far.
    pub unanswered: u32,
}

/// Something in a conversation that a person should look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Hash of tenant, conversation, kind and event, or turn and cycle for what comes with time: a
    /// replay repeats nothing.
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
    /// `event_id` of its cause: the message, or the one that waits; empty if no message does.
    pub event_id: String,
    /// When it became true, milliseconds since the Unix epoch.
    pub effective_ms: i64,
    /// Probability that it is what it says, 0 ..= 1.
    pub probability: f64,
    /// Names of the rules that matched.
    pub rules: Vec<String>,
    /// Other conversations that it comes from, latest first, at most 10.
    pub related: Vec<String>,
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
    /// A target of service, or nobody says anything.
    Sla,
    /// Danger to people or to the company.
    Crisis,
}

/// Kind of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignalKind {
    /// A customer's message was assessed as urgent.
    #[serde(rename = "urgent_complaint")]
    UrgentComplaint,
    /// Words to a customer that are never acceptable.
    #[serde(rename = "forbidden_wording")]
    ForbiddenWording,
    /// Most of the time for a first reply has passed.
    #[serde(rename = "sla.frt.warning")]
    FrtWarning,
    /// The first reply is late.
    #[serde(rename = "sla.frt.breach")]
    FrtBreach,
    /// Most of the time for a reply has passed.
    #[serde(rename = "sla.nrt.warning")]
    NrtWarning,
    /// A reply is late.
    #[serde(rename = "sla.nrt.breach")]
    NrtBreach,
    /// Most of the time to resolve a cycle has passed.
    #[serde(rename = "sla.resolution.warning")]
    ResolutionWarning,
    /// A cycle is not resolved in time.
    #[serde(rename = "sla.resolution.breach")]
    ResolutionBreach,
    /// A customer waits and nobody says anything.
    #[serde(rename = "silence.agent")]
    AgentSilence,
    /// The customer says nothing: time to ask again.
    #[serde(rename = "silence.customer")]
    CustomerSilence,
    /// The customer's mood dropped badly after an agent's message.
    #[serde(rename = "aggravation")]
    Aggravation,
    /// A promise will be due soon and is not kept.
    #[serde(rename = "promise.near")]
    PromiseNear,
    /// A promise was not kept in time.
    #[serde(rename = "promise.broken")]
    PromiseBroken,
    /// A customer's question has waited for too long.
    #[serde(rename = "question.unanswered")]
    QuestionUnanswered,
    /// A customer's mood falls and falls.
    #[serde(rename = "negative_trend")]
    NegativeTrend,
    /// A customer complains again, in another conversation or cycle.
    #[serde(rename = "repeat_complaint")]
    RepeatComplaint,
    /// Many complain about one thing at once.
    #[serde(rename = "crisis.burst")]
    Burst,
}

impl SignalKind {
    /// The kind's name in contracts and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::UrgentComplaint => "urgent_complaint",
            Self::ForbiddenWording => "forbidden_wording",
            Self::FrtWarning => "sla.frt.warning",
            Self::FrtBreach => "sla.frt.breach",
            Self::NrtWarning => "sla.nrt.warning",
            Self::NrtBreach => "sla.nrt.breach",
            Self::ResolutionWarning => "sla.resolution.warning",
            Self::ResolutionBreach => "sla.resolution.breach",
            Self::AgentSilence => "silence.agent",
            Self::CustomerSilence => "silence.customer",
            Self::Aggravation => "aggravation",
            Self::PromiseNear => "promise.near",
            Self::PromiseBroken => "promise.broken",
            Self::QuestionUnanswered => "question.unanswered",
            Self::NegativeTrend => "negative_trend",
            Self::RepeatComplaint => "repeat_complaint",
            Self::Burst => "crisis.burst",
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
