//! Who can be reached: what the last sends to each destination came to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::configs::Configs;
use crate::page::Outcome;

/// What the last sends to a destination came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationHealth {
    /// Sends that failed since the last one that was delivered.
    pub failures: u64,
    /// When a send was delivered last, milliseconds since the Unix epoch.
    pub delivered_at_ms: Option<i64>,
    /// When a send failed last.
    pub failed_at_ms: Option<i64>,
    /// HTTP status or a short cause of the last failure.
    pub detail: String,
}

/// A team that pages cannot reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreachable {
    /// The tenant.
    pub tenant: String,
    /// The team.
    pub team: String,
    /// Why.
    pub cause: UnreachableCause,
}

/// Why a team cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum UnreachableCause {
    /// It has no destination, or only `watch` ones, where nobody may be looking.
    #[error("no destination is configured that pages a person; add one")]
    NoDestination,
    /// The last send to every destination has failed.
    #[error("the last send to every destination failed, to {destination}: {detail}")]
    AllFailing {
        /// The first of them by name.
        destination: String,
        /// Its last failure.
        detail: String,
    },
}

/// (tenant, team, destination).
type Place = (String, String, String);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Health {
    by_destination: BTreeMap<Place, DestinationHealth>,
}

impl Health {
    pub(crate) fn record(
        &mut self,
        (tenant, team, destination): (&str, &str, &str),
        outcome: Outcome,
        detail: &str,
        now_ms: i64,
    ) {
        let place = (tenant.to_owned(), team.to_owned(), destination.to_owned());
        let health = self.by_destination.entry(place).or_default();
        if outcome == Outcome::Delivered {
            health.failures = 0;
            health.delivered_at_ms = Some(now_ms);
        } else {
            health.failures += 1;
            health.failed_at_ms = Some(now_ms);
            detail.clone_into(&mut health.detail);
        }
    }

    pub(crate) fn of(
        &self,
        tenant: &str,
        team: &str,
        destination: &str,
    ) -> Option<&DestinationHealth> {
        let place = (tenant.to_owned(), team.to_owned(), destination.to_owned());
        self.by_destination.get(&place)
    }

    /// Forgets destinations that are no longer configured, and what was learnt about all
    /// others of the tenants concerned: an address may have been corrected.
    pub(crate) fn forget(&mut self, concerns: impl Fn(&str) -> bool) {
        self.by_destination.retain(|(tenant, _, _), _| !concerns(tenant));
    }

    pub(crate) fn unreachable(
        &self,
        configs: &Configs,
        tenant: &str,
        team: &str,
    ) -> Option<UnreachableCause> {
        let settings = configs.of(tenant).and_then(|(_, config)| config.team(team));
        let destinations = settings.iter().flat_map(|team| &team.destinations);
        let mut people = destinations
            .filter(|(_, kind)| kind.pages_somebody())
            .map(|(name, _)| (name, self.of(tenant, team, name)))
            .peekable();
        let Some((first, Some(health))) = people.peek().copied() else {
            return match people.peek() {
                None => Some(UnreachableCause::NoDestination),
                Some(_) => None,
            };
        };
        let (destination, detail) = (first.clone(), health.detail.clone());
        let failing = |health: Option<&DestinationHealth>| health.is_some_and(|h| h.failures > 0);
        people
            .all(|(_, health)| failing(health))
            .then_some(UnreachableCause::AllFailing { destination, detail })
    }
}
