//! Hours of the week in a time zone: when nobody is to be woken, when a layer of a schedule has
//! anybody.
//!
//! ```toml
//! tz = "Asia/Shanghai"
//! weekly = { "mon-fri" = [["22:00", "08:00"]], sat = [["00:00", "24:00"]] }
//! ```

use std::collections::BTreeMap;

use jiff::civil::{Date, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

const DAY_MINUTES: u16 = 24 * 60;
/// No change of hours is looked for beyond this: a week and what a clock change can add.
const SEARCHED_DAYS: usize = 10;

/// Hours of the week. Hours that exist are valid.
///
/// Bounds are wall-clock times turned into instants by the time-zone data of this engine: a time
/// that a clock change skips counts as the one after the gap, one that comes twice as the first.
/// Hours that end at or before their beginning end on the next day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct WeeklyHours {
    zone: TimeZone,
    /// From Monday; minutes of the day, the end beyond 24 h for hours that end on the next day.
    week: [Vec<(u16, u16)>; 7],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    /// IANA zone of these hours, such as `Asia/Shanghai`.
    tz: String,
    /// Hours by day of the week, or from one day to another:
    /// `{ mon-fri = [["09:00", "12:00"], ["22:00", "08:00"]], sat = [["00:00", "24:00"]] }`. Those
    /// that end at or before their beginning end on the next day. A day is named once; one that is
    /// not named has none.
    weekly: BTreeMap<String, Vec<[String; 2]>>,
}

/// Why hours or times are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongTime(pub(crate) String);

impl WeeklyHours {
    /// Whether an instant lies in these hours.
    pub fn contain(&self, at_ms: i64) -> bool {
        self.ending_after(at_ms).is_some_and(|(open_ms, _)| open_ms <= at_ms)
    }

    /// When the hours around an instant end, if it lies in any. Hours that follow each other
    /// without a pause are one.
    pub fn end(&self, at_ms: i64) -> Option<i64> {
        self.ending_after(at_ms)
            .filter(|(open_ms, _)| *open_ms <= at_ms)
            .map(|(_, close_ms)| close_ms)
    }

    /// When it first changes after an instant whether it lies in these hours; `None` if it does
    /// not within a week.
    pub fn next_change(&self, at_ms: i64) -> Option<i64> {
        let (open_ms, close_ms) = self.ending_after(at_ms)?;
        Some(if open_ms > at_ms { open_ms } else { close_ms })
    }

    /// No instant lies in them.
    pub fn is_never(&self) -> bool {
        self.week.iter().all(Vec::is_empty)
    }

    /// Every instant lies in them.
    pub fn is_always(&self) -> bool {
        let mut minutes = vec![false; 7 * usize::from(DAY_MINUTES)];
        let count = minutes.len();
        for (day, hours) in self.week.iter().enumerate() {
            for (open, close) in hours {
                for minute in *open..*close {
                    let at = day * usize::from(DAY_MINUTES) + usize::from(minute);
                    minutes[at % count] = true;
                }
            }
        }
        minutes.into_iter().all(|covered| covered)
    }

    /// The first hours that end after an instant, with all that follow without a pause.
    fn ending_after(&self, at_ms: i64) -> Option<(i64, i64)> {
        let first = date_in(&self.zone, at_ms)?.yesterday().ok()?;
        let dates = std::iter::successors(Some(first), |date| date.tomorrow().ok());
        let mut found: Option<(i64, i64)> = None;
        for date in dates.take(SEARCHED_DAYS) {
            let day = date.weekday().to_monday_zero_offset() as usize;
            let at = |minute| instant(&self.zone, date, minute);
            let hours = self.week[day].iter().map(|(open, close)| Some((at(*open)?, at(*close)?)));
            let mut hours: Vec<(i64, i64)> = hours.collect::<Option<_>>()?;
            // Hours that a clock change skips may come after those that follow them on the wall.
            hours.sort_unstable();
            for (open_ms, close_ms) in hours {
                match &mut found {
                    None if close_ms > at_ms && close_ms > open_ms => {
                        found = Some((open_ms, close_ms));
                    }
                    None => {}
                    Some((_, end_ms)) if open_ms <= *end_ms => *end_ms = close_ms.max(*end_ms),
                    Some(_) => return found,
                }
            }
        }
        found
    }
}

impl TryFrom<Unchecked> for WeeklyHours {
    type Error = WrongTime;

    fn try_from(unchecked: Unchecked) -> Result<Self, WrongTime> {
        let zone = time_zone(&unchecked.tz)?;
        let mut week: [Vec<(u16, u16)>; 7] = Default::default();
        for (days, bounds) in &unchecked.weekly {
            let mut hours = Vec::new();
            for [open, close] in bounds {
                let (open, mut close) = (minute(open)?, minute(close)?);
                if open == close || open == DAY_MINUTES {
                    let problem = "hours end at another time than they begin; all day is 00:00 to \
                                   24:00";
                    return Err(WrongTime(format!("{days}: {problem}")));
                }
                if close < open {
                    close += DAY_MINUTES;
                }
                hours.push((open, close));
            }
            hours.sort_unstable();
            for day in weekdays(days)? {
                if !week[day].is_empty() {
                    return Err(WrongTime(format!("{days}: {} is set already", DAYS[day])));
                }
                week[day].clone_from(&hours);
            }
        }
        Ok(Self { zone, week })
    }
}

impl From<WeeklyHours> for Unchecked {
    fn from(hours: WeeklyHours) -> Self {
        let days = hours.week.iter().enumerate().filter(|(_, hours)| !hours.is_empty());
        let bounds = |hours: &Vec<(u16, u16)>| {
            hours.iter().map(|(open, close)| [clock(*open), clock(*close)]).collect()
        };
        Self {
            tz: zone_name(&hours.zone),
            weekly: days.map(|(day, hours)| (DAYS[day].to_owned(), bounds(hours))).collect(),
        }
    }
}

pub(crate) fn zone_name(zone: &TimeZone) -> String {
    zone.iana_name().unwrap_or("UTC").to_owned()
}

/// The zone of this name in the data that belong to the engine, whatever the machine has.
pub(crate) fn time_zone(name: &str) -> Result<TimeZone, WrongTime> {
    // Two names that the data know stand for no place on earth.
    let real = !matches!(name, "Etc/Unknown" | "Factory");
    let zone = TimeZoneDatabase::bundled().get(name).ok().filter(|_| real);
    zone.ok_or_else(|| {
        WrongTime(format!("tz: {name:?} is no IANA time zone such as \"Asia/Shanghai\""))
    })
}

pub(crate) fn date_in(zone: &TimeZone, at_ms: i64) -> Option<Date> {
    Some(zone.to_datetime(Timestamp::from_millisecond(at_ms).ok()?).date())
}

/// Instant of a minute of a date; minutes from 24 h on are those of the next date.
fn instant(zone: &TimeZone, date: Date, minute: u16) -> Option<i64> {
    let date = date.checked_add(i64::from(minute / DAY_MINUTES).days()).ok()?;
    let minutes = SignedDuration::from_mins(i64::from(minute % DAY_MINUTES));
    let time = Time::midnight().checked_add(minutes).ok()?;
    let at = zone.to_ambiguous_timestamp(date.to_datetime(time)).compatible().ok()?;
    Some(at.as_millisecond())
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn weekday(name: &str) -> Result<usize, WrongTime> {
    DAYS.iter().position(|day| *day == name).ok_or_else(|| {
        WrongTime(format!("{name:?} is no day of the week: mon, tue, wed, thu, fri, sat, sun"))
    })
}

/// `mon`, or `mon-fri`; `sat-mon` goes over the end of the week.
fn weekdays(name: &str) -> Result<Vec<usize>, WrongTime> {
    let Some((first, last)) = name.split_once('-') else {
        return Ok(vec![weekday(name)?]);
    };
    let (first, last) = (weekday(first)?, weekday(last)?);
    Ok((first..=first + (last + 7 - first) % 7).map(|day| day % 7).collect())
}

/// Minute of the day of `HH:MM`, 00:00 to 24:00.
fn minute(text: &str) -> Result<u16, WrongTime> {
    let digits = |part: &str| {
        let plain = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| part.parse::<u16>().ok()).flatten()
    };
    text.split_once(':')
        .and_then(|(hour, minute)| Some((digits(hour)?, digits(minute)?)))
        .filter(|(hour, minute)| *minute < 60 && hour * 60 + minute <= DAY_MINUTES)
        .map(|(hour, minute)| hour * 60 + minute)
        .ok_or_else(|| WrongTime(format!("{text:?} is no time of day such as \"09:00\"")))
}

fn clock(minute: u16) -> String {
    // 24:00 closes a day; other minutes beyond it are those of the next date.
    let minute = if minute > DAY_MINUTES { minute - DAY_MINUTES } else { minute };
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(json: &str) -> WeeklyHours {
        serde_json::from_str(json).unwrap()
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn a_night_begins_on_one_day_and_ends_on_the_next() {
        let night =
            hours(r#"{"tz": "Asia/Shanghai", "weekly": {"mon-fri": [["22:00", "08:00"]]}}"#);
        // 2026-01-05 is a Monday.
        assert!(!night.contain(at("2026-01-05T07:00:00+08:00")), "Sunday's night is not set");
        assert_eq!(
            night.next_change(at("2026-01-05T07:00:00+08:00")),
            Some(at("2026-01-05T22:00:00+08:00"))
        );
        assert!(night.contain(at("2026-01-06T07:59:59+08:00")));
        assert!(night.contain(at("2026-01-10T07:59:59+08:00")), "Friday's night ends on Saturday");
        assert_eq!(
            night.end(at("2026-01-05T23:00:00+08:00")),
            Some(at("2026-01-06T08:00:00+08:00"))
        );
        assert_eq!(night.end(at("2026-01-06T08:00:00+08:00")), None);
    }

    #[test]
    fn hours_that_a_clock_change_moves_hide_none_that_follow_on_the_wall() {
        // On 2026-03-29 there is no 02:00 to 03:00 in Berlin.
        let gap = hours(
            r#"{"tz": "Europe/Berlin", "weekly": {
                "sun": [["02:10", "02:50"], ["03:00", "03:20"]]
            }}"#,
        );
        assert!(gap.contain(at("2026-03-29T03:05:00+02:00")));
        assert_eq!(gap.end(at("2026-03-29T03:05:00+02:00")), Some(at("2026-03-29T03:50:00+02:00")));
    }

    #[test]
    fn hours_that_follow_each_other_are_one() {
        let weekend = hours(
            r#"{"tz": "Europe/Berlin", "weekly": {
                "fri": [["18:00", "24:00"]], "sat-sun": [["00:00", "24:00"]]
            }}"#,
        );
        assert_eq!(
            weekend.end(at("2026-01-09T18:00:00+01:00")),
            Some(at("2026-01-12T00:00:00+01:00"))
        );
    }

    #[test]
    fn a_night_of_a_clock_change_is_an_hour_shorter_or_longer() {
        let night =
            hours(r#"{"tz": "Europe/Berlin", "weekly": {"mon-sun": [["22:00", "06:00"]]}}"#);
        for (date, next, length) in
            [("2026-03-28", "2026-03-29", 7), ("2026-10-24", "2026-10-25", 9)]
        {
            let from = format!("{date}T22:00:00[Europe/Berlin]").parse::<jiff::Zoned>().unwrap();
            let to = format!("{next}T06:00:00[Europe/Berlin]").parse::<jiff::Zoned>().unwrap();
            let (from, to) = (from.timestamp().as_millisecond(), to.timestamp().as_millisecond());
            assert_eq!(to - from, length * 3_600_000);
            assert_eq!(night.end(from), Some(to));
        }
    }

    #[test]
    fn the_whole_week_and_nothing_are_known_as_such() {
        let json = r#"{"tz": "UTC", "weekly": {"mon-sun": [["00:00", "24:00"]]}}"#;
        assert!(hours(json).is_always());
        let json = r#"{"tz": "UTC", "weekly": {"mon-sun": [["08:00", "07:00"]]}}"#;
        assert!(!hours(json).is_always() && !hours(json).is_never());
        assert!(hours(r#"{"tz": "UTC", "weekly": {}}"#).is_never());
    }

    #[test]
    fn hours_are_written_as_they_are_read() {
        let json = r#"{"tz":"Asia/Shanghai","weekly":{"mon":[["22:00","08:00"]],"sun":[["00:00","24:00"]]}}"#;
        assert_eq!(serde_json::to_string(&hours(json)).unwrap(), json);
    }

    #[test]
    fn wrong_hours_are_refused_and_say_why() {
        for (json, told) in [
            (r#"{"tz": "Mars/Olympus", "weekly": {}}"#, "no IANA time zone"),
            (r#"{"tz": "UTC", "weekly": {"mon": [["8:00", "09:00"]]}}"#, "no time of day"),
            (r#"{"tz": "UTC", "weekly": {"mon": [["09:00", "09:00"]]}}"#, "another time"),
            (r#"{"tz": "UTC", "weekly": {"day": [["08:00", "09:00"]]}}"#, "no day of the week"),
            (
                r#"{"tz": "UTC", "weekly": {"mon": [["08:00", "09:00"]], "mon-tue": [["10:00", "11:00"]]}}"#,
                "set already",
            ),
        ] {
            let error = serde_json::from_str::<WeeklyHours>(json).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
