//! Random logs: several conversations with late, duplicate, edited and backfilled events.

use proptest::collection::vec;
use proptest::prelude::*;
use zhili_dialogue::{Marks, Urgent};

use super::{Record, What, Who};

const HOUR_MS: i64 = 3_600_000;

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![
        8 => Just(Who::Customer),
        6 => Just(Who::Agent),
        1 => Just(Who::Assist),
        1 => Just(Who::Template),
        1 => Just(Who::Auto),
        1 => Just(Who::Ai),
        2 => Just(Who::Bot),
        1 => Just(Who::System),
        1 => Just(Who::Supervisor),
        1 => Just(Who::Note),
    ]
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        20 => Just(What::Message),
        1 => Just(What::Edit),
        1 => Just(What::Delete),
        1 => Just(What::Join),
        1 => Just(What::Leave),
        2 => Just(What::Handoff),
        1 => Just(What::Assign),
        1 => Just(What::Open),
        2 => Just(What::Resolved),
        2 => Just(What::Reopened),
        1 => Just(What::Closed),
        1 => Just(What::Csat),
        2 => Just(What::Tick),
    ]
}

fn marks() -> impl Strategy<Value = Marks<'static>> {
    (0_u8..20).prop_map(|mark| Marks {
        greeting_only: mark == 1,
        holding_only: mark == 2,
        thanks_or_farewell_only: mark == 3,
        question: mark > 15,
        urgent: (mark == 4).then_some(Urgent { category: None, probability: 0.75 }),
        forbidden: mark == 5,
        rules: if mark == 4 || mark == 5 { vec!["rule"] } else { Vec::new() },
    })
}

/// Time until the next record: mostly seconds, sometimes hours, sometimes exactly the idle time.
fn gap() -> impl Strategy<Value = i64> {
    prop_oneof![
        10 => 0_i64..20,
        10 => 0_i64..60_000,
        1 => 0_i64..40 * HOUR_MS,
        1 => Just(24 * HOUR_MS),
    ]
}

/// How long before its log time a record was sent; below 0 for a fast clock.
fn delay() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => Just(0_i64),
        3 => 0_i64..30,
        3 => 0_i64..100_000,
        1 => -5_000_i64..0,
        1 => 0_i64..60 * HOUR_MS,
    ]
}

/// A log of up to 60 records of three conversations, about one in twelve published twice and a
/// few of those with another content.
pub(crate) fn log() -> impl Strategy<Value = Vec<Record>> {
    log_with(gap())
}

/// The same within an hour, so that nothing leaves memory before the last record.
pub(crate) fn busy_log() -> impl Strategy<Value = Vec<Record>> {
    log_with(0_i64..60_000)
}

fn log_with(gap: impl Strategy<Value = i64>) -> impl Strategy<Value = Vec<Record>> {
    let record = (gap, delay(), 0_u8..3, what(), who(), marks(), 0_u8..3, 0_u8..24);
    vec(record, 1..60).prop_map(|drafts| {
        let mut at_ms = 1_000 * HOUR_MS;
        let mut records: Vec<Record> = Vec::new();
        for (index, (gap, delay, talk, what, who, marks, by, chance)) in
            drafts.into_iter().enumerate()
        {
            at_ms += gap;
            let is_repeat = chance < 2 && !records.is_empty();
            let record = if is_repeat {
                let earlier = records[(index * 7) % records.len()].clone();
                let fingerprint = earlier.fingerprint + u8::from(chance == 0);
                Record { at_ms, fingerprint, ..earlier }
            } else {
                Record {
                    at_ms,
                    sent_ms: at_ms - delay,
                    conversation: format!("talk-{talk}"),
                    id: format!("event-{index}"),
                    what,
                    who,
                    by: format!("person-{by}"),
                    queue: if by == 0 { "returns".into() } else { String::new() },
                    backfill: chance == 3,
                    marks,
                    ..Record::default()
                }
            };
            records.push(record);
        }
        records
    })
}

/// Messages, hand-offs and states of one live conversation, none of them late, with less than
/// 24 h between them.
pub(crate) fn in_order() -> impl Strategy<Value = Vec<Record>> {
    let what = prop_oneof![
        20 => Just(What::Message),
        1 => Just(What::Edit),
        2 => Just(What::Handoff),
        1 => Just(What::Open),
        2 => Just(What::Resolved),
        2 => Just(What::Reopened),
        1 => Just(What::Closed),
    ];
    vec((0_i64..90_000, what, who(), marks()), 1..60).prop_map(|drafts| {
        let mut at_ms = 1_000 * HOUR_MS;
        let records = drafts.into_iter().enumerate().map(|(index, (gap, what, who, marks))| {
            at_ms += gap;
            Record {
                at_ms,
                sent_ms: at_ms,
                id: format!("event-{index}"),
                what,
                who,
                marks,
                ..Record::default()
            }
        });
        records.collect()
    })
}
