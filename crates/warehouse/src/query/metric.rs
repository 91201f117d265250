//! One metric over a time range, by bucket and dimension: time series and breakdowns.

use serde::Deserialize;

use super::interval::{FEW, Interval};
use super::{Better, Dimension, Measure, Metric, Scope};
use crate::rollup::{Facts, HOUR_MS, Plan};
use crate::{Warehouse, WarehouseError};

/// A question.
#[derive(Clone, Debug)]
pub struct MetricQuery {
    /// What it is about.
    pub scope: Scope,
    /// Width of the buckets, which begin at the range's begin; `None` for one bucket. The last one
    /// may be shorter.
    pub bucket_ms: Option<i64>,
    /// What to split by.
    pub by: Option<Dimension>,
}

/// Most buckets of one answer, and most points when they are split by a dimension.
const MOST_BUCKETS: i64 = 10_000;

/// The 95 % interval of a median goes from the r-th to the s-th of n values in order, with
/// r = n/2 - 1.96 sqrt(n)/2 and s = 1 + n/2 + 1.96 sqrt(n)/2, rounded: M. J. Campbell, M. J. Gardner,
/// British Medical Journal 296 (1988), 1454-1456. Below six values there is none.
const AROUND_MEDIAN: &str = "if(n < 6, emptyArrayFloat64(), \
     [sorted[toUInt64(round((n - 1.96 * sqrt(n)) / 2))], \
     sorted[toUInt64(round(1 + (n + 1.96 * sqrt(n)) / 2))]])";

/// A quantile of values that are in order, as `quantileExactInclusive` takes it.
fn of_sorted(level: f64) -> String {
    let place = format!("({level} * (n - 1) + 1)");
    format!(
        "sorted[toUInt64(floor({place}))] + ({place} - floor({place})) \
         * (sorted[least(toUInt64(floor({place})) + 1, n)] - sorted[toUInt64(floor({place}))])"
    )
}

/// What was measured of some rows. Without observations all but `n` are absent: not measured is
/// not zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figure {
    /// Observations.
    pub n: u64,
    /// What the metric is by its measure: mean, median or share.
    pub value: Option<f64>,
    /// 95 % interval of it: the normal one of a mean, Wilson's of a rate, between two observations
    /// for a median; absent for too few.
    pub interval: Option<Interval>,
    /// Arithmetic mean; of a rate its share.
    pub mean: Option<f64>,
    /// Median. Quantiles are exact, interpolated between the two nearest observations; a rate has
    /// none.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
}

/// One figure and what it is of.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricPoint {
    /// Begin of the bucket.
    pub from_ms: i64,
    /// End of the bucket, not included.
    pub to_ms: i64,
    /// Value of the dimension; empty without one.
    pub group: String,
    /// What was measured.
    pub figure: Figure,
}

/// How a figure stands against another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Surely better.
    Better,
    /// Surely worse.
    Worse,
    /// Fewer than [`FEW`] observations, or the difference may be chance.
    NotDistinguishable,
}

impl Standing {
    /// The word of the contract.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NotDistinguishable => "not_distinguishable",
        }
    }

    fn of(metric: &Metric, difference: Interval, fewest: u64) -> Self {
        if fewest < FEW || difference.holds(0.0) {
            return Self::NotDistinguishable;
        }
        match (metric.better, difference.low > 0.0) {
            (Better::Higher, true) | (Better::Lower, false) => Self::Better,
            _ => Self::Worse,
        }
    }
}

/// A line of a leaderboard.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Value of the dimension.
    pub group: String,
    /// What was measured of it.
    pub figure: Figure,
    /// Against the figure of all.
    pub standing: Standing,
}

/// Groups by their figures, the best first.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaderboard {
    /// The figure of all.
    pub all: Figure,
    /// Each group's.
    pub groups: Vec<Ranked>,
}

/// A figure and that of another period.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Of the period itself.
    pub current: Figure,
    /// Of the period before it, or whichever was asked for.
    pub baseline: Figure,
    /// `current - baseline`; absent when one was not measured.
    pub difference: Option<f64>,
    /// 95 % interval of it.
    pub interval: Option<Interval>,
    /// Of the current period against the baseline.
    pub standing: Standing,
}

#[derive(clickhouse::Row, Deserialize)]
struct PointRow {
    bucket: i64,
    dimension: String,
    n: u64,
    mean: f64,
    /// Of a mean; else 0, for nothing is told by it.
    deviation: f64,
    quantiles: Vec<f64>,
    /// Ends of the median's interval; empty for too few.
    around_median: Vec<f64>,
}

impl PointRow {
    fn figure(&self, metric: &Metric) -> Figure {
        let (n, mean) = (self.n, self.mean);
        let [p50, p90, p99] = [0, 1, 2].map(|index| self.quantiles.get(index).copied());
        let (value, interval) = match metric.measure {
            Measure::Rate => {
                let interval = Interval::wilson(mean, n);
                return Figure {
                    n,
                    value: Some(mean),
                    interval,
                    mean: Some(mean),
                    ..Figure::default()
                };
            }
            Measure::Mean => {
                let interval = Interval::of_mean(mean, self.deviation, n);
                (Some(mean), interval.map(|it| it.within(metric.unit.bounds())))
            }
            Measure::Median => {
                let ends = <[f64; 2]>::try_from(self.around_median.as_slice()).ok();
                (p50, ends.map(|[low, high]| Interval { low, high }))
            }
        };
        Figure { n, value, interval, mean: Some(mean), p50, p90, p99 }
    }
}

impl MetricQuery {
    fn width(&self) -> Result<i64, WarehouseError> {
        let length = self.scope.length()?;
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
        let from = self.scope.from_ms + index * width;
        (from, from.saturating_add(width).min(self.scope.to_ms))
    }

    /// Statement with the parameters of the scope, `width` and `most`.
    fn statement(&self, plan: Option<&Plan>) -> Result<String, WarehouseError> {
        let metric = self.scope.metric;
        let bucket = |ms: &str| format!("toInt64(intDiv({ms} - {{from:Int64}}, {{width:Int64}}))");
        let is_rate = metric.measure == Measure::Rate;
        let mut parts = Vec::new();
        if let Some(plan) = plan {
            let dimension = match self.by {
                Some(by) => metric.rolled_expression(by)?,
                None => "''".to_owned(),
            };
            let bucket = bucket("toInt64(toUnixTimestamp(hour)) * 1000");
            let columns = format!("{bucket} AS bucket, {dimension} AS dimension, n, total, values");
            parts.push(format!("SELECT * FROM {}", self.scope.rolled(&columns, plan)?));
        }
        let raw = plan.map_or(&[][..], |plan| &plan.raw);
        if plan.is_none() || !raw.is_empty() {
            let dimension = match self.by {
                Some(by) => metric.expression(by)?,
                None => "''".to_owned(),
            };
            let observations =
                self.scope.observations(&format!(", {dimension} AS dimension"), raw)?;
            let values = if is_rate { "emptyArrayFloat64()" } else { "groupArray(value)" };
            parts.push(format!(
                "SELECT {} AS bucket, dimension, count() AS n, sum(value) AS total, \
                 {values} AS values FROM {observations} GROUP BY bucket, dimension",
                bucket("observed_ms")
            ));
        }
        let quantiles = [0.5, 0.9, 0.99].map(of_sorted).join(", ");
        let (sorted, deviation, quantiles, around_median) = match metric.measure {
            // A rate is told by its n and its share.
            Measure::Rate => {
                ("0", "toFloat64(0)", "emptyArrayFloat64()".to_owned(), "emptyArrayFloat64()")
            }
            Measure::Mean => (
                "0",
                "stddevSampArray(values)",
                "quantilesExactInclusiveArray(0.5, 0.9, 0.99)(values)".to_owned(),
                "emptyArrayFloat64()",
            ),
            Measure::Median => (
                "arraySort(groupArrayArray(values))",
                "toFloat64(0)",
                format!("[{quantiles}]"),
                AROUND_MEDIAN,
            ),
        };
        Ok(format!(
            "SELECT bucket, dimension, sum(part.n) AS n, sum(total) / n AS mean, \
             {deviation} AS deviation, {sorted} AS sorted, {quantiles} AS quantiles, \
             {around_median} AS around_median \
             FROM ({}) AS part \
             GROUP BY bucket, dimension ORDER BY bucket, dimension LIMIT {{most:UInt32}}",
            parts.join(" UNION ALL ")
        ))
    }

    async fn rows(
        &self,
        warehouse: &Warehouse,
        tenant: &str,
    ) -> Result<Vec<PointRow>, WarehouseError> {
        let width = self.width()?;
        let whole_hours = width % HOUR_MS == 0 && self.scope.from_ms % HOUR_MS == 0;
        let plan = if self.bucket_ms.is_none() || whole_hours {
            self.scope.plan(warehouse, tenant, self.by).await?
        } else {
            None
        };
        let statement = format!(
            "SELECT bucket, dimension, n, mean, deviation, quantiles, around_median FROM ({})",
            self.statement(plan.as_ref())?
        );
        let request = self
            .scope
            .ask(warehouse, tenant, &statement)
            .param("width", width)
            .param("most", MOST_BUCKETS + 1);
        // What a version lacks would be missing in the figure.
        let request = if plan.is_some() { warehouse.whole(request) } else { request };
        let doing = format!("compute {}", self.scope.metric.id);
        let rows: Vec<PointRow> = warehouse.run(&doing, request.fetch_all()).await?;
        if rows.len() as i64 > MOST_BUCKETS {
            return Err(WarehouseError::InvalidRange(
                "the answer has more than 10,000 points; ask for wider buckets or a shorter range",
            ));
        }
        Ok(rows)
    }
}

/// Statements that put the hours of facts together, from `from` to `to`, of `tenant`, into `version`;
/// hours in `raw` are left out.
pub(crate) fn rolled_statements(facts: Facts) -> Vec<String> {
    let of_facts = || {
        Metric::ALL
            .iter()
            .filter(|metric| metric.source.facts == Some(facts) && metric.rolled_id() == metric.id)
    };
    let mut sources: Vec<&str> = of_facts().map(|metric| metric.source.rows).collect();
    sources.dedup();
    sources.sort_unstable();
    sources.dedup();
    let each = sources.into_iter().filter_map(|rows| {
        let metrics: Vec<&Metric> =
            of_facts().filter(|metric| metric.source.rows == rows).collect();
        let time = metrics.first()?.source.time;
        let observed = metrics.iter().map(|metric| {
            let Metric { id, value, filter, .. } = metric;
            let kind = metric.kind().map_or_else(|| "''".to_owned(), |kind| metric.column(kind));
            let [agent, channel, queue, team] =
                [Dimension::Agent, Dimension::Channel, Dimension::Queue, Dimension::Team]
                    .map(|by| metric.column(by));
            let measured = metric.measure != Measure::Rate;
            format!(
                "('{id}', if({filter}, toFloat64({value}), NULL), {measured}, {agent}, {channel}, \
                 {queue}, {team}, {kind})"
            )
        });
        let observed: Vec<String> = observed.collect();
        Some(format!(
            "INSERT INTO rollups (source, version, tenant, metric, hour, agent, channel, queue, team, \
             kind, n, total, values) \
             SELECT {{source:String}}, {{version:UInt64}}, {{tenant:String}}, seen.1 AS metric, hour, \
             seen.4 AS agent, seen.5 AS channel, seen.6 AS queue, seen.7 AS team, seen.8 AS kind, \
             count() AS n, sum(assumeNotNull(seen.2)) AS total, \
             arraySort(groupArrayIf(assumeNotNull(seen.2), seen.3)) AS values \
             FROM (SELECT toStartOfHour(toDateTime({time}, 'UTC')) AS hour, \
             arrayJoin(arrayFilter(one -> isNotNull(one.2), [{}])) AS seen FROM {rows} \
             WHERE tenant = {{tenant:String}} \
             AND {time} >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC') \
             AND {time} < fromUnixTimestamp64Milli({{to:Int64}}, 'UTC') \
             AND NOT has({{raw:Array(UInt32)}}, toUInt32(intDiv(toUnixTimestamp64Milli({time}), 3600000)))) \
             GROUP BY metric, hour, agent, channel, queue, team, kind",
            observed.join(", ")
        ))
    });
    each.collect()
}

/// Answers a question for a tenant. Without a dimension every bucket is there, also those without
/// observations; with one, those that have any.
pub async fn metric(
    warehouse: &Warehouse,
    tenant: &str,
    query: &MetricQuery,
) -> Result<Vec<MetricPoint>, WarehouseError> {
    let width = query.width()?;
    Ok(points(query, width, &query.rows(warehouse, tenant).await?))
}

/// The one figure of a scope.
pub async fn figure(
    warehouse: &Warehouse,
    tenant: &str,
    scope: &Scope,
) -> Result<Figure, WarehouseError> {
    let query = MetricQuery { scope: scope.clone(), bucket_ms: None, by: None };
    let rows = query.rows(warehouse, tenant).await?;
    Ok(rows.first().map(|row| row.figure(scope.metric)).unwrap_or_default())
}

/// Every group's figure, the best first, and how each stands against the figure of all.
pub async fn leaderboard(
    warehouse: &Warehouse,
    tenant: &str,
    scope: &Scope,
    by: Dimension,
) -> Result<Leaderboard, WarehouseError> {
    let query = MetricQuery { scope: scope.clone(), bucket_ms: None, by: Some(by) };
    let (all, rows) =
        tokio::try_join!(figure(warehouse, tenant, scope), query.rows(warehouse, tenant))?;
    let metric = scope.metric;
    let groups = rows.into_iter().map(|row| {
        let figure = row.figure(metric);
        let standing = against(metric, &figure, all.value);
        Ranked { group: row.dimension, figure, standing }
    });
    Ok(Leaderboard { groups: ranked(metric.better, groups.collect()), all })
}

/// How a group stands against the figure of all.
fn against(metric: &Metric, figure: &Figure, all: Option<f64>) -> Standing {
    match (figure.interval, all) {
        (Some(Interval { low, high }), Some(all)) => {
            Standing::of(metric, Interval { low: low - all, high: high - all }, figure.n)
        }
        _ => Standing::NotDistinguishable,
    }
}

fn ranked(better: Better, mut groups: Vec<Ranked>) -> Vec<Ranked> {
    groups.sort_by(|a, b| {
        let (a, b) = match better {
            Better::Lower => (a, b),
            Better::Higher => (b, a),
        };
        let value = |ranked: &Ranked| ranked.figure.value.unwrap_or_default();
        value(a).total_cmp(&value(b))
    });
    groups
}

/// Compares a scope with the same of another period.
pub async fn comparison(
    warehouse: &Warehouse,
    tenant: &str,
    scope: &Scope,
    baseline_from_ms: i64,
    baseline_to_ms: i64,
) -> Result<Comparison, WarehouseError> {
    let before = Scope { from_ms: baseline_from_ms, to_ms: baseline_to_ms, ..scope.clone() };
    let (current, baseline) =
        tokio::try_join!(figure(warehouse, tenant, scope), figure(warehouse, tenant, &before))?;
    Ok(compared(scope.metric, current, baseline))
}

fn compared(metric: &Metric, current: Figure, baseline: Figure) -> Comparison {
    let difference =
        current.value.zip(baseline.value).map(|(current, baseline)| current - baseline);
    let known = |figure: &Figure| figure.value.zip(figure.interval);
    let interval = known(&current)
        .zip(known(&baseline))
        .map(|(current, baseline)| Interval::of_difference(current, baseline));
    let fewest = current.n.min(baseline.n);
    let standing = interval
        .map_or(Standing::NotDistinguishable, |interval| Standing::of(metric, interval, fewest));
    Comparison { current, baseline, difference, interval, standing }
}

fn points(query: &MetricQuery, width: i64, rows: &[PointRow]) -> Vec<MetricPoint> {
    let Scope { metric, from_ms, to_ms, .. } = query.scope;
    let measured = rows.iter().map(|row| {
        let (from_ms, to_ms) = query.bucket(row.bucket, width);
        MetricPoint { from_ms, to_ms, group: row.dimension.clone(), figure: row.figure(metric) }
    });
    if query.by.is_some() {
        return measured.collect();
    }
    let mut measured = measured.peekable();
    let buckets = (to_ms - from_ms - 1) / width + 1;
    (0..buckets)
        .map(|index| {
            let (from_ms, to_ms) = query.bucket(index, width);
            measured.next_if(|point| point.from_ms == from_ms).unwrap_or_else(|| MetricPoint {
                from_ms,
                to_ms,
                group: String::new(),
                figure: Figure::default(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(metric: &str, from_ms: i64, to_ms: i64, bucket_ms: Option<i64>) -> MetricQuery {
        let scope = Scope::new(Metric::from_id(metric).unwrap(), from_ms, to_ms);
        MetricQuery { scope, bucket_ms, by: None }
    }

    fn row(bucket: i64, n: u64, mean: f64) -> PointRow {
        let (dimension, quantiles) = (String::new(), vec![5.0, 6.0, 7.0]);
        let around_median = vec![4.0, 5.5];
        PointRow { bucket, dimension, n, mean, deviation: 1.0, quantiles, around_median }
    }

    #[test]
    fn buckets_without_observations_are_there_and_not_zero() {
        let query = query("rt.last_msg.v1", 1_000, 3_500, Some(1_000));
        let points = points(&query, query.width().unwrap(), &[row(1, 2, 5.0)]);
        let shape: Vec<_> = points
            .iter()
            .map(|point| (point.from_ms, point.to_ms, point.figure.n, point.figure.p90))
            .collect();
        assert_eq!(
            shape,
            [(1_000, 2_000, 0, None), (2_000, 3_000, 2, Some(6.0)), (3_000, 3_500, 0, None),]
        );
    }

    #[test]
    fn a_bucket_that_makes_no_sense_is_refused() {
        let width = |to, bucket| query("rt.last_msg.v1", 0, to, Some(bucket)).width().ok();
        assert_eq!(width(6, 0), None);
        assert_eq!(width(10_001, 1), None);
        assert_eq!(width(10_000, 1), Some(1));
    }

    #[test]
    fn a_rate_has_wilsons_interval_and_no_quantiles() {
        let coverage = Metric::from_id("phrase.coverage.v1").unwrap();
        let figure = row(0, 20, 0.0).figure(coverage);
        assert_eq!(figure.interval, Interval::wilson(0.0, 20));
        assert_eq!(figure.p50, None);
    }

    #[test]
    fn a_wait_is_told_by_its_median_and_art_by_its_mean() {
        let figure = |id| row(0, 40, 9.0).figure(Metric::from_id(id).unwrap());
        let wait = figure("rt.first_unanswered.v1");
        assert_eq!((wait.value, wait.mean), (Some(5.0), Some(9.0)));
        assert_eq!(wait.interval, Some(Interval { low: 4.0, high: 5.5 }));
        assert_eq!(figure("art.v1").value, Some(9.0));
    }

    #[test]
    fn the_interval_of_a_mean_stays_where_its_values_can_be() {
        let row = PointRow { deviation: 40.0, ..row(0, 4, 95.0) };
        let interval = row.figure(Metric::from_id("politeness.v1").unwrap()).interval.unwrap();
        assert!(interval.low > 50.0, "{interval:?}");
        assert!((interval.high - 100.0).abs() < 1e-12, "{interval:?}");
    }

    fn standing(metric: &str, n: u64, mean: f64, all: f64) -> Standing {
        let metric = Metric::from_id(metric).unwrap();
        against(metric, &row(0, n, mean).figure(metric), Some(all))
    }

    #[test]
    fn below_thirty_observations_nobody_is_better_or_worse() {
        assert_eq!(standing("phrase.coverage.v1", 29, 1.0, 0.1), Standing::NotDistinguishable);
        assert_eq!(standing("phrase.coverage.v1", 30, 1.0, 0.1), Standing::Better);
        assert_eq!(standing("phrase.coverage.v1", 30, 0.0, 0.9), Standing::Worse);
        assert_eq!(standing("phrase.coverage.v1", 30, 0.5, 0.6), Standing::NotDistinguishable);
    }

    #[test]
    fn a_shorter_wait_is_better() {
        assert_eq!(standing("art.v1", 30, 5.0, 9.0), Standing::Better);
        assert_eq!(standing("art.v1", 30, 9.0, 5.0), Standing::Worse);
    }

    #[test]
    fn the_best_come_first() {
        let group = |mean: f64| Ranked {
            group: mean.to_string(),
            figure: Figure { value: Some(mean), ..Figure::default() },
            standing: Standing::NotDistinguishable,
        };
        let order = |better| -> Vec<String> {
            let groups = ranked(better, vec![group(2.0), group(1.0), group(3.0)]);
            groups.into_iter().map(|ranked| ranked.group).collect()
        };
        assert_eq!(order(Better::Lower), ["1", "2", "3"]);
        assert_eq!(order(Better::Higher), ["3", "2", "1"]);
    }

    #[test]
    fn a_change_is_told_only_when_it_is_hardly_chance() {
        let coverage = Metric::from_id("phrase.coverage.v1").unwrap();
        let rate = |n, share| row(0, n, share).figure(coverage);
        let change = |a, b| compared(coverage, a, b);
        let better = change(rate(70, 0.8), rate(80, 0.6));
        assert_eq!(better.standing, Standing::Better);
        assert!((better.difference.unwrap() - 0.2).abs() < 1e-12);
        assert_eq!(change(rate(70, 0.6), rate(80, 0.6)).standing, Standing::NotDistinguishable);
        let unmeasured = change(rate(70, 0.6), Figure::default());
        assert_eq!((unmeasured.difference, unmeasured.interval), (None, None));
        assert_eq!(unmeasured.standing, Standing::NotDistinguishable);
    }
}
