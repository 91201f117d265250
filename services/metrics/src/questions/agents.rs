//! Whether a tenant has its agents scored.

use serde::Deserialize;
use zhili_eventlog::runner::Bundles;
use zhili_runtime::bundle;

/// Stands for every tenant that says nothing.
pub(super) const ANY_TENANT: &str = "*";

/// What is read of a bundle; scoring describes its tables.
#[derive(Deserialize)]
struct Tables {
    agents: Option<Agents>,
}

#[derive(Deserialize)]
struct Agents {
    scored: bool,
}

/// Whether the agents of a tenant are scored now. Who says nothing is treated as tenant `*` says,
/// and scored if that says nothing either.
pub(super) fn are_scored(bundles: &Bundles, tenant: &str) -> bool {
    let of = |tenant: &str| {
        let bundle = bundles.get(&bundles.head(tenant)?.bundle)?;
        Some(bundle::parse::<Tables>(&bundle).ok()?.agents?.scored)
    };
    of(tenant).or_else(|| of(ANY_TENANT)).unwrap_or(true)
}
