use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use zhili_redact::Kind;

use crate::rejection::Code;

/// What the service counts.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) accepted: Counter,
    pub(crate) dropped: Counter,
    pub(crate) bytes: Counter,
    pub(crate) in_flight: Gauge,
    rejected: Family<ByCode, Counter>,
    masked: Family<ByKind, Counter>,
    refused: Family<ByReason, Counter>,
    log_failures: Family<ByKind, Counter>,
    adapters: Family<ByAdapter, Counter>,
    seconds: Family<ByProtocol, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCode {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByAdapter {
    platform: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByProtocol {
    protocol: &'static str,
}

/// 1 ms, below one group commit, to 16 s, just above the append timeout.
fn latency() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            accepted: Counter::default(),
            dropped: Counter::default(),
            bytes: Counter::default(),
            in_flight: Gauge::default(),
            rejected: Family::default(),
            masked: Family::default(),
            refused: Family::default(),
            log_failures: Family::default(),
            adapters: Family::default(),
            seconds: Family::new_with_constructor(latency),
        };
        let registry = registry.sub_registry_with_prefix("ingest");
        registry.register(
            "events_accepted",
            "Events acknowledged, durable in the log",
            metrics.accepted.clone(),
        );
        registry.register("events_rejected", "Events rejected", metrics.rejected.clone());
        registry.register(
            "events_dropped",
            "Events acknowledged and dropped by contract: typing",
            metrics.dropped.clone(),
        );
        registry.register(
            "masked_spans",
            "Places with personal data masked in accepted events",
            metrics.masked.clone(),
        );
        registry.register("request_bytes", "Bytes of requests read", metrics.bytes.clone());
        registry.register(
            "in_flight_bytes",
            "Memory counted for requests being read or waiting for the log",
            metrics.in_flight.clone(),
        );
        registry.register(
            "requests_refused",
            "Requests refused as a whole",
            metrics.refused.clone(),
        );
        registry.register(
            "log_failures",
            "Appends that the log did not confirm",
            metrics.log_failures.clone(),
        );
        registry.register(
            "adapter_requests",
            "Bodies of platforms by what was in them: events, nothing, unreadable, unknown_sender",
            metrics.adapters.clone(),
        );
        registry.register(
            "request_seconds",
            "Time from a batch read to its answer",
            metrics.seconds.clone(),
        );
        metrics
    }

    pub(crate) fn rejected(&self, code: Code) {
        self.rejected.get_or_create(&ByCode { code: code.as_str() }).inc();
    }

    pub(crate) fn masked(&self, kinds: &[Kind]) {
        for kind in kinds {
            self.masked.get_or_create(&ByKind { kind: kind.as_str() }).inc();
        }
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ByReason { reason }).inc();
    }

    pub(crate) fn log_failed(&self, kind: &'static str) {
        self.log_failures.get_or_create(&ByKind { kind }).inc();
    }

    pub(crate) fn adapter(&self, platform: &'static str, outcome: &'static str) {
        self.adapters.get_or_create(&ByAdapter { platform, outcome }).inc();
    }

    pub(crate) fn answered(&self, protocol: &'static str, after: Duration) {
        self.seconds.get_or_create(&ByProtocol { protocol }).observe(after.as_secs_f64());
    }
}
