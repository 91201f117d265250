//! What is stated of a cycle and its turns.

use super::history::{End, History, Run, Span};
use super::targets::Told;
use super::{Breach, Cycle, Figures, NRT, SILENCE, State, Target, Terms, Turn};
use crate::traffic::{Says, What};

impl History<'_> {
    pub(super) fn cycle(&self, span: Span, number: usize, figures: &mut Figures) {
        let record = self.records[span.first];
        let (_, opened_in) = self.place_of(span.first);
        let terms = self.settings.of(&opened_in);
        let told = self.breaches(span, terms);
        let all = self.records.len();
        let any = self.first_reply(span, all, |i| self.is_human(i) || self.is_machine(i));
        let human = self.first_reply(span, all, |index| self.is_human(index));
        let substantive = self.first_reply(span, all, |index| {
            let says = self.records[index].says;
            self.is_human(index) && !matches!(says, Says::GreetingAlone | Says::HoldingAlone)
        });
        let start = |reply: Option<usize>| reply.and_then(|reply| self.start_ms(span, reply));
        let replies = [
            (any, start(any)),
            (human, start(human)),
            // It keeps the start of the first human reply.
            (substantive, start(human)),
        ];
        let wait =
            |(reply, start_ms): (Option<usize>, Option<i64>)| Some((start_ms?, self.ms(reply?)));
        let ended_ms = self.ended_ms(span);
        let is_forgotten = self.is_history() && self.is_forgotten_before(span.upto);
        let is_final = ended_ms.is_some() || is_forgotten;
        let (agent, queue) =
            human.map_or_else(|| self.place(span.upto), |reply| self.place_of(reply));
        let runs = self.runs(span, all);
        figures.cycles.push(Cycle {
            tenant: record.tenant.to_owned(),
            conversation: record.conversation.clone(),
            started_ms: self.ms(span.first),
            ended_ms,
            is_final,
            resolved: self.is_resolved(span),
            reopened: record.what == What::Reopened,
            handed_over: (span.first..span.upto).any(|index| self.is_handoff(index)),
            first: replies.map(|reply| wait(reply).map(|(from_ms, to_ms)| to_ms - from_ms)),
            join: self.join(span, number.checked_sub(1).map(|before| self.spans[before])),
            business: replies.map(|reply| {
                wait(reply).and_then(|(from_ms, to_ms)| terms.business(from_ms, to_ms))
            }),
            frt: self.frt(span, terms, &told, human),
            resolution: self.resolution(span, terms, &told),
            silences: self.silences(span),
            turns: runs.len(),
            unanswered: runs.iter().filter(|run| run.answer.is_none()).count(),
            agent,
            queue,
        });
        for run in runs {
            if run.answer.is_some() || is_final {
                figures.turns.push(self.turn(span, number, terms, &told, &run));
            }
        }
        figures.breaches.extend(told.into_iter().map(|(told, corrected)| Breach {
            tenant: record.tenant.to_owned(),
            conversation: record.conversation.clone(),
            kind: told.kind,
            effective_ms: told.due_ms,
            corrected,
        }));
    }

    pub(super) fn turn(
        &self,
        span: Span,
        number: usize,
        terms: Terms<'_>,
        told: &[(Told, bool)],
        run: &Run,
    ) -> Turn {
        let record = self.records[span.first];
        let (first, last) = (run.messages[0], run.messages[run.messages.len() - 1]);
        let handed_over_ms = run.answer.and_then(|answer| {
            let known = span.first..answer.min(span.upto);
            let handoffs = known.filter(|index| self.is_handoff(*index));
            handoffs.map(|index| self.ms(index)).filter(|at_ms| *at_ms <= self.ms(answer)).max()
        });
        let human_ms = self.ms(first).max(handed_over_ms.unwrap_or(i64::MIN));
        let starts = [self.ms(first), self.ms(last), human_ms];
        let answered_ms = run.answer.map(|answer| self.ms(answer));
        let waits = starts.map(|from_ms| Some(answered_ms? - from_ms));
        let business = starts.map(|from_ms| terms.business(from_ms, answered_ms?));
        let (agent, queue) =
            run.answer.map_or_else(|| self.place(span.upto), |answer| self.place_of(answer));
        let target_ms = terms.target("nrt").filter(|_| run.is_later && !self.is_history());
        let nrt = target_ms.map(|target_ms| {
            let due_ms = terms.due(self.ms(first), target_ms);
            let missed = told.iter().any(|(told, _)| told.kind == NRT && told.of == first);
            let state = match answered_ms {
                Some(answered_ms) if answered_ms <= due_ms => State::Met,
                Some(_) => State::Breached,
                None if missed => State::Breached,
                None => State::Cancelled,
            };
            Target { state, due_ms: Some(due_ms) }
        });
        Turn {
            tenant: record.tenant.to_owned(),
            conversation: record.conversation.clone(),
            cycle: number,
            first: self.records[first].id.clone(),
            last: self.records[last].id.clone(),
            messages: run.messages.len(),
            started_ms: self.ms(first),
            answered_ms,
            first_unanswered: waits[0],
            last_msg: waits[1],
            human: waits[2],
            business,
            nrt,
            agent,
            queue,
        }
    }

    pub(super) fn join(&self, span: Span, before: Option<Span>) -> Option<i64> {
        let forgotten = (1..=span.first).rfind(|index| self.is_forgotten_before(*index));
        let since = before.map_or(0, |before| before.upto).max(forgotten.unwrap_or(0));
        let came_in = |index: usize| {
            let by = &self.records[index].by;
            let mut joins = (since..index)
                .filter(|join| self.records[*join].what == What::Join)
                .filter(|join| self.records[*join].by == *by);
            let join_ms = self.ms(joins.next_back()?);
            Some(self.ms(index) - join_ms).filter(|wait_ms| *wait_ms >= 0)
        };
        (span.first..span.upto).filter(|index| self.is_human(*index)).find_map(came_in)
    }

    pub(super) fn silences(&self, span: Span) -> [i64; 5] {
        let [mut waited, mut waited_ms, mut others, mut others_ms, mut restated] = [0; 5];
        let mut count = |from: usize, to_ms: i64, last: Option<usize>| {
            let time_ms = to_ms - self.ms(from);
            if time_ms <= SILENCE {
                return;
            }
            let until = last.unwrap_or(span.upto);
            if self.runs(span, until).iter().any(|run| run.answer.is_none()) {
                waited += 1;
                waited_ms += time_ms;
            } else {
                others += 1;
                others_ms += time_ms;
                restated += i64::from(last.is_some_and(|last| self.is_human(last)));
            }
        };
        let seen = |index: &usize| {
            self.is_customer(*index) || self.is_human(*index) || self.is_machine(*index)
        };
        // A late message breaks no silence.
        let mut latest: Option<usize> = None;
        for index in (span.first..span.upto).filter(seen) {
            if let Some(before) = latest {
                if self.ms(index) < self.ms(before) {
                    continue;
                }
                count(before, self.ms(index), Some(index));
            }
            latest = Some(index);
        }
        if let (Some(latest), End::State(_), Some(ended_ms)) =
            (latest, span.end, self.ended_ms(span))
        {
            count(latest, ended_ms, None);
        }
        [waited, waited_ms, others, others_ms, restated]
    }
}
