//! What agents promise, on lines of our own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::LazyLock;

use zhili_tone::{Assessment, Due, Engine, Message, Promise, Role};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new().unwrap());

fn assess(role: Role, text: &str) -> Assessment {
    ENGINE.assess(&Message { role, text, lang: None, context: &[] })
}

fn clock(minute: u16) -> String {
    format!("{}:{:02}", minute / 60, minute % 60)
}

/// A promise as the table writes it.
fn written(promise: &Promise) -> String {
    let due = match promise.due {
        Due::Within { ms } if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        Due::Within { ms } => format!("{}m", ms / 60_000),
        Due::WorkDays { days } => format!("{days}wd"),
        Due::Day { days, minute } => format!("d{days} {}", clock(minute)),
        Due::Weekday { weeks, weekday, minute } => {
            let day = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][usize::from(weekday)];
            format!("w{weeks} {day} {}", clock(minute))
        }
        Due::Vague => "soon".to_owned(),
    };
    format!("{} {due}", promise.kind)
}

#[test]
fn promises_of_our_own_lines() {
    let mut wrong = Vec::new();
    let lines = include_str!("lines/promises.tsv").lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let (expected, text) = line.split_once('\t').unwrap();
        let promises = assess(Role::Agent, text).promises;
        let said: Vec<String> = promises.iter().map(written).collect();
        let said = if said.is_empty() { "-".to_owned() } else { said.join("; ") };
        if said != expected {
            wrong.push(format!("{text}: {expected}, not {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
