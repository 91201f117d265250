//! The same conversations under as many names as there are faults.

use std::fmt::Write as _;
use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use zhili_proto::conversation::v1::Event;

use crate::system::{REPLICAS, System, publish};

/// Events in one request.
const BATCH: usize = 20;
/// Requests of one publisher: enough that a fault meets one under way.
const PAUSE: Duration = Duration::from_millis(40);

/// The samples as files.
pub(crate) fn samples() -> Vec<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("samples");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .map(|path| path.display().to_string())
        .collect();
    names.sort();
    names
}

/// Some conversations with times of their own, so that publishing them again changes nothing.
pub(crate) struct Traffic {
    events: Vec<Value>,
}

impl Traffic {
    /// The urgent samples and those with several turns.
    pub(crate) fn from_samples() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        let begin = now - 20 * 60_000;
        let mut events = Vec::new();
        for file in samples().iter().filter(|name| name.contains("urgent") || name.contains("pii"))
        {
            for line in std::fs::read_to_string(file).unwrap().lines() {
                let dialogue: Value = serde_json::from_str(line).unwrap();
                let id = dialogue["id"].as_str().unwrap();
                let mut at = begin;
                for (index, turn) in dialogue["turns"].as_array().unwrap().iter().enumerate() {
                    let (Some(role), Some(text)) = (turn["role"].as_str(), turn["text"].as_str())
                    else {
                        continue;
                    };
                    at += 20_000;
                    let author = if role == "customer" { id } else { role };
                    let mut event = Event {
                        event_id: format!("{id}-{index}"),
                        conversation_id: id.to_owned(),
                        text: text.to_owned(),
                        sent_at: Some(zhili_proto::timestamp(at)),
                        channel: "chat".to_owned(),
                        ..Event::default()
                    };
                    event.set_type(zhili_proto::conversation::v1::EventType::Message);
                    let mut event = serde_json::to_value(event).unwrap();
                    event["author"] = json!({"id": author, "role": role});
                    event["customer"] = json!({"id": id});
                    events.push(event);
                }
            }
        }
        Self { events }
    }

    /// How many events there are.
    pub(crate) fn events(&self) -> usize {
        self.events.len()
    }

    /// Publishes all of it under a name, each batch until some replica has acknowledged it.
    pub(crate) fn publish(
        &self,
        system: &System,
        source: &str,
    ) -> impl Future<Output = ()> + Send + use<> {
        let mut bodies = Vec::new();
        for batch in self.events.chunks(BATCH) {
            let mut events = batch.to_vec();
            for event in &mut events {
                event["source"] = json!(source);
                let conversation = event["conversation_id"].as_str().unwrap();
                event["conversation_id"] = json!(format!("{source}/{conversation}"));
                // Who complains under one name has not complained under another.
                if let Some(customer) = event["customer"]["id"].as_str() {
                    event["customer"]["id"] = json!(format!("{source}/{customer}"));
                }
            }
            bodies.push((events.len() as u64, Value::Array(events).to_string()));
        }
        let replicas: Vec<String> = (0..REPLICAS).map(|at| system.address("ingest", at)).collect();
        let token = system.token().to_owned();
        async move {
            let http = reqwest::Client::new();
            for (events, body) in bodies {
                let mut refused = String::new();
                for attempt in 0.. {
                    assert!(attempt < 1_000, "cannot publish: {refused}");
                    let replica = &replicas[attempt % replicas.len()];
                    match publish(&http, replica, &token, body.clone()).await {
                        Ok(accepted) => {
                            assert_eq!(accepted, events);
                            break;
                        }
                        Err(why) => {
                            writeln!(refused, "{replica}: {why}").unwrap();
                            tokio::time::sleep(PAUSE).await;
                        }
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
