//! Live equals replay.

use serde_json::json;
use zhili_escalation::Incidents;
use zhili_eventlog::runner::{Bundles, Entry, Fold, Outputs};
use zhili_eventlog::{Record, topics};
use zhili_proto::escalation::v1::incident_event::Type;
use zhili_proto::escalation::v1::log_entry::Entry as Wire;

use crate::bench::Bench;

/// Folds a partition as the runner does, one record after the other.
fn fold(records: &[Record], bundles: &Bundles) -> Outputs {
    let mut fold = Incidents::default();
    let mut outputs = Outputs::new(2);
    let mut now_ms = 0;
    for record in records {
        let entry = fold.decode(record).unwrap();
        now_ms = now_ms.max(record.append_ms);
        if let Entry::Tick { at_ms } = entry {
            now_ms = now_ms.max(at_ms);
        }
        fold.advance(now_ms, &mut outputs);
        match entry {
            Entry::Input(input) => fold.apply(now_ms, record, input, &mut outputs),
            Entry::Marker(marker) => {
                let bundle = bundles.get(&marker.bundle).unwrap();
                fold.configure(now_ms, &marker, &bundle, &mut outputs).unwrap();
            }
            Entry::Erasure(erasure) => fold.erase(now_ms, &erasure, &mut outputs),
            Entry::Tick { .. } => {}
        }
        // What was saved anywhere goes on as if it had not been.
        let mut restored = Incidents::default();
        restored.load(&fold.save()).unwrap();
        assert_eq!(restored.hash(), fold.hash());
        fold = restored;
    }
    outputs
}

#[tokio::test]
async fn a_replay_of_the_log_tells_of_the_same_events_bit_for_bit() {
    let bench = Bench::new().await;
    let service = bench.start().await;
    bench.signal(bench.urgent("s1", "c1")).await;
    bench.told(Type::Exhausted, "c1").await;
    bench.receiver.answer(&[(500, None)]);
    bench.configure("default", &bench.floor()).await;
    bench.entry(|entry| matches!(entry, Wire::Result(_))).await;
    bench.wait_ms(3_000);
    let paged = bench.told(Type::Paged, "c1").await;
    // The step after the first one.
    bench.wait_ms(301_000);
    bench.told(Type::Escalated, "c1").await;
    service.stop().await;
    let service = bench.start().await;
    let id = paged.incident.unwrap().incident_id;
    for action in ["acknowledge", "resolve", "resolve"] {
        service.post(&format!("/v1/incidents/{id}:{action}"), json!({})).await;
    }
    service.stop().await;

    let bundles = Bundles::read(&bench.log).await.unwrap();
    let inputs = bench.records(topics::ESCALATION).await;
    let told = bench.records(topics::INCIDENTS).await;
    assert!(told.iter().flatten().count() >= 8);
    for (input, told) in inputs.iter().zip(told) {
        let outputs = fold(input, &bundles);
        let again = outputs.records().iter().map(|record| (&record.key, &record.value));
        let first = told.iter().map(|record| (&record.key, &record.value));
        assert!(again.eq(first), "the replay told otherwise");
    }
}
