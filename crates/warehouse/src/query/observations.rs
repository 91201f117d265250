//! From a figure to the conversations behind it.

use serde::Deserialize;

use super::{Dimension, Measure, Scope};
use crate::rollup::{HOUR_MS, Plan};
use crate::{Warehouse, WarehouseError};

/// Most rows of one answer.
const MOST: u32 = 1_000;

/// In which order observations come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The latest first.
    Latest,
    /// The greatest value first.
    Greatest,
    /// The least value first.
    Least,
}

impl Order {
    /// The order of that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "latest" => Some(Self::Latest),
            "greatest" => Some(Self::Greatest),
            "least" => Some(Self::Least),
            _ => None,
        }
    }

    const fn expression(self) -> &'static str {
        match self {
            Self::Latest => "observed_ms DESC",
            Self::Greatest => "value DESC, observed_ms DESC",
            Self::Least => "value, observed_ms DESC",
        }
    }
}

/// One value that a figure rests on.
#[derive(Clone, Debug, PartialEq, clickhouse::Row, Deserialize)]
pub struct Observation {
    /// Whose conversation.
    pub conversation_id: String,
    /// The message that it is about; empty for the session as a whole.
    pub event_id: String,
    /// When it counts, milliseconds since the Unix epoch.
    pub observed_ms: i64,
    /// In the metric's unit; of a rate 1 or 0.
    pub value: f64,
    /// Keyed pseudonym; empty if the metric has no agents.
    pub agent: String,
    /// Empty if the metric has no channels.
    pub channel: String,
    /// Empty if the metric has no queues.
    pub queue: String,
    /// Empty if the metric has no teams.
    pub team: String,
}

/// What a scope's figure rests on, at most `limit` of it (1 to 1,000); of one customer's
/// conversations only if a pseudonym is given.
pub async fn observations(
    warehouse: &Warehouse,
    tenant: &str,
    scope: &Scope,
    customer: Option<&str>,
    order: Order,
    limit: u32,
) -> Result<Vec<Observation>, WarehouseError> {
    scope.length()?;
    let metric = scope.metric;
    let mut columns =
        format!(", conversation_id, toString({}) AS about_event", metric.source.event);
    for by in [Dimension::Agent, Dimension::Channel, Dimension::Queue, Dimension::Team] {
        columns += &format!(", {} AS of_{}", metric.column(by), by.word());
    }
    // Not every event names its conversation's customer: one of them is enough. A week around the
    // range is looked at, rather than all that a tenant has.
    let of_customer = customer.map_or("", |_| {
        " WHERE conversation_id IN (SELECT DISTINCT conversation_id FROM events \
         WHERE tenant = {tenant:String} \
         AND sent_at >= fromUnixTimestamp64Milli({from:Int64} - 604800000, 'UTC') \
         AND sent_at < fromUnixTimestamp64Milli({to:Int64} + 604800000, 'UTC') \
         AND (customer = {customer:String} OR (role = 'customer' AND author = {customer:String})))"
    });
    let most = limit.clamp(1, MOST);
    // Hours put together name no customer.
    let plan = match customer {
        Some(_) => None,
        None => scope.plan(warehouse, tenant, None).await?,
    };
    let stretches = match plan {
        Some(plan) => {
            let mut stretches = hours_of(warehouse, tenant, scope, &plan, order, most).await?;
            stretches.extend(&plan.raw);
            if stretches.is_empty() {
                return Ok(Vec::new());
            }
            stretches
        }
        None => Vec::new(),
    };
    let statement = format!(
        "SELECT conversation_id, about_event AS event_id, observed_ms, value, \
         of_agent AS agent, of_channel AS channel, of_queue AS queue, of_team AS team \
         FROM {}{of_customer} ORDER BY {}, conversation_id LIMIT {{most:UInt32}}",
        scope.observations(&columns, &stretches)?,
        order.expression()
    );
    let request = scope.ask(warehouse, tenant, &statement).param("most", most);
    let request = match customer {
        Some(customer) => request.param("customer", customer),
        None => request,
    };
    let doing = format!("list what {} rests on", metric.id);
    warehouse.run(&doing, request.fetch_all()).await
}

/// Hours of the plan that hold the first `most` observations of an order: the others need not be
/// read. Within an hour any may come first, so whole hours are given.
async fn hours_of(
    warehouse: &Warehouse,
    tenant: &str,
    scope: &Scope,
    plan: &Plan,
    order: Order,
    most: u32,
) -> Result<Vec<(i64, i64)>, WarehouseError> {
    let values = match scope.metric.measure {
        // As many as there are of each do not matter: one is enough to name the hour.
        Measure::Rate => "arrayConcat(if(total > 0, [1.], []), if(n > total, [0.], []))",
        Measure::Mean | Measure::Median => "values",
    };
    let columns = format!(
        "toInt64(toUnixTimestamp(hour)) * 1000 AS observed_ms, arrayJoin({values}) AS value"
    );
    let statement = format!(
        "SELECT DISTINCT observed_ms FROM (SELECT observed_ms, value FROM {} \
         ORDER BY {} LIMIT {{most:UInt32}}) ORDER BY observed_ms",
        scope.rolled(&columns, plan)?,
        order.expression()
    );
    let request = warehouse.whole(scope.ask(warehouse, tenant, &statement).param("most", most));
    let doing = format!("find the hours that {} rests on", scope.metric.id);
    let hours: Vec<i64> = warehouse.run(&doing, request.fetch_all()).await?;
    Ok(hours.into_iter().map(|from_ms| (from_ms, from_ms + HOUR_MS)).collect())
}
