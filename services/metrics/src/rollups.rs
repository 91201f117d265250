//! Keeps hours of figures put together, beside everything else.

use std::sync::PoisonError;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use zhili_runtime::Context;
use zhili_warehouse::{Layout, Roller, Warehouse};

/// Pause between two looks at what has changed. What has changed meanwhile is read from the facts.
const EVERY: Duration = Duration::from_secs(60);

/// Looks again and again until shutdown. What fails is tried again at the next look: without it
/// questions take longer and are answered as well.
pub(crate) fn keep(
    warehouse: Warehouse,
    layout: Layout,
    context: &Context,
) -> impl Future<Output = ()> + use<> {
    let shutdown = context.shutdown.clone();
    let (days, failures) = (Counter::<u64>::default(), Counter::<u64>::default());
    let mut metrics = context.metrics.lock().unwrap_or_else(PoisonError::into_inner);
    metrics.register("rollup_days", "Days of facts that were put together", days.clone());
    metrics.register("rollup_failures", "Looks that ended before they were done", failures.clone());
    drop(metrics);
    async move {
        let mut roller = Roller::new(warehouse, layout);
        loop {
            let passed = tokio::select! {
                () = shutdown.cancelled() => return,
                passed = roller.pass() => passed,
            };
            match passed {
                Ok(passed) => {
                    days.inc_by(passed.rolled as u64);
                }
                Err(error) => {
                    failures.inc();
                    tracing::warn!(%error, "figures are read from the facts for longer");
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }
}
