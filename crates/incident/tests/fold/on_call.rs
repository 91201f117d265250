//! Steps to whoever is on call, and quiet hours. The clock starts at 19:00 in New York on the last
//! evening of 2025.

use zhili_incident::*;

use crate::desk::{Desk, MINUTE, config, on_call, signal};

const HOUR: i64 = 60 * MINUTE;

#[test]
fn a_step_pages_whoever_is_on_call_when_it_is_taken() {
    let mut desk = Desk::new(on_call());
    desk.signal("s1", Severity::High);
    assert_eq!(desk.send_all(Outcome::Delivered), ["mei"], "the third day");
    desk.command(Action::Resolve, "ann");
    desk.wait(24 * HOUR);
    desk.apply(Entry::Signal(Signal {
        conversation_id: "c2".to_owned(),
        ..signal("s2", Severity::High)
    }));
    assert_eq!(desk.send_all(Outcome::Delivered), ["bo"]);
}

#[test]
fn a_step_with_nobody_is_passed_over_at_once() {
    let mut desk = Desk::new(on_call());
    desk.wait(14 * HOUR);
    let json = serde_json::to_string(&on_call()).unwrap();
    let thursday = r#""thu":[["08:00","20:00"]],"#;
    assert!(json.contains(thursday), "{json}");
    desk.configure(2, config(&json.replace(thursday, "")));
    desk.signal("s1", Severity::High);
    assert_eq!(desk.send_all(Outcome::Delivered), ["managers"], "09:00: nobody is on call");
    assert_eq!(desk.incident().pages[0].reason, Reason::StepFailed);
}

#[test]
fn quiet_hours_keep_a_destination_from_what_is_not_critical() {
    let mut desk = Desk::new(on_call());
    desk.signal("s1", Severity::High);
    desk.send_all(Outcome::Delivered);
    desk.wait(MINUTE);
    assert_eq!(desk.send_all(Outcome::Delivered), [""; 0], "19:01: the manager is not woken");
    let page = desk.incident().pages.last().unwrap();
    assert_eq!((&*page.destination, page.stop), ("managers", Some(Stop::Quiet)));
    desk.apply(Entry::Signal(Signal {
        conversation_id: "c2".to_owned(),
        ..signal("s2", Severity::Critical)
    }));
    desk.wait(MINUTE);
    assert!(desk.send_all(Outcome::Delivered).contains(&"managers".to_owned()));
}

#[test]
fn with_nobody_at_all_the_fallback_is_paged_and_the_policy_starts_in_the_morning() {
    let mut desk = Desk::new(on_call());
    desk.wait(2 * HOUR);
    desk.signal("s1", Severity::High);
    assert_eq!(desk.kinds(), [EventKind::Suppressed]);
    assert_eq!(desk.incident().suppression.as_ref().unwrap().held, Held::Nobody);
    assert_eq!(desk.send_all(Outcome::Delivered), ["desk"]);
    // 08:00 of the next morning, an hour before the manager's quiet hours end.
    assert_eq!(desk.incident().next_at_ms, Some(desk.now + 11 * HOUR));
    desk.wait(11 * HOUR);
    assert_eq!(desk.incident().state, State::Triggered);
    assert_eq!(desk.send_all(Outcome::Delivered), ["bo"]);
}

#[test]
fn a_person_who_is_named_by_hand_is_woken() {
    let mut desk = Desk::new(on_call());
    desk.wait(2 * HOUR);
    desk.signal("s1", Severity::High);
    desk.send_all(Outcome::Delivered);
    desk.command(Action::Reassign(Assignee::Destination("managers".to_owned())), "ann");
    assert_eq!(desk.send_all(Outcome::Delivered), ["managers"]);
}

#[test]
fn a_rise_to_critical_pierces_the_quiet_hours_of_everybody() {
    let mut desk = Desk::new(on_call());
    desk.wait(2 * HOUR);
    desk.signal("s1", Severity::High);
    desk.send_all(Outcome::Delivered);
    desk.signal("s2", Severity::High);
    assert_eq!(desk.incident().state, State::Suppressed);
    desk.signal("s3", Severity::Critical);
    assert_eq!(desk.send_all(Outcome::Delivered), ["managers"]);
}

#[test]
fn a_team_whose_schedule_covers_the_policy_is_not_silent() {
    assert_eq!(on_call().teams()["default"].silent_families(), []);
}

#[test]
fn schedules_and_quiet_hours_name_destinations_that_exist() {
    let json = serde_json::to_string(&on_call()).unwrap();
    for (from, to, told) in [
        ("\"bo\"]", "\"moon\"]", "no destination is called \"moon\""),
        ("[\"day\"]", "[\"dusk\"]", "no schedule is called \"dusk\""),
        ("[[\"19:00\",\"09:00\"]]", "[[\"00:00\",\"24:00\"]]", "always quiet"),
    ] {
        assert!(json.contains(from), "{json}");
        let error = serde_json::from_str::<Config>(&json.replace(from, to)).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}
