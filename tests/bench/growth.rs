//! What an event costs when a thousand times as many conversations are open.

use std::process::Command;

use zhili_tests::program;

use crate::row::Row;

pub(crate) const ROWS: &[&str] = &["growth"];
const FEW: u32 = 1_000;
const MANY: u32 = 1_000_000;
/// Of each conversation.
const MESSAGES: u32 = 8;
/// Of few conversations, which take some milliseconds.
const RUNS: u32 = 40;

pub(crate) fn measure() -> Vec<Row> {
    let few = (0..RUNS).map(|_| fold(FEW)).sum::<f64>() / f64::from(RUNS);
    let name = "growth: fold, 1,000,000 open conversations beside 1,000";
    vec![Row::times(name, "ns an event", fold(MANY), few, 1.15)]
}

/// Nanoseconds of processor an event, by the program of `zhili-dialogue` that measures it.
fn fold(conversations: u32) -> f64 {
    let program = program().with_file_name("examples").join("dialogue_throughput");
    let output = Command::new(&program)
        .args([conversations.to_string(), MESSAGES.to_string()])
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    assert!(output.status.success(), "{output:?}");
    let words = String::from_utf8(output.stdout).unwrap();
    let figure = words.split(" ns each").next().and_then(|before| before.rsplit(' ').next());
    figure.unwrap().parse().unwrap()
}
