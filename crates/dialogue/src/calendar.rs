//! Business hours: when a wait counts.
//!
//! ```toml
//! tz = "Asia/Shanghai"                          # IANA name
//! holidays = ["2026-10-01", "2026-10-02"]       # no hours begin on these dates
//!
//! [weekly]                                      # a day, or from one day to another
//! mon-fri = [["09:00", "12:00"], ["13:00", "18:00"]]
//! sat = [["22:00", "06:00"]]                    # overnight: belongs to Saturday
//!
//! [makeup]                                      # 调休: dates with hours of their own
//! "2026-10-10" = [["09:00", "18:00"]]
//! "2026-10-11" = "mon"                          # or those of a day of the week
//! ```
//!
//! `makeup = ["2026-10-10"]` gives the dates the hours of the first day of the week that has any.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::civil::{Date, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

const DAY_MINUTES: u16 = 24 * 60;
/// A target that two years do not hold is never due: a calendar with hours on single dates alone
/// runs out of them.
const SEARCHED_MS: i64 = 2 * 366 * 24 * 60 * 60 * 1000;
const MINUTE_MS: i64 = 60 * 1000;
/// Waits up to here are added up hours by hours: finding out which days are plain costs more.
const WALKED_MS: i64 = 30 * 24 * 60 * MINUTE_MS;
/// Shortest stretch of plain days that is worth its search.
const PLAIN_DAYS: i64 = 7;
/// Days kept between a clock change and plain ones: no hours that begin on a date, or on the one
/// before, touch an instant that is further away.
const CHANGE_DAYS: i64 = 3;

/// Opening hours of a tenant or a queue. One that exists is valid.
///
/// Bounds are wall-clock times turned into instants by the time-zone data of this engine: a time
/// that a clock change skips counts as the one after the gap, one that comes twice as the first.
/// Hours are half-open, and hours that begin on one date may end on the next; a holiday does not
/// cut those begun on the day before. Make-up dates beat holidays, holidays beat the week.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Calendar {
    zone: TimeZone,
    /// From Monday; ascending and apart from each other.
    week: [Vec<Hours>; 7],
    /// Dates that are not as their day of the week.
    dates: BTreeMap<Date, Vec<Hours>>,
}

/// Minutes of the day; `close` is beyond 24 h for hours that end on the next date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hours {
    open: u16,
    close: u16,
}

impl Hours {
    /// From `HH:MM` to `HH:MM`.
    pub(crate) fn parse([open, close]: &[String; 2]) -> Result<Self, CalendarError> {
        let (open, mut close) = (minute(open.trim())?, minute(close.trim())?);
        if close == open || open == DAY_MINUTES {
            let message = "hours end at another time than they begin; all day is 00:00 to 24:00";
            return Err(CalendarError(message.to_owned()));
        }
        if close < open {
            close += DAY_MINUTES;
        }
        Ok(Self { open, close })
    }

    /// Whether an instant lies in these hours of its own date or the date before.
    pub(crate) fn contain(self, zone: &TimeZone, at_ms: i64) -> bool {
        let Some(today) = date_in(zone, at_ms) else { return false };
        let begins_on = |date: Date| {
            let at = |minute| instant(zone, date, minute);
            at(self.open).is_some_and(|open_ms| open_ms <= at_ms)
                && at(self.close).is_some_and(|close_ms| at_ms < close_ms)
        };
        begins_on(today) || today.yesterday().is_ok_and(begins_on)
    }
}

/// Whole days without anything special.
struct Plain {
    /// From the first midnight to the last.
    time_ms: Range<i64>,
    /// Business time in it.
    open_ms: i64,
}

/// Why a calendar is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CalendarError(String);

/// A calendar as it is written.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    /// IANA zone of the hours, such as `Asia/Shanghai`.
    tz: String,
    /// Hours by day of the week, or from one day to another:
    /// `{ mon-fri = [["09:00", "12:00"], ["13:00", "18:00"]], sat = [["22:00", "06:00"]] }`. Those that
    /// end before they begin end on the next day. A day is named once; one that is not named has none.
    #[serde(default)]
    weekly: BTreeMap<String, Vec<Bounds>>,
    /// Dates such as `2026-10-01` on which no hours begin.
    #[serde(default)]
    holidays: Vec<String>,
    /// Dates with other hours than their day of the week has (调休), also when they are holidays.
    #[serde(default)]
    makeup: MakeupDates,
}

/// By date the hours, or the day of the week whose hours it has:
/// `{ "2026-10-10" = [["09:00", "18:00"]], "2026-10-11" = "mon" }`. Or a list of dates,
/// `["2026-10-10"]`, which have the hours of the first day of the week that has any.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum MakeupDates {
    ByDate(BTreeMap<String, Makeup>),
    Dates(Vec<String>),
}

impl Default for MakeupDates {
    fn default() -> Self {
        Self::Dates(Vec::new())
    }
}

/// Hours are `["09:00", "18:00"]` or `"09:00-18:00"`.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Bounds {
    Pair([String; 2]),
    Text(String),
}

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Makeup {
    Hours(Vec<Bounds>),
    Weekday(String),
}

impl Calendar {
    /// Time between two instants inside business hours, in milliseconds; 0 if the second is not
    /// after the first.
    pub fn elapsed(&self, from_ms: i64, to_ms: i64) -> i64 {
        let (mut elapsed, mut at_ms) = (0, from_ms);
        while to_ms.saturating_sub(at_ms) > WALKED_MS
            && let Some(plain) = self.plain_days(at_ms, to_ms)
        {
            elapsed += self.walk(at_ms, plain.time_ms.start) + plain.open_ms;
            at_ms = plain.time_ms.end;
        }
        elapsed + self.walk(at_ms, to_ms)
    }

    /// The same, hours by hours.
    fn walk(&self, from_ms: i64, to_ms: i64) -> i64 {
        let mut elapsed = 0;
        for (open_ms, close_ms) in self.hours_between(from_ms, to_ms) {
            elapsed += (close_ms.min(to_ms) - open_ms.max(from_ms)).max(0);
        }
        elapsed
    }

    /// The first stretch of whole days between two instants in which the week alone says what is
    /// open and no clock changes: there a week has as much business time as the next. Waits can be
    /// centuries long, for a platform may send any time.
    fn plain_days(&self, from_ms: i64, until_ms: i64) -> Option<Plain> {
        let until = date_in(&self.zone, until_ms)?;
        let mut first = date_in(&self.zone, from_ms)?.tomorrow().ok()?;
        let end = loop {
            let enough = first.checked_add(PLAIN_DAYS.days()).ok()?;
            if enough > until {
                return None;
            }
            // The hours of a date reach into the next one.
            let special = self.dates.range(first.yesterday().ok()?..).next().map(|(date, _)| *date);
            if let Some(special) = special.filter(|special| *special < enough) {
                first = special.checked_add(2.days()).ok()?;
                continue;
            }
            let before = first.checked_sub(CHANGE_DAYS.days()).ok()?;
            let before = Timestamp::from_millisecond(instant(&self.zone, before, 0)?).ok()?;
            let change = self.zone.following(before).next().map(|change| change.timestamp());
            let change = change.map(|at| self.zone.to_datetime(at).date());
            let still = change.map(|date| date.checked_sub(CHANGE_DAYS.days())).transpose().ok()?;
            if still.is_some_and(|still| still < enough) {
                let clear = change?.checked_add((CHANGE_DAYS + 1).days()).ok()?;
                first = clear.max(first.tomorrow().ok()?);
                continue;
            }
            break [special, still].into_iter().flatten().fold(until, Date::min);
        };
        let day_ms: [i64; 7] = std::array::from_fn(|day| self.open_in_day(day) * MINUTE_MS);
        let days = i64::from(first.until(end).ok()?.get_days());
        let weekday = first.weekday().to_monday_zero_offset() as usize;
        let rest = (0..days as usize % 7).map(|day| day_ms[(weekday + day) % 7]);
        Some(Plain {
            time_ms: instant(&self.zone, first, 0)?..instant(&self.zone, end, 0)?,
            open_ms: days / 7 * day_ms.iter().sum::<i64>() + rest.sum::<i64>(),
        })
    }

    /// Minutes of a day of the week that are open, those of the night before among them.
    fn open_in_day(&self, day: usize) -> i64 {
        let night = self.week[(day + 6) % 7].iter().map(|hours| hours.close).max();
        let mut covered = night.unwrap_or(0).saturating_sub(DAY_MINUTES);
        let mut open = covered;
        for hours in &self.week[day] {
            let close = hours.close.min(DAY_MINUTES);
            open += close.saturating_sub(hours.open.max(covered));
            covered = covered.max(close);
        }
        i64::from(open)
    }

    /// Business value of a wait in milliseconds: its time inside business hours. `None` if that is
    /// zero and the wait began outside of them, 0 if it began inside (metrics.md section 2).
    pub fn business(&self, from_ms: i64, to_ms: i64) -> Option<i64> {
        let elapsed = self.elapsed(from_ms, to_ms);
        (elapsed > 0 || self.is_open(from_ms)).then_some(elapsed)
    }

    /// Whether an instant lies inside business hours.
    pub fn is_open(&self, at_ms: i64) -> bool {
        let mut hours = self.hours_between(at_ms, at_ms.saturating_add(1));
        hours.next().is_some_and(|(open_ms, _)| open_ms <= at_ms)
    }

    /// First instant by which `target_ms` of business time have passed since `from_ms`; `None` if
    /// the calendar has no such instant within two years.
    pub fn due(&self, from_ms: i64, target_ms: i64) -> Option<i64> {
        let mut left = target_ms;
        for (open_ms, close_ms) in self.hours_between(from_ms, from_ms.saturating_add(SEARCHED_MS))
        {
            let begin_ms = open_ms.max(from_ms);
            if close_ms - begin_ms >= left {
                return Some(begin_ms + left);
            }
            left -= close_ms - begin_ms;
        }
        None
    }

    /// Whether people work on a date, whenever a service is open: Monday to Friday but for holidays,
    /// and make-up days.
    pub(crate) fn is_workday(&self, date: Date) -> bool {
        match self.dates.get(&date) {
            Some(hours) => !hours.is_empty(),
            None => date.weekday().to_monday_zero_offset() < 5,
        }
    }

    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    fn hours_on(&self, date: Date) -> &[Hours] {
        let weekday = date.weekday().to_monday_zero_offset() as usize;
        self.dates.get(&date).unwrap_or(&self.week[weekday])
    }

    /// Business hours between two instants, in order, none of them twice: those that end after
    /// the first, and begin on a date that begins before the second.
    fn hours_between(&self, from_ms: i64, until_ms: i64) -> impl Iterator<Item = (i64, i64)> {
        let first = date_in(&self.zone, from_ms).and_then(|date| date.yesterday().ok());
        let dates =
            std::iter::successors(first, |date| date.tomorrow().ok()).take_while(move |&date| {
                instant(&self.zone, date, 0).is_some_and(|midnight| midnight < until_ms)
            });
        let hours = dates.flat_map(move |date| {
            let at = |minute| instant(&self.zone, date, minute);
            let hours = self.hours_on(date).iter();
            let mut hours: Vec<_> =
                hours.filter_map(|hours| Some((at(hours.open)?, at(hours.close)?))).collect();
            // What a clock change skips may come after what follows it on the wall.
            hours.sort_unstable();
            hours
        });
        // The end of a night may lie in the next morning's hours.
        let mut covered_ms = i64::MIN;
        hours.filter_map(move |(open_ms, close_ms)| {
            let open_ms = open_ms.max(covered_ms);
            covered_ms = covered_ms.max(close_ms);
            (close_ms > from_ms && close_ms > open_ms).then_some((open_ms, close_ms))
        })
    }
}

pub(crate) fn date_in(zone: &TimeZone, at_ms: i64) -> Option<Date> {
    Some(zone.to_datetime(Timestamp::from_millisecond(at_ms).ok()?).date())
}

/// Instant of a minute of a date; minutes from 24 h on are those of the next date.
pub(crate) fn instant(zone: &TimeZone, date: Date, minute: u16) -> Option<i64> {
    let date = date.checked_add(i64::from(minute / DAY_MINUTES).days()).ok()?;
    let minute = minute % DAY_MINUTES;
    let time = Time::midnight().checked_add(SignedDuration::from_mins(i64::from(minute))).ok()?;
    let at = zone.to_ambiguous_timestamp(date.to_datetime(time)).compatible().ok()?;
    Some(at.as_millisecond())
}

impl TryFrom<Unchecked> for Calendar {
    type Error = CalendarError;

    fn try_from(unchecked: Unchecked) -> Result<Self, CalendarError> {
        let zone = time_zone(&unchecked.tz)?;
        // A day without hours is set too, so that no other entry opens it.
        let mut week: [Option<Vec<Hours>>; 7] = Default::default();
        for (days, bounds) in &unchecked.weekly {
            let hours = hours(days, bounds)?;
            for day in weekdays(days)? {
                if week[day].replace(hours.clone()).is_some() {
                    let name = DAYS[day].0;
                    return Err(CalendarError(format!("weekly.{days}: {name} is set already")));
                }
            }
        }
        let week = week.map(Option::unwrap_or_default);
        let mut dates = BTreeMap::new();
        for text in &unchecked.holidays {
            dates.insert(date(text)?, Vec::new());
        }
        match &unchecked.makeup {
            MakeupDates::ByDate(makeup) => {
                for (text, makeup) in makeup {
                    let hours = match makeup {
                        Makeup::Hours(bounds) => hours(text, bounds)?,
                        Makeup::Weekday(day) => week[weekday(day)?].clone(),
                    };
                    dates.insert(date(text)?, hours);
                }
            }
            MakeupDates::Dates(makeup) => {
                let workday = week.iter().find(|hours| !hours.is_empty()).cloned();
                for text in makeup {
                    dates.insert(date(text)?, workday.clone().unwrap_or_default());
                }
            }
        }
        Ok(Self { zone, week, dates })
    }
}

impl From<Calendar> for Unchecked {
    fn from(calendar: Calendar) -> Self {
        let bounds = |hours: &Vec<Hours>| -> Vec<Bounds> {
            hours
                .iter()
                .map(|hours| Bounds::Pair([clock(hours.open), clock(hours.close)]))
                .collect()
        };
        let with_hours = calendar.week.iter().enumerate().filter(|(_, hours)| !hours.is_empty());
        let (makeup, holidays): (Vec<_>, Vec<_>) =
            calendar.dates.iter().partition(|(_, hours)| !hours.is_empty());
        Self {
            tz: calendar.zone.iana_name().unwrap_or("UTC").to_owned(),
            weekly: with_hours
                .map(|(day, hours)| (DAYS[day].0.to_owned(), bounds(hours)))
                .collect(),
            holidays: holidays.into_iter().map(|(date, _)| date.to_string()).collect(),
            makeup: MakeupDates::ByDate(
                makeup
                    .into_iter()
                    .map(|(date, hours)| (date.to_string(), Makeup::Hours(bounds(hours))))
                    .collect(),
            ),
        }
    }
}

/// Names that the data know and that stand for no place on earth: both would count as UTC.
const NO_ZONES: [&str; 2] = ["Etc/Unknown", "Factory"];

/// The zone of this name in the data that belong to the engine, whatever the machine has.
pub(crate) fn time_zone(name: &str) -> Result<TimeZone, CalendarError> {
    let zone = TimeZoneDatabase::bundled().get(name).ok();
    let is_real = |zone: &TimeZone| zone.iana_name().is_some_and(|name| !NO_ZONES.contains(&name));
    zone.filter(is_real).ok_or_else(|| {
        CalendarError(format!("tz: {name:?} is no IANA time zone such as \"Asia/Shanghai\""))
    })
}

const DAYS: [(&str, &str); 7] = [
    ("mon", "monday"),
    ("tue", "tuesday"),
    ("wed", "wednesday"),
    ("thu", "thursday"),
    ("fri", "friday"),
    ("sat", "saturday"),
    ("sun", "sunday"),
];

fn weekday(name: &str) -> Result<usize, CalendarError> {
    let lower = name.to_ascii_lowercase();
    DAYS.iter().position(|&(short, long)| lower == short || lower == long).ok_or_else(|| {
        CalendarError(format!("{name:?} is no day of the week: mon, tue, wed, thu, fri, sat, sun"))
    })
}

/// `mon`, or `mon-fri`; `sat-mon` goes over the end of the week.
fn weekdays(name: &str) -> Result<Vec<usize>, CalendarError> {
    let Some((first, last)) = name.split_once('-') else {
        return Ok(vec![weekday(name)?]);
    };
    let (first, last) = (weekday(first)?, weekday(last)?);
    Ok((first..=first + (last + 7 - first) % 7).map(|day| day % 7).collect())
}

/// Date of `YYYY-MM-DD`, and nothing around it: the parser would take a time of day, too, and
/// leave it out.
fn date(text: &str) -> Result<Date, CalendarError> {
    let is_plain = text.len() == "2026-10-01".len()
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let date = is_plain.then(|| text.parse().ok()).flatten();
    date.ok_or_else(|| CalendarError(format!("{text:?} is no date such as \"2026-10-01\"")))
}

/// Hours of a day in ascending order.
fn hours(day: &str, bounds: &[Bounds]) -> Result<Vec<Hours>, CalendarError> {
    let mut all = Vec::with_capacity(bounds.len());
    for bounds in bounds {
        let pair = match bounds {
            Bounds::Pair(pair) => pair.clone(),
            Bounds::Text(text) => {
                let (open, close) = text.split_once('-').ok_or_else(|| {
                    CalendarError(format!("{day}: {text:?} are no hours such as \"09:00-18:00\""))
                })?;
                [open.to_owned(), close.to_owned()]
            }
        };
        let hours = Hours::parse(&pair);
        all.push(hours.map_err(|CalendarError(error)| CalendarError(format!("{day}: {error}")))?);
    }
    all.sort_by_key(|hours| hours.open);
    match all.windows(2).find(|pair| pair[1].open < pair[0].close) {
        Some(pair) => Err(CalendarError(format!(
            "{day}: the hours from {} reach into those from {}",
            clock(pair[0].open),
            clock(pair[1].open)
        ))),
        None => Ok(all),
    }
}

/// Minute of the day of `HH:MM`, 00:00 to 24:00.
fn minute(text: &str) -> Result<u16, CalendarError> {
    let parse = |part: &str| (part.len() <= 2).then(|| part.parse::<u16>().ok()).flatten();
    text.split_once(':')
        .and_then(|(hour, minute)| Some((parse(hour)?, parse(minute)?)))
        .filter(|&(hour, minute)| minute < 60 && hour * 60 + minute <= DAY_MINUTES)
        .map(|(hour, minute)| hour * 60 + minute)
        .ok_or_else(|| CalendarError(format!("{text:?} is no time of day such as \"09:00\"")))
}

fn clock(minute: u16) -> String {
    // 24:00 closes a day; other minutes beyond it are those of the next date.
    let minute = if minute > DAY_MINUTES { minute - DAY_MINUTES } else { minute };
    format!("{:02}:{:02}", minute / 60, minute % 60)
}
