use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::partition::PartitionRun;
use super::{Bundles, Fold, Observer, Progress, RunError, RunnerOptions};
use crate::{EventLog, LogError, Membership, PartitionHandle, Rebalance, TopicPartition};

/// A fold whose partition was revoked ends at once, since its reads and commits fail; this is
/// only there so that a stuck one cannot hold up the others.
const GRACE: Duration = Duration::from_secs(5);
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
    loop {
        let begun = Instant::now();
        let session =
            session(&log, membership.clone(), &make, &bundles, &options, &progress, &shutdown);
        match session.await {
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

/// One membership, from joining until it ends.
async fn session<F: Fold>(
    log: &Arc<dyn EventLog>,
    membership: Membership,
    make: &(impl Fn(&TopicPartition) -> (F, Observer<F>) + Send),
    bundles: &Arc<Bundles>,
    options: &RunnerOptions,
    progress: &Progress,
    shutdown: &CancellationToken,
) -> Result<(), LogError> {
    let mut member = log.join(membership).await?;
    let mut running: HashMap<TopicPartition, JoinHandle<()>> = HashMap::new();
    let outcome = loop {
        let change = tokio::select! {
            () = shutdown.cancelled() => break Ok(()),
            change = member.next() => change,
        };
        match change {
            Ok(Rebalance::Assigned(handles)) => {
                for handle in handles {
                    let partition = handle.partition().clone();
                    if let Some(old) = running.remove(&partition) {
                        stop(old).await;
                    }
                    let task = start(log, handle, make, bundles, options, progress, shutdown);
                    running.insert(partition, task);
                }
            }
            Ok(Rebalance::Revoked(gone)) => {
                for partition in gone {
                    if let Some(task) = running.remove(&partition) {
                        stop(task).await;
                    }
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
    for (partition, task) in running {
        stop(task).await;
        if outcome.is_err() {
            progress.remove(&partition);
        }
    }
    outcome
}

fn start<F: Fold>(
    log: &Arc<dyn EventLog>,
    handle: Box<dyn PartitionHandle>,
    make: &impl Fn(&TopicPartition) -> (F, Observer<F>),
    bundles: &Arc<Bundles>,
    options: &RunnerOptions,
    progress: &Progress,
    shutdown: &CancellationToken,
) -> JoinHandle<()> {
    let partition = handle.partition().clone();
    let (fold, observer) = make(&partition);
    tracing::info!(%partition, fold = fold.name(), "partition assigned");
    let run = PartitionRun {
        log: Arc::clone(log),
        handle,
        fold,
        observer,
        bundles: Arc::clone(bundles),
        options: options.clone(),
        progress: progress.clone(),
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

async fn stop(mut task: JoinHandle<()>) {
    if tokio::time::timeout(GRACE, &mut task).await.is_err() {
        task.abort();
    }
}
