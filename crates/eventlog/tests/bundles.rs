//! Which configuration is in force when several are published at once.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use prost::Message;
use redb::backends::InMemoryBackend;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::runner::{Bundles, Head, Published, publish_bundle, publish_bundle_after};
use zhili_eventlog::{EventLog, NewRecord, TopicPartition, topics};
use zhili_proto::log::v1::{ConfigEntry, config_entry};

async fn log() -> EmbeddedLog {
    let log = EmbeddedLog::open_on(InMemoryBackend::new, Arc::new(|| 0)).unwrap();
    log.ensure_topics(&topics::all(1)).await.unwrap();
    log
}

/// Appends a head as another process would that did not know of the others.
async fn append(log: &EmbeddedLog, key: &str, sequence: u64, bundle: &str) {
    let head = Head {
        bundle: bundle.to_owned(),
        sequence,
        changed_ms: 0,
        changed_by: "another process".to_owned(),
        previous: String::new(),
    };
    let entry = ConfigEntry { entry: Some(config_entry::Entry::Head(head.into())) };
    let record = NewRecord::new(
        TopicPartition::new(topics::CONFIG, 0),
        Bytes::from(key.to_owned()),
        Bytes::from(entry.encode_to_vec()),
    );
    log.append(vec![record]).await.remove(0).unwrap();
}

async fn in_force(log: &EmbeddedLog) -> (u64, String) {
    let head = Bundles::read(log).await.unwrap().head("acme").unwrap();
    (head.sequence, head.bundle)
}

#[tokio::test]
async fn the_first_head_of_a_sequence_stays_in_force() {
    let log = log().await;
    append(&log, "head/acme/7-a", 7, "first").await;
    append(&log, "head/acme/7-b", 7, "second").await;
    append(&log, "head/acme/6-c", 6, "earlier").await;
    assert_eq!(in_force(&log).await, (7, "first".to_owned()));
    append(&log, "head/acme/8-d", 8, "next").await;
    assert_eq!(in_force(&log).await, (8, "next".to_owned()));
}

#[tokio::test]
async fn a_head_under_the_name_of_its_tenant_alone_is_read() {
    let log = log().await;
    append(&log, "head/acme", 3, "old").await;
    assert_eq!(in_force(&log).await, (3, "old".to_owned()));
    let head = publish_bundle(&log, "acme", Bytes::from("new"), "test", 0).await.unwrap();
    assert_eq!((head.sequence, head.previous.as_str()), (4, "old"));
}

#[tokio::test]
async fn of_two_that_follow_the_same_bundle_one_is_in_force_and_the_other_is_told() {
    let log = log().await;
    let publish = |bundle: &'static str| {
        publish_bundle_after(&log, "acme", 0, Bytes::from(bundle), "test", 0)
    };
    let (one, other) = tokio::join!(publish("one"), publish("other"));
    let (one, other) = (one.unwrap(), other.unwrap());
    let (head, told) = match (&one, &other) {
        (Published::InForce(head), told) | (told, Published::InForce(head)) => (head, told),
        neither => panic!("{neither:?}"),
    };
    assert_eq!(told, &Published::Conflict(1));
    assert_eq!(in_force(&log).await, (1, head.bundle.clone()));
}

#[tokio::test]
async fn bundles_published_at_once_all_come_in_force_one_after_another() {
    let log = log().await;
    let names = ["a", "b", "c", "d"];
    let all = join_all(
        names.iter().map(|name| publish_bundle(&log, "acme", Bytes::from(*name), "test", 0)),
    );
    let sequences: BTreeSet<u64> =
        all.await.into_iter().map(|head| head.unwrap().sequence).collect();
    assert_eq!(sequences, BTreeSet::from([1, 2, 3, 4]));
}

#[tokio::test]
async fn a_bundle_that_was_in_force_is_known_to_its_tenant_alone() {
    let log = log().await;
    let mut names = Vec::new();
    for bundle in ["a", "b", "c"] {
        let head = publish_bundle(&log, "acme", Bytes::from(bundle), "test", 0).await.unwrap();
        names.push(head.bundle);
    }
    let bundles = Bundles::read(&log).await.unwrap();
    assert!(names.iter().all(|name| bundles.was_in_force("acme", name)));
    assert!(!names.iter().any(|name| bundles.was_in_force("other", name)));
}
