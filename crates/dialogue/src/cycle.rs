//! One care cycle: its turns, its first replies, and what a late reply changes in them.
//!
//! All times of messages are *judged* times, min(`sent_at`, log time). "First" and "last" of a
//! run are by log order; what a reply answers is by time (metrics.md section 2).

mod service;

use serde::{Deserialize, Serialize};

pub(crate) use self::service::{Alarm, TakenBack};
use crate::book::TermsRef;
use crate::care::{Care, Ending};
use crate::deadline::{Deadlines, Due, Told};
use crate::event::{Act, Marks, Polarity};
use crate::history::History;
use crate::mood::{Fall, Mood};
use crate::output::{self, CycleBusiness, SlaState};
use crate::policy::Terms;
use crate::silence::{Silences, Speaker};
use crate::slots::{Said, Settled, Slots};
use crate::stint::{Stint, Stints, Work};
use crate::turn::{Answer, Human, Message, Nrt, Split, Turn, TurnStatement};

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
    /// What is expected of it; settled when it began.
    pub(crate) terms: Option<TermsRef>,
    /// `None` if nothing is expected.
    deadlines: Option<Box<Deadlines>>,
    silences: Silences,
    slots: Slots,
    mood: Mood,
    care: Care,
    stints: Stints,
    reopened: bool,
    first_customer_ms: Option<i64>,
    /// Ascending.
    handoffs: Vec<i64>,
    any: Option<Reply>,
    human: Option<Reply>,
    substantive: Option<Reply>,
    /// `frt.join.v1`.
    joined_ms: Option<i64>,
    /// A bot, not an automatic greeting, has spoken.
    bot_served: bool,
    turns: u32,
    unanswered: u32,
    /// The customer run that waits for an answer.
    open: Option<Box<Turn>>,
    /// Answered turns, and the unanswered one of an ended cycle, in the order of settling.
    settled: History,
    /// Latest answer that settled an open turn: a reply not before it, nor before the end,
    /// changes none of `settled`.
    latest_answer_ms: i64,
    /// Alarms that turned out not to hold, until they are stated: before the event that said so is
    /// through.
    #[serde(skip)]
    pub(crate) taken_back: Vec<TakenBack>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) at_ms: i64,
    /// Log time at which it ended.
    pub(crate) log_ms: i64,
    pub(crate) resolved: bool,
    /// Somebody ended it; else it was idle for too long.
    pub(crate) by_status: bool,
    /// Who was in charge.
    pub(crate) place: u32,
    /// The customer waited for more than taking note.
    pub(crate) waiting: bool,
    /// Promises of the cycle that were broken by then.
    pub(crate) broken: u32,
    /// How often its session was stated again, and whether something closed it.
    pub(crate) sessions: u32,
    pub(crate) closings: u32,
}

/// Which cycle of its conversation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CycleId {
    pub(crate) key: u64,
    pub(crate) number: u32,
    pub(crate) historical: bool,
}

/// What a customer's message asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asks {
    /// It is more than thanks or farewell.
    pub(crate) expects_answer: bool,
    pub(crate) historical: bool,
}

/// First reply of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Reply {
    sent_ms: i64,
    /// Latest of first customer message, hand-off and reopen at or before it.
    start_ms: i64,
    place: u32,
    /// It only asks to wait.
    holding: bool,
}

/// What an ended cycle comes to, besides its times.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) session: output::Session,
    /// Slots that were settled by the end.
    pub(crate) slots: Vec<Settled>,
    pub(crate) stints: Stints,
}

/// What of an open cycle is news as soon as it changes; the rest is stated when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Headline {
    any: Option<i64>,
    human: Option<i64>,
    substantive: Option<i64>,
    join: Option<i64>,
    handed_over: bool,
    pub(crate) frt: Option<SlaState>,
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
            terms: None,
            deadlines: None,
            silences: Silences::default(),
            slots: Slots::default(),
            mood: Mood::default(),
            care: Care::default(),
            stints: Stints::default(),
            reopened,
            first_customer_ms: None,
            handoffs: Vec::new(),
            any: None,
            human: None,
            substantive: None,
            joined_ms: None,
            bot_served: false,
            taken_back: Vec::new(),
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

    pub(crate) fn handoff(&mut self, sent_ms: i64, historical: bool, terms: Option<&Terms>) {
        let place = self.handoffs.partition_point(|&earlier| earlier <= sent_ms);
        self.handoffs.insert(place, sent_ms);
        if self.handoffs.len() > HANDOFFS_KEPT {
            self.handoffs.remove(0);
        }
        if historical || self.human.is_some() {
            return;
        }
        let Some(deadlines) = &mut self.deadlines else { return };
        deadlines.bot_serves = false;
        let asked = deadlines.frt.is_some();
        if asked && let Some(from_ms) = self.start_of_reply(i64::MAX) {
            self.ask_for_first_reply(from_ms, terms);
        }
    }

    /// The customer says something. A message that `expects_answer` opens a turn; any other
    /// joins one that is open.
    pub(crate) fn customer(&mut self, message: Message, says: Asks, terms: Option<&Terms>) {
        let sent_ms = message.sent_ms;
        self.said(sent_ms, Speaker::Customer, says.historical);
        self.first_customer_ms.get_or_insert(sent_ms);
        match &mut self.open {
            Some(turn) => {
                turn.historical &= says.historical;
                turn.messages.push(message);
            }
            None if says.expects_answer => {
                self.turns += 1;
                self.unanswered += 1;
                self.open = Some(Box::new(Turn {
                    number: self.turns,
                    stated: 0,
                    historical: says.historical,
                    nrt: Nrt::NotAsked,
                    messages: vec![message],
                    answer: None,
                    place: 0,
                    settled_ms: 0,
                }));
                if let Some(deadlines) = &mut self.deadlines {
                    deadlines.question_told = false;
                }
                if !says.historical {
                    self.ask_for_next_reply(terms);
                }
            }
            None => {}
        }
        // Thanks alone asks for nothing.
        if says.expects_answer && !says.historical {
            self.ask_to_resolve(sent_ms, terms);
            self.ask_by_message(sent_ms, terms);
        }
    }

    /// A machine speaks to the customer; a bot rather than an agent's automatic greeting if it
    /// `serves`.
    pub(crate) fn machine(
        &mut self,
        sent_ms: i64,
        place: u32,
        serves: bool,
        historical: bool,
        terms: Option<&Terms>,
    ) {
        let ended_ms = self.end.map(|end| end.at_ms);
        if let Some(start_ms) = self.start_of_reply(sent_ms) {
            improve(&mut self.any, ended_ms, Reply { sent_ms, start_ms, place, holding: false });
        }
        if self.end.is_some() {
            return;
        }
        self.said(sent_ms, Speaker::Machine, historical);
        self.bot_served |= serves;
        let waits = serves
            && terms.is_some_and(|terms| terms.policy.frt_waits_for_handoff)
            && self.human.is_none()
            && self.handoffs.is_empty();
        if let Some(deadlines) = &mut self.deadlines
            && waits
        {
            deadlines.bot_serves = true;
            if let Some(clock) = &mut deadlines.frt {
                clock.stop();
            }
        }
    }

    /// Somebody says something that the customer sees.
    fn said(&mut self, sent_ms: i64, speaker: Speaker, historical: bool) {
        let waits = self.open.is_some();
        let is_late = self.silences.said(sent_ms, speaker, !historical, waits);
        if let Some(deadlines) = &mut self.deadlines
            && !is_late
        {
            deadlines.silence_told = false;
        }
    }

    /// A person speaks to the customer: answers every message that was open when it was sent.
    /// States the turns that it settles or corrects; says whether the customer had asked for it,
    /// rather than taken note of something.
    pub(crate) fn human(
        &mut self,
        reply: Human<'_>,
        terms: Option<&Terms>,
        state: &mut dyn FnMut(TurnStatement),
    ) -> bool {
        let ended_ms = self.end.map(|end| end.at_ms);
        let was_missed = self.frt_is_missed(terms);
        if ended_ms.is_none() {
            self.said(reply.sent_ms, Speaker::Human, reply.historical);
            if self.joined_ms.is_none() {
                let since = |joined_ms: i64| reply.sent_ms.saturating_sub(joined_ms);
                self.joined_ms = reply.joined_ms.map(since);
            }
        }
        if let Some(start_ms) = self.start_of_reply(reply.sent_ms) {
            let Human { sent_ms, place, holding, .. } = reply;
            let first = Reply { sent_ms, start_ms, place, holding };
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
        let mut was_asked = is_late && self.correct(&answer, reply, terms, state);
        was_asked |= self.answer_open(answer, reply, terms, state);
        if was_missed && !self.frt_is_missed(terms) {
            self.take_back(Due::Frt, Told::Breach, 0, 0);
        }
        self.take_back_told(reply.sent_ms);
        let pauses = |terms: &&Terms| {
            terms.policy.resolution.is_some_and(|target| target.pauses_on_customer)
        };
        if self.end.is_none()
            && self.open.is_none()
            && self.first_customer_ms.is_some()
            && let Some(terms) = terms.filter(pauses)
            && let Some(deadlines) = &mut self.deadlines
            && let Some(resolution) = &mut deadlines.resolution
            && resolution.pause(terms, reply.sent_ms)
        {
            self.take_back_resolution();
        }
        was_asked
    }

    /// Whether a reply sent at `sent_ms` can change anything: not in an ended cycle unless it was
    /// sent before the end, or before a reply of it.
    pub(crate) fn may_change(&self, sent_ms: i64) -> bool {
        let Some(end) = self.end else { return true };
        let replies = [self.any, self.human, self.substantive];
        let last_ms = replies.into_iter().flatten().map(|reply| reply.sent_ms).max();
        sent_ms < end.at_ms.max(self.latest_answer_ms).max(last_ms.unwrap_or(i64::MIN))
    }

    /// Lets a late answer replace what was answered later, or not at all; says whether the customer
    /// had asked for it.
    fn correct(
        &mut self,
        answer: &Answer,
        reply: Human<'_>,
        terms: Option<&Terms>,
        state: &mut dyn FnMut(TurnStatement),
    ) -> bool {
        let mut was_asked = false;
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
                    was_asked |= turn.demands();
                    turn.settle(answer.clone(), reply);
                    None
                }
                Split::Some(mut rest) => {
                    self.turns += 1;
                    self.unanswered += u32::from(!was_answered);
                    rest.number = self.turns;
                    // The part with the turn's first message goes on as that turn.
                    let (answered, other) = if turn.answers_first(reply.sent_ms) {
                        (&mut *turn, &mut rest)
                    } else {
                        (&mut rest, &mut *turn)
                    };
                    // The other one waited for a next reply: somebody has answered before.
                    if other.nrt == Nrt::NotAsked && self.deadlines.is_some() && !other.historical {
                        other.nrt = Nrt::Settled { told: false };
                    }
                    was_asked |= answered.demands();
                    answered.settle(answer.clone(), reply);
                    Some(rest)
                }
            };
            self.unanswered = self.unanswered.saturating_sub(u32::from(!was_answered));
            state(turn.statement(self.number, terms));
            if let Some(mut rest) = rest {
                state(rest.statement(self.number, terms));
                settled.push(rest);
            }
        }
        let waits = |turn: &Turn| turn.answer.is_none() && turn.demands();
        if let Some(end) = &mut self.end {
            end.waiting &= settled.iter().any(waits);
        }
        for turn in settled {
            self.settled.push(self.started_ms, turn);
        }
        was_asked
    }

    /// Lets an answer settle what it can of the open turn; says whether the customer had asked for it.
    fn answer_open(
        &mut self,
        answer: Answer,
        reply: Human<'_>,
        terms: Option<&Terms>,
        state: &mut dyn FnMut(TurnStatement),
    ) -> bool {
        let Some(mut turn) = self.open.take() else {
            return false;
        };
        match turn.split(reply.sent_ms) {
            Split::None => {
                self.open = Some(turn);
                // That was a first reply all the same.
                self.ask_for_next_reply(terms);
                return false;
            }
            Split::All => self.unanswered = self.unanswered.saturating_sub(1),
            Split::Some(mut rest) => {
                self.turns += 1;
                rest.number = self.turns;
                if turn.answers_first(reply.sent_ms) {
                    rest.nrt = Nrt::NotAsked;
                    if let Some(deadlines) = &mut self.deadlines {
                        deadlines.question_told = false;
                    }
                } else {
                    std::mem::swap(&mut *turn, &mut rest);
                }
                self.open = Some(Box::new(rest));
                self.ask_for_next_reply(terms);
            }
        }
        let was_asked = turn.demands();
        turn.settle(answer, reply);
        state(turn.statement(self.number, terms));
        self.latest_answer_ms = self.latest_answer_ms.max(reply.sent_ms);
        self.settled.push(self.started_ms, *turn);
        was_asked
    }

    /// Ends the cycle; an open turn stays unanswered and is stated as such.
    pub(crate) fn close(
        &mut self,
        end: End,
        terms: Option<&Terms>,
        state: &mut dyn FnMut(TurnStatement),
    ) {
        let at_ms = end.at_ms.max(self.started_ms);
        if end.by_status {
            self.silences.end(at_ms, self.open.is_some());
        }
        let waiting = self.open.as_ref().is_some_and(|turn| turn.demands());
        self.end = Some(End { at_ms, waiting, ..end });
        let in_time = self.deadlines.as_ref().and_then(|deadlines| deadlines.resolution);
        if end.resolved && in_time.is_some_and(|resolution| resolution.is_corrected_by(at_ms)) {
            self.take_back_resolution();
        }
        self.settle_open(end.place, end.log_ms, terms, state);
    }

    /// Gives up waiting for an answer to the open turn.
    pub(crate) fn settle_open(
        &mut self,
        place: u32,
        log_ms: i64,
        terms: Option<&Terms>,
        state: &mut dyn FnMut(TurnStatement),
    ) {
        if let Some(mut turn) = self.open.take() {
            turn.give_up(place, log_ms);
            state(turn.statement(self.number, terms));
            self.settled.push(self.started_ms, *turn);
        }
    }

    /// Forgets the leading turns that were settled at or before `until_ms` of log time.
    pub(crate) fn forget_settled(&mut self, until_ms: i64) {
        self.settled.forget(self.started_ms, until_ms);
    }

    /// What the customer says, rather than when; says how badly the mood goes down.
    pub(crate) fn hear_customer(
        &mut self,
        said: Said<'_>,
        marks: &Marks<'_>,
        settled: &mut dyn FnMut(Settled),
    ) -> Fall {
        let negative =
            marks.sentiment.is_some_and(|sentiment| sentiment.label == Polarity::Negative);
        let problem = negative || marks.complaint || marks.question.is_some();
        self.slots.customer(said, problem, negative, settled);
        self.care.customer(marks);
        let Some(sentiment) = marks.sentiment else { return Fall::default() };
        let aggravated = self.mood.customer(sentiment).is_some();
        Fall { aggravated, goes_on: self.mood.falls() }
    }

    /// How far the customer has complained: 0 not, 1 so, 2 urgently.
    pub(crate) fn complains(&self) -> u8 {
        self.care.complains()
    }

    /// What a person says to the customer, rather than when.
    pub(crate) fn hear_agent(
        &mut self,
        said: Said<'_>,
        marks: &Marks<'_>,
        place: u32,
        settled: &mut dyn FnMut(Settled),
    ) {
        let substantive = !marks.greeting_only && !marks.holding_only;
        // Who asks back has not answered yet.
        let answers = marks.question.is_none() || marks.acts.contains(Act::Advice);
        self.slots.correct(said, place, settled);
        self.slots.agent(said, substantive && answers, place, settled);
        self.care.agent(marks);
        // A farewell leaves the customer nothing to answer.
        if substantive && !marks.thanks_or_farewell_only {
            self.mood.agent();
        }
    }

    /// What a person said before the cycle ended, and what came to light later. Only the last word
    /// of all goes on with the cycle; what was said before it says what was due and is counted.
    pub(crate) fn hear_late(
        &mut self,
        said: Said<'_>,
        marks: &Marks<'_>,
        place: u32,
        settled: &mut dyn FnMut(Settled),
    ) {
        if self.silences.is_last(said.sent_ms) {
            self.hear_agent(said, marks, place, settled);
        } else {
            self.slots.correct(said, place, settled);
            self.slots.say(said, place, settled);
            self.care.agent(marks);
        }
    }

    /// Whether something sent at `sent_ms` belongs to the cycle, which has ended.
    pub(crate) fn held(&self, sent_ms: i64) -> bool {
        sent_ms >= self.started_ms && self.end.is_some_and(|end| sent_ms < end.at_ms)
    }

    /// What the cycle comes to, if it has ended.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        let end = self.end?;
        let slots = self.slots.end(end.at_ms, end.resolved);
        Some(Verdict { session: self.session(end.broken > 0), slots, stints: self.stints.clone() })
    }

    /// The slots that nothing will say any more when the cycle ends.
    pub(crate) fn end_slots(&self, at_ms: i64, resolved: bool) -> Vec<Settled> {
        self.slots.end(at_ms, resolved)
    }

    pub(crate) fn id(&self) -> CycleId {
        CycleId { key: self.key, number: self.number, historical: self.historical }
    }

    /// Mood and care, with a promise `broken` by now or by the end, or not.
    pub(crate) fn session(&self, broken: bool) -> output::Session {
        let waiting = match self.end {
            Some(end) => end.waiting,
            None => self.open.as_ref().is_some_and(|turn| turn.demands()),
        };
        let ending = Ending {
            resolved: self.end.is_some_and(|end| end.resolved),
            waiting,
            cold: self.slots.is_cold(self.end.is_some()),
            broken,
            first_is_holding: self.human.map(|reply| reply.holding),
        };
        output::Session {
            cycle: self.number,
            started_ms: self.started_ms,
            mood: self.mood.state(),
            care: self.care.state(ending),
            stints: Vec::new(),
        }
    }

    pub(crate) fn stints(&self) -> impl Iterator<Item = &Stint> {
        self.stints.iter()
    }

    /// A person speaks to the customer, before anything else is made of it. What comes late is no
    /// work of its own: the time until a later message was counted.
    pub(crate) fn work(
        &mut self,
        message: Human<'_>,
        marks: &Marks<'_>,
        is_template: bool,
        is_of: impl Fn(u32) -> bool,
    ) {
        let before_ms = self.silences.since().filter(|_| self.end.is_none());
        let says_something = message.substantive && !marks.thanks_or_farewell_only;
        let says_to_it = marks.question.is_some()
            || [Act::Advice, Act::Promise, Act::Apology, Act::Empathy, Act::OwnFault]
                .into_iter()
                .any(|act| marks.acts.contains(act));
        let is_wanted = self.open.as_ref().is_some_and(|turn| turn.demands());
        let work = Work {
            place: message.place,
            since_ms: before_ms.map_or(0, |before_ms| message.sent_ms.saturating_sub(before_ms)),
            print: marks.print.filter(|_| says_something),
            ignores: is_template && is_wanted && says_something && !says_to_it,
        };
        self.stints.work(work, is_of);
    }

    pub(crate) fn headline(&self, terms: Option<&Terms>) -> Headline {
        let since = |reply: Reply| reply.sent_ms.saturating_sub(reply.start_ms);
        Headline {
            any: self.any.map(since),
            human: self.human.map(since),
            substantive: self
                .substantive
                .map(|reply| reply.sent_ms.saturating_sub(self.substantive_start(reply))),
            join: self.joined_ms,
            // After the first reply it is no news.
            handed_over: self.human.is_none() && !self.handoffs.is_empty(),
            // A warning is a signal; of the target only its end is stated.
            frt: self
                .frt_sla(terms)
                .map(|sla| sla.state)
                .filter(|state| !matches!(state, SlaState::Pending | SlaState::Warned)),
        }
    }

    /// Keeps the start of `frt.human`, which is no later than the first human message, which is no
    /// later than this one.
    fn substantive_start(&self, reply: Reply) -> i64 {
        self.human.map_or(reply.start_ms, |human| human.start_ms)
    }

    /// The run that waits for an answer, as it stands.
    pub(crate) fn waiting(&self, place: u32, terms: Option<&Terms>) -> Option<TurnStatement> {
        let mut turn = self.open.as_deref()?.clone();
        turn.place = place;
        Some(turn.statement(self.number, terms))
    }

    /// Who the cycle belongs to, if somebody answered or it has ended.
    pub(crate) fn place(&self) -> Option<u32> {
        self.human.map(|reply| reply.place).or(self.end.map(|end| end.place))
    }

    pub(crate) fn body(&self, terms: Option<&Terms>) -> output::Cycle {
        let first = self.headline(terms);
        let business = |reply: Option<Reply>, start_ms: &dyn Fn(Reply) -> i64| {
            reply.and_then(|reply| terms?.business(start_ms(reply), reply.sent_ms))
        };
        let end = self.end.map(|end| (end.at_ms, end.resolved));
        let resolution = self
            .deadlines
            .as_ref()
            .and_then(|deadlines| deadlines.resolution?.state(terms?.policy.resolution?, end));
        output::Cycle {
            cycle: self.number,
            started_ms: self.started_ms,
            ended_ms: self.end.map(|end| end.at_ms),
            frt_any_ms: first.any,
            frt_human_ms: first.human,
            frt_substantive_ms: first.substantive,
            frt_join_ms: first.join,
            business: CycleBusiness {
                frt_any_ms: business(self.any, &|reply| reply.start_ms),
                frt_human_ms: business(self.human, &|reply| reply.start_ms),
                frt_substantive_ms: business(self.substantive, &|reply| {
                    self.substantive_start(reply)
                }),
            },
            sla_frt: self.frt_sla(terms),
            sla_resolution: resolution,
            silences: self.silences.stated(),
            resolved: self.end.is_some_and(|end| end.resolved),
            provisional: self.end.is_none(),
            reopened: self.reopened,
            handed_over: !self.handoffs.is_empty(),
            bot_served: self.bot_served,
            turns: self.turns,
            unanswered: self.unanswered,
        }
    }

    /// Every place it refers to is below `places`, and no turn is empty.
    pub(crate) fn is_consistent(&self, places: u32) -> bool {
        let replies = [self.any, self.human, self.substantive];
        replies.into_iter().flatten().all(|reply| reply.place < places)
            && self.end.is_none_or(|end| end.place < places)
            && self.slots.is_consistent(places)
            && self.stints.is_consistent(places)
            && (self.open.is_none() || self.unanswered > 0)
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
