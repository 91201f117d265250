//! Two replicas of escalation, each of which stands still in turn for longer than its session: the
//! other one takes over, and what the first one does when it goes on stays within the bound.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use prost::Message as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;
use zhili_eventlog::testkit::kafka_server::{KafkaServer, skip_or_fail};
use zhili_eventlog::{EventLog, NewRecord, TopicPartition, partition_of, topics};
use zhili_proto::escalation::v1 as pb;
use zhili_runtime::KafkaSettings;
use zhili_tests::{Receiver, eventually};

use crate::system::{command, free_base, say};
use crate::{TURN, points};

const PARTITIONS: u32 = 4;
const TEAMS: u64 = 16;
const SESSION: Duration = Duration::from_secs(6);
/// How long a replica stands still.
const STALL: Duration = Duration::from_secs(10);
/// Between two stalls: both replicas are members again.
const REST: Duration = Duration::from_secs(8);
/// Signals a second.
const RATE: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(120);

/// The replicas; killed when dropped.
struct Replicas(Vec<Child>);

impl Replicas {
    fn start(folder: &std::path::Path, brokers: &str, webhook: &(String, String)) -> Self {
        let base = free_base();
        let start = |number: u16| {
            let settings = format!(
                "[escalation]\nmember = 'escalation-{number}'\nlisten = '127.0.0.1:{}'\n\
                 [escalation.default_webhook]\nurl = '{}'\nsecret = '{}'\nallow_private = true\n\
                 [auth]\ninsecure = true\n\
                 [kafka]\nbrokers = '{brokers}'\npartitions = {PARTITIONS}\nreplication = 1\n\
                 session_timeout_ms = {}\ntransaction_timeout_ms = 10000\n",
                base + number,
                webhook.0,
                webhook.1,
                SESSION.as_millis(),
            );
            let file = folder.join(format!("escalation-{number}.toml"));
            std::fs::write(&file, settings).unwrap();
            let log = std::fs::File::create(file.with_extension("log")).unwrap();
            command("zhili-escalation")
                .arg("--config")
                .arg(file)
                .arg("--tied")
                .stdin(Stdio::piped())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap()
        };
        Self((0..2).map(start).collect())
    }

    fn signal(&self, number: usize, signal: Signal) {
        kill_process(Pid::from_child(&self.0[number]), signal).unwrap();
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn signal(number: u64) -> NewRecord {
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
        effective_ms: (zhili_eventlog::system_clock())(),
        probability: 0.97,
        ..pb::Signal::default()
    };
    let entry = pb::LogEntry { entry: Some(pb::log_entry::Entry::Signal(signal)) };
    let at = TopicPartition::new(topics::ESCALATION, partition_of(&key, PARTITIONS));
    NewRecord::new(at, key, Bytes::from(entry.encode_to_vec()))
}

/// Gives signals at a steady rate until the end; when each was in the log.
async fn give(log: Arc<dyn EventLog>, end: Instant) -> BTreeMap<String, SystemTime> {
    let mut given = BTreeMap::new();
    let mut beat = tokio::time::interval(Duration::from_secs(1) / RATE);
    for number in 0.. {
        beat.tick().await;
        if Instant::now() >= end {
            break;
        }
        log.append(vec![signal(number)]).await.remove(0).unwrap();
        given.insert(format!("c{number}"), SystemTime::now());
    }
    given
}

/// When each page arrived, by its id and the conversation that it is about.
fn arrived(receiver: &Receiver) -> BTreeMap<(String, String), Vec<SystemTime>> {
    let mut arrived = BTreeMap::<_, Vec<_>>::new();
    for page in receiver.pages() {
        assert!(page.verified, "a page with a wrong signature: {}", page.body);
        let body: serde_json::Value = serde_json::from_str(&page.body).unwrap();
        let about = body["data"]["conversation_id"].as_str().unwrap().to_owned();
        arrived.entry((page.id, about)).or_default().push(page.at);
    }
    arrived
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_stands_still_is_taken_over_from_within_the_bound() {
    let _turn = TURN.lock().await;
    let broker = match KafkaServer::start(&[]) {
        Ok(broker) => broker,
        Err(error) => return skip_or_fail(&error),
    };
    let brokers = broker.bootstrap_servers();
    let settings = KafkaSettings {
        brokers: brokers.clone(),
        partitions: PARTITIONS,
        replication: 1,
        ..Default::default()
    };
    let log: Arc<dyn EventLog> = Arc::new(settings.connect("tests").await.unwrap());
    log.ensure_topics(&topics::all(PARTITIONS)).await.unwrap();
    let receiver = Receiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let replicas = Replicas::start(folder.path(), &brokers, &receiver.target());
    log.append(vec![signal(u64::MAX)]).await.remove(0).unwrap();
    eventually("the first page", PATIENCE, async || (!receiver.pages().is_empty()).then_some(()))
        .await;

    let stalls = 2 * points() as usize;
    let end = Instant::now() + (STALL + REST) * stalls as u32 + REST;
    let giving = tokio::spawn(give(Arc::clone(&log), end));
    for stall in 0..stalls {
        tokio::time::sleep(REST).await;
        replicas.signal(stall % 2, Signal::STOP);
        // The session is over, and more than a lease has passed.
        tokio::time::sleep(STALL).await;
        replicas.signal(stall % 2, Signal::CONT);
    }
    let given = giving.await.unwrap();
    eventually("everybody is paged", PATIENCE, async || {
        let arrived = arrived(&receiver);
        let about = |conversation: &String| arrived.keys().any(|(_, about)| about == conversation);
        given.keys().all(about).then_some(())
    })
    .await;

    let arrived = arrived(&receiver);
    let mut waits = Vec::new();
    for ((page, about), times) in &arrived {
        assert!(times.len() <= 1 + stalls, "page {page} came {} times", times.len());
        if let Some(since) = given.get(about) {
            waits.push(times[0].duration_since(*since).unwrap_or_default());
        }
    }
    waits.sort_unstable();
    let extra: usize = arrived.values().map(|times| times.len() - 1).sum();
    let most = arrived.values().map(Vec::len).max().unwrap_or_default();
    say(&format!(
        "{stalls} stalls of {STALL:?} with a session of {SESSION:?}: {} signals, {} pages, {extra} \
         extra copies, at most {most} of one page; signal to page p50 {:?}, longest {:?}",
        given.len(),
        arrived.len(),
        waits[waits.len() / 2],
        waits[waits.len() - 1],
    ));
}
