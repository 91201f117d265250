//! Answers to commands: done, refused, repeated.

use zhili_incident::EventKind as E;
use zhili_incident::*;

use crate::desk::*;

fn triggered() -> Desk {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    desk
}

fn refusal(event: &IncidentEvent) -> &Refusal {
    assert_eq!(event.kind, E::Refused);
    match &event.answer {
        Some(Answer::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn the_same_command_again_gets_the_same_answer_and_changes_nothing() {
    let mut desk = triggered();
    let first = desk.command_with("k1", 1, Action::Acknowledge, "ann");
    desk.wait(MINUTE);
    let before = desk.incident().clone();
    let again = desk.command_with("k1", 1, Action::Acknowledge, "ann");
    assert_eq!((again.kind, &again.answer), (E::Repeated, &first.answer));
    assert_eq!(desk.incident(), &before);
    assert_eq!(desk.partition.answer(before.incident_id, "k1"), first.answer.as_ref());
}

#[test]
fn a_refused_command_stays_refused_when_it_comes_again() {
    let mut desk = triggered();
    let first = desk.command_with("k1", 7, Action::Acknowledge, "ann");
    desk.signal("s2", Severity::High);
    let again = desk.command_with("k1", 7, Action::Acknowledge, "ann");
    assert_eq!((again.kind, again.answer), (E::Repeated, first.answer));
    assert_eq!(desk.incident().state, State::Triggered);
}

#[test]
fn a_command_against_an_older_version_is_refused_and_says_both() {
    let mut desk = triggered();
    desk.signal("s2", Severity::High);
    let event = desk.command_with("k1", 1, Action::Acknowledge, "ann");
    assert_eq!(*refusal(&event), Refusal::StaleVersion { expected: 1, actual: 2 });
    assert!(event.note.contains("version 1 was seen, it is at 2 now"), "{}", event.note);
    assert_eq!(desk.incident().version, 2);
}

#[test]
fn a_command_against_any_version_is_done() {
    let mut desk = triggered();
    desk.signal("s2", Severity::High);
    let event = desk.command_with("k1", 0, Action::Acknowledge, "ann");
    assert_eq!((event.kind, event.answer), (E::Acknowledged, Some(Answer::Applied { version: 3 })));
    assert_eq!((event.actor.as_str(), event.note.as_str()), ("ann", "note"));
    assert_eq!(event.command_id, "k1");
}

#[test]
fn only_one_person_answers_for_an_incident() {
    let mut desk = triggered();
    desk.command(Action::Acknowledge, "ann");
    let event = desk.command(Action::Acknowledge, "bob");
    assert_eq!(*refusal(&event), Refusal::AlreadyAcknowledged { owner: "ann".to_owned() });
    assert_eq!(desk.command(Action::Resolve, "bob").kind, E::Resolved);
}

#[test]
fn a_resolved_incident_takes_no_command() {
    let mut desk = triggered();
    desk.command(Action::Resolve, "ann");
    for action in [Action::Acknowledge, Action::Resolve] {
        assert_eq!(*refusal(&desk.command(action, "ann")), Refusal::AlreadyResolved);
    }
}

#[test]
fn a_command_id_serves_one_command() {
    let mut desk = triggered();
    desk.command_with("k1", 0, Action::Acknowledge, "ann");
    let event = desk.command_with("k1", 0, Action::Resolve, "ann");
    assert_eq!(*refusal(&event), Refusal::CommandIdReused);
    let event = desk.command_with("k1", 0, Action::Acknowledge, "bob");
    assert_eq!(*refusal(&event), Refusal::CommandIdReused);
    let event = desk.command_with("", 0, Action::Resolve, "ann");
    assert_eq!(*refusal(&event), Refusal::MissingCommandId);
    assert!(desk.incident().is_open());
}

#[test]
fn an_unknown_incident_or_that_of_another_tenant_or_team_is_refused_alike() {
    let mut desk = triggered();
    let ours = desk.incident().incident_id.to_string();
    for id in ["", "inc_nonsense", "inc_aaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        let event = desk.command_on(id, "k", 0, Action::Resolve, "ann");
        assert_eq!((refusal(&event), event.incident.is_some()), (&Refusal::UnknownIncident, false));
    }
    for (tenant, team) in [("other", "default"), ("acme", "vip")] {
        let command = Command {
            command_id: "k".to_owned(),
            tenant: tenant.to_owned(),
            team: team.to_owned(),
            incident_id: ours.clone(),
            expected_version: 0,
            actor: "eve".to_owned(),
            note: String::new(),
            action: Action::Resolve,
        };
        desk.events.clear();
        desk.apply(Entry::Command(command));
        assert_eq!(*refusal(&desk.events[0]), Refusal::UnknownIncident);
        assert_eq!(desk.events[0].incident, None);
    }
    let id = ours.parse().expect("an id");
    assert!(desk.partition.get(id).is_some_and(Incident::is_open));
}
