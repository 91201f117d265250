//! What the service counts. Names carry the prefix `zhili_`.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Incidents of the partitions owned here that are not resolved.
    pub(crate) open: Family<Severity, Gauge>,
    /// Pages that reached their receiver.
    pub(crate) sent: Family<Channel, Counter>,
    /// Attempts that did not.
    pub(crate) failed: Family<Channel, Counter>,
    /// All attempts by what they came to.
    pub(crate) deliveries: Family<Delivery, Counter>,
    /// Claims appended.
    pub(crate) claims: Counter,
    /// Sends called off because their lease had ended before they could start.
    pub(crate) late_sends: Counter,
    /// From a signal becoming true to its first page delivered.
    pub(crate) signal_to_page: Histogram,
    /// From a timer's due time to its being seen to have fired.
    pub(crate) timer_lateness: Histogram,
    /// How overdue the oldest timer is that has not fired.
    pub(crate) overdue: Gauge<f64, AtomicU64>,
    /// Tests of destinations by what they came to; each outcome is there from the start, so that
    /// the first one that misses is seen as a rise.
    pub(crate) canaries: Family<Canary, Counter>,
    /// Commands by what they came to.
    pub(crate) commands: Family<Answer, Counter>,
    /// Watchers connected.
    pub(crate) watchers: Gauge,
    /// Watchers disconnected because they were too slow.
    pub(crate) slow_watchers: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Severity {
    pub(crate) severity: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Channel {
    pub(crate) channel: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Delivery {
    pub(crate) channel: &'static str,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Outcome {
    Delivered,
    Failed,
    Rejected,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Canary {
    pub(crate) arrived: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Answer {
    pub(crate) answer: &'static str,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        // Seconds; a page should leave within one.
        let signal_to_page = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0];
        let lateness = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0];
        let metrics = Self {
            open: Family::default(),
            sent: Family::default(),
            failed: Family::default(),
            deliveries: Family::default(),
            claims: Counter::default(),
            late_sends: Counter::default(),
            signal_to_page: Histogram::new(signal_to_page),
            timer_lateness: Histogram::new(lateness),
            overdue: Gauge::default(),
            canaries: Family::default(),
            commands: Family::default(),
            watchers: Gauge::default(),
            slow_watchers: Counter::default(),
        };
        for arrived in [true, false] {
            metrics.canaries.get_or_create(&Canary { arrived }).inc_by(0);
        }
        let registry = registry.sub_registry_with_prefix("escalation");
        let m = metrics.clone();
        registry.register("incidents_open", "Incidents that are not resolved", m.open);
        registry.register("pages_sent", "Pages that reached their receiver", m.sent);
        registry.register("pages_failed", "Attempts that did not reach it", m.failed);
        registry.register("deliveries", "Attempts by outcome", m.deliveries);
        registry.register("claims", "Claims of pages appended", m.claims);
        registry.register("late_sends", "Sends called off after their lease", m.late_sends);
        registry.register_with_unit(
            "signal_to_page",
            "From a signal becoming true to its first page delivered",
            Unit::Seconds,
            m.signal_to_page,
        );
        registry.register_with_unit(
            "timer_lateness",
            "From a timer's due time to its being seen to have fired",
            Unit::Seconds,
            m.timer_lateness,
        );
        registry.register_with_unit(
            "oldest_overdue_timer",
            "How overdue the oldest timer is that has not fired",
            Unit::Seconds,
            m.overdue,
        );
        registry.register("canaries", "Tests of destinations", m.canaries);
        registry.register("commands", "Commands by answer", m.commands);
        registry.register("watchers", "Watchers connected", m.watchers);
        registry.register("slow_watchers", "Watchers disconnected as too slow", m.slow_watchers);
        metrics
    }
}
