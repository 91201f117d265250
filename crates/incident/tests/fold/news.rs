//! What PagerDuty is told when nobody needs to be called any more.

use zhili_incident::*;

use crate::desk::{Desk, config};

fn desk() -> Desk {
    let mut desk = Desk::new(config(
        r#"{"teams": {"default": {"destinations": {
            "pd": {"pagerduty": {"routing_key": "env:PD"}},
            "floor": {"webhook": {"url": "https://hooks.example/floor"}}
        }}}}"#,
    ));
    desk.signal("s1", Severity::High);
    desk
}

/// The reasons of the pages that are wanted, by destination.
fn wanted(desk: &Desk) -> Vec<(String, Reason)> {
    let pages = desk.wanted().into_iter().filter_map(|(page_id, _)| desk.partition.page(page_id));
    pages.map(|(_, page)| (page.destination.clone(), page.reason)).collect()
}

#[test]
fn an_acknowledgement_and_an_end_are_told_to_pagerduty_alone() {
    let mut desk = desk();
    desk.send_all(Outcome::Delivered);
    desk.command(Action::Acknowledge, "ann");
    assert_eq!(wanted(&desk), [("pd".to_owned(), Reason::Acknowledged)]);
    desk.send_all(Outcome::Delivered);
    desk.command(Action::Acknowledge, "ann");
    assert_eq!(wanted(&desk), [], "it knows already");
    desk.command(Action::Resolve, "ann");
    assert_eq!(wanted(&desk), [("pd".to_owned(), Reason::Resolved)]);
}

#[test]
fn a_snooze_and_a_false_positive_are_told_as_what_they_mean_there() {
    for (action, reason) in [
        (Action::Snooze(Until::For(60_000)), Reason::Acknowledged),
        (Action::MarkFalsePositive, Reason::Resolved),
    ] {
        let mut desk = desk();
        desk.send_all(Outcome::Delivered);
        desk.command(action, "ann");
        assert_eq!(wanted(&desk), [("pd".to_owned(), reason)]);
    }
}

#[test]
fn a_page_whose_outcome_is_unknown_may_have_arrived() {
    let mut desk = desk();
    desk.send_all(Outcome::Failed);
    desk.command(Action::Resolve, "ann");
    assert_eq!(wanted(&desk), [("pd".to_owned(), Reason::Resolved)]);
}

#[test]
fn who_has_not_heard_of_it_need_not_hear_of_its_end() {
    let mut desk = desk();
    desk.command(Action::Resolve, "ann");
    assert_eq!(wanted(&desk), []);
}

#[test]
fn the_end_takes_the_place_of_an_acknowledgement_that_has_not_arrived() {
    let mut desk = desk();
    desk.send_all(Outcome::Delivered);
    desk.command(Action::Acknowledge, "ann");
    desk.send_all(Outcome::Failed);
    desk.command(Action::Resolve, "ann");
    desk.wait(10_000);
    assert_eq!(wanted(&desk), [("pd".to_owned(), Reason::Resolved)]);
}

#[test]
fn news_that_cannot_be_told_change_nothing_of_the_policy() {
    let mut desk = desk();
    desk.send_all(Outcome::Delivered);
    desk.command(Action::Acknowledge, "ann");
    desk.send_all(Outcome::Rejected);
    assert_eq!(desk.incident().state, State::Acknowledged);
    assert!(desk.kinds().contains(&EventKind::DeliveryFailed), "and it is told");
}
