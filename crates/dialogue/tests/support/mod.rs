//! A short notation for records, and a run of the fold over them.

#![allow(dead_code, reason = "each test target uses a part of it")]
#![allow(clippy::expect_used, reason = "a malformed vector is a failed test")]

pub(crate) mod random;

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde_json::{Map, Value, json};
use zhili_dialogue::{
    Act, Applied, Author, Calendar, Config, Event, EventKind, Fact, FactBody, Former, Marks, Mode,
    Output, Partition, Polarity, Policies, Policy, Promise, PromiseDue, PromiseKind, QuestionKind,
    Role, Sentiment, Sla, Status, Subtype, Urgent, UrgentCategory,
};

/// An owned event with its log time.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) at_ms: i64,
    pub(crate) sent_ms: i64,
    pub(crate) tenant: String,
    pub(crate) source: String,
    pub(crate) conversation: String,
    pub(crate) id: String,
    pub(crate) what: What,
    pub(crate) who: Who,
    pub(crate) by: String,
    pub(crate) queue: String,
    pub(crate) backfill: bool,
    pub(crate) fingerprint: u8,
    pub(crate) marks: Marks<'static>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Message,
    Edit,
    Delete,
    Join,
    Leave,
    Handoff,
    Assign,
    Open,
    Resolved,
    Reopened,
    Closed,
    Csat,
    /// Time passes; there is no event.
    Tick,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Customer,
    Agent,
    Assist,
    Template,
    Auto,
    Ai,
    Bot,
    System,
    Supervisor,
    /// A private message of an agent.
    Note,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            at_ms: 0,
            sent_ms: 0,
            tenant: "acme".into(),
            source: "test".into(),
            conversation: "talk".into(),
            id: String::new(),
            what: What::Message,
            who: Who::Customer,
            by: String::new(),
            queue: String::new(),
            backfill: false,
            fingerprint: 0,
            marks: Marks::default(),
        }
    }
}

impl Record {
    /// The event as the fold takes it; `None` for a tick.
    pub(crate) fn event(&self) -> Option<Event<'_>> {
        let (role, subtype) = match self.who {
            Who::Customer => (Role::Customer, Subtype::None),
            Who::Agent | Who::Note => (Role::Agent, Subtype::None),
            Who::Assist => (Role::Agent, Subtype::Assist),
            Who::Template => (Role::Agent, Subtype::Template),
            Who::Auto => (Role::Agent, Subtype::Auto),
            Who::Ai => (Role::Agent, Subtype::Ai),
            Who::Bot => (Role::Bot, Subtype::None),
            Who::System => (Role::System, Subtype::None),
            Who::Supervisor => (Role::Supervisor, Subtype::None),
        };
        let kind = match self.what {
            What::Message => EventKind::Message,
            What::Edit => EventKind::Edit { target: "some" },
            What::Delete => EventKind::Delete { target: "some" },
            What::Join => EventKind::Join,
            What::Leave => EventKind::Leave,
            What::Handoff => EventKind::Handoff,
            What::Assign => EventKind::Assign,
            What::Open => EventKind::Status(Status::Open),
            What::Resolved => EventKind::Status(Status::Resolved),
            What::Reopened => EventKind::Status(Status::Reopened),
            What::Closed => EventKind::Status(Status::Closed),
            What::Csat => EventKind::Csat { score: 4.0, max: 5.0 },
            What::Tick => return None,
        };
        Some(Event {
            tenant: &self.tenant,
            source: &self.source,
            event_id: &self.id,
            conversation_id: &self.conversation,
            kind,
            sent_ms: self.sent_ms,
            author: Some(Author { id: &self.by, role, subtype }),
            private: self.who == Who::Note,
            mode: if self.backfill { Mode::Backfill } else { Mode::Live },
            channel: "chat",
            queue: &self.queue,
            team: "",
            customer: "customer-1",
            former: Former::default(),
            fingerprint: [self.fingerprint, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            marks: self.marks.clone(),
        })
    }

    /// Folds the record; `None` for a tick.
    pub(crate) fn fold(&self, partition: &mut Partition, out: &mut Vec<Output>) -> Option<Applied> {
        if let Some(event) = self.event() {
            Some(partition.apply(self.at_ms, &event, out))
        } else {
            partition.advance(self.at_ms, out);
            None
        }
    }
}

/// One policy and one calendar for everybody, in the notation of the product's files.
pub(crate) fn policies(policy: &Value, calendar: &Value) -> Policies {
    let policy: Policy = match policy {
        Value::Null => Policy::default(),
        policy => serde_json::from_value(policy.clone()).expect("a policy"),
    };
    let calendar: Option<Calendar> = match calendar {
        Value::Null => None,
        calendar => Some(serde_json::from_value(calendar.clone()).expect("a calendar")),
    };
    Policies::one(policy, calendar).expect("settings that fit together")
}

/// Settings under which everything that can be measured is.
pub(crate) fn demanding() -> Policies {
    let target = |target_ms: i64, warn_ms: i64| json!({"target_ms": target_ms, "warn_ms": warn_ms});
    let resolution =
        json!({"target_ms": 3_600_000, "warn_ms": 1_800_000, "pauses_on_customer": true});
    policies(
        &json!({
            "frt": target(30_000, 20_000),
            "nrt": target(45_000, 44_999),
            "resolution": resolution,
            "frt_waits_for_handoff": true,
            "silence": {"agent_ms": 30_000, "customer_ms": 40_000},
            "question_ms": 100_000,
            "promise_warn_ms": 60_000,
            "aggravation": true,
        }),
        &json!({"tz": "Asia/Shanghai", "weekly": {"mon-fri": [["09:00", "18:00"]], "sat": [["22:00", "06:00"]]}}),
    )
}

/// A fold with settings for every tenant.
pub(crate) fn begin(policies: Policies) -> Partition {
    let mut partition = Partition::new(Config::default());
    partition.configure(i64::MIN, "*", 1, Some(policies), &mut Vec::new());
    partition
}

/// Folds all records in one go under the demanding settings.
pub(crate) fn fold(records: &[Record]) -> (Vec<Output>, Partition) {
    fold_with(records, demanding())
}

/// Folds all records in one go.
pub(crate) fn fold_with(records: &[Record], policies: Policies) -> (Vec<Output>, Partition) {
    let mut partition = begin(policies);
    let mut out = Vec::new();
    for record in records {
        record.fold(&mut partition, &mut out);
    }
    (out, partition)
}

/// The facts in force: the last statement of each.
pub(crate) fn in_force(outputs: &[Output]) -> BTreeMap<&str, &Fact> {
    let facts = outputs.iter().filter_map(|output| match output {
        Output::Fact(fact) => Some((fact.fact_id.as_str(), fact)),
        Output::Signal(_) | Output::Complaint(_) | Output::Presence(_) => None,
    });
    facts.collect()
}

/// A record in the notation of `tests/vectors/README.md`.
pub(crate) fn parse(value: &Value, index: usize) -> Record {
    let fields = value.as_object().expect("a record is an object");
    let known = [
        "at",
        "sent",
        "conversation",
        "id",
        "what",
        "who",
        "by",
        "queue",
        "backfill",
        "text",
        "says",
        "feels",
        "promises",
        "source",
        "tenant",
        "words",
    ];
    for name in fields.keys() {
        assert!(known.contains(&name.as_str()), "unknown field {name} in {value}");
    }
    let text = |name: &str| fields.get(name).map(|v| v.as_str().expect("a string").to_owned());
    let seconds = |name: &str| {
        fields.get(name).map(|v| (v.as_f64().expect("seconds") * 1000.0).round() as i64)
    };
    let at_ms = seconds("at").expect("every record says when it was logged (`at`)");
    let who = match text("who").as_deref() {
        None | Some("system") => Who::System,
        Some("customer") => Who::Customer,
        Some("agent") => Who::Agent,
        Some("assist") => Who::Assist,
        Some("template") => Who::Template,
        Some("auto") => Who::Auto,
        Some("ai") => Who::Ai,
        Some("bot") => Who::Bot,
        Some("supervisor") => Who::Supervisor,
        Some("note") => Who::Note,
        Some(other) => panic!("unknown author {other}"),
    };
    let what = match text("what").as_deref() {
        None | Some("message") => What::Message,
        Some("edit") => What::Edit,
        Some("delete") => What::Delete,
        Some("join") => What::Join,
        Some("leave") => What::Leave,
        Some("handoff") => What::Handoff,
        Some("assign") => What::Assign,
        Some("open") => What::Open,
        Some("resolved") => What::Resolved,
        Some("reopened") => What::Reopened,
        Some("closed") => What::Closed,
        Some("csat") => What::Csat,
        Some("tick") => What::Tick,
        Some(other) => panic!("unknown event {other}"),
    };
    let mut marks = Marks::default();
    if let Some(feels) = fields.get("feels") {
        let thousandths = (feels.as_f64().expect("a sentiment") * 1000.0).round() as i16;
        let label = match thousandths {
            ..-149 => Polarity::Negative,
            150.. => Polarity::Positive,
            _ => Polarity::Neutral,
        };
        marks.sentiment = Some(Sentiment { label, thousandths });
    }
    marks.promises.extend(fields.get("promises").map(promise));
    marks.print = fields.get("words").map(|words| {
        let words = words.as_u64().and_then(|words| u32::try_from(words).ok());
        words.and_then(NonZeroU32::new).expect("a number from 1")
    });
    let mut acts = Vec::new();
    for says in fields.get("says").and_then(Value::as_array).into_iter().flatten() {
        match says.as_str().expect("a string") {
            "greeting" => marks.greeting_only = true,
            "question" => marks.question = Some(QuestionKind::Open),
            "impolite" => marks.impolite = true,
            "complaint" => marks.complaint = true,
            "holding" => marks.holding_only = true,
            "thanks" => marks.thanks_or_farewell_only = true,
            act if let Some(act) = act_of(act) => acts.push(act),
            "forbidden" => {
                marks.forbidden = true;
                marks.rules.push("forbidden.rule");
            }
            urgent => {
                let category = match urgent {
                    "urgent" => None,
                    "urgent:regulator" => Some(UrgentCategory::Regulator),
                    "urgent:safety" => Some(UrgentCategory::Safety),
                    "urgent:crisis" => Some(UrgentCategory::Crisis),
                    other => panic!("unknown mark {other}"),
                };
                marks.urgent = Some(Urgent { category, probability: 0.9 });
                marks.rules.push("urgent.rule");
            }
        }
    }
    marks.acts = acts.into_iter().collect();
    let default = Record::default();
    Record {
        at_ms,
        sent_ms: seconds("sent").unwrap_or(at_ms),
        tenant: text("tenant").unwrap_or(default.tenant),
        source: text("source").unwrap_or(default.source),
        conversation: text("conversation").unwrap_or(default.conversation),
        id: text("id").unwrap_or_else(|| format!("event-{index}")),
        what,
        who,
        by: text("by").unwrap_or_else(|| match who {
            Who::System => String::new(),
            _ => format!("{who:?}-1").to_lowercase(),
        }),
        queue: text("queue").unwrap_or_default(),
        backfill: fields.get("backfill").and_then(Value::as_bool).unwrap_or(false),
        fingerprint: text("text").map_or(0, |text| text.bytes().fold(1, u8::wrapping_add)),
        marks,
    }
}

fn act_of(name: &str) -> Option<Act> {
    Some(match name {
        "hello" => Act::Greeting,
        "farewell" => Act::Closing,
        "apology" => Act::Apology,
        "empathy" => Act::Empathy,
        "advice" => Act::Advice,
        "own_fault" => Act::OwnFault,
        "acknowledge" => Act::Acknowledge,
        _ => return None,
    })
}

/// `[kind, "within", seconds]`, `[kind, "workdays", n]`, `[kind, "day", days, minute]` or
/// `[kind, "weekday", weeks, weekday, minute]`.
fn promise(value: &Value) -> Promise {
    let kind = match value[0].as_str().expect("a kind") {
        "callback" => PromiseKind::Callback,
        "refund" => PromiseKind::Refund,
        "reply" => PromiseKind::Reply,
        "solve" => PromiseKind::Solve,
        other => panic!("unknown promise {other}"),
    };
    let number = |index: usize| value[index].as_i64().expect("a number");
    let due = match value[1].as_str().expect("a due time") {
        "within" => PromiseDue::Within(number(2) * 1000),
        "workdays" => PromiseDue::WorkDays(number(2) as u32),
        "day" => PromiseDue::Day { days: number(2) as u32, minute: number(3) as u16 },
        "weekday" => PromiseDue::Weekday {
            weeks: number(2) as u8,
            weekday: number(3) as u8,
            minute: number(4) as u16,
        },
        other => panic!("unknown due time {other}"),
    };
    Promise { kind, due }
}

fn seconds(ms: Option<i64>) -> Value {
    ms.map_or(Value::Null, |ms| json!(ms as f64 / 1000.0))
}

fn state(sla: Option<Sla>) -> Value {
    sla.map_or(Value::Null, |sla| json!(sla.state.name()))
}

/// A fact as the vectors write it.
pub(crate) fn describe(fact: &Fact) -> Map<String, Value> {
    let value = match &fact.body {
        FactBody::Turn(turn) => json!({
            "cycle": turn.cycle,
            "turn": turn.turn,
            "first": turn.first_event_id,
            "last": turn.last_event_id,
            "answer": turn.answer_event_id,
            "started": seconds(Some(turn.started_ms)),
            "messages": turn.customer_messages,
            "rt.first_unanswered": seconds(turn.rt_first_unanswered_ms),
            "rt.last_msg": seconds(turn.rt_last_msg_ms),
            "rt.human": seconds(turn.rt_human_ms),
            "business.rt.first_unanswered": seconds(turn.business.rt_first_unanswered_ms),
            "business.rt.human": seconds(turn.business.rt_human_ms),
            "sla.nrt": state(turn.sla_nrt),
            "agent": fact.agent,
            "queue": fact.queue,
            "revision": fact.revision,
            "historical": fact.historical,
        }),
        FactBody::Cycle(cycle) => json!({
            "cycle": cycle.cycle,
            "started": seconds(Some(cycle.started_ms)),
            "ended": seconds(cycle.ended_ms),
            "frt.any": seconds(cycle.frt_any_ms),
            "frt.human": seconds(cycle.frt_human_ms),
            "frt.substantive": seconds(cycle.frt_substantive_ms),
            "frt.join": seconds(cycle.frt_join_ms),
            "business.frt.any": seconds(cycle.business.frt_any_ms),
            "business.frt.human": seconds(cycle.business.frt_human_ms),
            "sla.frt": state(cycle.sla_frt),
            "sla.frt.due": seconds(cycle.sla_frt.and_then(|sla| sla.due_ms)),
            "sla.resolution": state(cycle.sla_resolution),
            "sla.resolution.due": seconds(cycle.sla_resolution.and_then(|sla| sla.due_ms)),
            "silence.agent": cycle.silences.agent,
            "silence.agent_seconds": seconds(Some(cycle.silences.agent_ms)),
            "silence.customer": cycle.silences.customer,
            "silence.customer_seconds": seconds(Some(cycle.silences.customer_ms)),
            "silence.restated": cycle.silences.restated,
            "resolved": cycle.resolved,
            "provisional": cycle.provisional,
            "reopened": cycle.reopened,
            "turns": cycle.turns,
            "unanswered": cycle.unanswered,
            "agent": fact.agent,
            "queue": fact.queue,
            "revision": fact.revision,
            "historical": fact.historical,
        }),
        FactBody::Session(session) => {
            let (mood, care) = (&session.mood, &session.care);
            json!({
                "cycle": session.cycle,
                "started": seconds(Some(session.started_ms)),
                "begin": mood.begin,
                "end": mood.end,
                "cl5": mood.cl5,
                "gc100": mood.gc100,
                "converted": mood.converted,
                "unhappy": mood.unhappy,
                "aggravations": mood.aggravations,
                "complaint": care.complaint,
                "identified": care.identified,
                "felt": care.felt,
                "solved": care.solved,
                "followed_up": care.followed_up,
                "soothing": care.soothing,
                "holding": care.holding,
                "empathy100": care.empathy100,
                "follow_up_questions": care.follow_up_questions,
                "first_is_holding": care.first_is_holding,
                "active": session.stints.iter().map(|it| it.active_ms as f64 / 1000.0).collect::<Vec<_>>(),
                "agents": session.stints.iter().map(|it| it.agent.as_str()).collect::<Vec<_>>(),
                "mechanical": session.stints.iter().map(|it| it.mechanical).collect::<Vec<_>>(),
                "agent_messages": care.messages,
                "revision": fact.revision,
            })
        }
        FactBody::Slot(slot) => json!({
            "slot": slot.kind.name(),
            "due": seconds(Some(slot.due_ms)),
            "due_event": slot.due_event_id,
            "present": slot.present,
            "event": slot.event_id,
            "agent": fact.agent,
            "revision": fact.revision,
        }),
        FactBody::Promise(promise) => json!({
            "promise": promise.kind.name(),
            "made": seconds(Some(promise.made_ms)),
            "due": seconds(Some(promise.due_ms)),
            "state": promise.state.name(),
            "settled": seconds(promise.settled_ms),
            "event": promise.event_id,
            "revision": fact.revision,
        }),
        FactBody::Correction(correction) => json!({"kind": correction.kind.name()}),
        FactBody::Recontact(_) => json!({}),
    };
    match value {
        Value::Object(fields) => fields,
        _ => unreachable!("json! of braces is an object"),
    }
}
