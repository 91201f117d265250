//! Ingest in front of Kafka, beside a bare producer of the same records.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
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
use crate::{cpu, events};

pub(crate) const ROWS: &[&str] = &["ingest over Kafka"];
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
    let ingest = Ingest::start(&brokers).await;
    let (grpc, http) = (ingest.grpc().await, ingest.http().await);
    println!(
        "events/s by the clock: bare producer {:.0}, gRPC {:.0}, HTTP {:.0}",
        bare.per_second, grpc.per_second, http.per_second
    );
    let row =
        |name, ours: Cost, times| Row::times(name, "us of cpu", ours.us_each, bare.us_each, times);
    vec![
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

fn cost(seconds: f64, begun: Instant) -> Cost {
    let events = EVENTS as f64;
    Cost { us_each: seconds / events * 1e6, per_second: events / begun.elapsed().as_secs_f64() }
}

/// `zhili-ingest` as its user runs it.
struct Ingest {
    child: Child,
    base: u16,
    _folder: TempDir,
}

impl Ingest {
    async fn start(brokers: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = free_ports();
        let path = folder.path().join("ingest.toml");
        std::fs::write(folder.path().join("pseudonym.key"), [7; 32]).unwrap();
        let text = format!(
            "pseudonym_key = \"{0}/pseudonym.key\"\n[ingest]\nlisten = \"127.0.0.1:{base}\"\n\
             [kafka]\nbrokers = \"{brokers}\"\npartitions = {PARTITIONS}\nreplication = 1\n\
             [auth]\ninsecure = true\n",
            folder.path().display()
        );
        std::fs::write(&path, text).unwrap();
        let program = program().with_file_name("zhili-ingest");
        assert!(program.is_file(), "{} is not built", program.display());
        let child =
            Command::new(program).arg("--config").arg(&path).stdin(Stdio::null()).spawn().unwrap();
        let ready = format!("http://127.0.0.1:{base}/readyz");
        eventually("ingest is ready", Duration::from_secs(30), async || {
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

impl Drop for Ingest {
    fn drop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
        self.child.wait().ok();
    }
}
