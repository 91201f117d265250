//! Shifts that come from a calendar: the events of an iCalendar object (RFC 5545), each of which
//! puts whom its SUMMARY names on call.
//!
//! Read are DTSTART, DTEND, DURATION, RRULE, EXDATE, RECURRENCE-ID and STATUS; of rules those
//! that on-call calendars consist of: FREQ=DAILY and FREQ=WEEKLY with INTERVAL, COUNT, UNTIL and
//! BYDAY, weeks from Monday. A calendar with any other rule is refused, because half of a rule
//! would put the wrong people on call. TZID must be an IANA name; its VTIMEZONE is not read.

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, ToSpan};

use crate::hours::{WrongTime, date_in, time_zone};

const MOST_EVENTS: usize = 2_000;
/// Octets of a calendar.
const MOST_OCTETS: usize = 256 << 10;
const LONGEST_MS: i64 = 366 * 24 * 60 * 60_000;
const DAY_MS: i64 = 24 * 60 * 60_000;
const WEEKDAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

/// The events of a calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Imported {
    /// As it was given.
    pub(crate) text: String,
    events: Vec<Event>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    member: String,
    zone: TimeZone,
    starts: DateTime,
    starts_ms: i64,
    length_ms: i64,
    rule: Option<Rule>,
    /// Beginnings that do not take place.
    except: Vec<i64>,
}

/// The days on which an event begins again: so many days after an anchor, in every period.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    anchor: Date,
    period_days: i64,
    /// Ascending, below the period.
    offsets: Vec<i64>,
    /// The last beginning is not later.
    until_ms: Option<i64>,
}

impl Imported {
    /// Reads a calendar; times without a zone are those of `zone`.
    pub(crate) fn parse(text: &str, zone: &TimeZone) -> Result<Self, WrongTime> {
        if text.len() > MOST_OCTETS {
            return wrong(format!("{} octets; at most {MOST_OCTETS}", text.len()));
        }
        let mut events = Vec::new();
        let mut changed: Vec<(String, i64)> = Vec::new();
        let mut open: Option<BTreeMap<String, Vec<Property>>> = None;
        let mut inner = 0_u32;
        for line in unfolded(text) {
            let property = Property::parse(&line)?;
            match (&*property.name, &*property.value.to_ascii_uppercase(), &mut open) {
                ("BEGIN", "VEVENT", None) => open = Some(BTreeMap::new()),
                ("BEGIN", _, Some(_)) => inner += 1,
                ("END", "VEVENT", Some(fields)) if inner == 0 => {
                    let fields = std::mem::take(fields);
                    open = None;
                    let uid = fields.get("UID").and_then(|it| it.first());
                    let uid = uid.map(|it| it.value.clone()).unwrap_or_default();
                    if let Some([instead]) = fields.get("RECURRENCE-ID").map(Vec::as_slice) {
                        changed.push((uid.clone(), instead.instant(zone)?.1));
                    }
                    if let Some(event) = Event::of(&fields, zone)? {
                        events.push((uid, fields.contains_key("RECURRENCE-ID"), event));
                    }
                }
                ("END", _, Some(_)) => inner = inner.saturating_sub(1),
                // What is inside of an event's alarms is none of its own.
                (_, _, Some(fields)) if inner == 0 => {
                    fields.entry(property.name.clone()).or_default().push(property);
                }
                _ => {}
            }
        }
        if events.is_empty() || events.len() > MOST_EVENTS {
            return wrong(format!("{} events; give 1 to {MOST_EVENTS}", events.len()));
        }
        for (uid, stands_for_one, event) in &mut events {
            let instead = changed.iter().filter(|(of, _)| !*stands_for_one && of == uid);
            event.except.extend(instead.map(|(_, at_ms)| *at_ms));
        }
        let events = events.into_iter().map(|(_, _, event)| event).collect();
        Ok(Self { text: text.to_owned(), events })
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &String> {
        self.events.iter().map(|event| &event.member)
    }

    /// Who is on call; where events overlap, the one that began last.
    pub(crate) fn on_call(&self, at_ms: i64) -> Option<&str> {
        let around = self.events.iter().filter_map(|event| {
            let lasting = event.beginnings(at_ms).find(|starts_ms| {
                let lasts = *starts_ms <= at_ms && at_ms < starts_ms + event.length_ms;
                lasts && !event.except.contains(starts_ms)
            });
            Some((lasting?, event))
        });
        around.max_by_key(|(starts_ms, _)| *starts_ms).map(|(_, event)| event.member.as_str())
    }

    /// The first instant after another at which an event begins or ends, or would without its
    /// exceptions.
    pub(crate) fn next_change(&self, at_ms: i64) -> Option<i64> {
        let changes = self.events.iter().flat_map(|event| {
            let length_ms = event.length_ms;
            let beginnings = event.beginnings(at_ms);
            beginnings.flat_map(move |starts_ms| [starts_ms, starts_ms + length_ms])
        });
        changes.filter(|change_ms| *change_ms > at_ms).min()
    }
}

impl Event {
    fn of(
        fields: &BTreeMap<String, Vec<Property>>,
        zone: &TimeZone,
    ) -> Result<Option<Self>, WrongTime> {
        let one = |name: &str| fields.get(name).and_then(|it| it.first());
        if one("STATUS").is_some_and(|it| it.value.eq_ignore_ascii_case("CANCELLED")) {
            return Ok(None);
        }
        let member = one("SUMMARY").map(|it| unescaped(&it.value)).unwrap_or_default();
        let member = member.trim().to_owned();
        let Some(begins) = one("DTSTART") else {
            return wrong(format!("the event {member:?} has no DTSTART"));
        };
        if let Some(other) = fields.keys().find(|name| matches!(&***name, "RDATE" | "EXRULE")) {
            return wrong(format!("the event {member:?} has {other}, which is not read"));
        }
        let (starts, starts_ms, zone) = {
            let (starts, starts_ms) = begins.instant(zone)?;
            (starts, starts_ms, begins.zone(zone)?)
        };
        let length_ms = match (one("DTEND"), one("DURATION")) {
            (Some(ends), _) => ends.instant(&zone)?.1 - starts_ms,
            (None, Some(length)) => duration_ms(&length.value)?,
            (None, None) if begins.is_date() => DAY_MS,
            (None, None) => 0,
        };
        if !(1..=LONGEST_MS).contains(&length_ms) {
            return wrong(format!(
                "the event {member:?} does not end after it begins, within a year"
            ));
        }
        let rule = fields.get("RRULE").map_or(&[][..], Vec::as_slice);
        let rule = match rule {
            [] => None,
            [rule] => Some(Rule::parse(&rule.value, starts, &zone)?),
            _ => return wrong(format!("the event {member:?} has several rules")),
        };
        let mut except = Vec::new();
        for property in fields.get("EXDATE").into_iter().flatten() {
            for value in property.value.split(',') {
                let single = Property { value: value.to_owned(), ..property.clone() };
                let (date, at_ms) = single.instant(&zone)?;
                // A date leaves out whatever begins on it.
                except.push(if single.is_date() {
                    instant(&zone, date.date().to_datetime(starts.time()))?
                } else {
                    at_ms
                });
            }
        }
        Ok(Some(Self { member, zone, starts, starts_ms, length_ms, rule, except }))
    }

    /// Beginnings that may last until an instant or come next after it, exceptions among them.
    fn beginnings(&self, at_ms: i64) -> impl Iterator<Item = i64> {
        let single = self.rule.is_none().then_some(self.starts_ms);
        let repeated = self.rule.iter().flat_map(move |rule| {
            let reach_days = self.length_ms / DAY_MS + 2;
            let today = date_in(&self.zone, at_ms).unwrap_or(rule.anchor);
            let days = rule.anchor.until(today).map_or(0, |span| i64::from(span.get_days()));
            let first = (days - reach_days).div_euclid(rule.period_days).max(0);
            let last = (days.div_euclid(rule.period_days) + 2).max(first + 2);
            let days = (first..=last).flat_map(move |period| {
                rule.offsets.iter().map(move |offset| period * rule.period_days + offset)
            });
            days.filter_map(move |day| {
                let date = after(rule.anchor, day)?;
                let starts_ms = instant(&self.zone, date.to_datetime(self.starts.time())).ok()?;
                let ended = rule.until_ms.is_some_and(|until_ms| until_ms < starts_ms);
                (self.starts_ms <= starts_ms && !ended).then_some(starts_ms)
            })
        });
        single.into_iter().chain(repeated)
    }
}

impl Rule {
    fn parse(text: &str, starts: DateTime, zone: &TimeZone) -> Result<Self, WrongTime> {
        let unread = |part: &str| WrongTime(format!("RRULE:{text}: {part} is not read"));
        let (mut daily, mut interval, mut days) = (None, 1_i64, Vec::new());
        let (mut count, mut until_ms) = (None, None);
        for part in text.split(';').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| unread(part))?;
            let number = || value.parse::<i64>().ok().filter(|it| (1..=10_000).contains(it));
            match (name, value) {
                ("FREQ", "DAILY") => daily = Some(true),
                ("FREQ", "WEEKLY") => daily = Some(false),
                ("INTERVAL", _) => interval = number().ok_or_else(|| unread(part))?,
                ("COUNT", _) => count = Some(number().ok_or_else(|| unread(part))?),
                ("UNTIL", _) => {
                    let value = value.to_owned();
                    let end = Property { name: String::new(), parameters: Vec::new(), value };
                    let (date, at_ms) = end.instant(zone)?;
                    // A date means the whole of it.
                    until_ms = Some(if end.is_date() {
                        instant(zone, date.date().to_datetime(Time::MAX))?
                    } else {
                        at_ms
                    });
                }
                ("BYDAY", _) => {
                    for day in value.split(',') {
                        let known = WEEKDAYS.iter().position(|known| *known == day);
                        days.push(known.ok_or_else(|| unread(part))? as i64);
                    }
                }
                ("WKST", "MO") => {}
                _ => return Err(unread(part)),
            }
        }
        let daily = daily.ok_or_else(|| unread("a rule without FREQ=DAILY or FREQ=WEEKLY"))?;
        if daily && !days.is_empty() && interval != 1 {
            return Err(unread("BYDAY with an INTERVAL of days"));
        }
        let weekday = i64::from(starts.weekday().to_monday_zero_offset());
        let (anchor, period_days, mut offsets) = if daily && days.is_empty() {
            (starts.date(), interval, vec![0])
        } else {
            let monday = starts.date().checked_sub(weekday.days());
            let monday = monday.map_err(|_| unread("a time so long ago"))?;
            (monday, 7 * interval, if days.is_empty() { vec![weekday] } else { days })
        };
        offsets.sort_unstable();
        offsets.dedup();
        let mut rule = Self { anchor, period_days, offsets, until_ms };
        if let Some(count) = count {
            rule.until_ms = Some(rule.nth_ms(count, starts, zone)?);
        }
        Ok(rule)
    }

    /// The beginning with this number, from 1.
    fn nth_ms(&self, nth: i64, starts: DateTime, zone: &TimeZone) -> Result<i64, WrongTime> {
        let first = self.anchor.until(starts.date()).map_or(0, |span| i64::from(span.get_days()));
        let before = self.offsets.iter().filter(|offset| **offset < first).count() as i64;
        let (count, index) = (self.offsets.len() as i64, nth - 1 + before);
        let offset = self.offsets[(index % count) as usize];
        let date = after(self.anchor, index / count * self.period_days + offset);
        let date = date.ok_or_else(|| WrongTime("a rule goes on for too long".to_owned()))?;
        instant(zone, date.to_datetime(starts.time()))
    }
}

/// A content line.
#[derive(Debug, Clone)]
struct Property {
    /// In capitals.
    name: String,
    parameters: Vec<(String, String)>,
    value: String,
}

impl Property {
    fn parse(line: &str) -> Result<Self, WrongTime> {
        let mut quoted = false;
        let colon = line.find(|character: char| {
            quoted ^= character == '"';
            character == ':' && !quoted
        });
        let Some((head, value)) = colon.map(|at| (&line[..at], &line[at + 1..])) else {
            let start: String = line.chars().take(40).collect();
            return wrong(format!("{start:?} is no line of an iCalendar object"));
        };
        let mut parts = head.split(';');
        let name = parts.next().unwrap_or_default().to_ascii_uppercase();
        let parameters = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.to_ascii_uppercase(), value.trim_matches('"').to_owned()));
        Ok(Self { name, parameters: parameters.collect(), value: value.to_owned() })
    }

    fn is_date(&self) -> bool {
        self.value.len() == "20261001".len()
    }

    /// The zone that its time is in, `other` if it says none.
    fn zone(&self, other: &TimeZone) -> Result<TimeZone, WrongTime> {
        if self.value.ends_with('Z') {
            return Ok(TimeZone::UTC);
        }
        match self.parameters.iter().find(|(name, _)| name == "TZID") {
            Some((_, name)) => time_zone(name),
            None => Ok(other.clone()),
        }
    }

    /// The wall-clock time of a DATE or DATE-TIME value, and the instant that it is.
    fn instant(&self, other: &TimeZone) -> Result<(DateTime, i64), WrongTime> {
        let text = self.value.trim_end_matches('Z');
        let format = if self.is_date() { "%Y%m%d" } else { "%Y%m%dT%H%M%S" };
        let at = if self.is_date() {
            Date::strptime(format, text).map(|date| date.to_datetime(Time::midnight()))
        } else {
            DateTime::strptime(format, text)
        };
        let at = at.map_err(|_| {
            WrongTime(format!("{:?} is no time such as 20261001T090000", self.value))
        })?;
        Ok((at, instant(&self.zone(other)?, at)?))
    }
}

fn after(date: Date, days: i64) -> Option<Date> {
    date.checked_add(Span::new().try_days(days).ok()?).ok()
}

/// Lines with those that go on joined (section 3.1).
fn unfolded(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().map(|line| line.trim_end_matches('\r')) {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(rest), Some(last)) => last.push_str(rest),
            _ if line.is_empty() => {}
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

fn unescaped(text: &str) -> String {
    let mut characters = text.chars();
    let mut plain = String::new();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n' | 'N') => plain.push('\n'),
                Some(other) => plain.push(other),
                None => {}
            },
            other => plain.push(other),
        }
    }
    plain
}

/// Milliseconds of a DURATION value; its days have 24 hours.
fn duration_ms(text: &str) -> Result<i64, WrongTime> {
    let wrong = || WrongTime(format!("{text:?} is no length of time such as PT12H"));
    let span: Span = text.parse().map_err(|_| wrong())?;
    let length: SignedDuration =
        span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    i64::try_from(length.as_millis()).map_err(|_| wrong())
}

fn instant(zone: &TimeZone, at: DateTime) -> Result<i64, WrongTime> {
    let at: Timestamp = zone
        .to_ambiguous_timestamp(at)
        .compatible()
        .map_err(|_| WrongTime(format!("{at} is beyond what can be counted")))?;
    Ok(at.as_millisecond())
}

fn wrong<T>(problem: String) -> Result<T, WrongTime> {
    Err(WrongTime(problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn imported(events: &str) -> Result<Imported, WrongTime> {
        let text = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{events}END:VCALENDAR\r\n");
        Imported::parse(&text, &time_zone("Asia/Shanghai").unwrap())
    }

    fn event(lines: &[&str]) -> String {
        format!("BEGIN:VEVENT\r\nUID:1\r\n{}\r\nEND:VEVENT\r\n", lines.join("\r\n"))
    }

    #[test]
    fn fuzzed_calendars_are_read_or_refused() {
        let zone = time_zone("Asia/Shanghai").unwrap();
        let calendar = |lines: &[&str]| {
            format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{}END:VCALENDAR\r\n", event(lines))
        };
        let corpus = [
            calendar(&["SUMMARY:li", "DTSTART:20261001T090000", "DTEND:20261001T180000"]),
            calendar(&[
                "SUMMARY;X=\"a:b\":wang\\, w",
                "DTSTART;TZID=Europe/Berlin:20260301T220000",
                "DURATION:PT12H",
                "RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=5;BYDAY=MO,FR",
                "EXDATE;TZID=Europe/Berlin:20260316T220000",
            ]),
            calendar(&[
                "SUMMARY:li",
                "DTSTART;VALUE=DATE:20261001",
                "RRULE:FREQ=DAILY;UNTIL=20261009",
            ]),
        ];
        let words = &[
            "\r\n",
            "\r\n ",
            "BEGIN:VEVENT\r\n",
            "END:VEVENT\r\n",
            "BEGIN:VALARM\r\n",
            "RRULE:",
            ";COUNT=",
            ";UNTIL=",
            ";INTERVAL=",
            ";BYDAY=",
            "FREQ=DAILY",
            "EXDATE:",
            "RECURRENCE-ID:",
            "STATUS:CANCELLED",
            "20261001T090000Z",
            "99991231T235959",
            "00000101",
            "PT0S",
            "P9999W",
            "-PT1H",
            "DTEND:",
            ";TZID=",
        ];
        let search = zhili_fuzz::Search::of("calendars").corpus(corpus).words(words).longest(2048);
        search.run(|input| match Imported::parse(&String::from_utf8_lossy(input), &zone) {
            Ok(calendar) => {
                let mut now_ms = at("2026-03-01T00:00:00+08:00[Asia/Shanghai]");
                let mut on_call = Vec::new();
                for _ in 0..4 {
                    on_call.push(calendar.on_call(now_ms).is_some());
                    let Some(next_ms) = calendar.next_change(now_ms) else { break };
                    assert!(next_ms > now_ms, "time stands still at {now_ms}");
                    now_ms = next_ms;
                }
                zhili_fuzz::kind(&(calendar.events.len().min(4), on_call))
            }
            Err(WrongTime(why)) => zhili_fuzz::words_of(&why),
        });
    }

    fn at(text: &str) -> i64 {
        text.parse::<jiff::Zoned>().unwrap().timestamp().as_millisecond()
    }

    #[test]
    fn an_event_puts_whom_its_summary_names_on_call() {
        let once = event(&["DTSTART:20260105T010000Z", "DTEND:20260105T100000Z", "SUMMARY:mei"]);
        let calendar = imported(&once).unwrap();
        let from = at("2026-01-05T09:00:00[Asia/Shanghai]");
        assert_eq!(calendar.on_call(from - 1), None);
        assert_eq!(calendar.on_call(from), Some("mei"));
        assert_eq!(calendar.on_call(from + 9 * HOUR), None);
        assert_eq!(calendar.next_change(from - HOUR), Some(from));
        assert_eq!(calendar.next_change(from), Some(from + 9 * HOUR));
        assert_eq!(calendar.next_change(from + 9 * HOUR), None);
    }

    #[test]
    fn a_weekly_rule_stays_at_its_hour_when_clocks_change() {
        let weekly = event(&[
            "DTSTART;TZID=Europe/Berlin:20260302T090000",
            "DURATION:PT8H",
            "RRULE:FREQ=WEEKLY;BYDAY=MO,WE",
            "SUMMARY:mei",
        ]);
        let calendar = imported(&weekly).unwrap();
        for day in ["2026-03-02", "2026-03-25", "2026-03-30", "2026-10-28", "2031-01-01"] {
            let from = at(&format!("{day}T09:00:00[Europe/Berlin]"));
            assert_eq!(calendar.on_call(from - 1), None, "{day}");
            assert_eq!(calendar.on_call(from), Some("mei"), "{day}");
        }
        assert_eq!(calendar.on_call(at("2026-03-03T09:00:00[Europe/Berlin]")), None);
    }

    #[test]
    fn a_rule_ends_after_its_count_or_at_its_end() {
        for (rule, last, after) in [
            ("FREQ=WEEKLY;BYDAY=MO,FR;COUNT=3", "2026-01-16", "2026-01-19"),
            ("FREQ=DAILY;INTERVAL=2;COUNT=3", "2026-01-11", "2026-01-13"),
            ("FREQ=DAILY;UNTIL=20260110", "2026-01-10", "2026-01-11"),
            ("FREQ=WEEKLY;INTERVAL=2;UNTIL=20260201T000000Z", "2026-01-21", "2026-02-04"),
        ] {
            let start = "DTSTART;TZID=Asia/Shanghai:20260107T000000";
            let lines = [start, "DTEND;TZID=Asia/Shanghai:20260108T000000"];
            let rule_line = format!("RRULE:{rule}");
            let event = event(&[lines[0], lines[1], &rule_line, "SUMMARY:mei"]);
            let calendar = imported(&event).unwrap();
            let noon = |day: &str| at(&format!("{day}T12:00:00[Asia/Shanghai]"));
            assert_eq!(calendar.on_call(noon(last)), Some("mei"), "{rule}");
            assert_eq!(calendar.on_call(noon(after)), None, "{rule}");
        }
    }

    #[test]
    fn days_that_are_left_out_or_moved_do_not_take_place() {
        let base = event(&[
            "DTSTART;TZID=Asia/Shanghai:20260105T090000",
            "DURATION:PT1H",
            "RRULE:FREQ=DAILY",
            "EXDATE;TZID=Asia/Shanghai:20260106T090000",
            "SUMMARY:mei",
        ]);
        let moved = event(&[
            "RECURRENCE-ID;TZID=Asia/Shanghai:20260107T090000",
            "DTSTART;TZID=Asia/Shanghai:20260107T150000",
            "DURATION:PT1H",
            "SUMMARY:bo",
        ]);
        let calendar = imported(&format!("{base}{moved}")).unwrap();
        let on = |time: &str| calendar.on_call(at(&format!("{time}[Asia/Shanghai]")));
        assert_eq!(on("2026-01-05T09:30:00"), Some("mei"));
        assert_eq!(on("2026-01-06T09:30:00"), None);
        assert_eq!(on("2026-01-07T09:30:00"), None);
        assert_eq!(on("2026-01-07T15:30:00"), Some("bo"));
        assert_eq!(on("2026-01-08T09:30:00"), Some("mei"));
    }

    #[test]
    fn the_next_change_is_found_beyond_days_that_are_left_out() {
        let base = event(&[
            "DTSTART;TZID=Asia/Shanghai:20260105T090000",
            "DURATION:PT1H",
            "RRULE:FREQ=DAILY",
            "EXDATE;TZID=Asia/Shanghai:20260106T090000,20260107T090000,20260108T090000",
            "EXDATE;TZID=Asia/Shanghai:20260109T090000,20260110T090000,20260111T090000",
            "SUMMARY:mei",
        ]);
        let calendar = imported(&base).unwrap();
        let mut at_ms = at("2026-01-05T10:00:00[Asia/Shanghai]");
        while calendar.on_call(at_ms).is_none() {
            at_ms = calendar.next_change(at_ms).unwrap();
        }
        assert_eq!(at_ms, at("2026-01-12T09:00:00[Asia/Shanghai]"));
    }

    #[test]
    fn a_whole_day_is_one_of_the_schedules_zone_and_alarms_are_passed_over() {
        let event = event(&[
            "DTSTART;VALUE=DATE:20261001",
            "SUMMARY:li",
            "BEGIN:VALARM",
            "SUMMARY:not me",
            "END:VALARM",
        ]);
        let calendar = imported(&event).unwrap();
        assert_eq!(calendar.on_call(at("2026-10-01T23:59:59[Asia/Shanghai]")), Some("li"));
        assert_eq!(calendar.on_call(at("2026-10-02T00:00:00[Asia/Shanghai]")), None);
    }

    #[test]
    fn what_would_be_read_by_half_is_refused_and_named() {
        let with = |line: &str| event(&["DTSTART:20260105T010000Z", "DURATION:PT1H", line]);
        for (calendar, told) in [
            (with("RRULE:FREQ=MONTHLY"), "FREQ=MONTHLY is not read"),
            (with("RRULE:FREQ=WEEKLY;BYSETPOS=1"), "BYSETPOS=1 is not read"),
            (with("RDATE:20260106T010000Z"), "RDATE"),
            (event(&["DTSTART;TZID=Mars:20260105T010000", "DURATION:PT1H"]), "IANA"),
            (event(&["DTSTART:20260105T010000Z"]), "does not end"),
            (event(&["SUMMARY:mei"]), "no DTSTART"),
            (String::new(), "0 events"),
            ("nonsense\r\n".to_owned(), "no line"),
        ] {
            let error = imported(&calendar).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
