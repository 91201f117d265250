//! Supervisors in conversations, and storms.

use zhili_incident::*;

use crate::desk::{Desk, MINUTE, config, signal, two_steps};

fn presence(desk: &mut Desk, actor: &str, here: bool) {
    presence_at(desk, None, actor, here);
}

fn presence_at(desk: &mut Desk, at_ms: Option<i64>, actor: &str, here: bool) {
    let (tenant, team) = ("acme".to_owned(), "default".to_owned());
    let conversation_id = "c1".to_owned();
    let actor = actor.to_owned();
    desk.apply(Entry::Presence(Presence { tenant, team, conversation_id, actor, here, at_ms }));
}

fn in_conversation(id: &str, conversation: &str) -> Entry {
    let conversation_id = conversation.to_owned();
    Entry::Signal(Signal { conversation_id, ..signal(id, Severity::High) })
}

#[test]
fn nobody_is_paged_about_what_a_supervisor_is_looking_at() {
    let mut desk = Desk::new(two_steps());
    presence(&mut desk, "mei", true);
    desk.signal("s1", Severity::High);
    assert!(desk.events[0].note.contains("mei is in the conversation"));
    assert_eq!(desk.wanted(), []);
    presence(&mut desk, "mei", false);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
}

#[test]
fn a_supervisor_who_joins_stops_the_pages_of_that_conversation_alone() {
    let mut desk = Desk::new(two_steps());
    desk.apply(in_conversation("s1", "c1"));
    desk.apply(in_conversation("s2", "c2"));
    presence(&mut desk, "mei", true);
    let incidents = desk.partition.incidents();
    let suppressed = incidents.filter(|incident| incident.state == State::Suppressed);
    let conversations: Vec<&str> = suppressed.map(|it| &*it.conversation_id).collect();
    assert_eq!(conversations, ["c1"]);
}

#[test]
fn who_leaves_without_a_word_counts_as_present_for_a_quarter_of_an_hour() {
    let mut desk = Desk::new(two_steps());
    presence(&mut desk, "mei", true);
    desk.signal("s1", Severity::High);
    desk.wait(PRESENT_FOR_MS - 1);
    assert_eq!(desk.incident().state, State::Suppressed);
    desk.wait(1);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
}

#[test]
fn a_sign_that_comes_late_counts_as_long_as_it_would_have() {
    let mut desk = Desk::new(two_steps());
    let begin_ms = desk.now;
    desk.wait(10 * MINUTE);
    presence_at(&mut desk, Some(begin_ms), "mei", true);
    desk.signal("s1", Severity::High);
    assert_eq!(desk.incident().state, State::Suppressed);
    desk.wait(5 * MINUTE);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
    presence_at(&mut desk, Some(begin_ms), "bo", true);
    assert_eq!(desk.incident().state, State::Triggered);
}

#[test]
fn an_owner_at_work_is_not_timed_out() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    desk.command(Action::Acknowledge, "mei");
    desk.wait(9 * MINUTE);
    desk.take_kinds();
    presence(&mut desk, "bo", true);
    assert_eq!(desk.take_kinds(), [], "another person is not the owner");
    presence(&mut desk, "mei", true);
    assert_eq!(desk.take_kinds(), [EventKind::Updated]);
    assert_eq!(desk.incident().next_at_ms, Some(desk.now + 10 * MINUTE));
    presence(&mut desk, "mei", true);
    assert_eq!(desk.take_kinds(), [], "not told at every word");
}

fn crowded() -> Desk {
    let mut desk = Desk::new(config(
        r#"{"teams": {"default": {
            "most_open_per_queue": 2,
            "destinations": {"floor": {"webhook": {"url": "https://hooks.example/floor"}}}
        }}}"#,
    ));
    for nth in 1..=4 {
        desk.apply(in_conversation(&format!("s{nth}"), &format!("c{nth}")));
    }
    desk
}

#[test]
fn beyond_the_bound_of_a_queue_one_incident_pages_for_all() {
    let mut desk = crowded();
    assert_eq!(desk.send_all(Outcome::Delivered).len(), 3);
    let storms = desk.partition.incidents().filter(|incident| incident.kind == STORM);
    let [storm] = storms.collect::<Vec<_>>()[..] else { panic!("one") };
    assert_eq!((storm.signals, storm.family), (2, Family::Crisis));
    assert_eq!(storm.conversation_id, "queue:q");
    let held = desk.partition.incidents().filter(|it| it.state == State::Suppressed);
    assert_eq!(held.count(), 2);
}

#[test]
fn what_a_storm_held_pages_when_there_is_room() {
    let mut desk = crowded();
    desk.send_all(Outcome::Delivered);
    let open = desk.partition.incidents().find(|it| it.conversation_id == "c1");
    let id = open.expect("open").incident_id.to_string();
    desk.command_on(&id, "done", 0, Action::Resolve, "ann");
    desk.wait(5 * MINUTE);
    let held = desk.partition.incidents().filter(|it| it.state == State::Suppressed);
    assert_eq!(held.count(), 1, "one of two");
}

#[test]
fn a_crowd_is_known_after_a_restart() {
    let desk = crowded();
    assert!(desk.partition.index_is_consistent());
}
