//! What is due in an open cycle: targets of service, silence, unanswered questions.
//!
//! A deadline is a time in the state of the fold; it fires without a further message. What was
//! fired stays, unless an answer that was sent in time is logged too late: then it is corrected.

use serde::{Deserialize, Serialize};

use crate::output::{Sla, SlaState};
use crate::policy::{Target, Terms};

/// Never due.
const NEVER: i64 = i64::MAX;

/// Time that runs towards a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clock {
    /// [`NEVER`] if it does not warn.
    warn_ms: i64,
    /// [`NEVER`] while it stands still, and if the calendar has no such time.
    due_ms: i64,
    pub(crate) stage: Stage,
    stopped: bool,
}

/// How far a target has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    Pending,
    Warned,
    Breached,
}

impl Clock {
    pub(crate) fn start(terms: &Terms, target: Target, from_ms: i64) -> Self {
        let mut clock = Self::stopped();
        clock.restart(terms, target, from_ms);
        clock
    }

    /// A target whose time does not run yet.
    pub(crate) fn stopped() -> Self {
        Self { warn_ms: NEVER, due_ms: NEVER, stage: Stage::Pending, stopped: true }
    }

    /// Lets the whole target run from another time on, unless it was missed already: what was told
    /// stays.
    pub(crate) fn restart(&mut self, terms: &Terms, target: Target, from_ms: i64) {
        if self.stage != Stage::Breached {
            self.stage = Stage::Pending;
            self.run(terms, from_ms, target.target_ms, target.warn_ms);
        }
    }

    /// Lets `left_ms` run from `from_ms` on, and warn once `warn_ms` of it have passed.
    fn run(&mut self, terms: &Terms, from_ms: i64, left_ms: i64, warn_ms: Option<i64>) {
        self.stopped = false;
        self.due_ms = terms.due(from_ms, left_ms).unwrap_or(NEVER);
        self.warn_ms = warn_ms.and_then(|warn_ms| terms.due(from_ms, warn_ms)).unwrap_or(NEVER);
    }

    /// Lets time stand still, unless the target was missed already.
    pub(crate) fn stop(&mut self) {
        if self.stage != Stage::Breached {
            *self = Self::stopped();
        }
    }

    /// Whether it can come to an end: not if the calendar has no such time.
    fn is_possible(&self) -> bool {
        self.stopped || self.due_ms < NEVER
    }

    /// When it fires next.
    fn next(&self) -> Option<i64> {
        let next_ms = match self.stage {
            Stage::Pending => self.warn_ms.min(self.due_ms),
            Stage::Warned => self.due_ms,
            Stage::Breached => NEVER,
        };
        (next_ms < NEVER).then_some(next_ms)
    }

    /// Fires what [`next`](Self::next) said: a warning, or the target is missed.
    fn fire(&mut self) -> Stage {
        let warns = self.stage == Stage::Pending && self.warn_ms < self.due_ms;
        self.stage = if warns { Stage::Warned } else { Stage::Breached };
        self.stage
    }

    fn state(&self) -> SlaState {
        match self.stage {
            Stage::Pending => SlaState::Pending,
            Stage::Warned => SlaState::Warned,
            Stage::Breached => SlaState::Breached,
        }
    }

    /// The target as it stands while nothing has answered it; `None` if it never can be due.
    pub(crate) fn open(&self, target: Target) -> Option<Sla> {
        let due_ms = (self.due_ms < NEVER).then_some(self.due_ms);
        let sla = Sla { state: self.state(), target_ms: target.target_ms, due_ms };
        self.is_possible().then_some(sla)
    }

    /// The target once nothing will answer it any more.
    pub(crate) fn given_up(&self, target: Target) -> Option<Sla> {
        let sla = self.open(target)?;
        let missed = self.stage == Stage::Breached;
        Some(Sla { state: if missed { SlaState::Breached } else { SlaState::Cancelled }, ..sla })
    }

    /// The target once something was done about it at `done_ms`, as far as the clock can tell: that
    /// was in time while it stood still, and it has the last word on what was told as missed.
    pub(crate) fn done(&self, target: Target, done_ms: i64) -> Option<Sla> {
        if !(self.stopped || self.stage == Stage::Breached) {
            return None;
        }
        let sla = self.open(target)?;
        let in_time = done_ms <= self.due_ms;
        Some(Sla { state: if in_time { SlaState::Met } else { SlaState::Breached }, ..sla })
    }
}

/// The target as an answer sent at `answered_ms` leaves it that counts from `from_ms`; `None` if it
/// never can be due.
pub(crate) fn answered(
    terms: &Terms,
    target: Target,
    from_ms: i64,
    answered_ms: i64,
) -> Option<Sla> {
    let due_ms = terms.due(from_ms, target.target_ms)?;
    let state = if answered_ms <= due_ms { SlaState::Met } else { SlaState::Breached };
    Some(Sla { state, target_ms: target.target_ms, due_ms: Some(due_ms) })
}

/// Time left to resolve a cycle; stands still while the customer is asked for something, if the
/// policy says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resolution {
    clock: Clock,
    left_ms: i64,
    /// Runs since; `None` while it stands still.
    since_ms: Option<i64>,
    /// Stands or stood still last from here on.
    paused_ms: i64,
}

impl Resolution {
    pub(crate) fn start(terms: &Terms, target: Target, from_ms: i64) -> Self {
        Self {
            clock: Clock::start(terms, target, from_ms),
            left_ms: target.target_ms,
            since_ms: Some(from_ms),
            paused_ms: from_ms,
        }
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn clock_mut(&mut self) -> &mut Clock {
        &mut self.clock
    }

    /// Lets time stand still from `at_ms` on; says whether that takes back that it was missed: an
    /// answer that was sent before came to light later.
    pub(crate) fn pause(&mut self, terms: &Terms, at_ms: i64) -> bool {
        let was_missed = self.clock.stage == Stage::Breached;
        if was_missed && at_ms > self.clock.due_ms {
            return false;
        }
        let Some(since_ms) = self.since_ms.take() else { return false };
        self.left_ms = (self.left_ms - terms.passed(since_ms, at_ms)).max(0);
        self.paused_ms = at_ms.max(since_ms);
        // It warns once: what was told of the time until now stays told, also before a miss that is
        // taken back.
        let Clock { warn_ms, due_ms, stage, .. } = self.clock;
        let warned = stage == Stage::Warned || (was_missed && warn_ms < due_ms);
        self.clock = Clock::stopped();
        if warned {
            self.clock.stage = Stage::Warned;
        }
        was_missed
    }

    /// Lets it run on; no time runs twice.
    pub(crate) fn resume(&mut self, terms: &Terms, target: Target, at_ms: i64) {
        if self.clock.stage == Stage::Breached || self.since_ms.is_some() {
            return;
        }
        let at_ms = at_ms.max(self.paused_ms);
        self.since_ms = Some(at_ms);
        let passed_ms = target.target_ms - self.left_ms;
        let warn_ms = target.warn_ms.map(|warn_ms| (warn_ms - passed_ms).max(0));
        self.clock.run(terms, at_ms, self.left_ms, warn_ms);
    }

    /// The target as it stands, or as the end of its cycle left it: when, and whether resolved.
    pub(crate) fn state(&self, target: Target, end: Option<(i64, bool)>) -> Option<Sla> {
        match end {
            None => self.clock.open(target),
            Some((_, false)) => self.clock.given_up(target),
            Some((at_ms, true)) => self
                .clock
                .done(target, at_ms)
                .or_else(|| Some(Sla { state: SlaState::Met, ..self.clock.open(target)? })),
        }
    }

    /// It was told as missed, and the cycle was resolved in time.
    pub(crate) fn is_corrected_by(&self, at_ms: i64) -> bool {
        self.clock.stage == Stage::Breached && at_ms <= self.clock.due_ms
    }
}

/// Deadlines of a cycle whose policy has any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deadlines {
    /// Runs until the first human reply; `None` before anything asks for one.
    pub(crate) frt: Option<Clock>,
    /// What asks for the first reply was sent no earlier: a target counts from no thanks and no
    /// history.
    pub(crate) frt_from_ms: i64,
    pub(crate) resolution: Option<Resolution>,
    /// A bot serves and nobody was asked to take over.
    pub(crate) bot_serves: bool,
    /// The silence that lasts was told.
    pub(crate) silence_told: bool,
    /// The question that waits was told.
    pub(crate) question_told: bool,
    /// What an answer that was sent in time may take back, besides missed targets of replies: the
    /// latest of it.
    pub(crate) told: Vec<ToldAlarm>,
    /// Warnings of the first reply so far.
    pub(crate) frt_warnings: u32,
    /// How often the resolution was told as missed: an answer may take that back, and it may be
    /// missed after all.
    pub(crate) resolution_misses: u32,
}

/// An alarm while somebody waited for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ToldAlarm {
    pub(crate) due: Due,
    /// What waited was sent then: an answer sent before says nothing of it.
    pub(crate) since_ms: i64,
    pub(crate) effective_ms: i64,
    pub(crate) turn: u32,
    pub(crate) ordinal: u32,
}

/// Which deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Due {
    Frt,
    Nrt,
    Resolution,
    Question,
    Silence,
}

/// What became of a target when its time came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Warning,
    Breach,
}

/// When a clock fires next, if there is one; else [`NEVER`].
pub(crate) fn next(clock: Option<&Clock>) -> i64 {
    clock.and_then(Clock::next).unwrap_or(NEVER)
}

/// Lets happen what [`next`] said.
pub(crate) fn fire(clock: &mut Clock) -> Told {
    match clock.fire() {
        Stage::Breached => Told::Breach,
        Stage::Pending | Stage::Warned => Told::Warning,
    }
}
