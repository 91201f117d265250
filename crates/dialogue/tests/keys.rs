//! What is said of a customer whose pseudonyms change, because keys are replaced: the same as if
//! they had one name for ever, and once.

#![allow(clippy::expect_used, reason = "helpers of tests may fail like tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use proptest::prelude::*;
use zhili_dialogue::{
    Author, Config, Contact, Customers, Event, EventKind, Fact, FactBody, Former, Marks, Mode,
    Output, Partition, Recontact, Role, Subtype, What,
};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// For so long a key is joined before its successor speaks, as `zhili-redact` has it.
const WINDOW: i64 = 32 * DAY;

/// When each key was put in use; the first is there from the beginning.
const ROTATIONS: [i64; 3] = [i64::MIN, 100 * DAY, 120 * DAY];

/// A contact and when the log had it.
#[derive(Debug, Clone)]
struct Said {
    at_ms: i64,
    contact: Contact,
}

/// The names of the customer at a time, the newest key's first, and which of them speaks.
fn names(now_ms: i64) -> (Vec<String>, usize) {
    let replaced = |key: usize| ROTATIONS.get(key + 1).copied().unwrap_or(i64::MAX);
    let joined: Vec<usize> = (0..ROTATIONS.len())
        .rev()
        .filter(|&key| ROTATIONS[key] <= now_ms)
        // Retired when nothing that it spoke for is open any more.
        .filter(|&key| now_ms < replaced(key).saturating_add(2 * WINDOW))
        .collect();
    let complete = |&key: &usize| ROTATIONS[key].saturating_add(WINDOW) <= now_ms;
    let speaker = joined.iter().position(complete).unwrap_or(joined.len() - 1);
    (joined.into_iter().map(|key| format!("c-{key}")).collect(), speaker)
}

/// One record for each name that the customer has when it is said.
fn under_every_key(said: &[Said]) -> Vec<Said> {
    let mut all = Vec::new();
    for Said { at_ms, contact } in said {
        let (names, speaker) = names(*at_ms);
        for (index, name) in names.iter().enumerate() {
            let stated_as = if index == 0 { String::new() } else { names[0].clone() };
            let silent = index != speaker;
            let contact = Contact { customer: name.clone(), stated_as, silent, ..contact.clone() };
            all.push(Said { at_ms: *at_ms, contact });
        }
    }
    all
}

/// Folds records of partitions, one for each name, and lets everything settle. A snapshot on the
/// way changes nothing.
fn fold(records: &[Said]) -> Vec<Output> {
    let mut partitions: BTreeMap<&str, Customers> = BTreeMap::new();
    let mut out = Vec::new();
    for (number, Said { at_ms, contact }) in records.iter().enumerate() {
        let partition = partitions.entry(&contact.customer).or_default();
        if number % 7 == 3 {
            *partition = Customers::restore(&partition.snapshot()).expect("a snapshot of ours");
        }
        partition.apply(*at_ms, contact.clone(), &mut out);
    }
    for partition in partitions.values_mut() {
        while let Some(due_ms) = partition.next_due() {
            partition.advance(due_ms, &mut out);
        }
    }
    out
}

/// What stands in the end: of each cycle that was stated, and of each signal.
fn in_force(outputs: &[Output]) -> (BTreeMap<&str, Recontact>, BTreeSet<&str>) {
    let mut stated: BTreeMap<&str, (u32, &Recontact)> = BTreeMap::new();
    let mut signals = BTreeSet::new();
    for output in outputs {
        match output {
            Output::Fact(Fact { fact_id, revision, body: FactBody::Recontact(body), .. }) => {
                let latest = stated.entry(fact_id).or_insert((*revision, body));
                if *revision >= latest.0 {
                    *latest = (*revision, body);
                }
            }
            Output::Signal(signal) => {
                assert!(signals.insert(&*signal.signal_id), "told twice: {signal:?}");
            }
            other => panic!("of customers nothing else is stated: {other:?}"),
        }
    }
    // After more than 30 days no figure counts it, and it may come too late for another order.
    let counts = |body: &Recontact, ms: Option<i64>| ms.filter(|ms| ms - body.ended_ms <= 30 * DAY);
    let counted = |body: &Recontact| Recontact {
        next_ms: counts(body, body.next_ms),
        reopened_ms: counts(body, body.reopened_ms),
        ..body.clone()
    };
    (stated.into_iter().map(|(id, (_, body))| (id, counted(body))).collect(), signals)
}

/// Each revision of a fact is stated once.
fn assert_once(outputs: &[Output]) {
    let mut seen = BTreeSet::new();
    for output in outputs {
        if let Output::Fact(fact) = output {
            assert!(seen.insert((&fact.fact_id, fact.revision)), "stated twice: {fact:?}");
        }
    }
}

/// Cycles of one customer around the rotations, a day long at most, some with a complaint,
/// some corrected.
fn history() -> impl Strategy<Value = Vec<Said>> {
    let cycle =
        (60 * 24 * 60..260 * 24 * 60_i64, 0..24 * 60_i64, any::<bool>(), any::<bool>(), 0..24_i64);
    proptest::collection::vec(cycle, 1..40).prop_map(|cycles| {
        let mut all = Vec::new();
        for (number, (start, length, resolved, complains, late)) in cycles.into_iter().enumerate() {
            let (started_ms, ended_ms) = (start * MINUTE, (start + length) * MINUTE);
            let conversation = format!("talk-{}", number % 20);
            let contact = |what| Contact {
                tenant: "acme".into(),
                customer: "c".into(),
                stated_as: String::new(),
                silent: false,
                conversation_id: conversation.clone(),
                cycle_id: format!("{conversation}/{number}"),
                agent: "a-1".into(),
                channel: "chat".into(),
                queue: "q".into(),
                team: "t".into(),
                historical: false,
                what,
            };
            let cycle = |ended_ms: Option<i64>| What::Cycle {
                started_ms,
                ended_ms,
                resolved: resolved && ended_ms.is_some(),
                asked: true,
            };
            all.push(Said { at_ms: started_ms, contact: contact(cycle(None)) });
            if complains {
                let what = What::Complaint { event_id: format!("e{number}"), at_ms: started_ms };
                all.push(Said { at_ms: started_ms, contact: contact(what) });
            }
            all.push(Said { at_ms: ended_ms, contact: contact(cycle(Some(ended_ms))) });
            // What came late may correct the end.
            if late > 12 {
                let (at_ms, ended_ms) = (ended_ms + late * 60 * MINUTE, ended_ms + MINUTE);
                all.push(Said { at_ms, contact: contact(cycle(Some(ended_ms))) });
            }
        }
        all.sort_by_key(|said| said.at_ms);
        all
    })
}

/// `records` with the conversations of half a day in any order, another one for each name: what one
/// conversation says stays in order, as a partition has it.
fn mixed(records: &[Said], seed: u64) -> Vec<Said> {
    let place = |said: &Said| {
        let Contact { customer, conversation_id, .. } = &said.contact;
        let mut hasher = DefaultHasher::new();
        (seed, customer, conversation_id).hash(&mut hasher);
        (said.at_ms.div_euclid(DAY / 2), hasher.finish())
    };
    let mut records = records.to_vec();
    records.sort_by_key(place);
    records
}

/// A complaint of the customer of these names, the newest first.
fn complains<'a>(event_id: &'a str, names: &'a [String], speaker: u32) -> Event<'a> {
    let (customer, ids) = names.split_first().expect("a customer has a name");
    Event {
        tenant: "acme",
        source: "desk",
        event_id,
        conversation_id: "talk",
        kind: EventKind::Message,
        sent_ms: 1_000,
        author: Some(Author { id: customer, role: Role::Customer, subtype: Subtype::None }),
        private: false,
        mode: Mode::Live,
        channel: "",
        queue: "",
        team: "",
        customer,
        former: Former { ids, speaker },
        fingerprint: [0; 16],
        marks: Marks { complaint: true, ..Marks::default() },
    }
}

#[test]
fn who_is_erased_under_one_name_is_forgotten_under_the_others() {
    let names = ["c-2", "c-1"].map(str::to_owned);
    for gone in &names {
        let mut partition = Partition::new(Config::default());
        let mut out = Vec::new();
        partition.apply(1_000, &complains("m-1", &names, 1), &mut out);
        partition.erase(|tenant, name| tenant == "acme" && name == gone);
        assert_eq!(partition.conversations(), 0, "{gone}");
    }
    let mut customers = Customers::new();
    let contact = |customer: &str, stated_as: &str| Contact {
        tenant: "acme".into(),
        customer: customer.into(),
        stated_as: stated_as.into(),
        silent: false,
        conversation_id: "talk".into(),
        cycle_id: "talk/1".into(),
        agent: String::new(),
        channel: String::new(),
        queue: String::new(),
        team: String::new(),
        historical: false,
        what: What::Complaint { event_id: "m-1".into(), at_ms: 0 },
    };
    for (customer, stated_as) in [("c-2", ""), ("c-1", "c-2"), ("c-3", "")] {
        customers.apply(0, contact(customer, stated_as), &mut Vec::new());
    }
    customers.erase(|_, name| name == "c-2");
    assert_eq!(customers.customers(), 1);
}

proptest! {
    #[test]
    fn over_rotations_the_same_is_stated_as_under_one_name_and_nothing_twice(said in history()) {
        let (one, many) = (fold(&said), fold(&under_every_key(&said)));
        assert_once(&many);
        prop_assert_eq!(in_force(&many), in_force(&one));
    }

    #[test]
    fn it_does_not_matter_in_which_order_partitions_read_it(said in history(), seed in any::<u64>()) {
        // A record is said once, by one conversation at one time: who speaks is in it.
        let everywhere = under_every_key(&said);
        let many = fold(&mixed(&everywhere, seed));
        assert_once(&many);
        let one = fold(&said);
        prop_assert_eq!(in_force(&many), in_force(&one));
    }

    #[test]
    fn statements_carry_the_newest_name(said in history()) {
        let newest = names(i64::MAX / 2).0.remove(0);
        for output in fold(&under_every_key(&said)) {
            let (at_ms, customer) = match &output {
                Output::Signal(signal) => (signal.effective_ms, &signal.customer),
                Output::Fact(fact) => (fact.at_ms, &fact.customer),
                other => panic!("of customers nothing else is stated: {other:?}"),
            };
            if at_ms >= ROTATIONS[ROTATIONS.len() - 1] {
                prop_assert_eq!(customer, &newest);
            }
        }
    }
}
