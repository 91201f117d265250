//! Silences and maintenance windows.

use zhili_incident::*;

use crate::desk::{Desk, MINUTE, config, signal, two_steps};

const HOUR: i64 = 60 * MINUTE;

fn create(queue: &str, mode: Mode, starts_at_ms: Option<i64>, ms: i64) -> SilenceAction {
    SilenceAction::Create(Box::new(NewSilence {
        matcher: Matcher { queue: vec![Pattern::new(queue)], ..Matcher::default() },
        mode,
        starts_at_ms,
        ends: Until::For(ms),
        comment: "known and looked after".to_owned(),
    }))
}

fn order(desk: &mut Desk, id: &str, action: SilenceAction) -> IncidentEvent {
    let before = desk.events.len();
    desk.apply(Entry::Silence(SilenceCommand {
        command_id: id.to_owned(),
        tenant: "acme".to_owned(),
        team: "default".to_owned(),
        actor: "ann".to_owned(),
        action,
    }));
    desk.events.remove(before)
}

fn silence(desk: &mut Desk, ms: i64) -> SilenceId {
    let event = order(desk, "mute", create("q", Mode::Silence, None, ms));
    assert_eq!(event.kind, EventKind::Silenced);
    event.silence.expect("of a silence").silence_id
}

#[test]
fn a_silenced_incident_is_recorded_and_starts_when_the_silence_ends() {
    let mut desk = Desk::new(two_steps());
    let id = silence(&mut desk, HOUR);
    desk.signal("s1", Severity::Critical);
    assert_eq!(desk.kinds(), [EventKind::Suppressed]);
    assert!(desk.events[0].note.contains(&id.to_string()), "{}", desk.events[0].note);
    assert_eq!(desk.wanted(), []);
    desk.wait(HOUR - 1);
    desk.take_kinds();
    desk.wait(1);
    assert_eq!(desk.take_kinds(), [EventKind::Triggered]);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
    assert_eq!(desk.incident().pages[0].reason, Reason::Released);
}

#[test]
fn a_silence_holds_only_what_it_matches() {
    let mut desk = Desk::new(two_steps());
    order(&mut desk, "mute", create("returns", Mode::Silence, None, HOUR));
    desk.signal("s1", Severity::High);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
}

#[test]
fn a_new_silence_calls_off_pages_that_were_not_sent() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    assert_eq!(desk.wanted().len(), 1);
    silence(&mut desk, HOUR);
    assert_eq!(desk.incident().state, State::Suppressed);
    assert_eq!(desk.wanted(), []);
}

#[test]
fn a_silence_that_begins_later_holds_from_then_on() {
    let mut desk = Desk::new(two_steps());
    let starts = desk.now + 30_000;
    order(&mut desk, "mute", create("q", Mode::Silence, Some(starts), HOUR));
    desk.signal("s1", Severity::High);
    desk.send_all(Outcome::Delivered);
    desk.take_kinds();
    desk.wait(29_999);
    assert_eq!(desk.take_kinds(), []);
    desk.wait(1);
    assert_eq!(desk.take_kinds(), [EventKind::Suppressed]);
}

#[test]
fn a_silence_that_is_ended_early_releases_what_it_held() {
    let mut desk = Desk::new(two_steps());
    let silence_id = silence(&mut desk, HOUR).to_string();
    desk.signal("s1", Severity::High);
    desk.take_kinds();
    let expire = SilenceAction::Expire { silence_id };
    assert_eq!(order(&mut desk, "end", expire.clone()).kind, EventKind::SilenceExpired);
    assert_eq!(desk.take_kinds(), [EventKind::Triggered]);
    assert_eq!(order(&mut desk, "end", expire).kind, EventKind::Repeated);
}

#[test]
fn maintenance_keeps_what_was_left_of_the_delay_and_the_pages_under_way() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    desk.wait(45_000);
    order(&mut desk, "work", create("q", Mode::Maintenance, None, HOUR));
    assert_eq!(desk.incident().state, State::Suppressed);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"], "asked for before");
    desk.wait(HOUR);
    assert_eq!(desk.incident().state, State::Triggered);
    desk.wait(14_999);
    assert_eq!(desk.wanted(), []);
    desk.wait(1);
    assert_eq!(desk.send_all(Outcome::Delivered), ["managers"]);
}

#[test]
fn acknowledging_and_resolving_pass_through_maintenance() {
    let mut desk = Desk::new(two_steps());
    order(&mut desk, "work", create("q", Mode::Maintenance, None, HOUR));
    desk.signal("s1", Severity::High);
    desk.command(Action::Acknowledge, "ann");
    assert_eq!(desk.incident().state, State::Acknowledged);
    desk.command(Action::Resolve, "ann");
    assert_eq!(desk.incident().state, State::Resolved);
}

#[test]
fn what_a_person_escalates_pages_through_a_silence() {
    let mut desk = Desk::new(two_steps());
    silence(&mut desk, HOUR);
    desk.signal("s1", Severity::High);
    desk.command(Action::EscalateNow, "ann");
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
    desk.wait(MINUTE);
    assert_eq!(desk.send_all(Outcome::Delivered), ["managers"]);
}

#[test]
fn an_acknowledgement_that_times_out_in_a_silence_pages_when_it_ends() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    desk.command(Action::Acknowledge, "ann");
    silence(&mut desk, HOUR);
    desk.wait(10 * MINUTE);
    assert_eq!(desk.incident().state, State::Suppressed);
    desk.wait(50 * MINUTE);
    assert_eq!(desk.incident().state, State::Triggered);
}

#[test]
fn the_same_command_makes_one_silence() {
    let mut desk = Desk::new(two_steps());
    let id = silence(&mut desk, HOUR);
    let again = order(&mut desk, "mute", create("q", Mode::Silence, None, HOUR));
    assert_eq!((again.kind, again.silence.unwrap().silence_id), (EventKind::Repeated, id));
    let other = order(&mut desk, "mute", create("other", Mode::Silence, None, HOUR));
    assert_eq!(other.answer, Some(Answer::Refused(Refusal::CommandIdReused)));
    assert_eq!(desk.partition.silences("acme").len(), 1);
}

#[test]
fn a_silence_without_conditions_comment_or_a_bounded_end_is_refused() {
    let mut desk = Desk::new(two_steps());
    let refused = |desk: &mut Desk, action| match order(desk, "x", action).answer {
        Some(Answer::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    let SilenceAction::Create(new) = create("q", Mode::Silence, None, HOUR) else { panic!() };
    let everything = NewSilence { matcher: Matcher::default(), ..*new.clone() };
    let everything = SilenceAction::Create(Box::new(everything));
    assert_eq!(refused(&mut desk, everything), Refusal::EmptyMatcher);
    let unexplained = SilenceAction::Create(Box::new(NewSilence { comment: " ".into(), ..*new }));
    assert_eq!(refused(&mut desk, unexplained), Refusal::MissingComment);
    for ms in [0, -1, LONGEST_SILENCE_MS + 1] {
        let action = create("q", Mode::Silence, None, ms);
        assert_eq!(refused(&mut desk, action), Refusal::SilenceOutOfRange);
    }
    let unknown = SilenceAction::Expire { silence_id: "sil_x".to_owned() };
    assert_eq!(refused(&mut desk, unknown), Refusal::UnknownSilence);
}

#[test]
fn a_silence_of_the_configuration_holds_while_it_is_in_force() {
    let planned = r#"{"teams": {"default": {
        "silences": {"migration": {
            "match": {"queue": ["q"]},
            "starts": "2026-01-01T08:01:00+08:00", "ends": "2026-01-01T09:00:00+08:00"
        }},
        "destinations": {"floor": {"webhook": {"url": "https://hooks.example/floor"}}}
    }}}"#;
    let mut desk = Desk::new(config(planned));
    desk.signal("s1", Severity::High);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
    desk.wait(MINUTE);
    assert_eq!(desk.incident().state, State::Suppressed);
    desk.configure(2, config(&planned.replace("\"q\"", "\"other\"")));
    assert_eq!(desk.incident().state, State::Triggered);
    desk.apply(Entry::Signal(Signal {
        queue: "other".to_owned(),
        conversation_id: "c2".to_owned(),
        ..signal("s2", Severity::High)
    }));
    desk.wait(59 * MINUTE);
    assert!(desk.partition.incidents().all(|incident| incident.state == State::Triggered));
}

#[test]
fn a_restored_partition_knows_its_silences_and_when_they_begin() {
    let mut desk = Desk::new(two_steps());
    let starts = desk.now + MINUTE;
    order(&mut desk, "later", create("q", Mode::Silence, Some(starts), HOUR));
    let bytes = desk.partition.snapshot().unwrap();
    let restored = Partition::restore(&bytes).unwrap();
    assert_eq!(restored.next_due(), Some(starts));
    assert_eq!(restored.silences("acme"), desk.partition.silences("acme"));
}
