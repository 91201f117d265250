//! Times in English: within 24 hours, by 6 pm today, next Monday, as soon as possible.

use crate::assessment::Due;

use super::time::{Cursor, DAY, HOUR, MIDNIGHT, MINUTE, On, Time};

/// A day or an hour.
enum Moment {
    By(Due),
    /// No due time: the end of the month, Monday to Friday.
    Other,
}

/// The time that begins at byte `start`.
pub(super) fn read(text: &str, start: usize) -> Option<Time> {
    let mut cursor = Cursor { text, at: start };
    let (due, firm) = named(&mut cursor)?;
    let relative = cursor.words(&["of", "after", "from", "ago", "later", "old", "long", "since"]);
    let due = if relative.is_some() { None } else { due };
    Some(Time { start, end: cursor.at, due, firm })
}

fn named(cursor: &mut Cursor<'_>) -> Option<(Option<Due>, bool)> {
    const SOON: &[&str] = &[
        "as soon as possible",
        "as soon as we can",
        "as soon as i can",
        "as quickly as possible",
        "asap",
        "shortly",
        "momentarily",
        "right away",
        "straight away",
        "immediately",
        "promptly",
        "very soon",
        "soon",
        "in a moment",
        "in a bit",
        "in a while",
        "in due course",
        "in a few minutes",
        "in a few hours",
        "in a few days",
        "within a few minutes",
        "within a few hours",
        "within a few days",
        "in a couple of minutes",
        "at the earliest",
    ];
    if cursor.words(SOON).is_some() {
        return Some((Some(Due::Vague), false));
    }
    let start = *cursor;
    if cursor.words(&["within", "in"]).is_some() {
        let firm = cursor.text[start.at..].starts_with("within");
        cursor.words(&["the next", "the", "at most", "less than", "under"]);
        if let Some(due) = quantity(cursor) {
            return Some((Some(due), firm));
        }
        *cursor = start;
        return None;
    }
    let by = cursor.words(&["no later than", "by", "before"]).is_some();
    let on = !by && cursor.words(&["on", "at"]).is_some();
    let Some(found) = moment(cursor, by || on) else {
        *cursor = start;
        return None;
    };
    match found {
        Moment::By(due) => Some((Some(due), by)),
        Moment::Other => Some((None, by)),
    }
}

const NUMBERS: &[&str] = &[
    "a couple of",
    "couple of",
    "an",
    "a",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "twelve",
    "fifteen",
    "twenty",
    "thirty",
    "forty-eight",
    "forty five",
    "seventy-two",
];
const VALUES: &[u32] = &[2, 2, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 30, 48, 45, 72];

fn number(cursor: &mut Cursor<'_>) -> Option<u32> {
    let mut ahead = *cursor;
    ahead.eat(" ");
    if let Some(number) = ahead.digits() {
        *cursor = ahead;
        return Some(number);
    }
    cursor.words(NUMBERS).map(|which| VALUES[which])
}

/// 3-5 business days, half an hour, and after "the": hour.
fn quantity(cursor: &mut Cursor<'_>) -> Option<Due> {
    let mut ahead = *cursor;
    let mut amount = 2;
    if ahead.words(&["half an", "half a"]).is_some() {
        amount = 1;
    } else if let Some(first) = number(&mut ahead) {
        amount = first * 2;
        let mut further = ahead;
        let joined = further.joins() || further.words(&["to", "or", "-"]).is_some();
        if joined && let Some(second) = number(&mut further) {
            ahead = further;
            amount = amount.max(second * 2);
        }
        if ahead.eat(".5") {
            amount += 1;
        }
    } else if !ahead.text[..ahead.at].ends_with("the") && !ahead.text[..ahead.at].ends_with("next")
    {
        return None;
    }
    ahead.eat("-");
    let work = ahead.words(&["business", "working", "work", "week"]).is_some();
    ahead.words(&["calendar", "full"]);
    let unit = match ahead.words(&[
        "minutes", "minute", "mins", "min", "hours", "hour", "hrs", "hr", "h", "days", "day",
        "weeks", "week", "months", "month",
    ])? {
        0..=3 => MINUTE,
        4..=8 => HOUR,
        9 | 10 => DAY,
        11 | 12 => 7 * DAY,
        _ => 31 * DAY,
    };
    if amount == 0 {
        return None;
    }
    *cursor = ahead;
    Some(if work && unit == DAY {
        Due::WorkDays { days: amount.div_ceil(2) }
    } else {
        Due::Within { ms: i64::from(amount) * unit / 2 }
    })
}

const WEEKDAYS: &[&str] =
    &["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Tomorrow, Friday morning, 6 pm today; `led` by a word that says by when or on which day.
fn moment(cursor: &mut Cursor<'_>, led: bool) -> Option<Moment> {
    let mut ahead = *cursor;
    ahead.word("the");
    if let Some(which) = ahead.words(&["end of", "close of", "eod", "cob"]) {
        ahead.words(&["the", "your"]);
        let end = if which == 1 || which == 3 { 1080 } else { MIDNIGHT };
        if which >= 2 {
            *cursor = ahead;
            return Some(Moment::By(On::Day(0).by(end)));
        }
        let due = match ahead.words(&[
            "business day",
            "working day",
            "business",
            "day",
            "today",
            "tomorrow",
            "week",
            "month",
        ])? {
            0..=2 => On::Day(0).by(1080),
            3 | 4 => On::Day(0).by(MIDNIGHT),
            5 => On::Day(1).by(MIDNIGHT),
            6 => On::Weekday { weeks: 0, weekday: 6 }.by(MIDNIGHT),
            _ => {
                *cursor = ahead;
                return Some(Moment::Other);
            }
        };
        let due = if ahead.word("tomorrow") { On::Day(1).by(end) } else { due };
        ahead.word("today");
        *cursor = ahead;
        return Some(Moment::By(due));
    }
    let mut ahead = *cursor;
    if led && let Some((minute, either)) = clock(&mut ahead) {
        let mut further = ahead;
        further.word("on");
        let on = day(&mut further).map(|(on, part)| {
            ahead = further;
            (on, part.is_some_and(|part| part > 720))
        });
        let (on, late) = on.unwrap_or((On::Day(0), false));
        let minute = match (either, late) {
            (true, true) => minute + 720,
            (true, false) => on.either(minute),
            _ => minute,
        };
        *cursor = ahead;
        return Some(Moment::By(on.by(minute)));
    }
    let (on, part) = day(&mut ahead)?;
    // A weekday alone is often a name of hours: open Monday to Friday.
    if matches!(on, On::Weekday { weeks: 0, .. })
        && !led
        && !cursor.text[..cursor.at].ends_with("this ")
        && part.is_none()
    {
        *cursor = ahead;
        return Some(Moment::Other);
    }
    let mut minute = part.unwrap_or(MIDNIGHT);
    let mut further = ahead;
    further.eat(",");
    if further.words(&["by", "before", "at"]).is_some()
        && let Some((found, either)) = clock(&mut further)
    {
        ahead = further;
        minute = if either { on.either(found) } else { found };
    }
    let mut further = ahead;
    let range =
        further.words(&["to", "through", "-"]).is_some() && further.words(WEEKDAYS).is_some();
    *cursor = ahead;
    Some(if range { Moment::Other } else { Moment::By(on.by(minute)) })
}

/// A day and the end of the part of it that is named.
fn day(cursor: &mut Cursor<'_>) -> Option<(On, Option<u16>)> {
    let part = |cursor: &mut Cursor<'_>| {
        cursor.words(&["morning", "afternoon", "evening", "night", "noon"]).map(|which| match which
        {
            0 | 4 => 720,
            1 => 1080,
            _ => MIDNIGHT,
        })
    };
    if let Some(which) =
        cursor.words(&["later today", "today", "tonight", "the day after tomorrow", "tomorrow"])
    {
        let on = match which {
            0..=2 => On::Day(0),
            3 => On::Day(2),
            _ => On::Day(1),
        };
        return Some((on, part(cursor)));
    }
    let mut ahead = *cursor;
    let weeks = match ahead.words(&["next", "this", "this coming", "coming"]) {
        Some(0) => 1,
        Some(_) => {
            if let Some(end) = part(&mut ahead) {
                *cursor = ahead;
                return Some((On::Day(0), Some(end)));
            }
            0
        }
        None => 0,
    };
    if let Some(weekday) = ahead.words(WEEKDAYS) {
        *cursor = ahead;
        return Some((On::Weekday { weeks, weekday: weekday as u8 }, part(cursor)));
    }
    if ahead.at > cursor.at && ahead.word("week") {
        *cursor = ahead;
        return Some((On::Weekday { weeks, weekday: 6 }, None));
    }
    None
}

/// 6 pm, 17:30, noon: the minute of the day, and whether it may be of either half.
fn clock(cursor: &mut Cursor<'_>) -> Option<(u16, bool)> {
    let mut ahead = *cursor;
    if let Some(which) = ahead.words(&["noon", "midday", "midnight"]) {
        *cursor = ahead;
        return Some((if which == 2 { MIDNIGHT } else { 720 }, false));
    }
    ahead.eat(" ");
    let hour = ahead.digits().filter(|hour| *hour <= 24)?;
    let (mut minute, mut clock) = (0, false);
    if ahead.eat(":") {
        minute = ahead.digits().filter(|minute| *minute < 60)?;
        clock = true;
    }
    let half = ahead.words(&["a.m.", "am", "p.m.", "pm", "p.m", "a.m"]);
    if !clock && half.is_none() && !ahead.word("o'clock") {
        return None;
    }
    let hour = match half {
        Some(0 | 1 | 5) if hour == 12 => 0,
        Some(2..=4) if hour < 12 => hour + 12,
        _ => hour,
    };
    *cursor = ahead;
    let minute = u16::try_from((hour * 60 + minute).min(1440)).ok()?;
    Some((minute, half.is_none() && (60..=779).contains(&minute)))
}
