//! From a figure to the conversations behind it.

use serde::Deserialize;

use super::{Dimension, Scope};
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

/// What a scope's figure rests on, at most `limit` of it (1 to 1,000).
pub async fn observations(
    warehouse: &Warehouse,
    tenant: &str,
    scope: &Scope,
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
    let statement = format!(
        "SELECT conversation_id, about_event AS event_id, observed_ms, value, \
         of_agent AS agent, of_channel AS channel, of_queue AS queue, of_team AS team \
         FROM {} ORDER BY {}, conversation_id LIMIT {{most:UInt32}}",
        scope.observations(&columns, &[])?,
        order.expression()
    );
    let request = scope.ask(warehouse, tenant, &statement).param("most", limit.clamp(1, MOST));
    let doing = format!("list what {} rests on", metric.id);
    warehouse.run(&doing, request.fetch_all()).await
}
