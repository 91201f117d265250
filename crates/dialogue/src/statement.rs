//! Facts and signals of one conversation: what they are called, and what all of them say.

use serde::{Deserialize, Serialize};

use crate::book::Book;
use crate::cycle::{Alarm, Cycle, CycleId, TakenBack};
use crate::deadline::{Due, Told};
use crate::event::{Event, UrgentCategory};
use crate::ledger::Outcome;
use crate::output::{
    self, Complaint, Correction, Fact, FactBody, Family, FormerIds, Output, Presence, Severity,
    Signal, SignalKind,
};
use crate::place::Place;
use crate::slots::Settled;
use crate::turn::TurnStatement;

/// Places looked through for an equal one before a new one is kept: agents take turns, queues
/// seldom change, so an equal one is near the end.
const PLACES_SEARCHED: usize = 16;

/// What every fact and signal of the conversation says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) tenant: Box<str>,
    pub(crate) id: Box<str>,
    pub(crate) customer: Box<str>,
    pub(crate) former: FormerIds,
    /// Never empty.
    pub(crate) places: Vec<Place>,
}

/// What makes a signal one.
pub(crate) struct Cause {
    pub(crate) signal_id: String,
    pub(crate) kind: SignalKind,
    pub(crate) severity: Severity,
    pub(crate) family: Family,
}

/// Kind and severity of an alarm, while the customer waits or not.
fn kind_of(due: Due, told: Told, waits: bool) -> (SignalKind, Severity) {
    match (due, told) {
        (Due::Frt, Told::Warning) => (SignalKind::FrtWarning, Severity::Warning),
        (Due::Frt, Told::Breach) => (SignalKind::FrtBreach, Severity::High),
        (Due::Nrt, Told::Warning) => (SignalKind::NrtWarning, Severity::Warning),
        (Due::Nrt, Told::Breach) => (SignalKind::NrtBreach, Severity::High),
        (Due::Resolution, Told::Warning) => (SignalKind::ResolutionWarning, Severity::Warning),
        (Due::Resolution, Told::Breach) => (SignalKind::ResolutionBreach, Severity::High),
        (Due::Question, _) => (SignalKind::QuestionUnanswered, Severity::Warning),
        (Due::Silence, _) if waits => (SignalKind::AgentSilence, Severity::Warning),
        (Due::Silence, _) => (SignalKind::CustomerSilence, Severity::Info),
    }
}

/// Hash of what makes a signal the same signal, in lower-case hex.
pub(crate) fn signal_id<'a>(parts: impl IntoIterator<Item = &'a &'a str>) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_string()
}

impl Identity {
    /// Index of `place`, which is kept if it is new.
    pub(crate) fn keep(&mut self, place: Place) -> u32 {
        let recent = self.places.iter().enumerate().rev().take(PLACES_SEARCHED);
        if let Some((index, _)) = recent.into_iter().find(|(_, other)| **other == place) {
            return index as u32;
        }
        self.places.reserve_exact(1);
        self.places.push(place);
        (self.places.len() - 1) as u32
    }

    /// States a turn, and takes back what was told of it if that does not hold.
    pub(crate) fn turn(&self, cycle_key: u64, turn: TurnStatement, out: &mut Vec<Output>) {
        let TurnStatement { place, historical, revision, corrects_nrt, body } = turn;
        let (number, at_ms) = (body.turn, body.started_ms);
        let fact_id = format!("{}/{cycle_key:016x}/t{number}", self.id);
        let correction = corrects_nrt.then(|| {
            let kind = SignalKind::NrtBreach;
            let signal_id = self.alarm_id(kind, cycle_key, number, 0);
            let body = FactBody::Correction(Correction { signal_id, kind });
            self.fact(format!("{fact_id}/nrt"), 0, at_ms, place, historical, body)
        });
        let body = FactBody::Turn(body);
        out.push(Output::Fact(self.fact(fact_id, revision, at_ms, place, historical, body)));
        out.extend(correction.map(Output::Fact));
    }

    /// Takes back an alarm of a cycle.
    pub(crate) fn correction(&self, cycle: &Cycle, taken: TakenBack, place: u32) -> Output {
        let (kind, _) = kind_of(taken.due, taken.told, true);
        let signal_id = self.alarm_id(kind, cycle.key, taken.turn, taken.ordinal);
        let (turn, ordinal) = (taken.turn, taken.ordinal);
        Output::Fact(self.fact(
            format!("{}/{:016x}/{}/{turn}.{ordinal}", self.id, cycle.key, kind.name()),
            0,
            cycle.started_ms,
            cycle.place().unwrap_or(place),
            cycle.historical,
            FactBody::Correction(Correction { signal_id, kind }),
        ))
    }

    /// What came with time and without a message.
    pub(crate) fn alarm(&self, cycle_key: u64, alarm: &Alarm, due_ms: i64, place: u32) -> Signal {
        let (kind, severity) = kind_of(alarm.due, alarm.told, alarm.waits);
        let signal_id = self.alarm_id(kind, cycle_key, alarm.turn, alarm.ordinal);
        let cause = Cause { signal_id, kind, severity, family: Family::Sla };
        self.signal(cause, &alarm.event_id, due_ms, place)
    }

    /// A promise that nears its time, or is broken.
    pub(crate) fn promise_signal(&self, kind: SignalKind, outcome: &Outcome) -> Signal {
        let entry = &outcome.entry;
        let severity =
            if kind == SignalKind::PromiseBroken { Severity::High } else { Severity::Warning };
        let signal_id = self.alarm_id(kind, entry.cycle_key, entry.number, 0);
        let cause = Cause { signal_id, kind, severity, family: Family::Sla };
        // A promise that nears its time is not settled, and told when its warning was due.
        let effective_ms = outcome.at_ms.unwrap_or(entry.warned_ms());
        self.signal(cause, &entry.event_id.to_string(), effective_ms, entry.place)
    }

    /// A signal that is certain: something happened, or time has passed.
    pub(crate) fn signal(
        &self,
        cause: Cause,
        event_id: &str,
        effective_ms: i64,
        place: u32,
    ) -> Signal {
        let place = &self.places[place as usize];
        Signal {
            signal_id: cause.signal_id,
            tenant: self.tenant.to_string(),
            conversation_id: self.id.to_string(),
            family: cause.family,
            kind: cause.kind,
            category: String::new(),
            severity: cause.severity,
            event_id: event_id.to_owned(),
            effective_ms,
            probability: 1.0,
            rules: Vec::new(),
            related: Vec::new(),
            agent: place.agent().to_string(),
            customer: self.customer.to_string(),
            channel: place.channel().to_string(),
            queue: place.queue().to_string(),
            team: place.team().to_string(),
            historical: false,
        }
    }

    pub(crate) fn slot(&self, cycle: CycleId, slot: Settled) -> Output {
        let (revision, place, present) = (slot.revision, slot.place, slot.is_present());
        let fact_id = format!("{}/{:016x}/{}{}", self.id, cycle.key, slot.kind.name(), slot.number);
        let body = FactBody::Slot(output::Slot {
            cycle: cycle.number,
            kind: slot.kind,
            due_ms: slot.due_ms,
            due_event_id: slot.due_event_id,
            present,
            event_id: slot.event_id,
        });
        Output::Fact(self.fact(fact_id, revision, slot.due_ms, place, cycle.historical, body))
    }

    pub(crate) fn complaint(
        &self,
        cycle: CycleId,
        event: &Event<'_>,
        at_ms: i64,
        historical: bool,
        again: bool,
        place: u32,
    ) -> Output {
        let place = &self.places[place as usize];
        let urgent = event.marks.urgent;
        let category = urgent.and_then(|urgent| urgent.category);
        Output::Complaint(Complaint {
            tenant: self.tenant.to_string(),
            conversation_id: self.id.to_string(),
            cycle_id: format!("{}/{:016x}", self.id, cycle.key),
            event_id: event.event_id.to_owned(),
            at_ms,
            urgent: urgent.is_some(),
            dangerous: matches!(category, Some(UrgentCategory::Safety | UrgentCategory::Crisis)),
            again,
            agent: place.agent().to_string(),
            customer: self.customer.to_string(),
            former: self.former.clone(),
            channel: place.channel().to_string(),
            queue: place.queue().to_string(),
            team: place.team().to_string(),
            historical,
        })
    }

    pub(crate) fn presence(&self, who: &str, here: bool, at_ms: i64, place: u32) -> Output {
        Output::Presence(Presence {
            tenant: self.tenant.to_string(),
            conversation_id: self.id.to_string(),
            team: self.places[place as usize].team().to_string(),
            supervisor: who.to_owned(),
            here,
            at_ms,
        })
    }

    pub(crate) fn session(
        &self,
        cycle: &Cycle,
        revision: u32,
        mut session: output::Session,
        place: u32,
    ) -> Output {
        let stints = cycle.stints().map(|stint| output::Stint {
            agent: self.places[stint.place as usize].agent().to_string(),
            messages: stint.messages,
            active_ms: stint.active_ms,
            mechanical: stint.mechanical,
        });
        session.stints = stints.collect();
        Output::Fact(self.fact(
            format!("{}/{:016x}/s", self.id, cycle.key),
            revision,
            cycle.started_ms,
            cycle.place().unwrap_or(place),
            cycle.historical,
            FactBody::Session(session),
        ))
    }

    /// States a promise, and takes back what was told of it if that does not hold.
    pub(crate) fn promise(&self, outcome: Outcome, out: &mut Vec<Output>) {
        let revision = outcome.revision();
        let Outcome { entry, state, at_ms, event_id, takes_back } = outcome;
        let (place, historical) = (entry.place, entry.historical);
        let fact_id = format!("{}/{:016x}/p{}", self.id, entry.cycle_key, entry.number);
        let body = FactBody::Promise(output::Promise {
            kind: entry.kind,
            made_ms: entry.made_ms,
            due_ms: entry.due_ms,
            made_event_id: entry.event_id.to_string(),
            state,
            settled_ms: at_ms,
            event_id,
        });
        let mut state = |fact_id: String, revision: u32, body: FactBody| {
            let fact = self.fact(fact_id, revision, entry.made_ms, place, historical, body);
            out.push(Output::Fact(fact));
        };
        for kind in takes_back {
            let signal_id = self.alarm_id(kind, entry.cycle_key, entry.number, 0);
            let body = FactBody::Correction(Correction { signal_id, kind });
            state(format!("{fact_id}/{}", kind.name()), 0, body);
        }
        state(fact_id, revision, body);
    }

    fn alarm_id(&self, kind: SignalKind, cycle_key: u64, turn: u32, ordinal: u32) -> String {
        let (cycle, turn) = (format!("{cycle_key:016x}"), format!("{turn}"));
        self.signal_id(kind, &[&cycle, &turn, &format!("{ordinal}")])
    }

    /// Hash of what makes a signal the same signal, in lower-case hex.
    pub(crate) fn signal_id(&self, kind: SignalKind, parts: &[&str]) -> String {
        signal_id([&*self.tenant, &*self.id, kind.name()].iter().chain(parts))
    }

    pub(crate) fn cycle(&self, cycle: &mut Cycle, current_place: u32, book: &Book) -> Fact {
        let revision = cycle.stated;
        cycle.stated += 1;
        self.fact(
            format!("{}/{:016x}", self.id, cycle.key),
            revision,
            cycle.started_ms,
            cycle.place().unwrap_or(current_place),
            cycle.historical,
            FactBody::Cycle(cycle.body(book.terms(cycle.terms))),
        )
    }

    fn fact(
        &self,
        fact_id: String,
        revision: u32,
        at_ms: i64,
        place: u32,
        historical: bool,
        body: FactBody,
    ) -> Fact {
        let place = &self.places[place as usize];
        Fact {
            tenant: self.tenant.to_string(),
            conversation_id: self.id.to_string(),
            fact_id,
            revision,
            at_ms,
            agent: place.agent().to_string(),
            customer: self.customer.to_string(),
            former: self.former.clone(),
            channel: place.channel().to_string(),
            queue: place.queue().to_string(),
            team: place.team().to_string(),
            historical,
            body,
        }
    }
}
