//! The settings in force, and the earlier ones that open cycles still go by.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::policy::{Policies, Terms};

/// Settings under this name hold for every tenant without its own.
pub(crate) const ANY_TENANT: &str = "*";

#[derive(Debug, Clone)]
pub(crate) struct Book {
    pub(crate) config: Config,
    /// By number; a number is given again once nothing goes by it.
    versions: Vec<Option<Policies>>,
    current: BTreeMap<Box<str>, Current>,
}

/// What is in force for a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Current {
    sequence: u64,
    /// `None` if the tenant has none of its own.
    version: Option<u32>,
}

/// Terms of a queue in a version of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct TermsRef {
    version: u32,
    index: u32,
}

/// The book as bytes keep it: settings as JSON, which says what kind of thing each value is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BookState {
    config: Config,
    versions: Vec<Option<String>>,
    current: BTreeMap<Box<str>, Current>,
}

impl Book {
    pub(crate) fn new(config: Config) -> Self {
        Self { config, versions: Vec::new(), current: BTreeMap::new() }
    }

    /// Sequence of the settings in force; 0 if there are none.
    pub(crate) fn sequence(&self, tenant: &str) -> u64 {
        self.current.get(tenant).map_or(0, |current| current.sequence)
    }

    /// Puts settings in force for cycles that begin from now on; `used` are the terms that cycles
    /// in memory go by.
    pub(crate) fn configure(
        &mut self,
        tenant: &str,
        sequence: u64,
        policies: Option<Policies>,
        used: impl Iterator<Item = TermsRef>,
    ) {
        let mut is_used = vec![false; self.versions.len()];
        let in_force = self.current.iter().filter(|(other, _)| ***other != *tenant);
        let in_force = in_force.filter_map(|(_, current)| current.version);
        for version in in_force.chain(used.map(|terms| terms.version)) {
            if let Some(used) = is_used.get_mut(version as usize) {
                *used = true;
            }
        }
        for (version, _) in is_used.iter().enumerate().filter(|(_, used)| !**used) {
            self.versions[version] = None;
        }
        let version = policies.map(|policies| self.keep(policies));
        self.current.insert(tenant.into(), Current { sequence, version });
    }

    /// The number that settings get.
    fn keep(&mut self, policies: Policies) -> u32 {
        let free = self.versions.iter().position(Option::is_none);
        let version = free.unwrap_or_else(|| {
            self.versions.push(None);
            self.versions.len() - 1
        });
        self.versions[version] = Some(policies);
        version as u32
    }

    /// What a cycle that begins now goes by; `None` if nothing is set.
    pub(crate) fn terms_of(&self, tenant: &str, queue: &str) -> Option<TermsRef> {
        let of = |tenant: &str| self.current.get(tenant)?.version;
        let version = of(tenant).or_else(|| of(ANY_TENANT))?;
        let policies = self.versions.get(version as usize)?.as_ref()?;
        Some(TermsRef { version, index: policies.index_of(queue) })
    }

    pub(crate) fn terms(&self, at: Option<TermsRef>) -> Option<&Terms> {
        let at = at?;
        self.versions.get(at.version as usize)?.as_ref()?.terms(at.index)
    }

    /// Whether every tenant's settings exist: true of what this engine wrote.
    pub(crate) fn is_consistent(&self) -> bool {
        self.current
            .values()
            .filter_map(|current| current.version)
            .all(|version| self.versions.get(version as usize).is_some_and(Option::is_some))
    }

    /// Whether terms exist: true of what this engine wrote.
    pub(crate) fn has(&self, at: TermsRef) -> bool {
        self.terms(Some(at)).is_some()
    }

    pub(crate) fn state(&self) -> BookState {
        let json = |policies: &Policies| match serde_json::to_string(policies) {
            Ok(json) => json,
            // Maps have text for keys, and writing to memory does not fail.
            Err(error) => unreachable!("cannot write settings: {error}"),
        };
        BookState {
            config: self.config,
            versions: self.versions.iter().map(|version| version.as_ref().map(json)).collect(),
            current: self.current.clone(),
        }
    }
}

impl TryFrom<BookState> for Book {
    type Error = serde_json::Error;

    fn try_from(state: BookState) -> Result<Self, serde_json::Error> {
        let parse = |json: Option<String>| json.map(|json| serde_json::from_str(&json)).transpose();
        Ok(Self {
            config: state.config,
            versions: state.versions.into_iter().map(parse).collect::<Result<_, _>>()?,
            current: state.current,
        })
    }
}
