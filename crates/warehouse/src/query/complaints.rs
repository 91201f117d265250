//! Complaints beside their figures: why they are urgent, what was promised, and what adds up.

use serde::Deserialize;

use super::Dimension;
use super::registry::events_of_range;
use super::scope::{Filter, interactive, length, narrowed};
use crate::{Warehouse, WarehouseError};

/// Most rows of one list.
const MOST: u32 = 100;
/// How long a promise can be pending: what is due later is not followed (metric book).
const FOLLOWED_MS: i64 = 36 * 86_400_000;

/// Urgent complaints of one category.
#[derive(Clone, Debug, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub struct Urgent {
    /// `regulator`, `legal`, ...
    pub category: String,
    /// Messages.
    pub messages: u64,
    /// Conversations that they are in.
    pub conversations: u64,
}

/// What became of promises of one kind.
#[derive(Clone, Debug, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub struct Promised {
    /// `callback`, `refund`, ...
    pub promise: String,
    /// All of them.
    pub made: u64,
    /// Kept.
    pub kept: u64,
    /// Broken.
    pub broken: u64,
    /// Not due yet.
    pub pending: u64,
    /// The conversation does not show it.
    pub unknown: u64,
    /// Nobody looked.
    pub not_followed: u64,
    /// Due by its time, and not judged yet.
    pub overdue: u64,
}

/// A promise that somebody still has to keep.
#[derive(Clone, Debug, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub struct Pending {
    /// What was promised.
    pub promise: String,
    /// When, milliseconds since the Unix epoch.
    pub made_ms: i64,
    /// By when, milliseconds since the Unix epoch.
    pub due_ms: i64,
    /// Where.
    pub conversation_id: String,
    /// The message.
    pub made_event_id: String,
    /// Who promised it, as a keyed pseudonym.
    pub agent: String,
    /// Queue.
    pub queue: String,
}

/// A signal that complaints add up to.
#[derive(Clone, Debug, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub struct Told {
    /// Since when it holds, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Its conversation; of a burst `pulse:<dimension>:<value>`.
    pub conversation_id: String,
    /// `info` to `critical`.
    pub severity: String,
    /// What it rests on, in words.
    pub rules: Vec<String>,
    /// Masked.
    pub excerpt: String,
    /// The conversations that it comes from.
    pub related: Vec<String>,
}

/// What is known of a tenant's complaints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaints {
    /// The most first.
    pub urgent: Vec<Urgent>,
    /// By kind.
    pub promises: Vec<Promised>,
    /// The soonest due first, at most 100.
    pub pending: Vec<Pending>,
    /// The latest first, at most 100.
    pub repeats: Vec<Told>,
    /// The latest first, at most 100.
    pub bursts: Vec<Told>,
}

/// Complaints of a tenant in a range, at `now_ms`; of `filter` channel, queue and team.
///
/// # Errors
/// A range that makes no sense, another filter, and what ClickHouse says.
pub async fn complaints(
    warehouse: &Warehouse,
    tenant: &str,
    from_ms: i64,
    to_ms: i64,
    filter: &Filter,
    now_ms: i64,
) -> Result<Complaints, WarehouseError> {
    length(from_ms, to_ms)?;
    let allowed = [Dimension::Channel, Dimension::Queue, Dimension::Team];
    let narrowed = narrowed("complaints", filter, &allowed)?;
    let bound = |statement: &str| {
        let query = interactive(warehouse, statement)
            .param("tenant", tenant)
            .param("from", from_ms)
            .param("to", to_ms)
            .param("now", now_ms)
            .param("followed", now_ms - FOLLOWED_MS)
            .param("most", MOST);
        filter.given().fold(query, |query, (dimension, value)| {
            query.param(&format!("only_{}", dimension.word()), value)
        })
    };
    let urgent = bound(&format!(
        "SELECT toString(complaint_category) AS category, count() AS messages, \
         uniqExact(conversation_id) AS conversations FROM {} \
         WHERE type = 'message' AND role = 'customer' AND NOT private AND complaint = 'urgent' \
         {narrowed} GROUP BY category ORDER BY messages DESC, category",
        events_of_range!()
    ));
    let overdue = "due_at <= fromUnixTimestamp64Milli({now:Int64}, 'UTC')";
    let promises = bound(&format!(
        "SELECT toString(promise) AS promise, count() AS made, countIf(state = 'kept') AS kept, \
         countIf(state = 'broken') AS broken, countIf(state = 'pending' AND NOT {overdue}) AS pending, \
         countIf(state = 'unknown') AS unknown, countIf(state = 'not_followed') AS not_followed, \
         countIf(state = 'pending' AND {overdue}) AS overdue \
         FROM v_promises WHERE tenant = {{tenant:String}} \
         AND made_at >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC') \
         AND made_at < fromUnixTimestamp64Milli({{to:Int64}}, 'UTC'){narrowed} \
         GROUP BY promise ORDER BY made DESC, promise"
    ));
    let pending = bound(&format!(
        "SELECT toString(promise) AS promise, toUnixTimestamp64Milli(made_at) AS made_ms, \
         toUnixTimestamp64Milli(due_at) AS due_ms, conversation_id, made_event_id, agent, \
         toString(queue) AS queue \
         FROM v_promises WHERE tenant = {{tenant:String}} AND state = 'pending' AND NOT historical \
         AND made_at >= fromUnixTimestamp64Milli({{followed:Int64}}, 'UTC'){narrowed} \
         ORDER BY due_ms, conversation_id, made_event_id LIMIT {{most:UInt32}}"
    ));
    let told = |kind: &str| {
        bound(&format!(
            "SELECT toUnixTimestamp64Milli(effective_at) AS at_ms, conversation_id, \
             toString(severity) AS severity, arrayMap(rule -> toString(rule), rules) AS rules, \
             excerpt, related \
             FROM v_signals WHERE tenant = {{tenant:String}} AND kind = '{kind}' AND NOT corrected \
             AND effective_at >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC') \
             AND effective_at < fromUnixTimestamp64Milli({{to:Int64}}, 'UTC'){} \
             ORDER BY at_ms DESC, signal_id LIMIT {{most:UInt32}}",
            // A burst is of no queue: it comes from all of them.
            if kind == "crisis.burst" { "" } else { &narrowed }
        ))
    };
    let (repeats, bursts) = (told("repeat_complaint"), told("crisis.burst"));
    let (urgent, promises, pending, repeats, bursts) = tokio::try_join!(
        warehouse.run("count urgent complaints", urgent.fetch_all()),
        warehouse.run("count promises", promises.fetch_all()),
        warehouse.run("list pending promises", pending.fetch_all()),
        warehouse.run("list repeated complaints", repeats.fetch_all()),
        warehouse.run("list bursts", bursts.fetch_all()),
    )?;
    Ok(Complaints { urgent, promises, pending, repeats, bursts })
}
