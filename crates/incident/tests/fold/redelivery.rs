//! Pages that a person sends once more.

use zhili_incident::*;

use crate::desk::{Desk, one_webhook, two_steps};

/// An incident whose first page has come to this.
fn settled(outcome: Outcome) -> (Desk, PageId) {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    let (page_id, _) = desk.wanted()[0];
    desk.send_all(outcome);
    (desk, page_id)
}

fn refusal(event: &IncidentEvent) -> &Refusal {
    match &event.answer {
        Some(Answer::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_page_is_sent_once_more_under_an_id_of_its_own() {
    let (mut desk, page_id) = settled(Outcome::Delivered);
    let told = desk.command(Action::Redeliver(page_id), "ann");
    assert_eq!((told.kind, told.actor.as_str()), (EventKind::Redelivered, "ann"));
    let again = told.page.expect("the new page");
    assert_ne!(again.page_id, page_id);
    assert_eq!((again.redelivery_of, again.attempts), (Some(page_id), 0));
    assert_eq!(desk.wanted(), [(again.page_id, 1)]);
    assert_eq!(desk.send_all(Outcome::Failed), ["floor"]);
    desk.wait(3_000);
    assert_eq!(desk.wanted(), [(again.page_id, 2)], "tried again under the same id");
}

#[test]
fn the_same_command_again_sends_nothing_more() {
    let (mut desk, page_id) = settled(Outcome::Delivered);
    for _ in 0..2 {
        desk.command_with("again", 0, Action::Redeliver(page_id), "ann");
        desk.send_all(Outcome::Delivered);
    }
    assert_eq!(desk.incident().pages.len(), 2);
    desk.command_with("once more", 0, Action::Redeliver(page_id), "ann");
    assert_eq!(desk.incident().pages.len(), 3);
}

#[test]
fn a_page_of_an_incident_that_somebody_has_or_that_is_over_can_be_sent_once_more() {
    for action in [Action::Acknowledge, Action::Resolve] {
        let (mut desk, page_id) = settled(Outcome::Rejected);
        desk.command(action, "ann");
        desk.command(Action::Redeliver(page_id), "bob");
        assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
    }
}

#[test]
fn a_page_that_is_on_its_way_is_not_sent_twice() {
    let (mut desk, page_id) = settled(Outcome::Failed);
    let told = desk.command(Action::Redeliver(page_id), "ann");
    assert_eq!(refusal(&told), &Refusal::PageUnderWay);
    let nobody: PageId = "ntf_aaaaaaaaaaaaaaaaaaaaaaaaaa".parse().expect("an id");
    let told = desk.command(Action::Redeliver(nobody), "ann");
    assert_eq!(refusal(&told), &Refusal::UnknownPage);
}

#[test]
fn a_repeated_page_has_no_part_in_the_policy() {
    let (mut desk, page_id) = settled(Outcome::Delivered);
    desk.command(Action::Redeliver(page_id), "ann");
    let step = desk.incident().step;
    desk.send_all(Outcome::Rejected);
    assert_eq!(desk.incident().step, step, "the step had reached somebody");
}

#[test]
fn a_destination_that_is_gone_is_no_place_to_send_to() {
    let (mut desk, page_id) = settled(Outcome::Delivered);
    let mut other = one_webhook().teams()["default"].clone();
    let floor = other.destinations.remove("floor").expect("defined");
    other.destinations.insert("elsewhere".to_owned(), floor);
    desk.configure(2, Config::new([("default".to_owned(), other)].into()).expect("valid"));
    let told = desk.command(Action::Redeliver(page_id), "ann");
    assert_eq!(refusal(&told), &Refusal::UnknownAssignee { name: "floor".to_owned() });
}
