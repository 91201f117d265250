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
const MOST: u32 = 1_000;
/// Most agents of one answer.
const MOST_AGENTS: usize = 1_000;

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
    /// No person has answered since the conversation was opened or reopened last.
    pub is_first: bool,
    /// The last hand-off since then, milliseconds since the Unix epoch; 0: none.
    pub handed_over_ms: i64,
    /// Only a bot has answered since then, and nobody was asked to take over.
    pub bot_only: bool,
}

/// An agent who wrote last among people in an open conversation.
#[derive(Clone, Debug, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub struct Active {
    /// Keyed pseudonym; empty for conversations in which no person has written.
    pub agent: String,
    /// Open conversations.
    pub conversations: u64,
    /// Those in which the customer waits.
    pub waiting: u64,
    /// Those whose customer was unhappy in the last message.
    pub negative: u64,
    /// Since when the one who waits longest does, milliseconds since the Unix epoch.
    pub longest_ms: Option<i64>,
    /// The agent's last message in one of them, milliseconds since the Unix epoch; 0: none.
    pub last_ms: i64,
}

/// Counts of what is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// The longest waits first, at most 1,000.
    pub waiting: Vec<Waiting>,
    /// Agents of open conversations, those whose customer waits longest first, at most 1,000.
    pub agents: Vec<Active>,
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
         toUnixTimestamp64Milli(maxIf(accepted_at, {human})) AS answered_ms, \
         answered <= ended AS is_first, \
         arrayMax(moved -> if(moved.1 > ended, moved.2, 0), arrayPushBack(groupArrayIf((event_offset + 1, \
         toUnixTimestamp64Milli(least(sent_at, accepted_at))), type = 'handoff'), (toUInt64(0), toInt64(0)))) AS handed_over_ms, \
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
    // Conversations without an agent are counted under the empty name.
    let agents = bound(&format!(
        "SELECT agent, count() AS conversations, countIf(notEmpty(unanswered)) AS waiting, \
         countIf(sentiment = 'neg') AS negative, \
         minOrNullIf(toUnixTimestamp64Milli(arrayMin(asked -> asked.2, unanswered)), \
         notEmpty(unanswered)) AS longest_ms, max(answered_ms) AS last_ms \
         FROM ({conversations}) GROUP BY agent"
    ));
    let waiting = bound(&format!(
        "SELECT conversation_id, \
         toUnixTimestamp64Milli(arrayMin(asked -> asked.2, unanswered)) AS since_ms, \
         agent, channel, queue, team, text, sentiment, \
         arrayExists(asked -> asked.3, unanswered) AS urgent, \
         toBool(is_first) AS is_first, handed_over_ms, toBool(bot_only) AS bot_only \
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
    let (agents, waiting, incidents, response) = tokio::try_join!(
        warehouse.run("count what is open", agents.fetch_all()),
        warehouse.run("list who waits", waiting.fetch_all()),
        warehouse.run("count open incidents", incidents.fetch_one()),
        figure(warehouse, tenant, &lately),
    )?;
    let (open, agents) = by_agent(agents);
    Ok(Wall { open, incidents, response, waiting, agents })
}

/// What is open in all, and the agents: those whose customer waits longest first, then those who
/// have most to do.
fn by_agent(rows: Vec<Active>) -> (Open, Vec<Active>) {
    let sum = |of: fn(&Active) -> u64| rows.iter().map(of).sum();
    let mut open = Open {
        conversations: sum(|row| row.conversations),
        waiting: sum(|row| row.waiting),
        negative: sum(|row| row.negative),
        agents: 0,
    };
    let mut agents: Vec<Active> = rows.into_iter().filter(|row| !row.agent.is_empty()).collect();
    open.agents = agents.len() as u64;
    agents.sort_by(|a, b| {
        let key = |row: &Active| {
            (row.longest_ms.is_none(), row.longest_ms, std::cmp::Reverse(row.conversations))
        };
        key(a).cmp(&key(b)).then_with(|| a.agent.cmp(&b.agent))
    });
    agents.truncate(MOST_AGENTS);
    (open, agents)
}
