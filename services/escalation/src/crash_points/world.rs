//! What outlives every process: the log, the group that shares its partition out, what receivers
//! saw, and the faults that are still to strike.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use prost::Message;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zhili_eventlog::{Clock, NewRecord, Position, Record, TopicPartition, topics};
use zhili_incident::Outcome;
use zhili_proto::escalation::v1 as pb;

/// 2026-01-01T00:00:00Z.
pub(super) const START: i64 = 1_767_225_600_000;

/// What a process does to the world outside of it; before and after each lies a boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Append,
    Commit,
    /// Asks whether the lease still holds, right before a request.
    Ask,
    /// A request to a receiver, from the first byte to the answer.
    Request,
}

/// What goes wrong with an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The process dies before it.
    DiesBefore,
    /// The process dies when it is done, before it hears so.
    DiesAfter,
    /// It is not done, and the process hears so.
    Refused,
    /// It is not done, and the process cannot tell.
    Lost,
    /// It is done, and the process cannot tell.
    Unheard,
    /// Before it the whole process stands still, for longer than a lease.
    Pauses,
    /// Before it the whole process stands still until another one has taken over.
    Stalls,
}

impl Operation {
    /// What can go wrong with it.
    pub(super) fn faults(self) -> &'static [Fault] {
        use Fault::{DiesAfter, DiesBefore, Lost, Pauses, Refused, Stalls, Unheard};
        match self {
            // It looks at a clock; what follows is an operation of its own.
            Self::Ask => &[DiesBefore, Pauses, Stalls],
            Self::Append | Self::Commit | Self::Request => {
                &[DiesBefore, DiesAfter, Refused, Lost, Unheard, Pauses, Stalls]
            }
        }
    }
}

/// One copy of one page at its receiver.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) page_id: String,
    pub(super) incident_id: String,
    pub(super) destination: String,
    /// Incidents that it tells of as well.
    pub(super) others: Vec<String>,
    /// When its sender was sure that it may start, log time.
    pub(super) asked_ms: i64,
    /// What the sender was told; nothing if it was left in the dark.
    pub(super) answer: Option<Outcome>,
}

pub(super) struct World {
    started: Instant,
    /// The log has grown.
    pub(super) grown: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) log: BTreeMap<TopicPartition, Vec<Record>>,
    /// Position of the group.
    pub(super) committed: Option<u64>,
    /// Ownerships of the partition so far; only the last one counts.
    pub(super) epoch: u64,
    /// Cancelled when the last one ends.
    pub(super) revoked: CancellationToken,
    /// What processes have done so far.
    pub(super) operations: Vec<Operation>,
    /// By the number of the operation.
    faults: BTreeMap<usize, Fault>,
    /// Faults that struck, and what they struck.
    pub(super) struck: Vec<(Operation, Fault)>,
    pub(super) received: Vec<Received>,
    /// Crashes and takeovers during which a page was claimed or under way.
    pub(super) exposed: BTreeMap<String, usize>,
}

impl World {
    pub(super) fn new(faults: BTreeMap<usize, Fault>) -> Arc<Self> {
        let state = State { faults, ..State::default() };
        Arc::new(Self { started: Instant::now(), grown: Notify::new(), state: Mutex::new(state) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn now_ms(&self) -> i64 {
        START + self.started.elapsed().as_millis() as i64
    }

    pub(super) fn clock(self: &Arc<Self>) -> Clock {
        let world = Arc::clone(self);
        Arc::new(move || world.now_ms())
    }

    pub(super) async fn until(&self, at_ms: i64) {
        let since = Duration::from_millis((at_ms - START) as u64);
        tokio::time::sleep_until(self.started + since).await;
    }

    /// The next operation of a process that is not beyond faults, and what strikes it.
    pub(super) fn next(&self, operation: Operation) -> Option<Fault> {
        let mut state = self.lock();
        let number = state.operations.len();
        state.operations.push(operation);
        let fault = state.faults.remove(&number)?;
        state.struck.push((operation, fault));
        Some(fault)
    }

    /// Stores records, durably and at once.
    pub(super) fn store(&self, records: Vec<NewRecord>) -> Vec<Position> {
        let append_ms = self.now_ms();
        let mut state = self.lock();
        let positions = records.into_iter().map(|record| {
            let NewRecord { partition, key, value, headers } = record;
            let records = state.log.entry(partition.clone()).or_default();
            let offset = records.len() as u64;
            records.push(Record { offset, append_ms, key, value, headers });
            Position { partition, offset }
        });
        let positions = positions.collect();
        drop(state);
        self.grown.notify_waiters();
        positions
    }

    /// Notes that whatever is claimed and not settled now may be sent once more.
    pub(super) fn expose(&self) {
        let claims = self.claims();
        let mut state = self.lock();
        for (page_id, attempts) in claims {
            if attempts.iter().any(|attempt| !attempt.settled) {
                *state.exposed.entry(page_id).or_default() += 1;
            }
        }
    }

    /// The attempts that the log knows of each page, each once.
    pub(super) fn claims(&self) -> BTreeMap<String, Vec<Claimed>> {
        let mut claims = BTreeMap::<String, Vec<Claimed>>::new();
        for (offset, entry) in self.entries().into_iter().enumerate() {
            match entry {
                pb::log_entry::Entry::Claim(claim) => {
                    let attempts = claims.entry(claim.page_id).or_default();
                    if attempts.iter().all(|known| known.attempt != claim.attempt) {
                        let attempt = claim.attempt;
                        attempts.push(Claimed { attempt, offset, settled: false });
                    }
                }
                pb::log_entry::Entry::Result(result) => {
                    for claimed in claims.get_mut(&result.page_id).into_iter().flatten() {
                        claimed.settled |= claimed.attempt == result.attempt;
                    }
                }
                _ => {}
            }
        }
        claims
    }

    /// Everything in the partition, by offset.
    pub(super) fn entries(&self) -> Vec<pb::log_entry::Entry> {
        let state = self.lock();
        let values = state.log.get(&place()).into_iter().flatten();
        let decode = |record: &Record| {
            pb::LogEntry::decode(record.value.as_deref().unwrap()).unwrap().entry.unwrap()
        };
        values.map(decode).collect()
    }

    pub(super) fn records(&self, partition: &TopicPartition) -> Vec<Record> {
        self.lock().log.get(partition).cloned().unwrap_or_default()
    }

    /// Page ids that were received, how often.
    pub(super) fn copies(&self) -> BTreeMap<String, usize> {
        let mut copies = BTreeMap::new();
        for received in &self.lock().received {
            *copies.entry(received.page_id.clone()).or_default() += 1;
        }
        copies
    }

    /// Incidents that people at a destination were told of and said so.
    pub(super) fn accepted(&self, destination: &str) -> BTreeSet<String> {
        let state = self.lock();
        let there = state.received.iter().filter(|it| it.destination == destination);
        let accepted = there.filter(|it| it.answer == Some(Outcome::Delivered));
        accepted
            .flat_map(|it| it.others.iter().chain([&it.incident_id]).cloned().collect::<Vec<_>>())
            .collect()
    }
}

/// An attempt in the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claimed {
    pub(super) attempt: u32,
    pub(super) offset: usize,
    /// Its result is there too.
    settled: bool,
}

/// The one partition of this world.
pub(super) fn place() -> TopicPartition {
    TopicPartition::new(topics::ESCALATION, 0)
}
