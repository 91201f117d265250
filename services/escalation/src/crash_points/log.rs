//! The log of a simulated world, as one process sees it.

use std::collections::VecDeque;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use zhili_eventlog::topics::TopicSpec;
use zhili_eventlog::{
    Batch, Bounds, Commit, Committed, EventLog, GroupMember, LogError, Membership, NewRecord,
    PartitionHandle, Position, ReadLimit, Rebalance, TopicInfo, TopicPartition,
};

use super::process::Process;
use super::world::{Fault, Operation, place};

fn unheard() -> LogError {
    LogError::Ambiguous("the world says so".to_owned())
}

fn refused() -> LogError {
    LogError::Unavailable("the world says so".to_owned())
}

impl Process {
    async fn read_on(&self, from: &TopicPartition, next: u64, limit: ReadLimit) -> Batch {
        let deadline = tokio::time::Instant::now() + limit.wait;
        loop {
            self.alive().await;
            let grown = self.world().grown.notified();
            let records: Vec<_> = {
                let state = self.world().lock();
                let records = state.log.get(from).into_iter().flatten().skip(next as usize);
                records.take(limit.records).cloned().collect()
            };
            let next = next + records.len() as u64;
            let end = self.world().lock().log.get(from).map_or(0, Vec::len) as u64;
            if !records.is_empty() || tokio::time::Instant::now() >= deadline {
                return Batch { records, next, caught_up: next == end };
            }
            let _ = tokio::time::timeout_at(deadline, grown).await;
        }
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
            partitions: 1,
            log_id: "world".to_owned(),
            compacted: false,
            retention_ms: None,
        })
    }
    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<Position, LogError>> {
        let count = records.len();
        let all = |error: fn() -> LogError| (0..count).map(|_| Err(error())).collect();
        match self.operate(Operation::Append).await {
            Some(Fault::Refused) => return all(refused),
            Some(Fault::Lost) => return all(unheard),
            Some(Fault::Unheard) => {
                self.world().store(records);
                return all(unheard);
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
        let end = self.world().records(partition).len() as u64;
        Ok(Bounds { start: 0, end })
    }
    async fn read(
        &self,
        partition: &TopicPartition,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Batch, LogError> {
        Ok(self.read_on(partition, from, limit).await)
    }
    async fn committed(&self, _: &str, _: &TopicPartition) -> Result<Option<Committed>, LogError> {
        self.alive().await;
        Ok(committed(self.world().lock().committed))
    }
    async fn join(&self, _: Membership) -> Result<Box<dyn GroupMember>, LogError> {
        self.alive().await;
        let process = self.clone();
        let changes = VecDeque::from([process.own()]);
        Ok(Box::new(Member { process, changes }))
    }
    async fn trim(&self, _: &TopicPartition, _: u64) -> Result<(), LogError> {
        Ok(())
    }
}

fn committed(offset: Option<u64>) -> Option<Committed> {
    offset.map(|offset| Committed { offset, metadata: String::new() })
}

impl Process {
    /// Takes the partition from whoever has it.
    fn own(&self) -> Change {
        let mut state = self.world().lock();
        state.revoked.cancel();
        state.revoked = CancellationToken::new();
        state.epoch += 1;
        Change::Own(Handle {
            process: self.clone(),
            partition: place(),
            epoch: state.epoch,
            revoked: state.revoked.clone(),
            committed: committed(state.committed),
            next: state.committed.unwrap_or(0),
        })
    }
}

enum Change {
    Own(Handle),
    Lose,
}

struct Member {
    process: Process,
    changes: VecDeque<Change>,
}

struct Handle {
    process: Process,
    partition: TopicPartition,
    epoch: u64,
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
                Some(Change::Own(handle)) => {
                    let (revoked, epoch) = (handle.revoked.clone(), handle.epoch);
                    self.process.watch(revoked, epoch);
                    return Ok(Rebalance::Assigned(vec![Box::new(handle)]));
                }
                Some(Change::Lose) => return Ok(Rebalance::Revoked(vec![place()])),
                None => {
                    let epoch = self.process.lost().await;
                    self.changes.push_back(Change::Lose);
                    // Taken back for a commit of unknown outcome, and given to nobody else.
                    if self.process.world().lock().epoch == epoch {
                        self.changes.push_back(self.process.own());
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
        self.process.world().lock().committed = Some(commit.offset);
        self.process.world().store(commit.outputs);
        if fault == Some(Fault::Unheard) {
            self.revoked.cancel();
            return Err(unheard());
        }
        self.process.survive(fault).await;
        Ok(())
    }
}
