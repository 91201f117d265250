//! Promises with a due time, and what became of them (`promise.v1`).
//!
//! What was promised happens where the fold cannot look: money arrives, a phone rings. So the
//! ledger says what the conversation shows, and says `unknown` where it shows nothing:
//!
//! - **kept**: by the due time an agent came back without being asked (a substantive message, ten
//!   minutes or half of the promised time after it, that does not promise the same again), to call,
//!   answer or settle; or what was to be answered or settled was resolved;
//! - **broken**: the due time passed, and the customer had come back in vain;
//! - **unknown**: anything else. Money and goods are not seen here at all.

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
    /// The policy wants its nearing and its breach told.
    pub(crate) wanted: bool,
    /// How long before it is due its nearing is told; 0 if that is not wanted.
    warn_before_ms: i64,
    warned: bool,
    /// The customer came back, and it was not resolved since.
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
    /// A customer message waits that is more than taking note.
    demanded: bool,
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
    /// When its nearing is told.
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
        let near = |a: i64, b: i64| a.abs_diff(b) <= SAME_TALK_MS as u64;
        let is_said_again = self.pending.iter().any(|entry| {
            entry.kind == promise.kind
                && entry.cycle_key == made.cycle_key
                && near(entry.made_ms, made.at_ms)
                && near(entry.due_ms, due_ms)
        });
        if is_said_again {
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
            wanted: before_ms.is_some() && !made.historical,
            warn_before_ms: warn_ms.unwrap_or(0),
            warned: warn_ms.is_none(),
            chased: false,
        };
        self.pending.push(entry.clone());
        Some(Outcome { entry, state: PromiseState::Pending, at_ms: None, event_id: String::new() })
    }

    /// An agent speaks, of substance or not, and promises `again`.
    pub(crate) fn agent(
        &mut self,
        sent_ms: i64,
        event_id: &str,
        substantive: bool,
        again: &[Promise],
        settled: &mut dyn FnMut(Outcome),
    ) {
        if std::mem::take(&mut self.demanded) || !substantive {
            return;
        }
        self.keep(sent_ms, event_id, settled, |entry| {
            let talk_ms = SAME_TALK_MS.min((entry.due_ms - entry.made_ms) / 2);
            let shows = match entry.kind {
                PromiseKind::Callback | PromiseKind::Reply | PromiseKind::Solve => true,
                PromiseKind::Refund | PromiseKind::Ship | PromiseKind::Other => false,
            };
            shows
                && !again.iter().any(|promise| promise.kind == entry.kind)
                && sent_ms.saturating_sub(entry.made_ms) >= talk_ms
                && sent_ms <= entry.due_ms
        });
    }

    /// The customer says something that is more than taking note.
    pub(crate) fn customer(&mut self, sent_ms: i64) {
        self.demanded = true;
        for entry in &mut self.pending {
            let talk_ms = SAME_TALK_MS.min((entry.due_ms - entry.made_ms) / 2);
            entry.chased |= sent_ms.saturating_sub(entry.made_ms) >= talk_ms;
        }
    }

    /// Whether a customer message waits that is more than taking note.
    pub(crate) fn is_demanded(&self) -> bool {
        self.demanded
    }

    /// A cycle ends.
    pub(crate) fn end(
        &mut self,
        cycle_key: u64,
        at_ms: i64,
        resolved: bool,
        settled: &mut dyn FnMut(Outcome),
    ) {
        self.demanded = false;
        if resolved {
            self.keep(at_ms, "", settled, |entry| {
                let shows = matches!(entry.kind, PromiseKind::Solve | PromiseKind::Reply);
                let in_time = (entry.made_ms..=entry.due_ms).contains(&at_ms);
                shows && entry.cycle_key == cycle_key && in_time
            });
            for entry in self.pending.iter_mut().filter(|entry| entry.cycle_key == cycle_key) {
                entry.chased = false;
            }
        }
    }

    /// Settles what is only history: no time comes for it.
    pub(crate) fn settle_all(&mut self, settled: &mut dyn FnMut(Outcome)) {
        for entry in std::mem::take(&mut self.pending) {
            settled(self.due(entry));
        }
    }

    /// A promise whose time has come.
    fn due(&mut self, entry: Entry) -> Outcome {
        let broken = entry.chased;
        if broken && self.cycle.0 == entry.cycle_key {
            self.cycle.2 = true;
        }
        let state = if broken { PromiseState::Broken } else { PromiseState::Unknown };
        let at_ms = Some(entry.due_ms);
        Outcome { entry, state, at_ms, event_id: String::new() }
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
        let live = || self.pending.iter().filter(|entry| !entry.historical);
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
            _ if entry.historical => i64::MAX,
            Passed::Nears if entry.warned => i64::MAX,
            Passed::Nears => entry.warned_ms(),
            Passed::Due => entry.due_ms,
        };
        let (index, _) = self.pending.iter().enumerate().min_by_key(|(_, entry)| time(entry))?;
        if passed == Passed::Due {
            let entry = self.pending.remove(index);
            return Some(self.due(entry));
        }
        let entry = &mut self.pending[index];
        entry.warned = true;
        let (entry, state) = (entry.clone(), PromiseState::Pending);
        Some(Outcome { entry, state, at_ms: None, event_id: String::new() })
    }

    /// Whether a promise of this cycle was broken so far.
    pub(crate) fn was_broken(&self, cycle_key: u64) -> bool {
        self.cycle.0 == cycle_key && self.cycle.2
    }

    /// Every place it refers to is below `places`, and every time is possible.
    pub(crate) fn is_consistent(&self, places: u32) -> bool {
        self.pending.len() <= MOST
            && self.pending.iter().all(|entry| {
                let ahead_ms = entry.due_ms.saturating_sub(entry.made_ms);
                entry.place < places
                    && (1..=MOST_AHEAD_MS).contains(&ahead_ms)
                    && (0..=ahead_ms).contains(&entry.warn_before_ms)
            })
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
