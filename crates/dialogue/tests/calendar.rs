//! Business hours: `tests/calendars.json`, and what holds for every calendar.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot read its data has failed"
)]

use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use proptest::prelude::*;
use serde_json::{Value, json};
use zhili_dialogue::Calendar;

fn calendar(value: &Value) -> Calendar {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

fn at(text: &str, zone: &TimeZone) -> i64 {
    let instant = text.parse::<Timestamp>().or_else(|_| {
        text.parse::<DateTime>().and_then(|time| time.to_zoned(zone.clone())).map(|z| z.timestamp())
    });
    instant.unwrap_or_else(|error| panic!("{text}: {error}")).as_millisecond()
}

#[test]
fn every_wait_has_its_business_value() {
    let cases: Value = serde_json::from_str(include_str!("calendars.json")).expect("valid JSON");
    let mut waits = 0;
    for case in cases.as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let calendar = calendar(&case["calendar"]);
        let tz = case["calendar"]["tz"].as_str().unwrap();
        let zone = TimeZoneDatabase::bundled().get(tz).unwrap();
        for wait in case["waits"].as_array().unwrap() {
            let (from, to) =
                (at(wait[0].as_str().unwrap(), &zone), at(wait[1].as_str().unwrap(), &zone));
            let found = calendar.business(from, to).map(|ms| ms as f64 / 1000.0);
            assert_eq!(json!(found).as_f64(), wait[2].as_f64(), "{name}: {wait}");
            waits += 1;
        }
        for due in case["due"].as_array().into_iter().flatten() {
            let from = at(due[0].as_str().unwrap(), &zone);
            let found = calendar.due(from, due[1].as_i64().unwrap() * 1000);
            let expected = due[2].as_str().map(|text| at(text, &zone));
            assert_eq!(found, expected, "{name}: {due}");
        }
    }
    assert!(waits > 25);
}

#[test]
fn a_wrong_calendar_is_refused_with_what_is_wrong() {
    for (value, expected) in [
        (json!({"tz": "Mars/Olympus"}), "no IANA time zone"),
        (json!({"tz": "UTC", "weekly": {"someday": []}}), "no day of the week"),
        (json!({"tz": "UTC", "weekly": {"mon": [["9", "18:00"]]}}), "no time of day"),
        (json!({"tz": "UTC", "weekly": {"mon": [["09:00", "24:01"]]}}), "no time of day"),
        (
            json!({"tz": "UTC", "weekly": {"mon": [["09:00", "09:00"]]}}),
            "all day is 00:00 to 24:00",
        ),
        (
            json!({"tz": "UTC", "weekly": {"mon": [["09:00", "12:00"], ["11:00", "13:00"]]}}),
            "reach into",
        ),
        (
            json!({"tz": "UTC", "weekly": {"mon-fri": [["09:00", "12:00"]], "tue": ["13:00-14:00"]}}),
            "tue is set already",
        ),
        (
            json!({"tz": "UTC", "weekly": {"fri": [], "mon-fri": [["00:00", "24:00"]]}}),
            "weekly.mon-fri: fri is set already",
        ),
        (json!({"tz": "UTC", "weekly": {"fri": [], "friday": []}}), "fri is set already"),
        (json!({"tz": "Etc/Unknown"}), "no IANA time zone"),
        (json!({"tz": "Factory"}), "no IANA time zone"),
        (json!({"tz": "+9:00"}), "no IANA time zone"),
        (json!({"tz": ""}), "no IANA time zone"),
        (json!({"tz": "UTC", "holidays": ["2026-13-01"]}), "no date"),
        (json!({"tz": "UTC", "holidays": ["20261001"]}), "no date"),
        (json!({"tz": "UTC", "holidays": ["2026-10-01T09:00"]}), "no date"),
        (json!({"tz": "UTC", "holidays": ["2026-10-01[UTC]"]}), "no date"),
        (json!({"tz": "UTC", "holidays": ["+002026-10-01"]}), "no date"),
        (json!({"tz": "UTC", "makeup": ["2026-10-01 "]}), "no date"),
        (json!({"tz": "UTC", "makeup": {"2026-02-30": "mon"}}), "no date"),
        (json!({"tz": "UTC", "week": {}}), "unknown field"),
    ] {
        let error = serde_json::from_value::<Calendar>(value.clone()).expect_err("a refusal");
        assert!(error.to_string().contains(expected), "{value}: {error}");
    }
}

/// Zones with summer time on either half of the world, by half hours, and none; one that changed
/// its clocks at midnight and one that left out a day.
const ZONES: [&str; 7] = [
    "Asia/Shanghai",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "UTC",
];

fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// Calendars of up to three spans a day, a night among them, with holidays and make-up days.
fn any_calendar() -> impl Strategy<Value = Calendar> {
    let day = proptest::collection::btree_set(0_u16..96, 0..7);
    let dates = proptest::collection::btree_set(1_u8..29, 0..6);
    (0..ZONES.len(), proptest::collection::vec(day, 7), dates.clone(), dates).prop_map(
        |(zone, days, holidays, makeup)| {
            let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
            let weekly: serde_json::Map<String, Value> = names
                .iter()
                .zip(days)
                .map(|(name, bounds)| {
                    let bounds: Vec<u16> = bounds.into_iter().map(|quarter| quarter * 15).collect();
                    let mut hours: Vec<Value> = bounds
                        .chunks_exact(2)
                        .map(|pair| json!([clock(pair[0]), clock(pair[1])]))
                        .collect();
                    if bounds.len() % 2 == 1 && bounds.len() > 2 {
                        hours.push(json!([clock(bounds[bounds.len() - 1]), clock(bounds[0])]));
                    }
                    ((*name).to_owned(), json!(hours))
                })
                .collect();
            let date = |day: &u8| format!("2026-03-{day:02}");
            calendar(&json!({
                "tz": ZONES[zone],
                "weekly": weekly,
                "holidays": holidays.iter().map(date).collect::<Vec<_>>(),
                "makeup": makeup.iter().map(|day| (date(day), json!("mon"))).collect::<serde_json::Map<_, _>>(),
            }))
        },
    )
}

/// Instants around the clock changes of March 2026.
fn instant() -> impl Strategy<Value = i64> {
    let start = 1_772_323_200_000_i64;
    (0_i64..45 * 24 * 60).prop_map(move |minutes| start + minutes * 60_000)
}

/// The start of year 1, before which no platform's "not set" lies.
const YEAR_1_MS: i64 = -62_135_596_800_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Instants from year 1 to year 2200, most of them since 1900: then clocks change.
fn any_time() -> impl Strategy<Value = i64> {
    prop_oneof![
        1 => YEAR_1_MS..7_258_118_400_000,
        3 => -2_208_988_800_000_i64..7_258_118_400_000,
        3 => 1_704_067_200_000_i64..1_830_297_600_000,
    ]
}

#[test]
fn a_wait_from_year_1_is_measured_at_once() {
    for zone in ZONES {
        let office = calendar(&json!({
            "tz": zone,
            "weekly": {"mon-fri": [["09:00", "12:00"], ["13:00", "18:00"]], "sat": [["22:00", "06:00"]]},
            "holidays": ["1999-12-31", "2026-10-01", "2026-10-02"],
        }));
        let began = Instant::now();
        for day in 0..10 {
            let to_ms = 1_793_548_800_000 + day * DAY_MS;
            assert!(office.elapsed(YEAR_1_MS, to_ms) > 2_000 * 365 * 6 * 60 * 60 * 1000);
        }
        // 50 ms each, which is some six times what they take; hours by hours one takes seconds.
        assert!(began.elapsed() < Duration::from_millis(500), "{zone}: {:?}", began.elapsed());
    }
}

#[test]
fn a_calendar_without_hours_measures_no_business_time_however_long_the_wait() {
    let never = calendar(&json!({"tz": "Europe/Berlin"}));
    assert_eq!(never.business(YEAR_1_MS, 1_793_548_800_000), None);
}

#[test]
fn a_day_that_a_zone_leaves_out_has_no_hours() {
    // Samoa went from the 29th to the 31st of December 2011.
    let always = calendar(&json!({"tz": "Pacific/Apia", "weekly": {"mon-sun": ["00:00-24:00"]}}));
    let (from_ms, to_ms) = (1_300_000_000_000, 1_400_000_000_000);
    assert_eq!(always.elapsed(from_ms, to_ms), to_ms - from_ms);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_long_wait_has_as_much_business_time_as_its_days_together(
        calendar in any_calendar(),
        from in any_time(),
        days in 30_i64..3_000,
        odd in 0_i64..DAY_MS,
    ) {
        let to = from + days * DAY_MS + odd;
        let step = usize::try_from(DAY_MS * 5).unwrap();
        let by_days: i64 = (from..to)
            .step_by(step)
            .map(|begin| calendar.elapsed(begin, to.min(begin + DAY_MS * 5)))
            .sum();
        prop_assert_eq!(calendar.elapsed(from, to), by_days);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn business_time_and_time_off_make_the_whole(calendar in any_calendar(), from in instant(), minutes in 0_i64..5_000) {
        // Minute by minute: every bound lies on a quarter of an hour, of Lord Howe's too.
        let inside = (0..minutes).filter(|minute| calendar.is_open(from + minute * 60_000)).count() as i64;
        let to = from + minutes * 60_000;
        prop_assert_eq!(calendar.elapsed(from, to), inside * 60_000);
    }

    #[test]
    fn waits_add_up(calendar in any_calendar(), mut times in proptest::array::uniform3(instant())) {
        times.sort_unstable();
        let [a, b, c] = times;
        prop_assert_eq!(calendar.elapsed(a, b) + calendar.elapsed(b, c), calendar.elapsed(a, c));
        prop_assert_eq!(calendar.elapsed(c, a), 0);
    }

    #[test]
    fn a_target_is_due_when_so_much_time_has_passed_and_not_before(
        calendar in any_calendar(),
        from in instant(),
        target_ms in 1_i64..100_000_000,
    ) {
        if let Some(due_ms) = calendar.due(from, target_ms) {
            prop_assert_eq!(calendar.elapsed(from, due_ms), target_ms);
            prop_assert!(calendar.elapsed(from, due_ms - 1) < target_ms);
        }
    }

    #[test]
    fn a_calendar_is_read_back_as_it_was_written(calendar in any_calendar()) {
        let written = serde_json::to_value(&calendar).unwrap();
        prop_assert_eq!(serde_json::from_value::<Calendar>(written).unwrap(), calendar);
    }

    #[test]
    fn no_instant_breaks_a_calendar(calendar in any_calendar(), at in any::<i64>(), target_ms in any::<i64>()) {
        calendar.is_open(at);
        calendar.due(at, target_ms);
        calendar.business(at, at.saturating_add(1_000_000));
    }
}
