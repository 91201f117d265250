//! The owner of a partition, as it is, in a world whose time is simulated: it dies, stands still,
//! is refused or left in the dark at every boundary of its appends, commits and sends, and
//! whatever happens, people are paged as they must be.

mod process;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use zhili_eventlog::runner::{Bundles, Entry, Fold, Outputs, publish_bundle};
use zhili_eventlog::testkit::seeds::each_seed;
use zhili_eventlog::testkit::simulated::{self, Fault, Faults, Operation, START_MS, ages};
use zhili_eventlog::{NewRecord, Record, TopicPartition, topics};
use zhili_incident::{Incident, KEPT_ATTEMPTS, LEASE_MS, Outcome, PageState, Partition};
use zhili_proto::escalation::v1 as pb;
use zhili_proto::escalation::v1::incident_event::Type;
use zhili_proto::escalation::v1::log_entry::Entry as Wire;

use crate::convert;
use crate::fold::Incidents;
use process::Process;
use world::{World, place};

/// From the start to the first signal: the configuration is in force by then, whatever happens.
const SETTLED_MS: i64 = 20_000;
/// How long a world is followed.
const LENGTH_MS: i64 = SETTLED_MS + 180_000;

/// Whoever watches the floor and a robot that takes one message a second, then the managers,
/// then the desk.
const CONFIG: &str = r"
    [escalation.teams.default.policies.default]
    repeat = 0
    fallback = ['desk']
    steps = [
        { destinations = ['floor', 'robot'], delay_ms = 60000 },
        { destinations = ['managers'], delay_ms = 60000 },
    ]
    [escalation.teams.default.destinations]
    floor.webhook.url = 'https://hooks.example/floor'
    robot.slack.url = 'env:ROBOT'
    managers.webhook.url = 'https://hooks.example/managers'
    desk.webhook.url = 'https://hooks.example/desk'
";

/// What scoring and people do, and when.
fn inputs(incident: impl Fn(&str) -> String) -> Vec<(i64, Wire)> {
    use pb::command::Action::{Acknowledge, Resolve};
    let acknowledge = Acknowledge(pb::AcknowledgeAction {});
    vec![
        (100, signal("c1")),
        (200, signal("c2")),
        (250, signal("c3")),
        (30_000, command(incident("c3"), Resolve(pb::ResolveAction {}))),
        // While the managers' request about it is on its way.
        (62_000, command(incident("c2"), acknowledge)),
        (150_000, command(incident("c1"), Resolve(pb::ResolveAction {}))),
    ]
}

fn signal(conversation: &str) -> Wire {
    Wire::Signal(pb::Signal {
        signal_id: format!("s-{conversation}"),
        tenant: "acme".into(),
        team: "default".into(),
        conversation_id: conversation.into(),
        family: pb::Family::Complaint.into(),
        kind: "urgent_complaint".into(),
        category: "regulator".into(),
        severity: pb::incident::Severity::High.into(),
        event_id: format!("e-{conversation}"),
        effective_ms: START_MS,
        probability: 0.97,
        excerpt: "我要打12315投诉你们".into(),
        ..pb::Signal::default()
    })
}

fn command(incident_id: String, action: pb::command::Action) -> Wire {
    Wire::Command(pb::Command {
        command_id: format!("k-{incident_id}"),
        tenant: "acme".into(),
        incident_id,
        actor: "ann".into(),
        action: Some(action),
        ..pb::Command::default()
    })
}

fn record(entry: Wire) -> NewRecord {
    let value = pb::LogEntry { entry: Some(entry) }.encode_to_vec();
    NewRecord::new(place(), convert::key("acme", "default"), Bytes::from(value))
}

/// The id of the incident that a conversation's signal opens.
fn incident_of(conversation: &str) -> String {
    let NewRecord { value, .. } = record(signal(conversation));
    let Ok(Entry::Input(entry)) = convert::entry(value.as_deref()) else { panic!("no signal") };
    let mut partition = Partition::new();
    partition.apply(START_MS, entry, &mut Vec::new());
    partition.incidents().next().unwrap().incident_id.to_string()
}

/// Lets a world go on to its end. Whenever a process dies or stalls, another one takes over.
async fn live(world: &Arc<World>) {
    let outside = simulated::Process::immortal(world);
    let bundle = Bytes::from_static(CONFIG.as_bytes());
    publish_bundle(&outside, "acme", bundle, "test", START_MS).await.unwrap();
    let people = Arc::clone(world);
    tokio::spawn(async move {
        for (after_ms, entry) in inputs(incident_of) {
            people.until(START_MS + SETTLED_MS + after_ms).await;
            people.store(vec![record(entry)]);
        }
    });
    tokio::select! {
        () = ages(world, |process| Process::start(world, process), || world.expose()) => {}
        () = world.until(START_MS + LENGTH_MS) => {}
    }
}

/// A world with these faults, after its end.
fn world(faults: Faults) -> Ended {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let world = World::new(faults);
        live(&world).await;
        let bundles = Bundles::read(&simulated::Process::immortal(&world)).await.unwrap();
        let (outputs, fold) = replay(&world.records(&place()), &bundles);
        (world, outputs, fold)
    })
}

/// Folds a partition as the runner does, one record after the other.
fn replay(records: &[Record], bundles: &Bundles) -> (Vec<NewRecord>, Incidents) {
    let (mut fold, mut outputs, mut now_ms) = (Incidents::default(), Outputs::new(1), 0);
    for record in records {
        let entry = fold.decode(record).unwrap();
        now_ms = now_ms.max(record.append_ms);
        if let Entry::Tick { at_ms } = entry {
            now_ms = now_ms.max(at_ms);
        }
        fold.advance(now_ms, &mut outputs);
        match entry {
            Entry::Input(input) => fold.apply(now_ms, record, input, &mut outputs),
            Entry::Marker(marker) if marker.sequence > fold.config_sequence(&marker.tenant) => {
                let bundle = bundles.get(&marker.bundle).unwrap();
                fold.configure(now_ms, &marker, &bundle, &mut outputs).unwrap();
            }
            Entry::Erasure(erasure) => fold.erase(now_ms, &erasure, &mut outputs),
            Entry::Marker(_) | Entry::Tick { .. } => {}
        }
    }
    (outputs.records().to_vec(), fold)
}

/// All pages of an incident, by destination and whether it is a fallback's.
fn pages(fold: &Incidents) -> Pages {
    let incidents = fold.partition().incidents();
    let pages = incidents.flat_map(|it| it.pages.iter().map(move |page| (it, page)));
    pages.map(|(it, page)| (page.page_id.to_string(), (it.clone(), page.clone()))).collect()
}

/// What must hold after each of these faults, which a world without faults has `operations` for.
fn check(mut faults: BTreeMap<usize, Fault>, expected: &BTreeSet<String>, operations: usize) {
    let case = format!("{faults:?}");
    let planned = faults.keys().filter(|number| **number + ENDING < operations).count();
    let ended = world(Box::new(move |number, _| faults.remove(&number)));
    let struck = ended.0.struck();
    assert!(struck.len() >= planned, "{case}: not all of them came to pass");
    let case = format!("{case} {struck:?}");
    let (world, pages) = examine(&ended, &case);
    let ids: BTreeSet<String> = pages.keys().cloned().collect();
    assert_eq!(ids, *expected, "{case}: other pages than without faults");
    // Whatever happened to the others, somebody has been told in time of each incident.
    let reached = world.accepted("floor");
    for conversation in ["c1", "c2", "c3"] {
        assert!(reached.contains(&incident_of(conversation)), "{case}: nobody knows of it");
    }
    assert!(world.accepted("desk").contains(&incident_of("c1")), "{case}: no fallback");
}

type Ended = (Arc<World>, Vec<NewRecord>, Incidents);
type Pages = BTreeMap<String, (Incident, zhili_incident::Page)>;

/// What must hold of every world, whatever happened in it.
fn examine<'w>((world, told_again, fold): &'w Ended, case: &str) -> (&'w World, Pages) {
    let told = world.records(&TopicPartition::new(topics::INCIDENTS, 0));
    let same = |a: &Record, b: &NewRecord| (&a.key, &a.value) == (&b.key, &b.value);
    let equal = told.len() == told_again.len()
        && told.iter().zip(told_again).all(|(one, again)| same(one, again));
    assert!(equal, "{case}: live and replay differ");

    let pages = pages(fold);
    check_ends(world, &pages, &told, case);
    check_copies(world, &pages, case);
    (world, pages)
}

/// No page is lost: each has arrived, has visibly failed, or was no longer needed.
fn check_ends(world: &World, pages: &Pages, told: &[Record], case: &str) {
    let events: Vec<pb::IncidentEvent> = told
        .iter()
        .map(|record| pb::IncidentEvent::decode(record.value.as_deref().unwrap()).unwrap())
        .collect();
    for (page_id, (incident, page)) in pages {
        let count = |kind| {
            let of = |event: &pb::IncidentEvent| {
                event.r#type() == kind
                    && event.page.as_ref().is_some_and(|page| page.page_id == *page_id)
            };
            events.iter().filter(|event| of(event)).count()
        };
        let about = format!("{case}: {} of {}", page.destination, incident.conversation_id);
        match page.state {
            PageState::Delivered => {
                let accepted = world.accepted(&page.destination);
                assert!(accepted.contains(&incident.incident_id.to_string()), "{about}: in vain");
                assert_eq!(count(Type::Paged), 1, "{about}");
            }
            PageState::Failed => assert_eq!(count(Type::DeliveryFailed), 1, "{about}"),
            PageState::Cancelled => assert!(page.stop.is_some(), "{about}"),
            ref open => panic!("{about}: {open:?}"),
        }
    }
}

/// No page comes more often than it must, and nothing but what was on its way leaves after an
/// answer.
fn check_copies(world: &World, pages: &Pages, case: &str) {
    let claims = world.claims();
    let stops = stops(world);
    let state = world.lock();
    let mut by_page = BTreeMap::<&str, Vec<&world::Received>>::new();
    let mut names = BTreeMap::new();
    for received in &state.received {
        by_page.entry(&received.page_id).or_default().push(received);
        let what = (&received.incident_id, &received.destination);
        let known = names.entry(what).or_insert(&received.page_id);
        assert_eq!(*known, &received.page_id, "{case}: one page under two ids");
    }
    for (page_id, copies) in by_page {
        let (incident, page) = &pages[page_id];
        let about = format!("{case}: {} of {}", page.destination, incident.conversation_id);
        let unaccepted = copies.iter().filter(|it| it.answer != Some(Outcome::Delivered)).count();
        let exposed = state.exposed.get(page_id).copied().unwrap_or_default();
        assert!(copies.len() <= 1 + exposed + unaccepted, "{about}: {} copies", copies.len());
        // Each copy belongs to a claim of its own, made before somebody answered.
        let stop = stops.get(&incident.incident_id.to_string()).copied().unwrap_or(usize::MAX);
        let in_time = claims[page_id].iter().filter(|claim| claim.offset < stop).count();
        assert!(copies.len() <= in_time, "{about}: sent after it was answered for");
        for copy in copies {
            // Older attempts than these are not kept.
            let first = page.log.first().map_or(0, |attempt| attempt.claimed_at_ms);
            let leased = page.log.iter().any(|attempt| {
                let since = copy.asked_ms - attempt.claimed_at_ms;
                (0..LEASE_MS).contains(&since)
            });
            let forgotten = page.log.len() == KEPT_ATTEMPTS && copy.asked_ms < first;
            assert!(leased || forgotten, "{about}: sent without a lease: {copy:?}");
        }
    }
}

/// Where in the log people answered for incidents.
fn stops(world: &World) -> BTreeMap<String, usize> {
    let entries = world.entries().into_iter().enumerate();
    let commands = entries.filter_map(|(offset, entry)| match entry {
        Wire::Command(command) => Some((command.incident_id, offset)),
        _ => None,
    });
    commands.collect()
}

/// The pages of a world without faults, and the operations that can go wrong.
fn clean() -> (BTreeSet<String>, Vec<Operation>) {
    let (world, _, fold) = world(Box::new(|_, _| None));
    let pages = pages(&fold);
    let ends: BTreeSet<String> = pages
        .values()
        .map(|(incident, page)| {
            let bundled = if page.detail.starts_with("told with") { " with another" } else { "" };
            format!(
                "{} {} {:?}{bundled}, {} attempts",
                incident.conversation_id, page.destination, page.state, page.attempts
            )
        })
        .collect();
    let expected = [
        "c1 desk Delivered, 1 attempts",
        "c1 floor Delivered, 3 attempts",
        "c1 managers Failed, 1 attempts",
        "c1 robot Delivered, 1 attempts",
        "c2 floor Delivered, 1 attempts",
        "c2 managers Cancelled, 1 attempts",
        "c2 robot Delivered, 1 attempts",
        "c3 floor Delivered, 1 attempts",
        "c3 robot Delivered with another, 0 attempts",
    ];
    assert_eq!(ends.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    let expected = world.copies();
    assert!(expected.len() == 8 && expected.values().sum::<usize>() == 10, "{expected:?}");
    let operations = world.operations();
    (pages.into_keys().collect(), operations)
}

/// How many operations a world with faults may fall short of one without: which snapshots are taken
/// towards its end depends on when processes began. A fault there need not come to pass.
const ENDING: usize = 8;

/// Runs every case, on all cores.
fn check_all(cases: &[BTreeMap<usize, Fault>], expected: &BTreeSet<String>, operations: usize) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for share in cases.chunks(cases.len().div_ceil(cores).max(1)) {
            scope.spawn(move || {
                for faults in share {
                    check(faults.clone(), expected, operations);
                }
            });
        }
    });
}

#[test]
fn a_fault_at_any_boundary_loses_no_page_and_repeats_none_beyond_its_bound() {
    let (expected, operations) = clean();
    assert!(operations.len() > 80, "{operations:?}");
    let mut cases = Vec::new();
    for (number, operation) in operations.iter().enumerate() {
        cases.extend(operation.faults().iter().map(|fault| BTreeMap::from([(number, *fault)])));
    }
    check_all(&cases, &expected, operations.len());
}

#[test]
fn two_faults_close_together_lose_no_page_and_repeat_none_beyond_its_bound() {
    let (expected, operations) = clean();
    let mut cases = Vec::new();
    for first in (0..operations.len()).step_by(2) {
        for (second, faults) in [
            (first + 1, [Fault::DiesAfter, Fault::DiesBefore]),
            (first + 3, [Fault::DiesAfter, Fault::Stalls]),
            (first + 5, [Fault::Stalls, Fault::DiesAfter]),
        ] {
            cases.push(BTreeMap::from([(first, faults[0]), (second, faults[1])]));
        }
    }
    cases.retain(|case| case.keys().all(|number| *number < operations.len()));
    check_all(&cases, &expected, operations.len());
}

/// From the start until nothing goes wrong any more, in a world of many faults.
const TROUBLE_MS: i64 = SETTLED_MS + 100_000;

#[test]
fn many_faults_lose_no_page_and_repeat_none_beyond_its_bound() {
    each_seed("pages", 20, |seed| {
        let mut random = StdRng::seed_from_u64(seed);
        let trouble = [0.01, 0.05, 0.15].choose(&mut random).copied().unwrap();
        let begun = tokio::time::Instant::now;
        let mut since = None;
        let ended = world(Box::new(move |_, operation| {
            let after = begun() - *since.get_or_insert_with(begun);
            let strikes = (SETTLED_MS..TROUBLE_MS).contains(&(after.as_millis() as i64));
            let struck = strikes && random.random_bool(trouble);
            struck.then(|| *operation.faults().choose(&mut random).unwrap())
        }));
        let (world, pages) = examine(&ended, &format!("{:?}", ended.0.struck()));
        // Each destination may have failed for good; not all of them.
        for conversation in ["c1", "c2", "c3"] {
            let incident = incident_of(conversation);
            let known = ["floor", "robot", "managers", "desk"]
                .iter()
                .any(|destination| world.accepted(destination).contains(&incident));
            assert!(known, "nobody knows of {conversation}: {pages:?}");
        }
    });
}
