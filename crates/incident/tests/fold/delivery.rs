//! Claims, leases, attempts, retries and failures of pages.

use zhili_incident::EventKind as E;
use zhili_incident::*;

use crate::desk::*;

fn triggered(config: Config) -> (Desk, PageId) {
    let mut desk = Desk::new(config);
    desk.signal("s1", Severity::High);
    let page = desk.incident().pages[0].page_id;
    (desk, page)
}

fn page(desk: &Desk, page_id: PageId) -> &Page {
    desk.partition.page(page_id).expect("kept").1
}

#[test]
fn a_page_is_sent_only_by_the_owner_of_the_claim_that_came_first() {
    let (mut desk, page_id) = triggered(two_steps());
    assert_eq!(desk.sends("a"), []);
    assert_eq!(desk.claim(page_id, 1, "a"), None);
    assert_eq!(desk.claim(page_id, 1, "b"), Some(Ignored::StaleClaim));
    assert_eq!(desk.sends("a"), [(page_id, 1, "floor".to_owned())]);
    assert_eq!((desk.sends("b"), desk.wanted()), (vec![], vec![]));
}

#[test]
fn a_send_is_offered_until_the_lease_ends() {
    let (mut desk, page_id) = triggered(two_steps());
    desk.claim(page_id, 1, "a");
    desk.wait(LEASE_MS - 1);
    assert_eq!(desk.sends("a").len(), 1);
    let late = desk.partition.effects(desk.now + 1, "a", |_, _| false);
    assert_eq!(late, [], "the asker knows that the lease is over before the log does");
    desk.wait(1);
    assert_eq!(desk.sends("a"), []);
}

#[test]
fn a_claim_without_a_result_is_claimed_again_with_the_same_page_id() {
    let (mut desk, page_id) = triggered(two_steps());
    desk.claim(page_id, 1, "a");
    assert_eq!(desk.claim(page_id, 2, "b"), Some(Ignored::StaleClaim), "the lease still runs");
    assert_eq!(desk.partition.next_due(), Some(START + LEASE_MS));
    desk.wait(LEASE_MS);
    assert_eq!(desk.wanted(), [(page_id, 2)]);
    assert_eq!(desk.claim(page_id, 2, "b"), None);
    assert_eq!(desk.sends("b"), [(page_id, 2, "floor".to_owned())]);
    assert_eq!(page(&desk, page_id).log[0].outcome, None, "nobody knows what came of it");
}

#[test]
fn a_send_that_outlasts_its_lease_is_not_repeated_by_the_process_that_runs_it() {
    let (mut desk, page_id) = triggered(two_steps());
    desk.claim(page_id, 1, "a");
    desk.wait(LEASE_MS);
    let under_way = |page, attempt| (page, attempt) == (page_id, 1);
    assert_eq!(desk.partition.effects(desk.now, "a", under_way), []);
    assert_eq!(desk.partition.effects(desk.now, "b", under_way).len(), 1);
    assert_eq!(desk.result(page_id, 1, Outcome::Delivered), None);
    assert_eq!(page(&desk, page_id).state, PageState::Delivered);
}

#[test]
fn a_late_delivery_counts_though_another_attempt_was_claimed() {
    let (mut desk, page_id) = triggered(two_steps());
    desk.claim(page_id, 1, "a");
    desk.wait(LEASE_MS);
    desk.claim(page_id, 2, "b");
    assert_eq!(desk.result(page_id, 1, Outcome::Delivered), None);
    assert_eq!(desk.sends("b"), [], "what has not begun is no longer needed");
    assert_eq!(desk.result(page_id, 2, Outcome::Delivered), None);
    assert_eq!(desk.kinds(), [E::Triggered, E::Paged]);
}

#[test]
fn a_late_failure_says_nothing_about_the_attempt_under_way() {
    let (mut desk, page_id) = triggered(two_steps());
    desk.claim(page_id, 1, "a");
    desk.wait(LEASE_MS);
    desk.claim(page_id, 2, "b");
    assert_eq!(desk.result(page_id, 1, Outcome::Rejected), None);
    assert_eq!(desk.sends("b").len(), 1);
    assert_eq!(page(&desk, page_id).log[0].outcome, Some(Outcome::Rejected));
}

#[test]
fn a_failed_page_is_tried_again_on_the_schedule_within_a_fifth() {
    let mut team = one_webhook().teams()["default"].clone();
    team.policies.insert(
        "default".to_owned(),
        Steps {
            steps: vec![Step {
                destinations: vec!["floor".to_owned()],
                on_call: Vec::new(),
                delay_ms: 86_400_000,
            }],
            repeat: 0,
            fallback: Vec::new(),
        },
    );
    let config = Config::new([("default".to_owned(), team)].into()).expect("a valid config");
    let (mut desk, page_id) = triggered(config);
    for (attempt, wait_ms) in
        (1..).zip([2_000, 5_000, 15_000, 30_000, 60_000, 120_000, 120_000, 120_000])
    {
        assert_eq!(desk.claim(page_id, attempt, "a"), None);
        assert_eq!(desk.result(page_id, attempt, Outcome::Failed), None);
        assert_eq!(desk.claim(page_id, attempt + 1, "a"), Some(Ignored::ClaimTooEarly));
        let wait = desk.partition.next_due().expect("a retry") - desk.now;
        assert!((wait_ms * 8 / 10..=wait_ms * 12 / 10).contains(&wait), "{attempt}: {wait}");
        assert_eq!(wait, retry_wait_ms(page_id, attempt), "the same after a replay");
        desk.wait(wait);
        assert_eq!(desk.wanted(), [(page_id, attempt + 1)]);
    }
    assert_eq!(desk.take_kinds(), [E::Triggered]);
}

#[test]
fn retries_of_different_pages_are_spread() {
    let mut waits = std::collections::BTreeSet::new();
    for n in 0..100 {
        let (mut desk, _) = triggered(two_steps());
        let other = Signal { conversation_id: format!("c{n}"), ..signal("x", Severity::High) };
        desk.apply(Entry::Signal(other));
        waits.insert(retry_wait_ms(desk.incident().pages[0].page_id, 6));
    }
    assert!(waits.len() > 50, "{} different waits of 100", waits.len());
}

#[test]
fn the_receiver_may_ask_to_wait_longer_but_not_for_ever() {
    for (asked_ms, waited_ms) in [(90_000, 90_000), (999 * 3_600_000, LONGEST_RETRY_AFTER_MS)] {
        let (mut desk, page_id) = triggered(two_steps());
        desk.claim(page_id, 1, "a");
        desk.result_after(page_id, 1, Outcome::Failed, asked_ms);
        let state = PageState::Pending { not_before_ms: desk.now + waited_ms };
        assert_eq!(page(&desk, page_id).state, state);
    }
    let (mut desk, page_id) = triggered(two_steps());
    desk.claim(page_id, 1, "a");
    desk.result_after(page_id, 1, Outcome::Failed, 1);
    let not_before_ms = desk.now + retry_wait_ms(page_id, 1);
    assert_eq!(page(&desk, page_id).state, PageState::Pending { not_before_ms });
}

#[test]
fn when_every_page_of_a_step_is_refused_the_next_step_does_not_wait() {
    let (mut desk, page_id) = triggered(two_steps());
    desk.claim(page_id, 1, "a");
    desk.result(page_id, 1, Outcome::Rejected);
    assert_eq!(desk.kinds(), [E::Triggered, E::DeliveryFailed, E::Escalated]);
    let failed = desk.events[1].page.as_ref().expect("the page");
    assert_eq!((failed.page_id, failed.detail.as_str()), (page_id, "HTTP 410"));
    assert_eq!(desk.send_all(Outcome::Delivered), ["managers"]);
    assert_eq!(desk.incident().pages[1].reason, Reason::StepFailed);
}

#[test]
fn a_step_with_a_page_that_may_still_arrive_is_waited_for() {
    let mut team = two_steps().teams()["default"].clone();
    let steps = &mut team.policies.get_mut("default").expect("defined").steps;
    steps[0].destinations.push("managers".to_owned());
    let config = Config::new([("default".to_owned(), team)].into()).expect("a valid config");
    let (mut desk, page_id) = triggered(config);
    desk.claim(page_id, 1, "a");
    desk.result(page_id, 1, Outcome::Rejected);
    assert_eq!(desk.kinds(), [E::Triggered, E::DeliveryFailed]);
    assert_eq!(desk.incident().step, 0);
}

#[test]
fn a_refusal_in_the_last_step_of_a_pass_waits_for_the_next_pass() {
    let (mut desk, page_id) = triggered(one_webhook());
    desk.claim(page_id, 1, "a");
    desk.result(page_id, 1, Outcome::Rejected);
    assert_eq!((desk.wanted(), desk.incident().exhausted), (vec![], None));
    assert_eq!(desk.kinds(), [E::Triggered, E::DeliveryFailed]);
    desk.wait(DEFAULT_DELAY_MS);
    assert_eq!(desk.wanted().len(), 1);
    let unreachable = desk.partition.unreachable("acme");
    let cause = &unreachable[0].cause;
    assert_eq!(cause.to_string(), "the last send to every destination failed, to floor: HTTP 410");
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
    assert_eq!(desk.partition.unreachable("acme"), []);
}

#[test]
fn an_acknowledgement_cancels_pages_that_wait_and_leaves_the_one_on_the_wire() {
    let mut team = two_steps().teams()["default"].clone();
    let steps = &mut team.policies.get_mut("default").expect("defined").steps;
    steps[0].destinations.push("managers".to_owned());
    let config = Config::new([("default".to_owned(), team)].into()).expect("a valid config");
    let (mut desk, floor) = triggered(config);
    let managers = desk.incident().pages[1].page_id;
    desk.claim(floor, 1, "a");
    desk.command(Action::Acknowledge, "ann");
    assert_eq!((desk.sends("a"), desk.wanted()), (vec![], vec![]));
    assert_eq!(page(&desk, managers).state, PageState::Cancelled);
    assert_eq!(desk.claim(managers, 1, "a"), Some(Ignored::StaleClaim));
    desk.result(floor, 1, Outcome::Failed);
    assert_eq!(page(&desk, floor).state, PageState::Cancelled, "no retry follows");
    assert_eq!(desk.kinds(), [E::Triggered, E::Acknowledged]);
}

#[test]
fn a_page_on_the_wire_when_it_was_acknowledged_may_still_arrive() {
    for wait in [0, LEASE_MS] {
        let (mut desk, page_id) = triggered(two_steps());
        desk.claim(page_id, 1, "a");
        desk.command(Action::Resolve, "ann");
        desk.wait(wait);
        assert_eq!(desk.wanted(), []);
        desk.result(page_id, 1, Outcome::Delivered);
        assert_eq!(page(&desk, page_id).state, PageState::Delivered);
        assert_eq!(desk.kinds(), [E::Triggered, E::Resolved, E::Paged]);
    }
}

#[test]
fn a_page_tried_in_vain_fails_visibly_when_a_later_one_goes_to_the_same_place() {
    let (mut desk, first) = triggered(one_webhook());
    desk.claim(first, 1, "a");
    desk.result(first, 1, Outcome::Failed);
    desk.wait(DEFAULT_DELAY_MS);
    assert_eq!(page(&desk, first).state, PageState::Failed);
    assert_eq!(
        page(&desk, first).detail,
        "a later step pages the same destination (attempts: 1, last: HTTP 503)"
    );
    assert_eq!(desk.kinds(), [E::Triggered, E::Escalated, E::DeliveryFailed]);
    assert_eq!(desk.wanted(), [(desk.incident().pages[1].page_id, 1)]);
}

#[test]
fn a_page_that_cannot_be_delivered_for_a_day_has_failed() {
    let mut team = one_webhook().teams()["default"].clone();
    team.policies.insert(
        "default".to_owned(),
        Steps {
            steps: vec![Step {
                destinations: vec!["floor".to_owned()],
                on_call: Vec::new(),
                delay_ms: 10_000,
            }],
            repeat: 0,
            fallback: Vec::new(),
        },
    );
    let config = Config::new([("default".to_owned(), team)].into()).expect("a valid config");
    let (mut desk, page_id) = triggered(config);
    let mut attempts = 0;
    while !page(&desk, page_id).is_settled() {
        attempts += 1;
        assert_eq!(desk.send_all(Outcome::Failed).len(), 1);
        let due = desk.partition.next_due().unwrap_or(desk.now);
        desk.wait(due - desk.now);
        while desk.wanted().is_empty() && !page(&desk, page_id).is_settled() {
            let due = desk.partition.next_due().expect("a retry");
            desk.wait(due - desk.now);
        }
    }
    assert!(desk.now - START >= LONGEST_TRY_MS);
    assert!((700..800).contains(&attempts), "{attempts}");
    assert_eq!(page(&desk, page_id).log.len(), KEPT_ATTEMPTS);
    assert_eq!(desk.kinds(), [E::Triggered, E::Exhausted, E::DeliveryFailed]);
    assert_eq!(desk.partition.next_due(), None);
}

#[test]
fn the_fallback_is_paged_when_the_policy_has_come_to_its_end() {
    let mut team = two_steps().teams()["default"].clone();
    let policy = team.policies.get_mut("default").expect("defined");
    policy.steps.truncate(1);
    policy.repeat = 0;
    policy.fallback = vec!["managers".to_owned()];
    let config = Config::new([("default".to_owned(), team)].into()).expect("a valid config");
    let (mut desk, _) = triggered(config);
    desk.send_all(Outcome::Delivered);
    desk.wait(MINUTE);
    assert_eq!(desk.incident().exhausted, Some(Exhausted::PolicyEnded));
    assert_eq!(desk.send_all(Outcome::Delivered), ["managers"]);
    assert_eq!(desk.incident().pages[1].reason, Reason::Fallback);
}

#[test]
fn watchers_are_told_by_the_event_and_count_as_told_not_as_reached() {
    let watch = r#"{"teams": {"default": {"destinations": {"console": {"watch": {}}}}}}"#;
    let mut desk = Desk::new(config(watch));
    desk.signal("s1", Severity::High);
    assert_eq!(desk.kinds(), [E::Triggered, E::Paged]);
    assert_eq!(desk.wanted(), []);
    let unreachable = desk.partition.unreachable("acme");
    assert_eq!(unreachable[0].cause, UnreachableCause::NoDestination);
    assert!(desk.incident().next_at_ms.is_some(), "the policy goes on");
}

#[test]
fn a_refused_page_is_not_made_good_by_watchers() {
    let mut team = two_steps().teams()["default"].clone();
    team.destinations.insert("console".to_owned(), Destination::Watch {});
    let policy = team.policies.get_mut("default").expect("defined");
    policy.steps[0].destinations.push("console".to_owned());
    let config = Config::new([("default".to_owned(), team)].into()).expect("a valid config");
    let (mut desk, page_id) = triggered(config);
    desk.claim(page_id, 1, "a");
    desk.result(page_id, 1, Outcome::Rejected);
    assert_eq!(desk.send_all(Outcome::Delivered), ["managers"]);
}

#[test]
fn a_corrected_address_serves_pages_that_are_still_being_tried() {
    let (mut desk, page_id) = triggered(two_steps());
    desk.claim(page_id, 1, "a");
    desk.result(page_id, 1, Outcome::Failed);
    let mut team = two_steps().teams()["default"].clone();
    let corrected = Destination::Webhook(Webhook {
        url: "https://hooks.example/corrected".to_owned(),
        secret: None,
        allow_private: false,
    });
    team.destinations.insert("floor".to_owned(), corrected.clone());
    let config = Config::new([("default".to_owned(), team)].into()).expect("a valid config");
    desk.configure(2, config);
    desk.wait(3_000);
    desk.claim(page_id, 2, "a");
    let effects = desk.effects("a");
    let [Effect::Send { destination, attempt: 2, .. }] = effects[..] else { panic!("{effects:?}") };
    assert_eq!(*destination, corrected);
}

#[test]
fn pages_to_a_removed_destination_fail_and_the_next_step_does_not_wait() {
    let mut team = two_steps().teams()["default"].clone();
    let (mut desk, page_id) = triggered(two_steps());
    team.policies.clear();
    team.destinations.remove("floor");
    let config = Config::new([("default".to_owned(), team)].into()).expect("a valid config");
    desk.configure(2, config);
    assert_eq!(page(&desk, page_id).state, PageState::Failed);
    assert_eq!(desk.kinds(), [E::Triggered, E::DeliveryFailed, E::Escalated]);
    assert_eq!(desk.send_all(Outcome::Delivered), ["managers"]);
}

/// As `two_steps`, with other names for its destinations.
fn renamed() -> Config {
    let text = serde_json::to_string(&two_steps()).expect("writable");
    config(&text.replace("\"floor\"", "\"ground\"").replace("\"managers\"", "\"bosses\""))
}

#[test]
fn an_incident_whose_destinations_are_all_gone_starts_again_with_the_policy_of_now() {
    let (mut desk, page_id) = triggered(two_steps());
    desk.configure(2, renamed());
    assert_eq!(page(&desk, page_id).state, PageState::Failed);
    assert_eq!(desk.kinds(), [E::Triggered, E::DeliveryFailed, E::Escalated]);
    assert_eq!(desk.incident().policy.bundle, "bundle-2");
    let next = desk.incident().pages.last().expect("a page");
    assert_eq!((next.reason, next.step), (Reason::Reconfigured, 0));
    assert_eq!(desk.send_all(Outcome::Delivered), ["ground"]);
    desk.wait(MINUTE);
    assert_eq!(desk.send_all(Outcome::Delivered), ["bosses"]);
}

#[test]
fn a_destination_that_is_replaced_between_two_steps_loses_no_page() {
    let (mut desk, _) = triggered(two_steps());
    desk.send_all(Outcome::Delivered);
    desk.configure(2, renamed());
    assert_eq!(desk.send_all(Outcome::Delivered), ["ground"]);
}

#[test]
fn an_acknowledged_incident_takes_the_policy_of_now_for_when_it_comes_back() {
    let (mut desk, _) = triggered(two_steps());
    desk.send_all(Outcome::Delivered);
    desk.command(Action::Acknowledge, "ann");
    desk.configure(2, renamed());
    assert_eq!(desk.wanted(), []);
    desk.wait(10 * MINUTE);
    assert_eq!(desk.send_all(Outcome::Delivered), ["ground"]);
}

#[test]
fn an_incident_that_lost_everybody_says_so_and_starts_when_there_is_somebody_again() {
    let (mut desk, _) = triggered(two_steps());
    desk.configure(2, Config::default());
    assert_eq!(desk.kinds(), [E::Triggered, E::DeliveryFailed, E::Exhausted]);
    assert_eq!(desk.incident().exhausted, Some(Exhausted::NobodyReachable));
    desk.configure(3, renamed());
    assert_eq!(desk.send_all(Outcome::Delivered), ["ground"]);
}

#[test]
fn a_policy_that_had_ended_starts_again_only_if_a_page_was_still_being_tried() {
    let ended = |outcome: Outcome| {
        let (mut desk, _) = triggered(two_steps());
        while desk.incident().exhausted.is_none() {
            desk.send_all(outcome);
            desk.wait(MINUTE);
        }
        desk.configure(2, renamed());
        desk.send_all(Outcome::Delivered)
    };
    assert_eq!(ended(Outcome::Delivered), [""; 0]);
    assert_eq!(ended(Outcome::Failed), ["ground"]);
}

#[test]
fn a_page_whose_destination_has_become_another_kind_fails() {
    let mut team = two_steps().teams()["default"].clone();
    let (mut desk, page_id) = triggered(two_steps());
    team.destinations.insert("floor".to_owned(), Destination::Watch {});
    let config = Config::new([("default".to_owned(), team)].into()).expect("a valid config");
    desk.configure(2, config);
    assert_eq!(page(&desk, page_id).state, PageState::Failed);
}

#[test]
fn results_that_make_no_sense_are_ignored_by_name() {
    let (mut desk, page_id) = triggered(two_steps());
    assert_eq!(desk.result(page_id, 1, Outcome::Delivered), Some(Ignored::UnclaimedAttempt));
    desk.claim(page_id, 1, "a");
    assert_eq!(desk.result(page_id, 2, Outcome::Delivered), Some(Ignored::UnclaimedAttempt));
    assert_eq!(desk.result(page_id, 0, Outcome::Delivered), Some(Ignored::UnclaimedAttempt));
    desk.result(page_id, 1, Outcome::Delivered);
    assert_eq!(desk.result(page_id, 1, Outcome::Failed), Some(Ignored::DuplicateResult));
    let unknown = "ntf_aaaaaaaaaaaaaaaaaaaaaaaaaa".parse().expect("an id");
    assert_eq!(desk.result(unknown, 1, Outcome::Delivered), Some(Ignored::UnknownPage));
    assert_eq!(desk.claim(unknown, 1, "a"), Some(Ignored::UnknownPage));
    assert_eq!(page(&desk, page_id).state, PageState::Delivered);
}

#[test]
fn an_event_of_a_delivered_page_tells_when_its_claim_was_appended() {
    let (mut desk, page_id) = triggered(two_steps());
    desk.wait(7);
    desk.claim(page_id, 1, "a");
    desk.wait(30);
    desk.result(page_id, 1, Outcome::Delivered);
    let paged = &desk.events[1];
    assert_eq!((paged.effective_ms, paged.at_ms), (START + 7, START + 37));
}

#[test]
fn settled_pages_are_forgotten_beyond_the_newest() {
    let (mut desk, first) = triggered(one_webhook());
    for _ in 0..40 {
        desk.send_all(Outcome::Delivered);
        desk.command(Action::Acknowledge, "ann");
        desk.wait(10 * MINUTE);
    }
    assert_eq!(desk.incident().pages.len(), KEPT_PAGES);
    assert!(desk.partition.page(first).is_none());
    assert_eq!(desk.incident().pages.last().map(|page| page.pass), Some(40));
}

#[test]
fn every_attempt_is_told_of_once_with_what_the_receiver_said() {
    let (mut desk, page_id) = triggered(two_steps());
    let version = desk.incident().version;
    desk.claim(page_id, 1, "a");
    desk.wait(LEASE_MS);
    desk.claim(page_id, 2, "b");
    desk.result(page_id, 1, Outcome::Failed);
    desk.result(page_id, 2, Outcome::Failed);
    assert_eq!(desk.result(page_id, 2, Outcome::Failed), Some(Ignored::DuplicateResult));
    assert_eq!(desk.incident().version, version, "a person's click is not stale for it");
    desk.wait(10_000);
    desk.claim(page_id, 3, "b");
    desk.result(page_id, 3, Outcome::Delivered);
    let told: Vec<(EventKind, u32, &str, &str)> = desk
        .events
        .iter()
        .filter_map(|event| {
            let attempt = event.attempt.as_ref()?;
            Some((event.kind, attempt.attempt, attempt.code.as_str(), attempt.excerpt.as_str()))
        })
        .collect();
    assert_eq!(
        told,
        [
            (E::Attempted, 1, "500", "busy"),
            (E::Attempted, 2, "500", "busy"),
            (E::Paged, 3, "500", "busy")
        ]
    );
    let ids: std::collections::BTreeSet<&str> =
        desk.events.iter().map(|event| event.event_id.as_str()).collect();
    assert_eq!(ids.len(), desk.events.len());
}
