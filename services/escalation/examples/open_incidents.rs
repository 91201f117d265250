//! Measures a service with many open incidents, on a log on disk: how late their timers are told
//! of, how much memory they take, and how long a restart takes.
//!
//! `cargo run --release -p zhili-escalation --example open_incidents -- [incidents] [partitions]`

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zhili_escalation::{Config, serve};
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::runner::{Bundles, publish_bundle};
use zhili_eventlog::{
    EventLog, NewRecord, ReadLimit, TopicPartition, partition_of, system_clock, topics,
};
use zhili_proto::escalation::v1 as pb;
use zhili_proto::escalation::v1::incident_event::Type;
use zhili_runtime::auth::Authenticator;
use zhili_runtime::{Context, Failure};

const TEAMS: u32 = 64;
/// Give the folder of the log to the processes of the two parts.
const RUN: &str = "OPEN_INCIDENTS_RUN";
const RESTART: &str = "OPEN_INCIDENTS_RESTART";
/// Delay of the one step of the policy, so also in what time every incident has a timer due.
const STEP: Duration = Duration::from_secs(60);
/// In how many goes a step's worth of signals is given.
const GOES: u32 = 600;
/// Nobody answers, so every incident is told of again and again, on a screen.
const SETTINGS: &str = "
    [escalation.teams.default.policies.default]
    repeat = 9
    steps = [{ destinations = ['screen'], delay_ms = 60000 }]
    [escalation.teams.default.destinations]
    screen.watch = {}
";

struct Service {
    address: SocketAddr,
    shutdown: CancellationToken,
    serving: JoinHandle<Result<(), Failure>>,
}

impl Service {
    async fn start(log: &Arc<dyn EventLog>) -> Self {
        let shutdown = CancellationToken::new();
        let bundles = Bundles::follow(Arc::clone(log), shutdown.clone()).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let auth = Authenticator::insecure(address).unwrap();
        let context = Context::new(shutdown.clone(), auth);
        let (config, log) = (Config::default(), Arc::clone(log));
        let serving = tokio::spawn(serve(listener, config, log, bundles, system_clock(), context));
        Self { address, shutdown, serving }
    }

    async fn ready(&self) {
        let url = format!("http://{}/readyz", self.address);
        while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.serving.await.unwrap().unwrap();
    }
}

fn signal(number: u32, partitions: u32) -> NewRecord {
    let team = format!("team-{}", number % TEAMS);
    let key = Bytes::from(format!("default/{team}"));
    let signal = pb::Signal {
        signal_id: format!("c{number:08}-urgent_complaint"),
        tenant: "default".into(),
        team,
        conversation_id: format!("conversation-{number:08}"),
        family: pb::Family::Complaint.into(),
        kind: "urgent_complaint".into(),
        category: "regulator".into(),
        severity: pb::incident::Severity::High.into(),
        event_id: format!("event-{number:08}"),
        effective_ms: (system_clock())(),
        probability: 0.97,
        rules: vec!["complaint.regulator.12315".into()],
        excerpt: "你们再不处理我就打12315投诉,已经等了三天了没有任何人回复我".into(),
        ..pb::Signal::default()
    };
    let entry = pb::LogEntry { entry: Some(pb::log_entry::Entry::Signal(signal)) };
    let at = TopicPartition::new(topics::ESCALATION, partition_of(&key, partitions));
    NewRecord::new(at, key, Bytes::from(entry.encode_to_vec()))
}

/// From when a timer was due to when the log told what it did, milliseconds, of those that were
/// due in a span.
async fn lateness(log: &dyn EventLog, partitions: u32, from_ms: i64, until_ms: i64) -> Vec<i64> {
    let mut late = Vec::new();
    for partition in 0..partitions {
        let at = TopicPartition::new(topics::INCIDENTS, partition);
        let mut next = log.bounds(&at).await.unwrap().start;
        let limit = ReadLimit { wait: Duration::ZERO, ..ReadLimit::default() };
        loop {
            let batch = log.read(&at, next, limit).await.unwrap();
            for record in &batch.records {
                let event = pb::IncidentEvent::decode(record.value.as_deref().unwrap()).unwrap();
                let due_ms = event.effective_ms;
                if event.r#type() == Type::Escalated && (from_ms..until_ms).contains(&due_ms) {
                    late.push(record.append_ms - due_ms);
                }
            }
            next = batch.next;
            if batch.caught_up {
                break;
            }
        }
    }
    late.sort_unstable();
    late
}

/// Memory of this process in use, bytes; 0 where the system does not say.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or_default() * 1_024
}

fn open(folder: &Path) -> EmbeddedLog {
    EmbeddedLog::open(folder, system_clock()).unwrap()
}

/// From opening the log until the service is ready.
async fn restart(folder: &Path) {
    let begun = Instant::now();
    let log: Arc<dyn EventLog> = Arc::new(open(folder));
    let service = Service::start(&log).await;
    service.ready().await;
    println!("ready {:.2} s after a restart", begun.elapsed().as_secs_f64());
    service.stop().await;
}

/// Does a part of it in a process of its own, because memory is that of a process and what is
/// started again begins with a clean one.
fn part(name: &str, folder: &Path) {
    let program = std::env::current_exe().unwrap();
    let arguments = std::env::args().skip(1);
    let status = Command::new(program).args(arguments).env(name, folder).status().unwrap();
    assert!(status.success());
}

#[tokio::main]
async fn main() {
    if let Some(folder) = std::env::var_os(RUN) {
        run(Path::new(&folder)).await;
    } else if let Some(folder) = std::env::var_os(RESTART) {
        restart(Path::new(&folder)).await;
    } else {
        let folder = tempfile::tempdir().unwrap();
        part(RUN, folder.path());
        part(RESTART, folder.path());
    }
}

/// Opens the incidents and waits for their timers.
async fn run(folder: &Path) {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u32>().unwrap());
    let incidents = arguments.next().unwrap_or(100_000);
    let partitions = arguments.next().unwrap_or(12);

    let log = open(folder);
    log.ensure_topics(&topics::all(partitions)).await.unwrap();
    let log: Arc<dyn EventLog> = Arc::new(log);
    let settings = Bytes::from_static(SETTINGS.as_bytes());
    publish_bundle(&*log, "default", settings, "measure", 0).await.unwrap();
    let service = Service::start(&log).await;
    service.ready().await;

    let empty = resident();
    let mut beat = tokio::time::interval(STEP / GOES);
    let begun = Instant::now();
    for go in 0..GOES {
        beat.tick().await;
        let of = |go: u32| (u64::from(incidents) * u64::from(go) / u64::from(GOES)) as u32;
        let signals = (of(go)..of(go + 1)).map(|number| signal(number, partitions)).collect();
        assert!(log.append(signals).await.iter().all(Result::is_ok));
    }
    println!("{incidents} incidents opened in {:.1} s", begun.elapsed().as_secs_f64());
    let from_ms = (system_clock())();
    tokio::time::sleep(STEP).await;
    let until_ms = (system_clock())();
    // What was due at the very end may be told of still.
    tokio::time::sleep(STEP / 6).await;
    let used = resident() - empty;
    println!("memory: {} MB, {} bytes an incident", used >> 20, used / incidents as usize);

    let late = lateness(&*log, partitions, from_ms, until_ms).await;
    let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
    println!(
        "{} timers due in {:.0} s, ms until they were told of: p50 {}, p90 {}, p99 {}, max {}",
        late.len(),
        (until_ms - from_ms) as f64 / 1_000.0,
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );

    service.stop().await;
}
