//! Whether figures can be trusted: what came late, what could not be processed or understood, what
//! was masked, and whether people were reached.

use serde::Deserialize;

use super::registry::events_of_range;
use super::scope::{interactive, length};
use crate::{Warehouse, WarehouseError};

/// An event that is accepted so much later than it was sent is late, milliseconds.
pub const LATE_MS: i64 = 60_000;
/// Most rows of one list.
const MOST: u32 = 100;

/// Counts of a range.
#[derive(Clone, Debug, PartialEq, clickhouse::Row, Deserialize)]
pub struct Taken {
    /// Events, each once.
    pub events: u64,
    /// Those that are neither backfilled nor history.
    pub live: u64,
    /// Live ones that were accepted more than [`LATE_MS`] after they were sent.
    pub late: u64,
    /// From sent to accepted, live ones, milliseconds; `None` without any.
    pub delay_p50_ms: Option<f64>,
    /// The 99th percentile of the same.
    pub delay_p99_ms: Option<f64>,
    /// From accepted to scored, milliseconds.
    pub scoring_p50_ms: Option<f64>,
    /// The 99th percentile of the same.
    pub scoring_p99_ms: Option<f64>,
    /// When the newest event was accepted, milliseconds since the Unix epoch.
    pub newest_ms: Option<i64>,
    /// Messages of customers and agents that both sides see.
    pub messages: u64,
    /// Those that no engine has scored.
    pub unscored: u64,
    /// Messages of customers whose language was looked for.
    pub heard: u64,
    /// Those in no language that is known.
    pub unknown_language: u64,
    /// Messages by whom nobody knows.
    pub unknown_role: u64,
}

/// Personal data of one kind that was masked.
#[derive(Clone, Debug, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub struct Masked {
    /// `PHONE`, `CARD`, ...
    pub kind: String,
    /// Places.
    pub places: u64,
    /// Messages that they are in.
    pub messages: u64,
}

/// Records that could not be processed.
#[derive(Clone, Debug, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub struct DeadLetters {
    /// Who gave up.
    pub component: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub records: u64,
    /// The last one, milliseconds since the Unix epoch.
    pub last_ms: i64,
}

/// What became of pages to one destination.
#[derive(Clone, Debug, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub struct Notifier {
    /// Destination.
    pub destination: String,
    /// Channel.
    pub channel: String,
    /// Pages that arrived.
    pub delivered: u64,
    /// Pages that were given up.
    pub failed: u64,
    /// Attempts that all of them took.
    pub attempts: u64,
    /// Why the last one was given up; empty if none was.
    pub detail: String,
}

/// What is known of a tenant's data.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// Counts.
    pub taken: Taken,
    /// The most first.
    pub masked: Vec<Masked>,
    /// The most first.
    pub dead_letters: Vec<DeadLetters>,
    /// Those with failures first.
    pub notifiers: Vec<Notifier>,
}

/// How a tenant's data of a range is. Events count by when they were sent, dead letters and pages
/// by when they became known.
///
/// # Errors
/// A range that makes no sense, and what ClickHouse says.
pub async fn health(
    warehouse: &Warehouse,
    tenant: &str,
    from_ms: i64,
    to_ms: i64,
) -> Result<Health, WarehouseError> {
    length(from_ms, to_ms)?;
    let bound = |statement: &str| {
        interactive(warehouse, statement)
            .param("tenant", tenant)
            .param("from", from_ms)
            .param("to", to_ms)
            .param("most", MOST)
    };
    let live = "mode != 'backfill' AND NOT historical";
    let shown = "type = 'message' AND NOT private";
    let quantile = |level: &str, of: &str, only: &str| {
        format!(
            "if(countIf({only}) = 0, NULL, quantileExactInclusiveIf({level})(toFloat64({of}), {only}))"
        )
    };
    let delay = "date_diff('millisecond', sent_at, accepted_at)";
    let scoring = "date_diff('millisecond', accepted_at, log_append_at)";
    let taken = bound(&format!(
        "SELECT count() AS events, countIf({live}) AS live, \
         countIf({live} AND {delay} > {LATE_MS}) AS late, \
         {} AS delay_p50_ms, {} AS delay_p99_ms, {} AS scoring_p50_ms, {} AS scoring_p99_ms, \
         if(events = 0, NULL, toUnixTimestamp64Milli(max(accepted_at))) AS newest_ms, \
         countIf({shown} AND role IN ('customer', 'agent')) AS messages, \
         countIf({shown} AND role IN ('customer', 'agent') AND engine = '') AS unscored, \
         countIf({shown} AND role = 'customer' AND lang != '') AS heard, \
         countIf({shown} AND role = 'customer' AND lang = 'unknown') AS unknown_language, \
         countIf(type = 'message' AND role = '') AS unknown_role \
         FROM {}",
        quantile("0.5", delay, live),
        quantile("0.99", delay, live),
        quantile("0.5", scoring, "true"),
        quantile("0.99", scoring, "true"),
        events_of_range!()
    ));
    let masked = bound(&format!(
        "SELECT kind, count() AS places, uniqExact(message) AS messages \
         FROM (SELECT (source, event_id) AS message, \
         arrayJoin(extractAll(text, '\\\\[(PHONE|ID|SSN|CARD|EMAIL|DOCUMENT|ADDRESS|PLATE|HANDLE|NAME)\\\\]')) AS kind \
         FROM {}) GROUP BY kind ORDER BY places DESC, kind",
        events_of_range!()
    ));
    let of_range = "tenant = {tenant:String} \
         AND log_append_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
         AND log_append_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')";
    let dead_letters = bound(&format!(
        "SELECT toString(component) AS component, toString(reason) AS reason, count() AS records, \
         toUnixTimestamp64Milli(max(failed_at)) AS last_ms \
         FROM dead_letters FINAL WHERE {of_range} \
         GROUP BY component, reason ORDER BY records DESC, component, reason LIMIT {{most:UInt32}}"
    ));
    let notifiers = bound(&format!(
        "SELECT toString(destination) AS destination, toString(channel) AS channel, \
         countIf(type = 'paged') AS delivered, countIf(type = 'delivery_failed') AS failed, \
         sum(toUInt64(attempts)) AS attempts, \
         argMaxIf(detail, at, type = 'delivery_failed') AS detail \
         FROM v_deliveries WHERE {of_range} \
         GROUP BY destination, channel ORDER BY failed DESC, destination, channel \
         LIMIT {{most:UInt32}}"
    ));
    let (taken, masked, dead_letters, notifiers) = tokio::try_join!(
        warehouse.run("count what was taken in", taken.fetch_one()),
        warehouse.run("count what was masked", masked.fetch_all()),
        warehouse.run("count dead letters", dead_letters.fetch_all()),
        warehouse.run("count pages", notifiers.fetch_all()),
    )?;
    Ok(Health { taken, masked, dead_letters, notifiers })
}
