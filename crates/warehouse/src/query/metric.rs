//! One metric over a time range, by bucket and dimension.

use serde::Deserialize;

use crate::{Warehouse, WarehouseError};

/// A metric of the metric book that is computed from the views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// `rt.first_unanswered.v1`: the customer's wait from the first unanswered message.
    RtFirstUnanswered,
    /// `rt.last_msg.v1`: the customer's wait from the last message.
    RtLastMsg,
    /// `rt.human.v1`: the wait from the later of first unanswered message and hand-off.
    RtHuman,
    /// `art.v1`: the mean of `rt.human.v1` over turns.
    Art,
    /// `frt.any.v1`: first reply of a session, bots included.
    FrtAny,
    /// `frt.human.v1`: first message of a person.
    FrtHuman,
    /// `frt.substantive.v1`: first message of a person that is neither greeting nor holding.
    FrtSubstantive,
    /// `politeness.v1`: score of the messages that people among the agents sent to customers, as
    /// first sent, 0 to 100.
    Politeness,
    /// `sentiment.v1`: value of the customers' messages as first sent, -1 to 1.
    Sentiment,
    /// `mtta.v1`: incident triggered to acknowledged.
    Mtta,
    /// `mttr.v1`: incident triggered to resolved.
    Mttr,
}

/// What a metric's figures are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Milliseconds,
    /// The score's own scale.
    Score,
}

impl Unit {
    /// The word of the contract.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Score => "score",
        }
    }
}

/// What to split a metric by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// The agent who answered.
    Agent,
    /// The channel.
    Channel,
    /// The queue.
    Queue,
    /// The team.
    Team,
}

impl Dimension {
    /// The word of the contract.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Channel => "channel",
            Self::Queue => "queue",
            Self::Team => "team",
        }
    }

    /// The dimension of that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Agent, Self::Channel, Self::Queue, Self::Team]
            .into_iter()
            .find(|dimension| dimension.word() == word)
    }
}

/// Where a metric's values are.
struct Source {
    view: &'static str,
    value: &'static str,
    time: &'static str,
    filter: &'static str,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 11] = [
        Self::RtFirstUnanswered,
        Self::RtLastMsg,
        Self::RtHuman,
        Self::Art,
        Self::FrtAny,
        Self::FrtHuman,
        Self::FrtSubstantive,
        Self::Politeness,
        Self::Sentiment,
        Self::Mtta,
        Self::Mttr,
    ];

    /// Its id in the metric book.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::RtFirstUnanswered => "rt.first_unanswered.v1",
            Self::RtLastMsg => "rt.last_msg.v1",
            Self::RtHuman => "rt.human.v1",
            Self::Art => "art.v1",
            Self::FrtAny => "frt.any.v1",
            Self::FrtHuman => "frt.human.v1",
            Self::FrtSubstantive => "frt.substantive.v1",
            Self::Politeness => "politeness.v1",
            Self::Sentiment => "sentiment.v1",
            Self::Mtta => "mtta.v1",
            Self::Mttr => "mttr.v1",
        }
    }

    /// The metric of that id.
    ///
    /// # Errors
    /// An id that is not known here.
    pub fn from_id(id: &str) -> Result<Self, WarehouseError> {
        Self::ALL
            .into_iter()
            .find(|metric| metric.id() == id)
            .ok_or_else(|| WarehouseError::UnknownMetric(id.to_owned()))
    }

    /// What its figures are in.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Self::Politeness | Self::Sentiment => Unit::Score,
            _ => Unit::Milliseconds,
        }
    }

    const fn source(self) -> Source {
        match self {
            Self::RtFirstUnanswered => Source::turns("rt_first_unanswered_ms"),
            Self::RtLastMsg => Source::turns("rt_last_msg_ms"),
            Self::RtHuman | Self::Art => Source::turns("rt_human_ms"),
            Self::FrtAny => Source::sessions("frt_any_ms"),
            Self::FrtHuman => Source::sessions("frt_human_ms"),
            Self::FrtSubstantive => Source::sessions("frt_substantive_ms"),
            // Of people and to the customer: what a machine says, or one agent to another, is
            // not the agent's manner.
            Self::Politeness => Source::messages(
                "politeness_score",
                "type = 'message' AND NOT private AND subtype NOT IN ('auto', 'ai')",
            ),
            Self::Sentiment => {
                Source::messages("sentiment_value", "type = 'message' AND NOT private")
            }
            Self::Mtta => Source::incidents("mtta_ms"),
            Self::Mttr => Source::incidents("mttr_ms"),
        }
    }

    /// The column that holds the dimension.
    fn column(self, by: Dimension) -> Result<&'static str, WarehouseError> {
        match (self, by) {
            // A customer's message has no agent, and an incident is of a team.
            (Self::Sentiment, Dimension::Agent)
            | (Self::Mtta | Self::Mttr, Dimension::Agent | Dimension::Channel | Dimension::Queue) => {
                Err(WarehouseError::NoSuchDimension { metric: self.id(), by: by.word() })
            }
            (Self::Politeness, Dimension::Agent) => Ok("author"),
            (_, by) => Ok(by.word()),
        }
    }
}

impl Source {
    const fn turns(value: &'static str) -> Self {
        Self { view: "v_turns", value, time: "at", filter: "true" }
    }

    const fn sessions(value: &'static str) -> Self {
        Self { view: "v_sessions", value, time: "at", filter: "true" }
    }

    /// Messages of the range, each event once. Not through `v_messages`, which has to read all
    /// that a tenant has to be sure that an event is its first.
    const fn messages(value: &'static str, filter: &'static str) -> Self {
        let view = "(SELECT * FROM events FINAL \
             WHERE tenant = {tenant:String} \
             AND sent_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
             AND sent_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC') \
             ORDER BY precedence DESC, log_offset LIMIT 1 BY source, event_id)";
        Self { view, value, time: "sent_at", filter }
    }

    const fn incidents(value: &'static str) -> Self {
        Self { view: "v_incidents", value, time: "triggered_at", filter: "true" }
    }
}

/// A question.
#[derive(Clone, Debug)]
pub struct MetricQuery {
    /// Which metric.
    pub metric: Metric,
    /// Begin of the range, milliseconds since the Unix epoch; a turn or session counts by its start, a
    /// message by its `sent_at`, an incident by when it was triggered.
    pub from_ms: i64,
    /// End of the range, not included.
    pub to_ms: i64,
    /// Width of the buckets, which begin at `from_ms`; `None` for one bucket. The last one may be
    /// shorter.
    pub bucket_ms: Option<i64>,
    /// What to split by.
    pub by: Option<Dimension>,
}

/// Most buckets of one answer, and most points when they are split by a dimension.
const MOST_BUCKETS: i64 = 10_000;

/// Longest range of one question, days: a year and its comparison with the month before it.
const LONGEST_DAYS: i64 = 400;

/// One figure. Without observations all but `n` are absent: not measured is not zero.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricPoint {
    /// Begin of the bucket.
    pub from_ms: i64,
    /// End of the bucket, not included.
    pub to_ms: i64,
    /// Value of the dimension; empty without one.
    pub group: String,
    /// Observations.
    pub n: u64,
    /// Arithmetic mean.
    pub mean: Option<f64>,
    /// Median. Quantiles are exact, interpolated between the two nearest observations.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
}

#[derive(clickhouse::Row, Deserialize)]
struct PointRow {
    bucket: i64,
    dimension: String,
    n: u64,
    mean: f64,
    quantiles: Vec<f64>,
}

impl MetricQuery {
    fn width(&self) -> Result<i64, WarehouseError> {
        let length = self.to_ms.checked_sub(self.from_ms).unwrap_or(0);
        if length <= 0 {
            return Err(WarehouseError::InvalidRange("the range must end after it begins"));
        }
        if length > LONGEST_DAYS * 86_400_000 {
            return Err(WarehouseError::InvalidRange(
                "the range is longer than 400 days; ask for shorter ones",
            ));
        }
        let width = self.bucket_ms.unwrap_or(length);
        if width <= 0 {
            return Err(WarehouseError::InvalidRange("a bucket must be longer than nothing"));
        }
        if (length - 1) / width >= MOST_BUCKETS {
            return Err(WarehouseError::InvalidRange(
                "the range has more than 10,000 buckets; ask for wider ones",
            ));
        }
        Ok(width)
    }

    fn bucket(&self, index: i64, width: i64) -> (i64, i64) {
        let from = self.from_ms + index * width;
        (from, from.saturating_add(width).min(self.to_ms))
    }

    /// Statement with the parameters `tenant`, `from`, `to` and `width`.
    fn statement(&self) -> Result<String, WarehouseError> {
        let Source { view, value, time, filter } = self.metric.source();
        let dimension = match self.by {
            Some(by) => format!("toString({})", self.metric.column(by)?),
            None => "''".to_owned(),
        };
        Ok(format!(
            "SELECT bucket, dimension, count() AS n, avg(value) AS mean, \
             quantilesExactInclusive(0.5, 0.9, 0.99)(value) AS quantiles \
             FROM ( \
             SELECT toInt64(intDiv(toUnixTimestamp64Milli(assumeNotNull({time})) - {{from:Int64}}, \
             {{width:Int64}})) AS bucket, \
             {dimension} AS dimension, toFloat64(assumeNotNull({value})) AS value \
             FROM {view} \
             WHERE tenant = {{tenant:String}} \
             AND {time} >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC') \
             AND {time} < fromUnixTimestamp64Milli({{to:Int64}}, 'UTC') \
             AND isNotNull({value}) AND {filter} \
             ) GROUP BY bucket, dimension ORDER BY bucket, dimension LIMIT {{most:UInt32}}"
        ))
    }
}

/// Answers a question for a tenant. Without a dimension every bucket is there, also those without
/// observations; with one, those that have any.
pub async fn metric(
    warehouse: &Warehouse,
    tenant: &str,
    query: &MetricQuery,
) -> Result<Vec<MetricPoint>, WarehouseError> {
    let width = query.width()?;
    let request = warehouse
        .client()
        .query(&query.statement()?)
        .param("tenant", tenant)
        .param("from", query.from_ms)
        .param("to", query.to_ms)
        .param("width", width)
        .param("most", MOST_BUCKETS + 1);
    let doing = format!("compute {}", query.metric.id());
    let rows: Vec<PointRow> = warehouse.run(&doing, request.fetch_all()).await?;
    if rows.len() as i64 > MOST_BUCKETS {
        return Err(WarehouseError::InvalidRange(
            "the answer has more than 10,000 points; ask for wider buckets or a shorter range",
        ));
    }
    Ok(points(query, width, rows))
}

fn points(query: &MetricQuery, width: i64, rows: Vec<PointRow>) -> Vec<MetricPoint> {
    let measured = rows.into_iter().map(|row| {
        let (from_ms, to_ms) = query.bucket(row.bucket, width);
        let quantile = |index: usize| row.quantiles.get(index).copied();
        MetricPoint {
            from_ms,
            to_ms,
            group: row.dimension,
            n: row.n,
            mean: Some(row.mean),
            p50: quantile(0),
            p90: quantile(1),
            p99: quantile(2),
        }
    });
    if query.by.is_some() {
        return measured.collect();
    }
    let mut measured = measured.peekable();
    let buckets = (query.to_ms - query.from_ms - 1) / width + 1;
    (0..buckets)
        .map(|index| {
            let (from_ms, to_ms) = query.bucket(index, width);
            measured.next_if(|point| point.from_ms == from_ms).unwrap_or(MetricPoint {
                from_ms,
                to_ms,
                group: String::new(),
                n: 0,
                mean: None,
                p50: None,
                p90: None,
                p99: None,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(from_ms: i64, to_ms: i64, bucket_ms: Option<i64>) -> MetricQuery {
        MetricQuery { metric: Metric::RtLastMsg, from_ms, to_ms, bucket_ms, by: None }
    }

    #[test]
    fn every_metric_is_found_by_its_id() {
        for metric in Metric::ALL {
            assert_eq!(Metric::from_id(metric.id()).ok(), Some(metric));
        }
        assert!(Metric::from_id("rt.first_unanswered.v9").is_err());
    }

    #[test]
    fn buckets_without_observations_are_there_and_not_zero() {
        let query = query(1_000, 3_500, Some(1_000));
        let row = PointRow {
            bucket: 1,
            dimension: String::new(),
            n: 2,
            mean: 5.0,
            quantiles: vec![5.0, 6.0, 7.0],
        };
        let points = points(&query, query.width().unwrap(), vec![row]);
        let shape: Vec<_> =
            points.iter().map(|point| (point.from_ms, point.to_ms, point.n, point.p90)).collect();
        assert_eq!(
            shape,
            [(1_000, 2_000, 0, None), (2_000, 3_000, 2, Some(6.0)), (3_000, 3_500, 0, None),]
        );
    }

    #[test]
    fn a_range_that_makes_no_sense_is_refused() {
        assert!(query(5, 5, None).width().is_err());
        assert!(query(5, 6, Some(0)).width().is_err());
        assert!(query(0, 10_001, Some(1)).width().is_err());
        assert_eq!(query(0, 10_000, Some(1)).width().ok(), Some(1));
        assert!(query(i64::MIN, i64::MAX, None).width().is_err());
        assert!(query(0, 400 * 86_400_000 + 1, None).width().is_err());
        assert!(query(0, 400 * 86_400_000, None).width().is_ok());
    }

    #[test]
    fn incidents_are_not_split_by_agent() {
        let query =
            MetricQuery { metric: Metric::Mtta, by: Some(Dimension::Agent), ..query(0, 1, None) };
        assert_eq!(
            query.statement().unwrap_err().to_string(),
            "metric mtta.v1 cannot be split by agent"
        );
    }
}
