//! Which faults happen when. Pure: the same seed gives the same plan.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// Where the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// In the one process of `zhili up`.
    Embedded,
    /// At three brokers, with two replicas of each service.
    Kafka,
}

impl Home {
    /// As the command line has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Kafka => "kafka",
        }
    }
}

/// What is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The whole system; with the embedded log one program, `zhili up`.
    Everything,
    /// A replica of a service.
    Service(&'static str, u16),
    /// ClickHouse, or the way to it.
    Store,
    /// A broker, or the way to it.
    Broker(u16),
    /// The way to whoever takes the pages.
    Pages,
}

impl Part {
    /// In reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Everything => "zhili up",
            Self::Service(name, _) => name,
            Self::Store => "store",
            Self::Broker(_) => "broker",
            Self::Pages => "pages",
        }
    }

    /// Whether only one of the two is hit at a time. Of three brokers two take what is published, and what
    /// is promised of Kafka is promised while they are there.
    fn excludes(self, other: Self) -> bool {
        self == other || matches!((self, other), (Self::Broker(_), Self::Broker(_)))
    }
}

/// How many brokers there are: what is acknowledged is on two of them.
pub const BROKERS: u16 = 3;

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// SIGKILL; it is started again at the end.
    Kill,
    /// SIGTERM; it is started again at the end.
    Stop,
    /// SIGSTOP, and SIGCONT at the end.
    Pause,
    /// No connection to it lives or is made.
    Cut,
    /// Everything to and from it is late.
    Slow,
    /// It answers every request that it cannot.
    Errors,
    /// Connections break in the middle of what is sent to it.
    Break,
    /// It takes everything; nobody hears of it, and then the connection breaks.
    Silence,
    /// Its disk is full.
    FullDisk,
    /// Its disk refuses every write.
    DeadDisk,
    /// Its clock goes ahead, and back at the end.
    Ahead,
    /// Its clock goes back, and ahead at the end.
    Behind,
    /// A replica of each service that reads the log leaves or joins every 5 s.
    Storm,
    /// Bytes that are no event are published into its topic of events.
    Poison,
    /// Publishers send as much as they can.
    Overload,
}

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// What happens.
    pub action: Action,
    /// To whom.
    pub part: Part,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Kill => "kill",
            Action::Stop => "stop",
            Action::Pause => "pause",
            Action::Cut => "cut",
            Action::Slow => "slow",
            Action::Errors => "errors",
            Action::Break => "break",
            Action::Silence => "silence",
            Action::FullDisk => "full disk",
            Action::DeadDisk => "dead disk",
            Action::Ahead => "clock ahead",
            Action::Behind => "clock behind",
            Action::Storm => return f.write_str("rebalance storm"),
            Action::Poison => return f.write_str("poison"),
            Action::Overload => return f.write_str("overload"),
        };
        write!(f, "{action}: {}", self.part.name())
    }
}

/// A fault with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Since the beginning of the run.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What it is.
    pub fault: Fault,
}

/// Rest between two rounds: enough to start again, not always enough to catch up.
const REST_MS: std::ops::Range<u64> = 2_000..12_000;
/// A service that is away or stands still this long has lost its partitions to the other one.
const MOST_MS: u64 = 60_000;
/// Of 100 rounds, those with two faults at a time, and those with three.
const DOUBLE: u32 = 30;
const TRIPLE: u32 = 15;

/// Every kind of fault that a log has; those of disks only where `disks` can be filled.
pub fn menu(home: Home, disks: bool) -> Vec<Fault> {
    use Action::{
        Ahead, Behind, Break, Cut, DeadDisk, Errors, FullDisk, Kill, Overload, Pause, Poison,
        Silence, Slow, Stop, Storm,
    };
    let mut menu = Vec::new();
    let mut add = |part: Part, actions: &[Action]| {
        menu.extend(actions.iter().map(|action| Fault { action: *action, part }));
    };
    add(Part::Store, &[Kill, Stop, Pause, Cut, Slow, Errors, Break, Silence, DeadDisk]);
    // Pages are smaller than what a way breaks.
    add(Part::Pages, &[Cut, Slow, Errors, Silence]);
    match home {
        Home::Embedded => {
            add(Part::Everything, &[Kill, Stop, Pause, Ahead, Behind, DeadDisk, Overload]);
        }
        Home::Kafka => {
            for name in ["ingest", "scoring", "escalation", "metrics"] {
                for replica in 0..2 {
                    add(Part::Service(name, replica), &[Kill, Pause]);
                }
                add(Part::Service(name, 0), &[Stop, Ahead]);
                add(Part::Service(name, 1), &[Behind]);
            }
            for broker in 0..BROKERS {
                add(Part::Broker(broker), &[Kill, Pause]);
            }
            add(Part::Broker(0), &[Stop, Break]);
            add(Part::Broker(1), &[Cut, Silence, DeadDisk]);
            add(Part::Broker(2), &[Slow]);
            add(Part::Everything, &[Storm, Poison, Overload]);
        }
    }
    if disks {
        add(Part::Store, &[FullDisk]);
        match home {
            Home::Embedded => add(Part::Everything, &[FullDisk]),
            Home::Kafka => add(Part::Broker(2), &[FullDisk]),
        }
    }
    menu
}

/// Faults of `menu` over `length`, singly and mixed, each kind as often as any other; none lasts
/// beyond the end. In a short run none lasts longer than a third of it.
pub fn plan(seed: u64, menu: &[Fault], length: Duration) -> Vec<Planned> {
    let mut random = StdRng::seed_from_u64(seed);
    let most_ms = MOST_MS.min(length.as_millis() as u64 / 3);
    let end_ms = length.as_millis() as u64;
    let mut bag: Vec<Fault> = Vec::new();
    let mut plan = Vec::new();
    let mut now_ms = random.random_range(REST_MS).min(most_ms);
    loop {
        let dice = random.random_range(0..100);
        let together = 1 + usize::from(dice < DOUBLE) + usize::from(dice < TRIPLE);
        let mut round: Vec<Planned> = Vec::new();
        while round.len() < together {
            if bag.is_empty() {
                bag = menu.to_vec();
                bag.shuffle(&mut random);
            }
            let Some(fault) = bag.pop() else { return plan };
            // One thing at a time to one part: what is dead cannot stand still.
            if round.iter().any(|other| other.fault.part.excludes(fault.part)) {
                bag.insert(0, fault);
                break;
            }
            let lasts_ms = lasts_ms(&mut random, fault.action, most_ms);
            let at_ms = now_ms + if round.is_empty() { 0 } else { random.random_range(0..3_000) };
            round.push(Planned {
                at: Duration::from_millis(at_ms),
                lasts: Duration::from_millis(lasts_ms),
                fault,
            });
        }
        let over = round.iter().map(|it| (it.at + it.lasts).as_millis() as u64).max();
        let over_ms = over.unwrap_or(now_ms);
        if over_ms > end_ms {
            return plan;
        }
        plan.append(&mut round);
        plan.sort_by_key(|planned| planned.at);
        now_ms = over_ms + random.random_range(REST_MS).min(most_ms);
    }
}

fn lasts_ms(random: &mut StdRng, action: Action, most_ms: u64) -> u64 {
    let lasts_ms = match action {
        // Mostly short, so that there are many; now and then for as long as is promised.
        Action::Kill | Action::Stop if random.random_bool(0.7) => random.random_range(0..1_500),
        Action::Pause if random.random_bool(0.5) => random.random_range(200..3_000),
        Action::Pause => random.random_range(3_000..25_000),
        Action::Storm => random.random_range(25_000..45_000),
        Action::Poison => 0,
        Action::Overload => random.random_range(5_000..20_000),
        Action::Silence | Action::Break => random.random_range(1_000..20_000),
        _ => random.random_range(5_000..MOST_MS),
    };
    lasts_ms.min(most_ms)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const HALF_AN_HOUR: Duration = Duration::from_secs(1_800);

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_seed_another() {
        let menu = menu(Home::Kafka, true);
        assert_eq!(plan(1, &menu, HALF_AN_HOUR), plan(1, &menu, HALF_AN_HOUR));
        assert_ne!(plan(1, &menu, HALF_AN_HOUR), plan(2, &menu, HALF_AN_HOUR));
    }

    #[test]
    fn in_half_an_hour_every_kind_of_fault_happens_on_each_log() {
        for home in [Home::Embedded, Home::Kafka] {
            let menu = menu(home, true);
            for seed in 1..20 {
                let mut counts: BTreeMap<Fault, u32> = BTreeMap::new();
                for planned in plan(seed, &menu, HALF_AN_HOUR) {
                    *counts.entry(planned.fault).or_default() += 1;
                }
                assert_eq!(counts.len(), menu.len(), "{home:?}, seed {seed}: {counts:?}");
            }
        }
    }

    #[test]
    fn faults_come_singly_and_mixed_and_none_to_what_another_holds() {
        let plan = plan(3, &menu(Home::Kafka, true), HALF_AN_HOUR);
        let mut mixed = 0;
        for (at, one) in plan.iter().enumerate() {
            assert!(one.at + one.lasts <= HALF_AN_HOUR);
            for other in &plan[at + 1..] {
                if other.at < one.at + one.lasts {
                    assert!(!one.fault.part.excludes(other.fault.part), "{one:?} and {other:?}");
                    mixed += 1;
                }
            }
        }
        assert!(mixed > 3 && mixed < plan.len(), "{mixed} of {}", plan.len());
    }

    #[test]
    fn a_short_run_ends_in_time_and_has_faults() {
        for seed in 0..50 {
            let length = Duration::from_secs(30);
            let plan = plan(seed, &menu(Home::Embedded, false), length);
            assert!(!plan.is_empty(), "seed {seed}");
            assert!(plan.iter().all(|planned| planned.at + planned.lasts <= length), "{plan:?}");
        }
    }
}
