//! Bodies of platforms and what they become, in `data/adapters`; the bodies are of our own writing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use serde_json::{Value, json};
use zhili_ingest::adapters::{Delivery, Platform, read};
use zhili_ingest::{BodyError, Element, Limits, check};
use zhili_proto::conversation::v1::{Event, author};

/// 2026-03-02 12:00 UTC, after everything in the files.
const NOW_MS: i64 = 1_772_452_800_000;

fn cases(platform: Platform) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/adapters");
    let text = std::fs::read_to_string(folder.join(format!("{}.json", platform.name()))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn body(case: &Value) -> String {
    case["text"].as_str().map_or_else(|| case["body"].to_string(), str::to_owned)
}

fn told(
    platform: Platform,
    case: &Value,
    now_ms: i64,
    limit: usize,
) -> Result<Vec<Element>, BodyError> {
    let mut delivery = Delivery::new(platform, now_ms, limit);
    if case["given"]["business"] == "agent" {
        delivery.business = author::Role::Agent;
    }
    read(platform, body(case).as_bytes(), &delivery)
}

/// An event as the files have it: what every event of a platform has is left out.
fn shown(platform: Platform, event: &Event) -> Value {
    let mut value = serde_json::to_value(event).unwrap();
    let members = value.as_object_mut().unwrap();
    assert_eq!(members.remove("source"), Some(json!(platform.name())));
    assert_eq!(members.remove("mode"), Some(json!("live")));
    set(value)
}

/// Without what is as it is when nobody sets it.
fn set(value: Value) -> Value {
    let is_set = |value: &Value| match value {
        Value::String(text) => !text.is_empty() && !text.ends_with("_unspecified"),
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Null => false,
    };
    let Value::Object(members) = value else { return value };
    let members = members.into_iter().map(|(name, value)| (name, set(value)));
    members.filter(|(_, value)| is_set(value)).collect()
}

fn outcome(platform: Platform, case: &Value) -> Value {
    let elements = match told(platform, case, NOW_MS, 1000) {
        Ok(elements) => elements,
        Err(error) => return json!({ "error": format!("{error:?}") }),
    };
    let events: Vec<Value> = elements
        .iter()
        .map(|element| match &element.event {
            Ok(event) => shown(platform, event),
            Err(rejection) => json!({ "of": element.event_id, "rejected": rejection.to_string() }),
        })
        .collect();
    json!({ "events": events })
}

#[test]
fn every_body_becomes_the_events_beside_it() {
    for platform in Platform::ALL {
        for case in cases(platform) {
            let mut expected = case.clone();
            expected.as_object_mut().unwrap().retain(|name, _| name == "events" || name == "error");
            let found = outcome(platform, &case);
            assert_eq!(found, expected, "{}: {}", platform.name(), case["case"]);
        }
    }
}
#[test]
fn every_event_is_one_that_is_taken() {
    for platform in Platform::ALL {
        for case in cases(platform) {
            for element in told(platform, &case, NOW_MS, 1000).into_iter().flatten() {
                if let Ok(event) = element.event {
                    check(&event, "default", NOW_MS, &Limits::default())
                        .unwrap_or_else(|rejection| panic!("{}: {rejection}", case["case"]));
                }
            }
        }
    }
}

/// What is told apart by the log: of two events of one identity, these must be equal.
fn identity(element: Element) -> Option<(String, i32, Option<String>, String)> {
    let event = element.event.ok()?;
    Some((event.event_id, event.r#type, event.author.map(|author| author.id), event.text))
}

#[test]
fn a_body_that_comes_again_later_tells_the_same_events() {
    for platform in Platform::ALL {
        for case in cases(platform) {
            let at = |now_ms| {
                let elements = told(platform, &case, now_ms, 1000).into_iter().flatten();
                elements.map(identity).collect::<Vec<_>>()
            };
            assert_eq!(at(NOW_MS), at(NOW_MS + 86_400_000), "{}", case["case"]);
        }
    }
}

#[test]
fn identities_of_one_body_differ() {
    for platform in Platform::ALL {
        for case in cases(platform) {
            let elements = told(platform, &case, NOW_MS, 1000).into_iter().flatten();
            let mut ids: Vec<_> = elements.filter_map(identity).map(|it| it.0).collect();
            let all = ids.len();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), all, "{}", case["case"]);
        }
    }
}

#[test]
fn more_events_than_the_limit_are_refused_as_a_whole() {
    for (platform, name) in [
        (
            Platform::Sunshine,
            "a batch, of which one event cannot be read and one is of no interest",
        ),
        (Platform::Sca, "a chat of three sides"),
        (Platform::ContactLens, "a chat, both sides and a bot"),
    ] {
        let case = cases(platform).into_iter().find(|case| case["case"] == name).unwrap();
        let refused = told(platform, &case, NOW_MS, 2).unwrap_err();
        assert!(matches!(refused, BodyError::TooMany(3..)), "{refused:?}");
    }
}

#[test]
fn what_is_no_text_is_refused() {
    for platform in Platform::ALL {
        let delivery = Delivery::new(platform, NOW_MS, 10);
        for body in [&b"\xff{}"[..], b"", b"{", b"[]", b"null", b"1", b"{}{}"] {
            let found = read(platform, body, &delivery);
            let nothing = |found: &Result<Vec<Element>, BodyError>| {
                matches!(found, Err(BodyError::Malformed(_)))
                    // An empty list of records is nothing, and no fault.
                    || matches!(found, Ok(elements) if elements.is_empty())
            };
            assert!(nothing(&found), "{}: {found:?}", platform.name());
        }
    }
}
