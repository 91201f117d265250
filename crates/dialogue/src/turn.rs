//! One turn: a customer run and the human answer to it.

use serde::{Deserialize, Serialize};

use crate::deadline::{self, Clock, Stage};
use crate::event_id::EventId;
use crate::output::{self, Sla, SlaState, TurnBusiness};
use crate::policy::Terms;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Turn {
    pub(crate) number: u32,
    pub(crate) stated: u32,
    pub(crate) historical: bool,
    pub(crate) nrt: Nrt,
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
    pub(crate) wants: Wants,
}

/// What a customer's message wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Wants {
    /// It takes note, or says thanks or praise.
    Nothing,
    /// That somebody sees to it.
    Care,
    /// An answer to a question, and somebody is told if none comes.
    Answer,
}

/// The target of the next reply, as far as this turn is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Nrt {
    /// No policy, the first reply of the cycle, or history.
    NotAsked,
    Running(Clock),
    /// The turn is settled; whether the target had been told as missed.
    Settled {
        told: bool,
    },
}

impl Nrt {
    pub(crate) fn clock(&self) -> Option<&Clock> {
        match self {
            Self::Running(clock) => Some(clock),
            Self::NotAsked | Self::Settled { .. } => None,
        }
    }

    pub(crate) fn clock_mut(&mut self) -> Option<&mut Clock> {
        match self {
            Self::Running(clock) => Some(clock),
            Self::NotAsked | Self::Settled { .. } => None,
        }
    }

    fn settle(&mut self) {
        if let Self::Running(clock) = self {
            *self = Self::Settled { told: clock.stage == Stage::Breached };
        }
    }
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
    /// It only asks to wait.
    pub(crate) holding: bool,
    pub(crate) place: u32,
    /// When this agent came in last, if that is known.
    pub(crate) joined_ms: Option<i64>,
    pub(crate) historical: bool,
}

/// A turn to be stated: who it belongs to and what it says.
pub(crate) struct TurnStatement {
    pub(crate) place: u32,
    pub(crate) historical: bool,
    pub(crate) revision: u32,
    /// A missed target was told that turns out to have been met.
    pub(crate) corrects_nrt: bool,
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
        // What was told stays with the part that keeps the number.
        let nrt = match self.nrt {
            Nrt::NotAsked => Nrt::NotAsked,
            Nrt::Settled { .. } | Nrt::Running(_) => Nrt::Settled { told: false },
        };
        Split::Some(Turn { stated: 0, messages: rest, answer: self.answer.clone(), nrt, ..*self })
    }

    /// The turn's first message was sent at or before `sent_ms`.
    pub(crate) fn answers_first(&self, sent_ms: i64) -> bool {
        self.messages.first().is_some_and(|message| message.sent_ms <= sent_ms)
    }

    pub(crate) fn started_ms(&self) -> i64 {
        self.messages.first().map_or(0, |message| message.sent_ms)
    }

    /// The first question in it.
    pub(crate) fn question(&self) -> Option<&Message> {
        self.messages.iter().find(|message| message.wants == Wants::Answer)
    }

    /// The customer wants more than to take note or to say thanks.
    pub(crate) fn demands(&self) -> bool {
        self.messages.iter().any(|message| message.wants > Wants::Nothing)
    }

    /// Nobody will answer it.
    pub(crate) fn give_up(&mut self, place: u32, log_ms: i64) {
        self.nrt.settle();
        self.place = place;
        self.settled_ms = log_ms;
    }

    pub(crate) fn settle(&mut self, answer: Answer, reply: Human<'_>) {
        self.nrt.settle();
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
    pub(crate) fn statement(&mut self, cycle: u32, terms: Option<&Terms>) -> TurnStatement {
        let revision = self.stated;
        self.stated += 1;
        let nrt = self.nrt_sla(terms);
        let told = self.nrt == Nrt::Settled { told: true };
        let corrects_nrt = told && nrt.is_some_and(|sla| sla.state == SlaState::Met);
        if corrects_nrt {
            self.nrt = Nrt::Settled { told: false };
        }
        let text = |id: Option<&EventId>| id.map_or_else(String::new, ToString::to_string);
        let id = |message: Option<&Message>| text(message.map(|message| &message.id));
        let started_ms = self.started_ms();
        let last_ms = self.messages.last().map_or(0, |message| message.sent_ms);
        let since = |start_ms: i64| {
            self.answer.as_ref().map(|answer| answer.sent_ms.saturating_sub(start_ms))
        };
        let business = |start_ms: i64| terms?.business(start_ms, self.answer.as_ref()?.sent_ms);
        let handed_over_ms = self.answer.as_ref().and_then(|answer| answer.handoff_ms);
        let human_ms = started_ms.max(handed_over_ms.unwrap_or(started_ms));
        TurnStatement {
            place: self.place,
            historical: self.historical,
            revision,
            corrects_nrt,
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
                rt_human_ms: since(human_ms),
                business: TurnBusiness {
                    rt_first_unanswered_ms: business(started_ms),
                    rt_last_msg_ms: business(last_ms),
                    rt_human_ms: business(human_ms),
                },
                sla_nrt: nrt,
                customer_messages: self.messages.len() as u32,
            },
        }
    }

    /// The target of the next reply, as it stands or as the turn was settled.
    fn nrt_sla(&self, terms: Option<&Terms>) -> Option<Sla> {
        let (target, terms) = (terms?.policy.nrt?, terms?);
        let told = match self.nrt {
            Nrt::NotAsked => return None,
            Nrt::Running(clock) => return clock.open(target),
            Nrt::Settled { told } => told,
        };
        let from_ms = self.started_ms();
        let Some(answer) = &self.answer else {
            let state = if told { SlaState::Breached } else { SlaState::Cancelled };
            let due_ms = Some(terms.due(from_ms, target.target_ms)?);
            return Some(Sla { state, target_ms: target.target_ms, due_ms });
        };
        deadline::answered(terms, target, from_ms, answer.sent_ms)
    }
}
