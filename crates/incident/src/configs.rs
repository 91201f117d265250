//! The configurations in force, by tenant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::{ANY_TENANT, Config, Team};
use crate::destination::Destination;
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
