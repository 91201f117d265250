//! Random draws that are the same on every machine and with every release of the generator's
//! crate: ChaCha8 by name, and ranges of our own over its 64-bit outputs, in integers.

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

/// A stream of draws.
#[derive(Debug)]
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream of a seed and two numbers; each triple has one of its own, so that a
    /// conversation does not depend on those before it.
    pub(super) fn new(seed: u64, one: u64, two: u64) -> Self {
        let mut key = *b"........................simulate";
        for (place, part) in key.chunks_exact_mut(8).zip([seed, one, two]) {
            place.copy_from_slice(&part.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// 0..`count`; 0 if `count` is 0. The bias is below `count` / 2^64.
    pub(super) fn below(&mut self, count: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(count)) >> 64) as u64
    }

    /// `first`..=`last`.
    pub(super) fn between(&mut self, first: i64, last: i64) -> i64 {
        first + self.below((last - first + 1).max(1) as u64) as i64
    }

    /// True `percent` times in a hundred.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`, which are never empty.
    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// A waiting time around `usual` milliseconds: most are shorter, a few far longer.
    pub(super) fn wait(&mut self, usual: i64) -> i64 {
        let wait = self.between(usual / 4, usual);
        if self.percent(20) { wait + self.between(0, usual * 3) } else { wait }
    }
}
