use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::scrape::gauge;

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

    /// Every part with how it is.
    fn conditions(&self) -> Vec<(&'static str, Condition)> {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.iter().map(|(part, check)| (*part, check())).collect()
    }

    fn told(&self, wanted: impl Fn(Condition) -> Option<String>) -> Vec<String> {
        let conditions = self.conditions().into_iter();
        conditions
            .filter_map(|(part, condition)| Some(format!("{part}: {}", wanted(condition)?)))
            .collect()
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.conditions()).finish()
    }
}

/// As metrics, so that somebody can be told of a part that stands still before anybody looks at
/// `/readyz`, which has the words to it.
impl Collector for Health {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let conditions = self.conditions();
        let not_ready = |condition: &Condition| matches!(condition, Condition::NotReady(_));
        let warns = |condition: &Condition| matches!(condition, Condition::Warning(_));
        let words = "Whether a part of the service makes progress, 1 or 0";
        let mut family = gauge(&mut encoder, "part_ready", words)?;
        for (part, condition) in &conditions {
            let value = i64::from(!not_ready(condition));
            family.encode_family(&[("part", *part)])?.encode_gauge(&value)?;
        }
        let words = "Whether a part has something to say that a person should know, 1 or 0";
        let mut family = gauge(&mut encoder, "part_warning", words)?;
        for (part, condition) in &conditions {
            let value = i64::from(warns(condition));
            family.encode_family(&[("part", *part)])?.encode_gauge(&value)?;
        }
        Ok(())
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

    #[test]
    fn each_part_is_a_metric_of_its_own() {
        let health = Health::default();
        health.add("pages", || Condition::Warning("nobody is reachable".to_owned()));
        health.add("log", || Condition::NotReady("halted".to_owned()));
        let text = crate::scrape::collected(health);
        for line in [
            "zhili_part_ready{part=\"pages\"} 1",
            "zhili_part_ready{part=\"log\"} 0",
            "zhili_part_warning{part=\"pages\"} 1",
            "zhili_part_warning{part=\"log\"} 0",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in {text}");
        }
    }
}
