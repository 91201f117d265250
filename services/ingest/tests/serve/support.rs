//! A running service, its log, and an HTTP client that can also misbehave.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::HttpBody;
use futures::{StreamExt, stream};
use prost::Message;
use redb::backends::InMemoryBackend;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::topics::{self, TopicSpec};
use zhili_eventlog::{
    Batch, Bounds, Committed, EventLog, GroupMember, LogError, Membership, NewRecord, Position,
    ReadLimit, Record, TopicInfo, TopicPartition, system_clock,
};
use zhili_ingest::Config;
use zhili_proto::conversation::v1::ingest_service_client::IngestServiceClient;
use zhili_proto::conversation::v1::{Event, LogEntry, log_entry};
use zhili_redact::PseudonymKey;
use zhili_runtime::Context;
use zhili_runtime::auth::{Authenticator, Role, Tenant, new_token};

pub(crate) const PARTITIONS: u32 = 4;

/// The embedded log, made to fail or to wait by a test.
pub(crate) struct TestLog {
    inner: EmbeddedLog,
    failing: AtomicBool,
    held: watch::Sender<bool>,
    appends: watch::Sender<usize>,
}

impl TestLog {
    pub(crate) fn fail(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }

    /// Appends wait while it is held.
    pub(crate) fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// Waits until this many appends have begun.
    pub(crate) async fn appends(&self, count: usize) {
        self.appends.subscribe().wait_for(|begun| *begun >= count).await.unwrap();
    }

    /// All records of `zhili.events.v1` with their partitions.
    pub(crate) async fn records(&self) -> Vec<(u32, Record)> {
        let limit = ReadLimit { records: 10_000, bytes: 64 << 20, wait: Duration::ZERO };
        let mut records = Vec::new();
        for number in 0..PARTITIONS {
            let partition = TopicPartition::new(topics::EVENTS, number);
            let mut from = 0;
            loop {
                let batch = self.inner.read(&partition, from, limit).await.unwrap();
                records.extend(batch.records.into_iter().map(|record| (number, record)));
                if batch.caught_up {
                    break;
                }
                from = batch.next;
            }
        }
        records
    }
}

pub(crate) fn event_of(record: &Record) -> Event {
    match LogEntry::decode(record.value.clone().unwrap()).unwrap().entry {
        Some(log_entry::Entry::Event(event)) => event,
        other => panic!("not an event: {other:?}"),
    }
}

#[async_trait]
impl EventLog for TestLog {
    async fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<(), LogError> {
        self.inner.ensure_topics(specs).await
    }

    async fn topic(&self, name: &str) -> Result<TopicInfo, LogError> {
        self.inner.topic(name).await
    }

    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<Position, LogError>> {
        self.appends.send_modify(|begun| *begun += 1);
        if self.failing.load(Ordering::SeqCst) {
            let error = LogError::Unavailable("broker unreachable".to_owned());
            return vec![Err(error); records.len()];
        }
        self.held.subscribe().wait_for(|held| !held).await.unwrap();
        self.inner.append(records).await
    }

    async fn bounds(&self, partition: &TopicPartition) -> Result<Bounds, LogError> {
        self.inner.bounds(partition).await
    }

    async fn read(
        &self,
        partition: &TopicPartition,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Batch, LogError> {
        self.inner.read(partition, from, limit).await
    }

    async fn committed(
        &self,
        group: &str,
        partition: &TopicPartition,
    ) -> Result<Option<Committed>, LogError> {
        self.inner.committed(group, partition).await
    }

    async fn join(&self, membership: Membership) -> Result<Box<dyn GroupMember>, LogError> {
        self.inner.join(membership).await
    }

    async fn trim(&self, partition: &TopicPartition, offset: u64) -> Result<(), LogError> {
        self.inner.trim(partition, offset).await
    }
}

/// A service that stops when it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) log: Arc<TestLog>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) publisher: String,
    pub(crate) admin: String,
    analyst: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let inner = EmbeddedLog::open_on(InMemoryBackend::new, system_clock()).unwrap();
        inner.ensure_topics(&topics::all(PARTITIONS)).await.unwrap();
        let log = Arc::new(TestLog {
            inner,
            failing: AtomicBool::new(false),
            held: watch::Sender::new(false),
            appends: watch::Sender::new(0),
        });
        let token = |name: &str, role| {
            let tenant = Tenant::default_tenant();
            let (secret, record) = new_token(name, tenant, BTreeSet::from([role]), None);
            (format!("Bearer {}", secret.expose()), record)
        };
        let (publisher, one) = token("platform", Role::Publisher);
        let (analyst, other) = token("analyst", Role::Analyst);
        let (admin, third) = token("admin", Role::Admin);
        let shutdown = CancellationToken::new();
        let auth = Authenticator::from_records(vec![one, other, third]);
        let context = Context::new(shutdown.clone(), auth);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let key = PseudonymKey::new([3; 32]);
        tokio::spawn(zhili_ingest::serve(listener, config, log.clone(), key, context));
        Self { address, log, shutdown, publisher, admin, analyst }
    }

    /// A POST to `/v1/events` as the publisher.
    pub(crate) async fn post(&self, content_type: &str, body: impl AsRef<[u8]>) -> Reply {
        self.post_with(&[("content-type", content_type)], body).await
    }

    pub(crate) async fn post_with(
        &self,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Reply {
        let mut all = vec![("authorization", self.publisher.as_str())];
        all.extend_from_slice(headers);
        self.send("POST /v1/events", &all, body.as_ref()).await
    }

    /// A POST that does not say beforehand how long it is.
    pub(crate) async fn post_chunked(&self, content_type: &str, body: &str) -> Reply {
        let headers = [
            ("authorization", self.publisher.as_str()),
            ("content-type", content_type),
            ("transfer-encoding", "chunked"),
        ];
        let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        self.send("POST /v1/events", &headers, chunk.as_bytes()).await
    }

    /// A POST as somebody who may look at figures only.
    pub(crate) async fn post_as_analyst(&self, body: impl AsRef<[u8]>) -> Reply {
        let headers =
            [("authorization", self.analyst.as_str()), ("content-type", "application/json")];
        self.send("POST /v1/events", &headers, body.as_ref()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(&format!("GET {path}"), &[], b"").await
    }

    /// One request of HTTP/1.1 on a connection of its own, with the right `content-length`
    /// unless the headers say how long the body is.
    pub(crate) async fn send(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut head = format!("{line} HTTP/1.1\r\nhost: zhili\r\nconnection: close\r\n");
        let told = ["content-length", "transfer-encoding"];
        if !headers.iter().any(|(name, _)| told.contains(name)) {
            write!(head, "content-length: {}\r\n", body.len()).unwrap();
        }
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Reply {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    /// Waits until `/metrics` has this line.
    pub(crate) async fn metric(&self, line: &str) {
        let shown =
            async { while !self.get("/metrics").await.body.lines().any(|found| found == line) {} };
        timeout(Duration::from_secs(20), shown).await.unwrap_or_else(|_| panic!("never {line}"));
    }

    /// How a call of `IngestService` ends whose request begins with `bytes` and never goes on.
    pub(crate) async fn publish_and_stall(&self, call: &str, bytes: Vec<u8>) -> Status {
        let begun = stream::iter([Ok::<_, Status>(bytes)]).chain(stream::pending());
        let request = http::Request::post(format!(
            "http://{}/zhili.conversation.v1.IngestService/{call}",
            self.address
        ))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", &self.publisher)
        .body(Body::new(axum::body::Body::from_stream(begun)))
        .unwrap();
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        let mut channel = endpoint.connect().await.unwrap();
        let answered = async {
            poll_fn(|context| channel.poll_ready(context)).await.unwrap();
            let answer = channel.call(request).await.unwrap();
            if let Some(status) = Status::from_header_map(answer.headers()) {
                return status;
            }
            // A stream is answered with 200 first and says in its trailers how it ended.
            let mut body = pin!(answer.into_body());
            loop {
                let frame = poll_fn(|context| body.as_mut().poll_frame(context)).await;
                if let Ok(trailers) = frame.unwrap().unwrap().into_trailers() {
                    return Status::from_header_map(&trailers).unwrap();
                }
            }
        };
        timeout(Duration::from_secs(20), answered).await.unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        self.client_as(&self.publisher).await
    }

    pub(crate) async fn client_of_analyst(&self) -> Client {
        self.client_as(&self.analyst).await
    }

    pub(crate) async fn client_as(&self, authorization: &str) -> Client {
        let channel =
            Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await;
        let bearer = Bearer(authorization.parse().unwrap());
        IngestServiceClient::with_interceptor(channel.unwrap(), bearer)
    }
}

pub(crate) type Client = IngestServiceClient<InterceptedService<Channel, Bearer>>;

#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<tonic::metadata::Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// What a request was answered with; the head is in lower case.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A message of a customer.
pub(crate) fn message(event_id: &str, conversation_id: &str) -> Value {
    json!({
        "source": "test", "event_id": event_id, "conversation_id": conversation_id,
        "type": "message", "sent_at": "2023-11-14T22:13:00Z",
        "author": {"id": "cust-1", "role": "customer"}, "text": "你好",
    })
}

pub(crate) fn event(event_id: &str, conversation_id: &str) -> Event {
    serde_json::from_value(message(event_id, conversation_id)).unwrap()
}
