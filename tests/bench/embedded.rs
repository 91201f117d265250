//! The embedded log beside a bare file.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::{EventLog, NewRecord, TopicPartition, system_clock, topics};

use crate::events;
use crate::row::Row;

pub(crate) const ROWS: &[&str] = &["embedded log"];
const LENGTH: Duration = Duration::from_secs(5);
/// Who appends at a time, and how many records each at once.
const APPENDERS: usize = 8;
const BATCH: usize = 500;
const PARTITIONS: u32 = 4;

pub(crate) async fn measure() -> Vec<Row> {
    let folder =
        tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR").to_owned() + "/../target").unwrap();
    let records: Vec<Vec<u8>> = (0..BATCH).map(events::record).collect();
    let bytes: usize = records.iter().map(Vec::len).sum();

    let mut file = File::create(folder.path().join("bare")).unwrap();
    // As much at a time as eight appenders together.
    let block = records.concat().repeat(APPENDERS);
    let (mut written, begun) = (0_u64, Instant::now());
    while begun.elapsed() < LENGTH {
        file.write_all(&block).unwrap();
        file.sync_data().unwrap();
        written += block.len() as u64;
    }
    let bare = written as f64 / begun.elapsed().as_secs_f64() / 1e6;

    let log = EmbeddedLog::open(&folder.path().join("log"), system_clock()).unwrap();
    log.ensure_topics(&topics::all(PARTITIONS)).await.unwrap();
    let (log, begun) = (Arc::new(log), Instant::now());
    let mut appending = JoinSet::new();
    for appender in 0..APPENDERS {
        let (log, records) = (Arc::clone(&log), records.clone());
        appending.spawn(async move {
            let mut appended = 0_u64;
            let at = TopicPartition::new(topics::EVENTS, appender as u32 % PARTITIONS);
            while begun.elapsed() < LENGTH {
                let batch = records.iter().enumerate().map(|(n, value)| {
                    let key = Bytes::from(format!("default/c_{n:026}"));
                    NewRecord::new(at.clone(), Some(key), Bytes::from(value.clone()))
                });
                let outcome = log.append(batch.collect()).await;
                assert!(outcome.iter().all(Result::is_ok), "an append failed");
                appended += 1;
            }
            appended
        });
    }
    let appended: u64 = appending.join_all().await.iter().sum();
    let ours = (appended * bytes as u64) as f64 / begun.elapsed().as_secs_f64() / 1e6;
    let name = "embedded log, group commit, beside write + fdatasync";
    vec![Row::share(name, "MB/s", ours, bare, 0.5)]
}
