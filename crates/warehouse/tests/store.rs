//! Against the real engine: migrations, rows, the sink, the audit and the questions.

#![allow(clippy::unwrap_used, reason = "what helps the tests may fail as they may")]

mod engine;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use engine::{Engine, engine};
use prost::Message;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::{EventLog, NewRecord, TopicPartition, partition_of, topics};
use zhili_proto::conversation::v1::{Author, Event, EventType, author};
use zhili_proto::escalation::v1::{
    Incident, IncidentEvent, LogEntry, Page, Signal, incident, incident_event, log_entry, page,
};
use zhili_proto::scoring::v1::{
    Assessment, Correction, Cycle, Fact, Politeness, Recontact, ScoredEvent, Sentiment, Session,
    Turn, fact, politeness, sentiment,
};
use zhili_proto::timestamp;
use zhili_warehouse::query::{
    Dimension, Figure, Filter, Interval, Measure, Metric, MetricQuery, Order, Scope, Standing,
    Zone, comparison, conversation, distribution, leaderboard, metric, observations, summary,
    timeline, wall,
};
use zhili_warehouse::sink::{Batch, Observer, OffsetRange, SinkOptions, run_sinks};
use zhili_warehouse::{
    Address, Block, Finding, Identity, Layout, Retention, RowKey, SinkError, Table, Tables,
    Warehouse, WarehouseError, audit, check_windows, migrate, repair,
};

const PARTITIONS: u32 = 4;
/// Records of the test that kills the store.
const RECORDS: u64 = 4_000;
/// 2025-10-09T08:53:20Z.
const T0: i64 = 1_760_000_000_000;

/// A migrated database of its own.
async fn migrated(engine: &Engine, database: &str) -> Warehouse {
    let warehouse = engine.warehouse(database);
    migrate(&warehouse, &Layout::default()).await.unwrap();
    warehouse
}

async fn count(warehouse: &Warehouse, of: &str) -> u64 {
    let query = format!("SELECT count() FROM {of}");
    warehouse.client().query(&query).fetch_one().await.unwrap()
}

async fn run(warehouse: &Warehouse, statement: &str) {
    warehouse.client().query(statement).execute().await.unwrap();
}

/// A scored message of a conversation; every fourth is the agent's.
fn scored(n: u64) -> ScoredEvent {
    let by_agent = n % 4 == 3;
    let role = if by_agent { author::Role::Agent } else { author::Role::Customer };
    ScoredEvent {
        event: Some(Event {
            tenant: "shop".into(),
            source: "desk".into(),
            event_id: format!("e{n}"),
            conversation_id: format!("c{}", n / 8),
            r#type: EventType::Message.into(),
            sent_at: Some(timestamp(T0 + n as i64 * 1_000)),
            channel: "chat".into(),
            author: Some(Author {
                id: if by_agent { format!("a{}", n % 3) } else { "u".into() },
                role: role.into(),
                ..Author::default()
            }),
            text: "您好".into(),
            ..Event::default()
        }),
        assessment: Some(Assessment {
            lang: "zh".into(),
            politeness: by_agent
                .then(|| Politeness { label: politeness::Label::Polite.into(), score: 70.0 }),
            sentiment: (!by_agent).then(|| Sentiment {
                label: sentiment::Label::Neutral.into(),
                ..Sentiment::default()
            }),
            ..Assessment::default()
        }),
        offset: n,
        append_ms: T0 + n as i64 * 1_000 + 5,
        ..ScoredEvent::default()
    }
}

fn turn(n: u64, revision: u32, rt_ms: Option<i64>) -> Fact {
    Fact {
        tenant: "shop".into(),
        conversation_id: format!("c{n}"),
        fact_id: format!("c{n}/1/t1"),
        revision,
        at_ms: T0 + n as i64 * 1_000,
        agent: format!("a{}", n % 2),
        channel: "chat".into(),
        fact: Some(fact::Fact::Turn(Turn {
            cycle: 1,
            turn: 1,
            started_ms: T0 + n as i64 * 1_000,
            rt_first_unanswered_ms: rt_ms,
            rt_last_msg_ms: rt_ms,
            ..Turn::default()
        })),
        ..Fact::default()
    }
}

fn cycle(n: u64) -> Fact {
    Fact {
        fact_id: format!("c{n}/1"),
        fact: Some(fact::Fact::Cycle(Cycle {
            cycle: 1,
            started_ms: T0 + n as i64 * 1_000,
            frt_any_ms: Some(1_000),
            provisional: true,
            ..Cycle::default()
        })),
        ..turn(n, 0, None)
    }
}

fn incident_event(n: u64, acknowledged: bool) -> IncidentEvent {
    let r#type =
        if acknowledged { incident_event::Type::Acknowledged } else { incident_event::Type::Paged };
    IncidentEvent {
        r#type: r#type.into(),
        incident: Some(Incident {
            incident_id: format!("inc{n}"),
            tenant: "shop".into(),
            conversation_id: format!("c{n}"),
            state: if acknowledged {
                incident::State::Acknowledged.into()
            } else {
                incident::State::Triggered.into()
            },
            version: if acknowledged { 2 } else { 1 },
            triggered_at: Some(timestamp(T0)),
            acknowledged_at: acknowledged.then(|| timestamp(T0 + 90_000)),
            ..Incident::default()
        }),
        at_ms: T0 + if acknowledged { 90_000 } else { 100 },
        event_id: format!("inc{n}/{acknowledged}"),
        page: (!acknowledged).then(|| Page {
            page_id: format!("ntf_{n}"),
            state: page::State::Delivered.into(),
            attempts: 1,
            ..Page::default()
        }),
        ..IncidentEvent::default()
    }
}

fn signal(n: u64) -> LogEntry {
    LogEntry {
        entry: Some(log_entry::Entry::Signal(Signal {
            signal_id: format!("s{n}"),
            tenant: "shop".into(),
            conversation_id: format!("c{n}"),
            effective_ms: T0,
            ..Signal::default()
        })),
    }
}

fn record(topic: &str, key: &str, value: Vec<u8>) -> NewRecord {
    let key = Bytes::from(key.to_owned());
    let partition = TopicPartition::new(topic, partition_of(&key, PARTITIONS));
    NewRecord::new(partition, key, Bytes::from(value))
}

async fn open_log(folder: &tempfile::TempDir) -> EmbeddedLog {
    let clock = Arc::new(|| T0 + 10_000_000);
    let log = EmbeddedLog::open(folder.path(), clock).unwrap();
    log.ensure_topics(&topics::all(PARTITIONS)).await.unwrap();
    log
}

async fn append(log: &EmbeddedLog, records: Vec<NewRecord>) {
    for outcome in log.append(records).await {
        outcome.unwrap();
    }
}

/// Counts what is done and wakes who waits for it.
#[derive(Default)]
struct Progress {
    records: AtomicUsize,
    inserts: AtomicUsize,
    failures: AtomicUsize,
    orphans: AtomicUsize,
    changed: Notify,
}

impl Observer for Progress {
    fn inserted(&self, _: &TopicPartition, _: &Block, _: Duration, error: Option<&'static str>) {
        self.inserts.fetch_add(1, Ordering::SeqCst);
        if error.is_some() {
            self.failures.fetch_add(1, Ordering::SeqCst);
        }
        self.changed.notify_waiters();
    }

    fn done(&self, _: &TopicPartition, batch: &Batch) {
        self.records.fetch_add(batch.records(), Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    fn orphaned(&self, rows: &Block) {
        self.orphans.fetch_add(rows.rows(), Ordering::SeqCst);
    }
}

impl Progress {
    async fn wait(&self, until: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            if until(self) {
                return;
            }
            changed.await;
        }
    }
}

struct Sink {
    progress: Arc<Progress>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), zhili_eventlog::LogError>>,
}

impl Sink {
    fn start(log: &EmbeddedLog, warehouse: &Warehouse, rows: usize) -> Self {
        Self::member(log, warehouse, rows, "one", Arc::new(Progress::default()))
    }

    fn member(
        log: &EmbeddedLog,
        warehouse: &Warehouse,
        rows: usize,
        name: &'static str,
        progress: Arc<Progress>,
    ) -> Self {
        let shutdown = CancellationToken::new();
        let options = SinkOptions {
            rows,
            // The tests are about what is written, not about how seldom.
            inserts_per_second: 400.0,
            fetch_wait: Duration::from_millis(20),
            ..SinkOptions::default()
        };
        let observer: Arc<dyn Observer> = Arc::<Progress>::clone(&progress);
        let (log, warehouse) = (log.clone(), warehouse.clone());
        let stop = shutdown.clone();
        let task = tokio::spawn(async move {
            let (log, tables) = (Arc::new(log), Arc::new(warehouse));
            run_sinks(log, tables, "sink", name, options, observer, stop).await
        });
        Self { progress, shutdown, task }
    }

    /// Waits until so many records are done, then stops in order.
    async fn finish(self, records: usize) -> Arc<Progress> {
        self.progress.wait(|progress| progress.records.load(Ordering::SeqCst) >= records).await;
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
        self.progress
    }
}

async fn assert_clean(log: &EmbeddedLog, warehouse: &Warehouse, topic: &str) {
    for number in 0..PARTITIONS {
        let partition = TopicPartition::new(topic, number);
        let bounds = log.bounds(&partition).await.unwrap();
        let found = audit(log, warehouse, &partition, bounds.start, bounds.end).await;
        let found = found.unwrap();
        assert!(found.is_clean(), "{partition}: {found:?}");
    }
}

/// Tables whose client has a bug.
struct Buggy;

#[async_trait::async_trait]
impl Tables for Buggy {
    async fn landed(
        &self,
        _: Table,
        _: &str,
        _: &TopicPartition,
        _: OffsetRange,
    ) -> Result<HashSet<RowKey>, WarehouseError> {
        panic!("a bug")
    }

    async fn staying(
        &self,
        _: Table,
        _: &[Identity],
    ) -> Result<HashMap<Identity, i64>, WarehouseError> {
        panic!("a bug")
    }

    async fn insert(&self, _: &str, _: &Block) -> Result<(), WarehouseError> {
        panic!("a bug")
    }
}

/// What was told of partitions, in order.
#[derive(Default)]
struct Told {
    said: Mutex<Vec<String>>,
    halted: Notify,
}

impl Observer for Told {
    fn started(&self, partition: &TopicPartition) {
        self.said.lock().unwrap().push(format!("{partition} started"));
    }

    fn halted(&self, _: &TopicPartition, error: &SinkError) {
        self.said.lock().unwrap().push(error.to_string());
        self.halted.notify_one();
    }

    fn stopped(&self, partition: &TopicPartition) {
        self.said.lock().unwrap().push(format!("{partition} stopped"));
    }
}

#[tokio::test]
async fn a_sink_that_panics_halts_its_partition_until_it_moves() {
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(&folder).await;
    append(&log, vec![record(topics::SCORES, "one", scored(1).encode_to_vec())]).await;
    let told = Arc::new(Told::default());
    let observer: Arc<dyn Observer> = Arc::<Told>::clone(&told);
    let shutdown = CancellationToken::new();
    let (options, stop) = (SinkOptions::default(), shutdown.clone());
    let sinks = tokio::spawn(async move {
        run_sinks(Arc::new(log), Arc::new(Buggy), "sink", "one", options, observer, stop).await
    });
    told.halted.notified().await;
    shutdown.cancel();
    sinks.await.unwrap().unwrap();
    let at = TopicPartition::new(topics::SCORES, partition_of(b"one", PARTITIONS));
    let said = told.said.lock().unwrap();
    let said: Vec<_> = said.iter().filter(|text| text.starts_with(&at.to_string())).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[1].contains("a bug"), "{said:?}");
    assert_eq!(*said[2], format!("{at} stopped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_are_applied_once_and_a_changed_one_is_refused() {
    let Some(engine) = engine("migrations") else { return };
    let warehouse = engine.warehouse("migrations");
    let layout = Layout::default();
    let first = migrate(&warehouse, &layout).await.unwrap();
    assert_eq!(
        first.applied,
        [
            "0001_tables",
            "0002_views",
            "0003_facts",
            "0004_recontacts",
            "0005_care",
            "0006_identity",
            "0007_rollups"
        ]
    );
    let again = migrate(&warehouse, &layout).await.unwrap();
    assert!(again.applied.is_empty());
    assert_eq!(again.version, first.version);
    check_windows(&warehouse).await.unwrap();

    let other = "INSERT INTO migrations VALUES (1, '0001_tables', 'other', now64(3) + 10, 1)";
    run(&warehouse, other).await;
    let refused = migrate(&warehouse, &layout).await.unwrap_err();
    assert!(matches!(refused, WarehouseError::MigrationChanged { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_version_is_refused_unless_it_says_that_this_one_can_go_on() {
    let Some(engine) = engine("newer") else { return };
    let warehouse = migrated(&engine, "newer").await;
    let newest = migrate(&warehouse, &Layout::default()).await.unwrap().version;
    let later = |version: u32, oldest: u32| {
        format!("INSERT INTO migrations VALUES ({version}, 'later', 'x', now64(3), {oldest})")
    };
    run(&warehouse, &later(newest + 1, newest)).await;
    let gone_back = migrate(&warehouse, &Layout::default()).await.unwrap();
    assert_eq!((gone_back.applied.len(), gone_back.version), (0, newest));

    run(&warehouse, &later(newest + 2, newest + 1)).await;
    let refused = migrate(&warehouse, &Layout::default()).await.unwrap_err();
    let beyond = newest + 2;
    assert!(
        matches!(refused, WarehouseError::MigrationUnknown { version } if version == beyond),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_migrated_before_migrations_said_whom_they_are_for_is_for_nobody_older() {
    let Some(engine) = engine("silent") else { return };
    let warehouse = migrated(&engine, "silent").await;
    let newest = migrate(&warehouse, &Layout::default()).await.unwrap().version;
    run(&warehouse, "ALTER TABLE migrations DROP COLUMN oldest").await;
    let unsaid = format!("INSERT INTO migrations VALUES ({}, 'later', 'x', now64(3))", newest + 1);
    run(&warehouse, &unsaid).await;
    let refused = migrate(&warehouse, &Layout::default()).await.unwrap_err();
    assert!(matches!(refused, WarehouseError::MigrationUnknown { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_forgets_too_early_is_named() {
    let Some(engine) = engine("window") else { return };
    let warehouse = migrated(&engine, "windows").await;
    run(&warehouse, "ALTER TABLE turns MODIFY SETTING non_replicated_deduplication_window = 100")
        .await;
    let refused = check_windows(&warehouse).await.unwrap_err();
    assert!(
        matches!(refused, WarehouseError::WindowTooSmall { table: Table::Turns, actual: 100, .. }),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_follows_the_layout_up_and_down() {
    let Some(engine) = engine("retention") else { return };
    let warehouse = engine.warehouse("retention");
    let with = |days| Layout {
        retention: Retention { conversations: days, ..Retention::default() },
        ..Layout::default()
    };
    for (asked, days) in [
        (Some(30), Some(30)),
        (Some(30), Some(30)),
        (Some(400), Some(400)),
        // Who says nothing undoes nothing.
        (None, Some(400)),
        (Some(0), None),
    ] {
        migrate(&warehouse, &with(asked)).await.unwrap();
        let clause: String = warehouse
            .client()
            .query(
                "SELECT extract(engine_full, 'TTL .*toIntervalDay\\\\([0-9]+\\\\)') FROM system.tables \
                 WHERE database = 'retention' AND name = 'events'",
            )
            .fetch_one()
            .await
            .unwrap();
        let expected = days.map(|days| format!("toIntervalDay({days})"));
        assert_eq!(clause.is_empty(), expected.is_none(), "{clause}");
        assert!(clause.ends_with(&expected.unwrap_or_default()), "{clause}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_topic_reaches_its_tables_and_the_audit_agrees() {
    let Some(engine) = engine("topics") else { return };
    let warehouse = migrated(&engine, "topics").await;
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(&folder).await;
    let mut records = Vec::new();
    for n in 0..1_000 {
        records.push(record(topics::SCORES, &format!("c{}", n / 8), scored(n).encode_to_vec()));
    }
    for n in 0..100 {
        let key = format!("c{n}");
        records.push(record(topics::FACTS, &key, turn(n, 0, None).encode_to_vec()));
        records.push(record(topics::FACTS, &key, cycle(n).encode_to_vec()));
        records.push(record(topics::FACTS, &key, turn(n, 1, Some(n as i64 * 100)).encode_to_vec()));
        // Published again when it had been forgotten, and only in part.
        let again = Fact { historical: true, ..turn(n, 3, None) };
        records.push(record(topics::FACTS, &key, again.encode_to_vec()));
    }
    for n in 0..10 {
        let key = format!("team{n}");
        records.push(record(topics::ESCALATION, &key, signal(n).encode_to_vec()));
        let paged = incident_event(n, false).encode_to_vec();
        records.push(record(topics::INCIDENTS, &key, paged));
    }
    let acknowledged = incident_event(3, true).encode_to_vec();
    records.push(record(topics::INCIDENTS, "team3", acknowledged));
    // One of the ten signals did not hold.
    let taken_back = Fact {
        fact_id: "c1/1/t1/nrt".into(),
        fact: Some(fact::Fact::Correction(Correction {
            signal_id: "s1".into(),
            kind: "sla.nrt.breach".into(),
        })),
        ..turn(1, 0, None)
    };
    records.push(record(topics::FACTS, "c1", taken_back.encode_to_vec()));
    // Three complaints ended as solved: one customer came back within a week, one later, one not.
    for (n, next_after_days) in [(1, Some(6)), (2, Some(8)), (3, None)] {
        let ended_ms = turn(n, 0, None).at_ms + 60_000;
        let session = Session { complaint: true, solved: Some(true), ..Session::default() };
        let recontact = Recontact {
            ended_ms,
            resolved: true,
            next_ms: next_after_days.map(|days: i64| ended_ms + days * 86_400_000),
            ..Recontact::default()
        };
        for (id, body) in
            [("s", fact::Fact::Session(session)), ("r", fact::Fact::Recontact(recontact))]
        {
            let fact_id = format!("c{n}/1/{id}");
            let fact = Fact { fact_id, fact: Some(body), ..turn(n, 0, None) };
            records.push(record(topics::FACTS, &format!("c{n}"), fact.encode_to_vec()));
        }
    }
    // Neither can be stored; their dead letters are written in their turn.
    records.push(record(topics::SCORES, "poison", vec![0xff]));
    records.push(record(topics::FACTS, "poison", Fact::default().encode_to_vec()));
    let total = records.len();
    append(&log, records).await;
    let sink = Sink::start(&log, &warehouse, 200);
    let progress = sink.finish(total + 2).await;
    assert_eq!(progress.records.load(Ordering::SeqCst), total + 2);
    assert_eq!(progress.failures.load(Ordering::SeqCst), 0);

    assert_eq!(count(&warehouse, "v_events").await, 1_000);
    assert_eq!(count(&warehouse, "v_messages").await, 1_000);
    assert_eq!(count(&warehouse, "v_turns").await, 100);
    assert_eq!(count(&warehouse, "v_turns WHERE revision = 1").await, 100);
    assert_eq!(count(&warehouse, "v_sessions").await, 100);
    assert_eq!(count(&warehouse, "v_signals").await, 10);
    assert_eq!(count(&warehouse, "v_signals WHERE corrected").await, 1);
    let solved: Vec<(String, Option<bool>, bool)> = warehouse
        .client()
        .query("SELECT conversation_id, solved, came_back_7d FROM v_care ORDER BY conversation_id")
        .fetch_all()
        .await
        .unwrap();
    let solved: Vec<_> = solved.iter().map(|(id, solved, back)| (&**id, *solved, *back)).collect();
    assert_eq!(
        solved,
        [("c1", Some(false), true), ("c2", Some(true), false), ("c3", Some(true), false)]
    );
    let first: Vec<(bool, bool, bool, bool)> = warehouse
        .client()
        .query(
            "SELECT known_7d, fcr_3d, fcr_7d, fcr_30d FROM v_recontacts ORDER BY conversation_id",
        )
        .fetch_all()
        .await
        .unwrap();
    // Long ago, so all of it is known.
    assert_eq!(
        first,
        [(true, true, false, false), (true, true, true, false), (true, true, true, true)]
    );
    assert_eq!(count(&warehouse, "v_incidents").await, 10);
    assert_eq!(
        count(&warehouse, "v_incidents WHERE state = 'acknowledged' AND mtta_ms = 90000").await,
        1
    );
    assert_eq!(count(&warehouse, "v_deliveries").await, 10);
    assert_eq!(count(&warehouse, "dead_letters FINAL").await, 2);
    for topic in zhili_warehouse::sink::TOPICS {
        assert_clean(&log, &warehouse, topic).await;
    }
    // Somebody who starts again finds nothing to do.
    let rows = count(&warehouse, "events").await;
    append(&log, vec![record(topics::SCORES, "c0", scored(0).encode_to_vec())]).await;
    Sink::start(&log, &warehouse, 200).finish(1).await;
    assert_eq!(count(&warehouse, "events").await, rows + 1);
    assert_eq!(count(&warehouse, "v_events").await, 1_000);

    // The health view looks back seven days, and these records are older, until they are not.
    assert_eq!(count(&warehouse, "v_health").await, 0);
    run(
        &warehouse,
        "INSERT INTO signals SELECT * REPLACE (now64(3, 'UTC') AS log_append_at, 'new' AS log_id, \
         41 + rowNumberInAllBlocks() AS log_offset) FROM signals WHERE log_partition = 2 LIMIT 2",
    )
    .await;
    let health: (String, String, u64, u64, u64) = warehouse
        .client()
        .query("SELECT table_name, toString(log_id), rows, first_offset, last_offset FROM v_health")
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(health, ("signals".into(), "new".into(), 2, 41, 42));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_finds_a_hole_a_duplicate_and_a_stray() {
    let Some(engine) = engine("audit") else { return };
    let warehouse = migrated(&engine, "audit").await;
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(&folder).await;
    let records =
        (0..20).map(|n| record(topics::SCORES, "one", scored(n).encode_to_vec())).collect();
    append(&log, records).await;
    Sink::start(&log, &warehouse, 100).finish(20).await;
    run(&warehouse, "DELETE FROM events WHERE log_offset = 3").await;
    run(&warehouse, "SYSTEM STOP MERGES events").await;
    run(&warehouse, "INSERT INTO events SELECT * FROM events WHERE log_offset = 5").await;
    run(
        &warehouse,
        "INSERT INTO events SELECT * REPLACE (7 AS log_index) FROM events WHERE log_offset = 9",
    )
    .await;
    let partition = TopicPartition::new(topics::SCORES, partition_of(b"one", PARTITIONS));
    let found = audit(&log, &warehouse, &partition, 0, 20).await.unwrap();
    let finding = |offset, index| Finding { table: Table::Events, key: RowKey { offset, index } };
    assert_eq!(found.holes, [finding(3, 0)], "{found:?}");
    assert_eq!(found.duplicates, [finding(5, 0)]);
    assert_eq!(found.strays, [finding(9, 7)]);
    assert_eq!((found.records, found.rows), (20, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_honoured_and_a_column_of_another_type_is_refused_by_name() {
    let Some(engine) = engine("tokens") else { return };
    let warehouse = migrated(&engine, "tokens").await;
    let partition = TopicPartition::new(topics::SCORES, 0);
    let mut batch = Batch::new(0);
    for n in 0..10 {
        let record = zhili_eventlog::Record {
            offset: n,
            append_ms: T0,
            key: None,
            value: Some(scored(n).encode_to_vec().into()),
            headers: zhili_eventlog::Headers::default(),
        };
        batch.push("log", &partition, &record, "test");
    }
    let block = batch.blocks().next().unwrap();
    for _ in 0..3 {
        warehouse.insert("token", block).await.unwrap();
    }
    assert_eq!(count(&warehouse, "events").await, 10);
    let range = batch.range().unwrap();
    let landed = warehouse.landed(Table::Events, "log", &partition, range);
    assert_eq!(landed.await.unwrap(), block.keys().collect());

    run(&warehouse, "ALTER TABLE events MODIFY COLUMN evidence_end Array(UInt64)").await;
    let refused = warehouse.insert("other", block).await.unwrap_err();
    assert!(!refused.is_transient(), "{refused}");
    assert!(refused.to_string().contains("evidence_end"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_store_again_and_again_loses_and_doubles_nothing() {
    let Some(mut engine) = engine("kills") else { return };
    let warehouse = migrated(&engine, "kills").await;
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(&folder).await;
    let records = (0..RECORDS)
        .map(|n| record(topics::SCORES, &format!("c{}", n / 8), scored(n).encode_to_vec()))
        .collect();
    append(&log, records).await;
    let sink = Sink::start(&log, &warehouse, 50);
    for kill in 1..=6 {
        // The next INSERT is under way as soon as one has ended.
        sink.progress.wait(|progress| progress.inserts.load(Ordering::SeqCst) >= kill * 12).await;
        engine.kill_and_restart();
    }
    let progress = sink.finish(RECORDS as usize).await;
    assert!(progress.failures.load(Ordering::SeqCst) > 0, "no kill met the sink");
    assert_eq!(count(&warehouse, "v_events").await, RECORDS);
    assert_eq!(count(&warehouse, "events").await, RECORDS);
    assert_clean(&log, &warehouse, topics::SCORES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_ends_itself_over_an_insert_gets_the_rows_once_it_is_back() {
    let Some(mut engine) = engine("unsound") else { return };
    let warehouse = migrated(&engine, "unsound").await;
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(&folder).await;
    let records = |range: std::ops::Range<u64>| {
        range.map(|n| record(topics::SCORES, "one", scored(n).encode_to_vec())).collect()
    };
    append(&log, records(0..10)).await;
    let sink = Sink::start(&log, &warehouse, 100);
    sink.progress.wait(|progress| progress.records.load(Ordering::SeqCst) >= 10).await;

    // The engine's own words for this INSERT's failure, no such table, are a refusal for good;
    // a start attaches the table again.
    run(&warehouse, "DETACH TABLE events").await;
    engine.plant_orphan_token();
    append(&log, records(10..20)).await;
    assert_eq!(tokio::task::block_in_place(|| engine.restart_when_ended()), Some(75));
    let progress = sink.finish(20).await;
    assert!(progress.failures.load(Ordering::SeqCst) > 0);
    assert_eq!(count(&warehouse, "v_events").await, 20);
    assert_clean(&log, &warehouse, topics::SCORES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_gone_in_mid_work_is_taken_over_without_loss_or_doubles() {
    let Some(engine) = engine("members") else {
        return;
    };
    let warehouse = migrated(&engine, "members").await;
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(&folder).await;
    let records = (0..RECORDS)
        .map(|n| {
            let value = scored(n).encode_to_vec();
            record(topics::SCORES, &format!("c{}", n / 8), value)
        })
        .collect();
    append(&log, records).await;
    let progress = Arc::new(Progress::default());
    let stays = Sink::member(&log, &warehouse, 50, "stays", Arc::clone(&progress));
    for round in 1..=4 {
        let goes = Sink::member(&log, &warehouse, 50, "goes", Arc::clone(&progress));
        progress.wait(|progress| progress.inserts.load(Ordering::SeqCst) >= round * 15).await;
        // Nothing of it is put in order: what it announced stays announced.
        goes.task.abort();
        assert!(goes.task.await.is_err());
    }
    // What the gone ones finished may not have been told, so the position decides.
    loop {
        let changed = progress.changed.notified();
        let mut done = 0;
        for number in 0..PARTITIONS {
            let partition = TopicPartition::new(topics::SCORES, number);
            let end = log.bounds(&partition).await.unwrap().end;
            let position = log.committed("sink", &partition).await.unwrap();
            done += usize::from(end == 0 || position.is_some_and(|at| at.offset == end));
        }
        if done == PARTITIONS as usize {
            break;
        }
        changed.await;
    }
    stays.shutdown.cancel();
    stays.task.await.unwrap().unwrap();
    assert_eq!(count(&warehouse, "v_events").await, RECORDS);
    assert_eq!(count(&warehouse, "events").await, RECORDS);
    assert_clean(&log, &warehouse, topics::SCORES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_answered_with_exact_figures_for_one_tenant() {
    let Some(engine) = engine("questions") else { return };
    let warehouse = migrated(&engine, "questions").await;
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(&folder).await;
    let mut records: Vec<NewRecord> =
        (0..16).map(|n| record(topics::SCORES, "one", scored(n).encode_to_vec())).collect();
    for n in 0..11 {
        let fact = turn(n, 0, Some(n as i64 * 1_000));
        records.push(record(topics::FACTS, "one", fact.encode_to_vec()));
        let other = Fact { tenant: "other".into(), ..turn(n, 0, Some(1)) };
        records.push(record(topics::FACTS, "one", other.encode_to_vec()));
    }
    records.push(record(topics::FACTS, "one", turn(11, 0, None).encode_to_vec()));
    records.push(record(topics::INCIDENTS, "one", incident_event(1, false).encode_to_vec()));
    let total = records.len();
    append(&log, records).await;
    Sink::start(&log, &warehouse, 1_000).finish(total).await;

    let scope = |id| Scope::new(Metric::from_id(id).unwrap(), T0, T0 + 12_000);
    let ask = |id, bucket_ms, by| MetricQuery { scope: scope(id), bucket_ms, by };
    let whole = metric(&warehouse, "shop", &ask("rt.first_unanswered.v1", None, None)).await;
    let whole = whole.unwrap();
    assert_eq!(whole.len(), 1);
    let Figure { n, value, interval, mean, p50, p90, p99 } = whole[0].figure.clone();
    assert_eq!((n, mean, p50), (11, Some(5_000.0), Some(5_000.0)));
    assert_eq!((value, p90, p99), (p50, Some(9_000.0), Some(9_900.0)));
    // Of 11 values in order the second and the tenth.
    assert_eq!(interval, Some(Interval { low: 1_000.0, high: 9_000.0 }));

    let query = ask("rt.last_msg.v1", Some(5_000), Some(Dimension::Agent));
    let split = metric(&warehouse, "shop", &query).await.unwrap();
    let shape: Vec<_> = split
        .iter()
        .map(|point| (point.from_ms - T0, point.to_ms - T0, point.group.as_str(), point.figure.n))
        .collect();
    assert_eq!(
        shape,
        [
            (0, 5_000, "a0", 3),
            (0, 5_000, "a1", 2),
            (5_000, 10_000, "a0", 2),
            (5_000, 10_000, "a1", 3),
            (10_000, 12_000, "a0", 1),
        ]
    );
    let politeness = metric(&warehouse, "shop", &ask("politeness.v1", None, None)).await;
    assert_eq!(politeness.unwrap()[0].figure.n, 3);
    let query = ask("rt.first_unanswered.v1", None, None);
    let nobody = metric(&warehouse, "shop' OR '1'='1", &query).await.unwrap();
    assert_eq!(nobody[0].figure.n, 0);

    let found = conversation(&warehouse, "shop", "c1").await.unwrap();
    let ids: Vec<&str> = found.messages.iter().map(|message| message.event_id.as_str()).collect();
    assert_eq!(ids, ["e8", "e9", "e10", "e11", "e12", "e13", "e14", "e15"]);
    assert_eq!(found.turns.len(), 1);
    assert_eq!(found.turns[0].rt_last_msg_ms, Some(1_000));
    let happened = timeline(&warehouse, "shop", "inc1").await.unwrap();
    assert_eq!(happened.len(), 1);
    assert_eq!((happened[0].r#type.as_str(), happened[0].at_ms), ("paged", T0 + 100));
    assert_eq!(timeline(&warehouse, "other", "inc1").await.unwrap(), []);
    let none = conversation(&warehouse, "other", "c999").await.unwrap();
    assert_eq!(none, zhili_warehouse::query::Conversation::default());

    let totals = summary(&warehouse, "shop", 0).await.unwrap();
    assert_eq!((totals.events, totals.messages_scored, totals.conversations), (16, 16, 2));
    assert_eq!((totals.turns_answered, totals.open_incidents), (11, 1));
    assert_eq!(totals.rt_first_unanswered_p90_ms, Some(9_000.0));
    let empty = summary(&warehouse, "nobody", 0).await.unwrap();
    assert_eq!((empty.events, empty.rt_first_unanswered_p50_ms), (0, None));
    let later = summary(&warehouse, "shop", T0 + 10_000_001).await.unwrap();
    assert_eq!((later.events, later.turns_answered, later.open_incidents), (0, 0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_can_be_asked_for_in_every_way_that_it_says() {
    let Some(engine) = engine("ways") else { return };
    let warehouse = migrated(&engine, "ways").await;
    let zone = Zone::new("Asia/Shanghai").unwrap();
    for asked in Metric::ALL {
        let scope = Scope { zone: zone.clone(), ..Scope::new(asked, T0, T0 + 12_000) };
        let mut filter = Filter {
            hour: Some("08".into()),
            weekday: Some("1".into()),
            day: Some("2025-10-09".into()),
            ..Filter::default()
        };
        for by in asked.dimensions.iter().copied() {
            let value = Some("x".to_owned());
            match by {
                Dimension::Agent => filter.agent = value,
                Dimension::Channel => filter.channel = value,
                Dimension::Queue => filter.queue = value,
                Dimension::Team => filter.team = value,
                Dimension::Level => filter.level = value,
                Dimension::Slot => filter.slot = value,
                Dimension::Topic => filter.topic = value,
                Dimension::Category => filter.category = value,
                Dimension::Promise => filter.promise = value,
                _ => panic!("{} names {by:?}, which every metric has", asked.id),
            }
        }
        let of_time = Dimension::ALL.into_iter().filter(|by| by.is_of_time());
        for by in asked.dimensions.iter().copied().chain(of_time) {
            let scope = Scope { filter: filter.clone(), ..scope.clone() };
            let ranked = leaderboard(&warehouse, "shop", &scope, by).await;
            assert!(ranked.is_ok(), "{} by {by:?}: {ranked:?}", asked.id);
        }
        let spread = distribution(&warehouse, "shop", &scope).await;
        assert_eq!(spread.is_ok(), asked.measure != Measure::Rate, "{}: {spread:?}", asked.id);
        for order in [Order::Latest, Order::Greatest, Order::Least] {
            let rows = observations(&warehouse, "shop", &scope, None, order, 10).await;
            assert_eq!(rows.ok().map(|rows| rows.len()), Some(0), "{} {order:?}", asked.id);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_split_ranked_spread_compared_and_traced_to_their_conversations() {
    let Some(engine) = engine("looks") else { return };
    let warehouse = migrated(&engine, "looks").await;
    // Forty turns of each agent a minute apart: a0 answers within 1 to 40 s, a1 100 s later.
    run(
        &warehouse,
        &format!(
            "INSERT INTO turns (tenant, conversation_id, fact_id, at, started_at, agent, channel, \
             answer_event_id, rt_first_unanswered_ms, log_append_at) \
             SELECT 'shop', concat('c', toString(number)), concat('f', toString(number)), \
             fromUnixTimestamp64Milli(toInt64({T0} + number * 60000), 'UTC') AS moment, moment, \
             if(number < 40, 'a0', 'a1'), if(number % 2 = 0, 'chat', 'voice'), \
             concat('e', toString(number)), \
             if(number < 40, 1000 * (number + 1), 100000 + 1000 * (number - 39)), moment \
             FROM numbers(80)"
        ),
    )
    .await;
    let wait = Metric::from_id("rt.first_unanswered.v1").unwrap();
    let scope = Scope::new(wait, T0, T0 + 80 * 60_000);

    let board = leaderboard(&warehouse, "shop", &scope, Dimension::Agent).await.unwrap();
    let lines: Vec<_> = board
        .groups
        .iter()
        .map(|one| (one.group.as_str(), one.figure.n, one.figure.value.unwrap(), one.standing))
        .collect();
    assert_eq!(board.all.value, Some(70_500.0));
    let ends = board.groups[0].figure.interval;
    assert_eq!(ends, Some(Interval { low: 14_000.0, high: 27_000.0 }));
    assert_eq!(
        lines,
        [("a0", 40, 20_500.0, Standing::Better), ("a1", 40, 120_500.0, Standing::Worse)]
    );
    // 2025-10-09T08:53:20Z is 16:53 in Shanghai: seven turns before the full hour.
    let zone = Zone::new("Asia/Shanghai").unwrap();
    let hours = Scope { zone: zone.clone(), ..scope.clone() };
    let by_hour = leaderboard(&warehouse, "shop", &hours, Dimension::Hour).await.unwrap();
    let hours: Vec<_> =
        by_hour.groups.iter().map(|one| (one.group.as_str(), one.figure.n)).collect();
    assert_eq!(hours, [("16", 7), ("17", 60), ("18", 13)]);

    let spread = distribution(&warehouse, "shop", &scope).await.unwrap();
    let bins: Vec<_> = spread
        .bins
        .iter()
        .filter(|bin| bin.n > 0)
        .map(|bin| (bin.low as u64 / 1_000, bin.n))
        .collect();
    // 1; 2 to 4; 5 to 9; 10 to 19; 20 to 29; 30 to 40; 101 to 119; 120 to 140.
    assert_eq!(bins, [(1, 1), (2, 3), (5, 5), (10, 10), (20, 10), (30, 11), (60, 19), (120, 21)]);
    assert_eq!(spread.figure.p50, Some(70_500.0));

    let later = Scope { from_ms: T0 + 40 * 60_000, ..scope.clone() };
    let change = comparison(&warehouse, "shop", &later, T0, T0 + 40 * 60_000).await.unwrap();
    assert_eq!((change.difference, change.standing), (Some(100_000.0), Standing::Worse));
    assert_eq!((change.current.n, change.baseline.n), (40, 40));
    let before = comparison(&warehouse, "shop", &scope, T0 - 1_000, T0).await.unwrap();
    assert_eq!((before.baseline.value, before.difference), (None, None));

    let filter =
        Filter { agent: Some("a1".into()), channel: Some("chat".into()), ..Filter::default() };
    let narrow = Scope { filter, ..scope.clone() };
    let worst = observations(&warehouse, "shop", &narrow, None, Order::Greatest, 2).await.unwrap();
    let rows: Vec<_> = worst
        .iter()
        .map(|row| (row.conversation_id.as_str(), row.event_id.as_str(), row.value))
        .collect();
    assert_eq!(rows, [("c78", "e78", 139_000.0), ("c76", "e76", 137_000.0)]);
    assert!(worst.iter().all(|row| row.agent == "a1" && row.channel == "chat"));
    let foreign = observations(&warehouse, "other", &scope, None, Order::Latest, 10).await.unwrap();
    assert_eq!(foreign, []);

    // One customer's conversations: by an event that names them, or that they wrote.
    for (n, columns, conversation) in [(0, "customer", "c3"), (1, "author", "c5")] {
        let insert = format!(
            "INSERT INTO events (tenant, source, event_id, conversation_id, type, role, {columns}, \
             event_offset, sent_at, accepted_at, log_append_at) \
             SELECT 'shop', 'desk', 'of{n}', '{conversation}', 'message', 'customer', 'c_one', {n}, \
             fromUnixTimestamp64Milli(toInt64({T0}), 'UTC') AS moment, moment, moment"
        );
        run(&warehouse, &insert).await;
    }
    let of = async |customer: &str| {
        let customer = Some(customer);
        let rows = observations(&warehouse, "shop", &scope, customer, Order::Latest, 10).await;
        rows.unwrap().into_iter().map(|row| row.conversation_id).collect::<Vec<_>>()
    };
    assert_eq!(of("c_one").await, ["c5", "c3"]);
    assert_eq!(of("c_two").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wall_shows_who_waits_since_the_first_message_that_nobody_answered() {
    let Some(engine) = engine("wall") else { return };
    let warehouse = migrated(&engine, "wall").await;
    // Each row: conversation, seconds, role, type or status, acts, sentiment, complaint.
    let events: &[(&str, i64, &str, &str, &str, &str, &str)] = &[
        ("answered", 0, "customer", "message", "", "neutral", "normal"),
        ("answered", 9, "agent", "message", "", "", ""),
        ("waits", 10, "customer", "message", "", "neutral", "normal"),
        ("waits", 20, "agent", "message", "", "", ""),
        ("waits", 30, "customer", "message", "", "neg", "urgent"),
        ("waits", 40, "customer", "message", "", "neg", "normal"),
        ("thanks", 0, "customer", "message", "", "neutral", "normal"),
        ("thanks", 1, "agent", "message", "", "", ""),
        ("thanks", 2, "customer", "message", "thanks", "pos", "normal"),
        ("resolved", 0, "customer", "message", "", "neutral", "normal"),
        ("resolved", 1, "system", "resolved", "", "", ""),
        ("reopened", 0, "system", "resolved", "", "", ""),
        ("reopened", 1, "system", "reopened", "", "", ""),
        ("reopened", 5, "customer", "message", "", "neutral", "normal"),
        ("silent", -90_000, "customer", "message", "", "neg", "normal"),
        ("silent", -89_990, "agent", "message", "", "", ""),
        // Handed over from a bot, before and after the end of its first care cycle.
        ("moved", 11, "customer", "message", "", "neutral", "normal"),
        ("moved", 12, "system", "handoff", "", "", ""),
        ("moved", 13, "system", "closed", "", "", ""),
        ("moved", 14, "customer", "message", "", "neutral", "normal"),
        ("moved", 15, "bot", "message", "", "", ""),
        ("moved", 16, "system", "handoff", "", "", ""),
        ("bot", 50, "customer", "message", "", "neutral", "normal"),
        ("bot", 51, "bot", "message", "", "", ""),
    ];
    for (n, (conversation, at, role, what, act, sentiment, complaint)) in events.iter().enumerate()
    {
        let (kind, status) = match *what {
            "message" | "handoff" => (*what, ""),
            status => ("status", status),
        };
        let acts = if act.is_empty() { String::new() } else { format!("'{act}'") };
        let at = T0 + at * 1_000;
        run(
            &warehouse,
            &format!(
                "INSERT INTO events (tenant, source, event_id, conversation_id, type, status, role, \
                 author, acts, sentiment, complaint, event_offset, sent_at, accepted_at, \
                 log_append_at) \
                 SELECT 'shop', 'desk', 'e{n}', '{conversation}', '{kind}', '{status}', '{role}', \
                 '{role}-1', [{acts}], '{sentiment}', '{complaint}', {n}, \
                 fromUnixTimestamp64Milli(toInt64({at}), 'UTC') AS moment, moment, moment"
            ),
        )
        .await;
    }
    let seen = wall(&warehouse, "shop", T0 + 60_000).await.unwrap();
    let waiting: Vec<_> = seen
        .waiting
        .iter()
        .map(|one| (one.conversation_id.as_str(), (one.since_ms - T0) / 1_000, one.urgent))
        .collect();
    let wanted =
        [("reopened", 5, false), ("moved", 14, false), ("waits", 30, true), ("bot", 50, false)];
    assert_eq!(waiting, wanted);
    let waits = &seen.waiting[2];
    assert_eq!((waits.agent.as_str(), waits.sentiment.as_str()), ("agent-1", "neg"));
    // What a target asks: has a person answered, was it handed over, does a bot serve alone?
    let asked = seen.waiting.iter().map(|one| (one.is_first, one.handed_over_ms, one.bot_only));
    let asked: Vec<_> = asked.collect();
    let wanted = [(true, 0, false), (true, T0 + 16_000, false), (false, 0, false), (true, 0, true)];
    assert_eq!(asked, wanted);
    let open = seen.open;
    // answered, waits, thanks, reopened, moved and bot; silent has been over for an hour.
    assert_eq!((open.conversations, open.waiting, open.negative, open.agents), (6, 4, 1, 1));
    let [agent] = seen.agents.as_slice() else { panic!("{:?}", seen.agents) };
    let shown = (agent.agent.as_str(), agent.conversations, agent.waiting, agent.negative);
    assert_eq!(shown, ("agent-1", 3, 1, 1));
    assert_eq!((agent.longest_ms, agent.last_ms), (Some(T0 + 30_000), T0 + 20_000));
    assert_eq!((seen.response.n, seen.response.value), (0, None));
    let other = wall(&warehouse, "other", T0 + 60_000).await.unwrap();
    assert_eq!((other.open.conversations, other.waiting.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_again_under_another_time_or_conversation_is_one_row() {
    let Some(engine) = engine("again") else { return };
    let warehouse = migrated(&engine, "again").await;
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(&folder).await;
    let again = |change: &dyn Fn(&mut Event)| {
        let mut again = scored(3);
        change(again.event.as_mut().unwrap());
        record(topics::SCORES, "one", again.encode_to_vec())
    };
    append(
        &log,
        vec![
            record(topics::SCORES, "one", scored(3).encode_to_vec()),
            again(&|event| event.sent_at = Some(timestamp(T0 + 9_000))),
            again(&|event| event.conversation_id = "another".into()),
            again(&|event| event.r#type = EventType::Status.into()),
            again(&|event| event.source = "shop floor".into()),
            again(&|event| event.tenant = "other".into()),
        ],
    )
    .await;
    Sink::start(&log, &warehouse, 100).finish(6).await;
    for view in ["v_events", "v_messages"] {
        let rows = "SELECT tenant, source, conversation_id FROM";
        let first = format!("{rows} {view} WHERE source = 'desk' AND tenant = 'shop'");
        let first: Vec<(String, String, String)> = warehouse
            .client()
            .query(&first.replace("tenant, source", "toString(tenant), toString(source)"))
            .fetch_all()
            .await
            .unwrap();
        assert_eq!(first, [("shop".into(), "desk".into(), "c0".into())], "{view}");
        assert_eq!(count(&warehouse, view).await, 3, "{view}");
    }
    let scope = Scope::new(Metric::from_id("politeness.v1").unwrap(), T0, T0 + 60_000);
    let query = MetricQuery { scope, bucket_ms: None, by: None };
    assert_eq!(metric(&warehouse, "shop", &query).await.unwrap()[0].figure.n, 2);
    assert_clean(&log, &warehouse, topics::SCORES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_is_not_explained_by_the_same_id_of_another_source_and_is_repaired() {
    let Some(engine) = engine("sources") else { return };
    let warehouse = migrated(&engine, "sources").await;
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(&folder).await;
    let mut other = scored(1);
    other.event.as_mut().unwrap().source = "another".into();
    let records = [scored(1), other, scored(2)]
        .map(|event| record(topics::SCORES, "one", event.encode_to_vec()));
    append(&log, records.to_vec()).await;
    Sink::start(&log, &warehouse, 100).finish(3).await;
    run(&warehouse, "DELETE FROM events WHERE log_offset IN (1, 2)").await;
    let partition = TopicPartition::new(topics::SCORES, partition_of(b"one", PARTITIONS));
    let found = audit(&log, &warehouse, &partition, 0, 3).await.unwrap();
    assert_eq!(found.holes.len(), 2, "{found:?}");
    let mended = repair(&log, &warehouse, &partition, 0, 3).await.unwrap();
    assert_eq!((mended.repaired, mended.holes.len()), (2, 0), "{mended:?}");
    assert_clean(&log, &warehouse, topics::SCORES).await;
    assert_eq!(count(&warehouse, "v_events").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_use_the_indexes_of_tenant_time_and_conversation() {
    let Some(engine) = engine("indexes") else { return };
    let warehouse = migrated(&engine, "indexes").await;
    run(
        &warehouse,
        "INSERT INTO events (tenant, sent_at, conversation_id, event_id, log_offset) \
         SELECT if(number < 300000, 'shop', 'other'), toDateTime64('2026-01-01', 3, 'UTC') + number, \
         toString(intDiv(number, 10)), toString(number), number FROM numbers(600000)",
    )
    .await;
    let granules = async |from: &str, condition: &str| -> (u64, u64) {
        let query =
            format!("EXPLAIN ESTIMATE SELECT * FROM {from} WHERE tenant = 'shop' AND {condition}");
        let estimate: Vec<(String, String, u64, u64, u64)> =
            warehouse.client().query(&query).fetch_all().await.unwrap();
        let rows = estimate.iter().map(|part| part.3).sum();
        (rows, 300_000)
    };
    let hour_of_january = "sent_at >= '2026-01-02 00:00:00' AND sent_at < '2026-01-02 01:00:00'";
    let (hour, all) = granules("events FINAL", hour_of_january).await;
    assert!(hour * 10 < all, "an hour reads {hour} of {all} rows");
    let (one, all) = granules("events FINAL", "conversation_id = '12345'").await;
    assert!(one * 5 < all, "a conversation reads {one} of {all} rows");
    run(
        &warehouse,
        "INSERT INTO incidents (tenant, at, incident_id, event_id, log_offset) \
         SELECT if(number < 300000, 'shop', 'other'), toDateTime64('2026-01-01', 3, 'UTC') + number, \
         toString(intDiv(number, 10)), toString(number), number FROM numbers(600000)",
    )
    .await;
    let (tenant, own) = granules("v_incidents", "1").await;
    assert!(tenant < own + own / 10, "v_incidents reads {tenant} rows of a tenant with {own}");
    // Beside the rows themselves the hashes of all identities, for each half of the view.
    let (hour, own) = granules("v_events", hour_of_january).await;
    assert!(hour < own * 5, "an hour of v_events reads {hour} of {own} rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_server_is_unavailable_and_a_wrong_key_is_refused() {
    let Some(engine) = engine("access") else { return };
    let mut address = engine.address("default");
    address.password = "wrong".into();
    let refused = check_windows(&Warehouse::new(&address, false).unwrap()).await.unwrap_err();
    assert!(!refused.is_transient(), "{refused}");
    // Port 9 (discard) answers nobody on loopback.
    let absent = Address { url: "http://127.0.0.1:9".into(), ..engine.address("default") };
    let unavailable = check_windows(&Warehouse::new(&absent, false).unwrap()).await.unwrap_err();
    assert!(unavailable.is_transient(), "{unavailable}");
}
