//! Puts days together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::plan::{MARKS, MarkRow, landed};
use super::{COMES_BACK_DAYS, DAY_MS, Facts, LANDING_MS, Landings, Mark, Step, step};
use crate::migrate::Layout;
use crate::query::rolled_statements;
use crate::{Warehouse, WarehouseError};

/// How long rows of a version that does not count are kept: questions that were asked before may
/// still read them.
const KEPT: Duration = Duration::from_secs(600);
/// How often all rows of a table are counted, to find days that lost some: by retention, by hand.
const COUNTED_EVERY: Duration = Duration::from_secs(86_400);

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Days that were put together.
    pub rolled: usize,
    /// Days of which was said that nothing had landed in them.
    pub confirmed: usize,
    /// Somebody is being erased: nothing is put together meanwhile.
    pub waits: bool,
}

/// Puts days together and says so. Two of them at work on one database do some of it twice, and
/// nothing wrong.
pub struct Roller {
    warehouse: Warehouse,
    layout: Layout,
    /// Versions that did not count, and since when that is known.
    unused: BTreeMap<u64, Instant>,
    /// When all rows were last counted.
    counted: BTreeMap<Facts, Instant>,
    /// Days that have facts, as far as is known.
    days: BTreeMap<Facts, BTreeSet<i64>>,
}

/// The condition of a day.
fn within(time: &str, day: i64) -> String {
    format!(
        "WHERE {time} >= fromUnixTimestamp64Milli({}, 'UTC') \
         AND {time} < fromUnixTimestamp64Milli({}, 'UTC')",
        day * DAY_MS,
        (day + 1) * DAY_MS
    )
}

impl Roller {
    /// A roller that has done nothing so far.
    #[must_use]
    pub fn new(warehouse: Warehouse, layout: Layout) -> Self {
        let (unused, counted, days) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { warehouse, layout, unused, counted, days }
    }

    /// Looks at every day and does what is due. May be cut off anywhere and repeated.
    ///
    /// # Errors
    /// ClickHouse cannot be asked; what was done so far counts.
    pub async fn pass(&mut self) -> Result<Passed, WarehouseError> {
        let mut passed = Passed::default();
        for facts in Facts::ALL {
            let now_ms = self.now().await?;
            let marks = self.marks(facts).await?;
            let (landings, mut again) = self.changes(facts, &marks).await?;
            if facts == Facts::Events {
                again.extend(self.came_again(&marks).await?);
            }
            let days = self.days.entry(facts).or_default();
            days.extend(landings.keys().map(|hour| hour.div_euclid(24)));
            let days: BTreeSet<i64> = days.iter().chain(marks.keys()).copied().collect();
            let mut confirmed = Vec::new();
            // The latest days are asked for most.
            for day in days.into_iter().rev() {
                let mark = marks.get(&day);
                match step(facts, day, mark, &landings, again.contains(&day), now_ms) {
                    Step::Roll => {
                        if !self.roll(facts, day).await? {
                            return Ok(Passed { waits: true, ..passed });
                        }
                        passed.rolled += 1;
                    }
                    Step::Confirm => confirmed.extend(mark.map(|mark| (day, mark))),
                    Step::Leave => {}
                }
            }
            self.confirm(facts, &confirmed, now_ms).await?;
            passed.confirmed += confirmed.len();
        }
        self.sweep().await?;
        Ok(passed)
    }

    /// The server's clock, which also says when rows land.
    async fn now(&self) -> Result<i64, WarehouseError> {
        let query = "SELECT toUnixTimestamp64Milli(now64(3))";
        self.warehouse
            .run("ask for the time", self.warehouse.client().query(query).fetch_one())
            .await
    }

    async fn marks(&self, facts: Facts) -> Result<BTreeMap<i64, Mark>, WarehouseError> {
        let query = self
            .warehouse
            .written(&format!("{MARKS} WHERE source = {{source:String}}"))
            .param("source", facts.word());
        let rows: Vec<MarkRow> =
            self.warehouse.run("read which days are put together", query.fetch_all()).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// What has landed that the marks do not know of, and the days whose rows are not as many as
    /// they were: some were replaced, or thrown away by retention or by hand.
    async fn changes(
        &mut self,
        facts: Facts,
        marks: &BTreeMap<i64, Mark>,
    ) -> Result<(Landings, BTreeSet<i64>), WarehouseError> {
        let doing = format!("look what has changed in {}", facts.word());
        let count = self.counted.get(&facts).is_none_or(|at| at.elapsed() >= COUNTED_EVERY);
        let since = marks.values().map(|mark| mark.confirmed_ms).min().unwrap_or_default();
        let mut landings = Landings::new();
        for (table, time) in facts.tables() {
            let query = self
                .warehouse
                .written(&landed(table, time, ""))
                .param("since", since.saturating_sub(LANDING_MS));
            let rows: Vec<(i64, i64)> = self.warehouse.run(&doing, query.fetch_all()).await?;
            for (hour, landed_ms) in rows {
                let newest = landings.entry(hour).or_default();
                *newest = landed_ms.max(*newest);
            }
        }
        if !count {
            return Ok((landings, BTreeSet::new()));
        }
        let rows = self.rows(facts, None).await?;
        let lost = |(day, mark): (&i64, &Mark)| {
            let same = rows.get(day).copied().unwrap_or_default() == mark.rows;
            (!same).then_some(*day)
        };
        let again = marks.iter().filter_map(lost).collect();
        self.days.entry(facts).or_default().extend(rows.keys());
        self.counted.insert(facts, Instant::now());
        Ok((landings, again))
    }

    /// Rows of facts by day, of one day or of all.
    async fn rows(
        &self,
        facts: Facts,
        day: Option<i64>,
    ) -> Result<BTreeMap<i64, u64>, WarehouseError> {
        let mut counts = BTreeMap::<i64, u64>::new();
        for (table, time) in facts.tables() {
            let of_day = day.map_or_else(String::new, |day| within(time, day));
            let query = self.warehouse.written(&format!(
                "SELECT intDiv(toUnixTimestamp64Milli({time}), {DAY_MS}) AS day, count() AS rows \
                 FROM {table} {of_day} GROUP BY day"
            ));
            let doing = format!("count the rows of {table}");
            let rows: Vec<(i64, u64)> = self.warehouse.run(&doing, query.fetch_all()).await?;
            for (day, rows) in rows {
                *counts.entry(day).or_default() += rows;
            }
        }
        Ok(counts)
    }

    /// Days with events that came again under another time or conversation, of which one has landed
    /// since the marks were made, and whose mark does not know it.
    async fn came_again(
        &self,
        marks: &BTreeMap<i64, Mark>,
    ) -> Result<BTreeSet<i64>, WarehouseError> {
        let Some(since) = marks.values().map(|mark| mark.confirmed_ms).min() else {
            return Ok(BTreeSet::new());
        };
        let query = self
            .warehouse
            .written(
                "SELECT DISTINCT arrayJoin(groupUniqArray(intDiv(toUnixTimestamp64Milli(sent_at), 3600000))) \
                 FROM events WHERE identity IN (SELECT identity FROM events \
                 WHERE landed_at > fromUnixTimestamp64Milli({since:Int64}, 'UTC')) \
                 GROUP BY identity HAVING uniqExact(sent_at, conversation_id) > 1",
            )
            .param("since", since - LANDING_MS);
        let hours: Vec<i64> =
            self.warehouse.run("look for events that came again", query.fetch_all()).await?;
        let unknown = |hour: &i64| {
            let mark = marks.get(&hour.div_euclid(24));
            mark.is_some_and(|mark| !mark.raw_hours.iter().any(|raw| i64::from(*raw) == *hour))
        };
        Ok(hours.into_iter().filter(unknown).map(|hour| hour.div_euclid(24)).collect())
    }

    /// Whether somebody is being erased: rows are there twice until the old ones are deleted.
    async fn is_erasing(&self) -> Result<bool, WarehouseError> {
        let query = self
            .warehouse
            .client()
            .query(
                "SELECT count() > 0 FROM system.tables \
                 WHERE database = {database:String} AND name = 'erasing'",
            )
            .param("database", self.warehouse.database());
        self.warehouse.run("look whether somebody is erased", query.fetch_one()).await
    }

    /// Puts a day together under a new version; `false` if somebody is being erased.
    async fn roll(&self, facts: Facts, day: i64) -> Result<bool, WarehouseError> {
        if self.is_erasing().await? {
            return Ok(false);
        }
        let doing = format!("put a day of {} together", facts.word());
        let rolled_ms = self.now().await?;
        let version = self.warehouse.client().query("SELECT rand64()");
        let version: u64 = self.warehouse.run(&doing, version.fetch_one()).await?;
        let (from_ms, to_ms) = (day * DAY_MS, (day + 1) * DAY_MS);
        let rows = self.rows(facts, Some(day)).await?.get(&day).copied().unwrap_or_default();
        let raw_hours = self.raw_hours(facts, day).await?;
        let mut tenants = BTreeSet::new();
        for (table, time) in facts.tables() {
            let query = self.warehouse.written(&format!(
                "SELECT DISTINCT toString(tenant) FROM {table} {}",
                within(time, day)
            ));
            let found: Vec<String> = self.warehouse.run(&doing, query.fetch_all()).await?;
            tenants.extend(found);
        }
        for tenant in &tenants {
            for statement in rolled_statements(facts) {
                let query = self
                    .warehouse
                    .writing(&statement)
                    .param("tenant", tenant)
                    .param("from", from_ms)
                    .param("to", to_ms)
                    .param("zone", "UTC")
                    .param("source", facts.word())
                    .param("version", version)
                    .param("raw", &raw_hours);
                self.warehouse.run(&doing, query.execute()).await?;
            }
        }
        if self.is_erasing().await? {
            return Ok(false);
        }
        let mark = Mark { version, rolled_ms, confirmed_ms: rolled_ms, rows, raw_hours };
        self.mark(facts, &[(day, &mark)]).await?;
        Ok(true)
    }

    /// Hours of a day that cannot be put together.
    async fn raw_hours(&self, facts: Facts, day: i64) -> Result<Vec<u32>, WarehouseError> {
        let statement = match facts {
            // What is not known yet becomes known as time passes.
            Facts::Recontacts => format!(
                "SELECT DISTINCT toUInt32(intDiv(toUnixTimestamp64Milli(at), 3600000)) FROM recontacts \
                 {} AND now() < ended_at + toIntervalDay({COMES_BACK_DAYS})",
                within("at", day)
            ),
            // An event that came again counts once in a range, whichever of its rows are in it.
            Facts::Events => {
                let of_day = within("sent_at", day);
                format!(
                    "SELECT DISTINCT toUInt32(intDiv(toUnixTimestamp64Milli(sent_at), 3600000)) \
                     FROM events {of_day} AND identity IN (SELECT identity FROM events \
                     WHERE identity IN (SELECT identity FROM events {of_day}) \
                     GROUP BY identity HAVING uniqExact(sent_at, conversation_id) > 1)"
                )
            }
            _ => return Ok(Vec::new()),
        };
        let doing = format!("look for hours of {} that cannot be put together", facts.word());
        self.warehouse.run(&doing, self.warehouse.written(&statement).fetch_all()).await
    }

    /// Says of days that nothing had landed in them by `now_ms`.
    async fn confirm(
        &self,
        facts: Facts,
        days: &[(i64, &Mark)],
        now_ms: i64,
    ) -> Result<(), WarehouseError> {
        let marks: Vec<(i64, Mark)> = days
            .iter()
            .map(|(day, mark)| (*day, Mark { confirmed_ms: now_ms, ..(*mark).clone() }))
            .collect();
        let marks: Vec<(i64, &Mark)> = marks.iter().map(|(day, mark)| (*day, mark)).collect();
        self.mark(facts, &marks).await
    }

    async fn mark(&self, facts: Facts, marks: &[(i64, &Mark)]) -> Result<(), WarehouseError> {
        if marks.is_empty() {
            return Ok(());
        }
        let rows: Vec<String> = marks
            .iter()
            .map(|(day, mark)| {
                format!(
                    "('{}', toDate({day}), {}, fromUnixTimestamp64Milli({}, 'UTC'), \
                     fromUnixTimestamp64Milli({}, 'UTC'), {}, {:?})",
                    facts.word(),
                    mark.version,
                    mark.rolled_ms,
                    mark.confirmed_ms,
                    mark.rows,
                    mark.raw_hours
                )
            })
            .collect();
        let statement = format!(
            "INSERT INTO rollup_marks (source, day, version, rolled_at, confirmed_at, rows, raw_hours) \
             VALUES {}",
            rows.join(", ")
        );
        let query = self.warehouse.writing(&statement);
        self.warehouse.run("say which days are put together", query.execute()).await
    }

    /// Throws away what does not count any more.
    async fn sweep(&mut self) -> Result<(), WarehouseError> {
        let doing = "throw away what was put together before";
        let client = self.warehouse.client();
        let of_parts = client
            .query(
                "SELECT DISTINCT partition_id, toUInt64(extract(partition, ',(\\\\d+)\\\\)$')) AS version \
                 FROM system.parts \
                 WHERE database = {database:String} AND table = 'rollups' AND active",
            )
            .param("database", self.warehouse.database());
        let of_parts: Vec<(String, u64)> = self.warehouse.run(doing, of_parts.fetch_all()).await?;
        let marked = self.warehouse.written("SELECT version FROM rollup_marks FINAL");
        let marked: Vec<u64> = self.warehouse.run(doing, marked.fetch_all()).await?;
        let marked: BTreeSet<u64> = marked.into_iter().collect();
        let unused: Vec<(String, u64)> =
            of_parts.into_iter().filter(|(_, version)| !marked.contains(version)).collect();
        let now = Instant::now();
        let since = std::mem::take(&mut self.unused);
        for (partition, version) in unused {
            let first = since.get(&version).copied().unwrap_or(now);
            if now.duration_since(first) < KEPT {
                self.unused.insert(version, first);
                continue;
            }
            let on_cluster = self.layout.cluster.as_ref().map(|name| format!("ON CLUSTER {name}"));
            let statement = format!(
                "ALTER TABLE rollups {} DROP PARTITION ID '{partition}'",
                on_cluster.unwrap_or_default()
            );
            self.warehouse.execute(doing, &statement).await?;
        }
        Ok(())
    }
}
