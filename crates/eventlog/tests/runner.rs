//! The fold runner: exactly once through crashes at every boundary, time as data, snapshots,
//! configuration, dead letters.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use redb::backends::InMemoryBackend;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::runner::{
    Bundles, Fold, Observation, Progress, RunnerOptions, publish_bundle, run_group,
};
use zhili_eventlog::testkit::fused::{Fuse, Fused};
use zhili_eventlog::topics;
use zhili_eventlog::{
    Clock, EventLog, LogError, Membership, NewRecord, ReadLimit, Record, TopicPartition,
};
use zhili_proto::log::v1::DeadLetter;

mod disk;
mod sums;

use sums::{Gate, Sums};

const PATIENCE: Duration = Duration::from_secs(60);

/// A log with its clock in the test's hand.
struct Bench {
    log: EmbeddedLog,
    time: Arc<AtomicI64>,
}

impl Bench {
    async fn new() -> Self {
        Self::on(|clock| EmbeddedLog::open_on(InMemoryBackend::new, clock).unwrap()).await
    }

    async fn on(open: impl FnOnce(Clock) -> EmbeddedLog) -> Self {
        let time = Arc::new(AtomicI64::new(10_000));
        let clock = Arc::clone(&time);
        let log = open(Arc::new(move || clock.load(Ordering::SeqCst)));
        log.ensure_topics(&topics::all(1)).await.unwrap();
        Self { log, time }
    }

    async fn put(&self, at_ms: i64, text: &str) {
        self.time.store(at_ms, Ordering::SeqCst);
        let input = TopicPartition::new(topics::EVENTS, 0);
        let record = NewRecord::new(input, None, Bytes::from(text.to_owned()));
        self.log.append(vec![record]).await.remove(0).unwrap();
    }

    fn options(&self) -> RunnerOptions {
        let clock = Arc::clone(&self.time);
        RunnerOptions {
            batch_records: 3,
            snapshot_records: 5,
            ..RunnerOptions::new(1, Arc::new(move || clock.load(Ordering::SeqCst)))
        }
    }

    /// Runs the fold until it has caught up and no timer is due, or the fuse blows.
    async fn run(&self, fuse: &Arc<Fuse>, fold: Sums) -> Progress {
        self.run_with(fuse, fold, self.options()).await
    }

    async fn run_with(&self, fuse: &Arc<Fuse>, fold: Sums, options: RunnerOptions) -> Progress {
        let log = Fused::new(Arc::new(self.log.clone()), Arc::clone(fuse));
        self.run_on(log, fuse, fold, options, 0).await
    }

    /// Runs on a log of the caller's own, until that many timers have fired too.
    async fn run_on(
        &self,
        log: Fused,
        fuse: &Arc<Fuse>,
        fold: Sums,
        options: RunnerOptions,
        fired: usize,
    ) -> Progress {
        let log: Arc<dyn EventLog> = Arc::new(log);
        let shutdown = CancellationToken::new();
        let idle = Arc::new(Notify::new());
        let progress = Progress::default();
        let bundles = Bundles::follow(Arc::clone(&log), shutdown.clone()).await.unwrap();
        let membership = Membership {
            group: "sums".into(),
            member: "m".into(),
            topics: vec![topics::EVENTS.into()],
        };
        let (time, quiet) = (Arc::clone(&self.time), Arc::clone(&idle));
        let heads = Arc::clone(&bundles);
        let end = self.log.clone();
        let make = move |_: &TopicPartition| {
            let (time, quiet, heads) = (Arc::clone(&time), Arc::clone(&quiet), Arc::clone(&heads));
            let observer = Box::new(move |fold: &Sums, seen: &Observation<'_>| {
                let due = fold.next_due().is_some_and(|due| due <= time.load(Ordering::SeqCst));
                let behind = heads.heads().values().any(|h| h.sequence > fold.sequence);
                if seen.caught_up && !due && !behind && fold.fired >= fired {
                    quiet.notify_one();
                }
            });
            (fold.clone(), observer as _)
        };
        let stop = shutdown.clone();
        let halted = progress.clone();
        let task = tokio::spawn(run_group(
            log,
            membership,
            make,
            bundles,
            options,
            progress.clone(),
            shutdown,
        ));
        let blown = Arc::clone(fuse);
        tokio::time::timeout(PATIENCE, async {
            tokio::select! {
                () = idle.notified() => {
                    stop.cancel();
                    // The closing snapshot may meet the fuse as well.
                    tokio::select! {
                        ended = task => ended.unwrap().unwrap(),
                        () = blown.blown() => {}
                    }
                }
                () = blown.blown() => {}
                () = until_halted(&halted) => stop.cancel(),
            }
        })
        .await
        .unwrap();
        drop(end);
        progress
    }

    /// Waits for such a record.
    async fn until(&self, topic: &str, is_it: impl Fn(&Record) -> bool) {
        let at = TopicPartition::new(topic, 0);
        let mut from = 0;
        let limit = ReadLimit { wait: PATIENCE, ..ReadLimit::default() };
        let found = async {
            loop {
                let batch = self.log.read(&at, from, limit).await.unwrap();
                if batch.records.iter().any(&is_it) {
                    return;
                }
                from = batch.next;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap();
    }

    async fn said(&self) -> Vec<String> {
        self.read(topics::FACTS).await
    }

    async fn read(&self, topic: &str) -> Vec<String> {
        let at = TopicPartition::new(topic, 0);
        let mut from = 0;
        let mut all = Vec::new();
        loop {
            let limit = ReadLimit { wait: Duration::ZERO, ..ReadLimit::default() };
            let batch = self.log.read(&at, from, limit).await.unwrap();
            for record in &batch.records {
                all.push(String::from_utf8_lossy(record.value.as_deref().unwrap()).into_owned());
            }
            from = batch.next;
            if batch.caught_up {
                return all;
            }
        }
    }
}

async fn until_halted(progress: &Progress) {
    loop {
        if progress.all().values().any(|progress| progress.halted.is_some()) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn story(bench: &Bench) {
    for step in 0..14_i64 {
        let name = ["a", "b", "c"][(step % 3) as usize];
        bench.put(10_000 + step * 300, &format!("add {name} {step}")).await;
        if step == 5 {
            bench.put(10_000 + step * 300, "nonsense").await;
        }
    }
    publish_bundle(&bench.log, "default", Bytes::from("oh, "), "test", 0).await.unwrap();
    // Far beyond every timer: the last ones need a tick.
    bench.time.store(20_000, Ordering::SeqCst);
}

#[tokio::test]
async fn a_crash_at_any_boundary_changes_nothing() {
    let clean = Bench::new().await;
    story(&clean).await;
    clean.run(&Fuse::never(), Sums::default()).await;
    let expected = clean.said().await;
    assert!(expected.iter().any(|said| said == "b is 13 at 14900"), "{expected:?}");
    let letters = clean.read(topics::DEAD_LETTERS).await.len();
    assert_eq!(letters, 1);
    // How many snapshots there are depends on how long they take to write.
    for boundary in 0.. {
        let bench = Bench::new().await;
        story(&bench).await;
        let fuse = Fuse::at(boundary);
        bench.run(&fuse, Sums::default()).await;
        bench.run(&Fuse::never(), Sums::default()).await;
        assert_eq!(bench.said().await, expected, "crash at boundary {boundary}");
        assert_eq!(bench.read(topics::DEAD_LETTERS).await.len(), letters);
        if fuse.passed() <= boundary {
            assert!(boundary > 12, "{boundary}");
            break;
        }
    }
}

#[tokio::test]
async fn two_crashes_in_a_row_change_nothing() {
    let clean = Bench::new().await;
    story(&clean).await;
    clean.run(&Fuse::never(), Sums::default()).await;
    let expected = clean.said().await;
    for first in [3, 8, 13] {
        for second in 0..12 {
            let bench = Bench::new().await;
            story(&bench).await;
            bench.run(&Fuse::at(first), Sums::default()).await;
            bench.run(&Fuse::at(second), Sums::default()).await;
            bench.run(&Fuse::never(), Sums::default()).await;
            assert_eq!(bench.said().await, expected, "crashes at {first}, {second}");
        }
    }
}

#[tokio::test]
async fn timers_that_fell_due_while_nobody_ran_fire_at_their_own_time() {
    let bench = Bench::new().await;
    bench.put(10_000, "add a 1").await;
    bench.put(90_000, "add b 2").await;
    bench.run(&Fuse::never(), Sums::default()).await;
    assert_eq!(bench.said().await, ["a has 1 at 10000", "a is 1 at 11000", "b has 2 at 90000"]);
}

#[tokio::test]
async fn a_timer_fires_without_a_further_record_through_a_tick() {
    let bench = Bench::new().await;
    bench.put(10_000, "add a 1").await;
    bench.time.store(10_999, Ordering::SeqCst);
    bench.run(&Fuse::never(), Sums::default()).await;
    assert_eq!(bench.said().await.len(), 1);
    bench.time.store(11_000, Ordering::SeqCst);
    bench.run(&Fuse::never(), Sums::default()).await;
    assert_eq!(bench.said().await, ["a has 1 at 10000", "a is 1 at 11000"]);
    assert_eq!(bench.read(topics::EVENTS).await, ["add a 1", "tick 11000"]);
}

#[tokio::test]
async fn a_timer_set_for_a_time_that_has_passed_gets_a_tick_of_its_own() {
    let bench = Bench::new().await;
    bench.put(10_000, "add a 1").await;
    bench.time.store(11_000, Ordering::SeqCst);
    let fuse = Fuse::never();
    let log = Fused::new(Arc::new(bench.log.clone()), Arc::clone(&fuse));
    let late = async {
        let at = TopicPartition::new(topics::EVENTS, 0);
        let wait = ReadLimit { wait: PATIENCE, ..ReadLimit::default() };
        let tick = bench.log.read(&at, 1, wait).await.unwrap();
        assert_eq!(tick.records[0].value.as_deref(), Some(&b"tick 11000"[..]));
        bench.put(11_000, "late b 2").await;
    };
    tokio::join!(bench.run_on(log, &fuse, Sums::default(), bench.options(), 2), late);
    assert_eq!(
        bench.said().await,
        ["a has 1 at 10000", "a is 1 at 11000", "b has 2 at 11000", "b is 2 at 10500"]
    );
    assert_eq!(
        bench.read(topics::EVENTS).await,
        ["add a 1", "tick 11000", "late b 2", "tick 10500"]
    );
}

#[tokio::test]
async fn a_timer_fires_on_a_partition_that_is_too_busy_to_see_its_end() {
    let bench = Bench::new().await;
    bench.put(10_000, "add a 1").await;
    bench.time.store(11_000, Ordering::SeqCst);
    let fuse = Fuse::never();
    let log = Fused::new(Arc::new(bench.log.clone()), Arc::clone(&fuse)).endless();
    let at = TopicPartition::new(topics::EVENTS, 0);
    let wait = ReadLimit { wait: PATIENCE, ..ReadLimit::default() };
    tokio::select! {
        _ = bench.run_on(log, &fuse, Sums::default(), bench.options(), 1) => unreachable!(),
        tick = bench.log.read(&at, 1, wait) => {
            assert_eq!(tick.unwrap().records[0].value.as_deref(), Some(&b"tick 11000"[..]));
        }
    }
}

#[tokio::test]
async fn a_fold_goes_on_when_a_disk_that_kept_its_answers_back_gives_them_again() {
    let disk = disk::Disk::default();
    let bench = Bench::on(|clock| disk.open_at(clock)).await;
    bench.put(10_000, "add a 1").await;
    bench.time.store(11_000, Ordering::SeqCst);
    let fuse = Fuse::never();
    let log = Fused::new(Arc::new(bench.log.clone()), Arc::clone(&fuse));
    let recovery = async {
        disk.lie(usize::MAX);
        // The first commit closes the file and cannot open it again.
        let at = TopicPartition::new(topics::EVENTS, 0);
        while !matches!(bench.log.committed("sums", &at).await, Err(LogError::Unavailable(_))) {
            tokio::task::yield_now().await;
        }
        disk.lie(0);
    };
    let run = bench.run_on(log, &fuse, Sums::default(), bench.options(), 1);
    let (progress, ()) = tokio::join!(run, recovery);
    assert!(progress.complaints(0, 0).is_empty(), "{:?}", progress.all());
    assert_eq!(bench.said().await, ["a has 1 at 10000", "a is 1 at 11000"]);
}

#[tokio::test]
async fn time_never_runs_backward_for_the_fold() {
    let bench = Bench::new().await;
    bench.put(10_000, "add a 1").await;
    bench.put(9_000, "add a 1").await;
    bench.run(&Fuse::never(), Sums::default()).await;
    assert_eq!(bench.said().await, ["a has 1 at 10000", "a has 2 at 10000"]);
}

#[tokio::test]
async fn a_configuration_holds_from_its_marker_on_and_once() {
    let bench = Bench::new().await;
    bench.put(10_000, "add a 1").await;
    publish_bundle(&bench.log, "default", Bytes::from("hi "), "test", 0).await.unwrap();
    bench.run(&Fuse::never(), Sums::default()).await;
    bench.put(10_100, "add a 1").await;
    bench.run(&Fuse::never(), Sums::default()).await;
    assert_eq!(bench.said().await, ["a has 1 at 10000", "hi a has 2 at 10100"]);
    let markers = bench.read(topics::EVENTS).await;
    assert_eq!(markers.iter().filter(|text| text.starts_with("marker")).count(), 1);
}

#[tokio::test]
async fn a_record_of_an_unknown_kind_halts_the_partition_and_skips_nothing() {
    let bench = Bench::new().await;
    bench.put(10_000, "add a 1").await;
    bench.put(10_001, "new-kind").await;
    let progress = bench.run(&Fuse::never(), Sums::default()).await;
    let all = progress.all();
    let halted = all.values().next().unwrap().halted.clone().unwrap();
    assert!(halted.contains("unknown to this version at offset 1"), "{halted}");
    let at = TopicPartition::new(topics::EVENTS, 0);
    assert_eq!(bench.log.committed("sums", &at).await.unwrap().unwrap().offset, 1);
}

fn is_manifest(record: &Record) -> bool {
    record.key.as_deref().is_some_and(|key| key.ends_with(b"/manifest"))
}

/// Keys of all manifests that were ever written, and whether they still are there.
async fn manifests(bench: &Bench) -> BTreeMap<String, bool> {
    let at = TopicPartition::new(topics::SNAPSHOTS, 0);
    let limit = ReadLimit { wait: Duration::ZERO, ..ReadLimit::default() };
    let batch = bench.log.read(&at, 0, limit).await.unwrap();
    let mut manifests = BTreeMap::new();
    for record in batch.records {
        if is_manifest(&record) {
            let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
            manifests.insert(key, record.value.is_some());
        }
    }
    manifests
}

#[tokio::test]
async fn only_the_two_newest_snapshots_are_kept() {
    let bench = Bench::new().await;
    for round in 0..4 {
        bench.put(10_000 + round, "add a 1").await;
        // Ends with a snapshot.
        bench.run(&Fuse::never(), Sums::default()).await;
    }
    let manifests = manifests(&bench).await;
    let kept: Vec<bool> = manifests.values().copied().collect();
    assert_eq!(kept, [false, false, true, true], "{manifests:?}");
}

/// Boundaries of a run of one record: two of the commit of what was folded, two of the commit of a
/// snapshot's only chunk, two of the one that completes it.
const BEFORE_CHUNK: i64 = 2;
const BEFORE_MANIFEST: i64 = 4;

#[tokio::test]
async fn a_snapshot_without_its_manifest_does_not_count_as_one_of_the_two() {
    for (died, expected) in [(2, [3, 4]), (3, [1, 4])] {
        let bench = Bench::new().await;
        for round in 1..=4 {
            bench.put(10_000 + round, "add a 1").await;
            let dies = (2..=died).contains(&round);
            let fuse = if dies { Fuse::at(BEFORE_MANIFEST) } else { Fuse::never() };
            let log = Fused::new(Arc::new(bench.log.clone()), Arc::clone(&fuse));
            bench.run_on(log, &fuse, Sums::default(), bench.options(), 0).await;
        }
        let manifests = manifests(&bench).await;
        let complete: Vec<&String> =
            manifests.iter().filter_map(|(id, is_there)| is_there.then_some(id)).collect();
        let expected = expected.map(|id| format!("sums/0/{id:020}/manifest"));
        assert_eq!(complete, expected.iter().collect::<Vec<_>>(), "{manifests:?}");
    }
}

#[tokio::test]
async fn records_do_not_wait_for_a_snapshot_that_is_being_written() {
    let bench = Bench::new().await;
    bench.put(10_000, "add a 1").await;
    let gate = Gate::default();
    let fold = Sums { gate: Some(gate.clone()), ..Sums::default() };
    let options = RunnerOptions { snapshot_records: 1, batch_records: 1, ..bench.options() };
    let fuse = Fuse::never();
    let log = Fused::new(Arc::new(bench.log.clone()), Arc::clone(&fuse));
    let told = async {
        // The snapshot after the first record is begun before the second is read.
        bench.put(10_001, "add b 2").await;
        bench
            .until(topics::FACTS, |record| record.value.as_deref() == Some(b"b has 2 at 10001"))
            .await;
        assert!(manifests(&bench).await.is_empty());
        gate.open();
        bench.until(topics::SNAPSHOTS, is_manifest).await;
        // Its timer is due at once, and with it the run ends.
        bench.put(10_002, "late c 3").await;
    };
    tokio::join!(bench.run_on(log, &fuse, fold, options, 1), told);
    let first = manifests(&bench).await.into_keys().next().unwrap();
    assert_eq!(first, format!("sums/0/{:020}/manifest", 1));
}

#[tokio::test]
async fn an_engine_that_gives_another_state_for_the_same_log_is_found_out() {
    let bench = Bench::new().await;
    bench.time.store(10_000, Ordering::SeqCst);
    let input = TopicPartition::new(topics::EVENTS, 0);
    let records = (0..5_000)
        .map(|n| NewRecord::new(input.clone(), None, Bytes::from(format!("add a {n}"))))
        .collect();
    assert!(bench.log.append(records).await.iter().all(Result::is_ok));
    // No snapshot, so that the whole log is replayed.
    let quick =
        RunnerOptions { batch_records: 1_000, snapshot_records: u64::MAX, ..bench.options() };
    let fuse = Fuse::at(10);
    bench.run_with(&fuse, Sums::default(), quick.clone()).await;
    let crooked = Sums { crooked: true, ..Sums::default() };
    let progress = bench.run_with(&Fuse::never(), crooked, quick).await;
    let halted = progress.all().values().next().unwrap().halted.clone().unwrap();
    assert!(halted.contains("offset 4096 differs"), "{halted}");
}

#[tokio::test]
async fn outputs_name_their_source_and_carry_the_trace() {
    let bench = Bench::new().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let input = TopicPartition::new(topics::EVENTS, 0);
    let mut record = NewRecord::new(input, None, Bytes::from("add a 1"));
    record.headers.push("traceparent", parent);
    bench.log.append(vec![record]).await.remove(0).unwrap();
    bench.run(&Fuse::never(), Sums::default()).await;
    let at = TopicPartition::new(topics::FACTS, 0);
    let batch = bench.log.read(&at, 0, ReadLimit::default()).await.unwrap();
    let headers = &batch.records[0].headers;
    assert_eq!(headers.text("zhili-source"), Some("zhili.events.v1:0:0"));
    // No tracer is installed here: the trace goes through unchanged.
    assert_eq!(headers.text("traceparent"), Some(parent));
}

#[tokio::test]
async fn a_dead_letter_says_where_and_why_but_not_what() {
    let bench = Bench::new().await;
    bench.put(10_000, "call 13800138000").await;
    bench.run(&Fuse::never(), Sums::default()).await;
    let at = TopicPartition::new(topics::DEAD_LETTERS, 0);
    let batch = bench.log.read(&at, 0, ReadLimit::default()).await.unwrap();
    let letter = DeadLetter::decode(batch.records[0].value.as_deref().unwrap()).unwrap();
    assert_eq!((letter.topic.as_str(), letter.offset), ("zhili.events.v1", 0));
    assert_eq!((letter.reason.as_str(), letter.payload_length), ("undecodable", 16));
    assert!(letter.payload.is_empty() && letter.payload_sha256.len() == 32);
}

#[tokio::test]
async fn dead_letters_are_counted_by_whoever_wrote_them() {
    let count = |progress: Progress| progress.all().values().next().unwrap().dead_letters;
    let bench = Bench::new().await;
    bench.put(10_000, "call 13800138000").await;
    bench.put(10_001, "add unwanted 1").await;
    assert_eq!(count(bench.run(&Fuse::never(), Sums::default()).await), 2);
    bench.put(10_002, "add unwanted 2").await;
    // It cannot use the snapshot, so it replays the first two.
    let crooked = Sums { crooked: true, ..Sums::default() };
    assert_eq!(count(bench.run(&Fuse::never(), crooked).await), 1);
}

#[tokio::test]
async fn it_is_known_since_when_no_snapshot_holds_what_was_folded() {
    for (fuse, since) in [(Fuse::never(), None), (Fuse::at(BEFORE_CHUNK), Some(10_001))] {
        let bench = Bench::new().await;
        bench.put(10_001, "add a 1").await;
        let log = Fused::new(Arc::new(bench.log.clone()), Arc::clone(&fuse));
        let progress = bench.run_on(log, &fuse, Sums::default(), bench.options(), 0).await;
        assert_eq!(progress.all().values().next().unwrap().unsaved_ms, since);
    }
}

#[tokio::test]
async fn a_waiting_partition_is_a_complaint_and_an_idle_one_is_not() {
    let progress = Progress::default();
    let at = TopicPartition::new("t", 0);
    let complaints = |now| progress.complaints(now, 1_000);
    progress.update(&at, |p| (p.caught_up, p.progressed_ms) = (true, 0));
    assert!(complaints(9_000).is_empty());
    progress.update(&at, |p| (p.caught_up, p.progressed_ms) = (false, 9_000));
    assert!(complaints(10_000).is_empty());
    assert_eq!(complaints(12_000).len(), 1);
    let seen = Mutex::new(complaints(12_000));
    assert!(seen.lock().unwrap()[0].contains("t[0] has not moved"));
}

#[tokio::test]
async fn a_state_committed_right_before_the_partition_was_revoked_is_shown_to_nobody() {
    let bench = Bench::new().await;
    bench.put(10_000, "add a 1").await;
    let fuse = Fuse::never();
    let shown = Arc::new(AtomicI64::new(0));
    let log: Arc<dyn EventLog> =
        Arc::new(Fused::new(Arc::new(bench.log.clone()), Arc::clone(&fuse)).revoking());
    let shutdown = CancellationToken::new();
    let bundles = Bundles::follow(Arc::clone(&log), shutdown.clone()).await.unwrap();
    let counter = Arc::clone(&shown);
    let make = move |_: &TopicPartition| {
        let counter = Arc::clone(&counter);
        let observer = Box::new(move |fold: &Sums, _: &Observation<'_>| {
            counter.fetch_add(fold.open.len() as i64, Ordering::SeqCst);
        });
        (Sums::default(), observer as _)
    };
    let membership = Membership {
        group: "sums".into(),
        member: "m".into(),
        topics: vec![topics::EVENTS.into()],
    };
    let (options, progress) = (bench.options(), Progress::default());
    let task = tokio::spawn(run_group(log, membership, make, bundles, options, progress, shutdown));
    tokio::time::timeout(PATIENCE, fuse.blown()).await.unwrap();
    assert_eq!(shown.load(Ordering::SeqCst), 0);
    task.abort();
}

/// What the last value of each key of the snapshots' topic holds.
async fn snapshots(bench: &Bench) -> String {
    let at = TopicPartition::new(topics::SNAPSHOTS, 0);
    let limit = ReadLimit { wait: Duration::ZERO, ..ReadLimit::default() };
    let batch = bench.log.read(&at, 0, limit).await.unwrap();
    // Memory shows what the file no longer has until a later record of the same key is read.
    let last: BTreeMap<_, _> =
        batch.records.into_iter().map(|record| (record.key, record.value)).collect();
    last.into_values().flatten().map(|value| String::from_utf8_lossy(&value).into_owned()).collect()
}

#[tokio::test]
async fn no_snapshot_knows_of_whom_an_erasure_names() {
    let bench = Bench::new().await;
    // Two snapshots while the name is open.
    for step in 0..6 {
        bench.put(10_000 + step, "add forgotten 1").await;
        bench.put(10_000 + step, "add kept 1").await;
    }
    let options = RunnerOptions { snapshot_records: 3, ..bench.options() };
    bench.run_with(&Fuse::never(), Sums::default(), options.clone()).await;
    assert!(snapshots(&bench).await.contains("forgotten"));
    bench.put(10_100, "erase forgotten").await;
    let never = RunnerOptions { snapshot_records: 1_000, ..options };
    bench.run_with(&Fuse::never(), Sums::default(), never).await;
    let left = snapshots(&bench).await;
    assert!(left.contains("kept,6"), "{left}");
    assert!(!left.contains("forgotten"), "{left}");
}

#[tokio::test]
async fn a_crash_between_an_erasure_and_its_snapshot_leaves_none_that_knows() {
    for boundary in 0..6 {
        let bench = Bench::new().await;
        for step in 0..6 {
            bench.put(10_000 + step, "add forgotten 1").await;
        }
        let options = RunnerOptions { snapshot_records: 3, ..bench.options() };
        bench.run_with(&Fuse::never(), Sums::default(), options).await;
        bench.put(10_100, "erase forgotten").await;
        bench.run(&Fuse::at(boundary), Sums::default()).await;
        bench.run(&Fuse::never(), Sums::default()).await;
        assert!(!snapshots(&bench).await.contains("forgotten"), "crash at boundary {boundary}");
    }
}

#[tokio::test]
async fn a_service_that_ends_while_it_forgets_leaves_no_snapshot_that_knows() {
    let bench = Bench::new().await;
    for step in 0..6 {
        bench.put(10_000 + step, "add forgotten 1").await;
    }
    let options = RunnerOptions { snapshot_records: 3, ..bench.options() };
    bench.run_with(&Fuse::never(), Sums::default(), options).await;
    bench.put(10_100, "erase forgotten").await;
    bench.put(10_100, "add later 1").await;
    let gate = Gate::default();
    let fold = Sums { gate: Some(gate.clone()), ..Sums::default() };
    let options = RunnerOptions { batch_records: 1, ..bench.options() };
    let fuse = Fuse::never();
    let log = Fused::new(Arc::new(bench.log.clone()), Arc::clone(&fuse));
    let told = async {
        let last = |record: &Record| record.value.as_deref() == Some(b"later has 1 at 10100");
        bench.until(topics::FACTS, last).await;
        // The run is about to end, and its snapshot after the erasure is not written.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        gate.open();
    };
    tokio::join!(bench.run_on(log, &fuse, fold, options, 0), told);
    let left = snapshots(&bench).await;
    assert!(left.contains("later,1"), "{left}");
    assert!(!left.contains("forgotten"), "{left}");
}
