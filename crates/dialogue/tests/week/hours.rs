//! Business hours by a second reading that shares no code with the engine: a table that says of
//! every minute of a stretch of time whether it is open, and sums over it.
//!
//! Of the time-zone library it uses one question alone: how far a zone is from UTC at an instant.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan};
use serde_json::Value;

pub(crate) const MINUTE_MS: i64 = 60_000;
const DAY_MINUTES: i64 = 24 * 60;
/// No zone changes its clocks twice within so long.
const FAR_MS: i64 = 48 * 60 * MINUTE_MS;

/// From and until which minute of the day; beyond 24 h it ends on the next.
type Span = (i64, i64);

/// Opening hours as the settings write them: pairs of `HH:MM`, single days and make-up dates with
/// hours of their own.
pub(crate) struct Hours {
    zone: TimeZone,
    /// From Monday.
    week: [Vec<Span>; 7],
    dates: BTreeMap<Date, Vec<Span>>,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Hours {
    pub(crate) fn read(settings: &Value) -> Self {
        let tz = settings["tz"].as_str().expect("a zone");
        let mut week: [Vec<Span>; 7] = Default::default();
        for (days, hours) in settings["weekly"].as_object().expect("hours of the week") {
            let number = |name: &str| DAYS.iter().position(|day| *day == name).expect("a day");
            let (first, last) = days.split_once('-').unwrap_or((days, days));
            week[number(first)..=number(last)].fill(spans(hours));
        }
        let date = |text: &str| text.parse::<Date>().expect("a date");
        let mut dates = BTreeMap::new();
        for holiday in settings["holidays"].as_array().into_iter().flatten() {
            dates.insert(date(holiday.as_str().expect("a date")), Vec::new());
        }
        for (day, hours) in settings["makeup"].as_object().into_iter().flatten() {
            dates.insert(date(day), spans(hours));
        }
        Self { zone: TimeZoneDatabase::bundled().get(tz).expect("a known zone"), week, dates }
    }

    /// How far local time is ahead of UTC.
    fn ahead_ms(&self, at_ms: i64) -> i64 {
        let at = Timestamp::from_millisecond(at_ms).expect("a time of this millennium");
        i64::from(self.zone.to_offset(at).seconds()) * 1_000
    }

    /// Date on the wall at an instant.
    pub(crate) fn date(&self, at_ms: i64) -> Date {
        let days = (at_ms + self.ahead_ms(at_ms)).div_euclid(DAY_MINUTES * MINUTE_MS);
        jiff::civil::date(1970, 1, 1) + days.days()
    }

    /// When the wall says `minute` of `date`: the first time that it does, and if it never does,
    /// what it would be had the clock not changed.
    fn instant(&self, date: Date, minute: i64) -> i64 {
        let days = jiff::civil::date(1970, 1, 1).until(date).expect("a date near ours").get_days();
        let wall_ms = (i64::from(days) * DAY_MINUTES + minute) * MINUTE_MS;
        let (before, after) = (self.ahead_ms(wall_ms - FAR_MS), self.ahead_ms(wall_ms + FAR_MS));
        let shows = |at_ms: &i64| at_ms + self.ahead_ms(*at_ms) == wall_ms;
        let first = [wall_ms - before, wall_ms - after].into_iter().filter(shows).min();
        first.unwrap_or(wall_ms - before)
    }

    /// Which minutes are open from the day before `from_ms` to the day after `until_ms`.
    pub(crate) fn table(&self, from_ms: i64, until_ms: i64) -> Table {
        let (first, last) = (self.date(from_ms) - 1.day(), self.date(until_ms) + 1.day());
        let first_ms = self.instant(first, 0);
        let minutes = (self.instant(last, 0) - first_ms) / MINUTE_MS;
        let mut open = vec![false; minutes as usize];
        // One day more: its night reaches into the first.
        let mut date = first - 1.day();
        while date < last {
            let weekday = date.weekday().to_monday_zero_offset() as usize;
            for (opens, closes) in self.dates.get(&date).unwrap_or(&self.week[weekday]) {
                let opens_ms = self.instant(date, *opens);
                let closes_ms = self.instant(date, *closes);
                let index =
                    |at_ms: i64| ((at_ms - first_ms) / MINUTE_MS).clamp(0, minutes) as usize;
                let range = index(opens_ms)..index(closes_ms).max(index(opens_ms));
                open[range].fill(true);
            }
            date += 1.day();
        }
        Table { first_ms, open }
    }
}

fn spans(hours: &Value) -> Vec<Span> {
    let minute = |text: &Value| {
        let (hour, minute) = text.as_str().and_then(|text| text.split_once(':')).expect("HH:MM");
        hour.parse::<i64>().expect("hours") * 60 + minute.parse::<i64>().expect("minutes")
    };
    let hours = hours.as_array().expect("pairs of times").iter();
    hours
        .map(|pair| {
            let (opens, closes) = (minute(&pair[0]), minute(&pair[1]));
            (opens, if closes < opens { closes + DAY_MINUTES } else { closes })
        })
        .collect()
}

/// Minutes that are open.
pub(crate) struct Table {
    first_ms: i64,
    open: Vec<bool>,
}

impl Table {
    /// The minutes that touch a stretch: whether each is open, and how much of it lies inside.
    fn minutes(&self, from_ms: i64, to_ms: i64) -> impl Iterator<Item = (bool, i64, i64)> {
        let first = (from_ms - self.first_ms).div_euclid(MINUTE_MS);
        let last = (to_ms - self.first_ms - 1).div_euclid(MINUTE_MS);
        (first..=last).map(move |minute| {
            let begin_ms = self.first_ms + minute * MINUTE_MS;
            let inside = (begin_ms.max(from_ms), (begin_ms + MINUTE_MS).min(to_ms));
            (self.open[usize::try_from(minute).expect("inside the table")], inside.0, inside.1)
        })
    }

    /// Open time of a wait, and the other.
    pub(crate) fn split(&self, from_ms: i64, to_ms: i64) -> (i64, i64) {
        let (mut open_ms, mut off_ms) = (0, 0);
        for (open, begin_ms, end_ms) in self.minutes(from_ms, to_ms) {
            *(if open { &mut open_ms } else { &mut off_ms }) += end_ms - begin_ms;
        }
        (open_ms, off_ms)
    }

    pub(crate) fn is_open(&self, at_ms: i64) -> bool {
        self.split(at_ms, at_ms + 1).0 > 0
    }

    /// Business value of a wait.
    pub(crate) fn business(&self, from_ms: i64, to_ms: i64) -> Option<i64> {
        let (open_ms, _) = self.split(from_ms, to_ms);
        (open_ms > 0 || self.is_open(from_ms)).then_some(open_ms)
    }

    /// The first instant by which so much open time has passed.
    ///
    /// # Panics
    /// When the table ends before.
    pub(crate) fn due(&self, from_ms: i64, target_ms: i64) -> i64 {
        let mut left_ms = target_ms;
        for (open, begin_ms, end_ms) in self.minutes(from_ms, i64::MAX / 2) {
            if open && end_ms - begin_ms >= left_ms {
                return begin_ms + left_ms;
            }
            left_ms -= if open { end_ms - begin_ms } else { 0 };
        }
        unreachable!("the table has no such end")
    }
}
