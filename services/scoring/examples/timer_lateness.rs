//! How late targets are told as missed.
//!
//! `cargo run --release -p zhili-scoring --example timer_lateness [CONVERSATIONS] [PARTITIONS] [FOLDER]`
//!
//! Runs the scoring service on the embedded log, on disk, with the machine's clock. Every
//! conversation has one question that nobody answers; their first replies are due evenly over a
//! minute, all conversations are open before the first of them is. A breach is effective at its due
//! time; how late it is *fired* is the append time of the record that moved time there, and how late
//! it is *told*, the append time of its signal.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a program that prints figures"
)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use tokio_util::sync::CancellationToken;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::runner::{Bundles, SOURCE, publish_bundle};
use zhili_eventlog::{
    Clock, EventLog, NewRecord, ReadLimit, Record, TopicPartition, partition_of, system_clock,
    topics,
};
use zhili_proto::conversation::v1::author::Role;
use zhili_proto::conversation::v1::{Author, Event, EventType, LogEntry, event, log_entry};
use zhili_proto::escalation::v1 as escalation;
use zhili_runtime::Context;
use zhili_runtime::auth::Authenticator;
use zhili_scoring::{Config, GROUP};

const TENANT: &str = "default";
/// All questions were sent in this stretch, the last of it now.
const SPREAD_MS: i64 = 60_000;
/// Time to open all conversations before the first is due.
const LEAD_MS: i64 = 45_000;
const BATCH: usize = 500;
/// How often the log is asked for news while nothing is measured.
const LOOK: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() {
    let argument = |index: usize, default: u64| {
        std::env::args().nth(index).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (conversations, partitions) = (argument(1, 100_000), argument(2, 12) as u32);
    let folder = std::env::args().nth(3).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("zhili-timer-lateness-{}", std::process::id()));
    measure(&folder, conversations, partitions).await;
    std::fs::remove_dir_all(&folder).unwrap();
}

async fn measure(folder: &Path, conversations: u64, partitions: u32) {
    let clock = system_clock();
    let log = EmbeddedLog::open(folder, Arc::clone(&clock)).unwrap();
    log.ensure_topics(&topics::all(partitions)).await.unwrap();
    let log: Arc<dyn EventLog> = Arc::new(log);
    let bundle = format!(
        "[dialogue]\npolicy = 'standard'\npolicies.standard.frt = {{ target_ms = {} }}\n",
        SPREAD_MS + LEAD_MS
    );
    publish_bundle(&*log, TENANT, bundle.into(), "lateness", 0).await.unwrap();
    let shutdown = CancellationToken::new();
    let service = serve(&log, &clock, partitions, &shutdown).await;
    // A marker in every partition: from there on the targets are in force.
    caught_up(&*log, partitions, 1).await;

    let begin_ms = clock();
    let begin = Instant::now();
    publish(&*log, begin_ms, conversations, partitions).await;
    let published = begin.elapsed();
    caught_up(&*log, partitions, 1).await;
    let opened = begin.elapsed();
    assert!(
        clock() < begin_ms + LEAD_MS,
        "the first target was due before all conversations were open: ask for fewer"
    );
    println!(
        "{conversations} conversations in {partitions} partitions, published in {published:.1?}, \
         all open after {opened:.1?}"
    );

    let told = signals(&*log, partitions, conversations as usize).await;
    shutdown.cancel();
    service.await.unwrap().unwrap();
    report(&*log, partitions, &told).await;
}

async fn serve(
    log: &Arc<dyn EventLog>,
    clock: &Clock,
    partitions: u32,
    shutdown: &CancellationToken,
) -> tokio::task::JoinHandle<Result<(), zhili_runtime::Failure>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bundles = Bundles::follow(Arc::clone(log), shutdown.clone()).await.unwrap();
    let context = Context::new(shutdown.clone(), Authenticator::from_records(Vec::new()));
    let config = Config { partitions, ..Config::default() };
    let (log, clock) = (Arc::clone(log), Arc::clone(clock));
    tokio::spawn(zhili_scoring::serve(listener, config, log, bundles, clock, context))
}

/// Waits until everything in the events was folded, `least` records of each partition.
async fn caught_up(log: &dyn EventLog, partitions: u32, least: u64) {
    for number in 0..partitions {
        let at = TopicPartition::new(topics::EVENTS, number);
        loop {
            let end = log.bounds(&at).await.unwrap().end;
            let committed = log.committed(GROUP, &at).await.unwrap();
            if end >= least && committed.is_some_and(|committed| committed.offset >= end) {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

async fn publish(log: &dyn EventLog, begin_ms: i64, conversations: u64, partitions: u32) {
    let record = |number: u64| {
        let conversation = format!("conversation-{number}");
        let sent_ms = begin_ms - SPREAD_MS + (number as i64 + 1) * SPREAD_MS / conversations as i64;
        let event = Event {
            tenant: TENANT.into(),
            source: "lateness".into(),
            event_id: format!("question-{number}"),
            conversation_id: conversation.clone(),
            r#type: EventType::Message.into(),
            sent_at: Some(zhili_proto::timestamp(sent_ms)),
            author: Some(Author { role: Role::Customer.into(), ..Author::default() }),
            text: "请问订单什么时候发货?".into(),
            mode: event::Mode::Live.into(),
            ..Event::default()
        };
        let key = format!("{TENANT}/{conversation}");
        let at = TopicPartition::new(topics::EVENTS, partition_of(key.as_bytes(), partitions));
        let entry = LogEntry { entry: Some(log_entry::Entry::Event(event)) };
        NewRecord::new(at, Some(key.into()), Bytes::from(entry.encode_to_vec()))
    };
    let numbers: Vec<u64> = (0..conversations).collect();
    for batch in numbers.chunks(BATCH) {
        let records = batch.iter().map(|number| record(*number)).collect();
        for result in log.append(records).await {
            result.unwrap();
        }
    }
}

/// A breach: when it was due, the record that fired it, when it was told.
struct Breach {
    due_ms: i64,
    source: (u32, u64),
    told_ms: i64,
}

/// The breaches, once all are there.
async fn signals(log: &dyn EventLog, partitions: u32, count: usize) -> Vec<Breach> {
    let mut told = Vec::with_capacity(count);
    let mut offsets = vec![0; partitions as usize];
    while told.len() < count {
        for (number, offset) in offsets.iter_mut().enumerate() {
            let at = TopicPartition::new(topics::ESCALATION, number as u32);
            for record in read(log, &at, offset).await {
                let entry = escalation::LogEntry::decode(record.value.unwrap()).unwrap().entry;
                let Some(escalation::log_entry::Entry::Signal(signal)) = entry else { continue };
                assert_eq!(signal.kind, "sla.frt.breach");
                let source = record.headers.text(SOURCE).expect("where it came from");
                let mut parts = source.rsplit(':').map(str::parse::<u64>);
                let offset = parts.next().unwrap().unwrap();
                let partition = parts.next().unwrap().unwrap() as u32;
                told.push(Breach {
                    due_ms: signal.effective_ms,
                    source: (partition, offset),
                    told_ms: record.append_ms,
                });
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    told
}

/// What there is from an offset on.
async fn read(log: &dyn EventLog, at: &TopicPartition, offset: &mut u64) -> Vec<Record> {
    let limit = ReadLimit { wait: Duration::ZERO, ..ReadLimit::default() };
    let mut records = Vec::new();
    loop {
        let batch = log.read(at, *offset, limit).await.unwrap();
        *offset = batch.next;
        records.extend(batch.records);
        if batch.caught_up {
            return records;
        }
    }
}

async fn report(log: &dyn EventLog, partitions: u32, told: &[Breach]) {
    let mut fired = HashMap::new();
    for number in 0..partitions {
        let at = TopicPartition::new(topics::EVENTS, number);
        for record in read(log, &at, &mut 0).await {
            fired.insert((number, record.offset), record.append_ms);
        }
    }
    let mut sources: Vec<_> = told.iter().map(|told| told.source).collect();
    sources.sort_unstable();
    sources.dedup();
    println!("{} targets missed, fired by {} records", told.len(), sources.len());
    let lateness = |what: &str, mut late_ms: Vec<i64>| {
        late_ms.sort_unstable();
        let at = |share: f64| late_ms[((late_ms.len() - 1) as f64 * share) as usize];
        println!(
            "{what}: p50 {} ms, p99 {} ms, most {} ms after they were due",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    };
    lateness("fired", told.iter().map(|told| fired[&told.source] - told.due_ms).collect());
    lateness("told ", told.iter().map(|told| told.told_ms - told.due_ms).collect());
}
