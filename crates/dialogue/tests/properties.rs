//! What holds for every log.

#![allow(clippy::expect_used, reason = "a snapshot of ours that cannot be read is a failure")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;
use support::random::{busy_log, in_order, log};
use support::{Record, What, Who, begin, demanding, fold, in_force, policies};
use zhili_dialogue::{Applied, Config, FactBody, Marks, Output, Partition, SignalKind};

const HORIZON_MS: i64 = 24 * 3_600_000;

/// Lets all timers of a log fire.
fn drain(partition: &mut Partition, out: &mut Vec<Output>) {
    while let Some(due_ms) = partition.next_due() {
        partition.advance(due_ms, out);
    }
}

fn tenant_of(output: &Output) -> &str {
    match output {
        Output::Fact(it) => &it.tenant,
        Output::Signal(it) => &it.tenant,
        Output::Complaint(it) => &it.tenant,
        Output::Presence(it) => &it.tenant,
    }
}

fn conversation_of(output: &Output) -> &str {
    match output {
        Output::Fact(it) => &it.conversation_id,
        Output::Signal(it) => &it.conversation_id,
        Output::Complaint(it) => &it.conversation_id,
        Output::Presence(it) => &it.conversation_id,
    }
}

/// Whether a customer message of a log in order was neither answered by a person nor followed by
/// the end of its cycle.
fn is_waiting(records: &[Record]) -> bool {
    records.iter().fold(false, |waits, record| match (record.what, record.who) {
        (What::Message, Who::Customer) => waits || !record.marks.thanks_or_farewell_only,
        (What::Message, Who::Agent | Who::Assist | Who::Template)
        | (What::Resolved | What::Closed, _) => false,
        _ => waits,
    })
}

fn times(output: &Output) -> Vec<i64> {
    match output {
        Output::Fact(fact) => match &fact.body {
            FactBody::Turn(turn) => {
                let business = turn.business;
                [
                    turn.rt_first_unanswered_ms,
                    turn.rt_last_msg_ms,
                    turn.rt_human_ms,
                    business.rt_first_unanswered_ms,
                    business.rt_last_msg_ms,
                    business.rt_human_ms,
                ]
                .into_iter()
                .flatten()
                .collect()
            }
            FactBody::Cycle(cycle) => [
                cycle.frt_any_ms,
                cycle.frt_human_ms,
                cycle.frt_substantive_ms,
                cycle.frt_join_ms,
                cycle.business.frt_any_ms,
                cycle.business.frt_human_ms,
                cycle.business.frt_substantive_ms,
                Some(cycle.silences.agent_ms),
                Some(cycle.silences.customer_ms),
                cycle.ended_ms.map(|ended_ms| ended_ms - cycle.started_ms),
            ]
            .into_iter()
            .flatten()
            .collect(),
            FactBody::Promise(promise) => {
                vec![
                    promise.due_ms - promise.made_ms,
                    promise.settled_ms.map_or(0, |ms| ms - promise.made_ms),
                ]
            }
            FactBody::Session(_)
            | FactBody::Slot(_)
            | FactBody::Recontact(_)
            | FactBody::Correction(_) => Vec::new(),
        },
        Output::Signal(_) | Output::Complaint(_) | Output::Presence(_) => Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_restart_from_any_snapshot_gives_the_same_outputs(
        records in log(),
        stops in proptest::collection::vec(any::<bool>(), 60),
    ) {
        let (expected, mut end) = fold(&records);
        let mut partition = begin(demanding());
        let mut outputs = Vec::new();
        for (record, stop) in records.iter().zip(stops) {
            if stop {
                let bytes = partition.snapshot();
                partition = Partition::restore(&bytes).expect("our own snapshot");
                prop_assert_eq!(partition.snapshot(), bytes);
            }
            record.fold(&mut partition, &mut outputs);
        }
        prop_assert_eq!(&outputs, &expected);
        prop_assert_eq!(partition.hash(), end.hash());

        let (mut rest, mut expected_rest) = (Vec::new(), Vec::new());
        drain(&mut partition, &mut rest);
        drain(&mut end, &mut expected_rest);
        prop_assert_eq!(rest, expected_rest);
        prop_assert_eq!(partition.hash(), end.hash());
    }

    #[test]
    fn a_conversation_that_is_forgotten_leaves_no_trace_and_changes_no_other(
        records in log(),
        stop in 0_usize..60,
    ) {
        let gone = |tenant: &str, name: &str| tenant == "acme" && name == "talk-1";
        let of_others = |outputs: Vec<Output>| -> BTreeMap<String, Vec<Output>> {
            let mut of: BTreeMap<String, Vec<Output>> = BTreeMap::new();
            for output in outputs {
                if !gone(tenant_of(&output), conversation_of(&output)) {
                    let whose = format!("{}/{}", tenant_of(&output), conversation_of(&output));
                    of.entry(whose).or_default().push(output);
                }
            }
            of
        };
        let (mut expected, mut whole) = fold(&records);
        drain(&mut whole, &mut expected);
        let mut partition = begin(demanding());
        let mut outputs = Vec::new();
        let stop = stop.min(records.len());
        for record in &records[..stop] {
            record.fold(&mut partition, &mut outputs);
        }
        partition.erase(gone);
        let bytes = String::from_utf8_lossy(&partition.snapshot()).into_owned();
        prop_assert!(!bytes.contains("talk-1") || records.iter().any(|r| r.tenant != "acme"));
        let told = outputs.len();
        for record in &records[stop..] {
            if !gone(&record.tenant, &record.conversation) {
                record.fold(&mut partition, &mut outputs);
            }
        }
        drain(&mut partition, &mut outputs);
        prop_assert!(outputs[told..].iter().all(|it| !gone(tenant_of(it), conversation_of(it))));
        prop_assert_eq!(of_others(outputs), of_others(expected));
    }

    #[test]
    fn settings_may_change_at_any_record_and_survive_a_restart(
        records in log(),
        changes in proptest::collection::vec(proptest::option::weighted(0.3, (any::<bool>(), 0_u8..3)), 60),
        stops in proptest::collection::vec(any::<bool>(), 60),
    ) {
        let settings = |choice: u8| match choice {
            0 => None,
            1 => Some(demanding()),
            _ => Some(policies(&json!({"nrt": {"target_ms": 5_000}, "question_ms": 7_000}), &json!(null))),
        };
        let run = |stops: &[bool]| {
            let mut partition = Partition::new(Config::default());
            let mut outputs = Vec::new();
            for (index, record) in records.iter().enumerate() {
                if let Some((for_all, choice)) = changes[index] {
                    let tenant = if for_all { "*" } else { "acme" };
                    let sequence = index as u64 + 1;
                    partition.configure(record.at_ms, tenant, sequence, settings(choice), &mut outputs);
                    assert_eq!(partition.config_sequence(tenant), sequence);
                }
                if stops[index] {
                    partition = Partition::restore(&partition.snapshot()).expect("our own snapshot");
                }
                record.fold(&mut partition, &mut outputs);
            }
            drain(&mut partition, &mut outputs);
            (outputs, partition.hash())
        };
        let (expected, hash) = run(&[false; 60]);
        let (outputs, other) = run(&stops);
        prop_assert_eq!(outputs, expected);
        prop_assert_eq!(other, hash);
    }

    #[test]
    fn time_may_come_in_any_steps(records in log(), steps in proptest::collection::vec(1_i64..9, 60)) {
        let (expected, mut end) = fold(&records);
        let mut partition = begin(demanding());
        let mut outputs = Vec::new();
        for (record, parts) in records.iter().zip(steps) {
            let from_ms = partition.now_ms();
            if from_ms > i64::MIN {
                for part in 1..=parts {
                    partition.advance(from_ms + (record.at_ms - from_ms) * part / parts, &mut outputs);
                }
            }
            record.fold(&mut partition, &mut outputs);
        }
        prop_assert_eq!(outputs, expected);
        prop_assert_eq!(partition.hash(), end.hash());
    }

    #[test]
    fn what_was_published_less_than_a_horizon_ago_is_a_duplicate_and_changes_nothing(records in log()) {
        // An event may make something due at its own time: the next step of time says so, be it
        // a duplicate or not. Here it is said at once, with the duplicates and without.
        let mut plain = begin(demanding());
        let mut expected = Vec::new();
        for record in &records {
            record.fold(&mut plain, &mut expected);
            plain.advance(record.at_ms, &mut expected);
        }
        let mut partition = begin(demanding());
        let mut outputs = Vec::new();
        let mut accepted = Vec::new();
        for record in &records {
            if let Some(Applied::Accepted { .. }) = record.fold(&mut partition, &mut outputs) {
                accepted.push(record);
            }
            partition.advance(record.at_ms, &mut outputs);
            let before = (outputs.len(), partition.hash());
            for &earlier in &accepted {
                if record.at_ms - earlier.at_ms < HORIZON_MS {
                    let again = Record { at_ms: record.at_ms, ..earlier.clone() };
                    let applied = again.fold(&mut partition, &mut outputs);
                    prop_assert_eq!(applied, Some(Applied::Duplicate));
                }
            }
            prop_assert_eq!((outputs.len(), partition.hash()), before);
        }
        prop_assert_eq!(outputs, expected);
    }

    #[test]
    fn no_signal_is_told_twice(records in busy_log()) {
        let (mut outputs, mut partition) = fold(&records);
        drain(&mut partition, &mut outputs);
        let mut known = BTreeSet::new();
        for output in &outputs {
            if let Output::Signal(signal) = output {
                prop_assert!(known.insert(&signal.signal_id), "{signal:#?}");
            }
        }
    }

    #[test]
    fn no_time_is_negative(records in log()) {
        let (mut outputs, mut partition) = fold(&records);
        drain(&mut partition, &mut outputs);
        for output in &outputs {
            prop_assert!(times(output).into_iter().all(|time_ms| time_ms >= 0), "{output:#?}");
        }
    }

    #[test]
    fn corrections_are_numbered_without_gaps_keep_their_place_and_say_something_new(records in busy_log()) {
        let (mut outputs, mut partition) = fold(&records);
        drain(&mut partition, &mut outputs);
        let mut last: BTreeMap<&str, &zhili_dialogue::Fact> = BTreeMap::new();
        for output in &outputs {
            let Output::Fact(fact) = output else { continue };
            if let Some(earlier) = last.insert(&fact.fact_id, fact) {
                prop_assert_eq!(fact.revision, earlier.revision + 1);
                prop_assert_eq!(fact.at_ms, earlier.at_ms);
                prop_assert_ne!(&fact.body, &earlier.body);
            } else {
                prop_assert_eq!(fact.revision, 0);
            }
        }
    }

    #[test]
    fn the_turns_of_an_ended_cycle_are_as_many_as_it_says(records in busy_log()) {
        let (mut outputs, mut partition) = fold(&records);
        drain(&mut partition, &mut outputs);
        let facts = in_force(&outputs);
        for (cycle_id, fact) in &facts {
            let FactBody::Cycle(cycle) = &fact.body else { continue };
            if cycle.provisional {
                continue;
            }
            let prefix = format!("{cycle_id}/");
            let turns: Vec<_> = facts
                .iter()
                .filter(|(id, _)| id.starts_with(&prefix))
                .filter_map(|(_, fact)| match &fact.body {
                    FactBody::Turn(turn) => Some(turn),
                    _ => None,
                })
                .collect();
            prop_assert_eq!(turns.len() as u32, cycle.turns);
            let unanswered = turns.iter().filter(|turn| turn.answered_ms.is_none()).count();
            prop_assert_eq!(unanswered as u32, cycle.unanswered);
        }
    }

    #[test]
    fn only_a_conversation_whose_customer_waits_stays_in_memory(records in in_order()) {
        let (mut outputs, mut partition) = fold(&records);
        drain(&mut partition, &mut outputs);
        prop_assert_eq!(partition.conversations(), usize::from(is_waiting(&records)));
    }

    #[test]
    fn damaged_bytes_are_refused_without_a_panic(records in log(), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let (_, partition) = fold(&records);
        let mut bytes = partition.snapshot();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(mut restored) = Partition::restore(&bytes) {
            let mut out = Vec::new();
            drain(&mut restored, &mut out);
        }
        bytes.truncate(at);
        prop_assert!(Partition::restore(&bytes).is_err());
    }
}

#[test]
fn a_snapshot_of_another_version_is_refused_by_name() {
    let mut bytes = Partition::new(Config::default()).snapshot();
    bytes[4] = 0xff;
    let error = Partition::restore(&bytes).expect_err("another version");
    assert!(error.to_string().contains("version 255"), "{error}");
    let error = Partition::restore(b"something else").expect_err("no snapshot");
    assert!(error.to_string().contains("not a snapshot"), "{error}");
}

#[test]
fn an_event_of_a_clock_ahead_is_a_duplicate_for_as_long_as_it_is_not_historical() {
    let hour_ms = 3_600_000;
    let now_ms = 1_000 * hour_ms;
    let ahead = Record {
        at_ms: now_ms,
        sent_ms: now_ms + 20 * hour_ms,
        id: "e1".to_owned(),
        ..Record::default()
    };
    let resolved = Record {
        at_ms: now_ms + 1,
        sent_ms: now_ms + 1,
        id: "e2".to_owned(),
        what: What::Resolved,
        ..Record::default()
    };
    let (mut out, mut partition) = fold(&[ahead.clone(), resolved]);
    for (later_ms, expected) in [
        (HORIZON_MS + 2, Applied::Duplicate),
        (HORIZON_MS + 20 * hour_ms - 1, Applied::Duplicate),
        (HORIZON_MS + 20 * hour_ms + 1, Applied::Accepted { historical: true }),
    ] {
        let again = Record { at_ms: now_ms + later_ms, ..ahead.clone() };
        assert_eq!(again.fold(&mut partition, &mut out), Some(expected), "after {later_ms} ms");
    }
}

#[test]
fn a_miss_that_is_taken_back_warns_no_second_time() {
    let message = |at_ms, sent_ms, id: &str, who| Record {
        at_ms,
        sent_ms,
        tenant: "acme".into(),
        source: "test".into(),
        conversation: "talk-0".into(),
        id: id.into(),
        what: What::Message,
        who,
        by: "person-0".into(),
        queue: "returns".into(),
        backfill: false,
        fingerprint: 0,
        marks: Marks::default(),
    };
    // The answer was sent a millisecond before the resolution was missed, and is logged much later.
    let records = [
        message(3_600_000_000, 3_538_923_868, "event-0", Who::Customer),
        message(3_600_018_208, 3_542_523_867, "event-1", Who::Agent),
        message(3_600_018_208, 3_600_018_208, "event-2", Who::Customer),
    ];
    let (mut outputs, mut partition) = fold(&records);
    drain(&mut partition, &mut outputs);
    let told = |kind: SignalKind| {
        let is_it = |output: &&Output| matches!(output, Output::Signal(it) if it.kind == kind);
        outputs.iter().filter(is_it).count()
    };
    assert_eq!((told(SignalKind::ResolutionWarning), told(SignalKind::ResolutionBreach)), (1, 2));
}
