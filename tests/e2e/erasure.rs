//! A person is erased from a running system, and the figures stay.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use zhili_redact::{PseudonymKey, Subject, pseudonym};
use zhili_tests::{Options, System, eventually, has_library, program};

const PATIENCE: Duration = Duration::from_secs(90);

/// Words of the person who is erased; nobody else writes them.
const WORDS: [&str; 3] =
    ["我的蓝色遮阳帆布破了", "再不处理我就去12315投诉你们", "the turquoise awning is torn"];

fn event(id: &str, conversation: &str, customer: &str, role: &str, text: &str) -> Value {
    let author = if role == "agent" { "agent-7".to_owned() } else { customer.to_owned() };
    json!({
        "source": "desk",
        "event_id": id,
        "conversation_id": conversation,
        "type": "message",
        "sent_at": now(),
        "channel": "chat",
        "queue": "floor",
        "author": {"id": author, "role": role},
        "customer": {"id": customer},
        "text": text,
        "order": format!("order-of-{customer}"),
    })
}

fn now() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let at = zhili_proto::timestamp(since.as_millis() as i64);
    serde_json::to_value(at).unwrap().as_str().unwrap().to_owned()
}

/// Two conversations of each of two customers, answered by the same agent.
fn history() -> Vec<Value> {
    let mut events = Vec::new();
    for (customer, words) in [("u-gone", WORDS), ("u-kept", ["你好", "谢谢", "hello again"])] {
        for talk in 0..2 {
            let conversation = format!("{customer}-talk-{talk}");
            let mut say = |n: usize, role: &str, text: &str| {
                let id = format!("{conversation}-{n}");
                events.push(event(&id, &conversation, customer, role, text));
            };
            say(0, "customer", words[talk]);
            say(1, "agent", "您好,请问有什么可以帮您?");
            say(2, "customer", words[2]);
            say(3, "agent", "非常抱歉,马上为您处理。");
        }
    }
    events
}

/// Stores texts of the tables as they are, so that a search of the files finds what is there.
pub(crate) async fn store_uncompressed(system: &System) {
    let columns = "SELECT table, name FROM system.columns WHERE database = 'zhili' AND type = 'String' \
        AND table IN (SELECT name FROM system.tables WHERE database = 'zhili' AND engine LIKE '%MergeTree%')";
    for column in system.tables().rows(columns).await {
        let (table, name) = (column["table"].as_str().unwrap(), column["name"].as_str().unwrap());
        let sql = format!("ALTER TABLE {table} MODIFY COLUMN `{name}` CODEC(NONE)");
        system.tables().run(&sql).await;
    }
}

/// Files below a folder that hold any of the texts, with the text.
fn files_that_hold(folder: &Path, texts: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_that_hold(&path, texts));
            continue;
        }
        // A file may be removed while it is looked for.
        let bytes = std::fs::read(&path).unwrap_or_default();
        for text in texts {
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                found.push(format!("{}: {text}", path.display()));
            }
        }
    }
    found
}

/// What the agent is paid by: of the time before the load, which goes on meanwhile.
async fn figures(system: &System) -> Vec<Value> {
    let mut figures = Vec::new();
    for sql in [
        "SELECT agent, count() AS n, avg(rt_last_msg_ms) AS rt FROM v_turns WHERE queue = 'floor' GROUP BY agent",
        "SELECT author, count() AS n, avg(politeness_score) AS politeness FROM v_messages WHERE role = 'agent' AND queue = 'floor' GROUP BY author",
        "SELECT complaint, count() AS n, avg(sentiment_value) AS mood FROM v_messages WHERE role = 'customer' AND queue = 'floor' GROUP BY complaint ORDER BY complaint",
        "SELECT agent, count() AS n, sum(turns) AS turns, avg(frt_any_ms) AS frt FROM v_sessions WHERE queue = 'floor' GROUP BY agent",
        "SELECT slot, count() AS n, sum(present) AS said FROM v_slots WHERE queue = 'floor' GROUP BY slot ORDER BY slot",
        "SELECT kind, severity, count() AS n FROM v_signals WHERE queue = 'floor' GROUP BY kind, severity ORDER BY kind",
    ] {
        figures.extend(system.tables().rows(sql).await);
    }
    figures
}

fn dpo(system: &System) -> String {
    let made = system.run(&["token", "create", "dpo", "--role", "dpo"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

/// Pseudonyms of the person, and what they wrote.
fn traces(system: &System) -> Vec<String> {
    let bytes: [u8; 32] =
        std::fs::read(system.path().join("pseudonym.key")).unwrap().try_into().unwrap();
    let key = PseudonymKey::new(bytes);
    let of = |subject, id: &str| pseudonym(&key, "default", subject, id);
    let mut traces = vec![
        of(Subject::Customer, "u-gone"),
        of(Subject::Conversation, "u-gone-talk-0"),
        of(Subject::Conversation, "u-gone-talk-1"),
        "order-of-u-gone".to_owned(),
        "u-gone-talk".to_owned(),
    ];
    traces.extend(WORDS.map(str::to_owned));
    traces
}

/// Posts messages of others until it is told to stop; counts what was accepted.
async fn load(system: &System, stop: &AtomicBool, accepted: &AtomicU64) {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let events: Vec<Value> = (0..5)
            .map(|_| {
                n += 1;
                let conversation = format!("load-{}", n / 20);
                let mut event =
                    event(&format!("load-{n}"), &conversation, "u-load", "customer", "在吗?");
                event["queue"] = json!("other");
                event
            })
            .collect();
        let answer = system.post(&events, &[]).await.unwrap();
        accepted.fetch_add(answer["accepted"].as_u64().unwrap(), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_holds_a_byte_of_who_was_erased_and_every_figure_stays() {
    if !has_library("no_file_holds_a_byte_of_who_was_erased") {
        return;
    }
    let mut system = System::start(Options::default());
    store_uncompressed(&system).await;
    let mut accepted = 0;
    let answer = system.post(&history(), &[]).await.unwrap();
    accepted += answer["accepted"].as_u64().unwrap();
    // The same id with other words: a dead letter that holds the second.
    let again = event("u-gone-talk-0-0", "u-gone-talk-0", "u-gone", "customer", WORDS[2]);
    let conflicting = system.post(&[again], &[]).await.unwrap();
    accepted += conflicting["accepted"].as_u64().unwrap();
    system.settle().await;
    // So that snapshots of every fold know the person.
    system.stop();
    system.up();
    system.settle().await;

    let traces = traces(&system);
    let before = figures(&system).await;
    assert!(before.len() >= 6, "{before:?}");
    for trace in &traces[..3] {
        let found = files_that_hold(system.path(), std::slice::from_ref(trace));
        assert!(!found.is_empty(), "{trace} is nowhere: a search for it would prove nothing");
    }
    assert!(!files_that_hold(system.path(), &traces[5..]).is_empty());

    let token = dpo(&system);
    let counted =
        system.run(&["erase", "--customer", "u-gone", "--dry-run", "--json", "--token", &token]);
    let counted: Value = serde_json::from_slice(&counted.stdout).unwrap();
    assert_eq!(counted["rows"]["events"], "8", "{counted}");
    assert_eq!(counted["rows"]["dead_letters"], "1", "{counted}");

    let (stop, loaded) = (AtomicBool::new(false), AtomicU64::new(0));
    let receipt = {
        let mut command = Command::new(program());
        command.args(["erase", "--customer", "u-gone", "--reason", "ticket 7", "--wait"]);
        command.args(["--token", &token, "--data"]).arg(system.path());
        let command = tokio::task::spawn_blocking(move || command.output().unwrap());
        let erase = async {
            let output = command.await.unwrap();
            stop.store(true, Ordering::Relaxed);
            output
        };
        let (receipt, ()) = tokio::join!(erase, load(&system, &stop, &loaded));
        assert!(receipt.status.success(), "{}", String::from_utf8_lossy(&receipt.stderr));
        receipt.stdout
    };
    accepted += loaded.load(Ordering::Relaxed);
    system.settle().await;

    let found = files_that_hold(system.path(), &traces);
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(figures(&system).await, before);
    let everything = system.tables().everything().await;
    for trace in &traces {
        assert!(!everything.contains(trace.as_str()), "a table holds {trace}");
    }
    // Nobody else lost anything.
    let rows = "SELECT count() FROM v_events";
    let letters = "SELECT count() FROM dead_letters FINAL";
    assert_eq!(system.tables().number(letters).await, 0);
    assert_eq!(system.tables().number(rows).await, accepted - 1);
    assert_eq!(system.tables().duplicates().await, 0);

    let file = system.path().join("receipt.json");
    std::fs::write(&file, &receipt).unwrap();
    let verified = system.run(&["erase", "verify", file.to_str().unwrap()]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let receipt: Value = serde_json::from_slice(&receipt).unwrap();
    assert_eq!(receipt["receipt"]["rows_removed"]["events"], 8, "{receipt}");
    assert_eq!(receipt["receipt"]["log"], "rewritten");
    let changed = receipt.to_string().replace("ticket 7", "ticket 8");
    std::fs::write(&file, changed).unwrap();
    assert_eq!(system.run(&["erase", "verify", file.to_str().unwrap()]).status.code(), Some(1));

    // The next start reads what is left.
    system.stop();
    system.up();
    system.settle().await;
    assert!(files_that_hold(system.path(), &traces).is_empty());
    assert_eq!(figures(&system).await, before);
    let audited = system.run(&["doctor", "--audit"]);
    // Here nobody is reachable, of which the doctor complains; of the rows it does not.
    let said = String::from_utf8_lossy(&audited.stdout);
    let whole = said.lines().filter(|line| line.starts_with("ok       zhili.")).count();
    assert_eq!(whole, 5, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_held_back_is_erased_when_the_hold_is_released() {
    if !has_library("who_is_held_back_is_erased") {
        return;
    }
    let system = System::start(Options::default());
    system.post(&history(), &[]).await.unwrap();
    system.settle().await;
    let token = dpo(&system);
    let dpo = |arguments: &[&str]| {
        let arguments = [&["erase"], arguments, &["--json", "--token", &token]].concat();
        system.json(&arguments)
    };
    let refused = system.run(&["erase", "--customer", "u-gone"]);
    assert!(!refused.status.success(), "an administrator alone may not erase");

    let hold = dpo(&["hold", "--conversation", "u-gone-talk-1", "--reason", "case 3"]);
    let erasure = dpo(&["--customer", "u-gone"]);
    let id = erasure["erasure_id"].as_str().unwrap();
    eventually("the erasure is held", PATIENCE, async || {
        (dpo(&["show", id])["stage"] == "held").then_some(())
    })
    .await;
    let texts = "SELECT count() FROM v_events WHERE text != ''";
    assert_eq!(system.tables().number(texts).await, 16);
    dpo(&["release", hold["hold_id"].as_str().unwrap()]);
    eventually("the erasure is done", PATIENCE, async || {
        (dpo(&["show", id])["stage"] == "done").then_some(())
    })
    .await;
    assert_eq!(system.tables().number(texts).await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_forgets_who_was_erased_after_it_was_made() {
    if !has_library("a_restored_backup_forgets") {
        return;
    }
    let mut system = System::start(Options::default());
    system.post(&history(), &[]).await.unwrap();
    system.settle().await;
    // So that the backup has snapshots that know the person.
    system.stop();
    system.up();
    system.settle().await;
    let made = system.run(&["backup", "before"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let before = figures(&system).await;
    let traces = traces(&system);
    let token = dpo(&system);
    let receipt =
        system.run(&["erase", "--customer", "u-gone", "--wait", "--token", &token]).stdout;
    let receipts = system.path().join("receipts");
    std::fs::create_dir(&receipts).unwrap();
    std::fs::write(receipts.join("1.json"), receipt).unwrap();
    let public_key = String::from_utf8(system.run(&["erase", "public-key"]).stdout).unwrap();

    let mut restored = System::prepare(Options::default());
    let backup = system.path().join("backups/before");
    let key = system.path().join("pseudonym.key");
    let port = restored.url(4).rsplit_once(':').unwrap().1.to_owned();
    let [backup, key, receipts] = [&backup, &key, &receipts].map(|path| path.to_str().unwrap());
    let unasked = restored.run(&["restore", backup, "--pseudonym-key", key, "--port", &port]);
    assert_eq!(unasked.status.code(), Some(64), "without a word about receipts it is refused");
    let output = restored.run(&[
        "restore",
        backup,
        "--pseudonym-key",
        key,
        "--port",
        &port,
        "--receipts",
        receipts,
        "--public-key",
        public_key.trim(),
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    restored.up();
    restored.settle().await;
    let token = dpo(&restored);
    eventually("the erasure is made again", PATIENCE, async || {
        let all = restored.run(&["erase", "list", "--json", "--token", &token]).stdout;
        let erasure: Value = serde_json::from_slice(&all).unwrap();
        (erasure["stage"] == "done").then_some(())
    })
    .await;
    let found = files_that_hold(restored.path(), &traces);
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(figures(&restored).await, before);
    // It goes on where the backup was: what is published again is known.
    let kept: Vec<Value> = history().split_off(8);
    restored.post(&kept, &[]).await.unwrap();
    restored.settle().await;
    assert_eq!(restored.tables().number("SELECT count() FROM events").await, 16);
}
