//! All partitions that a process owns into their tables.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use zhili_eventlog::{
    EventLog, GroupMember, LogError, Membership, PartitionHandle, Rebalance, TopicInfo,
    TopicPartition, topics,
};

use super::{Backoff, Observer, PartitionSink, Shared, SinkOptions, Stopped};
use crate::SinkError;
use crate::client::Tables;

/// The topics that feed tables.
pub const TOPICS: [&str; 5] =
    [topics::SCORES, topics::FACTS, topics::ESCALATION, topics::INCIDENTS, topics::DEAD_LETTERS];

/// Shares the partitions of [`TOPICS`] with the other members of `group` and writes those that
/// it gets, until `shutdown`. A partition that cannot go on is halted and told to `observer`;
/// the others go on. Returns when every partition is at rest.
///
/// # Errors
/// The log's refusal to let it in for a reason that does not pass by itself.
pub async fn run_sinks(
    log: Arc<dyn EventLog>,
    tables: Arc<dyn Tables>,
    group: &str,
    member: &str,
    options: SinkOptions,
    observer: Arc<dyn Observer>,
    shutdown: CancellationToken,
) -> Result<(), LogError> {
    let membership = Membership {
        group: group.to_owned(),
        member: member.to_owned(),
        topics: TOPICS.map(str::to_owned).to_vec(),
    };
    let backoff = options.backoff;
    let mut attempt = 1;
    loop {
        let sinks = Sinks {
            log: Arc::clone(&log),
            shared: Shared {
                tables: Arc::clone(&tables),
                options: options.clone(),
                observer: Arc::clone(&observer),
                dead_letter_partitions: 0,
                shutdown: shutdown.clone(),
            },
        };
        match sinks.run(&membership).await {
            Ok(Ended::Shutdown) => return Ok(()),
            Ok(Ended::Left) => attempt = 1,
            Err(error) if error.is_transient() => {
                tracing::warn!(group, attempt, %error, "cannot join the group, will try again");
            }
            Err(error) => return Err(error),
        }
        if !wait(backoff, attempt, group, &shutdown).await {
            return Ok(());
        }
        attempt = attempt.saturating_add(1);
    }
}

/// Whether to go on after the wait.
async fn wait(backoff: Backoff, attempt: u32, what: &str, shutdown: &CancellationToken) -> bool {
    let delay: Duration = backoff.delay(attempt, what);
    tokio::select! {
        () = sleep(delay) => true,
        () = shutdown.cancelled() => false,
    }
}

enum Ended {
    Shutdown,
    /// The membership is of no use any more; join again.
    Left,
}

struct Sinks {
    log: Arc<dyn EventLog>,
    shared: Shared,
}

/// The sinks that run, and the partitions that the member has, running or halted.
#[derive(Default)]
struct Running {
    tasks: JoinSet<Result<Stopped, SinkError>>,
    partitions: HashMap<Id, TopicPartition>,
    owned: HashSet<TopicPartition>,
}

impl Running {
    /// Waits for the next end of a sink; `None` when none runs.
    async fn next(&mut self) -> Option<(TopicPartition, Result<Stopped, SinkError>)> {
        loop {
            let (id, ended) = match self.tasks.join_next_with_id().await? {
                Ok((id, ended)) => (id, Ok(ended)),
                Err(error) => (error.id(), Err(error)),
            };
            if let Some(partition) = self.partitions.remove(&id) {
                let ended = ended.unwrap_or_else(|error| Err(failed(&partition, error)));
                return Some((partition, ended));
            }
        }
    }
}

/// A sink that did not end by its own will.
fn failed(partition: &TopicPartition, error: JoinError) -> SinkError {
    let detail = match error.try_into_panic() {
        Ok(panic) => panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default(),
        Err(cancelled) => cancelled.to_string(),
    };
    SinkError::Panicked { partition: partition.clone(), detail }
}

impl Sinks {
    async fn run(mut self, membership: &Membership) -> Result<Ended, LogError> {
        let mut infos = HashMap::new();
        for topic in TOPICS {
            infos.insert(topic, self.log.topic(topic).await?);
        }
        self.shared.dead_letter_partitions =
            infos.get(topics::DEAD_LETTERS).map_or(1, |info| info.partitions);
        let mut member = self.log.join(membership.clone()).await?;
        let mut running = Running::default();
        let ended = self.watch(member.as_mut(), &infos, &mut running).await;
        if matches!(ended, Ended::Left) {
            // Leaving kills the handles, which ends the sinks that still run.
            drop(member);
            while running.next().await.is_some() {}
        } else {
            // The member stays until the last commit is made.
            while let Some((partition, ended)) = running.next().await {
                self.halt(&partition, ended);
            }
            drop(member);
        }
        running.owned.iter().for_each(|partition| self.shared.observer.stopped(partition));
        Ok(ended)
    }

    /// Starts a sink for each partition that the member gets, until there is a reason to leave.
    async fn watch(
        &self,
        member: &mut dyn GroupMember,
        infos: &HashMap<&str, TopicInfo>,
        running: &mut Running,
    ) -> Ended {
        loop {
            // One wait for a change goes on while sinks end, so that no change is lost with it.
            let mut change = member.next();
            let changed = loop {
                tokio::select! {
                    () = self.shared.shutdown.cancelled() => return Ended::Shutdown,
                    changed = &mut change => break changed,
                    Some((partition, ended)) = running.next() => {
                        let again = matches!(
                            &ended, Err(SinkError::Log(cause)) if cause.is_transient()
                        );
                        self.halt(&partition, ended);
                        if again {
                            return Ended::Left;
                        }
                    }
                }
            };
            match changed {
                Ok(Rebalance::Assigned(handles)) => {
                    for handle in handles {
                        self.start(handle, infos, running);
                    }
                }
                // The handles are dead already, so their sinks end by themselves.
                Ok(Rebalance::Revoked(partitions)) => {
                    for partition in partitions {
                        running.owned.remove(&partition);
                        self.shared.observer.stopped(&partition);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the group is lost, joining it again");
                    return Ended::Left;
                }
            }
        }
    }

    /// Tells of a sink that ended although the partition is still this process's.
    fn halt(&self, partition: &TopicPartition, ended: Result<Stopped, SinkError>) {
        if let Err(error) = ended {
            tracing::error!(%partition, %error, "the partition is not written any more");
            self.shared.observer.halted(partition, &error);
        }
    }

    fn start(
        &self,
        handle: Box<dyn PartitionHandle>,
        infos: &HashMap<&str, TopicInfo>,
        running: &mut Running,
    ) {
        let partition = handle.partition().clone();
        let Some(info) = infos.get(&*partition.topic) else {
            return;
        };
        let sink = PartitionSink::new(handle, info, &self.shared);
        self.shared.observer.started(&partition);
        let task = running.tasks.spawn(sink.run());
        running.partitions.insert(task.id(), partition.clone());
        running.owned.insert(partition);
    }
}
