use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Whether a part of a service does its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It makes progress.
    Ready,
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
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks
            .iter()
            .filter_map(|(part, check)| match check() {
                Condition::Ready => None,
                Condition::NotReady(reason) => Some(format!("{part}: {reason}")),
            })
            .collect()
    }
}
