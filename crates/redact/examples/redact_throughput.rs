//! Nanoseconds for a message masked and a pseudonym made on one core: `cargo run --release -p
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
    println!("{name:<44} {:>12.0} ns", best * 1e9 / f64::from(ROUNDS));
}

fn main() {
    let messages = [
        ("18 characters, no digit", "你好请问我的包裹什么时候能够发货呢？"),
        ("18 characters, a price", "这件衣服打折后是250元对不对呀亲？"),
        ("21 characters, an order number", "订单号240115000123到哪里了"),
        ("18 characters, a mobile", "电话13800138000尽快回复"),
        ("25 characters, a name and an address", "收件人张伟，杭州市余杭区文一西路969号3幢502室"),
        ("14 characters, a messenger id", "加我微信abc_0123聊"),
        ("English, a name and a card", "my name is John Smith, card 4111 1111 1111 1111"),
        ("English, 43 characters", "where is my order, it should be here by now"),
    ];
    for (name, text) in messages {
        measure(name, || {
            black_box(mask(black_box(text)));
        });
    }
    for unit in ["138 0013 8000 6222 @ ", "路1号2栋", "my name is A 12 Oak ", "收件人张我叫李"]
    {
        let hostile = unit.repeat(16 * 1024 / unit.len());
        let start = Instant::now();
        black_box(mask(black_box(&hostile)));
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        println!("{:<44} {milliseconds:>12.3} ms", format!("16 KiB of {unit:?}"));
    }

    let key = PseudonymKey::new([7; 32]);
    measure("pseudonyms", || {
        black_box(pseudonym(black_box(&key), "default", Subject::Customer, "u-1001"));
    });
}
