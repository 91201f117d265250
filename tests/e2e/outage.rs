//! Scoring over a log whose time the test moves: dialogues are streamed while members are killed
//! and partitions move, and for a while nobody scores. What is in the log afterwards is what a
//! replay in one go gives, and what became due meanwhile was told once, as of its due time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::read::GzDecoder;
use prost::Message;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::runner::{Bundles, publish_bundle};
use zhili_eventlog::{Clock, EventLog, ReadLimit, TopicPartition, topics};
use zhili_proto::escalation::v1::{LogEntry, Signal, log_entry};
use zhili_redact::PseudonymKey;
use zhili_runtime::auth::Authenticator;
use zhili_runtime::log_service::LogReader;
use zhili_runtime::standalone::GROUPS;
use zhili_runtime::{Context, Failure};
use zhili_scoring::{CUSTOMERS_GROUP, GROUP, PULSE_GROUP};
use zhili_tests::samples::{self, Conversation};
use zhili_tests::{chaos, eventually, program};

use crate::kills::BATCH;

const POINTS: usize = 6;
const PARTITIONS: u32 = 4;
const MEMBERS: u16 = 2;
/// Real dialogues that are streamed besides the samples.
const DIALOGUES: usize = 120;
const PATIENCE: Duration = Duration::from_secs(90);
const MINUTE_MS: i64 = 60_000;
/// Over which the dialogues end.
const STREAM_MS: i64 = 120 * MINUTE_MS;
/// Nobody scores for so long, after the last event of the outage.
const SILENT_MS: i64 = 30 * MINUTE_MS;
const TARGET_MS: i64 = MINUTE_MS;

const BUNDLE: &str = "
[dialogue]
policy = 'standard'

[dialogue.policies.standard]
frt = { target_ms = 60000, warn_ms = 45000 }
nrt = { target_ms = 120000, warn_ms = 100000 }
resolution = { target_ms = 1800000, pauses_on_customer = true }
frt_waits_for_handoff = true
silence = { agent_ms = 90000, customer_ms = 300000 }
question_ms = 100000
promise_warn_ms = 600000
aggravation = true

[phrases]
'own.zh' = '''
[dismissive] politeness=-34 forbidden
去问隔壁老王
'''
";

/// Ingest and members of scoring in this process, over the embedded log.
struct Running {
    _folder: TempDir,
    log: Arc<dyn EventLog>,
    time: Arc<AtomicI64>,
    context: Context,
    ingest: SocketAddr,
    members: BTreeMap<u16, (CancellationToken, JoinHandle<Result<(), Failure>>)>,
    http: reqwest::Client,
}

impl Running {
    async fn start(now_ms: i64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let time = Arc::new(AtomicI64::new(now_ms));
        let log = EmbeddedLog::open(&folder.path().join("log"), clock(&time)).unwrap();
        log.ensure_topics(&topics::all(PARTITIONS)).await.unwrap();
        let log: Arc<dyn EventLog> = Arc::new(log);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ingest = listener.local_addr().unwrap();
        let reader = LogReader::new(Arc::clone(&log), PARTITIONS, GROUPS);
        let authenticator = Authenticator::insecure(ingest).unwrap();
        let context = Context::new(CancellationToken::new(), authenticator);
        let context = Context { log: Some(reader), ..context };
        tokio::spawn(zhili_ingest::serve(
            listener,
            zhili_ingest::Config::default(),
            Arc::clone(&log),
            PseudonymKey::new([7; 32]),
            context.child(),
        ));
        let http = reqwest::Client::new();
        Self { _folder: folder, log, time, context, ingest, members: BTreeMap::new(), http }
    }

    fn now_ms(&self) -> i64 {
        self.time.load(Ordering::SeqCst)
    }

    /// Time passes; it never goes back.
    fn reach(&self, at_ms: i64) {
        self.time.fetch_max(at_ms, Ordering::SeqCst);
    }

    async fn join(&mut self, number: u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shutdown = CancellationToken::new();
        let context = Context { shutdown: shutdown.clone(), ..self.context.child() };
        let bundles = Bundles::follow(Arc::clone(&self.log), shutdown.clone()).await.unwrap();
        let member = format!("scoring-{number}");
        let config = zhili_scoring::Config { partitions: PARTITIONS, member, ..Default::default() };
        let (log, clock) = (Arc::clone(&self.log), clock(&self.time));
        let running =
            tokio::spawn(zhili_scoring::serve(listener, config, log, bundles, clock, context));
        self.members.insert(number, (shutdown, running));
    }

    /// Drops a member in the middle of whatever it does.
    async fn kill(&mut self, number: u16) {
        let (shutdown, running) = self.members.remove(&number).unwrap();
        running.abort();
        let ended = running.await;
        assert!(ended.is_err_and(|error| error.is_cancelled()), "scoring-{number} had ended");
        shutdown.cancel();
    }

    async fn stop(&mut self, number: u16) {
        let (shutdown, running) = self.members.remove(&number).unwrap();
        shutdown.cancel();
        running.await.unwrap().unwrap();
    }

    /// Publishes events when the last of them is sent.
    async fn publish(&self, events: &[(i64, Value)]) {
        self.reach(events.iter().map(|(sent_ms, _)| *sent_ms).max().unwrap());
        let events: Vec<&Value> = events.iter().map(|(_, event)| event).collect();
        let url = format!("http://{}/v1/events", self.ingest);
        let answer = self.http.post(url).json(&events).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["accepted"], events.len(), "{answer}");
    }

    /// Somebody says something now.
    async fn say(&self, conversation: &str, role: &str) -> i64 {
        let now_ms = self.now_ms();
        self.publish(&[(now_ms, said(conversation, role, now_ms))]).await;
        now_ms
    }

    /// Records that no fold of scoring has read yet.
    async fn lag(&self) -> u64 {
        let mut lag = 0;
        for (group, topic) in [
            (GROUP, topics::EVENTS),
            (CUSTOMERS_GROUP, topics::CUSTOMERS),
            (PULSE_GROUP, topics::PULSE),
        ] {
            for number in 0..PARTITIONS {
                let at = TopicPartition::new(topic, number);
                let end = self.log.bounds(&at).await.unwrap().end;
                let committed = self.log.committed(group, &at).await.unwrap();
                lag += end - committed.map_or(0, |committed| committed.offset).min(end);
            }
        }
        lag
    }

    async fn caught_up(&self) {
        eventually("scoring has read everything", PATIENCE, async || {
            (self.lag().await == 0).then_some(())
        })
        .await;
    }

    /// The signals that scoring stated, in the order of the log, and how many signs of supervisors.
    async fn escalated(&self) -> (Vec<Signal>, usize) {
        let limit = ReadLimit { wait: Duration::ZERO, ..ReadLimit::default() };
        let (mut signals, mut presences) = (Vec::new(), 0);
        for number in 0..PARTITIONS {
            let at = TopicPartition::new(topics::ESCALATION, number);
            let (mut next, mut caught_up) = (0, false);
            while !caught_up {
                let batch = self.log.read(&at, next, limit).await.unwrap();
                (next, caught_up) = (batch.next, batch.caught_up);
                for record in batch.records {
                    let entry = LogEntry::decode(record.value.unwrap()).unwrap().entry;
                    match entry {
                        Some(log_entry::Entry::Signal(signal)) => signals.push(signal),
                        Some(log_entry::Entry::Presence(_)) => presences += 1,
                        _ => {}
                    }
                }
            }
        }
        (signals, presences)
    }

    /// What `zhili replay` says.
    async fn replay(&self) -> Value {
        let url = format!("http://{}", self.ingest);
        let replay = move || {
            let arguments = ["replay", "--json", "--token", "none", "--url", &url];
            Command::new(program()).args(arguments).output().unwrap()
        };
        let output = tokio::task::spawn_blocking(replay).await.unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}{}", String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.context.shutdown.cancel();
        self.members.values().for_each(|(shutdown, _)| shutdown.cancel());
    }
}

fn clock(time: &Arc<AtomicI64>) -> Clock {
    let time = Arc::clone(time);
    Arc::new(move || time.load(Ordering::SeqCst))
}

/// A message that is the only one of its author in the conversation.
fn said(conversation: &str, role: &str, sent_ms: i64) -> Value {
    json!({
        "event_id": format!("{conversation}-{role}"),
        "source": "outage",
        "conversation_id": conversation,
        "type": "message",
        "channel": "chat",
        "author": {"id": role, "role": role},
        "mode": "live",
        "text": "请问订单什么时候发货?",
        "sent_at": samples::time(sent_ms),
    })
}

/// The samples, and real dialogues where they are.
fn dialogues() -> Vec<Conversation> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/dialogues_zh_jddc_valid.jsonl.gz");
    let mut dialogues = samples::all();
    match File::open(&file) {
        Ok(file) => {
            let lines = BufReader::new(GzDecoder::new(file)).lines().take(DIALOGUES);
            dialogues.extend(lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()));
        }
        Err(_) => eprintln!("no {}: the samples alone are streamed", file.display()),
    }
    dialogues
}

/// The events of all dialogues with when they are sent, in that order; one dialogue after the other
/// comes to its end.
fn stream(begin_ms: i64) -> Vec<(i64, Value)> {
    let dialogues = dialogues();
    let step_ms = STREAM_MS / dialogues.len() as i64;
    let mut events = Vec::new();
    for (number, dialogue) in dialogues.into_iter().enumerate() {
        let end_ms = begin_ms + (number as i64 + 1) * step_ms;
        events.extend(samples::timed(&[dialogue], end_ms));
    }
    events.sort_by_key(|(sent_ms, _)| *sent_ms);
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kills_and_an_outage_the_log_holds_what_a_replay_gives() {
    let seed = 720;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let events = stream(now);
    let batches: Vec<_> = events.chunks(BATCH).collect();
    let mut running = Running::start(now).await;
    for number in 0..MEMBERS {
        running.join(number).await;
    }
    publish_bundle(&*running.log, "default", BUNDLE.into(), "test", now).await.unwrap();
    for number in 0..PARTITIONS {
        let at = TopicPartition::new(topics::EVENTS, number);
        eventually("the bundle is in force", PATIENCE, async || {
            let committed = running.log.committed(GROUP, &at).await.unwrap();
            committed.filter(|committed| committed.offset > 0)
        })
        .await;
    }

    let faults = chaos::plan(seed, chaos::points(POINTS), batches.len());
    let mut planned = faults.iter().peekable();
    let (mut away, mut kills, mut behind) = (None, 0, 0);
    let outage = batches.len() * 3 / 5..batches.len() * 4 / 5;
    let mut asked = Vec::new();
    for (number, batch) in batches.iter().enumerate() {
        if number == outage.start {
            // Still scored, or so it seems to whoever asks.
            asked.push(("asked-before", running.say("asked-before", "customer").await));
            running.caught_up().await;
            let (first, last) = (0, MEMBERS - 1);
            for member in first..=last {
                if away.take_if(|away| *away == member).is_some() {
                    continue;
                }
                if member == last { running.kill(member).await } else { running.stop(member).await }
            }
            asked.push(("asked-meanwhile", running.say("asked-meanwhile", "customer").await));
            running.say("answered-in-time", "customer").await;
            running.reach(running.now_ms() + TARGET_MS - MINUTE_MS / 6);
            running.say("answered-in-time", "agent").await;
            asked.push(("answered-late", running.say("answered-late", "customer").await));
            running.reach(running.now_ms() + 5 * TARGET_MS);
            running.say("answered-late", "agent").await;
        }
        if number == outage.end {
            assert!(running.lag().await > 0, "somebody has scored");
            running.reach(running.now_ms() + SILENT_MS);
            for member in 0..MEMBERS {
                running.join(member).await;
            }
            // Told without a further message of anybody.
            eventually("what was due is told", PATIENCE, async || {
                let (signals, _) = running.escalated().await;
                let told = |id: &str| {
                    let question = format!("{id}-customer");
                    signals.iter().any(|it| it.kind == "sla.frt.breach" && it.event_id == question)
                };
                asked.iter().all(|(id, _)| told(id)).then_some(())
            })
            .await;
        }
        running.publish(batch).await;
        while let Some(fault) = planned.next_if(|fault| fault.after_batches <= number) {
            if outage.contains(&number) {
                continue;
            }
            if let Some(member) = away.take() {
                running.join(member).await;
            }
            let member = (fault.after_ms % u64::from(MEMBERS)) as u16;
            behind += u64::from(running.lag().await > 0);
            running.kill(member).await;
            kills += 1;
            away = Some(member);
        }
    }
    // Whatever was due by now is told before these are folded, which reach every partition.
    let now_ms = running.now_ms();
    let last: Vec<_> = (0..64)
        .map(|number| (now_ms, said(&format!("last-{number}"), "customer", now_ms)))
        .collect();
    running.publish(&last).await;
    running.caught_up().await;

    let (signals, presences) = running.escalated().await;
    let replay = running.replay().await;
    eprintln!(
        "{} events of {} dialogues, {kills} members killed, {behind} of them with work to do: \
         {} signals",
        events.len(),
        dialogues().len(),
        signals.len(),
    );
    assert_eq!(replay["equal"], true, "{replay}");
    let compared = |topic: &str| -> u64 {
        let rows = replay["partitions"].as_array().unwrap().iter();
        rows.filter(|row| row["topic"] == topic).map(|row| row["stored"].as_u64().unwrap()).sum()
    };
    assert!(compared(topics::SCORES) as usize > events.len());
    assert!(compared(topics::FACTS) > 500, "{replay}");
    assert_eq!(compared(topics::ESCALATION) as usize, signals.len() + presences);
    let ids: BTreeSet<&str> = signals.iter().map(|signal| signal.signal_id.as_str()).collect();
    assert_eq!(ids.len(), signals.len(), "a signal was told twice");
    let breaches = |conversation: &str| -> Vec<i64> {
        let question = format!("{conversation}-customer");
        let of = |it: &&Signal| it.kind == "sla.frt.breach" && it.event_id == question;
        signals.iter().filter(of).map(|signal| signal.effective_ms).collect()
    };
    for (conversation, sent_ms) in asked {
        assert_eq!(breaches(conversation), [sent_ms + TARGET_MS], "{conversation}");
    }
    assert!(breaches("answered-in-time").is_empty());
    assert!(kills > 2, "{kills} members killed");
}
