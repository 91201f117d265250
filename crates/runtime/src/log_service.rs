//! `zhili.log.v1.LogService`: reading the log for people and tools.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use prost::Message;
use tonic::{Request, Response, Status};
use zhili_eventlog::{
    EventLog, LogError, NewRecord, ReadLimit, Record, TopicPartition, partition_of, topics,
};
use zhili_proto::conversation::v1::{LogEntry, log_entry};
use zhili_proto::log::v1::log_service_server::LogService;
use zhili_proto::log::v1::{
    DeadLetter, DeadLetterRecord, GroupPosition, ListDeadLettersRequest, ListDeadLettersResponse,
    ListGroupsRequest, ListGroupsResponse, ListTopicsRequest, ListTopicsResponse, Partition,
    ReplayDeadLettersRequest, ReplayDeadLettersResponse, ReplayResult, TailRequest, TailResponse,
    Topic,
};

use crate::auth::{Permission, Principal};
use crate::{ErrorCode, ServiceError};

/// Records read at once for a tail.
const TAIL_RECORDS: usize = 500;
/// Dead letters returned unless more are asked for, and at most.
const LETTERS: (u32, u32) = (100, 1_000);

/// Serves one log.
#[derive(Clone)]
pub struct LogReader {
    log: Arc<dyn EventLog>,
    /// Topics it shows, and groups whose positions it shows with the topics they read.
    partitions: u32,
    groups: Arc<[(&'static str, &'static [&'static str])]>,
}

impl LogReader {
    /// A view of `log`, whose keyed topics have `partitions` partitions, for the groups that
    /// read it.
    pub fn new(
        log: Arc<dyn EventLog>,
        partitions: u32,
        groups: impl Into<Arc<[(&'static str, &'static [&'static str])]>>,
    ) -> Self {
        Self { log, partitions, groups: groups.into() }
    }

    async fn letters(&self, limit: usize) -> Result<Vec<DeadLetterRecord>, LogError> {
        let info = self.log.topic(topics::DEAD_LETTERS).await?;
        let mut found = Vec::new();
        for number in 0..info.partitions {
            let partition = TopicPartition::new(topics::DEAD_LETTERS, number);
            let bounds = self.log.bounds(&partition).await?;
            let mut last = VecDeque::new();
            let mut next = bounds.start.max(bounds.end.saturating_sub(limit as u64));
            while next < bounds.end {
                let batch = self.log.read(&partition, next, ReadLimit::default()).await?;
                if batch.next == next {
                    break;
                }
                next = batch.next;
                for record in batch.records {
                    if last.len() == limit {
                        last.pop_front();
                    }
                    last.push_back(record);
                }
            }
            found.extend(last.into_iter().filter_map(|record| {
                let letter = DeadLetter::decode(record.value.as_deref()?).ok()?;
                let id = format!("{number}:{}", record.offset);
                Some((record.append_ms, DeadLetterRecord { id, dead_letter: Some(letter) }))
            }));
        }
        found.sort_by_key(|(append_ms, _)| std::cmp::Reverse(*append_ms));
        Ok(found.into_iter().take(limit).map(|(_, letter)| letter).collect())
    }

    /// How long the first record from `offset` on has been in the log. `None` when there is none:
    /// the offsets up to the end of a partition may be gaps.
    async fn waiting_ms(&self, at: &TopicPartition, offset: u64) -> Result<Option<i64>, LogError> {
        let limit = ReadLimit { records: 1, ..ReadLimit::default() };
        let batch = self.log.read(at, offset, limit).await?;
        let now = zhili_eventlog::system_clock()();
        Ok(batch.records.first().map(|record| (now - record.append_ms).max(0)))
    }

    /// Publishes a dead letter's event again, under an id of its own: the first id may be taken.
    /// Doing so twice is recognised as a duplicate.
    async fn replay(&self, id: &str) -> Result<(), String> {
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

fn allowed<T>(request: &Request<T>) -> Result<(), ServiceError> {
    request
        .extensions()
        .get::<Principal>()
        .ok_or_else(|| ServiceError::new(ErrorCode::Unauthenticated, "send a token"))?
        .require(Permission::Config)
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
        allowed(&request)?;
        let TailRequest { topic, last, until_now } = request.into_inner();
        let info = self.log.topic(&topic).await.map_err(failed)?;
        let (found, results) = tokio::sync::mpsc::channel(TAIL_RECORDS);
        for number in 0..info.partitions {
            let partition = TopicPartition::new(topic.as_str(), number);
            let bounds = self.log.bounds(&partition).await.map_err(failed)?;
            let (log, found) = (Arc::clone(&self.log), found.clone());
            tokio::spawn(async move {
                let mut next = bounds.start.max(bounds.end.saturating_sub(last));
                let wait = Duration::from_millis(500);
                while !(found.is_closed() || until_now && next >= bounds.end) {
                    let limit = ReadLimit { records: TAIL_RECORDS, wait, ..ReadLimit::default() };
                    match log.read(&partition, next, limit).await {
                        Ok(batch) => {
                            next = batch.next;
                            for record in batch.records {
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

    async fn list_topics(
        &self,
        request: Request<ListTopicsRequest>,
    ) -> Result<Response<ListTopicsResponse>, Status> {
        allowed(&request)?;
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
        allowed(&request)?;
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
        allowed(&request)?;
        let limit = match request.get_ref().limit {
            0 => LETTERS.0,
            limit => limit.min(LETTERS.1),
        };
        let dead_letters = self.letters(limit as usize).await.map_err(failed)?;
        Ok(Response::new(ListDeadLettersResponse { dead_letters }))
    }

    async fn replay_dead_letters(
        &self,
        request: Request<ReplayDeadLettersRequest>,
    ) -> Result<Response<ReplayDeadLettersResponse>, Status> {
        allowed(&request)?;
        let mut results = Vec::new();
        for id in &request.get_ref().ids {
            let error = self.replay(id).await.err().unwrap_or_default();
            results.push(ReplayResult { id: id.clone(), error });
        }
        Ok(Response::new(ReplayDeadLettersResponse { results }))
    }
}
