//! `zhili fold`: a fixed interface. What the facts mean is tested where they are folded.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/fold/");

fn fold(events: &[Value], arguments: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_zhili"))
        .args(["fold", "--events", "-"])
        .args(arguments)
        .current_dir(DATA)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for event in events {
        writeln!(stdin, "{event}").unwrap();
    }
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn facts(events: &[Value], arguments: &[&str]) -> Vec<Value> {
    let output = fold(events, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_kind<'f>(facts: &'f [Value], kind: &str) -> Vec<&'f Value> {
    facts.iter().filter(|fact| fact["kind"] == kind).collect()
}

/// Somebody says something at a time of 2026-11-02, UTC; logged when it was sent.
fn says(role: &str, at: &str, text: &str) -> Value {
    let time = format!("2026-11-02T{at}Z");
    json!({
        "conversation_id": "talk", "event_id": at, "type": "message", "at": time, "sent_at": time,
        "author": {"id": role, "role": role}, "text": text,
    })
}

fn with(mut event: Value, field: &str, value: &str) -> Value {
    event[field] = value.into();
    event
}

#[test]
fn first_replies_are_told_apart_by_who_and_what() {
    let mut greeting = says("agent", "02:00:01", "您好，很高兴为您服务");
    greeting["author"]["subtype"] = "auto".into();
    let facts = facts(
        &[
            says("customer", "02:00:00", "快递怎么还没到"),
            greeting,
            says("agent", "02:00:20", "亲，在的"),
            says("agent", "02:01:35", "您的包裹已到杭州中转站，预计明天派送"),
        ],
        &[],
    );
    let cycles = of_kind(&facts, "cycle");
    assert_eq!(cycles.len(), 1);
    assert_eq!(cycles[0]["frt.any.v1"], 1);
    assert_eq!(cycles[0]["frt.human.v1"], 20);
    assert_eq!(cycles[0]["frt.substantive.v1"], 95);
    assert_eq!(cycles[0]["resolved"], false);
    let turns = of_kind(&facts, "turn");
    assert_eq!(turns.len(), 1);
    assert_eq!((&turns[0]["agent"], &turns[0]["rt.human.v1"]), (&json!("agent"), &json!(20)));
    // No calendar: not measured, never 0.
    assert_eq!(turns[0]["business"]["rt.human.v1"], Value::Null);
}

#[test]
fn a_late_answer_takes_the_breach_back_and_the_rest_waits_anew() {
    let late =
        with(says("agent", "02:00:59.950", "好的，已为您登记"), "at", "2026-11-02T02:01:02Z");
    let events = [
        says("customer", "02:00:00", "快递呢"),
        says("customer", "02:01:01", "在吗，快递呢"),
        late,
    ];
    let all = facts(&events, &["--policy", "policy.toml"]);
    let turns = of_kind(&all, "turn");
    assert_eq!(turns[0]["rt.first_unanswered.v1"], 59.95);
    assert_eq!((&turns[1]["open"], &turns[1]["rt.human.v1"]), (&json!(true), &Value::Null));
    let signals: Vec<_> = of_kind(&all, "signal").into_iter().map(|s| &s["signal"]).collect();
    assert_eq!(signals, ["sla.frt.warning"]);

    let later = facts(&events, &["--policy", "policy.toml", "--until", "2026-11-02T02:30:00Z"]);
    let signals = of_kind(&later, "signal");
    assert_eq!(signals.last().unwrap()["signal"], "sla.nrt.breach");
    assert_eq!(signals.last().unwrap()["effective"], "2026-11-02T02:02:01Z");
}

#[test]
fn a_breach_is_effective_when_it_was_due_however_late_the_log_is_read() {
    let question = with(says("customer", "10:00:00", "快递呢"), "at", "2026-11-02T10:00:00Z");
    let answer = with(says("agent", "10:05:00", "已经派送"), "at", "2026-11-02T10:10:00Z");
    let facts = facts(&[question, answer], &["--policy", "policy.toml"]);
    let breaches: Vec<_> = of_kind(&facts, "signal")
        .into_iter()
        .filter(|signal| signal["signal"] == "sla.frt.breach")
        .collect();
    assert_eq!(breaches.len(), 1);
    assert_eq!(breaches[0]["effective"], "2026-11-02T10:01:00Z");
    assert_eq!(of_kind(&facts, "turn")[0]["rt.human.v1"], 300);
}

#[test]
fn a_calendar_means_the_same_in_every_format() {
    // 11:59 and 19:00 in Shanghai.
    let events = [
        says("customer", "03:59:00", "快递怎么还没到"),
        says("agent", "05:01:00", "已经在派送了"),
        says("customer", "11:00:00", "那今天能到吗"),
        says("agent", "11:00:30", "可以的"),
    ];
    for file in ["office.yaml", "office.json", "office.toml"] {
        let facts = facts(&events, &["--calendar", file]);
        let turns = of_kind(&facts, "turn");
        assert_eq!(turns[0]["rt.human.v1"], 3720, "{file}");
        assert_eq!(turns[0]["business"]["rt.human.v1"], 120, "{file}");
        assert_eq!(turns[1]["business"]["rt.human.v1"], Value::Null, "{file}");
    }
}

#[test]
fn a_profile_counts_as_its_platform_does() {
    let answered = [says("customer", "02:00:00", "快递呢"), says("agent", "02:10:40", "已经派送")];
    let waiting = [says("customer", "02:00:00", "快递呢")];
    let until = ["--profile", "taobao", "--until", "2026-11-02T02:30:00Z"];
    for events in [&answered[..], &waiting[..]] {
        let facts = facts(events, &until);
        let profiles = of_kind(&facts, "profile");
        assert_eq!(profiles.len(), 1);
        assert_eq!(profiles[0]["art.taobao.v1"], 600.0);
        assert_eq!(profiles[0]["within.taobao_3min.v1"], 0.0);
        assert_eq!(profiles[0]["n"]["art.taobao.v1"], 1);
    }
    let facts = facts(&answered, &["--profile", "douyin"]);
    assert_eq!(of_kind(&facts, "profile")[0]["within.douyin.v1"], Value::Null);
}

#[test]
fn what_was_logged_later_is_not_known_yet() {
    let events = [says("customer", "02:00:00", "快递呢"), says("agent", "02:10:00", "已经派送")];
    let facts = facts(&events, &["--until", "2026-11-02T02:09:59Z"]);
    assert_eq!(of_kind(&facts, "turn")[0]["open"], true);
    assert_eq!(of_kind(&facts, "cycle")[0]["frt.human.v1"], Value::Null);
}

#[test]
fn a_conflicting_duplicate_is_named_and_an_equal_one_is_not() {
    let first = says("customer", "02:00:00", "快递呢");
    let other = with(first.clone(), "text", "发票呢");
    let facts = facts(&[first.clone(), first, other], &[]);
    let refused = of_kind(&facts, "refused");
    assert_eq!(
        refused,
        [&json!({"kind": "refused", "line": 3, "reason": "conflicting_duplicate"})]
    );
}

#[test]
fn mistakes_are_told_with_place_and_remedy() {
    let good = says("customer", "02:00:00", "快递呢");
    let no_time = json!({"conversation_id": "talk", "type": "message"});
    for (events, arguments, code, expected) in [
        (vec![good.clone(), no_time], vec![], 1, "line 2: at and sent_at are both missing"),
        (vec![with(good.clone(), "at", "10 o'clock")], vec![], 1, "line 1: at:"),
        (vec![good.clone()], vec!["--profile", "ebay"], 64, "taobao"),
        (vec![good.clone()], vec!["--until", "tomorrow"], 64, "2026-11-22T10:01:00Z"),
        (vec![good.clone()], vec!["--calendar", "none.yaml"], 74, "none.yaml"),
        (vec![good.clone()], vec!["--calendar", "policy.toml"], 1, "frt"),
    ] {
        let output = fold(&events, &arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn an_error_in_a_file_of_settings_shows_no_password() {
    let folder = tempfile::tempdir().unwrap();
    let url = "https://hooks.example/services/T0/B0/s3cr3t";
    for (name, text) in [
        ("quote.toml", format!("[escalation]\nurl = \"{url}\nfrt = 1\n")),
        ("twice.toml", format!("url = \"{url}\"\nurl = \"{url}\"\n")),
        ("place.toml", format!("[dialogue.policies.all]\nfrt = \"{url}\"\n")),
        ("quote.json", format!("{{\"url\": \"{url}\", \"frt\": \"{url}}}")),
        ("place.json", format!("{{\"frt\": \"{url}\"}}")),
        ("quote.yaml", format!("frt: 1\nurl: \"{url}\n")),
        ("list.yaml", format!("url: [{url}\nfrt: 1\n")),
        ("twice.yaml", format!("{url}: 1\n{url}: 2\n")),
        ("alias.yaml", format!("url: *{url}\n")),
        ("place.yaml", format!("frt: {url}\n")),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let output = fold(&[], &["--policy", file.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(!said.contains("s3cr3t"), "{said}");
        assert!(said.contains(name), "{said}");
    }
}
