//! Figures about people against plain counting, on the real engine: handle time, turns at once,
//! mechanical replies, evenness, and scores that are brought in.

#![allow(clippy::unwrap_used, reason = "what helps the tests may fail as they may")]

#[allow(dead_code, reason = "the other tests use more of it")]
mod engine;

use engine::{Engine, engine};
use zhili_warehouse::query::{
    Dimension, Figure, Filter, Metric, MetricQuery, Scope, figure, metric,
};
use zhili_warehouse::{Instant, Layout, OutsideScore, Retention, Warehouse, bring_in, migrate};

/// 2025-10-09T08:53:20Z.
const T0: i64 = 1_760_000_000_000;

async fn migrated(engine: &Engine, database: &str) -> Warehouse {
    let warehouse = engine.warehouse(database);
    migrate(&warehouse, &Layout::default()).await.unwrap();
    warehouse
}

async fn run(warehouse: &Warehouse, statement: &str) {
    warehouse.client().query(statement).execute().await.unwrap();
}

fn time(second: i64) -> String {
    format!("fromUnixTimestamp64Milli({}, 'UTC')", T0 + second * 1_000)
}

/// What an agent writes.
async fn message(warehouse: &Warehouse, tenant: &str, agent: &str, second: i64, politeness: f64) {
    let at = time(second);
    let conversation = second / 100;
    run(
        warehouse,
        &format!(
            "INSERT INTO events (tenant, source, event_id, conversation_id, type, sent_at, \
             accepted_at, author, role, politeness_score, log_append_at) \
             VALUES ('{tenant}', 'desk', '{agent}{second}', 'c{conversation}', 'message', {at}, \
             {at} + 1, '{agent}', 'agent', {politeness}, {at})"
        ),
    )
    .await;
}

/// A turn of an agent, answered after so many seconds.
async fn turn(
    warehouse: &Warehouse,
    tenant: &str,
    agent: &str,
    number: u32,
    second: i64,
    wait: Option<i64>,
) {
    let at = time(second);
    let wait_ms = wait.map_or("NULL".to_owned(), |wait| (wait * 1_000).to_string());
    run(
        warehouse,
        &format!(
            "INSERT INTO turns (tenant, conversation_id, fact_id, at, agent, started_at, \
             rt_first_unanswered_ms, log_append_at) \
             VALUES ('{tenant}', 'c', 'c/00ff/t{number}', {at}, '{agent}', {at}, {wait_ms}, {at})"
        ),
    )
    .await;
}

async fn ask(warehouse: &Warehouse, tenant: &str, id: &str, agent: Option<&str>) -> Figure {
    let filter = Filter { agent: agent.map(str::to_owned), ..Filter::default() };
    let scope = Scope::new(Metric::from_id(id).unwrap(), T0, T0 + 3_600_000);
    figure(warehouse, tenant, &Scope { filter, ..scope }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_at_once_are_those_of_plain_counting() {
    let Some(engine) = engine("concurrency") else { return };
    let warehouse = migrated(&engine, "concurrency").await;
    for (tenant, agent, seconds) in
        [("shop", "a", vec![5, 10, 20, 30]), ("shop", "b", vec![10]), ("other", "a", vec![10])]
    {
        for second in seconds {
            message(&warehouse, tenant, agent, second, 50.0).await;
        }
    }
    // Two are answered at 10 and 20; one waits until its session ends at 12.
    turn(&warehouse, "shop", "a", 1, 0, Some(10)).await;
    turn(&warehouse, "shop", "a", 2, 6, Some(14)).await;
    turn(&warehouse, "shop", "a", 3, 8, None).await;
    turn(&warehouse, "shop", "b", 4, 9, Some(1)).await;
    turn(&warehouse, "other", "a", 5, 1, Some(9)).await;
    let (begin, end) = (time(0), time(12));
    for tenant in ["shop", "other"] {
        run(
            &warehouse,
            &format!(
                "INSERT INTO cycles (tenant, conversation_id, fact_id, at, started_at, ended_at, \
                 log_append_at) VALUES ('{tenant}', 'c', 'c/00ff', {begin}, {begin}, {end}, {begin})"
            ),
        )
        .await;
    }
    let one_by_one: Vec<(String, String, i64)> = warehouse
        .client()
        .query(
            "SELECT toString(tenant), event_id, open_turns FROM v_concurrency \
             ORDER BY tenant, event_id",
        )
        .fetch_all()
        .await
        .unwrap();
    let shape: Vec<(&str, &str, i64)> = one_by_one
        .iter()
        .map(|(tenant, event, open)| (tenant.as_str(), event.as_str(), *open))
        .collect();
    assert_eq!(
        shape,
        [
            ("other", "a10", 1),
            ("shop", "a10", 3),
            ("shop", "a20", 1),
            ("shop", "a30", 0),
            ("shop", "a5", 1),
            ("shop", "b10", 1),
        ]
    );
    // Each message with each turn: what the window function does not do.
    let plain: (u64, f64) = warehouse
        .client()
        .query(
            "SELECT count(), avg(n) FROM ( \
             SELECT e.event_id, countIf(t.agent = e.author AND t.started_at <= e.sent_at \
             AND e.sent_at <= ifNull(t.started_at + toIntervalMillisecond(t.rt_first_unanswered_ms), \
             (SELECT ended_at FROM cycles WHERE tenant = 'shop'))) AS n \
             FROM events AS e CROSS JOIN turns AS t \
             WHERE e.tenant = 'shop' AND t.tenant = 'shop' GROUP BY e.event_id)",
        )
        .fetch_one()
        .await
        .unwrap();
    let asked = ask(&warehouse, "shop", "concurrency.v1", None).await;
    assert_eq!((asked.n, asked.value.unwrap()), plain);
    let of_a = ask(&warehouse, "shop", "concurrency.v1", Some("a")).await;
    assert_eq!((of_a.n, of_a.value), (4, Some(1.25)));
}

#[tokio::test(flavor = "multi_thread")]
async fn handle_time_and_mechanical_replies_are_each_agents_own() {
    let Some(engine) = engine("stints") else { return };
    let warehouse = migrated(&engine, "stints").await;
    let session = async |tenant: &str, number: i64, stints: &str| {
        let at = time(number);
        run(
            &warehouse,
            &format!(
                "INSERT INTO sessions (tenant, conversation_id, fact_id, at, agent, log_append_at, \
                 stint_agents, stint_messages, stint_active_ms, stint_mechanical) \
                 VALUES ('{tenant}', 'c{number}', 'c{number}/1/s', {at}, 'first', {at}, {stints})"
            ),
        )
        .await;
    };
    session("shop", 1, "['a', 'b'], [3, 1], [60000, 5000], [1, 0]").await;
    session("shop", 2, "['a'], [2], [20000], [0]").await;
    session("shop", 3, "[], [], [], []").await;
    session("other", 4, "['a'], [1], [1000], [1]").await;
    let scope = |id| Scope::new(Metric::from_id(id).unwrap(), T0, T0 + 3_600_000);
    let by_agent = async |id| {
        let by = Some(Dimension::Agent);
        let query = MetricQuery { scope: scope(id), bucket_ms: None, by };
        let points = metric(&warehouse, "shop", &query).await.unwrap();
        let points = points.into_iter();
        points.map(|it| (it.group, it.figure.n, it.figure.value.unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(
        by_agent("aht.v1").await,
        [("a".to_owned(), 2, 40_000.0), ("b".to_owned(), 1, 5_000.0)]
    );
    assert_eq!(
        by_agent("mechanical.v1").await,
        [("a".to_owned(), 2, 0.5), ("b".to_owned(), 1, 0.0)]
    );
    let plain: f64 = warehouse
        .client()
        .query(
            "SELECT sum(arraySum(stint_active_ms)) / sum(length(stint_agents)) FROM sessions \
             WHERE tenant = 'shop'",
        )
        .fetch_one()
        .await
        .unwrap();
    let all = ask(&warehouse, "shop", "aht.v1", None).await;
    assert!((all.value.unwrap() - plain).abs() < 1e-9, "{all:?} {plain}");
    assert_eq!(ask(&warehouse, "other", "aht.v1", None).await.value, Some(1_000.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn evenness_is_of_an_agents_conversations_of_one_day() {
    let Some(engine) = engine("spread") else { return };
    let warehouse = migrated(&engine, "spread").await;
    // Conversations of 60 and of 80 on average, and one alone.
    for (agent, second, politeness) in
        [("a", 0, 50.0), ("a", 1, 70.0), ("a", 100, 80.0), ("b", 200, 10.0)]
    {
        message(&warehouse, "shop", agent, second, politeness).await;
    }
    let spread = ask(&warehouse, "shop", "spread.v1", None).await;
    assert_eq!(spread.n, 1);
    let expected = 200_f64.sqrt() / 70.0;
    assert!((spread.value.unwrap() - expected).abs() < 1e-9, "{spread:?}");
    assert_eq!(ask(&warehouse, "shop", "forbidden.v1", Some("a")).await.value, Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_score_from_outside_stays_until_it_is_replaced_withdrawn_or_too_old() {
    let Some(engine) = engine("scores") else { return };
    let warehouse = migrated(&engine, "scores").await;
    let score = |score_id: &str, value, withdrawn| OutsideScore {
        score_id: score_id.to_owned(),
        metric_id: "exam.v1".to_owned(),
        agent: "a".to_owned(),
        queue: String::new(),
        team: "north".to_owned(),
        at: Instant(T0 + 1_000),
        value,
        withdrawn,
    };
    let bring = async |tenant: &str, now_ms: i64, scores: &[OutsideScore]| {
        bring_in(&warehouse, tenant, "qa", Instant(now_ms), scores).await.unwrap();
    };
    bring("shop", T0, &[score("one", 60.0, false), score("two", 80.0, false)]).await;
    bring("other", T0, &[score("one", 5.0, false)]).await;
    bring("shop", T0, &[]).await;
    let exam = async |tenant: &str| ask(&warehouse, tenant, "exam.v1", Some("a")).await;
    assert_eq!((exam("shop").await.n, exam("shop").await.value), (2, Some(70.0)));
    bring("shop", T0 + 1, &[score("one", 100.0, false)]).await;
    assert_eq!(exam("shop").await.value, Some(90.0));
    bring("shop", T0 + 2, &[score("two", 80.0, true)]).await;
    assert_eq!((exam("shop").await.n, exam("shop").await.value), (1, Some(100.0)));
    assert_eq!(exam("other").await.value, Some(5.0));
    assert_eq!(ask(&warehouse, "shop", "review.accuracy.v1", None).await.n, 0);

    let retention = Retention { scores: Some(30), ..Retention::default() };
    migrate(&warehouse, &Layout { retention, ..Layout::default() }).await.unwrap();
    run(&warehouse, "OPTIMIZE TABLE outside_scores FINAL").await;
    assert_eq!(exam("shop").await.n, 0);
}
