//! Measures how long a page takes: from a signal being given to a log on disk until the request
//! arrives at the receiver, at a steady rate.
//!
//! `cargo run --release -p zhili-escalation --example escalation_latency -- [signals per second] [seconds]`

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use bytes::Bytes;
use prost::Message;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zhili_escalation::{Config, DefaultWebhook, serve};
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::runner::Bundles;
use zhili_eventlog::{EventLog, NewRecord, TopicPartition, partition_of, system_clock, topics};
use zhili_proto::escalation::v1 as pb;
use zhili_runtime::Context;
use zhili_runtime::auth::Authenticator;
use zhili_runtime::config::Secret;

const PARTITIONS: u32 = 4;
const TEAMS: u32 = 16;

type Arrivals = mpsc::UnboundedSender<(String, Instant)>;

async fn arrive(State(arrivals): State<Arrivals>, body: Bytes) {
    let at = Instant::now();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let conversation = body["data"]["conversation_id"].as_str().unwrap().to_owned();
    arrivals.send((conversation, at)).unwrap();
}

fn signal(number: u32) -> NewRecord {
    let team = format!("team-{}", number % TEAMS);
    let key = Bytes::from(format!("default/{team}"));
    let signal = pb::Signal {
        signal_id: format!("s{number}"),
        tenant: "default".into(),
        team,
        conversation_id: format!("c{number}"),
        family: pb::Family::Complaint.into(),
        kind: "urgent_complaint".into(),
        category: "regulator".into(),
        severity: pb::incident::Severity::High.into(),
        effective_ms: (system_clock())(),
        probability: 0.97,
        rules: vec!["regulator.12315".into()],
        related: Vec::new(),
        excerpt: "我要打12315投诉你们".repeat(10),
        ..pb::Signal::default()
    };
    let entry = pb::LogEntry { entry: Some(pb::log_entry::Entry::Signal(signal)) };
    let at = TopicPartition::new(topics::ESCALATION, partition_of(&key, PARTITIONS));
    NewRecord::new(at, key, Bytes::from(entry.encode_to_vec()))
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u32>().unwrap());
    let rate = arguments.next().unwrap_or(200);
    let count = rate * arguments.next().unwrap_or(10);

    let (arrivals, mut arrived) = mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let receiver = listener.local_addr().unwrap();
    let app = Router::new().fallback(arrive).with_state(arrivals);
    tokio::spawn(async move { axum::serve(listener, app).await });

    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path(), system_clock()).unwrap();
    log.ensure_topics(&topics::all(PARTITIONS)).await.unwrap();
    let log: Arc<dyn EventLog> = Arc::new(log);
    let shutdown = CancellationToken::new();
    let bundles = Bundles::follow(Arc::clone(&log), shutdown.clone()).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let auth = Authenticator::insecure(listener.local_addr().unwrap()).unwrap();
    let context = Context::new(shutdown.clone(), auth);
    let config = Config {
        default_webhook: Some(DefaultWebhook {
            url: Secret::new(format!("http://{receiver}/")),
            secret: Secret::new("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
            allow_private: true,
        }),
        ..Config::default()
    };
    let serving =
        tokio::spawn(serve(listener, config, Arc::clone(&log), bundles, system_clock(), context));

    // The first page tells that everything is up; it is not counted.
    log.append(vec![signal(u32::MAX)]).await.remove(0).unwrap();
    arrived.recv().await.unwrap();

    let given = Arc::new(Mutex::new(HashMap::new()));
    let mut beat = tokio::time::interval(Duration::from_secs(1) / rate);
    let started = Instant::now();
    for number in 0..count {
        beat.tick().await;
        given.lock().unwrap().insert(format!("c{number}"), Instant::now());
        let log = Arc::clone(&log);
        tokio::spawn(async move { log.append(vec![signal(number)]).await.remove(0).unwrap() });
    }
    let mut took = Vec::new();
    let mut pages = 0;
    while took.len() < count as usize {
        let (conversation, at) = arrived.recv().await.unwrap();
        pages += 1;
        if let Some(since) = given.lock().unwrap().remove(&conversation) {
            took.push(at - since);
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1_000.0;
    println!(
        "{count} signals in {seconds:.1} s, {pages} pages; ms to the receiver: p50 {:.1}, p90 {:.1}, p99 {:.1}, max {:.1}",
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
    shutdown.cancel();
    serving.await.unwrap().unwrap();
}
