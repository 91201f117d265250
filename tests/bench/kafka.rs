//! Ingest in front of Kafka, beside a bare producer of the same records.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::{ClientConfig, Message as _};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::Request;
use tonic::transport::Channel;
use zhili_eventlog::kafka::{KafkaConfig, KafkaLog};
use zhili_eventlog::testkit::kafka_server::KafkaServer;
use zhili_eventlog::topics::Cleanup;
use zhili_eventlog::topics::TopicSpec;
use zhili_eventlog::{EventLog as _, topics};
use zhili_proto::conversation::v1::PublishStreamRequest;
use zhili_proto::conversation::v1::ingest_service_client::IngestServiceClient;
use zhili_tests::{eventually, free_ports, program, samples};

use crate::row::Row;
use crate::{cpu, engine, events};

pub(crate) const ROWS: &[&str] = &["ingest over Kafka", "scoring over Kafka"];
const EVENTS: usize = 100_000;
const BATCH: usize = 500;
/// Streams, or requests, at a time.
const TOGETHER: usize = 4;
const PARTITIONS: u32 = 4;
const TOKEN: &str = "bench";

pub(crate) async fn measure() -> Vec<Row> {
    let Some(server) = KafkaServer::shared() else { return Vec::new() };
    let config = KafkaConfig {
        replication_factor: 1,
        min_insync_replicas: 1,
        ..KafkaConfig::new(server.bootstrap_servers())
    };
    let log = KafkaLog::connect(config).await.unwrap();
    log.ensure_topics(&topics::all(PARTITIONS)).await.unwrap();
    let cleanup = Cleanup::Delete { retention_ms: 86_400_000 };
    log.ensure_topics(&[TopicSpec { name: "bare", partitions: PARTITIONS, cleanup }])
        .await
        .unwrap();

    let brokers = server.bootstrap_servers();
    let bare = tokio::task::spawn_blocking({
        let brokers = brokers.clone();
        move || bare(&brokers)
    })
    .await
    .unwrap();
    let ingest = Service::ingest(&brokers).await;
    let (grpc, http) = (ingest.grpc().await, ingest.http().await);
    drop(ingest);
    println!(
        "events/s by the clock: bare producer {:.0}, gRPC {:.0}, HTTP {:.0}",
        bare.per_second, grpc.per_second, http.per_second
    );
    let row =
        |name, ours: Cost, times| Row::times(name, "us of cpu", ours.us_each, bare.us_each, times);
    let scoring = scoring(&brokers).await;
    vec![
        scoring,
        row("ingest over Kafka, gRPC stream, beside a bare producer", grpc, 3.0),
        row("ingest over Kafka, HTTP NDJSON, beside a bare producer", http, 5.0),
    ]
}

#[derive(Clone, Copy)]
struct Cost {
    us_each: f64,
    per_second: f64,
}

/// Records of the same bytes by an idempotent producer; its processor time with nothing else.
fn bare(brokers: &str) -> Cost {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .create()
        .unwrap();
    let records: Vec<(String, Vec<u8>)> =
        (0..EVENTS).map(|n| (format!("default/c_{:026}", n % 1_000), events::record(n))).collect();
    let (before, begun) = (cpu::own(), Instant::now());
    // As many at a time as the publishers of ingest have under way.
    for batch in records.chunks(BATCH * TOGETHER) {
        for (key, value) in batch {
            let record = BaseRecord::to("bare").key(key).payload(value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(Duration::from_secs(10)).unwrap();
    }
    assert_eq!(producer.in_flight_count(), 0);
    cost(cpu::own() - before, begun)
}

/// What the events that ingest left cost scoring, without what the engine takes of it, beside a bare
/// loop that reads them and writes as many records and bytes in transactions.
async fn scoring(brokers: &str) -> Row {
    let service = Service::scoring(brokers).await;
    let (pid, url) =
        (Pid::from_child(&service.child), format!("http://127.0.0.1:{}/metrics", service.base));
    // It began before it was ready.
    let events = 2 * EVENTS as u64;
    eventually("all events are folded", Duration::from_secs(120), async || {
        let text = reqwest::get(&url).await.ok()?.text().await.ok()?;
        let folded: u64 = text
            .lines()
            .filter(|line| line.starts_with("zhili_fold_records_total{group=\"zhili.scoring\""))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum();
        (folded >= events).then_some(())
    })
    .await;
    let ours = cpu::seconds(pid) / events as f64 * 1e6;
    drop(service);
    let engine = 1e6 / engine::per_second();
    let brokers = brokers.to_owned();
    let bare = tokio::task::spawn_blocking(move || bare_loop(&brokers, events)).await.unwrap();
    println!(
        "scoring {ours:.1} us an event, of them the engine {engine:.1}; a bare loop {bare:.1}"
    );
    let name = "scoring over Kafka without the engine, beside a bare loop";
    Row::times(name, "us of cpu", ours - engine, bare, 2.5)
}

const OUTPUTS: [&str; 5] =
    [topics::SCORES, topics::FACTS, topics::ESCALATION, topics::CUSTOMERS, topics::PULSE];
/// Of a bare loop, records at a time: what a fold commits at most.
const COMMIT: u64 = 4_096;
/// Longer than a group takes to begin, and than there is nothing to read before the end.
const QUIET: Duration = Duration::from_secs(15);

/// Processor time of one event.
fn bare_loop(brokers: &str, events: u64) -> f64 {
    let outputs = reader(brokers, "count", &OUTPUTS);
    let (mut records, mut bytes) = (0_u64, 0);
    while let Some(record) = next(&outputs) {
        records += 1;
        bytes += record.payload().map_or(0, <[u8]>::len);
    }
    let (each, length) = (records as f64 / events as f64, bytes / records as usize);
    println!("an event becomes {each:.2} records of {length} bytes");

    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("transactional.id", "bare")
        .set("linger.ms", "5")
        .create()
        .unwrap();
    producer.init_transactions(QUIET).unwrap();
    let (value, input) = (vec![b'x'; length], reader(brokers, "bare", &[topics::EVENTS]));
    let (before, mut seen, mut written) = (cpu::own(), 0_u64, 0.0);
    producer.begin_transaction().unwrap();
    while seen < events {
        next(&input).expect("there is more");
        seen += 1;
        while written < seen as f64 * each {
            written += 1.0;
            let record = BaseRecord::to("bare").key("default/c_00000000000000000000000000");
            producer.send(record.payload(&value)).map_err(|(error, _)| error).unwrap();
        }
        if seen.is_multiple_of(COMMIT) || seen == events {
            let (at, group) = (input.position().unwrap(), input.group_metadata().unwrap());
            producer.send_offsets_to_transaction(&at, &group, QUIET).unwrap();
            producer.commit_transaction(QUIET).unwrap();
            producer.begin_transaction().unwrap();
        }
    }
    producer.abort_transaction(QUIET).unwrap();
    (cpu::own() - before) / events as f64 * 1e6
}

/// The next record, if one comes in time: a poll that serves the group gives none.
fn next(consumer: &BaseConsumer) -> Option<BorrowedMessage<'_>> {
    let begun = Instant::now();
    while begun.elapsed() < QUIET {
        if let Some(record) = consumer.poll(Duration::from_millis(500)) {
            return Some(record.unwrap());
        }
    }
    None
}

fn reader(brokers: &str, group: &str, names: &[&str]) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    consumer.subscribe(names).unwrap();
    consumer
}

fn cost(seconds: f64, begun: Instant) -> Cost {
    let events = EVENTS as f64;
    Cost { us_each: seconds / events * 1e6, per_second: events / begun.elapsed().as_secs_f64() }
}

/// A service as its user runs it.
struct Service {
    child: Child,
    base: u16,
    _folder: TempDir,
}

impl Service {
    async fn ingest(brokers: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("pseudonym.key");
        std::fs::write(&key, [7; 32]).unwrap();
        // Four streams read eight batches ahead each, which is more than the usual budget.
        let own =
            format!("pseudonym_key = \"{}\"\n[ingest]\nbudget_bytes = 268435456\n", key.display());
        Self::start("zhili-ingest", folder, &own, brokers).await
    }

    async fn scoring(brokers: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start("zhili-scoring", folder, "[scoring]\nmember = \"bench\"\n", brokers).await
    }

    /// `own` is the beginning of its settings, up to `listen`.
    async fn start(name: &str, folder: TempDir, own: &str, brokers: &str) -> Self {
        let base = free_ports();
        let path = folder.path().join("service.toml");
        let text = format!(
            "{own}listen = \"127.0.0.1:{base}\"\n[kafka]\nbrokers = \"{brokers}\"\n\
             partitions = {PARTITIONS}\nreplication = 1\n[auth]\ninsecure = true\n"
        );
        std::fs::write(&path, text).unwrap();
        let program = program().with_file_name(name);
        assert!(program.is_file(), "{} is not built", program.display());
        let child =
            Command::new(program).arg("--config").arg(&path).stdin(Stdio::null()).spawn().unwrap();
        let ready = format!("http://127.0.0.1:{base}/readyz");
        eventually("the service is ready", Duration::from_secs(60), async || {
            reqwest::get(&ready).await.ok().filter(|answer| answer.status().is_success())
        })
        .await;
        Self { child, base, _folder: folder }
    }

    /// What `work` costs it.
    async fn cost(&self, work: impl Future<Output = ()>) -> Cost {
        let pid = Pid::from_child(&self.child);
        let (before, begun) = (cpu::seconds(pid), Instant::now());
        work.await;
        cost(cpu::seconds(pid) - before, begun)
    }

    async fn grpc(&self) -> Cost {
        let now_ms =
            zhili_proto::millis(&serde_json::from_value(samples::now().into()).unwrap()).unwrap();
        let batch = |first: usize| PublishStreamRequest {
            events: (first..first + BATCH).map(|n| events::event("grpc", n, now_ms)).collect(),
        };
        let batches: Vec<PublishStreamRequest> = (0..EVENTS).step_by(BATCH).map(batch).collect();
        let channel = Channel::from_shared(format!("http://127.0.0.1:{}", self.base)).unwrap();
        let channel = channel.connect().await.unwrap();
        self.cost(async {
            let mut streams = JoinSet::new();
            for mine in batches.chunks(batches.len() / TOGETHER) {
                let (mine, channel) = (mine.to_vec(), channel.clone());
                streams.spawn(async move {
                    let count = mine.len() as u32 * BATCH as u32;
                    let mut client = IngestServiceClient::new(channel);
                    let request = Request::new(futures::stream::iter(mine));
                    let answers = client.publish_stream(request).await.unwrap().into_inner();
                    let accepted = answers.map(|answer| answer.unwrap().accepted);
                    let accepted: u32 = accepted.fold(0, async |sum, it| sum + it).await;
                    assert_eq!(accepted, count);
                });
            }
            streams.join_all().await;
        })
        .await
    }

    async fn http(&self) -> Cost {
        let sent_at = samples::now();
        let body = |first: usize| {
            let line = |n| events::json("http", n, &sent_at).to_string() + "\n";
            Bytes::from((first..first + BATCH).map(line).collect::<String>())
        };
        let bodies: Vec<Bytes> = (0..EVENTS).step_by(BATCH).map(body).collect();
        let url = format!("http://127.0.0.1:{}/v1/events", self.base);
        self.cost(async {
            let mut publishers = JoinSet::new();
            for mine in bodies.chunks(bodies.len() / TOGETHER) {
                let (mine, url) = (mine.to_vec(), url.clone());
                publishers.spawn(async move {
                    let http = reqwest::Client::new();
                    for body in mine {
                        let request = http.post(&url).bearer_auth(TOKEN).body(body);
                        let request = request.header("content-type", "application/x-ndjson");
                        let answer = request.send().await.unwrap();
                        assert_eq!(answer.status(), 200);
                        answer.bytes().await.unwrap();
                    }
                });
            }
            publishers.join_all().await;
        })
        .await
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
        self.child.wait().ok();
    }
}
