//! From records to the bytes of an INSERT: `cargo bench -p zhili-warehouse`.

use prost::Message;
use zhili_eventlog::{Headers, Record, TopicPartition, topics};
use zhili_proto::conversation::v1::{Author, Event, EventType, author};
use zhili_proto::scoring::v1::{Assessment, Complaint, Evidence, ScoredEvent, Sentiment};
use zhili_warehouse::sink::Batch;

const RECORDS: u64 = 10_000;

fn main() {
    divan::main();
}

fn records() -> Vec<Record> {
    (0..RECORDS)
        .map(|offset| {
            let scored = ScoredEvent {
                event: Some(Event {
                    tenant: "shop".into(),
                    source: "desk".into(),
                    event_id: format!("event-{offset}"),
                    conversation_id: format!("conversation-{}", offset / 20),
                    r#type: EventType::Message.into(),
                    sent_at: Some(zhili_proto::timestamp(1_760_000_000_000 + offset as i64)),
                    channel: "chat".into(),
                    queue: "after-sales".into(),
                    author: Some(Author {
                        id: "3f9a0c6b1d2e4f50".into(),
                        role: author::Role::Customer.into(),
                        ..Author::default()
                    }),
                    text: "你们的快递已经三天没有更新了,我要求今天给我一个答复".into(),
                    ..Event::default()
                }),
                assessment: Some(Assessment {
                    lang: "zh".into(),
                    sentiment: Some(Sentiment::default()),
                    complaint: Some(Complaint::default()),
                    evidence: vec![Evidence::default(); 3],
                    engine: "tone 1".into(),
                    ..Assessment::default()
                }),
                append_ms: 1_760_000_000_000,
                ..ScoredEvent::default()
            };
            Record {
                offset,
                append_ms: 1_760_000_000_000,
                key: None,
                value: Some(scored.encode_to_vec().into()),
                headers: Headers::default(),
            }
        })
        .collect()
}

/// Scored messages of about 400 bytes into rows of `events`.
#[divan::bench]
fn scored_messages(bencher: divan::Bencher) {
    let records = records();
    let partition = TopicPartition::new(topics::SCORES, 0);
    bencher.counter(divan::counter::ItemsCount::new(RECORDS)).bench(|| {
        let mut batch = Batch::new(0);
        for record in &records {
            batch.push("log", &partition, record, "bench");
        }
        batch.size()
    });
}
