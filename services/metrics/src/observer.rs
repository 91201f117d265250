use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use zhili_eventlog::TopicPartition;
use zhili_runtime::Context;
use zhili_warehouse::sink::{Batch, Observer, OffsetRange};
use zhili_warehouse::{Block, SinkError, Table, WarehouseError};

/// Turns what the sink tells into metrics and readiness.
pub(crate) struct Observed {
    inserts: Family<Outcome, Histogram>,
    rows: Counter,
    dead_letters: Counter,
    resumed_ranges: Counter,
    orphaned_rows: Counter,
    trouble: Mutex<Trouble>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    table: &'static str,
    outcome: &'static str,
}

/// What keeps rows from their tables.
#[derive(Default)]
struct Trouble {
    waiting: Option<String>,
    failing: BTreeMap<(TopicPartition, Table), &'static str>,
    halted: BTreeMap<TopicPartition, String>,
}

impl Observed {
    pub(crate) fn new(context: &Context) -> Self {
        let observed = Self {
            inserts: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.002, 2.0, 16))
            }),
            rows: Counter::default(),
            dead_letters: Counter::default(),
            resumed_ranges: Counter::default(),
            orphaned_rows: Counter::default(),
            trouble: Mutex::new(Trouble {
                waiting: Some("the schema was not looked at yet".to_owned()),
                ..Trouble::default()
            }),
        };
        let mut metrics = context.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let inserts = observed.inserts.clone();
        metrics.register("sink_insert_seconds", "Time of one INSERT, failed ones too", inserts);
        metrics.register("sink_rows", "Rows written", observed.rows.clone());
        metrics.register(
            "sink_dead_letters",
            "Records that no table could take",
            observed.dead_letters.clone(),
        );
        metrics.register(
            "sink_resumed_ranges",
            "Ranges that an owner took over unfinished",
            observed.resumed_ranges.clone(),
        );
        metrics.register(
            "sink_orphaned_rows",
            "Rows whose token was known to a table that lacked them; written again",
            observed.orphaned_rows.clone(),
        );
        drop(metrics);
        observed
    }

    pub(crate) fn prepared(&self) {
        self.trouble().waiting = None;
    }

    pub(crate) fn waiting(&self, error: &WarehouseError) {
        self.trouble().waiting = Some(error.to_string());
    }

    pub(crate) fn complaint(&self) -> Option<String> {
        let trouble = self.trouble();
        let failing = trouble
            .failing
            .iter()
            .map(|((at, table), error)| format!("INSERTs of {at} into {table} fail: {error}"));
        let halted = trouble.halted.iter().map(|(at, error)| format!("{at} halted: {error}"));
        let all: Vec<String> =
            trouble.waiting.iter().cloned().chain(failing).chain(halted).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Whether the partition's sink stopped here and does not go on by itself.
    pub(crate) fn is_halted(&self, partition: &TopicPartition) -> bool {
        self.trouble().halted.contains_key(partition)
    }

    fn forget(&self, partition: &TopicPartition) {
        let mut trouble = self.trouble();
        trouble.halted.remove(partition);
        trouble.failing.retain(|(at, _), _| at != partition);
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Observed {
    fn started(&self, partition: &TopicPartition) {
        self.forget(partition);
    }

    fn inserted(
        &self,
        partition: &TopicPartition,
        block: &Block,
        took: Duration,
        error: Option<&'static str>,
    ) {
        let (table, outcome) = (block.table().name(), error.unwrap_or("ok"));
        self.inserts.get_or_create(&Outcome { table, outcome }).observe(took.as_secs_f64());
        let at = (partition.clone(), block.table());
        let mut trouble = self.trouble();
        match error {
            None => {
                self.rows.inc_by(block.rows() as u64);
                trouble.failing.remove(&at);
            }
            Some(error) => {
                trouble.failing.insert(at, error);
            }
        }
    }

    fn done(&self, _: &TopicPartition, batch: &Batch) {
        self.dead_letters.inc_by(batch.dead_letters().len() as u64);
    }

    fn resumed(&self, partition: &TopicPartition, table: Table, range: OffsetRange, landed: usize) {
        tracing::info!(%partition, table = table.name(), ?range, landed, "finishing a range of a former owner");
        self.resumed_ranges.inc();
    }

    fn orphaned(&self, rows: &Block) {
        self.orphaned_rows.inc_by(rows.rows() as u64);
    }

    fn halted(&self, partition: &TopicPartition, error: &SinkError) {
        self.trouble().halted.insert(partition.clone(), error.to_string());
    }

    fn stopped(&self, partition: &TopicPartition) {
        self.forget(partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_util::sync::CancellationToken;
    use zhili_runtime::auth::Authenticator;

    fn observed() -> Observed {
        let auth = Authenticator::from_records(Vec::new());
        let observed = Observed::new(&Context::new(CancellationToken::default(), auth));
        observed.prepared();
        observed
    }

    #[test]
    fn what_was_wrong_with_a_partition_is_over_when_it_moves_or_starts_again() {
        let observed = observed();
        let (here, there) = (TopicPartition::new("t", 0), TopicPartition::new("t", 1));
        let error = SinkError::Panicked { partition: here.clone(), detail: "a bug".to_owned() };
        for over in [Observer::started, Observer::stopped] {
            observed.halted(&here, &error);
            observed.inserted(&here, &Block::new(Table::Turns), Duration::ZERO, Some("busy"));
            observed.inserted(&there, &Block::new(Table::Turns), Duration::ZERO, Some("busy"));
            let complaint = observed.complaint().unwrap_or_default();
            assert!(complaint.contains("a bug") && observed.is_halted(&here), "{complaint}");
            over(&observed, &here);
            let complaint = observed.complaint().unwrap_or_default();
            assert!(complaint.contains("t[1]") && !complaint.contains("t[0]"), "{complaint}");
            over(&observed, &there);
            assert_eq!(observed.complaint(), None);
        }
    }
}
