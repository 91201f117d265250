//! The golden vectors of the metric book and its boundary rules, from `tests/vectors/*.json`.

#![allow(clippy::expect_used, reason = "a test that cannot read its vectors has failed")]

mod support;

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use support::{Record, begin, describe, fold_with, in_force, parse, policies};
use zhili_dialogue::{Applied, FactBody, Output, Partition, Policies};

struct Case {
    name: String,
    policies: Policies,
    records: Vec<Record>,
    expect: Map<String, Value>,
}

impl Case {
    fn parse(place: &str, case: &Value) -> Self {
        let records = case["events"].as_array().expect("`events` is a list");
        let name = case["name"].as_str().expect("a case has a name");
        Self {
            name: format!("{place}: {name}"),
            policies: policies(&case["policy"], &case["calendar"]),
            records: records.iter().enumerate().map(|(i, r)| parse(r, i + 1)).collect(),
            expect: case["expect"].as_object().expect("`expect` is an object").clone(),
        }
    }
}

/// The examples of the metric book.
fn examples() -> Vec<Case> {
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let text = fs::read_to_string(book).expect("the metric book is readable");
    let blocks = text.split("```json\n").skip(1).map(|rest| rest.split("```").next());
    let cases = blocks.flatten().map(|block| {
        let case = serde_json::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"));
        Case::parse("metric book", &case)
    });
    cases.collect()
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the vectors are beside the test")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a readable file");
        let value: Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let stem = file.file_stem().expect("a file has a name").display().to_string();
        let all = value["cases"].as_array().expect("`cases` is a list");
        cases.extend(all.iter().map(|case| Case::parse(&stem, case)));
    }
    let examples = examples();
    assert!(examples.len() > 10, "the metric book has lost its examples");
    cases.extend(examples);
    assert!(cases.len() > 90, "the vectors were not found");
    cases
}

/// What differs between the expected objects and what was stated; only expected fields count.
fn differences(what: &str, expected: &Value, found: &[Map<String, Value>]) -> Vec<String> {
    let expected = expected.as_array().expect("expectations are lists");
    if expected.len() != found.len() {
        return vec![format!("expected {} {what}, found {found:#?}", expected.len())];
    }
    let mut differences = Vec::new();
    for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
        for (field, expected) in expected.as_object().expect("an object") {
            let found = found.get(field).unwrap_or_else(|| panic!("no field {field} in {what}"));
            let is_equal = match (expected.as_f64(), found.as_f64()) {
                (Some(expected), Some(found)) => (expected - found).abs() < 1e-9,
                _ => expected == found,
            };
            if !is_equal {
                let number = index + 1;
                differences.push(format!("{what} {number}: {field} is {found}, not {expected}"));
            }
        }
    }
    differences
}

fn check(case: &Case) -> Vec<String> {
    let mut partition = begin(case.policies.clone());
    let mut outputs = Vec::new();
    let mut applied = Vec::new();
    for record in &case.records {
        applied.extend(record.fold(&mut partition, &mut outputs).map(|applied| match applied {
            Applied::Accepted { historical: false } => "accepted",
            Applied::Accepted { historical: true } => "historical",
            Applied::Duplicate => "duplicate",
            Applied::Conflict => "conflict",
        }));
    }
    let facts = in_force(&outputs);
    let mut turns = Vec::new();
    let mut cycles = Vec::new();
    let mut corrections = Vec::new();
    let (mut sessions, mut slots, mut promises) = (Vec::new(), Vec::new(), Vec::new());
    for fact in facts.values() {
        match fact.body {
            FactBody::Turn(_) => turns.push(describe(fact)),
            FactBody::Cycle(_) => cycles.push(describe(fact)),
            FactBody::Correction(_) => corrections.push(describe(fact)),
            FactBody::Recontact(_) => {}
            FactBody::Session(_) => sessions.push(describe(fact)),
            FactBody::Slot(_) => slots.push(describe(fact)),
            FactBody::Promise(_) => promises.push(describe(fact)),
        }
    }
    let number = |fact: &Map<String, Value>, field: &str| fact[field].as_f64().unwrap_or(0.0);
    let by_start = |a: &Map<String, Value>, b: &Map<String, Value>| {
        number(a, "started").total_cmp(&number(b, "started"))
    };
    cycles.sort_by(by_start);
    turns.sort_by(by_start);
    sessions.sort_by(by_start);
    let by_due = |a: &Map<String, Value>, b: &Map<String, Value>| {
        number(a, "due").total_cmp(&number(b, "due"))
    };
    slots.sort_by(by_due);
    promises.sort_by(by_due);
    let signals: Vec<_> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Signal(signal) => match serde_json::to_value(signal) {
                Ok(Value::Object(mut fields)) => {
                    fields.insert("effective".into(), json!(signal.effective_ms as f64 / 1000.0));
                    Some(fields)
                }
                _ => panic!("a signal is an object"),
            },
            Output::Fact(_) | Output::Complaint(_) | Output::Presence(_) => None,
        })
        .collect();

    let mut problems = Vec::new();
    for (key, expected) in &case.expect {
        match key.as_str() {
            "turns" => problems.extend(differences("turn", expected, &turns)),
            "cycles" => problems.extend(differences("cycle", expected, &cycles)),
            "sessions" => problems.extend(differences("session", expected, &sessions)),
            "slots" => problems.extend(differences("slot", expected, &slots)),
            "promises" => problems.extend(differences("promise", expected, &promises)),
            "corrections" => problems.extend(differences("correction", expected, &corrections)),
            "signals" => problems.extend(differences("signal", expected, &signals)),
            "applied" if *expected != json!(applied) => {
                problems.push(format!("events were {applied:?}, not {expected}"));
            }
            "in_memory" if expected.as_u64() != Some(partition.conversations() as u64) => {
                let found = partition.conversations();
                problems.push(format!("{found} conversations in memory, not {expected}"));
            }
            "applied" | "in_memory" => {}
            other => panic!("unknown expectation {other}"),
        }
    }
    problems
}

#[test]
fn every_vector_holds() {
    let failures: Vec<_> = cases()
        .iter()
        .flat_map(|case| check(case).into_iter().map(|problem| (case.name.clone(), problem)))
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn every_vector_holds_from_a_snapshot_at_every_record() {
    for case in cases() {
        let (expected, mut end) = fold_with(&case.records, case.policies.clone());
        let mut partition = begin(case.policies.clone());
        let mut outputs = Vec::new();
        for record in &case.records {
            partition = Partition::restore(&partition.snapshot()).expect("our own snapshot");
            record.fold(&mut partition, &mut outputs);
        }
        assert_eq!(outputs, expected, "{}", case.name);
        assert_eq!(partition.hash(), end.hash(), "{}", case.name);
    }
}

#[test]
fn every_vector_holds_when_every_record_comes_twice() {
    for case in cases() {
        let (expected, mut end) = fold_with(&case.records, case.policies.clone());
        let twice: Vec<_> = case.records.iter().flat_map(|r| [r.clone(), r.clone()]).collect();
        let (outputs, mut partition) = fold_with(&twice, case.policies.clone());
        assert_eq!(outputs, expected, "{}", case.name);
        assert_eq!(partition.hash(), end.hash(), "{}", case.name);
    }
}
