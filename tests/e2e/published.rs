//! What is published on one side comes out right on the other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use zhili_tests::samples::{self, Conversation};
use zhili_tests::{Options, Receiver, System, eventually, has_library};

const PATIENCE: Duration = Duration::from_secs(60);

/// Expectations of the samples that do not hold yet, as `kind item` of `known_misses.txt`.
fn known_misses() -> BTreeSet<String> {
    let text = std::fs::read_to_string(samples::folder().join("known_misses.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (miss, reason) = line.split_once(": ").expect("every miss has a reason");
            assert!(!reason.trim().is_empty(), "{line}");
            miss.to_owned()
        })
        .collect()
}

/// Compares what was missed with what is known; an improvement must be written down too.
fn only_known(kinds: &[&str], missed: &BTreeSet<String>) {
    let of_kinds = |miss: &&String| kinds.iter().any(|kind| miss.split(' ').next() == Some(kind));
    let known: BTreeSet<String> = known_misses().iter().filter(of_kinds).cloned().collect();
    let new: Vec<_> = missed.difference(&known).collect();
    assert!(new.is_empty(), "expectations that held no longer hold: {new:#?}");
    let mended: Vec<_> = known.difference(missed).collect();
    assert!(mended.is_empty(), "these hold now, take them out of known_misses.txt: {mended:#?}");
}

/// Turns and sessions by conversation, as rows in order.
async fn by_conversation(system: &System, sql: &str) -> BTreeMap<String, Vec<Value>> {
    let mut rows: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in system.tables().rows(sql).await {
        let conversation = row["conversation_id"].as_str().unwrap().to_owned();
        rows.entry(conversation).or_default().push(row);
    }
    rows
}

async fn urgent_signals(system: &System) -> BTreeMap<String, BTreeSet<String>> {
    let sql = "SELECT event_id, category FROM v_signals WHERE kind = 'urgent_complaint'";
    let mut signals: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in system.tables().rows(sql).await {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        signals.entry(text("event_id")).or_default().insert(text("category"));
    }
    signals
}

async fn check_urgent(system: &System, conversations: &[Conversation]) {
    let signals = urgent_signals(system).await;
    let mut missed = BTreeSet::new();
    let (mut expected, mut calm) = (0, 0);
    for conversation in conversations {
        for urgent in &conversation.expect.urgent {
            expected += 1;
            let event = format!("{}-{}", conversation.id, urgent.turn);
            if !signals.get(&event).is_some_and(|found| found.contains(&urgent.category)) {
                missed.insert(format!("urgent {event} {}", urgent.category));
            }
        }
        if conversation.expect.urgent.is_empty() {
            calm += conversation.turns.len();
            let events = (0..conversation.turns.len()).map(|i| format!("{}-{i}", conversation.id));
            let raised = events.filter(|event| signals.contains_key(event));
            missed.extend(raised.map(|event| format!("calm {event}")));
        }
    }
    let of = |kind: &str| missed.iter().filter(|miss| miss.starts_with(kind)).count();
    eprintln!(
        "urgent messages of the samples: {} of {expected} raise the expected signal, \
         {} of {calm} calm messages raise one",
        expected - of("urgent "),
        of("calm ")
    );
    only_known(&["urgent", "calm"], &missed);
}

async fn check_response_times(system: &System, conversations: &[Conversation]) {
    let sql = "SELECT event_id, conversation_id FROM v_events";
    let events = system.tables().rows(sql).await;
    let pseudonyms: BTreeMap<_, _> = events
        .iter()
        .map(|row| (row["event_id"].as_str(), row["conversation_id"].as_str()))
        .collect();
    let turns = "SELECT * FROM v_turns ORDER BY conversation_id, cycle, turn";
    let turns = by_conversation(system, turns).await;
    let sessions = "SELECT * FROM v_sessions ORDER BY conversation_id, cycle";
    let sessions = by_conversation(system, sessions).await;
    let mut missed = BTreeSet::new();
    let mut expected = 0;
    for conversation in conversations {
        let first = format!("{}-0", conversation.id);
        let pseudonym = pseudonyms[&Some(first.as_str())].unwrap();
        for (metric, values) in &conversation.expect.response_times {
            expected += 1;
            let column = format!("{}_ms", metric.replace('.', "_"));
            let per_turn = metric.starts_with("rt.");
            let rows = if per_turn { turns.get(pseudonym) } else { sessions.get(pseudonym) };
            let seconds = |row: &Value| row[&column].as_f64().map(|ms| ms / 1_000.0);
            let found = rows.into_iter().flatten().map(seconds);
            // Turns without an answer are not listed; cycles without one are.
            let found: Vec<_> = found.filter(|value| !per_turn || value.is_some()).collect();
            if found != *values {
                eprintln!("{} {metric}: {found:?}, expected {values:?}", conversation.id);
                missed.insert(format!("time {} {metric}", conversation.id));
            }
        }
    }
    let held = expected - missed.len();
    eprintln!("response times of the samples: {held} of {expected} lists as expected");
    only_known(&["time"], &missed);
}

/// Every file below a folder, as bytes.
fn files_below(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            files.push((path.display().to_string(), bytes));
        }
    }
    files
}

/// Whether a text stands in another one otherwise than as a part of what must be kept.
fn holds(all: &str, text: &str, kept: &[&str]) -> bool {
    let within = kept.iter().map(|kept| (kept, kept.matches(text).count()));
    let excused = within.filter(|(_, times)| *times > 0);
    let excused: usize = excused.map(|(kept, times)| all.matches(kept).count() * times).sum();
    all.matches(text).count() > excused
}

async fn check_personal_data(system: &System, pages: &Receiver, conversations: &[Conversation]) {
    let personal: BTreeSet<&str> =
        conversations.iter().flat_map(|c| &c.expect.pii).map(String::as_str).collect();
    let kept: BTreeSet<&str> =
        conversations.iter().flat_map(|c| &c.expect.keep).map(String::as_str).collect();
    let kept: Vec<&str> = kept.into_iter().collect();
    assert!(personal.len() > 20, "the samples hold personal data");
    let mut places =
        vec![("the tables".to_owned(), system.tables().everything().await.into_bytes())];
    // Snapshots are shown to nobody; they are in the log's file below.
    for topic in ["events", "scores", "facts", "escalation", "incidents", "dead-letters"] {
        let records = system.records(&format!("zhili.{topic}.v1")).await;
        let bytes = records.iter().flat_map(|record| [&record.key[..], &record.value[..]].concat());
        places.push((format!("the topic {topic}"), bytes.collect()));
    }
    for page in pages.pages() {
        places.push(("a page".to_owned(), page.body.into_bytes()));
    }
    // The log's file and the store's, logs of the program among them.
    places.extend(files_below(system.path()));
    let bytes: usize = places.iter().map(|(_, bytes)| bytes.len()).sum();
    for (place, bytes) in &places {
        let all = String::from_utf8_lossy(bytes);
        let found: Vec<_> = personal.iter().filter(|text| holds(&all, text, &kept)).collect();
        assert!(found.is_empty(), "personal data of the samples in {place}: {found:?}");
    }
    eprintln!("{} texts of personal data in none of {bytes} bytes written", personal.len());
}

/// Everything that a second publish must leave as it is.
async fn state(system: &System, pages: &Receiver) -> (Vec<(String, u64, String)>, Vec<u64>, usize) {
    let mut ends = Vec::new();
    for topic in ["scores", "facts", "escalation", "incidents", "dead-letters"] {
        ends.push(system.records(&format!("zhili.{topic}.v1")).await.len() as u64);
    }
    (system.tables().state().await, ends, pages.pages().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_samples_come_out_as_a_careful_person_expects() {
    if !has_library("the_samples_come_out_as_a_careful_person_expects") {
        return;
    }
    let conversations = samples::all();
    let pages = Receiver::start().await;
    let mut system = System::start(Options { webhook: Some(pages.target()), ..Options::default() });

    let accepted = system.publish(&samples::files());
    system.settle().await;
    let turns: usize = conversations.iter().map(|it| it.turns.len()).sum();
    assert!(accepted >= turns as u64, "{accepted} of {turns}");
    assert_eq!(system.tables().number("SELECT count() FROM v_events").await, accepted);

    check_urgent(&system, &conversations).await;
    check_response_times(&system, &conversations).await;

    // Every incident of the default policy pages its webhook once, signed.
    let incidents =
        system.tables().number("SELECT count() FROM v_incidents WHERE family = 'complaint'").await;
    assert!(incidents > 0);
    eventually("every incident has paged", PATIENCE, async || {
        (pages.pages().len() as u64 >= incidents).then_some(())
    })
    .await;
    system.settle().await;
    let arrived = pages.pages();
    assert!(arrived.iter().all(|page| page.verified), "a signature is wrong");
    let ids: BTreeSet<_> = arrived.iter().map(|page| &page.id).collect();
    assert_eq!(ids.len(), arrived.len(), "a page came twice without a fault");
    check_personal_data(&system, &pages, &conversations).await;

    let before = state(&system, &pages).await;
    assert_eq!(system.publish(&samples::files()), accepted);
    system.settle().await;
    assert_eq!(state(&system, &pages).await, before, "publishing again changed something");

    let replay = system.json(&["replay", "--json"]);
    assert_eq!(replay["equal"], true, "{replay}");
    assert!(system.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_urgent_message_pages_and_a_person_acknowledges_and_resolves_it() {
    if !has_library("an_urgent_message_pages_and_a_person_acknowledges_and_resolves_it") {
        return;
    }
    let pages = Receiver::start().await;
    let system = System::start(Options { webhook: Some(pages.target()), ..Options::default() });
    let urgent = serde_json::json!({
        "event_id": "m-1", "source": "desk", "conversation_id": "c-1", "type": "message",
        "sent_at": samples::now(), "customer": {"id": "kunde"}, "author": {"id": "kunde", "role": "customer"},
        "text": "再不退款我就打12315投诉你们，律师函也准备好了",
    });
    let answer = system.post(&[urgent], &[]).await.unwrap();
    assert_eq!(answer["accepted"], 1, "{answer}");

    let page = eventually("a page", PATIENCE, async || pages.pages().pop()).await;
    assert!(page.verified, "{page:?}");
    let body: Value = serde_json::from_str(&page.body).unwrap();
    let listed = eventually("the list of incidents", PATIENCE, async || {
        // Just after a start it says that it still reads the log.
        serde_json::from_slice::<Value>(&system.run(&["incidents", "list", "--json"]).stdout).ok()
    })
    .await;
    let incident = listed["incidents"][0]["incident_id"].as_str().unwrap().to_owned();
    assert!(page.body.contains(&incident), "{body}");
    assert!(!page.body.contains("kunde"), "{body}");

    let acknowledged = system.json(&["incidents", "ack", &incident, "--json"]);
    assert_eq!(acknowledged["state"], "acknowledged", "{acknowledged}");
    let resolved = system.json(&["incidents", "resolve", &incident, "--json"]);
    assert_eq!(resolved["state"], "resolved", "{resolved}");
    assert!(
        system.json(&["incidents", "list", "--json"])["incidents"]
            .as_array()
            .is_none_or(Vec::is_empty)
    );

    system.settle().await;
    let tables = system.tables();
    let sql = "SELECT state, mtta_ms >= 0 AS met, mttr_ms >= mtta_ms AS ordered FROM v_incidents";
    let rows = tables.rows(sql).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["state"], "resolved");
    assert_eq!((&rows[0]["met"], &rows[0]["ordered"]), (&1.into(), &1.into()));
    let delivered = "SELECT count() FROM v_deliveries WHERE state = 'delivered'";
    assert_eq!(tables.number(delivered).await, 1);
    assert_eq!(pages.pages().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_dialogues_are_counted_once_however_often_they_are_published() {
    let test = "real_dialogues_are_counted_once_however_often_they_are_published";
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/dialogues_zh_jddc_valid.jsonl.gz");
    if !file.is_file() {
        eprintln!("skipped: {test}: no {}", file.display());
        return;
    }
    if !has_library(test) {
        return;
    }
    let pages = Receiver::start().await;
    let system = System::start(Options { webhook: Some(pages.target()), ..Options::default() });
    let accepted = system.publish(std::slice::from_ref(&file));
    system.settle().await;
    assert_eq!(system.tables().number("SELECT count() FROM v_events").await, accepted);
    eprintln!("{accepted} events of the real dialogues accepted and counted");
    let before = state(&system, &pages).await;
    assert_eq!(system.publish(&[file]), accepted);
    system.settle().await;
    assert_eq!(state(&system, &pages).await, before, "publishing again changed something");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_as_csv_is_published_by_its_columns_and_once() {
    if !has_library("an_export_as_csv_is_published_by_its_columns_and_once") {
        return;
    }
    let system = System::start(Options::default());
    let (export, columns) = (system.path().join("export.csv"), system.path().join("columns.toml"));
    let text = "Chat ID,Time,Sender,Sender Type,Message\n\
                CH-1,2026-11-30 08:00:00,u1,Visitor,\"等了两小时,没人理\"\n\
                CH-1,2026-11-30 08:00:30,a1,Staff,\"非常抱歉,马上为您处理\"\n\
                CH-2,2026-11-30 08:01:00,u2,Visitor,谢谢\n";
    std::fs::write(&export, text).unwrap();
    let words = "zone = \"Asia/Shanghai\"\n[columns]\nconversation_id = \"Chat ID\"\n\
                 sent_at = \"Time\"\ntext = \"Message\"\n\"author.id\" = \"Sender\"\n\
                 \"author.role\" = \"Sender Type\"\n[values.\"author.role\"]\n\
                 Visitor = \"customer\"\nStaff = \"agent\"\n";
    std::fs::write(&columns, words).unwrap();
    let (export, columns) = (export.display().to_string(), columns.display().to_string());
    for _ in 0..2 {
        let output = system.run(&["publish", &export, "--columns", &columns, "--json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["accepted"], 3, "{output:?}");
    }
    system.settle().await;
    let tables = system.tables();
    let rows = tables
        .rows(
            "SELECT role, toString(sent_at) AS sent_at, mode, text FROM v_messages \
             ORDER BY sent_at",
        )
        .await;
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert_eq!(text(&rows[0], "sent_at"), "2026-11-30 00:00:00.000");
    assert_eq!(text(&rows[1], "role"), "agent");
    assert_eq!(text(&rows[1], "text"), "非常抱歉,马上为您处理");
    assert_eq!(tables.number("SELECT uniqExact(conversation_id) FROM v_messages").await, 2);
    // Without the columns it says what it takes.
    let output = system.run(&["publish", &export]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--columns"), "{output:?}");
}
