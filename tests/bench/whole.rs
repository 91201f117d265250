//! `zhili up` with its store and whoever publishes, all on the processors of one machine.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::{
    Commit, EventLog, Membership, NewRecord, PartitionHandle, ReadLimit, Rebalance, TopicPartition,
    system_clock, topics,
};
use zhili_tests::{Options, Receiver, System, Tables, samples};

use crate::row::{Row, quantile};
use crate::{cpu, events};

pub(crate) const ROWS: &[&str] = &["whole system", "page", "visible", "start", "idle"];

/// Of an idle system.
const IDLE: Duration = Duration::from_secs(20);
const MOST_IDLE_PERCENT: f64 = 1.0;
const MOST_IDLE_MIB: f64 = 400.0;
/// Of how long an event takes: a second, and for how many.
const RATE: usize = 1_000;
const SECONDS: usize = 20;
const AT_ONCE: usize = 10;
const URGENT_EVERY: usize = 50;
const MOST_PAGE_MS: f64 = 200.0;
/// From the acknowledgement to the page: scoring commits a signal, escalation commits that it sends.
const HOPS: f64 = 2.0;
const MOST_OVER_FLUSH_MS: f64 = 300.0;
/// Rows wait for others to be inserted together with them for so long.
const FLUSH_MS: f64 = 1_000.0;
/// How often it is looked what is visible; adds half of itself on average.
const LOOK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(60);
/// Of what it can take.
const EVENTS: usize = 600_000;
const BATCH: usize = 500;
const PUBLISHERS: usize = 8;
const GOAL: f64 = 20_000.0;
/// Rows of all tables that a start is measured on, at least.
const ROWS_AT_START: u64 = 1_000_000;
const MOST_START_S: f64 = 3.0;

pub(crate) async fn measure() -> Vec<Row> {
    let hop_ms = hop().await;
    let pages = Receiver::start().await;
    let options = Options { webhook: Some(pages.target()), ..Options::default() };
    let mut system = System::start(options);
    let mut rows = idle(&system).await;
    rows.extend(waits(&system, &pages, hop_ms).await);
    rows.push(throughput(&system).await);
    rows.push(start(&mut system).await);
    rows
}

async fn idle(system: &System) -> Vec<Row> {
    tokio::time::sleep(IDLE / 4).await;
    let pids = || [Some(system.pid()), system.store_pid()].into_iter().flatten();
    let used = || pids().map(cpu::seconds).sum::<f64>();
    let before = used();
    tokio::time::sleep(IDLE).await;
    let percent = (used() - before) / IDLE.as_secs_f64() * 100.0;
    let resident: f64 = pids().map(cpu::resident_mib).sum();
    vec![
        Row::at_most("idle: processor, with the store", "% of a core", percent, MOST_IDLE_PERCENT),
        Row::at_most("idle: memory, with the store", "MiB", resident, MOST_IDLE_MIB),
    ]
}

/// How long a record takes through the log: appended, read, committed with an output, and that read
/// by another group. The middle one, in milliseconds.
async fn hop() -> f64 {
    let folder = TempDir::new_in(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")).unwrap();
    let log = EmbeddedLog::open(folder.path(), system_clock()).unwrap();
    log.ensure_topics(&topics::all(1)).await.unwrap();
    let (_first, mut input) = own(&log, "first", topics::EVENTS).await;
    let (_second, mut output) = own(&log, "second", topics::ESCALATION).await;
    let limit = ReadLimit { wait: Duration::from_secs(10), ..ReadLimit::default() };
    let record = |topic: &str| {
        let at = TopicPartition::new(topic, 0);
        NewRecord::new(at, Some(Bytes::from("default/c")), Bytes::from(events::record(1)))
    };
    let mut times = Vec::new();
    for _ in 0..200 {
        log.append(vec![record(topics::EVENTS)]).await.remove(0).unwrap();
        let appended = Instant::now();
        let batch = input.fetch(limit).await.unwrap();
        let outputs = vec![record(topics::ESCALATION)];
        let commit = Commit { outputs, offset: batch.next, metadata: String::new() };
        let (committed, seen) = tokio::join!(input.commit(commit), output.fetch(limit));
        committed.unwrap();
        seen.unwrap();
        times.push(appended.elapsed());
    }
    quantile(&mut times, 0.5)
}

async fn own(
    log: &dyn EventLog,
    group: &str,
    topic: &str,
) -> (Box<dyn zhili_eventlog::GroupMember>, Box<dyn PartitionHandle>) {
    let (group, member) = (group.to_owned(), "m".to_owned());
    let membership = Membership { group, member, topics: vec![topic.to_owned()] };
    let mut member = log.join(membership).await.unwrap();
    loop {
        if let Rebalance::Assigned(mut handles) = member.next().await.unwrap() {
            return (member, handles.remove(0));
        }
    }
}

/// From the acknowledgement until the page arrives, and until a query shows the row.
async fn waits(system: &System, pages: &Receiver, hop_ms: f64) -> Vec<Row> {
    let total = RATE * SECONDS;
    let seen = Arc::new(Mutex::new(BTreeMap::new()));
    let watching = tokio::spawn(watch(system.tables(), total, Arc::clone(&seen)));
    let (http, url, token) = (reqwest::Client::new(), system.url(0), system.token());
    let mut requests = JoinSet::new();
    let begun = tokio::time::Instant::now();
    for first in (0..total).step_by(AT_ONCE) {
        tokio::time::sleep_until(begun + Duration::from_secs(1) * first as u32 / RATE as u32).await;
        let sent_at = samples::now();
        let batch: Vec<Value> = (first..first + AT_ONCE)
            .map(|n| {
                if n.is_multiple_of(URGENT_EVERY) {
                    urgent(n, &sent_at)
                } else {
                    events::json("waits", n, &sent_at)
                }
            })
            .collect();
        let request = http.post(format!("{url}/v1/events")).bearer_auth(&token).json(&batch);
        requests.spawn(async move {
            let answer: Value = request.send().await.unwrap().json().await.unwrap();
            assert_eq!(answer["accepted"], AT_ONCE, "{answer}");
            let at = SystemTime::now();
            batch
                .iter()
                .map(|event| (event["event_id"].as_str().unwrap().to_owned(), at))
                .collect::<Vec<_>>()
        });
    }
    let accepted: BTreeMap<String, SystemTime> =
        requests.join_all().await.into_iter().flatten().collect();
    tokio::time::timeout(PATIENCE, watching).await.expect("all is visible in time").unwrap();
    let deadline = Instant::now() + PATIENCE;
    while pages.pages().len() < total / URGENT_EVERY && Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
    }
    // Clocks of one machine; a page can overtake the answer to its publisher.
    let wait = |id: &str, at: SystemTime| at.duration_since(accepted[id]).unwrap_or_default();
    let mut told = BTreeMap::new();
    for page in pages.pages() {
        let body: Value = serde_json::from_str(&page.body).unwrap();
        for reason in body["data"]["reasons"].as_array().unwrap() {
            let id = reason["event_id"].as_str().unwrap();
            if accepted.contains_key(id) {
                told.entry(id.to_owned()).or_insert_with(|| wait(id, page.at));
            }
        }
    }
    assert_eq!(told.len(), total / URGENT_EVERY, "urgent events without a page");
    let mut told: Vec<Duration> = told.into_values().collect();
    let seen = seen.lock().unwrap();
    let mut visible: Vec<Duration> = seen.iter().map(|(id, at)| wait(id, *at)).collect();
    let (p50, p99) = (quantile(&mut told, 0.5), quantile(&mut told, 0.99));
    vec![
        Row::times(
            "accepted -> page, 1,000 messages/s, p50, beside two hops",
            "ms",
            p50,
            HOPS * hop_ms,
            1.5,
        ),
        Row::at_most("accepted -> page, 1,000 messages/s, p99", "ms", p99, MOST_PAGE_MS),
        Row::at_most(
            "accepted -> visible in ClickHouse, 1,000 messages/s, p99",
            "ms",
            quantile(&mut visible, 0.99),
            FLUSH_MS + MOST_OVER_FLUSH_MS,
        ),
    ]
}

fn urgent(n: usize, sent_at: &str) -> Value {
    let conversation = format!("u-{n}");
    json!({
        "source": "waits", "event_id": format!("018c-{n:010}-m"), "conversation_id": conversation,
        "type": "message", "sent_at": sent_at, "customer": {"id": conversation}, "channel": "chat",
        "author": {"id": conversation, "role": "customer"}, "text": "再不退款我现在就打12315投诉你们",
    })
}

/// The first moment at which each event was seen, until all are there.
async fn watch(tables: Tables, wanted: usize, seen: Arc<Mutex<BTreeMap<String, SystemTime>>>) {
    let recent = "SELECT event_id FROM v_events WHERE source = 'waits' \
                  AND log_append_at > now64(3) - INTERVAL 5 SECOND";
    loop {
        let rows = tables.rows(recent).await;
        let at = SystemTime::now();
        let known = {
            let mut seen = seen.lock().unwrap();
            for row in rows {
                seen.entry(row["event_id"].as_str().unwrap().to_owned()).or_insert(at);
            }
            seen.len()
        };
        if known >= wanted {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// As many as are taken, until the last of them is visible: what lags behind counts.
async fn throughput(system: &System) -> Row {
    let sent_at = samples::now();
    let bodies: Vec<Bytes> = (0..EVENTS)
        .step_by(BATCH)
        .map(|first| {
            let line = |n| events::json("whole", n, &sent_at).to_string() + "\n";
            (first..first + BATCH).map(line).collect::<String>().into()
        })
        .collect();
    let (bodies, next) = (Arc::new(bodies), Arc::new(AtomicUsize::new(0)));
    let refused = Arc::new(AtomicUsize::new(0));
    let used = || cpu::seconds(system.pid()) + system.store_pid().map_or(0.0, cpu::seconds);
    let (before, ours) = (used(), cpu::own());
    let begun = Instant::now();
    let mut publishers = JoinSet::new();
    for _ in 0..PUBLISHERS {
        let (bodies, next, refused) =
            (Arc::clone(&bodies), Arc::clone(&next), Arc::clone(&refused));
        let (url, token) = (format!("{}/v1/events", system.url(0)), system.token());
        publishers.spawn(async move {
            let http = reqwest::Client::new();
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                loop {
                    let request = http.post(&url).bearer_auth(&token).body(body.clone());
                    let request = request.header("content-type", "application/x-ndjson");
                    let status = request.send().await.unwrap().status().as_u16();
                    if status == 200 {
                        break;
                    }
                    assert_eq!(status, 429, "neither taken nor refused for now");
                    refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        });
    }
    publishers.join_all().await;
    let published = begun.elapsed();
    let tables = system.tables();
    // Not through the view, which looks for events that came again each time.
    while tables.number("SELECT count() AS n FROM events WHERE source = 'whole'").await
        < EVENTS as u64
    {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = begun.elapsed();
    let visible = tables.number("SELECT count() AS n FROM v_events WHERE source = 'whole'").await;
    assert_eq!(visible, EVENTS as u64, "the view has others");
    println!(
        "{EVENTS} events published in {:.1} s ({} requests refused for now), visible after {:.1} s; processor \
         {:.0} us an event, of whoever publishes {:.0} us",
        published.as_secs_f64(),
        refused.load(Ordering::Relaxed),
        took.as_secs_f64(),
        (used() - before) / EVENTS as f64 * 1e6,
        (cpu::own() - ours) / EVENTS as f64 * 1e6,
    );
    let value = EVENTS as f64 / took.as_secs_f64();
    Row::at_least("whole system, embedded log, until visible", "messages/s", value, GOAL)
}

/// Stops it and starts it again on what is there.
async fn start(system: &mut System) -> Row {
    let rows: u64 = system
        .tables()
        .number("SELECT sum(total_rows) AS n FROM system.tables WHERE database = 'zhili'")
        .await;
    println!("{rows} rows on disk");
    assert!(rows >= ROWS_AT_START, "too few to say anything");
    assert!(system.stop().success(), "it did not end well");
    let begun = Instant::now();
    system.up();
    let seconds = begun.elapsed().as_secs_f64();
    Row::at_most("start to ready, above a million rows", "s", seconds, MOST_START_S)
}
