//! Which hours of a question's range are put together.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{DAY_MS, Facts, LANDING_MS, Landings, Mark, Plan, divide};
use crate::query::interactive;
use crate::{Warehouse, WarehouseError};

#[derive(clickhouse::Row, Deserialize)]
pub(super) struct MarkRow {
    day: i64,
    version: u64,
    rolled_ms: i64,
    confirmed_ms: i64,
    rows: u64,
    raw_hours: Vec<u32>,
}

impl From<MarkRow> for (i64, Mark) {
    fn from(row: MarkRow) -> Self {
        let MarkRow { day, version, rolled_ms, confirmed_ms, rows, raw_hours, .. } = row;
        (day, Mark { version, rolled_ms, confirmed_ms, rows, raw_hours })
    }
}

pub(super) const MARKS: &str = "SELECT toInt64(toUInt32(day)) AS day, \
     version, toUnixTimestamp64Milli(rolled_at) AS rolled_ms, \
     toUnixTimestamp64Milli(confirmed_at) AS confirmed_ms, rows, raw_hours \
     FROM rollup_marks AS m FINAL";

/// Hours of a table in which rows have landed after `since`, with the newest landing.
pub(super) fn landed(table: &str, time: &str, condition: &str) -> String {
    format!(
        "SELECT intDiv(toUnixTimestamp64Milli({time}), 3600000) AS hour, \
         toUnixTimestamp64Milli(max(landed_at)) AS landed_ms FROM {table} \
         WHERE landed_at > fromUnixTimestamp64Milli({{since:Int64}}, 'UTC'){condition} GROUP BY hour"
    )
}

/// The plan for a range of a tenant's facts; `None` if nothing of it was put together.
pub(crate) async fn plan(
    warehouse: &Warehouse,
    tenant: &str,
    facts: Facts,
    from_ms: i64,
    to_ms: i64,
) -> Result<Option<Plan>, WarehouseError> {
    let marks = warehouse
        .whole(interactive(
            warehouse,
            &format!(
                "{MARKS} WHERE source = {{source:String}} \
             AND m.day >= toDate({{first:Int32}}) AND m.day <= toDate({{last:Int32}})"
            ),
        ))
        .param("source", facts.word())
        .param("first", from_ms.div_euclid(DAY_MS) as i32)
        .param("last", to_ms.div_euclid(DAY_MS) as i32);
    let marks: Vec<MarkRow> =
        warehouse.run("look which hours are put together", marks.fetch_all()).await?;
    let marks: BTreeMap<i64, Mark> = marks.into_iter().map(Into::into).collect();
    let Some(oldest) = marks.values().map(|mark| mark.confirmed_ms).min() else {
        return Ok(None);
    };
    let mut landings = Landings::new();
    for (table, time) in facts.tables() {
        let of_range = format!(
            " AND tenant = {{tenant:String}} \
             AND {time} >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC') \
             AND {time} < fromUnixTimestamp64Milli({{to:Int64}}, 'UTC')"
        );
        let query = interactive(warehouse, &landed(table, time, &of_range))
            .param("tenant", tenant)
            .param("from", from_ms)
            .param("to", to_ms)
            .param("since", oldest - LANDING_MS);
        let rows: Vec<(i64, i64)> =
            warehouse.run("look what has landed lately", query.fetch_all()).await?;
        for (hour, landed_ms) in rows {
            let newest = landings.entry(hour).or_default();
            *newest = landed_ms.max(*newest);
        }
    }
    let plan = divide(from_ms, to_ms, &marks, &landings);
    Ok((!plan.rolled.is_empty()).then_some(plan))
}
