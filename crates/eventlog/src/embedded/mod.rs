//! The event log in one file of the process that owns it, on redb.
//!
//! Durable: a record is acknowledged and visible only after fsync. Appends and commits that
//! arrive while the disk is busy share the next fsync. Other processes reach the log through
//! the owner's `zhili.log.v1.LogService`, never through the file.

mod codec;
mod group;
mod rewrite;
mod tables;
mod tail;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use redb::{Builder, Database, DatabaseError, StorageBackend};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::codec::StoredBatch;
use self::group::{Change, Grant, Slot};
use self::tables::{BATCHES, storage};
use self::tail::{Lookup, Tail};
use self::writer::{CommitRequest, Request, Writer};
use crate::log::{MAX_METADATA_BYTES, MAX_RECORD_BYTES};
use crate::topics::{Cleanup, TopicSpec};
use crate::{
    Batch, Bounds, Clock, Commit, Committed, Condemned, EventLog, GroupMember, LogError,
    Membership, NewRecord, PartitionHandle, Position, Purged, ReadLimit, Rebalance, TopicInfo,
    TopicPartition,
};

/// Bytes accepted and not yet written, over all callers; who comes beyond waits.
const BUDGET_BYTES: u32 = 64 << 20;
/// redb's page cache. Readers who keep up are served from memory of our own.
const CACHE_BYTES: usize = 64 << 20;
/// How long to wait for short reads to end before the file is opened again after an I/O error.
const REOPEN_PATIENCE: Duration = Duration::from_secs(5);

type Open = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;
type NewId = Box<dyn Fn() -> String + Send + Sync>;

/// The log in a file. Cheap to clone; the file is closed when the last clone is gone.
#[derive(Clone)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
}

struct Shared {
    requests: Option<Sender<Request>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    inner: Arc<Inner>,
    budget: Arc<Semaphore>,
    members: AtomicU64,
}

/// What readers and the writer share.
struct Inner {
    open: Open,
    /// The file, unless it is storage of the caller's own.
    file: Option<PathBuf>,
    clock: Clock,
    new_id: NewId,
    database: RwLock<Option<Arc<Database>>>,
    topics: RwLock<HashMap<String, Arc<TopicState>>>,
}

struct TopicState {
    topic: tables::Topic,
    tails: Vec<Tail>,
}

impl EmbeddedLog {
    /// Opens the log in `folder`, which is created if needed; `clock` gives append times.
    ///
    /// # Errors
    /// [`LogError::InUse`] if another process has it open, [`LogError::Storage`] if the folder
    /// cannot be written, [`LogError::Corrupt`] if the file is damaged.
    pub fn open(folder: &Path, clock: Clock) -> Result<Self, LogError> {
        std::fs::create_dir_all(folder)
            .map_err(|error| LogError::Storage(format!("{}: {error}", folder.display())))?;
        let path: PathBuf = folder.join("log.redb");
        let shown = path.display().to_string();
        rewrite::discard_unfinished(&path)?;
        let file = Some(path.clone());
        let open = move || Builder::new().set_cache_size(CACHE_BYTES).create(&path);
        Self::open_with(Box::new(open), file, clock, &shown)
    }

    /// Opens the log on storage of the caller's own, which is asked for again after an I/O error.
    ///
    /// # Errors
    /// See [`EmbeddedLog::open`].
    pub fn open_on<S: StorageBackend>(
        backend: impl Fn() -> S + Send + Sync + 'static,
        clock: Clock,
    ) -> Result<Self, LogError> {
        let open =
            move || Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend());
        Self::open_with(Box::new(open), None, clock, "the given storage")
    }

    fn open_with(
        open: Open,
        file: Option<PathBuf>,
        clock: Clock,
        shown: &str,
    ) -> Result<Self, LogError> {
        let database = open().map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => LogError::InUse(shown.to_owned()),
            DatabaseError::Storage(redb::StorageError::Corrupted(what)) => {
                LogError::Corrupt(format!("{shown}: {what}"))
            }
            other => LogError::Storage(format!("{shown}: {other}")),
        })?;
        tables::create(&database)?;
        let inner = Arc::new(Inner {
            open,
            file,
            clock,
            new_id: Box::new(random_id),
            database: RwLock::new(Some(Arc::new(database))),
            topics: RwLock::new(HashMap::new()),
        });
        inner.load_topics()?;
        let (requests, received) = std::sync::mpsc::channel();
        let writer = Writer::new(Arc::clone(&inner));
        let writer = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run(&received))
            .map_err(storage)?;
        Ok(Self {
            shared: Arc::new(Shared {
                requests: Some(requests),
                writer: Mutex::new(Some(writer)),
                inner,
                budget: Arc::new(Semaphore::new(BUDGET_BYTES as usize)),
                members: AtomicU64::new(0),
            }),
        })
    }

    /// Removes what is older than its topic keeps it, as the log does by itself every minute.
    ///
    /// # Errors
    /// [`LogError::Storage`].
    pub async fn apply_retention(&self) -> Result<(), LogError> {
        let (reply, answer) = oneshot::channel();
        self.shared.send(Request::Retain { reply })?;
        answer.await.map_err(|_| LogError::Closed)?
    }
}

/// 128 random bits as hex: two topics never share one.
fn random_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    let part = || RandomState::new().hash_one(0_u8);
    format!("{:016x}{:016x}", part(), part())
}

impl Shared {
    fn send(&self, request: Request) -> Result<(), LogError> {
        let requests = self.requests.as_ref().ok_or(LogError::Closed)?;
        requests.send(request).map_err(|_| LogError::Closed)
    }

    async fn budget(&self, bytes: usize) -> Result<tokio::sync::OwnedSemaphorePermit, LogError> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(BUDGET_BYTES);
        Arc::clone(&self.budget).acquire_many_owned(bytes).await.map_err(|_| LogError::Closed)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.requests = None;
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // A panic of the writer was reported by its own thread.
            let _ = writer.join();
        }
    }
}

impl Inner {
    fn database(&self) -> Result<Arc<Database>, LogError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database
            .clone()
            .ok_or_else(|| LogError::Unavailable("the log file is being opened again".to_owned()))
    }

    fn load_topics(&self) -> Result<(), LogError> {
        let database = self.database()?;
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        for topic in tables::topics(&database)? {
            if topics.contains_key(&topic.info.name) {
                continue;
            }
            let tails = (0..topic.info.partitions)
                .map(|partition| tables::bounds(&database, topic.number, partition).map(Tail::new))
                .collect::<Result<_, _>>()?;
            topics.insert(topic.info.name.clone(), Arc::new(TopicState { topic, tails }));
        }
        Ok(())
    }

    /// Opens the file again after an I/O error, because redb refuses to go on with the old one,
    /// and takes what is really stored as the truth.
    fn reopen(&self) {
        let old = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut old) = old {
            let deadline = std::time::Instant::now() + REOPEN_PATIENCE;
            // Readers hold it for the length of one short read.
            while let Err(shared) = Arc::try_unwrap(old) {
                if std::time::Instant::now() > deadline {
                    break;
                }
                old = shared;
                std::thread::yield_now();
            }
        }
        let opened = (self.open)().map_err(storage);
        // Held until the bounds are right: who learns of a new end finds the file open.
        let mut current = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let opened = opened.and_then(|database| {
            self.resync(&database)?;
            Ok(database)
        });
        match opened {
            Ok(database) => *current = Some(Arc::new(database)),
            Err(error) => tracing::error!(%error, "cannot open the log file again"),
        }
    }

    /// Takes the bounds that the file has: without them the next offsets are not known.
    fn resync(&self, database: &Database) -> Result<(), LogError> {
        for state in self.topics.read().unwrap_or_else(PoisonError::into_inner).values() {
            for (partition, tail) in state.tails.iter().enumerate() {
                let bounds = tables::bounds(database, state.topic.number, partition as u32)?;
                if bounds != tail.bounds() {
                    tail.reset(bounds);
                }
            }
        }
        Ok(())
    }

    fn topic(&self, name: &str) -> Option<Arc<TopicState>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn state(&self, number: u32) -> Option<Arc<TopicState>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.values().find(|state| state.topic.number == number).cloned()
    }

    fn last_number(&self) -> u32 {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.values().map(|state| state.topic.number).max().unwrap_or(0)
    }

    fn slot(&self, partition: &TopicPartition) -> Result<(Arc<TopicState>, Slot), LogError> {
        let state = self
            .topic(&partition.topic)
            .ok_or_else(|| LogError::UnknownTopic(partition.topic.to_string()))?;
        if partition.partition >= state.topic.info.partitions {
            return Err(LogError::UnknownPartition(partition.clone()));
        }
        let slot = (state.topic.number, partition.partition);
        Ok((state, slot))
    }

    fn name(&self, slot: Slot) -> TopicPartition {
        let name = self.state(slot.0).map_or_else(String::new, |s| s.topic.info.name.clone());
        TopicPartition::new(name, slot.1)
    }

    fn tail(&self, slot: Slot, work: impl FnOnce(&Tail)) {
        if let Some(state) = self.state(slot.0)
            && let Some(tail) = state.tails.get(slot.1 as usize)
        {
            work(tail);
        }
    }

    /// Batches from the one that holds `offset` on, and whether they reach the end of the file.
    fn stored(
        &self,
        slot: Slot,
        offset: u64,
        bytes: usize,
    ) -> Result<(Vec<Arc<StoredBatch>>, bool), LogError> {
        let database = self.database()?;
        let table = tables::read(&database)?.open_table(BATCHES).map_err(storage)?;
        let below = table
            .range((slot.0, slot.1, 0)..=(slot.0, slot.1, offset))
            .map_err(storage)?
            .next_back()
            .transpose()
            .map_err(storage)?
            .map_or(offset, |(key, _)| key.value().2);
        let mut batches = Vec::new();
        let mut taken = 0;
        for entry in
            table.range((slot.0, slot.1, below)..=(slot.0, slot.1, u64::MAX)).map_err(storage)?
        {
            if taken >= bytes {
                return Ok((batches, false));
            }
            let (key, value) = entry.map_err(storage)?;
            let batch = codec::decode(key.value().2, value.value().to_vec().into())?;
            if batch.end() <= offset {
                continue;
            }
            taken += batch.bytes;
            batches.push(Arc::new(batch));
        }
        Ok((batches, true))
    }
}

/// The part of stored batches that a read returns. `complete` says that the batches are all there
/// are; `end` is what was told of the partition. The file may be ahead of it, and who read beyond
/// it would be told next that there is no such position.
fn take(
    batches: &[Arc<StoredBatch>],
    complete: bool,
    from: u64,
    end: u64,
    limit: ReadLimit,
) -> Batch {
    let mut batch = Batch { records: Vec::new(), next: from, caught_up: false };
    let mut bytes = 0;
    let records = batches.iter().flat_map(|stored| &stored.records);
    for record in records.filter(|record| (from..end).contains(&record.offset)) {
        if batch.records.len() >= limit.records
            || (bytes >= limit.bytes && !batch.records.is_empty())
        {
            break;
        }
        bytes += record.value.as_ref().map_or(0, bytes::Bytes::len) + 64;
        batch.next = record.offset + 1;
        batch.records.push(record.clone());
    }
    // Compaction may have left nothing between the last record and the end.
    if complete && batch.records.len() < limit.records && bytes < limit.bytes {
        batch.next = batch.next.max(end);
    }
    batch.caught_up = batch.next >= end;
    batch
}

fn check(record: &NewRecord) -> Result<(), LogError> {
    let size = record.size();
    if size > MAX_RECORD_BYTES {
        return Err(LogError::TooLarge {
            partition: record.partition.clone(),
            size,
            limit: MAX_RECORD_BYTES,
        });
    }
    Ok(())
}

#[async_trait]
impl EventLog for EmbeddedLog {
    async fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<(), LogError> {
        let (reply, answer) = oneshot::channel();
        self.shared.send(Request::CreateTopics { specs: specs.to_vec(), reply })?;
        answer.await.map_err(|_| LogError::Closed)??;
        for spec in specs {
            let info = self.topic(spec.name).await?;
            let mismatch = |actual: String, needed: String| LogError::TopicMismatch {
                topic: spec.name.to_owned(),
                actual,
                needed,
                advice: "start with the setting that the data was made with",
            };
            if info.partitions != spec.partitions {
                return Err(mismatch(
                    format!("{} partitions", info.partitions),
                    spec.partitions.to_string(),
                ));
            }
            if info.compacted != matches!(spec.cleanup, Cleanup::Compact) {
                let name = |compacted| if compacted { "compaction" } else { "deletion" };
                return Err(mismatch(
                    name(info.compacted).to_owned(),
                    name(!info.compacted).to_owned(),
                ));
            }
        }
        Ok(())
    }

    async fn topic(&self, name: &str) -> Result<TopicInfo, LogError> {
        let state = self.shared.inner.topic(name);
        state
            .map(|state| state.topic.info.clone())
            .ok_or_else(|| LogError::UnknownTopic(name.to_owned()))
    }

    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<Position, LogError>> {
        let count = records.len();
        let mut refused: Vec<(usize, LogError)> = Vec::new();
        let mut good = Vec::with_capacity(count);
        for (index, record) in records.into_iter().enumerate() {
            match check(&record).and_then(|()| self.shared.inner.slot(&record.partition)) {
                Ok(_) => good.push(record),
                Err(error) => refused.push((index, error)),
            }
        }
        let expected = good.len();
        let stored = async {
            let bytes = good.iter().map(NewRecord::size).sum();
            let budget = self.shared.budget(bytes).await?;
            let (reply, answer) = oneshot::channel();
            self.shared.send(Request::Append { records: good, reply, budget })?;
            answer.await.map_err(|_| LogError::Closed)
        };
        let mut results = if expected == 0 {
            Vec::new()
        } else {
            stored.await.unwrap_or_else(|error| vec![Err(error); expected])
        };
        for (index, error) in refused {
            results.insert(index, Err(error));
        }
        results
    }

    async fn bounds(&self, partition: &TopicPartition) -> Result<Bounds, LogError> {
        let (state, slot) = self.shared.inner.slot(partition)?;
        Ok(state.tails[slot.1 as usize].bounds())
    }

    async fn read(
        &self,
        partition: &TopicPartition,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Batch, LogError> {
        let (state, slot) = self.shared.inner.slot(partition)?;
        let tail = &state.tails[slot.1 as usize];
        let mut end = tail.watch();
        let mut bounds = tail.bounds();
        if from == bounds.end && !limit.wait.is_zero() {
            // An elapsed wait is an empty batch.
            let _ = tokio::time::timeout(limit.wait, end.wait_for(|end| *end != from)).await;
            bounds = tail.bounds();
        }
        if from < bounds.start || from > bounds.end {
            return Err(LogError::OutOfRange {
                partition: partition.clone(),
                offset: from,
                start: bounds.start,
                end: bounds.end,
            });
        }
        if from == bounds.end {
            return Ok(Batch { records: Vec::new(), next: from, caught_up: true });
        }
        let (batches, complete) = match tail.lookup(from, limit.bytes) {
            Lookup::Recent(batches) => (batches, false),
            Lookup::Stored => {
                let inner = Arc::clone(&self.shared.inner);
                tokio::task::spawn_blocking(move || inner.stored(slot, from, limit.bytes))
                    .await
                    .map_err(storage)??
            }
        };
        Ok(take(&batches, complete, from, bounds.end, limit))
    }

    async fn committed(
        &self,
        group: &str,
        partition: &TopicPartition,
    ) -> Result<Option<Committed>, LogError> {
        let (_, slot) = self.shared.inner.slot(partition)?;
        let (reply, answer) = oneshot::channel();
        self.shared.send(Request::Committed { group: group.to_owned(), slot, reply })?;
        answer.await.map_err(|_| LogError::Closed)?
    }

    async fn join(&self, membership: Membership) -> Result<Box<dyn GroupMember>, LogError> {
        let mut slots = Vec::new();
        for name in &membership.topics {
            let state = self
                .shared
                .inner
                .topic(name)
                .ok_or_else(|| LogError::UnknownTopic(name.clone()))?;
            let number = state.topic.number;
            slots.extend((0..state.topic.info.partitions).map(|partition| (number, partition)));
        }
        let (changes, received) = mpsc::unbounded_channel();
        let id = self.shared.members.fetch_add(1, Ordering::Relaxed);
        let member = Member { log: self.clone(), membership, id, changes: received, pending: None };
        self.shared.send(Request::Join {
            group: member.membership.group.clone(),
            member: member.membership.member.clone(),
            id,
            slots,
            changes,
        })?;
        Ok(Box::new(member))
    }

    async fn trim(&self, partition: &TopicPartition, offset: u64) -> Result<(), LogError> {
        let (_, slot) = self.shared.inner.slot(partition)?;
        let (reply, answer) = oneshot::channel();
        self.shared.send(Request::Trim { slot, offset, reply })?;
        answer.await.map_err(|_| LogError::Closed)?
    }

    async fn copy_to(&self, folder: &Path) -> Result<(), LogError> {
        let (inner, folder) = (Arc::clone(&self.shared.inner), folder.to_owned());
        let copied = tokio::task::spawn_blocking(move || inner.copy_to(&folder)).await;
        copied.map_err(|error| LogError::Storage(format!("the copy was cut off: {error}")))?
    }

    async fn purge(&self, condemned: Condemned) -> Result<Purged, LogError> {
        let (reply, answer) = oneshot::channel();
        self.shared.send(Request::Purge { condemned, reply })?;
        answer.await.map_err(|_| LogError::Closed)?
    }
}

struct Member {
    log: EmbeddedLog,
    membership: Membership,
    id: u64,
    changes: mpsc::UnboundedReceiver<Change>,
    /// A change that was received and not yet handed out, kept when `next` is cancelled.
    pending: Option<Change>,
}

impl Drop for Member {
    fn drop(&mut self) {
        // A log that is closed has no members.
        let _ = self.log.shared.send(Request::Leave {
            group: self.membership.group.clone(),
            member: self.membership.member.clone(),
            id: self.id,
        });
    }
}

#[async_trait]
impl GroupMember for Member {
    async fn next(&mut self) -> Result<Rebalance, LogError> {
        // The channel ends when another member took this one's name.
        if self.pending.is_none() {
            self.pending = Some(self.changes.recv().await.ok_or(LogError::Closed)?);
        }
        let change = match &self.pending {
            Some(Change::Assigned(grants)) => {
                let mut handles: Vec<Box<dyn PartitionHandle>> = Vec::with_capacity(grants.len());
                for grant in grants {
                    handles.push(Box::new(self.take_over(grant.clone()).await?));
                }
                Rebalance::Assigned(handles)
            }
            Some(Change::Revoked(slots)) => Rebalance::Revoked(
                slots.iter().map(|slot| self.log.shared.inner.name(*slot)).collect(),
            ),
            None => return Err(LogError::Closed),
        };
        self.pending = None;
        Ok(change)
    }
}

impl Member {
    async fn take_over(&self, grant: Grant) -> Result<Handle, LogError> {
        let partition = self.log.shared.inner.name(grant.slot);
        let group = self.membership.group.clone();
        let committed = self.log.committed(&group, &partition).await?;
        let next = match &committed {
            Some(committed) => committed.offset,
            None => self.log.bounds(&partition).await?.start,
        };
        Ok(Handle { log: self.log.clone(), group, partition, grant, committed, next })
    }
}

struct Handle {
    log: EmbeddedLog,
    group: String,
    partition: TopicPartition,
    grant: Grant,
    committed: Option<Committed>,
    next: u64,
}

#[async_trait]
impl PartitionHandle for Handle {
    fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    fn committed(&self) -> Option<&Committed> {
        self.committed.as_ref()
    }

    fn revoked(&self) -> CancellationToken {
        self.grant.revoked.clone()
    }

    async fn fetch(&mut self, limit: ReadLimit) -> Result<Batch, LogError> {
        let batch = tokio::select! {
            biased;
            () = self.grant.revoked.cancelled() => Err(LogError::Revoked(self.partition.clone())),
            batch = self.log.read(&self.partition, self.next, limit) => batch,
        }?;
        self.next = batch.next;
        Ok(batch)
    }

    async fn commit(&mut self, commit: Commit) -> Result<(), LogError> {
        if commit.metadata.len() > MAX_METADATA_BYTES
            || !commit.metadata.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        {
            return Err(LogError::InvalidMetadata(commit.metadata.len()));
        }
        for record in &commit.outputs {
            check(record)?;
            self.log.shared.inner.slot(&record.partition)?;
        }
        let bytes = commit.outputs.iter().map(NewRecord::size).sum();
        let budget = self.log.shared.budget(bytes).await?;
        let (reply, answer) = oneshot::channel();
        self.log.shared.send(Request::Commit(CommitRequest {
            group: self.group.clone(),
            slot: self.grant.slot,
            epoch: self.grant.epoch,
            commit,
            reply,
            budget,
        }))?;
        answer.await.map_err(|_| LogError::Closed)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Headers, Record};

    fn stored(offsets: &[u64]) -> Arc<StoredBatch> {
        let record = |offset: &u64| Record {
            offset: *offset,
            append_ms: 0,
            key: None,
            value: None,
            headers: Headers::default(),
        };
        let records: Vec<_> = offsets.iter().map(record).collect();
        Arc::new(StoredBatch { base: offsets[0], records, bytes: 1 })
    }

    #[test]
    fn a_file_that_is_ahead_of_what_was_told_is_read_no_further() {
        let batches = [stored(&[3, 4, 6]), stored(&[7, 8])];
        for complete in [false, true] {
            let batch = take(&batches, complete, 4, 7, ReadLimit::default());
            let offsets: Vec<_> = batch.records.iter().map(|record| record.offset).collect();
            assert_eq!((offsets, batch.next, batch.caught_up), (vec![4, 6], 7, true));
        }
    }

    #[test]
    fn a_gap_at_the_end_is_passed_only_by_who_saw_all() {
        let batches = [stored(&[3, 4])];
        let next = |complete| take(&batches, complete, 3, 9, ReadLimit::default()).next;
        assert_eq!((next(false), next(true)), (5, 9));
    }
}
