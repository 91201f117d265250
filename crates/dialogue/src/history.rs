//! The settled turns of a cycle, packed: they are read again only when a reply comes late.

use serde::{Deserialize, Serialize};
use zhili_state::encode;

use crate::turn::Turn;

/// Settled turns in the order of settling, as postcard with times relative to the cycle's start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct History {
    packed: Vec<u8>,
    /// Log time at which the first of them was settled; `i64::MAX` if there is none.
    oldest_ms: i64,
}

impl Default for History {
    fn default() -> Self {
        Self { packed: Vec::new(), oldest_ms: i64::MAX }
    }
}

impl History {
    /// Adds a turn of a cycle that started at `start_ms`.
    pub(crate) fn push(&mut self, start_ms: i64, mut turn: Turn) {
        if self.packed.is_empty() {
            self.oldest_ms = turn.settled_ms;
        }
        turn.drop_what_no_correction_needs();
        turn.shift(start_ms, i64::wrapping_sub);
        let bytes = encode(&turn, Vec::with_capacity(64));
        // Doubling would waste as much as the whole conversation should take.
        if self.packed.capacity() - self.packed.len() < bytes.len() {
            self.packed.reserve_exact(bytes.len() + self.packed.len() / 8);
        }
        self.packed.extend(bytes);
    }

    /// Takes all turns out.
    pub(crate) fn take(&mut self, start_ms: i64) -> Vec<Turn> {
        let mut turns = Vec::new();
        let packed = std::mem::take(self).packed;
        let mut rest = packed.as_slice();
        while let Some((turn, after)) = first(rest, start_ms) {
            turns.push(turn);
            rest = after;
        }
        turns
    }

    /// Forgets the leading turns that were settled at or before `until_ms` of log time.
    pub(crate) fn forget(&mut self, start_ms: i64, until_ms: i64) {
        if self.oldest_ms > until_ms {
            return;
        }
        let mut rest = self.packed.as_slice();
        self.oldest_ms = i64::MAX;
        while let Some((turn, after)) = first(rest, start_ms) {
            if turn.settled_ms > until_ms {
                self.oldest_ms = turn.settled_ms;
                break;
            }
            rest = after;
        }
        self.packed = rest.to_vec();
    }

    /// Every turn can be read, is not empty and was settled at a place below `places`.
    pub(crate) fn is_consistent(&self, places: u32) -> bool {
        let mut rest = self.packed.as_slice();
        while let Some((turn, after)) = first(rest, 0) {
            if !turn.is_consistent(places) {
                return false;
            }
            rest = after;
        }
        rest.is_empty()
    }
}

/// The first turn and the bytes after it; `None` at the end.
fn first(packed: &[u8], start_ms: i64) -> Option<(Turn, &[u8])> {
    let (mut turn, rest) = postcard::take_from_bytes::<Turn>(packed).ok()?;
    turn.shift(start_ms, i64::wrapping_add);
    Some((turn, rest))
}
