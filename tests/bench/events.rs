//! What is published: conversations of a customer and an agent, of ordinary length and words.

use prost::Message as _;
use serde_json::{Value, json};
use zhili_proto::conversation::v1::{
    Author, Customer, Event, EventType, LogEntry, author, log_entry,
};

/// Messages of one conversation.
const MESSAGES: usize = 20;
/// Conversations that are written in turn.
const TOGETHER: usize = 1_000;

const CUSTOMER: [&str; 5] = [
    "你好，我上周买的耳机一直没有发货，能帮我查一下吗？",
    "请问我的快递什么时候能到",
    "已经三天没有更新了，你们到底管不管",
    "Where is my parcel? It was due on Monday.",
    "好的，谢谢",
];
const AGENT: [&str; 5] = [
    "亲，您好，很高兴为您服务，请问有什么可以帮您？",
    "非常抱歉给您带来不便，正在为您查询，预计明天下午送达",
    "给您添麻烦了，我这边马上帮您催一下，24小时内给您回电",
    "I'm sorry about the delay, let me check this for you.",
    "不客气，祝您生活愉快，再见",
];

/// Number `n` of a run: its conversation, who writes, and what.
struct Written {
    conversation: String,
    agent: bool,
    text: &'static str,
}

fn written(n: usize) -> Written {
    let block = n / (TOGETHER * MESSAGES);
    let (conversation, round) = (block * TOGETHER + n % TOGETHER, n / TOGETHER % MESSAGES);
    let agent = round % 2 == 1;
    let texts = if agent { AGENT } else { CUSTOMER };
    let text = texts[(conversation + round / 2) % texts.len()];
    Written { conversation: format!("c-{conversation}"), agent, text }
}

/// As the HTTP interface takes it.
pub(crate) fn json(run: &str, n: usize, sent_at: &str) -> Value {
    let Written { conversation, agent, text } = written(n);
    let (id, role) =
        if agent { (format!("a-{}", n % 50), "agent") } else { (conversation.clone(), "customer") };
    json!({
        "source": run, "event_id": format!("018c-{n:010}-m"), "conversation_id": conversation,
        "type": "message", "sent_at": sent_at, "customer": {"id": conversation}, "channel": "chat",
        "author": {"id": id, "role": role}, "text": text,
    })
}

/// The same as gRPC takes it.
pub(crate) fn event(run: &str, n: usize, sent_ms: i64) -> Event {
    let Written { conversation, agent, text } = written(n);
    let (id, role) = if agent {
        (format!("a-{}", n % 50), author::Role::Agent)
    } else {
        (conversation.clone(), author::Role::Customer)
    };
    Event {
        source: run.to_owned(),
        event_id: format!("018c-{n:010}-m"),
        r#type: EventType::Message.into(),
        sent_at: Some(zhili_proto::timestamp(sent_ms)),
        customer: Some(Customer { id: conversation.clone(), ..Customer::default() }),
        conversation_id: conversation,
        channel: "chat".to_owned(),
        author: Some(Author { id, role: role.into(), ..Author::default() }),
        text: text.to_owned(),
        ..Event::default()
    }
}

/// About what the log holds of it, without what ingest adds.
pub(crate) fn record(n: usize) -> Vec<u8> {
    let event = event("bench", n, 1_800_000_000_000);
    LogEntry { entry: Some(log_entry::Entry::Event(event)) }.encode_to_vec()
}

/// Text and role of what is written in turn.
pub(crate) fn texts() -> Vec<(bool, &'static str)> {
    let of = |n: usize| {
        let Written { agent, text, .. } = written(n);
        (agent, text)
    };
    (0..TOGETHER * MESSAGES).map(of).collect()
}
