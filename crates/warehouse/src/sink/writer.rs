//! One batch into its tables, however often it takes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use zhili_eventlog::TopicPartition;

use super::driver::{Interrupted, Observer, Stopped};
use super::{Backoff, Batch, OffsetRange, token};
use crate::audit::{Expected, expected, unexplained};
use crate::block::Block;
use crate::client::Tables;
use crate::{RowKey, SinkError, Table, WarehouseError};

/// How many tokens are tried for one block.
pub(crate) const ROUNDS: u32 = 3;

/// Between two looks for rows whose token is known.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Writes one batch, insisting until it is done or there is no point any more.
pub(super) struct Writer {
    pub(super) tables: Arc<dyn Tables>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) partition: TopicPartition,
    pub(super) log_id: String,
    pub(super) backoff: Backoff,
    pub(super) revoked: CancellationToken,
    pub(super) shutdown: CancellationToken,
}

impl Writer {
    /// Writes the batch; with `taken_over`, what of it has not landed yet.
    pub(super) async fn write(&self, batch: &Batch, taken_over: bool) -> Result<(), Interrupted> {
        let Some(range) = batch.range() else {
            return Ok(());
        };
        let token = token(&self.log_id, &self.partition, range);
        for block in batch.blocks() {
            self.write_block(batch, block, range, &token, taken_over).await?;
        }
        Ok(())
    }

    /// Writes a block once. If an earlier attempt may have got somewhere, the answer to an INSERT
    /// is not believed: ClickHouse notes a token before the rows, so a server that is killed
    /// between the two remembers the token, and calls the next INSERT under it a duplicate, while
    /// the rows are not there. The table is asked, and what it lacks goes in under a token of its
    /// own.
    async fn write_block(
        &self,
        batch: &Batch,
        block: &Arc<Block>,
        range: OffsetRange,
        token: &str,
        taken_over: bool,
    ) -> Result<(), Interrupted> {
        let mut rest = Arc::clone(block);
        if taken_over {
            let landed = self.landed(block.table(), range, token).await?;
            self.observer.resumed(&self.partition, block.table(), range, landed.len());
            rest = Arc::new(block.without(&landed));
        }
        for round in 0..ROUNDS {
            if rest.rows() == 0 {
                return Ok(());
            }
            let token = match round {
                0 => token.to_owned(),
                round => format!("{token}:again-{round}"),
            };
            let attempts = self.insert(&rest, &token).await?;
            if attempts == 1 && !taken_over {
                return Ok(());
            }
            rest = self.lacking(&rest, range, &token).await?;
            if rest.rows() > 0 {
                tracing::warn!(
                    partition = %self.partition, table = %block.table(), rows = rest.rows(), token,
                    "the table knows the token and lacks the rows"
                );
                self.observer.orphaned(&rest);
            }
        }
        if rest.rows() == 0 {
            return Ok(());
        }
        let rows = self.unexplained(batch, &rest, token).await?;
        if rows == 0 {
            return Ok(());
        }
        Err(Interrupted::Failed(SinkError::Unverified {
            partition: self.partition.clone(),
            table: block.table(),
            range,
            rows,
        }))
    }

    /// How many of the rows that were accepted and are not found are lost. Rows that others of
    /// their identity replace as soon as they land are not found either, and were written.
    async fn unexplained(
        &self,
        batch: &Batch,
        rest: &Block,
        token: &str,
    ) -> Result<usize, Interrupted> {
        let table = rest.table();
        let keys: Vec<RowKey> = rest.keys().collect();
        let expected = expected(&self.log_id, &self.partition, batch.sources()).0;
        let expected = Arc::new(expected);
        self.insist(token, || {
            let tables = Arc::clone(&self.tables);
            let (keys, expected) = (keys.clone(), Arc::clone(&expected));
            async move {
                let missing: BTreeMap<RowKey, &Expected> = keys
                    .into_iter()
                    .filter_map(|key| expected.get(&(table, key)).map(|expected| (key, expected)))
                    .collect();
                unexplained(&*tables, table, &missing).await.map(|lost| lost.len())
            }
        })
        .await
        .map(|(lost, _)| lost)
    }

    /// The rows that the table lacks. Those of an INSERT that has just noted its token come a
    /// moment after it, so a lack is looked at twice.
    async fn lacking(
        &self,
        block: &Arc<Block>,
        range: OffsetRange,
        token: &str,
    ) -> Result<Arc<Block>, Interrupted> {
        let landed = self.landed(block.table(), range, token).await?;
        let rest = block.without(&landed);
        if rest.rows() == 0 {
            return Ok(Arc::new(rest));
        }
        self.pause(SECOND_LOOK).await?;
        let landed = self.landed(block.table(), range, token).await?;
        Ok(Arc::new(block.without(&landed)))
    }

    async fn landed(
        &self,
        table: Table,
        range: OffsetRange,
        token: &str,
    ) -> Result<HashSet<RowKey>, Interrupted> {
        self.insist(token, || {
            let tables = Arc::clone(&self.tables);
            let (log_id, partition) = (self.log_id.clone(), self.partition.clone());
            async move { tables.landed(table, &log_id, &partition, range).await }
        })
        .await
        .map(|(landed, _)| landed)
    }

    /// Inserts a block and returns the number of attempts it took.
    async fn insert(&self, block: &Arc<Block>, token: &str) -> Result<u32, Interrupted> {
        self.insist(token, || {
            let tables = Arc::clone(&self.tables);
            let observer = Arc::clone(&self.observer);
            let (block, token) = (Arc::clone(block), token.to_owned());
            let partition = self.partition.clone();
            async move {
                let started = Instant::now();
                let outcome = tables.insert(&token, &block).await;
                let error = outcome.as_ref().err().map(WarehouseError::kind);
                observer.inserted(&partition, &block, started.elapsed(), error);
                outcome
            }
        })
        .await
        .map(|((), attempts)| attempts)
    }

    /// Repeats a request while its failures pass by themselves; returns the answer and the number
    /// of attempts. Each attempt runs to its end in a
    /// task of its own: an INSERT that is cut off can leave its token without its rows on a
    /// replicated table, so not even a revoke cuts it off.
    async fn insist<T, F>(
        &self,
        what: &str,
        mut request: impl FnMut() -> F,
    ) -> Result<(T, u32), Interrupted>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, WarehouseError>> + Send + 'static,
    {
        let mut attempt = 1;
        loop {
            let task = tokio::spawn(request());
            let outcome = tokio::select! {
                outcome = task => outcome,
                () = self.revoked.cancelled() => {
                    return Err(Interrupted::Stopped(Stopped::Revoked));
                }
            };
            let error = match outcome {
                Ok(Ok(value)) => return Ok((value, attempt)),
                Ok(Err(error)) => error,
                Err(panicked) if panicked.is_panic() => {
                    std::panic::resume_unwind(panicked.into_panic())
                }
                // The runtime is going down.
                Err(_) => return Err(Interrupted::Stopped(Stopped::Shutdown)),
            };
            if !error.is_transient() {
                return Err(Interrupted::Failed(SinkError::Halted {
                    partition: self.partition.clone(),
                    cause: error,
                }));
            }
            tracing::warn!(partition = %self.partition, attempt, %error, "will try again");
            self.pause(self.backoff.delay(attempt, what)).await?;
            attempt = attempt.saturating_add(1);
        }
    }

    async fn pause(&self, wait: Duration) -> Result<(), Interrupted> {
        tokio::select! {
            () = sleep(wait) => Ok(()),
            () = self.revoked.cancelled() => Err(Interrupted::Stopped(Stopped::Revoked)),
            () = self.shutdown.cancelled() => Err(Interrupted::Stopped(Stopped::Shutdown)),
        }
    }
}
