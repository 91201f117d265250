//! What `zhili fold` prints, one object a line.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use zhili_dialogue::{
    Cycle, Fact, FactBody, Profile, PromiseState, Run, Session, Signal, Sla, Turn,
};

/// Milliseconds that are written as seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seconds(Option<i64>);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => serializer.serialize_none(),
            Some(ms) if ms % 1000 == 0 => serializer.serialize_i64(ms / 1000),
            Some(ms) => serializer.serialize_f64(ms as f64 / 1000.0),
        }
    }
}

/// Milliseconds since the Unix epoch that are written as ISO 8601 in UTC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time(Option<i64>);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.and_then(|ms| Timestamp::from_millisecond(ms).ok()) {
            Some(time) => serializer.collect_str(&time),
            None => serializer.serialize_none(),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Line {
    Turn(Box<TurnLine>),
    Cycle(Box<CycleLine>),
    Session(Box<SessionLine>),
    Slot(Box<SlotLine>),
    Promise(Box<PromiseLine>),
    Recontact(Box<RecontactLine>),
    Signal(Box<SignalLine>),
    Profile(ProfileLine),
    Refused(Refused),
}

#[derive(Debug, Serialize)]
pub(super) struct Refused {
    pub(super) line: usize,
    pub(super) reason: Reason,
    /// Where and what.
    pub(super) detail: String,
    /// Empty if the line could not be read.
    pub(super) tenant: String,
}

/// Why a line was not folded: the words that dead letters have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    /// No event, or without a time.
    Undecodable,
    /// An event that ingest would not take.
    Invalid,
    /// Its identity was seen with other content.
    ConflictingDuplicate,
}

#[derive(Debug, Serialize)]
pub(super) struct TurnLine {
    #[serde(flatten)]
    about: About,
    cycle: u32,
    turn: u32,
    started: Time,
    answered: Time,
    first_event_id: String,
    last_event_id: String,
    answer_event_id: String,
    customer_messages: u32,
    #[serde(rename = "rt.first_unanswered.v1")]
    first_unanswered: Seconds,
    #[serde(rename = "rt.last_msg.v1")]
    last_msg: Seconds,
    #[serde(rename = "rt.human.v1")]
    human: Seconds,
    business: TurnBusiness,
    #[serde(rename = "sla.nrt.v1")]
    nrt: Option<Target>,
}

#[derive(Debug, Serialize)]
struct TurnBusiness {
    #[serde(rename = "rt.first_unanswered.v1")]
    first_unanswered: Seconds,
    #[serde(rename = "rt.last_msg.v1")]
    last_msg: Seconds,
    #[serde(rename = "rt.human.v1")]
    human: Seconds,
}

/// What every fact says.
#[derive(Debug, Serialize)]
struct About {
    tenant: String,
    conversation_id: String,
    agent: String,
    customer: String,
    channel: String,
    queue: String,
    team: String,
    historical: bool,
    /// May still change.
    open: bool,
    revision: u32,
}

impl About {
    fn of(fact: &Fact, open: bool) -> Self {
        Self {
            tenant: fact.tenant.clone(),
            conversation_id: fact.conversation_id.clone(),
            agent: fact.agent.clone(),
            customer: fact.customer.clone(),
            channel: fact.channel.clone(),
            queue: fact.queue.clone(),
            team: fact.team.clone(),
            historical: fact.historical,
            open,
            revision: fact.revision,
        }
    }
}

#[derive(Debug, Serialize)]
struct Target {
    state: &'static str,
    #[serde(rename = "target")]
    within: Seconds,
    due: Time,
}

impl From<Sla> for Target {
    fn from(sla: Sla) -> Self {
        Self {
            state: sla.state.name(),
            within: Seconds(Some(sla.target_ms)),
            due: Time(sla.due_ms),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct CycleLine {
    #[serde(flatten)]
    about: About,
    cycle: u32,
    started: Time,
    ended: Time,
    resolved: bool,
    reopened: bool,
    handed_over: bool,
    turns: u32,
    unanswered: u32,
    #[serde(rename = "frt.any.v1")]
    any: Seconds,
    #[serde(rename = "frt.human.v1")]
    human: Seconds,
    #[serde(rename = "frt.substantive.v1")]
    substantive: Seconds,
    #[serde(rename = "frt.join.v1")]
    join: Seconds,
    business: CycleBusiness,
    #[serde(rename = "sla.frt.v1")]
    frt: Option<Target>,
    #[serde(rename = "sla.resolution.v1")]
    resolution: Option<Target>,
    #[serde(rename = "silence.v1")]
    silence: Silence,
}

#[derive(Debug, Serialize)]
struct CycleBusiness {
    #[serde(rename = "frt.any.v1")]
    any: Seconds,
    #[serde(rename = "frt.human.v1")]
    human: Seconds,
    #[serde(rename = "frt.substantive.v1")]
    substantive: Seconds,
}

#[derive(Debug, Serialize)]
struct Silence {
    agent: u32,
    agent_seconds: Seconds,
    customer: u32,
    customer_seconds: Seconds,
    restated: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct SessionLine {
    #[serde(flatten)]
    about: About,
    cycle: u32,
    started: Time,
    sentiments: u32,
    positive: u32,
    negative: u32,
    begin: Option<f64>,
    end: Option<f64>,
    #[serde(rename = "cl5.v1")]
    cl5: Option<f64>,
    #[serde(rename = "cl5.progressive.v1")]
    progressive: Option<f64>,
    #[serde(rename = "gc100.v1")]
    gc100: Option<f64>,
    unhappy: bool,
    #[serde(rename = "emo.conv.v1")]
    converted: Option<bool>,
    #[serde(rename = "aggravation.v1")]
    aggravations: u32,
    complaint: bool,
    urgent: bool,
    topic: String,
    #[serde(rename = "funnel.v1")]
    funnel: Funnel,
    #[serde(rename = "soothing.v1")]
    soothing: Option<u8>,
    #[serde(rename = "stall.v1")]
    stall: Stall,
    #[serde(rename = "empathy100.v1")]
    empathy100: Option<f64>,
    #[serde(rename = "questions.v1")]
    questions: Questions,
    /// By agent.
    #[serde(rename = "aht.v1")]
    active: BTreeMap<String, Seconds>,
    #[serde(rename = "mechanical.v1")]
    mechanical: BTreeMap<String, u32>,
}

#[derive(Debug, Serialize)]
struct Funnel {
    identification: Option<bool>,
    emotion: Option<bool>,
    solution: Option<bool>,
    follow_up: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Stall {
    messages: u32,
    holding: u32,
    first_is_holding: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Questions {
    open: u32,
    closed: u32,
    clarifying: u32,
    follow_up: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct SlotLine {
    #[serde(flatten)]
    about: About,
    cycle: u32,
    slot: &'static str,
    due: Time,
    due_event_id: String,
    present: bool,
    event_id: String,
}

#[derive(Debug, Serialize)]
pub(super) struct PromiseLine {
    #[serde(flatten)]
    about: About,
    promise: &'static str,
    made: Time,
    due: Time,
    made_event_id: String,
    state: &'static str,
    settled: Time,
    event_id: String,
}

/// Whether the customer of an ended cycle came back (`fcr.v1`, `reopen.v1`).
#[derive(Debug, Serialize)]
pub(super) struct RecontactLine {
    #[serde(flatten)]
    about: About,
    ended: Time,
    resolved: bool,
    next: Time,
    reopened: Time,
}

#[derive(Debug, Serialize)]
pub(super) struct SignalLine {
    tenant: String,
    conversation_id: String,
    signal: &'static str,
    effective: Time,
    severity: zhili_dialogue::Severity,
    family: zhili_dialogue::Family,
    category: String,
    event_id: String,
    agent: String,
    queue: String,
    team: String,
    probability: f64,
    rules: Vec<String>,
    historical: bool,
    signal_id: String,
}

#[derive(Debug, Serialize)]
pub(super) struct ProfileLine {
    tenant: String,
    profile: String,
    source: String,
    /// Values by metric id.
    #[serde(flatten)]
    values: BTreeMap<String, Option<f64>>,
    /// Behind each value.
    n: BTreeMap<String, usize>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    not_measured: BTreeMap<String, String>,
}

impl Line {
    /// A fact in force; `None` for what only takes something back.
    pub(super) fn fact(fact: &Fact, open: bool) -> Option<Self> {
        match &fact.body {
            FactBody::Turn(turn) => Some(Self::turn(fact, turn, open)),
            FactBody::Cycle(cycle) => Some(Self::cycle(fact, cycle, open || cycle.provisional)),
            FactBody::Session(session) => Some(Self::session(fact, session, open)),
            FactBody::Slot(slot) => Some(Self::Slot(Box::new(SlotLine {
                about: About::of(fact, open),
                cycle: slot.cycle,
                slot: slot.kind.name(),
                due: Time(Some(slot.due_ms)),
                due_event_id: slot.due_event_id.clone(),
                present: slot.present,
                event_id: slot.event_id.clone(),
            }))),
            FactBody::Promise(promise) => Some(Self::Promise(Box::new(PromiseLine {
                about: About::of(fact, promise.state == PromiseState::Pending),
                promise: promise.kind.name(),
                made: Time(Some(promise.made_ms)),
                due: Time(Some(promise.due_ms)),
                made_event_id: promise.made_event_id.clone(),
                state: promise.state.name(),
                settled: Time(promise.settled_ms),
                event_id: promise.event_id.clone(),
            }))),
            FactBody::Recontact(fact_of) => Some(Self::Recontact(Box::new(RecontactLine {
                about: About::of(fact, !fact_of.settled),
                ended: Time(Some(fact_of.ended_ms)),
                resolved: fact_of.resolved,
                next: Time(fact_of.next_ms),
                reopened: Time(fact_of.reopened_ms),
            }))),
            FactBody::Correction(_) => None,
        }
    }

    fn session(fact: &Fact, session: &Session, open: bool) -> Self {
        let (mood, care) = (&session.mood, &session.care);
        Self::Session(Box::new(SessionLine {
            about: About::of(fact, open),
            cycle: session.cycle,
            started: Time(Some(session.started_ms)),
            sentiments: mood.messages,
            positive: mood.positive,
            negative: mood.negative,
            begin: mood.begin,
            end: mood.end,
            cl5: mood.cl5,
            progressive: mood.progressive,
            gc100: mood.gc100,
            unhappy: mood.unhappy,
            converted: mood.converted,
            aggravations: mood.aggravations,
            complaint: care.complaint,
            urgent: care.urgent,
            topic: care.topic.clone(),
            funnel: Funnel {
                identification: care.identified,
                emotion: care.felt,
                solution: care.solved,
                follow_up: care.followed_up,
            },
            soothing: care.soothing,
            stall: Stall {
                messages: care.messages,
                holding: care.holding,
                first_is_holding: care.first_is_holding,
            },
            empathy100: care.empathy100,
            questions: Questions {
                open: care.open_questions,
                closed: care.closed_questions,
                clarifying: care.clarifying_questions,
                follow_up: care.follow_up_questions,
            },
            active: session
                .stints
                .iter()
                .map(|stint| (stint.agent.clone(), Seconds(Some(stint.active_ms))))
                .collect(),
            mechanical: session
                .stints
                .iter()
                .map(|stint| (stint.agent.clone(), stint.mechanical))
                .collect(),
        }))
    }

    fn turn(fact: &Fact, turn: &Turn, open: bool) -> Self {
        let business = turn.business;
        Self::Turn(Box::new(TurnLine {
            about: About::of(fact, open),
            cycle: turn.cycle,
            turn: turn.turn,
            started: Time(Some(turn.started_ms)),
            answered: Time(turn.answered_ms),
            first_event_id: turn.first_event_id.clone(),
            last_event_id: turn.last_event_id.clone(),
            answer_event_id: turn.answer_event_id.clone(),
            customer_messages: turn.customer_messages,
            first_unanswered: Seconds(turn.rt_first_unanswered_ms),
            last_msg: Seconds(turn.rt_last_msg_ms),
            human: Seconds(turn.rt_human_ms),
            business: TurnBusiness {
                first_unanswered: Seconds(business.rt_first_unanswered_ms),
                last_msg: Seconds(business.rt_last_msg_ms),
                human: Seconds(business.rt_human_ms),
            },
            nrt: turn.sla_nrt.map(Target::from),
        }))
    }

    fn cycle(fact: &Fact, cycle: &Cycle, open: bool) -> Self {
        let (business, silences) = (cycle.business, cycle.silences);
        Self::Cycle(Box::new(CycleLine {
            about: About::of(fact, open),
            cycle: cycle.cycle,
            started: Time(Some(cycle.started_ms)),
            ended: Time(cycle.ended_ms),
            resolved: cycle.resolved,
            reopened: cycle.reopened,
            handed_over: cycle.handed_over,
            turns: cycle.turns,
            unanswered: cycle.unanswered,
            any: Seconds(cycle.frt_any_ms),
            human: Seconds(cycle.frt_human_ms),
            substantive: Seconds(cycle.frt_substantive_ms),
            join: Seconds(cycle.frt_join_ms),
            business: CycleBusiness {
                any: Seconds(business.frt_any_ms),
                human: Seconds(business.frt_human_ms),
                substantive: Seconds(business.frt_substantive_ms),
            },
            frt: cycle.sla_frt.map(Target::from),
            resolution: cycle.sla_resolution.map(Target::from),
            silence: Silence {
                agent: silences.agent,
                agent_seconds: Seconds(Some(silences.agent_ms)),
                customer: silences.customer,
                customer_seconds: Seconds(Some(silences.customer_ms)),
                restated: silences.restated,
            },
        }))
    }

    pub(super) fn signal(signal: &Signal) -> Self {
        Self::Signal(Box::new(SignalLine {
            tenant: signal.tenant.clone(),
            conversation_id: signal.conversation_id.clone(),
            signal: signal.kind.name(),
            effective: Time(Some(signal.effective_ms)),
            severity: signal.severity,
            family: signal.family,
            category: signal.category.clone(),
            event_id: signal.event_id.clone(),
            agent: signal.agent.clone(),
            queue: signal.queue.clone(),
            team: signal.team.clone(),
            probability: signal.probability,
            rules: signal.rules.clone(),
            historical: signal.historical,
            signal_id: signal.signal_id.clone(),
        }))
    }

    /// A platform's figures over the runs of one tenant.
    pub(super) fn profile(tenant: &str, profile: &Profile, runs: &[Run], until_ms: i64) -> Self {
        let mut line = ProfileLine {
            tenant: tenant.to_owned(),
            profile: profile.name().to_owned(),
            source: profile.source().to_owned(),
            values: BTreeMap::new(),
            n: BTreeMap::new(),
            not_measured: BTreeMap::new(),
        };
        for measured in profile.measure(runs, until_ms) {
            line.n.insert(measured.id.clone(), measured.n);
            if !measured.reason.is_empty() {
                line.not_measured.insert(measured.id.clone(), measured.reason);
            }
            line.values.insert(measured.id, measured.value);
        }
        Self::Profile(line)
    }
}
