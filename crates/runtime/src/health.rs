use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Whether a part of a service does its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It makes progress.
    Ready,
    /// It makes progress, and this is what a person should know nevertheless.
    Warning(String),
    /// It does not, for this reason.
    NotReady(String),
}

type Check = Box<dyn Fn() -> Condition + Send + Sync>;

/// What is asked to tell whether a service makes progress. Cheap to clone.
///
/// Alive means that the process answers; ready means that every part makes progress, not merely
/// that it runs.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<Mutex<BTreeMap<&'static str, Check>>>,
}

impl Health {
    /// Adds a part; asked whenever somebody wants to know.
    pub fn add(&self, part: &'static str, check: impl Fn() -> Condition + Send + Sync + 'static) {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).insert(part, Box::new(check));
    }

    /// Parts that do not make progress and why; empty when all do.
    pub fn complaints(&self) -> Vec<String> {
        self.told(|condition| match condition {
            Condition::Ready | Condition::Warning(_) => None,
            Condition::NotReady(reason) => Some(reason),
        })
    }

    /// What a person should know about parts that do make progress; empty when there is nothing.
    pub fn warnings(&self) -> Vec<String> {
        self.told(|condition| match condition {
            Condition::Ready | Condition::NotReady(_) => None,
            Condition::Warning(warning) => Some(warning),
        })
    }

    fn told(&self, wanted: impl Fn(Condition) -> Option<String>) -> Vec<String> {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks
            .iter()
            .filter_map(|(part, check)| Some(format!("{part}: {}", wanted(check())?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_told_and_leaves_a_part_ready() {
        let health = Health::default();
        health.add("pages", || Condition::Warning("nobody is reachable".to_owned()));
        assert!(health.complaints().is_empty());
        assert_eq!(health.warnings(), ["pages: nobody is reachable"]);
        health.add("log", || Condition::NotReady("halted".to_owned()));
        assert_eq!(health.complaints(), ["log: halted"]);
    }
}
