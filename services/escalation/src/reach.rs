//! Who cannot be reached, in words for people: an urgent complaint that pages nobody must not go
//! unnoticed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zhili_eventlog::TopicPartition;
use zhili_eventlog::runner::Bundles;
use zhili_incident::{ANY_TENANT, Config, Destination, Unreachable, UnreachableCause};

use crate::bundle::{self, BundleError};

/// What is known of who can be reached. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reach {
    bundles: Arc<Bundles>,
    /// Teams that the partitions owned here have found they cannot reach.
    failing: Arc<Mutex<BTreeMap<TopicPartition, Vec<Unreachable>>>>,
}

impl Reach {
    pub(crate) fn new(bundles: Arc<Bundles>) -> Self {
        Self { bundles, failing: Arc::default() }
    }

    /// Enters what the owner of a partition knows.
    pub(crate) fn seen(&self, partition: &TopicPartition, unreachable: Vec<Unreachable>) {
        let mut failing = self.lock();
        if unreachable.is_empty() {
            failing.remove(partition);
        } else {
            failing.insert(partition.clone(), unreachable);
        }
    }

    /// Warnings about one tenant; empty when every team can be reached as far as is known here.
    pub(crate) fn warnings(&self, tenant: &str) -> Vec<String> {
        let mut warnings = match self.config(tenant) {
            Ok(config) => of_config(tenant, config.as_ref()),
            Err(error) => vec![format!(
                "the configuration of tenant {tenant} cannot be read, the one before stays in \
                 force: {error}"
            )],
        };
        warnings.extend(self.lock().values().flatten().filter_map(|unreachable| {
            let failing = matches!(unreachable.cause, UnreachableCause::AllFailing { .. });
            (failing && unreachable.tenant == tenant).then(|| {
                format!("team {} of tenant {tenant}: {}", unreachable.team, unreachable.cause)
            })
        }));
        warnings
    }

    /// Warnings about all tenants that are configured, and about those that are not.
    pub(crate) fn all(&self) -> Vec<String> {
        let mut tenants: Vec<String> = self.bundles.heads().into_keys().collect();
        if !tenants.iter().any(|tenant| tenant == ANY_TENANT) {
            tenants.push(ANY_TENANT.to_owned());
        }
        let failing: Vec<String> =
            self.lock().values().flatten().map(|unreachable| unreachable.tenant.clone()).collect();
        tenants.extend(failing);
        tenants.sort_unstable();
        tenants.dedup();
        tenants.iter().flat_map(|tenant| self.warnings(tenant)).collect()
    }

    /// The settings that count for a tenant.
    fn config(&self, tenant: &str) -> Result<Option<Config>, BundleError> {
        for name in [tenant, ANY_TENANT] {
            let bundle = self.bundles.head(name).and_then(|head| self.bundles.get(&head.bundle));
            let config = bundle.map(|bundle| bundle::parse(&bundle)).transpose()?.flatten();
            if config.is_some() {
                return Ok(config);
            }
        }
        Ok(None)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Vec<Unreachable>>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_config(tenant: &str, config: Option<&Config>) -> Vec<String> {
    let whose = if tenant == ANY_TENANT {
        "tenants without a configuration of their own".to_owned()
    } else {
        format!("tenant {tenant}")
    };
    let teams = config.map(Config::teams).filter(|teams| !teams.is_empty());
    let Some(teams) = teams else {
        return vec![format!(
            "nobody is reachable for {whose}: urgent complaints page no one; configure a \
             destination under [escalation] or set default_webhook"
        )];
    };
    let pages = |destination: &Destination| matches!(destination, Destination::Webhook(_));
    let silent = teams.iter().filter(|(_, team)| !team.destinations.values().any(pages));
    silent
        .map(|(team, _)| {
            format!(
                "nobody is reachable in team {team} for {whose}: {}",
                UnreachableCause::NoDestination
            )
        })
        .collect()
}
