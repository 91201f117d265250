//! Zhili over a real Kafka: the samples come out once, a stock consumer reads them, and killing any
//! process at any time loses and doubles nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]

mod conservation;
mod rights;
mod stalls;
mod system;
mod traffic;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use prost::Message as _;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use zhili_proto::scoring::v1::ScoredEvent;

use crate::system::{REPLICAS, System, say};
use crate::traffic::{Traffic, samples};

/// Everything that tables hold and that does not depend on when it was stored.
const CONTENTS: &str = "SELECT \
    (SELECT count() FROM events), (SELECT count() FROM turns), (SELECT count() FROM cycles), \
    (SELECT count() FROM signals), (SELECT count() FROM incidents), \
    (SELECT count() FROM dead_letters), \
    (SELECT sum(cityHash64(* EXCEPT (precedence))) FROM events), \
    (SELECT sum(cityHash64(*)) FROM turns)";

/// One system at a time: each has a broker, a store and eight services on ports of their own.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_samples_come_out_once_and_a_stock_consumer_reads_them() {
    let _turn = TURN.lock().await;
    let Some(mut system) = System::start().await else { return };
    let files = samples();
    let mut arguments = vec!["publish", "--json"];
    arguments.extend(files.iter().map(String::as_str));
    let accepted = published(&system, &arguments);
    assert!(accepted > 1_000, "{accepted}");

    system.until_answers("SELECT count() FROM v_events", &accepted.to_string()).await;
    system.settle().await;
    let before = system.query(CONTENTS).await.unwrap();
    assert_eq!(published(&system, &arguments), accepted);
    system.settle().await;
    assert_eq!(system.query(CONTENTS).await.unwrap(), before);

    let (records, distinct) = consume(&system.broker.bootstrap_servers());
    assert_eq!((records, distinct), (accepted, accepted));
    let status = system.zhili(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    for service in ["scoring", "escalation", "metrics"] {
        assert_eq!(status["services"][service]["lag_messages"], 0, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_service_cannot_start_without_is_said_in_one_line_with_its_exit_code() {
    let _turn = TURN.lock().await;
    let Some(system) = System::start().await else { return };
    let store = system.store();
    for (service, from, to, code, says) in [
        ("scoring", "brokers", "brokres", 64, "brokres"),
        ("scoring", "partitions = 4", "partitions = 5", 64, "needs 5 partitions"),
        ("scoring", "replication = 1", "replication = 2", 64, "needs at least 2 copies"),
        ("ingest", "pseudonym.key", "no.key", 64, "pseudonym_key"),
        ("escalation", &system.address("escalation", 7)[7..], &store, 69, &store),
        ("scoring", &system.broker.bootstrap_servers(), "127.0.0.1:1", 69, "127.0.0.1:1"),
        ("metrics", "password_file", "user = \"nobody\"\npassword_file", 1, "ClickHouse refuses"),
    ] {
        let (actual, words) = system.refusal(service, from, to);
        assert_eq!(actual, Some(code), "{words}");
        assert!(words.contains(says), "{words}");
        assert_eq!(words.lines().count(), 1, "{words}");
    }
    // A ClickHouse that is away is waited for.
    let (mut waiting, ready) = system.altered("metrics", &store, "127.0.0.1:1");
    zhili_tests::eventually(
        "metrics says what it waits for",
        Duration::from_secs(60),
        async || {
            let said = reqwest::get(&ready).await.ok()?.text().await.ok()?;
            said.contains("cannot reach ClickHouse").then_some(())
        },
    )
    .await;
    assert!(waiting.try_wait().unwrap().is_none(), "it ended");
    waiting.kill().unwrap();
    waiting.wait().unwrap();
}

/// Publishes with the command line; how many events were accepted.
fn published(system: &System, arguments: &[&str]) -> u64 {
    let output = system.zhili(arguments);
    assert!(output.status.success(), "{output:?}\n{}", system.said());
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["rejected"], 0, "{answer}");
    answer["accepted"].as_u64().unwrap()
}

/// Reads the scores with settings that know nothing of Zhili: records, and distinct events.
fn consume(brokers: &str) -> (u64, u64) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "stock")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    consumer.subscribe(&["zhili.scores.v1"]).unwrap();
    let mut records = 0;
    let mut events = BTreeSet::new();
    let begun = Instant::now();
    let mut quiet = Instant::now();
    // It joined, it read, and nothing came for a while.
    while begun.elapsed() < Duration::from_secs(60)
        && (records == 0 || quiet.elapsed() < Duration::from_secs(3))
    {
        let Some(message) = consumer.poll(Duration::from_millis(200)) else { continue };
        let message = message.unwrap();
        let scored = ScoredEvent::decode(message.payload().unwrap()).unwrap();
        let event = scored.event.unwrap();
        records += 1;
        events.insert((event.tenant, event.source, event.event_id));
        quiet = Instant::now();
    }
    (records, events.len() as u64)
}

/// What is killed.
#[derive(Clone, Copy, Debug)]
enum Target {
    Replica(&'static str),
    Broker,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Replica(service) => service,
            Self::Broker => "broker",
        }
    }
}

const TARGETS: [Target; 5] = [
    Target::Replica("ingest"),
    Target::Replica("scoring"),
    Target::Replica("escalation"),
    Target::Replica("metrics"),
    Target::Broker,
];

/// Those of `ZHILI_CHAOS_TARGETS`, by their names with commas between, else all.
fn targets() -> Vec<Target> {
    let asked = std::env::var("ZHILI_CHAOS_TARGETS").ok();
    let wanted = |target: &Target| {
        asked.as_ref().is_none_or(|asked| asked.split(',').any(|name| name == target.name()))
    };
    let targets: Vec<Target> = TARGETS.into_iter().filter(wanted).collect();
    assert!(!targets.is_empty(), "ZHILI_CHAOS_TARGETS={asked:?} names none of {TARGETS:?}");
    targets
}

/// Points at which each target is killed: `ZHILI_CHAOS_POINTS`, 20 for the whole matrix.
fn points() -> u64 {
    std::env::var("ZHILI_CHAOS_POINTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_any_process_at_any_time_loses_and_doubles_nothing() {
    let _turn = TURN.lock().await;
    let Some(mut system) = System::start().await else { return };
    let traffic = Traffic::from_samples();
    let expected = traffic.events().to_string();
    let count = |source: &str| format!("SELECT count() FROM v_events WHERE source = '{source}'");

    traffic.publish(&system, "clean").await;
    system.until_answers(&count("clean"), &expected).await;
    let mut sources = vec!["clean".to_owned()];
    for target in targets() {
        for point in 0..points() {
            let source = format!("{}.{point}", target.name());
            let mut random = StdRng::seed_from_u64(sources.len() as u64);
            let after = Duration::from_millis(random.random_range(0..1_500));
            let replica = random.random_range(0..REPLICAS);
            let away = random.random_bool(0.25);
            let begun = Instant::now();

            let publishing = tokio::spawn(traffic.publish(&system, &source));
            // The fault's moment.
            tokio::time::sleep(after).await;
            match target {
                Target::Replica(service) => {
                    system.kill(service, replica);
                    if away {
                        // The other replica has to do all of it.
                        publishing.await.unwrap();
                        system.until_answers(&count(&source), &expected).await;
                        system.launch(service, replica);
                    } else {
                        system.launch(service, replica);
                        publishing.await.unwrap();
                    }
                }
                Target::Broker => {
                    // In order, or as when the machine goes.
                    if away {
                        system.broker.kill().unwrap();
                    } else {
                        system.broker.stop().unwrap();
                    }
                    system.broker.up().unwrap();
                    publishing.await.unwrap();
                }
            }
            system.until_answers(&count(&source), &expected).await;
            if let Target::Replica(service) = target {
                system.until_ready(service, replica).await;
            }
            let took = begun.elapsed().as_millis();
            say(&format!(
                "{source}: killed after {after:?}, replica {replica}, away {away}: {took} ms"
            ));
            sources.push(source);
        }
    }
    system.settle().await;

    for (table, identity) in [
        ("events", "source, event_id"),
        ("turns", "fact_id, revision"),
        ("cycles", "fact_id, revision"),
        ("signals", "signal_id"),
        ("incidents", "event_id"),
    ] {
        let sql = format!("SELECT count() - uniqExact(tenant, {identity}) FROM {table}");
        assert_eq!(system.query(&sql).await.unwrap(), "0", "rows of {table} that are there twice");
    }
    assert_eq!(system.query("SELECT count() FROM dead_letters").await.unwrap(), "0");
    for (what, sql) in FACTS {
        let clean = system.query(&sql.replace("{source}", "clean")).await.unwrap();
        assert!(!clean.starts_with("0\t"), "no {what} in the clean run");
        for source in &sources {
            let faulty = system.query(&sql.replace("{source}", source)).await.unwrap();
            assert_eq!(faulty, clean, "{what} of {source} differ from the clean run");
        }
    }
    say(&format!("{} points, {expected} events each: none lost, none double", sources.len() - 1));
}

/// What was found out about the conversations of one source: how many facts, and a hash of all
/// that does not name the source or the moment of processing.
const FACTS: [(&str, &str); 4] = [
    (
        "events",
        "SELECT count(), sum(cityHash64(event_id, type, sent_at, text, sentiment_value, \
         politeness_score, complaint, urgent_probability, satisfaction, forbidden, acts, \
         evidence_rule)) FROM v_events WHERE source = '{source}'",
    ),
    (
        "turns",
        "SELECT count(), sum(cityHash64(cycle, turn, started_at, first_event_id, last_event_id, \
         answer_event_id, customer_messages, rt_first_unanswered_ms, rt_last_msg_ms, rt_human_ms)) \
         FROM v_turns WHERE conversation_id IN \
         (SELECT conversation_id FROM v_events WHERE source = '{source}')",
    ),
    (
        "sessions",
        "SELECT count(), sum(cityHash64(cycle, started_at, ended_at, resolved, reopened, turns, \
         unanswered, frt_any_ms, frt_human_ms, frt_substantive_ms)) FROM v_sessions \
         WHERE conversation_id IN (SELECT conversation_id FROM v_events WHERE source = '{source}')",
    ),
    (
        "incidents",
        "SELECT count(), sum(cityHash64(family, kind, category, severity, signals)) \
         FROM v_incidents WHERE conversation_id IN \
         (SELECT conversation_id FROM v_events WHERE source = '{source}')",
    ),
];
