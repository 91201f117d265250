//! One run: traffic and faults, rest, judgement.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rustix::process::Signal;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use zhili_eventlog::{EventLog, LogError, NewRecord, TopicPartition, topics};
use zhili_runtime::KafkaSettings;

use super::disk::Disk;
use super::evidence;
use super::process::{End, Process};
use super::proxy::{Proxy, Way};
use super::publisher::{PUBLISHERS, Publishing, now_ms};
use super::stage::{PARTITIONS, Stage};
use crate::conservation::plan::{Action, BROKERS, Fault, Home, Part, Planned, menu, plan};
use crate::conservation::{Disturbance, Judge, Poison, Report};
use crate::{Page, program};

/// How often processes are looked after.
pub(super) const LOOK: Duration = Duration::from_millis(50);
/// How long everything may take to be read and ready after the last fault.
const RECOVERY: Duration = Duration::from_secs(600);
/// How often young rows are looked at: several times in the minute for which they are young.
const WATCH: Duration = Duration::from_secs(10);
/// Between two replicas that leave or join in a storm.
const STORM: Duration = Duration::from_secs(5);
/// Each piece on a slow way takes this long.
const LATE: Duration = Duration::from_millis(300);
/// Bytes beyond which no file may grow on a dead disk. The smallest files of a part are shorter: a disk
/// that takes something is harder to notice than one that takes nothing.
const DEAD: u64 = 512;
/// The most that a clock is off by.
const OFF_MS: i64 = 120_000;
/// How long pages may take that were tried while their receiver was away: the longest wait between two
/// attempts is 120 s with some scatter, and a clock of a fold that was ahead stands still as long.
const PAGES: Duration = Duration::from_secs(300);
/// How long a broker may take to end after a write that failed.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Records that are no events, each time.
const POISON: usize = 5;

/// What to run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Where the log is.
    pub home: Home,
    /// Traffic and faults follow from it.
    pub seed: u64,
    /// How long traffic and faults go on.
    pub length: Duration,
    /// Events a second.
    pub rate: u32,
    /// Whether disks are filled, where that is possible.
    pub disks: bool,
    /// A folder with the programs of the version before. The run begins with them, is upgraded, goes
    /// back and is upgraded again, without other faults.
    pub older: Option<PathBuf>,
    /// Only these faults, if any are named: words of their names, such as `store` or `kill`.
    pub only: Vec<String>,
    /// Where the words of all processes go.
    pub words: PathBuf,
}

/// A fault that is not over.
struct Active {
    planned: Planned,
    began_ms: i64,
    /// When a storm goes on.
    next: Instant,
    turn: usize,
}

pub(super) struct Driver {
    pub(super) stage: Stage,
    publishing: Arc<Publishing>,
    random: StdRng,
    active: Vec<Active>,
    pub(super) disturbances: Vec<Disturbance>,
    injected: BTreeMap<String, u64>,
    crashes: u64,
    restarts: BTreeMap<String, u64>,
    /// Until when parts may end because of their disk.
    failing: BTreeMap<Part, Instant>,
    examples: Vec<String>,
    background: JoinSet<()>,
    /// Most rows that were seen twice at a time, while merges had not removed them.
    young_duplicates: Arc<AtomicU64>,
}

/// Runs, and says what came of it.
///
/// # Panics
/// When the system does not start at all.
pub async fn run(run: &Run) -> Report {
    let newer = program().parent().unwrap();
    let first = run.older.as_deref().unwrap_or(newer);
    let stage = Stage::start(run.home, run.disks && run.older.is_none(), first, 0).await;
    let disks = stage.has_disks();
    let mut faults = menu(run.home, disks);
    if !run.only.is_empty() {
        let named = |fault: &Fault| run.only.iter().any(|it| fault.to_string().contains(it));
        faults.retain(named);
        assert!(!faults.is_empty(), "no fault is named {:?}", run.only);
    }
    let mut planned = plan(run.seed, &faults, run.length).into_iter().peekable();
    // Into which build, and when.
    let mut replacements = Vec::new();
    if let Some(older) = run.older.as_deref() {
        planned = Vec::new().into_iter().peekable();
        for (turn, build) in [newer, older, newer].into_iter().enumerate() {
            replacements.push((run.length * (turn as u32 + 1) / 4, build));
        }
    }
    let mut replacements = replacements.into_iter().peekable();
    let publishing = Publishing::new(stage.ingest(), stage.token.clone(), run.rate);
    let publishing = Arc::new(publishing);
    let mut publishers = JoinSet::new();
    for number in 0..PUBLISHERS {
        publishers.spawn(Arc::clone(&publishing).publish(run.seed, number));
    }
    let mut driver = Driver::new(stage, publishing, run.seed);
    let tables = driver.stage.tables();
    let seen = Arc::clone(&driver.young_duplicates);
    let watching = tokio::spawn(async move {
        let mut beat = tokio::time::interval(WATCH);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            if let Some(now) = tables.young_duplicates().await {
                seen.fetch_max(now, Ordering::SeqCst);
            }
        }
    });

    let begun = Instant::now();
    while begun.elapsed() < run.length {
        while let Some(next) = planned.next_if(|next| next.at <= begun.elapsed()) {
            eprintln!(
                "{:>6.1} s  {} for {:?}",
                begun.elapsed().as_secs_f64(),
                next.fault,
                next.lasts
            );
            driver.begin(next);
        }
        driver.go_on(begun.elapsed());
        if let Some((_, build)) = replacements.next_if(|next| next.0 <= begun.elapsed()) {
            driver.replace(build, build == newer).await;
            eprintln!("{:>6.1} s  {} runs", begun.elapsed().as_secs_f64(), build.display());
        }
        assert!(publishers.try_join_next().is_none(), "a publisher ended early");
        tokio::time::sleep(LOOK).await;
    }
    driver.go_on(Duration::MAX);
    driver.publishing.ended.store(true, Ordering::SeqCst);

    let rested = Instant::now();
    let idle = driver.rest(&mut publishers).await;
    let recovery_s = rested.elapsed().as_secs_f64();
    watching.abort();
    let report = driver.judge(run, idle, recovery_s).await;
    driver.stage.keep_words(&run.words);
    eprintln!("words of all processes: {}", run.words.display());
    report
}

impl Driver {
    pub(super) fn new(stage: Stage, publishing: Arc<Publishing>, seed: u64) -> Self {
        Self {
            stage,
            publishing,
            random: StdRng::seed_from_u64(seed),
            active: Vec::new(),
            disturbances: Vec::new(),
            injected: BTreeMap::new(),
            crashes: 0,
            restarts: BTreeMap::new(),
            failing: BTreeMap::new(),
            examples: Vec::new(),
            background: JoinSet::new(),
            young_duplicates: Arc::default(),
        }
    }

    /// From now on these are the publishers who are waited for and judged by.
    pub(super) fn publish_as(&mut self, publishing: Arc<Publishing>) {
        self.publishing = publishing;
    }

    fn begin(&mut self, planned: Planned) {
        let Fault { action, part } = planned.fault;
        let off_ms = self.random.random_range(1_000..OFF_MS);
        let mut hit = true;
        match action {
            Action::Kill => hit = self.process(part).kill(),
            Action::Stop => hit = self.process(part).stop(),
            Action::Pause => hit = self.process(part).signal(Signal::STOP),
            Action::DeadDisk => hit = self.process(part).limit_files(Some(DEAD)),
            Action::Cut => self.way(part).set(Way::Cut),
            Action::Slow => self.way(part).set(Way::Slow(LATE)),
            Action::Errors => self.way(part).set(Way::Errors),
            Action::Break => self.way(part).set(Way::Break),
            Action::Silence => self.way(part).set(Way::Silence),
            Action::FullDisk => self.disk(part).fill(),
            Action::Ahead => self.stage.clocks[&part].set(off_ms),
            Action::Behind => self.stage.clocks[&part].set(-off_ms),
            Action::Overload => self.publishing.unthrottled.store(true, Ordering::SeqCst),
            Action::Poison => self.poison(),
            Action::Storm => {}
        }
        // What is down already, by itself or for another reason, was not hit.
        if hit {
            *self.injected.entry(planned.fault.to_string()).or_default() += 1;
        }
        let (began_ms, next) = (now_ms(), Instant::now());
        self.active.push(Active { planned, began_ms, next, turn: 0 });
    }

    /// Ends what is over, keeps storms going, starts what ended by itself.
    pub(super) fn go_on(&mut self, elapsed: Duration) {
        let mut active = std::mem::take(&mut self.active);
        active.retain_mut(|it| {
            if it.planned.at + it.planned.lasts <= elapsed {
                self.end(it);
                return false;
            }
            if it.planned.fault.action == Action::Storm && Instant::now() >= it.next {
                it.next += STORM;
                self.toss(it.turn);
                it.turn += 1;
            }
            true
        });
        self.active = active;
        let now = Instant::now();
        for Active { planned, .. } in &self.active {
            if matches!(planned.fault.action, Action::FullDisk | Action::DeadDisk) {
                self.failing.insert(planned.fault.part, now + LAST_WORDS);
            }
        }
        for (part, process) in &mut self.stage.parts {
            let Some(end) = process.supervise() else { continue };
            let at_ms = now_ms();
            self.disturbances.push(Disturbance {
                began_ms: at_ms,
                ended_ms: at_ms,
                unheard: false,
            });
            // Kafka ends when the only disk that it has fails it.
            let of_disk = matches!(part, Part::Broker(_))
                && self.failing.get(part).is_some_and(|until| now < *until);
            let mut again = || *self.restarts.entry(process.name.clone()).or_default() += 1;
            match end {
                End::GaveUp => again(),
                End::Crashed(_) if of_disk => again(),
                End::Stuck => {
                    self.crashes += 1;
                    self.examples.push(format!("{} did not end when told to", process.name));
                }
                End::Crashed(status) => {
                    eprintln!("          {} ended by itself: {status}", process.name);
                    self.crashes += 1;
                    self.examples.push(format!("{} ended by itself: {status}", process.name));
                }
            }
        }
    }

    fn end(&mut self, active: &Active) {
        let Fault { action, part } = active.planned.fault;
        match action {
            Action::Kill | Action::Stop => self.process(part).want(),
            Action::Pause => {
                self.process(part).signal(Signal::CONT);
            }
            Action::DeadDisk => {
                self.process(part).limit_files(None);
            }
            Action::Cut | Action::Slow | Action::Errors | Action::Break | Action::Silence => {
                self.way(part).set(Way::Open);
            }
            Action::FullDisk => self.disk(part).make_room(),
            Action::Ahead | Action::Behind => self.stage.clocks[&part].set(0),
            Action::Overload => self.publishing.unthrottled.store(false, Ordering::SeqCst),
            Action::Storm => {
                for (part, process) in &mut self.stage.parts {
                    if matches!(part, Part::Service(..)) {
                        process.want();
                    }
                }
            }
            Action::Poison => {}
        }
        let (began_ms, ended_ms) = (active.began_ms, now_ms());
        match (action, part) {
            // Pages do not pass the store.
            (Action::Poison | Action::Overload, _) | (_, Part::Store) => {}
            // Either way a lease may end.
            (Action::Ahead | Action::Behind, _) => self.disturb(&[began_ms, ended_ms]),
            _ => {
                let unheard = part == Part::Pages;
                self.disturbances.push(Disturbance { began_ms, ended_ms, unheard });
            }
        }
    }

    /// Notes what took no time.
    fn disturb(&mut self, at_ms: &[i64]) {
        let at = |at: &i64| Disturbance { began_ms: *at, ended_ms: *at, unheard: false };
        self.disturbances.extend(at_ms.iter().map(at));
    }

    pub(super) fn process(&mut self, part: Part) -> &mut Process {
        self.stage.parts.get_mut(&part).unwrap()
    }

    fn way(&self, part: Part) -> &Proxy {
        match part {
            Part::Broker(number) => &self.stage.brokers[usize::from(number)].way,
            Part::Pages => &self.stage.pages_way,
            _ => &self.stage.store_way,
        }
    }

    fn disk(&self, part: Part) -> &Disk {
        let disk = match part {
            Part::Store => &self.stage.store_disk,
            Part::Broker(number) => &self.stage.brokers[usize::from(number)].disk,
            _ => &self.stage.log_disk,
        };
        disk.as_ref().unwrap()
    }

    /// Replaces every part by that of another build, one after the other, each when the one before is
    /// ready: who reads before who writes, and on the way back the other way round.
    async fn replace(&mut self, build: &Path, newer: bool) {
        let place = |part: &Part| match part {
            Part::Store => 0,
            Part::Service("metrics", _) => 1,
            Part::Service("escalation", _) => 2,
            Part::Service("scoring", _) => 3,
            _ => 4,
        };
        let mut parts: Vec<Part> = self.stage.builds.keys().copied().collect();
        parts.sort_by_key(place);
        if !newer {
            parts.reverse();
        }
        self.stage.prepare(build);
        for part in parts {
            let began_ms = now_ms();
            self.process(part).stop();
            self.until(|stage| !stage.parts[&part].is_running()).await;
            self.stage.builds[&part].set(build);
            self.process(part).want();
            let asked = Instant::now();
            while !self.stage.complaints().await.is_empty() {
                assert!(asked.elapsed() < RECOVERY, "not ready:\n{}", self.stage.said());
                self.go_on(Duration::ZERO);
                tokio::time::sleep(LOOK).await;
            }
            self.disturbances.push(Disturbance { began_ms, ended_ms: now_ms(), unheard: false });
            let words = format!("{}: {}", if newer { "upgrade" } else { "downgrade" }, part.name());
            *self.injected.entry(words).or_default() += 1;
        }
    }

    async fn until(&mut self, is_so: impl Fn(&Stage) -> bool) {
        while !is_so(&self.stage) {
            self.go_on(Duration::ZERO);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The next replica of a storm leaves, or the one that left comes back.
    fn toss(&mut self, turn: usize) {
        const MEMBERS: [&str; 3] = ["scoring", "escalation", "metrics"];
        let part = Part::Service(MEMBERS[turn / 2 % MEMBERS.len()], 1);
        let Some(process) = self.stage.parts.get_mut(&part) else { return };
        if turn.is_multiple_of(2) {
            process.stop();
        } else {
            process.want();
        }
        self.disturb(&[now_ms()]);
    }

    /// Publishes bytes that are no event straight into the topic of events.
    fn poison(&mut self) {
        let mut records = Vec::new();
        for number in 0..POISON {
            // The last is as large as the log takes them; no record of ours begins like this.
            let length = if number + 1 == POISON { 1_000_000 } else { 8 + number * 40 };
            let mut bytes = vec![0xff; length];
            self.random.fill_bytes(&mut bytes[6..]);
            let partition = self.random.random_range(0..PARTITIONS);
            records.push((partition, bytes));
        }
        let settings = KafkaSettings {
            brokers: self.stage.bootstrap_servers(),
            partitions: PARTITIONS,
            replication: BROKERS,
            ..KafkaSettings::default()
        };
        let publishing = Arc::clone(&self.publishing);
        self.background.spawn(async move {
            // A broker that is away for another reason is not asked again.
            let Ok(log) = settings.connect("poison").await else { return };
            for (partition, bytes) in records {
                let sha256 = Sha256::digest(&bytes);
                let sha256 =
                    sha256.iter().fold(String::new(), |text, it| format!("{text}{it:02x}"));
                let length = bytes.len() as u64;
                let at = TopicPartition::new(topics::EVENTS, partition);
                let record = NewRecord::new(at, Bytes::from("poison"), Bytes::from(bytes));
                let appended = log.append(vec![record]).await.remove(0);
                let mut ledger = publishing.ledger.lock().unwrap();
                match appended {
                    Ok(position) => {
                        let offset = position.offset;
                        ledger.poisoned(Poison { partition, offset, sha256, length });
                    }
                    Err(LogError::TooLarge { .. }) => panic!("{length} bytes are too large"),
                    Err(_) => ledger.perhaps_poisoned(sha256),
                }
            }
        });
    }

    /// Waits until publishers have ended, everything was read and everybody is ready; false when
    /// that does not come.
    pub(super) async fn rest(&mut self, publishers: &mut JoinSet<()>) -> bool {
        let deadline = Instant::now() + RECOVERY;
        let (mut calm, mut words) = (0, String::new());
        // Of the pages the judge says more than that they are missing.
        let pages_by = Instant::now() + PAGES;
        while calm < 3 && Instant::now() < deadline {
            self.go_on(Duration::MAX);
            while let Some(ended) = publishers.try_join_next() {
                ended.unwrap();
            }
            while let Some(ended) = self.background.try_join_next() {
                ended.unwrap();
            }
            let complaints = self.stage.complaints().await;
            let lag = evidence::lag(&self.stage).await;
            let going = publishers.len() + self.background.len();
            let unpaged = self.unpaged();
            words =
                format!("{going} still publish, lag {lag:?}, {unpaged} unpaged, {complaints:?}");
            let paged = unpaged == 0 || Instant::now() > pages_by;
            let done = going == 0 && complaints.is_empty() && lag == Ok(0) && paged;
            // Once more: one part may have given another work after that one was asked.
            calm = if done { calm + 1 } else { 0 };
            tokio::time::sleep(LOOK).await;
        }
        if calm < 3 {
            eprintln!("not at rest within {RECOVERY:?}: {words}\n{}", self.stage.said());
            self.examples.push(format!("not at rest within {RECOVERY:?}: {words}"));
        }
        calm == 3
    }

    /// Urgent events that had no page yet.
    fn unpaged(&self) -> usize {
        let urgent = self.publishing.ledger.lock().unwrap().urgent();
        let pages = self.stage.receiver.pages();
        let data = pages.iter().map(Page::data).filter(|data| data["family"] == "complaint");
        let reached: BTreeSet<String> = data.map(|it| it["conversation_id"].to_string()).collect();
        urgent.saturating_sub(reached.len())
    }

    /// Median and 99th percentile of how long the first page about an urgent event took.
    fn page_waits_ms(&self) -> [f64; 2] {
        let mut since = self.publishing.urgent_since.lock().unwrap().clone();
        let mut waits = Vec::new();
        for page in self.stage.receiver.pages() {
            let data = page.data();
            for reason in data["reasons"].as_array().into_iter().flatten() {
                let Some(id) = reason["event_id"].as_str() else { continue };
                // A page can overtake the answer.
                waits.extend(since.remove(id).map(|since| {
                    page.at.duration_since(since).unwrap_or_default().as_secs_f64() * 1e3
                }));
            }
        }
        waits.sort_by(f64::total_cmp);
        [0.5, 0.99].map(|share| {
            let at = (waits.len() as f64 * share).ceil() as usize;
            waits.get(at.saturating_sub(1)).copied().unwrap_or_default()
        })
    }

    pub(super) async fn judge(&mut self, run: &Run, idle: bool, recovery_s: f64) -> Report {
        let ledger = std::mem::take(&mut *self.publishing.ledger.lock().unwrap());
        let mut peak_mib: BTreeMap<String, u64> = BTreeMap::new();
        for process in self.stage.parts.values() {
            let most = peak_mib.entry(process.name.clone()).or_default();
            *most = process.peak_mib.max(*most);
        }
        let mut report = Report {
            log: run.home.name().to_owned(),
            seed: run.seed,
            minutes: run.length.as_secs_f64() / 60.0,
            events: ledger.acknowledged(),
            faults: std::mem::take(&mut self.injected),
            crashes: self.crashes,
            restarts: std::mem::take(&mut self.restarts),
            deleted_by_brokers: self.stage.deleted_by_brokers(),
            idle,
            recovery_s,
            urgent: ledger.urgent() as u64,
            peak_mib,
            ..Report::default()
        };
        let mut examples = std::mem::take(&mut self.examples);
        if !idle {
            report.verdict.examples = examples;
            // Whatever it would say of what is not there yet is not worth knowing.
            return report;
        }
        let mut judge = Judge::new(&ledger);
        // What ends while it is asked is started again.
        let mut parts = std::mem::take(&mut self.stage.parts);
        let keeping = tokio::spawn(async move {
            loop {
                for process in parts.values_mut() {
                    process.supervise();
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        let facts = evidence::collect(&self.stage, &mut judge).await;
        keeping.abort();
        // Ends them, before what they write to goes.
        keeping.await.ok();
        report.verdict = judge.verdict(&self.disturbances);
        // Those that are still there were seen while they were young.
        report.verdict.duplicate_rows +=
            facts.duplicates.max(self.young_duplicates.load(Ordering::SeqCst));
        report.differing_facts = facts.differing;
        report.pages = facts.pages;
        [report.page_p50_ms, report.page_p99_ms] = self.page_waits_ms();
        examples.append(&mut report.verdict.examples);
        examples.extend(facts.examples);
        report.verdict.examples = examples;
        report
    }
}
