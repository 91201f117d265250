//! Nanoseconds for a message of a conversation, read behind up to three earlier ones of its author as
//! ingest reads it: `cargo run --release -p zhili-redact --example redact_conversations`. With a number it
//! reads so many conversations once and prints a hash of all that was found, for a profiler and to compare
//! two versions.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use zhili_redact::{Finding, Lead, find_after};

/// What one author writes; the last one is masked in parts.
const CONVERSATIONS: [&[&str]; 5] = [
    &[
        "你好，我上周买的耳机一直没有发货，能帮我查一下吗？",
        "请问我的快递什么时候能到",
        "已经三天没有更新了，你们到底管不管",
        "Where is my parcel? It was due on Monday.",
        "好的，谢谢",
    ],
    &[
        "亲，您好，很高兴为您服务，请问有什么可以帮您？",
        "非常抱歉给您带来不便，正在为您查询，预计明天下午送达",
        "给您添麻烦了，我这边马上帮您催一下，24小时内给您回电",
        "I'm sorry about the delay, let me check this for you.",
        "不客气，祝您生活愉快，再见",
    ],
    &["where is my order", "it should be here by now", "my name is John Smith", "ok thanks!"],
    &["订单号 20240115000123", "收件人张伟", "地址杭州市余杭区文一西路969号", "3幢502室"],
    &["我的电话是13800", "138000", "加我微信abc", "_0123"],
];

fn read(conversations: usize, mut with: impl FnMut(&[Finding])) -> usize {
    let mut messages = 0;
    for texts in CONVERSATIONS.iter().cycle().take(conversations) {
        let mut lead = Lead::default();
        for text in *texts {
            with(&find_after(&lead, black_box(text)));
            lead.push(text);
            messages += 1;
        }
    }
    messages
}

fn main() {
    if let Some(conversations) = std::env::args().nth(1).and_then(|number| number.parse().ok()) {
        let mut hash = blake3::Hasher::new();
        let messages = read(conversations, |found| {
            hash.update(format!("{found:?}").as_bytes());
        });
        println!("{messages} messages, {}", hash.finalize().to_hex());
        return;
    }
    let mut best = f64::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        let messages = read(20_000, |found| {
            black_box(found);
        });
        best = best.min(begun.elapsed().as_secs_f64() * 1e9 / messages as f64);
    }
    println!("{best:.0} ns a message");
}
