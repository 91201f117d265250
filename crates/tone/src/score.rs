//! Scores as sums of contributions. Trained heads, once there are any, add their
//! contributions here like entries and rules do.

use std::sync::Arc;

use crate::assessment::{Evidence, Target};
use crate::library::Hit;
use crate::normalize::Normalized;
use crate::rules::Cue;

macro_rules! rules {
    ($($variant:ident => $name:literal),+ $(,)?) => {
        /// The named rules, as explanations call them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Rule { $($variant),+ }

        const NAMES: &[&str] = &[$($name),+];
    };
}

rules! {
    Negation => "negation",
    Intensity => "intensity",
    Question => "question",
    Quotation => "quotation",
    Hypothetical => "hypothetical",
    Contrast => "contrast",
    Sarcasm => "sarcasm",
    Withdrawn => "withdrawn",
    Resolved => "resolved",
    Actor => "actor",
    Hearsay => "hearsay",
    Escalation => "escalation",
    Range => "range",
}

/// Names of the rules, shared so that an evidence costs no allocation.
pub(crate) struct RuleNames(Vec<Arc<str>>);

impl RuleNames {
    pub(crate) fn new() -> RuleNames {
        RuleNames(NAMES.iter().map(|name| Arc::from(*name)).collect())
    }
}

/// One score in the making: whatever changes the total leaves an evidence.
pub(crate) struct Sum<'s> {
    target: Target,
    normalized: &'s Normalized,
    names: &'s RuleNames,
    evidence: &'s mut Vec<Evidence>,
    /// In thousandths.
    total: i32,
}

impl<'s> Sum<'s> {
    pub(crate) fn new(
        target: Target,
        base: i32,
        normalized: &'s Normalized,
        names: &'s RuleNames,
        evidence: &'s mut Vec<Evidence>,
    ) -> Sum<'s> {
        Sum { target, normalized, names, evidence, total: base }
    }

    /// Counts an entry of the library.
    pub(crate) fn entry(&mut self, hit: &Hit<'_>, points: i32) {
        let (class, name) = (hit.entry.class.as_str(), Arc::clone(&hit.entry.phrase));
        self.add(hit.start, hit.end, class, name, points);
    }

    /// Counts what a rule adds to or takes from what was counted before.
    pub(crate) fn rule(&mut self, rule: Rule, cue: Cue, points: i32) {
        if points != 0 {
            let name = Arc::clone(&self.names.0[rule as usize]);
            self.add(cue.start, cue.end, "rule", name, points);
        }
    }

    /// Keeps the total in its range; the excess is taken back by the whole message.
    pub(crate) fn within(mut self, low: i32, high: i32) -> i32 {
        let excess = self.total - self.total.clamp(low, high);
        let all = Cue { start: 0, end: self.normalized.text.len() };
        self.rule(Rule::Range, all, -excess);
        self.total
    }

    fn add(&mut self, start: usize, end: usize, class: &'static str, rule: Arc<str>, points: i32) {
        // A score stays far from overflow on any message: 16 KiB hold at most
        // some thousand entries of at most a million thousandths, saturating here.
        let before = self.total;
        self.total = self.total.saturating_add(points);
        let points = self.total - before;
        let (start, end) = self.normalized.span(start, end);
        self.evidence.push(Evidence {
            start,
            end,
            class,
            rule,
            points: f64::from(points) / 1000.0,
            target: self.target,
        });
    }
}
