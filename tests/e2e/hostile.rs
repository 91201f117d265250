//! Personal data in every place where a caller can put any, and none of it in what the system
//! leaves behind: records, rows, files, output, traces, metrics, pages.

use std::time::Duration;

use prost_reflect::{Kind, MessageDescriptor};
use serde_json::{Value, json};
use tonic::transport::Channel;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::{EventLog, NewRecord, TopicPartition, system_clock, topics};
use zhili_tests::personal::{Class, Values};
use zhili_tests::{Collector, Options, Receiver, Sinks, System, eventually, has_library, samples};

use crate::access::call;
use crate::erasure::store_uncompressed;

const PATIENCE: Duration = Duration::from_secs(90);

/// What a test tells its own words by: no personal data, so it goes wherever a text goes.
const DYE: &str = "heliotrope";

/// What a complaint says that pages.
const URGENT: &str = "我已经委托了律师，明天律师函就到，再不退款就打12315投诉";

/// Topics that are read, into each of which somebody who may write there puts nonsense.
const READ: [&str; 7] = [
    topics::EVENTS,
    topics::SCORES,
    topics::FACTS,
    topics::CUSTOMERS,
    topics::PULSE,
    topics::ESCALATION,
    topics::INCIDENTS,
];

/// Sends requests and forgets the answers: whoever is hostile does not wait for permission.
struct Load {
    system: System,
    http: reqwest::Client,
    contracts: prost_reflect::DescriptorPool,
    values: Values,
    /// Tokens: of all but erasures and the audit log, and of those.
    tokens: [String; 2],
    sent: u64,
}

/// Paths of all texts of a message; of a map `path.key` and `path.value`.
fn texts(message: &MessageDescriptor, prefix: &str, into: &mut Vec<String>) {
    for field in message.fields() {
        let path = format!("{prefix}{}", field.name());
        if field.is_map() {
            into.extend([format!("{path}.key"), format!("{path}.value")]);
            continue;
        }
        match field.kind() {
            Kind::String | Kind::Bytes => into.push(path),
            Kind::Message(inner) if !inner.full_name().starts_with("google.") => {
                texts(&inner, &format!("{path}."), into);
            }
            _ => {}
        }
    }
}

/// An urgent complaint with `value` at `path`.
fn event(id: u64, path: &str, value: &str) -> Value {
    let mut event = json!({
        "source": "desk", "event_id": format!("h-{id}"), "conversation_id": format!("c-{id}"),
        "type": "message", "sent_at": samples::now(), "queue": DYE,
        "customer": {"id": format!("k-{id}")}, "author": {"id": format!("k-{id}"), "role": "customer"},
        "text": format!("{DYE} {URGENT}"), "attrs": {},
    });
    match path.split_once('.') {
        Some((map, "key")) => event[map][value] = "1".into(),
        Some((map, "value")) => event[map]["note"] = value.into(),
        Some((outer, inner)) => event[outer][inner] = value.into(),
        None if path == "content_type" => event[path] = format!("text/{value}").into(),
        None if path == "text" => {
            event[path] = format!("{DYE} {URGENT}，我的联系方式：{value}。").into();
        }
        None => event[path] = value.into(),
    }
    event
}

impl Load {
    fn bearer(&self, who: usize) -> String {
        format!("Bearer {}", self.tokens[who])
    }

    /// Posts to ingest.
    async fn publish(&mut self, kind: &str, body: String) {
        let url = format!("{}/v1/events", self.system.url(0));
        let request = self.http.post(url).header("authorization", self.bearer(0));
        request.header("content-type", kind).body(body).send().await.unwrap();
        self.sent += 1;
    }

    /// Makes a request over HTTP as one of the two; the status of the answer.
    async fn ask(&mut self, who: usize, service: u16, request: &str) -> u16 {
        let (method, rest) = request.split_once(' ').unwrap();
        let (path, body) = rest.split_once(' ').unwrap_or((rest, ""));
        let mut url = reqwest::Url::parse(&self.system.url(service)).unwrap();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        url.set_path(path);
        url.set_query((!query.is_empty()).then_some(query));
        let request = self.http.request(method.parse().unwrap(), url);
        let request = request.header("authorization", self.bearer(who)).timeout(PATIENCE);
        let request = request.header("content-type", "application/json").body(body.to_owned());
        self.sent += 1;
        request.send().await.unwrap().status().as_u16()
    }

    /// Calls a method.
    async fn call(&mut self, who: usize, service: u16, method: &str, message: &Value) {
        let channel = Channel::from_shared(self.system.url(service)).unwrap().connect_lazy();
        let message = message.to_string();
        let token = Some(self.tokens[who].as_str());
        call::grpc(&self.contracts, channel, method, &message, token, false).await;
        self.sent += 1;
    }

    /// Every class of data in every text of an event, over every way in; the number that is taken.
    async fn events(&mut self) -> u64 {
        let contract = self.contracts.get_message_by_name("zhili.conversation.v1.Event").unwrap();
        let mut paths = Vec::new();
        texts(&contract, "", &mut paths);
        assert!(paths.len() > 15, "{paths:?}");
        let (mut id, mut batch) = (0, Vec::new());
        for path in &paths {
            for class in Class::ALL {
                // Digits of an order are those of an order.
                if path == "order" && class != Class::Email {
                    continue;
                }
                let value = self.values.take(class, &format!("{path} of an event"));
                batch.push(event(id, path, &value));
                id += 1;
            }
        }
        // A conversation with an answer, of which there are facts.
        let question = event(id, "text", "");
        let mut answer = event(id + 1, "text", "您好，请问有什么可以帮您？");
        answer["conversation_id"] = question["conversation_id"].clone();
        answer["customer"] = question["customer"].clone();
        answer["author"] = json!({ "id": "agent", "role": "agent" });
        batch.extend([question, answer]);
        id += 2;
        let mut taken = 0;
        for chunk in batch.chunks(40) {
            let answer = self.system.post(chunk, &[]).await.unwrap();
            taken += answer["accepted"].as_u64().unwrap();
        }
        self.sent += 1;
        // Once more by each of the other ways.
        for class in Class::ALL {
            let value = self.values.take(class, "a line of JSON");
            self.publish("application/x-ndjson", format!("{}\n", event(id, "text", &value))).await;
            let value = self.values.take(class, "a CloudEvent");
            let envelope = |data: Value| {
                json!({
                    "specversion": "1.0", "id": value, "source": value, "subject": value,
                    "type": value, "traceparent": value, "extension": value, "data": data,
                })
            };
            let cloud = envelope(event(id + 1, "text", &value));
            self.publish("application/cloudevents+json", cloud.to_string()).await;
            let mut bare = event(id + 2, "text", &value);
            bare.as_object_mut().unwrap().remove("event_id");
            bare.as_object_mut().unwrap().remove("source");
            let clouds = json!([envelope(bare)]).to_string();
            self.publish("application/cloudevents-batch+json", clouds).await;
            for (n, method) in ["Publish", "PublishStream"].iter().enumerate() {
                let value = self.values.take(class, method);
                let event = event(id + 3 + n as u64, "text", &value);
                let method = format!("zhili.conversation.v1.IngestService/{method}");
                self.call(0, 0, &method, &json!({ "events": [event] })).await;
            }
            // Another text under the same identity: a dead letter with what was masked.
            let value = self.values.take(class, "a conflicting duplicate");
            let mut other = event(id, "text", &value);
            other["text"] = format!("{DYE}，另一句话 {value}").into();
            self.publish("application/json", other.to_string()).await;
            id += 5;
            taken += 6;
        }
        taken
    }

    /// What cannot be taken, each with something personal in it.
    async fn refused(&mut self) {
        for class in Class::ALL {
            let value = self.values.take(class, "a broken body");
            for body in [
                format!("{{\"text\": \"{value}"),
                value.clone(),
                format!("[{{\"{value}\": 1}}]"),
                json!({ value.clone(): value }).to_string(),
                json!({ "type": value, "mode": value, "sent_at": value, "author": value })
                    .to_string(),
                json!({ "source": value, "event_id": value, "seq": value }).to_string(),
                event(0, "tenant", &value).to_string(),
                event(0, "lang", &value).to_string(),
                event(0, "text", &value.repeat(5_000)).to_string(),
                event(0, "source", &value.repeat(20)).to_string(),
            ] {
                for kind in [
                    "application/json",
                    "application/x-ndjson",
                    "application/cloudevents+json",
                    "application/cloudevents-batch+json",
                ] {
                    self.publish(kind, body.clone()).await;
                }
            }
            let value = self.values.take(class, "a content type");
            self.publish(&format!("text/{}", value.replace(|c: char| !c.is_ascii(), "")), value)
                .await;
        }
    }

    /// Headers, tokens, addresses and questions with something personal in them.
    async fn asked(&mut self) {
        for class in Class::ALL {
            for service in 0..5 {
                let value = self.values.take(class, "headers and addresses");
                let text = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
                for (name, text) in [
                    ("authorization", text.clone()),
                    ("authorization", [b"Bearer ", value.as_bytes()].concat().try_into().unwrap()),
                    ("authorization", [b"Basic ", value.as_bytes()].concat().try_into().unwrap()),
                    ("cookie", [b"zhili_session=", value.as_bytes()].concat().try_into().unwrap()),
                    ("user-agent", text.clone()),
                    ("traceparent", text.clone()),
                    ("tracestate", [b"x=", value.as_bytes()].concat().try_into().unwrap()),
                    ("baggage", [b"x=", value.as_bytes()].concat().try_into().unwrap()),
                    ("x-forwarded-for", text),
                ] {
                    let mut url = reqwest::Url::parse(&self.system.url(service)).unwrap();
                    url.set_path(&format!("/v1/conversations/{value}"));
                    let request = self.http.get(url).header("accept", "*/*");
                    let mut request = request.header(name, text);
                    if name != "authorization" {
                        request = request.header("authorization", self.bearer(0));
                    }
                    if name == "tracestate" {
                        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
                        request = request.header("traceparent", parent);
                    }
                    request.send().await.unwrap();
                    self.sent += 1;
                }
                let value = self.values.take(class, "an address of anything");
                for request in [
                    format!("GET /{value}"),
                    format!("POST /v1/{value}/{value}:{value} {{}}"),
                    format!("GET /v1/incidents?all&team={value}"),
                    format!("DELETE /session?{value}"),
                    format!("GET /i/{value}"),
                    format!("POST /i/{value}/{value} {{}}"),
                    format!("GET /calendars/{value}"),
                    format!("GET /assets/{value}"),
                    format!("GET /metrics/{value}"),
                    format!("POST /session {}", json!({ "token": value })),
                    format!("POST /?query={value}"),
                    format!("POST /?database={value} SELECT '{value}' FROM {value}"),
                ] {
                    self.ask(0, service, &request).await;
                }
            }
            self.questions(class).await;
        }
    }

    /// What supervisors, analysts, checkers and the officer ask and write.
    async fn questions(&mut self, class: Class) {
        let value = self.values.take(class, "a question");
        let (from, to) = (samples::time(0), samples::now());
        let about = |with: Value| {
            let mut question = json!({ "from": from, "to": to, "by": "queue" });
            question.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
            question
        };
        let filter = json!({ "agent": value, "queue": value, "team": value, "channel": value });
        let score = json!({ "scores": [{
            "score_id": value, "metric_id": "exam.v1", "agent": value, "queue": value,
            "team": value, "at": to, "value": 80,
        }] });
        let text = json!({ "id": value, "text": value, "role": "customer", "context": [value] });
        for (who, service, request) in [
            (0, 3, format!("GET /v1/conversations/{value}")),
            (0, 3, format!("GET /v1/conversations/{DYE}")),
            (0, 3, format!("GET /v1/incidents/{value}/events")),
            (0, 3, format!("POST /v1/metrics/{value}:query {}", about(json!({})))),
            (0, 3, format!("POST /v1/metrics/art.v1:query {}", about(json!({ "filter": filter })))),
            (0, 3, format!("POST /v1/metrics/art.v1:rank {}", about(json!({ "by": value })))),
            (0, 3, format!("POST /v1/metrics/art.v1:query {}", about(json!({ "zone": value })))),
            (0, 3, format!("POST /v1/scores {score}")),
            (1, 3, format!("GET /v1/erasures/{value}")),
            (1, 3, format!("POST /v1/holds/{value}:release {{}}")),
            (0, 1, format!("POST /v1/score {}", json!({ "texts": [text] }))),
            (0, 1, format!("POST /v1/suggest {}", json!({ "text": value, "draft": value }))),
            (0, 2, format!("GET /v1/incidents/{value}")),
            (0, 2, format!("GET /v1/schedules/{value}.ics")),
            (0, 2, format!("POST /v1/incidents/{value}:acknowledge {{}}")),
            (0, 2, format!("POST /v1/destinations/{value}:test {{}}")),
            (0, 2, format!("POST /v1/silences/{value}:expire {{}}")),
            (0, 2, format!("POST /v1/conversations/{value}:attend {{}}")),
            (0, 2, format!("GET /v1/incidents:watch?cursor={value}&until_now")),
        ] {
            if request.contains(":watch") {
                // It does not end; the cursor is refused.
                assert!(self.ask(who, service, &request).await >= 400, "{request}");
                continue;
            }
            self.ask(who, service, &request).await;
        }
        for (who, service, method, message) in [
            (
                0,
                3,
                "zhili.metrics.v1.MetricsService/GetConversation",
                json!({ "conversation_id": value }),
            ),
            (0, 3, "zhili.metrics.v1.MetricsService/Audit", json!({ "topic": value })),
            (0, 0, "zhili.log.v1.LogService/Tail", json!({ "topic": value, "until_now": true })),
            (0, 0, "zhili.log.v1.LogService/ReplayDeadLetters", json!({ "ids": [value] })),
            (0, 0, "zhili.log.v1.LogService/GetConfig", json!({ "bundle": value })),
            (1, 3, "zhili.privacy.v1.PrivacyService/GetErasure", json!({ "erasure_id": value })),
        ] {
            self.call(who, service, method, &message).await;
        }
    }

    /// What people write about an incident, a silence, a hold and an erasure.
    async fn commands(&mut self, incident: &str, conversation: &str) {
        for class in Class::ALL {
            let value = self.values.take(class, "a command");
            let note = format!("{DYE} {value}");
            for (who, service, request) in [
                (
                    0,
                    2,
                    format!(
                        "POST /v1/incidents/{incident}:acknowledge {}",
                        json!({ "note": note, "command_id": value })
                    ),
                ),
                (
                    0,
                    2,
                    format!(
                        "POST /v1/incidents/{incident}:acknowledge {}",
                        json!({ "note": note })
                    ),
                ),
                (
                    0,
                    2,
                    format!(
                        "POST /v1/incidents/{incident}:reassign {}",
                        json!({ "destination": value })
                    ),
                ),
                (
                    0,
                    2,
                    format!(
                        "POST /v1/incidents/{incident}:reassign {}",
                        json!({ "policy": value })
                    ),
                ),
                (
                    0,
                    2,
                    format!(
                        "POST /v1/silences {}",
                        json!({
                    "matcher": { "kind": [value], "queue": [value], "category": [value] },
                    "duration": "60s", "comment": note, "command_id": value })
                    ),
                ),
                (
                    0,
                    2,
                    format!(
                        "POST /v1/silences {}",
                        json!({
                    "matcher": { "kind": ["none"] }, "team": value, "duration": "60s",
                    "comment": note })
                    ),
                ),
                (
                    0,
                    2,
                    format!(
                        "POST /v1/silences {}",
                        json!({
                    "matcher": { "kind": ["none"] }, "duration": "60s", "comment": note })
                    ),
                ),
                (
                    1,
                    3,
                    format!(
                        "POST /v1/holds {}",
                        json!({
                    "subject": { "conversation": conversation }, "reason": note })
                    ),
                ),
                (
                    1,
                    3,
                    format!(
                        "POST /v1/holds {}",
                        json!({
                    "subject": { "customer": value }, "reason": note })
                    ),
                ),
                (
                    1,
                    3,
                    format!(
                        "POST /v1/erasures {}",
                        json!({
                    "subject": { "conversation": conversation }, "reason": note })
                    ),
                ),
            ] {
                self.ask(who, service, &request).await;
            }
        }
    }

    /// Records that no reader can read, in every topic that is read. They hold what they hold: the
    /// answer is what was put where.
    async fn poison(&mut self) -> Vec<(&'static str, String)> {
        self.system.stop();
        let log = EmbeddedLog::open(&self.system.path().join("log"), system_clock()).unwrap();
        let mut put = Vec::new();
        for topic in READ {
            for class in Class::ALL {
                let value = self.values.take(class, &format!("a poison record of {topic}"));
                let partition = TopicPartition::new(topic, 0);
                // A length that the message does not have: no protobuf.
                let mut broken = vec![0x0a, 0xff, 0xff, 0x03];
                broken.extend(value.as_bytes());
                let key = format!("default/{value}").into_bytes();
                let mut record =
                    NewRecord::new(partition.clone(), Some(key.into()), Some(broken.into()));
                record.headers.push("traceparent", value.clone().into_bytes());
                record.headers.push(value.clone(), value.clone().into_bytes());
                log.append(vec![record]).await.pop().unwrap().unwrap();
                put.push((topic, value));
            }
        }
        drop(log);
        self.system.up();
        put
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_sink_holds_a_raw_value_after_a_hostile_load() {
    if !has_library("no_sink_holds_a_raw_value_after_a_hostile_load") {
        return;
    }
    let (pages, collector) = (Receiver::start().await, Collector::start().await);
    let system = System::start(Options {
        webhook: Some(pages.target()),
        otlp: Some(collector.url()),
        log: Some("info,zhili=trace".to_owned()),
        ..Options::default()
    });
    store_uncompressed(&system).await;
    let dpo = system.run(&["token", "create", "officer", "--role", "dpo"]);
    let tokens = [system.token(), String::from_utf8(dpo.stdout).unwrap().trim().to_owned()];
    let (contracts, values) = (call::contracts(), Values::new(6));
    let http = reqwest::Client::new();
    let mut load = Load { system, http, contracts, values, tokens, sent: 0 };

    let taken = load.events().await;
    load.refused().await;
    load.asked().await;
    // An operator's own words are none of a customer.
    let bundle = format!("# {DYE}\n[escalation.teams.{DYE}.destinations]\n");
    let content = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bundle);
    let content = json!({ "content": content });
    load.call(0, 0, "zhili.log.v1.LogService/ApplyConfig", &content).await;
    load.system.settle().await;
    let incident = eventually("an incident", PATIENCE, async || {
        let list = load.system.json(&["incidents", "list", "--all", "--json"]);
        // A burst is of no conversation, and comes before what is less grave.
        let of_one =
            |it: &&Value| it["conversation_id"].as_str().is_some_and(|id| id.starts_with("v_"));
        list["incidents"].as_array()?.iter().find(of_one).cloned()
    })
    .await;
    let text = |name: &str| incident[name].as_str().unwrap().to_owned();
    load.commands(&text("incident_id"), &text("conversation_id")).await;
    eventually("pages", PATIENCE, async || (pages.pages().len() >= 5).then_some(())).await;
    let poisoned = load.poison().await;
    load.system.settle().await;
    let made = load.system.run(&["backup", "copy"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let mut sinks = Sinks::default();
    sinks.read_running(&load.system).await;
    assert!(load.system.stop().success());
    sinks.read_stopped(&load.system).await;
    sinks.read_sent(&pages, &collector);

    let given: Vec<(&str, &str)> = load.values.given().collect();
    let values: Vec<&str> = given.iter().map(|(value, _)| *value).collect();
    let of = |value: &str| given.iter().find(|(it, _)| *it == value).unwrap().1;
    // Whoever writes into a topic has written there, and so into the files of the log.
    let written = |place: &str, value: &str| {
        poisoned.iter().any(|(topic, it)| {
            it == value
                && (place == format!("topic {topic}")
                    || place == "files of log"
                    || place == "files of backups")
        })
    };
    let found = sinks.holding(&values);
    let leaks: Vec<String> = found
        .iter()
        .filter(|(place, value)| !written(place, value))
        .map(|(place, value)| format!("{place}: {value}, {}", of(value)))
        .collect();
    eprintln!(
        "hostile: {} values in {} requests and {} records, {taken} events taken, {} pages, {} bytes searched in {} places",
        values.len(),
        load.sent,
        poisoned.len(),
        pages.pages().len(),
        sinks.places().map(|(_, bytes)| bytes).sum::<usize>(),
        sinks.places().count(),
    );
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));

    // It was the real thing that was looked at, and a value in it would have been found.
    let folder = load.system.path().to_str().unwrap();
    let unmarked: Vec<_> = marks(folder)
        .into_iter()
        .filter(|(place, mark)| !sinks.holding(&[mark]).contains(&(place.as_str(), mark)))
        .collect();
    assert!(unmarked.is_empty(), "not where it is known to be: {unmarked:?}");
    let places: Vec<String> = sinks.places().map(|(place, _)| place.to_owned()).collect();
    let planted = load.values.take(Class::Mobile, "each place");
    for place in &places {
        sinks.add(place, format!("... {planted}, ..."));
    }
    let found: Vec<&str> = sinks.holding(&[&planted]).into_iter().map(|(it, _)| it).collect();
    assert_eq!(found, places);
}

/// What is known to be in a place: the dye of this test, or words that the program always writes.
fn marks(folder: &str) -> Vec<(String, &str)> {
    let mut marks = vec![("standard output".to_owned(), folder)];
    for topic in topics::all(1) {
        // Of a complaint it is counted what it is about, and no text goes there.
        let mark = if topic.name == topics::PULSE { "zhili-source" } else { DYE };
        marks.push((format!("topic {}", topic.name), mark));
    }
    for table in ["events", "signals", "incidents", "dead_letters"] {
        marks.push((format!("table zhili.{table}"), DYE));
    }
    for files in ["log", "store", "backups"] {
        marks.push((format!("files of {files}"), DYE));
    }
    for service in ["ingest", "scoring", "escalation", "metrics"] {
        marks.push((format!("metrics of {service}"), "audit_entries"));
        marks.push((format!("readyz of {service}"), "ready"));
    }
    for (place, mark) in [("pages", DYE), ("traces", "/v1/events"), ("standard error", "zhili")] {
        marks.push((place.to_owned(), mark));
    }
    marks
}
