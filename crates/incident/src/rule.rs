//! What becomes of a signal: whether it pages, and how bad it is.

use serde::{Deserialize, Serialize};

use crate::matcher::{Matcher, Pattern, Subject};
use crate::signal::{Severity, Signal};

/// What is done with the signals that it matches. The first rule of a team that matches decides,
/// and after those the built-in one, [`UNPAGED_KINDS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The signals that it is about; all of them unless a condition is given.
    #[serde(rename = "match", default)]
    pub matcher: Matcher,
    /// Severity instead of the one that they came with.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// Whether they page. An incident none of whose signals pages is shown and pages nobody.
    #[serde(default = "yes")]
    pub page: bool,
}

fn yes() -> bool {
    true
}

/// Kinds that page only if a rule of the team says so: they announce what may still be averted,
/// and nobody is woken for what has not happened.
pub const UNPAGED_KINDS: [&str; 3] = ["*.warning", "promise.near", "silence.customer"];

/// Applies the rules to a signal; says whether it pages.
pub(crate) fn judge(rules: &[Rule], signal: &mut Signal) -> bool {
    let matching = rules.iter().find(|rule| rule.matcher.matches(Subject::of_signal(signal)));
    match matching {
        Some(rule) => {
            signal.severity = rule.severity.unwrap_or(signal.severity);
            rule.page
        }
        None => !UNPAGED_KINDS.iter().any(|kind| Pattern::new(*kind).matches(&signal.kind)),
    }
}
