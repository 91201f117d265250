//! All partitions that a process owns into their tables.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
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

type Finished = (TopicPartition, Result<Stopped, SinkError>);

impl Sinks {
    async fn run(mut self, membership: &Membership) -> Result<Ended, LogError> {
        let mut infos = HashMap::new();
        for topic in TOPICS {
            infos.insert(topic, self.log.topic(topic).await?);
        }
        self.shared.dead_letter_partitions =
            infos.get(topics::DEAD_LETTERS).map_or(1, |info| info.partitions);
        let mut member = self.log.join(membership.clone()).await?;
        let mut running: JoinSet<Finished> = JoinSet::new();
        let ended = self.watch(member.as_mut(), &infos, &mut running).await;
        if matches!(ended, Ended::Left) {
            // Leaving kills the handles, which ends the sinks that still run.
            drop(member);
            while running.join_next().await.is_some() {}
        } else {
            // The member stays until the last commit is made.
            while running.join_next().await.is_some() {}
            drop(member);
        }
        Ok(ended)
    }

    /// Starts a sink for each partition that the member gets, until there is a reason to leave.
    async fn watch(
        &self,
        member: &mut dyn GroupMember,
        infos: &HashMap<&str, TopicInfo>,
        running: &mut JoinSet<Finished>,
    ) -> Ended {
        loop {
            // One wait for a change goes on while sinks end, so that no change is lost with it.
            let mut change = member.next();
            let changed = loop {
                tokio::select! {
                    () = self.shared.shutdown.cancelled() => return Ended::Shutdown,
                    changed = &mut change => break changed,
                    Some(finished) = running.join_next() => {
                        if let Ok((partition, Err(error))) = finished {
                            tracing::error!(%partition, %error, "the partition is not written any more");
                            if matches!(&error, SinkError::Log(cause) if cause.is_transient()) {
                                return Ended::Left;
                            }
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
                Ok(Rebalance::Revoked(_)) => {}
                Err(error) => {
                    tracing::warn!(%error, "the group is lost, joining it again");
                    return Ended::Left;
                }
            }
        }
    }

    fn start(
        &self,
        handle: Box<dyn PartitionHandle>,
        infos: &HashMap<&str, TopicInfo>,
        running: &mut JoinSet<Finished>,
    ) {
        let partition = handle.partition().clone();
        let Some(info) = infos.get(&*partition.topic) else {
            return;
        };
        let sink = PartitionSink::new(handle, info, &self.shared);
        running.spawn(async move { (partition, sink.run().await) });
    }
}
