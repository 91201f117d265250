//! What a question is about: a metric, a stretch of time, and which of its rows.

use std::time::Duration;

use clickhouse::query::Query;

use super::{Dimension, Metric};
use crate::rollup::{DAY_MS, Plan, plan};
use crate::{Warehouse, WarehouseError};

/// Longest range of one question, days: a year and its comparison with the month before it.
const LONGEST_DAYS: i64 = 400;

/// How long the server may work on a question: people wait for the answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Memory that one question may take, bytes.
const MOST_MEMORY: u64 = 2 << 30;

/// A time zone by its IANA name, such as `Asia/Shanghai`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(String);

impl Zone {
    /// The zone of that name; UTC for an empty one.
    ///
    /// # Errors
    /// A name that is none.
    pub fn new(name: &str) -> Result<Self, WarehouseError> {
        let name = if name.is_empty() { "UTC" } else { name };
        match jiff::tz::TimeZone::get(name) {
            Ok(_) => Ok(Self(name.to_owned())),
            Err(_) => Err(WarehouseError::UnknownZone(name.to_owned())),
        }
    }
}

impl Zone {
    /// Whether hours of the clock begin with those of UTC all through a range.
    fn has_whole_hours(&self, from_ms: i64, to_ms: i64) -> bool {
        let Ok(zone) = jiff::tz::TimeZone::get(&self.0) else {
            return false;
        };
        let offset = |ms: i64| {
            let at = jiff::Timestamp::from_millisecond(ms).ok()?;
            Some(zone.to_offset(at).seconds())
        };
        // No zone changes its offset and back within a day.
        let days = (from_ms..to_ms).step_by(DAY_MS as usize).chain([to_ms]);
        days.map(offset).all(|offset| offset.is_some_and(|seconds| seconds % 3_600 == 0))
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self("UTC".to_owned())
    }
}

/// Values that rows must have; `None` for any, an empty text for those without one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Keyed pseudonym of the agent.
    pub agent: Option<String>,
    /// Channel.
    pub channel: Option<String>,
    /// Queue.
    pub queue: Option<String>,
    /// Team.
    pub team: Option<String>,
    /// Level of a standard phrase.
    pub level: Option<String>,
    /// Which standard phrase.
    pub slot: Option<String>,
    /// What a session is about.
    pub topic: Option<String>,
    /// Why a complaint is urgent.
    pub category: Option<String>,
    /// What was promised.
    pub promise: Option<String>,
    /// Hour of the day, `00` to `23`.
    pub hour: Option<String>,
    /// Day of the week, `1` to `7`.
    pub weekday: Option<String>,
    /// Calendar day, `2026-01-31`.
    pub day: Option<String>,
}

impl Filter {
    pub(super) fn given(&self) -> impl Iterator<Item = (Dimension, &str)> {
        [
            (Dimension::Agent, &self.agent),
            (Dimension::Channel, &self.channel),
            (Dimension::Queue, &self.queue),
            (Dimension::Team, &self.team),
            (Dimension::Level, &self.level),
            (Dimension::Slot, &self.slot),
            (Dimension::Topic, &self.topic),
            (Dimension::Category, &self.category),
            (Dimension::Promise, &self.promise),
            (Dimension::Hour, &self.hour),
            (Dimension::Weekday, &self.weekday),
            (Dimension::Day, &self.day),
        ]
        .into_iter()
        .filter_map(|(dimension, value)| value.as_deref().map(|value| (dimension, value)))
    }
}

/// What a question is about.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Which metric.
    pub metric: &'static Metric,
    /// Begin of the range, milliseconds since the Unix epoch; a turn or session counts by its
    /// start, a message by its `sent_at`, an incident by when it was triggered.
    pub from_ms: i64,
    /// End of the range, not included.
    pub to_ms: i64,
    /// Which of its rows.
    pub filter: Filter,
    /// Zone of hours and days.
    pub zone: Zone,
}

impl Scope {
    /// A metric over a range, of all rows, in UTC.
    #[must_use]
    pub fn new(metric: &'static Metric, from_ms: i64, to_ms: i64) -> Self {
        Self { metric, from_ms, to_ms, filter: Filter::default(), zone: Zone::default() }
    }

    /// Length of the range, milliseconds.
    ///
    /// # Errors
    /// A range that is empty or longer than 400 days.
    pub(super) fn length(&self) -> Result<i64, WarehouseError> {
        length(self.from_ms, self.to_ms)
    }

    /// Subquery of what was measured: `at` in milliseconds, `value`, and `columns`; of stretches of
    /// the range if any are given.
    ///
    /// # Errors
    /// A filter by what the metric's rows do not have.
    pub(super) fn observations(
        &self,
        columns: &str,
        stretches: &[(i64, i64)],
    ) -> Result<String, WarehouseError> {
        let Metric { source, value, filter, .. } = self.metric;
        let time = source.time;
        let mut narrowed = String::new();
        for (dimension, _) in self.filter.given() {
            let column = self.metric.expression(dimension)?;
            narrowed += &format!(" AND {column} = {{only_{}:String}}", dimension.word());
        }
        let (rows, within) = if stretches.is_empty() {
            (source.rows.to_owned(), String::new())
        } else {
            let within = within(time, stretches);
            (source.rows_within(&within), format!(" AND ({within})"))
        };
        Ok(format!(
            "(SELECT toUnixTimestamp64Milli(assumeNotNull({time})) AS observed_ms, \
             toFloat64(assumeNotNull({value})) AS value{columns} \
             FROM {rows} \
             WHERE tenant = {{tenant:String}} \
             AND {time} >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC') \
             AND {time} < fromUnixTimestamp64Milli({{to:Int64}}, 'UTC'){within} \
             AND isNotNull({value}) AND ({filter}){narrowed})"
        ))
    }

    /// Which hours of the range are put together; `None` for none, or if what is asked for cannot be
    /// told of whole hours.
    pub(super) async fn plan(
        &self,
        warehouse: &Warehouse,
        tenant: &str,
        by: Option<Dimension>,
    ) -> Result<Option<Plan>, WarehouseError> {
        let Some(facts) = self.metric.source.facts else {
            return Ok(None);
        };
        let of_time =
            self.filter.given().map(|(given, _)| given).chain(by).any(Dimension::is_of_time);
        if of_time && !self.zone.has_whole_hours(self.from_ms, self.to_ms) {
            return Ok(None);
        }
        plan(warehouse, tenant, facts, self.from_ms, self.to_ms).await
    }

    /// Subquery of what was put together: columns of `rollups` by the plan.
    ///
    /// # Errors
    /// A filter by what the metric's rows do not have.
    pub(super) fn rolled(&self, columns: &str, plan: &Plan) -> Result<String, WarehouseError> {
        let mut narrowed = String::new();
        for (dimension, _) in self.filter.given() {
            let column = self.metric.rolled_expression(dimension)?;
            narrowed += &format!(" AND {column} = {{only_{}:String}}", dimension.word());
        }
        let hours = plan.rolled.iter().map(|(from, to)| {
            format!(
                "hour >= toDateTime({}, 'UTC') AND hour < toDateTime({}, 'UTC')",
                from / 1_000,
                to / 1_000
            )
        });
        let hours: Vec<String> = hours.collect();
        let versions: Vec<String> = plan.versions.iter().map(u64::to_string).collect();
        Ok(format!(
            "(SELECT {columns} FROM rollups \
             WHERE tenant = {{tenant:String}} AND metric = '{}' AND version IN ({}) \
             AND ({}){narrowed})",
            self.metric.rolled_id(),
            versions.join(", "),
            hours.join(" OR ")
        ))
    }

    /// The statement with what every question binds.
    pub(super) fn ask(&self, warehouse: &Warehouse, tenant: &str, statement: &str) -> Query {
        let mut query = interactive(warehouse, statement)
            .param("tenant", tenant)
            .param("from", self.from_ms)
            .param("to", self.to_ms)
            .param("zone", &self.zone.0);
        for (dimension, value) in self.filter.given() {
            query = query.param(&format!("only_{}", dimension.word()), value);
        }
        query
    }
}

/// The condition of a time in stretches.
fn within(time: &str, stretches: &[(i64, i64)]) -> String {
    let each = stretches.iter().map(|(from, to)| {
        format!(
            "{time} >= fromUnixTimestamp64Milli({from}, 'UTC') \
             AND {time} < fromUnixTimestamp64Milli({to}, 'UTC')"
        )
    });
    each.collect::<Vec<String>>().join(" OR ")
}

/// Length of a range, milliseconds.
///
/// # Errors
/// A range that is empty or longer than 400 days.
pub(super) fn length(from_ms: i64, to_ms: i64) -> Result<i64, WarehouseError> {
    let length = to_ms.checked_sub(from_ms).unwrap_or(0);
    if length <= 0 {
        return Err(WarehouseError::InvalidRange("the range must end after it begins"));
    }
    if length > LONGEST_DAYS * 86_400_000 {
        return Err(WarehouseError::InvalidRange(
            "the range is longer than 400 days; ask for shorter ones",
        ));
    }
    Ok(length)
}

/// Conditions of a filter, each to be bound as `only_<dimension>`.
///
/// # Errors
/// A dimension that is not among the allowed ones.
pub(super) fn narrowed(
    question: &'static str,
    filter: &Filter,
    allowed: &[Dimension],
) -> Result<String, WarehouseError> {
    let mut narrowed = String::new();
    for (dimension, _) in filter.given() {
        let word = dimension.word();
        if !allowed.contains(&dimension) {
            return Err(WarehouseError::NoSuchDimension { metric: question, by: word });
        }
        narrowed += &format!(" AND {word} = {{only_{word}:String}}");
    }
    Ok(narrowed)
}

/// A question that somebody waits for: the server gives it up rather than let others wait.
pub(crate) fn interactive(warehouse: &Warehouse, statement: &str) -> Query {
    warehouse
        .client()
        .query(statement)
        .with_setting("max_execution_time", PATIENCE.as_secs().to_string())
        .with_setting("max_memory_usage", MOST_MEMORY.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(metric: &str) -> Scope {
        Scope::new(Metric::from_id(metric).unwrap(), 0, 1)
    }

    #[test]
    fn a_zone_is_one_that_exists() {
        assert!(Zone::new("Asia/Shanghai").is_ok());
        assert_eq!(Zone::new("").unwrap(), Zone::default());
        for name in ["Mars/Olympus", "UTC' OR '1'='1", "../etc/passwd"] {
            assert!(Zone::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn values_of_a_filter_are_bound_and_not_pasted() {
        let filter = Filter { queue: Some("vip' OR '1'='1".into()), ..Filter::default() };
        let statement = Scope { filter, ..scope("art.v1") }.observations("", &[]).unwrap();
        assert!(statement.contains("{only_queue:String}"), "{statement}");
        assert!(!statement.contains("vip"), "{statement}");
    }

    #[test]
    fn rows_are_not_narrowed_by_what_they_do_not_have() {
        let filter = Filter { agent: Some(String::new()), ..Filter::default() };
        let error = Scope { filter, ..scope("mtta.v1") }.observations("", &[]).unwrap_err();
        assert_eq!(error.to_string(), "metric mtta.v1 cannot be split by agent");
    }

    #[test]
    fn a_range_that_makes_no_sense_is_refused() {
        let length = |from_ms, to_ms| Scope { from_ms, to_ms, ..scope("art.v1") }.length().ok();
        assert_eq!(length(5, 5), None);
        assert_eq!(length(i64::MIN, i64::MAX), None);
        assert_eq!(length(0, 400 * 86_400_000 + 1), None);
        assert_eq!(length(0, 400 * 86_400_000), Some(400 * 86_400_000));
    }
}
