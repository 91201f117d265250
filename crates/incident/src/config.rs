//! Who is told, where and in which order: the escalation part of a tenant's configuration.
//!
//! ```toml
//! [teams.default]
//! policy = "default"                  # used unless `by_family` names another
//!
//! [teams.default.policies.default]
//! repeat = 3
//! steps = [
//!     { destinations = ["floor"], delay_ms = 300000 },
//!     { on_call = ["night"], delay_ms = 300000 },       # whoever is on call then
//!     { destinations = ["floor", "managers"], delay_ms = 300000 },
//! ]
//!
//! [teams.default.quiet_hours.managers]  # nothing less than critical then
//! tz = "Asia/Shanghai"
//! weekly = { mon-sun = [["22:00", "08:00"]] }
//!
//! [[teams.default.rules]]             # the first that matches decides
//! match = { kind = ["sla.*.warning"], queue = ["vip"] }
//! page = true                         # warnings page nobody otherwise
//!
//! [teams.default.silences.migration]  # known beforehand; others are made by command
//! match = { queue = ["returns"] }
//! mode = "maintenance"
//! starts = "2026-10-01T22:00:00+08:00"
//! ends = "2026-10-02T06:00:00+08:00"
//!
//! [teams.default.destinations]
//! floor = { webhook = { url = "https://hooks.example/floor", secret = "env:FLOOR_SECRET" } }
//! managers = { webhook = { url = "https://hooks.example/managers" } }
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::destination::Destination;
use crate::hours::WeeklyHours;
use crate::policy::Policy;
use crate::rule::Rule;
use crate::schedule::Schedule;
use crate::signal::Family;
use crate::silence::{MOST_SILENCES, PlannedSilence};

/// The team that a tenant's other teams fall back to.
pub const DEFAULT_TEAM: &str = "default";
/// The policy of a team that names none. Without a definition it is one step to every
/// destination of the team.
pub const DEFAULT_POLICY: &str = "default";
/// Stands for every tenant without a configuration of its own.
pub const ANY_TENANT: &str = "*";
/// Wait after a step before the next one, unless the step says otherwise.
pub const DEFAULT_DELAY_MS: i64 = 5 * 60_000;
/// How often a policy starts again from its first step, unless it says otherwise.
pub const DEFAULT_REPEAT: u32 = 3;

/// A step shorter than this would page the next person before the first could read.
const SHORTEST_DELAY_MS: i64 = 10_000;
const DAY_MS: i64 = 24 * 60 * 60_000;
const MOST_REPEATS: u32 = 9;
const MOST_STEPS: usize = 20;
const MOST_DESTINATIONS: usize = 20;
const MOST_RULES: usize = 100;

/// A tenant's escalation settings, by team. One that exists is valid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Config {
    teams: BTreeMap<String, Team>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    /// What each team answers for, by the team that events name; a team without an entry has that of
    /// `default`. This name and all within a team are 1 to 64 characters of a-z, 0-9, _ and -.
    #[serde(default)]
    teams: BTreeMap<String, Team>,
}

impl From<Config> for Unchecked {
    fn from(config: Config) -> Self {
        Self { teams: config.teams }
    }
}

impl TryFrom<Unchecked> for Config {
    type Error = ConfigError;

    fn try_from(unchecked: Unchecked) -> Result<Self, ConfigError> {
        Self::new(unchecked.teams)
    }
}

/// What one team answers for and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Team {
    /// Policy of incidents whose family has none of its own. `default` without a definition is one
    /// step, to every destination of the team.
    pub policy: String,
    /// Policy of a family in place of `policy`, by the family.
    pub by_family: BTreeMap<Family, String>,
    /// Escalation policies by name: who is paged in which order until somebody acknowledges.
    pub policies: BTreeMap<String, Steps>,
    /// Places that can be paged, by the name that steps, schedules and quiet hours call them.
    pub destinations: BTreeMap<String, Destination>,
    /// Who is on call when, by name; members are destinations.
    pub schedules: BTreeMap<String, Schedule>,
    /// When a destination is paged for nothing less than critical, by its name. The fallback and
    /// whoever an incident is reassigned to are paged all the same.
    pub quiet_hours: BTreeMap<String, WeeklyHours>,
    /// What becomes of signals, at most 100 rules; the first that matches decides.
    pub rules: Vec<Rule>,
    /// Silences and maintenance windows that are known beforehand, by name, at most 200. Others are
    /// made by command.
    pub silences: BTreeMap<String, PlannedSilence>,
    /// For so long after an incident was resolved, a signal of the same key that is no more
    /// severe is recorded with it and pages nobody. Milliseconds, 0 to a day.
    pub cool_down_ms: i64,
    /// An acknowledged incident that is not resolved in this time starts again at the first
    /// step. Milliseconds, 10 s to a day; 0 means that an acknowledgement holds for ever.
    pub ack_timeout_ms: i64,
    /// So many open incidents of a queue page by themselves; what comes beyond them is told in one
    /// incident of kind `storm` instead, and pages by itself when there is room. 0 for no bound.
    pub most_open_per_queue: u32,
    /// Whether an open incident starts again at the first step when its severity rises, even
    /// if somebody has acknowledged it.
    pub page_on_rise: bool,
}

impl Default for Team {
    fn default() -> Self {
        Self {
            policy: DEFAULT_POLICY.to_owned(),
            by_family: BTreeMap::new(),
            policies: BTreeMap::new(),
            destinations: BTreeMap::new(),
            schedules: BTreeMap::new(),
            quiet_hours: BTreeMap::new(),
            rules: Vec::new(),
            silences: BTreeMap::new(),
            cool_down_ms: 5 * 60_000,
            ack_timeout_ms: 10 * 60_000,
            most_open_per_queue: 0,
            page_on_rise: false,
        }
    }
}

/// An escalation policy: who is paged in which order until somebody acknowledges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    /// Taken in this order, 1 to 20.
    pub steps: Vec<Step>,
    /// How often the steps start again from the first when nobody has acknowledged, 0 to 9.
    #[serde(default = "default_repeat")]
    pub repeat: u32,
    /// Names of destinations, up to 20, paged once when the policy has come to its end, and at once
    /// when no step has anybody to page.
    #[serde(default)]
    pub fallback: Vec<String>,
}

fn default_repeat() -> u32 {
    DEFAULT_REPEAT
}

/// One step of a policy: all its destinations are paged at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Names of destinations, up to 20, all paged at once; may be left out beside `on_call`. When
    /// every page of a step has failed for good, the next step of the pass does not wait.
    #[serde(default)]
    pub destinations: Vec<String>,
    /// Names of schedules, up to 20: whoever is on call when the step is taken; may be left out
    /// beside `destinations`. A step that has nobody to page is passed over at once.
    #[serde(default)]
    pub on_call: Vec<String>,
    /// Wait after this step before the next, 10 s to 24 h, in milliseconds.
    #[serde(default = "default_delay_ms")]
    pub delay_ms: i64,
}

fn default_delay_ms() -> i64 {
    DEFAULT_DELAY_MS
}

/// A value that cannot be used, with the place where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ConfigError {
    /// Path of the field, such as `teams.default.policies.night.steps[0].delay_ms`.
    pub field: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

pub(crate) fn wrong<T>(
    field: impl Into<String>,
    problem: impl Into<String>,
) -> Result<T, ConfigError> {
    Err(ConfigError { field: field.into(), problem: problem.into() })
}

impl Config {
    /// Checks the teams. A destination that is named but not defined, a delay out of range and
    /// the like are errors that name the field.
    pub fn new(teams: BTreeMap<String, Team>) -> Result<Self, ConfigError> {
        for (name, team) in &teams {
            let field = format!("teams.{name}");
            check_name(&field, name)?;
            team.check(&field)?;
        }
        Ok(Self { teams })
    }

    /// The teams by name.
    pub fn teams(&self) -> &BTreeMap<String, Team> {
        &self.teams
    }

    /// The settings of a team, or else those of the team `default`.
    pub fn team(&self, name: &str) -> Option<&Team> {
        self.teams.get(name).or_else(|| self.teams.get(DEFAULT_TEAM))
    }
}

impl Team {
    /// Families whose incidents page no person: their policy names nothing but `watch`, where
    /// nobody may be looking, or there is no destination at all.
    pub fn silent_families(&self) -> Vec<Family> {
        let pages =
            |name: &str| self.destinations.get(name).is_some_and(Destination::pages_somebody);
        let mut families = Vec::from(Family::ALL);
        let names = |policy: &Policy| -> Vec<String> {
            let schedules = policy.schedules().filter_map(|name| self.schedules.get(name));
            let members = schedules.flat_map(Schedule::members);
            policy.destinations().chain(members).map(str::to_owned).collect()
        };
        families
            .retain(|family| !names(&Policy::of("", self, *family)).iter().any(|name| pages(name)));
        families
    }

    fn check(&self, field: &str) -> Result<(), ConfigError> {
        for (name, destination) in &self.destinations {
            let field = format!("{field}.destinations.{name}");
            check_name(&field, name)?;
            destination.check(&field)?;
        }
        self.check_times(field)?;
        for (name, policy) in &self.policies {
            let field = format!("{field}.policies.{name}");
            check_name(&field, name)?;
            self.check_policy(&field, policy)?;
        }
        self.check_policy_name(&format!("{field}.policy"), &self.policy)?;
        for (name, silence) in &self.silences {
            let field = format!("{field}.silences.{name}");
            check_name(&field, name)?;
            if silence.matcher.is_empty() {
                return wrong(format!("{field}.match"), "empty; give at least one condition");
            }
            if silence.ends <= silence.starts {
                return wrong(format!("{field}.ends"), "not after it starts");
            }
        }
        if self.silences.len() > MOST_SILENCES {
            let count = self.silences.len();
            let problem = format!("{count} silences; at most {MOST_SILENCES}");
            return wrong(format!("{field}.silences"), problem);
        }
        if self.rules.len() > MOST_RULES {
            let count = self.rules.len();
            return wrong(format!("{field}.rules"), format!("{count} rules; at most {MOST_RULES}"));
        }
        for (family, name) in &self.by_family {
            self.check_policy_name(&format!("{field}.by_family.{family}"), name)?;
        }
        check_range(&format!("{field}.cool_down_ms"), self.cool_down_ms, 0)?;
        check_range(&format!("{field}.ack_timeout_ms"), self.ack_timeout_ms, 0)?;
        if (1..SHORTEST_DELAY_MS).contains(&self.ack_timeout_ms) {
            return wrong(
                format!("{field}.ack_timeout_ms"),
                format!("{} is neither 0 nor at least {SHORTEST_DELAY_MS}", self.ack_timeout_ms),
            );
        }
        Ok(())
    }

    fn check_policy_name(&self, field: &str, name: &str) -> Result<(), ConfigError> {
        if name == DEFAULT_POLICY || self.policies.contains_key(name) {
            return Ok(());
        }
        wrong(field, format!("no policy is called {name:?}; define it under policies"))
    }

    fn check_policy(&self, field: &str, policy: &Steps) -> Result<(), ConfigError> {
        if !(1..=MOST_STEPS).contains(&policy.steps.len()) {
            let count = policy.steps.len();
            return wrong(
                format!("{field}.steps"),
                format!("{count} steps; give 1 to {MOST_STEPS}"),
            );
        }
        if policy.repeat > MOST_REPEATS {
            return wrong(
                format!("{field}.repeat"),
                format!("{} is over {MOST_REPEATS}", policy.repeat),
            );
        }
        for (index, step) in policy.steps.iter().enumerate() {
            let field = format!("{field}.steps[{index}]");
            check_range(&format!("{field}.delay_ms"), step.delay_ms, SHORTEST_DELAY_MS)?;
            if step.destinations.is_empty() && step.on_call.is_empty() {
                return wrong(format!("{field}.destinations"), "empty; name at least one");
            }
            self.check_schedules(&format!("{field}.on_call"), &step.on_call)?;
            self.check_destinations(&format!("{field}.destinations"), &step.destinations)?;
        }
        self.check_destinations(&format!("{field}.fallback"), &policy.fallback)
    }

    fn check_schedules(&self, field: &str, names: &[String]) -> Result<(), ConfigError> {
        if names.len() > MOST_DESTINATIONS {
            let count = names.len();
            return wrong(field, format!("{count} schedules; at most {MOST_DESTINATIONS}"));
        }
        for name in names {
            if !self.schedules.contains_key(name) {
                return wrong(
                    field,
                    format!("no schedule is called {name:?}; define it under schedules"),
                );
            }
        }
        Ok(())
    }

    fn check_times(&self, field: &str) -> Result<(), ConfigError> {
        let unknown =
            |name: &str| format!("no destination is called {name:?}; define it under destinations");
        for (name, schedule) in &self.schedules {
            let field = format!("{field}.schedules.{name}");
            check_name(&field, name)?;
            let mut members = schedule.members();
            if let Some(member) = members.find(|member| !self.destinations.contains_key(*member)) {
                return wrong(field, unknown(member));
            }
            if schedule.members().next().is_none() {
                return wrong(field, "nobody is ever on call; give layers or overrides");
            }
        }
        for (name, hours) in &self.quiet_hours {
            let field = format!("{field}.quiet_hours.{name}");
            if !self.destinations.contains_key(name) {
                return wrong(field, unknown(name));
            }
            if hours.is_always() {
                return wrong(field, "always quiet; take the destination out of its steps instead");
            }
        }
        Ok(())
    }

    fn check_destinations(&self, field: &str, names: &[String]) -> Result<(), ConfigError> {
        if names.len() > MOST_DESTINATIONS {
            let count = names.len();
            return wrong(field, format!("{count} destinations; at most {MOST_DESTINATIONS}"));
        }
        let mut seen = BTreeSet::new();
        for name in names {
            if !self.destinations.contains_key(name) {
                return wrong(
                    field,
                    format!("no destination is called {name:?}; define it under destinations"),
                );
            }
            if !seen.insert(name) {
                return wrong(field, format!("{name:?} is named twice"));
            }
        }
        Ok(())
    }
}

fn check_name(field: &str, name: &str) -> Result<(), ConfigError> {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    wrong(field, "names are 1 to 64 characters of a-z, 0-9, _ and -")
}

fn check_range(field: &str, value: i64, least: i64) -> Result<(), ConfigError> {
    if (least..=DAY_MS).contains(&value) {
        return Ok(());
    }
    wrong(field, format!("{value} is not within {least} and {DAY_MS}"))
}
