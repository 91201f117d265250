use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, Span};
use zhili_proto::log::v1::DeadLetter;

use super::snapshots::{Draft, Made, Noted, Recreated, Snapshots, note, read_note};
use super::{
    Bundles, Entry, Fold, HASH_EVERY, Marker, Observation, Observer, Outputs, Progress, RunError,
    RunnerOptions, Undecodable,
};
use crate::trace;
use crate::{
    Batch, Commit, EventLog, LogError, NewRecord, PartitionHandle, ReadLimit, Record,
    TopicPartition,
};

/// Longest wait for records before the fold looks at its timers and configuration again.
const IDLE: Duration = Duration::from_millis(250);

/// How old the last record may be in a state that is acted on. On a busy partition of Kafka there is
/// no moment at which nothing lies beyond: every transaction ends with a marker that only the broker
/// sees.
const CURRENT_MS: i64 = 1_000;

/// First and longest pause before something that failed for the moment is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Everything that one partition's fold needs.
pub(super) struct PartitionRun<F: Fold> {
    pub(super) log: Arc<dyn EventLog>,
    pub(super) handle: Box<dyn PartitionHandle>,
    pub(super) fold: F,
    pub(super) observer: Observer<F>,
    pub(super) bundles: Arc<Bundles>,
    pub(super) options: RunnerOptions,
    pub(super) progress: Progress,
    /// As many partitions write snapshots at a time as it has permits.
    pub(super) writers: Arc<Semaphore>,
    pub(super) shutdown: CancellationToken,
}

/// A fold and its place in the partition.
struct Cursor<F> {
    fold: F,
    partition: TopicPartition,
    log_id: String,
    /// Next record.
    offset: u64,
    now_ms: i64,
    bundles: Arc<Bundles>,
    outputs: Outputs,
    /// State hashes that became due in this batch.
    notes: Vec<NewRecord>,
    /// Somebody was forgotten, and earlier snapshots have not been given up yet.
    forgot: bool,
}

/// What a batch of input came to.
#[derive(Default)]
struct Step {
    outputs: Vec<NewRecord>,
    /// State hashes that became due.
    notes: Vec<NewRecord>,
    offset: u64,
    records: u64,
    append_ms: Option<i64>,
    /// Why the partition stops here.
    stopped: Option<RunError>,
}

impl<F: Fold> PartitionRun<F> {
    /// Runs until the partition is revoked or the service shuts down; both are fine.
    pub(super) async fn run(self) -> Result<(), RunError> {
        let (partition, revoked) = (self.handle.partition().clone(), self.handle.revoked());
        match self.fold_until_stopped().await {
            Err(RunError::Log(LogError::Revoked(_) | LogError::Closed)) => Ok(()),
            // The log takes a partition back whose last commit it knows nothing of; whoever gets
            // it next begins at what was stored.
            Err(RunError::Log(error @ LogError::Ambiguous(_))) if revoked.is_cancelled() => {
                tracing::warn!(%partition, %error, "partition taken back");
                Ok(())
            }
            other => other,
        }
    }

    async fn fold_until_stopped(self) -> Result<(), RunError> {
        let Self {
            log,
            mut handle,
            fold,
            mut observer,
            bundles,
            options,
            progress,
            writers,
            shutdown,
        } = self;
        let partition = handle.partition().clone();
        let revoked = handle.revoked();
        let committed = handle.committed().map(|committed| committed.offset);
        let log_id = surely(&revoked, || log.topic(&partition.topic)).await?.log_id;
        let mut snapshots =
            surely(&revoked, || Snapshots::load(&*log, fold.name(), &partition)).await?;
        let mut cursor = Cursor {
            fold,
            partition: partition.clone(),
            log_id,
            offset: 0,
            now_ms: 0,
            bundles,
            outputs: Outputs::new(options.partitions),
            notes: Vec::new(),
            forgot: false,
        };
        let start = surely(&revoked, || log.bounds(&partition)).await?.start;
        cursor.restore(&*log, &mut snapshots, committed, start, &revoked).await?;

        // Whoever folded those before has told of them.
        let dead_letters_before = cursor.outputs.dead_letters();
        let mut snapshot_offset = cursor.offset;
        let mut snapshot_ms = (options.clock)();
        let mut saving: Option<Saving> = None;
        // What was asked of the log and has not come back yet.
        let mut tick_offset = None;
        let mut refused = false;
        let mut asked_for = std::collections::BTreeMap::new();
        let mut backoff = Backoff::default();
        progress.update(&partition, |progress| {
            progress.offset = cursor.offset;
            progress.progressed_ms = snapshot_ms;
        });
        loop {
            let wait = match cursor.fold.next_due() {
                _ if saving.as_ref().is_some_and(Saving::has_chunk) => Duration::ZERO,
                // The tick ends the wait when it can be read.
                Some(due) if tick_offset.is_none() && !refused => {
                    let left = due.saturating_sub((options.clock)());
                    Duration::from_millis(left.clamp(1, IDLE.as_millis() as i64) as u64)
                }
                _ => IDLE,
            };
            let limit = ReadLimit { wait, records: options.batch_records, ..ReadLimit::default() };
            let batch = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                batch = handle.fetch(limit) => batch,
            };
            let batch = match batch {
                Err(error) if error.is_transient() => {
                    tracing::warn!(%partition, %error, "cannot read, trying again");
                    progress.update(&partition, |progress| progress.retries += 1);
                    backoff.pause(&revoked).await;
                    // A chunk does not wait for what cannot be read.
                    Batch { next: cursor.offset, ..Batch::default() }
                }
                other => other?,
            };
            let caught_up = batch.caught_up;
            let mut append_ms = None;
            // Taken only now that it is sure to be committed, or the handle dead.
            let chunk = match saving.as_mut().filter(|saving| saving.has_chunk()) {
                Some(saving) => saving.next_chunk(&mut snapshots).await,
                None => None,
            };
            let moves = batch.next > cursor.offset;
            if moves || chunk.is_some() {
                let step = if moves { cursor.fold_batch(batch).await } else { cursor.rest() };
                let mut outputs = step.outputs;
                outputs.extend(step.notes);
                outputs.extend(chunk);
                let commit = Commit { outputs, offset: step.offset, metadata: String::new() };
                commit_surely(&mut *handle, commit, &progress, &mut backoff).await?;
                append_ms = step.append_ms;
                if moves {
                    progress.update(&partition, |progress| {
                        progress.offset = step.offset;
                        progress.append_ms = append_ms.unwrap_or(progress.append_ms);
                        progress.records += step.records;
                        progress.dead_letters = cursor.outputs.dead_letters() - dead_letters_before;
                        progress.progressed_ms = (options.clock)();
                        if step.records > 0 {
                            progress.unsaved_ms.get_or_insert(progress.progressed_ms);
                        }
                    });
                }
                if let Some(error) = step.stopped {
                    return Err(error);
                }
            }
            let clock_ms = (options.clock)();
            progress.update(&partition, |progress| {
                progress.caught_up = caught_up;
                if caught_up {
                    progress.progressed_ms = clock_ms;
                }
            });
            let current = caught_up || append_ms.is_some_and(|at| clock_ms - at <= CURRENT_MS);
            let now_ms = cursor.now_ms;
            let seen = Observation { partition: &partition, now_ms, caught_up, current };
            // Nobody is to act for a partition that somebody else may own by now.
            if !revoked.is_cancelled() {
                observer(&cursor.fold, &seen);
            }

            // Only a tick that was read back says what is still due: a timer may have been set
            // for a time that had passed already, and asks for a tick of its own.
            tick_offset = tick_offset.filter(|tick| *tick >= cursor.offset);
            refused = false;
            if current {
                let due = cursor.fold.next_due().filter(|due| *due <= clock_ms);
                if let Some(due) = due
                    && tick_offset.is_none()
                {
                    // Effective at its due time; the append time says when we got round to it.
                    let tick = cursor.fold.encode_tick(due);
                    tick_offset = append_own(&*log, &partition, tick).await;
                    refused = tick_offset.is_none();
                }
                for (tenant, head) in cursor.bundles.heads() {
                    let known = cursor.fold.config_sequence(&tenant);
                    let asked = asked_for.get(&tenant).copied().unwrap_or(0);
                    if head.sequence > known.max(asked) {
                        let sequence = head.sequence;
                        let marker =
                            Marker { tenant: tenant.clone(), bundle: head.bundle, sequence };
                        let marker = cursor.fold.encode_marker(&marker);
                        if append_own(&*log, &partition, marker).await.is_some() {
                            asked_for.insert(tenant, sequence);
                        }
                    }
                }
            }

            let records = cursor.offset - snapshot_offset;
            let is_due = records >= options.snapshot_records
                || (records > 0 && clock_ms - snapshot_ms >= options.snapshot_ms)
                || cursor.forgot;
            if saving.is_none()
                && is_due
                && let Ok(turn) = Arc::clone(&writers).try_acquire_owned()
            {
                saving = Some(Saving::begin(cursor.draft(), Some(turn), clock_ms));
                snapshot_offset = cursor.offset;
                snapshot_ms = clock_ms;
            }
            if let Some(written) = saving.take_if(Saving::is_written) {
                let mut keep = Keep { handle: &mut *handle, snapshots: &mut snapshots };
                keep.complete(written, &cursor, &progress, &mut backoff).await?;
            }
        }
        let mut keep = Keep { handle: &mut *handle, snapshots: &mut snapshots };
        // To its end: it may be the one after which none stays that knows somebody.
        if let Some(saving) = saving {
            keep.complete(saving, &cursor, &progress, &mut backoff).await?;
        }
        if cursor.offset > snapshot_offset || cursor.forgot {
            let last = Saving::begin(cursor.draft(), None, (options.clock)());
            keep.complete(last, &cursor, &progress, &mut backoff).await?;
        }
        Ok(())
    }
}

impl<F: Fold> Cursor<F> {
    /// Brings the fold to the committed position: newest snapshot, then replay.
    async fn restore(
        &mut self,
        log: &dyn EventLog,
        snapshots: &mut Snapshots,
        committed: Option<u64>,
        start: u64,
        revoked: &CancellationToken,
    ) -> Result<(), RunError> {
        let Some(committed) = committed else {
            self.offset = start;
            return Ok(());
        };
        let restored =
            snapshots.restore(&mut self.fold, committed, &self.log_id).map_err(|Recreated| {
                RunError::Recreated { fold: self.fold.name(), partition: self.partition.clone() }
            })?;
        if let Some(restored) = restored {
            self.offset = restored.offset;
            self.now_ms = restored.now_ms;
        } else {
            self.offset = start;
            if start > 0 {
                tracing::warn!(partition = %self.partition, start, "no usable snapshot and the log does not go back to its beginning: the state starts from what is left");
            }
        }
        let noted = snapshots.noted.take().filter(|noted| {
            noted.engine == self.fold.engine()
                && noted.log_id == self.log_id
                && noted.offset > self.offset
                && noted.offset <= committed
        });
        while self.offset < committed {
            let limit = ReadLimit { wait: IDLE, ..ReadLimit::default() };
            let read = || log.read(&self.partition, self.offset, limit);
            let batch = surely(revoked, read).await?;
            let stuck = batch.next == self.offset && batch.caught_up;
            let next = batch.next.min(committed);
            let records = batch.records.into_iter().filter(|record| record.offset < committed);
            let batch = Batch { records: records.collect(), next, caught_up: batch.caught_up };
            // Outputs were committed by whoever folded this first.
            let step = self.fold_batch(batch).await;
            self.compare(&step.notes, noted.as_ref())?;
            if let Some(error) = step.stopped {
                return Err(error);
            }
            if stuck {
                return Err(LogError::OutOfRange {
                    partition: self.partition.clone(),
                    offset: committed,
                    start,
                    end: self.offset,
                }
                .into());
            }
        }
        Ok(())
    }

    /// Compares the hashes that this replay came by with the one noted before.
    fn compare(&self, found: &[NewRecord], noted: Option<&Noted>) -> Result<(), RunError> {
        let Some(noted) = noted else { return Ok(()) };
        for found in found.iter().filter_map(read_note) {
            if found.offset == noted.offset && found.hash != noted.hash {
                return Err(RunError::Diverged {
                    fold: self.fold.name(),
                    partition: self.partition.clone(),
                    offset: noted.offset,
                });
            }
        }
        Ok(())
    }

    /// A snapshot of the state as it is.
    fn draft(&mut self) -> Draft {
        let Self { fold, partition, offset, now_ms, log_id, forgot, .. } = self;
        let draft = Draft::new(fold, partition, *offset, *now_ms, log_id);
        // Those before still know who was to be forgotten.
        if std::mem::take(forgot) { draft.alone() } else { draft }
    }

    /// What a batch without records comes to.
    fn rest(&self) -> Step {
        Step { offset: self.offset, ..Step::default() }
    }

    /// Folds a batch, or the part of it before a record that stops the partition.
    async fn fold_batch(&mut self, batch: Batch) -> Step {
        let mut step = Step { offset: batch.next, ..Step::default() };
        for record in &batch.records {
            if let Err(error) = self.fold_record(record).await {
                step.offset = record.offset;
                step.stopped = Some(error);
                break;
            }
            step.records += 1;
            step.append_ms = Some(record.append_ms);
        }
        self.offset = step.offset;
        step.outputs = self.outputs.take();
        step.notes = std::mem::take(&mut self.notes);
        step
    }

    async fn fold_record(&mut self, record: &Record) -> Result<(), RunError> {
        let entry = match self.fold.decode(record) {
            // Before anything has moved: what it means for the state is not known.
            Err(Undecodable::UnknownKind) => {
                return Err(RunError::UnknownKind {
                    partition: self.partition.clone(),
                    offset: record.offset,
                });
            }
            Err(Undecodable::Poison { reason, detail }) => Err((reason, detail)),
            Ok(entry) => Ok(entry),
        };
        if record.offset / HASH_EVERY > self.offset.saturating_sub(1) / HASH_EVERY {
            let boundary = record.offset - record.offset % HASH_EVERY;
            let note = note(&mut self.fold, &self.partition, boundary, self.now_ms, &self.log_id);
            self.notes.push(note);
        }
        self.offset = record.offset + 1;
        self.now_ms = self.now_ms.max(record.append_ms);
        if let Ok(Entry::Tick { at_ms }) = &entry {
            self.now_ms = self.now_ms.max(*at_ms);
        }
        let span = if record.headers.text(trace::TRACEPARENT).is_some() {
            let span = tracing::info_span!(
                "process",
                otel.kind = "consumer",
                fold = self.fold.name(),
                messaging.system = "zhili",
                messaging.destination.name = %self.partition.topic,
                messaging.destination.partition.id = self.partition.partition,
                messaging.kafka.offset = record.offset,
            );
            trace::continue_from(&span, &record.headers);
            span
        } else {
            Span::none()
        };
        let bundle = match &entry {
            Ok(Entry::Marker(marker))
                if marker.sequence > self.fold.config_sequence(&marker.tenant) =>
            {
                Some(self.bundles.wait_for(&marker.bundle).instrument(span.clone()).await)
            }
            _ => None,
        };
        span.in_scope(|| self.apply(record, entry, bundle.as_ref(), &span));
        Ok(())
    }

    fn apply(
        &mut self,
        record: &Record,
        entry: Result<Entry<F::Input>, (&'static str, String)>,
        bundle: Option<&Bytes>,
        span: &Span,
    ) {
        let traceparent = trace::traceparent_of(span, &record.headers);
        self.outputs.begin(&self.partition, record.offset, traceparent);
        self.fold.advance(self.now_ms, &mut self.outputs);
        match entry {
            Ok(Entry::Input(input)) => {
                self.fold.apply(self.now_ms, record, input, &mut self.outputs);
            }
            Ok(Entry::Tick { .. }) => {}
            Ok(Entry::Erasure(erasure)) => {
                self.fold.erase(self.now_ms, &erasure, &mut self.outputs);
                self.forgot = true;
            }
            Ok(Entry::Marker(marker)) => {
                if let Some(bundle) = bundle
                    && let Err(error) =
                        self.fold.configure(self.now_ms, &marker, bundle, &mut self.outputs)
                {
                    tracing::error!(tenant = marker.tenant, sequence = marker.sequence, %error, "cannot use a configuration, keeping the one before");
                }
            }
            Err((reason, detail)) => {
                let letter = DeadLetter {
                    reason: reason.to_owned(),
                    detail,
                    component: format!("{} {}", self.fold.name(), self.fold.engine()),
                    failed_at: Some(zhili_proto::timestamp(self.now_ms)),
                    ..DeadLetter::default()
                };
                self.outputs.dead_letter(record, letter);
            }
        }
    }
}

/// Asks the log, again for as long as the partition is owned and what kept it from answering may
/// pass.
async fn surely<T, F>(
    revoked: &CancellationToken,
    mut ask: impl FnMut() -> F,
) -> Result<T, LogError>
where
    F: Future<Output = Result<T, LogError>>,
{
    let mut backoff = Backoff::default();
    loop {
        match ask().await {
            Err(error) if error.is_transient() && !revoked.is_cancelled() => {
                tracing::warn!(%error, "cannot restore, trying again");
                backoff.pause(revoked).await;
            }
            other => return other,
        }
    }
}

/// Commits, trying again for as long as the partition is owned and the cause may pass.
async fn commit_surely(
    handle: &mut dyn PartitionHandle,
    commit: Commit,
    progress: &Progress,
    backoff: &mut Backoff,
) -> Result<(), LogError> {
    let revoked = handle.revoked();
    loop {
        match handle.commit(commit.clone()).await {
            Err(error) if error.is_transient() && !matches!(error, LogError::Ambiguous(_)) => {
                let partition = handle.partition().clone();
                tracing::warn!(%partition, %error, "cannot commit, trying again");
                progress.update(&partition, |progress| progress.retries += 1);
                backoff.pause(&revoked).await;
            }
            other => {
                *backoff = Backoff::default();
                return other;
            }
        }
    }
}

/// Appends something to the fold's own input and says where; it counts when it is read back. A
/// failure is tried again when the fold next looks.
async fn append_own(log: &dyn EventLog, partition: &TopicPartition, value: Bytes) -> Option<u64> {
    let record = NewRecord::new(partition.clone(), None, value);
    match log.append(vec![record]).await.pop()? {
        Ok(position) => Some(position.offset),
        Err(error) => {
            tracing::warn!(%partition, %error, "cannot append to the input, trying again");
            None
        }
    }
}

/// A snapshot on its way into the log.
struct Saving {
    stage: Stage,
    /// Clock time at which it was begun.
    begun_ms: i64,
    /// Given back when it is complete.
    _turn: Option<OwnedSemaphorePermit>,
}

enum Stage {
    /// Its bytes are being made beside the fold.
    Making(AbortOnDropHandle<Made>),
    /// A chunk goes into each commit.
    Writing(Made),
}

impl Saving {
    fn begin(draft: Draft, turn: Option<OwnedSemaphorePermit>, begun_ms: i64) -> Self {
        let made = tokio::task::spawn_blocking(move || draft.make());
        Self { stage: Stage::Making(AbortOnDropHandle::new(made)), begun_ms, _turn: turn }
    }

    /// Whether a chunk can be committed by now.
    fn has_chunk(&self) -> bool {
        match &self.stage {
            Stage::Making(making) => making.is_finished(),
            Stage::Writing(made) => !made.is_written(),
        }
    }

    /// The next chunk to be committed, once its bytes are there.
    async fn next_chunk(&mut self, snapshots: &mut Snapshots) -> Option<NewRecord> {
        self.made(snapshots).await?.next_chunk()
    }

    /// Waits for its bytes. None when the runtime shuts down.
    async fn made(&mut self, snapshots: &mut Snapshots) -> Option<&mut Made> {
        if let Stage::Making(making) = &mut self.stage {
            let made = match making.await {
                Ok(made) => made,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => return None,
                },
            };
            snapshots.begin(&made);
            self.stage = Stage::Writing(made);
        }
        match &mut self.stage {
            Stage::Writing(made) => Some(made),
            Stage::Making(_) => None,
        }
    }

    fn is_written(&mut self) -> bool {
        matches!(&self.stage, Stage::Writing(made) if made.is_written())
    }
}

/// Where a snapshot is completed.
struct Keep<'a> {
    handle: &'a mut dyn PartitionHandle,
    snapshots: &'a mut Snapshots,
}

impl Keep<'_> {
    /// Commits what is left of a snapshot, and makes it count.
    async fn complete<F: Fold>(
        &mut self,
        mut saving: Saving,
        cursor: &Cursor<F>,
        progress: &Progress,
        backoff: &mut Backoff,
    ) -> Result<(), LogError> {
        let mut commit = async |handle: &mut dyn PartitionHandle, outputs| {
            let commit = Commit { outputs, offset: cursor.offset, metadata: String::new() };
            commit_surely(handle, commit, progress, backoff).await
        };
        // The runtime shuts down.
        if saving.made(self.snapshots).await.is_none() {
            return Ok(());
        }
        while let Some(chunk) = saving.next_chunk(self.snapshots).await {
            commit(self.handle, vec![chunk]).await?;
        }
        let Stage::Writing(made) = saving.stage else { return Ok(()) };
        let saved = made.offset();
        let closing = self.snapshots.close(&made);
        commit(self.handle, closing.records.clone()).await?;
        self.snapshots.complete(made, &closing);
        progress.update(self.handle.partition(), |progress| {
            // What came while it was written is not in it.
            progress.unsaved_ms = (saved < cursor.offset).then_some(saving.begun_ms);
        });
        Ok(())
    }
}

/// Pauses that grow while something keeps failing.
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(BACKOFF.0)
    }
}

impl Backoff {
    async fn pause(&mut self, revoked: &CancellationToken) {
        let pause = self.0;
        self.0 = (pause * 2).min(BACKOFF.1);
        tokio::select! {
            () = revoked.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
