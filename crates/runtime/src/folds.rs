//! How far the folds of a process are, as metrics.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use zhili_eventlog::Clock;
use zhili_eventlog::runner::{PartitionProgress, Progress};

use crate::scrape::gauge;

/// The folds of a process that its metrics tell of. Cheap to clone.
#[derive(Clone, Default)]
pub struct Folds(Arc<Mutex<Vec<Watched>>>);

#[derive(Clone)]
struct Watched {
    group: &'static str,
    progress: Progress,
    clock: Clock,
}

/// A partition of a group's input, which is one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Place {
    group: &'static str,
    partition: u32,
}

impl Folds {
    /// Tells from now on how far the partitions are that this process folds as a member of `group`.
    pub fn watch(&self, group: &'static str, progress: Progress, clock: Clock) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.push(Watched { group, progress, clock });
    }

    /// Every partition with the time at which this is asked.
    fn partitions(&self) -> Vec<(Place, PartitionProgress, i64)> {
        let watched = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let each = watched.iter().flat_map(|Watched { group, progress, clock }| {
            let now_ms = clock();
            progress.all().into_iter().map(move |(at, progress)| {
                (Place { group, partition: at.partition }, progress, now_ms)
            })
        });
        each.collect()
    }
}

impl fmt::Debug for Folds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.partitions()).finish()
    }
}

type Gauged = (&'static str, &'static str, fn(&PartitionProgress, i64) -> f64);
type Counted = (&'static str, &'static str, fn(&PartitionProgress) -> u64);

const GAUGES: [Gauged; 3] = [
    ("fold_halted", "Whether a fold stopped for good, 1 or 0; /readyz says why", |progress, _| {
        f64::from(u8::from(progress.halted.is_some()))
    }),
    (
        "fold_stalled_seconds",
        "For how long a fold that has records to read has not moved; 0 when it has none",
        |progress, now_ms| {
            if progress.caught_up { 0.0 } else { seconds(now_ms - progress.progressed_ms) }
        },
    ),
    (
        "fold_unsaved_seconds",
        "For how long there have been records whose effect is in no snapshot of this owner",
        |progress, now_ms| progress.unsaved_ms.map_or(0.0, |since_ms| seconds(now_ms - since_ms)),
    ),
];

const COUNTERS: [Counted; 3] = [
    ("fold_records", "Records folded since the partition was assigned", |progress| {
        progress.records
    }),
    ("fold_dead_letters", "Of those, records that became dead letters", |progress| {
        progress.dead_letters
    }),
    ("fold_retries", "Reads and commits that had to be tried again", |progress| progress.retries),
];

fn seconds(ms: i64) -> f64 {
    ms.max(0) as f64 / 1_000.0
}

impl Collector for Folds {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let partitions = self.partitions();
        for (name, words, value) in GAUGES {
            let mut family = gauge(&mut encoder, name, words)?;
            for (place, progress, now_ms) in &partitions {
                family.encode_family(place)?.encode_gauge(&value(progress, *now_ms))?;
            }
        }
        for (name, words, value) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, words, None, MetricType::Counter)?;
            for (place, progress, _) in &partitions {
                let value = value(progress);
                family.encode_family(place)?.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zhili_eventlog::TopicPartition;

    fn told(progress: PartitionProgress) -> String {
        let (folds, all) = (Folds::default(), Progress::default());
        all.update(&TopicPartition::new("t", 7), |it| *it = progress);
        folds.watch("sums", all, Arc::new(|| 61_500));
        crate::scrape::collected(folds)
    }

    #[track_caller]
    fn tells(text: &str, line: &str) {
        assert!(text.lines().any(|it| it == line), "{line} is not in {text}");
    }

    #[test]
    fn a_fold_with_work_that_does_not_move_is_stalled_and_an_idle_one_is_not() {
        let waiting = PartitionProgress { progressed_ms: 60_000, ..PartitionProgress::default() };
        let stalled = "zhili_fold_stalled_seconds{group=\"sums\",partition=\"7\"}";
        tells(&told(waiting.clone()), &format!("{stalled} 1.5"));
        tells(&told(PartitionProgress { caught_up: true, ..waiting }), &format!("{stalled} 0.0"));
    }

    #[test]
    fn a_fold_tells_what_it_lost_what_it_did_and_what_it_has_not_saved() {
        let text = told(PartitionProgress {
            records: 9,
            dead_letters: 2,
            retries: 1,
            halted: Some("a kind that is unknown".to_owned()),
            unsaved_ms: Some(1_500),
            ..PartitionProgress::default()
        });
        let place = "{group=\"sums\",partition=\"7\"}";
        tells(&text, &format!("zhili_fold_halted{place} 1.0"));
        tells(&text, &format!("zhili_fold_unsaved_seconds{place} 60.0"));
        tells(&text, &format!("zhili_fold_records_total{place} 9"));
        tells(&text, &format!("zhili_fold_dead_letters_total{place} 2"));
        tells(&text, &format!("zhili_fold_retries_total{place} 1"));
    }

    #[test]
    fn groups_of_one_process_share_a_family() {
        let folds = Folds::default();
        for group in ["one", "two"] {
            let progress = Progress::default();
            progress.update(&TopicPartition::new("t", 0), |_| ());
            folds.watch(group, progress, Arc::new(|| 0));
        }
        let text = crate::scrape::collected(folds);
        assert_eq!(text.matches("# TYPE zhili_fold_halted gauge").count(), 1, "{text}");
        assert_eq!(text.matches("\nzhili_fold_halted{").count(), 2, "{text}");
    }
}
