//! A service that folds, claims, sends and records, stopped at every boundary between its
//! appends and sends and started again: nothing is lost, and no page is received more often
//! than once per crash while it was claimed or under way, beyond what its receiver made
//! necessary.

use std::collections::{BTreeMap, BTreeSet};

use zhili_incident::*;

use crate::desk::{START, signal, two_steps};

/// How long the world is followed.
const LENGTH_MS: i64 = 15 * 60_000;

#[derive(Clone)]
enum Record {
    Entry(Box<Entry>),
    Tick,
}

/// What outlives every process: the log, what was committed, and what receivers saw.
struct World {
    now: i64,
    log: Vec<(i64, Record)>,
    /// Records from people and scoring that are still to come.
    inputs: Vec<(i64, Entry)>,
    committed: usize,
    events: Vec<IncidentEvent>,
    /// Snapshots by position.
    snapshots: BTreeMap<usize, Vec<u8>>,
    /// Sends that each receiver saw, by page.
    received: BTreeMap<PageId, u32>,
    /// Of those, the ones that it did not visibly accept.
    unaccepted: BTreeMap<PageId, u32>,
    /// Crashes during which a page was claimed or under way, by page.
    exposed: BTreeMap<PageId, u32>,
    boundaries: u32,
    crash_at: BTreeSet<u32>,
    /// A send that a paused process finishes after its successor has started.
    zombie: Option<(PageId, String)>,
    with_zombies: bool,
}

struct Crash;

struct Process {
    owner: String,
    partition: Partition,
    under_way: BTreeSet<(PageId, u32)>,
    claimed: BTreeSet<(PageId, u32)>,
}

impl World {
    fn new(crash_at: impl IntoIterator<Item = u32>, with_zombies: bool) -> Self {
        let config = Entry::Config {
            tenant: "acme".to_owned(),
            bundle: "b".to_owned(),
            sequence: 1,
            config: two_steps(),
        };
        let first = signal("s1", Severity::High);
        let second = Signal {
            conversation_id: "c2".to_owned(),
            family: Family::Sla,
            ..signal("s2", Severity::High)
        };
        let more = signal("s3", Severity::Critical);
        let acknowledge = Command {
            command_id: "k".to_owned(),
            tenant: "acme".to_owned(),
            team: String::new(),
            incident_id: incident_of(&first),
            expected_version: 0,
            actor: "ann".to_owned(),
            note: String::new(),
            action: Action::Acknowledge,
        };
        let resolve =
            Command { command_id: "r".to_owned(), action: Action::Resolve, ..acknowledge.clone() };
        Self {
            now: START,
            log: Vec::new(),
            inputs: vec![
                (START, config),
                (START + 100, Entry::Signal(first)),
                (START + 200, Entry::Signal(second)),
                (START + 20_000, Entry::Signal(more)),
                (START + 90_000, Entry::Command(acknowledge)),
                (START + 300_000, Entry::Command(resolve)),
            ],
            committed: 0,
            events: Vec::new(),
            snapshots: BTreeMap::new(),
            received: BTreeMap::new(),
            unaccepted: BTreeMap::new(),
            exposed: BTreeMap::new(),
            boundaries: 0,
            crash_at: crash_at.into_iter().collect(),
            zombie: None,
            with_zombies,
        }
    }

    fn boundary(&mut self) -> Result<(), Crash> {
        self.boundaries += 1;
        if self.crash_at.contains(&self.boundaries) { Err(Crash) } else { Ok(()) }
    }

    fn append(&mut self, record: Record) {
        self.log.push((self.now, record));
    }

    fn append_entry(&mut self, entry: Entry) {
        self.append(Record::Entry(Box::new(entry)));
    }

    /// The receiver of a page: the one of the first incident fails once and then accepts, and
    /// loses its answer to the second step's first page; the managers of the second incident
    /// refuse for good.
    fn receive(&mut self, page: PageId, conversation: &str, destination: &str) -> Outcome {
        let nth = self.received.entry(page).or_default();
        *nth += 1;
        let outcome = match (conversation, destination, *nth) {
            ("c1", _, 1) => Outcome::Failed,
            ("c2", "managers", _) => Outcome::Rejected,
            _ => Outcome::Delivered,
        };
        if outcome != Outcome::Delivered {
            *self.unaccepted.entry(page).or_default() += 1;
        }
        outcome
    }

    /// Inputs whose time has come are appended by others than the process.
    fn let_inputs_arrive(&mut self) {
        while self.inputs.first().is_some_and(|(at, _)| *at <= self.now) {
            let (_, entry) = self.inputs.remove(0);
            self.append_entry(entry);
        }
    }

    fn start(&self, nth: u32) -> Process {
        let restored = self.snapshots.range(..=self.committed).next_back();
        let (from, mut partition) = match restored {
            Some((at, bytes)) => (*at, Partition::restore(bytes).expect("readable")),
            None => (0, Partition::new()),
        };
        for (at, record) in &self.log[from..self.committed] {
            fold(&mut partition, *at, record, &mut Vec::new());
        }
        Process {
            owner: format!("p{nth}"),
            partition,
            under_way: BTreeSet::new(),
            claimed: BTreeSet::new(),
        }
    }

    fn run(&mut self, process: &mut Process) -> Result<(), Crash> {
        loop {
            self.let_inputs_arrive();
            while self.committed < self.log.len() {
                let (at, record) = self.log[self.committed].clone();
                let mut events = Vec::new();
                fold(&mut process.partition, at, &record, &mut events);
                if let Record::Entry(entry) = &record
                    && let Entry::Result(result) = entry.as_ref()
                {
                    process.under_way.remove(&(result.page_id, result.attempt));
                }
                self.boundary()?;
                // One transaction: the outputs and the position.
                self.events.extend(events);
                self.committed += 1;
                if self.committed.is_multiple_of(7) {
                    let bytes = process.partition.snapshot().expect("writable");
                    self.snapshots.insert(self.committed, bytes);
                }
                self.boundary()?;
            }
            if self.act(process)? {
                self.now += 1;
                continue;
            }
            let input = self.inputs.first().map(|(at, _)| *at);
            let next = process.partition.next_due().into_iter().chain(input).min();
            match next.filter(|at| *at <= START + LENGTH_MS) {
                None => return Ok(()),
                Some(at) => {
                    self.now = at.max(self.now + 1);
                    self.let_inputs_arrive();
                    self.append(Record::Tick);
                    self.boundary()?;
                }
            }
        }
    }

    /// Does what the state wants; whether there was anything.
    fn act(&mut self, process: &mut Process) -> Result<bool, Crash> {
        enum Todo {
            Claim(PageId, u32),
            Send { page: PageId, attempt: u32, conversation: String, destination: String },
        }
        let under_way = |page, attempt| process.under_way.contains(&(page, attempt));
        let effects = process.partition.effects(self.now, &process.owner, under_way);
        let todo: Vec<Todo> = effects
            .into_iter()
            .map(|effect| match effect {
                Effect::Claim { page_id, attempt, .. } => Todo::Claim(page_id, attempt),
                Effect::Send { incident, page, attempt, .. } => Todo::Send {
                    page: page.page_id,
                    attempt,
                    conversation: incident.conversation_id.clone(),
                    destination: page.destination.clone(),
                },
            })
            .collect();
        let mut acted = false;
        for todo in todo {
            match todo {
                Todo::Claim(page_id, attempt) => {
                    if !process.claimed.insert((page_id, attempt)) {
                        continue;
                    }
                    self.boundary()?;
                    let owner = process.owner.clone();
                    self.append_entry(Entry::Claim(Claim { page_id, attempt, owner }));
                    self.boundary()?;
                }
                Todo::Send { page, attempt, conversation, destination } => {
                    process.under_way.insert((page, attempt));
                    if self.boundary().is_err() {
                        self.zombie = self.with_zombies.then(|| (page, conversation.clone()));
                        return Err(Crash);
                    }
                    let outcome = self.receive(page, &conversation, &destination);
                    self.boundary()?;
                    self.append_entry(Entry::Result(DeliveryResult {
                        page_id: page,
                        attempt,
                        outcome,
                        detail: String::new(),
                        duration_ms: 5,
                        retry_after_ms: 0,
                        code: "500".to_owned(),
                        excerpt: "busy".to_owned(),
                    }));
                    self.boundary()?;
                }
            }
            acted = true;
        }
        Ok(acted)
    }

    /// Runs to the end, with a new process `pause_ms` after every crash; the number of crashes.
    fn live(&mut self, pause_ms: i64) -> u32 {
        let mut crashes = 0;
        loop {
            let mut process = self.start(crashes);
            if crashes > 0
                && let Some((page, conversation)) = self.zombie.take()
            {
                // A stall between lease check and socket: its result is fenced off.
                self.receive(page, &conversation, "zombie");
            }
            if self.run(&mut process).is_ok() {
                return crashes;
            }
            crashes += 1;
            for page in self.in_flight() {
                *self.exposed.entry(page).or_default() += 1;
            }
            self.now += pause_ms;
        }
    }

    /// Pages whose newest claim has no result in the log.
    fn in_flight(&self) -> BTreeSet<PageId> {
        let mut claims = BTreeMap::new();
        let mut results = BTreeSet::new();
        for (_, record) in &self.log {
            match record {
                Record::Entry(entry) => match entry.as_ref() {
                    Entry::Claim(claim) => {
                        claims.insert(claim.page_id, claim.attempt);
                    }
                    Entry::Result(result) => {
                        results.insert((result.page_id, result.attempt));
                    }
                    _ => {}
                },
                Record::Tick => {}
            }
        }
        claims.retain(|page, attempt| !results.contains(&(*page, *attempt)));
        claims.into_keys().collect()
    }

    fn pages(&self) -> BTreeMap<PageId, Page> {
        let incidents = self.events.iter().filter_map(|event| event.incident.as_ref());
        let pages = incidents.flat_map(|incident| &incident.pages);
        pages.map(|page| (page.page_id, page.clone())).collect()
    }

    fn replay(&self) -> (Vec<IncidentEvent>, Partition) {
        let (mut partition, mut events) = (Partition::new(), Vec::new());
        for (at, record) in &self.log {
            fold(&mut partition, *at, record, &mut events);
        }
        (events, partition)
    }
}

fn fold(partition: &mut Partition, at: i64, record: &Record, events: &mut Vec<IncidentEvent>) {
    match record {
        Record::Tick => partition.advance(at, events),
        Record::Entry(entry) => {
            partition.apply(at, entry.as_ref().clone(), events);
        }
    }
}

fn incident_of(signal: &Signal) -> String {
    let (mut partition, mut events) = (Partition::new(), Vec::new());
    partition.apply(START, Entry::Signal(signal.clone()), &mut events);
    partition.list("acme")[0].incident_id.to_string()
}

fn check(crash_at: &[u32], pause_ms: i64, with_zombies: bool, clean: &BTreeSet<PageId>) {
    let mut world = World::new(crash_at.iter().copied(), with_zombies);
    let crashes = world.live(pause_ms);
    let case = format!("crashes at {crash_at:?}, {pause_ms} ms, zombies: {with_zombies}");
    assert_eq!(crashes as usize, crash_at.len(), "{case}");
    let pages = world.pages();
    assert_eq!(pages.keys().copied().collect::<BTreeSet<_>>(), *clean, "{case}");
    let (events, partition) = world.replay();
    assert_eq!(events, world.events, "{case}: live and replay differ");
    for page_id in pages.keys() {
        let received = world.received.get(page_id).copied().unwrap_or_default();
        let unaccepted = world.unaccepted.get(page_id).copied().unwrap_or_default();
        let exposed = world.exposed.get(page_id).copied().unwrap_or_default();
        assert!(received <= 1 + exposed + unaccepted, "{case}: {page_id} {received} times");
        let (_, page) = partition.page(*page_id).expect("kept");
        match page.state {
            PageState::Delivered => assert!(received > unaccepted, "{case}: never accepted"),
            PageState::Failed => assert!(unaccepted > 0, "{case}: failed without a reason"),
            ref open => panic!("{case}: {page_id} is {open:?}"),
        }
    }
    let told: Vec<(EventKind, PageId)> = world
        .events
        .iter()
        .filter(|event| event.kind == EventKind::Paged)
        .filter_map(|event| Some((event.kind, event.page.as_ref()?.page_id)))
        .collect();
    let once: BTreeSet<_> = told.iter().collect();
    assert_eq!(told.len(), once.len(), "{case}: a page is told once");
}

fn clean() -> (BTreeSet<PageId>, u32) {
    let mut world = World::new([], false);
    assert_eq!(world.live(0), 0);
    let pages = world.pages();
    // Each of two steps of two incidents, and the second incident's second pass.
    assert_eq!(pages.len(), 6);
    for (page, count) in &world.received {
        let unaccepted = world.unaccepted.get(page).copied().unwrap_or_default();
        let accepted = u32::from(pages[page].state == PageState::Delivered);
        assert_eq!(*count, accepted + unaccepted, "a clean run sends nothing twice");
    }
    assert!(world.received.values().any(|count| *count > 1), "retries are part of it");
    (pages.keys().copied().collect(), world.boundaries)
}

#[test]
fn a_crash_at_any_boundary_loses_no_page_and_repeats_it_at_most_once() {
    let (pages, boundaries) = clean();
    assert!(boundaries > 100, "{boundaries}");
    for at in 1..=boundaries {
        for pause_ms in [1, 4_000] {
            for with_zombies in [false, true] {
                check(&[at], pause_ms, with_zombies, &pages);
            }
        }
    }
}

#[test]
fn two_crashes_close_together_lose_no_page_and_repeat_it_at_most_twice() {
    let (pages, boundaries) = clean();
    for first in (1..boundaries).step_by(2) {
        for second in first + 1..(first + 10).min(boundaries) {
            check(&[first, second], 1, true, &pages);
        }
    }
}
