//! Steps, repeats, delays and what happens at the end of a policy.

use zhili_incident::EventKind as E;
use zhili_incident::*;

use crate::desk::*;

#[test]
fn steps_and_repeats_page_in_order_until_the_policy_is_exhausted() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    let mut paged = vec![desk.send_all(Outcome::Delivered)];
    for _ in 0..3 {
        desk.wait(MINUTE);
        paged.push(desk.send_all(Outcome::Delivered));
    }
    assert_eq!(paged, [["floor"], ["managers"], ["floor"], ["managers"]]);
    desk.take_kinds();
    desk.wait(MINUTE);
    assert_eq!(desk.take_kinds(), [E::Exhausted]);
    desk.wait(12 * 60 * MINUTE);
    assert_eq!((desk.kinds(), desk.partition.next_due()), (vec![], None));
    let open = desk.partition.list("acme");
    assert_eq!(open[0].exhausted, Some(Exhausted::PolicyEnded));
}

#[test]
fn after_an_outage_one_step_is_taken_and_the_next_is_counted_from_then() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    desk.send_all(Outcome::Delivered);
    desk.jump(60 * MINUTE);
    assert_eq!(desk.send_all(Outcome::Delivered), ["managers"]);
    assert_eq!(desk.incident().next_at_ms, Some(START + 61 * MINUTE));
    desk.wait(MINUTE - 1);
    assert_eq!(desk.wanted(), []);
}

#[test]
fn a_team_without_a_policy_pages_all_its_destinations() {
    let mut desk = Desk::new(one_webhook());
    desk.signal("s1", Severity::High);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
    assert_eq!(desk.incident().next_at_ms, Some(START + DEFAULT_DELAY_MS));
    assert_eq!(desk.partition.unreachable("acme"), []);
}

#[test]
fn without_a_destination_it_says_at_once_that_nobody_is_reachable() {
    let mut desk = Desk::unconfigured();
    desk.signal("s1", Severity::High);
    assert_eq!(desk.kinds(), [E::Triggered, E::Exhausted]);
    assert!(desk.events[1].note.starts_with("nobody is reachable"), "{}", desk.events[1].note);
    let unreachable = desk.partition.unreachable("acme");
    assert_eq!(unreachable[0].cause, UnreachableCause::NoDestination);
    assert_eq!((unreachable.len(), unreachable[0].team.as_str()), (1, "default"));
}

#[test]
fn an_incident_that_could_page_nobody_starts_when_a_destination_is_configured() {
    let mut desk = Desk::unconfigured();
    desk.signal("s1", Severity::High);
    desk.configure(1, one_webhook());
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
    assert_eq!(desk.kinds(), [E::Triggered, E::Exhausted, E::Triggered, E::Paged]);
    assert_eq!(desk.incident().pages[0].reason, Reason::Reconfigured);
    assert_eq!(desk.incident().policy.bundle, "bundle-1");
}
