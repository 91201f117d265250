//! One conversation in memory: its identity, the events it has seen, its cycles and its timer.

use serde::{Deserialize, Serialize};

use crate::book::{Book, TermsRef};
use crate::cycle::{Asks, Cycle, End, Verdict};
use crate::deadline::{Due, Told};
use crate::event::{Event, EventKind, Part, Role, Status, Subtype, UrgentCategory};
use crate::ledger::{Ledger, Made, Maker, Outcome, Passed, PromiseState};
use crate::output::{FactBody, Family, Output, Severity, Signal, SignalKind};
use crate::place::Place;
use crate::policy::Terms;
use crate::seen::{Seen, event_key};
use crate::slots::{Said, Settled, SlotKind};
use crate::statement::{Cause, Identity};
use crate::turn::{Human, Message, TurnStatement, Wants};

/// Agents who came in and have not spoken, at most.
const JOINS_KEPT: usize = 8;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Conversation {
    identity: Identity,
    pub(crate) seen: Seen,
    /// Index of the current place.
    place: u32,
    /// Some event was neither backfilled nor older than the horizon.
    pub(crate) live: bool,
    /// Cycles so far.
    cycles: u32,
    /// Ended less than the horizon ago.
    ended: Vec<Cycle>,
    open: Option<Box<Cycle>>,
    ledger: Ledger,
    /// Agents who came in since the last cycle ended: who, and when.
    joins: Vec<(u64, i64)>,
    /// Latest judged time of an event: what is before it is late.
    latest_ms: i64,
    /// Log time of the last message, or of the opening of the cycle if that is later.
    idle_from_ms: i64,
    /// Log time of the last record or end of a cycle.
    last_log_ms: i64,
    /// Latest `sent_ms` as it was given, ahead of the log where a clock is.
    latest_sent_ms: i64,
    /// Due time of this conversation's entry in the timer queue; never after `deadline`.
    pub(crate) armed_ms: Option<i64>,
}

/// What a conversation's timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// Something was expected by now.
    Service(Due),
    /// A promise is or will soon be due.
    Promise(Passed),
    /// Nobody said anything for too long: the cycle ends.
    Idle,
    /// The conversation leaves memory.
    Forget,
}

/// Whether a conversation stays in memory after its timer fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fired {
    Stays,
    Leaves,
}

impl Conversation {
    pub(crate) fn new(event: &Event<'_>) -> Self {
        Self {
            identity: Identity {
                tenant: event.tenant.into(),
                id: event.conversation_id.into(),
                customer: event.customer.into(),
                former: event.former.into(),
                places: vec![Place::new("", event.channel, event.queue, event.team)],
            },
            seen: Seen::default(),
            place: 0,
            live: false,
            cycles: 0,
            ended: Vec::new(),
            open: None,
            ledger: Ledger::default(),
            joins: Vec::new(),
            latest_ms: i64::MIN,
            idle_from_ms: i64::MIN,
            last_log_ms: i64::MIN,
            latest_sent_ms: i64::MIN,
            armed_ms: None,
        }
    }

    pub(crate) fn is(&self, tenant: &str, id: &str) -> bool {
        *self.identity.id == *id && *self.identity.tenant == *tenant
    }

    pub(crate) fn key(&self) -> (&str, &str) {
        (&self.identity.tenant, &self.identity.id)
    }

    /// All pseudonyms of the customer.
    pub(crate) fn customers(&self) -> impl Iterator<Item = &str> {
        let former = self.identity.former.ids.iter().map(|id| &**id);
        std::iter::once(&*self.identity.customer).chain(former)
    }

    /// Every place it refers to exists: true of what this engine wrote.
    pub(crate) fn is_consistent(&self) -> bool {
        let places = self.identity.places.len() as u32;
        self.place < places
            && self.ledger.is_consistent(places)
            && self
                .ended
                .iter()
                .chain(self.open.as_deref())
                .all(|cycle| cycle.is_consistent(places))
    }

    /// Terms that its cycles in memory go by.
    pub(crate) fn terms(&self) -> impl Iterator<Item = TermsRef> {
        self.ended.iter().chain(self.open.as_deref()).filter_map(|cycle| cycle.terms)
    }

    /// When the conversation's next timer is due, and what for.
    pub(crate) fn deadline(&self, book: &Book) -> Option<(i64, Deadline)> {
        let config = &book.config;
        let promise =
            self.ledger.next_due().map(|(due_ms, what)| (due_ms, Deadline::Promise(what)));
        let (service, last) = match &self.open {
            Some(cycle) if !cycle.historical => {
                let service = cycle
                    .next_due(book.terms(cycle.terms))
                    .map(|(due_ms, due)| (due_ms, Deadline::Service(due)));
                let idle_ms = self.idle_from_ms.saturating_add(config.idle_close());
                (service, (!cycle.is_waiting()).then_some((idle_ms, Deadline::Idle)))
            }
            // Nor is a promise forgotten that waits for its time.
            _ if promise.is_some() => (None, None),
            // While an event could come again and not be historical, its id has to be known.
            _ => {
                let last_ms = self.last_log_ms.max(self.latest_sent_ms);
                (None, Some((last_ms.saturating_add(config.horizon()), Deadline::Forget)))
            }
        };
        // An idle cycle ends before what is due at the same time.
        [last, promise, service].into_iter().flatten().min_by_key(|&(due_ms, _)| due_ms)
    }

    /// Does what was due at `due_ms`.
    pub(crate) fn fire(
        &mut self,
        due_ms: i64,
        what: Deadline,
        book: &Book,
        out: &mut Vec<Output>,
    ) -> Fired {
        match what {
            Deadline::Service(due) => {
                self.pass(due_ms, due, book, out);
                Fired::Stays
            }
            Deadline::Promise(passed) => {
                self.pass_promise(passed, out);
                Fired::Stays
            }
            Deadline::Idle => {
                let end = End {
                    at_ms: due_ms,
                    log_ms: due_ms,
                    resolved: false,
                    by_status: false,
                    place: self.place,
                    ..End::default()
                };
                self.end_cycle(end, book, out);
                self.last_log_ms = due_ms;
                Fired::Stays
            }
            Deadline::Forget => {
                let identity = &self.identity;
                self.ledger.settle_all(&mut |outcome| identity.promise(outcome, out));
                // Only a historical cycle can be open here: nothing will answer or end it any
                // more, so what it says is final although it has no end.
                if let Some(mut cycle) = self.open.take() {
                    let (identity, key) = (&self.identity, cycle.key);
                    let terms = book.terms(cycle.terms);
                    cycle.settle_open(self.place, due_ms, terms, &mut |turn| {
                        identity.turn(key, turn, out);
                    });
                    let id = cycle.id();
                    let slots = cycle.end_slots(due_ms, false);
                    out.extend(slots.into_iter().map(|slot| identity.slot(id, slot)));
                    let mut fact = self.identity.cycle(&mut cycle, self.place, book);
                    if let FactBody::Cycle(body) = &mut fact.body {
                        body.provisional = false;
                    }
                    out.push(Output::Fact(fact));
                    let session = cycle.session(self.ledger.was_broken(key));
                    out.push(self.identity.session(&cycle, 0, session, self.place));
                }
                Fired::Leaves
            }
        }
    }

    /// Tells what was expected of the open cycle by `due_ms`.
    fn pass(&mut self, due_ms: i64, due: Due, book: &Book, out: &mut Vec<Output>) {
        let Some(cycle) = self.open.as_deref_mut() else { return };
        let Some(alarm) = cycle.pass(due, due_ms) else { return };
        out.push(Output::Signal(self.identity.alarm(cycle.key, &alarm, due_ms, self.place)));
        if alarm.told == Told::Breach && matches!(due, Due::Frt | Due::Resolution) {
            out.push(Output::Fact(self.identity.cycle(cycle, self.place, book)));
        }
    }

    /// Tells what became of a promise whose time has come.
    fn pass_promise(&mut self, passed: Passed, out: &mut Vec<Output>) {
        let Some(outcome) = self.ledger.pass(passed) else { return };
        let entry = &outcome.entry;
        let broken = outcome.state == PromiseState::Broken;
        let kind = if broken { SignalKind::PromiseBroken } else { SignalKind::PromiseNear };
        if entry.wanted && (broken || passed == Passed::Nears) {
            out.push(Output::Signal(self.identity.promise_signal(kind, &outcome)));
        }
        if passed == Passed::Due {
            self.identity.promise(outcome, out);
        }
    }

    /// What would be stated of the open cycle now: its run that waits, and the cycle itself.
    pub(crate) fn unsettled(&self, book: &Book, out: &mut Vec<Output>) {
        let Some(mut cycle) = self.open.as_deref().cloned() else { return };
        if let Some(turn) = cycle.waiting(self.place, book.terms(cycle.terms)) {
            self.identity.turn(cycle.key, turn, out);
        }
        out.push(Output::Fact(self.identity.cycle(&mut cycle, self.place, book)));
        let session = cycle.session(self.ledger.was_broken(cycle.key));
        out.push(self.identity.session(&cycle, 0, session, self.place));
    }

    /// Folds an event that was not seen before.
    pub(crate) fn apply(
        &mut self,
        event: &Event<'_>,
        key: u64,
        now_ms: i64,
        historical: bool,
        book: &Book,
        out: &mut Vec<Output>,
    ) {
        self.forget_settled(now_ms.saturating_sub(book.config.horizon()));
        let sent_ms = event.sent_ms.min(now_ms);
        self.live |= !historical;
        if let Some(cycle) = &mut self.open {
            cycle.historical &= historical;
            if !historical && let Some(terms) = book.terms(cycle.terms) {
                cycle.wake(terms, sent_ms);
            }
        }
        if !event.customer.is_empty() {
            if event.customer != &*self.identity.customer {
                self.identity.customer = event.customer.into();
            }
            if !self.identity.former.are(event.former) {
                self.identity.former = event.former.into();
            }
        }
        let place = self.place_of(event, sent_ms);
        self.latest_ms = self.latest_ms.max(sent_ms);
        self.last_log_ms = now_ms;
        self.latest_sent_ms = self.latest_sent_ms.max(event.sent_ms);

        match event.kind {
            EventKind::Message => {
                self.message(event, key, Moment { sent_ms, now_ms, place, historical }, book, out);
                self.idle_from_ms = now_ms;
            }
            EventKind::Handoff => {
                self.in_open_cycle(book, out, |cycle, terms| {
                    cycle.handoff(sent_ms, historical, terms);
                });
            }
            EventKind::Join => self.join(event, sent_ms),
            EventKind::Status(status) => {
                let at = Moment { sent_ms, now_ms, place, historical };
                self.status(status, key, at, book, out);
            }
            EventKind::Edit { .. }
            | EventKind::Delete { .. }
            | EventKind::Leave
            | EventKind::Assign
            | EventKind::Csat { .. } => {}
        }
        if matches!(event.kind, EventKind::Message | EventKind::Edit { .. }) && !event.private {
            self.signal(event, sent_ms, historical, out);
        }
        if !historical && let Some((supervisor, here)) = event.supervisor() {
            out.push(self.identity.presence(supervisor, here, sent_ms, self.place));
        }
    }

    fn message(
        &mut self,
        event: &Event<'_>,
        key: u64,
        at: Moment,
        book: &Book,
        out: &mut Vec<Output>,
    ) {
        match event.part() {
            Part::Customer => {
                let says = Asks {
                    expects_answer: !event.marks.thanks_or_farewell_only,
                    historical: at.historical,
                };
                let demands = event.marks.demands();
                let wants = match event.marks.question {
                    // History fires nothing.
                    Some(_) if !at.historical => Wants::Answer,
                    _ if demands => Wants::Care,
                    _ => Wants::Nothing,
                };
                let message = Message { sent_ms: at.sent_ms, id: event.event_id.into(), wants };
                if demands {
                    self.ledger.customer(at.sent_ms);
                }
                let cycle = self.open_cycle(key, at, false, book);
                cycle.customer(message, says, book.terms(cycle.terms));
                self.hear_customer(event, at, book, out);
            }
            Part::Human { substantive } => {
                let reply = Human {
                    sent_ms: at.sent_ms,
                    log_ms: at.now_ms,
                    id: event.event_id,
                    substantive,
                    holding: event.marks.holding_only,
                    place: at.place,
                    joined_ms: self.joined_ms(event, at.sent_ms),
                    historical: at.historical,
                };
                let before = self.verdicts(at.sent_ms);
                self.work(event, reply);
                let mut was_asked = false;
                self.in_every_cycle(at.sent_ms, book, out, |cycle, state| {
                    was_asked |= cycle.human(reply, book.terms(cycle.terms), state);
                });
                if substantive && !was_asked {
                    let (sent_ms, id) = (at.sent_ms, event.event_id);
                    let (identity, again) = (&self.identity, &event.marks.promises);
                    let mut kept = Vec::new();
                    self.ledger.agent(sent_ms, id, again, &mut |outcome| kept.push(outcome));
                    Self::state_kept(identity, &mut self.ended, kept, out);
                }
                let late = self.hear_agent(event, at, out);
                self.promise(event, key, at, book, out);
                self.restate(before, late, out);
            }
            Part::Machine { serves } => {
                self.in_every_cycle(at.sent_ms, book, out, |cycle, _| {
                    let terms = book.terms(cycle.terms);
                    cycle.machine(at.sent_ms, at.place, serves, at.historical, terms);
                });
            }
            Part::Silent => {}
        }
    }

    /// What the customer says in the open cycle, rather than when.
    fn hear_customer(&mut self, event: &Event<'_>, at: Moment, book: &Book, out: &mut Vec<Output>) {
        let Some(cycle) = self.open.as_deref_mut() else { return };
        let (identity, id) = (&self.identity, cycle.id());
        let said = Said { sent_ms: at.sent_ms, id: event.event_id, acts: event.marks.acts };
        let complains = cycle.complains();
        let fall = cycle.hear_customer(said, &event.marks, &mut |slot| {
            out.push(identity.slot(id, slot));
        });
        if cycle.complains() > complains {
            let again = complains > 0;
            out.push(identity.complaint(id, event, at.sent_ms, at.historical, again, self.place));
        }
        let wanted = book.terms(cycle.terms).map(|terms| &terms.policy);
        let told = [
            (SignalKind::Aggravation, fall.aggravated, wanted.is_some_and(|it| it.aggravation)),
            (SignalKind::NegativeTrend, fall.goes_on, wanted.is_some_and(|it| it.negative_trend)),
        ];
        for (kind, happened, is_wanted) in told {
            if !happened || !is_wanted || at.historical {
                continue;
            }
            let signal_id = self.identity.signal_id(kind, &[event.source, event.event_id]);
            let signal = self.identity.signal(
                Cause { signal_id, kind, severity: Severity::Warning, family: Family::Complaint },
                event.event_id,
                at.sent_ms,
                self.place,
            );
            out.push(Output::Signal(signal));
        }
    }

    /// What an agent says in the open cycle, or said in an ended one: then its index, and the slots
    /// that it settles.
    fn hear_agent(
        &mut self,
        event: &Event<'_>,
        at: Moment,
        out: &mut Vec<Output>,
    ) -> Option<(usize, Vec<Settled>)> {
        let identity = &self.identity;
        let said = Said { sent_ms: at.sent_ms, id: event.event_id, acts: event.marks.acts };
        // What was said before the cycle began belongs to another, or to none.
        if let Some(cycle) = self.open.as_deref_mut()
            && at.sent_ms >= cycle.started_ms
        {
            let id = cycle.id();
            cycle.hear_agent(said, &event.marks, at.place, &mut |slot| {
                out.push(identity.slot(id, slot));
            });
            return None;
        }
        let index = self.ended.iter().rposition(|cycle| cycle.held(at.sent_ms))?;
        let mut slots = Vec::new();
        self.ended[index].hear_late(said, &event.marks, at.place, &mut |slot| slots.push(slot));
        Some((index, slots))
    }

    /// Counts an agent's message as work, where it belongs.
    fn work(&mut self, event: &Event<'_>, message: Human<'_>) {
        let Some(author) = event.author else { return };
        let places = &self.identity.places;
        let is_template = author.subtype == Subtype::Template;
        let is_of = |place: u32| places[place as usize].agent() == author.id;
        let sent_ms = message.sent_ms;
        let open = self.open.as_deref_mut().filter(|cycle| sent_ms >= cycle.started_ms);
        let ended = self.ended.iter_mut().rev().find(|cycle| cycle.held(sent_ms));
        if let Some(cycle) = open.or(ended) {
            cycle.work(message, &event.marks, is_template, is_of);
        }
    }

    /// What an agent promises, in the open cycle or outside of it.
    fn promise(
        &mut self,
        event: &Event<'_>,
        key: u64,
        at: Moment,
        book: &Book,
        out: &mut Vec<Output>,
    ) {
        let open = self.open.as_deref().filter(|cycle| at.sent_ms >= cycle.started_ms);
        let terms = match open {
            Some(cycle) => cycle.terms,
            None => {
                let queue = self.identity.places[at.place as usize].queue();
                book.terms_of(&self.identity.tenant, queue)
            }
        };
        for (&promise, number) in event.marks.promises.iter().zip(1..) {
            let made = Made {
                by: open.map_or(Maker::Message(key, number), |cycle| Maker::Cycle(cycle.key)),
                at_ms: at.sent_ms,
                event_id: event.event_id,
                place: at.place,
                historical: at.historical,
            };
            if let Some(outcome) = self.ledger.make(promise, made, book.terms(terms)) {
                self.identity.promise(outcome, out);
            }
        }
    }

    /// States promises that were kept; one that an ended cycle counts as broken is not.
    fn state_kept(
        identity: &Identity,
        ended: &mut [Cycle],
        kept: Vec<Outcome>,
        out: &mut Vec<Output>,
    ) {
        for outcome in kept {
            let of_it = |cycle: &&mut Cycle| cycle.key == outcome.entry.cycle_key;
            if outcome.was_counted()
                && let Some(end) = ended.iter_mut().find(of_it).and_then(|it| it.end.as_mut())
            {
                end.broken = end.broken.saturating_sub(1);
            }
            identity.promise(outcome, out);
        }
    }

    /// What ended cycles come to, if something sent at `sent_ms` may change that; else nothing.
    fn verdicts(&self, sent_ms: i64) -> Vec<Option<Verdict>> {
        let is_late = |cycle: &Cycle| cycle.end.is_some_and(|end| sent_ms < end.at_ms);
        if self.ledger.may_mend(sent_ms) || self.ended.iter().any(is_late) {
            self.ended.iter().map(Cycle::verdict).collect()
        } else {
            Vec::new()
        }
    }

    /// States again what ended cycles come to, where that has changed; one of them settled slots
    /// `late`.
    fn restate(
        &mut self,
        before: Vec<Option<Verdict>>,
        mut late: Option<(usize, Vec<Settled>)>,
        out: &mut Vec<Output>,
    ) {
        let identity = &self.identity;
        for (index, (cycle, before)) in self.ended.iter_mut().zip(before).enumerate() {
            let (Some(before), Some(mut after)) = (before, cycle.verdict()) else { continue };
            if let Some((_, slots)) = late.take_if(|(of, _)| *of == index) {
                after.slots.extend(slots);
            }
            if before == after {
                continue;
            }
            for slot in after.slots {
                let same = |it: &&Settled| (it.kind, it.number) == (slot.kind, slot.number);
                let stated = before.slots.iter().find(same);
                if stated.is_some_and(|stated| stated.is_present() == slot.is_present()) {
                    continue;
                }
                let revision = match (stated, &mut cycle.end) {
                    (None, _) => slot.revision,
                    // The last run may turn out not to be the last, and that again.
                    (Some(_), Some(end)) if slot.kind == SlotKind::Closing => {
                        end.closings += 1;
                        end.closings
                    }
                    (Some(_), _) => 1,
                };
                out.push(identity.slot(cycle.id(), Settled { revision, ..slot }));
            }
            if (before.session, before.stints) != (after.session.clone(), after.stints)
                && let Some(end) = &mut cycle.end
            {
                end.sessions += 1;
                let revision = end.sessions;
                out.push(identity.session(cycle, revision, after.session, self.place));
            }
        }
    }

    fn status(&mut self, status: Status, key: u64, at: Moment, book: &Book, out: &mut Vec<Output>) {
        let resolved = match status {
            Status::Open | Status::Reopened => {
                self.open_cycle(key, at, status == Status::Reopened, book);
                return;
            }
            Status::Resolved => true,
            Status::Closed => false,
        };
        let end = End {
            at_ms: at.sent_ms,
            log_ms: at.now_ms,
            resolved,
            by_status: true,
            place: self.place,
            ..End::default()
        };
        self.end_cycle(end, book, out);
    }

    /// The open cycle; opens one if there is none.
    fn open_cycle(&mut self, key: u64, at: Moment, reopened: bool, book: &Book) -> &mut Cycle {
        if self.open.is_none() {
            self.cycles += 1;
            self.idle_from_ms = at.now_ms;
        }
        let (number, identity) = (self.cycles, &self.identity);
        self.open.get_or_insert_with(|| {
            let mut cycle = Cycle::new(number, key, at.sent_ms, reopened, at.historical);
            let queue = identity.places[at.place as usize].queue();
            let terms = book.terms_of(&identity.tenant, queue);
            if let (Some(at), Some(terms)) = (terms, book.terms(terms)) {
                cycle.expect(at, terms);
            }
            cycle.into()
        })
    }

    fn end_cycle(&mut self, end: End, book: &Book, out: &mut Vec<Output>) {
        let Some(mut cycle) = self.open.take() else {
            return;
        };
        let (identity, key) = (&self.identity, cycle.key);
        let terms = book.terms(cycle.terms);
        cycle.close(end, terms, &mut |turn| identity.turn(key, turn, out));
        let id = cycle.id();
        let at_ms = cycle.end.map_or(end.at_ms, |end| end.at_ms);
        let slots = cycle.end_slots(at_ms, end.resolved);
        out.extend(slots.into_iter().map(|slot| identity.slot(id, slot)));
        let broken = self.ledger.end(key, at_ms, end.resolved, &mut |outcome| {
            identity.promise(outcome, out);
        });
        if let Some(end) = &mut cycle.end {
            end.broken = broken;
        }
        out.push(Output::Fact(identity.cycle(&mut cycle, self.place, book)));
        Self::state_taken_back(identity, &mut cycle, self.place, out);
        out.push(identity.session(&cycle, 0, cycle.session(broken > 0), self.place));
        self.ended.push(*cycle);
        // Whoever was in charge answers for what comes next only once they act again.
        self.joins.clear();
        let place = self.identity.places[self.place as usize].without_agent();
        self.place = self.identity.keep(place);
    }

    /// Shows a reply to every cycle in memory, oldest first: a late one may belong to an ended
    /// cycle. States the turns that change, then the cycle if what it said last no longer holds.
    fn in_every_cycle(
        &mut self,
        sent_ms: i64,
        book: &Book,
        out: &mut Vec<Output>,
        mut show: impl FnMut(&mut Cycle, &mut dyn FnMut(TurnStatement)),
    ) {
        let identity = &self.identity;
        for cycle in self.ended.iter_mut().chain(self.open.as_deref_mut()) {
            if !cycle.may_change(sent_ms) {
                continue;
            }
            let key = cycle.key;
            let terms = book.terms(cycle.terms);
            let before = (cycle.headline(terms), cycle.end.map(|_| cycle.body(terms)));
            show(cycle, &mut |turn| identity.turn(key, turn, out));
            // Counts of an open cycle go on changing and are stated when it ends.
            let after = (cycle.headline(terms), cycle.end.map(|_| cycle.body(terms)));
            if after != before {
                out.push(Output::Fact(identity.cycle(cycle, self.place, book)));
            }
            Self::state_taken_back(identity, cycle, self.place, out);
        }
    }

    /// An agent comes in: remembered until they speak, or the cycle ends.
    fn join(&mut self, event: &Event<'_>, sent_ms: i64) {
        let Some(author) = event.author.filter(|author| author.role == Role::Agent) else { return };
        let key = event_key("", author.id);
        self.joins.retain(|&(other, _)| other != key);
        if self.joins.len() < JOINS_KEPT {
            self.joins.push((key, sent_ms));
        }
    }

    /// When the author of a message came in, if that was at or before it.
    fn joined_ms(&self, event: &Event<'_>, sent_ms: i64) -> Option<i64> {
        if self.joins.is_empty() {
            return None;
        }
        let key = event_key("", event.author?.id);
        let join = self.joins.iter().find(|&&(other, _)| other == key)?;
        Some(join.1).filter(|&joined_ms| joined_ms <= sent_ms)
    }

    /// States the alarms of a cycle that turned out not to hold.
    fn state_taken_back(identity: &Identity, cycle: &mut Cycle, place: u32, out: &mut Vec<Output>) {
        for taken in std::mem::take(&mut cycle.taken_back) {
            out.push(identity.correction(cycle, taken, place));
        }
    }

    /// Shows something other than a reply to the open cycle, and states what is news.
    fn in_open_cycle(
        &mut self,
        book: &Book,
        out: &mut Vec<Output>,
        show: impl FnOnce(&mut Cycle, Option<&Terms>),
    ) {
        let Some(cycle) = self.open.as_deref_mut() else { return };
        let terms = book.terms(cycle.terms);
        let before = cycle.headline(terms);
        show(cycle, terms);
        if cycle.headline(terms) != before {
            out.push(Output::Fact(self.identity.cycle(cycle, self.place, book)));
        }
    }

    /// Forgets what ended or was settled at or before `until_ms` of log time.
    fn forget_settled(&mut self, until_ms: i64) {
        self.ended.retain(|cycle| cycle.end.is_none_or(|end| end.log_ms > until_ms));
        self.ledger.forget(until_ms);
        if let Some(cycle) = &mut self.open {
            cycle.forget_settled(until_ms);
        }
    }

    /// Where the event happened. Moves the conversation there unless the event is late.
    fn place_of(&mut self, event: &Event<'_>, sent_ms: i64) -> u32 {
        let current = &self.identity.places[self.place as usize];
        let agent = match (event.kind, event.author) {
            (EventKind::Message, Some(author)) if matches!(event.part(), Part::Human { .. }) => {
                author.id
            }
            (EventKind::Join | EventKind::Assign, Some(author)) if author.role == Role::Agent => {
                author.id
            }
            (EventKind::Leave, Some(author)) if author.id == current.agent() => "",
            _ => current.agent(),
        };
        let channel = or(event.channel, current.channel());
        let queue = or(event.queue, current.queue());
        let team = or(event.team, current.team());
        if current.is(agent, channel, queue, team) {
            return self.place;
        }
        let place = Place::new(agent, channel, queue, team);
        let index = self.identity.keep(place);
        if sent_ms >= self.latest_ms {
            self.place = index;
        }
        index
    }

    fn signal(&self, event: &Event<'_>, sent_ms: i64, historical: bool, out: &mut Vec<Output>) {
        let Some(author) = event.author else { return };
        let place = &self.identity.places[self.place as usize];
        let identity = [event.source, event.event_id];
        let (kind, family, severity, category, probability, agent) =
            if author.role == Role::Customer {
                let Some(urgent) = event.marks.urgent else {
                    return;
                };
                let (family, severity) = match urgent.category {
                    Some(UrgentCategory::Safety | UrgentCategory::Crisis) => {
                        (Family::Crisis, Severity::Critical)
                    }
                    _ => (Family::Complaint, Severity::High),
                };
                let category = urgent.category.map_or("", UrgentCategory::name);
                let kind = SignalKind::UrgentComplaint;
                (kind, family, severity, category, urgent.probability, place.agent())
            } else {
                if !event.marks.forbidden || author.role != Role::Agent {
                    return;
                }
                // A rule matched or it did not: certain either way.
                let kind = SignalKind::ForbiddenWording;
                (kind, Family::Wording, Severity::Warning, "", 1.0, author.id)
            };
        out.push(Output::Signal(Signal {
            signal_id: self.identity.signal_id(kind, &identity),
            tenant: event.tenant.into(),
            conversation_id: event.conversation_id.into(),
            family,
            kind,
            category: category.into(),
            severity,
            event_id: event.event_id.into(),
            effective_ms: sent_ms,
            probability,
            rules: event.marks.rules.iter().map(|&rule| rule.into()).collect(),
            related: Vec::new(),
            agent: agent.into(),
            customer: self.identity.customer.to_string(),
            channel: place.channel().to_string(),
            queue: place.queue().to_string(),
            team: place.team().to_string(),
            historical,
        }));
    }
}

/// What an event says, or what is known if it says nothing.
fn or<'a>(said: &'a str, known: &'a str) -> &'a str {
    if said.is_empty() { known } else { said }
}

/// Times and place of a record.
#[derive(Debug, Clone, Copy)]
struct Moment {
    /// Judged: min(`sent_at`, log time).
    sent_ms: i64,
    now_ms: i64,
    place: u32,
    historical: bool,
}
