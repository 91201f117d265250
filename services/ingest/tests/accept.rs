//! What becomes of an event before it reaches the log.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};
use zhili_ingest::accept::{Prepared, Record, prepare};
use zhili_ingest::{Code, Limits, Rejection};
use zhili_proto::Timestamp;
use zhili_proto::conversation::v1::{
    Author, Csat, Customer, Event, EventType, LogEntry, Voice, author, log_entry,
};
use zhili_redact::{KeyRing, Kind, PseudonymKey, Scope, Subject, pseudonym};
use zhili_runtime::auth::Tenant;

const NOW_MS: i64 = 1_700_000_000_000;

fn keys() -> KeyRing {
    key().into()
}

fn key() -> PseudonymKey {
    PseudonymKey::new([3; 32])
}

fn accept(event: Event) -> Result<Prepared, Rejection> {
    prepare(event, &Tenant::default_tenant(), NOW_MS, &keys(), &Limits::default())
}

fn record(event: Event) -> Record {
    match accept(event).unwrap() {
        Prepared::Record(record) => record,
        Prepared::Dropped => panic!("dropped"),
    }
}

fn logged(event: Event) -> Event {
    decode(&record(event))
}

fn decode(record: &Record) -> Event {
    match LogEntry::decode(record.value.clone()).unwrap().entry {
        Some(log_entry::Entry::Event(event)) => event,
        other => panic!("not an event: {other:?}"),
    }
}

fn base() -> Value {
    json!({
        "source": "test", "event_id": "m-1", "conversation_id": "conv-1", "type": "message",
        "sent_at": "2023-11-14T22:13:00Z", "author": {"id": "cust-1", "role": "customer"},
        "text": "你好", "seq": 7,
    })
}

fn event(with: &Value) -> Event {
    let mut json = base();
    merge(&mut json, with);
    serde_json::from_value(json).unwrap()
}

/// JSON merge patch (RFC 7396).
fn merge(into: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let object = into.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            object.remove(name);
        } else {
            merge(object.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

fn put(into: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    into.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.to_owned(), value);
}

#[test]
fn each_event_of_the_table_becomes_what_the_table_says() {
    let table: Vec<Value> = serde_json::from_str(include_str!("data/events.json")).unwrap();
    for case in &table {
        let name = case["name"].as_str().unwrap();
        let mut json = base();
        merge(&mut json, case.get("with").unwrap_or(&json!({})));
        for (pointer, fill) in case.get("fill").and_then(Value::as_object).into_iter().flatten() {
            let times = usize::try_from(fill[1].as_u64().unwrap()).unwrap();
            put(&mut json, pointer, fill[0].as_str().unwrap().repeat(times).into());
        }
        let outcome = accept(serde_json::from_value(json).unwrap());
        if let Some(rejected) = case.get("rejected") {
            let rejection = outcome.expect_err(name);
            assert_eq!(json!([rejection.field, rejection.code.as_str()]), *rejected, "{name}");
            assert!(!rejection.message.is_empty(), "{name}");
        } else if case.get("dropped").is_some() {
            assert_eq!(outcome, Ok(Prepared::Dropped), "{name}");
        } else {
            let Ok(Prepared::Record(record)) = outcome else { panic!("{name}: {outcome:?}") };
            let event = serde_json::to_value(decode(&record)).unwrap();
            for (pointer, value) in case["becomes"].as_object().unwrap() {
                assert_eq!(event.pointer(pointer), Some(value), "{name}: {pointer}");
            }
        }
    }
}

#[test]
fn limits_that_were_set_are_the_ones_that_are_told() {
    let refused = |with: &Value, limits: &Limits| {
        prepare(event(with), &Tenant::default_tenant(), NOW_MS, &keys(), limits).unwrap_err()
    };
    let small = Limits { event_bytes: 100, ..Limits::default() };
    let rejection = refused(&json!({"text": "x".repeat(101)}), &small);
    assert_eq!((rejection.field.as_ref(), rejection.code), ("event", Code::TooLong));
    let late = json!({"sent_at": "2023-11-14T23:13:20.001Z"});
    for (ahead_seconds, told) in [(3600, "1 hours"), (90, "90 seconds"), (0, "0 seconds")] {
        let rejection = refused(&late, &Limits { ahead_seconds, ..Limits::default() });
        assert!(rejection.message.contains(&format!("more than {told} in")), "{rejection}");
    }
}

#[test]
fn an_enum_value_that_the_contract_does_not_know_is_out_of_range() {
    type Spoil = fn(&mut Event);
    let breaks: [(&str, Spoil); 6] = [
        ("type", |event| event.r#type = 99),
        ("scene", |event| event.scene = 99),
        ("mode", |event| event.mode = -1),
        ("status", |event| event.status = 99),
        ("author.role", |event| event.author.as_mut().unwrap().role = 99),
        ("author.subtype", |event| event.author.as_mut().unwrap().subtype = 99),
    ];
    for (field, spoil) in breaks {
        let mut event = event(&json!({}));
        spoil(&mut event);
        let rejection = accept(event).unwrap_err();
        assert_eq!((rejection.field.as_ref(), rejection.code), (field, Code::OutOfRange));
    }
}

#[test]
fn nanos_beyond_a_second_are_malformed() {
    let sent_at = Some(Timestamp { seconds: 0, nanos: 1_000_000_000 });
    let rejection = accept(Event { sent_at, ..event(&json!({})) }).unwrap_err();
    assert_eq!((rejection.field.as_ref(), rejection.code), ("sent_at", Code::Malformed));
}

#[test]
fn ids_of_people_and_conversations_become_pseudonyms() {
    let event = logged(event(&json!({
        "author": {"id": "agent-1", "role": "agent"}, "customer": {"id": "cust-1"},
    })));
    let name = |subject, raw| pseudonym(&key(), "default", subject, raw);
    assert_eq!(event.conversation_id, name(Subject::Conversation, "conv-1"));
    assert_eq!(event.author.unwrap().id, name(Subject::Author, "agent-1"));
    assert_eq!(event.customer.unwrap().id, name(Subject::Customer, "cust-1"));
}

#[test]
fn after_a_rotation_a_customer_is_named_under_both_keys_and_all_else_as_before() {
    let mut rotated = keys();
    rotated.rotate(PseudonymKey::new([4; 32]), Scope::Customers, NOW_MS).unwrap();
    let forged =
        json!({"customer": {"id": "cust-1", "former_ids": ["c_of-another"], "speaker": 7}});
    let of = |keys: &KeyRing| {
        let limits = Limits::default();
        let tenant = Tenant::default_tenant();
        match prepare(event(&forged), &tenant, NOW_MS, keys, &limits) {
            Ok(Prepared::Record(record)) => (record.key.clone(), decode(&record)),
            other => panic!("{other:?}"),
        }
    };
    let ((key_before, before), (key_after, after)) = (of(&keys()), of(&rotated));
    assert_eq!(key_before, key_after, "an open conversation stays one");
    let (former, customer) = (before.customer.unwrap(), after.customer.unwrap());
    assert_eq!((former.former_ids.len(), former.speaker), (0, 0));
    assert_ne!(customer.id, former.id);
    assert_eq!((customer.former_ids, customer.speaker), (vec![former.id], 1));
    assert_eq!(after.author.unwrap().id, customer.id, "who wrote it is the customer");
}

#[test]
fn the_record_is_keyed_by_tenant_and_pseudonym_of_the_conversation() {
    let record = record(event(&json!({})));
    let conversation = pseudonym(&key(), "default", Subject::Conversation, "conv-1");
    assert_eq!(record.key, format!("default/{conversation}"));
}

#[test]
fn a_customer_who_writes_without_a_customer_id_is_the_customer() {
    let event = logged(event(&json!({})));
    let name = pseudonym(&key(), "default", Subject::Customer, "cust-1");
    assert_eq!(event.author.unwrap().id, name);
    assert_eq!(event.customer.unwrap().id, name);
}

#[test]
fn a_customer_id_that_was_given_is_not_replaced_by_the_authors() {
    let event = logged(event(&json!({"customer": {"id": "account-9", "vip": true}})));
    let customer = event.customer.unwrap();
    assert_eq!(customer.id, pseudonym(&key(), "default", Subject::Customer, "account-9"));
    assert!(customer.vip);
}

#[test]
fn ids_are_taken_byte_for_byte() {
    let one = logged(event(&json!({"conversation_id": "A1"})));
    let other = logged(event(&json!({"conversation_id": "a1"})));
    assert_ne!(one.conversation_id, other.conversation_id);
}

#[test]
fn an_edit_finds_a_target_whose_id_was_personal_data() {
    let message = logged(event(&json!({"event_id": "a@example.com"})));
    let edit = logged(event(&json!({
        "type": "edit", "event_id": "m-2", "target": "a@example.com", "reply_to": "a@example.com",
    })));
    assert_eq!(message.event_id, pseudonym(&key(), "default", Subject::Event, "a@example.com"));
    assert_eq!(edit.target, message.event_id);
    assert_eq!(edit.reply_to, message.event_id);
}

#[test]
fn two_sources_that_are_telephone_numbers_stay_two() {
    let one = logged(event(&json!({"source": "whatsapp:+8616000001234"}))).source;
    let other = logged(event(&json!({"source": "whatsapp:+8616000001235"}))).source;
    assert!(one.starts_with("e_"), "{one}");
    assert_ne!(one, other);
}

#[test]
fn two_attributes_named_after_people_stay_two() {
    let event = logged(event(&json!({"attrs": {"a@example.com": "1", "b@example.com": "2"}})));
    let values: Vec<_> = event.attrs.values().map(String::as_str).collect();
    assert_eq!(event.attrs.len(), 2);
    assert!(values.contains(&"1") && values.contains(&"2"));
    assert!(event.attrs.keys().all(|name| name.starts_with("e_")));
}

#[test]
fn what_was_masked_is_counted_by_kind() {
    let record = record(event(&json!({
        "text": "a@example.com 电话 16000001234", "queue": "b@example.com",
    })));
    assert_eq!(record.masked, [Kind::Email, Kind::Mobile, Kind::Email]);
}

#[test]
fn tenants_share_no_pseudonym() {
    let other = Tenant::try_from("other".to_owned()).unwrap();
    let event = event(&json!({}));
    let Ok(Prepared::Record(there)) =
        prepare(event.clone(), &other, NOW_MS, &keys(), &Limits::default())
    else {
        panic!("not taken")
    };
    assert_ne!(decode(&there).conversation_id, logged(event).conversation_id);
}

/// Any event that a gRPC client could send, most of them wrong.
fn anything() -> impl Strategy<Value = Event> {
    let text = prop_oneof![Just(String::new()), any::<String>(), "[a-z0-9/@.+-]{1,20}"];
    let number = prop_oneof![0..12_i32, any::<i32>()];
    let texts = prop::collection::vec(text.clone(), 13);
    let numbers = prop::collection::vec(number, 7);
    let time = prop::option::of(
        prop_oneof![Just(NOW_MS / 1000), any::<i64>()]
            .prop_flat_map(|seconds| (Just(seconds), prop_oneof![Just(0), any::<i32>()])),
    );
    let attrs = prop::collection::btree_map(text.clone(), text, 0..4);
    let floats = prop::collection::vec(any::<f64>(), 4);
    let parts = (prop::bool::weighted(0.8), any::<bool>(), any::<bool>(), any::<bool>());
    (texts, numbers, time, attrs, floats, parts, any::<(i64, i64)>()).prop_map(
        |(texts, numbers, time, attrs, floats, (author, customer, csat, voice), (begin, end))| {
            let mut texts = texts.into_iter();
            let mut text = || texts.next().unwrap();
            Event {
                source: text(),
                event_id: text(),
                conversation_id: text(),
                r#type: numbers[0],
                sent_at: time.map(|(seconds, nanos)| Timestamp { seconds, nanos }),
                channel: text().to_lowercase(),
                author: author.then(|| Author {
                    id: text(),
                    role: numbers[1],
                    subtype: numbers[2],
                }),
                text: text(),
                reply_to: text(),
                queue: text(),
                team: text(),
                scene: numbers[3],
                customer: customer.then(|| Customer {
                    id: text(),
                    vip: true,
                    ..Customer::default()
                }),
                order: text(),
                attrs,
                mode: numbers[4],
                status: numbers[5],
                csat: csat.then(|| Csat { score: floats[0], max: floats[1] }),
                voice: voice.then(|| Voice {
                    begin_ms: begin,
                    end_ms: end,
                    rate: floats[2],
                    overlap: true,
                    asr_confidence: floats[3],
                }),
                target: text(),
                ..Event::default()
            }
        },
    )
}

/// Personal data of every kind, well formed.
fn personal() -> impl Strategy<Value = String> {
    prop_oneof![
        "1[3-9][0-9]{9}",
        "[a-z]{3,10}@example\\.(com|org|net)",
        ("(11010[15]|440305|310115)19[5-9][0-9](0[1-9]|1[0-2])(0[1-9]|1[0-9]|2[0-8])[0-9]{3}")
            .prop_map(|body| format!("{body}{}", id_card_check(&body))),
        "622588[0-9]{9}".prop_map(|body| format!("{body}{}", luhn(&body))),
    ]
}

/// Check character of an identity card number (ISO 7064, MOD 11-2).
fn id_card_check(body: &str) -> char {
    let sum: u32 = body
        .bytes()
        .rev()
        .zip(1_u32..)
        .map(|(digit, place)| u32::from(digit - b'0') * (2_u32.pow(place) % 11))
        .sum();
    char::from(b"10X98765432"[(sum % 11) as usize])
}

/// Check digit of a bank card number.
fn luhn(body: &str) -> u32 {
    let sum: u32 = body
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0') * if place % 2 == 0 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    (10 - sum % 10) % 10
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_event_is_taken_dropped_or_rejected_without_panic(event in anything()) {
        if let Err(rejection) = accept(event) {
            prop_assert!(!rejection.field.is_empty() && !rejection.message.is_empty());
        }
    }

    #[test]
    fn the_same_event_gives_the_same_record(event in anything()) {
        prop_assert_eq!(accept(event.clone()), accept(event));
    }

    #[test]
    fn no_personal_data_reaches_the_record(
        secrets in prop::collection::vec(personal(), 14),
        (before, after) in prop_oneof![Just(("", "")), Just(("我的是：", "，谢谢")), Just(("it is ", " ok"))],
    ) {
        let said = |index: usize| format!("{before}{}{after}", secrets[index]);
        let event = Event {
            source: secrets[0].clone(),
            event_id: secrets[1].clone(),
            conversation_id: secrets[2].clone(),
            r#type: EventType::Edit.into(),
            sent_at: Some(zhili_proto::timestamp(NOW_MS)),
            channel: secrets[3].to_lowercase(),
            author: Some(Author {
                id: secrets[4].clone(),
                role: author::Role::Agent.into(),
                ..Author::default()
            }),
            text: said(5),
            reply_to: secrets[6].clone(),
            queue: said(7),
            team: said(8),
            customer: Some(Customer { id: secrets[9].clone(), segment: said(10), ..Customer::default() }),
            target: secrets[11].clone(),
            attrs: [(secrets[12].clone(), said(13))].into(),
            ..Event::default()
        };
        let record = record(event);
        for secret in &secrets {
            prop_assert!(!holds(&record.value, secret), "{secret} in {:?}", decode(&record));
            prop_assert!(!holds(&record.key, secret));
        }
    }
}
