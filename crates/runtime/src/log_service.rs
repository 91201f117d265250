//! `zhili.log.v1.LogService`: reading the log for people and tools.
//!
//! The log holds the records of all tenants; a caller is shown those of their own. What a record
//! tells decides which permission it needs, as it does for the services that show the same.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use prost::Message;
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};
use zhili_eventlog::runner::{Bundles, Published, publish_bundle, publish_bundle_after};
use zhili_eventlog::{
    EventLog, LogError, NewRecord, ReadLimit, Record, TopicPartition, partition_of, topics,
};
use zhili_proto::conversation::v1::{LogEntry, log_entry};
use zhili_proto::escalation::v1 as escalation;
use zhili_proto::log::v1::log_service_server::LogService;
use zhili_proto::log::v1::{
    ApplyConfigRequest, ApplyConfigResponse, CopyLogRequest, CopyLogResponse, DeadLetter,
    DeadLetterRecord, GetConfigRequest, GetConfigResponse, GroupPosition, ListDeadLettersRequest,
    ListDeadLettersResponse, ListGroupsRequest, ListGroupsResponse, ListTopicsRequest,
    ListTopicsResponse, Partition, ReplayDeadLettersRequest, ReplayDeadLettersResponse,
    ReplayResult, TailRequest, TailResponse, Topic,
};
use zhili_proto::scoring::v1 as scoring;

use crate::audit::Audit;
use crate::auth::{Permission, Principal, Tenant};
use crate::{ErrorCode, ServiceError};

/// Records read at once for a tail.
const TAIL_RECORDS: usize = 500;
/// Dead letters returned unless more are asked for, and at most.
const LETTERS: (u32, u32) = (100, 1_000);
/// A bundle is a record of the log.
const LARGEST_BUNDLE: usize = 512 * 1024;

/// Serves one log.
#[derive(Clone)]
pub struct LogReader {
    log: Arc<dyn EventLog>,
    /// Topics it shows, and groups whose positions it shows with the topics they read.
    partitions: u32,
    groups: Arc<[(&'static str, &'static [&'static str])]>,
    /// Held while a bundle is put in force: administrators of one process wait for each other
    /// instead of losing to each other.
    applying: Arc<Mutex<()>>,
    /// Where copies of the log may be put, if this process can make any.
    copies: Option<PathBuf>,
}

impl LogReader {
    /// A view of `log`, whose keyed topics have `partitions` partitions, for the groups that
    /// read it.
    pub fn new(
        log: Arc<dyn EventLog>,
        partitions: u32,
        groups: impl Into<Arc<[(&'static str, &'static [&'static str])]>>,
    ) -> Self {
        Self { log, partitions, groups: groups.into(), applying: Arc::default(), copies: None }
    }

    /// Lets administrators copy the log into folders below this one.
    #[must_use]
    pub fn with_copies(mut self, folder: PathBuf) -> Self {
        self.copies = Some(folder);
        self
    }

    /// The log itself.
    pub(crate) fn log(&self) -> &dyn EventLog {
        &*self.log
    }

    /// The groups that it shows, with the topics that they read.
    pub(crate) fn groups(&self) -> &[(&'static str, &'static [&'static str])] {
        &self.groups
    }

    /// The audit log that is kept in it.
    pub(crate) fn audit(&self, registry: &mut prometheus_client::registry::Registry) -> Audit {
        Audit::new(Arc::clone(&self.log), self.partitions, registry)
    }

    /// The newest dead letters that the caller may know of.
    async fn letters(
        &self,
        tenant: &Tenant,
        limit: usize,
    ) -> Result<Vec<DeadLetterRecord>, LogError> {
        let info = self.log.topic(topics::DEAD_LETTERS).await?;
        let mut found = Vec::new();
        for number in 0..info.partitions {
            let partition = TopicPartition::new(topics::DEAD_LETTERS, number);
            let bounds = self.log.bounds(&partition).await?;
            let mut window = limit as u64;
            // Letters of others lie between; so it looks further back until it has enough.
            loop {
                let from = bounds.start.max(bounds.end.saturating_sub(window));
                let letters = self.letters_between(&partition, from, bounds.end, tenant).await?;
                if letters.len() >= limit || from == bounds.start {
                    found.extend(letters);
                    break;
                }
                window = window.saturating_mul(4);
            }
        }
        found.sort_by_key(|(append_ms, _)| std::cmp::Reverse(*append_ms));
        Ok(found.into_iter().take(limit).map(|(_, letter)| letter).collect())
    }

    async fn letters_between(
        &self,
        partition: &TopicPartition,
        mut next: u64,
        end: u64,
        tenant: &Tenant,
    ) -> Result<Vec<(i64, DeadLetterRecord)>, LogError> {
        let mut found = Vec::new();
        while next < end {
            let batch = self.log.read(partition, next, ReadLimit::default()).await?;
            if batch.next == next {
                break;
            }
            next = batch.next;
            found.extend(batch.records.into_iter().filter_map(|record| {
                let letter = DeadLetter::decode(record.value.as_deref()?).ok()?;
                let id = format!("{}:{}", partition.partition, record.offset);
                concerns(&letter, tenant).then_some((
                    record.append_ms,
                    DeadLetterRecord { id, dead_letter: Some(letter) },
                ))
            }));
        }
        Ok(found)
    }

    /// How long the first record from `offset` on has been in the log. `None` when there is none:
    /// the offsets up to the end of a partition may be gaps.
    pub(crate) async fn waiting_ms(
        &self,
        at: &TopicPartition,
        offset: u64,
    ) -> Result<Option<i64>, LogError> {
        let limit = ReadLimit { records: 1, ..ReadLimit::default() };
        let batch = self.log.read(at, offset, limit).await?;
        let now = zhili_eventlog::system_clock()();
        Ok(batch.records.first().map(|record| (now - record.append_ms).max(0)))
    }

    /// Publishes a dead letter's event again, under an id of its own: the first id may be taken.
    /// Doing so twice is recognised as a duplicate.
    async fn replay(&self, tenant: &Tenant, id: &str) -> Result<(), String> {
        let (partition, offset) = id
            .split_once(':')
            .and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?)))
            .ok_or("an id has the form partition:offset")?;
        let at = TopicPartition::new(topics::DEAD_LETTERS, partition);
        let limit = ReadLimit { records: 1, ..ReadLimit::default() };
        let batch = self.log.read(&at, offset, limit).await.map_err(|error| error.to_string())?;
        let record = batch.records.first().filter(|record| record.offset == offset);
        let letter = record
            .and_then(|record| DeadLetter::decode(record.value.as_deref()?).ok())
            // Of another tenant's not even that it is there is said.
            .filter(|letter| concerns(letter, tenant))
            .ok_or("there is no such dead letter")?;
        if letter.topic != topics::EVENTS || letter.payload.is_empty() {
            return Err("its payload was not kept, because it could not be read and so could not \
                        be masked: publish the event again at its source"
                .to_owned());
        }
        let entry = LogEntry::decode(letter.payload).ok().and_then(|entry| entry.entry);
        let Some(log_entry::Entry::Event(mut event)) = entry else {
            return Err("its payload is not an event".to_owned());
        };
        if event.tenant != tenant.as_str() {
            return Err("its event belongs to another tenant than the letter says".to_owned());
        }
        event.event_id = format!("{}~replay-{partition}-{offset}", event.event_id);
        let key = format!("{}/{}", event.tenant, event.conversation_id);
        let partition = partition_of(key.as_bytes(), self.partitions);
        let entry = LogEntry { entry: Some(log_entry::Entry::Event(event)) };
        let record = NewRecord::new(
            TopicPartition::new(topics::EVENTS, partition),
            Bytes::from(key),
            Bytes::from(entry.encode_to_vec()),
        );
        match self.log.append(vec![record]).await.pop() {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("nothing was appended".to_owned()),
        }
    }
}

/// The caller, if they may do all of this.
fn allowed<T>(request: &Request<T>, permissions: &[Permission]) -> Result<Principal, ServiceError> {
    let principal = request
        .extensions()
        .get::<Principal>()
        .ok_or_else(|| ServiceError::new(ErrorCode::Unauthenticated, "send a token"))?;
    for permission in permissions {
        principal.require(*permission)?;
    }
    Ok(principal.clone())
}

/// What reading a topic needs.
fn needed(topic: &str) -> Result<&'static [Permission], ServiceError> {
    match topic {
        // Masked texts, and what was found out about single conversations.
        topics::EVENTS | topics::SCORES | topics::FACTS | topics::CUSTOMERS | topics::PULSE => {
            Ok(&[Permission::Transcripts])
        }
        topics::ESCALATION | topics::INCIDENTS => Ok(&[Permission::Incidents]),
        topics::CONFIG => Ok(&[Permission::Config]),
        topics::DEAD_LETTERS => Ok(&[Permission::Config, Permission::Transcripts]),
        topics::AUDIT => Ok(&[Permission::Audit]),
        // What platforms publish before anything is masked, and states of all tenants in one.
        _ => Err(ServiceError::new(
            ErrorCode::Denied,
            format!("{topic} is shown to nobody: its records are raw, or of no single tenant"),
        )),
    }
}

/// Whether a tenant may see a record of a topic.
fn shown(topic: &str, record: &Record, tenant: &Tenant) -> bool {
    let name = tenant.as_str();
    let key = record.key.as_deref().map(|key| std::str::from_utf8(key).unwrap_or_default());
    let value = || record.value.as_deref().unwrap_or_default();
    match (topic, key) {
        (topics::DEAD_LETTERS, _) => {
            DeadLetter::decode(value()).is_ok_and(|letter| concerns(&letter, tenant))
        }
        // Bundles are named by their content, which does not say whose they are.
        (topics::CONFIG, key) => key
            .and_then(|key| key.strip_prefix("head/"))
            .is_some_and(|head| head.split('/').next() == Some(name)),
        // The runner's own records: time belongs to everybody, a configuration to its tenant.
        (topics::EVENTS, None) => match LogEntry::decode(value()).ok().and_then(|e| e.entry) {
            Some(log_entry::Entry::Tick(_)) => true,
            Some(log_entry::Entry::Marker(marker)) => marker.tenant == name,
            Some(log_entry::Entry::Erasure(erasure)) => erasure.tenant == name,
            _ => false,
        },
        (topics::CUSTOMERS, None) => {
            use scoring::customer_entry::Entry;
            match scoring::CustomerEntry::decode(value()).ok().and_then(|entry| entry.entry) {
                Some(Entry::Tick(_)) => true,
                Some(Entry::Marker(marker)) => marker.tenant == name,
                Some(Entry::Erasure(erasure)) => erasure.tenant == name,
                _ => false,
            }
        }
        (topics::PULSE, None) => {
            use scoring::pulse_entry::Entry;
            match scoring::PulseEntry::decode(value()).ok().and_then(|entry| entry.entry) {
                Some(Entry::Tick(_)) => true,
                Some(Entry::Marker(marker)) => marker.tenant == name,
                Some(Entry::Erasure(erasure)) => erasure.tenant == name,
                _ => false,
            }
        }
        (topics::ESCALATION, None) => {
            use escalation::log_entry::Entry;
            match escalation::LogEntry::decode(value()).ok().and_then(|entry| entry.entry) {
                Some(Entry::Tick(_)) => true,
                Some(Entry::Marker(marker)) => marker.tenant == name,
                Some(Entry::Erasure(erasure)) => erasure.tenant == name,
                _ => false,
            }
        }
        (_, None) => false,
        (_, Some(key)) => key.split('/').next() == Some(name),
    }
}

/// Whether a dead letter is for a tenant to see. One that could not be read belongs to nobody and
/// holds nothing of what it was: everybody who runs a part of the log may know of it.
fn concerns(letter: &DeadLetter, tenant: &Tenant) -> bool {
    letter.tenant == tenant.as_str() || letter.tenant.is_empty() && letter.payload.is_empty()
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: LogError) -> ServiceError {
    let code = match &error {
        LogError::UnknownTopic(_) | LogError::UnknownPartition(_) => ErrorCode::NotFound,
        error if error.is_transient() => ErrorCode::Unavailable,
        _ => ErrorCode::Internal,
    };
    ServiceError::new(code, error.to_string())
}

fn tailed(topic: &str, partition: u32, record: Record) -> TailResponse {
    TailResponse {
        topic: topic.to_owned(),
        partition,
        offset: record.offset,
        append_time: Some(zhili_proto::timestamp(record.append_ms)),
        key: record.key.unwrap_or_default(),
        value: record.value.unwrap_or_default(),
        headers: record.headers.0.into_iter().collect(),
    }
}

#[tonic::async_trait]
impl LogService for LogReader {
    type TailStream = Pin<Box<dyn Stream<Item = Result<TailResponse, Status>> + Send>>;

    async fn tail(
        &self,
        request: Request<TailRequest>,
    ) -> Result<Response<Self::TailStream>, Status> {
        let needed = needed(&request.get_ref().topic)?;
        if let Some(caller) = request.extensions().get::<Principal>()
            && let Some(permission @ (Permission::Transcripts | Permission::Audit)) = needed.first()
        {
            caller.does(*permission, request.get_ref().topic.as_str());
        }
        let principal = allowed(&request, needed)?;
        let TailRequest { topic, last, until_now } = request.into_inner();
        let info = self.log.topic(&topic).await.map_err(failed)?;
        let (found, results) = tokio::sync::mpsc::channel(TAIL_RECORDS);
        for number in 0..info.partitions {
            let partition = TopicPartition::new(topic.as_str(), number);
            let bounds = self.log.bounds(&partition).await.map_err(failed)?;
            let (log, found) = (Arc::clone(&self.log), found.clone());
            let tenant = principal.tenant.clone();
            tokio::spawn(async move {
                let mut next = bounds.start.max(bounds.end.saturating_sub(last));
                let wait = Duration::from_millis(500);
                while !(found.is_closed() || until_now && next >= bounds.end) {
                    let limit = ReadLimit { records: TAIL_RECORDS, wait, ..ReadLimit::default() };
                    match log.read(&partition, next, limit).await {
                        Ok(batch) => {
                            next = batch.next;
                            for record in batch.records {
                                if !shown(&partition.topic, &record, &tenant) {
                                    continue;
                                }
                                let record = tailed(&partition.topic, number, record);
                                if found.send(Ok(record)).await.is_err() {
                                    return;
                                }
                            }
                        }
                        Err(error) => {
                            // The reader learns why the stream ends, if it is still there.
                            let _ = found.send(Err(failed(error).into())).await;
                            return;
                        }
                    }
                }
            });
        }
        let stream = futures::stream::unfold(results, |mut results| async move {
            results.recv().await.map(|result| (result, results))
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn copy_log(
        &self,
        request: Request<CopyLogRequest>,
    ) -> Result<Response<CopyLogResponse>, Status> {
        let principal = allowed(&request, &[Permission::Config])?;
        principal.does(Permission::Config, format!("copy {} of the log", request.get_ref().name));
        let refused = |message: &str| ServiceError::new(ErrorCode::Conflict, message);
        let copies = self.copies.as_ref().ok_or_else(|| {
            refused("this log is kept by brokers: copy it with what your Kafka has for it")
        })?;
        let name = request.into_inner().name;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            let message = "name: 1 to 64 letters, digits, - or _";
            return Err(ServiceError::new(ErrorCode::Invalid, message).into());
        }
        let folder = copies.join(name).join("log");
        self.log.copy_to(&folder).await.map_err(failed)?;
        Ok(Response::new(CopyLogResponse { folder: folder.display().to_string() }))
    }

    async fn list_topics(
        &self,
        request: Request<ListTopicsRequest>,
    ) -> Result<Response<ListTopicsResponse>, Status> {
        allowed(&request, &[Permission::Config])?;
        let mut listed = Vec::new();
        for spec in topics::all(self.partitions) {
            let info = self.log.topic(spec.name).await.map_err(failed)?;
            let mut partitions = Vec::new();
            for partition in 0..info.partitions {
                let at = TopicPartition::new(spec.name, partition);
                let bounds = self.log.bounds(&at).await.map_err(failed)?;
                partitions.push(Partition { partition, start: bounds.start, end: bounds.end });
            }
            listed.push(Topic {
                name: info.name,
                partitions,
                compacted: info.compacted,
                retention_ms: info.retention_ms.unwrap_or(0),
            });
        }
        Ok(Response::new(ListTopicsResponse { topics: listed }))
    }

    async fn list_groups(
        &self,
        request: Request<ListGroupsRequest>,
    ) -> Result<Response<ListGroupsResponse>, Status> {
        allowed(&request, &[Permission::Config])?;
        let mut positions = Vec::new();
        for (group, names) in self.groups.iter() {
            for name in *names {
                let info = self.log.topic(name).await.map_err(failed)?;
                for number in 0..info.partitions {
                    let at = TopicPartition::new(*name, number);
                    let bounds = self.log.bounds(&at).await.map_err(failed)?;
                    let committed = self.log.committed(group, &at).await.map_err(failed)?;
                    let committed = committed.map_or(bounds.start, |committed| committed.offset);
                    let waiting = if committed < bounds.end {
                        self.waiting_ms(&at, committed).await.map_err(failed)?
                    } else {
                        None
                    };
                    let (committed, lag_ms) = match waiting {
                        Some(waiting) => (committed, waiting),
                        None => (committed.max(bounds.end), 0),
                    };
                    positions.push(GroupPosition {
                        group: (*group).to_owned(),
                        topic: (*name).to_owned(),
                        partition: number,
                        committed,
                        end: bounds.end,
                        lag_ms,
                    });
                }
            }
        }
        Ok(Response::new(ListGroupsResponse { positions }))
    }

    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        let principal = allowed(&request, &[Permission::Config])?;
        let limit = match request.get_ref().limit {
            0 => LETTERS.0,
            limit => limit.min(LETTERS.1),
        };
        let mut dead_letters =
            self.letters(&principal.tenant, limit as usize).await.map_err(failed)?;
        if principal.may(Permission::Transcripts) {
            principal.does(Permission::Transcripts, topics::DEAD_LETTERS);
        } else {
            // That and why it failed is for who runs the log; what was said is not.
            for letter in dead_letters.iter_mut().filter_map(|record| record.dead_letter.as_mut()) {
                letter.payload.clear();
            }
        }
        Ok(Response::new(ListDeadLettersResponse { dead_letters }))
    }

    async fn replay_dead_letters(
        &self,
        request: Request<ReplayDeadLettersRequest>,
    ) -> Result<Response<ReplayDeadLettersResponse>, Status> {
        let principal = allowed(&request, &[Permission::Config, Permission::Publish])?;
        let mut results = Vec::new();
        for id in &request.get_ref().ids {
            principal.does(Permission::Config, format!("dead letter {id}"));
            let error = self.replay(&principal.tenant, id).await.err().unwrap_or_default();
            results.push(ReplayResult { id: id.clone(), error });
        }
        Ok(Response::new(ReplayDeadLettersResponse { results }))
    }

    async fn get_config(
        &self,
        request: Request<GetConfigRequest>,
    ) -> Result<Response<GetConfigResponse>, Status> {
        let principal = allowed(&request, &[Permission::Config])?;
        let bundles = Bundles::read(&*self.log).await.map_err(failed)?;
        let asked = request.into_inner().bundle;
        let head = bundles.head(principal.tenant.as_str());
        let name = match (&head, asked.as_str()) {
            (None, "") => return Ok(Response::new(GetConfigResponse::default())),
            (Some(head), "") => head.bundle.as_str(),
            (_, asked) => asked,
        };
        // Of another tenant's not even that it is there is said.
        let known = bundles.was_in_force(principal.tenant.as_str(), name);
        let content = bundles.get(name).filter(|_| known).ok_or_else(|| {
            ServiceError::new(ErrorCode::NotFound, format!("there is no bundle {name:?}"))
        })?;
        Ok(Response::new(GetConfigResponse { content, head: head.map(Into::into) }))
    }

    async fn apply_config(
        &self,
        request: Request<ApplyConfigRequest>,
    ) -> Result<Response<ApplyConfigResponse>, Status> {
        let principal = allowed(&request, &[Permission::Config])?;
        let ApplyConfigRequest { content, expected_sequence } = request.into_inner();
        principal.does(Permission::Config, format!("bundle of {} bytes", content.len()));
        let invalid = |message: String| ServiceError::new(ErrorCode::Invalid, message);
        if content.len() > LARGEST_BUNDLE {
            let given = content.len();
            let message = format!("content: at most {LARGEST_BUNDLE} bytes, got {given}");
            return Err(invalid(message).into());
        }
        let _: serde::de::IgnoredAny =
            crate::bundle::parse(&content).map_err(|error| invalid(format!("content: {error}")))?;
        let (tenant, by) = (principal.tenant.as_str(), principal.name.as_str());
        let _applying = self.applying.lock().await;
        let now_ms = zhili_eventlog::system_clock()();
        let published = match expected_sequence {
            Some(expected) => {
                publish_bundle_after(&*self.log, tenant, expected, content, by, now_ms).await
            }
            None => publish_bundle(&*self.log, tenant, content, by, now_ms)
                .await
                .map(Published::InForce),
        };
        let head = match published.map_err(failed)? {
            Published::InForce(head) => head,
            Published::Conflict(sequence) => {
                let expected = expected_sequence.unwrap_or_default();
                let message = format!(
                    "sequence {sequence} is in force, not {expected}: look at what changed, then apply again"
                );
                return Err(ServiceError::new(ErrorCode::Conflict, message).into());
            }
        };
        Ok(Response::new(ApplyConfigResponse { head: Some(head.into()) }))
    }
}
