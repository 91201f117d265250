//! Everything known of one conversation.

use clickhouse::RowOwned;
use clickhouse::RowRead;
use serde::Deserialize;

use super::scope::interactive;
use crate::{Warehouse, WarehouseError};

/// A reason for a score: begin and end in Unicode scalars of the masked text (half-open), class,
/// rule or phrase, points, and the score that they add to.
pub type Reason = (u32, u32, String, String, f64, String);

/// An event of a conversation with its scores.
#[derive(Clone, Debug, PartialEq, clickhouse::Row, Deserialize)]
pub struct Message {
    /// Identity given by the source.
    pub event_id: String,
    /// `message`, `edit`, `handoff`, ...
    pub r#type: String,
    /// The platform's clock, milliseconds since the Unix epoch.
    pub sent_ms: i64,
    /// `customer`, `agent`, `bot`, `system`, `supervisor`.
    pub role: String,
    /// `auto`, `assist`, `template`, `ai`; empty: a person.
    pub subtype: String,
    /// Keyed pseudonym.
    pub author: String,
    /// A note that the customer does not see.
    pub private: bool,
    /// Masked.
    pub text: String,
    /// `open`, `resolved`, `reopened`, `closed`; for type status.
    pub status: String,
    /// Message whose text this one replaces.
    pub supersedes: String,
    /// Message that this one withdraws.
    pub deletes: String,
    /// `neg`, `neutral`, `pos`; empty: not scored.
    pub sentiment: String,
    /// -1 to 1; customers only.
    pub sentiment_value: Option<f64>,
    /// 0 to 1.
    pub sentiment_confidence: Option<f64>,
    /// `impolite`, `neutral`, `polite`; empty: not scored.
    pub politeness_label: String,
    /// 0 to 100; agents only.
    pub politeness: Option<f64>,
    /// `normal`, `complaint`, `urgent`; empty: not scored.
    pub complaint: String,
    /// Why it is urgent: `regulator`, `legal`, ...
    pub complaint_category: String,
    /// 0 to 1; customers only.
    pub urgent_probability: Option<f64>,
    /// Holds wording that is never acceptable.
    pub forbidden: bool,
    /// Dialogue acts.
    pub acts: Vec<String>,
    /// How its scores come about.
    pub reasons: Vec<Reason>,
    /// Version of the engine that scored.
    pub engine: String,
    /// Hash of its phrase library.
    pub library: String,
}

/// A turn of a conversation.
#[derive(Clone, Debug, PartialEq, clickhouse::Row, Deserialize)]
pub struct Turn {
    /// Number of the care cycle.
    pub cycle: u32,
    /// Number of the turn in it.
    pub turn: u32,
    /// When the customer began to wait, milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// Who answered; empty: nobody.
    pub agent: String,
    /// First unanswered message.
    pub first_event_id: String,
    /// Last message of the customer.
    pub last_event_id: String,
    /// The answer; empty: none.
    pub answer_event_id: String,
    /// `rt.first_unanswered.v1`, milliseconds.
    pub rt_first_unanswered_ms: Option<i64>,
    /// `rt.last_msg.v1`, milliseconds.
    pub rt_last_msg_ms: Option<i64>,
    /// `rt.human.v1`, milliseconds.
    pub rt_human_ms: Option<i64>,
    /// `sla.nrt.v1`; empty: no target.
    pub sla_nrt: String,
}

/// A care cycle.
#[derive(Clone, Debug, PartialEq, clickhouse::Row, Deserialize)]
pub struct Cycle {
    /// Its number.
    pub cycle: u32,
    /// Milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// Absent while it is open.
    pub ended_ms: Option<i64>,
    /// It ended so.
    pub resolved: bool,
    /// It began with a reopen.
    pub reopened: bool,
    /// Turns in it.
    pub turns: u32,
    /// Turns without an answer.
    pub unanswered: u32,
    /// `frt.any.v1`, milliseconds.
    pub frt_any_ms: Option<i64>,
    /// `frt.human.v1`, milliseconds.
    pub frt_human_ms: Option<i64>,
    /// `frt.substantive.v1`, milliseconds.
    pub frt_substantive_ms: Option<i64>,
    /// `sla.frt.v1`; empty: no target.
    pub sla_frt: String,
    /// `sla.resolution.v1`; empty: no target.
    pub sla_resolution: String,
}

/// Mood and care of an ended cycle.
#[derive(Clone, Debug, PartialEq, clickhouse::Row, Deserialize)]
pub struct Care {
    /// Number of the cycle.
    pub cycle: u32,
    /// Mean sentiment of the first messages, -1 to 1.
    pub mood_begin: Option<f64>,
    /// The same of the last.
    pub mood_end: Option<f64>,
    /// `cl5.v1`.
    pub cl5: Option<f64>,
    /// `emo.conv.v1`.
    pub converted: Option<bool>,
    /// `aggravation.v1`.
    pub aggravations: u32,
    /// The customer complained.
    pub complaint: bool,
    /// What it was about; empty if that cannot be told.
    pub topic: String,
    /// `funnel.identification.v1`.
    pub identified: Option<bool>,
    /// `funnel.emotion.v1`.
    pub felt: Option<bool>,
    /// `funnel.solution.v1`.
    pub solved: Option<bool>,
    /// `funnel.follow_up.v1`.
    pub followed_up: Option<bool>,
    /// `soothing.v1`, 0 to 5.
    pub soothing: Option<u32>,
}

/// A standard phrase that was due.
#[derive(Clone, Debug, PartialEq, clickhouse::Row, Deserialize)]
pub struct Slot {
    /// Number of the cycle.
    pub cycle: u32,
    /// `greeting`, `professional`, `emotion`, `apology`, `closing`.
    pub slot: String,
    /// `basic`, `professional`, `emotion`.
    pub level: String,
    /// What made it due; empty for a closing.
    pub due_event_id: String,
    /// It was said in time.
    pub present: bool,
    /// The message that said it.
    pub event_id: String,
}

/// A promise with a due time.
#[derive(Clone, Debug, PartialEq, clickhouse::Row, Deserialize)]
pub struct Promise {
    /// `callback`, `refund`, `ship`, `solve`, `reply`, `other`.
    pub promise: String,
    /// Milliseconds since the Unix epoch.
    pub made_ms: i64,
    /// Milliseconds since the Unix epoch.
    pub due_ms: i64,
    /// `pending`, `kept`, `broken`, `unknown`.
    pub state: String,
    /// The message that made it.
    pub made_event_id: String,
    /// The message that kept it.
    pub event_id: String,
}

/// Something that a person should look at.
#[derive(Clone, Debug, PartialEq, clickhouse::Row, Deserialize)]
pub struct Signal {
    /// Identity.
    pub signal_id: String,
    /// `complaint`, `wording`, `sla`, `crisis`.
    pub family: String,
    /// `urgent_complaint`, ...
    pub kind: String,
    /// `regulator`, ...
    pub category: String,
    /// `info`, `warning`, `high`, `critical`.
    pub severity: String,
    /// The event that caused it.
    pub event_id: String,
    /// When it became true, milliseconds since the Unix epoch.
    pub effective_ms: i64,
    /// 0 to 1.
    pub probability: f64,
    /// Rules that matched.
    pub rules: Vec<String>,
    /// It turned out not to hold.
    pub corrected: bool,
}

/// An incident as its latest event left it.
#[derive(Clone, Debug, PartialEq, clickhouse::Row, Deserialize)]
pub struct Incident {
    /// Identity.
    pub incident_id: String,
    /// As of its first signal.
    pub family: String,
    /// As of its first signal.
    pub kind: String,
    /// As of its first signal.
    pub category: String,
    /// `triggered`, `acknowledged`, `resolved`, ...
    pub state: String,
    /// `info`, `warning`, `high`, `critical`.
    pub severity: String,
    /// Milliseconds since the Unix epoch.
    pub triggered_ms: Option<i64>,
    /// Milliseconds since the Unix epoch.
    pub acknowledged_ms: Option<i64>,
    /// Milliseconds since the Unix epoch.
    pub resolved_ms: Option<i64>,
    /// Who answers for it.
    pub owner: String,
}

/// What the views hold of a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversation {
    /// Events in the order in which they were accepted.
    pub messages: Vec<Message>,
    /// Turns in order.
    pub turns: Vec<Turn>,
    /// Care cycles in order.
    pub cycles: Vec<Cycle>,
    /// Mood and care of those that have ended.
    pub care: Vec<Care>,
    /// Phrases that were due.
    pub slots: Vec<Slot>,
    /// Promises in the order in which they were made.
    pub promises: Vec<Promise>,
    /// Signals in the order in which they became true.
    pub signals: Vec<Signal>,
    /// Incidents, the oldest first.
    pub incidents: Vec<Incident>,
}

/// Most rows of one kind in an answer; a conversation rarely has a hundredth of it.
const MOST: u32 = 10_000;

/// Which rows are the conversation's.
const OWN: &str = "tenant = {tenant:String} AND conversation_id = {conversation:String}";

/// Looks a conversation up, by its index rather than through `v_events`, which reads all that a
/// tenant has; empty when the tenant has none of that id.
pub async fn conversation(
    warehouse: &Warehouse,
    tenant: &str,
    conversation_id: &str,
) -> Result<Conversation, WarehouseError> {
    let of = Of { warehouse, tenant, conversation_id };
    let (messages, turns, cycles, care, slots, promises, signals, incidents) = tokio::try_join!(
        of.rows(
            "messages",
            "SELECT event_id, toString(type) AS type, \
                 toUnixTimestamp64Milli(sent_at) AS sent_ms, toString(role) AS role, \
                 toString(subtype) AS subtype, author, private, text, \
                 toString(status) AS status, supersedes, deletes, \
                 toString(sentiment) AS sentiment, sentiment_value, sentiment_confidence, \
                 toString(e.politeness) AS politeness_label, e.politeness_score AS politeness, \
                 toString(complaint) AS complaint, \
                 toString(complaint_category) AS complaint_category, urgent_probability, \
                 forbidden, arrayMap(act -> toString(act), acts) AS acts, \
                 arrayZip(evidence_start, evidence_end, \
                 arrayMap(word -> toString(word), evidence_class), \
                 arrayMap(word -> toString(word), evidence_rule), evidence_points, \
                 arrayMap(word -> toString(word), evidence_target)) AS reasons, \
                 toString(engine) AS engine, toString(library) AS library \
                 FROM (SELECT * FROM events FINAL WHERE {OWN} \
                 ORDER BY precedence DESC, log_offset LIMIT 1 BY source, event_id) AS e \
                 ORDER BY event_partition, event_offset",
        ),
        of.rows(
            "turns",
            "SELECT cycle, turn, toUnixTimestamp64Milli(started_at) AS started_ms, agent, \
                 first_event_id, last_event_id, answer_event_id, \
                 rt_first_unanswered_ms, rt_last_msg_ms, rt_human_ms, \
                 toString(sla_nrt) AS sla_nrt \
                 FROM v_turns WHERE {OWN} ORDER BY cycle, turn",
        ),
        of.rows(
            "care cycles",
            "SELECT cycle, toUnixTimestamp64Milli(started_at) AS started_ms, \
                 toUnixTimestamp64Milli(ended_at) AS ended_ms, resolved, reopened, turns, \
                 unanswered, frt_any_ms, frt_human_ms, frt_substantive_ms, \
                 toString(sla_frt) AS sla_frt, toString(sla_resolution) AS sla_resolution \
                 FROM v_sessions WHERE {OWN} ORDER BY cycle",
        ),
        of.rows(
            "moods",
            "SELECT cycle, mood_begin, mood_end, cl5, converted, aggravations, complaint, \
                 toString(topic) AS topic, identified, felt, solved, followed_up, soothing \
                 FROM v_care WHERE {OWN} ORDER BY cycle",
        ),
        of.rows(
            "phrases",
            "SELECT cycle, toString(slot) AS slot, toString(level) AS level, due_event_id, \
                 present, event_id FROM v_slots WHERE {OWN} ORDER BY cycle, at, slot",
        ),
        of.rows(
            "promises",
            "SELECT toString(promise) AS promise, \
                 toUnixTimestamp64Milli(made_at) AS made_ms, \
                 toUnixTimestamp64Milli(due_at) AS due_ms, toString(state) AS state, \
                 made_event_id, event_id FROM v_promises WHERE {OWN} ORDER BY made_at, due_at",
        ),
        of.rows(
            "signals",
            "SELECT signal_id, toString(family) AS family, toString(kind) AS kind, \
                 toString(category) AS category, toString(severity) AS severity, event_id, \
                 toUnixTimestamp64Milli(effective_at) AS effective_ms, probability, \
                 arrayMap(rule -> toString(rule), rules) AS rules, toBool(corrected) AS corrected \
                 FROM v_signals WHERE {OWN} ORDER BY effective_at, signal_id",
        ),
        // Not through `v_incidents`, which reads all that a tenant has.
        of.rows(
            "incidents",
            "SELECT incident_id, toString(family) AS family, toString(kind) AS kind, \
                 toString(category) AS category, toString(state) AS state, \
                 toString(severity) AS severity, \
                 toUnixTimestamp64Milli(triggered_at) AS triggered_ms, \
                 toUnixTimestamp64Milli(acknowledged_at) AS acknowledged_ms, \
                 toUnixTimestamp64Milli(resolved_at) AS resolved_ms, owner \
                 FROM (SELECT * FROM incidents FINAL WHERE {OWN} \
                 ORDER BY version DESC, at DESC, log_offset DESC LIMIT 1 BY incident_id) \
                 ORDER BY triggered_at, incident_id",
        ),
    )?;
    Ok(Conversation { messages, turns, cycles, care, slots, promises, signals, incidents })
}

struct Of<'a> {
    warehouse: &'a Warehouse,
    tenant: &'a str,
    conversation_id: &'a str,
}

impl Of<'_> {
    async fn rows<T: RowOwned + RowRead>(
        &self,
        what: &str,
        statement: &str,
    ) -> Result<Vec<T>, WarehouseError> {
        let statement = statement.replace("{OWN}", OWN) + " LIMIT {most:UInt32}";
        let request = interactive(self.warehouse, &statement)
            .param("tenant", self.tenant)
            .param("conversation", self.conversation_id)
            .param("most", MOST);
        self.warehouse.run(&format!("look a conversation's {what} up"), request.fetch_all()).await
    }
}
