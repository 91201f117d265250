//! Figures with hours put together beforehand are the figures without, whatever comes late, again, or
//! goes.

#![allow(clippy::unwrap_used, reason = "what helps the tests may fail as they may")]

mod engine;

use engine::{Engine, engine};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use zhili_warehouse::query::{
    Dimension, Figure, Filter, Leaderboard, Measure, Metric, MetricQuery, Observation, Order,
    Scope, Zone, distribution, leaderboard, metric, observations,
};
use zhili_warehouse::{LANDING, Layout, Roller, Warehouse, migrate};

/// 2025-10-09T00:00:00Z.
const T0: i64 = 1_759_968_000_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// Days that are filled.
const DAYS: i64 = 2;
/// Tables whose rows say when they landed.
const TABLES: [&str; 7] =
    ["events", "turns", "cycles", "sessions", "slots", "promises", "recontacts"];

async fn run(warehouse: &Warehouse, statement: &str) {
    warehouse.client().query_raw(statement).execute().await.unwrap();
}

async fn count(warehouse: &Warehouse, of: &str) -> u64 {
    let query = format!("SELECT count() FROM {of}");
    warehouse.client().query(&query).fetch_one().await.unwrap()
}

/// Lets the server say of rows from now on that they landed so many seconds ago.
async fn landing(warehouse: &Warehouse, ago: u64) {
    for table in TABLES {
        let statement = format!(
            "ALTER TABLE {table} MODIFY COLUMN landed_at DateTime64(3, 'UTC') \
             MATERIALIZED now64(3, 'UTC') - toIntervalSecond({ago})"
        );
        run(warehouse, &statement).await;
    }
}

/// A migrated database in which rows land long ago.
async fn migrated(engine: &Engine, database: &str) -> Warehouse {
    let warehouse = engine.warehouse(database);
    migrate(&warehouse, &Layout::default()).await.unwrap();
    landing(&warehouse, 2 * LANDING.as_secs()).await;
    warehouse
}

/// A pass of a roller that has just started; how many days it has put together.
async fn roll(warehouse: &Warehouse) -> usize {
    let passed = Roller::new(warehouse.clone(), Layout::default()).pass().await.unwrap();
    assert!(!passed.waits);
    passed.rolled
}

/// A database with the same rows in which nothing is ever put together.
async fn twin(engine: &Engine, of: &Warehouse) -> Warehouse {
    let twin = engine.warehouse(&format!("{}_raw", of.database()));
    migrate(&twin, &Layout::default()).await.unwrap();
    for table in TABLES {
        run(&twin, &format!("TRUNCATE TABLE {table}")).await;
        let copy = format!("INSERT INTO {table} SELECT * FROM {}.{table}", of.database());
        let query = twin.client().query_raw(&copy).with_setting("optimize_on_insert", "0");
        query.with_setting("insert_deduplicate", "0").execute().await.unwrap();
    }
    twin
}

/// Rows of every table with values by chance, from number `first` on; of `times` the `at`.
async fn fill(warehouse: &Warehouse, rng: &mut StdRng, first: u64, rows: u64) {
    let salt: u32 = rng.random();
    let seen = format!(
        "(SELECT number + {first} AS c, cityHash64(c, {salt}) AS r, \
         fromUnixTimestamp64Milli(toInt64({T0} + r % {}), 'UTC') AS moment, \
         concat('a', toString(r % 3)) AS who, concat('q', toString(intDiv(r, 7) % 2)) AS q, \
         ['web', 'phone'][intDiv(r, 3) % 2 + 1] AS ch, concat('c', toString(intDiv(c, 3))) AS conv, \
         moment + toIntervalSecond(5) AS appended, intDiv(r, 11) % 1000 AS v FROM numbers({rows}))",
        DAYS * DAY
    );
    let fact =
        "log_append_at, precedence, tenant, conversation_id, fact_id, at, agent, channel, queue";
    let of_fact = |ending: &str| {
        format!(
            "appended, 0, 'shop', conv, concat('f', toString(c), '/1{ending}'), moment, who, ch, q"
        )
    };
    for statement in [
        format!(
            "INSERT INTO events (log_append_at, precedence, log_offset, tenant, source, event_id, \
             conversation_id, type, sent_at, accepted_at, channel, queue, author, role, \
             politeness_score, forbidden, sentiment_value, complaint, complaint_category, csat_score, csat_max) \
             SELECT appended, -toUnixTimestamp64Milli(appended), c, 'shop', 'desk', concat('e', toString(c)), conv, \
             if(v % 10 = 0, 'csat', 'message'), moment, appended, ch, q, who, if(v % 2 = 0, 'agent', 'customer'), \
             if(v % 2 = 0, v / 10, NULL), v % 7 = 0, if(v % 2 = 1, v / 500 - 1, NULL), \
             if(v % 2 = 1, if(v % 9 = 0, 'urgent', 'normal'), ''), if(v % 9 = 0, 'legal', ''), \
             if(v % 10 = 0, v % 5 + 1, NULL), if(v % 10 = 0, 5, NULL) FROM {seen}"
        ),
        format!(
            "INSERT INTO turns ({fact}, started_at, rt_first_unanswered_ms, rt_last_msg_ms, rt_human_ms, sla_nrt) \
             SELECT {}, moment, if(v % 9 = 0, NULL, v * 10), v * 9, v * 8, ['met', 'breached', ''][v % 3 + 1] \
             FROM {seen}",
            of_fact("/t1")
        ),
        format!(
            "INSERT INTO cycles ({fact}, started_at, ended_at, frt_any_ms, frt_human_ms, frt_substantive_ms, \
             frt_join_ms, sla_frt, sla_resolution, silences_agent, resolved, provisional) \
             SELECT {}, moment, moment + toIntervalSecond(v), v, v * 2, v * 3, v * 4, ['met', 'breached', ''][v % 3 + 1], \
             ['met', 'breached', ''][v % 3 + 1], v % 4, v % 3 > 0, v % 8 = 0 FROM {seen}",
            of_fact("")
        ),
        format!(
            "INSERT INTO sessions ({fact}, cl5, cl5_progressive, gc100, converted, aggravations, complaint, topic, \
             identified, felt, solved, followed_up, soothing, first_is_holding, empathy100, stint_agents, \
             stint_messages, stint_active_ms, stint_mechanical) \
             SELECT {}, v / 200, v / 300, v / 10, if(v % 2 = 0, v % 3 = 0, NULL), v % 3, v % 5 = 0, ['refund', 'account'][v % 2 + 1], \
             if(v % 5 = 0, v % 2 = 0, NULL), if(v % 5 = 0, v % 3 = 0, NULL), if(v % 5 = 0, v % 4 > 0, NULL), \
             if(v % 5 = 0, v % 3 > 0, NULL), if(v % 5 = 0, v % 6, NULL), v % 9 = 0, v / 10, [who, 'a9'], [1, 2], \
             [v * 10, v], [v % 2, 0] FROM {seen}",
            of_fact("/s")
        ),
        format!(
            "INSERT INTO slots ({fact}, slot, present) \
             SELECT {}, ['greeting', 'professional', 'emotion'][v % 3 + 1], v % 4 > 0 FROM {seen}",
            of_fact("/p1")
        ),
        format!(
            "INSERT INTO promises ({fact}, promise, due_at, state) \
             SELECT {}, ['callback', 'refund'][v % 2 + 1], moment, ['kept', 'broken', 'pending'][v % 3 + 1] FROM {seen}",
            of_fact("/m1")
        ),
        format!(
            "INSERT INTO recontacts ({fact}, ended_at, resolved, next_at, reopened_at, settled) \
             SELECT {}, moment + toIntervalSecond(v), v % 3 > 0, \
             if(v % 4 = 0, moment + toIntervalHour(v), NULL), if(v % 8 = 0, moment + toIntervalHour(v), NULL), \
             v % 2 = 0 FROM {seen}",
            of_fact("/r")
        ),
    ] {
        run(warehouse, &statement).await;
    }
}

/// Says some facts again: with another value, as a correction, or with the same one.
async fn correct(warehouse: &Warehouse, rng: &mut StdRng) {
    let (every, rest) = (rng.random_range(2..9), rng.random_range(0..2));
    for (table, column) in [
        ("turns", "rt_first_unanswered_ms"),
        ("cycles", "frt_human_ms"),
        ("promises", "revision"),
        ("slots", "cycle"),
        ("recontacts", "revision"),
        ("sessions", "aggravations"),
    ] {
        let statement = format!(
            "INSERT INTO {table} SELECT * REPLACE ({column} + 1 AS {column}, precedence + 1 AS precedence, \
             log_append_at + toIntervalDay(1) AS log_append_at) \
             FROM {table} FINAL WHERE cityHash64(fact_id) % {every} = {rest}"
        );
        run(warehouse, &statement).await;
    }
    // The same event once more, as it was.
    let again = format!(
        "INSERT INTO events SELECT * REPLACE (precedence - 1 AS precedence) FROM events FINAL \
         WHERE identity % {every} = {rest}"
    );
    run(warehouse, &again).await;
}

fn near(a: Option<f64>, b: Option<f64>, within: f64) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= within * a.abs().max(b.abs()).max(1.0),
        (a, b) => a == b,
    }
}

/// The same but for the order in which numbers are summed, of which a deviation keeps half the
/// digits where values are equal.
fn same(a: &Figure, b: &Figure) -> bool {
    let ends = |figure: &Figure| figure.interval.map(|it| (it.low, it.high)).unzip();
    let ((a_low, a_high), (b_low, b_high)) = (ends(a), ends(b));
    let told =
        [(a.value, b.value), (a.mean, b.mean), (a.p50, b.p50), (a.p90, b.p90), (a.p99, b.p99)];
    a.n == b.n
        && told.into_iter().all(|(a, b)| near(a, b, 1e-9))
        && near(a_low, b_low, 1e-7)
        && near(a_high, b_high, 1e-7)
}

/// Asks both about every metric, and returns how many observations were compared.
async fn assert_same(rolled: &Warehouse, raw: &Warehouse, when: &str) -> u64 {
    let zone = Zone::new("Asia/Shanghai").unwrap();
    let mut compared = 0;
    let metrics = Metric::ALL.iter().filter(|metric| !metric.is_brought_in());
    for (number, asked) in metrics.enumerate() {
        // Whole days, and a range that begins and ends within an hour.
        let ranges = [(0, DAYS * DAY), (5 * HOUR + 1_234, 31 * HOUR + 99)];
        let (from, to) = ranges[number % 2];
        let scope = Scope { zone: zone.clone(), ..Scope::new(asked, T0 + from, T0 + to) };
        let about = format!("{} from {from} to {to} {when}", asked.id);
        let query = MetricQuery { scope: scope.clone(), bucket_ms: Some(DAY / 2), by: None };
        let (a, b) =
            tokio::try_join!(metric(rolled, "shop", &query), metric(raw, "shop", &query)).unwrap();
        assert_eq!(a.len(), b.len(), "{about}");
        for (a, b) in a.iter().zip(&b) {
            assert!(same(&a.figure, &b.figure), "{about}: {a:?} is not {b:?}");
            compared += a.figure.n;
        }
        let dimensions: Vec<Dimension> =
            asked.dimensions.iter().copied().chain([Dimension::Hour]).collect();
        let by = dimensions[number % dimensions.len()];
        let able = asked.dimensions.contains(&Dimension::Channel);
        let filter = Filter { channel: able.then(|| "web".to_owned()), ..Filter::default() };
        let (a, b) = {
            let scope = Scope { filter, ..scope.clone() };
            let boards = tokio::try_join!(
                leaderboard(rolled, "shop", &scope, by),
                leaderboard(raw, "shop", &scope, by)
            );
            boards.unwrap()
        };
        assert!(same(&a.all, &b.all), "{about}: {:?} is not {:?}", a.all, b.all);
        let (a, b) = (groups(a), groups(b));
        assert_eq!(a.len(), b.len(), "{about} by {by:?}");
        for ((name, a), (other, b)) in a.iter().zip(&b) {
            assert!(name == other && same(a, b), "{about} by {by:?} {name}: {a:?} is not {b:?}");
        }
        let order = [Order::Latest, Order::Greatest, Order::Least][number % 3];
        let (a, b) = tokio::try_join!(
            observations(rolled, "shop", &scope, None, order, 7),
            observations(raw, "shop", &scope, None, order, 7)
        )
        .unwrap();
        let first = |rows: &[Observation]| -> Vec<(f64, i64)> {
            rows.iter().map(|row| (row.value, row.observed_ms)).collect()
        };
        assert_eq!(first(&a), first(&b), "{about} {order:?}");
        if asked.measure != Measure::Rate {
            let (a, b) = tokio::try_join!(
                distribution(rolled, "shop", &scope),
                distribution(raw, "shop", &scope)
            )
            .unwrap();
            assert_eq!(a.bins, b.bins, "{about}");
        }
    }
    compared
}

/// Groups by their names: those with the same figure come in any order.
fn groups(board: Leaderboard) -> Vec<(String, Figure)> {
    let mut groups: Vec<_> = board.groups.into_iter().map(|one| (one.group, one.figure)).collect();
    groups.sort_by(|a, b| a.0.cmp(&b.0));
    groups
}

/// Lets days have been put together some hours ago, so that they have rested.
async fn rest(warehouse: &Warehouse) {
    // The time of confirmation is the version of a mark, which cannot be changed in its place.
    for statement in [
        "CREATE TABLE rested AS rollup_marks",
        "INSERT INTO rested SELECT * REPLACE (rolled_at - toIntervalHour(7) AS rolled_at, \
         confirmed_at - toIntervalHour(7) AS confirmed_at) FROM rollup_marks FINAL",
        "TRUNCATE TABLE rollup_marks",
        "INSERT INTO rollup_marks SELECT * FROM rested",
        "DROP TABLE rested SYNC",
    ] {
        run(warehouse, statement).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_the_same_with_and_without_whatever_lands_late() {
    let Some(engine) = engine("rollups") else { return };
    let seed: u64 = std::env::var("ZHILI_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    let mut rng = StdRng::seed_from_u64(seed);
    let warehouse = migrated(&engine, "rolled").await;
    fill(&warehouse, &mut rng, 0, 600).await;
    let raw = twin(&engine, &warehouse).await;
    assert_same(&warehouse, &raw, "before anything is put together").await;
    roll(&warehouse).await;
    assert!(count(&warehouse, "rollups").await > 1_000, "little was put together");
    assert!(assert_same(&warehouse, &raw, "after it is").await > 10_000);

    // Late facts, corrections and events that come again, which nobody has looked at since.
    rest(&warehouse).await;
    correct(&warehouse, &mut rng).await;
    fill(&warehouse, &mut rng, 600, 20).await;
    let raw = twin(&engine, &warehouse).await;
    assert_same(&warehouse, &raw, "after corrections").await;
    assert!(roll(&warehouse).await > 0, "nothing was put together again");
    assert_same(&warehouse, &raw, "after corrections were put together").await;

    // Those that land as days are put together are not in them for sure.
    landing(&warehouse, 0).await;
    correct(&warehouse, &mut rng).await;
    fill(&warehouse, &mut rng, 620, 20).await;
    let raw = twin(&engine, &warehouse).await;
    assert_same(&warehouse, &raw, "after rows that landed just now").await;
    roll(&warehouse).await;
    assert_same(&warehouse, &raw, "after those and a pass").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_again_in_another_hour_counts_once() {
    let Some(engine) = engine("rollups again") else { return };
    let warehouse = migrated(&engine, "again").await;
    let event = |hour: i64, offset: u32| {
        format!(
            "INSERT INTO events (tenant, source, event_id, conversation_id, type, role, sent_at, \
             log_append_at, precedence, log_offset, politeness_score) \
             SELECT 'shop', 'desk', 'e', 'c', 'message', 'agent', \
             fromUnixTimestamp64Milli({}, 'UTC'), fromUnixTimestamp64Milli({T0}, 'UTC'), {}, {offset}, 50 + {offset}",
            T0 + hour * HOUR,
            -i64::from(offset)
        )
    };
    let politeness = Metric::from_id("politeness.v1").unwrap();
    let asked = async |from: i64, to: i64| {
        let scope = Scope::new(politeness, T0 + from * HOUR, T0 + to * HOUR);
        let query = MetricQuery { scope, bucket_ms: None, by: None };
        let figure = metric(&warehouse, "shop", &query).await.unwrap()[0].figure.clone();
        (figure.n, figure.value)
    };
    run(&warehouse, &event(3, 1)).await;
    roll(&warehouse).await;
    assert_eq!(asked(0, 48).await, (1, Some(51.0)));
    // On the next day, and the roller has looked.
    rest(&warehouse).await;
    run(&warehouse, &event(30, 2)).await;
    assert!(roll(&warehouse).await > 0);
    assert_eq!(asked(0, 48).await, (1, Some(51.0)), "the first one counts");
    assert_eq!(asked(24, 48).await, (1, Some(52.0)), "alone in its range it counts there");
    assert_eq!(count(&warehouse, "rollup_marks FINAL WHERE notEmpty(raw_hours)").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_off_does_not_count_and_is_swept_away_later() {
    let Some(mut engine) = engine("rollups cut off") else { return };
    let warehouse = migrated(&engine, "cut").await;
    let mut rng = StdRng::seed_from_u64(3);
    fill(&warehouse, &mut rng, 0, 200).await;
    let raw = twin(&engine, &warehouse).await;
    // ClickHouse ends in the middle of a pass.
    let mut roller = Roller::new(warehouse.clone(), Layout::default());
    let rolling = tokio::spawn(async move { roller.pass().await });
    while count(&warehouse, "rollup_marks").await == 0 {
        tokio::task::yield_now().await;
    }
    engine.kill_and_restart();
    rolling.await.unwrap().ok();
    assert_same(&warehouse, &raw, "after ClickHouse ended").await;
    roll(&warehouse).await;
    assert_same(&warehouse, &raw, "after another pass").await;
    // A roller that ended between the rows and the mark, of a day with a mark and of one without.
    run(
        &warehouse,
        "INSERT INTO rollups SELECT * REPLACE (version + 1 AS version, hour AS hour) FROM rollups",
    )
    .await;
    assert_same(&warehouse, &raw, "beside rows without a mark").await;
    run(
        &warehouse,
        "ALTER TABLE rollup_marks DELETE WHERE source = 'turns' SETTINGS mutations_sync = 2",
    )
    .await;
    assert_same(&warehouse, &raw, "without marks of turns").await;
    // Two at once do some of it twice.
    let mut second = Roller::new(warehouse.clone(), Layout::default());
    let mut first = Roller::new(warehouse.clone(), Layout::default());
    let (one, other) = tokio::join!(first.pass(), second.pass());
    assert!(one.unwrap().rolled + other.unwrap().rolled >= 2);
    assert_same(&warehouse, &raw, "after two at once").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_put_together_while_somebody_is_erased_and_nobody_is_named_in_it() {
    let Some(engine) = engine("rollups erased") else { return };
    let warehouse = migrated(&engine, "erased").await;
    let mut rng = StdRng::seed_from_u64(4);
    fill(&warehouse, &mut rng, 0, 50).await;
    run(&warehouse, "CREATE TABLE erasing (tenant String) ENGINE = Memory").await;
    let passed = Roller::new(warehouse.clone(), Layout::default()).pass().await.unwrap();
    assert!(passed.waits && passed.rolled == 0);
    assert_eq!(count(&warehouse, "rollup_marks").await, 0);
    run(&warehouse, "DROP TABLE erasing SYNC").await;
    run(&warehouse, "ALTER TABLE events UPDATE author = 'u_person' WHERE role = 'customer' SETTINGS mutations_sync = 2").await;
    roll(&warehouse).await;
    assert!(count(&warehouse, "rollups WHERE source = 'events'").await > 0);
    let names = "rollups WHERE multiSearchAny(concat(agent, ' ', channel, ' ', queue, ' ', team, ' ', kind), ['u_person', 'c1'])";
    assert_eq!(count(&warehouse, names).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn days_that_lose_rows_are_put_together_again() {
    let Some(engine) = engine("rollups lost") else { return };
    let warehouse = migrated(&engine, "lost").await;
    let mut rng = StdRng::seed_from_u64(5);
    fill(&warehouse, &mut rng, 0, 200).await;
    roll(&warehouse).await;
    run(&warehouse, "ALTER TABLE turns DELETE WHERE agent = 'a1' SETTINGS mutations_sync = 2")
        .await;
    let raw = twin(&engine, &warehouse).await;
    roll(&warehouse).await;
    assert!(assert_same(&warehouse, &raw, "after rows were thrown away").await > 0);
}
