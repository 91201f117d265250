//! Kills every few seconds while incidents open at a steady rate: everybody is paged about each of
//! them, and no page comes more often than once more for each kill that may have met it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use prost::Message as _;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};
use zhili_proto::escalation::v1::{LogEntry, log_entry};
use zhili_proto::millis;
use zhili_tests::{Options, Receiver, System, eventually, has_library, samples};

/// Conversations a second in which a customer complains.
const RATE: u64 = 20;
/// Between two requests of the publisher.
const PAUSE: Duration = Duration::from_millis(250);
/// Between two kills.
const KILL_EVERY: Duration = Duration::from_secs(5);
/// How long the last page may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long it goes on: `ZHILI_CHAOS_SECONDS`, else long enough for two kills.
fn length() -> Duration {
    let asked = std::env::var("ZHILI_CHAOS_SECONDS").ok();
    Duration::from_secs(asked.map_or(11, |text| text.parse().expect("a number of seconds")))
}

/// The only message of a conversation.
fn complaint(number: u64) -> Value {
    let conversation = format!("relentless-{number}");
    json!({
        "source": "relentless",
        "event_id": format!("{conversation}-1"),
        "conversation_id": conversation,
        "type": "message",
        "sent_at": samples::now(),
        "customer": {"id": conversation},
        "author": {"id": conversation, "role": "customer"},
        "channel": "app",
        "text": "再不退款我现在就打12315投诉你们",
    })
}

/// Publishes what is due by now until the end; a request without an answer is made again, as a
/// careful publisher does. Counts what was acknowledged.
async fn publish(url: String, token: String, end: Instant, acknowledged: Arc<AtomicUsize>) {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
    let begun = Instant::now();
    let (mut sent, mut beat) = (0, tokio::time::interval(PAUSE));
    while Instant::now() < end {
        beat.tick().await;
        let due = begun.elapsed().as_millis() as u64 * RATE / 1_000;
        let batch: Vec<Value> = (sent..due).map(complaint).collect();
        if batch.is_empty() {
            continue;
        }
        loop {
            let request = client.post(&url).bearer_auth(&token).json(&batch);
            let answer = match request.send().await {
                Ok(answer) => answer.json::<Value>().await.ok(),
                Err(_) => None,
            };
            // Anything else is a service that is about to go or has just come.
            if answer.is_some_and(|answer| answer["accepted"] == batch.len()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        acknowledged.fetch_add(batch.len(), Ordering::SeqCst);
        sent = due;
    }
}

/// When each page arrived, and the conversations that pages were about.
fn arrived(receiver: &Receiver) -> (BTreeMap<String, Vec<SystemTime>>, BTreeSet<String>) {
    let (mut arrivals, mut about) = (BTreeMap::<String, Vec<_>>::new(), BTreeSet::new());
    for page in receiver.pages() {
        assert!(page.verified, "a page with a wrong signature: {}", page.body);
        let body: Value = serde_json::from_str(&page.body).unwrap();
        let conversation = body["data"]["conversation_id"].as_str().unwrap().to_owned();
        // A burst of complaints is an incident too.
        if !conversation.starts_with("pulse:") {
            about.insert(conversation);
        }
        arrivals.entry(page.id).or_default().push(page.at);
    }
    (arrivals, about)
}

/// From when a timer was due to when the log had its tick, milliseconds.
async fn lateness(system: &System) -> Vec<i64> {
    let records = system.records("zhili.escalation.v1").await;
    let tick = |value: &[u8]| match LogEntry::decode(value).ok()?.entry? {
        log_entry::Entry::Tick(tick) => Some(tick.at_ms),
        _ => None,
    };
    let late = records.iter().filter_map(|record| {
        Some(record.append_time.as_ref().and_then(millis)? - tick(&record.value)?)
    });
    let mut late: Vec<i64> = late.collect();
    late.sort_unstable();
    late
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_it_every_five_seconds_loses_no_page() {
    if !has_library("killing_it_every_five_seconds_loses_no_page") {
        return;
    }
    let receiver = Receiver::start().await;
    let webhook = Some(receiver.target());
    let mut system = System::start(Options { webhook, ..Options::default() });
    let (begun, acknowledged) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let url = format!("{}/v1/events", system.url(0));
    let publishing = publish(url, system.token(), begun + length(), Arc::clone(&acknowledged));
    let publishing = tokio::spawn(publishing);

    let mut kills = Vec::new();
    let mut beat = tokio::time::interval_at(begun + KILL_EVERY, KILL_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !publishing.is_finished() && begun.elapsed() < length() {
        beat.tick().await;
        kills.push(SystemTime::now());
        system.kill();
        system.up();
    }
    tokio::time::timeout(PATIENCE, publishing).await.unwrap().unwrap();
    let expected = acknowledged.load(Ordering::SeqCst);
    eventually("somebody is paged about every conversation", PATIENCE, async || {
        (arrived(&receiver).1.len() >= expected).then_some(())
    })
    .await;
    system.settle().await;

    let (arrivals, about) = arrived(&receiver);
    assert_eq!(about.len(), expected);
    let copies: usize = arrivals.values().map(|times| times.len() - 1).sum();
    for (page, times) in &arrivals {
        for pair in times.windows(2) {
            let between = kills.iter().filter(|kill| (pair[0]..=pair[1]).contains(*kill)).count();
            // A page that was on the wire when its sender was killed may arrive just after that.
            let just_before = kills.iter().any(|kill| {
                pair[0].duration_since(*kill).is_ok_and(|since| since < Duration::from_secs(1))
            });
            assert!(between > 0 || just_before, "page {page} came again without a kill: {times:?}");
        }
        assert!(times.len() <= 1 + kills.len(), "page {page} came {} times", times.len());
    }
    let late = lateness(&system).await;
    let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
    let ticks = if late.is_empty() {
        "no timer was due".to_owned()
    } else {
        let (p50, p99, most) = (at(0.5), at(0.99), at(1.0));
        format!("{} ticks, late by p50 {p50} ms, p99 {p99} ms, max {most} ms", late.len())
    };
    eprintln!(
        "{} kills in {:.0} s, {expected} incidents, 0 without a page, {} pages, {copies} extra \
         copies; {ticks}",
        kills.len(),
        begun.elapsed().as_secs_f64(),
        arrivals.len(),
    );
    assert!(kills.len() > 1, "it was killed {} times", kills.len());
}
