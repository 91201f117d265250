//! Random logs: several conversations with late, duplicate, edited and backfilled events.

use std::num::NonZeroU32;

use proptest::collection::vec;
use proptest::prelude::*;
use zhili_dialogue::{
    Act, Marks, Polarity, Promise, PromiseDue, PromiseKind, QuestionKind, Sentiment, Urgent,
};

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
    let acts = [
        Act::Greeting,
        Act::Thanks,
        Act::Closing,
        Act::Apology,
        Act::Empathy,
        Act::Advice,
        Act::OwnFault,
        Act::Promise,
        Act::Acknowledge,
    ];
    let due = prop_oneof![
        (1_i64..100_000_000).prop_map(PromiseDue::Within),
        (1_u32..4).prop_map(PromiseDue::WorkDays),
        (0_u32..3, 1_u16..=1440).prop_map(|(days, minute)| PromiseDue::Day { days, minute }),
        (0_u8..3, 0_u8..7, 1_u16..=1440).prop_map(|(weeks, weekday, minute)| {
            PromiseDue::Weekday { weeks, weekday, minute }
        }),
    ];
    let drawn =
        (0_u8..20, proptest::option::of(-1000_i16..=1000), any::<u16>(), any::<bool>(), due);
    drawn.prop_map(move |(mark, feels, set, promises, due)| Marks {
        greeting_only: mark == 1,
        holding_only: mark == 2,
        thanks_or_farewell_only: mark == 3,
        question: match mark {
            16 | 17 => Some(QuestionKind::Open),
            18 => Some(QuestionKind::Closed),
            19 => Some(QuestionKind::Clarifying),
            _ => None,
        },
        acts: acts
            .into_iter()
            .enumerate()
            .filter(|(i, _)| set & 1 << i != 0)
            .map(|(_, a)| a)
            .collect(),
        sentiment: feels.map(|thousandths| Sentiment {
            label: match thousandths {
                ..-149 => Polarity::Negative,
                150.. => Polarity::Positive,
                _ => Polarity::Neutral,
            },
            thousandths,
        }),
        complaint: mark == 4 || mark == 6,
        impolite: mark == 7,
        topic: if mark == 8 { "refund" } else { "" },
        promises: if promises && mark > 8 {
            vec![Promise { kind: PromiseKind::Reply, due }]
        } else {
            Vec::new()
        },
        print: NonZeroU32::new(u32::from(set >> 13)),
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
