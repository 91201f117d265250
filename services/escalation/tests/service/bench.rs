//! A log whose clock the test can put forward, and the service on it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use redb::backends::InMemoryBackend;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use zhili_escalation::Config;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::runner::{Bundles, publish_bundle};
use zhili_eventlog::testkit::fused::{Fuse, Fused};
use zhili_eventlog::{
    Clock, EventLog, NewRecord, ReadLimit, Record, TopicPartition, partition_of, system_clock,
    topics,
};
use zhili_proto::escalation::v1 as pb;
use zhili_runtime::auth::{Authenticator, Role, Tenant, TokenRecord, new_token};
use zhili_runtime::config::Secret;
use zhili_runtime::{Context, Failure};

use crate::receiver::{PATIENCE, Receiver};

const PARTITIONS: u32 = 2;
/// Between two questions to a service, so that it comes to work on what they are about.
const PAUSE: Duration = Duration::from_millis(10);
pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

pub(crate) struct Bench {
    pub(crate) log: EmbeddedLog,
    pub(crate) receiver: Receiver,
    /// What the clock of log and service is ahead of the real one, ms. It must not stand still:
    /// the lease of a claim is measured in real time by its owner and in log time by the fold,
    /// and with a clock that stands a claim of somebody who has died is never let go.
    ahead_ms: Arc<AtomicI64>,
    supervisor: Secret,
    stranger: Secret,
    publisher: Secret,
    tokens: Vec<TokenRecord>,
    secret: tempfile::NamedTempFile,
}

/// A running service.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    pub(crate) stranger: String,
    pub(crate) publisher: String,
    client: reqwest::Client,
    context: Context,
    task: AbortOnDropHandle<Result<(), Failure>>,
}

fn clock(ahead_ms: &Arc<AtomicI64>) -> Clock {
    let (ahead_ms, real) = (Arc::clone(ahead_ms), system_clock());
    Arc::new(move || real() + ahead_ms.load(Ordering::SeqCst))
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let ahead_ms = Arc::new(AtomicI64::new(0));
        let log = EmbeddedLog::open_on(InMemoryBackend::new, clock(&ahead_ms)).unwrap();
        log.ensure_topics(&topics::all(PARTITIONS)).await.unwrap();
        let mut tokens = Vec::new();
        let mut token = |name: &str, tenant: &str, role| {
            let tenant = Tenant::try_from(tenant.to_owned()).unwrap();
            let (secret, record) = new_token(name, tenant, BTreeSet::from([role]), None);
            tokens.push(record);
            secret
        };
        let supervisor = token("mei", "default", Role::Supervisor);
        let stranger = token("eve", "other", Role::Supervisor);
        let publisher = token("platform", "default", Role::Publisher);
        let mut secret = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut secret, SECRET.as_bytes()).unwrap();
        let receiver = Receiver::start().await;
        Self { log, receiver, ahead_ms, supervisor, stranger, publisher, tokens, secret }
    }

    /// As `new`, with the receiver as the only destination of tenant `default`.
    pub(crate) async fn with_floor() -> Self {
        let bench = Self::new().await;
        bench.configure("default", &bench.floor()).await;
        bench
    }

    /// Settings whose only destination is the receiver.
    pub(crate) fn floor(&self) -> String {
        format!(
            "[escalation.teams.default.destinations.floor.webhook]\n\
             url = \"http://{}/hook/t0ken\"\nsecret = \"file:{}\"\nallow_private = true\n",
            self.receiver.address,
            self.secret.path().display()
        )
    }

    pub(crate) async fn configure(&self, tenant: &str, bundle: &str) {
        publish_bundle(&self.log, tenant, Bytes::from(bundle.to_owned()), "test", 0).await.unwrap();
    }

    pub(crate) fn clock(&self) -> Clock {
        clock(&self.ahead_ms)
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock()()
    }

    /// Puts the clock forward.
    pub(crate) fn wait_ms(&self, ms: i64) {
        self.ahead_ms.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) async fn start(&self) -> Service {
        self.start_with(&Fuse::never(), Config::default()).await
    }

    /// Starts the service and waits until it answers or the fuse blows.
    pub(crate) async fn start_with(&self, fuse: &Arc<Fuse>, config: Config) -> Service {
        let fused = Fused::new(Arc::new(self.log.clone()), Arc::clone(fuse));
        self.start_on(fused, fuse, config).await
    }

    /// Starts a service that dies before it reads its first claim of a page back.
    pub(crate) async fn start_until_claim(&self, fuse: &Arc<Fuse>, config: Config) -> Service {
        let fused = Fused::new(Arc::new(self.log.clone()), Arc::clone(fuse));
        self.start_on(fused.dying_after(|records| records.iter().any(is_claim)), fuse, config).await
    }

    async fn start_on(&self, log: Fused, fuse: &Arc<Fuse>, config: Config) -> Service {
        let log: Arc<dyn EventLog> = Arc::new(log);
        let shutdown = CancellationToken::new();
        let auth = Authenticator::from_records(self.tokens.clone());
        let context = Context::new(shutdown.clone(), auth);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bundles = Bundles::follow(Arc::clone(&log), shutdown).await.unwrap();
        let serving =
            zhili_escalation::serve(listener, config, log, bundles, self.clock(), context.clone());
        let service = Service {
            address,
            token: self.supervisor.expose().to_owned(),
            stranger: self.stranger.expose().to_owned(),
            publisher: self.publisher.expose().to_owned(),
            client: reqwest::Client::new(),
            context,
            task: AbortOnDropHandle::new(tokio::spawn(serving)),
        };
        let ready = async {
            while service.get("/v1/incidents").await.0 != 200 {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            ready = tokio::time::timeout(PATIENCE, ready) => ready.expect("the service is not ready"),
            () = fuse.blown() => {}
        }
        service
    }

    pub(crate) async fn put(&self, topic: &'static str, record: NewRecord) {
        assert_eq!(&*record.partition.topic, topic);
        self.log.append(vec![record]).await.remove(0).unwrap();
    }

    pub(crate) fn record(entry: pb::log_entry::Entry, tenant: &str) -> NewRecord {
        let key = Bytes::from(format!("{tenant}/default"));
        let partition = partition_of(&key, PARTITIONS);
        let value = pb::LogEntry { entry: Some(entry) }.encode_to_vec();
        NewRecord::new(TopicPartition::new(topics::ESCALATION, partition), key, Bytes::from(value))
    }

    pub(crate) async fn signal(&self, signal: pb::Signal) {
        let tenant = signal.tenant.clone();
        let record = Self::record(pb::log_entry::Entry::Signal(signal), &tenant);
        self.put(topics::ESCALATION, record).await;
    }

    /// An urgent complaint in a conversation.
    pub(crate) fn urgent(&self, signal_id: &str, conversation: &str) -> pb::Signal {
        pb::Signal {
            signal_id: signal_id.into(),
            tenant: "default".into(),
            team: "default".into(),
            conversation_id: conversation.into(),
            family: pb::Family::Complaint.into(),
            kind: "urgent_complaint".into(),
            category: "regulator".into(),
            severity: pb::incident::Severity::High.into(),
            event_id: format!("e-{signal_id}"),
            effective_ms: self.now(),
            probability: 0.97,
            rules: vec!["regulator.12315".into()],
            related: Vec::new(),
            excerpt: "我要打12315投诉你们".into(),
            agent: "a_1".into(),
            customer: "u_1".into(),
            channel: "app".into(),
            queue: "returns".into(),
            ..pb::Signal::default()
        }
    }

    /// Waits for a record of the escalation log.
    pub(crate) async fn entry(&self, wanted: impl Fn(&pb::log_entry::Entry) -> bool) {
        self.find(topics::ESCALATION, |value| {
            let entry = pb::LogEntry::decode(value).ok().and_then(|entry| entry.entry);
            entry.filter(|entry| wanted(entry))
        })
        .await;
    }

    /// Waits for an event of the incident log.
    pub(crate) async fn event(
        &self,
        wanted: impl Fn(&pb::IncidentEvent) -> bool,
    ) -> pb::IncidentEvent {
        self.find(topics::INCIDENTS, |value| {
            pb::IncidentEvent::decode(value).ok().filter(|event| wanted(event))
        })
        .await
    }

    /// Waits for an event of a kind about a conversation.
    pub(crate) async fn told(
        &self,
        kind: pb::incident_event::Type,
        conversation: &str,
    ) -> pb::IncidentEvent {
        self.event(|event| {
            let incident = event.incident.as_ref();
            event.r#type() == kind && incident.is_some_and(|it| it.conversation_id == conversation)
        })
        .await
    }

    async fn find<T>(&self, topic: &'static str, wanted: impl Fn(&[u8]) -> Option<T>) -> T {
        let mut next = [0; PARTITIONS as usize];
        let search = async {
            loop {
                for partition in 0..PARTITIONS {
                    let at = TopicPartition::new(topic, partition);
                    let wait = Duration::from_millis(10);
                    let limit = ReadLimit { wait, ..ReadLimit::default() };
                    let next = &mut next[partition as usize];
                    let batch = self.log.read(&at, *next, limit).await.unwrap();
                    *next = batch.next;
                    let found = batch.records.iter().find_map(|it| wanted(it.value.as_deref()?));
                    if let Some(found) = found {
                        return found;
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, search).await.expect("no such record came")
    }

    /// The values of everything that a topic holds now.
    pub(crate) async fn all(&self, topic: &'static str) -> Vec<Bytes> {
        let records = self.records(topic).await.into_iter().flatten();
        records.filter_map(|record| record.value).collect()
    }

    /// Everything that a topic holds now, by partition.
    pub(crate) async fn records(&self, topic: &'static str) -> Vec<Vec<Record>> {
        let mut all = Vec::new();
        for partition in 0..self.log.topic(topic).await.unwrap().partitions {
            let mut records = Vec::new();
            let at = TopicPartition::new(topic, partition);
            let mut next = self.log.bounds(&at).await.unwrap().start;
            let limit = ReadLimit { wait: Duration::ZERO, ..ReadLimit::default() };
            loop {
                let batch = self.log.read(&at, next, limit).await.unwrap();
                next = batch.next;
                records.extend(batch.records);
                if batch.caught_up {
                    break;
                }
            }
            all.push(records);
        }
        all
    }

    /// Everything that was told about incidents, by partition and in order.
    pub(crate) async fn events(&self) -> Vec<pb::IncidentEvent> {
        let values = self.all(topics::INCIDENTS).await;
        values.into_iter().map(|value| pb::IncidentEvent::decode(value).unwrap()).collect()
    }
}

fn is_claim(record: &NewRecord) -> bool {
    let entry = record.value.as_deref().and_then(|value| pb::LogEntry::decode(value).ok());
    matches!(entry.and_then(|entry| entry.entry), Some(pb::log_entry::Entry::Claim(_)))
}

impl Service {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn channel(&self) -> tonic::transport::Channel {
        tonic::transport::Endpoint::from_shared(self.url("")).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.get_as(&self.token, path).await
    }

    pub(crate) async fn get_as(&self, token: &str, path: &str) -> (u16, Value) {
        let request = self.client.get(self.url(path)).bearer_auth(token);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    pub(crate) async fn text(&self, path: &str) -> (u16, String) {
        let response = self.client.get(self.url(path)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub(crate) async fn file(&self, path: &str) -> String {
        let request = self.client.get(self.url(path)).bearer_auth(&self.token);
        request.send().await.unwrap().text().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.post_as(&self.token, path, body).await
    }

    pub(crate) async fn post_as(&self, token: &str, path: &str, body: Value) -> (u16, Value) {
        let request = self.client.post(self.url(path)).bearer_auth(token).json(&body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    pub(crate) async fn incidents(&self) -> Vec<Value> {
        let (status, body) = self.get("/v1/incidents?all").await;
        assert_eq!(status, 200, "{body}");
        body["incidents"].as_array().cloned().unwrap_or_default()
    }

    /// Asks until the answer is as wanted: what it is made of is not told anywhere else.
    pub(crate) async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let asking = async {
            loop {
                let (_, body) = self.get(path).await;
                if wanted(&body) {
                    return body;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("never answered as wanted")
    }

    /// Dies suddenly. When this returns it has left its group: what it had not done by then, it
    /// will not do, except for requests and appends that were under way.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let died = tokio::time::timeout(PATIENCE, self.task).await.unwrap();
        assert!(died.is_err_and(|error| error.is_cancelled()), "it had ended before");
    }

    /// Stops as a signal to the process would.
    pub(crate) async fn stop(self) {
        self.context.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}
