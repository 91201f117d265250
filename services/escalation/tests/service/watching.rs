//! Streams of events.

use zhili_proto::escalation::v1 as pb;
use zhili_proto::escalation::v1::escalation_service_client::EscalationServiceClient;
use zhili_proto::escalation::v1::incident_event::Type;

use crate::bench::{Bench, Service};
use crate::receiver::PATIENCE;

async fn watch(
    service: &Service,
    token: &str,
    cursor: &str,
) -> tonic::Streaming<pb::WatchResponse> {
    let mut client = EscalationServiceClient::new(service.channel().await);
    let mut request = tonic::Request::new(pb::WatchRequest { cursor: cursor.into() });
    let token = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", token);
    client.watch(request).await.unwrap().into_inner()
}

/// The next response that is not a heartbeat.
async fn next(stream: &mut tonic::Streaming<pb::WatchResponse>) -> (pb::IncidentEvent, String) {
    let search = async {
        loop {
            let response = stream.message().await.unwrap().unwrap();
            if let Some(event) = response.event {
                return (event, response.cursor);
            }
        }
    };
    tokio::time::timeout(PATIENCE, search).await.expect("no event came")
}

#[tokio::test]
async fn a_watcher_goes_on_from_its_cursor_and_misses_nothing() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    bench.signal(bench.urgent("s1", "c1")).await;
    bench.told(Type::Paged, "c1").await;
    let mut stream = watch(&service, &service.token, "start").await;
    let (first, cursor) = next(&mut stream).await;
    assert_eq!(first.r#type(), Type::Triggered);
    drop(stream);
    // What happens while nobody watches is told from the log, what follows live.
    bench.signal(bench.urgent("s2", "c2")).await;
    bench.told(Type::Paged, "c2").await;
    let mut stream = watch(&service, &service.token, &cursor).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(next(&mut stream).await.0);
    }
    bench.signal(bench.urgent("s3", "c3")).await;
    for _ in 0..2 {
        seen.push(next(&mut stream).await.0);
    }
    let expected: Vec<String> =
        bench.events().await.into_iter().map(|event| event.event_id).skip(1).collect();
    assert_eq!(seen.into_iter().map(|event| event.event_id).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_watcher_hears_of_its_own_tenant_only() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    bench.signal(bench.urgent("s1", "c1")).await;
    bench.told(Type::Paged, "c1").await;
    let mut strange = watch(&service, &service.stranger, "start").await;
    bench.signal(bench.urgent("s2", "c2")).await;
    bench.told(Type::Paged, "c2").await;
    let theirs = pb::Signal { tenant: "other".into(), ..bench.urgent("s3", "c3") };
    bench.signal(theirs).await;
    assert_eq!(next(&mut strange).await.0.incident.unwrap().conversation_id, "c3");
}

#[tokio::test]
async fn a_cursor_of_something_else_is_refused() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    let (status, problem) = service.get("/v1/incidents:watch?cursor=abc").await;
    assert_eq!(status, 400);
    assert!(problem["detail"].as_str().unwrap().contains("start"), "{problem}");
}

#[tokio::test]
async fn a_browser_watches_by_server_sent_events() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    bench.signal(bench.urgent("s1", "c1")).await;
    bench.told(Type::Paged, "c1").await;
    let response = reqwest::Client::new()
        .get(service.url("/v1/incidents:watch?cursor=start"))
        .bearer_auth(&service.token)
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut response = response;
    let mut text = String::new();
    let read = async {
        while !text.contains("event: paged") {
            text += std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("no event came");
    assert!(
        text.contains("event: triggered") && text.contains("\"conversation_id\":\"c1\""),
        "{text}"
    );
    assert!(text.contains("event: heartbeat"), "told at once where it is: {text}");
    let triggered = text.split("\n\n").find(|it| it.contains("event: triggered")).unwrap();
    let cursor = triggered.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let mut stream = watch(&service, &service.token, cursor).await;
    assert_eq!(next(&mut stream).await.0.r#type(), Type::Paged);
}
