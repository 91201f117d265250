//! The configurations in force, by tenant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::{ANY_TENANT, Config, Step, Team};
use crate::destination::Destination;
use crate::incident::Incident;
use crate::signal::Severity;
use crate::silence::PlannedSilence;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InForce {
    pub(crate) sequence: u64,
    pub(crate) bundle: String,
    /// Absent when the tenant has given up its own: then that of any tenant counts.
    pub(crate) config: Option<Config>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Configs {
    pub(crate) by_tenant: BTreeMap<String, InForce>,
}

impl Configs {
    /// The bundle and configuration of a tenant, or else those for any tenant.
    pub(crate) fn of(&self, tenant: &str) -> Option<(&str, &Config)> {
        self.own(tenant).or_else(|| self.own(ANY_TENANT))
    }

    /// The bundle and configuration that were given for just this tenant.
    pub(crate) fn own(&self, tenant: &str) -> Option<(&str, &Config)> {
        let in_force = self.by_tenant.get(tenant)?;
        Some((&in_force.bundle, in_force.config.as_ref()?))
    }

    /// Whom a step pages at an instant: its destinations, and whoever is on call then.
    pub(crate) fn targets(&self, incident: &Incident, step: &Step, at_ms: i64) -> Vec<String> {
        let mut targets = step.destinations.clone();
        let team = self.team(&incident.tenant, &incident.team);
        let schedules = step.on_call.iter().filter_map(|name| team?.schedules.get(name));
        for member in schedules.filter_map(|schedule| schedule.on_call(at_ms)) {
            if !targets.iter().any(|known| known == member) {
                targets.push(member.to_owned());
            }
        }
        targets
    }

    /// The end of a destination's quiet hours, if they hold an incident's pages back now.
    pub(crate) fn quiet_until(
        &self,
        incident: &Incident,
        destination: &str,
        at_ms: i64,
    ) -> Option<i64> {
        let team = self.team(&incident.tenant, &incident.team)?;
        let hours = team.quiet_hours.get(destination)?;
        hours.end(at_ms).filter(|_| incident.severity < Severity::Critical)
    }

    /// When somebody of an incident's policy can be paged again, if nobody can now because of
    /// quiet hours or because nobody is on call.
    pub(crate) fn somebody_at(&self, incident: &Incident, at_ms: i64) -> Option<i64> {
        let mut earliest: Option<i64> = None;
        let mut candidate = |at: i64| earliest = Some(earliest.map_or(at, |before| before.min(at)));
        let team = self.team(&incident.tenant, &incident.team)?;
        for step in &incident.policy.steps {
            for target in self.targets(incident, step, at_ms) {
                match self.quiet_until(incident, &target, at_ms) {
                    Some(until_ms) => candidate(until_ms),
                    None if team.destinations.contains_key(&target) => return None,
                    None => {}
                }
            }
            for schedule in step.on_call.iter().filter_map(|name| team.schedules.get(name)) {
                if schedule.on_call(at_ms).is_none()
                    && let Some(shift) = schedule.next(at_ms)
                {
                    candidate(shift.starts_at_ms);
                }
            }
        }
        earliest
    }

    /// Silences of the configurations in force, by tenant.
    pub(crate) fn planned_silences(&self) -> impl Iterator<Item = (&str, &PlannedSilence)> {
        let in_force = self.by_tenant.iter();
        let configs = in_force.filter_map(|(tenant, it)| Some((tenant, it.config.as_ref()?)));
        configs.flat_map(|(tenant, config)| {
            let teams = config.teams().values();
            teams.flat_map(|team| team.silences.values()).map(|it| (tenant.as_str(), it))
        })
    }

    pub(crate) fn destination(
        &self,
        tenant: &str,
        team: &str,
        destination: &str,
    ) -> Option<&Destination> {
        self.team(tenant, team)?.destinations.get(destination)
    }

    /// The settings of a team now.
    pub(crate) fn team(&self, tenant: &str, team: &str) -> Option<&Team> {
        self.of(tenant)?.1.team(team)
    }
}
