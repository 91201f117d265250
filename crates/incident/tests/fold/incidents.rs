//! The life of incidents.

use crate::desk::*;
use zhili_incident::EventKind as E;
use zhili_incident::*;

#[test]
fn an_urgent_signal_opens_an_incident_and_pages_the_first_step() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
    assert_eq!(desk.kinds(), [E::Triggered, E::Paged]);
    let incident = desk.incident();
    assert_eq!((incident.state, incident.version), (State::Triggered, 2));
    assert_eq!(incident.next_at_ms, Some(START + MINUTE));
    assert_eq!(incident.policy.bundle, "bundle-1");
    assert_eq!(desk.events[0].effective_ms, START - 50);
}

#[test]
fn an_acknowledgement_stops_the_policy_and_a_resolution_ends_the_incident() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    desk.send_all(Outcome::Delivered);
    let acknowledged = desk.command(Action::Acknowledge, "ann");
    assert_eq!(acknowledged.answer, Some(Answer::Applied { version: 3 }));
    assert_eq!(desk.incident().owner, "ann");
    desk.wait(5 * MINUTE);
    assert_eq!(desk.wanted(), []);
    desk.command(Action::Resolve, "ann");
    desk.wait(60 * MINUTE);
    assert_eq!(
        desk.kinds(),
        [E::Triggered, E::Paged, E::Acknowledged, E::Resolved]
    );
    assert_eq!(desk.incident().resolved_at_ms, Some(START + 5 * MINUTE));
}

#[test]
fn further_signals_of_an_open_incident_are_evidence_and_page_nobody() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    desk.send_all(Outcome::Delivered);
    desk.signal("s2", Severity::High);
    desk.signal("s3", Severity::Critical);
    assert_eq!(desk.wanted(), []);
    assert_eq!(
        desk.kinds(),
        [E::Triggered, E::Paged, E::Updated, E::Updated]
    );
    assert_eq!(
        (desk.incident().signals, desk.incident().severity),
        (3, Severity::Critical)
    );
    assert_eq!(desk.partition.open_count("acme"), 1);
}

#[test]
fn a_signal_that_comes_again_has_no_effect_not_even_after_the_incident_is_resolved() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    desk.signal("s2", Severity::High);
    assert_eq!(
        desk.signal("s2", Severity::High),
        Some(Ignored::DuplicateSignal)
    );
    desk.command(Action::Resolve, "ann");
    desk.wait(60 * MINUTE);
    assert_eq!(
        desk.signal("s1", Severity::Critical),
        Some(Ignored::DuplicateSignal)
    );
    assert_eq!(
        desk.signal("s2", Severity::Critical),
        Some(Ignored::DuplicateSignal)
    );
    assert_eq!(desk.partition.open_count("acme"), 0);
}
