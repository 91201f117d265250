//! Snooze, reassign, escalate now, false positive.

use zhili_incident::*;

use crate::desk::{Desk, MINUTE, config, two_steps};

const HOUR: i64 = 60 * MINUTE;

fn snooze(ms: i64) -> Action {
    Action::Snooze(Until::For(ms))
}

fn to(destination: &str) -> Action {
    Action::Reassign(Assignee::Destination(destination.to_owned()))
}

fn refused(event: &IncidentEvent) -> &Refusal {
    match &event.answer {
        Some(Answer::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn triggered() -> Desk {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
    desk.take_kinds();
    desk
}

#[test]
fn a_snoozed_incident_pages_nobody_until_its_end_and_then_starts_from_the_first_step() {
    let mut desk = triggered();
    desk.wait(MINUTE);
    let event = desk.command(snooze(HOUR), "ann");
    assert_eq!(event.kind, EventKind::Snoozed);
    assert_eq!((desk.incident().state, &*desk.incident().owner), (State::Snoozed, "ann"));
    assert_eq!(desk.wanted(), [], "the second step's page is called off");
    desk.take_kinds();
    desk.wait(HOUR - 1);
    assert_eq!(desk.take_kinds(), []);
    desk.wait(1);
    assert_eq!(desk.take_kinds(), [EventKind::Triggered]);
    assert_eq!(desk.incident().owner, "");
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
    assert_eq!(desk.incident().pages.last().unwrap().reason, Reason::SnoozeEnded);
}

#[test]
fn another_snooze_replaces_the_end_and_an_acknowledgement_cancels_it() {
    let mut desk = triggered();
    desk.command(snooze(HOUR), "ann");
    desk.wait(MINUTE);
    desk.command(snooze(HOUR), "ann");
    assert_eq!(desk.incident().next_at_ms, Some(desk.now + HOUR));
    desk.command(Action::Acknowledge, "ann");
    assert_eq!(desk.incident().state, State::Acknowledged);
    assert_eq!(desk.incident().next_at_ms, Some(desk.now + 10 * MINUTE));
}

#[test]
fn a_snooze_ends_within_seven_days() {
    let mut desk = triggered();
    for wrong in [0, -1, LONGEST_SNOOZE_MS + 1] {
        let event = desk.command(snooze(wrong), "ann");
        assert_eq!(*refused(&event), Refusal::SnoozeOutOfRange { length_ms: wrong });
    }
    let past = Action::Snooze(Until::At(desk.now));
    assert!(refused(&desk.command(past, "ann")).to_string().contains("within 7 days"));
    let event = desk.command(Action::Snooze(Until::At(desk.now + LONGEST_SNOOZE_MS)), "ann");
    assert_eq!(event.kind, EventKind::Snoozed);
}

#[test]
fn many_may_watch_but_only_the_owner_acknowledges_or_snoozes_again() {
    let mut desk = triggered();
    desk.command(snooze(HOUR), "ann");
    for action in [Action::Acknowledge, snooze(2 * HOUR)] {
        let event = desk.command(action, "bob");
        assert_eq!(*refused(&event), Refusal::AlreadyAcknowledged { owner: "ann".to_owned() });
    }
    assert_eq!(desk.incident().owner, "ann");
}

#[test]
fn evidence_leaves_a_snooze_alone_unless_it_is_worse() {
    let mut desk = triggered();
    desk.command(snooze(HOUR), "ann");
    desk.take_kinds();
    desk.signal("s2", Severity::High);
    assert_eq!(desk.take_kinds(), [EventKind::Updated]);
    desk.signal("s3", Severity::Critical);
    assert_eq!(desk.take_kinds(), [EventKind::Triggered]);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
}

#[test]
fn a_reassigned_incident_pages_its_assignee_first_and_the_policy_after() {
    let mut desk = triggered();
    desk.command(Action::Acknowledge, "ann");
    desk.take_kinds();
    let event = desk.command(to("managers"), "bob");
    assert_eq!(event.kind, EventKind::Reassigned);
    assert_eq!((desk.incident().state, &*desk.incident().owner), (State::Triggered, ""));
    assert_eq!(desk.send_all(Outcome::Delivered), ["managers"]);
    desk.wait(MINUTE);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"], "nobody answered");
    desk.command(to("floor"), "bob");
    assert_eq!(desk.incident().policy.steps.len(), 3, "the assignee before is replaced");
}

#[test]
fn an_incident_can_be_given_to_another_policy() {
    let mut desk = Desk::new(config(
        r#"{"teams": {"default": {
            "policies": {
                "default": {"steps": [{"destinations": ["floor"]}]},
                "legal": {"steps": [{"destinations": ["lawyers"]}]}
            },
            "destinations": {
                "floor": {"webhook": {"url": "https://hooks.example/floor"}},
                "lawyers": {"webhook": {"url": "https://hooks.example/lawyers"}}
            }
        }}}"#,
    ));
    desk.signal("s1", Severity::High);
    desk.send_all(Outcome::Delivered);
    desk.command(Action::Reassign(Assignee::Policy("legal".to_owned())), "ann");
    assert_eq!(desk.incident().policy.name, "legal");
    assert_eq!(desk.send_all(Outcome::Delivered), ["lawyers"]);
}

#[test]
fn an_assignee_that_the_team_does_not_have_is_refused() {
    let mut desk = triggered();
    let event = desk.command(to("nobody"), "ann");
    assert_eq!(*refused(&event), Refusal::UnknownAssignee { name: "nobody".to_owned() });
    assert_eq!(desk.incident().state, State::Triggered);
}

#[test]
fn escalating_now_takes_the_next_step_and_counts_its_delay_from_now() {
    let mut desk = triggered();
    desk.wait(10_000);
    let event = desk.command(Action::EscalateNow, "ann");
    assert_eq!(event.kind, EventKind::Escalated);
    assert_eq!(desk.send_all(Outcome::Delivered), ["managers"]);
    assert_eq!(desk.incident().next_at_ms, Some(desk.now + MINUTE));
    assert_eq!(desk.incident().pages.last().unwrap().reason, Reason::EscalatedNow);
}

#[test]
fn escalating_an_acknowledged_incident_takes_it_from_its_owner() {
    let mut desk = triggered();
    desk.command(Action::Acknowledge, "ann");
    desk.command(Action::EscalateNow, "bob");
    assert_eq!((desk.incident().state, &*desk.incident().owner), (State::Triggered, ""));
    assert_eq!(desk.send_all(Outcome::Delivered), ["managers"]);
}

#[test]
fn escalating_an_exhausted_incident_starts_it_again() {
    let mut desk = triggered();
    desk.wait(HOUR);
    assert!(desk.incident().exhausted.is_some());
    desk.send_all(Outcome::Delivered);
    let event = desk.command(Action::EscalateNow, "ann");
    assert_eq!(event.kind, EventKind::Triggered);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
}

#[test]
fn a_false_positive_is_resolved_and_told_of_apart() {
    let mut desk = triggered();
    let event = desk.command(Action::MarkFalsePositive, "ann");
    assert_eq!(event.kind, EventKind::FalsePositive);
    assert_eq!(desk.take_kinds(), [EventKind::Resolved, EventKind::FalsePositive]);
    assert_eq!(desk.incident().resolution, Some(Resolution::FalsePositive));
    assert_eq!(event.answer, Some(Answer::Applied { version: desk.incident().version }));
}

#[test]
fn a_resolved_incident_can_still_be_marked_once() {
    let mut desk = triggered();
    desk.command(Action::Resolve, "ann");
    desk.take_kinds();
    desk.command(Action::MarkFalsePositive, "bob");
    assert_eq!(desk.take_kinds(), [EventKind::FalsePositive]);
    let event = desk.command(Action::MarkFalsePositive, "bob");
    assert_eq!(*refused(&event), Refusal::AlreadyMarked);
}

#[test]
fn the_same_command_id_with_another_end_is_refused() {
    let mut desk = triggered();
    desk.command_with("click", 0, snooze(HOUR), "ann");
    let again = desk.command_with("click", 0, snooze(HOUR), "ann");
    assert_eq!(again.kind, EventKind::Repeated);
    let other = desk.command_with("click", 0, snooze(2 * HOUR), "ann");
    assert_eq!(*refused(&other), Refusal::CommandIdReused);
}
