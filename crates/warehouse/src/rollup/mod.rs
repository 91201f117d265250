//! Hours of figures put together beforehand, so that a question about ninety days need not read every
//! fact of them.
//!
//! A day of one kind of facts is put together as a whole and under a version of its own; one row in
//! `rollup_marks` then says that this version counts. Nothing is ever added to a version. Which of its
//! hours still hold is found when a question is asked: those in which no row has landed since. The
//! others are read from the facts, as are those that were never put together, so that a figure is the
//! same with rollups and without, however late a fact is. What is here is pure; [`plan`] asks and
//! [`Roller`] puts together.

mod plan;
mod roll;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client::{MAX_EXECUTION, REQUEST_TIMEOUT};

pub(crate) use plan::plan;
pub use roll::{Passed, Roller};

pub(crate) const HOUR_MS: i64 = 3_600_000;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;
const HOURS_OF_A_DAY: i64 = 24;

/// Longest time from when the server says what the time is for a row (`landed_at`) to when the row is
/// there: a statement is stopped after [`MAX_EXECUTION`], and one that the client gave up can still
/// land.
pub const LANDING: Duration =
    Duration::from_secs(REQUEST_TIMEOUT.as_secs() + MAX_EXECUTION.as_secs());
pub(crate) const LANDING_MS: i64 = LANDING.as_millis() as i64;

/// How long a day of which an hour was touched is left as it is: its other hours hold, and what is
/// touched once is often touched again.
const REST: Duration = Duration::from_secs(900);
/// How old it may become that nothing had landed in a day: what landed since is looked through by
/// every question.
const CONFIRM: Duration = Duration::from_secs(300);
/// A customer who did not come back so long after the end of a cycle did not come back
/// (`fcr.v1`, `reopen.v1`, `complaint.again.v1`); before that, figures change by themselves.
pub(crate) const COMES_BACK_DAYS: i64 = 7;

/// Facts that are put together by themselves: hours of their metrics depend on rows of these tables
/// that are of the same hour, and on nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Facts {
    /// Turns.
    Turns,
    /// Care cycles.
    Cycles,
    /// Mood and care of sessions, and what each agent did in them.
    Care,
    /// Standard phrases that were due.
    Slots,
    /// Promises.
    Promises,
    /// Whether customers came back.
    Recontacts,
    /// Messages and ratings.
    Events,
}

impl Facts {
    pub(crate) const ALL: [Self; 7] = [
        Self::Turns,
        Self::Cycles,
        Self::Care,
        Self::Slots,
        Self::Promises,
        Self::Recontacts,
        Self::Events,
    ];

    /// The word in the tables.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Turns => "turns",
            Self::Cycles => "cycles",
            Self::Care => "care",
            Self::Slots => "slots",
            Self::Promises => "promises",
            Self::Recontacts => "recontacts",
            Self::Events => "events",
        }
    }

    /// The tables that they follow from, each with the time that says to which hour a row belongs. A
    /// recontact is of the hour of its session, for both count by the begin of the cycle.
    pub(crate) const fn tables(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Turns => &[("turns", "at")],
            Self::Cycles => &[("cycles", "at")],
            Self::Care | Self::Recontacts => &[("sessions", "at"), ("recontacts", "at")],
            Self::Slots => &[("slots", "at")],
            Self::Promises => &[("promises", "at")],
            Self::Events => &[("events", "sent_at")],
        }
    }

    /// Whether a day that ended at `end_ms` can be put together at `now_ms`.
    const fn can_settle(self, end_ms: i64, now_ms: i64) -> bool {
        match self {
            Self::Recontacts => end_ms + COMES_BACK_DAYS * DAY_MS <= now_ms,
            // Also the day that is going on: its first hours are over.
            _ => end_ms - DAY_MS + 2 * HOUR_MS <= now_ms,
        }
    }
}

/// Which version of a day counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) version: u64,
    /// When it was put together, by ClickHouse's clock.
    pub(crate) rolled_ms: i64,
    /// Rows that landed later than this, less [`LANDING_MS`], may be missing in it.
    pub(crate) confirmed_ms: i64,
    /// Rows of its facts at that time, those included that others replace.
    pub(crate) rows: u64,
    /// Hours that are not in it, counted from 1970.
    pub(crate) raw_hours: Vec<u32>,
}

/// When a row last landed in each hour, hours counted from 1970.
pub(crate) type Landings = BTreeMap<i64, i64>;

/// A range, divided into what is put together and what has to be read from the facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Versions of the days.
    pub(crate) versions: Vec<u64>,
    /// Stretches of whole hours that hold, milliseconds, each with its end.
    pub(crate) rolled: Vec<(i64, i64)>,
    /// All the rest of the range.
    pub(crate) raw: Vec<(i64, i64)>,
}

/// Divides a range by the marks of its days, which are counted from 1970, and by what has landed.
pub(crate) fn divide(
    from_ms: i64,
    to_ms: i64,
    marks: &BTreeMap<i64, Mark>,
    landings: &Landings,
) -> Plan {
    let mut plan = Plan::default();
    let add = |to: &mut Vec<(i64, i64)>, begin: i64, end: i64| match to.last_mut() {
        Some(last) if last.1 == begin => last.1 = end,
        _ => to.push((begin, end)),
    };
    let mut begin = from_ms;
    while begin < to_ms {
        let hour = begin.div_euclid(HOUR_MS);
        let end = ((hour + 1) * HOUR_MS).min(to_ms);
        let whole = begin == hour * HOUR_MS && end == (hour + 1) * HOUR_MS;
        match marks.get(&hour.div_euclid(HOURS_OF_A_DAY)) {
            Some(mark) if whole && holds(mark, hour, landings) => {
                if plan.versions.last() != Some(&mark.version) {
                    plan.versions.push(mark.version);
                }
                add(&mut plan.rolled, begin, end);
            }
            _ => add(&mut plan.raw, begin, end),
        }
        begin = end;
    }
    plan
}

fn holds(mark: &Mark, hour: i64, landings: &Landings) -> bool {
    !mark.raw_hours.iter().any(|raw| i64::from(*raw) == hour) && !touched(mark, hour, landings)
}

fn touched(mark: &Mark, hour: i64, landings: &Landings) -> bool {
    landings.get(&hour).is_some_and(|landed| *landed > mark.confirmed_ms - LANDING_MS)
}

/// What is to be done about a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Put it together, again or for the first time.
    Roll,
    /// Say that nothing has landed in it.
    Confirm,
    /// It is good, or will be looked at later.
    Leave,
}

/// What is to be done about a day, counted from 1970, at `now_ms`, before which `landings` were
/// looked for. `again`: something else than a landing has changed it.
pub(crate) fn step(
    facts: Facts,
    day: i64,
    mark: Option<&Mark>,
    landings: &Landings,
    again: bool,
    now_ms: i64,
) -> Step {
    if !facts.can_settle((day + 1) * DAY_MS, now_ms) {
        return Step::Leave;
    }
    let Some(mark) = mark else {
        return Step::Roll;
    };
    let mut hours = day * HOURS_OF_A_DAY..(day + 1) * HOURS_OF_A_DAY;
    let touched = hours.any(|hour| touched(mark, hour, landings));
    let rested = now_ms - mark.rolled_ms >= REST.as_millis() as i64;
    // Hours of people who may still come back are looked at again as time passes.
    let unsettled = facts == Facts::Recontacts
        && !mark.raw_hours.is_empty()
        && now_ms - mark.rolled_ms >= 6 * HOUR_MS;
    if again || (touched && rested) || unsettled {
        Step::Roll
    } else if !touched && now_ms - mark.confirmed_ms >= CONFIRM.as_millis() as i64 {
        Step::Confirm
    } else {
        Step::Leave
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 20_000;
    const BEGIN: i64 = DAY * DAY_MS;
    const NOW: i64 = BEGIN + 40 * DAY_MS;

    fn mark(version: u64, confirmed_ms: i64) -> Mark {
        Mark { version, rolled_ms: confirmed_ms, confirmed_ms, rows: 0, raw_hours: Vec::new() }
    }

    fn hour(n: i64) -> i64 {
        DAY * 24 + n
    }

    fn two_days() -> BTreeMap<i64, Mark> {
        BTreeMap::from([(DAY, mark(7, NOW)), (DAY + 1, mark(9, NOW))])
    }

    #[test]
    fn whole_hours_that_nothing_has_touched_are_taken_as_they_were_put_together() {
        let (from, to) = (BEGIN, BEGIN + 2 * DAY_MS);
        let plan = divide(from, to, &two_days(), &Landings::new());
        assert_eq!(plan, Plan { versions: vec![7, 9], rolled: vec![(from, to)], raw: vec![] });
    }

    #[test]
    fn edges_within_an_hour_and_days_without_a_mark_are_read() {
        let (from, to) = (BEGIN - DAY_MS, BEGIN + HOUR_MS + 5);
        let plan = divide(from, to, &two_days(), &Landings::new());
        assert_eq!(plan.rolled, [(BEGIN, BEGIN + HOUR_MS)]);
        assert_eq!(plan.raw, [(from, BEGIN), (BEGIN + HOUR_MS, to)]);
        let within = divide(BEGIN + 5, BEGIN + 10, &two_days(), &Landings::new());
        assert_eq!((within.rolled, within.raw), (vec![], vec![(BEGIN + 5, BEGIN + 10)]));
    }

    #[test]
    fn an_hour_in_which_a_row_may_have_landed_since_is_read() {
        let landed =
            |ms| divide(BEGIN, BEGIN + DAY_MS, &two_days(), &Landings::from([(hour(3), ms)]));
        let third = vec![(BEGIN + 3 * HOUR_MS, BEGIN + 4 * HOUR_MS)];
        assert_eq!(landed(NOW + 1).raw, third);
        assert_eq!(landed(NOW - LANDING_MS + 1).raw, third, "it may have been on its way");
        assert_eq!(landed(NOW - LANDING_MS).raw, []);
    }

    #[test]
    fn an_hour_that_was_not_put_together_is_read() {
        let mut marks = two_days();
        marks.get_mut(&DAY).unwrap().raw_hours.push(hour(0) as u32);
        let plan = divide(BEGIN, BEGIN + DAY_MS, &marks, &Landings::new());
        assert_eq!(plan.raw, [(BEGIN, BEGIN + HOUR_MS)]);
    }

    #[test]
    fn a_day_is_put_together_once_and_again_when_it_was_touched_and_has_rested() {
        let next = |mark: Option<&Mark>, landed, now| {
            step(Facts::Turns, DAY, mark, &Landings::from([(hour(5), landed)]), false, now)
        };
        assert_eq!(next(None, 0, NOW), Step::Roll);
        let mark = mark(1, NOW);
        let rest = REST.as_millis() as i64;
        assert_eq!(next(Some(&mark), NOW + 1, NOW + rest - 1), Step::Leave);
        assert_eq!(next(Some(&mark), NOW + 1, NOW + rest), Step::Roll);
        assert_eq!(next(Some(&mark), 0, NOW + 1), Step::Leave);
        assert_eq!(next(Some(&mark), 0, NOW + rest), Step::Confirm);
        let again = step(Facts::Turns, DAY, Some(&mark), &Landings::new(), true, NOW + 1);
        assert_eq!(again, Step::Roll);
    }

    #[test]
    fn days_whose_customers_may_still_come_back_are_not_put_together() {
        let at = |now| step(Facts::Recontacts, DAY, None, &Landings::new(), false, now);
        assert_eq!(at(BEGIN + 8 * DAY_MS - 1), Step::Leave);
        assert_eq!(at(BEGIN + 8 * DAY_MS), Step::Roll);
    }
}
