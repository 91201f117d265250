//! One turn: a customer run and the human answer to it.

use serde::{Deserialize, Serialize};

use crate::event_id::EventId;
use crate::output;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Turn {
    pub(crate) number: u32,
    pub(crate) stated: u32,
    pub(crate) historical: bool,
    /// In log order, never empty.
    pub(crate) messages: Vec<Message>,
    pub(crate) answer: Option<Answer>,
    pub(crate) place: u32,
    /// Log time at which it was settled.
    pub(crate) settled_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) sent_ms: i64,
    pub(crate) id: EventId,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) sent_ms: i64,
    /// The last hand-off before it, as known when it was folded.
    pub(crate) handoff_ms: Option<i64>,
    /// `None` in a settled turn of one message: whatever corrects it brings another answer.
    pub(crate) id: Option<EventId>,
}

/// A human message on its way through the cycles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Human<'a> {
    pub(crate) sent_ms: i64,
    pub(crate) log_ms: i64,
    pub(crate) id: &'a str,
    pub(crate) substantive: bool,
    pub(crate) place: u32,
}

/// A turn to be stated: who it belongs to and what it says.
pub(crate) struct TurnStatement {
    pub(crate) place: u32,
    pub(crate) historical: bool,
    pub(crate) revision: u32,
    pub(crate) body: output::Turn,
}

/// What a reply leaves of a turn's messages.
pub(crate) enum Split {
    /// It was sent before all of them.
    None,
    /// It answers all of them.
    All,
    /// Those not of the part that holds the first message, as a turn without a number.
    Some(Turn),
}

impl Turn {
    /// Divides the messages into those sent at or before `sent_ms` and the others. What is
    /// split off takes over answer and place.
    pub(crate) fn split(&mut self, sent_ms: i64) -> Split {
        let answered = self.messages.iter().filter(|message| message.sent_ms <= sent_ms).count();
        if answered == 0 {
            return Split::None;
        }
        if answered == self.messages.len() {
            return Split::All;
        }
        let first = self.answers_first(sent_ms);
        let (keep, rest) = std::mem::take(&mut self.messages)
            .into_iter()
            .partition(|message| (message.sent_ms <= sent_ms) == first);
        self.messages = keep;
        Split::Some(Turn { stated: 0, messages: rest, ..self.clone_without_messages() })
    }

    fn clone_without_messages(&self) -> Self {
        Self { messages: Vec::new(), answer: self.answer.clone(), ..*self }
    }

    /// The turn's first message was sent at or before `sent_ms`.
    pub(crate) fn answers_first(&self, sent_ms: i64) -> bool {
        self.messages.first().is_some_and(|message| message.sent_ms <= sent_ms)
    }

    pub(crate) fn settle(&mut self, answer: Answer, reply: Human<'_>) {
        self.answer = Some(answer);
        self.place = reply.place;
        self.settled_ms = reply.log_ms;
    }

    /// Frees what only a split of an answered turn would need, if it cannot be split.
    pub(crate) fn drop_what_no_correction_needs(&mut self) {
        if let (Some(answer), 1) = (&mut self.answer, self.messages.len()) {
            answer.id = None;
        }
    }

    /// Moves every time by `by(time, start_ms)`.
    pub(crate) fn shift(&mut self, start_ms: i64, by: impl Fn(i64, i64) -> i64) {
        let shift = |time_ms: &mut i64| *time_ms = by(*time_ms, start_ms);
        shift(&mut self.settled_ms);
        self.messages.iter_mut().for_each(|message| shift(&mut message.sent_ms));
        if let Some(answer) = &mut self.answer {
            shift(&mut answer.sent_ms);
            answer.handoff_ms.iter_mut().for_each(shift);
        }
    }

    /// It has messages and was settled at a place below `places`.
    pub(crate) fn is_consistent(&self, places: u32) -> bool {
        self.place < places && !self.messages.is_empty()
    }

    /// The turn as a fact; counts the statement.
    pub(crate) fn statement(&mut self, cycle: u32) -> TurnStatement {
        let revision = self.stated;
        self.stated += 1;
        let text = |id: Option<&EventId>| id.map_or_else(String::new, ToString::to_string);
        let id = |message: Option<&Message>| text(message.map(|message| &message.id));
        let started_ms = self.messages.first().map_or(0, |message| message.sent_ms);
        let last_ms = self.messages.last().map_or(0, |message| message.sent_ms);
        let since = |start_ms: i64| {
            self.answer.as_ref().map(|answer| answer.sent_ms.saturating_sub(start_ms))
        };
        let handed_over_ms = self.answer.as_ref().and_then(|answer| answer.handoff_ms);
        TurnStatement {
            place: self.place,
            historical: self.historical,
            revision,
            body: output::Turn {
                cycle,
                turn: self.number,
                first_event_id: id(self.messages.first()),
                last_event_id: id(self.messages.last()),
                answer_event_id: text(self.answer.as_ref().and_then(|answer| answer.id.as_ref())),
                started_ms,
                answered_ms: self.answer.as_ref().map(|answer| answer.sent_ms),
                rt_first_unanswered_ms: since(started_ms),
                rt_last_msg_ms: since(last_ms),
                rt_human_ms: since(started_ms.max(handed_over_ms.unwrap_or(started_ms))),
                customer_messages: self.messages.len() as u32,
            },
        }
    }
}
