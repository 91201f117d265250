//! Scores of people that are brought in from outside: exams and reviews.
//!
//! They come from nobody's log: backups have them, else whoever keeps them brings them in again
//! after a loss. A score of the same identity replaces the one before it.

use crate::column::{Column, Instant, Word};
use crate::{Warehouse, WarehouseError};

/// Their table, which no topic feeds.
pub(crate) const OUTSIDE_SCORES: &str = "outside_scores";

/// Its columns, in the order of [`body`].
pub(crate) const COLUMNS: [&str; 11] = [
    "tenant",
    "score_id",
    "metric",
    "agent",
    "queue",
    "team",
    "at",
    "value",
    "withdrawn",
    "brought_by",
    "brought_at",
];

/// A score of a person.
#[derive(Clone, Debug, PartialEq)]
pub struct OutsideScore {
    /// Identity within the tenant.
    pub score_id: String,
    /// What was scored: a metric that [is brought in](crate::query::Metric::is_brought_in).
    pub metric_id: String,
    /// Keyed pseudonym of who was scored.
    pub agent: String,
    /// Queue that it is about; empty for none.
    pub queue: String,
    /// Team that it is about; empty for none.
    pub team: String,
    /// When it was scored.
    pub at: Instant,
    /// 0 to 100.
    pub value: f64,
    /// It counts no more.
    pub withdrawn: bool,
}

/// Brings in scores of a tenant, in the name of `by`, at `now`. Doing so again has no further
/// effect.
///
/// # Errors
/// ClickHouse's refusal, or that it does not answer.
pub async fn bring_in(
    warehouse: &Warehouse,
    tenant: &str,
    by: &str,
    now: Instant,
    scores: &[OutsideScore],
) -> Result<(), WarehouseError> {
    if scores.is_empty() {
        return Ok(());
    }
    let mut insert = warehouse
        .client()
        .insert_formatted_with(format!(
            "INSERT INTO {OUTSIDE_SCORES} ({}) FORMAT RowBinary",
            COLUMNS.join(", ")
        ))
        .with_setting("async_insert", "0");
    let body = body(tenant, by, now, scores);
    let request = async move {
        insert.send(body.into()).await?;
        insert.end().await
    };
    warehouse.run("bring in scores", request).await
}

fn body(tenant: &str, by: &str, now: Instant, scores: &[OutsideScore]) -> Vec<u8> {
    let mut body = Vec::new();
    for score in scores {
        Word::from(tenant).put(&mut body);
        score.score_id.put(&mut body);
        Word::from(score.metric_id.as_str()).put(&mut body);
        score.agent.put(&mut body);
        Word::from(score.queue.as_str()).put(&mut body);
        Word::from(score.team.as_str()).put(&mut body);
        score.at.put(&mut body);
        score.value.put(&mut body);
        score.withdrawn.put(&mut body);
        by.to_owned().put(&mut body);
        now.put(&mut body);
    }
    body
}
