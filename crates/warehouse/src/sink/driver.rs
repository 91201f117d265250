//! One partition of the log into its tables.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use zhili_eventlog::{
    Commit, LogError, NewRecord, PartitionHandle, ReadLimit, Record, TopicInfo, TopicPartition,
};

use super::writer::Writer;
use super::{Backoff, Batch, OffsetRange, Pace, PositionNote};
use crate::block::Block;
use crate::client::Tables;
use crate::{SinkError, Table};

/// How a sink gathers and tries.
#[derive(Clone, Debug)]
pub struct SinkOptions {
    /// A batch is written at this many rows, or records that give none, whatever the time. Well
    /// below 1,048,449, at which ClickHouse would make two blocks of one INSERT and the token
    /// would cover each by itself.
    pub rows: usize,
    /// A batch is written at this many bytes, of records or of encoded rows.
    pub bytes: usize,
    /// How long a first record waits for company when nothing was written lately.
    pub linger: Duration,
    /// Most INSERTs per second that a table may see from all partitions of its topic.
    pub inserts_per_second: f64,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// Longest wait for records within one fetch; bounds how late a shutdown is noticed.
    pub fetch_wait: Duration,
    /// Name and version put into dead letters.
    pub component: String,
}

impl Default for SinkOptions {
    fn default() -> Self {
        Self {
            rows: 50_000,
            bytes: 8 << 20,
            linger: Duration::from_millis(20),
            inserts_per_second: crate::migrate::INSERTS_PER_SECOND,
            backoff: Backoff::default(),
            fetch_wait: Duration::from_millis(250),
            component: concat!("metrics ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Why a partition's sink ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The partition belongs to somebody else.
    Revoked,
    /// It was asked to stop, and everything announced is done or noted for the next owner.
    Shutdown,
}

/// Is told what the sink does, for metrics. Counters of things that must not happen stand beside
/// counters of the same things going well, so that silence is not mistaken for health.
pub trait Observer: Send + Sync + 'static {
    /// The partition is this process's, and its sink starts; whatever was said of it before is
    /// over.
    fn started(&self, _partition: &TopicPartition) {}
    /// An INSERT ended; `error` is its kind. Called for failures too, with the time they took.
    fn inserted(
        &self,
        _partition: &TopicPartition,
        _block: &Block,
        _took: Duration,
        _error: Option<&'static str>,
    ) {
    }
    /// A batch is done: its rows are in the tables, its dead letters in the log.
    fn done(&self, _partition: &TopicPartition, _batch: &Batch) {}
    /// A range was taken over unfinished: so many of its rows were in the table already.
    fn resumed(
        &self,
        _partition: &TopicPartition,
        _table: Table,
        _range: OffsetRange,
        _landed: usize,
    ) {
    }
    /// A table knew the token of these rows and lacked the rows; they are being written again.
    fn orphaned(&self, _rows: &Block) {}
    /// The partition's sink stopped and does not go on by itself while the partition stays here.
    fn halted(&self, _partition: &TopicPartition, _error: &SinkError) {}
    /// The partition is not this process's any more.
    fn stopped(&self, _partition: &TopicPartition) {}
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}

/// What the sinks of a process have in common.
#[derive(Clone)]
pub struct Shared {
    /// Where the rows go.
    pub tables: Arc<dyn Tables>,
    /// How they gather and try.
    pub options: SinkOptions,
    /// Who is told.
    pub observer: Arc<dyn Observer>,
    /// Partitions of the topic of dead letters.
    pub dead_letter_partitions: u32,
    /// Cancelled when they are to stop.
    pub shutdown: CancellationToken,
}

/// The sink of one partition that this process owns.
pub struct PartitionSink {
    tables: Arc<dyn Tables>,
    handle: Box<dyn PartitionHandle>,
    partition: TopicPartition,
    log_id: String,
    dead_letter_partitions: u32,
    options: SinkOptions,
    observer: Arc<dyn Observer>,
    pace: Pace,
    revoked: CancellationToken,
    shutdown: CancellationToken,
    /// Fetched and not yet in a batch.
    waiting: VecDeque<Record>,
    /// Where the next fetch goes on: everything before it is done, in a batch or waiting.
    fetched: u64,
    /// Where the next batch begins; `None` until the first batch of a first start.
    position: Option<u64>,
}

/// What stops the work on a batch.
pub(super) enum Interrupted {
    Stopped(Stopped),
    Failed(SinkError),
}

impl<E: Into<SinkError>> From<E> for Interrupted {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl PartitionSink {
    /// A sink for `handle`, one of the partitions of `topic`.
    #[must_use]
    pub fn new(handle: Box<dyn PartitionHandle>, topic: &TopicInfo, shared: &Shared) -> Self {
        let options = shared.options.clone();
        Self {
            pace: Pace::new(topic.partitions, options.inserts_per_second, options.linger),
            partition: handle.partition().clone(),
            revoked: handle.revoked(),
            tables: Arc::clone(&shared.tables),
            handle,
            log_id: topic.log_id.clone(),
            dead_letter_partitions: shared.dead_letter_partitions,
            options,
            observer: Arc::clone(&shared.observer),
            shutdown: shared.shutdown.clone(),
            waiting: VecDeque::new(),
            fetched: 0,
            position: None,
        }
    }

    /// Writes the partition until it is revoked, a shutdown is asked for, or it cannot go on.
    ///
    /// # Errors
    /// Nothing is skipped: an error means that the partition waits for somebody to mend it.
    pub async fn run(mut self) -> Result<Stopped, SinkError> {
        let outcome = match self.work().await {
            Ok(never) => match never {},
            Err(Interrupted::Stopped(stopped)) => return Ok(stopped),
            Err(Interrupted::Failed(error)) => error,
        };
        // After a revoke the log refuses everything; that is no failure.
        if self.revoked.is_cancelled() || matches!(outcome, SinkError::Log(LogError::Revoked(_))) {
            return Ok(Stopped::Revoked);
        }
        Err(outcome)
    }

    async fn work(&mut self) -> Result<Infallible, Interrupted> {
        let mut announced = match self.take_over()? {
            Some(range) => {
                let batch = self.gather_range(range).await?;
                self.write_and_gather(batch, true).await?
            }
            None => None,
        };
        loop {
            let batch = match announced.take() {
                Some(batch) => batch,
                None => match self.gather(None).await? {
                    Some(batch) => {
                        self.announce(&batch).await?;
                        batch
                    }
                    None => continue,
                },
            };
            announced = self.write_and_gather(batch, false).await?;
        }
    }

    /// Reads the position that the partition comes with.
    fn take_over(&mut self) -> Result<Option<OffsetRange>, SinkError> {
        let Some(committed) = self.handle.committed() else {
            return Ok(None);
        };
        let note =
            PositionNote::parse(&committed.metadata, committed.offset).map_err(|detail| {
                SinkError::UnreadablePosition {
                    partition: self.partition.clone(),
                    metadata: committed.metadata.clone(),
                    detail,
                }
            })?;
        if let Some(noted) = note.log_id
            && noted != self.log_id
        {
            return Err(SinkError::LogChanged {
                partition: self.partition.clone(),
                noted,
                actual: self.log_id.clone(),
            });
        }
        self.position = Some(committed.offset);
        self.fetched = committed.offset;
        Ok(note.pending)
    }

    /// Writes an announced batch while the next one is gathered, then says that the one is done
    /// and announces the other in the same commit. Returns the one announced.
    async fn write_and_gather(
        &mut self,
        batch: Batch,
        taken_over: bool,
    ) -> Result<Option<Batch>, Interrupted> {
        if batch.rows() > 0 {
            self.pace.written(Instant::now());
        }
        let writer = self.writer();
        let written = CancellationToken::new();
        let write = async {
            let outcome = writer.write(&batch, taken_over).await;
            written.cancel();
            outcome
        };
        let (outcome, next) = tokio::join!(write, self.gather(Some(&written)));
        outcome?;
        // What is written is done even if nothing can be gathered any more.
        match next {
            Ok(Some(next)) if next.rows() > 0 => {
                self.done(&[&batch], Some(&next)).await?;
                Ok(Some(next))
            }
            Ok(Some(next)) => {
                self.done(&[&batch, &next], None).await?;
                Ok(None)
            }
            Ok(None) => {
                self.done(&[&batch], None).await?;
                Ok(None)
            }
            Err(interrupted) => {
                self.done(&[&batch], None).await?;
                Err(interrupted)
            }
        }
    }

    fn writer(&self) -> Writer {
        Writer {
            tables: Arc::clone(&self.tables),
            observer: Arc::clone(&self.observer),
            partition: self.partition.clone(),
            log_id: self.log_id.clone(),
            backoff: self.options.backoff,
            revoked: self.revoked.clone(),
            shutdown: self.shutdown.clone(),
        }
    }

    /// Notes that the batch is about to be written. Nothing of a batch without rows can land, so
    /// it needs no note.
    async fn announce(&mut self, batch: &Batch) -> Result<(), SinkError> {
        if batch.rows() == 0 {
            return Ok(());
        }
        self.commit(batch.first(), Vec::new(), batch.range()).await
    }

    /// Notes that batches are done, with their dead letters, and announces the next.
    async fn done(&mut self, batches: &[&Batch], next: Option<&Batch>) -> Result<(), SinkError> {
        let dead_letters = batches
            .iter()
            .flat_map(|batch| batch.dead_letter_records(self.dead_letter_partitions))
            .collect();
        let end = batches.iter().map(|batch| batch.end()).max();
        let Some(end) = end else { return Ok(()) };
        self.commit(end, dead_letters, next.and_then(Batch::range)).await?;
        for batch in batches {
            self.observer.done(&self.partition, batch);
        }
        Ok(())
    }

    async fn commit(
        &mut self,
        offset: u64,
        outputs: Vec<NewRecord>,
        pending: Option<OffsetRange>,
    ) -> Result<(), SinkError> {
        let note = PositionNote { log_id: Some(self.log_id.clone()), pending };
        let commit = Commit { outputs, offset, metadata: note.to_string() };
        Ok(self.handle.commit(commit).await?)
    }

    /// Gathers the next batch: until its time has come or it is full. `None` when there is
    /// nothing to gather and `unless` was cancelled.
    async fn gather(
        &mut self,
        unless: Option<&CancellationToken>,
    ) -> Result<Option<Batch>, Interrupted> {
        while self.waiting.is_empty() {
            self.go_on()?;
            if unless.is_some_and(CancellationToken::is_cancelled) {
                return Ok(None);
            }
            self.fetch(self.options.fetch_wait).await?;
        }
        let begun = Instant::now();
        let first = self
            .position
            .or_else(|| self.waiting.front().map(|record| record.offset))
            .unwrap_or(self.fetched);
        let mut batch = Batch::new(first);
        loop {
            while let Some(record) = self.waiting.pop_front() {
                batch.push(&self.log_id, &self.partition, &record, &self.options.component);
                if batch.rows().max(batch.records()) >= self.options.rows
                    || batch.size() >= self.options.bytes
                {
                    self.position = Some(batch.end());
                    return Ok(Some(batch));
                }
            }
            batch.extend_to(self.fetched);
            self.go_on()?;
            let due = if batch.rows() > 0 {
                self.pace.due(begun)
            } else {
                begun + WITHOUT_ROWS.max(self.options.linger)
            };
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.position = Some(batch.end());
                return Ok(Some(batch));
            }
            self.fetch(left.min(self.options.fetch_wait)).await?;
        }
    }

    /// Gathers exactly an announced range.
    async fn gather_range(&mut self, range: OffsetRange) -> Result<Batch, Interrupted> {
        let mut batch = Batch::new(range.first);
        let mut ends_seen = 0;
        loop {
            let within = self.waiting.partition_point(|record| range.contains(record.offset));
            for record in self.waiting.drain(..within) {
                batch.push(&self.log_id, &self.partition, &record, &self.options.component);
            }
            if self.fetched > range.last {
                batch.extend_to(range.end());
                self.position = Some(range.end());
                return Ok(batch);
            }
            self.go_on()?;
            let caught_up = self.fetch(self.options.fetch_wait).await?;
            if caught_up && self.fetched <= range.last {
                // A broker that has just become leader may show an earlier end for a moment.
                ends_seen += 1;
                if ends_seen >= ENDS_BEFORE_GIVING_UP {
                    return Err(Interrupted::Failed(SinkError::PendingBeyondEnd {
                        partition: self.partition.clone(),
                        last: range.last,
                        end: self.fetched,
                    }));
                }
            }
        }
    }

    /// Fetches more records; returns whether the end of the log was seen. Waits out a log that
    /// cannot be reached.
    async fn fetch(&mut self, wait: Duration) -> Result<bool, Interrupted> {
        let limit = ReadLimit {
            records: self.options.rows.min(ReadLimit::default().records),
            wait,
            ..ReadLimit::default()
        };
        let mut attempt = 1;
        let batch = loop {
            match self.handle.fetch(limit).await {
                Ok(batch) => break batch,
                Err(error) if error.is_transient() => {
                    tracing::warn!(partition = %self.partition, attempt, %error, "cannot fetch");
                    let delay = self.options.backoff.delay(attempt, &self.partition.topic);
                    attempt = attempt.saturating_add(1);
                    tokio::select! {
                        () = sleep(delay) => {}
                        () = self.revoked.cancelled() => {}
                        () = self.shutdown.cancelled() => {}
                    }
                    self.go_on()?;
                }
                Err(error) => return Err(error.into()),
            }
        };
        self.fetched = self.fetched.max(batch.next);
        self.waiting.extend(batch.records);
        Ok(batch.caught_up)
    }

    fn go_on(&self) -> Result<(), Interrupted> {
        if self.revoked.is_cancelled() {
            return Err(Interrupted::Stopped(Stopped::Revoked));
        }
        if self.shutdown.is_cancelled() {
            return Err(Interrupted::Stopped(Stopped::Shutdown));
        }
        Ok(())
    }
}

/// How long records that give no rows wait for some that do: nobody waits for them, and each of
/// their batches is a commit.
const WITHOUT_ROWS: Duration = Duration::from_secs(1);

/// How often the end of the log is seen before an announced range is taken for lost.
const ENDS_BEFORE_GIVING_UP: u32 = 20;
