//! What is known over many conversations: customers who come back, complaints that come again, and
//! many complaints at once.

// Helpers of tests may fail like tests.
#![allow(clippy::expect_used)]

use zhili_dialogue::{
    Complaint, Contact, Count, Customers, Dimensions, FactBody, Family, FormerIds, Output, Pulse,
    PulsePolicy, Recontact, RepeatPolicy, Severity, Signal, SignalKind, What,
};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

fn contact(conversation: &str, cycle: &str, what: What) -> Contact {
    Contact {
        tenant: "acme".into(),
        customer: "c-1".into(),
        stated_as: String::new(),
        silent: false,
        conversation_id: conversation.into(),
        cycle_id: format!("{conversation}/{cycle}"),
        agent: "a-1".into(),
        channel: "chat".into(),
        queue: "q".into(),
        team: "t".into(),
        historical: false,
        what,
    }
}

fn cycle(conversation: &str, cycle: &str, started_ms: i64, ended_ms: Option<i64>) -> Contact {
    let what = What::Cycle { started_ms, ended_ms, resolved: ended_ms.is_some(), asked: true };
    contact(conversation, cycle, what)
}

fn complaint(conversation: &str, cycle: &str, at_ms: i64) -> Contact {
    contact(conversation, cycle, What::Complaint { event_id: format!("e{at_ms}"), at_ms })
}

fn apply(customers: &mut Customers, at_ms: i64, contact: Contact) -> Vec<Output> {
    let mut out = Vec::new();
    customers.apply(at_ms, contact, &mut out);
    // From a snapshot at every record, the same.
    let copy = Customers::restore(&customers.snapshot()).expect("a snapshot can be read");
    assert_eq!(&copy, customers);
    out
}

fn recontacts(outputs: &[Output]) -> Vec<(&str, u32, &Recontact)> {
    let facts = outputs.iter().filter_map(|output| match output {
        Output::Fact(fact) => match &fact.body {
            FactBody::Recontact(body) => Some((fact.fact_id.as_str(), fact.revision, body)),
            _ => None,
        },
        _ => None,
    });
    facts.collect()
}

fn signals(outputs: &[Output]) -> Vec<&Signal> {
    let signals = outputs.iter().filter_map(|output| match output {
        Output::Signal(signal) => Some(signal),
        _ => None,
    });
    signals.collect()
}

#[test]
fn a_customer_who_comes_back_in_another_conversation_was_not_served_at_first_contact() {
    let mut customers = Customers::new();
    let out = apply(&mut customers, 0, cycle("one", "1", 0, None));
    assert_eq!(out, []);
    let out = apply(&mut customers, MINUTE, cycle("one", "1", 0, Some(MINUTE)));
    let stated = recontacts(&out);
    assert_eq!(stated.len(), 1);
    let (id, revision, body) = stated[0];
    assert_eq!((id, revision), ("one/1/r", 0));
    assert_eq!((body.next_ms, body.reopened_ms, body.settled), (None, None, false));

    let out = apply(&mut customers, 2 * DAY, cycle("two", "1", 2 * DAY, None));
    let stated = recontacts(&out);
    assert_eq!(stated.len(), 1);
    assert_eq!((stated[0].0, stated[0].1), ("one/1/r", 1));
    assert_eq!((stated[0].2.next_ms, stated[0].2.reopened_ms), (Some(2 * DAY), None));
}

#[test]
fn a_cycle_of_the_same_conversation_is_a_reopening() {
    let mut customers = Customers::new();
    apply(&mut customers, MINUTE, cycle("one", "1", 0, Some(MINUTE)));
    let out = apply(&mut customers, DAY, cycle("one", "2", DAY, None));
    let stated = recontacts(&out);
    assert_eq!((stated[0].2.next_ms, stated[0].2.reopened_ms), (Some(DAY), Some(DAY)));
}

#[test]
fn thanks_alone_is_no_contact() {
    let mut customers = Customers::new();
    apply(&mut customers, MINUTE, cycle("one", "1", 0, Some(MINUTE)));
    let what = What::Cycle { started_ms: DAY, ended_ms: Some(DAY), resolved: false, asked: false };
    assert_eq!(apply(&mut customers, DAY, contact("one", "2", what)), []);
}

#[test]
fn a_cycle_is_settled_after_31_days_and_forgotten() {
    let mut customers = Customers::new();
    apply(&mut customers, MINUTE, cycle("one", "1", 0, Some(MINUTE)));
    let due_ms = customers.next_due().expect("it is to be settled");
    assert_eq!(due_ms, MINUTE + 31 * DAY);
    let mut out = Vec::new();
    customers.advance(due_ms - 1, &mut out);
    assert_eq!(out, []);
    customers.advance(due_ms, &mut out);
    let stated = recontacts(&out);
    assert_eq!((stated[0].1, stated[0].2.next_ms, stated[0].2.settled), (1, None, true));
    assert_eq!((customers.customers(), customers.next_due()), (0, None));
}

#[test]
fn a_correction_of_the_end_corrects_what_is_said_of_it() {
    let mut customers = Customers::new();
    apply(&mut customers, MINUTE, cycle("one", "1", 0, Some(MINUTE)));
    let again = cycle("one", "1", 0, Some(MINUTE));
    assert_eq!(apply(&mut customers, MINUTE, again), [], "stated again, nothing is new");
    let out = apply(&mut customers, MINUTE, cycle("one", "1", 0, Some(2 * MINUTE)));
    assert_eq!(recontacts(&out)[0].1, 1);
    assert_eq!(recontacts(&out)[0].2.ended_ms, 2 * MINUTE);
}

#[test]
fn a_second_complaint_within_seven_days_is_told_once_with_the_first() {
    let mut customers = Customers::new();
    assert_eq!(apply(&mut customers, 0, complaint("one", "1", 0)), []);
    let out = apply(&mut customers, 7 * DAY, complaint("two", "1", 7 * DAY));
    let told = signals(&out);
    assert_eq!(told.len(), 1);
    let signal = told[0];
    assert_eq!((signal.kind, signal.family), (SignalKind::RepeatComplaint, Family::Complaint));
    assert_eq!((signal.severity, &*signal.conversation_id), (Severity::High, "two"));
    assert_eq!(signal.related, ["one"]);
    assert_eq!(signal.rules, ["complaints_2_in_7d"]);
    let again = apply(&mut customers, 7 * DAY + 1, complaint("two", "1", 7 * DAY + 1));
    assert_eq!(again, [], "one cycle complains once");
}

#[test]
fn a_second_complaint_after_more_than_seven_days_is_a_first_one() {
    let mut customers = Customers::new();
    apply(&mut customers, 0, complaint("one", "1", 0));
    let later = 7 * DAY + 1;
    assert_eq!(apply(&mut customers, later, complaint("two", "1", later)), []);
}

#[test]
fn another_cycle_of_one_conversation_may_complain_again() {
    let mut customers = Customers::new();
    apply(&mut customers, 0, complaint("one", "1", 0));
    assert_eq!(signals(&apply(&mut customers, DAY, complaint("one", "2", DAY))).len(), 1);
}

#[test]
fn it_does_not_matter_which_of_two_complaints_is_read_first() {
    let mut customers = Customers::new();
    assert_eq!(apply(&mut customers, DAY, complaint("two", "1", DAY)), []);
    let out = apply(&mut customers, DAY, complaint("one", "1", 0));
    let told = signals(&out);
    assert_eq!((told.len(), &*told[0].conversation_id, told[0].effective_ms), (1, "two", DAY));
    assert_eq!(told[0].related, ["one"]);
    assert_eq!(told[0].event_id, format!("e{DAY}"));
}

#[test]
fn history_is_counted_and_tells_nothing() {
    let mut customers = Customers::new();
    let old =
        |conversation, at_ms| Contact { historical: true, ..complaint(conversation, "1", at_ms) };
    apply(&mut customers, 0, old("one", 0));
    assert_eq!(apply(&mut customers, 1, old("two", 1)), []);
    assert_eq!(signals(&apply(&mut customers, 2, complaint("three", "1", 2))).len(), 1);
}

#[test]
fn a_tenant_says_how_often_is_too_often() {
    let policy = |json: &str| serde_json::from_str::<RepeatPolicy>(json);
    let mut customers = Customers::new();
    let never = policy(r#"{"times": 0}"#).expect("0 is never");
    customers.configure(0, "acme", 1, Some(never), &mut Vec::new());
    apply(&mut customers, 0, complaint("one", "1", 0));
    assert_eq!(apply(&mut customers, 1, complaint("two", "1", 1)), []);
    let third = policy(r#"{"times": 3, "severity": "critical"}"#).expect("valid");
    customers.configure(1, "acme", 1, Some(third), &mut Vec::new());
    customers.configure(1, "acme", 2, Some(third), &mut Vec::new());
    let out = apply(&mut customers, 2, complaint("three", "1", 2));
    assert_eq!(signals(&out)[0].severity, Severity::Critical);
    assert_eq!(signals(&out)[0].related, ["two", "one"]);
    for wrong in [r#"{"times": 1}"#, r#"{"within_days": 31}"#, r#"{"count": 2}"#] {
        assert!(policy(wrong).is_err(), "{wrong}");
    }
}

fn begins(conversation: usize, urgent: bool, dangerous: bool) -> Complaint {
    Complaint {
        tenant: "acme".into(),
        conversation_id: format!("c{conversation}"),
        cycle_id: format!("c{conversation}/1"),
        event_id: "e".into(),
        at_ms: 0,
        urgent,
        dangerous,
        again: false,
        agent: String::new(),
        customer: String::new(),
        former: FormerIds::default(),
        channel: String::new(),
        queue: String::new(),
        team: String::new(),
        historical: false,
    }
}

const REFUND: Dimensions<'static> = Dimensions { topic: "refund", sku: "", region: "" };

fn counts(complaint: &Complaint, about: Dimensions<'_>) -> Vec<(String, String, u32, u32)> {
    let counts = Count::of(complaint, about, 7);
    counts.map(|it| (it.dimension, it.value, it.cycles, it.weight)).collect()
}

#[test]
fn a_complaint_counts_for_each_thing_that_it_is_about() {
    let both = Dimensions { topic: "refund", sku: "X1", region: "" };
    let of =
        |dimension: &str, value: &str, weight| (dimension.to_owned(), value.to_owned(), 1, weight);
    assert_eq!(
        counts(&begins(1, false, false), both),
        [of("topic", "refund", 4), of("sku", "X1", 4)]
    );
    assert_eq!(counts(&begins(1, true, false), REFUND), [of("topic", "refund", 7)]);
    assert_eq!(counts(&begins(1, true, true), REFUND), [of("topic", "refund", 10)]);
}

#[test]
fn a_complaint_that_turns_urgent_is_no_second_one() {
    let again = Complaint { again: true, ..begins(1, true, false) };
    assert_eq!(counts(&again, REFUND), [("topic".to_owned(), "refund".to_owned(), 0, 3)]);
}

#[test]
fn history_and_what_is_about_nothing_are_not_counted() {
    assert_eq!(counts(&Complaint { historical: true, ..begins(1, true, true) }, REFUND), []);
    assert_eq!(counts(&begins(2, true, true), Dimensions::default()), []);
}

/// `cycles` complaints of one kind at once.
fn count(at_ms: i64, cycles: u32, weight: u32) -> Count {
    Count {
        tenant: "acme".into(),
        at_ms,
        dimension: "topic".into(),
        value: "refund".into(),
        cycles,
        weight: cycles * weight,
        conversation_id: format!("c{at_ms}"),
    }
}

fn told(pulse: &mut Pulse, count: &Count) -> Vec<(Severity, Vec<String>)> {
    let mut out = Vec::new();
    pulse.apply(count.at_ms, count, &mut out);
    let copy = Pulse::restore(&pulse.snapshot()).expect("a snapshot can be read");
    assert_eq!(&copy, pulse);
    signals(&out).into_iter().map(|it| (it.severity, it.rules.clone())).collect()
}

#[test]
fn a_burst_is_told_once_and_again_when_it_gets_worse() {
    let mut pulse = Pulse::new();
    assert_eq!(told(&mut pulse, &count(0, 8, 4)), []);
    // n = 14: 2 (sqrt 14 - 1) / 6 = 0.914; 0.4; 14 / 34: risk 15.05.
    let first = told(&mut pulse, &count(10_000, 6, 4));
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].0, Severity::Warning);
    assert_eq!(first[0].1, ["burst.topic", "14_in_10min_usual_1.0", "risk_15"]);
    assert_eq!(told(&mut pulse, &count(20_000, 1, 4)), [], "no worse");
    // n = 40: certain; weight 0.4 to 0.55 in the mean; 40 / 60.
    let worse = told(&mut pulse, &count(30_000, 25, 7));
    assert_eq!(worse.len(), 1);
    assert_eq!(worse[0].0, Severity::High);
}

#[test]
fn what_is_usual_is_no_burst() {
    let mut pulse = Pulse::new();
    // 20 in every ten minutes of a day.
    for tenth in 0..144 {
        let told = told(&mut pulse, &count(tenth * 10 * MINUTE, 20, 4));
        // What is usual is not known at first.
        assert_eq!(told.is_empty(), tenth > 0, "{tenth}: {told:?}");
    }
    let doubled = told(&mut pulse, &count(144 * 10 * MINUTE, 60, 4));
    assert_eq!(doubled.len(), 1, "three times as many are one");
}

#[test]
fn a_burst_that_is_over_may_begin_again() {
    let mut pulse = Pulse::new();
    assert_eq!(told(&mut pulse, &count(0, 20, 7)).len(), 1);
    assert_eq!(told(&mut pulse, &count(60 * MINUTE, 20, 7)), [], "the same one");
    assert_eq!(told(&mut pulse, &count(120 * MINUTE, 1, 4)), []);
    assert_eq!(told(&mut pulse, &count(121 * MINUTE, 40, 7)).len(), 1);
}

#[test]
fn counts_of_several_partitions_come_in_any_order() {
    let (mut one, mut other) = (Pulse::new(), Pulse::new());
    let counts = [count(50_000, 6, 4), count(0, 6, 4), count(20_000, 6, 4)];
    let mut outs = [Vec::new(), Vec::new()];
    for count in &counts {
        one.apply(60_000, count, &mut outs[0]);
    }
    for count in counts.iter().rev() {
        other.apply(60_000, count, &mut outs[1]);
    }
    assert_eq!(signals(&outs[0]).len(), 1);
    assert_eq!(signals(&outs[1]).len(), 1);
    assert_eq!(signals(&outs[0])[0].severity, signals(&outs[1])[0].severity);
}

#[test]
fn a_burst_of_long_ago_is_history() {
    let mut pulse = Pulse::new();
    let mut out = Vec::new();
    pulse.apply(3 * DAY, &count(0, 20, 7), &mut out);
    assert!(signals(&out)[0].historical);
}

#[test]
fn a_policy_out_of_range_is_refused() {
    let policy = |json: &str| serde_json::from_str::<PulsePolicy>(json);
    assert!(policy("{}").is_ok());
    for wrong in [
        r#"{"window_minutes": 0}"#,
        r#"{"usual_hours": 169}"#,
        r#"{"least": 0}"#,
        r#"{"high": 5}"#,
        r#"{"team": ""}"#,
        r#"{"minutes": 1}"#,
    ] {
        assert!(policy(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn nothing_is_remembered_of_a_customer_who_is_forgotten() {
    let mut customers = Customers::new();
    apply(&mut customers, 0, cycle("talk", "1", 0, Some(MINUTE)));
    apply(&mut customers, MINUTE, complaint("talk", "1", MINUTE));
    customers.erase(|tenant, name| tenant == "acme" && name == "c-1");
    assert_eq!((customers.customers(), customers.next_due()), (0, None));
    let again = apply(&mut customers, DAY, complaint("later", "1", DAY));
    assert!(signals(&again).is_empty(), "the first complaint that is known");
}

#[test]
fn of_a_conversation_that_is_forgotten_a_customer_keeps_the_others() {
    let mut customers = Customers::new();
    apply(&mut customers, 0, cycle("gone", "1", 0, Some(MINUTE)));
    apply(&mut customers, DAY, cycle("kept", "1", DAY, Some(DAY + MINUTE)));
    customers.erase(|_, name| name == "gone");
    let bytes = String::from_utf8_lossy(&customers.snapshot()).into_owned();
    assert!(bytes.contains("kept") && !bytes.contains("gone"));
    let out = apply(&mut customers, 2 * DAY, cycle("new", "1", 2 * DAY, None));
    let came_back: Vec<&str> = recontacts(&out).into_iter().map(|(fact, ..)| fact).collect();
    assert_eq!(came_back, ["kept/1/r"]);
}

#[test]
fn a_burst_does_not_name_a_conversation_that_is_forgotten() {
    let mut pulse = Pulse::new();
    let mut out = Vec::new();
    for minute in 0..4 {
        pulse.apply(minute * MINUTE, &count(minute * MINUTE, 1, 4), &mut out);
    }
    pulse.erase(|_, name| name == "c0");
    pulse.apply(4 * MINUTE, &count(4 * MINUTE, 6, 8), &mut out);
    let named: Vec<&str> =
        signals(&out).into_iter().flat_map(|it| &it.related).map(String::as_str).collect();
    assert_eq!(named, ["c240000", "c180000", "c120000", "c60000"]);
}
