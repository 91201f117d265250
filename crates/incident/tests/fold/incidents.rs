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
    assert_eq!(desk.kinds(), [E::Triggered, E::Paged, E::Acknowledged, E::Resolved]);
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
    assert_eq!(desk.kinds(), [E::Triggered, E::Paged, E::Updated, E::Updated]);
    assert_eq!((desk.incident().signals, desk.incident().severity), (3, Severity::Critical));
    assert_eq!(desk.partition.open_count("acme"), 1);
}

#[test]
fn a_signal_that_comes_again_has_no_effect_not_even_after_the_incident_is_resolved() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    desk.signal("s2", Severity::High);
    assert_eq!(desk.signal("s2", Severity::High), Some(Ignored::DuplicateSignal));
    desk.command(Action::Resolve, "ann");
    desk.wait(60 * MINUTE);
    assert_eq!(desk.signal("s1", Severity::Critical), Some(Ignored::DuplicateSignal));
    assert_eq!(desk.signal("s2", Severity::Critical), Some(Ignored::DuplicateSignal));
    assert_eq!(desk.partition.open_count("acme"), 0);
}

#[test]
fn a_signal_within_the_cool_down_is_kept_with_the_resolved_incident() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    desk.command(Action::Resolve, "ann");
    desk.wait(5 * MINUTE - 1);
    desk.take_kinds();
    desk.signal("s2", Severity::High);
    assert_eq!((desk.incident().state, desk.incident().signals), (State::Resolved, 2));
    assert_eq!(desk.take_kinds(), [E::Updated]);
    assert_eq!(desk.wanted(), []);
}

#[test]
fn a_worse_signal_within_the_cool_down_opens_a_linked_incident() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    let first = desk.incident().incident_id;
    desk.command(Action::Resolve, "ann");
    desk.signal("s2", Severity::Critical);
    assert_ne!(desk.incident().incident_id, first);
    assert_eq!(desk.incident().previous, Some(first));
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
}

#[test]
fn a_signal_after_the_cool_down_opens_a_linked_incident() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    let first = desk.incident().incident_id;
    desk.command(Action::Resolve, "ann");
    desk.wait(5 * MINUTE);
    desk.signal("s2", Severity::Info);
    assert_eq!(desk.incident().previous, Some(first));
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
}

#[test]
fn historical_signals_are_recorded_and_page_nobody() {
    let mut desk = Desk::new(two_steps());
    for id in ["h1", "h2"] {
        desk.apply(Entry::Signal(Signal { historical: true, ..signal(id, Severity::Critical) }));
    }
    assert_eq!(desk.take_kinds(), [E::Recorded, E::Recorded]);
    let incidents = desk.partition.list("acme");
    assert_eq!((incidents.len(), incidents[0].signals), (1, 2));
    assert_eq!((incidents[0].state, incidents[0].historical), (State::Resolved, true));
    assert_eq!(desk.wanted(), []);
    desk.signal("s1", Severity::Info);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"], "history cools nothing down");
}

#[test]
fn a_historical_signal_does_not_raise_an_open_incident() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    let late = Signal { historical: true, ..signal("h1", Severity::Critical) };
    desk.apply(Entry::Signal(late));
    assert_eq!((desk.incident().severity, desk.incident().signals), (Severity::High, 2));
}

#[test]
fn an_acknowledgement_that_times_out_pages_from_the_first_step_again() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    desk.send_all(Outcome::Delivered);
    desk.wait(MINUTE);
    desk.send_all(Outcome::Delivered);
    desk.command(Action::Acknowledge, "ann");
    desk.wait(10 * MINUTE - 1);
    assert_eq!(desk.incident().state, State::Acknowledged);
    desk.wait(1);
    let incident = desk.incident();
    assert_eq!((incident.state, incident.owner.as_str()), (State::Triggered, ""));
    assert_eq!((incident.step, incident.pass, incident.acknowledged_at_ms), (0, 1, None));
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
    let pages: std::collections::BTreeSet<_> =
        desk.incident().pages.iter().map(|page| page.page_id).collect();
    assert_eq!(pages.len(), 3, "pages of a new pass have ids of their own");
}

#[test]
fn the_owner_may_acknowledge_again_to_have_more_time() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    desk.command(Action::Acknowledge, "ann");
    desk.wait(9 * MINUTE);
    desk.command(Action::Acknowledge, "ann");
    desk.wait(9 * MINUTE);
    assert_eq!(desk.incident().state, State::Acknowledged);
}

#[test]
fn an_acknowledgement_holds_for_ever_where_it_does_not_time_out() {
    let mut team = two_steps().teams()["default"].clone();
    team.ack_timeout_ms = 0;
    let mut desk =
        Desk::new(Config::new([("default".to_owned(), team)].into()).expect("a valid config"));
    desk.signal("s1", Severity::High);
    desk.command(Action::Acknowledge, "ann");
    assert_eq!(desk.partition.next_due(), None);
}

#[test]
fn a_rise_of_severity_pages_anew_where_the_team_wants_it_even_after_an_acknowledgement() {
    let mut team = two_steps().teams()["default"].clone();
    team.page_on_rise = true;
    let mut desk =
        Desk::new(Config::new([("default".to_owned(), team)].into()).expect("a valid config"));
    desk.signal("s1", Severity::Warning);
    desk.send_all(Outcome::Delivered);
    desk.signal("s2", Severity::High);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
    desk.command(Action::Acknowledge, "ann");
    desk.signal("s3", Severity::High);
    assert_eq!(desk.wanted(), [], "no rise");
    desk.take_kinds();
    desk.signal("s4", Severity::Critical);
    assert_eq!(desk.take_kinds(), [E::Triggered]);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
}

#[test]
fn a_rise_of_severity_starts_an_exhausted_policy_again() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    desk.wait(60 * MINUTE);
    assert!(desk.incident().exhausted.is_some());
    desk.signal("s2", Severity::High);
    assert!(desk.incident().exhausted.is_some());
    desk.signal("s3", Severity::Critical);
    assert_eq!((desk.incident().exhausted, desk.incident().repeats_left), (None, 1));
    assert_eq!(desk.incident().next_at_ms, Some(desk.now + MINUTE));
}

#[test]
fn the_worst_signal_names_the_incident() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    let police = Signal { category: "police".to_owned(), ..signal("s2", Severity::Critical) };
    desk.apply(Entry::Signal(police));
    desk.signal("s3", Severity::High);
    assert_eq!(desk.incident().category, "police");
}

#[test]
fn conversations_families_teams_and_tenants_have_incidents_of_their_own() {
    let mut desk = Desk::new(two_steps());
    let like = |id: &str| signal(id, Severity::High);
    for signal in [
        like("s1"),
        Signal { conversation_id: "c2".to_owned(), ..like("s2") },
        Signal { family: Family::Crisis, ..like("s3") },
        Signal { team: "vip".to_owned(), ..like("s4") },
        Signal { tenant: "other".to_owned(), ..like("s1") },
    ] {
        assert_eq!(desk.apply(Entry::Signal(signal)), None);
    }
    assert_eq!((desk.partition.open_count("acme"), desk.partition.open_count("other")), (4, 1));
    let ids: std::collections::BTreeSet<_> =
        desk.partition.incidents().map(|incident| incident.incident_id).collect();
    assert_eq!(ids.len(), 5);
}

#[test]
fn an_incident_keeps_the_first_and_the_newest_evidence_and_counts_all() {
    let mut desk = Desk::new(two_steps());
    for n in 0..100 {
        desk.signal(&format!("s{n}"), Severity::High);
    }
    let incident = desk.incident();
    let kept: Vec<&str> = incident.evidence.iter().map(|s| s.signal_id.as_str()).collect();
    assert_eq!((kept.len(), kept[0], kept[1], kept[20]), (KEPT_EVIDENCE, "s0", "s80", "s99"));
    assert_eq!(incident.signals, 100);
    assert_eq!(desk.signal("s7", Severity::High), Some(Ignored::DuplicateSignal));
}

#[test]
fn a_resolved_incident_leaves_memory_after_a_day() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    desk.command(Action::Resolve, "ann");
    let id = desk.incident().incident_id;
    desk.wait(RESOLVED_FOR_MS - 1);
    assert!(desk.partition.get(id).is_some());
    desk.wait(1);
    assert!(desk.partition.get(id).is_none());
    assert_eq!(desk.partition.next_due(), None);
    assert!(desk.partition.index_is_consistent());
}

#[test]
fn open_incidents_are_listed_first_and_the_newest_first_among_each() {
    let mut desk = Desk::new(two_steps());
    let mut ids = Vec::new();
    for n in 1..=4 {
        let like = signal(&format!("s{n}"), Severity::High);
        desk.apply(Entry::Signal(Signal { conversation_id: format!("c{n}"), ..like }));
        ids.push(desk.incident().incident_id);
        desk.wait(1);
    }
    for n in [0, 3] {
        let id = ids[n].to_string();
        desk.command_on(&id, &format!("r{n}"), 0, Action::Resolve, "ann");
    }
    let listed: Vec<_> = desk.partition.list("acme").iter().map(|i| i.incident_id).collect();
    assert_eq!(listed, [ids[2], ids[1], ids[3], ids[0]]);
    assert_eq!(desk.partition.list("other"), Vec::<&Incident>::new());
}

#[test]
fn ids_are_the_same_in_every_version() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    // A version that spelled them otherwise would page again for everything it replays.
    assert_eq!(desk.incident().incident_id.to_string(), "inc_6n3ey7u2k46wbw2mfii2wtql2q");
    assert_eq!(desk.incident().pages[0].page_id.to_string(), "ntf_glrapkajpxs7csxfmw6yb3vvtu");
    assert_eq!(desk.events[0].event_id, "evt_3phsitl6kiyl5zvbtsh2je2eyy");
}

#[test]
fn an_incident_that_its_first_signal_opens_again_after_days_is_found_after_a_restore() {
    let mut desk = Desk::new(two_steps());
    desk.apply(Entry::Signal(Signal { historical: true, ..signal("s1", Severity::High) }));
    let first = desk.incident().incident_id;
    desk.signal("s2", Severity::High);
    let second = desk.incident().incident_id;
    desk.wait(RESOLVED_FOR_MS);
    assert!(desk.partition.get(first).is_none());
    desk.command(Action::Resolve, "ann");
    desk.wait(5 * MINUTE);
    desk.signal("s1", Severity::High);
    assert_eq!((desk.incident().incident_id, desk.incident().previous), (first, Some(second)));
    assert!(desk.partition.index_is_consistent());
}
