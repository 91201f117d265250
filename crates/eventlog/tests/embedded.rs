//! The embedded log behaves as every event log must, and survives its disk.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use redb::backends::InMemoryBackend;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::topics::{Cleanup, TopicSpec};
use zhili_eventlog::{
    Commit, Condemned, EventLog, LogError, Membership, NewRecord, Purged, ReadLimit, Rebalance,
    TopicPartition, system_clock,
};

mod disk;

use disk::Disk;

const TOPIC: TopicSpec =
    TopicSpec { name: "t", partitions: 1, cleanup: Cleanup::Delete { retention_ms: 1_000 } };

async fn in_memory(_test: &str) -> Option<Arc<dyn EventLog>> {
    let log = EmbeddedLog::open_on(InMemoryBackend::new, system_clock()).unwrap();
    Some(Arc::new(log))
}

mod conformance {
    use super::in_memory;
    zhili_eventlog::conformance!(in_memory);
}

fn at() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn record(value: &str) -> NewRecord {
    NewRecord::new(at(), None, Bytes::from(value.to_owned()))
}

fn once() -> ReadLimit {
    ReadLimit { wait: Duration::ZERO, ..ReadLimit::default() }
}

async fn values(log: &EmbeddedLog) -> Vec<String> {
    let start = log.bounds(&at()).await.unwrap().start;
    let batch = log.read(&at(), start, once()).await.unwrap();
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    batch.records.into_iter().map(|record| text(record.value.unwrap())).collect()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let log_id = {
        let log = EmbeddedLog::open(folder.path(), system_clock()).unwrap();
        log.ensure_topics(&[TOPIC]).await.unwrap();
        assert!(log.append(vec![record("a"), record("b")]).await.iter().all(Result::is_ok));
        log.topic("t").await.unwrap().log_id
    };
    let log = EmbeddedLog::open(folder.path(), system_clock()).unwrap();
    assert_eq!(log.topic("t").await.unwrap().log_id, log_id);
    assert_eq!(values(&log).await, ["a", "b"]);
}

#[tokio::test]
async fn a_second_owner_is_told_that_the_log_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let _log = EmbeddedLog::open(folder.path(), system_clock()).unwrap();
    let error = EmbeddedLog::open(folder.path(), system_clock()).err().unwrap();
    assert!(matches!(error, LogError::InUse(_)), "{error}");
}

#[tokio::test]
async fn append_times_are_the_clocks_equal_or_backward() {
    let time = Arc::new(AtomicI64::new(5_000));
    let clock = Arc::clone(&time);
    let log =
        EmbeddedLog::open_on(InMemoryBackend::new, Arc::new(move || clock.load(Ordering::SeqCst)))
            .unwrap();
    log.ensure_topics(&[TOPIC]).await.unwrap();
    for now in [5_000, 5_000, 4_000, 6_000] {
        time.store(now, Ordering::SeqCst);
        log.append(vec![record("x")]).await.remove(0).unwrap();
    }
    let batch = log.read(&at(), 0, once()).await.unwrap();
    let times: Vec<_> = batch.records.iter().map(|record| record.append_ms).collect();
    assert_eq!(times, [5_000, 5_000, 4_000, 6_000]);
}

#[tokio::test]
async fn retention_removes_whole_batches_from_the_front_only() {
    let time = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&time);
    let log =
        EmbeddedLog::open_on(InMemoryBackend::new, Arc::new(move || clock.load(Ordering::SeqCst)))
            .unwrap();
    log.ensure_topics(&[TOPIC]).await.unwrap();
    log.append(vec![record("a"), record("b")]).await;
    time.store(900, Ordering::SeqCst);
    log.append(vec![record("c")]).await;
    time.store(1_500, Ordering::SeqCst);
    log.apply_retention().await.unwrap();
    assert_eq!(values(&log).await, ["c"]);
    let bounds = log.bounds(&at()).await.unwrap();
    assert_eq!((bounds.start, bounds.end), (2, 3));
}

#[tokio::test]
async fn retention_keeps_up_with_however_much_is_old() {
    let time = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&time);
    let log =
        EmbeddedLog::open_on(InMemoryBackend::new, Arc::new(move || clock.load(Ordering::SeqCst)))
            .unwrap();
    log.ensure_topics(&[TOPIC]).await.unwrap();
    // Each of them is a batch, since nobody else appends at the same time.
    for _ in 0..2_100 {
        log.append(vec![record("a")]).await.remove(0).unwrap();
    }
    time.store(1_500, Ordering::SeqCst);
    log.append(vec![record("b")]).await.remove(0).unwrap();
    log.apply_retention().await.unwrap();
    assert_eq!(values(&log).await, ["b"]);
    assert_eq!(log.bounds(&at()).await.unwrap().start, 2_100);
}

#[tokio::test]
async fn tombstones_of_a_large_compacted_topic_all_go() {
    let time = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&time);
    let log =
        EmbeddedLog::open_on(InMemoryBackend::new, Arc::new(move || clock.load(Ordering::SeqCst)))
            .unwrap();
    log.ensure_topics(&[TopicSpec { cleanup: Cleanup::Compact, ..TOPIC }]).await.unwrap();
    let keyed = |number: usize| {
        let value = number.is_multiple_of(3).then(|| Bytes::from_static(b"1"));
        NewRecord::new(at(), Bytes::from(number.to_string()), value)
    };
    assert!(log.append((0..1_800).map(keyed).collect()).await.iter().all(Result::is_ok));
    time.store(25 * 60 * 60 * 1000, Ordering::SeqCst);
    log.apply_retention().await.unwrap();
    let batch = log.read(&at(), 0, once()).await.unwrap();
    assert_eq!(batch.records.len(), 600);
    assert!(batch.records.iter().all(|record| record.value.is_some()));
}

#[tokio::test]
async fn tombstones_of_a_compacted_topic_go_after_a_day() {
    let time = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&time);
    let log =
        EmbeddedLog::open_on(InMemoryBackend::new, Arc::new(move || clock.load(Ordering::SeqCst)))
            .unwrap();
    log.ensure_topics(&[TopicSpec { cleanup: Cleanup::Compact, ..TOPIC }]).await.unwrap();
    let keyed = |key: &str, value: Option<&str>| {
        NewRecord::new(
            at(),
            Bytes::from(key.to_owned()),
            value.map(|value| Bytes::from(value.to_owned())),
        )
    };
    log.append(vec![keyed("a", Some("1")), keyed("b", Some("2")), keyed("a", None)]).await;
    log.apply_retention().await.unwrap();
    let batch = log.read(&at(), 0, once()).await.unwrap();
    assert_eq!(batch.records.last().unwrap().value, None);
    time.store(25 * 60 * 60 * 1000, Ordering::SeqCst);
    log.apply_retention().await.unwrap();
    let batch = log.read(&at(), 0, once()).await.unwrap();
    assert_eq!(batch.records.len(), 1);
    assert_eq!(batch.records[0].key.as_deref(), Some(b"b".as_ref()));
}

#[tokio::test]
async fn what_a_reader_sees_survives_a_power_cut() {
    let disk = Disk::default();
    let log = disk.open();
    log.ensure_topics(&[TOPIC]).await.unwrap();
    for round in 0..20 {
        let (value, place) = (format!("{round}"), at());
        let (_, batch) = tokio::join!(
            log.append(vec![record(&value)]),
            log.read(&place, round, ReadLimit { wait: Duration::from_secs(30), ..once() }),
        );
        assert_eq!(batch.unwrap().records.len(), 1);
        let recovered = disk.after_power_cut().open();
        assert_eq!(values(&recovered).await.len() as u64, round + 1);
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let disk = Disk::default();
    let log = disk.open();
    log.ensure_topics(&[TOPIC]).await.unwrap();
    log.append(vec![record("before")]).await.remove(0).unwrap();
    disk.fill();
    let large = "x".repeat(1_000_000);
    let mut refused = 0;
    for _ in 0..20 {
        match log.append(vec![record(&large)]).await.remove(0) {
            Ok(_) => {}
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
    disk.make_room();
    let stored = log.bounds(&at()).await.unwrap().end;
    log.append(vec![record("after")]).await.remove(0).unwrap();
    assert_eq!(log.bounds(&at()).await.unwrap().end, stored + 1);
    let reopened = disk.after_power_cut().open();
    assert_eq!(reopened.bounds(&at()).await.unwrap().end, stored + 1);
}

#[tokio::test]
async fn an_append_whose_answer_was_lost_is_looked_up_in_the_file() {
    let disk = Disk::default();
    let log = disk.open();
    log.ensure_topics(&[TOPIC]).await.unwrap();
    disk.lie(1);
    // The disk stored it and said no; opened again, the file shows that it is there.
    let position = log.append(vec![record("a")]).await.remove(0).unwrap();
    assert_eq!(position.offset, 0);
    let position = log.append(vec![record("b")]).await.remove(0).unwrap();
    assert_eq!(position.offset, 1);
    assert_eq!(values(&log).await, ["a", "b"]);
    assert_eq!(values(&disk.after_power_cut().open()).await, ["a", "b"]);
}

#[tokio::test]
async fn an_outcome_that_cannot_be_looked_up_is_ambiguous_until_the_disk_answers() {
    let disk = Disk::default();
    let log = disk.open();
    log.ensure_topics(&[TOPIC]).await.unwrap();
    disk.lie(usize::MAX);
    let error = log.append(vec![record("a")]).await.remove(0).unwrap_err();
    assert!(matches!(error, LogError::Ambiguous(_)), "{error}");
    disk.lie(0);
    let position = log.append(vec![record("b")]).await.remove(0).unwrap();
    // It was stored after all, and what came next did not take its place.
    assert_eq!((position.offset, values(&log).await), (1, vec!["a".to_owned(), "b".to_owned()]));
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_ends_the_ownership_and_begins_another() {
    let disk = Disk::default();
    let log = disk.open();
    log.ensure_topics(&[TOPIC]).await.unwrap();
    log.append(vec![record("in")]).await.remove(0).unwrap();
    let membership = Membership { group: "g".into(), member: "m".into(), topics: vec!["t".into()] };
    let mut member = log.join(membership).await.unwrap();
    let Rebalance::Assigned(mut handles) = member.next().await.unwrap() else { panic!("assigned") };
    let handle = &mut handles[0];
    disk.lie(usize::MAX);
    let commit = Commit { outputs: vec![record("out")], offset: 1, metadata: String::new() };
    let error = handle.commit(commit.clone()).await.unwrap_err();
    assert!(matches!(error, LogError::Ambiguous(_)), "{error}");
    assert!(handle.revoked().is_cancelled());
    disk.lie(0);
    let error = handle.commit(commit).await.unwrap_err();
    assert!(matches!(error, LogError::Revoked(_)), "{error}");
    let Rebalance::Revoked(gone) = member.next().await.unwrap() else { panic!("revoked") };
    assert_eq!(gone, [at()]);
    let Rebalance::Assigned(mut handles) = member.next().await.unwrap() else { panic!("assigned") };
    // The file says what became of it: all or nothing.
    let expected: &[&str] =
        if handles[0].committed().is_some() { &["in", "out", "more"] } else { &["in", "more"] };
    let again = Commit { outputs: vec![record("more")], offset: 2, metadata: String::new() };
    handles[0].commit(again).await.unwrap();
    assert_eq!(values(&log).await, expected);
}

#[tokio::test]
async fn a_file_that_could_not_be_opened_again_is_tried_without_anybody_writing() {
    let disk = Disk::default();
    let log = disk.open();
    log.ensure_topics(&[TOPIC]).await.unwrap();
    log.append(vec![record("a")]).await.remove(0).unwrap();
    disk.lie(usize::MAX);
    log.append(vec![record("b")]).await.remove(0).unwrap_err();
    assert!(matches!(log.committed("g", &at()).await, Err(LogError::Unavailable(_))));
    disk.lie(0);
    // What was stored shows as soon as the file is open again.
    let wait = ReadLimit { wait: Duration::from_secs(60), ..ReadLimit::default() };
    let batch = log.read(&at(), 1, wait).await.unwrap();
    assert_eq!(batch.records[0].value.as_deref(), Some(&b"b"[..]));
    assert_eq!(log.committed("g", &at()).await.unwrap(), None);
}

#[tokio::test]
async fn a_commit_on_a_full_disk_changes_nothing_and_can_be_made_again() {
    let disk = Disk::default();
    let log = disk.open();
    log.ensure_topics(&[TOPIC]).await.unwrap();
    log.append(vec![record("in")]).await.remove(0).unwrap();
    let membership = Membership { group: "g".into(), member: "m".into(), topics: vec!["t".into()] };
    let mut member = log.join(membership).await.unwrap();
    let Rebalance::Assigned(mut handles) = member.next().await.unwrap() else { panic!("assigned") };
    let handle = &mut handles[0];
    disk.fill();
    let outputs: Vec<_> = (0..8).map(|_| record(&"x".repeat(1_000_000))).collect();
    let commit = Commit { outputs, offset: 1, metadata: String::new() };
    let error = handle.commit(commit.clone()).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(log.committed("g", &at()).await.unwrap(), None);
    assert_eq!(values(&log).await, ["in"]);
    disk.make_room();
    handle.commit(commit).await.unwrap();
    assert_eq!(log.bounds(&at()).await.unwrap().end, 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sees_a_position_sees_what_was_committed_with_it() {
    let log = EmbeddedLog::open_on(InMemoryBackend::new, system_clock()).unwrap();
    let output = TopicSpec { name: "out", ..TOPIC };
    log.ensure_topics(&[TOPIC, output]).await.unwrap();
    let rounds = 100;
    let input = (0..rounds).map(|_| record("a")).collect();
    assert!(log.append(input).await.iter().all(Result::is_ok));
    let membership = Membership { group: "g".into(), member: "m".into(), topics: vec!["t".into()] };
    let mut member = log.join(membership).await.unwrap();
    let Rebalance::Assigned(mut handles) = member.next().await.unwrap() else {
        panic!("nothing was assigned")
    };
    let to = TopicPartition::new("out", 0);
    let (reader, of_output) = (log.clone(), to.clone());
    let watcher = tokio::spawn(async move {
        for round in 1..=rounds {
            let seen = || async { reader.committed("g", &at()).await.unwrap() };
            while seen().await.is_none_or(|committed| committed.offset < round) {
                tokio::task::yield_now().await;
            }
            assert!(reader.bounds(&of_output).await.unwrap().end >= round);
        }
    });
    for offset in 1..=rounds {
        let outputs = vec![NewRecord::new(to.clone(), None, Bytes::from("b"))];
        let commit = Commit { outputs, offset, metadata: String::new() };
        handles[0].commit(commit).await.unwrap();
    }
    watcher.await.unwrap();
}

const COMPACTED: TopicSpec = TopicSpec { name: "c", partitions: 1, cleanup: Cleanup::Compact };

fn keyed(key: &str, value: &str) -> NewRecord {
    let key = Bytes::from(key.to_owned());
    NewRecord::new(TopicPartition::new("c", 0), key, Bytes::from(value.to_owned()))
}

/// Whether the bytes of the log's file hold a text.
fn file_holds(folder: &std::path::Path, text: &str) -> bool {
    let bytes = std::fs::read(folder.join("log.redb")).unwrap();
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn that_say(text: &'static str) -> Condemned {
    Arc::new(move |_, record| {
        let value = record.value.as_deref().unwrap_or_default();
        value.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[tokio::test]
async fn no_byte_of_what_was_purged_or_replaced_is_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path(), system_clock()).unwrap();
    log.ensure_topics(&[TOPIC, COMPACTED]).await.unwrap();
    let records = ["a", "of li lei", "b", "of li lei again", "c"].map(record).to_vec();
    assert!(log.append(records).await.iter().all(Result::is_ok));
    for value in ["of li lei as it was", "new"] {
        log.append(vec![keyed("k", value)]).await.remove(0).unwrap();
    }
    assert!(file_holds(folder.path(), "of li lei as it was"), "nothing to remove");
    let purged = log.purge(that_say("of li lei")).await.unwrap();
    assert_eq!(purged, Purged::Now { records: 2 });
    assert!(!file_holds(folder.path(), "li lei"));
    assert_eq!(values(&log).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn what_a_purge_leaves_keeps_its_offset_and_its_readers() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path(), system_clock()).unwrap();
    log.ensure_topics(&[TOPIC]).await.unwrap();
    log.append(["a", "gone", "b", "gone"].map(record).to_vec()).await.remove(0).unwrap();
    let membership = Membership { group: "g".into(), member: "m".into(), topics: vec!["t".into()] };
    let mut member = log.join(membership).await.unwrap();
    let Rebalance::Assigned(mut handles) = member.next().await.unwrap() else { panic!("assigned") };
    let first = handles[0].fetch(ReadLimit { records: 1, ..once() }).await.unwrap();
    assert_eq!(first.next, 1);
    log.purge(that_say("gone")).await.unwrap();
    let rest = handles[0].fetch(once()).await.unwrap();
    let offsets: Vec<u64> = rest.records.iter().map(|record| record.offset).collect();
    assert_eq!((offsets, rest.next, rest.caught_up), (vec![2], 4, true));
    let commit = Commit { outputs: vec![record("out")], offset: 4, metadata: String::new() };
    handles[0].commit(commit).await.unwrap();
    assert_eq!(log.bounds(&at()).await.unwrap().end, 5);
    assert_eq!(values(&log).await, ["a", "b", "out"]);
    drop((handles, member, log));
    let log = EmbeddedLog::open(folder.path(), system_clock()).unwrap();
    assert_eq!(values(&log).await, ["a", "b", "out"]);
    assert_eq!(log.committed("g", &at()).await.unwrap().unwrap().offset, 4);
}

#[tokio::test]
async fn a_purge_that_was_cut_off_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let unfinished = folder.path().join("log.redb.new");
    std::fs::write(&unfinished, "half of a log").unwrap();
    let _log = EmbeddedLog::open(folder.path(), system_clock()).unwrap();
    assert!(!unfinished.exists());
}

#[tokio::test]
async fn a_copy_is_the_log_of_one_moment_with_its_groups() {
    let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = EmbeddedLog::open(folder.path(), system_clock()).unwrap();
    log.ensure_topics(&[TOPIC, COMPACTED]).await.unwrap();
    log.append(vec![record("a"), keyed("k", "1"), keyed("k", "2")]).await.remove(0).unwrap();
    log.copy_to(copy.path()).await.unwrap();
    log.append(vec![record("later")]).await.remove(0).unwrap();
    assert!(matches!(log.copy_to(copy.path()).await, Err(LogError::Refused(_))));
    let copied = EmbeddedLog::open(copy.path(), system_clock()).unwrap();
    assert_eq!(values(&copied).await, ["a"]);
    assert_eq!(copied.topic("t").await.unwrap(), log.topic("t").await.unwrap());
    copied.append(vec![keyed("k", "3")]).await.remove(0).unwrap();
    let compacted = TopicPartition::new("c", 0);
    let batch = copied.read(&compacted, 0, once()).await.unwrap();
    assert_eq!(batch.records.len(), 1, "the copy knows which record a key's new one replaces");
}

#[tokio::test]
async fn append_times_are_the_same_from_memory_and_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let time = Arc::new(AtomicI64::new(0));
    // Goes on whenever it is looked at.
    let clock = || -> zhili_eventlog::Clock {
        let time = Arc::clone(&time);
        Arc::new(move || time.fetch_add(1, Ordering::SeqCst))
    };
    let times = async |log: &EmbeddedLog| -> Vec<i64> {
        let batch = log.read(&at(), 0, once()).await.unwrap();
        batch.records.iter().map(|record| record.append_ms).collect()
    };
    let log = EmbeddedLog::open(folder.path(), clock()).unwrap();
    let kept = TopicSpec { cleanup: Cleanup::Delete { retention_ms: 86_400_000 }, ..TOPIC };
    log.ensure_topics(&[kept]).await.unwrap();
    // More than one commit can take at once, so that some are written together.
    let appends = (0..200).map(|_| log.append(vec![record("a")]));
    for results in futures::future::join_all(appends).await {
        assert!(results.iter().all(Result::is_ok));
    }
    let live = times(&log).await;
    assert_eq!(live.len(), 200);
    drop(log);
    let log = EmbeddedLog::open(folder.path(), clock()).unwrap();
    assert_eq!(times(&log).await, live);
}
