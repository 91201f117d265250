//! The project's sample conversations (`tests/samples`), each message judged alone as
//! the scoring service does, against what a careful person would insist on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use serde_json::Value;
use zhili_tone::{Assessment, Engine, Message, Role};

/// Expectations that the engine does not meet yet: `id#turn`, the question, the reason.
/// A line whose expectation is met fails the test too, so that the list only shrinks.
const OPEN: &str = include_str!("samples_open.tsv");

/// One message of a sample with its assessment.
struct Judged<'c> {
    turn: usize,
    text: &'c str,
    role: Role,
    assessment: Assessment,
}

fn conversations() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/samples");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    paths.sort();
    paths
        .iter()
        .flat_map(|path| {
            let content = std::fs::read_to_string(path).unwrap();
            content.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
        })
        .collect()
}

/// Messages of customers and of agents, notes among agents aside.
fn judge<'c>(engine: &Engine, conversation: &'c Value) -> Vec<Judged<'c>> {
    let turns = conversation["turns"].as_array().unwrap();
    let mut judged = Vec::new();
    for (turn, event) in turns.iter().enumerate() {
        let Some(role) = event["role"].as_str().and_then(Role::from_name) else {
            continue;
        };
        let text = event["text"].as_str().unwrap_or_default();
        let kind = event["type"].as_str().unwrap_or("message");
        if text.is_empty() || !matches!(kind, "message" | "edit") || event["private"] == true {
            continue;
        }
        let assessment = engine.assess(&Message { role, text, lang: None, context: &[] });
        judged.push(Judged { turn, text, role, assessment });
    }
    judged
}

fn turns(expected: &Value) -> BTreeSet<usize> {
    let number = |value: &Value| value.as_u64().and_then(|turn| usize::try_from(turn).ok());
    expected.as_array().into_iter().flatten().filter_map(number).collect()
}

/// Compares one conversation; `says` is called with the turn, the question, and whether
/// the answer is the expected one.
fn compare(
    conversation: &Value,
    judged: &[Judged<'_>],
    mut says: impl FnMut(&Judged<'_>, &str, bool),
) {
    let expect = &conversation["expect"];
    let urgent = expect["urgent"].as_array();
    let forbidden = expect["forbidden"].as_array().map(|_| turns(&expect["forbidden"]));
    for one in judged {
        let complaint = one.assessment.complaint;
        let is_urgent = complaint.is_some_and(|complaint| complaint.label.as_str() == "urgent");
        if let (Role::Customer, Some(urgent)) = (one.role, urgent) {
            let wanted = urgent.iter().find(|signal| signal["turn"] == one.turn);
            if let Some(signal) = wanted {
                says(one, "urgent", is_urgent);
                let category = complaint
                    .and_then(|complaint| complaint.category)
                    .map_or("none", |one| one.as_str());
                says(one, "category", signal["category"] == category);
            } else if urgent.is_empty() {
                says(one, "not urgent", !is_urgent);
            }
        }
        if let (Role::Agent, Some(forbidden)) = (one.role, &forbidden) {
            if forbidden.contains(&one.turn) {
                says(one, "forbidden", one.assessment.forbidden);
            } else {
                says(one, "not forbidden", !one.assessment.forbidden);
            }
        }
        let politeness = one.assessment.politeness.map(|one| one.label.as_str());
        let sentiment = one.assessment.sentiment.map(|one| one.label.as_str());
        for (question, said, wanted) in [
            ("impolite", politeness, "impolite"),
            ("polite", politeness, "polite"),
            ("negative", sentiment, "neg"),
            ("positive", sentiment, "pos"),
        ] {
            if turns(&expect[question]).contains(&one.turn) {
                says(one, question, said == Some(wanted));
            }
        }
    }
}

#[test]
fn every_message_of_the_samples_is_read_as_a_careful_person_would() {
    let engine = Engine::new().unwrap();
    let open: BTreeSet<String> = OPEN
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once('\t').unwrap().0.to_owned())
        .collect();
    let strict = ["urgent", "category", "not urgent", "forbidden", "not forbidden", "positive"];
    let excused = open
        .iter()
        .filter(|key| key.split_once('\t').is_some_and(|(_, question)| strict.contains(&question)));
    assert_eq!(excused.count(), 0, "alarms and forbidden wording have no exceptions");
    let mut asked = 0;
    let mut wrong = String::new();
    let mut failures = 0;
    let mut met = open.clone();
    let mut tally = std::collections::BTreeMap::<String, (usize, usize)>::new();
    for conversation in conversations() {
        let id = conversation["id"].as_str().unwrap();
        compare(&conversation, &judge(&engine, &conversation), |one, question, right| {
            asked += 1;
            let count = tally.entry(question.to_owned()).or_default();
            count.0 += 1;
            count.1 += usize::from(right);
            let place = format!("{id}#{}", one.turn);
            if right {
                return;
            }
            let key = format!("{place}\t{question}");
            if open.contains(&key) {
                met.remove(&key);
                return;
            }
            failures += 1;
            let reasons: Vec<String> = one
                .assessment
                .evidence
                .iter()
                .map(|evidence| format!("{}:{}:{}", evidence.class, evidence.rule, evidence.points))
                .collect();
            let _ = writeln!(wrong, "{question}\t{place}\t{}\t[{}]", one.text, reasons.join(", "));
        });
    }
    for (question, (all, right)) in &tally {
        eprintln!("{question}: {right} of {all}");
    }
    assert!(asked > 2000, "the samples ask {asked} questions");
    assert!(wrong.is_empty(), "{failures} of {asked}:\n{wrong}");
    assert!(met.is_empty(), "met, and to be struck from the list: {met:?}");
}
