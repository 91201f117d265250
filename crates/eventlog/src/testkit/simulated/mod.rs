//! A log in simulated time, and processes on it that die, stand still, are refused or left in the
//! dark at every boundary of what they do to the world outside of them.
//!
//! Belongs on a runtime of one thread whose time is paused. What runs on it is the code as it is:
//! a [`Process`] is an [`EventLog`](crate::EventLog), with transactions, groups, stale owners and
//! the gaps that transactions leave.

mod log;
mod process;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Clock, Committed, NewRecord, Position, Record, TopicPartition};

pub use process::{Process, SESSION};

/// When every world begins: 2026-01-01T00:00:00Z, in milliseconds since the Unix epoch.
pub const START_MS: i64 = 1_767_225_600_000;

/// Identity of every topic of a world.
pub const LOG_ID: &str = "world";

/// What a process does to the world outside of it; before and after each lies a boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// An append to the log.
    Append,
    /// A commit of outputs and progress.
    Commit,
    /// A look at a clock or at what it owns, on which it acts next.
    Ask,
    /// A request to somebody, from the first byte to the answer.
    Request,
}

/// What goes wrong with an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
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
    /// Before it the whole process stands still, for less than a session.
    Pauses,
    /// Before it the whole process stands still until another one has taken over.
    Stalls,
}

impl Operation {
    /// What can go wrong with it.
    #[must_use]
    pub const fn faults(self) -> &'static [Fault] {
        use Fault::{DiesAfter, DiesBefore, Lost, Pauses, Refused, Stalls, Unheard};
        match self {
            // What follows is an operation of its own.
            Self::Ask => &[DiesBefore, Pauses, Stalls],
            Self::Append | Self::Commit | Self::Request => {
                &[DiesBefore, DiesAfter, Refused, Lost, Unheard, Pauses, Stalls]
            }
        }
    }
}

/// Says of an operation, by its number in the world, what goes wrong with it.
pub type Faults = Box<dyn FnMut(usize, Operation) -> Option<Fault> + Send>;

/// What outlives every process: the log, its groups, and the faults that are still to strike.
pub struct World {
    started: Instant,
    partitions: u32,
    /// The log has grown.
    grown: Notify,
    state: Mutex<State>,
}

struct State {
    log: BTreeMap<TopicPartition, Kept>,
    groups: BTreeMap<String, Group>,
    faults: Faults,
    operations: Vec<Operation>,
    struck: Vec<(Operation, Fault)>,
}

/// A partition's records.
#[derive(Default)]
struct Kept {
    records: Vec<Record>,
    /// Beyond the last record where a transaction's end takes an offset.
    end: u64,
}

#[derive(Default)]
struct Group {
    committed: BTreeMap<TopicPartition, Committed>,
    /// Ownerships so far; only the last one counts.
    epoch: u64,
    /// Cancelled when the last one ends.
    revoked: CancellationToken,
}

impl World {
    /// An empty log whose topics have so many partitions.
    #[must_use]
    pub fn new(partitions: u32, faults: Faults) -> Arc<Self> {
        let state = State {
            log: BTreeMap::new(),
            groups: BTreeMap::new(),
            faults,
            operations: Vec::new(),
            struck: Vec::new(),
        };
        Arc::new(Self {
            started: Instant::now(),
            partitions,
            grown: Notify::new(),
            state: Mutex::new(state),
        })
    }

    /// A world in which a fault strikes each of these operations.
    #[must_use]
    pub fn with_faults_at(partitions: u32, mut faults: BTreeMap<usize, Fault>) -> Arc<Self> {
        Self::new(partitions, Box::new(move |number, _| faults.remove(&number)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        START_MS + self.started.elapsed().as_millis() as i64
    }

    /// The world's clock.
    #[must_use]
    pub fn clock(self: &Arc<Self>) -> Clock {
        let world = Arc::clone(self);
        Arc::new(move || world.now_ms())
    }

    /// Waits until that time.
    pub async fn until(&self, at_ms: i64) {
        let since = Duration::from_millis((at_ms - START_MS) as u64);
        tokio::time::sleep_until(self.started + since).await;
    }

    /// The next operation of a process that is not beyond faults, and what strikes it.
    fn next(&self, operation: Operation) -> Option<Fault> {
        let mut state = self.lock();
        let number = state.operations.len();
        state.operations.push(operation);
        let fault = (state.faults)(number, operation)?;
        state.struck.push((operation, fault));
        Some(fault)
    }

    /// From here on nothing goes wrong any more.
    pub fn heal(&self) {
        self.lock().faults = Box::new(|_, _| None);
    }

    /// What processes have done so far.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        self.lock().operations.clone()
    }

    /// The faults that struck, and what they struck.
    #[must_use]
    pub fn struck(&self) -> Vec<(Operation, Fault)> {
        self.lock().struck.clone()
    }

    /// Stores records, durably and at once.
    pub fn store(&self, records: Vec<NewRecord>) -> Vec<Position> {
        let now_ms = self.now_ms();
        let positions = self.lock().store(now_ms, records);
        self.grown.notify_waiters();
        positions
    }

    /// The records of a partition.
    #[must_use]
    pub fn records(&self, partition: &TopicPartition) -> Vec<Record> {
        self.lock().log.get(partition).map_or_else(Vec::new, |kept| kept.records.clone())
    }

    /// Offset after what a partition holds.
    #[must_use]
    pub fn end(&self, partition: &TopicPartition) -> u64 {
        self.lock().log.get(partition).map_or(0, |kept| kept.end)
    }

    /// A group's position.
    #[must_use]
    pub fn committed(&self, group: &str, partition: &TopicPartition) -> Option<Committed> {
        self.lock().groups.get(group)?.committed.get(partition).cloned()
    }
}

impl State {
    fn store(&mut self, append_ms: i64, records: Vec<NewRecord>) -> Vec<Position> {
        let positions = records.into_iter().map(|record| {
            let NewRecord { partition, key, value, headers } = record;
            let kept = self.log.entry(partition.clone()).or_default();
            let offset = kept.end;
            kept.records.push(Record { offset, append_ms, key, value, headers });
            kept.end += 1;
            Position { partition, offset }
        });
        positions.collect()
    }

    /// Stores outputs and progress at once. The end of the transaction takes an offset of each
    /// partition that it wrote to, as on Kafka.
    fn commit(&mut self, append_ms: i64, records: Vec<NewRecord>) {
        let positions = self.store(append_ms, records);
        let written: std::collections::BTreeSet<TopicPartition> =
            positions.into_iter().map(|position| position.partition).collect();
        for partition in written {
            self.log.entry(partition).or_default().end += 1;
        }
    }
}

/// Runs `start` on one process after the other, for ever: whenever one dies or stalls, another
/// takes over, after `gone` was called.
pub async fn ages<S: Future>(
    world: &Arc<World>,
    mut start: impl FnMut(Process) -> S,
    mut gone: impl FnMut(),
) {
    /// Until a process that died is started again.
    const RESTART: Duration = Duration::from_millis(50);
    for number in 1.. {
        let before = world.lock().struck.len();
        let process = Process::new(world, number);
        start(process.clone()).await;
        process.gone().await;
        gone();
        let stalled = world.lock().struck[before..].iter().any(|it| it.1 == Fault::Stalls);
        tokio::time::sleep(if stalled { SESSION } else { RESTART }).await;
    }
}
