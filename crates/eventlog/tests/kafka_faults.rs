//! What only a real broker can do to the log: restart, freeze, forget a member, refuse a record.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use tokio::sync::{Mutex, MutexGuard};
use zhili_eventlog::kafka::{Compression, KafkaConfig, KafkaLog};
use zhili_eventlog::testkit::kafka_server::KafkaServer;
use zhili_eventlog::topics::{Cleanup, TopicSpec};
use zhili_eventlog::{
    Batch, Commit, EventLog, GroupMember, LogError, Membership, NewRecord, PartitionHandle,
    ReadLimit, Rebalance, TopicPartition,
};

/// How long anything may take that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// The broker, for one test at a time: what one does to it the others would feel.
struct Broker {
    server: &'static KafkaServer,
    _turn: MutexGuard<'static, ()>,
}

impl Broker {
    async fn take() -> Option<Self> {
        static TURN: Mutex<()> = Mutex::const_new(());
        let turn = TURN.lock().await;
        Some(Self { server: KafkaServer::shared()?, _turn: turn })
    }

    fn config(&self) -> KafkaConfig {
        config(&self.server.bootstrap_servers())
    }

    async fn log(&self) -> KafkaLog {
        KafkaLog::connect(self.config()).await.unwrap()
    }
}

/// As in production, but for one broker and with failover in a second.
fn config(bootstrap_servers: &str) -> KafkaConfig {
    KafkaConfig {
        replication_factor: 1,
        min_insync_replicas: 1,
        session_timeout: Duration::from_secs(1),
        transaction_timeout: Duration::from_secs(5),
        ..KafkaConfig::new(bootstrap_servers)
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited for {what}"))
}

const fn spec(name: &'static str, partitions: u32) -> TopicSpec {
    TopicSpec { name, partitions, cleanup: Cleanup::Delete { retention_ms: 86_400_000 } }
}

fn record(topic: &str, text: &str) -> NewRecord {
    let at = TopicPartition::new(topic, 0);
    NewRecord::new(at, None, Bytes::from(text.to_owned()))
}

fn commit(outputs: Vec<NewRecord>, offset: u64) -> Commit {
    Commit { outputs, offset, metadata: String::new() }
}

fn limit(wait: Duration) -> ReadLimit {
    ReadLimit { wait, ..ReadLimit::default() }
}

fn texts(batch: &Batch) -> Vec<String> {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let values = batch.records.iter();
    values.map(|record| text(record.value.as_ref().unwrap())).collect()
}

async fn read_all(log: &KafkaLog, topic: &str) -> Vec<String> {
    let at = TopicPartition::new(topic, 0);
    let mut from = log.bounds(&at).await.unwrap().start;
    let mut all = Vec::new();
    loop {
        let read = log.read(&at, from, limit(Duration::ZERO));
        let batch = soon("a read", read).await.unwrap();
        all.extend(texts(&batch));
        from = batch.next;
        if batch.caught_up {
            return all;
        }
    }
}

async fn join(log: &KafkaLog, group: &str, member: &str, topic: &str) -> Box<dyn GroupMember> {
    let membership = Membership {
        group: group.to_owned(),
        member: member.to_owned(),
        topics: vec![topic.to_owned()],
    };
    soon("joining", log.join(membership)).await.unwrap()
}

async fn assigned(member: &mut dyn GroupMember, count: usize) -> Vec<Box<dyn PartitionHandle>> {
    let mut handles: Vec<Box<dyn PartitionHandle>> = Vec::new();
    while handles.len() < count {
        match soon("an assignment", member.next()).await.unwrap() {
            Rebalance::Assigned(more) => handles.extend(more),
            Rebalance::Revoked(gone) => {
                handles.retain(|handle| !gone.contains(handle.partition()));
            }
        }
    }
    handles
}

/// Copies what comes next, returns where it goes on. What may pass is tried again while the
/// partition is ours, as by the runner: it says nothing about the membership.
async fn copy(
    handle: &mut dyn PartitionHandle,
    output: &str,
    limit: ReadLimit,
) -> Result<u64, LogError> {
    let batch = loop {
        match handle.fetch(limit).await {
            Err(error) if error.is_transient() => passing("fetch", &error).await,
            fetched => break fetched?,
        }
    };
    if batch.records.is_empty() {
        return Ok(batch.next);
    }
    let outputs: Vec<_> = texts(&batch).iter().map(|text| record(output, text)).collect();
    loop {
        match handle.commit(commit(outputs.clone(), batch.next)).await {
            Err(error) if error.is_transient() && !matches!(error, LogError::Ambiguous(_)) => {
                passing("commit", &error).await;
            }
            committed => return committed.map(|()| batch.next),
        }
    }
}

async fn passing(what: &str, error: &LogError) {
    eprintln!("{what} again: {error}");
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// A member in a process of its own, which can be stopped like one that is swapped out.
struct Process {
    child: Child,
    said: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Process {
    fn start(broker: &Broker) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_other_process", "--ignored", "--nocapture"])
            .env("ZHILI_TEST_KAFKA", broker.server.bootstrap_servers())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, said }
    }

    /// Waits until it says one of these, on a line of its own.
    fn hear(&mut self, words: &[&'static str]) -> &'static str {
        loop {
            let line = self.said.next().unwrap().unwrap();
            if let Some(word) = words.iter().find(|word| line.ends_with(**word)) {
                return word;
            }
        }
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of a_member_that_stood_still_is_fenced"]
#[allow(clippy::print_stdout)]
async fn the_other_process() {
    let Ok(servers) = std::env::var("ZHILI_TEST_KAFKA") else {
        return;
    };
    let log = KafkaLog::connect(config(&servers)).await.unwrap();
    let mut member = join(&log, "zombie", "old", "zombie-in").await;
    let mut handle = assigned(member.as_mut(), 1).await.remove(0);
    let batch = handle.fetch(limit(PATIENCE)).await.unwrap();
    println!("\nowns it");
    std::io::stdin().lines().next();
    let outputs = vec![record("zombie-out", "old")];
    let result = soon("an answer", handle.commit(commit(outputs, batch.next))).await;
    match result {
        Ok(()) => println!("\ncommitted"),
        Err(LogError::Revoked(_)) => println!("\nrevoked"),
        Err(error) => println!("\n{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_stood_still_is_fenced() {
    let Some(broker) = Broker::take().await else {
        return;
    };
    let log = broker.log().await;
    log.ensure_topics(&[spec("zombie-in", 1), spec("zombie-out", 1)]).await.unwrap();
    log.append(vec![record("zombie-in", "a")]).await;
    let mut old = Process::start(&broker);
    old.hear(&["owns it"]);
    old.signal("-STOP");

    let mut member = join(&log, "zombie", "new", "zombie-in").await;
    let mut handle = assigned(member.as_mut(), 1).await.remove(0);
    assert_eq!(handle.committed(), None);
    let batch = soon("the record", handle.fetch(limit(PATIENCE))).await.unwrap();
    let outputs = vec![record("zombie-out", "new")];
    soon("a commit", handle.commit(commit(outputs, batch.next))).await.unwrap();

    // What it is asked to do is waiting for it when it wakes up.
    writeln!(old.child.stdin.as_ref().unwrap(), "commit").unwrap();
    old.signal("-CONT");
    assert_eq!(old.hear(&["committed", "revoked"]), "revoked");
    assert_eq!(read_all(&log, "zombie-out").await, ["new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_restart_loses_and_repeats_nothing() {
    const RECORDS: usize = 300;
    let Some(broker) = Broker::take().await else {
        return;
    };
    let log = broker.log().await;
    log.ensure_topics(&[spec("restart-in", 1), spec("restart-out", 1)]).await.unwrap();
    let producer = {
        let log = log.clone();
        tokio::spawn(async move {
            for n in 0..RECORDS {
                let appended = log.append(vec![record("restart-in", &n.to_string())]).await;
                appended[0].as_ref().unwrap();
            }
        })
    };
    let mut member = join(&log, "restart", "m", "restart-in").await;
    let mut handle = assigned(member.as_mut(), 1).await.remove(0);
    let mut restarted = None;
    loop {
        let few = ReadLimit { records: 7, ..limit(Duration::from_secs(1)) };
        let at = match soon("a fetch", copy(handle.as_mut(), "restart-out", few)).await {
            Ok(at) => at,
            // Away for longer than the session lasts, or a commit that nobody knows the outcome of:
            // the partition comes back, or the membership ends.
            Err(error @ (LogError::Revoked(_) | LogError::Ambiguous(_))) => {
                handle = loop {
                    match soon(&format!("a change after: {error}"), member.next()).await {
                        Ok(Rebalance::Assigned(mut handles)) => break handles.remove(0),
                        Ok(Rebalance::Revoked(_)) => {}
                        Err(error) if error.is_transient() => {
                            eprintln!("joining again: {error}");
                            member = join(&log, "restart", "m", "restart-in").await;
                        }
                        Err(error) => panic!("{error}"),
                    }
                };
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        if at >= RECORDS as u64 {
            break;
        }
        if at > RECORDS as u64 / 3 && restarted.is_none() {
            let server = broker.server;
            restarted = Some(tokio::task::spawn_blocking(|| {
                server.stop().unwrap();
                server.up().unwrap();
            }));
        }
    }
    restarted.unwrap().await.unwrap();
    producer.await.unwrap();
    let expected: Vec<_> = (0..RECORDS).map(|n| n.to_string()).collect();
    assert_eq!(read_all(&log, "restart-in").await, expected);
    assert_eq!(read_all(&log, "restart-out").await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_member_that_comes_back_in_time_moves_no_partition() {
    let Some(broker) = Broker::take().await else {
        return;
    };
    let patient = KafkaConfig { session_timeout: Duration::from_secs(30), ..broker.config() };
    let log = KafkaLog::connect(patient).await.unwrap();
    log.ensure_topics(&[spec("static", 4)]).await.unwrap();
    let partitions = |handles: &[Box<dyn PartitionHandle>]| -> BTreeSet<_> {
        let partitions = handles.iter();
        partitions.map(|handle| handle.partition().clone()).collect()
    };
    let mut first = join(&log, "static", "first", "static").await;
    assigned(first.as_mut(), 4).await;
    let mut second = join(&log, "static", "second", "static").await;
    let revoked = soon("a revoke", first.next()).await.unwrap();
    assert!(matches!(revoked, Rebalance::Revoked(gone) if gone.len() == 2));
    let theirs = assigned(second.as_mut(), 2).await;
    let token = theirs[0].revoked();
    drop(second);
    soon("the member to leave", token.cancelled()).await;

    let mut second = join(&log, "static", "second", "static").await;
    let again = assigned(second.as_mut(), 2).await;
    assert_eq!(partitions(&again), partitions(&theirs));
    assert!(first.next().now_or_never().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_its_topic_refuses_stops_no_other_commit() {
    let Some(broker) = Broker::take().await else {
        return;
    };
    let log = broker.log().await;
    let compacted = TopicSpec { cleanup: Cleanup::Compact, ..spec("refused-out", 1) };
    log.ensure_topics(&[spec("refused-in", 1), compacted]).await.unwrap();
    log.append(vec![record("refused-in", "a")]).await;
    // A compacted topic takes no record without a key.
    let appended = log.append(vec![record("refused-out", "a")]).await.remove(0);
    assert!(matches!(appended, Err(LogError::Refused(_))), "{appended:?}");
    let mut member = join(&log, "refused", "m", "refused-in").await;
    let mut handle = assigned(member.as_mut(), 1).await.remove(0);
    let refused = commit(vec![record("refused-out", "a")], 1);
    let error = soon("a refusal", handle.commit(refused)).await.unwrap_err();
    assert!(matches!(error, LogError::Refused(_)), "{error}");
    assert!(!handle.revoked().is_cancelled());
    let mut keyed = record("refused-out", "b");
    keyed.key = Some(Bytes::from("k"));
    soon("a commit", handle.commit(commit(vec![keyed], 1))).await.unwrap();
    assert_eq!(read_all(&log, "refused-out").await, ["b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_retention_overtook_is_an_error() {
    let Some(broker) = Broker::take().await else {
        return;
    };
    let log = broker.log().await;
    log.ensure_topics(&[spec("overtaken", 1)]).await.unwrap();
    log.append((0..10).map(|_| record("overtaken", "x")).collect()).await;
    let mut member = join(&log, "overtaken", "m", "overtaken").await;
    let mut handle = assigned(member.as_mut(), 1).await.remove(0);
    soon("a commit", handle.commit(commit(Vec::new(), 2))).await.unwrap();
    drop((handle, member));
    log.trim(&TopicPartition::new("overtaken", 0), 5).await.unwrap();
    let mut member = join(&log, "overtaken", "m", "overtaken").await;
    let mut handle = assigned(member.as_mut(), 1).await.remove(0);
    let error = handle.fetch(limit(PATIENCE)).await.unwrap_err();
    let LogError::OutOfRange { offset, start, end, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((offset, start, end), (2, 5, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_that_overtakes_a_running_reader_is_an_error() {
    let Some(broker) = Broker::take().await else {
        return;
    };
    let bulky = KafkaConfig { compression: Compression::None, ..broker.config() };
    let log = KafkaLog::connect(bulky).await.unwrap();
    log.ensure_topics(&[spec("running", 1)]).await.unwrap();
    // Far more than a reader that stands still has fetched ahead.
    let large = "x".repeat(1 << 20);
    for _ in 0..40 {
        let appended = log.append(vec![record("running", &large)]).await;
        appended[0].as_ref().unwrap();
    }
    let mut member = join(&log, "running", "m", "running").await;
    let mut handle = assigned(member.as_mut(), 1).await.remove(0);
    let one = ReadLimit { records: 1, ..limit(PATIENCE) };
    soon("a record", handle.fetch(one)).await.unwrap();
    log.trim(&TopicPartition::new("running", 0), 39).await.unwrap();
    let error = soon("an error", async {
        loop {
            match handle.fetch(one).await {
                Ok(batch) => assert!(batch.next < 39),
                Err(error) => return error,
            }
        }
    });
    let error = error.await;
    assert!(matches!(error, LogError::OutOfRange { start: 39, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_again_has_another_identity() {
    let Some(broker) = Broker::take().await else {
        return;
    };
    let log = broker.log().await;
    log.ensure_topics(&[spec("again", 2)]).await.unwrap();
    let first = log.topic("again").await.unwrap();
    let admin: AdminClient<DefaultClientContext> = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", broker.server.bootstrap_servers())
        .create()
        .unwrap();
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let deleted = admin.delete_topics(&["again"], &options).await.unwrap();
    deleted[0].as_ref().unwrap();
    log.ensure_topics(&[spec("again", 2)]).await.unwrap();
    let second = log.topic("again").await.unwrap();
    assert_ne!(first.log_id, second.log_id);
    assert_eq!(log.append(vec![record("again", "a")]).await[0].as_ref().unwrap().offset, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_at_rest_is_past_the_control_records() {
    let Some(broker) = Broker::take().await else {
        return;
    };
    let log = broker.log().await;
    log.ensure_topics(&[spec("control-in", 1), spec("control-out", 1)]).await.unwrap();
    let mut writer = join(&log, "control-writer", "m", "control-in").await;
    let mut input = assigned(writer.as_mut(), 1).await.remove(0);
    let outputs = vec![record("control-out", "a")];
    soon("a commit", input.commit(commit(outputs, 0))).await.unwrap();
    let mut reader = join(&log, "control-reader", "m", "control-out").await;
    let mut handle = assigned(reader.as_mut(), 1).await.remove(0);
    let first = soon("the record", handle.fetch(limit(PATIENCE))).await.unwrap();
    assert_eq!((texts(&first), first.next), (vec!["a".to_owned()], 1));
    let rest = soon("the end", async {
        loop {
            let batch = handle.fetch(limit(Duration::from_millis(200))).await.unwrap();
            assert!(batch.records.is_empty());
            if batch.caught_up {
                return batch;
            }
        }
    })
    .await;
    let end = log.bounds(&TopicPartition::new("control-out", 0)).await;
    assert_eq!((rest.next, end.unwrap().end), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_is_not_confirmed_is_ambiguous() {
    let Some(broker) = Broker::take().await else {
        return;
    };
    let hasty = KafkaConfig { delivery_timeout: Duration::from_secs(1), ..broker.config() };
    let log = KafkaLog::connect(hasty).await.unwrap();
    log.ensure_topics(&[spec("unconfirmed", 1)]).await.unwrap();
    log.append(vec![record("unconfirmed", "a")]).await;
    broker.server.pause().unwrap();
    let appended = soon("an answer", log.append(vec![record("unconfirmed", "b")])).await;
    broker.server.resume().unwrap();
    assert!(matches!(appended[0], Err(LogError::Ambiguous(_))), "{appended:?}");
    // It was stored after all or it was not; what comes next is stored once, in order.
    let next = soon("an append", log.append(vec![record("unconfirmed", "c")])).await;
    next[0].as_ref().unwrap();
    let all = read_all(&log, "unconfirmed").await;
    assert_eq!(all.first().map(String::as_str), Some("a"));
    assert_eq!(all.last().map(String::as_str), Some("c"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_given_up_with_nothing_visible_stays_invisible() {
    let Some(broker) = Broker::take().await else {
        return;
    };
    let log = broker.log().await;
    log.ensure_topics(&[spec("frozen-in", 1), spec("frozen-out", 1)]).await.unwrap();
    let mut member = join(&log, "frozen", "m", "frozen-in").await;
    let mut handle = assigned(member.as_mut(), 1).await.remove(0);
    broker.server.pause().unwrap();
    let outputs = vec![record("frozen-out", "a")];
    let (result, ()) =
        tokio::join!(soon("an answer", handle.commit(commit(outputs, 0))), async { drop(member) });
    broker.server.resume().unwrap();
    let error = result.unwrap_err();
    assert!(matches!(error, LogError::Revoked(_) | LogError::Ambiguous(_)), "{error}");
    assert!(handle.revoked().is_cancelled());
    if matches!(error, LogError::Revoked(_)) {
        let mut member = join(&log, "frozen", "m", "frozen-in").await;
        let handle = assigned(member.as_mut(), 1).await.remove(0);
        assert_eq!(handle.committed(), None);
        assert!(read_all(&log, "frozen-out").await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_were_made_otherwise_are_refused_with_advice() {
    let Some(broker) = Broker::take().await else {
        return;
    };
    let log = broker.log().await;
    let admin: AdminClient<DefaultClientContext> = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", broker.server.bootstrap_servers())
        .create()
        .unwrap();
    let foreign =
        rdkafka::admin::NewTopic::new("foreign", 1, rdkafka::admin::TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let made = admin.create_topics(&[foreign], &options).await.unwrap();
    made[0].as_ref().unwrap();
    let error = log.ensure_topics(&[spec("foreign", 1)]).await.unwrap_err();
    let LogError::TopicMismatch { actual, .. } = &error else {
        panic!("{error}");
    };
    assert!(actual.starts_with("flush.messages"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_broker_is_unavailable() {
    let closed = KafkaConfig {
        request_timeout: Duration::from_secs(2),
        // Nothing listens on the discard port.
        ..KafkaConfig::new("127.0.0.1:9")
    };
    let error = soon("an answer", KafkaLog::connect(closed)).await.err();
    let error = error.unwrap();
    assert!(matches!(error, LogError::Unavailable(_)), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_do_not_work_are_refused() {
    let wrong = KafkaConfig { delivery_timeout: Duration::MAX, ..KafkaConfig::new("127.0.0.1:9") };
    let error = KafkaLog::connect(wrong).await.err().unwrap();
    assert!(matches!(error, LogError::Refused(_)), "{error}");
}
