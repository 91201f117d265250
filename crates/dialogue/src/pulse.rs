//! Many complaints about one thing at once: what a tenant's complaints are about, against what is
//! usual.
//!
//! A fold of conversations states the cycles whose customers begin to complain; each is a [`Count`]
//! of its topic, its product and its region. [`Pulse`] adds up those of a tenant from all partitions
//! and tells of a burst.
//!
//! Risk, 0 to 100, is 100 * likelihood * severity * scope over the last window:
//! - likelihood: how far the number n is above the usual u, 2 * (sqrt(n) - sqrt(u)) standard
//!   deviations of a Poisson count, of which 6 count as certain;
//! - severity: mean weight of the complaints, 0.4, urgent ones 0.7, dangerous ones 1;
//! - scope: n / (n + 20).

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::output::{Complaint, Family, Output, Severity, Signal, SignalKind};
use crate::snapshot::{self, SnapshotError};
use crate::statement::signal_id;

const MINUTE_MS: i64 = 60 * 1000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Weights of complaints, in tenths: plain, urgent, dangerous.
const WEIGHTS: [u32; 3] = [4, 7, 10];
/// Values that are followed for a tenant; those that were quiet for the longest are forgotten.
const FOLLOWED: usize = 10_000;
/// Characters of a value that are kept.
const VALUE_CHARS: usize = 64;
/// Conversations that a signal names.
const RELATED: usize = 10;
/// A usual number below this counts as this: three complaints where there are none is no crisis.
const LEAST_USUAL: f64 = 1.0;
/// Standard deviations above the usual that make a burst certain.
const CERTAIN: f64 = 6.0;
/// Complaints at which half of the scope is reached.
const HALF_SCOPE: f64 = 20.0;
/// What is usual is not known before so much has been seen.
const KNOWN_MS: i64 = HOUR_MS;
/// A burst is not told again for so long, unless it gets worse: twice the time after which it is
/// known what is usual, so that a new system does not take its first usual hours for bursts.
const ONE_BURST_MS: i64 = 2 * KNOWN_MS;
/// Counts so much older than the log are history.
const HISTORICAL_MS: i64 = 24 * HOUR_MS;
/// Tenant whose settings hold for all that have none.
const ANY_TENANT: &str = "*";
const DEFAULT_TEAM: &str = "default";

/// First bytes of every snapshot, and what changes with the layout of the state.
const MAGIC: [u8; 4] = *b"ZPLS";
const VERSION: u16 = 1;

/// What a complaint is about. Empty values are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dimensions<'a> {
    /// Key of a topic, such as `refund`.
    pub topic: &'a str,
    /// Product, as the platform names it.
    pub sku: &'a str,
    /// Where the customer is, as the platform names it.
    pub region: &'a str,
}

impl<'a> Dimensions<'a> {
    fn each(self) -> impl Iterator<Item = (&'static str, &'a str)> {
        let all = [("topic", self.topic), ("sku", self.sku), ("region", self.region)];
        all.into_iter().filter(|(_, value)| !value.is_empty())
    }
}

/// A complaint about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Owner of the conversation.
    pub tenant: String,
    /// Log time of the message, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// `topic`, `sku` or `region`.
    pub dimension: String,
    /// Which one.
    pub value: String,
    /// 1 for a cycle whose customer begins to complain, 0 for one that gets worse.
    pub cycles: u32,
    /// Its weight in tenths, or by how much it got worse.
    pub weight: u32,
    /// The conversation.
    pub conversation_id: String,
}

impl Count {
    /// What a complaint at log time `now_ms` counts for; historical ones count for nothing.
    pub fn of(
        complaint: &Complaint,
        about: Dimensions<'_>,
        now_ms: i64,
    ) -> impl Iterator<Item = Self> {
        let level = usize::from(complaint.urgent) + usize::from(complaint.dangerous);
        let known = if complaint.again { WEIGHTS[0] } else { 0 };
        let is_news = !complaint.historical;
        about.each().filter(move |_| is_news).map(move |(dimension, value)| Self {
            tenant: complaint.tenant.clone(),
            at_ms: now_ms,
            dimension: dimension.to_owned(),
            value: value.chars().take(VALUE_CHARS).collect(),
            cycles: u32::from(!complaint.again),
            weight: WEIGHTS[level] - known,
            conversation_id: complaint.conversation_id.clone(),
        })
    }
}

/// When complaints about one thing are a burst.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct PulsePolicy {
    unchecked: Unchecked,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Unchecked {
    /// Length of the window in which complaints are counted, 1 to 60 minutes.
    window_minutes: u32,
    /// What is usual is the mean over so many hours before the window, 1 to 168.
    usual_hours: u32,
    /// Fewer complaints in a window are never a burst, 1 to 1000.
    least: u32,
    /// Risk from which a signal is a warning, above 0 and at most `high`.
    warning: f64,
    /// Risk from which its severity is high, at most `critical`.
    high: f64,
    /// Risk from which it is critical, at most 100.
    critical: f64,
    /// Team of `[escalation]` that is told.
    team: String,
}

impl Default for Unchecked {
    fn default() -> Self {
        Self {
            window_minutes: 10,
            usual_hours: 24,
            least: 5,
            warning: 10.0,
            high: 25.0,
            critical: 50.0,
            team: DEFAULT_TEAM.to_owned(),
        }
    }
}

impl Default for PulsePolicy {
    /// 10 minutes against the day before.
    fn default() -> Self {
        Self { unchecked: Unchecked::default() }
    }
}

impl TryFrom<Unchecked> for PulsePolicy {
    type Error = &'static str;

    fn try_from(unchecked: Unchecked) -> Result<Self, Self::Error> {
        let Unchecked { window_minutes, usual_hours, least, warning, high, critical, team } =
            &unchecked;
        if !(1..=60).contains(window_minutes) {
            return Err("window_minutes is 1 to 60");
        }
        if !(1..=168).contains(usual_hours) {
            return Err("usual_hours is 1 to 168");
        }
        if !(1..=1000).contains(least) {
            return Err("least is 1 to 1000");
        }
        let rising = 0.0 < *warning && warning <= high && high <= critical && *critical <= 100.0;
        if !rising {
            return Err("warning, high and critical rise from above 0 to 100");
        }
        if team.is_empty() {
            return Err("team is not empty");
        }
        Ok(Self { unchecked })
    }
}

impl From<PulsePolicy> for Unchecked {
    fn from(policy: PulsePolicy) -> Self {
        policy.unchecked
    }
}

impl PulsePolicy {
    fn window_ms(&self) -> i64 {
        i64::from(self.unchecked.window_minutes) * MINUTE_MS
    }

    fn usual_ms(&self) -> i64 {
        i64::from(self.unchecked.usual_hours) * HOUR_MS
    }

    fn severity(&self, risk: f64) -> Option<Severity> {
        let Unchecked { warning, high, critical, .. } = self.unchecked;
        if risk >= critical {
            Some(Severity::Critical)
        } else if risk >= high {
            Some(Severity::High)
        } else if risk >= warning {
            Some(Severity::Warning)
        } else {
            None
        }
    }
}

/// The fold of one partition of counts. The same records give the same outputs bit for bit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pulse {
    settings: BTreeMap<String, (u64, Option<PulsePolicy>)>,
    tenants: BTreeMap<String, Tenant>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tenant {
    /// First and last complaint that was counted.
    since_ms: i64,
    now_ms: i64,
    things: BTreeMap<(String, String), Thing>,
}

/// Something that people complain about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Thing {
    /// By minute.
    minutes: BTreeMap<i64, Minute>,
    /// Latest last.
    conversations: VecDeque<String>,
    burst: Option<Burst>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Minute {
    cycles: u32,
    /// Sum of weights, in tenths.
    weight: u32,
}

/// A burst that has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Burst {
    since_ms: i64,
    severity: Severity,
}

/// What a window comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reading {
    cycles: u32,
    usual: f64,
    likelihood: f64,
    risk: f64,
}

impl Pulse {
    /// Version of the state's layout and meaning; a state of another one cannot be restored.
    pub const STATE_VERSION: u16 = VERSION;

    /// An empty fold.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a tenant's settings in force; a sequence that is not above the one in force changes
    /// nothing. Tenant `*` stands for all that have none of their own.
    pub fn configure(&mut self, tenant: &str, sequence: u64, policy: Option<PulsePolicy>) {
        if sequence > self.config_sequence(tenant) {
            self.settings.insert(tenant.to_owned(), (sequence, policy));
        }
    }

    /// Sequence of a tenant's settings in force; 0 if it has none.
    pub fn config_sequence(&self, tenant: &str) -> u64 {
        self.settings.get(tenant).map_or(0, |&(sequence, _)| sequence)
    }

    fn policy(&self, tenant: &str) -> PulsePolicy {
        let of = |tenant: &str| self.settings.get(tenant).and_then(|(_, policy)| policy.clone());
        of(tenant).or_else(|| of(ANY_TENANT)).unwrap_or_default()
    }

    /// Folds a count that was appended to the log at `at_ms`; tells of a burst that begins or gets
    /// worse. Counts may come late and in any order; the latest one of the tenant is now.
    pub fn apply(&mut self, at_ms: i64, count: &Count, out: &mut Vec<Output>) {
        let policy = self.policy(&count.tenant);
        let tenant = self.tenants.entry(count.tenant.clone()).or_insert_with(|| Tenant {
            since_ms: count.at_ms,
            now_ms: count.at_ms,
            things: BTreeMap::new(),
        });
        tenant.since_ms = tenant.since_ms.min(count.at_ms);
        tenant.now_ms = tenant.now_ms.max(count.at_ms);
        let (since_ms, now_ms) = (tenant.since_ms, tenant.now_ms);
        let key = (count.dimension.clone(), count.value.clone());
        let thing = tenant.things.entry(key).or_default();
        // A burst is over once its risk has fallen to half of what is worth telling.
        if let Some(burst) = thing.burst
            && now_ms - burst.since_ms >= ONE_BURST_MS
            && thing.reading(since_ms, now_ms, &policy).risk < policy.unchecked.warning / 2.0
        {
            thing.burst = None;
        }
        thing.add(count);
        thing.forget(now_ms.saturating_sub(policy.usual_ms()));
        let reading = thing.reading(since_ms, now_ms, &policy);
        let is_enough = reading.cycles >= policy.unchecked.least;
        if let Some(severity) = policy.severity(reading.risk).filter(|_| is_enough)
            && thing.burst.is_none_or(|burst| severity > burst.severity)
        {
            let began_ms = thing.burst.map_or(count.at_ms, |burst| burst.since_ms);
            thing.burst = Some(Burst { since_ms: began_ms, severity });
            let historical = now_ms < at_ms.saturating_sub(HISTORICAL_MS);
            let burst = Told { count, began_ms, now_ms, severity, reading, historical };
            out.push(Output::Signal(burst.signal(thing, &policy)));
        }
        tenant.forget();
    }

    /// Forgets which conversations that `gone` names, by tenant and pseudonym, complained. What
    /// they counted for stays counted.
    pub fn erase(&mut self, gone: impl Fn(&str, &str) -> bool) {
        for (name, tenant) in &mut self.tenants {
            for thing in tenant.things.values_mut() {
                thing.conversations.retain(|conversation| !gone(name, conversation));
            }
        }
    }

    /// The whole state. Folds restored from it go on exactly as this one does.
    pub fn snapshot(&self) -> Vec<u8> {
        snapshot::with_version(MAGIC, VERSION, self)
    }

    /// The fold that [`snapshot`](Self::snapshot) was taken of.
    ///
    /// # Errors
    /// When the bytes are something else, of another version, or damaged.
    pub fn restore(bytes: &[u8]) -> Result<Self, SnapshotError> {
        snapshot::of_version(MAGIC, VERSION, bytes)
    }
}

impl Tenant {
    /// Forgets what is quiet for the longest if there is too much.
    fn forget(&mut self) {
        while self.things.len() > FOLLOWED {
            let last = |thing: &Thing| thing.minutes.last_key_value().map(|(&minute, _)| minute);
            let quiet = self.things.iter().min_by_key(|(_, thing)| last(thing));
            let Some(key) = quiet.map(|(key, _)| key.clone()) else { return };
            self.things.remove(&key);
        }
    }
}

impl Thing {
    fn add(&mut self, count: &Count) {
        let minute = self.minutes.entry(count.at_ms.div_euclid(MINUTE_MS)).or_default();
        minute.cycles = minute.cycles.saturating_add(count.cycles);
        minute.weight = minute.weight.saturating_add(count.weight);
        self.conversations.retain(|other| *other != count.conversation_id);
        self.conversations.push_back(count.conversation_id.clone());
        while self.conversations.len() > RELATED {
            self.conversations.pop_front();
        }
    }

    /// Forgets the minutes before.
    fn forget(&mut self, before_ms: i64) {
        let kept = self.minutes.split_off(&before_ms.div_euclid(MINUTE_MS));
        self.minutes = kept;
    }

    /// The window that ends at `now_ms`.
    fn reading(&self, since_ms: i64, now_ms: i64, policy: &PulsePolicy) -> Reading {
        let end = now_ms.div_euclid(MINUTE_MS);
        let begin = end - i64::from(policy.unchecked.window_minutes) + 1;
        let sum = |from: i64, to: i64| {
            self.minutes.range(from..to).fold(Minute::default(), |sum, (_, minute)| Minute {
                cycles: sum.cycles.saturating_add(minute.cycles),
                weight: sum.weight.saturating_add(minute.weight),
            })
        };
        let now = sum(begin, end + 1);
        let before = sum(end - policy.usual_ms() / MINUTE_MS, begin);
        let seen_ms = (begin * MINUTE_MS - since_ms).min(policy.usual_ms() - policy.window_ms());
        let usual = if seen_ms >= KNOWN_MS {
            f64::from(before.cycles) * policy.window_ms() as f64 / seen_ms as f64
        } else {
            0.0
        };
        let usual = usual.max(LEAST_USUAL);
        let n = f64::from(now.cycles);
        let above = 2.0 * (n.sqrt() - usual.sqrt());
        let likelihood = (above / CERTAIN).clamp(0.0, 1.0);
        let severity = if now.cycles == 0 { 0.0 } else { f64::from(now.weight) / (10.0 * n) };
        let scope = n / (n + HALF_SCOPE);
        let risk = 100.0 * likelihood * severity.min(1.0) * scope;
        Reading { cycles: now.cycles, usual, likelihood, risk }
    }
}

/// A burst that is told.
struct Told<'a> {
    count: &'a Count,
    began_ms: i64,
    now_ms: i64,
    severity: Severity,
    reading: Reading,
    historical: bool,
}

impl Told<'_> {
    fn signal(self, thing: &Thing, policy: &PulsePolicy) -> Signal {
        let Count { tenant, dimension, value, .. } = self.count;
        let kind = SignalKind::Burst;
        // No conversation of the platform's: their ids are pseudonyms without such a sign.
        let conversation_id = format!("pulse:{dimension}:{value}");
        let (began, severity) = (self.began_ms.to_string(), format!("{:?}", self.severity));
        let parts: [&str; 5] = [tenant, &conversation_id, kind.name(), &began, &severity];
        let Reading { cycles, usual, likelihood, risk } = self.reading;
        let minutes = policy.unchecked.window_minutes;
        Signal {
            signal_id: signal_id(&parts),
            tenant: tenant.clone(),
            family: Family::Crisis,
            kind,
            category: "crisis".to_owned(),
            severity: self.severity,
            event_id: String::new(),
            effective_ms: self.now_ms,
            probability: likelihood,
            rules: vec![
                format!("burst.{dimension}"),
                format!("{cycles}_in_{minutes}min_usual_{usual:.1}"),
                format!("risk_{risk:.0}"),
            ],
            related: thing.conversations.iter().rev().cloned().collect(),
            agent: String::new(),
            customer: String::new(),
            channel: String::new(),
            queue: String::new(),
            team: policy.unchecked.team.clone(),
            historical: self.historical,
            conversation_id,
        }
    }
}
