//! Targets of a cycle: when they are due, which were missed, and what of that was taken back.

use super::history::{End, History, Span};
use super::{FRT, NRT, RESOLUTION, State, Target, Terms};
use crate::traffic::{What, Who};

/// A breach of a cycle that was told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) kind: &'static str,
    /// The message that waited; its own cycle's beginning for what is of the cycle.
    pub(super) of: usize,
    pub(super) due_ms: i64,
}

impl History<'_> {
    /// Targets of a cycle that were told as missed, and whether that was taken back.
    pub(super) fn breaches(&self, span: Span, terms: Terms<'_>) -> Vec<(Told, bool)> {
        if self.is_history() {
            return Vec::new();
        }
        let mut told: Vec<Told> = Vec::new();
        for until in span.first + 1..=span.upto {
            let dues = [self.frt_due(span, until, terms), self.nrt_due(span, until, terms)];
            for due in dues.into_iter().flatten() {
                let is_told = told.iter().any(|told| (told.kind, told.of) == (due.kind, due.of));
                if self.comes(span, until, due.due_ms) && !is_told {
                    told.push(due);
                }
            }
        }
        // What was sent in time and came to light later.
        let human = self.first_reply(span, self.records.len(), |index| self.is_human(index));
        let runs = self.runs(span, self.records.len());
        let is_corrected = |told: &Told| {
            let answer = match told.kind {
                FRT => human,
                _ => runs.iter().find(|run| run.messages[0] == told.of).and_then(|run| run.answer),
            };
            answer.is_some_and(|answer| self.ms(answer) <= told.due_ms)
        };
        let mut all: Vec<_> = told.into_iter().map(|told| (told, is_corrected(&told))).collect();
        all.extend(self.missed_resolutions(span, terms));
        all
    }

    /// Whether a time comes, in a cycle that is open, before the record at `until` is folded.
    pub(super) fn comes(&self, span: Span, until: usize, due_ms: i64) -> bool {
        let next_ms = self.records.get(until).map_or(self.until_ms, |record| record.at_ms);
        let is_over = until == span.upto
            && match span.end {
                // An idle cycle ends before what is due at the same time.
                End::Idle(idle_ms) => due_ms >= idle_ms,
                End::State(_) => true,
                End::None => false,
            };
        due_ms <= next_ms && !is_over
    }

    pub(super) fn is_resolved(&self, span: Span) -> bool {
        matches!(span.end, End::State(index) if self.records[index].what == What::Resolved)
    }

    /// What asks for the first reply, and from when: the latest of the first message that expects
    /// an answer, the reopen, and the hand-offs.
    pub(super) fn asked_ms(&self, span: Span, until: usize) -> Option<i64> {
        let reopen = (self.records[span.first].what == What::Reopened).then_some(span.first);
        let first = (span.first..until).find(|index| self.asks(*index));
        let asked_ms = [reopen, first].into_iter().flatten().map(|index| self.ms(index)).max()?;
        let handoffs = (span.first..until).filter(|index| self.is_handoff(*index));
        Some(handoffs.map(|index| self.ms(index)).fold(asked_ms, i64::max))
    }

    /// A bot serves and nobody was asked to take over.
    pub(super) fn waits_for_handoff(&self, span: Span, until: usize, terms: Terms<'_>) -> bool {
        let serves = |index: usize| self.is_machine(index) && self.records[index].who != Who::Auto;
        terms.policy["frt_waits_for_handoff"] == true
            && (span.first..until).any(serves)
            && !(span.first..until).any(|index| self.is_handoff(index))
    }

    pub(super) fn frt_due(&self, span: Span, until: usize, terms: Terms<'_>) -> Option<Told> {
        let target_ms = terms.target("frt")?;
        let replied = self.first_reply(span, until, |index| self.is_human(index)).is_some();
        if replied || self.waits_for_handoff(span, until, terms) {
            return None;
        }
        let due_ms = terms.due(self.asked_ms(span, until)?, target_ms);
        Some(Told { kind: FRT, of: span.first, due_ms })
    }

    pub(super) fn nrt_due(&self, span: Span, until: usize, terms: Terms<'_>) -> Option<Told> {
        let target_ms = terms.target("nrt")?;
        let runs = self.runs(span, until);
        let run = runs.iter().find(|run| run.answer.is_none() && run.is_later)?;
        let due_ms = terms.due(self.ms(run.messages[0]), target_ms);
        Some(Told { kind: NRT, of: run.messages[0], due_ms })
    }

    /// The time to resolve runs from the first message that expects an answer, or the reopen. If
    /// the policy says so it stands still from an answer to the next such message; an answer that
    /// was sent before it was missed takes that back.
    pub(super) fn missed_resolutions(&self, span: Span, terms: Terms<'_>) -> Vec<(Told, bool)> {
        let Some(mut left_ms) = terms.target("resolution") else { return Vec::new() };
        let pauses = terms.policy["resolution"]["pauses_on_customer"] == true;
        let mut told: Vec<(Told, bool)> = Vec::new();
        let (mut runs_since, mut stands_since): (Option<i64>, Option<i64>) = (None, None);
        for index in span.first..span.upto {
            let missed = told.last_mut().filter(|(_, taken_back)| !taken_back);
            let asks = self.asks(index)
                || (index == span.first && self.records[index].what == What::Reopened);
            if asks && missed.is_none() && runs_since.is_none() {
                runs_since = Some(self.ms(index).max(stands_since.unwrap_or(i64::MIN)));
            }
            let answers = self.is_human(index)
                && (span.first..index).any(|other| self.is_customer(other))
                && self.runs(span, index + 1).iter().all(|run| run.answer.is_some());
            let sent_ms = self.ms(index);
            let is_in_time = missed.as_ref().is_none_or(|(told, _)| sent_ms <= told.due_ms);
            if let Some(since_ms) = runs_since.filter(|_| pauses && answers && is_in_time) {
                if let Some((_, taken_back)) = missed {
                    *taken_back = true;
                }
                left_ms = (left_ms - terms.passed(since_ms, sent_ms)).max(0);
                stands_since = Some(sent_ms.max(since_ms));
                runs_since = None;
            }
            let is_missed = told.last().is_some_and(|(_, taken_back)| !taken_back);
            if let Some(since_ms) = runs_since.filter(|_| !is_missed) {
                let due_ms = terms.due(since_ms, left_ms);
                if self.comes(span, index + 1, due_ms) {
                    told.push((Told { kind: RESOLUTION, of: span.first, due_ms }, false));
                }
            }
        }
        if let Some((told, taken_back)) = told.last_mut() {
            let ended_ms = self.ended_ms(span).filter(|_| self.is_resolved(span));
            *taken_back |= ended_ms.is_some_and(|ended_ms| ended_ms <= told.due_ms);
        }
        told
    }

    pub(super) fn frt(
        &self,
        span: Span,
        terms: Terms<'_>,
        told: &[(Told, bool)],
        human: Option<usize>,
    ) -> Option<Target> {
        let target_ms = terms.target("frt").filter(|_| !self.is_history())?;
        // What was logged after the first reply asks for none, unless the reply was late.
        let mut replies = (span.first..self.records.len()).filter(|index| {
            self.is_human(*index) && human.is_some() && self.start_ms(span, *index).is_some()
        });
        let until = replies.next().map_or(span.upto, |reply| reply.min(span.upto));
        let asked_ms = self.asked_ms(span, until)?;
        let missed = told.iter().find(|(told, _)| told.kind == FRT);
        let (state, due_ms) = match (human, missed) {
            (Some(human), Some((missed, _))) => {
                let in_time = self.ms(human) <= missed.due_ms;
                (if in_time { State::Met } else { State::Breached }, Some(missed.due_ms))
            }
            (Some(_), None) if self.waits_for_handoff(span, until, terms) => (State::Met, None),
            (Some(human), None) => {
                let first = (span.first..until).find(|index| self.asks(*index));
                let first_ms = first.map_or(i64::MIN, |index| self.ms(index));
                let from_ms = self.start_ms(span, human)?.max(first_ms);
                let due_ms = terms.due(from_ms, target_ms);
                let in_time = self.ms(human) <= due_ms;
                (if in_time { State::Met } else { State::Breached }, Some(due_ms))
            }
            (None, Some((missed, _))) => (State::Breached, Some(missed.due_ms)),
            (None, None) => {
                let is_over = self.ended_ms(span).is_some();
                let stands = self.waits_for_handoff(span, until, terms);
                let due_ms = (!stands).then(|| terms.due(asked_ms, target_ms));
                (if is_over { State::Cancelled } else { State::Pending }, due_ms)
            }
        };
        Some(Target { state, due_ms })
    }

    pub(super) fn resolution(
        &self,
        span: Span,
        terms: Terms<'_>,
        told: &[(Told, bool)],
    ) -> Option<State> {
        terms.target("resolution").filter(|_| !self.is_history())?;
        let reopens = self.records[span.first].what == What::Reopened;
        if !reopens && !(span.first..span.upto).any(|index| self.asks(index)) {
            return None;
        }
        let missed = told.iter().any(|(told, back)| told.kind == RESOLUTION && !back);
        Some(match (missed, self.is_resolved(span), self.ended_ms(span)) {
            (true, _, _) => State::Breached,
            (false, true, _) => State::Met,
            (false, false, Some(_)) => State::Cancelled,
            (false, false, None) => State::Pending,
        })
    }
}
