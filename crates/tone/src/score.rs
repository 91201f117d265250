//! Scores as sums of contributions: entries, rules and trained heads add theirs here.

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
    Content => "content",
    Sentiment => "sentiment",
    Range => "range",
    Ngrams => "n-grams",
    Rest => "rest",
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
    /// The rules that changed something, by [`Rule::bit`].
    fired: u32,
}

impl Rule {
    pub(crate) fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl<'s> Sum<'s> {
    pub(crate) fn new(
        target: Target,
        base: i32,
        normalized: &'s Normalized,
        names: &'s RuleNames,
        evidence: &'s mut Vec<Evidence>,
    ) -> Sum<'s> {
        Sum { target, normalized, names, evidence, total: base, fired: 0 }
    }

    /// Counts an entry of the library.
    pub(crate) fn entry(&mut self, hit: &Hit<'_>, points: i32) {
        let (class, name) = (hit.entry.class.as_str(), Arc::clone(&hit.entry.phrase));
        self.add(hit.start, hit.end, class, name, points);
    }

    /// Counts what a rule adds to or takes from what was counted before.
    pub(crate) fn rule(&mut self, rule: Rule, cue: Cue, points: i32) {
        if points != 0 {
            self.fired |= rule.bit();
            let name = Arc::clone(&self.names.0[rule as usize]);
            self.add(cue.start, cue.end, "rule", name, points);
        }
    }

    /// Counts what a head adds: a few spans of n-grams, and the rest on the whole message.
    pub(crate) fn head(&mut self, spans: &[(usize, usize, i32)], points: i32) {
        let mut rest = points;
        for (start, end, share) in spans {
            let part = (i64::from(points) * i64::from(*share) / 1000) as i32;
            if part != 0 {
                let name = Arc::clone(&self.names.0[Rule::Ngrams as usize]);
                self.add(*start, *end, "head", name, part);
                rest -= part;
            }
        }
        if rest != 0 {
            let name = Arc::clone(&self.names.0[Rule::Rest as usize]);
            self.add(0, self.normalized.text.len(), "head", name, rest);
        }
    }

    /// The total so far, in thousandths.
    pub(crate) fn total(&self) -> i32 {
        self.total
    }

    /// The rules that changed something so far, by [`Rule::bit`].
    pub(crate) fn fired(&self) -> u32 {
        self.fired
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
