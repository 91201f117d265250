//! What each agent does in one cycle: how long they are at it (`aht.v1`), and how often they
//! answer like a machine (`mechanical.v1`).

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// Work that ends with a message began no longer than this before it: what is longer is waiting.
const LONGEST_MS: i64 = 5 * 60_000;
/// Agents of a cycle that are told apart, the first of them.
const AGENTS_KEPT: usize = 16;
/// Messages that a new one is compared with, the latest of the same agent.
const PRINTS_KEPT: usize = 6;

/// One agent's part in a cycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stint {
    /// Where the agent spoke first.
    pub(crate) place: u32,
    pub(crate) messages: u32,
    pub(crate) mechanical: u32,
    pub(crate) active_ms: i64,
    prints: [Option<NonZeroU32>; PRINTS_KEPT],
}

/// In the order of first messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stints(Vec<Stint>);

/// A message as work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) place: u32,
    /// Since whatever was said before it.
    pub(crate) since_ms: i64,
    /// Of what it says, if it is long enough to be told from others and more than a formula.
    pub(crate) print: Option<NonZeroU32>,
    /// It is a saved text that says nothing to what the customer wants.
    pub(crate) ignores: bool,
}

impl Stints {
    /// An agent says something; `is_of` tells whether a place is the agent's.
    pub(crate) fn work(&mut self, work: Work, is_of: impl Fn(u32) -> bool) {
        let known = self.0.iter().position(|stint| is_of(stint.place));
        let index = known.unwrap_or(self.0.len());
        if known.is_none() {
            if index == AGENTS_KEPT {
                return;
            }
            self.0.reserve_exact(1);
            let (place, prints) = (work.place, [None; PRINTS_KEPT]);
            self.0.push(Stint { place, messages: 0, mechanical: 0, active_ms: 0, prints });
        }
        let stint = &mut self.0[index];
        stint.messages += 1;
        stint.active_ms += work.since_ms.clamp(0, LONGEST_MS);
        let repeats = work.print.is_some() && stint.prints.contains(&work.print);
        stint.mechanical += u32::from(repeats || work.ignores);
        if work.print.is_some() && !repeats {
            stint.prints.rotate_left(1);
            stint.prints[PRINTS_KEPT - 1] = work.print;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Stint> {
        self.0.iter()
    }

    /// Every place it refers to is below `places`.
    pub(crate) fn is_consistent(&self, places: u32) -> bool {
        self.0.len() <= AGENTS_KEPT && self.0.iter().all(|stint| stint.place < places)
    }
}
