//! One trace from the publisher to the person on call.

use std::collections::BTreeSet;
use std::time::Duration;

use zhili_tests::{Collector, Options, Receiver, Span, System, eventually, has_library, samples};

const PATIENCE: Duration = Duration::from_secs(60);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PUBLISHER: &str = "00f067aa0ba902b7";

/// What a span is about, in a word that a person knows.
fn place(span: &Span) -> Option<String> {
    match (span.name.as_str(), span.attribute("fold")) {
        ("/v1/events", _) => Some("ingest".to_owned()),
        (_, Some(fold)) => Some(fold.to_owned()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_the_publisher_is_seen_up_to_the_webhook() {
    if !has_library("the_trace_of_the_publisher_is_seen_up_to_the_webhook") {
        return;
    }
    let pages = Receiver::start().await;
    let collector = Collector::start().await;
    let mut system = System::start(Options {
        webhook: Some(pages.target()),
        otlp: Some(collector.url()),
        ..Options::default()
    });
    let urgent = serde_json::json!({
        "event_id": "m-1", "source": "desk", "conversation_id": "c-1", "type": "message",
        "sent_at": samples::now(), "customer": {"id": "k"}, "author": {"id": "k", "role": "customer"},
        "text": "我已经委托了律师，明天律师函就到，再不退款就打12315投诉",
    });
    let parent = format!("00-{TRACE}-{PUBLISHER}-01");
    let answer = system.post(&[urgent], &[("traceparent", &parent)]).await.unwrap();
    assert_eq!(answer["accepted"], 1, "{answer}");

    let page = eventually("a page", PATIENCE, async || pages.pages().pop()).await;
    let carried = page.traceparent.expect("the page carries a traceparent");
    let parts: Vec<&str> = carried.split('-').collect();
    assert_eq!((parts[0], parts[1]), ("00", TRACE), "{carried}");

    let spans = eventually("spans of all parts", PATIENCE, async || {
        let spans = collector.trace(TRACE);
        let places: BTreeSet<String> = spans.iter().filter_map(place).collect();
        let sender = spans.iter().any(|span| span.span_id == parts[2]);
        let all = ["ingest", "scoring", "escalation"].iter().all(|it| places.contains(*it));
        (all && sender).then_some(spans)
    })
    .await;
    // Every span of the trace leads back to the publisher.
    let known: BTreeSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
    for span in &spans {
        let led = span.parent_id == PUBLISHER || known.contains(span.parent_id.as_str());
        assert!(led, "{} has no parent in the trace: {spans:#?}", span.name);
    }
    eprintln!("{} spans of the publisher's trace, the page among them", spans.len());
    assert!(system.stop().success());
}
