//! What is expected of a cycle: targets, silence, unanswered questions, and what is told of them.

use super::Cycle;
use crate::book::TermsRef;
use crate::deadline::{self, Clock, Due, Resolution, Stage, Told, ToldAlarm};
use crate::output::{Sla, SlaState};
use crate::policy::Terms;
use crate::turn::{Nrt, Turn};

/// Alarms of a cycle that an answer may take back, the latest of them.
const TOLD_KEPT: usize = 16;

/// A deadline that has passed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alarm {
    pub(crate) due: Due,
    pub(crate) told: Told,
    /// Turn that it is about; 0 for the whole cycle.
    pub(crate) turn: u32,
    /// The customer message that waits, if any; else empty.
    pub(crate) event_id: String,
    /// How many of its kind were told before it, where one may be told again; else 0.
    pub(crate) ordinal: u32,
    /// Whose silence it is.
    pub(crate) waits: bool,
}

/// An alarm that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TakenBack {
    pub(crate) due: Due,
    pub(crate) told: Told,
    pub(crate) turn: u32,
    pub(crate) ordinal: u32,
}

impl Cycle {
    /// Sets what is expected of the cycle that begins now.
    pub(crate) fn expect(&mut self, at: TermsRef, terms: &Terms) {
        self.terms = Some(at);
        if !self.historical {
            self.wake(terms, self.started_ms);
        }
    }

    /// Something live happens at `at_ms`: from here on deadlines count. Nothing is expected of what
    /// is only history.
    pub(crate) fn wake(&mut self, terms: &Terms, at_ms: i64) {
        if self.deadlines.is_some() || !terms.policy.expects_anything() {
            return;
        }
        self.deadlines = Some(Box::default());
        if self.reopened {
            self.ask_for_first_reply(self.started_ms.max(at_ms), Some(terms));
            self.ask_to_resolve(self.started_ms.max(at_ms), Some(terms));
        }
    }

    /// Lets the target of the first reply run from here on, if it is not answered.
    pub(super) fn ask_for_first_reply(&mut self, from_ms: i64, terms: Option<&Terms>) {
        let Some((target, terms)) = terms.and_then(|terms| Some((terms.policy.frt?, terms))) else {
            return;
        };
        if self.human.is_some() {
            return;
        }
        let Some(deadlines) = &mut self.deadlines else { return };
        if deadlines.frt.is_none() {
            deadlines.frt_from_ms = from_ms;
        }
        let clock = deadlines.frt.get_or_insert_with(Clock::stopped);
        if !deadlines.bot_serves {
            clock.restart(terms, target, from_ms.max(deadlines.frt_from_ms));
        }
    }

    /// Lets a message that expects an answer ask for the first reply, if it is the first to do so:
    /// of message, hand-off and reopen the latest counts.
    pub(super) fn ask_by_message(&mut self, sent_ms: i64, terms: Option<&Terms>) {
        let is_first = |turn: &Turn| turn.number == 1 && turn.messages.len() == 1;
        let is_first = self.open.as_deref().is_some_and(is_first);
        let reopened_ms = self.reopened.then_some(self.started_ms);
        let others = [self.handoff_before(i64::MAX), reopened_ms].into_iter().flatten();
        let from_ms = others.fold(sent_ms, i64::max);
        let Some(deadlines) = &mut self.deadlines else { return };
        let is_asked = deadlines.frt.is_some();
        if self.human.is_some() || (is_asked && !is_first) {
            return;
        }
        self.ask_for_first_reply(from_ms, terms);
        if let Some(deadlines) = &mut self.deadlines {
            let asked_ms = if is_asked { deadlines.frt_from_ms } else { sent_ms };
            deadlines.frt_from_ms = asked_ms.max(sent_ms);
        }
    }

    /// Lets the target of resolution run from here on, unless it does.
    pub(super) fn ask_to_resolve(&mut self, from_ms: i64, terms: Option<&Terms>) {
        let Some((target, terms)) = terms.and_then(|terms| Some((terms.policy.resolution?, terms)))
        else {
            return;
        };
        let Some(deadlines) = &mut self.deadlines else { return };
        match &mut deadlines.resolution {
            Some(resolution) => resolution.resume(terms, target, from_ms),
            none => *none = Some(Resolution::start(terms, target, from_ms)),
        }
    }

    /// Lets the target of the next reply run for an open turn after the first reply.
    pub(super) fn ask_for_next_reply(&mut self, terms: Option<&Terms>) {
        if let Some((terms, target)) = terms.and_then(|terms| Some((terms, terms.policy.nrt?)))
            && let (Some(_), Some(_), Some(turn)) = (&self.deadlines, self.human, &mut self.open)
            && turn.nrt == Nrt::NotAsked
            && !turn.historical
        {
            turn.nrt = Nrt::Running(Clock::start(terms, target, turn.started_ms()));
        }
    }

    pub(super) fn frt_is_missed(&self, terms: Option<&Terms>) -> bool {
        let told = self.deadlines.as_ref().and_then(|deadlines| deadlines.frt);
        told.is_some_and(|clock| clock.stage == Stage::Breached)
            && self.frt_sla(terms).is_some_and(|sla| sla.state == SlaState::Breached)
    }

    pub(super) fn take_back(&mut self, due: Due, told: Told, turn: u32, ordinal: u32) {
        self.taken_back.push(TakenBack { due, told, turn, ordinal });
    }

    /// Takes back that the resolution was missed, as it was told last.
    pub(super) fn take_back_resolution(&mut self) {
        let told = self.deadlines.as_ref().map_or(0, |deadlines| deadlines.resolution_misses);
        self.take_back(Due::Resolution, Told::Breach, 0, told.saturating_sub(1));
    }

    /// Takes back the warnings and waits that an answer sent at `sent_ms` ended before they were
    /// told.
    pub(super) fn take_back_told(&mut self, sent_ms: i64) {
        let Some(deadlines) = &mut self.deadlines else { return };
        let is_answered =
            |alarm: &mut ToldAlarm| (alarm.since_ms..=alarm.effective_ms).contains(&sent_ms);
        for alarm in deadlines.told.extract_if(.., is_answered) {
            let ToldAlarm { due, turn, ordinal, .. } = alarm;
            self.taken_back.push(TakenBack { due, told: Told::Warning, turn, ordinal });
        }
    }

    /// When the next deadline is due.
    pub(crate) fn next_due(&self, terms: Option<&Terms>) -> Option<(i64, Due)> {
        let (deadlines, terms) = (self.deadlines.as_ref()?, terms?);
        let frt = deadlines.frt.as_ref().filter(|_| self.human.is_none());
        let nrt = self.open.as_ref().and_then(|turn| turn.nrt.clock());
        let resolution = deadlines.resolution.as_ref().map(Resolution::clock);
        let question_ms = self.open.as_ref().and_then(|turn| {
            let asked_ms = turn.question()?.sent_ms;
            let wait_ms = terms.policy.question_ms.filter(|_| !deadlines.question_told)?;
            Some(asked_ms.saturating_add(wait_ms))
        });
        let silence_ms =
            terms.policy.silence.filter(|_| !deadlines.silence_told).and_then(|most| {
                self.silences.due(self.open.is_some(), most.agent_ms, most.customer_ms)
            });
        let candidates = [
            (deadline::next(frt), Due::Frt),
            (deadline::next(nrt), Due::Nrt),
            (deadline::next(resolution), Due::Resolution),
            (question_ms.unwrap_or(i64::MAX), Due::Question),
            (silence_ms.unwrap_or(i64::MAX), Due::Silence),
        ];
        candidates.into_iter().min_by_key(|&(due_ms, _)| due_ms).filter(|&(at, _)| at < i64::MAX)
    }

    /// Lets the deadline of [`next_due`](Self::next_due) pass.
    pub(crate) fn pass(&mut self, due: Due, effective_ms: i64) -> Option<Alarm> {
        let deadlines = self.deadlines.as_deref_mut()?;
        let waits = self.open.is_some();
        let (mut turn, mut ordinal, mut told) = (0, 0, Told::Breach);
        let mut message = self.open.as_ref().and_then(|turn| turn.messages.first());
        let reopened_ms = self.reopened.then_some(self.started_ms);
        let mut since_ms = message.map(|message| message.sent_ms);
        match due {
            Due::Frt => {
                told = deadline::fire(deadlines.frt.as_mut()?);
                // Any reply since is the first one, also to thanks.
                since_ms = reopened_ms.into_iter().chain(self.first_customer_ms).min();
            }
            Due::Resolution => told = deadline::fire(deadlines.resolution.as_mut()?.clock_mut()),
            Due::Question => {
                deadlines.question_told = true;
                let open = self.open.as_ref()?;
                (turn, message) = (open.number, open.question());
                since_ms = message.map(|message| message.sent_ms);
            }
            Due::Silence => {
                deadlines.silence_told = true;
                ordinal = self.silences.tell();
                since_ms = self.silences.since();
            }
            Due::Nrt => {}
        }
        let event_id = message.map(|message| message.id.to_string()).unwrap_or_default();
        if due == Due::Nrt {
            let open = self.open.as_mut()?;
            (turn, told) = (open.number, deadline::fire(open.nrt.clock_mut()?));
        }
        if due == Due::Frt && told == Told::Warning {
            ordinal = deadlines.frt_warnings;
            deadlines.frt_warnings += 1;
        }
        if due == Due::Resolution && told == Told::Breach {
            ordinal = deadlines.resolution_misses;
            deadlines.resolution_misses += 1;
        }
        let is_of_wait = match due {
            Due::Frt | Due::Nrt => told == Told::Warning,
            Due::Question => true,
            Due::Silence => waits,
            Due::Resolution => false,
        };
        if is_of_wait {
            if deadlines.told.len() == TOLD_KEPT {
                deadlines.told.remove(0);
            }
            let since_ms = since_ms.unwrap_or(i64::MIN);
            deadlines.told.push(ToldAlarm { due, since_ms, effective_ms, turn, ordinal });
        }
        Some(Alarm { due, told, turn, event_id, ordinal, waits })
    }

    /// The target of the first reply, if it was ever asked for.
    pub(super) fn frt_sla(&self, terms: Option<&Terms>) -> Option<Sla> {
        let (terms, deadlines) = (terms?, self.deadlines.as_ref()?);
        let (target, clock) = (terms.policy.frt?, deadlines.frt?);
        match (self.human, self.end) {
            (Some(reply), _) => clock.done(target, reply.sent_ms).or_else(|| {
                let from_ms = reply.start_ms.max(deadlines.frt_from_ms);
                deadline::answered(terms, target, from_ms, reply.sent_ms)
            }),
            (None, Some(_)) => clock.given_up(target),
            (None, None) => clock.open(target),
        }
    }
}
