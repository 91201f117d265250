//! When to write, and when to try again. Pure: time and chance come in as arguments.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tokio::time::Instant;

/// Spaces the writes of one partition so that a table sees a bounded number of INSERTs from all
/// partitions together, wherever they are owned.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    gap: Duration,
    linger: Duration,
    last: Option<Instant>,
}

impl Pace {
    /// For one of `partitions` partitions of a topic whose tables may see `per_second` INSERTs.
    /// `linger` is how long a first record waits for company when nothing was written lately.
    #[must_use]
    pub fn new(partitions: u32, per_second: f64, linger: Duration) -> Self {
        Self {
            gap: Duration::from_secs_f64(f64::from(partitions.max(1)) / per_second),
            linger,
            last: None,
        }
    }

    /// When a batch is to be written whose first record came at `first`.
    #[must_use]
    pub fn due(&self, first: Instant) -> Instant {
        let lingered = first + self.linger;
        self.last.map_or(lingered, |last| lingered.max(last + self.gap))
    }

    /// A batch is being written.
    pub fn written(&mut self, at: Instant) {
        self.last = Some(at);
    }
}

/// Waits between attempts: doubling from `first` to at most `longest`, each shortened by up to
/// half so that partitions that failed together do not return together.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Before the second attempt.
    pub first: Duration,
    /// Never longer than this.
    pub longest: Duration,
}

impl Backoff {
    /// The wait after attempt `attempt` (from 1) of what `what` names. The same arguments give
    /// the same wait.
    #[must_use]
    pub fn delay(&self, attempt: u32, what: &str) -> Duration {
        let doubled = self
            .first
            .saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX))
            .min(self.longest);
        let mut hasher = DefaultHasher::new();
        (what, attempt).hash(&mut hasher);
        let share = (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64;
        doubled.mul_f64(1.0 - share / 2.0)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(200), longest: Duration::from_secs(10) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_record_waits_only_for_company() {
        let start = Instant::now();
        let pace = Pace::new(12, 4.0, Duration::from_millis(20));
        assert_eq!(pace.due(start), start + Duration::from_millis(20));
    }

    #[test]
    fn twelve_partitions_at_four_a_second_write_every_three_seconds() {
        let start = Instant::now();
        let mut pace = Pace::new(12, 4.0, Duration::from_millis(20));
        pace.written(start);
        assert_eq!(pace.due(start + Duration::from_millis(100)), start + Duration::from_secs(3));
        let late = start + Duration::from_secs(10);
        assert_eq!(pace.due(late), late + Duration::from_millis(20));
    }

    #[test]
    fn waits_double_up_to_the_longest_and_lose_at_most_half() {
        let backoff = Backoff::default();
        for attempt in 1..200 {
            let full = Duration::from_millis(200)
                .saturating_mul(1 << (attempt - 1).min(20))
                .min(Duration::from_secs(10));
            for what in ["a", "b", "c"] {
                let delay = backoff.delay(attempt, what);
                assert!(delay <= full && delay >= full / 2, "{attempt} {delay:?}");
            }
        }
        assert_ne!(backoff.delay(3, "a"), backoff.delay(3, "b"));
    }
}
