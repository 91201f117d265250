//! Incidents that page nobody for a while.

use zhili_incident::*;

use crate::desk::{Desk, config, signal, two_steps};

fn of_kind(id: &str, kind: &str, severity: Severity) -> Entry {
    Entry::Signal(Signal { kind: kind.to_owned(), family: Family::Sla, ..signal(id, severity) })
}

fn warned() -> Desk {
    let mut desk = Desk::new(two_steps());
    desk.apply(of_kind("w1", "sla.frt.warning", Severity::Warning));
    desk
}

#[test]
fn a_warning_opens_an_incident_that_pages_nobody() {
    let desk = warned();
    assert_eq!(desk.kinds(), [EventKind::Suppressed]);
    assert_eq!(desk.events[0].note, "nobody is paged: its kind pages nobody");
    assert_eq!(desk.incident().state, State::Suppressed);
    assert_eq!(desk.wanted(), []);
}

#[test]
fn the_breach_after_a_warning_pages_at_once() {
    let mut desk = warned();
    desk.wait(15_000);
    desk.take_kinds();
    desk.apply(of_kind("b1", "sla.frt.breach", Severity::High));
    assert_eq!(desk.take_kinds(), [EventKind::Triggered]);
    assert_eq!(desk.incident().suppression, None);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
}

#[test]
fn a_signal_that_pages_does_so_though_it_is_no_worse_than_the_warning_before() {
    let mut desk = warned();
    desk.apply(of_kind("q1", "question.unanswered", Severity::Warning));
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
}

#[test]
fn a_warning_that_nobody_takes_is_resolved_after_a_day() {
    let mut desk = warned();
    desk.wait(UNPAGED_FOR_MS / 2);
    desk.apply(of_kind("w2", "promise.near", Severity::Warning));
    desk.wait(UNPAGED_FOR_MS / 2 - 1);
    assert_eq!(desk.incident().state, State::Suppressed);
    desk.wait(1);
    assert_eq!(desk.incident().resolution, Some(Resolution::Unpaged));
}

#[test]
fn a_rule_of_the_team_lets_warnings_page_and_sets_their_severity() {
    let mut desk = Desk::new(config(
        r#"{"teams": {"default": {
            "rules": [
                {"match": {"kind": ["sla.*.warning"], "queue": ["vip*"]}, "severity": "critical"},
                {"match": {"kind": ["urgent_complaint"], "severity": ["info"]}, "page": false}
            ],
            "destinations": {"floor": {"webhook": {"url": "https://hooks.example/floor"}}}
        }}}"#,
    ));
    let warning = |queue: &str| {
        let kind = "sla.frt.warning".to_owned();
        let conversation_id = format!("c-{queue}");
        let queue = queue.to_owned();
        let signal = signal(&queue, Severity::Warning);
        Entry::Signal(Signal { kind, queue, conversation_id, ..signal })
    };
    desk.apply(warning("vip-2"));
    assert_eq!(desk.incident().severity, Severity::Critical);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
    desk.apply(warning("returns"));
    assert_eq!(desk.incident().state, State::Suppressed);
    desk.signal("s1", Severity::Info);
    assert_eq!(desk.incident().state, State::Suppressed);
}

#[test]
fn a_suppressed_incident_can_be_acknowledged_resolved_and_escalated() {
    let mut desk = warned();
    desk.command(Action::Acknowledge, "ann");
    assert_eq!((desk.incident().state, &*desk.incident().owner), (State::Acknowledged, "ann"));
    let mut desk = warned();
    desk.command(Action::Resolve, "ann");
    assert_eq!(desk.incident().state, State::Resolved);
    let mut desk = warned();
    assert_eq!(desk.command(Action::EscalateNow, "ann").kind, EventKind::Triggered);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
}

#[test]
fn an_acknowledged_warning_is_suppressed_again_when_the_acknowledgement_ends() {
    let mut desk = warned();
    desk.command(Action::Acknowledge, "ann");
    desk.take_kinds();
    desk.wait(600_000);
    assert_eq!(desk.take_kinds(), [EventKind::Suppressed]);
    assert_eq!(desk.wanted(), []);
}
