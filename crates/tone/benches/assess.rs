//! What one message costs, on one core: `cargo bench -p zhili-tone`. Turns of real dialogues when
//! the data lies beside the repository, lines of our own else.
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use flate2::read::GzDecoder;
use serde_json::Value;
use zhili_tone::{Engine, Message, Query, Role};

fn main() {
    divan::main();
}

/// Characters of a message of the usual length.
const USUAL: std::ops::RangeInclusive<usize> = 16..=20;

/// Role and text of turns of the usual length.
fn turns() -> Vec<(Role, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/dialogues_zh_jddc_valid.jsonl.gz");
    let turns: Vec<(Role, String)> = if let Ok(file) = std::fs::File::open(path) {
        let dialogues = BufReader::new(GzDecoder::new(file)).lines();
        let turns = dialogues.flat_map(|line| {
            let dialogue: Value = serde_json::from_str(&line.unwrap()).unwrap();
            dialogue["turns"].as_array().unwrap().clone()
        });
        let role = |turn: &Value| Role::from_name(turn["role"].as_str().unwrap()).unwrap();
        turns.map(|turn| (role(&turn), turn["text"].as_str().unwrap().to_owned())).collect()
    } else {
        let lines = include_str!("../tests/lines/sentiment.tsv").lines();
        lines.map(|line| (Role::Customer, line.split_once('\t').unwrap().1.to_owned())).collect()
    };
    turns.into_iter().filter(|(_, text)| USUAL.contains(&text.chars().count())).collect()
}

/// Turns in a row up to so many bytes.
fn long(turns: &[(Role, String)], bytes: usize) -> String {
    let mut text = String::new();
    for (_, turn) in turns.iter().cycle() {
        if text.len() + turn.len() + 1 > bytes {
            break;
        }
        text.push_str(turn);
        text.push(',');
    }
    text
}

#[divan::bench]
fn usual_messages(bencher: Bencher<'_, '_>) {
    let (engine, turns) = (Engine::new().unwrap(), turns());
    bencher.counter(ItemsCount::new(turns.len())).bench_local(|| {
        for (role, text) in &turns {
            black_box(engine.assess(&Message { role: *role, text, lang: None, context: &[] }));
        }
    });
}

#[divan::bench(args = [256, 1024, 4096, 16384])]
fn message_of_bytes(bencher: Bencher<'_, '_>, bytes: usize) {
    let engine = Engine::new().unwrap();
    let text = long(&turns(), bytes);
    let message = Message { role: Role::Customer, text: &text, lang: None, context: &[] };
    bencher.bench_local(|| black_box(engine.assess(&message)));
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn new_engine() -> Engine {
    Engine::new().unwrap()
}

#[divan::bench]
fn suggestion(bencher: Bencher<'_, '_>) {
    let engine = Engine::new().unwrap();
    let text = "我的包裹好几天没有更新了，打电话也没人接，到底什么时候能到";
    let query = Query { text, scene: "logistics", draft: "等着就行了", limit: 5 };
    bencher.bench_local(|| black_box(engine.suggest(&query).len()));
}
