//! Customer runs as profiles of platforms look at them.

use serde::Deserialize;

use super::Dimension;
use super::registry::{events_of_range, said_by_people};
use super::scope::{Filter, interactive, length, narrowed};
use super::wall::{IDLE_MS, LOOK_BACK_MS, conversations};
use crate::{Warehouse, WarehouseError};

/// Most runs of one answer: those of a busy month.
const MOST: u64 = 500_000;

/// A customer run of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub struct CustomerRun {
    /// Whose conversation.
    pub conversation_id: String,
    /// Whose run, as a keyed pseudonym; the conversation of somebody unknown.
    pub customer: String,
    /// When it began, milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// When the last message of either side was sent before the next run began.
    pub last_ms: i64,
    /// When a person answered.
    pub answered_ms: Option<i64>,
    /// Its session has ended.
    pub closed: bool,
    /// Only machines answered in its session, and nobody handed over to people.
    pub bot_only: bool,
}

/// Runs of a tenant that began in a range, as they are at `now_ms`, in the order of their starts
/// within each conversation; of `filter` agent, channel, queue and team. A run that nobody has
/// answered so far is of no agent.
///
/// # Errors
/// A range that makes no sense or holds more than 500,000 runs, another filter, and what ClickHouse
/// says.
pub async fn customer_runs(
    warehouse: &Warehouse,
    tenant: &str,
    from_ms: i64,
    to_ms: i64,
    filter: &Filter,
    now_ms: i64,
) -> Result<Vec<CustomerRun>, WarehouseError> {
    length(from_ms, to_ms)?;
    let allowed = [Dimension::Agent, Dimension::Channel, Dimension::Queue, Dimension::Team];
    let narrowed = narrowed("profiles", filter, &allowed)?;
    let range = "tenant = {tenant:String} \
         AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
         AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')";
    // Of what nobody has answered there is no turn before the session ends, and it is nobody's.
    let open = if filter.agent.is_some() {
        String::new()
    } else {
        format!(
            "UNION ALL SELECT conversation_id, asker AS customer, \
             toUnixTimestamp64Milli(arrayMin(asked -> asked.2, unanswered)) AS started_ms, \
             CAST(NULL, 'Nullable(Int64)') AS waited_ms, toUInt32(4294967295) AS cycle, \
             toUInt32(0) AS turn, false AS closed, toBool(bot_only) AS bot_only \
             FROM ({}) WHERE notEmpty(unanswered) \
             AND started_ms >= {{from:Int64}} AND started_ms < {{to:Int64}}{narrowed}",
            conversations()
        )
    };
    // An answer may come as the next run begins, a message of the customer may not.
    let statement = format!(
        "SELECT conversation_id, if(customer = '', conversation_id, customer) AS customer, started_ms, \
         greatest(started_ms, arrayMax(arrayFilter(sent -> sent < next_ms, asked)), \
         arrayMax(arrayFilter(sent -> sent <= next_ms, answered))) AS last_ms, \
         started_ms + waited_ms AS answered_ms, closed, bot_only \
         FROM (SELECT r.*, m.asked AS asked, m.answered AS answered, \
         leadInFrame(r.started_ms, 1, 9223372036854775807) OVER (PARTITION BY r.conversation_id \
         ORDER BY r.started_ms, r.cycle, r.turn \
         ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS next_ms \
         FROM (SELECT t.conversation_id AS conversation_id, t.customer AS customer, \
         toUnixTimestamp64Milli(t.started_at) AS started_ms, t.rt_first_unanswered_ms AS waited_ms, \
         t.cycle AS cycle, t.turn AS turn, c.closed AS closed, c.bot_only AS bot_only \
         FROM (SELECT *, replaceRegexpOne(fact_id, '/t[0-9]+$', '') AS cycle_id FROM v_turns \
         WHERE {range}{narrowed}) AS t \
         INNER JOIN (SELECT fact_id AS cycle_id, toBool(NOT provisional) AS closed, \
         toBool(bot_served AND NOT handed_over AND frt_human_ms IS NULL) AS bot_only \
         FROM v_sessions WHERE tenant = {{tenant:String}} \
         AND at >= fromUnixTimestamp64Milli({{from:Int64}} - 604800000, 'UTC') \
         AND at < fromUnixTimestamp64Milli({{to:Int64}}, 'UTC')) AS c USING (cycle_id) {open}) AS r \
         LEFT JOIN (SELECT conversation_id, \
         groupArrayIf(toUnixTimestamp64Milli(least(sent_at, accepted_at)), role = 'customer') AS asked, \
         groupArrayIf(toUnixTimestamp64Milli(least(sent_at, accepted_at)), role = 'agent') AS answered \
         FROM {} WHERE (type = 'message' AND role = 'customer' AND NOT private) OR ({}) \
         GROUP BY conversation_id) AS m USING (conversation_id)) \
         ORDER BY conversation_id, started_ms, cycle, turn LIMIT {{most:UInt64}}",
        events_of_range!(),
        said_by_people!()
    );
    let query = interactive(warehouse, &statement)
        .param("tenant", tenant)
        .param("from", from_ms)
        .param("to", to_ms)
        .param("since", now_ms - LOOK_BACK_MS)
        .param("idle", now_ms - IDLE_MS)
        .param("most", MOST + 1);
    let query = filter.given().fold(query, |query, (dimension, value)| {
        query.param(&format!("only_{}", dimension.word()), value)
    });
    let runs: Vec<CustomerRun> = warehouse.run("list customer runs", query.fetch_all()).await?;
    if runs.len() as u64 > MOST {
        return Err(WarehouseError::InvalidRange(
            "the range has more than 500,000 customer runs; ask for a shorter one",
        ));
    }
    Ok(runs)
}
