//! Every text that an event carries has a decision: masked, replaced, or kept for a reason.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

use prost::Message;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};
use serde_json::{Value, json};
use zhili_ingest::Limits;
use zhili_ingest::accept::{Prepared, prepare};
use zhili_proto::conversation::v1::{LogEntry, log_entry};
use zhili_redact::{KeyRing, PseudonymKey, Scope};
use zhili_runtime::auth::Tenant;

/// What becomes of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// Personal data in it becomes tokens.
    Masked,
    /// It becomes a pseudonym whatever it is.
    Pseudonym,
    /// It is dropped: pseudonyms that ingest makes take its place.
    Replaced,
    /// It becomes a pseudonym if anything in it is personal.
    PseudonymIfPersonal,
    /// Digits stay, for they are those of an order.
    Order,
    /// No personal data passes the check of its form.
    Checked,
}

use Decision::{Checked, Masked, Order, Pseudonym, PseudonymIfPersonal, Replaced};

/// By path; `attrs.key` and `attrs.value` are those of the map.
const DECISIONS: [(&str, Decision); 19] = [
    ("tenant", Checked),
    ("source", PseudonymIfPersonal),
    ("event_id", PseudonymIfPersonal),
    ("conversation_id", Pseudonym),
    ("channel", Masked),
    ("author.id", Pseudonym),
    ("text", Masked),
    ("content_type", Masked),
    ("lang", Checked),
    ("reply_to", PseudonymIfPersonal),
    ("queue", Masked),
    ("team", Masked),
    ("customer.id", Pseudonym),
    ("customer.segment", Masked),
    ("customer.former_ids", Replaced),
    ("order", Order),
    ("attrs.key", PseudonymIfPersonal),
    ("attrs.value", Masked),
    ("target", PseudonymIfPersonal),
];

/// The paths of all strings and bytes in `message`.
fn texts(
    files: &FileDescriptorSet,
    message: &DescriptorProto,
    prefix: &str,
    into: &mut BTreeSet<String>,
) {
    for field in &message.field {
        let path = format!("{prefix}{}", field.name());
        match field.r#type() {
            Type::String | Type::Bytes => {
                into.insert(path);
            }
            Type::Message if field.type_name() != ".google.protobuf.Timestamp" => {
                let inner = message_named(files, message, field.type_name());
                texts(files, inner, &format!("{path}."), into);
            }
            _ => {}
        }
    }
}

fn message_named<'f>(
    files: &'f FileDescriptorSet,
    parent: &'f DescriptorProto,
    name: &str,
) -> &'f DescriptorProto {
    let short = name.rsplit('.').next().unwrap();
    parent
        .nested_type
        .iter()
        .chain(files.file.iter().flat_map(|file| &file.message_type))
        .find(|message| message.name() == short)
        .unwrap()
}

#[test]
fn a_text_added_to_the_contract_needs_a_decision() {
    let files = FileDescriptorSet::decode(zhili_proto::DESCRIPTORS).unwrap();
    let event = files
        .file
        .iter()
        .filter(|file| file.package() == "zhili.conversation.v1")
        .flat_map(|file| &file.message_type)
        .find(|message| message.name() == "Event")
        .unwrap();
    let mut carried = BTreeSet::new();
    texts(&files, event, "", &mut carried);
    let decided: BTreeSet<String> = DECISIONS.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(carried, decided);
}

fn with(path: &str, value: &str) -> Value {
    let mut json = json!({
        "source": "test", "event_id": "m-1", "conversation_id": "conv-1", "type": "edit",
        "sent_at": "2023-11-14T22:13:00Z", "author": {"id": "a-1", "role": "agent"},
        "customer": {"id": "c-1"}, "target": "m-0", "attrs": {},
    });
    match path {
        "attrs.key" => json["attrs"][value] = "1".into(),
        "attrs.value" => json["attrs"]["note"] = value.into(),
        "customer.former_ids" => json["customer"]["former_ids"] = json!([value]),
        "content_type" => json[path] = format!("text/{value}").into(),
        _ => match path.split_once('.') {
            Some((outer, inner)) => json[outer][inner] = value.into(),
            None => json[path] = value.into(),
        },
    }
    json
}

/// What the log holds of an event with `value` at `path`, or nothing when it is refused.
fn logged(path: &str, value: &str) -> Option<String> {
    let event = serde_json::from_value(with(path, value)).unwrap();
    let mut keys = KeyRing::from(PseudonymKey::new([2; 32]));
    keys.rotate(PseudonymKey::new([3; 32]), Scope::Customers, 0).unwrap();
    let tenant = Tenant::default_tenant();
    match prepare(event, &tenant, 1_700_000_000_000, &keys, &Limits::default()) {
        Ok(Prepared::Record(record)) => {
            let entry = LogEntry::decode(record.value).unwrap().entry;
            let Some(log_entry::Entry::Event(event)) = entry else { panic!("not an event") };
            Some(serde_json::to_string(&event).unwrap())
        }
        Ok(Prepared::Dropped) => panic!("dropped"),
        Err(_) => None,
    }
}

#[test]
fn every_text_becomes_what_its_decision_says() {
    for (path, decision) in DECISIONS {
        for personal in ["16000001234", "a.b@example.com"] {
            let logged = logged(path, personal);
            match decision {
                Checked => assert_eq!(logged, None, "{path}"),
                Order if personal.contains('@') => {
                    assert!(logged.unwrap().contains("[EMAIL]"), "{path}");
                }
                Order => assert!(logged.unwrap().contains(personal), "{path}"),
                Masked | Pseudonym | Replaced | PseudonymIfPersonal => {
                    let logged = logged.unwrap();
                    assert!(!logged.contains(personal), "{path}: {logged}");
                    let token = logged.contains("[PHONE]") || logged.contains("[EMAIL]");
                    assert_eq!(token, decision == Masked, "{path}: {logged}");
                }
            }
        }
    }
}

#[test]
fn a_name_without_personal_data_stays() {
    for path in ["source", "event_id", "reply_to", "target", "attrs.key", "queue", "team"] {
        assert!(logged(path, "shop-1").unwrap().contains("shop-1"), "{path}");
    }
}
