//! The truth of simulated traffic is what the fold of conversations states, with late events and
//! duplicates in the way.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;
use zhili_dialogue::{Config, FactBody, Output, Partition};
use zhili_proto::conversation::v1::Event;
use zhili_proto::millis;
use zhili_scoring::Assessor;

const DAY_MS: i64 = 86_400_000;

/// The facts in force when everything was delivered and every timer fired, by conversation.
fn fold(events: &[Event]) -> BTreeMap<String, Vec<FactBody>> {
    let assessor = Assessor::new().unwrap();
    let mut partition = Partition::new(Config::default());
    let mut stated = Vec::new();
    let mut log_ms = i64::MIN;
    for event in events {
        // What was delivered was sent: the log is never behind the latest event.
        log_ms = log_ms.max(millis(event.sent_at.as_ref().unwrap()).unwrap());
        assessor.fold(&mut partition, log_ms, event, &mut stated);
    }
    partition.advance(log_ms + 3 * DAY_MS, &mut stated);

    let mut latest = BTreeMap::new();
    for output in stated {
        if let Output::Fact(fact) = output {
            latest.insert(fact.fact_id.clone(), fact);
        }
    }
    let mut facts: BTreeMap<String, Vec<FactBody>> = BTreeMap::new();
    for fact in latest.into_values() {
        facts.entry(fact.conversation_id).or_default().push(fact.body);
    }
    facts
}

#[test]
fn the_fold_states_the_truth_whatever_is_late_or_comes_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("truth.jsonl");
    let output = Command::new(env!("CARGO_BIN_EXE_zhili"))
        .args("simulate --seed 9 --days 2 --rate 600 --late 8 --duplicates 5".split(' '))
        .arg("--truth")
        .arg(&path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let events: Vec<Event> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let facts = fold(&events);

    let (mut turns, mut late) = (0, 0);
    for truth in std::fs::read_to_string(path).unwrap().lines() {
        let truth: Value = serde_json::from_str(truth).unwrap();
        let id = truth["conversation_id"].as_str().unwrap();
        late += truth["late"].as_array().unwrap().len();
        let mut stated_turns = BTreeMap::new();
        let mut stated_cycles = BTreeMap::new();
        for fact in facts.get(id).into_iter().flatten() {
            match fact {
                FactBody::Turn(turn) => {
                    let times = (
                        turn.rt_first_unanswered_ms,
                        turn.rt_last_msg_ms,
                        turn.rt_human_ms,
                        turn.customer_messages,
                    );
                    stated_turns.insert(turn.first_event_id.clone(), times);
                }
                FactBody::Cycle(cycle) => {
                    let times = (cycle.frt_any_ms, cycle.frt_human_ms, cycle.frt_substantive_ms);
                    stated_cycles.insert(cycle.started_ms, times);
                }
                _ => {}
            }
        }
        let mut true_turns = BTreeMap::new();
        let mut true_cycles = BTreeMap::new();
        for cycle in truth["cycles"].as_array().unwrap() {
            let time = |field: &str| cycle[field].as_i64();
            let times = (time("frt_any_ms"), time("frt_human_ms"), time("frt_substantive_ms"));
            let unended = cycle["ended_ms"].is_null();
            // A cycle that nobody ended is stated once it has a first reply or falls idle.
            let is_stated = !unended || times.0.is_some();
            if is_stated {
                true_cycles.insert(time("started_ms").unwrap(), times);
            }
            for turn in cycle["turns"].as_array().unwrap() {
                let time = |field: &str| turn[field].as_i64();
                if unended && turn["answer_event_id"].is_null() {
                    // It waits for its answer for ever.
                    continue;
                }
                let times = (
                    time("rt_first_unanswered_ms"),
                    time("rt_last_msg_ms"),
                    time("rt_human_ms"),
                    turn["customer_messages"].as_u64().unwrap() as u32,
                );
                true_turns.insert(turn["first_event_id"].as_str().unwrap().to_owned(), times);
            }
        }
        assert_eq!(stated_turns, true_turns, "{id}");
        assert_eq!(stated_cycles, true_cycles, "{id}");
        turns += true_turns.len();
    }
    assert!(turns > 2_000 && late > 100, "{turns} {late}");
}
