//! What the Kafka log makes of errors that a healthy broker does not return when asked to: a mock
//! cluster answers with them. It keeps no transactions, so nothing here reads what became visible.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey as Request, RDKafkaRespErr as Answer};
use zhili_eventlog::kafka::{KafkaConfig, KafkaLog};
use zhili_eventlog::{
    Commit, EventLog, GroupMember, LogError, Membership, NewRecord, PartitionHandle, ReadLimit,
    Rebalance, TopicPartition,
};

/// How long anything may take that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

type Cluster = MockCluster<'static, DefaultProducerContext>;

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited for {what}"))
}

/// One broker with a topic of one partition.
async fn cluster() -> (Cluster, KafkaLog) {
    let cluster = Cluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let config = KafkaConfig {
        session_timeout: Duration::from_secs(6),
        ..KafkaConfig::new(cluster.bootstrap_servers())
    };
    let log = soon("a connection", KafkaLog::connect(config)).await.unwrap();
    (cluster, log)
}

fn record() -> NewRecord {
    NewRecord::new(TopicPartition::new("t", 0), None, Bytes::from("a"))
}

fn commit() -> Commit {
    Commit { outputs: vec![record()], offset: 1, metadata: "pending=0-0".to_owned() }
}

async fn own(log: &KafkaLog) -> (Box<dyn GroupMember>, Box<dyn PartitionHandle>) {
    let membership =
        Membership { group: "g".to_owned(), member: "m".to_owned(), topics: vec!["t".to_owned()] };
    let mut member = soon("joining", log.join(membership)).await.unwrap();
    match soon("an assignment", member.next()).await.unwrap() {
        Rebalance::Assigned(mut handles) => (member, handles.remove(0)),
        Rebalance::Revoked(_) => panic!("nothing was assigned"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_during_a_rebalance_is_tried_again() {
    let (cluster, log) = cluster().await;
    let (_member, mut handle) = own(&log).await;
    cluster.request_errors(
        Request::TxnOffsetCommit,
        &[
            Answer::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
            Answer::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
        ],
    );
    soon("a commit", handle.commit(commit())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_survives_a_coordinator_that_moves() {
    let (cluster, log) = cluster().await;
    let (_member, mut handle) = own(&log).await;
    for request in [Request::AddPartitionsToTxn, Request::AddOffsetsToTxn, Request::EndTxn] {
        cluster.request_errors(
            request,
            &[
                Answer::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
                Answer::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
                Answer::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS,
            ],
        );
    }
    soon("a commit", handle.commit(commit())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_asked_for_again() {
    let (cluster, log) = cluster().await;
    let (_member, mut handle) = own(&log).await;
    cluster.request_errors(
        Request::EndTxn,
        &[Answer::RD_KAFKA_RESP_ERR__TRANSPORT, Answer::RD_KAFKA_RESP_ERR__TRANSPORT],
    );
    soon("a commit", handle.commit(commit())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_was_given_up_before_the_commit_is_replaced() {
    let (cluster, log) = cluster().await;
    let (_member, mut handle) = own(&log).await;
    cluster
        .request_errors(Request::AddOffsetsToTxn, &[Answer::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE]);
    soon("a commit", handle.commit(commit())).await.unwrap();
    assert!(!handle.revoked().is_cancelled());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_fenced_at_the_last_moment_is_ambiguous_and_ends_the_membership() {
    let (cluster, log) = cluster().await;
    let (mut member, mut handle) = own(&log).await;
    cluster.request_errors(Request::EndTxn, &[Answer::RD_KAFKA_RESP_ERR_PRODUCER_FENCED]);
    let error = soon("an answer", handle.commit(commit())).await.unwrap_err();
    assert!(matches!(error, LogError::Ambiguous(_)), "{error}");
    assert!(handle.revoked().is_cancelled());
    let ended = soon("the end", member.next()).await.err().unwrap();
    assert!(ended.is_transient(), "{ended}");
    let error = handle.commit(commit()).await.unwrap_err();
    assert!(matches!(error, LogError::Revoked(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rights_are_refused_not_tried_for_ever() {
    let (cluster, log) = cluster().await;
    let (_member, mut handle) = own(&log).await;
    cluster
        .request_errors(Request::Produce, &[Answer::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let error = soon("an answer", handle.commit(commit())).await.unwrap_err();
    assert!(matches!(error, LogError::Refused(_)), "{error}");
    let position = Commit { outputs: Vec::new(), ..commit() };
    soon("a commit", handle.commit(position)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_survives_a_leader_that_moves_and_a_lost_answer() {
    let (cluster, log) = cluster().await;
    cluster.request_errors(
        Request::Produce,
        &[
            Answer::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            Answer::RD_KAFKA_RESP_ERR__TRANSPORT,
            Answer::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        ],
    );
    // One record: the mock takes a second one before the first was repeated, as no broker does.
    let appended = soon("an append", log.append(vec![record()])).await;
    assert_eq!(appended[0].as_ref().unwrap().offset, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_are_asked_for_until_the_last_owners_transaction_is_settled() {
    let (cluster, log) = cluster().await;
    cluster.request_errors(
        Request::OffsetFetch,
        &[Answer::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS; 3],
    );
    let (_member, handle) = own(&log).await;
    assert_eq!(handle.committed(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_gets_over_a_leader_that_moves() {
    let (cluster, log) = cluster().await;
    let (_member, mut handle) = own(&log).await;
    cluster.request_errors(
        Request::Fetch,
        &[Answer::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, Answer::RD_KAFKA_RESP_ERR__TRANSPORT],
    );
    soon("an append", log.append(vec![record()])).await[0].as_ref().unwrap();
    let limit = ReadLimit { wait: PATIENCE, ..ReadLimit::default() };
    let batch = soon("the record", handle.fetch(limit)).await.unwrap();
    assert_eq!((batch.records.len(), batch.next), (1, 1));
}
