//! What customers write about, on lines of our own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use zhili_tone::{Engine, Message, Role};

#[test]
fn topics_of_our_own_lines() {
    let engine = Engine::new().unwrap();
    let mut wrong = Vec::new();
    let lines = include_str!("lines/topics.tsv").lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let (expected, text) = line.split_once('\t').unwrap();
        let assess = |role| engine.assess(&Message { role, text, lang: None, context: &[] });
        let said = assess(Role::Customer).topic.unwrap_or("-");
        if said != expected {
            wrong.push(format!("{text}: {expected}, not {said}"));
        }
        assert!(expected == "-" || engine.topics().any(|topic| topic == expected), "{expected}");
        assert_eq!(assess(Role::Agent).topic, None);
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
