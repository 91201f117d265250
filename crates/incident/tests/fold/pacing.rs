//! Destinations that take only so many messages: who waits, and who goes with whom.

use zhili_incident::EventKind as E;
use zhili_incident::*;

use crate::desk::*;

/// Half of the span for which a robot of DingTalk counts messages.
const HALF_MS: i64 = 32_500;

/// One robot of DingTalk, paged again after `delay_ms`.
fn robot(delay_ms: i64) -> Desk {
    Desk::new(config(
        &r#"{"teams": {"default": {
            "policies": {"default": {"repeat": 9,
                "steps": [{"destinations": ["robot"], "delay_ms": DELAY}]}},
            "destinations": {"robot": {"dingtalk": {"url": "env:ROBOT"}}}
        }}}"#
            .replace("DELAY", &delay_ms.to_string()),
    ))
}

const DAY: i64 = 24 * 60 * MINUTE;

/// Opens an incident of a conversation of its own.
fn open(desk: &mut Desk, number: u32) {
    let conversation_id = format!("c{number}");
    let signal = Signal { conversation_id, ..signal(&format!("s{number}"), Severity::High) };
    desk.apply(Entry::Signal(signal));
}

/// Delivers all that wants to be sent; how many messages that were.
fn deliver(desk: &mut Desk) -> usize {
    let mut messages = 0;
    while let Some((page_id, attempt)) = desk.wanted().first().copied() {
        assert_eq!(desk.claim(page_id, attempt, "me"), None);
        assert_eq!(desk.result(page_id, attempt, Outcome::Delivered), None);
        messages += 1;
    }
    assert!(desk.partition.index_is_consistent());
    messages
}

/// Conversations that a message about `page_id` tells of besides its own.
fn others(desk: &Desk, page_id: PageId) -> Vec<String> {
    let mut others: Vec<String> = desk
        .effects("me")
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send { page, others, .. } if page.page_id == page_id => Some(others),
            _ => None,
        })
        .flatten()
        .map(|(incident, _)| incident.conversation_id.clone())
        .collect();
    others.sort();
    others
}

fn states(desk: &Desk, wanted: impl Fn(&PageState) -> bool) -> usize {
    let pages = desk.partition.incidents().flat_map(|incident| &incident.pages);
    pages.filter(|page| wanted(&page.state)).count()
}

fn waiting(desk: &Desk) -> usize {
    states(desk, |state| matches!(state, PageState::Waiting { .. }))
}

#[test]
fn pages_beyond_the_limit_wait_and_go_in_one_message() {
    let mut desk = robot(DAY);
    (0..25).for_each(|number| open(&mut desk, number));
    assert_eq!((desk.wanted().len(), waiting(&desk)), (20, 5));
    // Claims of pages before them take them along already.
    assert_eq!(deliver(&mut desk), 20);
    assert_eq!(waiting(&desk), 0);
    assert_eq!(states(&desk, |state| *state == PageState::Delivered), 25);
    let paged = desk.take_kinds().into_iter().filter(|kind| *kind == E::Paged);
    assert_eq!(paged.count(), 25, "each incident's page is told of");
}

#[test]
fn a_page_that_comes_when_there_is_no_room_waits_for_it() {
    let mut desk = robot(DAY);
    (0..20).for_each(|number| open(&mut desk, number));
    deliver(&mut desk);
    (20..24).for_each(|number| open(&mut desk, number));
    assert_eq!((desk.wanted().len(), waiting(&desk)), (0, 4));
    desk.wait(2 * HALF_MS - 1);
    assert_eq!(desk.wanted().len(), 0);
    desk.wait(1);
    let (page_id, attempt) = desk.wanted()[0];
    desk.claim(page_id, attempt, "me");
    assert_eq!(others(&desk, page_id).len() + desk.wanted().len(), 3);
    deliver(&mut desk);
    desk.result(page_id, attempt, Outcome::Delivered);
    assert_eq!(states(&desk, |state| *state == PageState::Delivered), 24);
}

#[test]
fn what_was_told_before_leaves_a_quarter_to_what_nobody_knows() {
    let mut desk = robot(HALF_MS);
    (0..12).for_each(|number| open(&mut desk, number));
    assert_eq!(deliver(&mut desk), 12);
    desk.wait(HALF_MS);
    // All twelve are due again; three more than the twelve before are three quarters.
    assert_eq!((desk.wanted().len(), waiting(&desk)), (3, 9));
    open(&mut desk, 12);
    assert_eq!(desk.wanted().len(), 4, "a new incident does not wait");
    let (page_id, attempt) = desk.wanted()[0];
    desk.claim(page_id, attempt, "me");
    assert_eq!(others(&desk, page_id).len(), 9);
    assert_eq!(waiting(&desk), 0);
    desk.result(page_id, attempt, Outcome::Delivered);
    assert_eq!(deliver(&mut desk), 3);
}

/// Twenty pages have gone, three wait and go with a fourth, which is claimed.
fn bundle() -> (Desk, PageId) {
    let mut desk = robot(DAY);
    (0..20).for_each(|number| open(&mut desk, number));
    deliver(&mut desk);
    (20..23).for_each(|number| open(&mut desk, number));
    // A retry of a page is the next that goes there.
    desk.wait(2 * HALF_MS);
    let mut wanted = desk.wanted();
    while wanted.len() > 1 {
        // Only one of them has been claimed: the others had room, so they go on their own.
        let (page_id, attempt) = wanted.pop().expect("more than one");
        desk.claim(page_id, attempt, "me");
        desk.result(page_id, attempt, Outcome::Delivered);
    }
    (23..60).for_each(|number| open(&mut desk, number));
    let (page_id, attempt) = wanted[0];
    desk.claim(page_id, attempt, "me");
    assert!(others(&desk, page_id).len() > 3, "{:?}", others(&desk, page_id));
    (desk, page_id)
}

#[test]
fn an_incident_that_somebody_takes_is_told_to_nobody_with_others() {
    let (mut desk, leader) = bundle();
    let before = others(&desk, leader);
    let taken = desk
        .partition
        .incidents()
        .find(|incident| incident.conversation_id == before[0])
        .expect("in memory")
        .incident_id
        .to_string();
    desk.command_on(&taken, "take", 0, Action::Acknowledge, "mei");
    assert_eq!(others(&desk, leader), before[1..]);
    assert!(desk.partition.index_is_consistent());
}

#[test]
fn what_went_with_a_page_that_failed_goes_on_its_own() {
    let (mut desk, leader) = bundle();
    let count = others(&desk, leader).len();
    desk.result(leader, 1, Outcome::Rejected);
    assert_eq!(states(&desk, |state| matches!(state, PageState::Bundled { .. })), 0);
    assert_eq!(waiting(&desk), count);
    desk.wait(2 * HALF_MS);
    assert!(!desk.wanted().is_empty());
    deliver(&mut desk);
    assert_eq!(waiting(&desk), 0);
}

#[test]
fn what_goes_with_a_page_is_tried_again_with_it() {
    let (mut desk, leader) = bundle();
    let before = others(&desk, leader);
    desk.result(leader, 1, Outcome::Failed);
    assert_eq!(states(&desk, |state| matches!(state, PageState::Bundled { .. })), before.len());
    desk.wait(2 * HALF_MS);
    let again = desk.wanted().into_iter().find(|(page_id, _)| *page_id == leader);
    assert_eq!(again, Some((leader, 2)));
    desk.claim(leader, 2, "me");
    assert!(others(&desk, leader).len() >= before.len());
    desk.result(leader, 2, Outcome::Delivered);
    assert_eq!(states(&desk, |state| matches!(state, PageState::Bundled { .. })), 0);
}

#[test]
fn a_robot_that_asked_for_silence_gets_no_page_until_then() {
    let mut desk = robot(DAY);
    open(&mut desk, 0);
    let (page_id, _) = desk.wanted()[0];
    desk.claim(page_id, 1, "me");
    desk.apply(Entry::Result(DeliveryResult {
        page_id,
        attempt: 1,
        outcome: Outcome::Failed,
        detail: "130101".to_owned(),
        duration_ms: 5,
        retry_after_ms: 600_000,
        code: "500".to_owned(),
        excerpt: "busy".to_owned(),
    }));
    open(&mut desk, 1);
    desk.wait(599_999);
    assert_eq!(desk.wanted(), [], "not even of another incident");
    desk.wait(1);
    assert!(!desk.wanted().is_empty());
    deliver(&mut desk);
    assert_eq!(states(&desk, |state| *state == PageState::Delivered), 2);
}
