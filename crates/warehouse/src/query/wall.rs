//! What is going on now: who waits, for how long, and what is urgent.
//!
//! A wait that nobody has answered is no fact yet, so open conversations are read from their
//! events, in log order and by the rules of the metric book: a conversation is open from its last
//! opening to resolve, close or 24 h of silence; a customer waits from the first message after the
//! last human answer that is more than thanks or farewell.

use serde::Deserialize;

use super::registry::events_once;
use super::scope::interactive;
use super::{Figure, Metric, Scope, figure};
use crate::{Warehouse, WarehouseError};

/// How far back events are read: a conversation that had none since is not shown.
pub(super) const LOOK_BACK_MS: i64 = 7 * 86_400_000;
/// After so much silence a conversation is over, unless the customer waits (metrics.md).
pub(super) const IDLE_MS: i64 = 86_400_000;
/// What "lately" means for the response time.
const LATELY_MS: i64 = 3_600_000;
/// Most waiting conversations of one answer.
const MOST: u32 = 100;

/// A customer who waits.
#[derive(Clone, Debug, PartialEq, clickhouse::Row, Deserialize)]
pub struct Waiting {
    /// Whose conversation.
    pub conversation_id: String,
    /// Since when, milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// Who answered last; empty: nobody yet.
    pub agent: String,
    /// Channel.
    pub channel: String,
    /// Queue.
    pub queue: String,
    /// Team.
    pub team: String,
    /// What the customer wrote last, masked.
    pub text: String,
    /// `neg`, `neutral`, `pos` of it; empty: not scored.
    pub sentiment: String,
    /// One of the unanswered messages is urgent.
    pub urgent: bool,
}

/// Counts of what is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub struct Open {
    /// Conversations that are open.
    pub conversations: u64,
    /// Those in which the customer waits.
    pub waiting: u64,
    /// Those whose customer was unhappy in the last message.
    pub negative: u64,
    /// Agents who sent a message in one of them.
    pub agents: u64,
}

/// Counts of incidents that are not resolved, however old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub struct OpenIncidents {
    /// All of them.
    pub all: u64,
    /// Nobody has acknowledged.
    pub unacknowledged: u64,
    /// High or critical.
    pub urgent: u64,
}

/// What is going on.
#[derive(Clone, Debug, PartialEq)]
pub struct Wall {
    /// Conversations.
    pub open: Open,
    /// Incidents.
    pub incidents: OpenIncidents,
    /// `rt.first_unanswered.v1` of the turns that began in the last hour.
    pub response: Figure,
    /// The longest waits first, at most 100.
    pub waiting: Vec<Waiting>,
}

/// Open conversations of a tenant, one row each, with the parameters `tenant`, `since` and `idle`.
pub(super) fn conversations() -> String {
    let human = "type = 'message' AND role = 'agent' AND NOT private \
                 AND subtype NOT IN ('auto', 'ai')";
    let customer = "type = 'message' AND role = 'customer' AND NOT private";
    let ends = "type = 'status' AND status IN ('resolved', 'closed')";
    // Thanks or farewell alone ask for nothing.
    let asks = format!(
        "{customer} AND NOT (notEmpty(acts) AND hasAny(acts, ['thanks', 'closing']) \
         AND hasAll(['thanks', 'closing', 'acknowledge'], acts))"
    );
    let lately = events_once!(
        "tenant = {tenant:String} AND NOT historical \
         AND log_append_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')"
    );
    format!(
        "SELECT conversation_id, \
         maxIf(event_offset + 1, {human}) AS answered, \
         maxIf(event_offset + 1, {ends}) AS ended, \
         maxIf(event_offset + 1, type = 'message' OR (type = 'status' AND status IN ('open', 'reopened'))) AS spoken, \
         max(accepted_at) AS last_at, \
         argMaxIf(author, event_offset, {human}) AS agent, \
         argMaxIf(customer, event_offset, customer != '') AS asker, \
         arrayExists(at -> at > ended, groupArrayIf(event_offset + 1, type = 'message' AND role = 'bot')) \
         AND answered <= ended \
         AND NOT arrayExists(at -> at > ended, groupArrayIf(event_offset + 1, type = 'handoff')) AS bot_only, \
         argMax(toString(channel), event_offset) AS channel, \
         argMax(toString(queue), event_offset) AS queue, \
         argMax(toString(team), event_offset) AS team, \
         argMaxIf(text, event_offset, {customer}) AS text, \
         argMaxIf(toString(sentiment), event_offset, {customer}) AS sentiment, \
         arrayFilter(asked -> asked.1 > greatest(answered, ended), \
         groupArrayIf((event_offset + 1, least(sent_at, accepted_at), complaint = 'urgent'), {asks})) AS unanswered, \
         ended < spoken AND (notEmpty(unanswered) OR last_at > fromUnixTimestamp64Milli({{idle:Int64}}, 'UTC')) AS is_open \
         FROM {lately} \
         GROUP BY conversation_id HAVING is_open"
    )
}

/// What is going on with a tenant at `now_ms`, milliseconds since the Unix epoch.
pub async fn wall(
    warehouse: &Warehouse,
    tenant: &str,
    now_ms: i64,
) -> Result<Wall, WarehouseError> {
    let bound = |statement: &str| {
        interactive(warehouse, statement)
            .param("tenant", tenant)
            .param("since", now_ms - LOOK_BACK_MS)
            .param("idle", now_ms - IDLE_MS)
            .param("most", MOST)
    };
    let conversations = conversations();
    let open = bound(&format!(
        "SELECT count() AS conversations, countIf(notEmpty(unanswered)) AS waiting, \
         countIf(sentiment = 'neg') AS negative, uniqExactIf(agent, agent != '') AS agents \
         FROM ({conversations})"
    ));
    let waiting = bound(&format!(
        "SELECT conversation_id, \
         toUnixTimestamp64Milli(arrayMin(asked -> asked.2, unanswered)) AS since_ms, \
         agent, channel, queue, team, text, sentiment, \
         arrayExists(asked -> asked.3, unanswered) AS urgent \
         FROM ({conversations}) WHERE notEmpty(unanswered) \
         ORDER BY since_ms, conversation_id LIMIT {{most:UInt32}}"
    ));
    let incidents = bound(
        "SELECT count() AS all, countIf(state = 'triggered') AS unacknowledged, \
         countIf(severity IN ('high', 'critical')) AS urgent \
         FROM v_incidents WHERE tenant = {tenant:String} AND state != 'resolved'",
    );
    let response = Metric::from_id("rt.first_unanswered.v1")?;
    let lately = Scope::new(response, now_ms - LATELY_MS, now_ms + 1);
    let (open, waiting, incidents, response) = tokio::try_join!(
        warehouse.run("count what is open", open.fetch_one()),
        warehouse.run("list who waits", waiting.fetch_all()),
        warehouse.run("count open incidents", incidents.fetch_one()),
        figure(warehouse, tenant, &lately),
    )?;
    Ok(Wall { open, incidents, response, waiting })
}
