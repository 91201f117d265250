//! How fast events are checked, masked, given pseudonyms and encoded, on one core.
//!
//! `cargo run --release -p zhili-ingest --example ingest_throughput`
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use zhili_ingest::Limits;
use zhili_ingest::accept::prepare;
use zhili_proto::conversation::v1::{Author, Event, EventType, author};
use zhili_redact::{KeyRing, PseudonymKey};
use zhili_runtime::auth::Tenant;

const EVENTS: usize = 200_000;
const NOW_MS: i64 = 1_700_000_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let texts = [
        "你好，我上周买的耳机一直没有发货，能帮我查一下吗？",
        "订单号 20240115000123，电话 160 0000 1234，麻烦尽快处理",
        "Where is my parcel? It was due on Monday and nobody answers.",
        "好的，谢谢",
    ];
    let (tenant, keys, limits) =
        (Tenant::default_tenant(), KeyRing::from(PseudonymKey::new([7; 32])), Limits::default());
    let events: Vec<Event> = (0..EVENTS)
        .map(|n| Event {
            source: "chat".to_owned(),
            event_id: format!("018c-{n:012x}-m"),
            conversation_id: format!("conv-{}", n / 20),
            r#type: EventType::Message.into(),
            sent_at: Some(zhili_proto::timestamp(NOW_MS)),
            channel: "chat".to_owned(),
            author: Some(Author {
                id: format!("user-{}", n / 20),
                role: author::Role::Customer.into(),
                ..Author::default()
            }),
            text: texts[n % texts.len()].to_owned(),
            ..Event::default()
        })
        .collect();
    let begun = Instant::now();
    for event in events {
        black_box(prepare(event, &tenant, NOW_MS, &keys, &limits).map_err(|r| r.to_string())?);
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{EVENTS} events in {seconds:.3} s: {:.0} a second", EVENTS as f64 / seconds);
    Ok(())
}
