//! `make bench`: what the parts and the whole can do, beside what limits them, measured in one run on
//! one machine. By itself `bench [WORD]...` measures only the rows whose names hold a word; `questions`
//! over twenty million messages are measured only by that word, for they take long.
//!
//! Figures of different machines say nothing about each other; ratios do. Prints a table and writes
//! `target/bench/report.json`, an array of [`Row`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a measurement")]

mod cpu;
mod embedded;
mod engine;
mod events;
mod growth;
mod kafka;
mod peers;
mod questions;
mod row;
mod sink;
mod whole;

use std::path::Path;

use row::Row;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |names: &[&str]| {
        let held = |name: &&str| words.iter().any(|word| name.contains(word.as_str()));
        words.is_empty() || names.iter().any(held)
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut rows = Vec::new();
    if wanted(engine::ROWS) {
        rows.extend(engine::measure());
    }
    if wanted(peers::ROWS) {
        rows.extend(peers::measure());
    }
    if wanted(growth::ROWS) {
        rows.extend(growth::measure());
    }
    if wanted(embedded::ROWS) {
        rows.extend(runtime.block_on(embedded::measure()));
    }
    if wanted(kafka::ROWS) {
        rows.extend(runtime.block_on(kafka::measure()));
    }
    if wanted(sink::ROWS) {
        rows.extend(runtime.block_on(sink::measure()));
    }
    if wanted(whole::ROWS) {
        rows.extend(runtime.block_on(whole::measure()));
    }
    if words.iter().any(|word| word == questions::NAME) {
        rows.extend(runtime.block_on(questions::measure(&words)));
    }
    print!("{}", row::table(&rows));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench/report.json");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, serde_json::to_vec_pretty::<Vec<Row>>(&rows).unwrap()).unwrap();
}
