//! One care cycle: its turns, its first replies, and what a late reply changes in them.
//!
//! All times of messages are *judged* times, min(`sent_at`, log time). "First" and "last" of a
//! run are by log order; what a reply answers is by time (metrics.md section 2).

use serde::{Deserialize, Serialize};

use crate::history::History;
use crate::output;
use crate::turn::{Answer, Human, Message, Split, Turn, TurnStatement};

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
    open: Option<Box<Turn>>,
    /// Answered turns, and the unanswered one of an ended cycle, in the order of settling.
    settled: History,
    /// Latest answer that settled an open turn: a reply not before it, nor before the end,
    /// changes none of `settled`.
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

/// The first-reply times of a cycle, to see whether a record changed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FirstReplies {
    any: Option<i64>,
    human: Option<i64>,
    substantive: Option<i64>,
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
            settled: History::default(),
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
        let message = Message { sent_ms, id: id.into() };
        match &mut self.open {
            Some(turn) => {
                turn.historical &= historical;
                turn.messages.push(message);
            }
            None if expects_answer => {
                self.turns += 1;
                self.unanswered += 1;
                self.open = Some(Box::new(Turn {
                    number: self.turns,
                    stated: 0,
                    historical,
                    messages: vec![message],
                    answer: None,
                    place: 0,
                    settled_ms: 0,
                }));
            }
            None => {}
        }
    }

    /// A machine speaks to the customer.
    pub(crate) fn machine(&mut self, sent_ms: i64, place: u32) {
        let ended_ms = self.end.map(|end| end.at_ms);
        if let Some(start_ms) = self.start_of_reply(sent_ms) {
            improve(&mut self.any, ended_ms, Reply { sent_ms, start_ms, place });
        }
    }

    /// A person speaks to the customer: answers every message that was open when it was sent.
    /// States the turns that it settles or corrects.
    pub(crate) fn human(&mut self, reply: Human<'_>, state: &mut dyn FnMut(TurnStatement)) {
        let ended_ms = self.end.map(|end| end.at_ms);
        if let Some(start_ms) = self.start_of_reply(reply.sent_ms) {
            let first = Reply { sent_ms: reply.sent_ms, start_ms, place: reply.place };
            improve(&mut self.any, ended_ms, first);
            improve(&mut self.human, ended_ms, first);
            if reply.substantive {
                improve(&mut self.substantive, ended_ms, first);
            }
        }
        let answer = Answer {
            sent_ms: reply.sent_ms,
            handoff_ms: self.handoff_before(reply.sent_ms),
            id: Some(reply.id.into()),
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
        let mut settled = self.settled.take(self.started_ms);
        for index in 0..settled.len() {
            let turn = &mut settled[index];
            let was_open_until = turn.answer.as_ref().map_or(ended_ms, |other| other.sent_ms);
            if reply.sent_ms >= was_open_until {
                continue;
            }
            let was_answered = turn.answer.is_some();
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
                    let answered =
                        if turn.answers_first(reply.sent_ms) { &mut *turn } else { &mut rest };
                    answered.settle(answer.clone(), reply);
                    Some(rest)
                }
            };
            self.unanswered -= u32::from(!was_answered);
            state(turn.statement(self.number));
            if let Some(mut rest) = rest {
                state(rest.statement(self.number));
                settled.push(rest);
            }
        }
        for turn in settled {
            self.settled.push(self.started_ms, turn);
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
                    std::mem::swap(&mut *turn, &mut rest);
                }
                self.open = Some(Box::new(rest));
            }
        }
        turn.settle(answer, reply);
        state(turn.statement(self.number));
        self.latest_answer_ms = self.latest_answer_ms.max(reply.sent_ms);
        self.settled.push(self.started_ms, *turn);
    }

    /// Ends the cycle; an open turn stays unanswered and is stated as such.
    pub(crate) fn close(&mut self, end: End, state: &mut dyn FnMut(TurnStatement)) {
        self.end = Some(End { at_ms: end.at_ms.max(self.started_ms), ..end });
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
            self.settled.push(self.started_ms, *turn);
        }
    }

    /// Forgets the leading turns that were settled at or before `until_ms` of log time.
    pub(crate) fn forget_settled(&mut self, until_ms: i64) {
        self.settled.forget(self.started_ms, until_ms);
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
        self.human.map(|reply| reply.place).or(self.end.map(|end| end.place))
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
        replies.into_iter().flatten().all(|reply| reply.place < places)
            && self.end.is_none_or(|end| end.place < places)
            && self.settled.is_consistent(places)
            && self.open.as_ref().is_none_or(|turn| turn.is_consistent(places))
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
        Some(self.handoff_before(sent_ms).map_or(base, |handoff_ms| handoff_ms.max(base)))
    }

    /// The last hand-off at or before `sent_ms`.
    fn handoff_before(&self, sent_ms: i64) -> Option<i64> {
        let later = self.handoffs.partition_point(|&handoff_ms| handoff_ms <= sent_ms);
        later.checked_sub(1).map(|index| self.handoffs[index])
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
