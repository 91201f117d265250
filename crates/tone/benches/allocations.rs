//! What a message allocates: `cargo bench -p zhili-tone --bench allocations`. Nothing but its
//! evidence, if it has any and is not unusually long.
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use zhili_tone::{Engine, Message, Role};

#[global_allocator]
static COUNTS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// Lines of our own, each said by both sides.
#[divan::bench]
fn lines(bencher: Bencher<'_, '_>) {
    let engine = Engine::new().unwrap();
    let lines = include_str!("../tests/lines/sentiment.tsv").lines();
    let texts: Vec<&str> = lines.map(|line| line.split_once('\t').unwrap().1).collect();
    bencher.counter(ItemsCount::new(2 * texts.len())).bench_local(|| {
        for text in &texts {
            for role in [Role::Customer, Role::Agent] {
                black_box(engine.assess(&Message { role, text, lang: None, context: &[] }));
            }
        }
    });
}
