//! A person is taken out of the rows, and the figures stay.

#![allow(clippy::unwrap_used, reason = "what helps the tests may fail as they may")]

mod engine;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use engine::{Engine, engine};
use prost::Message;
use zhili_eventlog::{Headers, Record, TopicPartition, topics};
use zhili_proto::conversation::v1::{Author, Customer, Event, EventType, author};
use zhili_proto::escalation::v1::{Family, LogEntry, Signal, incident, log_entry};
use zhili_proto::log::v1::DeadLetter;
use zhili_proto::scoring::v1::{
    Assessment, Fact, Politeness, Recontact, ScoredEvent, Session, Turn, fact, politeness,
};
use zhili_proto::timestamp;
use zhili_warehouse::backup::Source;
use zhili_warehouse::erase::{
    Person, conversations_of, erase, rows_of_person, shared_writers, writers_of,
};
use zhili_warehouse::sink::Batch;
use zhili_warehouse::{
    Instant, Layout, OutsideScore, Retention, Table, Tables, Warehouse, backup, bring_in, migrate,
};

/// 2025-10-09T08:53:20Z.
const T0: i64 = 1_760_000_000_000;
const GONE: &str = "v_osys7od2nfs4slzkduao6lad57";
const KEPT: &str = "v_45ef4ab5mzf3vqw4jvj656grqu";
const CUSTOMER: &str = "c_3wevrlvcrwyic3ezochhctldrq";
const WRITER: &str = "a_5kczi6ba6v3qzpqvx5cq2dwc4w";
const AGENT: &str = "a_m2xq7fsd3kwyh5tbn6czj4ueor";

fn message(conversation: &str, n: i64, by_agent: bool) -> Vec<u8> {
    let gone = conversation == GONE;
    let role = if by_agent { author::Role::Agent } else { author::Role::Customer };
    let writer = if gone { WRITER } else { "a_other" };
    let event = Event {
        tenant: "shop".into(),
        source: "desk".into(),
        event_id: format!("{conversation}-{n}"),
        conversation_id: conversation.into(),
        r#type: EventType::Message.into(),
        sent_at: Some(timestamp(T0 + n)),
        author: Some(Author {
            id: if by_agent { AGENT } else { writer }.into(),
            role: role.into(),
            ..Author::default()
        }),
        customer: gone.then(|| Customer { id: CUSTOMER.into(), ..Customer::default() }),
        text: format!("words in {conversation}"),
        attrs: BTreeMap::from([("sku".to_owned(), "X1".to_owned())]),
        ..Event::default()
    };
    let politeness = Politeness { label: politeness::Label::Polite.into(), score: 70.0 };
    let assessment =
        Assessment { politeness: by_agent.then_some(politeness), ..Assessment::default() };
    ScoredEvent {
        event: Some(event),
        assessment: Some(assessment),
        append_ms: T0 + n,
        ..ScoredEvent::default()
    }
    .encode_to_vec()
}

fn fact(conversation: &str, suffix: &str, body: fact::Fact) -> Vec<u8> {
    Fact {
        tenant: "shop".into(),
        conversation_id: conversation.into(),
        fact_id: format!("{conversation}/00000000000000aa{suffix}"),
        at_ms: T0,
        agent: AGENT.into(),
        customer: if conversation == GONE { CUSTOMER.into() } else { String::new() },
        fact: Some(body),
        ..Fact::default()
    }
    .encode_to_vec()
}

/// Puts records into the tables, as the sink does.
async fn store(warehouse: &Warehouse, token: &str, topic: &str, values: Vec<Vec<u8>>) {
    let partition = TopicPartition::new(topic, 0);
    let mut batch = Batch::new(0);
    for (offset, value) in values.into_iter().enumerate() {
        let record = Record {
            offset: offset as u64,
            append_ms: T0,
            key: None,
            value: Some(Bytes::from(value)),
            headers: Headers::default(),
        };
        batch.push("log", &partition, &record, "");
    }
    for block in batch.blocks() {
        warehouse.insert(&format!("{token}:{}", block.table()), block).await.unwrap();
    }
}

async fn filled(engine: &Engine, database: &str) -> Warehouse {
    let warehouse = engine.warehouse(database);
    migrate(&warehouse, &Layout::default()).await.unwrap();
    fill(&warehouse, "first").await;
    warehouse
}

async fn fill(warehouse: &Warehouse, token: &str) {
    let messages = [GONE, KEPT]
        .into_iter()
        .flat_map(|conversation| (0..4).map(move |n| message(conversation, n, n % 2 == 1)));
    store(warehouse, token, topics::SCORES, messages.collect()).await;
    let facts = [GONE, KEPT].into_iter().flat_map(|conversation| {
        let turn = Turn {
            first_event_id: format!("{conversation}-0"),
            rt_first_unanswered_ms: Some(1_000),
            rt_last_msg_ms: Some(1_000),
            ..Turn::default()
        };
        let session = Session { complaint: true, ..Session::default() };
        let recontact = Recontact {
            ended_ms: T0,
            resolved: true,
            next_ms: Some(T0 + 1_000),
            ..Recontact::default()
        };
        [
            fact(conversation, "/t1", fact::Fact::Turn(turn)),
            fact(conversation, "/s", fact::Fact::Session(session)),
            fact(conversation, "/r", fact::Fact::Recontact(recontact)),
        ]
    });
    store(warehouse, token, topics::FACTS, facts.collect()).await;
    let burst = Signal {
        signal_id: "burst".into(),
        tenant: "shop".into(),
        team: "default".into(),
        conversation_id: "topic:refund".into(),
        family: Family::Crisis.into(),
        kind: "crisis.burst".into(),
        severity: incident::Severity::High.into(),
        excerpt: format!("words in {GONE}"),
        related: vec![GONE.into(), KEPT.into()],
        ..Signal::default()
    };
    let burst = LogEntry { entry: Some(log_entry::Entry::Signal(burst)) };
    store(warehouse, token, topics::ESCALATION, vec![burst.encode_to_vec()]).await;
    let letter = DeadLetter {
        tenant: "shop".into(),
        reason: "conflicting_duplicate".into(),
        payload: Bytes::from(message(GONE, 9, false)),
        failed_at: Some(timestamp(T0)),
        ..DeadLetter::default()
    };
    store(warehouse, token, topics::DEAD_LETTERS, vec![letter.encode_to_vec()]).await;
}

fn person() -> Person {
    Person {
        tenant: "shop".into(),
        conversations: BTreeMap::from([(GONE.to_owned(), "x_anything".to_owned())]),
        names: [GONE, CUSTOMER, WRITER].map(str::to_owned).into(),
        salt: "thrown away".into(),
        cuts: Vec::new(),
    }
}

async fn text(warehouse: &Warehouse, sql: &str) -> Vec<String> {
    warehouse.client().query(sql).fetch_all().await.unwrap()
}

/// What people are paid by, and what it is joined with.
async fn figures(warehouse: &Warehouse) -> Vec<String> {
    let mut all = Vec::new();
    for sql in [
        "SELECT toString((author, count(), avg(politeness_score))) FROM v_messages WHERE role = 'agent' GROUP BY author",
        "SELECT toString((agent, count(), avg(rt_last_msg_ms))) FROM v_turns GROUP BY agent",
        "SELECT toString((agent, count(), countIf(came_back_7d))) FROM v_care GROUP BY agent",
        "SELECT toString((agent, count(), countIf(fcr_1d))) FROM v_recontacts GROUP BY agent",
        "SELECT toString((count(), countIf(first_event_id IN (SELECT event_id FROM v_events)))) FROM v_turns",
    ] {
        all.extend(text(warehouse, sql).await);
    }
    all
}

#[tokio::test]
async fn nothing_names_the_person_and_every_figure_stays() {
    let Some(mut engine) = engine("nothing_names_the_person") else { return };
    let warehouse = filled(&engine, "erase_figures").await;
    let before = figures(&warehouse).await;
    let found = rows_of_person(&warehouse, &person().names, &[]).await.unwrap();
    assert_eq!(found.get("events"), Some(&4), "{found:?}");
    assert_eq!(found.get("dead_letters"), Some(&1), "{found:?}");

    assert!(engine.files_hold(&[GONE]), "a search of the files would find nothing anyway");

    let replaced = erase(&warehouse, &Layout::default(), &person()).await.unwrap();
    assert_eq!(replaced, found);
    assert_eq!(figures(&warehouse).await, before);
    assert!(rows_of_person(&warehouse, &person().names, &[]).await.unwrap().is_empty());
    let words = text(&warehouse, "SELECT text FROM events WHERE text != '' ORDER BY text").await;
    assert_eq!(words, vec![format!("words in {KEPT}"); 4]);
    let bursts =
        "SELECT concat(kind, ': ', excerpt, arrayStringConcat(related, ',')) FROM v_signals";
    assert_eq!(text(&warehouse, bursts).await, [format!("crisis.burst: {KEPT}")]);
    // Whatever is written, read or restarted afterwards.
    engine.kill_and_restart();
    let warehouse = engine.warehouse("erase_figures");
    assert_eq!(figures(&warehouse).await, before);
    assert!(!engine.files_hold(&[GONE, CUSTOMER, WRITER]), "a file of the store names the person");
}

#[tokio::test]
async fn an_erasure_that_was_cut_off_comes_to_the_same_when_it_is_repeated() {
    let Some(engine) = engine("an_erasure_that_was_cut_off") else { return };
    let warehouse = filled(&engine, "erase_again").await;
    let before = figures(&warehouse).await;
    erase(&warehouse, &Layout::default(), &person()).await.unwrap();
    // The copies are written and nothing is deleted yet.
    fill(&warehouse, "again").await;
    erase(&warehouse, &Layout::default(), &person()).await.unwrap();
    assert_eq!(figures(&warehouse).await, before);
    assert!(rows_of_person(&warehouse, &person().names, &[]).await.unwrap().is_empty());
    let copies = text(
        &warehouse,
        "SELECT toString(count()) FROM turns WHERE conversation_id = 'x_anything'",
    );
    assert_eq!(copies.await, ["1"]);
}

#[tokio::test]
async fn a_person_is_found_by_customer_and_by_who_wrote() {
    let Some(engine) = engine("a_person_is_found") else { return };
    let warehouse = filled(&engine, "erase_found").await;
    let conversations = conversations_of(&warehouse, "shop", CUSTOMER).await.unwrap();
    assert_eq!(conversations, BTreeSet::from([GONE.to_owned()]));
    let writers = writers_of(&warehouse, "shop", &conversations).await.unwrap();
    assert_eq!(writers, BTreeSet::from([WRITER.to_owned()]));
    assert!(conversations_of(&warehouse, "other", CUSTOMER).await.unwrap().is_empty());
    let shared = shared_writers(&warehouse, "shop", &writers, &conversations).await.unwrap();
    assert!(shared.is_empty(), "{shared:?}");
    let shared = shared_writers(&warehouse, "shop", &writers, &BTreeSet::new()).await.unwrap();
    assert_eq!(shared, writers, "who wrote in a conversation that is not theirs");
}

#[tokio::test]
async fn what_was_collected_after_the_cut_is_not_counted() {
    let Some(engine) = engine("what_was_collected_after") else { return };
    let warehouse = filled(&engine, "erase_cut").await;
    let cuts = [(TopicPartition::new(topics::SCORES, 0), 1)];
    let found = rows_of_person(&warehouse, &person().names, &cuts).await.unwrap();
    assert_eq!((found.get("events"), found.get("turns")), (Some(&1), Some(&1)), "{found:?}");
}

#[tokio::test]
async fn a_cluster_is_refused_before_anything_is_touched() {
    let Some(engine) = engine("a_cluster_is_refused") else { return };
    let warehouse = engine.warehouse("nowhere");
    let layout = Layout { cluster: Some("main".into()), ..Layout::default() };
    let error = erase(&warehouse, &layout, &person()).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("cluster"), "{error}");
}

#[tokio::test]
async fn what_people_wrote_is_emptied_by_its_class_and_the_rows_stay() {
    let Some(engine) = engine("what_people_wrote_is_emptied") else { return };
    let warehouse = filled(&engine, "erase_class").await;
    let keep = |texts| Layout {
        retention: Retention { texts, ..Retention::default() },
        ..Layout::default()
    };
    let ttl = "SELECT toString(countIf(create_table_query LIKE '%TTL toDateTime(log_append_at)%')) \
               FROM system.tables WHERE database = 'erase_class'";
    for (asked, tables) in
        [(None, "0"), (Some(30), "3"), (Some(30), "3"), (Some(0), "0"), (Some(30), "3")]
    {
        migrate(&warehouse, &keep(asked)).await.unwrap();
        assert_eq!(text(&warehouse, ttl).await, [tables], "{asked:?}");
    }
    warehouse.client().query("OPTIMIZE TABLE events FINAL").execute().await.unwrap();
    let rows =
        "SELECT toString((count(), countIf(text != ''), countIf(length(attrs) > 0))) FROM events";
    assert_eq!(text(&warehouse, rows).await, ["(8,0,0)"]);
}

#[tokio::test]
async fn rows_come_back_from_a_backup_up_to_the_position_of_the_sink() {
    let Some(engine) = engine("rows_come_back") else { return };
    let warehouse = filled(&engine, "backup_from").await;
    let folder = tempfile::tempdir().unwrap();
    let score = OutsideScore {
        score_id: "exam-7".into(),
        metric_id: "exam.v1".into(),
        agent: "a_1".into(),
        queue: String::new(),
        team: String::new(),
        at: Instant(1_700_000_000_000),
        value: 80.0,
        withdrawn: false,
    };
    let better = OutsideScore { value: 90.0, ..score.clone() };
    for (now_ms, score) in [(1_700_000_001_000, score), (1_700_000_002_000, better)] {
        let now = Instant(now_ms);
        bring_in(&warehouse, "acme", "qa", now, &[score]).await.unwrap();
    }
    let cuts = [(TopicPartition::new(topics::SCORES, 0), 6)];
    let parts = backup::export(&warehouse, &cuts, folder.path()).await.unwrap();
    let events = parts.iter().find(|part| part.source == Source::Log(Table::Events)).unwrap();
    assert_eq!(events.rows, 6);
    let restored = engine.warehouse("backup_to");
    migrate(&restored, &Layout::default()).await.unwrap();
    for part in &parts {
        backup::import(&restored, part.source, &folder.path().join(&part.file)).await.unwrap();
    }
    let all = "SELECT toString(tuple(*)) FROM (SELECT * FROM turns ORDER BY fact_id)";
    assert_eq!(text(&restored, all).await, text(&warehouse, all).await);
    let events = "SELECT toString(count()) FROM v_events";
    assert_eq!(text(&restored, events).await, ["6"]);
    let exams = "SELECT toString((score_id, value, brought_by)) FROM v_outside_scores";
    assert_eq!(text(&restored, exams).await, ["('exam-7',90,'qa')"]);
}
