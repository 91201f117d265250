//! The whole at a glance.

use serde::Deserialize;

use super::registry::events_once;
use crate::{Warehouse, WarehouseError};

/// What a tenant has in the database of a stretch of time.
#[derive(Clone, Debug, PartialEq, clickhouse::Row, Deserialize)]
pub struct Summary {
    /// Accepted events.
    pub events: u64,
    /// Messages among them.
    pub messages: u64,
    /// Messages that carry a sentiment or a politeness score.
    pub messages_scored: u64,
    /// Conversations.
    pub conversations: u64,
    /// Turns with a measured `rt.first_unanswered.v1`.
    pub turns_answered: u64,
    /// Median of `rt.first_unanswered.v1`, milliseconds.
    pub rt_first_unanswered_p50_ms: Option<f64>,
    /// 90th percentile of it, milliseconds.
    pub rt_first_unanswered_p90_ms: Option<f64>,
    /// Incidents that are not resolved, however old.
    pub open_incidents: u64,
    /// Those of them that nobody has acknowledged.
    pub unacknowledged_incidents: u64,
    /// Records of the tenant that could not be processed. Those that could not even be read belong
    /// to no tenant and are the operator's.
    pub dead_letters: u64,
}

/// Counts what came of a tenant since `since_ms`, milliseconds since the Unix epoch, by the time at
/// which the log took it in: the tables are partitioned by it, so that older days are not read.
pub async fn summary(
    warehouse: &Warehouse,
    tenant: &str,
    since_ms: i64,
) -> Result<Summary, WarehouseError> {
    let query = warehouse
        .client()
        .query(
            concat!(
            "SELECT e.events AS events, e.messages AS messages, \
             e.messages_scored AS messages_scored, e.conversations AS conversations, \
             t.answered AS turns_answered, \
             if(t.answered = 0, NULL, t.quantiles[1]) AS rt_first_unanswered_p50_ms, \
             if(t.answered = 0, NULL, t.quantiles[2]) AS rt_first_unanswered_p90_ms, \
             i.open AS open_incidents, i.unacknowledged AS unacknowledged_incidents, \
             d.dead_letters AS dead_letters \
             FROM ( \
             SELECT count() AS events, countIf(type = 'message') AS messages, \
             countIf(type = 'message' AND (sentiment != '' OR politeness != '')) AS messages_scored, \
             uniqExact(conversation_id) AS conversations \
             FROM ",
            events_once!(
                "tenant = {tenant:String} \
                 AND log_append_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')"
            ),
            ") AS e CROSS JOIN ( \
             SELECT count() AS answered, \
             quantilesExactInclusive(0.5, 0.9)(toFloat64(assumeNotNull(rt_first_unanswered_ms))) AS quantiles \
             FROM v_turns WHERE tenant = {tenant:String} AND isNotNull(rt_first_unanswered_ms) \
             AND log_append_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') \
             ) AS t CROSS JOIN ( \
             SELECT countIf(state != 'resolved') AS open, countIf(state = 'triggered') AS unacknowledged \
             FROM v_incidents WHERE tenant = {tenant:String} \
             ) AS i CROSS JOIN ( \
             SELECT count() AS dead_letters FROM dead_letters FINAL \
             WHERE tenant = {tenant:String} \
             AND log_append_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') \
             ) AS d"
            ),
        )
        .param("tenant", tenant)
        .param("since", since_ms);
    warehouse.run("summarise", query.fetch_one()).await
}
