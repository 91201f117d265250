use serde_json::{Value, json};
use zhili_ingest::{Config, Limits};

use crate::support::{PARTITIONS, Running, event_of, message};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const CLOUD: &str = "application/cloudevents+json";
const CLOUDS: &str = "application/cloudevents-batch+json";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// For each result its event id and either `ack` or field and code of the rejection.
fn outcomes(answer: &Value) -> Vec<String> {
    let results = answer["results"].as_array().unwrap();
    results
        .iter()
        .map(|result| {
            let id = result["event_id"].as_str().unwrap_or_default();
            match result.get("rejection") {
                None => format!("{id} {}", if result["ack"].is_object() { "ack" } else { "?" }),
                Some(rejection) => format!(
                    "{id} {} {}",
                    rejection["field"].as_str().unwrap(),
                    rejection["code"].as_str().unwrap()
                ),
            }
        })
        .collect()
}

#[tokio::test]
async fn an_event_is_acknowledged_with_its_place_in_the_log() {
    let service = Running::start().await;
    let reply = service.post(JSON, message("m-1", "c-1").to_string()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let answer = reply.json();
    assert_eq!(answer["accepted"], 1);
    let ack = &answer["results"][0]["ack"];
    let records = service.log.records().await;
    let (partition, record) = &records[0];
    assert_eq!(ack["topic"], "zhili.events.v1");
    assert_eq!(ack["partition"], *partition);
    // The JSON mapping of protobuf writes 64 bits as text.
    assert_eq!(ack["offset"], record.offset.to_string());
    assert_eq!(record.headers.text("zhili-schema"), Some("zhili.conversation.v1.LogEntry"));
    assert_eq!(event_of(record).event_id, "m-1");
}

#[tokio::test]
async fn bad_elements_of_an_array_are_rejected_in_their_place() {
    let service = Running::start().await;
    let mut nameless = message("m-2", "c-1");
    nameless["conversation_id"] = "".into();
    let body = json!([
        message("m-1", "c-1"),
        nameless,
        {"event_id": "m-3", "author": {"role": "chef"}},
        {"event_id": "m-4", "txt": "?"},
        42,
        message("m-6", "c-1"),
    ]);
    let reply = service.post("application/json; charset=utf-8", body.to_string()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let answer = reply.json();
    assert_eq!(
        outcomes(&answer),
        [
            "m-1 ack",
            "m-2 conversation_id missing",
            "m-3 author.role malformed",
            "m-4 txt malformed",
            " event malformed",
            "m-6 ack",
        ]
    );
    assert_eq!(answer["accepted"], 2);
    assert_eq!(service.log.records().await.len(), 2);
}

#[tokio::test]
async fn a_broken_line_leaves_the_others_standing() {
    let service = Running::start().await;
    let mut body = format!("{}\r\n\n", message("m-1", "c-1")).into_bytes();
    body.extend_from_slice(b"{\"event_id\": \"m-2\",\n\xff\xfe\n");
    body.extend_from_slice(message("m-4", "c-1").to_string().as_bytes());
    let reply = service.post(LINES, body).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(
        outcomes(&reply.json()),
        ["m-1 ack", " event malformed", " event malformed", "m-4 ack"]
    );
}

#[tokio::test]
async fn the_envelope_of_a_cloud_event_fills_what_its_data_leaves_open() {
    let service = Running::start().await;
    let mut data = message("", "c-1");
    for name in ["event_id", "source", "sent_at"] {
        data.as_object_mut().unwrap().remove(name);
    }
    let cloud = json!({
        "specversion": "1.0", "type": "com.example.message", "source": "/chat/7", "id": "ce-1",
        "time": "2023-11-14T22:13:01Z", "datacontenttype": "application/json",
        "traceparent": TRACE, "tenantname": "x", "data": data,
    });
    let reply = service.post(CLOUD, cloud.to_string()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(outcomes(&reply.json()), ["ce-1 ack"]);
    let (_, record) = &service.log.records().await[0];
    let event = event_of(record);
    assert_eq!((event.event_id.as_str(), event.source.as_str()), ("ce-1", "/chat/7"));
    assert_eq!(event.sent_at.unwrap().seconds, 1_699_999_981);
    assert_eq!(record.headers.text("traceparent"), Some(TRACE));
}

#[tokio::test]
async fn cloud_events_come_in_batches_and_keep_what_their_data_says() {
    let service = Running::start().await;
    let cloud = |id: &str, version: &str, data: Value| json!({"specversion": version, "type": "t", "source": "s", "id": id, "data": data});
    let body = json!([
        cloud("ce-1", "1.0", message("m-1", "c-1")),
        cloud("ce-2", "0.3", message("m-2", "c-1")),
        cloud("ce-3", "1.0", Value::Null),
    ]);
    let reply = service.post(CLOUDS, body.to_string()).await;
    assert_eq!(
        outcomes(&reply.json()),
        ["m-1 ack", "ce-2 specversion out_of_range", "ce-3 data missing"]
    );
    assert_eq!(event_of(&service.log.records().await[0].1).source, "test");
}

#[tokio::test]
async fn a_cloud_event_in_binary_mode_has_its_attributes_in_headers() {
    let service = Running::start().await;
    let mut bare = message("m-1", "c-1");
    for name in ["event_id", "source", "sent_at"] {
        bare.as_object_mut().unwrap().remove(name);
    }
    let attributes = [
        ("content-type", JSON),
        ("ce-specversion", "1.0"),
        ("ce-type", "chat.message"),
        ("ce-id", "ce-%E4%B8%80"),
        ("ce-source", "/chat/7"),
        ("ce-time", "2023-11-14T22:13:01Z"),
        ("ce-traceparent", TRACE),
    ];
    let reply = service.post_with(&attributes, bare.to_string()).await;
    assert_eq!(outcomes(&reply.json()), ["ce-一 ack"], "{reply:?}");
    let (_, record) = &service.log.records().await[0];
    let event = event_of(record);
    assert_eq!((event.event_id.as_str(), event.source.as_str()), ("ce-一", "/chat/7"));
    assert_eq!(event.sent_at.unwrap().seconds, 1_699_999_981);
    assert_eq!(record.headers.text("traceparent"), Some(TRACE));
    for (header, value, field) in [
        ("ce-specversion", "0.3", "specversion out_of_range"),
        ("ce-time", "yesterday", "time malformed"),
        ("ce-source", "%ff", "source malformed"),
    ] {
        let mut attributes = attributes;
        attributes.iter_mut().filter(|it| it.0 == header).for_each(|it| it.1 = value);
        let reply = service.post_with(&attributes, bare.to_string()).await;
        assert_eq!(outcomes(&reply.json()), [format!("ce-一 {field}")], "{reply:?}");
    }
}

#[tokio::test]
async fn when_nothing_is_accepted_the_results_come_as_a_problem() {
    let service = Running::start().await;
    let reply = service.post(JSON, r#"{"event_id":"m-1"}"#).await;
    assert_eq!(reply.status, 400);
    assert!(reply.head.contains("content-type: application/problem+json"), "{}", reply.head);
    let answer = reply.json();
    assert_eq!((&answer["status"], &answer["accepted"]), (&json!(400), &json!(0)));
    assert_eq!(outcomes(&answer), ["m-1 source missing"]);
}

#[tokio::test]
async fn a_member_that_is_null_is_not_set() {
    let service = Running::start().await;
    let mut whole = message("m-1", "c-1");
    for name in ["queue", "scene", "attrs", "voice", "mode", "received_at"] {
        whole[name] = Value::Null;
    }
    whole["author"]["subtype"] = Value::Null;
    let mut nameless = message("m-2", "c-1");
    nameless["conversation_id"] = Value::Null;
    let reply = service.post(JSON, json!([whole, nameless]).to_string()).await;
    assert_eq!(outcomes(&reply.json()), ["m-1 ack", "m-2 conversation_id missing"]);
    let cloud = json!({"specversion": "1.0", "id": "ce-1", "source": "s", "data": whole});
    let reply = service.post(CLOUD, cloud.to_string()).await;
    assert_eq!(outcomes(&reply.json()), ["m-1 ack"]);
}

#[tokio::test]
async fn a_body_that_is_no_json_is_a_problem_that_says_so() {
    let service = Running::start().await;
    let reply = service.post(JSON, "[{},").await;
    assert_eq!(reply.status, 400);
    assert!(reply.json()["detail"].as_str().unwrap().contains("cannot be read"), "{reply:?}");
}

#[tokio::test]
async fn nothing_to_publish_is_fine() {
    let service = Running::start().await;
    assert_eq!(service.post(JSON, "[]").await.status, 200);
    assert_eq!(service.post(LINES, "\n").await.status, 200);
}

#[tokio::test]
async fn typing_is_acknowledged_and_dropped() {
    let service = Running::start().await;
    let mut typing = message("m-1", "c-1");
    typing["type"] = "typing".into();
    let answer = service.post(JSON, typing.to_string()).await.json();
    assert_eq!(answer["accepted"], 1);
    assert_eq!(answer["results"][0]["ack"]["dropped"], true);
    assert!(service.log.records().await.is_empty());
}

#[tokio::test]
async fn a_publisher_needs_a_token_and_the_right() {
    let service = Running::start().await;
    let body = message("m-1", "c-1").to_string();
    let unknown = service.send("POST /v1/events", &[("content-type", JSON)], body.as_bytes()).await;
    assert_eq!(unknown.status, 401);
    assert_eq!(service.post_as_analyst(body).await.status, 403);
    assert!(service.log.records().await.is_empty());
}

#[tokio::test]
async fn another_media_type_is_refused_with_those_that_are_taken() {
    let service = Running::start().await;
    let reply = service.post("application/x-www-form-urlencoded", "{}").await;
    assert_eq!(reply.status, 415);
    assert!(reply.body.contains(LINES), "{reply:?}");
}

#[tokio::test]
async fn a_body_announced_too_large_is_refused_before_it_is_sent() {
    let service = Running::start().await;
    let headers = [("content-type", JSON), ("content-length", "4194305")];
    let reply = service.post_with(&headers, "").await;
    assert_eq!(reply.status, 413);
    assert!(reply.body.contains("4194304"), "{reply:?}");
}

#[tokio::test]
async fn a_body_that_grows_too_large_is_refused() {
    let limits = Limits { batch_bytes: 10, ..Limits::default() };
    let service = Running::with(Config { limits, ..Config::default() }).await;
    let reply = service.post_chunked(JSON, "[1,2,3,4,5,6]").await;
    assert_eq!(reply.status, 413);
}

#[tokio::test]
async fn too_many_events_are_refused_with_the_limit() {
    let service = Running::start().await;
    for (kind, body) in [(JSON, format!("[{}1]", "1,".repeat(1000))), (LINES, "1\n".repeat(1001))] {
        let reply = service.post(kind, body).await;
        assert_eq!(reply.status, 413, "{reply:?}");
        assert!(reply.body.contains("1001 events") && reply.body.contains("1000"), "{reply:?}");
    }
}

#[tokio::test]
async fn beyond_the_budget_publishers_are_told_when_to_come_again() {
    let limits = Limits { batch_bytes: 2000, batch_events: 1, ..Limits::default() };
    let config = Config { limits, budget_bytes: 10_048, ..Config::default() };
    let service = Running::with(config).await;
    let mut large = message("m-1", "c-1");
    large["text"] = "x".repeat(1200).into();
    let body = large.to_string();
    service.log.hold(true);
    let first = service.post(JSON, body.clone());
    let second = async {
        service.log.appends(1).await;
        let reply = service.post(JSON, body.clone()).await;
        service.log.hold(false);
        reply
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.status, second.status), (200, 429));
    assert!(second.head.contains("retry-after: 1"), "{}", second.head);
    assert_eq!(service.post(JSON, body).await.status, 200, "the budget was given back");
}

#[tokio::test]
async fn a_tenant_that_has_used_up_its_quota_is_told_when_to_come_again() {
    let config = Config { tenant_events_per_s: 2, ..Config::default() };
    let service = Running::with(config).await;
    let many: Vec<Value> = (0..4).map(|n| message(&format!("m-{n}"), "c-1")).collect();
    let first = service.post(JSON, json!(many).to_string()).await;
    let second = service.post(JSON, message("m-9", "c-1").to_string()).await;
    assert_eq!((first.status, second.status), (200, 429));
    assert!(second.head.contains("retry-after: 1"), "{}", second.head);
    assert!(second.body.contains("2 events a second"), "{}", second.body);
    service.metric("zhili_ingest_requests_refused_total{reason=\"quota\"} 1").await;
}

#[tokio::test]
async fn a_log_that_fails_makes_the_service_unready_until_it_takes_events_again() {
    let service = Running::start().await;
    let body = message("m-1", "c-1").to_string();
    service.log.fail(true);
    let reply = service.post(JSON, body.clone()).await;
    assert_eq!(reply.status, 503);
    assert!(reply.head.contains("retry-after: 1"), "{}", reply.head);
    assert!(reply.body.contains("broker unreachable"), "{reply:?}");
    let ready = service.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("log: appends fail since"), "{ready:?}");
    service.log.fail(false);
    assert_eq!(service.post(JSON, body).await.status, 200);
    assert_eq!(service.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_log_that_does_not_confirm_in_time_is_unavailable() {
    let service = Running::with(Config { append_timeout_ms: 1, ..Config::default() }).await;
    service.log.hold(true);
    let reply = service.post(JSON, message("m-1", "c-1").to_string()).await;
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(reply.body.contains("did not confirm"), "{reply:?}");
}

#[tokio::test]
async fn the_callers_trace_reaches_the_record() {
    let service = Running::start().await;
    let headers = [("content-type", JSON), ("traceparent", TRACE)];
    service.post_with(&headers, message("m-1", "c-1").to_string()).await;
    let (_, record) = &service.log.records().await[0];
    assert_eq!(record.headers.text("traceparent"), Some(TRACE));
}

#[tokio::test]
async fn events_of_one_conversation_go_to_one_partition_also_when_published_again() {
    let service = Running::start().await;
    let events: Vec<_> =
        (0..40).map(|n| message(&format!("m-{n}"), &format!("c-{}", n % 10))).collect();
    for _ in 0..2 {
        assert_eq!(service.post(JSON, json!(events).to_string()).await.status, 200);
    }
    let records = service.log.records().await;
    assert_eq!(records.len(), 80);
    let mut homes = std::collections::BTreeMap::new();
    for (partition, record) in &records {
        let home = homes.entry(record.key.clone().unwrap()).or_insert(*partition);
        assert_eq!(home, partition);
    }
    assert_eq!(homes.len(), 10);
    assert!(homes.values().collect::<std::collections::BTreeSet<_>>().len() > 1);
    assert!(homes.values().all(|partition| *partition < PARTITIONS));
}

#[tokio::test]
async fn what_happened_is_counted() {
    let service = Running::start().await;
    let mut typing = message("m-2", "c-1");
    typing["type"] = "typing".into();
    let mut personal = message("m-3", "c-1");
    personal["text"] = "电话 16000001234，邮箱 a@example.com".into();
    let body = json!([message("m-1", "c-1"), typing, personal, {"event_id": "m-4"}]);
    service.post(JSON, body.to_string()).await;
    let metrics = service.get("/metrics").await.body;
    for line in [
        "zhili_ingest_events_accepted_total 2".to_owned(),
        "zhili_ingest_events_dropped_total 1".to_owned(),
        "zhili_ingest_events_rejected_total{code=\"missing\"} 1".to_owned(),
        "zhili_ingest_masked_spans_total{kind=\"mobile\"} 1".to_owned(),
        "zhili_ingest_masked_spans_total{kind=\"email\"} 1".to_owned(),
        format!("zhili_ingest_request_bytes_total {}", body.to_string().len()),
        "zhili_ingest_in_flight_bytes 0".to_owned(),
        "zhili_ingest_request_seconds_count{protocol=\"http\"} 1".to_owned(),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} not in {metrics}");
    }
}

#[tokio::test]
async fn a_body_that_stops_half_way_is_given_up_and_gives_its_bytes_back() {
    let service = Running::with(Config { idle_timeout_ms: 20, ..Config::default() }).await;
    let headers = [("content-type", JSON), ("content-length", "1000")];
    let reply = service.post_with(&headers, "[").await;
    assert_eq!(reply.status, 408, "{reply:?}");
    assert!(reply.body.contains("nothing came of the body"), "{reply:?}");
    service.metric("zhili_ingest_in_flight_bytes 0").await;
}
