//! The key of pseudonyms is replaced while the system runs, and a customer stays one.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use zhili_eventlog::topics;
use zhili_redact::{KeyRing, Subject};
use zhili_tests::{Options, System, eventually, has_library};

const PATIENCE: Duration = Duration::from_secs(90);

/// A time before now.
fn ago(seconds: u64) -> Value {
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let at_ms = at.as_millis() as i64 - seconds as i64 * 1_000;
    serde_json::to_value(zhili_proto::timestamp(at_ms)).unwrap()
}

/// Something that the customer or an agent says in a conversation.
fn event(id: &str, conversation: &str, role: &str, text: &str) -> Value {
    let author = if role == "agent" { "agent-7" } else { "u-again" };
    json!({
        "source": "desk", "event_id": id, "conversation_id": conversation, "type": "message",
        "sent_at": ago(0), "author": {"id": author, "role": role},
        "customer": {"id": "u-again"}, "text": text,
    })
}

fn complaint(id: &str, conversation: &str) -> Value {
    event(id, conversation, "customer", "我要投诉你们，东西是坏的，态度还这么差")
}

fn ring(system: &System) -> KeyRing {
    KeyRing::parse(&std::fs::read(system.path().join("pseudonym.key")).unwrap()).unwrap()
}

fn change_keys(system: &System, arguments: &[&str]) {
    let output = system.run(&[&["pseudonym-key"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Conversations of repeated complaints, and the customer whom they name.
async fn repeated(system: &System) -> Vec<(String, String)> {
    let sql = "SELECT conversation_id, customer FROM v_signals WHERE kind = 'repeat_complaint' ORDER BY effective_at";
    let text = |row: &Value, column: &str| row[column].as_str().unwrap().to_owned();
    let rows = system.tables().rows(sql).await;
    rows.iter().map(|row| (text(row, "conversation_id"), text(row, "customer"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_complains_before_and_after_a_rotation_complains_again_once() {
    if !has_library("a_customer_who_complains_before_and_after_a_rotation_complains_again_once") {
        return;
    }
    let mut system = System::start(Options::default());
    let mut open = event("m-3", "talk-open", "customer", "请问几点下班");
    open["sent_at"] = ago(60);
    let mut first = complaint("m-1", "talk-1");
    first["sent_at"] = ago(50);
    let solved = json!({
        "source": "desk", "event_id": "m-2", "conversation_id": "talk-1", "type": "status",
        "status": "resolved", "sent_at": ago(40), "customer": {"id": "u-again"},
    });
    system.post(&[first.clone(), solved, open], &[]).await.unwrap();
    system.settle().await;
    assert_eq!(repeated(&system).await, []);
    let back = |customer: &str| {
        format!(
            "SELECT count() FROM v_recontacts WHERE customer = '{customer}' AND next_at IS NOT NULL"
        )
    };
    let (former, [second_talk, third_talk, open_talk]) = {
        let ring = ring(&system);
        let name = |subject, id| ring.name("default", subject, id);
        assert_eq!(system.tables().number(&back(&name(Subject::Customer, "u-again"))).await, 0);
        let talks = ["talk-2", "talk-3", "talk-open"].map(|id| name(Subject::Conversation, id));
        (name(Subject::Customer, "u-again"), talks)
    };

    // Ingest reads the new key without a restart.
    change_keys(&system, &["rotate"]);
    let current = ring(&system).name("default", Subject::Customer, "u-again");
    assert_ne!(former, current);
    let answer = event("m-4", "talk-open", "agent", "您好，晚上九点");
    // With the first answer a cycle is stated, and with it that the customer came back.
    let reply = event("m-5-1", "talk-2", "agent", "您好，马上为您处理");
    system.post(&[complaint("m-5", "talk-2"), reply, answer, first], &[]).await.unwrap();
    system.settle().await;
    assert_eq!(repeated(&system).await, [(second_talk.clone(), current.clone())]);
    assert_eq!(system.tables().number(&back(&former)).await, 1, "the first contact did not do");
    let names = format!(
        "SELECT uniq(customer) FROM v_events WHERE conversation_id = '{open_talk}' HAVING count() = 2"
    );
    assert_eq!(system.tables().number(&names).await, 2, "an open conversation was cut");
    let letters = "SELECT count() FROM dead_letters FINAL";
    assert_eq!(system.tables().number(letters).await, 0, "published again is no conflict");

    // Retired early: the history under the key in use goes back to the rotation.
    let early = system.run(&["pseudonym-key", "retire", "1"]);
    assert_eq!(early.status.code(), Some(75), "repeat contacts still need it");
    change_keys(&system, &["retire", "1", "--now"]);
    system.post(&[complaint("m-6", "talk-3")], &[]).await.unwrap();
    system.settle().await;
    let told = [(second_talk, current.clone()), (third_talk, current.clone())];
    assert_eq!(repeated(&system).await, told);
    let events = system.records(topics::EVENTS).await;
    let last = events.iter().rfind(|it| String::from_utf8_lossy(&it.value).contains("m-6"));
    let last = String::from_utf8_lossy(&last.unwrap().value).into_owned();
    assert!(last.contains(&current) && !last.contains(&former), "{last}");

    // From a snapshot, and from the log.
    system.stop();
    system.up();
    system.settle().await;
    let again = system.json(&["replay", "--json"]);
    assert_eq!(again["equal"], true, "{again}");
    assert_eq!(repeated(&system).await, told);
    assert_eq!(system.tables().duplicates().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_removes_what_was_stored_under_every_key() {
    if !has_library("an_erasure_removes_what_was_stored_under_every_key") {
        return;
    }
    let mut system = System::start(Options::default());
    system.post(&[complaint("m-1", "talk-1")], &[]).await.unwrap();
    system.settle().await;
    change_keys(&system, &["rotate"]);
    system.post(&[complaint("m-2", "talk-2"), complaint("m-3", "talk-1")], &[]).await.unwrap();
    system.settle().await;
    change_keys(&system, &["rotate", "--everything"]);
    change_keys(&system, &["retire", "1", "--now"]);
    let mut kept = complaint("m-4", "talk-4");
    kept["author"]["id"] = json!("u-kept");
    kept["customer"]["id"] = json!("u-kept");
    system.post(&[complaint("m-5", "talk-1"), kept], &[]).await.unwrap();
    system.settle().await;
    // So that snapshots of every fold know the person.
    system.stop();
    system.up();
    system.settle().await;

    let ring = ring(&system);
    let mut traces = ring.names("default", Subject::Customer, "u-again");
    assert_eq!(traces.len(), 3);
    for talk in ["talk-1", "talk-2"] {
        traces.extend(ring.names("default", Subject::Conversation, talk));
    }
    let stored = system.tables().everything().await;
    for name in &traces[..3] {
        assert!(stored.contains(name.as_str()), "{name} is nowhere");
    }

    let made = system.run(&["token", "create", "dpo", "--role", "dpo"]);
    let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let asked = ["erase", "--customer", "u-again", "--json", "--token", &token];
    let found = system.run(&[&asked[..], &["--dry-run"]].concat());
    let found = String::from_utf8(found.stdout).unwrap();
    assert_eq!(found.lines().count(), 3, "what each name is found in: {found}");
    assert!(system.run(&asked).status.success());
    eventually("the erasures are done", PATIENCE, async || {
        let list = system.run(&["erase", "list", "--json", "--token", &token]).stdout;
        let list = String::from_utf8(list).unwrap();
        let done = list.lines().filter(|line| line.contains(r#""stage":"done""#)).count();
        (done == 3).then_some(())
    })
    .await;
    system.settle().await;

    let stored = system.tables().everything().await;
    let mut log = String::new();
    for topic in [
        topics::EVENTS,
        topics::SCORES,
        topics::FACTS,
        topics::CUSTOMERS,
        topics::PULSE,
        topics::ESCALATION,
        topics::INCIDENTS,
    ] {
        for record in system.records(topic).await {
            log += &String::from_utf8_lossy(&record.key);
            log += &String::from_utf8_lossy(&record.value);
        }
    }
    for trace in &traces {
        assert!(!stored.contains(trace.as_str()), "a table holds {trace}");
        assert!(!log.contains(trace.as_str()), "the log holds {trace}");
    }
    let texts = "SELECT count() FROM v_events WHERE text != ''";
    assert_eq!(system.tables().number(texts).await, 1, "another customer lost something");
    // Who comes back afterwards is a new customer.
    let before = repeated(&system).await;
    system.post(&[complaint("m-6", "talk-6")], &[]).await.unwrap();
    system.settle().await;
    assert_eq!(repeated(&system).await, before);
}
