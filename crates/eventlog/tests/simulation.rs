//! The fold runner in simulated time: processes that die, stall, shut down, are refused and left in
//! the dark at moments drawn from a seed, over and over, and what they leave must be what one process
//! leaves that nothing ever happens to.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Ready, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use prost::Message;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tokio_util::sync::CancellationToken;
use zhili_eventlog::runner::{
    Bundles, Entry, Fold, Observation, Outputs, Progress, RunnerOptions, SOURCE, Undecodable,
    publish_bundle, run_group,
};
use zhili_eventlog::testkit::seeds::each_seed;
use zhili_eventlog::testkit::simulated::{Process, START_MS, World, ages};
use zhili_eventlog::{EventLog, Membership, NewRecord, Record, TopicPartition, topics};
use zhili_proto::log::v1::snapshot_chunk::Part;
use zhili_proto::log::v1::{DeadLetter, SnapshotChunk};

mod sums;

use sums::Sums;

const GROUP: &str = "sums";
/// Until here inputs come and faults strike.
const TROUBLE_MS: i64 = 40_000;
/// A process that stalled at the last moment comes back, and whatever is due fires.
const REST_MS: i64 = 90_000;
/// Who is forgotten, and never heard of again.
const VICTIM: &str = "victim";

/// What happens in one world.
struct Plan {
    partitions: u32,
    /// When, to which partition, what.
    inputs: Vec<(i64, u32, String)>,
    /// When, and what greeting is put in force.
    bundles: Vec<(i64, &'static str)>,
    /// How likely an operation goes wrong.
    trouble: f64,
    /// After how many looks at its states each process in turn is told to shut down; those beyond the
    /// list live on.
    shutdowns: Vec<usize>,
    snapshot_records: u64,
    batch_records: usize,
}

impl Plan {
    fn draw(random: &mut StdRng) -> Self {
        let partitions = random.random_range(1..=2);
        let count = random.random_range(4..24);
        let mut inputs: Vec<_> = (0..count)
            .map(|_| {
                let at_ms = random.random_range(0..TROUBLE_MS);
                let name = ["a", "b", "c", VICTIM].choose(random).unwrap();
                let value = random.random_range(-9..10);
                let text = match random.random_range(0..12) {
                    0 => "nonsense".to_owned(),
                    1 => format!("add unwanted {value}"),
                    2 | 3 => format!("late {name} {value}"),
                    _ => format!("add {name} {value}"),
                };
                (at_ms, random.random_range(0..partitions), text)
            })
            .collect();
        inputs.sort();
        // In one world in three: nothing is heard of the victim afterwards.
        if random.random_bool(1.0 / 3.0) {
            let at_ms = random.random_range(0..TROUBLE_MS);
            inputs.retain(|(at, _, text)| *at <= at_ms || !text.contains(VICTIM));
            for partition in 0..partitions {
                inputs.push((at_ms + 1, partition, format!("erase {VICTIM}")));
            }
            inputs.sort_by_key(|(at, ..)| *at);
        }
        let bundles = ["hello ", "good day "].into_iter().take(random.random_range(0..=2));
        let bundles = bundles.map(|text| (random.random_range(0..TROUBLE_MS), text)).collect();
        Self {
            partitions,
            inputs,
            bundles,
            trouble: [0.01, 0.05, 0.15, 0.3].choose(random).copied().unwrap(),
            shutdowns: (0..random.random_range(0..8)).map(|_| random.random_range(1..40)).collect(),
            snapshot_records: random.random_range(1..9),
            batch_records: random.random_range(1..6),
        }
    }

    fn forgets(&self) -> bool {
        self.inputs.iter().any(|(.., text)| text.starts_with("erase"))
    }
}

fn place(partition: u32) -> TopicPartition {
    TopicPartition::new(topics::EVENTS, partition)
}

/// States as their owners saw them last.
type Seen = Arc<Mutex<BTreeMap<TopicPartition, Vec<u8>>>>;

fn start(process: Process, plan: Arc<Plan>, states: Seen) -> Ready<()> {
    let number = process.number();
    let world = Arc::clone(process.world());
    tokio::spawn(async move {
        let log: Arc<dyn EventLog> = Arc::new(process.clone());
        let shutdown = CancellationToken::new();
        let looks = Arc::new(AtomicUsize::new(0));
        let last_look = plan.shutdowns.get(number - 1).copied();
        let ends = shutdown.clone();
        let bundles = Bundles::follow(Arc::clone(&log), shutdown.clone()).await.unwrap();
        let make = move |partition: &TopicPartition| {
            let (states, partition) = (Arc::clone(&states), partition.clone());
            let (looks, ends) = (Arc::clone(&looks), ends.clone());
            let observer = Box::new(move |fold: &Sums, what: &Observation<'_>| {
                if Some(looks.fetch_add(1, Ordering::Relaxed) + 1) == last_look {
                    ends.cancel();
                }
                if what.caught_up {
                    states.lock().unwrap().insert(partition.clone(), fold.bytes());
                }
            });
            (Sums::default(), observer as _)
        };
        let membership = Membership {
            group: GROUP.to_owned(),
            member: format!("p{number}"),
            topics: vec![topics::EVENTS.to_owned()],
        };
        let mut options = RunnerOptions::new(plan.partitions, world.clock());
        options.snapshot_records = plan.snapshot_records;
        options.batch_records = plan.batch_records;
        let progress = Progress::default();
        // Should it end by itself, what is left undone shows.
        let _ =
            run_group(log, membership, make, bundles, options, progress, shutdown.clone()).await;
        if shutdown.is_cancelled() {
            process.leave();
        }
    });
    ready(())
}

async fn live(world: &Arc<World>, plan: &Arc<Plan>, states: &Seen) {
    let outside = Process::immortal(world);
    for (at_ms, partition, text) in plan.inputs.clone() {
        let world = Arc::clone(world);
        tokio::spawn(async move {
            world.until(START_MS + at_ms).await;
            world.store(vec![NewRecord::new(place(partition), None, Bytes::from(text))]);
        });
    }
    for (at_ms, text) in plan.bundles.clone() {
        let outside = outside.clone();
        tokio::spawn(async move {
            outside.world().until(START_MS + at_ms).await;
            let bundle = Bytes::from_static(text.as_bytes());
            publish_bundle(&outside, "t", bundle, "test", START_MS + at_ms).await.unwrap();
        });
    }
    let until_rest = async {
        world.until(START_MS + TROUBLE_MS).await;
        world.heal();
        world.until(START_MS + TROUBLE_MS + REST_MS).await;
    };
    let begin = |process| start(process, Arc::clone(plan), Arc::clone(states));
    tokio::select! {
        biased;
        () = until_rest => {}
        () = ages(world, begin, || {}) => {}
    }
}

/// What one process makes of a partition that nothing ever happens to: values by topic, in order.
fn replay(records: &[Record], bundles: &Bundles) -> (BTreeMap<String, Vec<Bytes>>, usize, Sums) {
    let (mut fold, mut outputs, mut now_ms) = (Sums::default(), Outputs::new(1), 0);
    let mut poison = 0;
    for record in records {
        let entry = fold.decode(record);
        now_ms = now_ms.max(record.append_ms);
        if let Ok(Entry::Tick { at_ms }) = &entry {
            now_ms = now_ms.max(*at_ms);
        }
        fold.advance(now_ms, &mut outputs);
        match entry {
            Ok(Entry::Input(input)) => fold.apply(now_ms, record, input, &mut outputs),
            Ok(Entry::Marker(marker)) if marker.sequence > fold.config_sequence(&marker.tenant) => {
                let bundle = bundles.get(&marker.bundle).unwrap();
                fold.configure(now_ms, &marker, &bundle, &mut outputs).unwrap();
            }
            Ok(Entry::Erasure(erasure)) => fold.erase(now_ms, &erasure, &mut outputs),
            Ok(Entry::Marker(_) | Entry::Tick { .. }) => {}
            Err(Undecodable::Poison { .. }) => poison += 1,
            Err(Undecodable::UnknownKind) => panic!("unknown"),
        }
    }
    let mut values = BTreeMap::<String, Vec<Bytes>>::new();
    for record in outputs.records() {
        let topic = record.partition.topic.to_string();
        values.entry(topic).or_default().push(record.value.clone().unwrap());
    }
    (values, poison, fold)
}

/// What the log holds of a topic that came from this partition, in order.
fn derived(world: &World, plan: &Plan, topic: &str, from: &TopicPartition) -> Vec<Record> {
    let records =
        (0..plan.partitions).flat_map(|it| world.records(&TopicPartition::new(topic, it)));
    let source = |record: &Record| record.headers.text(SOURCE).unwrap_or_default().to_owned();
    let of = format!("{}:{}:", from.topic, from.partition);
    records.filter(|record| source(record).starts_with(&of)).collect()
}

fn check(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let plan = Arc::new(Plan::draw(&mut random));
    let states = Seen::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let trouble = plan.trouble;
        let world = World::new(
            plan.partitions,
            Box::new(move |_, operation| {
                let struck = random.random_bool(trouble);
                struck.then(|| *operation.faults().choose(&mut random).unwrap())
            }),
        );
        live(&world, &plan, &states).await;
        let bundles = Bundles::read(&Process::immortal(&world)).await.unwrap();
        for partition in (0..plan.partitions).map(place) {
            let records = world.records(&partition);
            let given = plan.inputs.iter().filter(|it| it.1 == partition.partition);
            let (expected, poison, fold) = replay(&records, &bundles);
            if given.count() == 0 && plan.bundles.is_empty() {
                continue;
            }
            let committed = world.committed(GROUP, &partition).unwrap();
            assert_eq!(committed.offset, world.end(&partition), "not all is folded");
            let facts: Vec<Bytes> = derived(&world, &plan, topics::FACTS, &partition)
                .into_iter()
                .map(|record| record.value.unwrap())
                .collect();
            assert_eq!(&facts, expected.get(topics::FACTS).unwrap_or(&Vec::new()));
            assert_eq!(fold.next_due(), None, "a timer that was due did not fire");
            assert_eq!(
                states
                    .lock()
                    .unwrap()
                    .get(&partition)
                    .map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
                Some(String::from_utf8_lossy(&fold.bytes()).into_owned()),
                "the state is not that of a replay"
            );
            let letters = derived(&world, &plan, topics::DEAD_LETTERS, &partition);
            let mut offsets: Vec<u64> = letters
                .iter()
                .map(|record| DeadLetter::decode(record.value.as_deref().unwrap()).unwrap().offset)
                .collect();
            let unwanted = expected.get(topics::DEAD_LETTERS).map_or(0, Vec::len);
            assert_eq!(offsets.len(), poison + unwanted, "dead letters");
            offsets.dedup();
            assert_eq!(offsets.len(), poison + unwanted, "two dead letters of one record");
        }
        check_snapshots(&world, &plan);
    });
}

/// Of the snapshots that compaction keeps two are complete at most, none is older than those, and none
/// knows who was to be forgotten.
fn check_snapshots(world: &World, plan: &Plan) {
    for partition in 0..plan.partitions {
        let mut kept = BTreeMap::new();
        for record in world.records(&TopicPartition::new(topics::SNAPSHOTS, partition)) {
            kept.insert(record.key, record.value);
        }
        let mut snapshots = BTreeMap::<String, (BTreeSet<String>, Option<usize>)>::new();
        for (key, value) in &kept {
            let key = String::from_utf8(key.as_ref().unwrap().to_vec()).unwrap();
            let (id, part) = key.rsplit_once('/').unwrap();
            let Some(value) = value.as_ref().filter(|_| part != "hash") else { continue };
            let snapshot = snapshots.entry(id.to_owned()).or_default();
            match SnapshotChunk::decode(value.clone()).unwrap().part.unwrap() {
                Part::Manifest(manifest) => snapshot.1 = Some(manifest.chunks.len()),
                Part::Data(_) => {
                    snapshot.0.insert(part.to_owned());
                }
            }
        }
        let complete = snapshots.values().filter(|it| it.1.is_some()).count();
        assert!(complete <= 2, "{snapshots:?}");
        for (chunks, count) in snapshots.values().filter_map(|it| Some((&it.0, it.1?))) {
            assert_eq!(chunks.len(), count, "a manifest without its chunks: {snapshots:?}");
        }
        let oldest = snapshots.values().next();
        assert!(
            complete < 2 || oldest.is_none_or(|it| it.1.is_some()),
            "remains that nobody forgot: {snapshots:?}"
        );
        if plan.forgets() {
            for value in kept.into_values().flatten() {
                let knows = value.windows(VICTIM.len()).any(|window| window == VICTIM.as_bytes());
                assert!(!knows, "a snapshot still knows who was to be forgotten");
            }
        }
    }
}

#[test]
fn whatever_happens_outputs_and_state_are_those_of_a_replay() {
    each_seed("fold runner", 300, check);
}
