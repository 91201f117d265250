//! The fold against a second reading of the definitions that shares no code with it: written
//! over the whole list of events instead of one by one.

mod support;

use proptest::prelude::*;
use support::random::in_order;
use support::{Record, What, Who, fold, in_force};
use zhili_dialogue::{Cycle, FactBody, Turn};

fn is_human(record: &Record) -> bool {
    record.what == What::Message && matches!(record.who, Who::Agent | Who::Assist | Who::Template)
}

fn is_machine(record: &Record) -> bool {
    record.what == What::Message && matches!(record.who, Who::Bot | Who::Auto | Who::Ai)
}

fn is_customer(record: &Record) -> bool {
    record.what == What::Message && record.who == Who::Customer
}

/// The cycles of an in-order log as ranges: the record that opens, the one that ends.
fn cycles(records: &[Record]) -> Vec<(usize, usize)> {
    let opens = |r: &Record| is_customer(r) || matches!(r.what, What::Open | What::Reopened);
    let ends = |r: &Record| matches!(r.what, What::Resolved | What::Closed);
    let mut cycles = Vec::new();
    let mut from = 0;
    while let Some(begin) = (from..records.len()).find(|&i| opens(&records[i])) {
        let end = (begin..records.len()).find(|&i| ends(&records[i])).unwrap_or(records.len());
        cycles.push((begin, end));
        from = end;
    }
    cycles
}

/// `(first, last, answer)` of each turn of a cycle, as positions.
fn runs(records: &[Record], begin: usize, end: usize) -> Vec<(usize, usize, Option<usize>)> {
    let mut runs = Vec::new();
    let mut from = begin;
    loop {
        let asks =
            |&i: &usize| is_customer(&records[i]) && !records[i].marks.thanks_or_farewell_only;
        let Some(first) = (from..end).find(asks) else {
            return runs;
        };
        let answer = (first..end).find(|&i| is_human(&records[i]));
        let until = answer.unwrap_or(end);
        let last = (first..until).rfind(|&i| is_customer(&records[i])).unwrap_or(first);
        runs.push((first, last, answer));
        from = until;
    }
}

/// First-reply time: what replied, from where it counts.
fn first_reply(
    records: &[Record],
    begin: usize,
    end: usize,
    counts: impl Fn(&Record) -> bool,
) -> Option<(usize, i64)> {
    let reopened = records[begin].what == What::Reopened;
    let base = if reopened { begin } else { (begin..end).find(|&i| is_customer(&records[i]))? };
    let reply = (base..end).find(|&i| counts(&records[i]))?;
    let starts = (begin..reply).filter(|&i| {
        records[i].what == What::Handoff
            || i == base
            || Some(i) == (begin..reply).find(|&j| is_customer(&records[j]))
    });
    starts.map(|i| records[i].sent_ms).max().map(|start_ms| (reply, start_ms))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn turns_and_first_replies_of_an_in_order_log_are_those_of_the_definitions(records in in_order()) {
        let (outputs, _) = fold(&records);
        let facts = in_force(&outputs);
        let turn_of = |first: &str| -> Option<&Turn> {
            facts.values().find_map(|fact| match &fact.body {
                FactBody::Turn(turn) if turn.first_event_id == first => Some(turn),
                _ => None,
            })
        };
        let cycle_of = |number: u32| -> Option<&Cycle> {
            facts.values().find_map(|fact| match &fact.body {
                FactBody::Cycle(cycle) if cycle.cycle == number => Some(cycle),
                _ => None,
            })
        };
        let ms = |i: usize| records[i].sent_ms;
        let mut expected_turns = 0;
        for (index, (begin, end)) in cycles(&records).into_iter().enumerate() {
            let has_ended = end < records.len();
            for (first, last, answer) in runs(&records, begin, end) {
                let found = turn_of(&records[first].id);
                if answer.is_none() && !has_ended {
                    prop_assert!(found.is_none());
                    continue;
                }
                expected_turns += 1;
                let found = found.ok_or_else(|| TestCaseError::fail("a turn is missing"))?;
                prop_assert_eq!(&found.last_event_id, &records[last].id);
                prop_assert_eq!(found.rt_first_unanswered_ms, answer.map(|a| ms(a) - ms(first)));
                prop_assert_eq!(found.rt_last_msg_ms, answer.map(|a| ms(a) - ms(last)));
                let human = answer.map(|a| {
                    let handoff = (first..a).rfind(|&i| records[i].what == What::Handoff);
                    ms(a) - ms(handoff.unwrap_or(first))
                });
                prop_assert_eq!(found.rt_human_ms, human);
            }
            let since = |found: Option<(usize, i64)>| found.map(|(i, start_ms)| ms(i) - start_ms);
            let any = since(first_reply(&records, begin, end, |r| is_human(r) || is_machine(r)));
            let human = first_reply(&records, begin, end, is_human);
            let substantive = first_reply(&records, begin, end, |r| {
                is_human(r) && !r.marks.greeting_only && !r.marks.holding_only
            });
            // Keeps the start of the first human reply.
            let substantive = substantive.zip(human).map(|((i, _), (_, start_ms))| ms(i) - start_ms);
            match cycle_of(index as u32 + 1) {
                Some(found) => {
                    prop_assert_eq!(found.started_ms, ms(begin));
                    prop_assert_eq!(found.frt_any_ms, any);
                    prop_assert_eq!(found.frt_human_ms, since(human));
                    prop_assert_eq!(found.frt_substantive_ms, substantive);
                    prop_assert_eq!(found.ended_ms, has_ended.then(|| ms(end)));
                    prop_assert_eq!(found.resolved, has_ended && records[end].what == What::Resolved);
                    prop_assert_eq!(found.reopened, records[begin].what == What::Reopened);
                }
                None => prop_assert!(any.is_none() && !has_ended, "cycle {} is missing", index + 1),
            }
        }
        let turns = facts.values().filter(|fact| matches!(fact.body, FactBody::Turn(_))).count();
        prop_assert_eq!(turns, expected_turns);
    }

    /// Any order of arrival: a customer message is answered by the earliest reply among those
    /// that were logged after it and not sent before it.
    #[test]
    fn every_wait_of_a_late_log_ends_with_the_earliest_reply_that_could_answer(
        drafts in proptest::collection::vec((0_i64..40_000, 0_i64..60_000, any::<bool>()), 1..50)
    ) {
        let mut at_ms = 3_600_000_000;
        let mut records = Vec::new();
        for (index, (gap, delay, asks)) in drafts.into_iter().enumerate() {
            at_ms += gap;
            records.push(Record {
                at_ms,
                sent_ms: at_ms - delay,
                id: format!("event-{index}"),
                who: if asks { Who::Customer } else { Who::Agent },
                ..Record::default()
            });
        }
        let (outputs, _) = fold(&records);
        let answer_of = |question: usize| {
            let later = records[question + 1..].iter().filter(|r| is_human(r));
            later.filter(|r| r.sent_ms >= records[question].sent_ms).min_by_key(|r| r.sent_ms)
        };
        let position = |id: &str| records.iter().position(|r| r.id == id);
        let mut answered = 0;
        for fact in in_force(&outputs).values() {
            let FactBody::Turn(turn) = &fact.body else { continue };
            answered += turn.customer_messages as usize;
            let ends = [
                (&turn.first_event_id, turn.rt_first_unanswered_ms),
                (&turn.last_event_id, turn.rt_last_msg_ms),
            ];
            for (id, wait_ms) in ends {
                let question = position(id).ok_or_else(|| TestCaseError::fail("unknown id"))?;
                let answer = answer_of(question);
                prop_assert_eq!(answer.map(|r| &r.id), Some(&turn.answer_event_id));
                prop_assert_eq!(wait_ms, answer.map(|r| r.sent_ms - records[question].sent_ms));
            }
        }
        let expected = (0..records.len())
            .filter(|&i| is_customer(&records[i]) && answer_of(i).is_some())
            .count();
        prop_assert_eq!(answered, expected);
    }
}
