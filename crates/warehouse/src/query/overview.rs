//! The whole at a glance.

use serde::Deserialize;

use crate::{Warehouse, WarehouseError};

/// What a tenant has in the database.
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
    /// Incidents that are not resolved.
    pub open_incidents: u64,
    /// Those of them that nobody has acknowledged.
    pub unacknowledged_incidents: u64,
    /// Records that could not be processed, of this tenant or of none.
    pub dead_letters: u64,
}

/// Counts what a tenant has.
pub async fn summary(warehouse: &Warehouse, tenant: &str) -> Result<Summary, WarehouseError> {
    let query = warehouse
        .client()
        .query(
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
             FROM v_events WHERE tenant = {tenant:String} \
             ) AS e CROSS JOIN ( \
             SELECT count() AS answered, \
             quantilesExactInclusive(0.5, 0.9)(toFloat64(assumeNotNull(rt_first_unanswered_ms))) AS quantiles \
             FROM v_turns WHERE tenant = {tenant:String} AND isNotNull(rt_first_unanswered_ms) \
             ) AS t CROSS JOIN ( \
             SELECT countIf(state != 'resolved') AS open, countIf(state = 'triggered') AS unacknowledged \
             FROM v_incidents WHERE tenant = {tenant:String} \
             ) AS i CROSS JOIN ( \
             SELECT count() AS dead_letters FROM dead_letters FINAL \
             WHERE tenant IN ({tenant:String}, '') \
             ) AS d",
        )
        .param("tenant", tenant);
    warehouse.run("summarise", query.fetch_one()).await
}

/// What a table received from one partition of the log in the last seven days.
#[derive(Clone, Debug, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub struct Health {
    /// Name of the table.
    pub table_name: String,
    /// Identity of the log.
    pub log_id: String,
    /// Topic.
    pub log_topic: String,
    /// Partition.
    pub log_partition: u32,
    /// Rows as stored, replaced ones included until they are merged away.
    pub rows: u64,
    /// Lowest offset.
    pub first_offset: u64,
    /// Highest offset.
    pub last_offset: u64,
    /// When the newest record was appended, milliseconds since the Unix epoch.
    pub last_append_ms: i64,
}

/// How far each table has come, for every partition of the log that feeds it.
pub async fn health(warehouse: &Warehouse) -> Result<Vec<Health>, WarehouseError> {
    let query = warehouse.client().query(
        "SELECT table_name, toString(log_id) AS log_id, toString(log_topic) AS log_topic, \
         log_partition, rows, first_offset, last_offset, \
         toUnixTimestamp64Milli(last_append_at) AS last_append_ms \
         FROM v_health ORDER BY table_name, log_topic, log_partition, log_id",
    );
    warehouse.run("read the health", query.fetch_all()).await
}
