//! Business time against a second calculation that shares no code with the calendar: minute by
//! minute over a table of what is open, on waits in twenty zones around their clock changes.

#![allow(clippy::expect_used, reason = "a test that cannot read its data has failed")]

#[path = "week/dice.rs"]
mod dice;
#[path = "week/hours.rs"]
mod hours;

use jiff::civil::date;
use jiff::tz::TimeZoneDatabase;
use jiff::{Timestamp, ToSpan};
use serde_json::{Map, Value, json};
use zhili_dialogue::Calendar;

use dice::Dice;
use hours::{Hours, MINUTE_MS};

/// By whole and half hours and quarters of them, at midnight and at noon, before and after the
/// equator, in fasting months and never.
const ZONES: [&str; 20] = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Havana",
    "America/New_York",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Shanghai",
    "Asia/Tokyo",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Europe/London",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "UTC",
];
const CALENDARS: i64 = 18;
const WAITS: i64 = 40;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Up to four spans that do not meet, the last perhaps over midnight.
fn spans(dice: &mut Dice) -> Value {
    let count = dice.between(0, 8);
    // On some days all bounds lie where clocks change.
    let most = if dice.chance(600) { 48 } else { 288 };
    let mut bounds: Vec<i64> = (0..count).map(|_| dice.below(most) * 5).collect();
    bounds.sort_unstable();
    bounds.dedup();
    let clock = |minute: i64| format!("{:02}:{:02}", minute / 60, minute % 60);
    let mut spans: Vec<Value> =
        bounds.chunks_exact(2).map(|pair| json!([clock(pair[0]), clock(pair[1])])).collect();
    if bounds.len() % 2 == 1 && bounds.len() > 1 {
        spans.push(json!([clock(bounds[bounds.len() - 1]), clock(bounds[0])]));
    }
    json!(spans)
}

fn settings(dice: &mut Dice, tz: &str, around_ms: i64) -> Value {
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let weekly: Map<String, Value> =
        days.iter().map(|day| ((*day).to_owned(), spans(dice))).collect();
    let first = Timestamp::from_millisecond(around_ms)
        .expect("a time")
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let near = |dice: &mut Dice| (first + dice.between(-9, 9).days()).to_string();
    let holidays: Vec<String> = (0..4).map(|_| near(dice)).collect();
    let makeup: Map<String, Value> = (0..3).map(|_| (near(dice), spans(dice))).collect();
    json!({"tz": tz, "weekly": weekly, "holidays": holidays, "makeup": makeup})
}

/// A time within ten days of another: to the millisecond, or when clocks strike.
fn time(dice: &mut Dice, around_ms: i64) -> i64 {
    // Every other one on the day of the change itself.
    let most_ms = if dice.chance(500) { 15 * HOUR_MS } else { 10 * DAY_MS };
    let at_ms = around_ms + dice.between(-most_ms, most_ms);
    match dice.below(4) {
        0 => at_ms - at_ms.rem_euclid(5 * MINUTE_MS),
        1 => at_ms - at_ms.rem_euclid(5 * MINUTE_MS) + dice.between(-1, 1),
        _ => at_ms,
    }
}

#[test]
fn every_wait_has_the_business_time_of_its_minutes_and_the_rest_is_off() {
    let mut dice = Dice(14_400);
    let (mut waits, mut dues, mut inside) = (0, 0, 0);
    let new_year = date(2026, 1, 1).to_zoned(jiff::tz::TimeZone::UTC).expect("a date").timestamp();
    for tz in ZONES {
        let zone = TimeZoneDatabase::bundled().get(tz).expect("a known zone");
        let mut changes: Vec<i64> = zone
            .following(new_year)
            .take(2)
            .map(|change| change.timestamp().as_millisecond())
            .filter(|at_ms| at_ms - new_year.as_millisecond() < 366 * DAY_MS)
            .collect();
        if changes.is_empty() {
            changes.push(1_790_812_800_000);
        }
        for number in 0..CALENDARS {
            let around_ms = changes[number as usize % changes.len()];
            let settings = settings(&mut dice, tz, around_ms);
            let calendar: Calendar =
                serde_json::from_value(settings.clone()).expect("a valid calendar");
            let until_ms = around_ms + 20 * DAY_MS;
            let table = Hours::read(&settings).table(around_ms - 11 * DAY_MS, until_ms);
            for _ in 0..WAITS {
                let from_ms = time(&mut dice, around_ms);
                let most_ms = [0, 5 * MINUTE_MS, 8 * HOUR_MS, 9 * DAY_MS];
                let to_ms = match dice.below(2) {
                    0 => {
                        from_ms + {
                            let most_ms = dice.one_of(&most_ms);
                            dice.between(0, most_ms)
                        }
                    }
                    _ => from_ms.max(time(&mut dice, around_ms)),
                }
                .min(until_ms);
                let what = format!("{from_ms} to {to_ms}: {settings}");
                let (open_ms, off_ms) = table.split(from_ms, to_ms);
                assert_eq!(calendar.elapsed(from_ms, to_ms), open_ms, "{what}");
                assert_eq!(open_ms + off_ms, to_ms - from_ms, "{what}");
                assert_eq!(calendar.is_open(from_ms), table.is_open(from_ms), "{what}");
                let business = table.business(from_ms, to_ms);
                assert_eq!(calendar.business(from_ms, to_ms), business, "{what}");
                waits += 1;
                inside += usize::from(business.is_some());
                let target_ms = dice.between(1_000, 10 * HOUR_MS);
                if table.split(from_ms, until_ms.min(from_ms + 7 * DAY_MS)).0 >= target_ms {
                    let due_ms = table.due(from_ms, target_ms);
                    assert_eq!(
                        calendar.due(from_ms, target_ms),
                        Some(due_ms),
                        "{target_ms} of {what}"
                    );
                    dues += 1;
                }
            }
        }
    }
    assert_eq!(waits, 14_400);
    assert!(dues > 13_000 && inside > 7_000, "{dues} targets, {inside} waits inside");
}
