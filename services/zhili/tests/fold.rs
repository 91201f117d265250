//! `zhili fold`: a fixed interface. What the facts mean is tested where they are folded.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/fold/");

fn fold(events: &[Value], arguments: &[&str]) -> Output {
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    fold_bytes(lines.join("\n").as_bytes(), arguments)
}

fn fold_bytes(bytes: &[u8], arguments: &[&str]) -> Output {
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
    // Wrong arguments end it before it has read anything.
    let _ = stdin.write_all(bytes);
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn facts(events: &[Value], arguments: &[&str]) -> Vec<Value> {
    let output = fold(events, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    printed(&output)
}

fn printed(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
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

/// An event as it is on another day of November 2026, both sent and logged.
fn on(day: u8, event: Value) -> Value {
    let time =
        event["at"].as_str().unwrap().replacen("2026-11-02", &format!("2026-11-{day:02}"), 1);
    let id = format!("{day}/{}", event["event_id"].as_str().unwrap());
    with(with(with(event, "at", &time), "sent_at", &time), "event_id", &id)
}

/// Said by the platform in the agent's name.
fn greets(at: &str) -> Value {
    let mut event = says("agent", at, "您好，很高兴为您服务");
    event["author"]["subtype"] = "auto".into();
    event
}

/// Something happens to the conversation at a time of 2026-11-02.
fn happens(kind: &str, at: &str) -> Value {
    let event = with(says("system", at, ""), "type", kind);
    if kind == "status" { with(event, "status", "resolved") } else { event }
}

/// Value of a metric and what is behind it.
fn figure(facts: &[Value], id: &str) -> (Value, Value) {
    let profiles = of_kind(facts, "profile");
    assert_eq!(profiles.len(), 1);
    (profiles[0][id].clone(), profiles[0]["n"][id].clone())
}

#[test]
fn first_replies_are_told_apart_by_who_and_what() {
    let facts = facts(
        &[
            says("customer", "02:00:00", "快递怎么还没到"),
            greets("02:00:01"),
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
fn a_session_with_an_automatic_greeting_alone_is_unanswered() {
    let until = ["--profile", "taobao", "--until", "2026-11-02T03:00:00Z"];
    let question = says("customer", "02:00:00", "快递呢");
    let greeted = facts(&[question.clone(), greets("02:00:01")], &until);
    assert_eq!(figure(&greeted, "art.taobao.v1"), (json!(600.0), json!(1)));

    let bot = says("bot", "02:00:02", "请问您要查询什么");
    let served = facts(&[question.clone(), greets("02:00:01"), bot.clone()], &until);
    assert_eq!(figure(&served, "art.taobao.v1"), (Value::Null, json!(0)));

    let handed_over = facts(&[question, bot, happens("handoff", "02:01:00")], &until);
    assert_eq!(figure(&handed_over, "art.taobao.v1"), (json!(600.0), json!(1)));
}

#[test]
fn the_same_ids_of_two_tenants_are_two_conversations() {
    let of = |tenant: &str, event: Value| with(event, "tenant", tenant);
    let events = [
        of("acme", says("customer", "02:00:00", "快递呢")),
        of("other", says("customer", "02:00:00", "发票呢")),
        of("acme", says("agent", "02:00:10", "已经派送")),
        of("other", says("agent", "02:00:30", "已经开好")),
        of("other", says("customer", "02:01:00", "我要打12315投诉你们")),
        of("acme", says("agent", "02:00:10", "不一样")),
    ];
    let facts = facts(&events, &["--profile", "taobao"]);
    let told: Vec<_> = of_kind(&facts, "turn")
        .into_iter()
        .map(|turn| (turn["tenant"].as_str().unwrap(), turn["rt.human.v1"].as_i64()))
        .collect();
    assert_eq!(told, [("acme", Some(10)), ("other", Some(30)), ("other", None)]);
    assert!(facts.iter().all(|line| line["tenant"].is_string()), "{facts:?}");
    let figures: Vec<_> = of_kind(&facts, "profile")
        .into_iter()
        .map(|profile| (profile["tenant"].as_str().unwrap(), profile["art.taobao.v1"].as_f64()))
        .collect();
    assert_eq!(figures, [("acme", Some(10.0)), ("other", Some(30.0))]);
}

#[test]
fn a_part_that_comes_again_days_later_does_not_replace_what_was_found_out() {
    let question = says("customer", "02:00:00", "快递呢");
    let again = with(question.clone(), "at", "2026-11-05T02:00:00Z");
    let events = [
        question,
        says("agent", "02:00:20", "已经派送"),
        happens("status", "02:05:00"),
        again.clone(),
    ];
    // While what came again is open, and once it is forgotten.
    for until in ["2026-11-05T02:00:00Z", "2026-11-09T02:00:00Z"] {
        let facts = facts(&events, &["--until", until]);
        let turns = of_kind(&facts, "turn");
        assert_eq!(turns.len(), 1);
        assert_eq!((&turns[0]["rt.human.v1"], &turns[0]["open"]), (&json!(20), &json!(false)));
        for kind in ["cycle", "session"] {
            let lines = of_kind(&facts, kind);
            assert_eq!(lines.len(), 1, "{kind}");
            assert_eq!(
                (&lines[0]["open"], &lines[0]["historical"]),
                (&json!(false), &json!(false))
            );
        }
        assert_eq!(of_kind(&facts, "cycle")[0]["resolved"], true);
    }
}

#[test]
fn of_history_that_comes_twice_the_first_stays() {
    let history =
        |event: Value| with(with(event, "mode", "backfill"), "at", "2026-11-05T02:00:00Z");
    let question = says("customer", "02:00:00", "快递呢");
    let events = [
        history(question.clone()),
        history(says("agent", "02:00:20", "已经派送")),
        history(happens("status", "02:05:00")),
        with(history(question), "at", "2026-11-09T02:00:00Z"),
    ];
    let facts = facts(&events, &["--until", "2026-11-09T03:00:00Z"]);
    assert_eq!(of_kind(&facts, "turn")[0]["rt.human.v1"], 20);
    assert_eq!(of_kind(&facts, "cycle")[0]["resolved"], true);
}

#[test]
fn a_turn_belongs_to_its_own_cycle_also_when_their_numbers_start_again() {
    let events = [
        says("customer", "02:00:00", "快递呢"),
        says("agent", "02:00:20", "已经派送"),
        happens("status", "02:05:00"),
        on(6, says("customer", "02:00:00", "发票呢")),
        on(6, says("bot", "02:00:01", "请问您要查询什么")),
        on(6, happens("status", "02:05:00")),
    ];
    let facts = facts(&events, &["--profile", "taobao"]);
    assert_eq!(of_kind(&facts, "turn").len(), 2);
    assert_eq!(figure(&facts, "art.taobao.v1"), (json!(20.0), json!(1)));
}

#[test]
fn a_pause_is_measured_from_the_last_message_of_either_side() {
    let figure_of = |events: &[Value]| {
        let until = ["--profile", "jd", "--until", "2026-11-02T04:00:00Z"];
        figure(&facts(events, &until), "within.jd_30s.v1")
    };
    let begin = [
        says("customer", "02:00:00", "快递呢"),
        says("agent", "02:00:20", "已经派送"),
        says("customer", "02:12:00", "那发票呢"),
        says("agent", "02:12:40", "已经开好"),
    ];
    assert_eq!(figure_of(&begin), (json!(0.5), json!(2)));
    let mut spoken_on = begin.to_vec();
    spoken_on.insert(2, says("agent", "02:05:00", "还有什么可以帮您"));
    assert_eq!(figure_of(&spoken_on), (json!(1.0), json!(1)));
    let mut thanked = begin.to_vec();
    thanked.insert(2, says("customer", "02:02:00", "谢谢"));
    assert_eq!(figure_of(&thanked), (json!(1.0), json!(1)));
}

#[test]
fn a_pause_after_a_run_without_an_answer_is_measured_from_its_last_message() {
    let events = [
        says("customer", "02:00:00", "快递呢"),
        says("customer", "02:08:00", "在吗，快递呢"),
        happens("status", "02:09:00"),
        says("customer", "02:15:00", "快递到底在哪"),
        says("agent", "02:15:10", "已经派送"),
    ];
    let facts = facts(&events, &["--profile", "jd"]);
    assert_eq!(figure(&facts, "within.jd_30s.v1"), (json!(0.0), json!(1)));
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
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0]["line"], 3);
    assert_eq!(refused[0]["reason"], "conflicting_duplicate");
}

#[test]
fn what_ingest_would_not_take_is_listed_and_the_rest_is_folded() {
    let good = says("customer", "02:00:00", "快递呢");
    let mut nobody = says("customer", "02:00:01", "在吗");
    nobody["author"] = json!({"id": "c"});
    let mut chef = says("customer", "02:00:01", "在吗");
    chef["author"]["role"] = "chef".into();
    let lines = [
        good.to_string(),
        with(good.clone(), "sent_at", "2026-11-03T02:00:01Z").to_string(),
        with(good.clone(), "sent_at", "1969-12-31T23:59:59Z").to_string(),
        nobody.to_string(),
        "快递呢".to_owned(),
        "[]".to_owned(),
        chef.to_string(),
        String::new(),
        says("agent", "02:00:10", "已经派送").to_string(),
    ];
    let output = fold_bytes(lines.join("\n").as_bytes(), &[]);
    assert_eq!(output.status.code(), Some(1));
    let printed = printed(&output);
    assert_eq!(of_kind(&printed, "turn")[0]["rt.human.v1"], 10);
    let refused: Vec<_> = of_kind(&printed, "refused")
        .into_iter()
        .map(|line| (line["line"].as_u64().unwrap(), line["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(
        refused,
        [
            (2, "invalid"),
            (3, "invalid"),
            (4, "invalid"),
            (5, "undecodable"),
            (6, "undecodable"),
            (7, "undecodable"),
        ]
    );
    let details: Vec<_> =
        of_kind(&printed, "refused").into_iter().map(|line| line["detail"].to_string()).collect();
    for (detail, expected) in details.iter().zip([
        "sent_at: is more than 24 hours in the future",
        "sent_at: must not be before 1970",
        "author.role",
        "expected value",
        "an event is a JSON object",
        "author.role",
    ]) {
        assert!(detail.contains(expected), "{detail}");
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("line 2: sent_at") && said.contains("5 more lines"), "{said}");
}

#[test]
fn a_line_that_is_no_text_is_listed_and_the_rest_is_folded() {
    let mut bytes = says("customer", "02:00:00", "快递呢").to_string().into_bytes();
    bytes.extend(b"\n{\"text\": \"\xff\"}\n");
    bytes.extend(says("agent", "02:00:10", "已经派送").to_string().into_bytes());
    let output = fold_bytes(&bytes, &[]);
    assert_eq!(output.status.code(), Some(1));
    let printed = printed(&output);
    assert_eq!(of_kind(&printed, "refused")[0]["line"], 2);
    assert_eq!(of_kind(&printed, "turn")[0]["rt.human.v1"], 10);
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let text = format!("\u{feff}{}\r\n", says("customer", "02:00:00", "快递呢"));
    let output = fold_bytes(text.as_bytes(), &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(of_kind(&printed(&output), "turn").len(), 1);
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
