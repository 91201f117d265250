//! Every query of the Grafana dashboards, on the real engine, with the macros of the ClickHouse
//! data source replaced as its documentation says.

#![allow(clippy::unwrap_used, reason = "what helps the tests may fail as they may")]

#[allow(dead_code, reason = "other tests use more of it")]
mod engine;

use std::path::{Path, PathBuf};

use engine::engine;
use serde_json::Value;
use zhili_warehouse::{Layout, migrate};

/// The time range of a dashboard, seconds since the Unix epoch.
const RANGE: (i64, i64) = (1_760_000_000, 1_760_604_800);

fn dashboards() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana/dashboards");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Replaces `$__name(column)` by what `with` makes of the column.
fn replace(sql: &str, name: &str, with: &dyn Fn(&str) -> String) -> String {
    let Some((before, rest)) = sql.split_once(&format!("{name}(")) else {
        return sql.to_owned();
    };
    let mut depth = 1;
    let end = rest.find(|c| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    });
    let (column, after) = rest.split_at(end.unwrap());
    format!("{before}{}{}", with(column), replace(&after[1..], name, with))
}

fn expanded(sql: &str) -> String {
    let (from, to) = RANGE;
    let sql = replace(sql, "$__timeFilter", &|column| {
        format!("{column} >= toDateTime({from}) AND {column} <= toDateTime({to})")
    });
    let sql = replace(&sql, "$__timeInterval", &|column| {
        format!("toStartOfInterval(toDateTime({column}), INTERVAL 600 second)")
    });
    sql.replace("${tenant:sqlstring}", "'shop'")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_dashboards_runs_on_the_views() {
    let Some(engine) = engine("grafana") else { return };
    let warehouse = engine.warehouse("zhili");
    migrate(&warehouse, &Layout::default()).await.unwrap();
    let statement = format!(
        "INSERT INTO turns (tenant, conversation_id, fact_id, at, agent, rt_first_unanswered_ms, \
         rt_human_ms) SELECT if(number < 30, 'shop', 'other'), 'c', toString(number), \
         fromUnixTimestamp64Milli(toInt64({} + number) * 1000, 'UTC'), 'a', 1000 * number, 1000 \
         FROM numbers(40)",
        RANGE.0
    );
    warehouse.client().query(&statement).execute().await.unwrap();
    let (mut queries, mut turns) = (0, 0);
    for file in dashboards() {
        let text = std::fs::read_to_string(&file).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            assert!(!panel["description"].as_str().unwrap().is_empty(), "{title}");
            let targets = panel["targets"].as_array().unwrap().iter();
            // Those of Prometheus are looked for in a running system, by tests/e2e.
            for target in targets.filter(|it| it["datasource"]["type"] != "prometheus") {
                let sql = expanded(target["rawSql"].as_str().unwrap());
                assert!(!sql.contains('$'), "{title}: {sql}");
                let counted = format!("SELECT count() FROM ({sql})");
                let rows = warehouse.client().query_raw(&counted).fetch_one::<u64>().await;
                let rows = rows.unwrap_or_else(|error| panic!("{title}: {error}: {sql}"));
                queries += 1;
                if title == "Agents" {
                    turns = rows;
                    let sum = format!("SELECT sum(turns) FROM ({sql})");
                    let sum = warehouse.client().query_raw(&sum).fetch_one::<u64>().await;
                    assert_eq!(sum.unwrap(), 30, "another tenant's turns are counted");
                }
            }
        }
    }
    assert!(queries >= 20, "{queries}");
    assert_eq!(turns, 1);
}
