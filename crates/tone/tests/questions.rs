//! How messages ask, on lines of our own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use zhili_tone::{Act, Engine, Message, Role};

#[test]
fn questions_of_our_own_lines() {
    let engine = Engine::new().unwrap();
    let mut wrong = Vec::new();
    let lines = include_str!("lines/questions.tsv").lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let [role, expected, text] = line.splitn(3, '\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let role = Role::from_name(role).unwrap();
        let result = engine.assess(&Message { role, text, lang: None, context: &[] });
        let said = result.question.map_or("-", |kind| kind.as_str());
        if said != expected {
            wrong.push(format!("{text}: {expected}, not {said}"));
        }
        assert!(result.question.is_none() || result.acts.contains(Act::Question), "{text}");
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
