//! What happened in a conversation: its cycles, runs and replies, and who was in charge.

use std::collections::BTreeSet;

use super::{DAY, Figures, Settings};
use crate::traffic::{Record, Says, What, Who};

/// Where a cycle lies in the records of its conversation.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) first: usize,
    /// Behind its last record.
    pub(super) upto: usize,
    pub(super) end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By this record.
    State(usize),
    /// Nobody said anything until then.
    Idle(i64),
    /// It is open, or history that ends nowhere.
    None,
}

/// Messages of a customer with what answered them; the one without is open.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run {
    pub(super) messages: Vec<usize>,
    pub(super) answer: Option<usize>,
    /// A person had replied before it, so that it asks for a next reply.
    pub(super) is_later: bool,
}

/// All records of a conversation, each event once.
pub(super) struct History<'a> {
    pub(super) settings: &'a Settings<'a>,
    pub(super) records: Vec<&'a Record>,
    pub(super) until_ms: i64,
    pub(super) spans: Vec<Span>,
}

impl<'a> History<'a> {
    pub(super) fn new(settings: &'a Settings<'a>, records: &[&'a Record], until_ms: i64) -> Self {
        let mut known = BTreeSet::new();
        let records = records.iter().copied().filter(|record| known.insert(record.id.as_str()));
        let mut history =
            Self { settings, records: records.collect(), until_ms, spans: Vec::new() };
        history.spans = history.find_spans();
        history
    }

    pub(super) fn tell(&self, figures: &mut Figures) {
        for (number, &span) in self.spans.iter().enumerate() {
            self.cycle(span, number, figures);
        }
    }

    /// The time a record counts at: no publisher's clock is ahead of the log.
    pub(super) fn ms(&self, index: usize) -> i64 {
        self.records[index].sent_ms.min(self.records[index].at_ms)
    }

    pub(super) fn is_history(&self) -> bool {
        self.records[0].backfill
    }

    pub(super) fn is_customer(&self, index: usize) -> bool {
        self.records[index].what == What::Message && self.records[index].who == Who::Customer
    }

    pub(super) fn is_human(&self, index: usize) -> bool {
        self.records[index].what == What::Message
            && matches!(self.records[index].who, Who::Agent | Who::Assist | Who::Template)
    }

    pub(super) fn is_machine(&self, index: usize) -> bool {
        self.records[index].what == What::Message
            && matches!(self.records[index].who, Who::Bot | Who::Ai | Who::Auto)
    }

    pub(super) fn is_handoff(&self, index: usize) -> bool {
        self.records[index].what == What::Handoff
    }

    /// A customer's message that is more than thanks.
    pub(super) fn asks(&self, index: usize) -> bool {
        self.is_customer(index) && self.records[index].says != Says::ThanksAlone
    }

    pub(super) fn find_spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut from = 0;
        let opens = |index: &usize| {
            self.is_customer(*index)
                || matches!(self.records[*index].what, What::Open | What::Reopened)
        };
        while let Some(first) = (from..self.records.len()).find(opens) {
            let mut span = Span { first, upto: first + 1, end: End::None };
            loop {
                if let Some(idle_ms) = self.idle_ms(span) {
                    span.end = End::Idle(idle_ms);
                    break;
                }
                let Some(record) = self.records.get(span.upto) else { break };
                if self.is_history() && self.is_forgotten_before(span.upto) {
                    break;
                }
                span.upto += 1;
                if matches!(record.what, What::Resolved | What::Closed) {
                    span.end = End::State(span.upto - 1);
                    break;
                }
            }
            from = span.upto;
            spans.push(span);
        }
        spans
    }

    /// When a cycle ends by itself before the record behind `span`, if it does: a day after the
    /// last message of anybody, while no customer waits.
    pub(super) fn idle_ms(&self, span: Span) -> Option<i64> {
        let waits = self.runs(span, span.upto).iter().any(|run| run.answer.is_none());
        if waits || self.is_history() {
            return None;
        }
        let said = |index: &usize| self.records[*index].what == What::Message;
        let last = (span.first..span.upto).rfind(said).unwrap_or(span.first);
        let idle_ms = self.records[last].at_ms + DAY;
        let next_ms = self.records.get(span.upto).map_or(self.until_ms, |record| record.at_ms);
        (idle_ms <= next_ms).then_some(idle_ms)
    }

    /// Nothing happened for a day before a record, in no open cycle or one that is history: what
    /// was known of the conversation is forgotten.
    pub(super) fn is_forgotten_before(&self, index: usize) -> bool {
        let is_in = |span: &&Span| span.first < index && index < span.upto;
        if !self.is_history() && self.spans.iter().any(|span| is_in(&span)) {
            return false;
        }
        let ends = self.spans.iter().filter(|span| span.upto <= index);
        let ends = ends.filter_map(|span| self.ended_ms(*span));
        let records = self.records[..index].iter();
        let last = records.map(|record| record.at_ms.max(record.sent_ms)).chain(ends).max();
        let next_ms = self.records.get(index).map_or(self.until_ms, |record| record.at_ms);
        last.is_some_and(|last_ms| last_ms + DAY <= next_ms)
    }

    pub(super) fn ended_ms(&self, span: Span) -> Option<i64> {
        match span.end {
            End::State(index) => Some(self.ms(index).max(self.ms(span.first))),
            End::Idle(at_ms) => Some(at_ms),
            End::None => None,
        }
    }

    /// The runs of a cycle, as the records before `until` leave them; what comes after its end
    /// changes it by replies alone.
    pub(super) fn runs(&self, span: Span, until: usize) -> Vec<Run> {
        let has_replied = |until| self.first_reply(span, until, |i| self.is_human(i)).is_some();
        let mut runs: Vec<Run> = Vec::new();
        for index in span.first..until {
            let is_over = index >= span.upto;
            if !is_over && self.is_customer(index) {
                match runs.iter_mut().find(|run| run.answer.is_none()) {
                    Some(open) => open.messages.push(index),
                    None if self.asks(index) => {
                        let is_later = has_replied(index);
                        runs.push(Run { messages: vec![index], answer: None, is_later });
                    }
                    None => {}
                }
            }
            if !self.is_human(index) {
                continue;
            }
            let sent_ms = self.ms(index);
            for number in 0..runs.len() {
                let Run { messages, answer: before, is_later } = runs[number].clone();
                let open_until_ms = match before {
                    Some(answer) => Some(self.ms(answer)),
                    None if is_over => self.ended_ms(span),
                    None => None,
                };
                if open_until_ms.is_some_and(|open_until_ms| sent_ms >= open_until_ms) {
                    continue;
                }
                let (answered, others): (Vec<usize>, Vec<usize>) =
                    messages.into_iter().partition(|message| self.ms(*message) <= sent_ms);
                if answered.is_empty() {
                    runs[number].is_later |= !is_over && before.is_none() && has_replied(index + 1);
                    continue;
                }
                runs[number] = Run { messages: answered, answer: Some(index), is_later };
                if !others.is_empty() {
                    let is_later = is_later || has_replied(index + 1);
                    runs.push(Run { messages: others, answer: before, is_later });
                }
            }
        }
        runs
    }

    /// From when a reply counts: the latest of first customer message, reopen and hand-off, of
    /// those that were logged before it and not sent after it.
    pub(super) fn start_ms(&self, span: Span, reply: usize) -> Option<i64> {
        let known = span.first..reply.min(span.upto);
        let reopen = (self.records[span.first].what == What::Reopened).then_some(span.first);
        let first = known.clone().find(|index| self.is_customer(*index));
        let sent_before = |index: &usize| self.ms(*index) <= self.ms(reply);
        let base = [reopen, first].into_iter().flatten().filter(sent_before);
        let base_ms = base.map(|index| self.ms(index)).max()?;
        let handoffs = known.filter(|index| self.is_handoff(*index)).filter(sent_before);
        Some(handoffs.map(|index| self.ms(index)).max().unwrap_or(base_ms).max(base_ms))
    }

    /// The first reply of a kind among the records before `until`: the one that was sent first.
    /// After the end of the cycle one counts if it was sent before that, or before the first.
    pub(super) fn first_reply(
        &self,
        span: Span,
        until: usize,
        counts: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mut first: Option<usize> = None;
        for index in (span.first..until).filter(|index| counts(*index)) {
            let open_until_ms = match first {
                Some(first) => Some(self.ms(first)),
                None if index >= span.upto => self.ended_ms(span),
                None => None,
            };
            let in_time = open_until_ms.is_none_or(|until_ms| self.ms(index) < until_ms);
            if in_time && self.start_ms(span, index).is_some() {
                first = Some(index);
            }
        }
        first
    }

    /// Who is in charge, and where, after the records before `until`.
    pub(super) fn place(&self, until: usize) -> (String, String) {
        let (mut agent, mut queue) = (String::new(), String::new());
        for index in 0..until {
            (agent, queue) = self.place_left(index, agent, queue);
            if !self.is_late(index) {
                (agent, queue) = self.place_said(index, &agent, &queue);
            }
        }
        (agent, queue)
    }

    /// What is left of a place when a record comes: whoever was in charge of a cycle is not of
    /// what comes after it.
    pub(super) fn place_left(
        &self,
        index: usize,
        agent: String,
        queue: String,
    ) -> (String, String) {
        let has_ended = |span: &Span| span.end != End::None && span.upto == index;
        if index > 0 && self.is_forgotten_before(index) {
            (String::new(), String::new())
        } else if self.spans.iter().any(has_ended) {
            (String::new(), queue)
        } else {
            (agent, queue)
        }
    }

    /// It was sent before something that the log had taken in already.
    pub(super) fn is_late(&self, index: usize) -> bool {
        (0..index).any(|other| self.ms(other) > self.ms(index))
    }

    /// What a record says of agent and queue, given those before it.
    pub(super) fn place_said(&self, index: usize, agent: &str, queue: &str) -> (String, String) {
        let record = self.records[index];
        let agent = match record.what {
            What::Message if self.is_human(index) => record.by.clone(),
            What::Join | What::Assign => record.by.clone(),
            What::Leave if record.by == agent => String::new(),
            _ => agent.to_owned(),
        };
        let queue = if record.queue.is_empty() { queue } else { record.queue };
        (agent, queue.to_owned())
    }

    /// Agent and queue of a reply.
    pub(super) fn place_of(&self, reply: usize) -> (String, String) {
        let (agent, queue) = self.place(reply);
        let (agent, queue) = self.place_left(reply, agent, queue);
        self.place_said(reply, &agent, &queue)
    }
}
