//! Due times of conversations, in order, 12 bytes each.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Removed entries that are kept before any are thrown out.
const MOST_REMOVED: usize = 1024;

/// A set of (due time, slot), smallest first. What is removed stays in the heap and in a heap of
/// its own until it comes up or is as much as what is there: a conversation's timer is moved far
/// less often than it stands, and a tree takes twice the memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers {
    entries: BinaryHeap<Reverse<Entry>>,
    removed: BinaryHeap<Reverse<Entry>>,
}

/// Due time, upper half first and moved so that all are positive, and slot.
type Entry = [u32; 3];

fn entry(due_ms: i64, slot: u32) -> Entry {
    let due = due_ms as u64 ^ 1 << 63;
    [(due >> 32) as u32, due as u32, slot]
}

impl Timers {
    /// Adds an entry that is not there.
    pub(crate) fn insert(&mut self, due_ms: i64, slot: u32) {
        self.entries.push(Reverse(entry(due_ms, slot)));
    }

    /// Takes an entry out that is there.
    pub(crate) fn remove(&mut self, due_ms: i64, slot: u32) {
        self.removed.push(Reverse(entry(due_ms, slot)));
        if self.removed.len() > MOST_REMOVED.max(self.entries.len() / 2) {
            let removed = std::mem::take(&mut self.removed).into_sorted_vec();
            let mut removed = removed.into_iter().rev().peekable();
            let entries = std::mem::take(&mut self.entries).into_sorted_vec();
            let left =
                entries.into_iter().rev().filter(|entry| removed.next_if_eq(entry).is_none());
            self.entries = left.collect();
        }
        self.drop_removed();
    }

    pub(crate) fn first(&self) -> Option<(i64, u32)> {
        let &Reverse([high, low, slot]) = self.entries.peek()?;
        let due = u64::from(high) << 32 | u64::from(low);
        Some(((due ^ 1 << 63) as i64, slot))
    }

    pub(crate) fn pop_first(&mut self) {
        self.entries.pop();
        self.drop_removed();
    }

    /// Makes the first entry one that was not removed.
    fn drop_removed(&mut self) {
        while let Some(removed) = self.removed.peek()
            && self.entries.peek() == Some(removed)
        {
            self.removed.pop();
            self.entries.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn entries_come_in_order_and_without_those_that_were_removed(
            steps in proptest::collection::vec((0_u8..4, -20_i64..20, 0_u32..5), 0..6_000),
        ) {
            let (mut timers, mut expected) = (Timers::default(), BTreeSet::new());
            for (step, due, slot) in steps {
                let due_ms = if due == 19 { i64::MAX } else { due * 3_000_000_000_000_000 };
                match step {
                    0 | 1 => if expected.insert((due_ms, slot)) { timers.insert(due_ms, slot); },
                    2 => if expected.remove(&(due_ms, slot)) { timers.remove(due_ms, slot); },
                    _ => if expected.pop_first().is_some() { timers.pop_first(); },
                }
                prop_assert_eq!(timers.first(), expected.first().copied());
            }
        }
    }

    #[test]
    fn what_is_removed_again_and_again_does_not_pile_up() {
        let mut timers = Timers::default();
        timers.insert(0, 0);
        for due_ms in 1..100_000 {
            timers.insert(due_ms, 1);
            timers.remove(due_ms, 1);
        }
        assert!(timers.entries.len() + timers.removed.len() <= 3 * MOST_REMOVED);
        assert_eq!(timers.first(), Some((0, 0)));
    }
}
