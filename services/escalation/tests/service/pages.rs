//! From signals to pages.

use bytes::Bytes;
use standardwebhooks::Webhook;
use zhili_eventlog::testkit::fused::Fuse;
use zhili_eventlog::{NewRecord, TopicPartition, topics};
use zhili_proto::conversation::v1::author::Role;
use zhili_proto::escalation::v1 as pb;
use zhili_proto::escalation::v1::incident_event::Type;
use zhili_proto::escalation::v1::log_entry::Entry;

use crate::bench::{Bench, SECRET};

fn result_of(attempt: u32) -> impl Fn(&Entry) -> bool {
    move |entry| matches!(entry, Entry::Result(result) if result.attempt == attempt)
}

#[tokio::test]
async fn a_signal_becomes_a_page_that_a_stock_verifier_accepts() {
    let bench = Bench::with_floor().await;
    let config = zhili_escalation::Config {
        link: "https://zhili.example/i/{incident_id}".into(),
        ..zhili_escalation::Config::default()
    };
    let service = bench.start_with(&Fuse::never(), config).await;
    bench.signal(bench.urgent("s1", "c1")).await;
    let page = bench.receiver.next().await;

    Webhook::new(SECRET).unwrap().verify(&page.body, &page.headers).unwrap();
    assert_eq!(page.header("content-type"), "application/cloudevents+json");
    assert!(page.id().starts_with("ntf_"));
    let body = page.json();
    assert_eq!(body["id"], page.id());
    assert_eq!(body["type"], "zhili.incident.v1.triggered");
    assert_eq!(body["specversion"], "1.0");
    assert_eq!(body["time"], body["timestamp"]);
    let card = &body["data"];
    assert_eq!((&card["severity"], &card["category"]), (&"high".into(), &"regulator".into()));
    assert_eq!(card["excerpt"], "我要打12315投诉你们");
    assert_eq!(card["reasons"][0]["rule"], "regulator.12315");
    assert_eq!((&card["agent"], &card["queue"]), (&"a_1".into(), &"returns".into()));
    let incident_id = card["incident_id"].as_str().unwrap();
    assert_eq!(card["link"], format!("https://zhili.example/i/{incident_id}"));
    assert_eq!(body["subject"], incident_id);

    bench.told(Type::Paged, "c1").await;
    let (_, metrics) = service.text("/metrics").await;
    assert!(
        metrics.contains("zhili_escalation_pages_sent_total{channel=\"webhook\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("zhili_escalation_signal_to_page_seconds_count 1"), "{metrics}");
    service.stop().await;
}

#[tokio::test]
async fn a_page_quotes_the_conversation_as_the_newest_signal_has_it() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    let said = |event_id: &str, role: Role, text: &str, sentiment| pb::Said {
        event_id: event_id.into(),
        role: role.into(),
        text: text.into(),
        sentiment,
        ..pb::Said::default()
    };
    let first = pb::Signal {
        customer_tier: "vip".into(),
        said: vec![
            said("e0", Role::Agent, "请稍等", None),
            said("e1", Role::Customer, "我要打12315投诉你们", Some(-0.75)),
        ],
        ..bench.urgent("s1", "c1")
    };
    bench.signal(first).await;
    let card = bench.receiver.next().await.json()["data"].take();
    assert_eq!(card["customer_tier"], "vip");
    let messages = serde_json::json!([
        { "event_id": "e0", "speaker": "agent", "text": "请稍等", "sentiment": null },
        {
            "event_id": "e1",
            "speaker": "customer",
            "text": "我要打12315投诉你们",
            "sentiment": -0.75
        },
    ]);
    assert_eq!(card["messages"], messages);
    let id = card["incident_id"].as_str().unwrap();
    let second = pb::Signal {
        said: vec![said("e2", Role::Customer, "再不回我就曝光", Some(-0.9))],
        ..bench.urgent("s2", "c1")
    };
    bench.signal(second).await;
    bench.told(Type::Updated, "c1").await;
    let (_, incident) = service.get(&format!("/v1/incidents/{id}")).await;
    let evidence = incident["incident"]["evidence"].as_array().unwrap();
    let quoted: Vec<usize> =
        evidence.iter().map(|signal| signal["said"].as_array().map_or(0, Vec::len)).collect();
    assert_eq!(quoted, [0, 1]);
}

#[tokio::test]
async fn there_is_one_open_incident_per_key_and_duplicates_page_nobody() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    let first = bench.urgent("s1", "c1");
    bench.signal(first.clone()).await;
    assert_eq!(bench.receiver.next().await.json()["data"]["conversation_id"], "c1");
    bench.signal(first).await;
    bench.signal(bench.urgent("s2", "c1")).await;
    bench.signal(bench.urgent("s3", "c2")).await;
    // Pages leave in the order of their signals: one for c1 would be here first.
    assert_eq!(bench.receiver.next().await.json()["data"]["conversation_id"], "c2");
    bench.told(Type::Paged, "c2").await;
    let both = |body: &serde_json::Value| body["incidents"].as_array().map(Vec::len) == Some(2);
    let body = service.until("/v1/incidents", both).await;
    let incidents = body["incidents"].as_array().unwrap();
    let one = incidents.iter().find(|incident| incident["conversation_id"] == "c1").unwrap();
    assert_eq!(one["signals"], "2");
    assert!(bench.receiver.rest().await.is_empty());
}

#[tokio::test]
async fn a_page_that_failed_is_tried_again_under_the_same_id() {
    let bench = Bench::with_floor().await;
    let _service = bench.start().await;
    bench.receiver.answer(&[(500, None)]);
    bench.signal(bench.urgent("s1", "c1")).await;
    let first = bench.receiver.next().await;
    bench.entry(result_of(1)).await;
    bench.wait_ms(3_000);
    let second = bench.receiver.next().await;
    assert_eq!(first.id(), second.id());
    assert_eq!(first.body, second.body);
    let verifier = Webhook::new(SECRET).unwrap();
    verifier.verify(&second.body, &second.headers).unwrap();
    let paged = bench.told(Type::Paged, "c1").await;
    assert_eq!(paged.page.unwrap().attempts, 2);
}

#[tokio::test]
async fn a_busy_receiver_is_left_alone_for_as_long_as_it_asks() {
    let bench = Bench::with_floor().await;
    let _service = bench.start().await;
    bench.receiver.answer(&[(429, Some("200"))]);
    bench.signal(bench.urgent("s1", "c1")).await;
    let first = bench.receiver.next().await;
    bench.entry(result_of(1)).await;
    bench.wait_ms(100_000);
    bench.signal(bench.urgent("s2", "c2")).await;
    assert_eq!(bench.receiver.next().await.json()["data"]["conversation_id"], "c2");
    bench.wait_ms(101_000);
    assert_eq!(bench.receiver.next().await.id(), first.id());
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_told_and_the_next_step_does_not_wait() {
    let bench = Bench::new().await;
    let settings = bench.floor().replace(".floor.", ".gone.")
        + &bench.floor()
        + r#"
        [escalation.teams.default.policies.default]
        steps = [{ destinations = ["gone"] }, { destinations = ["floor"] }]
    "#;
    bench.configure("default", &settings).await;
    let _service = bench.start().await;
    bench.receiver.answer(&[(410, None)]);
    bench.signal(bench.urgent("s1", "c1")).await;
    let gone = bench.receiver.next().await;
    let floor = bench.receiver.next().await;
    assert_ne!(gone.id(), floor.id());
    assert_eq!(floor.json()["type"], "zhili.incident.v1.escalated");
    assert_eq!(floor.json()["data"]["page"]["reason"], "step_failed");
    let failed = bench.told(Type::DeliveryFailed, "c1").await;
    assert_eq!(failed.note, "HTTP 410 Gone");
    assert_eq!(failed.page.unwrap().destination, "gone");
}

#[tokio::test]
async fn with_nobody_to_page_the_incident_is_exhausted_and_everybody_is_warned() {
    let bench = Bench::new().await;
    let service = bench.start().await;
    let (status, ready) = service.text("/readyz").await;
    assert_eq!(status, 200);
    assert!(ready.contains("warning: pages: nobody is reachable"), "{ready}");
    bench.signal(bench.urgent("s1", "c1")).await;
    let exhausted = bench.told(Type::Exhausted, "c1").await;
    assert_eq!(exhausted.incident.unwrap().exhausted_reason, "nobody_reachable");
    let body = service.until("/v1/incidents", |body| body["warnings"][1].is_string()).await;
    let warnings = body["warnings"].as_array().unwrap();
    assert!(warnings[0].as_str().unwrap().contains("nobody is reachable"), "{warnings:?}");
    assert!(warnings[1].as_str().unwrap().contains("inc_"), "{warnings:?}");

    // As soon as somebody can be paged, they are.
    bench.configure("default", &bench.floor()).await;
    let page = bench.receiver.next().await;
    assert_eq!(page.json()["data"]["page"]["reason"], "reconfigured");
    bench.told(Type::Paged, "c1").await;
    service.until("/v1/incidents", |body| body["warnings"] == serde_json::json!([])).await;
}

#[tokio::test]
async fn a_destination_that_keeps_failing_is_in_the_warnings_until_it_works() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    // Not before the warning was seen.
    bench.receiver.answer(&[(503, Some("200"))]);
    bench.signal(bench.urgent("s1", "c1")).await;
    bench.entry(result_of(1)).await;
    let warned = |body: &serde_json::Value| body["warnings"].to_string().contains("HTTP 503");
    service.until("/v1/incidents", warned).await;
    bench.wait_ms(201_000);
    bench.told(Type::Paged, "c1").await;
    service.until("/v1/incidents", |body| body["warnings"] == serde_json::json!([])).await;
}

#[tokio::test]
async fn a_private_address_is_refused_unless_it_is_meant() {
    let bench = Bench::new().await;
    let settings = bench.floor().replace("allow_private = true", "allow_private = false");
    bench.configure("default", &settings).await;
    let service = bench.start().await;
    bench.signal(bench.urgent("s1", "c1")).await;
    let failed = bench.told(Type::DeliveryFailed, "c1").await;
    assert!(failed.note.contains("allow_private"), "{}", failed.note);
    service.stop().await;
    let operator = zhili_escalation::Config {
        allow_private_destinations: true,
        ..zhili_escalation::Config::default()
    };
    let _service = bench.start_with(&Fuse::never(), operator).await;
    bench.signal(bench.urgent("s2", "c2")).await;
    assert_eq!(bench.receiver.next().await.json()["data"]["conversation_id"], "c2");
}

#[tokio::test]
async fn the_trace_of_the_message_goes_on_to_the_receiver() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut record = Bench::record(Entry::Signal(bench.urgent("s1", "c1")), "default");
    record.headers.push("traceparent", parent);
    bench.receiver.answer(&[(500, None)]);
    bench.put(topics::ESCALATION, record).await;
    // No tracer is installed here: the trace goes through unchanged.
    assert_eq!(bench.receiver.next().await.header("traceparent"), parent);
    bench.entry(result_of(1)).await;
    // A page that another process sends later belongs to it as well.
    service.stop().await;
    let _service = bench.start().await;
    bench.wait_ms(3_000);
    assert_eq!(bench.receiver.next().await.header("traceparent"), parent);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_a_dead_letter_and_holds_nothing_up() {
    let bench = Bench::with_floor().await;
    let _service = bench.start().await;
    let good = Bench::record(Entry::Signal(bench.urgent("s1", "c1")), "default");
    let at = TopicPartition::clone(&good.partition);
    bench.put(topics::ESCALATION, NewRecord::new(at, None, Bytes::from_static(b"\xff"))).await;
    let vague = pb::Signal { severity: 0, ..bench.urgent("s0", "c0") };
    bench.signal(vague).await;
    bench.put(topics::ESCALATION, good).await;
    assert_eq!(bench.receiver.next().await.json()["data"]["conversation_id"], "c1");
    assert_eq!(bench.all(topics::DEAD_LETTERS).await.len(), 2);
}

#[tokio::test]
async fn neither_address_nor_secret_of_a_webhook_gets_into_what_is_told() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    bench.receiver.answer(&[(404, None)]);
    bench.signal(bench.urgent("s1", "c1")).await;
    bench.told(Type::DeliveryFailed, "c1").await;
    let warned = |body: &serde_json::Value| body["warnings"].to_string().contains("HTTP 404");
    let body = service.until("/v1/incidents", warned).await;
    let (_, ready) = service.text("/readyz").await;
    assert!(ready.contains("HTTP 404"), "{ready}");
    let mut told = vec![body.to_string(), ready];
    for wrong in ["floor.webhook = 'https://hooks.example/t0ken'", "floor = 't0ken'"] {
        let bundle = format!("[escalation.teams.default.destinations]\n{wrong}");
        bench.configure("default", &bundle).await;
        let refused = |body: &serde_json::Value| body["warnings"].to_string().contains("line 2");
        told.push(service.until("/v1/incidents", refused).await.to_string());
        let (_, ready) = service.text("/readyz").await;
        assert!(ready.contains("line 2"), "{ready}");
        told.push(ready);
    }
    service.stop().await;
    for text in told {
        assert!(!text.contains("t0ken") && !text.contains("C2FVsBQ"), "{text}");
    }
    for topic in [topics::ESCALATION, topics::INCIDENTS] {
        for value in bench.all(topic).await {
            let text = String::from_utf8_lossy(&value).into_owned();
            assert!(!text.contains("t0ken") && !text.contains("C2FVsBQ"), "{topic}: {text}");
        }
    }
}
