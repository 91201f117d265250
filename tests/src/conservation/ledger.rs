//! What publishers know: what was acknowledged to them, and what was refused.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::traffic::{Intent, Item};

/// What must be there of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) payload: u64,
    pub(crate) urgent: bool,
}

/// What was published into a topic without being an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    /// Where the log acknowledged it.
    pub partition: u32,
    /// Where the log acknowledged it.
    pub offset: u64,
    /// SHA-256 of the bytes, lower-case hex.
    pub sha256: String,
    /// How many bytes.
    pub length: u64,
}

/// Events that publishers were promised to be kept.
#[derive(Debug, Default)]
pub struct Ledger {
    pub(crate) events: HashMap<String, Expected>,
    /// By id and payload, how often each was sent: one that got no answer may be in the log as
    /// often.
    pub(crate) conflicts: BTreeMap<(String, u64), u32>,
    /// Ids that must be nowhere: typing, and what was refused.
    pub(crate) nowhere: HashSet<String>,
    pub(crate) poison: Vec<Poison>,
    /// SHA-256 of bytes of which the log said neither that it has them nor that it has not.
    pub(crate) unsure: BTreeSet<String>,
    acknowledged: u64,
}

impl Ledger {
    /// Notes that an item was acknowledged, or refused if it had to be, after it had been sent
    /// `attempts` times.
    pub fn settle(&mut self, item: &Item, attempts: u32) {
        let Item { event, intent } = item;
        self.acknowledged += u64::from(*intent != Intent::Oversized);
        match intent {
            Intent::New | Intent::Urgent => {
                let urgent = *intent == Intent::Urgent;
                let expected = Expected { payload: event.payload(), urgent };
                self.events.insert(event.id.clone(), expected);
            }
            Intent::Again => {}
            Intent::Conflict => {
                *self.conflicts.entry((event.id.clone(), event.payload())).or_default() += attempts;
            }
            Intent::Typing | Intent::Oversized => {
                self.nowhere.insert(event.id.clone());
            }
        }
    }

    /// Notes what a log acknowledged that is no event.
    pub fn poisoned(&mut self, poison: Poison) {
        self.acknowledged += 1;
        self.poison.push(poison);
    }

    /// Notes bytes, by their SHA-256, that may be in the log or not.
    pub fn perhaps_poisoned(&mut self, sha256: String) {
        self.unsure.insert(sha256);
    }

    /// Everything that was acknowledged, again and conflicting ones counted.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Events that must be one row each.
    pub fn rows(&self) -> usize {
        self.events.len()
    }

    /// Events that somebody must have been paged about.
    pub fn urgent(&self) -> usize {
        self.events.values().filter(|expected| expected.urgent).count()
    }
}
