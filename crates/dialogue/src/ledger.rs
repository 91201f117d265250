//! Promises with a due time, and what became of them (`promise.v1`).
//!
//! What was promised happens where the fold cannot look: money arrives, a phone rings. So the
//! ledger says what the conversation shows, and says `unknown` where it shows nothing:
//!
//! - **kept**: by the due time an agent came back without being asked (a substantive message, ten
//!   minutes or more after the promise, while no customer message waited), or what was to be
//!   settled or answered was resolved;
//! - **broken**: the due time passed, and the cycle was still open, or the customer had come back
//!   meanwhile without its being kept;
//! - **unknown**: anything else.

use jiff::ToSpan;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::calendar;
use crate::event::{Promise, PromiseDue, PromiseKind};
use crate::event_id::EventId;
use crate::policy::Terms;

/// What comes sooner after a promise belongs to the same talk.
const SAME_TALK_MS: i64 = 10 * 60_000;
/// Promises further ahead are not followed.
const MOST_AHEAD_MS: i64 = 35 * 24 * 60 * 60_000;
/// More promises than this are not followed in one conversation at a time.
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
}

impl PromiseState {
    /// The state's name in contracts and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Kept => "kept",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
        }
    }
}

/// A promise that waits for its time.
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
    /// How long before it is due its nearing is told; 0 if that is not wanted.
    warn_before_ms: i64,
    warned: bool,
    /// Its cycle goes on.
    open: bool,
    /// Its cycle was resolved.
    resolved: bool,
    /// The customer came back.
    chased: bool,
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
    pending: Vec<Entry>,
    /// Cycle of the latest promise, how many it had, and whether one of them was broken.
    cycle: (u64, u32, bool),
}

/// Where and when a promise is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made<'a> {
    pub(crate) cycle_key: u64,
    pub(crate) at_ms: i64,
    pub(crate) event_id: &'a str,
    pub(crate) place: u32,
    pub(crate) historical: bool,
}

impl Entry {
    /// When its nearing was told.
    pub(crate) fn warned_ms(&self) -> i64 {
        self.due_ms - self.warn_before_ms
    }
}

impl Ledger {
    /// Follows a promise, if its time can be told and is not too far.
    pub(crate) fn make(
        &mut self,
        promise: Promise,
        made: Made<'_>,
        terms: Option<&Terms>,
    ) -> Option<Outcome> {
        let due_ms = due(promise.due, made.at_ms, terms)?;
        let ahead_ms = due_ms.checked_sub(made.at_ms)?;
        if !(1..=MOST_AHEAD_MS).contains(&ahead_ms) || self.pending.len() >= MOST {
            return None;
        }
        if self.cycle.0 != made.cycle_key {
            self.cycle = (made.cycle_key, 0, false);
        }
        self.cycle.1 += 1;
        let before_ms = terms.and_then(|terms| terms.policy.promise_warn_ms);
        let warn_ms = before_ms.filter(|_| !made.historical).filter(|&ms| ms < ahead_ms);
        let entry = Entry {
            kind: promise.kind,
            cycle_key: made.cycle_key,
            number: self.cycle.1,
            made_ms: made.at_ms,
            due_ms,
            event_id: made.event_id.into(),
            place: made.place,
            historical: made.historical,
            warn_before_ms: warn_ms.unwrap_or(0),
            warned: warn_ms.is_none(),
            open: true,
            resolved: false,
            chased: false,
        };
        self.pending.push(entry.clone());
        Some(Outcome { entry, state: PromiseState::Pending, at_ms: None, event_id: String::new() })
    }

    /// An agent says something of substance; `asked` if a customer message waited for it.
    pub(crate) fn agent(
        &mut self,
        sent_ms: i64,
        event_id: &str,
        asked: bool,
        settled: &mut dyn FnMut(Outcome),
    ) {
        if asked {
            return;
        }
        self.keep(sent_ms, event_id, settled, |entry| {
            sent_ms - entry.made_ms >= SAME_TALK_MS && sent_ms <= entry.due_ms
        });
    }

    /// The customer says something that expects an answer.
    pub(crate) fn customer(&mut self, sent_ms: i64) {
        for entry in &mut self.pending {
            entry.chased |= sent_ms - entry.made_ms >= SAME_TALK_MS;
        }
    }

    /// A cycle ends.
    pub(crate) fn end(
        &mut self,
        cycle_key: u64,
        at_ms: i64,
        resolved: bool,
        settled: &mut dyn FnMut(Outcome),
    ) {
        for entry in self.pending.iter_mut().filter(|entry| entry.cycle_key == cycle_key) {
            (entry.open, entry.resolved) = (false, resolved);
        }
        if resolved {
            self.keep(at_ms, "", settled, |entry| {
                let shows = matches!(entry.kind, PromiseKind::Solve | PromiseKind::Reply);
                let in_time = (entry.made_ms..=entry.due_ms).contains(&at_ms);
                shows && entry.cycle_key == cycle_key && in_time
            });
        }
    }

    fn keep(
        &mut self,
        at_ms: i64,
        event_id: &str,
        settled: &mut dyn FnMut(Outcome),
        keeps: impl Fn(&Entry) -> bool,
    ) {
        self.pending.retain(|entry| {
            let kept = keeps(entry);
            if kept {
                settled(Outcome {
                    entry: entry.clone(),
                    state: PromiseState::Kept,
                    at_ms: Some(at_ms),
                    event_id: event_id.to_owned(),
                });
            }
            !kept
        });
    }

    pub(crate) fn next_due(&self) -> Option<(i64, Passed)> {
        let unwarned = self.pending.iter().filter(|entry| !entry.warned);
        let nears = unwarned.map(Entry::warned_ms).min();
        let due = self.pending.iter().map(|entry| entry.due_ms).min();
        match (nears, due) {
            (Some(nears_ms), Some(due_ms)) if nears_ms < due_ms => Some((nears_ms, Passed::Nears)),
            (_, due) => Some((due?, Passed::Due)),
        }
    }

    /// Lets what [`next_due`](Self::next_due) said happen: the promise, and its state.
    pub(crate) fn pass(&mut self, passed: Passed) -> Option<Outcome> {
        let time = |entry: &Entry| match passed {
            Passed::Nears if entry.warned => i64::MAX,
            Passed::Nears => entry.warned_ms(),
            Passed::Due => entry.due_ms,
        };
        let (index, _) = self.pending.iter().enumerate().min_by_key(|(_, entry)| time(entry))?;
        if passed == Passed::Nears {
            let entry = &mut self.pending[index];
            entry.warned = true;
            let (entry, state) = (entry.clone(), PromiseState::Pending);
            return Some(Outcome { entry, state, at_ms: None, event_id: String::new() });
        }
        let entry = self.pending.remove(index);
        let broken = entry.open || (entry.chased && !entry.resolved);
        let state = if broken { PromiseState::Broken } else { PromiseState::Unknown };
        if broken && self.cycle.0 == entry.cycle_key {
            self.cycle.2 = true;
        }
        let at_ms = Some(entry.due_ms);
        Some(Outcome { entry, state, at_ms, event_id: String::new() })
    }

    /// Whether a promise of this cycle was broken so far.
    pub(crate) fn was_broken(&self, cycle_key: u64) -> bool {
        self.cycle.0 == cycle_key && self.cycle.2
    }

    /// Every place it refers to is below `places`.
    pub(crate) fn is_consistent(&self, places: u32) -> bool {
        self.pending.iter().all(|entry| entry.place < places)
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
                let works = match terms.and_then(|terms| terms.calendar.as_ref()) {
                    Some(calendar) => calendar.is_workday(date),
                    None => date.weekday().to_monday_zero_offset() < 5,
                };
                left -= u32::from(works);
            }
            None
        }
    }
}
