//! The one thread that writes: it gathers what was asked for since its last commit into the next
//! one, so the cost of making it durable is shared (group commit) and nobody waits for a timer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use redb::{Database, ReadableTable, WriteTransaction};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::codec::{self, StoredBatch};
use super::group::{Change, Groups, Slot};
use super::tables::{self, BATCHES, BOUNDS, KEYS, POSITIONS, TOPICS, storage};
use super::{Inner, TopicState};
use crate::topics::{Cleanup, TopicSpec};
use crate::{Bounds, Commit, Committed, Condemned, LogError, NewRecord, Position, Purged, Record};

/// Bytes gathered into one commit at most, so that no caller waits for a huge one.
const COMMIT_BYTES: usize = 8 << 20;
/// Bytes of records put into one stored batch, the smallest unit that is read from the file.
const BATCH_BYTES: usize = 256 << 10;
/// How often old records are looked for.
const RETENTION_EVERY: Duration = Duration::from_secs(60);
/// How often old tombstones are looked for: all of a compacted topic is read for it, and they stay
/// a day.
const TOMBSTONES_EVERY: Duration = Duration::from_secs(60 * 60);
/// Batches, and bytes of them, looked at in one go, so that nobody waits long behind it.
const SLICE: (usize, usize) = (500, 8 << 20);
/// How often a file that could not be opened again is tried when nobody asks for anything.
const REOPEN_EVERY: Duration = Duration::from_secs(1);
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
    Committed {
        group: String,
        slot: Slot,
        reply: oneshot::Sender<Result<Option<Committed>, LogError>>,
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
    Purge {
        condemned: Condemned,
        reply: oneshot::Sender<Result<Purged, LogError>>,
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
    /// Append time of all of it: a batch of the file has one, and whoever reads the batch from
    /// memory is to see the same.
    append_ms: Option<i64>,
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
    next_tombstones: Instant,
    sweep: Option<Sweep>,
}

/// A search for what is too old, done slice by slice between other work.
#[derive(Default)]
struct Sweep {
    /// What is left to look through, and for tombstones from which offset on.
    todo: VecDeque<(Slot, Old, u64)>,
    /// Who waits for the end of it.
    replies: Vec<oneshot::Sender<Result<(), LogError>>>,
}

/// What a partition throws away: what was appended before a time.
#[derive(Clone, Copy)]
enum Old {
    Records(i64),
    Tombstones(i64),
}

impl Writer {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        let now = Instant::now();
        Self {
            inner,
            groups: Groups::default(),
            next_retention: now + RETENTION_EVERY,
            // With the first retention: not every process lives an hour.
            next_tombstones: now,
            sweep: None,
        }
    }

    /// Runs until every sender is gone.
    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        loop {
            let request = match self.next(requests) {
                Ok(request) => request,
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // Before anything gets an offset: what the file really holds decides which is next.
            if self.inner.database().is_err() {
                self.inner.reopen();
            }
            if let Some(request) = request {
                self.serve(request, requests);
            }
            let now = Instant::now();
            if now >= self.next_retention {
                self.next_retention = now + RETENTION_EVERY;
                let tombstones = now >= self.next_tombstones;
                if tombstones {
                    self.next_tombstones = now + TOMBSTONES_EVERY;
                }
                self.begin_sweep(tombstones);
            }
            self.sweep();
        }
    }

    /// What is asked for next; at once if there is other work meanwhile.
    fn next(&self, requests: &Receiver<Request>) -> Result<Option<Request>, RecvTimeoutError> {
        if self.sweep.is_some() {
            return match requests.try_recv() {
                Ok(request) => Ok(Some(request)),
                Err(TryRecvError::Empty) => Ok(None),
                Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
            };
        }
        let mut wait = self.next_retention.saturating_duration_since(Instant::now());
        if self.inner.database().is_err() {
            wait = wait.min(REOPEN_EVERY);
        }
        requests.recv_timeout(wait).map(Some)
    }

    fn serve(&mut self, request: Request, requests: &Receiver<Request>) {
        let mut gathered = Gathered::default();
        let mut next = Some(request);
        let mut other = None;
        while let Some(request) = next.take() {
            // Membership and topics change between commits only, so that whoever is told of
            // a partition finds in the file what its last owner committed. A position is told
            // between them too: what was committed with it can be read by then.
            other = self.gather(request, &mut gathered);
            if other.is_none() && gathered.bytes < COMMIT_BYTES {
                next = requests.try_recv().ok();
            }
        }
        self.write(gathered);
        if let Some(request) = other {
            self.change(request);
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
        let append_ms = *gathered.append_ms.get_or_insert_with(|| (self.inner.clock)());
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

    fn write(&mut self, gathered: Gathered) {
        if gathered.answers.is_empty() {
            return;
        }
        let Gathered { records, positions, answers, budgets, .. } = gathered;
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
        if matches!(outcome, Err(LogError::Ambiguous(_))) {
            // Whoever asked cannot know where they are: the partitions are given out again, and
            // the next owner begins at what the file says. Before the answers, so that nobody
            // commits anything under the old right any more.
            for (group, topic, partition) in positions.keys() {
                self.groups.lose(group, (*topic, *partition));
            }
        }
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
            Request::Committed { group, slot, reply } => {
                let committed = self
                    .inner
                    .with_database(|database| tables::position(database, &group, slot.0, slot.1));
                let _ = reply.send(committed);
            }
            Request::CreateTopics { specs, reply } => {
                let _ = reply.send(self.create_topics(&specs));
            }
            Request::Trim { slot, offset, reply } => {
                let _ = reply.send(self.trim(slot, offset));
            }
            Request::Retain { reply } => {
                self.begin_sweep(true);
                if let Some(sweep) = &mut self.sweep {
                    sweep.replies.push(reply);
                }
            }
            Request::Purge { condemned, reply } => {
                let _ = reply.send(self.inner.purge(&condemned));
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
        self.inner.tail(slot, |tail| tail.trim(bounds.start));
        Ok(())
    }

    /// Begins to look for records older than their topic keeps them, and for old tombstones if
    /// wanted. One that is still at it goes on first.
    fn begin_sweep(&mut self, tombstones: bool) {
        let now = (self.inner.clock)();
        let sweep = self.sweep.get_or_insert_default();
        for state in self.inner.states() {
            let info = &state.topic.info;
            let old = match info.retention_ms {
                Some(retention) => Old::Records(now - retention),
                None if info.compacted && tombstones => Old::Tombstones(now - TOMBSTONE_MS),
                None => continue,
            };
            for partition in 0..info.partitions {
                sweep.todo.push_back(((state.topic.number, partition), old, 0));
            }
        }
    }

    /// Looks through the next slice, if there is something to look through.
    fn sweep(&mut self) {
        let Some(mut sweep) = self.sweep.take() else { return };
        let result = match sweep.todo.pop_front() {
            None => Ok(()),
            Some((slot, old, from)) => {
                let left = match old {
                    Old::Records(before_ms) => self.expire(slot, before_ms),
                    Old::Tombstones(before_ms) => self.drop_tombstones(slot, from, before_ms),
                };
                left.map(|left| {
                    if let Some(from) = left {
                        sweep.todo.push_front((slot, old, from));
                    }
                })
            }
        };
        if let Err(error) = &result {
            tracing::warn!(%error, "cannot remove old records, trying again later");
        } else if !sweep.todo.is_empty() {
            self.sweep = Some(sweep);
            return;
        }
        for reply in sweep.replies {
            // A caller that is gone does not need the answer.
            let _ = reply.send(result.clone());
        }
    }

    /// Removes a slice of old records from the front; says where to go on if there may be more.
    fn expire(&self, slot: Slot, before_ms: i64) -> Result<Option<u64>, LogError> {
        let (start, more) = self.inner.with_database(|database| {
            let table = tables::read(database)?.open_table(BATCHES).map_err(storage)?;
            let (mut start, mut bytes) = (None, 0);
            let range = (slot.0, slot.1, 0)..=(slot.0, slot.1, u64::MAX);
            for (count, entry) in table.range(range).map_err(storage)?.enumerate() {
                let (key, value) = entry.map_err(storage)?;
                let head = codec::head(value.value())?;
                // Only whole batches go, and only from the front.
                if head.append_ms >= before_ms {
                    return Ok((start, false));
                }
                start = Some(key.value().2 + u64::from(head.records));
                bytes += value.value().len();
                if count + 1 >= SLICE.0 || bytes >= SLICE.1 {
                    return Ok((start, true));
                }
            }
            Ok((start, false))
        })?;
        let Some(start) = start else { return Ok(None) };
        self.trim(slot, start)?;
        Ok(more.then_some(start))
    }

    /// Removes the old tombstones of a slice; says where to go on if there may be more.
    fn drop_tombstones(
        &self,
        slot: Slot,
        from: u64,
        before_ms: i64,
    ) -> Result<Option<u64>, LogError> {
        let (dropped, next) = self.inner.with_database(|database| {
            let mut old = Vec::new();
            let mut next = None;
            {
                let table = tables::read(database)?.open_table(BATCHES).map_err(storage)?;
                let range = (slot.0, slot.1, from)..=(slot.0, slot.1, u64::MAX);
                let mut bytes = 0;
                for (count, entry) in table.range(range).map_err(storage)?.enumerate() {
                    let (key, value) = entry.map_err(storage)?;
                    let (base, value) = (key.value().2, value.value());
                    if count >= SLICE.0 || bytes >= SLICE.1 {
                        next = Some(base);
                        break;
                    }
                    bytes += value.len();
                    let head = codec::head(value)?;
                    // Batches of compacted topics hold one record each.
                    if head.tombstone && head.append_ms < before_ms {
                        let batch = codec::decode(base, value.to_vec().into())?;
                        old.extend(batch.records.into_iter().map(|r| (r.offset, r.key)));
                    }
                }
            }
            if old.is_empty() {
                return Ok((false, next));
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
            transaction.commit().map_err(storage)?;
            Ok((true, next))
        })?;
        if dropped {
            // What is in memory may hold them still.
            self.inner.tail(slot, |tail| tail.reset(tail.bounds()));
        }
        Ok(next)
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

    pub(super) fn states(&self) -> Vec<Arc<TopicState>> {
        self.topics
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }
}
