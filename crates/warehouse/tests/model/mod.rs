//! A log of one partition and tables, both in memory, with a fault at chosen steps.
#![allow(clippy::unwrap_used, reason = "a module of a test binary")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zhili_eventlog::{
    Batch, Commit, Committed, Headers, LogError, NewRecord, PartitionHandle, ReadLimit, Record,
    TopicInfo, TopicPartition, topics,
};
use zhili_proto::scoring::v1::{Cycle, Fact, Turn, fact};
use zhili_warehouse::sink::{
    OffsetRange, PartitionSink, PositionNote, Shared, Silent, SinkOptions, Stopped, token,
};
use zhili_warehouse::{Block, Identity, RowKey, SinkError, Table, Tables, WarehouseError};

const LOG_ID: &str = "log-a";

/// Whether tables recognise a token that they have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tokens {
    Honoured,
    Ignored,
    /// They take every token for one that they have seen.
    Swallowed,
    /// The same, and they hold newer rows of the same identities.
    Replaced,
}

/// What befalls the operation at one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process dies and the operation had no effect.
    CrashBefore,
    /// The process dies and the operation took effect.
    CrashAfter,
    /// The process dies and the INSERT reached one of the two table partitions.
    CrashInPart,
    /// The process dies and the INSERT left its token without its rows.
    CrashOrphan,
    /// The process dies and the INSERT takes effect that many steps later.
    CrashLate(u32),
    /// The operation fails without effect.
    ErrorBefore,
    /// The operation takes effect, but the answer is an error.
    ErrorAfter,
    /// The INSERT reached one of the two table partitions and the answer is an error.
    ErrorInPart,
    /// The answer is an error and the INSERT left its token without its rows.
    ErrorOrphan,
    /// The answer is an error and the INSERT takes effect that many steps later.
    ErrorLate(u32),
    /// ClickHouse refuses for good.
    Refused,
    /// The partition is taken away; an INSERT takes effect that many steps later.
    RevokeLate(u32),
}

impl Fault {
    const fn is_crash(self) -> bool {
        matches!(
            self,
            Self::CrashBefore
                | Self::CrashAfter
                | Self::CrashInPart
                | Self::CrashOrphan
                | Self::CrashLate(_)
        )
    }

    const fn takes_effect(self) -> bool {
        matches!(self, Self::CrashAfter | Self::ErrorAfter)
    }

    const fn in_part(self) -> bool {
        matches!(self, Self::CrashInPart | Self::ErrorInPart)
    }

    const fn orphans(self) -> bool {
        matches!(self, Self::CrashOrphan | Self::ErrorOrphan)
    }

    const fn late_by(self) -> Option<u32> {
        match self {
            Self::CrashLate(steps) | Self::ErrorLate(steps) | Self::RevokeLate(steps) => {
                Some(steps)
            }
            _ => None,
        }
    }
}

/// An INSERT on its way.
struct Late {
    step: u32,
    token: String,
    table: Table,
    keys: Vec<RowKey>,
}

struct World {
    log: Vec<Record>,
    committed: Option<Committed>,
    dead_letters: Vec<NewRecord>,
    owner: u32,
    tokens: Tokens,
    rows: BTreeMap<(Table, RowKey), usize>,
    seen: HashSet<(Table, String, u64)>,
    late: Vec<Late>,
    step: u32,
    plan: HashMap<u32, Fault>,
    /// Until when ClickHouse does not answer, and how often it was asked meanwhile.
    away_until: Option<Instant>,
    asked_in_vain: u32,
    /// Of the present process.
    crashed: CancellationToken,
    revoked: CancellationToken,
    shutdown: CancellationToken,
}

type SharedWorld = Arc<Mutex<World>>;

fn with<R>(world: &SharedWorld, act: impl FnOnce(&mut World) -> R) -> R {
    act(&mut world.lock().unwrap_or_else(PoisonError::into_inner))
}

impl World {
    fn new(tokens: Tokens, faults: &[(u32, Fault)], committed: Option<Committed>) -> SharedWorld {
        Arc::new(Mutex::new(Self {
            log: log(),
            committed,
            dead_letters: Vec::new(),
            owner: 0,
            tokens,
            rows: BTreeMap::new(),
            seen: HashSet::new(),
            late: Vec::new(),
            step: 0,
            plan: faults.iter().copied().collect(),
            away_until: None,
            asked_in_vain: 0,
            crashed: CancellationToken::new(),
            revoked: CancellationToken::new(),
            shutdown: CancellationToken::new(),
        }))
    }

    /// Begins an operation.
    fn begin(&mut self) -> Option<Fault> {
        let step = self.step;
        self.step += 1;
        self.land(|late| late.step <= step);
        self.plan.remove(&step)
    }

    fn land(&mut self, due: impl Fn(&Late) -> bool) {
        let (landing, later) = std::mem::take(&mut self.late).into_iter().partition(due);
        self.late = later;
        let landing: Vec<Late> = landing;
        for late in landing {
            self.insert(late.table, &late.token, &late.keys, false);
        }
    }

    /// One part for each table partition, each with the token of its own.
    fn insert(&mut self, table: Table, token: &str, keys: &[RowKey], in_part: bool) {
        let mut days: BTreeMap<u64, Vec<RowKey>> = BTreeMap::new();
        for key in keys {
            days.entry(day(key.offset)).or_default().push(*key);
        }
        let parts = if in_part { 1 } else { days.len() };
        for (day, keys) in days.into_iter().take(parts) {
            let new = self.seen.insert((table, token.to_owned(), day));
            let written = match self.tokens {
                Tokens::Honoured => new,
                Tokens::Ignored => true,
                Tokens::Swallowed | Tokens::Replaced => false,
            };
            if written {
                for key in keys {
                    *self.rows.entry((table, key)).or_default() += 1;
                }
            }
        }
    }

    /// Whether ClickHouse does not answer now.
    fn is_away(&mut self) -> bool {
        let away = self.away_until.is_some_and(|until| Instant::now() < until);
        self.asked_in_vain += u32::from(away);
        away
    }

    fn end(&self) -> u64 {
        self.log.last().map_or(0, |record| record.offset + 1)
    }
}

/// The table partition of a record; the boundary lies within a batch.
const fn day(offset: u64) -> u64 {
    if offset < 5 { 0 } else { 1 }
}

fn fact(offset: u64, fact: fact::Fact) -> Fact {
    Fact {
        tenant: "shop".into(),
        conversation_id: "c1".into(),
        fact_id: format!("f{offset}"),
        fact: Some(fact),
        ..Fact::default()
    }
}

fn log() -> Vec<Record> {
    let turn = |offset| fact(offset, fact::Fact::Turn(Turn::default())).encode_to_vec();
    let cycle = |offset| fact(offset, fact::Fact::Cycle(Cycle::default())).encode_to_vec();
    // Offsets 3, 7, 8 and 10 are gaps; 4 can never be stored.
    let values = [
        (0, turn(0)),
        (1, cycle(1)),
        (2, turn(2)),
        (4, vec![0xff]),
        (5, turn(5)),
        (6, turn(6)),
        (9, cycle(9)),
        (11, turn(11)),
    ];
    values
        .into_iter()
        .map(|(offset, value)| Record {
            offset,
            append_ms: 1_000,
            key: None,
            value: Some(Bytes::from(value)),
            headers: Headers::default(),
        })
        .collect()
}

fn expected() -> Vec<(Table, u64)> {
    vec![
        (Table::Turns, 0),
        (Table::Turns, 2),
        (Table::Turns, 5),
        (Table::Turns, 6),
        (Table::Turns, 11),
        (Table::Cycles, 1),
        (Table::Cycles, 9),
    ]
}

fn partition() -> TopicPartition {
    TopicPartition::new(topics::FACTS, 0)
}

struct Handle {
    world: SharedWorld,
    owner: u32,
    partition: TopicPartition,
    committed: Option<Committed>,
    revoked: CancellationToken,
    next: u64,
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
        let (records, end, new) = with(&self.world, |world| {
            let records: Vec<Record> = world
                .log
                .iter()
                .filter(|record| record.offset >= self.next)
                .take(limit.records)
                .cloned()
                .collect();
            let new = !records.is_empty();
            (records, world.end(), new)
        });
        if !new {
            // Nothing to find is no step: it would shift those after it by how long one waits.
            tokio::time::sleep(limit.wait.max(Duration::from_millis(1))).await;
            return Ok(Batch { records, next: self.next, caught_up: true });
        }
        match with(&self.world, World::begin) {
            Some(fault) if fault.is_crash() => die(&self.world).await,
            Some(Fault::RevokeLate(_)) => {
                with(&self.world, |world| world.revoked.cancel());
                return Err(LogError::Revoked(self.partition.clone()));
            }
            Some(_) => return Err(LogError::Unavailable("injected".into())),
            None => {}
        }
        self.next = records.last().map_or(end, |record| record.offset + 1);
        Ok(Batch { records, next: self.next, caught_up: self.next >= end })
    }

    async fn commit(&mut self, commit: Commit) -> Result<(), LogError> {
        let fault = with(&self.world, World::begin);
        let applies = fault.is_none_or(Fault::takes_effect);
        with(&self.world, |world| {
            if world.owner != self.owner {
                return Err(LogError::Revoked(self.partition.clone()));
            }
            if applies {
                world.dead_letters.extend(commit.outputs);
                let done = commit.offset == world.end() && !commit.metadata.contains("pending");
                world.committed =
                    Some(Committed { offset: commit.offset, metadata: commit.metadata });
                if done {
                    world.shutdown.cancel();
                }
            }
            if let Some(Fault::RevokeLate(_)) = fault {
                world.revoked.cancel();
                return Err(LogError::Revoked(self.partition.clone()));
            }
            Ok(())
        })?;
        match fault {
            None => Ok(()),
            Some(fault) if fault.is_crash() => die(&self.world).await,
            Some(Fault::ErrorAfter) => Err(LogError::Ambiguous("injected".into())),
            Some(_) => Err(LogError::Unavailable("injected".into())),
        }
    }
}

/// The process is gone: what it awaits never comes.
async fn die<T>(world: &SharedWorld) -> T {
    with(world, |world| world.crashed.cancel());
    std::future::pending().await
}

struct Store {
    world: SharedWorld,
}

fn unavailable() -> WarehouseError {
    WarehouseError::Unavailable { doing: "test".into(), cause: "injected".into() }
}

#[async_trait]
impl Tables for Store {
    async fn landed(
        &self,
        table: Table,
        log_id: &str,
        asked: &TopicPartition,
        range: OffsetRange,
    ) -> Result<HashSet<RowKey>, WarehouseError> {
        assert_eq!((log_id, asked), (LOG_ID, &partition()));
        if with(&self.world, World::is_away) {
            return Err(unavailable());
        }
        match with(&self.world, World::begin) {
            Some(fault) if fault.is_crash() => die(&self.world).await,
            Some(Fault::RevokeLate(_)) => {
                with(&self.world, |world| world.revoked.cancel());
                std::future::pending().await
            }
            Some(_) => Err(unavailable()),
            None => Ok(with(&self.world, |world| {
                world
                    .rows
                    .keys()
                    .filter(|(of, key)| *of == table && range.contains(key.offset))
                    .map(|(_, key)| *key)
                    .collect()
            })),
        }
    }

    async fn staying(
        &self,
        _: Table,
        identities: &[Identity],
    ) -> Result<HashMap<Identity, i64>, WarehouseError> {
        let newer = with(&self.world, |world| world.tokens == Tokens::Replaced);
        let newer = identities.iter().filter(|_| newer);
        Ok(newer.map(|identity| (identity.clone(), i64::MAX)).collect())
    }

    async fn insert(&self, insert_token: &str, block: &Block) -> Result<(), WarehouseError> {
        if with(&self.world, World::is_away) {
            return Err(unavailable());
        }
        let keys: Vec<RowKey> = block.keys().collect();
        let table = block.table();
        let fault = with(&self.world, |world| {
            // The range was announced, and that commit confirmed, before the INSERT starts.
            let committed = world.committed.clone().unwrap_or_default();
            let note = PositionNote::parse(&committed.metadata, committed.offset);
            let pending = note.unwrap_or_default().pending;
            let announced = pending.map(|range| token(LOG_ID, &partition(), range));
            let base = insert_token.split(":again-").next();
            assert_eq!(announced.as_deref(), base);
            assert!(
                keys.iter().all(|key| { pending.is_some_and(|range| range.contains(key.offset)) })
            );

            let fault = world.begin();
            match fault {
                None => world.insert(table, insert_token, &keys, false),
                Some(fault) if fault.takes_effect() || fault.in_part() => {
                    world.insert(table, insert_token, &keys, fault.in_part());
                }
                Some(fault) if fault.orphans() => {
                    for key in &keys {
                        let token = insert_token.to_owned();
                        world.seen.insert((table, token, day(key.offset)));
                    }
                }
                Some(fault) => {
                    if let Some(steps) = fault.late_by() {
                        world.late.push(Late {
                            step: world.step + steps,
                            token: insert_token.to_owned(),
                            table,
                            keys,
                        });
                    }
                }
            }
            fault
        });
        match fault {
            None => Ok(()),
            Some(fault) if fault.is_crash() => die(&self.world).await,
            Some(Fault::RevokeLate(_)) => {
                with(&self.world, |world| world.revoked.cancel());
                std::future::pending().await
            }
            Some(Fault::Refused) => {
                Err(WarehouseError::Refused { doing: "insert".into(), cause: "injected".into() })
            }
            Some(_) => Err(unavailable()),
        }
    }
}

/// What a run came to.
pub(crate) struct Run {
    pub(crate) steps: u32,
    faults: Vec<(u32, Fault)>,
    rows: BTreeMap<(Table, RowKey), usize>,
    dead_letters: Vec<NewRecord>,
}

impl Run {
    /// Runs sinks, one after the other, until the whole log is done.
    pub(crate) fn new(tokens: Tokens, faults: &[(u32, Fault)]) -> Self {
        let world = World::new(tokens, faults, None);
        in_paused_time(until_done(&world));
        Self::ended(&world, faults)
    }

    /// Runs sinks over a log that ClickHouse answers for only after some time: how often it was asked
    /// meanwhile, and how long it took from its return until everything was there.
    pub(crate) fn after_an_outage(of: Duration) -> (Self, u32, Duration) {
        let world = World::new(Tokens::Honoured, &[], None);
        let drained = in_paused_time(async {
            let back = Instant::now() + of;
            with(&world, |world| world.away_until = Some(back));
            until_done(&world).await;
            back.elapsed()
        });
        let asked = with(&world, |world| world.asked_in_vain);
        (Self::ended(&world, &[]), asked, drained)
    }

    fn ended(world: &SharedWorld, faults: &[(u32, Fault)]) -> Self {
        with(world, |world| {
            let steps = world.step;
            world.land(|_| true);
            Self {
                steps,
                faults: faults.to_vec(),
                rows: std::mem::take(&mut world.rows),
                dead_letters: std::mem::take(&mut world.dead_letters),
            }
        })
    }

    /// Rows in all tables.
    pub(crate) fn rows(&self) -> usize {
        self.rows.values().sum()
    }

    /// Rows that there should be.
    #[allow(clippy::unused_self)]
    pub(crate) fn expected(&self) -> usize {
        expected().len()
    }

    pub(crate) fn assert_exactly_once(&self) {
        self.assert_each_identity_present();
        assert_eq!(self.rows(), self.expected(), "{:?}: {:?}", self.faults, self.rows);
    }

    pub(crate) fn assert_each_identity_present(&self) {
        let present: Vec<(Table, u64)> =
            self.rows.keys().map(|(table, key)| (*table, key.offset)).collect();
        assert_eq!(present, expected(), "{:?}", self.faults);
        assert_eq!(self.dead_letters.len(), 1, "{:?}", self.faults);
    }
}

/// How one sink ends that takes over at `committed`, and what is committed then.
pub(crate) fn end_of_one_sink(
    tokens: Tokens,
    committed: Option<(u64, &str)>,
    faults: &[(u32, Fault)],
) -> (Result<Stopped, SinkError>, Option<Committed>) {
    let committed =
        committed.map(|(offset, metadata)| Committed { offset, metadata: metadata.to_owned() });
    let world = World::new(tokens, faults, committed);
    let ended = in_paused_time(async {
        let (sink, _) = next_owner(&world);
        sink.run().await
    });
    (ended, with(&world, |world| world.committed.clone()))
}

fn in_paused_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(work)
}

/// The sink of a process that has just been given the partition, and what tells of its crash.
fn next_owner(world: &SharedWorld) -> (PartitionSink, CancellationToken) {
    let topic = TopicInfo {
        name: topics::FACTS.into(),
        partitions: 1,
        log_id: LOG_ID.into(),
        compacted: false,
        retention_ms: None,
    };
    let shared_world = world;
    let (handle, crashed, shutdown) = with(world, |world| {
        world.owner += 1;
        world.crashed = CancellationToken::new();
        world.revoked = CancellationToken::new();
        let handle = Handle {
            world: Arc::clone(shared_world),
            owner: world.owner,
            partition: partition(),
            committed: world.committed.clone(),
            revoked: world.revoked.clone(),
            next: world.committed.as_ref().map_or(0, |committed| committed.offset),
        };
        (handle, world.crashed.clone(), world.shutdown.clone())
    });
    let shared = Shared {
        tables: Arc::new(Store { world: Arc::clone(world) }),
        options: SinkOptions { rows: 2, ..SinkOptions::default() },
        observer: Arc::new(Silent),
        dead_letter_partitions: 1,
        shutdown,
    };
    (PartitionSink::new(Box::new(handle), &topic, &shared), crashed)
}

async fn until_done(world: &SharedWorld) {
    loop {
        let (sink, crashed) = next_owner(world);
        let ended = tokio::select! {
            ended = sink.run() => ended,
            () = crashed.cancelled() => continue,
        };
        match ended {
            Ok(Stopped::Shutdown) => return,
            // The next owner goes on.
            Ok(Stopped::Revoked) | Err(SinkError::Log(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
