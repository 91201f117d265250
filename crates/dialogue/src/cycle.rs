//! One care cycle: its turns, its first replies, and what a late reply changes in them.
//!
//! All times of messages are *judged* times, min(`sent_at`, log time). "First" and "last" of a
//! run are by log order; what a reply answers is by time (metrics.md section 2).

use serde::{Deserialize, Serialize};

use crate::output;

/// Hand-offs that a cycle remembers, latest first to stay. More than a handful means a loop
/// between bots; only a reply later than its 64 latest hand-offs can tell the difference.
const HANDOFFS_KEPT: usize = 64;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cycle {
    /// Number in the conversation, from 1.
    pub(crate) number: u32,
    /// Key of the event that opened it.
    pub(crate) key: u64,
    pub(crate) started_ms: i64,
    /// Nothing in it was live so far.
    pub(crate) historical: bool,
    pub(crate) end: Option<End>,
    /// How often it was stated.
    pub(crate) stated: u32,
    reopened: bool,
    first_customer_ms: Option<i64>,
    /// Ascending.
    handoffs: Vec<i64>,
    any: Option<Reply>,
    human: Option<Reply>,
    substantive: Option<Reply>,
    turns: u32,
    unanswered: u32,
    /// The customer run that waits for an answer.
    open: Option<Turn>,
    /// Answered turns, and the unanswered one of an ended cycle, in the order of settling.
    settled: Vec<Turn>,
    /// Latest answer among `settled`: an answer not before it changes none of them.
    latest_answer_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) at_ms: i64,
    /// Log time at which it ended.
    pub(crate) log_ms: i64,
    pub(crate) resolved: bool,
    /// Who was in charge.
    pub(crate) place: u32,
}

/// First reply of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Reply {
    sent_ms: i64,
    /// Latest of first customer message, hand-off and reopen at or before it.
    start_ms: i64,
    place: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Turn {
    number: u32,
    stated: u32,
    historical: bool,
    /// In log order, never empty.
    messages: Vec<Message>,
    answer: Option<Answer>,
    place: u32,
    /// Log time at which it was settled.
    settled_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Message {
    sent_ms: i64,
    id: Box<str>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Answer {
    sent_ms: i64,
    /// The last hand-off before it, as known when it was folded.
    handoff_ms: Option<i64>,
    id: Box<str>,
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

/// The first-reply times of a cycle, to see whether a record changed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FirstReplies {
    any: Option<i64>,
    human: Option<i64>,
    substantive: Option<i64>,
}

/// A turn to be stated: who it belongs to and what it says.
pub(crate) struct TurnStatement {
    pub(crate) place: u32,
    pub(crate) historical: bool,
    pub(crate) revision: u32,
    pub(crate) body: output::Turn,
}

impl Cycle {
    pub(crate) fn new(
        number: u32,
        key: u64,
        started_ms: i64,
        reopened: bool,
        historical: bool,
    ) -> Self {
        Self {
            number,
            key,
            started_ms,
            historical,
            end: None,
            stated: 0,
            reopened,
            first_customer_ms: None,
            handoffs: Vec::new(),
            any: None,
            human: None,
            substantive: None,
            turns: 0,
            unanswered: 0,
            open: None,
            settled: Vec::new(),
            latest_answer_ms: i64::MIN,
        }
    }

    /// A customer message waits for an answer.
    pub(crate) fn is_waiting(&self) -> bool {
        self.open.is_some()
    }

    pub(crate) fn handoff(&mut self, sent_ms: i64) {
        let place = self.handoffs.partition_point(|&earlier| earlier <= sent_ms);
        self.handoffs.insert(place, sent_ms);
        if self.handoffs.len() > HANDOFFS_KEPT {
            self.handoffs.remove(0);
        }
    }

    /// The customer says something. A message that `expects_answer` opens a turn; any other
    /// joins one that is open.
    pub(crate) fn customer(
        &mut self,
        sent_ms: i64,
        id: &str,
        expects_answer: bool,
        historical: bool,
    ) {
        self.first_customer_ms.get_or_insert(sent_ms);
        let message = Message {
            sent_ms,
            id: id.into(),
        };
        match &mut self.open {
            Some(turn) => {
                turn.historical &= historical;
                turn.messages.push(message);
            }
            None if expects_answer => {
                self.turns += 1;
                self.unanswered += 1;
                self.open = Some(Turn {
                    number: self.turns,
                    stated: 0,
                    historical,
                    messages: vec![message],
                    answer: None,
                    place: 0,
                    settled_ms: 0,
                });
            }
            None => {}
        }
    }

    /// A machine speaks to the customer.
    pub(crate) fn machine(&mut self, sent_ms: i64, place: u32) {
        let ended_ms = self.end.map(|end| end.at_ms);
        if let Some(start_ms) = self.start_of_reply(sent_ms) {
            improve(
                &mut self.any,
                ended_ms,
                Reply {
                    sent_ms,
                    start_ms,
                    place,
                },
            );
        }
    }

    /// A person speaks to the customer: answers every message that was open when it was sent.
    /// States the turns that it settles or corrects.
    pub(crate) fn human(&mut self, reply: Human<'_>, state: &mut dyn FnMut(TurnStatement)) {
        let ended_ms = self.end.map(|end| end.at_ms);
        if let Some(start_ms) = self.start_of_reply(reply.sent_ms) {
            let first = Reply {
                sent_ms: reply.sent_ms,
                start_ms,
                place: reply.place,
            };
            improve(&mut self.any, ended_ms, first);
            improve(&mut self.human, ended_ms, first);
            if reply.substantive {
                improve(&mut self.substantive, ended_ms, first);
            }
        }
        let answer = Answer {
            sent_ms: reply.sent_ms,
            handoff_ms: self.handoff_before(reply.sent_ms),
            id: reply.id.into(),
        };
        let is_late = reply.sent_ms < self.latest_answer_ms
            || ended_ms.is_some_and(|ended_ms| reply.sent_ms < ended_ms);
        if is_late {
            self.correct(&answer, reply, state);
        }
        self.answer_open(answer, reply, state);
    }

    /// Lets a late answer replace what was answered later, or not at all.
    fn correct(&mut self, answer: &Answer, reply: Human<'_>, state: &mut dyn FnMut(TurnStatement)) {
        let ended_ms = self.end.map_or(i64::MAX, |end| end.at_ms);
        for index in 0..self.settled.len() {
            let turn = &self.settled[index];
            let was_open_until = turn.answer.as_ref().map_or(ended_ms, |other| other.sent_ms);
            if reply.sent_ms >= was_open_until {
                continue;
            }
            let was_answered = turn.answer.is_some();
            let turn = &mut self.settled[index];
            let rest = match turn.split(reply.sent_ms) {
                Split::None => continue,
                Split::All => {
                    turn.settle(answer.clone(), reply);
                    None
                }
                Split::Some(mut rest) => {
                    self.turns += 1;
                    self.unanswered += u32::from(!was_answered);
                    rest.number = self.turns;
                    // The part with the turn's first message goes on as that turn.
                    let answered = if turn.answers_first(reply.sent_ms) {
                        &mut *turn
                    } else {
                        &mut rest
                    };
                    answered.settle(answer.clone(), reply);
                    Some(rest)
                }
            };
            self.unanswered -= u32::from(!was_answered);
            self.latest_answer_ms = self.latest_answer_ms.max(reply.sent_ms);
            state(turn.statement(self.number));
            if let Some(mut rest) = rest {
                state(rest.statement(self.number));
                self.settled.push(rest);
            }
        }
    }

    /// Lets an answer settle what it can of the open turn.
    fn answer_open(
        &mut self,
        answer: Answer,
        reply: Human<'_>,
        state: &mut dyn FnMut(TurnStatement),
    ) {
        let Some(mut turn) = self.open.take() else {
            return;
        };
        match turn.split(reply.sent_ms) {
            Split::None => {
                self.open = Some(turn);
                return;
            }
            Split::All => self.unanswered -= 1,
            Split::Some(mut rest) => {
                self.turns += 1;
                rest.number = self.turns;
                if !turn.answers_first(reply.sent_ms) {
                    std::mem::swap(&mut turn, &mut rest);
                }
                self.open = Some(rest);
            }
        }
        turn.settle(answer, reply);
        state(turn.statement(self.number));
        self.latest_answer_ms = self.latest_answer_ms.max(reply.sent_ms);
        self.settled.push(turn);
    }

    /// Ends the cycle; an open turn stays unanswered and is stated as such.
    pub(crate) fn close(&mut self, end: End, state: &mut dyn FnMut(TurnStatement)) {
        self.end = Some(End {
            at_ms: end.at_ms.max(self.started_ms),
            ..end
        });
        self.settle_open(end.place, end.log_ms, state);
    }

    /// Gives up waiting for an answer to the open turn.
    pub(crate) fn settle_open(
        &mut self,
        place: u32,
        log_ms: i64,
        state: &mut dyn FnMut(TurnStatement),
    ) {
        if let Some(mut turn) = self.open.take() {
            turn.place = place;
            turn.settled_ms = log_ms;
            state(turn.statement(self.number));
            self.settled.push(turn);
        }
    }

    /// Forgets the leading turns that were settled at or before `until_ms` of log time.
    pub(crate) fn forget_settled(&mut self, until_ms: i64) {
        let old = self
            .settled
            .iter()
            .take_while(|turn| turn.settled_ms <= until_ms)
            .count();
        self.settled.drain(..old);
    }

    pub(crate) fn first_replies(&self) -> FirstReplies {
        let since = |reply: Reply| reply.sent_ms.saturating_sub(reply.start_ms);
        FirstReplies {
            any: self.any.map(since),
            human: self.human.map(since),
            // Keeps the start of `frt.human`, which is no later than the first human message,
            // which is no later than this one.
            substantive: self.substantive.map(|reply| {
                let start_ms = self.human.map_or(reply.start_ms, |human| human.start_ms);
                reply.sent_ms.saturating_sub(start_ms)
            }),
        }
    }

    /// Who the cycle belongs to, if somebody answered or it has ended.
    pub(crate) fn place(&self) -> Option<u32> {
        self.human
            .map(|reply| reply.place)
            .or(self.end.map(|end| end.place))
    }

    pub(crate) fn body(&self) -> output::Cycle {
        let first = self.first_replies();
        output::Cycle {
            cycle: self.number,
            started_ms: self.started_ms,
            ended_ms: self.end.map(|end| end.at_ms),
            frt_any_ms: first.any,
            frt_human_ms: first.human,
            frt_substantive_ms: first.substantive,
            resolved: self.end.is_some_and(|end| end.resolved),
            provisional: self.end.is_none(),
            reopened: self.reopened,
            turns: self.turns,
            unanswered: self.unanswered,
        }
    }

    /// Every place it refers to is below `places`, and no turn is empty.
    pub(crate) fn is_consistent(&self, places: u32) -> bool {
        let replies = [self.any, self.human, self.substantive];
        let turns = self.settled.iter().chain(&self.open);
        replies
            .into_iter()
            .flatten()
            .all(|reply| reply.place < places)
            && self.end.is_none_or(|end| end.place < places)
            && turns
                .into_iter()
                .all(|turn| turn.place < places && !turn.messages.is_empty())
    }

    /// Start of the first-reply time of a reply sent at `sent_ms`; `None` if it is no reply:
    /// before the first customer message of a cycle that did not begin with a reopen.
    fn start_of_reply(&self, sent_ms: i64) -> Option<i64> {
        let reopened_ms = self.reopened.then_some(self.started_ms);
        let base = [reopened_ms, self.first_customer_ms]
            .into_iter()
            .flatten()
            .filter(|&start_ms| start_ms <= sent_ms)
            .max()?;
        Some(
            self.handoff_before(sent_ms)
                .map_or(base, |handoff_ms| handoff_ms.max(base)),
        )
    }

    /// The last hand-off at or before `sent_ms`.
    fn handoff_before(&self, sent_ms: i64) -> Option<i64> {
        let later = self
            .handoffs
            .partition_point(|&handoff_ms| handoff_ms <= sent_ms);
        later.checked_sub(1).map(|index| self.handoffs[index])
    }
}

/// What a reply leaves of a turn's messages.
enum Split {
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
    fn split(&mut self, sent_ms: i64) -> Split {
        let answered = self
            .messages
            .iter()
            .filter(|message| message.sent_ms <= sent_ms)
            .count();
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
        Split::Some(Turn {
            stated: 0,
            messages: rest,
            ..self.clone_without_messages()
        })
    }

    fn clone_without_messages(&self) -> Self {
        Self {
            messages: Vec::new(),
            answer: self.answer.clone(),
            ..*self
        }
    }

    /// The turn's first message was sent at or before `sent_ms`.
    fn answers_first(&self, sent_ms: i64) -> bool {
        self.messages
            .first()
            .is_some_and(|message| message.sent_ms <= sent_ms)
    }

    fn settle(&mut self, answer: Answer, reply: Human<'_>) {
        self.answer = Some(answer);
        self.place = reply.place;
        self.settled_ms = reply.log_ms;
    }

    /// The turn as a fact; counts the statement.
    fn statement(&mut self, cycle: u32) -> TurnStatement {
        let revision = self.stated;
        self.stated += 1;
        let id = |message: Option<&Message>| message.map_or_else(String::new, |m| m.id.to_string());
        let started_ms = self.messages.first().map_or(0, |message| message.sent_ms);
        let last_ms = self.messages.last().map_or(0, |message| message.sent_ms);
        let since = |start_ms: i64| {
            self.answer
                .as_ref()
                .map(|answer| answer.sent_ms.saturating_sub(start_ms))
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
                answer_event_id: self
                    .answer
                    .as_ref()
                    .map_or_else(String::new, |a| a.id.to_string()),
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

/// Puts `reply` into `slot` if it comes before the one there, or if there is none and the
/// cycle had not ended when it was sent.
fn improve(slot: &mut Option<Reply>, ended_ms: Option<i64>, reply: Reply) {
    let open_until_ms = slot.map(|other| other.sent_ms).or(ended_ms);
    if open_until_ms.is_none_or(|open_until_ms| reply.sent_ms < open_until_ms) {
        *slot = Some(reply);
    }
}
