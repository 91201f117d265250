use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::partition::PartitionRun;
use super::{Bundles, Fold, Observer, Progress, RunError, RunnerOptions};
use crate::{EventLog, LogError, Membership, PartitionHandle, Rebalance, TopicPartition};

/// A fold whose partition was revoked ends at once, since its reads and commits fail; this is
/// only there so that a stuck one cannot hold up the others.
const GRACE: Duration = Duration::from_secs(5);
/// Partitions that write snapshots at the same time: more would only take the processors from the
/// folds.
const WRITERS: usize = 1;
/// First and longest pause before joining again.
const REJOIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// Runs folds over the partitions that the group gives this member, until `shutdown`.
///
/// `make` builds a fold with an empty state and its observer. A partition that stops for good is
/// noted in `progress` and reported; the others go on. A membership that ends for a cause that may
/// pass is begun again, after a pause that grows.
///
/// # Errors
/// When the membership ends for good; the process should then end.
pub async fn run_group<F: Fold>(
    log: Arc<dyn EventLog>,
    membership: Membership,
    make: impl Fn(&TopicPartition) -> (F, Observer<F>) + Send,
    bundles: Arc<Bundles>,
    options: RunnerOptions,
    progress: Progress,
    shutdown: CancellationToken,
) -> Result<(), LogError> {
    let mut pause = REJOIN.0;
    let each = Each {
        log,
        make,
        bundles,
        options,
        progress,
        writers: Arc::new(Semaphore::new(WRITERS)),
        shutdown: shutdown.clone(),
    };
    loop {
        let begun = Instant::now();
        match each.session(membership.clone()).await {
            Err(error) if error.is_transient() => {
                tracing::warn!(group = membership.group, %error, "out of the group, joining again");
            }
            ended => return ended,
        }
        if begun.elapsed() > REJOIN.1 {
            pause = REJOIN.0;
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(REJOIN.1);
    }
}

/// What the fold of each partition is made of.
struct Each<M> {
    log: Arc<dyn EventLog>,
    make: M,
    bundles: Arc<Bundles>,
    options: RunnerOptions,
    progress: Progress,
    writers: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl<M> Each<M> {
    /// One membership, from joining until it ends.
    async fn session<F: Fold>(&self, membership: Membership) -> Result<(), LogError>
    where
        M: Fn(&TopicPartition) -> (F, Observer<F>) + Send,
    {
        let Self { log, progress, shutdown, .. } = self;
        let mut member = log.join(membership).await?;
        let mut running: HashMap<TopicPartition, JoinHandle<()>> = HashMap::new();
        let outcome = loop {
            let change = tokio::select! {
                () = shutdown.cancelled() => break Ok(()),
                change = member.next() => change,
            };
            match change {
                Ok(Rebalance::Assigned(handles)) => {
                    let again =
                        handles.iter().filter_map(|handle| running.remove(handle.partition()));
                    stop(again.collect()).await;
                    for handle in handles {
                        let partition = handle.partition().clone();
                        let task = self.start(handle);
                        running.insert(partition, task);
                    }
                }
                Ok(Rebalance::Revoked(gone)) => {
                    stop(gone.iter().filter_map(|gone| running.remove(gone)).collect()).await;
                    for partition in gone {
                        progress.remove(&partition);
                    }
                }
                Err(error) => break Err(error),
            }
        };
        // Leaving first: what the handles still hold is fenced, so the folds end at once.
        if outcome.is_err() {
            drop(member);
        }
        let (partitions, tasks): (Vec<_>, Vec<_>) = running.into_iter().unzip();
        stop(tasks).await;
        if outcome.is_err() {
            for partition in partitions {
                progress.remove(&partition);
            }
        }
        outcome
    }

    fn start<F: Fold>(&self, handle: Box<dyn PartitionHandle>) -> JoinHandle<()>
    where
        M: Fn(&TopicPartition) -> (F, Observer<F>) + Send,
    {
        let Self { log, make, bundles, options, progress, writers, shutdown } = self;
        let partition = handle.partition().clone();
        let (fold, observer) = make(&partition);
        tracing::debug!(%partition, fold = fold.name(), "partition assigned");
        let run = PartitionRun {
            log: Arc::clone(log),
            handle,
            fold,
            observer,
            bundles: Arc::clone(bundles),
            options: options.clone(),
            progress: progress.clone(),
            writers: Arc::clone(writers),
            shutdown: shutdown.clone(),
        };
        let progress = progress.clone();
        tokio::spawn(async move {
            // In a task of its own, so that a panic of the fold is seen and said.
            let outcome = match AbortOnDropHandle::new(tokio::spawn(run.run())).await {
                Ok(outcome) => outcome,
                Err(_) => Err(RunError::Panicked(partition.clone())),
            };
            if let Err(error) = outcome {
                tracing::error!(%partition, %error, "partition halted");
                progress.update(&partition, |progress| {
                    progress.halted = Some(error.to_string());
                });
            }
        })
    }
}

/// Waits for folds that are to end, all of them under one deadline.
async fn stop(mut tasks: Vec<JoinHandle<()>>) {
    // Those that are through are not waited for again.
    let ended = async {
        while let Some(task) = tasks.last_mut() {
            // A panic was reported by whoever ran the fold.
            let _ = task.await;
            tasks.pop();
        }
    };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        for task in tasks {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stuck_folds_share_one_deadline() {
        let stuck = || tokio::spawn(std::future::pending());
        let (tasks, started) = (vec![stuck(), stuck(), stuck()], tokio::time::Instant::now());
        let handles: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
        stop(tasks).await;
        // The clock is the test's own, so this is exact.
        assert_eq!(started.elapsed(), GRACE);
        tokio::task::yield_now().await;
        assert!(handles.iter().all(tokio::task::AbortHandle::is_finished));
    }
}
