//! The fixed interface of `zhili score --format jsonl`, and what people see.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use serde_json::{Value, json};

const CASES: &str = include_str!("data/score.jsonl");

struct Case {
    name: String,
    line: String,
    expect: Value,
}

fn cases() -> Vec<Case> {
    let read = |line| {
        let case: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| case[field].as_str().unwrap().to_owned();
        Case { name: text("case"), line: text("line"), expect: case["expect"].clone() }
    };
    CASES.lines().map(read).collect()
}

fn zhili(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zhili"));
    command.args(arguments).env_remove("NO_COLOR");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn score(input: impl AsRef<[u8]>) -> Output {
    give(&["score", "--format", "jsonl"], input)
}

fn give(arguments: &[&str], input: impl AsRef<[u8]>) -> Output {
    let mut child = zhili(arguments).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.as_ref().to_vec();
    let writer = thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    output
}

fn answers(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn one(line: impl AsRef<[u8]>) -> (Value, Option<i32>) {
    let output = score(line);
    let mut answers = answers(&output);
    assert_eq!(answers.len(), 1, "{answers:?}");
    (answers.remove(0), output.status.code())
}

/// Every field of `expect` is in `value`; lists are equal.
fn assert_holds(name: &str, value: &Value, expect: &Value) {
    match expect {
        Value::Object(fields) => {
            for (field, expect) in fields {
                let inner = value.get(field);
                let inner = inner.unwrap_or_else(|| panic!("{name}: no {field} in {value}"));
                assert_holds(name, inner, expect);
            }
        }
        _ => assert_eq!(value, expect, "{name}"),
    }
}

#[test]
fn every_case_is_answered_in_its_place() {
    let cases = cases();
    let input: Vec<&str> = cases.iter().map(|case| case.line.as_str()).collect();
    let output = score(input.join("\n"));
    let answers = answers(&output);
    assert_eq!(answers.len(), cases.len());
    for (case, answer) in cases.iter().zip(&answers) {
        assert_holds(&case.name, answer, &case.expect);
    }
    let bad = cases.iter().filter(|case| case.expect.get("error").is_some()).count();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!("zhili: {bad} of {} lines have no score\n", cases.len())
    );
}

#[test]
fn an_answer_has_the_fields_of_the_interface_and_no_others() {
    let cases = cases();
    let good: Vec<&Case> = cases.iter().filter(|case| case.expect.get("error").is_none()).collect();
    let input: Vec<&str> = good.iter().map(|case| case.line.as_str()).collect();
    let output = score(input.join("\n"));
    assert_eq!(output.status.code(), Some(0));
    let keys = |value: &Value| {
        let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys.join(" ")
    };
    let of = |value: &Value, field: &str| (!value[field].is_null()).then(|| keys(&value[field]));
    for (case, answer) in good.iter().zip(answers(&output)) {
        let customer = answer["politeness"].is_null();
        let mut known: Vec<&str> =
            "complaint evidence forbidden id lang politeness satisfaction sentiment"
                .split(' ')
                .collect();
        if case.expect.get("text").is_some() {
            known.push("text");
        }
        // Left out where there is none, and each of its own side.
        let side = if customer { "topic" } else { "promises" };
        known.extend([side, "question"].iter().filter(|field| answer.get(field).is_some()));
        known.sort_unstable();
        assert_eq!(keys(&answer), known.join(" "), "{}", case.name);
        let expected = |names: &str, present: bool| present.then(|| names.to_owned());
        assert_eq!(of(&answer, "politeness"), expected("label score", !customer));
        assert_eq!(of(&answer, "sentiment"), expected("confidence label value", customer));
        assert_eq!(of(&answer, "complaint"), expected("category label probability", customer));
        assert_eq!(of(&answer, "satisfaction"), expected("label", customer));
        for evidence in answer["evidence"].as_array().unwrap() {
            assert_eq!(keys(evidence), "class end points rule start");
        }
    }
}

#[test]
fn a_promise_a_question_and_a_topic_are_told() {
    let (answer, _) =
        one(json!({"id": 1, "role": "agent", "text": "我们会在24小时内给您回电"}).to_string());
    assert_eq!(
        answer["promises"],
        json!([{"kind": "callback", "start": 4, "end": 13, "due": {"within_ms": 86_400_000}}])
    );
    let text = "We will get back to you by 6 pm tomorrow. Did the parcel arrive?";
    let (answer, _) = one(json!({"id": 1, "role": "agent", "text": text}).to_string());
    assert_eq!(answer["promises"][0]["due"], json!({"day": {"days": 1, "minute": 1080}}));
    assert_eq!(answer["question"], "closed");
    let (answer, _) = one(json!({"id": 1, "role": "customer", "text": "什么时候发货"}).to_string());
    assert_eq!((&answer["question"], &answer["topic"]), (&json!("open"), &json!("logistics")));
}

#[test]
fn evidence_points_into_the_masked_text() {
    let line = json!({"id": 1, "role": "agent", "text": "😀电话16800001234已登记，请您稍等"});
    let (answer, _) = one(line.to_string());
    let text: Vec<char> = answer["text"].as_str().unwrap().chars().collect();
    let quotes: Vec<String> = answer["evidence"]
        .as_array()
        .unwrap()
        .iter()
        .map(|evidence| {
            let at = |field: &str| evidence[field].as_u64().unwrap() as usize;
            text[at("start")..at("end")].iter().collect()
        })
        .collect();
    assert!(quotes.iter().any(|quote| quote.contains('请') || quote.contains('您')), "{quotes:?}");
    assert!(quotes.iter().all(|quote| !quote.contains("PHONE")), "{quotes:?}");
}

#[test]
fn the_points_of_an_agent_sum_to_the_score() {
    let line = json!({"id": 1, "role": "agent", "text": "您好，请稍等，抱歉，你自己看不懂吗"});
    let (answer, _) = one(line.to_string());
    let evidence = answer["evidence"].as_array().unwrap();
    assert!(!evidence.is_empty());
    let sum: f64 = evidence.iter().map(|evidence| evidence["points"].as_f64().unwrap()).sum();
    assert!((55.0 + sum - answer["politeness"]["score"].as_f64().unwrap()).abs() < 1e-9);
}

#[test]
fn an_id_is_echoed_as_it_was_written() {
    let output = score(r#"{"id":123456789012345678901234567890,"role":"agent","text":""}"#);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with(r#"{"id":123456789012345678901234567890,"#), "{text}");
}

#[test]
fn a_text_of_16_kib_is_scored_and_one_byte_more_is_refused() {
    let line = |length: usize| json!({"id": 1, "role": "agent", "text": "a".repeat(length)});
    assert_eq!(one(line(16 << 10).to_string()).1, Some(0));
    let (answer, code) = one(line((16 << 10) + 1).to_string());
    assert_eq!((&answer["id"], &answer["error"]["field"]), (&json!(1), &json!("text")));
    assert_eq!(code, Some(1));
}

#[test]
fn a_context_line_is_bounded_like_a_text() {
    let context = [format!("C:{}", "a".repeat(16 << 10))];
    let line = json!({"id": 1, "role": "customer", "text": "a", "context": context});
    assert_eq!(one(line.to_string()).0["error"]["field"], "context");
}

#[test]
fn lines_longer_than_memory_should_hold_are_refused_and_the_next_is_scored() {
    let long = |length| json!({"id": "long", "role": "agent", "text": "好".repeat(length)});
    let next = json!({"id": "next", "role": "agent", "text": "好的"});
    for length in [400_000, 1_500_000] {
        let output = score(format!("{}\n{next}\n", long(length)));
        let answers = answers(&output);
        assert_eq!(answers.len(), 2);
        assert_holds("long", &answers[0], &json!({"id": "long", "error": {"field": "text"}}));
        assert_eq!(answers[1]["id"], "next");
    }
}

#[test]
fn bytes_that_are_no_utf8_are_refused_with_their_field() {
    let mut line = br#"{"role":"agent","text":"a"#.to_vec();
    line.extend_from_slice(b"\xff\",\"id\":\"x\"}");
    let (answer, code) = one(line);
    assert_holds("field", &answer, &json!({"id": "x", "error": {"field": "text"}}));
    assert_eq!(code, Some(1));

    let (answer, _) = one(b"{\"id\":\"\xff\",\"role\":\"agent\",\"text\":\"\"}");
    assert_holds("id", &answer, &json!({"id": null, "error": {"field": "id"}}));
}

#[test]
fn blank_lines_and_a_byte_order_mark_are_skipped() {
    let line = json!({"id": 1, "role": "agent", "text": "好的"});
    let output = score(format!("\u{feff}{line}\r\n\r\n  \n\n{line}"));
    assert_eq!(answers(&output).len(), 2);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn nothing_in_gives_nothing_out() {
    let output = score("");
    assert_eq!((output.stdout.len(), output.status.code()), (0, Some(0)));
}

#[test]
fn many_lines_keep_their_order() {
    let line = |id: usize| {
        // Of different lengths, so that chunks take different times.
        let text = "请问订单什么时候发货？太慢了！".repeat(id % 40);
        json!({"id": id, "role": "customer", "text": text}).to_string() + "\n"
    };
    let input: String = (0..4_000).map(line).collect();
    let answers = answers(&score(input));
    assert!(answers.iter().map(|answer| answer["id"].as_u64().unwrap()).eq(0..4_000));
}

fn jsonl() -> Child {
    zhili(&["score", "--format", "jsonl"]).spawn().unwrap()
}

#[test]
fn a_line_is_answered_before_the_next_one_is_written() {
    let mut child = jsonl();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for id in 0..3 {
        writeln!(stdin, "{}", json!({"id": id, "role": "agent", "text": "好的"})).unwrap();
        let mut answer = String::new();
        stdout.read_line(&mut answer).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["id"], id);
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_that_goes_away_ends_the_work_quietly() {
    let mut child = jsonl();
    let mut stdin = child.stdin.take().unwrap();
    drop(child.stdout.take());
    let line = json!({"id": 1, "role": "nobody", "text": "好的"}).to_string() + "\n";
    // The process may be gone before everything is written: that is the point.
    let _ = stdin.write_all(line.repeat(50_000).as_bytes());
    drop(stdin);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((said.as_str(), child.wait().unwrap().code()), ("", Some(0)));
}

#[test]
fn a_person_sees_reasons_that_sum_to_the_score() {
    let output = give(&["score", "您好，请稍等", "--role", "agent"], "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(!text.contains('\u{1b}'), "{text}");
    let figures: Vec<f64> = text
        .lines()
        .skip_while(|line| *line != "politeness")
        .skip(1)
        .map(|line| line.split_whitespace().next().unwrap().parse().unwrap())
        .collect();
    let (score, contributions) = figures.split_last().unwrap();
    assert!(contributions.len() > 1, "{text}");
    assert!((contributions.iter().sum::<f64>() - score).abs() < 1e-9, "{text}");
}

#[test]
fn colours_are_there_when_asked_for_and_text_commands_no_terminal() {
    let output = give(&["score", "太差劲了\u{1b}[2J", "--color", "always"], "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\u{1b}[31m"), "{text:?}");
    assert!(!text.contains("\u{1b}[2J"), "{text:?}");
}

#[test]
fn standard_input_gives_one_message_a_line() {
    let output = give(&["score", "--role", "agent", "--json"], "您好\n\n电话16800001234\n");
    let answers = answers(&output);
    assert_eq!(answers.len(), 2);
    assert_eq!((&answers[0]["id"], &answers[1]["id"]), (&json!(1), &json!(2)));
    assert_eq!(answers[1]["text"], "电话[PHONE]");
    assert!(answers.iter().all(|answer| answer["sentiment"].is_null()));
}

#[test]
fn arguments_that_do_not_go_together_are_misuse() {
    for arguments in [
        &["score", "好", "--format", "jsonl"][..],
        &["score", "--role", "agent", "--format", "jsonl"],
        &["score", "好", "--role", "bot"],
        &["score", "好", "--context", "好"],
        &["score", "--json", "--format", "text", "好"],
    ] {
        assert_eq!(give(arguments, "").status.code(), Some(64), "{arguments:?}");
    }
}

#[test]
fn phrases_of_ones_own_count_and_a_bad_line_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.txt");
    let file = path.to_str().unwrap();
    let told = || give(&["score", "--phrases", file, "--role", "agent", "自行百度吧"], "");
    std::fs::write(&path, "[dismissive] politeness=-34 forbidden\n自行百度\n").unwrap();
    let output = told();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("forbidden"));
    std::fs::write(&path, "[dismissive] politeness=-34\n{自行|百度\n").unwrap();
    let output = told();
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("mine.txt, line 2: "), "{message}");
}
