//! Simulated traffic: the contract's events, the same for the same seed, and true to its truth.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest, Sha256};
use zhili_proto::conversation::v1::author::{Role, Subtype};
use zhili_proto::conversation::v1::event::Status;
use zhili_proto::conversation::v1::{Event, EventType};
use zhili_proto::millis;
use zhili_tone::{Engine, Message};

struct Traffic {
    lines: Vec<u8>,
    events: Vec<Event>,
    truth: Vec<Value>,
}

fn simulate(arguments: &str) -> Traffic {
    let folder = tempfile::tempdir().unwrap();
    let truth = folder.path().join("truth.jsonl");
    let output = Command::new(env!("CARGO_BIN_EXE_zhili"))
        .arg("simulate")
        .args(arguments.split_whitespace())
        .arg("--truth")
        .arg(&truth)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = output.stdout;
    let text = std::str::from_utf8(&lines).unwrap();
    let events = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let truth = std::fs::read_to_string(truth).unwrap();
    let truth = truth.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Traffic { lines, events, truth }
}

fn sent(event: &Event) -> i64 {
    millis(event.sent_at.as_ref().unwrap()).unwrap()
}

fn role(event: &Event) -> Role {
    event.author.as_ref().unwrap().role()
}

/// A person speaks to the customer.
fn is_human(event: &Event) -> bool {
    role(event) == Role::Agent
        && event.r#type() == EventType::Message
        && !event.private
        && !is_machine(event)
}

fn is_machine(event: &Event) -> bool {
    let subtype = event.author.as_ref().unwrap().subtype();
    let by_machine = role(event) == Role::Bot || matches!(subtype, Subtype::Auto | Subtype::Ai);
    by_machine && event.r#type() == EventType::Message
}

/// Events of each conversation in order of sending, each once.
fn conversations(events: &[Event]) -> BTreeMap<&str, Vec<&Event>> {
    let mut conversations: BTreeMap<&str, BTreeMap<(i64, &str), &Event>> = BTreeMap::new();
    for event in events {
        let conversation = conversations.entry(&event.conversation_id).or_default();
        conversation.insert((sent(event), &event.event_id), event);
    }
    conversations.into_iter().map(|(id, events)| (id, events.into_values().collect())).collect()
}

fn ids(value: &Value) -> BTreeSet<&str> {
    value.as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect()
}

fn event_ids(value: &Value) -> BTreeSet<&str> {
    value.as_array().unwrap().iter().map(|entry| entry["event_id"].as_str().unwrap()).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_every_machine() {
    let lines = |arguments| Sha256::digest(simulate(arguments).lines);
    let first = lines("--seed 7 --days 2 --rate 50 --tenants 2");
    // Whoever changes what is simulated changes every figure measured with it: on purpose only.
    let start = u64::from_be_bytes(first[..8].try_into().unwrap());
    assert_eq!(format!("{start:016x}"), "5b8b7cf61f9873a7");
    assert_ne!(first, lines("--seed 8 --days 2 --rate 50 --tenants 2"));
}

#[test]
fn a_day_has_its_conversations_in_each_tenant_and_few_of_them_at_night() {
    let traffic = simulate("--seed 1 --days 3 --rate 101 --tenants 2 --start 2026-03-01");
    let mut by_tenant: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for conversation in conversations(&traffic.events).values() {
        by_tenant.entry(&conversation[0].tenant).or_default().push(sent(conversation[0]));
    }
    assert_eq!(by_tenant.keys().copied().collect::<Vec<_>>(), ["default", "tenant-2"]);
    assert_eq!(traffic.truth.len(), 2 * 3 * 101);
    // 2026-03-01T00:00:00+08:00.
    let start = 1_772_294_400_000;
    for starts in by_tenant.values() {
        for day in 0..3 {
            let from = start + day * 86_400_000;
            let begun = starts.iter().filter(|&&at| (from..from + 86_400_000).contains(&at));
            assert_eq!(begun.count(), 101);
        }
        let hour = |at: &&i64| (**at - start).rem_euclid(86_400_000) / 3_600_000;
        let night = starts.iter().filter(|at| hour(at) < 6).count();
        let evening = starts.iter().filter(|at| (18..24).contains(&hour(at))).count();
        assert!(night * 5 < evening, "{night} {evening}");
    }
}

#[test]
fn events_are_within_the_contract_and_name_their_source() {
    let traffic = simulate("--seed 2 --rate 300");
    for event in &traffic.events {
        assert_eq!(event.source, "simulate");
        assert!(!event.event_id.is_empty() && event.event_id.len() <= 128);
        assert!(event.conversation_id.len() <= 128 && event.text.len() <= 16 << 10);
        assert_ne!(event.r#type(), EventType::Unspecified);
        let is_message = matches!(event.r#type(), EventType::Message | EventType::Edit);
        assert_eq!(is_message, !event.text.is_empty(), "{event:?}");
        assert_eq!(event.r#type() == EventType::Status, event.status() != Status::Unspecified);
        assert_eq!(event.r#type() == EventType::Csat, event.csat.is_some());
        let has_target = matches!(event.r#type(), EventType::Edit | EventType::Delete);
        assert_eq!(has_target, !event.target.is_empty());
    }
    let kinds: BTreeSet<&str> =
        traffic.events.iter().map(|event| event.r#type().as_str_name()).collect();
    let expected =
        ["csat", "delete", "edit", "handoff", "join", "message", "status", "typing"].into();
    assert_eq!(kinds, expected);
    let english = traffic.truth.iter().filter(|truth| truth["lang"] == "en").count();
    assert!((300 / 10..300 / 3).contains(&english), "{english} of 300 in English");
}

#[test]
fn duplicates_and_late_events_are_those_of_the_truth() {
    let traffic = simulate("--seed 3 --rate 400 --late 5 --duplicates 4");
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    let mut again: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut latest: BTreeMap<&str, i64> = BTreeMap::new();
    let mut late: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (place, event) in traffic.events.iter().enumerate() {
        let conversation = &*event.conversation_id;
        if let Some(&before) = first.get(&*event.event_id) {
            assert_eq!(event, &traffic.events[before], "a duplicate says the same");
            again.entry(conversation).or_default().push(&event.event_id);
            continue;
        }
        first.insert(&event.event_id, place);
        let latest = latest.entry(conversation).or_insert(i64::MIN);
        if sent(event) < *latest {
            late.entry(conversation).or_default().insert(&event.event_id);
        }
        *latest = sent(event).max(*latest);
    }
    assert!(again.len() > 50 && late.len() > 20, "{} {}", again.len(), late.len());
    for truth in &traffic.truth {
        let id = truth["conversation_id"].as_str().unwrap();
        let again: BTreeSet<&str> = again.remove(id).unwrap_or_default().into_iter().collect();
        assert_eq!(ids(&truth["duplicates"]), again, "{id}");
        assert_eq!(ids(&truth["late"]), late.remove(id).unwrap_or_default(), "{id}");
    }
}

#[test]
fn without_late_events_and_duplicates_all_is_delivered_once_and_in_order() {
    let traffic = simulate("--seed 3 --rate 200 --late 0 --duplicates 0");
    let mut latest: BTreeMap<&str, i64> = BTreeMap::new();
    for event in &traffic.events {
        let before = latest.insert(&event.conversation_id, sent(event));
        assert!(before.is_none_or(|before| before < sent(event)), "{}", event.event_id);
    }
}

/// One care cycle, counted anew from its events.
#[derive(Default)]
struct Cycle<'a> {
    first_customer: Option<i64>,
    handoffs: Vec<i64>,
    open: Vec<&'a Event>,
    /// First and last event of the run, its answer, its messages.
    turns: Vec<(Vec<&'a Event>, Option<&'a Event>)>,
    any: Option<i64>,
    human: Option<(i64, i64)>,
    substantive: Option<i64>,
    reopened: bool,
    end: Option<(i64, bool)>,
}

impl<'a> Cycle<'a> {
    fn start_of_reply(&self, at: i64) -> Option<i64> {
        let handoff = self.handoffs.iter().copied().filter(|handoff| *handoff <= at).max();
        self.first_customer.map(|first| handoff.map_or(first, |handoff| handoff.max(first)))
    }

    fn apply(&mut self, engine: &Engine, event: &'a Event) {
        let at = sent(event);
        let assess =
            |role| engine.assess(&Message { role, text: &event.text, lang: None, context: &[] });
        match event.r#type() {
            EventType::Handoff => self.handoffs.push(at),
            EventType::Message if role(event) == Role::Customer => {
                self.first_customer.get_or_insert(at);
                if assess(zhili_tone::Role::Customer).opens_turn() || !self.open.is_empty() {
                    self.open.push(event);
                }
            }
            EventType::Message if is_machine(event) || is_human(event) => {
                let Some(start) = self.start_of_reply(at) else { return };
                self.any.get_or_insert(at - start);
                if is_human(event) {
                    let (start, _) = *self.human.get_or_insert((start, at - start));
                    if assess(zhili_tone::Role::Agent).is_substantive() {
                        self.substantive.get_or_insert(at - start);
                    }
                    if !self.open.is_empty() {
                        self.turns.push((std::mem::take(&mut self.open), Some(event)));
                    }
                }
            }
            _ => {}
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.turns.push((std::mem::take(&mut self.open), None));
        }
    }

    fn assert_is(&self, truth: &Value, id: &str) {
        assert_eq!(truth["reopened"], self.reopened, "{id}");
        assert_eq!(truth["ended_ms"].as_i64(), self.end.map(|(at, _)| at), "{id}");
        assert_eq!(truth["resolved"], self.end.is_some_and(|(_, resolved)| resolved), "{id}");
        assert_eq!(truth["frt_any_ms"].as_i64(), self.any, "{id}");
        assert_eq!(truth["frt_human_ms"].as_i64(), self.human.map(|(_, time)| time), "{id}");
        assert_eq!(truth["frt_substantive_ms"].as_i64(), self.substantive, "{id}");
        let turns = truth["turns"].as_array().unwrap();
        assert_eq!(turns.len(), self.turns.len(), "{id}");
        for (truth, (run, answer)) in turns.iter().zip(&self.turns) {
            let (first, last) = (run[0], run[run.len() - 1]);
            assert_eq!(truth["first_event_id"], first.event_id);
            assert_eq!(truth["last_event_id"], last.event_id);
            assert_eq!(truth["customer_messages"], run.len());
            let answer_id = answer.map(|answer| answer.event_id.as_str());
            assert_eq!(truth["answer_event_id"].as_str(), answer_id);
            let since = |start: i64| answer.map(|answer| sent(answer) - start);
            assert_eq!(truth["rt_first_unanswered_ms"].as_i64(), since(sent(first)));
            assert_eq!(truth["rt_last_msg_ms"].as_i64(), since(sent(last)));
            let handed_over = answer.and_then(|answer| {
                self.handoffs.iter().copied().filter(|handoff| *handoff <= sent(answer)).max()
            });
            let start = handed_over.unwrap_or(i64::MIN).max(sent(first));
            assert_eq!(truth["rt_human_ms"].as_i64(), since(start));
        }
    }
}

#[test]
fn response_times_of_the_truth_are_those_of_the_events() {
    let traffic = simulate("--seed 5 --days 2 --rate 300");
    let engine = Engine::new().unwrap();
    let conversations = conversations(&traffic.events);
    let (mut turns, mut unanswered, mut reopened) = (0, 0, 0);
    for truth in &traffic.truth {
        let id = truth["conversation_id"].as_str().unwrap();
        let events = &conversations[id];
        assert_eq!(truth["events"], events.len(), "{id}");
        let messages = events.iter().filter(|event| event.r#type() == EventType::Message).count();
        assert_eq!(truth["messages"], messages, "{id}");

        let mut cycles: Vec<Cycle<'_>> = vec![Cycle::default()];
        for event in events {
            if event.status() == Status::Reopened {
                cycles.push(Cycle { reopened: true, ..Cycle::default() });
            }
            let cycle = cycles.last_mut().unwrap();
            if matches!(event.status(), Status::Resolved | Status::Closed) {
                cycle.end = Some((sent(event), event.status() == Status::Resolved));
            }
            cycle.apply(&engine, event);
        }
        let expected = truth["cycles"].as_array().unwrap();
        assert_eq!(expected.len(), cycles.len(), "{id}");
        for (cycle, expected) in cycles.iter_mut().zip(expected) {
            cycle.close();
            cycle.assert_is(expected, id);
            turns += cycle.turns.len();
            unanswered += cycle.turns.iter().filter(|(_, answer)| answer.is_none()).count();
            reopened += usize::from(cycle.reopened);
        }
    }
    assert!(turns > 1_000 && unanswered > 50 && reopened > 5, "{turns} {unanswered} {reopened}");
}

#[test]
fn urgent_forbidden_personal_and_dropped_events_are_those_of_the_truth() {
    let traffic = simulate("--seed 6 --rate 500 --urgent 20 --personal 10");
    let engine = Engine::new().unwrap();
    let conversations = conversations(&traffic.events);
    let (mut urgent, mut forbidden, mut personal) = (0, 0, 0);
    for truth in &traffic.truth {
        let id = truth["conversation_id"].as_str().unwrap();
        let (mut found_urgent, mut found_forbidden) = (BTreeSet::new(), BTreeSet::new());
        let (mut found_personal, mut found_dropped) = (BTreeSet::new(), BTreeSet::new());
        for event in &conversations[id] {
            let event_id = &*event.event_id;
            if event.r#type() == EventType::Typing {
                found_dropped.insert(event_id);
            }
            if event.r#type() != EventType::Message {
                continue;
            }
            if zhili_redact::mask(&event.text).changed() {
                found_personal.insert(event_id);
            }
            let side = match role(event) {
                Role::Customer => zhili_tone::Role::Customer,
                Role::Agent => zhili_tone::Role::Agent,
                _ => continue,
            };
            let assessment =
                engine.assess(&Message { role: side, text: &event.text, lang: None, context: &[] });
            if assessment.complaint.is_some_and(|found| found.label.as_str() == "urgent") {
                found_urgent.insert(event_id);
            }
            if assessment.forbidden {
                found_forbidden.insert(event_id);
            }
        }
        assert_eq!(event_ids(&truth["urgent"]), found_urgent, "{id}");
        assert_eq!(ids(&truth["forbidden"]), found_forbidden, "{id}");
        assert_eq!(event_ids(&truth["personal"]), found_personal, "{id}");
        assert_eq!(ids(&truth["dropped"]), found_dropped, "{id}");
        urgent += found_urgent.len();
        forbidden += found_forbidden.len();
        personal += found_personal.len();
    }
    assert!(urgent > 50 && forbidden > 0 && personal > 50, "{urgent} {forbidden} {personal}");
}

#[test]
fn wrong_arguments_are_misuse_and_a_truth_that_cannot_be_written_is_an_io_failure() {
    for (arguments, code) in [
        ("--start yesterday", 64),
        ("--start 9999-12-30", 64),
        ("--days 0", 64),
        ("--urgent 90", 64),
        ("--truth /nowhere/at/all", 74),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zhili"));
        let output = command.arg("simulate").args(arguments.split(' ')).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments}: {output:?}");
    }
}
