//! Searches for what breaks the parsers of publishers' bodies; see `zhili_fuzz`. What is read goes on
//! to be checked, masked and encoded, as it would for a publisher.

use http::HeaderMap;
use prost::Message;
use serde_json::{Value, json};
use zhili_fuzz::{Search, kind, words_of};
use zhili_proto::conversation::v1::{Event, LogEntry, PublishRequest, log_entry};
use zhili_redact::{KeyRing, PseudonymKey};
use zhili_runtime::auth::Tenant;

use crate::accept::{Prepared, prepare};
use crate::adapters::{Delivery, Platform, read};
use crate::config::Limits;
use crate::parse::{BodyError, Element, Form, binary_cloud_event, elements, parse_event};

/// 2026-03-02 12:00 UTC.
const NOW_MS: i64 = 1_772_452_800_000;
const LIMIT: usize = 100;

const WORDS: &[&str] = &[
    "event_id",
    "source",
    "conversation_id",
    "type",
    "message",
    "edit",
    "status",
    "csat",
    "sent_at",
    "author",
    "role",
    "customer",
    "agent",
    "text",
    "attrs",
    "voice",
    "begin_ms",
    "2026-03-02T09:00:00Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "specversion",
    "1.0",
    "data",
    "id",
    "null",
    "13800138000",
    "\\ud800",
    "1e999",
];

/// What becomes of an event from here on, in a number.
fn went_on(event: Event) -> u64 {
    let keys = KeyRing::from(PseudonymKey::new([3; 32]));
    match prepare(event, &Tenant::default_tenant(), NOW_MS, &keys, &Limits::default()) {
        Ok(Prepared::Record(record)) => {
            let entry = LogEntry::decode(record.value.clone()).unwrap().entry;
            let Some(log_entry::Entry::Event(event)) = entry else { panic!("not an event") };
            kind(&(
                event.r#type,
                event.author.map(|author| author.role),
                record.masked.len().min(4),
            ))
        }
        Ok(Prepared::Dropped) => 1,
        Err(rejection) => kind(&(rejection.field, rejection.code)),
    }
}

fn all(found: Result<Vec<Element>, BodyError>) -> u64 {
    match found {
        Ok(elements) => {
            assert!(elements.len() <= LIMIT, "{} elements", elements.len());
            let each = elements.into_iter().take(4).map(|element| match element.event {
                Ok(event) => went_on(event),
                Err(rejection) => kind(&(rejection.code, words_of(&rejection.message))),
            });
            kind(&each.collect::<Vec<_>>())
        }
        Err(BodyError::Malformed(message)) => words_of(&message),
        Err(BodyError::TooMany(_)) => 2,
    }
}

fn event() -> Value {
    json!({
        "event_id": "m-1", "source": "shop", "conversation_id": "c-1", "type": "message",
        "sent_at": "2026-03-02T09:00:00Z", "author": { "id": "u", "role": "customer" },
        "text": "我的手机号是13800138000", "attrs": { "sku": "1" }, "customer": { "id": "u" },
        "voice": { "begin_ms": 0, "end_ms": 5 }, "seq": "7", "channel": "chat", "lang": "zh",
    })
}

#[test]
fn fuzzed_json_is_read_as_events_or_refused() {
    let cloud = json!({ "specversion": "1.0", "id": "ce", "source": "/s", "type": "t",
        "time": "2026-03-02T09:00:00Z", "traceparent": "x", "data": event() });
    let status = json!({ "event_id": "s", "source": "shop", "conversation_id": "c-1",
        "type": "status", "status": "resolved", "sent_at": "2026-03-02T09:00:00Z" });
    let corpus = [
        event(),
        cloud.clone(),
        json!([event(), status, null]),
        json!([cloud]),
        json!({ "type": "csat", "csat": { "score": 2, "max": 5 }, "target": "m", "reply_to": null }),
    ];
    let corpus = corpus.map(|value| value.to_string());
    let search = Search::of("events in JSON").corpus(corpus).words(WORDS).json().longest(4096);
    search.run(|input| {
        if let Ok(text) = std::str::from_utf8(input)
            && let Ok(event) = parse_event(text)
        {
            let written = serde_json::to_string(&event).unwrap();
            // Floats that are no numbers have no JSON but words.
            assert_eq!(
                parse_event(&written).map(|it| it.encode_to_vec()),
                Ok(event.encode_to_vec())
            );
        }
        let forms = [Form::Json, Form::Lines, Form::CloudEvent, Form::CloudEvents];
        kind(&forms.map(|form| all(elements(form, input, LIMIT))))
    });
}

#[test]
fn fuzzed_protobuf_is_read_as_events_or_refused() {
    let one = parse_event(&event().to_string()).unwrap();
    let request = PublishRequest { events: vec![one.clone(), one.clone()] };
    let entry = LogEntry { entry: Some(log_entry::Entry::Event(one)) };
    let corpus = [request.encode_to_vec(), entry.encode_to_vec()];
    let search = Search::of("events in protobuf").corpus(corpus).words(WORDS).longest(2048);
    search.run(|input| {
        // What the log holds, as its readers decode it.
        let entry = LogEntry::decode(input).is_ok();
        match PublishRequest::decode(input) {
            Ok(request) => {
                let again = PublishRequest::decode(request.encode_to_vec().as_slice()).unwrap();
                assert_eq!(again.encode_to_vec(), request.encode_to_vec());
                let each = request.events.into_iter().take(4).map(went_on);
                kind(&(entry, each.collect::<Vec<_>>()))
            }
            Err(error) => kind(&(entry, words_of(&error.to_string()))),
        }
    });
}

#[test]
fn fuzzed_headers_of_cloud_events_are_read_or_refused() {
    let words = &["%", "%e4%b8%80", "%00", "\"", "\\", "1.0", "2026-03-02T09:00:00Z", ";", "é"];
    let corpus = ["1.0", "caf%C3%A9", "\"a \\\" b\"", "2026-03-02T09:00:00+08:00"];
    let search = Search::of("headers of CloudEvents").corpus(corpus).words(words).longest(256);
    let body = json!({ "conversation_id": "c", "type": "message", "text": "hi" }).to_string();
    search.run(|input| {
        let Ok(value) = http::HeaderValue::from_bytes(input) else { return 0 };
        let mut said = Vec::new();
        for name in ["ce-specversion", "ce-id", "ce-source", "ce-time", "ce-traceparent"] {
            let mut headers = HeaderMap::new();
            headers.insert("ce-specversion", "1.0".parse().unwrap());
            headers.insert(name, value.clone());
            let element = binary_cloud_event(&headers, body.as_bytes()).unwrap();
            said.push(
                element
                    .event
                    .map(|event| event.source.len().min(4))
                    .map_err(|rejection| kind(&(rejection.field, rejection.code))),
            );
        }
        kind(&said)
    });
}

/// The bodies of a platform's fixtures, and the words in them.
fn search(platform: Platform, fixtures: &str) {
    let cases: Vec<Value> = serde_json::from_str(fixtures).unwrap();
    let bodies = cases
        .iter()
        .map(|case| case["text"].as_str().map_or_else(|| case["body"].to_string(), str::to_owned));
    let words = &[
        "id",
        "event",
        "type",
        "message_created",
        "message_updated",
        "incoming",
        "outgoing",
        "activity",
        "template",
        "private",
        "created_at",
        "2026-03-02T09:00:09Z",
        "2020-03-03 13:05:57 UTC",
        "1772442009",
        "deleted",
        "submitted_values",
        "rating",
        "conversation",
        "inbox_id",
        "changed_attributes",
        "current_value",
        "sender",
        "user",
        "agent_bot",
        "payload",
        "author",
        "business",
        "subtypes",
        "AI",
        "received",
        "tickets",
        "dialogue",
        "客服",
        "客户",
        "beginTime",
        "begin",
        "tid",
        "JsonStr",
        "records",
        "data",
        "kinesis",
        "Segments",
        "Transcript",
        "Content",
        "EventType",
        "SEGMENTS",
        "ContactId",
        "eyJhIjoxfQ==",
        "AbsoluteTime",
        "ParticipantRole",
        "AGENT",
        "EndOffsetMillis",
        "timestamp",
        "{}",
        "[]",
    ];
    let search = Search::of(platform.name()).corpus(bodies).words(words).json().longest(8192);
    search.run(|input| {
        let at = |now_ms| read(platform, input, &Delivery::new(platform, now_ms, LIMIT));
        // A body that comes again later tells the same things.
        let identities = |found: Result<Vec<Element>, BodyError>| {
            found.into_iter().flatten().filter_map(|element| element.event.ok()).map(|event| {
                assert_eq!(event.source, platform.name());
                (event.event_id, event.r#type, event.author.map(|author| author.id), event.text)
            })
        };
        assert!(identities(at(NOW_MS)).eq(identities(at(NOW_MS + 3_600_000))));
        all(at(NOW_MS))
    });
}

#[test]
fn fuzzed_webhooks_of_chatwoot_are_read_or_refused() {
    search(Platform::Chatwoot, include_str!("../tests/data/adapters/chatwoot.json"));
}

#[test]
fn fuzzed_webhooks_of_sunshine_conversations_are_read_or_refused() {
    search(Platform::Sunshine, include_str!("../tests/data/adapters/sunshine.json"));
}

#[test]
fn fuzzed_uploads_for_conversation_analysis_are_read_or_refused() {
    search(Platform::Sca, include_str!("../tests/data/adapters/sca.json"));
}

#[test]
fn fuzzed_records_of_contact_lens_are_read_or_refused() {
    search(Platform::ContactLens, include_str!("../tests/data/adapters/contact-lens.json"));
}
