//! The one thread that writes: it gathers what was asked for since its last commit into the next
//! one, so the cost of making it durable is shared (group commit) and nobody waits for a timer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use redb::{Database, ReadableTable, WriteTransaction};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::codec::{self, StoredBatch};
use super::group::{Change, Groups, Slot};
use super::tables::{self, BATCHES, BOUNDS, KEYS, POSITIONS, TOPICS, storage};
use super::{Inner, TopicState};
use crate::topics::{Cleanup, TopicSpec};
use crate::{Bounds, Commit, LogError, NewRecord, Position, Record};

/// Bytes gathered into one commit at most, so that no caller waits for a huge one.
const COMMIT_BYTES: usize = 8 << 20;
/// Bytes of records put into one stored batch, the smallest unit that is read from the file.
const BATCH_BYTES: usize = 256 << 10;
/// How often old records are looked for.
const RETENTION_EVERY: Duration = Duration::from_secs(60);
/// Batches removed in one go, so that retention never holds up appends for long.
const RETENTION_BATCHES: usize = 2_000;
/// Tombstones of compacted topics stay this long, as Kafka's `delete.retention.ms` does.
const TOMBSTONE_MS: i64 = 24 * 60 * 60 * 1000;

type AppendReply = oneshot::Sender<Vec<Result<Position, LogError>>>;

pub(super) enum Request {
    Append {
        records: Vec<NewRecord>,
        reply: AppendReply,
        budget: OwnedSemaphorePermit,
    },
    Commit(CommitRequest),
    CreateTopics {
        specs: Vec<TopicSpec>,
        reply: oneshot::Sender<Result<(), LogError>>,
    },
    Trim {
        slot: Slot,
        offset: u64,
        reply: oneshot::Sender<Result<(), LogError>>,
    },
    Join {
        group: String,
        member: String,
        id: u64,
        slots: Vec<Slot>,
        changes: mpsc::UnboundedSender<Change>,
    },
    Leave {
        group: String,
        member: String,
        id: u64,
    },
    Retain {
        reply: oneshot::Sender<Result<(), LogError>>,
    },
}

pub(super) struct CommitRequest {
    pub(super) group: String,
    pub(super) slot: Slot,
    pub(super) epoch: u64,
    pub(super) commit: Commit,
    pub(super) reply: oneshot::Sender<Result<(), LogError>>,
    pub(super) budget: OwnedSemaphorePermit,
}

/// What one caller gets once the commit is through.
enum Answer {
    Append(AppendReply, Vec<Position>),
    Commit(oneshot::Sender<Result<(), LogError>>),
}

impl Answer {
    fn send(self, outcome: Result<(), &LogError>) {
        // A caller that is gone does not need the answer.
        match (self, outcome) {
            (Self::Append(reply, positions), Ok(())) => {
                let _ = reply.send(positions.into_iter().map(Ok).collect());
            }
            (Self::Append(reply, positions), Err(error)) => {
                let _ = reply.send(positions.iter().map(|_| Err(error.clone())).collect());
            }
            (Self::Commit(reply), outcome) => {
                let _ = reply.send(outcome.map_err(Clone::clone));
            }
        }
    }
}

#[derive(Default)]
struct Gathered {
    records: BTreeMap<Slot, Vec<Record>>,
    positions: BTreeMap<(String, u32, u32), (u64, String)>,
    answers: Vec<Answer>,
    budgets: Vec<OwnedSemaphorePermit>,
    bytes: usize,
}

pub(super) struct Writer {
    inner: Arc<Inner>,
    groups: Groups,
    next_retention: Instant,
}

impl Writer {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self { inner, groups: Groups::default(), next_retention: Instant::now() + RETENTION_EVERY }
    }

    /// Runs until every sender is gone.
    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        let mut pending: Option<Request> = None;
        loop {
            let request = match pending.take() {
                Some(request) => request,
                None => match requests
                    .recv_timeout(self.next_retention.saturating_duration_since(Instant::now()))
                {
                    Ok(request) => request,
                    Err(RecvTimeoutError::Timeout) => {
                        self.next_retention = Instant::now() + RETENTION_EVERY;
                        if let Err(error) = self.retain() {
                            tracing::warn!(%error, "cannot remove old records, trying again later");
                        }
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                },
            };
            let mut gathered = Gathered::default();
            let mut next = Some(request);
            while let Some(request) = next.take() {
                // Membership and topics change between commits only, so that whoever is told of
                // a partition finds in the file what its last owner committed.
                if let Some(other) = self.gather(request, &mut gathered) {
                    pending = Some(other);
                    break;
                }
                if gathered.bytes < COMMIT_BYTES {
                    next = requests.try_recv().ok();
                }
            }
            self.write(gathered);
            if let Some(request) = pending.take() {
                self.change(request);
            }
        }
    }

    /// Takes what can be part of a commit; gives back what cannot.
    fn gather(&self, request: Request, gathered: &mut Gathered) -> Option<Request> {
        match request {
            Request::Append { records, reply, budget } => {
                let positions = self.place(records, gathered);
                gathered.budgets.push(budget);
                match positions {
                    Ok(positions) => gathered.answers.push(Answer::Append(reply, positions)),
                    Err((count, error)) => {
                        let _ = reply.send(vec![Err(error); count]);
                    }
                }
                None
            }
            Request::Commit(request) => {
                let CommitRequest { group, slot, epoch, commit, reply, budget } = request;
                if !self.groups.owns(&group, slot, epoch) {
                    let _ = reply.send(Err(LogError::Revoked(self.inner.name(slot))));
                    return None;
                }
                gathered.budgets.push(budget);
                match self.place(commit.outputs, gathered) {
                    Ok(_) => {
                        let position = (commit.offset, commit.metadata);
                        gathered.positions.insert((group, slot.0, slot.1), position);
                        gathered.answers.push(Answer::Commit(reply));
                    }
                    Err((_, error)) => {
                        let _ = reply.send(Err(error));
                    }
                }
                None
            }
            other => Some(other),
        }
    }

    /// Gives offsets to records. All of them or none, so it looks before it leaps.
    fn place(
        &self,
        records: Vec<NewRecord>,
        gathered: &mut Gathered,
    ) -> Result<Vec<Position>, (usize, LogError)> {
        let count = records.len();
        let mut slots = Vec::with_capacity(count);
        for record in &records {
            slots.push(self.inner.slot(&record.partition).map_err(|error| (count, error))?);
        }
        let append_ms = (self.inner.clock)();
        let mut positions = Vec::with_capacity(count);
        for (record, (state, slot)) in records.into_iter().zip(slots) {
            gathered.bytes += record.size() + 32;
            let placed = gathered.records.entry(slot).or_default();
            let offset = placed
                .last()
                .map_or_else(|| state.tails[slot.1 as usize].bounds().end, |last| last.offset + 1);
            let NewRecord { partition, key, value, headers } = record;
            placed.push(Record { offset, append_ms, key, value, headers });
            positions.push(Position { partition, offset });
        }
        Ok(positions)
    }

    fn write(&self, gathered: Gathered) {
        if gathered.answers.is_empty() {
            return;
        }
        let Gathered { records, positions, answers, budgets, .. } = gathered;
        if self.inner.database().is_err() {
            self.inner.reopen();
        }
        let mut number = None;
        let outcome = self.inner.with_database(|database| {
            let mut batches = Vec::new();
            let transaction = database.begin_write().map_err(storage)?;
            for (slot, records) in records {
                self.put(&transaction, slot, records, &mut batches)?;
            }
            {
                let mut table = transaction.open_table(POSITIONS).map_err(storage)?;
                for ((group, topic, partition), (offset, metadata)) in &positions {
                    table
                        .insert((group.as_str(), *topic, *partition), (*offset, metadata.as_str()))
                        .map_err(storage)?;
                }
            }
            number = Some(tables::count(&transaction)?);
            transaction.commit().map_err(storage)?;
            Ok(batches)
        });
        let outcome = match outcome {
            Ok(batches) => {
                for (slot, batch) in batches {
                    self.inner.tail(slot, |tail| tail.publish(Arc::new(batch)));
                }
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "cannot write the log");
                self.inner.reopen();
                self.outcome_after(error, number)
            }
        };
        for answer in answers {
            answer.send(outcome.as_ref().copied());
        }
        drop(budgets);
    }

    /// What became of a commit that failed: the file, opened again, knows.
    fn outcome_after(&self, error: LogError, number: Option<u64>) -> Result<(), LogError> {
        let Some(number) = number else {
            return Err(error);
        };
        match self.inner.with_database(tables::counted) {
            Ok(counted) if counted == number => Ok(()),
            Ok(_) => Err(error),
            Err(_) => Err(LogError::Ambiguous(error.to_string())),
        }
    }

    fn put(
        &self,
        transaction: &WriteTransaction,
        slot: Slot,
        records: Vec<Record>,
        batches: &mut Vec<(Slot, StoredBatch)>,
    ) -> Result<(), LogError> {
        let compacted = self.inner.state(slot.0).is_some_and(|state| state.topic.info.compacted);
        let mut table = transaction.open_table(BATCHES).map_err(storage)?;
        let mut keys = transaction.open_table(KEYS).map_err(storage)?;
        let mut next = 0;
        let mut current = Vec::new();
        let mut bytes = 0;
        let mut flush = |current: &mut Vec<Record>| -> Result<(), LogError> {
            let Some(first) = current.first() else {
                return Ok(());
            };
            let encoded = codec::encode(first.append_ms, current);
            let base = first.offset;
            table.insert((slot.0, slot.1, base), encoded.as_ref()).map_err(storage)?;
            if compacted && let Some(key) = &first.key {
                let old = keys
                    .insert((slot.0, slot.1, key.as_ref()), base)
                    .map_err(storage)?
                    .map(|old| old.value());
                if let Some(old) = old {
                    table.remove((slot.0, slot.1, old)).map_err(storage)?;
                }
            }
            let records = std::mem::take(current);
            batches.push((slot, StoredBatch { base, records, bytes: encoded.len() }));
            Ok(())
        };
        for record in records {
            next = record.offset + 1;
            bytes += record.value.as_ref().map_or(0, bytes::Bytes::len) + 64;
            current.push(record);
            if compacted || bytes >= BATCH_BYTES {
                flush(&mut current)?;
                bytes = 0;
            }
        }
        flush(&mut current)?;
        let mut bounds = transaction.open_table(BOUNDS).map_err(storage)?;
        let start = bounds.get(slot).map_err(storage)?.map_or(0, |value| value.value().0);
        bounds.insert(slot, (start, next)).map_err(storage)?;
        Ok(())
    }

    fn change(&mut self, request: Request) {
        match request {
            Request::Join { group, member, id, slots, changes } => {
                self.groups.join(&group, &member, id, slots, changes);
            }
            Request::Leave { group, member, id } => self.groups.leave(&group, &member, id),
            Request::CreateTopics { specs, reply } => {
                let _ = reply.send(self.create_topics(&specs));
            }
            Request::Trim { slot, offset, reply } => {
                let _ = reply.send(self.trim(slot, offset));
            }
            Request::Retain { reply } => {
                let _ = reply.send(self.retain());
            }
            Request::Append { .. } | Request::Commit(_) => {}
        }
    }

    fn create_topics(&self, specs: &[TopicSpec]) -> Result<(), LogError> {
        let mut number = self.inner.last_number();
        self.inner.with_database(|database| {
            let transaction = database.begin_write().map_err(storage)?;
            {
                let mut table = transaction.open_table(TOPICS).map_err(storage)?;
                for spec in specs {
                    if self.inner.topic(spec.name).is_some() {
                        continue;
                    }
                    number += 1;
                    let (compacted, retention) = match spec.cleanup {
                        Cleanup::Compact => (true, -1),
                        Cleanup::Delete { retention_ms } => (false, retention_ms),
                    };
                    let log_id = (self.inner.new_id)();
                    table
                        .insert(
                            spec.name,
                            (number, spec.partitions, compacted, retention, log_id.as_str()),
                        )
                        .map_err(storage)?;
                }
            }
            transaction.commit().map_err(storage)
        })?;
        self.inner.load_topics()
    }

    fn trim(&self, slot: Slot, offset: u64) -> Result<(), LogError> {
        let bounds = self.inner.with_database(|database| {
            let transaction = database.begin_write().map_err(storage)?;
            let bounds = {
                let mut table = transaction.open_table(BOUNDS).map_err(storage)?;
                let (start, end) = table.get(slot).map_err(storage)?.map_or((0, 0), |v| v.value());
                let start = offset.clamp(start, end);
                table.insert(slot, (start, end)).map_err(storage)?;
                remove_below(&transaction, slot, start, usize::MAX)?;
                Bounds { start, end }
            };
            transaction.commit().map_err(storage)?;
            Ok(bounds)
        })?;
        self.inner.tail(slot, |tail| tail.reset(bounds));
        Ok(())
    }

    /// Removes batches older than their topic keeps them, and old tombstones.
    fn retain(&self) -> Result<(), LogError> {
        let now = (self.inner.clock)();
        for state in self.inner.states() {
            for partition in 0..state.topic.info.partitions {
                let slot = (state.topic.number, partition);
                if let Some(retention) = state.topic.info.retention_ms {
                    self.expire(slot, now - retention)?;
                } else if state.topic.info.compacted {
                    self.drop_tombstones(slot, now - TOMBSTONE_MS)?;
                }
            }
        }
        Ok(())
    }

    fn expire(&self, slot: Slot, before_ms: i64) -> Result<(), LogError> {
        let start = self.inner.with_database(|database| {
            let table = tables::read(database)?.open_table(BATCHES).map_err(storage)?;
            let mut start = None;
            let range = (slot.0, slot.1, 0)..=(slot.0, slot.1, u64::MAX);
            for entry in table.range(range).map_err(storage)?.take(RETENTION_BATCHES) {
                let (key, value) = entry.map_err(storage)?;
                let batch = codec::decode(key.value().2, value.value().to_vec().into())?;
                // Only whole batches go, and only from the front.
                match batch.records.first() {
                    Some(first) if first.append_ms < before_ms => start = Some(batch.end()),
                    _ => break,
                }
            }
            Ok(start)
        })?;
        start.map_or(Ok(()), |start| self.trim(slot, start))
    }

    fn drop_tombstones(&self, slot: Slot, before_ms: i64) -> Result<(), LogError> {
        self.inner.with_database(|database| {
            let mut old = Vec::new();
            {
                let table = tables::read(database)?.open_table(BATCHES).map_err(storage)?;
                let range = (slot.0, slot.1, 0)..=(slot.0, slot.1, u64::MAX);
                for entry in table.range(range).map_err(storage)? {
                    let (key, value) = entry.map_err(storage)?;
                    let batch = codec::decode(key.value().2, value.value().to_vec().into())?;
                    for record in batch.records {
                        if record.value.is_none() && record.append_ms < before_ms {
                            old.push((record.offset, record.key));
                        }
                    }
                }
            }
            if old.is_empty() {
                return Ok(());
            }
            let transaction = database.begin_write().map_err(storage)?;
            {
                let mut table = transaction.open_table(BATCHES).map_err(storage)?;
                let mut keys = transaction.open_table(KEYS).map_err(storage)?;
                for (offset, key) in &old {
                    table.remove((slot.0, slot.1, *offset)).map_err(storage)?;
                    if let Some(key) = key {
                        keys.remove((slot.0, slot.1, key.as_ref())).map_err(storage)?;
                    }
                }
            }
            transaction.commit().map_err(storage)
        })?;
        // What is in memory may hold them still.
        self.inner.tail(slot, |tail| tail.reset(tail.bounds()));
        Ok(())
    }
}

/// Removes the batches that lie wholly below `start`.
fn remove_below(
    transaction: &WriteTransaction,
    slot: Slot,
    start: u64,
    most: usize,
) -> Result<(), LogError> {
    let mut table = transaction.open_table(BATCHES).map_err(storage)?;
    let mut bases: Vec<u64> = Vec::new();
    for entry in
        table.range((slot.0, slot.1, 0)..(slot.0, slot.1, start)).map_err(storage)?.take(most)
    {
        bases.push(entry.map_err(storage)?.0.value().2);
    }
    // The last one may reach beyond `start`: it stays if it does.
    if let Some(last) = bases.last().copied() {
        let reaches = table
            .get((slot.0, slot.1, last))
            .map_err(storage)?
            .map(|value| codec::decode(last, value.value().to_vec().into()).map(|b| b.end()))
            .transpose()?
            .is_some_and(|end| end > start);
        if reaches {
            bases.pop();
        }
    }
    for base in bases {
        table.remove((slot.0, slot.1, base)).map_err(storage)?;
    }
    Ok(())
}

impl Inner {
    fn with_database<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let database = self.database()?;
        work(&database)
    }

    fn states(&self) -> Vec<Arc<TopicState>> {
        self.topics
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }
}
