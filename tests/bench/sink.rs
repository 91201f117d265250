//! From the log into ClickHouse, beside a client that inserts the same rows and does nothing else.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message as _;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::{EventLog, Headers, NewRecord, Record, TopicPartition, system_clock, topics};
use zhili_proto::scoring::v1::{Assessment, Complaint, Evidence, ScoredEvent, Sentiment};
use zhili_tests::{Tables, free_ports, program};
use zhili_warehouse::sink::{Batch, Silent, SinkOptions, run_sinks};
use zhili_warehouse::{Address, Layout, Warehouse, migrate};

use crate::events;
use crate::row::Row;

pub(crate) const ROWS: &[&str] = &["sink"];
const PARTITIONS: u32 = 4;
/// Of each partition; as many as fill some batches.
const RECORDS: usize = 100_000;
const AT_ONCE: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const KEY: &str = "bench";

pub(crate) async fn measure() -> Vec<Row> {
    let folder = TempDir::new_in(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")).unwrap();
    let store = Store::start(&folder).await;
    let options = SinkOptions::default();
    let partitions: Vec<Vec<Record>> = (0..PARTITIONS).map(records).collect();

    let warehouse = store.database("bare").await;
    let bodies: Vec<Vec<Insert>> = (0..PARTITIONS)
        .zip(&partitions)
        .map(|(partition, records)| inserts(partition, records, &options))
        .collect();
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for inserts in bodies {
        let (http, url) = (store.http.clone(), store.url.clone());
        clients.spawn(async move {
            for Insert { statement, body } in inserts {
                let query =
                    [("database", "bare"), ("query", &statement), ("insert_deduplicate", "0")];
                let request = http
                    .post(reqwest::Url::parse_with_params(&url, &query).unwrap())
                    .basic_auth("default", Some(KEY));
                let answer = request.body(body).send().await.unwrap();
                assert!(answer.status().is_success(), "{:?}", answer.text().await);
            }
        });
    }
    clients.join_all().await;
    let bare = rate(begun);
    drop(warehouse);

    let warehouse = store.database("zhili").await;
    let log = EmbeddedLog::open(&folder.path().join("log"), system_clock()).unwrap();
    log.ensure_topics(&topics::all(PARTITIONS)).await.unwrap();
    for (partition, records) in (0..PARTITIONS).zip(&partitions) {
        let at = TopicPartition::new(topics::SCORES, partition);
        for records in records.chunks(AT_ONCE) {
            let new = |record: &Record| {
                NewRecord::new(at.clone(), record.key.clone(), record.value.clone().unwrap())
            };
            let appended = log.append(records.iter().map(new).collect()).await;
            assert!(appended.iter().all(Result::is_ok), "an append failed");
        }
    }
    let shutdown = CancellationToken::new();
    let begun = Instant::now();
    let sinks = tokio::spawn(run_sinks(
        Arc::new(log),
        Arc::new(warehouse),
        "bench",
        "m",
        options,
        Arc::new(Silent),
        shutdown.clone(),
    ));
    let tables = Tables::new(store.http.clone(), store.url.clone(), KEY.to_owned());
    let wanted = (RECORDS * PARTITIONS as usize) as u64;
    while tables.number("SELECT count() FROM events").await < wanted {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let sunk = rate(begun);
    shutdown.cancel();
    sinks.await.unwrap().unwrap();
    let name = "sink -> ClickHouse, beside a client with the rows at hand";
    vec![Row::share(name, "rows/s", sunk, bare, 0.9)]
}

fn rate(begun: Instant) -> f64 {
    (RECORDS * PARTITIONS as usize) as f64 / begun.elapsed().as_secs_f64()
}

/// Scored messages as scoring writes them, about 400 bytes each.
fn records(partition: u32) -> Vec<Record> {
    let append_ms = 1_800_000_000_000;
    let scored = |offset: usize| ScoredEvent {
        event: Some(events::event(&format!("desk-{partition}"), offset, append_ms)),
        assessment: Some(Assessment {
            lang: "zh".into(),
            sentiment: Some(Sentiment::default()),
            complaint: Some(Complaint::default()),
            evidence: vec![Evidence::default(); 3],
            engine: "tone 1".into(),
            ..Assessment::default()
        }),
        append_ms,
        ..ScoredEvent::default()
    };
    (0..RECORDS)
        .map(|offset| Record {
            offset: offset as u64,
            append_ms,
            key: Some(Bytes::from(format!("default/c_{offset:026}"))),
            value: Some(scored(offset).encode_to_vec().into()),
            headers: Headers::default(),
        })
        .collect()
}

/// One INSERT, encoded.
struct Insert {
    statement: String,
    body: Bytes,
}

/// What the sink would send of a partition.
fn inserts(partition: u32, records: &[Record], options: &SinkOptions) -> Vec<Insert> {
    let at = TopicPartition::new(topics::SCORES, partition);
    let mut inserts = Vec::new();
    let mut batch = Batch::new(0);
    let take = |batch: &Batch, inserts: &mut Vec<Insert>| {
        let new =
            batch.blocks().map(|block| Insert { statement: block.statement(), body: block.body() });
        inserts.extend(new);
    };
    for record in records {
        if batch.rows() >= options.rows || batch.size() >= options.bytes {
            take(&batch, &mut inserts);
            batch = Batch::new(record.offset);
        }
        batch.push("log", &at, record, "bench");
    }
    take(&batch, &mut inserts);
    inserts
}

/// A store of its own.
pub(crate) struct Store {
    url: String,
    http: reqwest::Client,
    child: Child,
}

impl Store {
    pub(crate) async fn start(folder: &TempDir) -> Self {
        let port = free_ports();
        let child = Command::new(program())
            .args(["store", "--listen", &format!("127.0.0.1:{port}"), "--data"])
            .arg(folder.path().join("store"))
            .args(["--die-with-parent", &std::process::id().to_string()])
            .env("ZHILI_STORE_KEY", KEY)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let (url, http) = (format!("http://127.0.0.1:{port}"), reqwest::Client::new());
        let deadline = Instant::now() + PATIENCE;
        while http.get(format!("{url}/ping")).send().await.is_err() {
            assert!(Instant::now() < deadline, "the store does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { url, http, child }
    }

    /// A database with the tables of this version.
    pub(crate) async fn database(&self, name: &str) -> Warehouse {
        let address = Address {
            url: self.url.clone(),
            user: "default".to_owned(),
            password: KEY.to_owned(),
            database: name.to_owned(),
        };
        let warehouse = Warehouse::new(&address, false).unwrap();
        migrate(&warehouse, &Layout::default()).await.unwrap();
        warehouse
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
