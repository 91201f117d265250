//! How long an event takes at a steady rate: from its acknowledgement until the page about it
//! arrives at the webhook, and until a query of ClickHouse shows it.
//!
//! `make latency` builds what it needs and runs it on both logs. By itself:
//! `latency LOG [events per second] [seconds] [urgent every]`, where LOG is `embedded` or `kafka`.
//! With few events a second, all of them urgent, it says what escalation takes by itself: from the
//! signal in its log until the page arrives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a measurement")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use zhili_tests::{Receiver, Tables, free_ports, samples};

/// One event in so many is urgent, in a conversation of its own, unless said otherwise.
const URGENT_EVERY: usize = 50;
/// How often ClickHouse is asked; adds half of itself on average.
const LOOK: Duration = Duration::from_millis(20);
/// Left out at the beginning: connections are made and caches filled.
const WARM_UP: Duration = Duration::from_secs(5);
/// How long the last ones may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything on one machine, as its user starts it.
struct System {
    folder: TempDir,
    base: u16,
    child: Child,
}

impl System {
    fn start(kafka: bool, webhook: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = free_ports();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        // target/PROFILE/examples/latency
        let bin: PathBuf = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().into();
        let mut command = if kafka {
            let mut command = Command::new("node");
            command.arg(root.join("deploy/cluster/run.mjs")).arg("--bin").arg(&bin);
            command
        } else {
            let mut command = Command::new(bin.join("zhili"));
            command.args(["up", "--log", "warn"]);
            command
        };
        command
            .args(["--port-base", &base.to_string(), "--webhook", webhook, "--data"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line == "ready"), "it did not get ready");
        Self { folder, base, child }
    }

    fn token(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("token")).unwrap().trim().to_owned()
    }

    fn url(&self, offset: u16) -> String {
        format!("http://127.0.0.1:{}", self.base + offset)
    }
}

impl Drop for System {
    fn drop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
        self.child.wait().ok();
    }
}

fn event(number: usize, urgent_every: usize) -> Value {
    let urgent = number.is_multiple_of(urgent_every);
    let (conversation, role, text) = if urgent {
        (format!("u-{number}"), "customer", "再不退款我现在就打12315投诉你们")
    } else if number.is_multiple_of(2) {
        (format!("c-{}", number / 2 % 1_000), "customer", "请问我的快递什么时候能到")
    } else {
        (format!("c-{}", number / 2 % 1_000), "agent", "亲,您好,正在为您查询,预计明天下午送达")
    };
    json!({
        "source": "latency", "event_id": format!("e-{number}"), "conversation_id": conversation,
        "type": "message", "sent_at": samples::now(), "customer": {"id": conversation},
        "author": {"id": if role == "agent" { "a-1" } else { &*conversation }, "role": role},
        "text": text,
    })
}

/// The first moment at which each event was seen in ClickHouse, until all of `wanted` are there.
async fn watch(tables: Tables, wanted: usize, seen: Arc<Mutex<BTreeMap<String, SystemTime>>>) {
    let mut known = BTreeSet::new();
    let recent = "SELECT event_id FROM v_events WHERE source = 'latency' \
                  AND log_append_at > now64(3) - INTERVAL 15 SECOND";
    while known.len() < wanted {
        let rows = tables.rows(recent).await;
        let at = SystemTime::now();
        for row in rows {
            let id = row["event_id"].as_str().unwrap();
            if known.insert(id.to_owned()) {
                seen.lock().unwrap().insert(id.to_owned(), at);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let index = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1;
    sorted[index].as_secs_f64() * 1e3
}

fn report(what: &str, mut waits: Vec<Duration>) {
    waits.sort();
    println!(
        "{what:<34} n {:>6}  p50 {:>7.1} ms  p99 {:>7.1} ms  max {:>7.1} ms",
        waits.len(),
        quantile(&waits, 0.5),
        quantile(&waits, 0.99),
        quantile(&waits, 1.0)
    );
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let log = arguments.first().map_or("embedded", String::as_str);
    let number = |at: usize, otherwise: usize| {
        arguments.get(at).map_or(otherwise, |text| text.parse().expect("a number"))
    };
    let (rate, seconds, urgent_every) = (number(1, 200), number(2, 60), number(3, URGENT_EVERY));
    assert!(["embedded", "kafka"].contains(&log), "LOG is embedded or kafka, not {log}");

    let pages = Receiver::start().await;
    let system = System::start(log == "kafka", &pages.target().0);
    let http = reqwest::Client::new();
    let token = system.token();
    let seen = Arc::new(Mutex::new(BTreeMap::new()));
    let tables = Tables::new(http.clone(), system.url(4), token.clone());
    let total = rate * seconds;
    let watching = tokio::spawn(watch(tables, total, Arc::clone(&seen)));

    let mut requests = JoinSet::new();
    let begun = tokio::time::Instant::now();
    for number in 0..total {
        let due = begun + Duration::from_secs_f64(number as f64 / rate as f64);
        tokio::time::sleep_until(due).await;
        let request = http
            .post(format!("{}/v1/events", system.url(0)))
            .bearer_auth(&token)
            .json(&event(number, urgent_every));
        requests.spawn(async move {
            let sent = SystemTime::now();
            let answer: Value = request.send().await.unwrap().json().await.unwrap();
            assert_eq!(answer["accepted"], 1, "{answer}");
            (number, sent, SystemTime::now())
        });
    }
    let mut accepted: Vec<(usize, SystemTime, SystemTime)> = requests.join_all().await;
    accepted.retain(|(number, ..)| *number as f64 / rate as f64 >= WARM_UP.as_secs_f64());
    let took = begun.elapsed().as_secs_f64();

    let urgent = total.div_ceil(urgent_every);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while pages.pages().len() < urgent && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
    }
    tokio::time::timeout_at(deadline, watching).await.expect("all is visible in time").unwrap();
    drop(system);

    let mut arrived: BTreeMap<String, SystemTime> = BTreeMap::new();
    let mut triggered: BTreeMap<String, SystemTime> = BTreeMap::new();
    for page in pages.pages() {
        let body: Value = serde_json::from_str(&page.body).unwrap();
        for reason in body["data"]["reasons"].as_array().unwrap() {
            let id = reason["event_id"].as_str().unwrap().to_owned();
            // An incident begins when its signal is appended to the log.
            let at = serde_json::from_value(body["data"]["triggered_at"].clone()).unwrap();
            let since = Duration::from_millis(zhili_proto::millis(&at).unwrap() as u64);
            triggered.entry(id.clone()).or_insert(SystemTime::UNIX_EPOCH + since);
            arrived.entry(id).or_insert(page.at);
        }
    }
    let seen = seen.lock().unwrap();
    // Clocks of one machine; a page can overtake the answer to its publisher.
    let between = |from: SystemTime, to: SystemTime| to.duration_since(from).unwrap_or_default();
    let after = |times: &BTreeMap<String, SystemTime>| -> Vec<Duration> {
        let wait = |&(number, _, at): &(usize, SystemTime, SystemTime)| {
            times.get(&format!("e-{number}")).map(|time| between(at, *time))
        };
        accepted.iter().filter_map(wait).collect()
    };
    println!(
        "{log}: {total} events in {took:.1} s, {:.0}/s, the first {WARM_UP:?} left out",
        total as f64 / took
    );
    report("sent -> accepted", accepted.iter().map(|(_, sent, at)| between(*sent, *at)).collect());
    report("accepted -> page arrives", after(&arrived));
    let counted = accepted.iter().filter_map(|(number, ..)| {
        let id = format!("e-{number}");
        Some(between(*triggered.get(&id)?, *arrived.get(&id)?))
    });
    report("signal in its log -> page arrives", counted.collect());
    report("accepted -> visible in ClickHouse", after(&seen));
    let missing = (0..total)
        .step_by(URGENT_EVERY)
        .filter(|n| !arrived.contains_key(&format!("e-{n}")))
        .count();
    println!("urgent events without a page: {missing} of {urgent}");
}
