//! What scoring takes from a tenant's configuration bundle.
//!
//! ```toml
//! [phrases]                             # on top of the library, in its format
//! "own.zh" = """
//! ...
//! """
//!
//! [dialogue]                            # business hours and targets
//! policy = "standard"
//! policies.standard.frt = { target_ms = 60000, warn_ms = 45000 }
//!
//! [customers]
//! repeat = { within_days = 7, times = 2, severity = "high" }   # complaints of one customer
//!
//! [pulse]                               # complaints of many about one thing
//! window_minutes = 10
//!
//! [agents]                              # nothing is stated that rates an agent
//! scored = false
//! ```
//!
//! The tables are described at [`zhili_dialogue::Policies`],
//! [`zhili_dialogue::RepeatPolicy`] and [`zhili_dialogue::PulsePolicy`], and in the library's README. A bundle
//! without one of them leaves the tenant to that of tenant `*`, which serves all that have none of
//! their own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zhili_dialogue::{Policies, PulsePolicy, RepeatPolicy};
use zhili_runtime::bundle::{self, BundleError};
use zhili_tone::{Engine, LibraryError};

/// Phrases of a tenant's own on top of the library, in its format (`crates/tone/library/README.md`):
/// content by name of the file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Phrases(
    /// Content of a file; errors name it.
    BTreeMap<String, String>,
);

impl Phrases {
    /// An engine with these phrases on top of the library.
    ///
    /// # Errors
    /// The first line that cannot be read, by file and number.
    pub fn engine(&self) -> Result<Engine, LibraryError> {
        let files: Vec<(&str, &str)> =
            self.0.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect();
        Engine::with_phrases(&files)
    }
}

/// The tables of a bundle that scoring reads.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Bundle {
    /// Phrases of the tenant's own.
    #[serde(default)]
    pub phrases: Option<Phrases>,
    /// Business hours and targets.
    #[serde(default)]
    pub dialogue: Option<Policies>,
    /// What is made of a customer's conversations.
    #[serde(default)]
    pub customers: Option<CustomerSettings>,
    /// What is made of all complaints.
    #[serde(default)]
    pub pulse: Option<PulsePolicy>,
    /// Whether agents are scored.
    #[serde(default)]
    pub agents: Option<AgentSettings>,
}

/// Whether agents are scored; they are without this table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSettings {
    /// If `false`, no text of an agent is assessed in what is stored, and no statement names an agent.
    pub scored: bool,
}

/// What is made of a customer's conversations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CustomerSettings {
    /// When complaints of one customer are worth a signal.
    pub repeat: RepeatPolicy,
}

impl Bundle {
    /// Reads a bundle.
    ///
    /// # Errors
    /// [`BundleError`] naming line and field. Whether the phrases can be read is not looked at.
    pub fn parse(bundle: &[u8]) -> Result<Self, BundleError> {
        bundle::parse(bundle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzzed_bundles_are_read_or_refused() {
        let corpus = zhili_fuzz::blocks(include_str!("../../../docs/operations.md"), "toml");
        let words = &[
            "[dialogue.calendars.a]",
            "[dialogue.policies.a]",
            "[pulse]",
            "[phrases]",
            "[agents]",
            "]\n",
            " = ",
            "\"",
            "{ ",
            " }",
            "-1",
            "nan",
            "1e999",
            "9223372036854775807",
            "tz = ",
            "\"Asia/Shanghai\"",
            "weekly = ",
            "\"24:00\"",
            "mon-fri",
            "holidays = [",
            "makeup = ",
            "2026-02-30",
            "target_ms = ",
            "calendar = ",
            "\n",
        ];
        let search = zhili_fuzz::Search::of("bundles of scoring").corpus(corpus).words(words);
        search.longest(4096).run(|input| match Bundle::parse(input) {
            Ok(bundle) => zhili_fuzz::kind(&(
                bundle.dialogue.is_some(),
                bundle.customers.is_some(),
                bundle.pulse.is_some(),
                bundle.agents.map(|agents| agents.scored),
                bundle.phrases.is_some(),
            )),
            Err(error) => zhili_fuzz::words_of(&error.to_string()),
        });
    }
}
