//! The log of a simulated world, as one process sees it.

use std::collections::VecDeque;

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Fault, LOG_ID, Operation, Process};
use crate::topics::TopicSpec;
use crate::{
    Batch, Bounds, Commit, Committed, EventLog, GroupMember, LogError, Membership, NewRecord,
    PartitionHandle, Position, ReadLimit, Rebalance, TopicInfo, TopicPartition,
};

fn unheard() -> LogError {
    LogError::Ambiguous("the world says so".to_owned())
}

fn refused() -> LogError {
    LogError::Unavailable("the world says so".to_owned())
}

impl Process {
    async fn read_on(&self, from: &TopicPartition, next: u64, limit: ReadLimit) -> Batch {
        let deadline = Instant::now() + limit.wait;
        loop {
            self.alive().await;
            let grown = self.world().grown.notified();
            let batch = {
                let state = self.world().lock();
                state.log.get(from).map_or_else(
                    || Batch { records: Vec::new(), next, caught_up: true },
                    |kept| {
                        let first = kept.records.partition_point(|record| record.offset < next);
                        let rest = &kept.records[first..];
                        let records: Vec<_> = rest.iter().take(limit.records).cloned().collect();
                        let next = match records.last() {
                            Some(last) if records.len() < rest.len() => last.offset + 1,
                            _ => kept.end.max(next),
                        };
                        Batch { records, next, caught_up: next == kept.end }
                    },
                )
            };
            if batch.next > next || Instant::now() >= deadline {
                return batch;
            }
            let _ = timeout_at(deadline, grown).await;
        }
    }

    /// Takes a group's partitions from whoever has them.
    fn own(&self, membership: &Membership) -> Change {
        let mut state = self.world().lock();
        let group = state.groups.entry(membership.group.clone()).or_default();
        group.revoked.cancel();
        group.revoked = CancellationToken::new();
        group.epoch += 1;
        let partitions = membership.topics.iter().flat_map(|topic| {
            (0..self.world().partitions)
                .map(|partition| TopicPartition::new(topic.as_str(), partition))
        });
        let handles = partitions.map(|partition| {
            let committed = group.committed.get(&partition).cloned();
            Handle {
                process: self.clone(),
                group: membership.group.clone(),
                revoked: group.revoked.clone(),
                next: committed.as_ref().map_or(0, |committed| committed.offset),
                committed,
                partition,
            }
        });
        Change::Own(Owned { epoch: group.epoch, revoked: group.revoked.clone() }, handles.collect())
    }

    fn epoch(&self, group: &str) -> u64 {
        self.world().lock().groups.get(group).map_or(0, |group| group.epoch)
    }
}

#[async_trait]
impl EventLog for Process {
    async fn ensure_topics(&self, _: &[TopicSpec]) -> Result<(), LogError> {
        Ok(())
    }

    async fn topic(&self, name: &str) -> Result<TopicInfo, LogError> {
        Ok(TopicInfo {
            name: name.to_owned(),
            partitions: self.world().partitions,
            log_id: LOG_ID.to_owned(),
            compacted: false,
            retention_ms: None,
        })
    }

    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<Position, LogError>> {
        let count = records.len();
        let all = |error: fn() -> LogError| (0..count).map(|_| Err(error())).collect();
        match self.operate(Operation::Append).await {
            Some(Fault::Refused) => all(refused),
            Some(Fault::Lost) => all(unheard),
            Some(Fault::Unheard) => {
                self.world().store(records);
                all(unheard)
            }
            fault => {
                let positions = self.world().store(records);
                self.survive(fault).await;
                positions.into_iter().map(Ok).collect()
            }
        }
    }

    async fn bounds(&self, partition: &TopicPartition) -> Result<Bounds, LogError> {
        self.alive().await;
        Ok(Bounds { start: 0, end: self.world().end(partition) })
    }

    async fn read(
        &self,
        partition: &TopicPartition,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Batch, LogError> {
        Ok(self.read_on(partition, from, limit).await)
    }

    async fn committed(
        &self,
        group: &str,
        partition: &TopicPartition,
    ) -> Result<Option<Committed>, LogError> {
        self.alive().await;
        Ok(self.world().committed(group, partition))
    }

    async fn join(&self, membership: Membership) -> Result<Box<dyn GroupMember>, LogError> {
        self.alive().await;
        let changes = VecDeque::from([self.own(&membership)]);
        Ok(Box::new(Member { process: self.clone(), membership, changes, owned: None }))
    }

    async fn trim(&self, _: &TopicPartition, _: u64) -> Result<(), LogError> {
        Ok(())
    }
}

enum Change {
    Own(Owned, Vec<Handle>),
    Lose,
}

#[derive(Clone)]
struct Owned {
    epoch: u64,
    revoked: CancellationToken,
}

struct Member {
    process: Process,
    membership: Membership,
    changes: VecDeque<Change>,
    owned: Option<Owned>,
}

struct Handle {
    process: Process,
    group: String,
    partition: TopicPartition,
    revoked: CancellationToken,
    committed: Option<Committed>,
    next: u64,
}

#[async_trait]
impl GroupMember for Member {
    async fn next(&mut self) -> Result<Rebalance, LogError> {
        loop {
            self.process.alive().await;
            match self.changes.pop_front() {
                Some(Change::Own(owned, handles)) => {
                    self.owned = Some(owned);
                    let handles = handles.into_iter().map(|handle| Box::new(handle) as _);
                    return Ok(Rebalance::Assigned(handles.collect()));
                }
                Some(Change::Lose) => {
                    let Membership { topics, .. } = &self.membership;
                    let partitions = 0..self.process.world().partitions;
                    let gone = topics.iter().flat_map(|topic| {
                        partitions
                            .clone()
                            .map(|partition| TopicPartition::new(topic.as_str(), partition))
                    });
                    return Ok(Rebalance::Revoked(gone.collect()));
                }
                None => {
                    let Some(Owned { epoch, revoked }) = self.owned.clone() else {
                        std::future::pending().await
                    };
                    revoked.cancelled().await;
                    self.owned = None;
                    self.changes.push_back(Change::Lose);
                    // Taken back for a commit of unknown outcome, and given to nobody else.
                    if self.process.epoch(&self.membership.group) == epoch {
                        self.changes.push_back(self.process.own(&self.membership));
                    }
                }
            }
        }
    }
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
        self.revoked.clone()
    }

    async fn fetch(&mut self, limit: ReadLimit) -> Result<Batch, LogError> {
        let read = self.process.read_on(&self.partition, self.next, limit);
        let batch = tokio::select! {
            biased;
            () = self.revoked.cancelled() => None,
            batch = read => Some(batch),
        };
        self.process.alive().await;
        match batch.filter(|_| !self.revoked.is_cancelled()) {
            Some(batch) => {
                self.next = batch.next;
                Ok(batch)
            }
            None => Err(LogError::Revoked(self.partition.clone())),
        }
    }

    async fn commit(&mut self, commit: Commit) -> Result<(), LogError> {
        let fault = self.process.operate(Operation::Commit).await;
        if self.revoked.is_cancelled() {
            return Err(LogError::Revoked(self.partition.clone()));
        }
        match fault {
            Some(Fault::Refused) => return Err(refused()),
            Some(Fault::Lost) => {
                self.revoked.cancel();
                return Err(unheard());
            }
            _ => {}
        }
        let world = self.process.world();
        let now_ms = world.now_ms();
        {
            let mut state = world.lock();
            let Commit { outputs, offset, metadata } = commit;
            state.commit(now_ms, outputs);
            let group = state.groups.entry(self.group.clone()).or_default();
            group.committed.insert(self.partition.clone(), Committed { offset, metadata });
        }
        world.grown.notify_waiters();
        if fault == Some(Fault::Unheard) {
            self.revoked.cancel();
            return Err(unheard());
        }
        self.process.survive(fault).await;
        Ok(())
    }
}
