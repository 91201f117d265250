//! Lines of our own, each with the label the engine must give it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use zhili_tone::{Assessment, Engine, Message, Role};

/// Checks every line of a table: label, tab, (category, tab,) text.
fn check(table: &str, role: Role, answer: impl Fn(&Assessment) -> String) {
    let engine = Engine::new().unwrap();
    let mut wrong = Vec::new();
    for line in table.lines() {
        let (expected, text) = line.rsplit_once('\t').unwrap();
        let result = engine.assess(&Message { role, text, lang: None, context: &[] });
        let said = answer(&result);
        if said != expected {
            let reasons: Vec<String> = result
                .evidence
                .iter()
                .map(|evidence| {
                    format!("{} {} {}", evidence.target, evidence.rule, evidence.points)
                })
                .collect();
            wrong.push(format!("{text}: {expected}, not {said} ({})", reasons.join("; ")));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        table.lines().count(),
        wrong.join("\n")
    );
}

#[test]
fn sentiment_of_our_own_lines() {
    check(include_str!("lines/sentiment.tsv"), Role::Customer, |result| {
        result.sentiment.unwrap().label.to_string()
    });
}

#[test]
fn politeness_of_our_own_lines() {
    check(include_str!("lines/politeness.tsv"), Role::Agent, |result| {
        result.politeness.unwrap().label.to_string()
    });
}

#[test]
fn complaint_and_category_of_our_own_lines() {
    check(include_str!("lines/complaint.tsv"), Role::Customer, |result| {
        let complaint = result.complaint.unwrap();
        let category = complaint.category.map_or("-", |category| category.as_str());
        format!("{}\t{category}", complaint.label)
    });
}
