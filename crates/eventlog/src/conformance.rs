//! The behaviour of an event log as tests that every home must pass.
//!
//! Each function takes a log that holds nothing of the names it uses and panics when the log
//! misbehaves; `conformance!` makes a test of each. What needs a fault injected (disk full,
//! answers lost) is tested beside each home, because the faults differ.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::needless_pass_by_value,
    missing_docs
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::log::{MAX_METADATA_BYTES, MAX_RECORD_BYTES};
use crate::topics::{Cleanup, TopicSpec};
use crate::{
    Batch, Commit, EventLog, Headers, LogError, Membership, NewRecord, PartitionHandle, ReadLimit,
    Rebalance, TopicPartition,
};

/// How long anything may take that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

type Log = Arc<dyn EventLog>;

/// Makes a test of every function of the suite; `$make` is an async function from the test's
/// name to a log.
#[macro_export]
macro_rules! conformance {
    ($make:path) => {
        $crate::conformance!($make;
            topics_are_created_once_and_checked_afterwards
            records_of_one_partition_keep_their_order
            null_empty_and_headers_come_back_as_they_were
            a_tombstone_is_a_record_without_value
            compaction_keeps_the_last_record_of_each_key
            too_large_a_record_is_refused_and_the_others_stand
            the_largest_record_is_taken
            metadata_is_kept_with_the_position_and_bounded
            a_position_outside_of_the_log_is_an_error_both_ways
            the_log_can_start_inside_of_what_was_appended_at_once
            a_read_at_the_end_waits_for_the_next_record
            a_first_start_reads_from_the_beginning
            outputs_and_position_of_a_commit_become_visible_together
            a_restart_goes_on_at_the_committed_position
            a_second_member_takes_its_share
            a_member_that_left_cannot_commit
            a_stale_commit_is_refused_and_leaves_nothing_behind
            a_slow_subscriber_holds_up_nobody
            every_record_is_read_once_through_rebalances
        );
    };
    ($make:path; $($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(log) = $make(stringify!($name)).await else { return };
                $crate::conformance::$name(log).await;
            }
        )*
    };
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited for {what}"))
}

/// Topics named after the test, so that tests can share one log.
async fn topic(log: &Log, name: &str, partitions: u32) -> Arc<str> {
    make_topic(log, name, partitions, Cleanup::Delete { retention_ms: 86_400_000 }).await
}

async fn make_topic(log: &Log, name: &str, partitions: u32, cleanup: Cleanup) -> Arc<str> {
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    soon("a topic", log.ensure_topics(&[TopicSpec { name, partitions, cleanup }])).await.unwrap();
    Arc::from(name)
}

fn record(topic: &Arc<str>, partition: u32, value: impl ToString) -> NewRecord {
    NewRecord::new(
        TopicPartition::new(Arc::clone(topic), partition),
        None,
        Some(Bytes::from(value.to_string())),
    )
}

async fn append(log: &Log, records: Vec<NewRecord>) -> Vec<u64> {
    let positions = soon("an append", log.append(records)).await;
    positions.into_iter().map(|position| position.unwrap().offset).collect()
}

fn now() -> ReadLimit {
    ReadLimit { wait: Duration::ZERO, ..ReadLimit::default() }
}

fn patient() -> ReadLimit {
    ReadLimit { wait: Duration::from_millis(200), ..ReadLimit::default() }
}

fn texts(batch: &Batch) -> Vec<String> {
    batch
        .records
        .iter()
        .map(|record| String::from_utf8(record.value.clone().unwrap_or_default().to_vec()).unwrap())
        .collect()
}

async fn read_all(log: &Log, partition: &TopicPartition) -> Vec<String> {
    let mut at = log.bounds(partition).await.unwrap().start;
    let mut all = Vec::new();
    loop {
        let batch = soon("a read", log.read(partition, at, patient())).await.unwrap();
        all.extend(texts(&batch));
        at = batch.next;
        if batch.caught_up && batch.records.is_empty() {
            return all;
        }
    }
}

async fn join(
    log: &Log,
    group: &str,
    member: &str,
    topic: &Arc<str>,
) -> Box<dyn crate::GroupMember> {
    let membership = Membership {
        group: group.to_owned(),
        member: member.to_owned(),
        topics: vec![topic.to_string()],
    };
    soon("joining", log.join(membership)).await.unwrap()
}

/// Waits until the member was given `count` partitions.
async fn assigned(
    member: &mut Box<dyn crate::GroupMember>,
    count: usize,
) -> Vec<Box<dyn PartitionHandle>> {
    let mut handles: Vec<Box<dyn PartitionHandle>> = Vec::new();
    while handles.len() < count {
        match soon("an assignment", member.next()).await.unwrap() {
            Rebalance::Assigned(more) => handles.extend(more),
            Rebalance::Revoked(gone) => {
                handles.retain(|handle| !gone.contains(handle.partition()));
            }
        }
    }
    handles
}

async fn fetch_until(handle: &mut Box<dyn PartitionHandle>, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        let batch = soon("records", handle.fetch(patient())).await.unwrap();
        all.extend(texts(&batch));
    }
    all
}

pub async fn topics_are_created_once_and_checked_afterwards(log: Log) {
    let name = topic(&log, "conf-create", 3).await;
    let first = log.topic(&name).await.unwrap();
    assert_eq!(first.partitions, 3);
    assert!(!first.compacted);
    topic(&log, "conf-create", 3).await;
    assert_eq!(log.topic(&name).await.unwrap().log_id, first.log_id);
    let other = TopicSpec {
        name: "conf-create",
        partitions: 4,
        cleanup: Cleanup::Delete { retention_ms: 86_400_000 },
    };
    let error = log.ensure_topics(&[other]).await.unwrap_err();
    assert!(matches!(error, LogError::TopicMismatch { .. }), "{error}");
    let error = log.topic("conf-nothing").await.unwrap_err();
    assert!(matches!(error, LogError::UnknownTopic(_)), "{error}");
}

pub async fn records_of_one_partition_keep_their_order(log: Log) {
    let name = topic(&log, "conf-order", 2).await;
    let mut expected = [Vec::new(), Vec::new()];
    for round in 0..20 {
        let mut records = Vec::new();
        for index in 0..10 {
            let partition = (index % 2) as u32;
            let value = format!("{round}-{index}");
            expected[partition as usize].push(value.clone());
            records.push(record(&name, partition, value));
        }
        append(&log, records).await;
    }
    for partition in 0..2 {
        let read = read_all(&log, &TopicPartition::new(Arc::clone(&name), partition)).await;
        assert_eq!(read, expected[partition as usize]);
    }
}

pub async fn null_empty_and_headers_come_back_as_they_were(log: Log) {
    let name = topic(&log, "conf-shapes", 1).await;
    let at = TopicPartition::new(name, 0);
    let mut headers = Headers::default();
    headers.push("traceparent", "00-a-b-01");
    headers.push("twice", "1");
    headers.push("twice", "2");
    headers.push("empty", "");
    let mut with_headers = NewRecord::new(at.clone(), Bytes::from("k"), Bytes::from("v"));
    with_headers.headers = headers.clone();
    let records = vec![
        NewRecord::new(at.clone(), None, None),
        NewRecord::new(at.clone(), Bytes::new(), Bytes::new()),
        NewRecord::new(at.clone(), None, Bytes::from("v")),
        with_headers,
    ];
    append(&log, records.clone()).await;
    let batch = log.read(&at, 0, patient()).await.unwrap();
    assert_eq!(batch.records.len(), 4);
    for (read, written) in batch.records.iter().zip(&records) {
        assert_eq!((&read.key, &read.value), (&written.key, &written.value));
        assert_eq!(read.headers, written.headers);
        assert!(read.append_ms > 0);
    }
    assert_eq!(batch.records[3].headers.text("twice"), Some("2"));
    assert_eq!(batch.records[3].headers.text("absent"), None);
}

pub async fn a_tombstone_is_a_record_without_value(log: Log) {
    let name = make_topic(&log, "conf-tombstone", 1, Cleanup::Compact).await;
    let at = TopicPartition::new(name, 0);
    let key = Bytes::from("k");
    append(&log, vec![NewRecord::new(at.clone(), key.clone(), Bytes::from("v"))]).await;
    append(&log, vec![NewRecord::new(at.clone(), key.clone(), None)]).await;
    let batch = log.read(&at, log.bounds(&at).await.unwrap().start, patient()).await.unwrap();
    let last = batch.records.last().unwrap();
    assert_eq!((last.key.as_ref(), last.value.as_ref()), (Some(&key), None));
}

pub async fn compaction_keeps_the_last_record_of_each_key(log: Log) {
    let name = make_topic(&log, "conf-compact", 1, Cleanup::Compact).await;
    let at = TopicPartition::new(name, 0);
    for round in 0..5 {
        for key in ["a", "b"] {
            let value = Bytes::from(format!("{key}{round}"));
            append(&log, vec![NewRecord::new(at.clone(), Bytes::from(key), value)]).await;
        }
    }
    let read = read_all(&log, &at).await;
    // When older records go is the log's own business; the last ones are always there, last.
    assert!(read.ends_with(&["a4".to_owned(), "b4".to_owned()]), "{read:?}");
}

pub async fn too_large_a_record_is_refused_and_the_others_stand(log: Log) {
    let name = topic(&log, "conf-large", 1).await;
    let huge = "x".repeat(MAX_RECORD_BYTES + 1);
    let results = log
        .append(vec![record(&name, 0, "a"), record(&name, 0, huge.clone()), record(&name, 0, "b")])
        .await;
    assert!(results[0].is_ok() && results[2].is_ok());
    assert!(matches!(results[1], Err(LogError::TooLarge { .. })), "{:?}", results[1]);
    let at = TopicPartition::new(Arc::clone(&name), 0);
    assert_eq!(read_all(&log, &at).await, ["a", "b"]);

    let mut member = join(&log, "conf-large", "m", &name).await;
    let mut handle = assigned(&mut member, 1).await.remove(0);
    let commit =
        Commit { outputs: vec![record(&name, 0, huge)], offset: 1, metadata: String::new() };
    let error = handle.commit(commit).await.unwrap_err();
    assert!(matches!(error, LogError::TooLarge { .. }), "{error}");
}

pub async fn the_largest_record_is_taken(log: Log) {
    let name = topic(&log, "conf-largest", 1).await;
    let value = "x".repeat(MAX_RECORD_BYTES);
    append(&log, vec![record(&name, 0, &value)]).await;
    let read = read_all(&log, &TopicPartition::new(name, 0)).await;
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].len(), MAX_RECORD_BYTES);
}

pub async fn metadata_is_kept_with_the_position_and_bounded(log: Log) {
    let name = topic(&log, "conf-metadata", 1).await;
    let at = TopicPartition::new(Arc::clone(&name), 0);
    append(&log, vec![record(&name, 0, "a")]).await;
    assert_eq!(log.committed("conf-metadata", &at).await.unwrap(), None);
    let mut member = join(&log, "conf-metadata", "m", &name).await;
    let mut handle = assigned(&mut member, 1).await.remove(0);
    assert_eq!(handle.committed(), None);
    let longest = "p".repeat(MAX_METADATA_BYTES);
    for metadata in ["", "pending=0-0", &longest] {
        let commit = Commit { outputs: Vec::new(), offset: 1, metadata: metadata.to_owned() };
        soon("a commit", handle.commit(commit)).await.unwrap();
        let committed = log.committed("conf-metadata", &at).await.unwrap().unwrap();
        assert_eq!((committed.offset, committed.metadata.as_str()), (1, metadata));
    }
    for metadata in ["p".repeat(MAX_METADATA_BYTES + 1), "知".to_owned(), "a\nb".to_owned()] {
        let commit = Commit { outputs: Vec::new(), offset: 1, metadata };
        let error = handle.commit(commit).await.unwrap_err();
        assert!(matches!(error, LogError::InvalidMetadata(_)), "{error}");
    }
}

pub async fn a_position_outside_of_the_log_is_an_error_both_ways(log: Log) {
    let name = topic(&log, "conf-range", 1).await;
    let at = TopicPartition::new(Arc::clone(&name), 0);
    append(&log, (0..10).map(|n| record(&name, 0, n)).collect()).await;
    log.trim(&at, 4).await.unwrap();
    for offset in [3, 11] {
        let error = soon("a refusal", log.read(&at, offset, patient())).await.unwrap_err();
        assert!(matches!(error, LogError::OutOfRange { .. }), "{offset}: {error}");
    }
    let batch = log.read(&at, 10, now()).await.unwrap();
    assert!(batch.records.is_empty() && batch.caught_up);
    let unknown = TopicPartition::new(name, 1);
    let error = log.bounds(&unknown).await.unwrap_err();
    assert!(matches!(error, LogError::UnknownPartition(_)), "{error}");
}

pub async fn the_log_can_start_inside_of_what_was_appended_at_once(log: Log) {
    let name = topic(&log, "conf-start", 1).await;
    let at = TopicPartition::new(Arc::clone(&name), 0);
    append(&log, (0..10).map(|n| record(&name, 0, n)).collect()).await;
    log.trim(&at, 4).await.unwrap();
    let bounds = log.bounds(&at).await.unwrap();
    assert_eq!((bounds.start, bounds.end), (4, 10));
    assert_eq!(read_all(&log, &at).await, ["4", "5", "6", "7", "8", "9"]);
    append(&log, vec![record(&name, 0, "10")]).await;
    assert_eq!(read_all(&log, &at).await.len(), 7);
    let mut member = join(&log, "conf-start", "m", &name).await;
    let mut handle = assigned(&mut member, 1).await.remove(0);
    assert_eq!(fetch_until(&mut handle, 7).await[0], "4");
}

pub async fn a_read_at_the_end_waits_for_the_next_record(log: Log) {
    let name = topic(&log, "conf-wait", 1).await;
    let at = TopicPartition::new(Arc::clone(&name), 0);
    append(&log, vec![record(&name, 0, "a")]).await;
    let limit = ReadLimit { wait: PATIENCE, ..ReadLimit::default() };
    let reader = {
        let (log, at) = (Arc::clone(&log), at.clone());
        tokio::spawn(async move { log.read(&at, 1, limit).await.unwrap() })
    };
    append(&log, vec![record(&name, 0, "b")]).await;
    let batch = soon("the record", reader).await.unwrap();
    assert_eq!(texts(&batch), ["b"]);
    assert_eq!(batch.next, 2);
}

pub async fn a_first_start_reads_from_the_beginning(log: Log) {
    let name = topic(&log, "conf-first", 1).await;
    append(&log, (0..3).map(|n| record(&name, 0, n)).collect()).await;
    let mut member = join(&log, "conf-first", "m", &name).await;
    let mut handle = assigned(&mut member, 1).await.remove(0);
    assert_eq!(fetch_until(&mut handle, 3).await, ["0", "1", "2"]);
}

pub async fn outputs_and_position_of_a_commit_become_visible_together(log: Log) {
    let input = topic(&log, "conf-atomic-in", 1).await;
    let output = topic(&log, "conf-atomic-out", 2).await;
    append(&log, (0..3).map(|n| record(&input, 0, n)).collect()).await;
    let mut member = join(&log, "conf-atomic", "m", &input).await;
    let mut handle = assigned(&mut member, 1).await.remove(0);
    let read = fetch_until(&mut handle, 3).await;
    assert!(read_all(&log, &TopicPartition::new(Arc::clone(&output), 0)).await.is_empty());
    let outputs = read.iter().map(|text| record(&output, 1, format!("out {text}"))).collect();
    soon("a commit", handle.commit(Commit { outputs, offset: 3, metadata: String::new() }))
        .await
        .unwrap();
    let out = read_all(&log, &TopicPartition::new(output, 1)).await;
    assert_eq!(out, ["out 0", "out 1", "out 2"]);
    let at = TopicPartition::new(input, 0);
    assert_eq!(log.committed("conf-atomic", &at).await.unwrap().unwrap().offset, 3);
}

pub async fn a_restart_goes_on_at_the_committed_position(log: Log) {
    let name = topic(&log, "conf-restart", 1).await;
    append(&log, (0..4).map(|n| record(&name, 0, n)).collect()).await;
    let mut member = join(&log, "conf-restart", "m", &name).await;
    let mut handle = assigned(&mut member, 1).await.remove(0);
    fetch_until(&mut handle, 4).await;
    let commit = Commit { outputs: Vec::new(), offset: 2, metadata: "half".to_owned() };
    soon("a commit", handle.commit(commit)).await.unwrap();
    drop((handle, member));
    let mut member = join(&log, "conf-restart", "m", &name).await;
    let mut handle = assigned(&mut member, 1).await.remove(0);
    let committed = handle.committed().unwrap();
    assert_eq!((committed.offset, committed.metadata.as_str()), (2, "half"));
    assert_eq!(fetch_until(&mut handle, 2).await, ["2", "3"]);
}

pub async fn a_second_member_takes_its_share(log: Log) {
    let name = topic(&log, "conf-share", 4).await;
    let mut first = join(&log, "conf-share", "a", &name).await;
    let mut mine = assigned(&mut first, 4).await;
    let mut second = join(&log, "conf-share", "b", &name).await;
    let gone = soon("a revoke", async {
        loop {
            if let Rebalance::Revoked(gone) = first.next().await.unwrap() {
                return gone;
            }
        }
    });
    let (gone, theirs) = tokio::join!(gone, assigned(&mut second, 2));
    assert_eq!(gone.len(), 2);
    for handle in &mut mine {
        let lost = gone.contains(handle.partition());
        assert_eq!(handle.revoked().is_cancelled(), lost);
        if lost {
            let error = handle.fetch(now()).await.unwrap_err();
            assert!(matches!(error, LogError::Revoked(_)), "{error}");
        }
    }
    let given: BTreeSet<_> = theirs.iter().map(|handle| handle.partition().clone()).collect();
    assert_eq!(given, gone.into_iter().collect());
}

pub async fn a_member_that_left_cannot_commit(log: Log) {
    let name = topic(&log, "conf-left", 1).await;
    append(&log, vec![record(&name, 0, "a")]).await;
    let mut member = join(&log, "conf-left", "m", &name).await;
    let mut handle = assigned(&mut member, 1).await.remove(0);
    drop(member);
    let revoked = handle.revoked();
    soon("the revoke", revoked.cancelled()).await;
    let commit =
        Commit { outputs: vec![record(&name, 0, "b")], offset: 1, metadata: String::new() };
    let error = soon("a refusal", handle.commit(commit)).await.unwrap_err();
    assert!(matches!(error, LogError::Revoked(_)), "{error}");
    let at = TopicPartition::new(name, 0);
    assert_eq!(read_all(&log, &at).await, ["a"]);
}

pub async fn a_stale_commit_is_refused_and_leaves_nothing_behind(log: Log) {
    let name = topic(&log, "conf-stale", 1).await;
    let output = topic(&log, "conf-stale-out", 1).await;
    append(&log, (0..2).map(|n| record(&name, 0, n)).collect()).await;
    let mut first = join(&log, "conf-stale", "same", &name).await;
    let mut stale = assigned(&mut first, 1).await.remove(0);
    fetch_until(&mut stale, 2).await;
    // A member of the same name takes over, as after a restart that the first one survived.
    let mut second = join(&log, "conf-stale", "same", &name).await;
    let mut fresh = assigned(&mut second, 1).await.remove(0);
    let commit = |text: &str, offset| Commit {
        outputs: vec![record(&output, 0, text)],
        offset,
        metadata: String::new(),
    };
    let error = soon("a refusal", stale.commit(commit("stale", 2))).await.unwrap_err();
    assert!(matches!(error, LogError::Revoked(_) | LogError::Ambiguous(_)), "{error}");
    assert!(stale.revoked().is_cancelled());
    soon("a commit", fresh.commit(commit("fresh", 1))).await.unwrap();
    assert_eq!(read_all(&log, &TopicPartition::new(output, 0)).await, ["fresh"]);
    let at = TopicPartition::new(name, 0);
    assert_eq!(log.committed("conf-stale", &at).await.unwrap().unwrap().offset, 1);
}

pub async fn a_slow_subscriber_holds_up_nobody(log: Log) {
    let name = topic(&log, "conf-slow", 2).await;
    let mut member = join(&log, "conf-slow", "m", &name).await;
    let mut handles = assigned(&mut member, 2).await;
    handles.sort_by_key(|handle| handle.partition().partition);
    let [slow, quick] = handles.as_mut_slice() else { panic!("two partitions") };
    append(&log, vec![record(&name, 0, "first")]).await;
    assert_eq!(fetch_until(slow, 1).await, ["first"]);
    // Partition 0 is not read any more while far more than any buffer goes by.
    let value = "y".repeat(64 << 10);
    for _ in 0..40 {
        append(
            &log,
            (0..4).flat_map(|_| [record(&name, 0, &value), record(&name, 1, &value)]).collect(),
        )
        .await;
    }
    assert_eq!(fetch_until(quick, 160).await.len(), 160);
    assert_eq!(fetch_until(slow, 160).await.len(), 160);
}

pub async fn every_record_is_read_once_through_rebalances(log: Log) {
    const RECORDS: usize = 400;
    let name = topic(&log, "conf-once", 4).await;
    let output = topic(&log, "conf-once-out", 1).await;
    append(&log, (0..RECORDS).map(|n| record(&name, (n % 4) as u32, n)).collect()).await;
    // Three members come and go while each copies its input to the output, a few at a time.
    let mut tasks = Vec::new();
    for (member, most) in [("a", 15), ("b", usize::MAX), ("c", 10)] {
        let (log, name, output) = (Arc::clone(&log), Arc::clone(&name), Arc::clone(&output));
        tasks.push(tokio::spawn(async move {
            copy(&log, member, &name, &output, most).await;
        }));
    }
    let at = TopicPartition::new(output, 0);
    let copied = soon("all records", async {
        loop {
            let copied = read_all(&log, &at).await;
            if copied.len() >= RECORDS {
                return copied;
            }
        }
    })
    .await;
    for task in tasks {
        task.abort();
    }
    let unique: BTreeSet<_> = copied.iter().collect();
    assert_eq!((copied.len(), unique.len()), (RECORDS, RECORDS));
}

/// Copies until `most` commits were made, then leaves.
async fn copy(log: &Log, member: &str, name: &Arc<str>, output: &Arc<str>, most: usize) {
    let mut member = join(log, "conf-once", member, name).await;
    let mut handles: Vec<Box<dyn PartitionHandle>> = Vec::new();
    let mut commits = 0;
    loop {
        let change = tokio::time::timeout(Duration::from_millis(1), member.next()).await;
        match change {
            Ok(Ok(Rebalance::Assigned(more))) => handles.extend(more),
            Ok(Ok(Rebalance::Revoked(gone))) => {
                handles.retain(|handle| !gone.contains(handle.partition()));
            }
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => {}
        }
        for handle in &mut handles {
            let limit = ReadLimit { records: 7, wait: Duration::from_millis(20), ..now() };
            let batch = match handle.fetch(limit).await {
                Ok(batch) if !batch.records.is_empty() => batch,
                Ok(_) | Err(LogError::Revoked(_)) => continue,
                Err(error) => panic!("{error}"),
            };
            let outputs = texts(&batch).into_iter().map(|text| record(output, 0, text)).collect();
            let commit = Commit { outputs, offset: batch.next, metadata: String::new() };
            match handle.commit(commit).await {
                Ok(()) => commits += 1,
                Err(LogError::Revoked(_)) => {}
                Err(error) => panic!("{error}"),
            }
            if commits >= most {
                return;
            }
        }
    }
}
