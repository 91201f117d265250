//! A hash of all that the fold states of a large drawn log: a change that is to change nothing
//! leaves it as it is.
//!
//! `cargo run --release -p zhili-dialogue --example dialogue_outputs [EVENTS] [SEED]`
//!
//! The log holds every kind of event of some hundred conversations with every mark, ids of every
//! form, late, repeated and conflicting events, backfill, several tenants and sources, hours of
//! silence, settings that come and go, and a restart from a snapshot now and then.

#![allow(clippy::print_stdout, reason = "a program that prints figures")]
#![allow(clippy::expect_used, reason = "a snapshot of ours that cannot be read is a failure")]

use std::collections::BTreeMap;

use zhili_dialogue::{
    Act, Acts, Applied, Author, Config, Event, EventKind, FactBody, Former, Marks, Mode, Output,
    Partition, Polarity, Policies, Promise, PromiseDue, PromiseKind, QuestionKind, Role, Sentiment,
    Status, Subtype, Urgent, UrgentCategory,
};

const SETTINGS: [&str; 2] = [
    r#"{"policy": "p", "calendar": "office",
        "calendars": {"office": {"tz": "Asia/Shanghai", "weekly": {"mon-fri": [["09:00", "18:00"]]}}},
        "policies": {"p": {"frt": {"target_ms": 60000, "warn_ms": 30000},
            "nrt": {"target_ms": 90000, "warn_ms": 20000},
            "resolution": {"target_ms": 3600000, "warn_ms": 1800000, "pauses_on_customer": true},
            "frt_waits_for_handoff": true, "silence": {"agent_ms": 30000, "customer_ms": 40000},
            "question_ms": 50000, "promise_warn_ms": 600000, "aggravation": true}}}"#,
    r#"{"policy": "p", "calendars": {"office": {"tz": "Asia/Shanghai", "weekly": {"mon-sun": [["08:00", "22:00"]]}}},
        "policies": {"p": {"calendar": "office", "frt": {"target_ms": 30000}, "nrt": {"target_ms": 60000}},
            "q": {"silence": {"agent_ms": 45000}}},
        "queues": {"vip": {"policy": "q"}}}"#,
];

struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Clone)]
struct Record {
    at_ms: i64,
    sent_ms: i64,
    tenant: &'static str,
    source: &'static str,
    event_id: String,
    conversation: String,
    kind: EventKind<'static>,
    author: Option<(String, Role, Subtype)>,
    private: bool,
    mode: Mode,
    queue: &'static str,
    customer: String,
    fingerprint: [u8; 16],
    marks: Marks<'static>,
}

impl Record {
    fn event(&self) -> Event<'_> {
        let author = self.author.as_ref();
        Event {
            tenant: self.tenant,
            source: self.source,
            event_id: &self.event_id,
            conversation_id: &self.conversation,
            kind: self.kind,
            sent_ms: self.sent_ms,
            author: author.map(|(id, role, subtype)| Author { id, role: *role, subtype: *subtype }),
            private: self.private,
            mode: self.mode,
            channel: if self.fingerprint[0].is_multiple_of(9) { "phone" } else { "chat" },
            queue: self.queue,
            team: if self.fingerprint[1].is_multiple_of(7) { "night" } else { "" },
            customer: &self.customer,
            former: Former::default(),
            fingerprint: self.fingerprint,
            marks: self.marks.clone(),
        }
    }
}

fn event_id(draw: &mut Draw, index: u64) -> String {
    match draw.below(6) {
        0 => format!("{:08x}-0000-4000-8000-{:012x}", draw.below(1 << 32), index),
        1 => (1_700_000_000_000_000_000 + index).to_string(),
        2 => format!("0{index}"),
        3 => format!("msg_{index}-Zz{}", draw.below(1 << 40)),
        4 => format!("消息 {index}"),
        _ => format!("event/{index}#{}", "x".repeat(draw.below(90) as usize)),
    }
}

fn marks(draw: &mut Draw) -> Marks<'static> {
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
    let acts: Acts = acts.into_iter().filter(|_| draw.happens(12)).collect();
    let thousandths = draw.below(2001) as i16 - 1000;
    let label = match thousandths {
        ..-149 => Polarity::Negative,
        150.. => Polarity::Positive,
        _ => Polarity::Neutral,
    };
    let due = match draw.below(4) {
        0 => PromiseDue::Within(draw.below(100_000_000) as i64),
        1 => PromiseDue::WorkDays(draw.below(4) as u32),
        2 => PromiseDue::Day { days: draw.below(3) as u32, minute: 1 + draw.below(1440) as u16 },
        _ => PromiseDue::Weekday {
            weeks: draw.below(3) as u8,
            weekday: draw.below(7) as u8,
            minute: 1 + draw.below(1440) as u16,
        },
    };
    let kind = draw.one(&[
        PromiseKind::Callback,
        PromiseKind::Refund,
        PromiseKind::Ship,
        PromiseKind::Solve,
        PromiseKind::Reply,
        PromiseKind::Other,
    ]);
    let category = draw.one(&[None, Some(UrgentCategory::Legal), Some(UrgentCategory::Safety)]);
    let question = draw.one(&[QuestionKind::Open, QuestionKind::Closed, QuestionKind::Clarifying]);
    let urgent = draw.happens(3);
    let forbidden = draw.happens(3);
    Marks {
        greeting_only: draw.happens(8),
        holding_only: draw.happens(8),
        thanks_or_farewell_only: draw.happens(6),
        acts,
        question: draw.happens(25).then_some(question),
        sentiment: draw.happens(70).then_some(Sentiment { label, thousandths }),
        complaint: urgent || draw.happens(8),
        impolite: draw.happens(4),
        topic: draw.one(&["", "", "refund", "delivery late", "质量"]),
        promises: if draw.happens(8) { vec![Promise { kind, due }] } else { Vec::new() },
        print: None,
        urgent: urgent.then_some(Urgent { category, probability: 0.75 }),
        forbidden,
        rules: if urgent || forbidden { vec!["rule-1", "rule-2"] } else { Vec::new() },
    }
}

fn record(draw: &mut Draw, index: u64, at_ms: i64) -> Record {
    let kind = match draw.below(100) {
        0..78 => EventKind::Message,
        78..80 => EventKind::Edit { target: "x" },
        80..82 => EventKind::Delete { target: "x" },
        82..84 => EventKind::Join,
        84..86 => EventKind::Leave,
        86..89 => EventKind::Handoff,
        89..91 => EventKind::Assign,
        91..93 => EventKind::Status(Status::Open),
        93..95 => EventKind::Status(Status::Resolved),
        95..97 => EventKind::Status(Status::Reopened),
        97..99 => EventKind::Status(Status::Closed),
        _ => EventKind::Csat { score: 4.0, max: 5.0 },
    };
    let (role, subtype) = match draw.below(100) {
        0..45 => (Role::Customer, Subtype::None),
        45..78 => (Role::Agent, Subtype::None),
        78..82 => (Role::Agent, Subtype::Assist),
        82..84 => (Role::Agent, Subtype::Template),
        84..87 => (Role::Agent, Subtype::Auto),
        87..90 => (Role::Agent, Subtype::Ai),
        90..96 => (Role::Bot, Subtype::None),
        96..98 => (Role::System, Subtype::None),
        _ => (Role::Supervisor, Subtype::None),
    };
    let sent_ms = at_ms
        - match draw.below(20) {
            0 => draw.below(60 * 3_600_000) as i64,
            1 => -(draw.below(5_000) as i64),
            2..6 => draw.below(100_000) as i64,
            _ => draw.below(900) as i64,
        };
    let talk = draw.below(300);
    let mut fingerprint = [0; 16];
    fingerprint[..8].copy_from_slice(&draw.next().to_le_bytes());
    Record {
        at_ms,
        sent_ms,
        tenant: draw.one(&["acme", "acme", "bolt"]),
        source: draw.one(&["desk", "desk", "phone"]),
        event_id: event_id(draw, index),
        conversation: if talk.is_multiple_of(3) {
            format!("v_{talk:026}")
        } else {
            format!("talk/{talk}")
        },
        kind,
        author: (!draw.happens(2)).then(|| (format!("person-{}", draw.below(12)), role, subtype)),
        private: draw.happens(2),
        mode: if draw.happens(3) { Mode::Backfill } else { Mode::Live },
        queue: draw.one(&["", "returns", "returns", "vip"]),
        customer: if draw.happens(90) { format!("c_{talk}") } else { String::new() },
        fingerprint,
        marks: marks(draw),
    }
}

fn main() {
    let argument = |index: usize, default: u64| {
        std::env::args().nth(index).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (events, seed) = (argument(1, 300_000), argument(2, 1));
    let mut draw = Draw(0x9e37_79b9_7f4a_7c15 ^ seed);
    let mut partition = Partition::new(Config::default());
    let mut hasher = blake3::Hasher::new();
    let (mut out, mut recent): (Vec<Output>, Vec<Record>) = (Vec::new(), Vec::new());
    let mut at_ms = 1_793_548_800_000;
    let (mut counts, mut kinds) = (BTreeMap::<&str, u64>::new(), BTreeMap::<&str, u64>::new());
    for index in 0..events {
        at_ms += match draw.below(2_000) {
            0 => draw.below(80 * 3_600_000) as i64,
            1..5 => draw.below(6 * 3_600_000) as i64,
            5..1_000 => draw.below(50) as i64,
            _ => draw.below(1_500) as i64,
        };
        if draw.below(2_000) == 0 {
            let tenant = draw.one(&["acme", "*"]);
            let settings = draw.one(&[None, Some(SETTINGS[0]), Some(SETTINGS[1])]);
            let settings: Option<Policies> =
                settings.map(|json| serde_json::from_str(json).expect("settings"));
            partition.configure(at_ms, tenant, index + 1, settings, &mut out);
        }
        if draw.below(5_000) == 0 {
            partition = Partition::restore(&partition.snapshot()).expect("our own snapshot");
        }
        let drawn = if !recent.is_empty() && draw.happens(6) {
            let mut again = recent[draw.below(recent.len() as u64) as usize].clone();
            again.at_ms = at_ms;
            again.fingerprint[0] ^= u8::from(draw.happens(30));
            again
        } else {
            record(&mut draw, index, at_ms)
        };
        let applied = partition.apply(drawn.at_ms, &drawn.event(), &mut out);
        hasher.update(format!("{applied:?}").as_bytes());
        let became = match applied {
            Applied::Accepted { .. } => "accepted",
            Applied::Duplicate => "duplicate",
            Applied::Conflict => "conflict",
        };
        *counts.entry(became).or_default() += 1;
        if recent.len() < 4_000 {
            recent.push(drawn);
        } else {
            recent[(index % 4_000) as usize] = drawn;
        }
        if draw.below(1_000) == 0 {
            out.extend(partition.unsettled());
        }
        for output in out.drain(..) {
            let kind = match &output {
                Output::Signal(signal) => signal.kind.name(),
                Output::Complaint(_) => "complaint",
                Output::Presence(_) => "presence",
                Output::Fact(fact) => match fact.body {
                    FactBody::Turn(_) => "turn",
                    FactBody::Cycle(_) => "cycle",
                    FactBody::Session(_) => "session",
                    FactBody::Slot(_) => "slot",
                    FactBody::Promise(_) => "promise",
                    FactBody::Recontact(_) => "recontact",
                    FactBody::Correction(_) => "correction",
                },
            };
            *kinds.entry(kind).or_default() += 1;
            hasher.update(format!("{output:?}").as_bytes());
        }
    }
    println!("{events} events of seed {seed}: {counts:?} {kinds:?}");
    println!("{} conversations in memory", partition.conversations());
    println!("outputs {}", hasher.finalize().to_hex());
}
