//! Messages masked and pseudonyms made per second on one core: `cargo run --release -p
//! zhili-redact --example redact_throughput`.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use zhili_redact::{PseudonymKey, Subject, mask, pseudonym};

fn measure(name: &str, mut work: impl FnMut()) {
    const ROUNDS: u32 = 300_000;
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            work();
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{name:<44} {:>12.0} /s", f64::from(ROUNDS) / best);
}

fn main() {
    let messages = [
        ("18 characters, no digit", "你好请问我的包裹什么时候能够发货呢？"),
        ("18 characters, a price", "这件衣服打折后是250元对不对呀亲？"),
        ("21 characters, an order number", "订单号240115000123到哪里了"),
        ("18 characters, a mobile", "电话13800138000尽快回复"),
        ("English, 43 characters", "where is my order, it should be here by now"),
    ];
    for (name, text) in messages {
        measure(name, || {
            black_box(mask(black_box(text)));
        });
    }
    let hostile = "138 0013 8000 6222 @ ".repeat(16 * 1024 / 21);
    let start = Instant::now();
    black_box(mask(black_box(&hostile)));
    println!(
        "{:<44} {:>12.3} ms",
        "one hostile text of 16 KiB",
        start.elapsed().as_secs_f64() * 1e3
    );

    let key = PseudonymKey::new([7; 32]);
    measure("pseudonyms", || {
        black_box(pseudonym(black_box(&key), "default", Subject::Customer, "u-1001"));
    });
}
