//! Every kind of violation is planted, and found as what it is.

use super::*;
use crate::conservation::{Event, Intent, Item, Kind, Role};

fn item(id: &str, text: &str, intent: Intent) -> Item {
    let event = Event {
        id: id.into(),
        conversation: format!("c-{id}"),
        kind: if intent == Intent::Typing { Kind::Typing } else { Kind::Message },
        role: Role::Customer,
        text: text.into(),
        sent_ms: 1_000,
    };
    Item { event, intent }
}

fn poison() -> Poison {
    Poison { partition: 2, offset: 9, sha256: "ab".into(), length: 3 }
}

/// Two events, one of them urgent, a conflict that was sent twice, typing, and poison.
struct Bench {
    ledger: Ledger,
    plain: Item,
    urgent: Item,
    conflict: Item,
}

impl Bench {
    fn new() -> Self {
        let plain = item("plain", "a", Intent::New);
        let urgent = item("urgent", "b", Intent::Urgent);
        let conflict = item("plain", "other", Intent::Conflict);
        let mut ledger = Ledger::default();
        ledger.settle(&plain, 3);
        ledger.settle(&urgent, 1);
        ledger.settle(&conflict, 2);
        ledger.settle(&item("typing", "", Intent::Typing), 1);
        ledger.settle(&item("huge", "x", Intent::Oversized), 1);
        ledger.poisoned(poison());
        Self { ledger, plain, urgent, conflict }
    }

    fn letter(&self, offset: u64) -> DeadLetter {
        let Event { id, .. } = &self.conflict.event;
        DeadLetter::Event {
            id: id.clone(),
            payload: self.conflict.event.payload(),
            at: (0, offset),
        }
    }

    /// Everything is as it should be.
    fn kept(&self) -> Judge<'_> {
        let mut judge = Judge::new(&self.ledger);
        judge.row("plain", self.plain.event.payload());
        judge.row("urgent", self.urgent.event.payload());
        judge.dead_letter(self.letter(7));
        judge.dead_letter(DeadLetter::Bytes(poison()));
        judge.signal("urgent", "pseudonym");
        judge.incident("i", "pseudonym");
        judge.page(arrival(5_000));
        judge
    }
}

fn arrival(at_ms: i64) -> Arrival {
    Arrival { page: "p".into(), conversation: "pseudonym".into(), at_ms }
}

fn crash(began_ms: i64, ended_ms: i64) -> Disturbance {
    Disturbance { began_ms, ended_ms, unheard: false }
}

#[test]
fn what_was_kept_is_clean() {
    let bench = Bench::new();
    let verdict = bench.kept().verdict(&[]);
    assert_eq!(verdict, Verdict::default());
    assert!(verdict.is_clean());
    assert_eq!((bench.ledger.acknowledged(), bench.ledger.rows()), (5, 2));
    assert_eq!(bench.ledger.urgent(), 1);
}

#[test]
fn a_lost_event_a_lost_dead_letter_and_lost_poison_are_each_found() {
    let bench = Bench::new();
    let verdict = Judge::new(&bench.ledger).verdict(&[]);
    assert_eq!(verdict.lost, 4, "{verdict:?}");
    assert!(!verdict.is_clean());

    let mut judge = bench.kept();
    judge.found.remove("plain");
    assert_eq!(judge.verdict(&[]).lost, 1);
}

#[test]
fn a_second_row_is_found_also_where_the_first_is_a_dead_letter() {
    let bench = Bench::new();
    let mut judge = bench.kept();
    judge.row("plain", bench.plain.event.payload());
    assert_eq!(judge.verdict(&[]).duplicate_rows, 1);

    let mut judge = bench.kept();
    let payload = bench.plain.event.payload();
    judge.dead_letter(DeadLetter::Event { id: "plain".into(), payload, at: (0, 1) });
    assert_eq!(judge.verdict(&[]).duplicate_rows, 1);
}

#[test]
fn a_conflict_may_have_as_many_dead_letters_as_it_was_sent_and_a_record_one() {
    let bench = Bench::new();
    let mut judge = bench.kept();
    judge.dead_letter(bench.letter(8));
    assert!(judge.verdict(&[]).is_clean());

    let mut judge = bench.kept();
    judge.dead_letter(bench.letter(8));
    judge.dead_letter(bench.letter(9));
    assert_eq!(judge.verdict(&[]).duplicate_rows, 1);

    let mut judge = bench.kept();
    judge.dead_letter(bench.letter(7));
    assert_eq!(judge.verdict(&[]).duplicate_rows, 1);

    let mut judge = bench.kept();
    judge.dead_letter(DeadLetter::Bytes(poison()));
    assert_eq!(judge.verdict(&[]).duplicate_rows, 1);
}

#[test]
fn a_row_or_dead_letter_that_says_something_else_is_found() {
    let bench = Bench::new();
    let mut judge = Judge::new(&bench.ledger);
    judge.row("plain", bench.conflict.event.payload());
    assert_eq!(judge.verdict(&[]).payload_differences, 1);

    let mut judge = bench.kept();
    judge.dead_letter(DeadLetter::Event { id: "plain".into(), payload: 1, at: (0, 1) });
    assert_eq!(judge.verdict(&[]).payload_differences, 1);

    let mut judge = Judge::new(&bench.ledger);
    judge.dead_letter(DeadLetter::Bytes(Poison { length: 4, ..poison() }));
    assert_eq!(judge.verdict(&[]).payload_differences, 1);
}

#[test]
fn what_nobody_published_is_found() {
    let bench = Bench::new();
    for id in ["typing", "huge", "unknown"] {
        let mut judge = bench.kept();
        judge.row(id, 1);
        assert_eq!(judge.verdict(&[]).strays, 1, "{id}");
    }
    let mut judge = bench.kept();
    judge.dead_letter(DeadLetter::Bytes(Poison { offset: 10, ..poison() }));
    assert_eq!(judge.verdict(&[]).strays, 1);

    // Unless the log never said what became of it.
    let mut bench = Bench::new();
    bench.ledger.perhaps_poisoned("cd".into());
    let mut judge = bench.kept();
    judge.dead_letter(DeadLetter::Bytes(Poison {
        offset: 10,
        sha256: "cd".into(),
        length: 3,
        partition: 0,
    }));
    assert!(judge.verdict(&[]).is_clean());
}

#[test]
fn a_missing_signal_incident_or_page_is_found() {
    let bench = Bench::new();
    let mut judge = bench.kept();
    judge.signals.clear();
    assert_eq!(judge.verdict(&[]).missed_pages, 1);

    let mut judge = bench.kept();
    judge.incidents.clear();
    assert_eq!(judge.verdict(&[]).missed_pages, 1);

    let mut judge = bench.kept();
    judge.pages.clear();
    assert_eq!(judge.verdict(&[]).missed_pages, 1);

    // About another conversation.
    let mut judge = bench.kept();
    judge.pages.clear();
    judge.page(Arrival { conversation: "another".into(), ..arrival(5_000) });
    assert_eq!(judge.verdict(&[]).missed_pages, 1);
}

#[test]
fn a_second_incident_about_one_event_is_found() {
    let bench = Bench::new();
    let mut judge = bench.kept();
    judge.incident("another", "pseudonym");
    assert_eq!(judge.verdict(&[]).duplicate_incidents, 1);
}

#[test]
fn a_copy_is_within_the_bound_only_with_a_disturbance_in_between() {
    let bench = Bench::new();
    let judged = |copies: &[i64], disturbances: &[Disturbance]| {
        let mut judge = bench.kept();
        for at_ms in copies {
            judge.page(arrival(*at_ms));
        }
        let verdict = judge.verdict(disturbances);
        (verdict.duplicate_pages, verdict.pages_over_bound)
    };
    assert_eq!(judged(&[], &[crash(6_000, 6_000)]), (0, 0));
    assert_eq!(judged(&[9_000], &[]), (1, 1));
    assert_eq!(judged(&[9_000], &[crash(6_000, 7_000)]), (1, 0));
    // Just before, as that of a sender who is killed.
    assert_eq!(judged(&[9_000], &[crash(4_000, 4_000)]), (1, 0));
    assert_eq!(judged(&[9_000], &[crash(20_000, 30_000)]), (1, 1));
    // One crash is good for one copy.
    assert_eq!(judged(&[9_000, 12_000], &[crash(6_000, 12_000)]), (2, 1));
    assert_eq!(judged(&[9_000, 12_000], &[crash(6_000, 6_500), crash(10_000, 10_000)]), (2, 0));
    assert_eq!(judged(&[9_000, 30_000], &[crash(6_000, 6_500), crash(6_500, 6_900)]), (2, 1));
}

#[test]
fn an_attempt_that_the_sender_did_not_hear_of_is_no_copy_too_many() {
    let bench = Bench::new();
    let unheard = Disturbance { unheard: true, ..crash(8_000, 20_000) };
    let judged = |copies: &[i64]| {
        let mut judge = bench.kept();
        for at_ms in copies {
            judge.page(arrival(*at_ms));
        }
        judge.verdict(&[unheard]).pages_over_bound
    };
    assert_eq!(judged(&[9_000, 12_000, 19_000]), 0);
    // And one after it, which is heard of again; the first was not in doubt.
    assert_eq!(judged(&[9_000, 12_000, 25_000]), 0);
    assert_eq!(judged(&[9_000, 12_000, 25_000, 26_000]), 1);
    assert_eq!(judged(&[30_000, 35_000]), 1);
}
