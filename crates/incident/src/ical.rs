//! Shifts as an iCalendar object (RFC 5545), for calendars that people look at.

use jiff::Timestamp;

use crate::id::{digest, spell};
use crate::schedule::{Schedule, Shift};

/// Octets of a content line without its end (RFC 5545, section 3.1).
const LINE_OCTETS: usize = 75;
/// Shifts are looked up so far around the window, so that those at its edges are whole.
const AROUND_MS: i64 = 31 * 24 * 60 * 60_000;

/// The shifts of a schedule that touch a window, as one event each; gaps are left out.
///
/// `name` names the calendar and, with the member and the beginning of a shift, makes its
/// identity, so that a calendar that is fetched again replaces what it knows. `now_ms` is when
/// the object is made.
pub fn calendar(
    name: &str,
    schedule: &Schedule,
    from_ms: i64,
    until_ms: i64,
    now_ms: i64,
) -> String {
    let mut text = String::new();
    let mut line = |content: &str| fold(&mut text, content);
    line("BEGIN:VCALENDAR");
    line("VERSION:2.0");
    line("PRODID:-//Zhili//On call//EN");
    line("CALSCALE:GREGORIAN");
    line(&format!("X-WR-CALNAME:{}", escaped(name)));
    line("REFRESH-INTERVAL;VALUE=DURATION:PT1H");
    let around =
        schedule.shifts(from_ms.saturating_sub(AROUND_MS), until_ms.saturating_add(AROUND_MS));
    let touching =
        around.iter().filter(|shift| shift.ends_at_ms > from_ms && shift.starts_at_ms < until_ms);
    for Shift { member, starts_at_ms, ends_at_ms } in touching {
        let Some(member) = member else { continue };
        let parts = [name.as_bytes(), member.as_bytes(), &starts_at_ms.to_le_bytes()];
        line("BEGIN:VEVENT");
        line(&format!("UID:{}@zhili", spell("shift_", digest("shift", &parts))));
        line(&format!("DTSTAMP:{}", utc(now_ms)));
        line(&format!("DTSTART:{}", utc(*starts_at_ms)));
        line(&format!("DTEND:{}", utc(*ends_at_ms)));
        line(&format!("SUMMARY:{}", escaped(member)));
        line("TRANSP:TRANSPARENT");
        line("END:VEVENT");
    }
    line("END:VCALENDAR");
    text
}

/// `20261001T013000Z`.
fn utc(at_ms: i64) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// A TEXT value (section 3.3.11).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | ';' | ',' => escaped.extend(['\\', character]),
            '\n' => escaped.push_str("\\n"),
            '\r' => {}
            other => escaped.push(other),
        }
    }
    escaped
}

/// Appends a content line, in pieces of at most 75 octets that end between characters.
fn fold(text: &mut String, content: &str) {
    let mut used = 0;
    for character in content.chars() {
        if used + character.len_utf8() > LINE_OCTETS {
            text.push_str("\r\n ");
            used = 1;
        }
        text.push(character);
        used += character.len_utf8();
    }
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3_600_000;

    fn schedule() -> Schedule {
        serde_json::from_str(
            r#"{"tz": "Asia/Shanghai", "layers": [{
                "members": ["mei", "bo"], "rotation": "daily", "starts": "2026-01-05T09:00"
            }]}"#,
        )
        .unwrap()
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn every_shift_that_touches_the_window_is_a_whole_event() {
        let noon = at("2026-01-06T04:00:00Z");
        let text = calendar("default/day", &schedule(), noon, noon + DAY, noon);
        let events: Vec<&str> = text.lines().filter(|line| line.starts_with("DT")).collect();
        assert_eq!(
            events,
            [
                "DTSTAMP:20260106T040000Z",
                "DTSTART:20260106T010000Z",
                "DTEND:20260107T010000Z",
                "DTSTAMP:20260106T040000Z",
                "DTSTART:20260107T010000Z",
                "DTEND:20260108T010000Z",
            ]
        );
        let who: Vec<&str> = text.lines().filter(|line| line.starts_with("SUMMARY")).collect();
        assert_eq!(who, ["SUMMARY:bo", "SUMMARY:mei"]);
        assert!(text.starts_with("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n"));
        assert!(text.ends_with("END:VEVENT\r\nEND:VCALENDAR\r\n"));
    }

    #[test]
    fn a_shift_keeps_its_identity_when_the_calendar_is_fetched_again() {
        let ids = |now: i64| {
            let text = calendar("day", &schedule(), now, now + 3 * DAY, now);
            let ids = text.lines().filter(|line| line.starts_with("UID:"));
            ids.map(str::to_owned).collect::<Vec<_>>()
        };
        let noon = at("2026-01-06T04:00:00Z");
        assert_eq!(ids(noon)[1..], ids(noon + DAY)[..3]);
    }

    #[test]
    fn a_long_line_is_folded_between_characters() {
        let mut text = String::new();
        fold(&mut text, &format!("SUMMARY:{}", "值班".repeat(30)));
        for line in text.lines() {
            assert!(line.len() <= LINE_OCTETS, "{}", line.len());
        }
        assert_eq!(text.replace("\r\n ", ""), format!("SUMMARY:{}\r\n", "值班".repeat(30)));
    }

    #[test]
    fn what_separates_values_is_escaped() {
        assert_eq!(escaped("a,b;c\\d\ne"), "a\\,b\\;c\\\\d\\ne");
    }
}
