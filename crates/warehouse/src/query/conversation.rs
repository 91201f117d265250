//! Everything known of one conversation.

use serde::Deserialize;

use crate::{Warehouse, WarehouseError};

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
    /// Keyed pseudonym.
    pub author: String,
    /// Masked.
    pub text: String,
    /// `neg`, `neutral`, `pos`; empty: not scored.
    pub sentiment: String,
    /// 0 to 100; agents only.
    pub politeness: Option<f64>,
    /// `normal`, `complaint`, `urgent`; empty: not scored.
    pub complaint: String,
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
    /// `rt.first_unanswered.v1`, milliseconds.
    pub rt_first_unanswered_ms: Option<i64>,
    /// `rt.last_msg.v1`, milliseconds.
    pub rt_last_msg_ms: Option<i64>,
}

/// What the views hold of a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversation {
    /// Events in the order in which they were accepted.
    pub messages: Vec<Message>,
    /// Turns in order.
    pub turns: Vec<Turn>,
}

/// Most events or turns of one answer; a conversation is rarely a hundredth of it.
const MOST: u32 = 10_000;

/// Looks a conversation up, by its index rather than through `v_events`, which reads all that a
/// tenant has; empty when the tenant has none of that id.
pub async fn conversation(
    warehouse: &Warehouse,
    tenant: &str,
    conversation_id: &str,
) -> Result<Conversation, WarehouseError> {
    let bound = |statement: &str| {
        warehouse
            .client()
            .query(statement)
            .param("tenant", tenant)
            .param("conversation", conversation_id)
            .param("most", MOST)
    };
    let messages = bound(
        "SELECT event_id, toString(type) AS type, toUnixTimestamp64Milli(sent_at) AS sent_ms, \
         toString(role) AS role, author, text, toString(sentiment) AS sentiment, \
         politeness_score AS politeness, toString(complaint) AS complaint \
         FROM ( \
         SELECT * FROM events FINAL \
         WHERE tenant = {tenant:String} AND conversation_id = {conversation:String} \
         ORDER BY precedence DESC, log_offset LIMIT 1 BY source, event_id \
         ) ORDER BY event_partition, event_offset LIMIT {most:UInt32}",
    );
    let turns = bound(
        "SELECT cycle, turn, toUnixTimestamp64Milli(started_at) AS started_ms, agent, \
         rt_first_unanswered_ms, rt_last_msg_ms \
         FROM v_turns \
         WHERE tenant = {tenant:String} AND conversation_id = {conversation:String} \
         ORDER BY cycle, turn LIMIT {most:UInt32}",
    );
    Ok(Conversation {
        messages: warehouse.run("look a conversation up", messages.fetch_all()).await?,
        turns: warehouse.run("look a conversation's turns up", turns.fetch_all()).await?,
    })
}
