//! Short lines of customers by phenomenon: how many of them the engine reads right.
//! Unlike `lines.rs` these are a measure, not a contract, so the test asks for a share.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write;

use zhili_tone::{Engine, Message, Role};

const LINES: &str = include_str!("lines/checklist.tsv");

/// Right answers in per cent, by half and language, and the wrong ones of the tuned half.
fn shares() -> (BTreeMap<(&'static str, &'static str), f64>, String) {
    let engine = Engine::new().unwrap();
    let mut wrong = String::new();
    let mut counts = BTreeMap::<(&str, &str), (u32, u32)>::new();
    for line in LINES.lines().filter(|line| !line.starts_with('#')) {
        let [half, lang, phenomenon, label, text] =
            line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let message = Message { role: Role::Customer, text, lang: None, context: &[] };
        let said = engine.assess(&message).sentiment.unwrap().label;
        let count = counts.entry((half, lang)).or_default();
        count.0 += 1;
        count.1 += u32::from(said.as_str() == label);
        if said.as_str() != label && half == "tune" {
            let _ = writeln!(wrong, "{phenomenon}\t{label}, not {said}\t{text}");
        }
    }
    let share = |(all, right): (u32, u32)| f64::from(right) * 100.0 / f64::from(all);
    (counts.into_iter().map(|(key, count)| (key, share(count))).collect(), wrong)
}

#[test]
fn the_checklist_is_read_as_well_as_it_has_been() {
    let (shares, wrong) = shares();
    for (key, floor) in [
        (("tune", "zh"), 97.0),
        (("held", "zh"), 83.0),
        (("tune", "en"), 97.0),
        (("held", "en"), 90.0),
    ] {
        assert!(shares[&key] >= floor, "{key:?}: {:.1} %, not {floor} %\n{wrong}", shares[&key]);
    }
}
