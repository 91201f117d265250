//! Promises with a due time, and what became of them (`promise.v1`).
//!
//! What was promised happens where the fold cannot look: money arrives, a phone rings. So the
//! ledger says what the conversation shows, and says `unknown` where it shows nothing:
//!
//! - **kept**: by the due time an agent came back without being asked (a substantive message, ten
//!   minutes or half of the promised time after it, that does not promise the same again), to call,
//!   answer or settle; or what was to be answered or settled was resolved;
//! - **broken**: the due time passed, and the customer had come back in vain;
//! - **unknown**: anything else. Money and goods are not seen here at all;
//! - **not followed**: too far ahead, or one too many at a time.

use jiff::ToSpan;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::calendar;
use crate::event::{Promise, PromiseDue, PromiseKind};
use crate::event_id::EventId;
use crate::output::SignalKind;
use crate::policy::Terms;

/// What comes sooner after a promise belongs to the same talk.
const SAME_TALK_MS: i64 = 10 * 60_000;
/// Promises further ahead are not followed.
const MOST_AHEAD_MS: i64 = 35 * 24 * 60 * 60_000;
/// More promises than this are not followed in one conversation at a time. As many are remembered
/// after their time.
const MOST: usize = 16;
/// Where no settings say otherwise.
const DEFAULT_ZONE: &str = "Asia/Shanghai";

/// What became of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromiseState {
    /// Not due yet.
    Pending,
    /// In time.
    Kept,
    /// Not in time.
    Broken,
    /// The conversation does not show it.
    Unknown,
    /// Nobody looked: it was said, and is counted as that alone.
    NotFollowed,
}

impl PromiseState {
    /// The state's name in contracts and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Kept => "kept",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
            Self::NotFollowed => "not_followed",
        }
    }
}

/// A promise that waits for its time, or whose time has passed and what was said by then may still
/// come to light.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) kind: PromiseKind,
    /// Of its conversation's cycle: key and number there, from 1.
    pub(crate) cycle_key: u64,
    pub(crate) number: u32,
    pub(crate) made_ms: i64,
    pub(crate) due_ms: i64,
    pub(crate) event_id: EventId,
    pub(crate) place: u32,
    pub(crate) historical: bool,
    /// The policy wants its nearing and its breach told.
    pub(crate) wanted: bool,
    /// How long before it is due its nearing is told; 0 if that is not wanted.
    warn_before_ms: i64,
    warned: bool,
    /// The customer came back, and it was not resolved since.
    chased: bool,
    /// Its time has passed.
    passed: bool,
    /// It counts as a broken one of its cycle.
    counted: bool,
}

/// A promise and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) entry: Entry,
    pub(crate) state: PromiseState,
    /// When that was settled.
    pub(crate) at_ms: Option<i64>,
    /// The message that kept it; empty if none did.
    pub(crate) event_id: String,
    /// What had been told of it does not hold.
    pub(crate) takes_back: Vec<SignalKind>,
}

impl Outcome {
    fn at(entry: Entry, state: PromiseState, at_ms: Option<i64>) -> Self {
        Self { entry, state, at_ms, event_id: String::new(), takes_back: Vec::new() }
    }

    /// It counted as a broken one of its cycle, and was kept after all.
    pub(crate) fn was_counted(&self) -> bool {
        self.entry.counted
    }

    /// 0 for the first statement of a promise, one more for each later one.
    pub(crate) fn revision(&self) -> u32 {
        match self.state {
            PromiseState::Pending | PromiseState::NotFollowed => 0,
            PromiseState::Kept if self.entry.passed => 2,
            PromiseState::Kept | PromiseState::Broken | PromiseState::Unknown => 1,
        }
    }
}

/// Promises of the open cycle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct OfCycle {
    key: u64,
    made: u32,
    broken: u32,
}

/// A time that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    /// Not much is left.
    Nears,
    /// It is due.
    Due,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// In the order of making.
    entries: Vec<Entry>,
    cycle: OfCycle,
}

/// Where and when a promise is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made<'a> {
    pub(crate) by: Maker,
    pub(crate) at_ms: i64,
    pub(crate) event_id: &'a str,
    pub(crate) place: u32,
    pub(crate) historical: bool,
}

/// What a promise belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Maker {
    /// The open cycle, by its key.
    Cycle(u64),
    /// A message outside of it, by its key, and which of its promises, from 1.
    Message(u64, u32),
}

impl Entry {
    /// When its nearing is told.
    pub(crate) fn warned_ms(&self) -> i64 {
        self.due_ms - self.warn_before_ms
    }

    /// What was told of it that does not hold if it was kept at `at_ms`.
    fn takes_back(&self, at_ms: i64) -> Vec<SignalKind> {
        let near = self.warned && self.warn_before_ms > 0 && at_ms <= self.warned_ms();
        let broken = self.passed && self.chased;
        [(SignalKind::PromiseNear, near), (SignalKind::PromiseBroken, broken)]
            .into_iter()
            .filter_map(|(kind, was_told)| (self.wanted && was_told).then_some(kind))
            .collect()
    }
}

impl Ledger {
    /// Follows a promise, if its time is not too far; `None` if its time cannot be told or has
    /// passed, or if it says again what was said.
    pub(crate) fn make(
        &mut self,
        promise: Promise,
        made: Made<'_>,
        terms: Option<&Terms>,
    ) -> Option<Outcome> {
        let due_ms = due(promise.due, made.at_ms, terms)?;
        let ahead_ms = due_ms.checked_sub(made.at_ms).filter(|&ahead_ms| ahead_ms > 0)?;
        let near = |a: i64, b: i64| a.abs_diff(b) <= SAME_TALK_MS as u64;
        let is_said_again = self.pending().any(|entry| {
            entry.kind == promise.kind
                && near(entry.made_ms, made.at_ms)
                && near(entry.due_ms, due_ms)
        });
        if is_said_again {
            return None;
        }
        let (cycle_key, number) = match made.by {
            Maker::Message(key, number) => (key, number),
            Maker::Cycle(key) => {
                if self.cycle.key != key {
                    self.cycle = OfCycle { key, ..OfCycle::default() };
                }
                self.cycle.made += 1;
                (key, self.cycle.made)
            }
        };
        let before_ms = terms.and_then(|terms| terms.policy.promise_warn_ms);
        let warn_ms = before_ms.filter(|_| !made.historical).filter(|&ms| ms < ahead_ms);
        let entry = Entry {
            kind: promise.kind,
            cycle_key,
            number,
            made_ms: made.at_ms,
            due_ms,
            event_id: made.event_id.into(),
            place: made.place,
            historical: made.historical,
            wanted: before_ms.is_some() && !made.historical,
            warn_before_ms: warn_ms.unwrap_or(0),
            warned: warn_ms.is_none(),
            chased: false,
            passed: false,
            counted: false,
        };
        let is_followed = ahead_ms <= MOST_AHEAD_MS && self.pending().count() < MOST;
        let state = if is_followed { PromiseState::Pending } else { PromiseState::NotFollowed };
        if is_followed {
            self.entries.push(entry.clone());
        }
        Some(Outcome::at(entry, state, None))
    }

    fn pending(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.passed)
    }

    /// An agent says something of substance without having been asked, and promises `again`.
    pub(crate) fn agent(
        &mut self,
        sent_ms: i64,
        event_id: &str,
        again: &[Promise],
        settled: &mut dyn FnMut(Outcome),
    ) {
        self.keep(sent_ms, event_id, settled, |entry| {
            let talk_ms = SAME_TALK_MS.min((entry.due_ms - entry.made_ms) / 2);
            entry.kind.is_shown()
                && !again.iter().any(|promise| promise.kind == entry.kind)
                && sent_ms.saturating_sub(entry.made_ms) >= talk_ms
                && sent_ms <= entry.due_ms
        });
    }

    /// The customer says something that is more than taking note.
    pub(crate) fn customer(&mut self, sent_ms: i64) {
        for entry in self.entries.iter_mut().filter(|entry| !entry.passed) {
            let talk_ms = SAME_TALK_MS.min((entry.due_ms - entry.made_ms) / 2);
            entry.chased |= sent_ms.saturating_sub(entry.made_ms) >= talk_ms;
        }
    }

    /// A cycle ends; says how many of its promises were broken so far.
    pub(crate) fn end(
        &mut self,
        cycle_key: u64,
        at_ms: i64,
        resolved: bool,
        settled: &mut dyn FnMut(Outcome),
    ) -> u32 {
        if resolved {
            self.keep(at_ms, "", settled, |entry| {
                let shows = matches!(entry.kind, PromiseKind::Solve | PromiseKind::Reply);
                let in_time = (entry.made_ms..=entry.due_ms).contains(&at_ms);
                shows && entry.cycle_key == cycle_key && in_time
            });
            let of_cycle = |entry: &&mut Entry| entry.cycle_key == cycle_key && !entry.passed;
            for entry in self.entries.iter_mut().filter(of_cycle) {
                entry.chased = false;
            }
        }
        let of = std::mem::take(&mut self.cycle);
        if of.key == cycle_key { of.broken } else { 0 }
    }

    /// Settles what is only history: no time comes for it.
    pub(crate) fn settle_all(&mut self, settled: &mut dyn FnMut(Outcome)) {
        while let Some(index) = self.entries.iter().position(|entry| !entry.passed) {
            settled(self.due(index));
        }
    }

    /// The time of a promise has come.
    fn due(&mut self, index: usize) -> Outcome {
        let entry = &mut self.entries[index];
        entry.passed = true;
        if entry.chased && self.cycle.key == entry.cycle_key {
            entry.counted = true;
            self.cycle.broken += 1;
        }
        let entry = entry.clone();
        if !entry.kind.is_shown() {
            self.entries.remove(index);
        } else if self.entries.iter().filter(|entry| entry.passed).count() > MOST {
            let oldest = self.entries.iter().position(|entry| entry.passed);
            oldest.map(|oldest| self.entries.remove(oldest));
        }
        let state = if entry.chased { PromiseState::Broken } else { PromiseState::Unknown };
        let at_ms = Some(entry.due_ms);
        Outcome::at(entry, state, at_ms)
    }

    /// Whether something sent at `sent_ms` may keep a promise whose time has passed.
    pub(crate) fn may_mend(&self, sent_ms: i64) -> bool {
        self.entries.iter().any(|entry| entry.passed && sent_ms <= entry.due_ms)
    }

    /// Forgets what passed at or before `until_ms`.
    pub(crate) fn forget(&mut self, until_ms: i64) {
        self.entries.retain(|entry| !entry.passed || entry.due_ms > until_ms);
    }

    fn keep(
        &mut self,
        at_ms: i64,
        event_id: &str,
        settled: &mut dyn FnMut(Outcome),
        keeps: impl Fn(&Entry) -> bool,
    ) {
        let cycle = &mut self.cycle;
        self.entries.retain(|entry| {
            let kept = keeps(entry);
            if kept {
                if entry.counted && cycle.key == entry.cycle_key {
                    cycle.broken = cycle.broken.saturating_sub(1);
                }
                settled(Outcome {
                    takes_back: entry.takes_back(at_ms),
                    event_id: event_id.to_owned(),
                    ..Outcome::at(entry.clone(), PromiseState::Kept, Some(at_ms))
                });
            }
            !kept
        });
    }

    pub(crate) fn next_due(&self) -> Option<(i64, Passed)> {
        let live = || self.pending().filter(|entry| !entry.historical);
        let nears = live().filter(|entry| !entry.warned).map(Entry::warned_ms).min();
        let due = live().map(|entry| entry.due_ms).min();
        match (nears, due) {
            (Some(nears_ms), Some(due_ms)) if nears_ms < due_ms => Some((nears_ms, Passed::Nears)),
            (_, due) => Some((due?, Passed::Due)),
        }
    }

    /// Lets what [`next_due`](Self::next_due) said happen: the promise, and its state.
    pub(crate) fn pass(&mut self, passed: Passed) -> Option<Outcome> {
        let time = |entry: &Entry| match passed {
            _ if entry.historical || entry.passed => i64::MAX,
            Passed::Nears if entry.warned => i64::MAX,
            Passed::Nears => entry.warned_ms(),
            Passed::Due => entry.due_ms,
        };
        let (index, _) = self.entries.iter().enumerate().min_by_key(|(_, entry)| time(entry))?;
        if passed == Passed::Due {
            return Some(self.due(index));
        }
        let entry = &mut self.entries[index];
        entry.warned = true;
        Some(Outcome::at(entry.clone(), PromiseState::Pending, None))
    }

    /// Whether a promise of this open cycle was broken so far.
    pub(crate) fn was_broken(&self, cycle_key: u64) -> bool {
        self.cycle.key == cycle_key && self.cycle.broken > 0
    }

    /// Every place it refers to is below `places`, and every time is possible.
    pub(crate) fn is_consistent(&self, places: u32) -> bool {
        let passed = self.entries.iter().filter(|entry| entry.passed).count();
        passed <= MOST
            && self.entries.len() - passed <= MOST
            && self.entries.iter().all(|entry| {
                let ahead_ms = entry.due_ms.saturating_sub(entry.made_ms);
                entry.place < places
                    && (1..=MOST_AHEAD_MS).contains(&ahead_ms)
                    && (0..=ahead_ms).contains(&entry.warn_before_ms)
            })
    }
}

impl PromiseKind {
    /// Whether a conversation can show that it was kept.
    fn is_shown(self) -> bool {
        match self {
            Self::Callback | Self::Reply | Self::Solve => true,
            Self::Refund | Self::Ship | Self::Other => false,
        }
    }
}

/// When something promised at `made_ms` is due, by the calendar and zone of the tenant.
fn due(due: PromiseDue, made_ms: i64, terms: Option<&Terms>) -> Option<i64> {
    let zone = || match terms.and_then(Terms::zone) {
        Some(zone) => Some(zone.clone()),
        None => calendar::time_zone(DEFAULT_ZONE).ok(),
    };
    let on = |zone: &TimeZone, days: i64, minute: u16| {
        let date = calendar::date_in(zone, made_ms)?.checked_add(days.days()).ok()?;
        calendar::instant(zone, date, minute)
    };
    match due {
        PromiseDue::Within(ms) => made_ms.checked_add(ms),
        PromiseDue::Day { days, minute } => on(&zone()?, i64::from(days), minute),
        PromiseDue::Weekday { weeks, weekday, minute } => {
            let zone = zone()?;
            let today = calendar::date_in(&zone, made_ms)?.weekday().to_monday_zero_offset();
            let (today, weekday) = (i64::from(today), i64::from(weekday % 7));
            let days = match weeks {
                0 => (weekday - today).rem_euclid(7),
                weeks => i64::from(weeks) * 7 + weekday - today,
            };
            on(&zone, days, minute)
        }
        PromiseDue::WorkDays(days) => {
            let zone = zone()?;
            let mut date = calendar::date_in(&zone, made_ms)?;
            let mut left = days;
            for _ in 0..366 {
                if left == 0 {
                    return calendar::instant(&zone, date, 24 * 60);
                }
                date = date.tomorrow().ok()?;
                let works = match terms.and_then(Terms::days) {
                    Some(calendar) => calendar.is_workday(date),
                    None => date.weekday().to_monday_zero_offset() < 5,
                };
                left -= u32::from(works);
            }
            None
        }
    }
}
