use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::sync::mpsc;
use tonic::{Code, Request, Status};
use zhili_ingest::{Config, Limits};
use zhili_proto::conversation::v1::{
    Event, EventType, PublishRequest, PublishResult, PublishStreamRequest, publish_result,
};

use crate::support::{Running, event, event_of};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn offset(result: &PublishResult) -> u64 {
    match &result.outcome {
        Some(publish_result::Outcome::Ack(ack)) => ack.offset,
        other => panic!("{other:?}"),
    }
}

fn batch(events: Vec<Event>) -> PublishRequest {
    PublishRequest { events }
}

fn pushback(status: &Status) -> Option<&str> {
    status.metadata().get("grpc-retry-pushback-ms")?.to_str().ok()
}

#[tokio::test]
async fn results_come_in_order_and_a_rejection_leaves_the_rest_standing() {
    let service = Running::start().await;
    let mut client = service.client().await;
    let bad = Event { tenant: "other".to_owned(), ..event("m-2", "c-1") };
    let typing = Event { r#type: EventType::Typing.into(), ..event("m-3", "c-1") };
    let request = batch(vec![event("m-1", "c-1"), bad, typing, event("m-4", "c-1")]);
    let response = client.publish(request).await.unwrap().into_inner();
    assert_eq!(response.accepted, 3);
    let ids: Vec<_> = response.results.iter().map(|result| result.event_id.as_str()).collect();
    assert_eq!(ids, ["m-1", "m-2", "m-3", "m-4"]);
    assert_eq!((offset(&response.results[0]), offset(&response.results[3])), (0, 1));
    let Some(publish_result::Outcome::Rejection(rejection)) = &response.results[1].outcome else {
        panic!("{response:?}")
    };
    assert_eq!((rejection.field.as_str(), rejection.code.as_str()), ("tenant", "not_allowed"));
    let Some(publish_result::Outcome::Ack(ack)) = &response.results[2].outcome else {
        panic!("{response:?}")
    };
    assert!(ack.dropped && ack.topic.is_empty());
}

#[tokio::test]
async fn a_publisher_needs_a_token_and_the_right() {
    let service = Running::start().await;
    let mut unknown = service.client_as("Bearer nobody").await;
    let status = unknown.publish(batch(vec![])).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let mut analyst = service.client_of_analyst().await;
    let status = analyst.publish(batch(vec![event("m-1", "c-1")])).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let empty = stream::iter(Vec::<PublishStreamRequest>::new());
    let status = analyst.publish_stream(empty).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_batch_beyond_a_limit_is_an_invalid_argument_that_names_it() {
    let service = Running::start().await;
    let mut client = service.client().await;
    let many = batch(vec![Event::default(); 1001]);
    let status = client.publish(many).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("1000"), "{status}");
    let fit = client.publish(batch(vec![Event::default(); 1000])).await.unwrap().into_inner();
    assert_eq!(fit.results.len(), 1000);
    let large = Event { text: "x".repeat(4 << 20), ..event("m-1", "c-1") };
    let status = client.publish(batch(vec![large.clone()])).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains("4194304"), "{status}");
    let batches = stream::iter([PublishStreamRequest { events: vec![large] }]);
    let mut answers = client.publish_stream(batches).await.unwrap().into_inner();
    let status = answers.message().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains("4194304"), "{status}");
}

#[tokio::test]
async fn beyond_the_budget_a_call_is_refused_with_a_hint() {
    let limits = Limits { batch_bytes: 2000, batch_events: 1, ..Limits::default() };
    let config = Config { limits, budget_bytes: 10_048, ..Config::default() };
    let service = Running::with(config).await;
    let (mut one, mut other) = (service.client().await, service.client().await);
    let large = batch(vec![Event { text: "x".repeat(1200), ..event("m-1", "c-1") }]);
    service.log.hold(true);
    let refused = async {
        service.log.appends(1).await;
        let outcome = other.publish(large.clone()).await;
        service.log.hold(false);
        outcome
    };
    let (taken, refused) = tokio::join!(one.publish(large.clone()), refused);
    assert_eq!(taken.unwrap().into_inner().accepted, 1);
    let status = refused.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(pushback(&status), Some("1000"));
}

#[tokio::test]
async fn beyond_its_quota_a_call_is_refused_with_a_hint_and_a_stream_is_slowed_down() {
    let config = Config { tenant_events_per_s: 10, ..Config::default() };
    let service = Running::with(config).await;
    let mut client = service.client().await;
    let events = |from: usize| (from..from + 15).map(|n| event(&format!("m-{n}"), "c-1")).collect();
    client.publish(batch(events(0))).await.unwrap();
    let status = client.publish(batch(events(15))).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let hint: u64 = pushback(&status).unwrap().parse().unwrap();
    assert!((1..=500).contains(&hint), "{hint} ms");

    let batches = stream::iter([PublishStreamRequest { events: events(15) }]);
    let mut answers = client.publish_stream(batches).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().accepted, 15);
    assert!(answers.message().await.unwrap().is_none());
}

#[tokio::test]
async fn a_log_that_fails_is_unavailable_with_a_hint() {
    let service = Running::start().await;
    let mut client = service.client().await;
    service.log.fail(true);
    let status = client.publish(batch(vec![event("m-1", "c-1")])).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(pushback(&status), Some("1000"));
    service.log.fail(false);
    client.publish(batch(vec![event("m-1", "c-1")])).await.unwrap();
}

#[tokio::test]
async fn the_callers_trace_reaches_the_record_and_anything_else_does_not() {
    let service = Running::start().await;
    let mut client = service.client().await;
    for (n, header) in [TRACE, "16000001234"].into_iter().enumerate() {
        let mut request = Request::new(batch(vec![event(&format!("m-{n}"), "c-1")]));
        request.metadata_mut().insert("traceparent", header.parse().unwrap());
        client.publish(request).await.unwrap();
    }
    let records = service.log.records().await;
    assert_eq!(records[0].1.headers.text("traceparent"), Some(TRACE));
    assert_eq!(records[1].1.headers.text("traceparent"), None);
}

#[tokio::test]
async fn a_stream_keeps_its_order_in_answers_and_in_the_log_however_busy_that_is() {
    let config = Config { stream_in_flight: 3, ..Config::default() };
    let service = Running::with(config).await;
    let mut client = service.client().await;
    let batches = stream::iter(
        (0..10).map(|n| PublishStreamRequest { events: vec![event(&format!("m-{n}"), "c-1")] }),
    );
    service.log.hold(true);
    let mut answers = client.publish_stream(batches).await.unwrap().into_inner();
    service.log.appends(1).await;
    service.log.hold(false);
    for n in 0..10 {
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!(answer.accepted, 1);
        assert_eq!(answer.results[0].event_id, format!("m-{n}"));
        assert_eq!(offset(&answer.results[0]), n);
    }
    assert!(answers.message().await.unwrap().is_none());
    let ids: Vec<_> =
        service.log.records().await.iter().map(|(_, record)| event_of(record).event_id).collect();
    assert_eq!(ids, (0..10).map(|n| format!("m-{n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_long_stream_gives_its_bytes_back_as_it_is_answered() {
    let limits = Limits { batch_bytes: 2000, batch_events: 1, ..Limits::default() };
    let config = Config { limits, budget_bytes: 40_192, stream_in_flight: 2, ..Config::default() };
    let service = Running::with(config).await;
    let mut client = service.client().await;
    let (batches, received) = mpsc::channel(1);
    let requests = stream::unfold(received, |mut received| async move {
        received.recv().await.map(|batch| (batch, received))
    });
    let mut answers = client.publish_stream(requests).await.unwrap().into_inner();
    for n in 0..40 {
        let event = Event { text: "x".repeat(1500), ..event(&format!("m-{n}"), "c-1") };
        batches.send(PublishStreamRequest { events: vec![event] }).await.unwrap();
        assert_eq!(answers.message().await.unwrap().unwrap().accepted, 1);
    }
}

#[tokio::test]
async fn a_stream_ends_with_a_reason_when_the_service_stops() {
    let service = Running::start().await;
    let mut client = service.client().await;
    let first = PublishStreamRequest { events: vec![event("m-1", "c-1")] };
    let endless = stream::iter([first]).chain(stream::pending());
    let mut answers = client.publish_stream(endless).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().accepted, 1);
    service.shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), answers.message()).await.unwrap();
    let status = ended.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("stopping"), "{status}");
}

/// The beginning of a message of 4 MB.
fn beginning(of: &[u8]) -> Vec<u8> {
    let length = 4_000_000_u32.to_be_bytes();
    [&[0], length.as_slice(), of].concat()
}

#[tokio::test]
async fn too_many_events_are_refused_before_the_rest_of_them_is_there() {
    let service = Running::start().await;
    let begun = beginning(&[0x0a, 0x00].repeat(1001));
    for call in ["Publish", "PublishStream"] {
        let status = service.publish_and_stall(call, begun.clone()).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains("more than 1000 events"), "{status}");
    }
}

#[tokio::test]
async fn a_message_that_stops_half_way_ends_its_call_and_gives_its_bytes_back() {
    let service = Running::with(Config { idle_timeout_ms: 20, ..Config::default() }).await;
    for call in ["Publish", "PublishStream"] {
        let status = service.publish_and_stall(call, beginning(&[0x0a, 0x7f, 0x0a])).await;
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
        assert!(status.message().contains("nothing came"), "{status}");
    }
    service.metric("zhili_ingest_in_flight_bytes 0").await;
}

#[tokio::test]
async fn a_stream_whose_answers_nobody_reads_ends_and_gives_its_bytes_back() {
    let config = Config { idle_timeout_ms: 20, stream_in_flight: 1, ..Config::default() };
    let service = Running::with(config).await;
    let mut client = service.client().await;
    // Answers for a thousand events fill the window of a stream of HTTP/2, which has 64 KiB.
    let full = PublishStreamRequest { events: vec![Event::default(); 1000] };
    let mut answers = client.publish_stream(stream::repeat(full)).await.unwrap().into_inner();
    service.metric("zhili_ingest_requests_refused_total{reason=\"stalled\"} 1").await;
    service.metric("zhili_ingest_in_flight_bytes 0").await;
    let status = loop {
        match answers.message().await {
            Ok(answer) => assert!(answer.is_some(), "the stream ended as if all was well"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(status.message().contains("no answer of the stream was read"), "{status}");
}
