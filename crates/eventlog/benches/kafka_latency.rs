//! How long one record takes through Kafka: appended, fetched, committed with an output, and the
//! output fetched by another group. One broker on loopback.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use zhili_eventlog::kafka::{KafkaConfig, KafkaLog};
use zhili_eventlog::testkit::kafka_server::KafkaServer;
use zhili_eventlog::topics::{Cleanup, TopicSpec};
use zhili_eventlog::{
    Commit, EventLog, Membership, NewRecord, PartitionHandle, ReadLimit, Rebalance, TopicPartition,
};

const ROUNDS: usize = 500;
const WARM_UP: usize = 100;
const RECORDS: usize = 200_000;

const fn spec(name: &'static str) -> TopicSpec {
    TopicSpec { name, partitions: 1, cleanup: Cleanup::Delete { retention_ms: 86_400_000 } }
}

fn record(topic: &str) -> NewRecord {
    NewRecord::new(
        TopicPartition::new(topic, 0),
        Bytes::from("tenant/conversation"),
        Bytes::from(vec![b'x'; 500]),
    )
}

async fn own(
    log: &KafkaLog,
    group: &str,
    topic: &str,
) -> (Box<dyn zhili_eventlog::GroupMember>, Box<dyn PartitionHandle>) {
    let membership = Membership {
        group: group.to_owned(),
        member: "m".to_owned(),
        topics: vec![topic.to_owned()],
    };
    let mut member = log.join(membership).await.unwrap();
    loop {
        if let Rebalance::Assigned(mut handles) = member.next().await.unwrap() {
            return (member, handles.remove(0));
        }
    }
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.drain(..WARM_UP);
    times.sort();
    let at = |share: usize| times[times.len() * share / 100].as_secs_f64() * 1e3;
    println!("{what:28} p50 {:6.1} ms  p99 {:6.1} ms", at(50), at(99));
}

fn main() {
    let Some(server) = KafkaServer::shared() else {
        return;
    };
    tokio::runtime::Runtime::new().unwrap().block_on(measure(server));
}

async fn measure(server: &KafkaServer) {
    let config = KafkaConfig {
        replication_factor: 1,
        min_insync_replicas: 1,
        ..KafkaConfig::new(server.bootstrap_servers())
    };
    let log = Arc::new(KafkaLog::connect(config).await.unwrap());
    log.ensure_topics(&[spec("in"), spec("out")]).await.unwrap();
    let (_first, mut input) = own(&log, "first", "in").await;
    let (_second, mut output) = own(&log, "second", "out").await;
    let limit = ReadLimit { wait: Duration::from_secs(10), ..ReadLimit::default() };
    let mut times = [const { Vec::new() }; 5];
    for _ in 0..ROUNDS {
        let began = Instant::now();
        log.append(vec![record("in")]).await.remove(0).unwrap();
        let appended = Instant::now();
        let batch = input.fetch(limit).await.unwrap();
        let fetched = Instant::now();
        let commit =
            Commit { outputs: vec![record("out")], offset: batch.next, metadata: String::new() };
        let (committed, seen) = tokio::join!(
            async {
                input.commit(commit).await.unwrap();
                Instant::now()
            },
            async {
                output.fetch(limit).await.unwrap();
                Instant::now()
            }
        );
        times[0].push(appended - began);
        times[1].push(fetched - appended);
        times[2].push(committed - fetched);
        times[3].push(seen - fetched);
        times[4].push(seen - began);
    }
    let [appended, fetched, committed, seen, whole] = times;
    print("append acknowledged", appended);
    print("then fetched", fetched);
    print("commit confirmed", committed);
    print("commit seen by its reader", seen);
    print("append to output seen", whole);

    let mut commits = Vec::new();
    for offset in 0..ROUNDS {
        let began = Instant::now();
        let commit = Commit {
            outputs: Vec::new(),
            offset: offset as u64,
            metadata: "pending=0-0".to_owned(),
        };
        input.commit(commit).await.unwrap();
        commits.push(began.elapsed());
    }
    print("commit of a position only", commits);

    let began = Instant::now();
    for _ in 0..RECORDS / 1_000 {
        let records = (0..1_000).map(|_| record("in")).collect();
        for position in log.append(records).await {
            position.unwrap();
        }
    }
    rate("appended, 1,000 at a time", began);
    let began = Instant::now();
    let mut fetched = 0;
    while fetched < RECORDS {
        fetched += input.fetch(limit).await.unwrap().records.len();
    }
    rate("fetched", began);
}

fn rate(what: &str, began: Instant) {
    let each = RECORDS as f64 / began.elapsed().as_secs_f64();
    println!("{what:28} {each:8.0} records/s of 0.5 kB");
}
