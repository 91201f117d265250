//! Who cannot be reached, in words for people: an urgent complaint that pages nobody must not go
//! unnoticed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zhili_eventlog::TopicPartition;
use zhili_eventlog::runner::Bundles;
use zhili_incident::{
    ANY_TENANT, Config, DEFAULT_TEAM, Destination, Family, Unreachable, UnreachableCause,
};

use zhili_runtime::auth::Tenant;
use zhili_runtime::bundle::BundleError;

use crate::bundle;
use crate::warning::{Cause, Warning};

/// What is known of who can be reached. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reach {
    bundles: Arc<Bundles>,
    /// What bundles say, by their hash: readiness is asked for every half second.
    read: Arc<Mutex<HashMap<String, Settings>>>,
    /// Teams that the partitions owned here have found they cannot reach.
    failing: Arc<Mutex<BTreeMap<TopicPartition, Vec<Unreachable>>>>,
}

type Settings = Arc<Result<Option<Config>, BundleError>>;

impl Reach {
    pub(crate) fn new(bundles: Arc<Bundles>) -> Self {
        Self { bundles, read: Arc::default(), failing: Arc::default() }
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
    pub(crate) fn warnings(&self, tenant: &str) -> Vec<Warning> {
        let settings = self.settings(tenant);
        let mut warnings = match settings.as_deref() {
            None => of_config(tenant, None),
            Some(Ok(config)) => of_config(tenant, config.as_ref()),
            Some(Err(error)) => {
                vec![Warning::Unreadable { tenant: tenant.to_owned(), error: error.to_string() }]
            }
        };
        warnings.extend(self.lock().values().flatten().filter_map(|unreachable| {
            let UnreachableCause::AllFailing { destination, detail } = &unreachable.cause else {
                return None;
            };
            (unreachable.tenant == tenant).then(|| Warning::DestinationsFail {
                tenant: tenant.to_owned(),
                team: unreachable.team.clone(),
                destination: destination.clone(),
                detail: detail.clone(),
            })
        }));
        warnings
    }

    /// What the name of a destination stands for in a tenant's team now.
    pub(crate) fn destination(&self, tenant: &str, team: &str, name: &str) -> Option<Destination> {
        let settings = self.settings(tenant)?;
        let config = settings.as_ref().as_ref().ok()?.as_ref()?;
        config.team(team)?.destinations.get(name).cloned()
    }

    /// Destinations of every team that has settings of its own, by tenant and team.
    pub(crate) fn teams(&self) -> Vec<(String, String, BTreeMap<String, Destination>)> {
        let mut teams = Vec::new();
        for (tenant, head) in self.bundles.heads() {
            let settings = self.read(&head.bundle);
            let config = settings.as_deref().and_then(|settings| settings.as_ref().ok()?.as_ref());
            for (team, settings) in config.into_iter().flat_map(Config::teams) {
                teams.push((tenant.clone(), team.clone(), settings.destinations.clone()));
            }
        }
        teams
    }

    /// Warnings about all tenants that are configured, or for whom a page failed, and about those in
    /// `known`, by name; where not all tenants are known, about those without a configuration of their
    /// own, too.
    pub(crate) fn all(&self, known: Option<BTreeSet<Tenant>>) -> Vec<Warning> {
        let mut tenants: Vec<String> = self.bundles.heads().into_keys().collect();
        match known {
            Some(known) => tenants.extend(known.iter().map(ToString::to_string)),
            None => tenants.push(ANY_TENANT.to_owned()),
        }
        let failing: Vec<String> =
            self.lock().values().flatten().map(|unreachable| unreachable.tenant.clone()).collect();
        tenants.extend(failing);
        tenants.sort_unstable();
        tenants.dedup();
        tenants.iter().flat_map(|tenant| self.warnings(tenant)).collect()
    }

    /// The configuration that counts for a tenant, if it can be read.
    pub(crate) fn config(&self, tenant: &str) -> Option<Config> {
        self.settings(tenant)?.as_ref().as_ref().ok()?.clone()
    }

    /// The settings that count for a tenant.
    fn settings(&self, tenant: &str) -> Option<Settings> {
        let of = |name| self.bundles.head(name).and_then(|head| self.read(&head.bundle));
        of(tenant).filter(|own| !matches!(**own, Ok(None))).or_else(|| of(ANY_TENANT))
    }

    /// What a bundle says, if it is here.
    fn read(&self, hash: &str) -> Option<Settings> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(settings) = read.get(hash) {
            return Some(Arc::clone(settings));
        }
        let settings = Arc::new(bundle::parse(&self.bundles.get(hash)?));
        let in_force = self.bundles.heads();
        read.retain(|hash, _| in_force.values().any(|head| head.bundle == *hash));
        read.insert(hash.to_owned(), Arc::clone(&settings));
        Some(settings)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Vec<Unreachable>>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_config(tenant: &str, config: Option<&Config>) -> Vec<Warning> {
    let tenant = tenant.to_owned();
    let teams = config.map(Config::teams).filter(|teams| !teams.is_empty());
    let Some(teams) = teams else { return vec![Warning::NobodyConfigured { tenant }] };
    let mut warnings = Vec::new();
    if !teams.contains_key(DEFAULT_TEAM) {
        warnings.push(Warning::NoDefaultTeam { tenant: tenant.clone() });
    }
    for (name, team) in teams {
        let mut families = team.silent_families();
        if families.is_empty() {
            continue;
        }
        if families.len() == Family::ALL.len() {
            families.clear();
        }
        let pages = team.destinations.values().any(Destination::pages_somebody);
        let cause = if pages { Cause::OnlyWatchers } else { Cause::NoDestination };
        let (tenant, team) = (tenant.clone(), name.clone());
        warnings.push(Warning::NobodyInTeam { tenant, team, families, cause });
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(bundle: &str) -> Vec<String> {
        let config = bundle::parse(bundle.as_bytes()).unwrap();
        of_config("acme", config.as_ref()).iter().map(ToString::to_string).collect()
    }

    const VIP: &str = "[escalation.teams.vip.destinations]\n\
        floor.webhook.url = 'https://h/x'\nscreen.watch = {}\n";
    const DEFAULT: &str = "[escalation.teams.default.destinations]\n\
        floor.webhook.url = 'https://h/x'\n";

    #[test]
    fn teams_without_settings_reach_nobody_where_there_is_no_default_team() {
        let [warning] = &warnings(VIP)[..] else { panic!() };
        assert!(warning.contains("tenant acme in teams without settings"), "{warning}");
        assert!(warning.contains("[escalation.teams.default]"), "{warning}");
        assert_eq!(warnings(&format!("{VIP}{DEFAULT}")), [""; 0]);
    }

    #[test]
    fn a_policy_that_names_only_watchers_reaches_nobody() {
        let watch = "[[escalation.teams.vip.policies.default.steps]]\ndestinations = ['screen']\n";
        let [warning] = &warnings(&format!("{VIP}{watch}{DEFAULT}"))[..] else { panic!() };
        assert!(warning.contains("in team vip for tenant acme: its policy"), "{warning}");
        let fallback = "[escalation.teams.vip.policies.default]\nfallback = ['floor']\n";
        assert_eq!(warnings(&format!("{VIP}{fallback}{watch}{DEFAULT}")), [""; 0]);
        let crisis = "[escalation.teams.vip.by_family]\ncrisis = 'crisis'\n\
            [[escalation.teams.vip.policies.crisis.steps]]\ndestinations = ['screen']\n";
        let [warning] = &warnings(&format!("{VIP}{crisis}{DEFAULT}"))[..] else { panic!() };
        assert!(warning.contains("tenant acme about crisis: its policy"), "{warning}");
    }
}
