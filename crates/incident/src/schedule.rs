//! Who is on call when: layers of people who take turns, and overrides.
//!
//! ```toml
//! [teams.default.schedules.night]
//! tz = "Asia/Shanghai"
//!
//! [[teams.default.schedules.night.layers]]     # a later layer covers the ones before
//! members = ["mei", "bo"]                      # destinations of the team, in turn
//! rotation = "weekly"                          # hourly, daily or weekly
//! every = 1                                    # weeks
//! starts = "2026-01-05T09:00"                  # the first hand-over; the others follow from it
//! only = { tz = "Asia/Shanghai", weekly = { mon-fri = [["18:00", "09:00"]] } }
//!
//! # Calendars cover the layers. SUMMARY is the member; see the crate's notes on what is read.
//! # calendars = ["""BEGIN:VCALENDAR ..."""]
//!
//! [[teams.default.schedules.night.overrides]]  # a later override covers the ones before
//! member = "li"
//! starts = "2026-10-01T00:00"
//! ends = "2026-10-04T09:00"
//! ```

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::hours::{WeeklyHours, WrongTime, time_zone, zone_name};
use crate::imported::Imported;

const MOST_LAYERS: usize = 20;
const MOST_MEMBERS: usize = 100;
const MOST_OVERRIDES: usize = 1_000;
const MOST_EVERY: u32 = 366;
/// Changes that are looked at in one question.
const MOST_CHANGES: usize = 20_000;
/// The longest time that one question may span.
pub const LONGEST_VIEW_MS: i64 = 400 * 24 * 60 * 60_000;
/// How far ahead the next person is looked for.
const SEARCHED_MS: i64 = 60 * 24 * 60 * 60_000;

/// Who is on call when. One that exists is valid.
///
/// Hand-overs are wall-clock times of the schedule's zone, counted from the first one on the
/// calendar: a weekly one at 09:00 stays at 09:00 when clocks change, and the shift around the
/// change is an hour shorter or longer. A time that a clock change skips counts as the one after
/// the gap, one that comes twice as the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Schedule {
    zone: TimeZone,
    layers: Vec<Layer>,
    calendars: Vec<Imported>,
    overrides: Vec<Override>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Layer {
    members: Vec<String>,
    rotation: Rotation,
    every: u32,
    starts: DateTime,
    starts_ms: i64,
    ends: Option<DateTime>,
    ends_ms: Option<i64>,
    only: Option<WeeklyHours>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Override {
    member: String,
    starts: DateTime,
    starts_ms: i64,
    ends: DateTime,
    ends_ms: i64,
}

/// What the length of a shift counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// Hours on the wall clock.
    Hourly,
    /// Days.
    Daily,
    /// Weeks.
    Weekly,
}

/// A time in which the same person, or nobody, is on call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift<'a> {
    /// Who; absent in a gap.
    pub member: Option<&'a str>,
    /// From then on, milliseconds since the Unix epoch.
    pub starts_at_ms: i64,
    /// Until just before then.
    pub ends_at_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    /// IANA zone of the times on the wall clock below, such as `Asia/Shanghai`.
    tz: String,
    /// People who take turns, at most 20 layers; a later one covers the ones before.
    #[serde(default)]
    layers: Vec<UncheckedLayer>,
    /// iCalendar objects (RFC 5545) as text, which cover the layers: the SUMMARY of an event is the
    /// member. At most 20, each of at most 256 KiB.
    #[serde(default)]
    calendars: Vec<String>,
    /// Single times that cover layers and calendars, at most 1,000; a later one covers the ones before.
    #[serde(default)]
    overrides: Vec<UncheckedOverride>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UncheckedLayer {
    /// Destinations of the team, in turn, 1 to 100.
    members: Vec<String>,
    /// What the length of a shift counts.
    rotation: Rotation,
    /// A shift is so many hours, days or weeks, 1 to 366.
    #[serde(default = "one")]
    every: u32,
    /// The first hand-over, on the wall clock without an offset, such as `2026-01-05T09:00`; the others
    /// follow from it, and stay at this time of day when clocks change.
    starts: String,
    /// From then on the layer has nobody, written as `starts`; without it there is no end.
    #[serde(default)]
    ends: Option<String>,
    /// Hours outside of which the layer has nobody.
    #[serde(default)]
    only: Option<WeeklyHours>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UncheckedOverride {
    /// Destination of the team that is on call.
    member: String,
    /// From then on, on the wall clock without an offset, such as `2026-10-01T00:00`.
    starts: String,
    /// Until just before then, written as `starts`, and later.
    ends: String,
}

fn one() -> u32 {
    1
}

impl Schedule {
    /// Who is on call at an instant; `None` in a gap.
    pub fn on_call(&self, at_ms: i64) -> Option<&str> {
        let overrides = self.overrides.iter().rev();
        let mut standing = overrides.filter(|it| it.starts_ms <= at_ms && at_ms < it.ends_ms);
        if let Some(it) = standing.next() {
            return Some(&it.member);
        }
        let calendars = self.calendars.iter().rev().find_map(|it| it.on_call(at_ms));
        let layers = self.layers.iter().rev();
        calendars.or_else(|| layers.into_iter().find_map(|layer| layer.on_call(&self.zone, at_ms)))
    }

    /// The first shift after the one at an instant in which somebody else is on call, or
    /// somebody where nobody was; `None` if there is none within 60 days.
    pub fn next(&self, at_ms: i64) -> Option<Shift<'_>> {
        let now = self.on_call(at_ms);
        let mut shifts = self.shifts(at_ms, at_ms.saturating_add(SEARCHED_MS)).into_iter();
        shifts.find(|shift| shift.member.is_some() && shift.member != now)
    }

    /// Who is on call from one instant to another, at most [`LONGEST_VIEW_MS`] later, without a
    /// pause: each shift begins where the one before ends, gaps are shifts of nobody.
    pub fn shifts(&self, from_ms: i64, until_ms: i64) -> Vec<Shift<'_>> {
        let until_ms = until_ms.min(from_ms.saturating_add(LONGEST_VIEW_MS));
        let mut shifts: Vec<Shift<'_>> = Vec::new();
        let mut at_ms = from_ms;
        for _ in 0..MOST_CHANGES {
            if at_ms >= until_ms {
                break;
            }
            let change_ms = self.next_change(at_ms).unwrap_or(until_ms).min(until_ms);
            let member = self.on_call(at_ms);
            match shifts.last_mut() {
                Some(last) if last.member == member => last.ends_at_ms = change_ms,
                _ => shifts.push(Shift { member, starts_at_ms: at_ms, ends_at_ms: change_ms }),
            }
            at_ms = change_ms;
        }
        shifts
    }

    /// Times between two instants in which nobody is on call.
    pub fn gaps(&self, from_ms: i64, until_ms: i64) -> Vec<Shift<'_>> {
        let mut shifts = self.shifts(from_ms, until_ms);
        shifts.retain(|shift| shift.member.is_none());
        shifts
    }

    /// Everybody who is ever on call.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        let layers = self.layers.iter().flat_map(|layer| &layer.members);
        let calendars = self.calendars.iter().flat_map(Imported::members);
        layers
            .chain(calendars)
            .chain(self.overrides.iter().map(|it| &it.member))
            .map(String::as_str)
    }

    /// The first instant after another at which somebody else may be on call.
    fn next_change(&self, at_ms: i64) -> Option<i64> {
        let overrides = self.overrides.iter().flat_map(|it| [it.starts_ms, it.ends_ms]);
        let layers = self.layers.iter().filter_map(|layer| layer.next_change(&self.zone, at_ms));
        let calendars = self.calendars.iter().filter_map(|it| it.next_change(at_ms));
        overrides.chain(layers).chain(calendars).filter(|change_ms| *change_ms > at_ms).min()
    }
}

impl Layer {
    fn on_call(&self, zone: &TimeZone, at_ms: i64) -> Option<&str> {
        let begun = self.starts_ms <= at_ms && self.ends_ms.is_none_or(|ends_ms| at_ms < ends_ms);
        if !begun || self.only.as_ref().is_some_and(|only| !only.contain(at_ms)) {
            return None;
        }
        let turn = self.turn(zone, at_ms)?;
        let member = turn.rem_euclid(self.members.len() as i64);
        self.members.get(member as usize).map(String::as_str)
    }

    fn next_change(&self, zone: &TimeZone, at_ms: i64) -> Option<i64> {
        if at_ms < self.starts_ms {
            return Some(self.starts_ms);
        }
        if self.ends_ms.is_some_and(|ends_ms| ends_ms <= at_ms) {
            return None;
        }
        let turn = self.turn(zone, at_ms)?;
        // Turns that a clock change skips have no length.
        let mut handovers =
            (turn + 1..=turn + self.near()).filter_map(|turn| self.handover_ms(zone, turn));
        let handover_ms = handovers.find(|handover_ms| *handover_ms > at_ms);
        let only_ms = self.only.as_ref().and_then(|only| only.next_change(at_ms));
        [handover_ms, only_ms, self.ends_ms].into_iter().flatten().min()
    }

    /// Which turn it is at an instant, from 0: the last one that has begun.
    fn turn(&self, zone: &TimeZone, at_ms: i64) -> Option<i64> {
        let now = zone.to_datetime(Timestamp::from_millisecond(at_ms).ok()?);
        let hours = self.starts.duration_until(now).as_secs().div_euclid(60 * 60);
        let guess = hours.div_euclid(self.hours());
        (guess - self.near()..=guess + self.near())
            .rev()
            .find(|turn| self.handover_ms(zone, *turn).is_some_and(|begins| begins <= at_ms))
    }

    /// Hours of a turn on the wall clock.
    fn hours(&self) -> i64 {
        let unit = match self.rotation {
            Rotation::Hourly => 1,
            Rotation::Daily => 24,
            Rotation::Weekly => 7 * 24,
        };
        i64::from(self.every) * unit
    }

    /// By how many turns the wall clock can mislead: no clock change is longer than a day.
    fn near(&self) -> i64 {
        26 / self.hours() + 2
    }

    fn handover_ms(&self, zone: &TimeZone, turn: i64) -> Option<i64> {
        let count = turn.checked_mul(i64::from(self.every))?;
        let span = match self.rotation {
            Rotation::Hourly => Span::new().try_hours(count),
            Rotation::Daily => Span::new().try_days(count),
            Rotation::Weekly => Span::new().try_weeks(count),
        };
        let at = self.starts.checked_add(span.ok()?).ok()?;
        instant(zone, at)
    }
}

fn instant(zone: &TimeZone, at: DateTime) -> Option<i64> {
    Some(zone.to_ambiguous_timestamp(at).compatible().ok()?.as_millisecond())
}

/// The wall-clock time of `2026-10-01T09:00`, and the instant that it is.
fn wall_clock(zone: &TimeZone, text: &str) -> Result<(DateTime, i64), WrongTime> {
    let wrong = || {
        WrongTime(format!(
            "{text:?} is no time on the wall clock such as \"2026-10-01T09:00\", without an offset"
        ))
    };
    // The parser would take an offset, too, and leave it out.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"-:T".contains(&byte))
        && matches!(text.len(), 16 | 19)
        && text.as_bytes().get(10) == Some(&b'T');
    let at: DateTime = plain.then(|| text.parse().ok()).flatten().ok_or_else(wrong)?;
    Ok((at, instant(zone, at).ok_or_else(wrong)?))
}

impl TryFrom<Unchecked> for Schedule {
    type Error = WrongTime;

    fn try_from(unchecked: Unchecked) -> Result<Self, WrongTime> {
        let wrong = |problem: String| Err(WrongTime(problem));
        let zone = time_zone(&unchecked.tz)?;
        if unchecked.layers.len() > MOST_LAYERS || unchecked.overrides.len() > MOST_OVERRIDES {
            return wrong(format!("at most {MOST_LAYERS} layers and {MOST_OVERRIDES} overrides"));
        }
        let mut layers = Vec::new();
        for (index, layer) in unchecked.layers.into_iter().enumerate() {
            let field = format!("layers[{index}]");
            let named = |error: WrongTime| WrongTime(format!("{field}.{}", error.0));
            if !(1..=MOST_MEMBERS).contains(&layer.members.len()) {
                return wrong(format!("{field}.members: give 1 to {MOST_MEMBERS}"));
            }
            if !(1..=MOST_EVERY).contains(&layer.every) {
                return wrong(format!(
                    "{field}.every: {} is not within 1 and {MOST_EVERY}",
                    layer.every
                ));
            }
            let (starts, starts_ms) = wall_clock(&zone, &layer.starts)
                .map_err(|error| named(WrongTime(format!("starts: {}", error.0))))?;
            let ends = layer.ends.as_deref().map(|text| wall_clock(&zone, text)).transpose();
            let ends = ends.map_err(|error| named(WrongTime(format!("ends: {}", error.0))))?;
            if ends.is_some_and(|(_, ends_ms)| ends_ms <= starts_ms) {
                return wrong(format!("{field}.ends: not after it starts"));
            }
            if layer.only.as_ref().is_some_and(WeeklyHours::is_never) {
                return wrong(format!("{field}.only: has no hours, nobody would be on call"));
            }
            layers.push(Layer {
                members: layer.members,
                rotation: layer.rotation,
                every: layer.every,
                starts,
                starts_ms,
                ends: ends.map(|(ends, _)| ends),
                ends_ms: ends.map(|(_, ends_ms)| ends_ms),
                only: layer.only,
            });
        }
        if unchecked.calendars.len() > MOST_LAYERS {
            return wrong(format!("calendars: at most {MOST_LAYERS}"));
        }
        let mut calendars = Vec::new();
        for (index, text) in unchecked.calendars.iter().enumerate() {
            let imported = Imported::parse(text, &zone);
            calendars.push(imported.map_err(|WrongTime(problem)| {
                WrongTime(format!("calendars[{index}]: {problem}"))
            })?);
        }
        let mut overrides = Vec::new();
        for (index, it) in unchecked.overrides.into_iter().enumerate() {
            let named = |error: WrongTime| WrongTime(format!("overrides[{index}]: {}", error.0));
            let (starts, starts_ms) = wall_clock(&zone, &it.starts).map_err(named)?;
            let (ends, ends_ms) = wall_clock(&zone, &it.ends).map_err(named)?;
            if ends_ms <= starts_ms {
                return wrong(format!("overrides[{index}].ends: not after it starts"));
            }
            overrides.push(Override { member: it.member, starts, starts_ms, ends, ends_ms });
        }
        Ok(Self { zone, layers, calendars, overrides })
    }
}

impl From<Schedule> for Unchecked {
    fn from(schedule: Schedule) -> Self {
        let layers = schedule.layers.into_iter().map(|layer| UncheckedLayer {
            members: layer.members,
            rotation: layer.rotation,
            every: layer.every,
            starts: layer.starts.to_string(),
            ends: layer.ends.map(|ends| ends.to_string()),
            only: layer.only,
        });
        let overrides = schedule.overrides.into_iter().map(|it| UncheckedOverride {
            member: it.member,
            starts: it.starts.to_string(),
            ends: it.ends.to_string(),
        });
        Self {
            tz: zone_name(&schedule.zone),
            layers: layers.collect(),
            calendars: schedule.calendars.into_iter().map(|it| it.text).collect(),
            overrides: overrides.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    fn schedule(json: &str) -> Schedule {
        serde_json::from_str(json).unwrap()
    }

    fn at(text: &str) -> i64 {
        text.parse::<jiff::Zoned>().unwrap().timestamp().as_millisecond()
    }

    fn names<'a>(shifts: &[Shift<'a>]) -> Vec<(Option<&'a str>, i64)> {
        let hours = |shift: &Shift<'_>| (shift.ends_at_ms - shift.starts_at_ms) / HOUR;
        shifts.iter().map(|shift| (shift.member, hours(shift))).collect()
    }

    fn daily(zone: &str) -> Schedule {
        schedule(&format!(
            r#"{{"tz": "{zone}", "layers": [{{
                "members": ["mei", "bo", "li"], "rotation": "daily", "starts": "2026-03-27T09:00"
            }}]}}"#
        ))
    }

    #[test]
    fn members_take_turns_from_the_first_hand_over_on() {
        let schedule = daily("Asia/Shanghai");
        assert_eq!(schedule.on_call(at("2026-03-27T08:59:59[Asia/Shanghai]")), None);
        for (day, member) in [(27, "mei"), (28, "bo"), (29, "li"), (30, "mei")] {
            let from = at(&format!("2026-03-{day}T09:00:00[Asia/Shanghai]"));
            assert_eq!(schedule.on_call(from), Some(member));
            assert_eq!(schedule.on_call(from + DAY - 1), Some(member));
        }
        let next = schedule.next(at("2026-03-27T12:00:00[Asia/Shanghai]")).unwrap();
        assert_eq!(next.member, Some("bo"));
        assert_eq!(next.starts_at_ms, at("2026-03-28T09:00:00[Asia/Shanghai]"));
    }

    #[test]
    fn hand_overs_stay_at_their_hour_when_clocks_change() {
        let schedule = daily("Europe/Berlin");
        let shifts = schedule.shifts(
            at("2026-03-27T09:00:00[Europe/Berlin]"),
            at("2026-03-31T09:00:00[Europe/Berlin]"),
        );
        let expected = [(Some("mei"), 24), (Some("bo"), 23), (Some("li"), 24), (Some("mei"), 24)];
        assert_eq!(names(&shifts), expected);
        let weekly = self::schedule(
            r#"{"tz": "America/New_York", "layers": [{
                "members": ["a", "b"], "rotation": "weekly", "starts": "2026-10-26T09:00"
            }]}"#,
        );
        let from = at("2026-10-26T09:00:00[America/New_York]");
        let hours = [(Some("a"), 7 * 24 + 1), (Some("b"), 7 * 24)];
        assert_eq!(names(&weekly.shifts(from, from + 14 * DAY + HOUR)), hours);
    }

    #[test]
    fn hourly_shifts_count_hours_on_the_wall_clock() {
        let hourly = |starts: &str| {
            schedule(&format!(
                r#"{{"tz": "Europe/Berlin", "layers": [{{
                    "members": ["a", "b", "c"], "rotation": "hourly", "starts": "{starts}"
                }}]}}"#
            ))
        };
        // 02:00 to 03:00 does not exist: b has no turn.
        let spring = hourly("2026-03-29T01:00");
        let shifts = spring.shifts(
            at("2026-03-29T01:00:00[Europe/Berlin]"),
            at("2026-03-29T05:00:00[Europe/Berlin]"),
        );
        assert_eq!(names(&shifts), [(Some("a"), 1), (Some("c"), 1), (Some("a"), 1)]);
        // 02:00 to 03:00 comes twice: b has it both times.
        let autumn = hourly("2026-10-25T01:00");
        let shifts = autumn.shifts(
            at("2026-10-25T01:00:00[Europe/Berlin]"),
            at("2026-10-25T04:00:00[Europe/Berlin]"),
        );
        assert_eq!(names(&shifts), [(Some("a"), 1), (Some("b"), 2), (Some("c"), 1)]);
        let half_past = hourly("2026-10-25T01:30");
        let second = at("2026-10-25T02:10:00+01:00[Europe/Berlin]");
        assert_eq!(half_past.on_call(second), Some("b"), "02:30 has come once already");
    }

    #[test]
    fn a_later_layer_covers_the_ones_before_in_its_hours() {
        let schedule = schedule(
            r#"{"tz": "Asia/Shanghai", "layers": [
                {"members": ["base"], "rotation": "weekly", "starts": "2026-01-05T00:00"},
                {"members": ["night"], "rotation": "daily", "starts": "2026-01-05T00:00",
                 "only": {"tz": "Asia/Shanghai", "weekly": {"mon": [["22:00", "06:00"]]}}}
            ]}"#,
        );
        let monday = at("2026-01-05T00:00:00[Asia/Shanghai]");
        let expected = [(Some("base"), 22), (Some("night"), 8), (Some("base"), 18)];
        assert_eq!(names(&schedule.shifts(monday, monday + 2 * DAY)), expected);
    }

    #[test]
    fn an_override_covers_every_layer_for_its_time() {
        let schedule = schedule(
            r#"{"tz": "Asia/Shanghai",
                "layers": [{"members": ["a"], "rotation": "weekly", "starts": "2026-01-05T00:00"}],
                "overrides": [
                    {"member": "b", "starts": "2026-01-06T00:00", "ends": "2026-01-07T00:00"},
                    {"member": "c", "starts": "2026-01-06T12:00", "ends": "2026-01-06T18:00"}
                ]}"#,
        );
        let monday = at("2026-01-05T00:00:00[Asia/Shanghai]");
        let expected =
            [(Some("a"), 24), (Some("b"), 12), (Some("c"), 6), (Some("b"), 6), (Some("a"), 24)];
        assert_eq!(names(&schedule.shifts(monday, monday + 3 * DAY)), expected);
    }

    #[test]
    fn a_calendar_covers_the_layers_and_an_override_covers_it() {
        let calendar = "BEGIN:VCALENDAR\\r\\nBEGIN:VEVENT\\r\\nUID:1\\r\\n\
            DTSTART;TZID=Asia/Shanghai:20260105T100000\\r\\nDURATION:PT4H\\r\\n\
            SUMMARY:cal\\r\\nEND:VEVENT\\r\\nEND:VCALENDAR\\r\\n";
        let schedule = schedule(&format!(
            r#"{{"tz": "Asia/Shanghai", "calendars": ["{calendar}"],
                "layers": [{{"members": ["a"], "rotation": "weekly", "starts": "2026-01-05T00:00"}}],
                "overrides": [
                    {{"member": "b", "starts": "2026-01-05T12:00", "ends": "2026-01-05T13:00"}}
                ]}}"#
        ));
        let monday = at("2026-01-05T00:00:00[Asia/Shanghai]");
        let expected =
            [(Some("a"), 10), (Some("cal"), 2), (Some("b"), 1), (Some("cal"), 1), (Some("a"), 10)];
        assert_eq!(names(&schedule.shifts(monday, monday + DAY)), expected);
        let written = serde_json::to_string(&schedule).unwrap();
        assert_eq!(serde_json::from_str::<Schedule>(&written).unwrap(), schedule);
    }

    #[test]
    fn what_goes_out_as_a_calendar_comes_in_as_the_same_shifts() {
        let schedule = daily("Europe/Berlin");
        let from = at("2026-03-27T09:00:00[Europe/Berlin]");
        let text = crate::calendar("night", &schedule, from, from + 10 * DAY, from);
        let imported = Imported::parse(&text, &TimeZone::UTC).unwrap();
        for hour in 0..10 * 24 {
            let at_ms = from + hour * HOUR;
            assert_eq!(imported.on_call(at_ms), schedule.on_call(at_ms), "{hour}");
        }
    }

    #[test]
    fn times_without_anybody_are_gaps() {
        let schedule = schedule(
            r#"{"tz": "Asia/Shanghai", "layers": [{
                "members": ["a"], "rotation": "daily",
                "starts": "2026-01-05T00:00", "ends": "2026-01-08T00:00",
                "only": {"tz": "Asia/Shanghai", "weekly": {"mon-sun": [["08:00", "20:00"]]}}
            }]}"#,
        );
        let monday = at("2026-01-05T00:00:00[Asia/Shanghai]");
        let gaps = names(&schedule.gaps(monday, monday + 5 * DAY));
        assert_eq!(gaps, [(None, 8), (None, 12), (None, 12), (None, 52)]);
        assert_eq!(schedule.next(monday).unwrap().member, Some("a"));
        assert_eq!(schedule.next(monday + 4 * DAY), None);
    }

    #[test]
    fn a_schedule_is_written_as_it_is_read() {
        let json = r#"{"tz":"Asia/Shanghai","layers":[{"members":["a"],"rotation":"hourly","every":12,"starts":"2026-01-05T08:00:00","ends":null,"only":null}],"calendars":[],"overrides":[{"member":"b","starts":"2026-01-06T00:00:00","ends":"2026-01-07T00:00:00"}]}"#;
        assert_eq!(serde_json::to_string(&schedule(json)).unwrap(), json);
    }

    #[test]
    fn a_wrong_schedule_is_refused_and_says_where() {
        let layer = |fields: &str| {
            format!(
                r#"{{"tz": "UTC", "layers": [{{"members": ["a"], "rotation": "daily", {fields}}}]}}"#
            )
        };
        for (json, told) in [
            (layer(r#""starts": "2026-01-05T08:00Z""#), "layers[0].starts"),
            (layer(r#""starts": "2026-01-05""#), "no time on the wall clock"),
            (layer(r#""starts": "2026-01-05T08:00", "every": 0"#), "layers[0].every"),
            (
                layer(r#""starts": "2026-01-05T08:00", "ends": "2026-01-05T08:00""#),
                "layers[0].ends",
            ),
            (
                r#"{"tz": "UTC", "overrides": [{"member": "a", "starts": "2026-01-05T08:00",
                    "ends": "2026-01-05T07:00"}]}"#
                    .to_owned(),
                "overrides[0].ends",
            ),
        ] {
            let error = serde_json::from_str::<Schedule>(&json).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
