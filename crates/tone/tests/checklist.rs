//! Short lines by phenomenon: how many of them the engine reads right.
//! Unlike `lines.rs` these are a measure, not a contract, so the tests ask for a share.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "shares are of interest when nothing fails, too")]

use std::collections::BTreeMap;
use std::fmt::Write;

use zhili_tone::{Assessment, ComplaintLabel, Engine, Message, Role};

/// Half, language, and the share (in per cent) that has been reached and is kept.
type Floor = (&'static str, &'static str, f64);

/// Asks for each share of a set of lines: half, language, phenomenon, label, text.
fn check(lines: &str, floors: &[Floor], answer: fn(&Engine, &str, &str) -> &'static str) {
    let engine = Engine::new().unwrap();
    let mut wrong = String::new();
    let mut counts = BTreeMap::<(&str, &str), (u32, u32)>::new();
    let mut phenomena = BTreeMap::<(&str, &str, &str), (u32, u32)>::new();
    for line in lines.lines().filter(|line| !line.starts_with('#')) {
        let [half, lang, phenomenon, label, text] =
            line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let said = answer(&engine, label, text);
        let count = counts.entry((half, lang)).or_default();
        let phenomenon_count = phenomena.entry((half, lang, phenomenon)).or_default();
        for count in [count, phenomenon_count] {
            count.0 += 1;
            count.1 += u32::from(said == label);
        }
        if said != label && half == "tune" {
            let _ = writeln!(wrong, "{phenomenon}\t{label}, not {said}\t{text}");
        }
    }
    for ((half, lang, phenomenon), (all, right)) in phenomena {
        println!("{half} {lang} {phenomenon}: {right} of {all}");
    }
    let mut missed = String::new();
    for (half, lang, floor) in floors {
        let (all, right) = counts[&(*half, *lang)];
        let share = f64::from(right) * 100.0 / f64::from(all);
        println!("{half} {lang}: {right} of {all}, {share:.1} %");
        if share < *floor {
            let _ = writeln!(missed, "{half} {lang}: {share:.1} %, not {floor} %");
        }
    }
    assert!(missed.is_empty(), "{missed}{wrong}");
}

fn assess(engine: &Engine, role: Role, text: &str) -> Assessment {
    engine.assess(&Message { role, text, lang: None, context: &[] })
}

#[test]
fn the_sentiment_of_the_checklist_is_read_as_well_as_it_has_been() {
    let floors =
        [("tune", "zh", 97.0), ("held", "zh", 83.0), ("tune", "en", 97.0), ("held", "en", 90.0)];
    check(include_str!("lines/checklist.tsv"), &floors, |engine, _, text| {
        assess(engine, Role::Customer, text).sentiment.unwrap().label.as_str()
    });
}

#[test]
fn spellings_and_traps_are_read_as_well_as_they_have_been() {
    let floors =
        [("tune", "zh", 98.0), ("held", "zh", 88.0), ("tune", "en", 97.0), ("held", "en", 91.0)];
    check(include_str!("lines/robustness.tsv"), &floors, |engine, label, text| match label {
        "urgent" | "calm" => {
            let complaint = assess(engine, Role::Customer, text).complaint.unwrap();
            if complaint.label == ComplaintLabel::Urgent { "urgent" } else { "calm" }
        }
        _ => assess(engine, Role::Agent, text).politeness.unwrap().label.as_str(),
    });
}
