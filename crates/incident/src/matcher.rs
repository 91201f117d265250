//! What signals and incidents a rule or a silence is about.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::incident::Incident;
use crate::signal::{Family, Severity, Signal};

/// A text in which each `*` stands for any characters, also none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole of `text` is as the pattern says.
    pub fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else {
            return self.0 == text;
        };
        let Some(mut text) = text.strip_prefix(first) else {
            return false;
        };
        let mut parts: Vec<&str> = rest.split('*').collect();
        // What comes after the last star must be at the end, the others as early as they can.
        let last = parts.pop().unwrap_or_default();
        for part in parts {
            match text.find(part) {
                Some(at) => text = &text[at + part.len()..],
                None => return false,
            }
        }
        text.ends_with(last)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Conditions, all of which must hold. A condition holds if one of its values does; one without
/// values always holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Matcher {
    /// What the signal is about.
    pub family: Vec<Family>,
    /// Its severity; a worse one matches only if it stands here, too.
    pub severity: Vec<Severity>,
    /// Kind of the signal, such as `urgent_complaint`, `sla.*`, `*.warning`.
    pub kind: Vec<Pattern>,
    /// Category of the signal, such as `regulator` or `legal`.
    pub category: Vec<Pattern>,
    /// Queue of the conversation.
    pub queue: Vec<Pattern>,
    /// Pseudonym of the agent.
    pub agent: Vec<Pattern>,
    /// Channel of the conversation.
    pub channel: Vec<Pattern>,
    /// Pseudonym of the conversation.
    pub conversation_id: Vec<Pattern>,
}

/// What a matcher looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    family: Family,
    severity: Severity,
    kind: &'a str,
    category: &'a str,
    queue: &'a str,
    agent: &'a str,
    channel: &'a str,
    conversation_id: &'a str,
}

impl<'a> Subject<'a> {
    pub(crate) fn of_signal(signal: &'a Signal) -> Self {
        Self {
            family: signal.family,
            severity: signal.severity,
            kind: &signal.kind,
            category: &signal.category,
            queue: &signal.queue,
            agent: &signal.agent,
            channel: &signal.channel,
            conversation_id: &signal.conversation_id,
        }
    }

    /// Agent and channel of an incident are those of its newest signal.
    pub(crate) fn of_incident(incident: &'a Incident) -> Self {
        let newest = incident.evidence.last();
        Self {
            family: incident.family,
            severity: incident.severity,
            kind: &incident.kind,
            category: &incident.category,
            queue: &incident.queue,
            agent: newest.map_or("", |signal| &signal.agent),
            channel: newest.map_or("", |signal| &signal.channel),
            conversation_id: &incident.conversation_id,
        }
    }
}

impl Matcher {
    /// No condition at all: it matches everything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn matches(&self, subject: Subject<'_>) -> bool {
        let one_of = |patterns: &[Pattern], text: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(text))
        };
        (self.family.is_empty() || self.family.contains(&subject.family))
            && (self.severity.is_empty() || self.severity.contains(&subject.severity))
            && one_of(&self.kind, subject.kind)
            && one_of(&self.category, subject.category)
            && one_of(&self.queue, subject.queue)
            && one_of(&self.agent, subject.agent)
            && one_of(&self.channel, subject.channel)
            && one_of(&self.conversation_id, subject.conversation_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, matches) in [
            ("sla.frt.warning", "sla.frt.warning", true),
            ("sla.frt.warning", "sla.frt.warnings", false),
            ("*.warning", "sla.frt.warning", true),
            ("*.warning", ".warning", true),
            ("*.warning", "sla.warning.frt", false),
            ("sla.*", "sla.frt.breach", true),
            ("sla.*", "tesla.frt", false),
            ("sla.*.warning", "sla.frt.warning", true),
            ("sla.*.warning", "sla.warning", false),
            ("*a*a*", "a", false),
            ("*a*a*", "banana", true),
            ("*", "", true),
            ("**", "x", true),
            ("a*a", "a", false),
            ("退*", "退款", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), matches, "{pattern} {text}");
        }
    }
}
