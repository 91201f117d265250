//! The configurations in force, by tenant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::{ANY_TENANT, Config, Destination};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InForce {
    pub(crate) sequence: u64,
    pub(crate) bundle: String,
    pub(crate) config: Config,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Configs {
    pub(crate) by_tenant: BTreeMap<String, InForce>,
}

impl Configs {
    /// The bundle and configuration of a tenant, or else those for any tenant.
    pub(crate) fn of(&self, tenant: &str) -> Option<(&str, &Config)> {
        let in_force = self.by_tenant.get(tenant).or_else(|| self.by_tenant.get(ANY_TENANT))?;
        Some((&in_force.bundle, &in_force.config))
    }

    pub(crate) fn destination(
        &self,
        tenant: &str,
        team: &str,
        destination: &str,
    ) -> Option<&Destination> {
        self.of(tenant)?.1.team(team)?.destinations.get(destination)
    }
}
