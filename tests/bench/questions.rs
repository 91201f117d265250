//! What the console's pages and the API ask, of twenty million messages: a view of a day and one of
//! ninety.

use std::time::{Duration, Instant};

use tempfile::TempDir;
use zhili_eventlog::system_clock;
use zhili_warehouse::query::{
    Dimension, Filter, Measure, Metric, MetricQuery, Order, Scope, Zone, comparison, complaints,
    customer_runs, distribution, health, leaderboard, metric, observations, phrase_use, summary,
    wall,
};
use zhili_warehouse::{Address, LANDING, Layout, Roller, Warehouse, WarehouseError, migrate};

use crate::row::{Row, quantile};
use crate::sink::{KEY, Store};

/// Filling the store alone takes minutes, so that it has to be asked for by name.
pub(crate) const NAME: &str = "questions";
/// Days that are filled, up to today.
const DAYS: i64 = 90;
const DAY_MS: i64 = 86_400_000;
/// How often each question is asked, one after the other.
const TIMES: usize = 20;
/// A question that has taken so long in all is asked no more: more of it would say nothing new.
const ENOUGH: Duration = Duration::from_secs(5);
/// A store that was filled before and is to be asked: its URL, of user `default` with the key that
/// the bench uses.
const FILLED: &str = "ZHILI_BENCH_CLICKHOUSE";
const TENANT: &str = "shop";

/// A range that pages show, and what an answer over it may take.
struct View {
    name: &'static str,
    from_ms: i64,
    to_ms: i64,
    /// Of a point of a series.
    bucket_ms: i64,
    goal_ms: f64,
}

/// Asks the questions whose names hold one of the words, or all.
pub(crate) async fn measure(words: &[String]) -> Vec<Row> {
    let wanted = |question: &str| {
        let mut others = words.iter().filter(|word| *word != NAME).peekable();
        others.peek().is_none() || others.any(|word| question.contains(word.as_str()))
    };
    let now_ms = (system_clock())();
    let today = now_ms.div_euclid(DAY_MS) * DAY_MS;
    let (warehouse, _store) = match std::env::var(FILLED) {
        Ok(url) => (filled(url).await, None),
        Err(_) => {
            let target = concat!(env!("CARGO_MANIFEST_DIR"), "/../target");
            std::fs::create_dir_all(target).unwrap();
            let folder = TempDir::new_in(target).unwrap();
            let store = Store::start(&folder).await;
            let warehouse = store.database("zhili").await;
            fill(&warehouse, today).await;
            // What has landed just now is not put together.
            tokio::time::sleep(LANDING).await;
            (warehouse, Some((store, folder)))
        }
    };
    roll(&warehouse).await;
    // The last day that is whole: today is empty but for what is to come.
    let views = [
        View {
            name: "a day",
            from_ms: today - DAY_MS,
            to_ms: today,
            bucket_ms: 3_600_000,
            goal_ms: 150.0,
        },
        View {
            name: "90 days",
            from_ms: today - DAYS * DAY_MS,
            to_ms: today,
            bucket_ms: DAY_MS,
            goal_ms: 400.0,
        },
    ];
    let mut rows = Vec::new();
    for view in &views {
        figures(&warehouse, view, &wanted, &mut rows).await;
        pages(&warehouse, view, &wanted, &mut rows).await;
    }
    if wanted("wall") {
        let seen = ask(&warehouse, async || wall(&warehouse, TENANT, today).await.map(drop)).await;
        rows.push(seen.row("wall", &views[0]));
    }
    rows
}

/// Every way in which pages ask for a metric.
async fn figures(
    warehouse: &Warehouse,
    view: &View,
    wanted: &impl Fn(&str) -> bool,
    rows: &mut Vec<Row>,
) {
    for asked in Metric::ALL.iter().filter(|metric| !metric.is_brought_in()) {
        let zone = Zone::new("Asia/Shanghai").unwrap();
        let scope = Scope { zone, ..Scope::new(asked, view.from_ms, view.to_ms) };
        let by = asked.dimensions.first().copied().unwrap_or(Dimension::Day);
        let length = view.to_ms - view.from_ms;
        let series =
            MetricQuery { scope: scope.clone(), bucket_ms: Some(view.bucket_ms), by: None };
        let rank = format!("by {}", by.word());
        for way in ["compare", "series", &rank, "distribution", "observations"] {
            let name = format!("{} {way}", asked.id);
            if !wanted(&name) || (way == "distribution" && asked.measure == Measure::Rate) {
                continue;
            }
            let question = async || match way {
                "compare" => {
                    let (from, to) = (view.from_ms - length, view.from_ms);
                    comparison(warehouse, TENANT, &scope, from, to).await.map(drop)
                }
                "series" => metric(warehouse, TENANT, &series).await.map(drop),
                "distribution" => distribution(warehouse, TENANT, &scope).await.map(drop),
                "observations" => {
                    observations(warehouse, TENANT, &scope, None, Order::Greatest, 50)
                        .await
                        .map(drop)
                }
                _ => leaderboard(warehouse, TENANT, &scope, by).await.map(drop),
            };
            rows.push(ask(warehouse, question).await.row(&name, view));
        }
    }
}

/// What pages ask besides.
async fn pages(
    warehouse: &Warehouse,
    view: &View,
    wanted: &impl Fn(&str) -> bool,
    rows: &mut Vec<Row>,
) {
    let View { from_ms, to_ms, .. } = *view;
    let (all, phrases) = (Filter::default(), ["您好，很高兴为您服务", "感谢您的耐心等待"]);
    for name in ["summary", "complaints", "phrases", "data health", "profiles"] {
        if !wanted(name) {
            continue;
        }
        let question = async || match name {
            "summary" => summary(warehouse, TENANT, from_ms).await.map(drop),
            "complaints" => {
                complaints(warehouse, TENANT, from_ms, to_ms, &all, to_ms).await.map(drop)
            }
            "phrases" => {
                phrase_use(warehouse, TENANT, from_ms, to_ms, &all, &phrases).await.map(drop)
            }
            "data health" => health(warehouse, TENANT, from_ms, to_ms).await.map(drop),
            _ => customer_runs(warehouse, TENANT, from_ms, to_ms, &all, to_ms).await.map(drop),
        };
        rows.push(ask(warehouse, question).await.row(name, view));
    }
}

/// What asking a question took.
struct Asked {
    waits: Vec<Duration>,
    rows_read: u64,
    /// Why it was not answered.
    failed: Option<String>,
}

impl Asked {
    fn row(mut self, question: &str, view: &View) -> Row {
        let View { name, goal_ms, .. } = *view;
        let name = format!("{NAME}: {question}, {name}");
        let (p50, p95) = (quantile(&mut self.waits, 0.5), quantile(&mut self.waits, 0.95));
        let mut row = Row::at_most(name, "ms (p95)", p95, goal_ms);
        row.p50 = Some(p50);
        row.rows_read = Some(self.rows_read);
        if let Some(cause) = self.failed {
            row.met = false;
            row.goal = cause.chars().take(60).collect();
        }
        row
    }
}

/// Asks a question again and again; the first answer, for which files may have to be read, counts.
async fn ask(
    warehouse: &Warehouse,
    question: impl AsyncFn() -> Result<(), WarehouseError>,
) -> Asked {
    let (mut waits, mut failed) = (Vec::new(), None);
    let before = rows_selected(warehouse).await;
    let begun = Instant::now();
    while waits.len() < TIMES && begun.elapsed() < ENOUGH && failed.is_none() {
        let asked = Instant::now();
        failed = question().await.err().map(|error| error.to_string());
        waits.push(asked.elapsed());
    }
    let rows_read = (rows_selected(warehouse).await - before) / waits.len() as u64;
    Asked { waits, rows_read, failed }
}

/// Rows that the server has read for anything so far; nobody else asks it.
async fn rows_selected(warehouse: &Warehouse) -> u64 {
    let query = "SELECT toUInt64(sum(value)) FROM system.events WHERE event = 'SelectedRows'";
    warehouse.client().query(query).fetch_one().await.unwrap()
}

async fn filled(url: String) -> Warehouse {
    let (user, password) = ("default".to_owned(), KEY.to_owned());
    let address = Address { url, user, password, database: "zhili".to_owned() };
    let warehouse = Warehouse::new(&address, false).unwrap();
    migrate(&warehouse, &Layout::default()).await.unwrap();
    warehouse
}

/// Puts together what can be, as the service does.
async fn roll(warehouse: &Warehouse) {
    let (begun, before) = (Instant::now(), rows_selected(warehouse).await);
    let passed = Roller::new(warehouse.clone(), Layout::default()).pass().await.unwrap();
    let read = rows_selected(warehouse).await - before;
    println!("{} days put together in {:.1?}, {read} rows read", passed.rolled, begun.elapsed());
}

/// Fills the days before `today`.
async fn fill(warehouse: &Warehouse, today: i64) {
    let text: String = include_str!("day.sql")
        .lines()
        .filter(|line| !line.starts_with("--"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let (statements, conversations) = text.rsplit_once(";\n").unwrap();
    let start = (today - DAYS * DAY_MS).to_string();
    for day in 0..DAYS {
        for statement in statements.split(";\n") {
            let statement = statement
                .replace("{conversations}", conversations.trim())
                .replace("{day}", &day.to_string())
                .replace("{start}", &start);
            let query = warehouse.client().query_raw(&statement);
            query.with_setting("max_partitions_per_insert_block", "0").execute().await.unwrap();
        }
    }
}
