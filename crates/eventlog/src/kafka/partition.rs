use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Client;
use super::commit::{Request, Word};
use super::error::partition_error;
use super::member::Context;
use super::read::{check_range, size};
use super::record;
use crate::{
    Batch, Commit, Committed, LogError, MAX_METADATA_BYTES, PartitionHandle, ReadLimit,
    TopicPartition,
};

/// How often the broker is asked whether this is the end, on a partition that is never at rest
/// long enough for librdkafka to say so.
const ASK_FOR_END: Duration = Duration::from_millis(250);

/// librdkafka says when a queue is no longer empty; this is in case it was emptied by anything but
/// records in between.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The partitions a member owns. Whoever holds the lock knows that none is taken away meanwhile.
#[derive(Default)]
pub(super) struct Ownership {
    owned: Mutex<HashMap<TopicPartition, Arc<Owned>>>,
}

impl Ownership {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<TopicPartition, Arc<Owned>>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all partitions away.
    pub(super) fn end(&self) {
        for (_, owned) in self.lock().drain() {
            owned.end();
        }
    }
}

/// One partition for as long as the member owns it.
pub(super) struct Owned {
    pub(super) partition: TopicPartition,
    revoked: CancellationToken,
    queue: Mutex<Option<PartitionQueue<Context>>>,
    filled: Arc<Notify>,
}

impl Owned {
    pub(super) fn new(partition: TopicPartition, mut queue: PartitionQueue<Context>) -> Self {
        let filled = Arc::new(Notify::new());
        let notify = Arc::clone(&filled);
        queue.set_nonempty_callback(move || notify.notify_one());
        Self {
            partition,
            revoked: CancellationToken::new(),
            queue: Mutex::new(Some(queue)),
            filled,
        }
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.is_cancelled()
    }

    /// From here on nothing of it is read or committed. Only with the ownership locked.
    pub(super) fn end(&self) {
        self.revoked.cancel();
        let queue = self.queue().take();
        drop(queue);
    }

    pub(super) fn gone(&self) -> LogError {
        LogError::Revoked(self.partition.clone())
    }

    fn queue(&self) -> MutexGuard<'_, Option<PartitionQueue<Context>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Handle {
    client: Arc<Client>,
    owned: Arc<Owned>,
    commits: Sender<Word>,
    committed: Option<Committed>,
    /// Next offset to be returned; known once the first fetch has looked.
    next: Option<u64>,
    /// Met after the records that were fetched.
    failure: Option<KafkaError>,
    end: End,
}

/// What is known about the end of the partition.
struct End {
    /// There was nothing beyond the last record when librdkafka looked.
    met: bool,
    /// Whether it was found out what control records lie beyond the last record.
    passed: bool,
    asked: Instant,
}

impl Handle {
    pub(super) fn new(
        client: Arc<Client>,
        owned: Arc<Owned>,
        commits: Sender<Word>,
        committed: Option<Committed>,
    ) -> Self {
        Self {
            client,
            owned,
            commits,
            committed,
            next: None,
            failure: None,
            end: End { met: false, passed: false, asked: Instant::now() },
        }
    }

    fn check_owned(&self) -> Result<(), LogError> {
        if self.owned.is_revoked() { Err(self.owned.gone()) } else { Ok(()) }
    }

    /// Where the first fetch begins, which must lie inside of the log.
    async fn begin(&mut self) -> Result<u64, LogError> {
        let bounds = self.bounds().await?;
        let from = match &self.committed {
            Some(committed) => committed.offset,
            None => bounds.start,
        };
        check_range(&self.owned.partition, from, bounds)?;
        self.next = Some(from);
        Ok(from)
    }

    async fn bounds(&self) -> Result<crate::Bounds, LogError> {
        let partition = self.owned.partition.clone();
        self.client.blocking(move |client| client.bounds(&partition)).await
    }

    /// Takes what librdkafka has fetched, without waiting. Tells whether that was all of it.
    fn take(&mut self, batch: &mut Batch, limit: ReadLimit) -> Result<bool, LogError> {
        let queue = self.owned.queue();
        let Some(queue) = queue.as_ref() else {
            return Err(self.owned.gone());
        };
        let mut bytes = 0;
        while batch.records.len() < limit.records.max(1) && bytes < limit.bytes.max(1) {
            match queue.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    // Seen already: librdkafka repeats records after some reconnects.
                    if record::offset(&message) < batch.next {
                        continue;
                    }
                    let record = record::from_kafka(&message);
                    bytes += size(&record);
                    batch.next = record.offset + 1;
                    batch.records.push(record);
                    self.end.met = false;
                    self.end.passed = false;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => self.end.met = true,
                Some(Err(error)) => {
                    self.failure = Some(error);
                    return Ok(true);
                }
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// What a failure that librdkafka reported for this partition means now.
    async fn fail(&self, error: KafkaError, next: u64) -> Result<(), LogError> {
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                check_range(&self.owned.partition, next, self.bounds().await?)?;
                // Inside again: librdkafka stopped reading, so the membership has to begin anew.
                let error = LogError::Unavailable(error.to_string());
                self.commits.send(Word::Fail(error.clone())).ok();
                Err(error)
            }
            Some(
                Code::UnknownTopic
                | Code::UnknownPartition
                | Code::UnknownTopicOrPartition
                | Code::TopicAuthorizationFailed,
            ) => {
                let error = partition_error(&error, &self.owned.partition);
                Err(self.client.confirm(error).await)
            }
            _ => {
                tracing::debug!(partition = %self.owned.partition, "while fetching: {error}");
                Ok(())
            }
        }
    }

    /// Whether nothing visible lies beyond `next`.
    async fn is_end(&mut self, next: u64) -> Result<bool, LogError> {
        if !self.end.met && self.end.asked.elapsed() >= ASK_FOR_END {
            self.end.asked = Instant::now();
            self.end.met = self.bounds().await?.end <= next;
        }
        Ok(self.end.met)
    }

    /// Moves past control records at the end of the log, which no fetch returns.
    async fn pass_gap(&mut self, next: u64) -> Result<u64, LogError> {
        if !self.end.met || self.end.passed {
            return Ok(next);
        }
        self.end.passed = true;
        let partition = self.owned.partition.clone();
        let beyond = ReadLimit { records: 1, bytes: 1, wait: Duration::ZERO };
        let batch =
            self.client.blocking(move |client| client.read(&partition, next, beyond)).await?;
        // A record that came meanwhile is on its way through the queue.
        Ok(if batch.records.is_empty() { batch.next } else { next })
    }
}

#[async_trait]
impl PartitionHandle for Handle {
    fn partition(&self) -> &TopicPartition {
        &self.owned.partition
    }

    fn committed(&self) -> Option<&Committed> {
        self.committed.as_ref()
    }

    fn revoked(&self) -> CancellationToken {
        self.owned.revoked.clone()
    }

    async fn fetch(&mut self, limit: ReadLimit) -> Result<Batch, LogError> {
        let deadline = Instant::now() + limit.wait;
        self.check_owned()?;
        let next = match self.next {
            Some(next) => next,
            None => self.begin().await?,
        };
        let mut batch = Batch { next, ..Batch::default() };
        loop {
            let all = self.take(&mut batch, limit)?;
            self.next = Some(batch.next);
            if !batch.records.is_empty() {
                batch.caught_up = all && self.is_end(batch.next).await.unwrap_or(false);
                return Ok(batch);
            }
            if let Some(error) = self.failure.take() {
                self.fail(error, batch.next).await?;
            }
            let now = Instant::now();
            if now >= deadline {
                break;
            }
            let revoked = self.owned.revoked.clone();
            tokio::select! {
                () = revoked.cancelled() => return Err(self.owned.gone()),
                () = self.owned.filled.notified() => {}
                () = tokio::time::sleep_until(deadline.min(now + LOOK_AGAIN)) => {}
            }
        }
        batch.caught_up = self.is_end(batch.next).await?;
        batch.next = self.pass_gap(batch.next).await?;
        self.next = Some(batch.next);
        self.check_owned()?;
        Ok(batch)
    }

    async fn commit(&mut self, commit: Commit) -> Result<(), LogError> {
        self.check_owned()?;
        let metadata = commit.metadata.as_bytes();
        let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        if metadata.len() > MAX_METADATA_BYTES || !metadata.iter().all(printable) {
            return Err(LogError::InvalidMetadata(metadata.len()));
        }
        if i64::try_from(commit.offset).is_err() {
            return Err(LogError::Refused(format!("{} is no offset", commit.offset)));
        }
        for output in &commit.outputs {
            record::check(output)?;
            self.client.check_partition(&output.partition).await?;
        }
        let (answer, answered) = oneshot::channel();
        let request = Request::new(Arc::clone(&self.owned), commit, answer);
        self.commits.send(Word::Commit(request)).map_err(|_| self.owned.gone())?;
        answered.await.unwrap_or_else(|_| Err(self.owned.gone()))
    }
}
