//! The escalation policy as an incident took it along when it started.

use serde::{Deserialize, Serialize};

use crate::config::{Config, DEFAULT_DELAY_MS, DEFAULT_POLICY, DEFAULT_REPEAT, Step, Steps, Team};
use crate::signal::Family;

/// A policy at the moment an incident started. Later changes of the configuration do not touch
/// its order and delays, unless none of its destinations is left: then the incident takes the
/// policy of now. What a destination's name stands for is looked up at every attempt, so
/// that a corrected address or a new secret serves pages that are still being tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name in the team.
    pub name: String,
    /// The configuration bundle it was taken from; empty for the built-in one.
    pub bundle: String,
    /// The steps; empty if the team has no destination at all.
    pub steps: Vec<Step>,
    /// How often the steps start again.
    pub repeat: u32,
    /// Paged once at the end.
    pub fallback: Vec<String>,
    /// The destination that somebody has given the incident to; its first step.
    pub assigned: Option<String>,
    /// [`Team::cool_down_ms`].
    pub cool_down_ms: i64,
    /// [`Team::ack_timeout_ms`].
    pub ack_timeout_ms: i64,
    /// [`Team::page_on_rise`].
    pub page_on_rise: bool,
}

impl Policy {
    /// The policy of a family in a team, from the tenant's configuration if there is one.
    pub(crate) fn resolve(config: Option<(&str, &Config)>, team: &str, family: Family) -> Self {
        let built_in = Team::default();
        match config {
            Some((bundle, config)) => {
                Self::of(bundle, config.team(team).unwrap_or(&built_in), family)
            }
            None => Self::of("", &built_in, family),
        }
    }

    pub(crate) fn of(bundle: &str, team: &Team, family: Family) -> Self {
        Self::called(bundle, team, team.by_family.get(&family).unwrap_or(&team.policy))
    }

    /// The policy of this name, for an incident that somebody gives to it; `None` if the team has
    /// none.
    pub(crate) fn named(config: Option<(&str, &Config)>, team: &str, name: &str) -> Option<Self> {
        let (bundle, config) = config?;
        let team = config.team(team)?;
        let known = team.policies.contains_key(name) || name == DEFAULT_POLICY;
        known.then(|| Self::called(bundle, team, name))
    }

    fn called(bundle: &str, team: &Team, name: &str) -> Self {
        let steps = team.policies.get(name).cloned().unwrap_or_else(|| every_destination(team));
        Self {
            name: if team.policies.contains_key(name) { name } else { DEFAULT_POLICY }.to_owned(),
            bundle: bundle.to_owned(),
            steps: steps.steps,
            repeat: steps.repeat,
            fallback: steps.fallback,
            assigned: None,
            cool_down_ms: team.cool_down_ms,
            ack_timeout_ms: team.ack_timeout_ms,
            page_on_rise: team.page_on_rise,
        }
    }

    /// This policy with a step before all others, to the destination that somebody has given the
    /// incident to. A step that was put there before goes.
    pub(crate) fn assigned_to(&self, destination: &str) -> Self {
        let mut policy = self.clone();
        if policy.assigned.replace(destination.to_owned()).is_some() {
            policy.steps.remove(0);
        }
        let delay_ms = policy.steps.first().map_or(DEFAULT_DELAY_MS, |step| step.delay_ms);
        let destinations = vec![destination.to_owned()];
        policy.steps.insert(0, Step { destinations, on_call: Vec::new(), delay_ms });
        policy
    }

    /// Whether there is anybody to page at all.
    pub fn has_destination(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Names of all schedules.
    pub fn schedules(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().flat_map(|step| &step.on_call).map(String::as_str)
    }

    /// Names of all destinations, of the steps and of the fallback.
    pub fn destinations(&self) -> impl Iterator<Item = &str> {
        let steps = self.steps.iter().flat_map(|step| &step.destinations);
        steps.chain(&self.fallback).map(String::as_str)
    }
}

/// The policy of a team that defines none: one step, to all its destinations.
fn every_destination(team: &Team) -> Steps {
    let destinations: Vec<String> = team.destinations.keys().cloned().collect();
    let steps = if destinations.is_empty() {
        Vec::new()
    } else {
        vec![Step { destinations, on_call: Vec::new(), delay_ms: DEFAULT_DELAY_MS }]
    };
    Steps { steps, repeat: DEFAULT_REPEAT, fallback: Vec::new() }
}
