use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Span;
use zhili_eventlog::trace::{TRACEPARENT, traceparent_of};
use zhili_eventlog::{
    Clock, EventLog, Headers, LogError, NewRecord, Position, TopicPartition, partition_of,
    system_clock, topics,
};
use zhili_proto::conversation::v1::{Acknowledgement, PublishResult, publish_result};
use zhili_redact::{Kind, find};
use zhili_runtime::auth::{Principal, Tenant};
use zhili_runtime::{Context, ErrorCode, Quota, ServiceError};

use crate::accept::{Prepared, Record, prepare_after};
use crate::budget::{Budget, Held, RETRY};
use crate::config::{Config, Limits};
use crate::keys::Keys;
use crate::leads::Leads;
use crate::log_health::LogHealth;
use crate::metrics::Metrics;
use crate::parse::Element;
use crate::rejection::{Code, Rejection};

/// Header that names the message in a record's value, for consumers that know none of ours.
const SCHEMA: (&str, &str) = ("zhili-schema", "zhili.conversation.v1.LogEntry");

/// Takes batches of events into the log, however they came.
pub(crate) struct Publisher {
    pub(crate) limits: Limits,
    pub(crate) budget: Budget,
    pub(crate) metrics: Metrics,
    pub(crate) shutdown: CancellationToken,
    pub(crate) stream_in_flight: usize,
    pub(crate) idle_timeout: Duration,
    log: Arc<dyn EventLog>,
    topic: Arc<str>,
    partitions: u32,
    keys: Arc<Keys>,
    leads: Mutex<Leads>,
    clock: Clock,
    health: LogHealth,
    patience: Duration,
    quota: Quota,
}

/// What became of a batch.
#[derive(Default)]
pub(crate) struct Answer {
    /// One for each event, in order.
    pub(crate) results: Vec<PublishResult>,
    /// How many of them are acknowledgements.
    pub(crate) accepted: u32,
}

/// One batch and what belongs to it.
pub(crate) struct Batch<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) elements: Vec<Element>,
    /// The caller's `traceparent`, if there was one.
    pub(crate) traceparent: Option<&'a str>,
    /// Given back when the batch is answered.
    pub(crate) held: Option<Held>,
    /// `grpc`, `stream`, `http` or `adapter`.
    pub(crate) protocol: &'static str,
}

/// A batch on its way into the log.
pub(crate) struct Pending {
    /// Complete but for the events that are to be appended.
    answer: Answer,
    records: Vec<NewRecord>,
    /// Which result each record's is.
    places: Vec<usize>,
    masked: Vec<Kind>,
    begun: Instant,
    protocol: &'static str,
    /// Given back when the batch is answered.
    _held: Option<Held>,
}

impl Publisher {
    pub(crate) fn new(
        log: Arc<dyn EventLog>,
        partitions: u32,
        keys: Arc<Keys>,
        config: &Config,
        metrics: Metrics,
        health: LogHealth,
        context: &Context,
    ) -> Self {
        Self {
            limits: config.limits.clone(),
            budget: Budget::new(
                config.budget_bytes,
                config.share_bytes(),
                metrics.in_flight.clone(),
                context.memory.clone(),
            ),
            metrics,
            shutdown: context.shutdown.clone(),
            stream_in_flight: config.stream_in_flight,
            idle_timeout: config.idle_timeout(),
            log,
            topic: topics::EVENTS.into(),
            partitions,
            keys,
            leads: Mutex::default(),
            clock: system_clock(),
            health,
            patience: config.append_timeout(),
            quota: Quota::new("events", config.tenant_events_per_s),
        }
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    /// The refusal of a publisher that went silent while it held a part of the budget.
    pub(crate) fn stalled(&self, what: &str) -> ServiceError {
        self.metrics.refused("stalled");
        let message = format!(
            "{what} for {} ms; publish what was not answered again",
            self.idle_timeout.as_millis()
        );
        ServiceError::new(ErrorCode::Timeout, message)
    }

    /// Checks, masks and appends; answers when everything taken is durable.
    ///
    /// # Errors
    /// [`ErrorCode::Exhausted`] when the tenant has used up its quota, and those of
    /// [`Publisher::append`].
    pub(crate) async fn publish(&self, batch: Batch<'_>) -> Result<Answer, ServiceError> {
        let taken = self.quota.take(&batch.principal.tenant, batch.elements.len() as u32);
        taken.inspect_err(|_| self.metrics.refused("quota"))?;
        let mut answers = self.append(vec![self.prepare(batch)]).await?;
        Ok(answers.pop().unwrap_or_default())
    }

    /// Waits until the tenant of a stream may publish as much.
    pub(crate) async fn may_publish(&self, tenant: &Tenant, events: usize) {
        self.quota.wait(tenant, events as u32).await;
    }

    /// Checks and masks; what is rejected or dropped is answered already.
    pub(crate) fn prepare(&self, batch: Batch<'_>) -> Pending {
        let Batch { principal, elements, traceparent, held, protocol } = batch;
        let mut pending = Pending {
            answer: Answer { results: Vec::with_capacity(elements.len()), accepted: 0 },
            records: Vec::with_capacity(elements.len()),
            places: Vec::with_capacity(elements.len()),
            masked: Vec::new(),
            begun: Instant::now(),
            protocol,
            _held: held,
        };
        let trace = trace_of(traceparent);
        let now_ms = (self.clock)();
        let keys = self.keys.current();
        for Element { event_id, traceparent, event } in elements {
            let prepared = event.and_then(|event| {
                // Once for the event and for those that follow, and while nobody waits.
                let found = find(&event.text);
                let lead = self.leads.lock().unwrap_or_else(PoisonError::into_inner).before(
                    principal.tenant.as_str(),
                    &event,
                    &found,
                );
                let limits = &self.limits;
                prepare_after(&lead, found, event, &principal.tenant, now_ms, &keys, limits)
            });
            let outcome = match prepared {
                Ok(Prepared::Record(record)) => {
                    pending.masked.extend_from_slice(&record.masked);
                    let own = traceparent.filter(|text| is_traceparent(text)).map(Bytes::from);
                    pending.records.push(self.record(record, own.or_else(|| trace.clone())));
                    pending.places.push(pending.answer.results.len());
                    None
                }
                Ok(Prepared::Dropped) => {
                    self.metrics.dropped.inc();
                    pending.answer.accepted += 1;
                    Some(publish_result::Outcome::Ack(Acknowledgement {
                        dropped: true,
                        ..Acknowledgement::default()
                    }))
                }
                Err(rejection) => Some(self.reject(rejection)),
            };
            pending.answer.results.push(PublishResult { event_id, outcome });
        }
        pending
    }

    /// Appends what was prepared, in order and at once, and completes the answers.
    ///
    /// # Errors
    /// When the log fails for any event: then nothing is acknowledged, some may be stored, and
    /// publishing all of them again is harmless.
    pub(crate) async fn append(
        &self,
        mut batches: Vec<Pending>,
    ) -> Result<Vec<Answer>, ServiceError> {
        let records: Vec<_> =
            batches.iter_mut().flat_map(|batch| std::mem::take(&mut batch.records)).collect();
        let mut appended = if records.is_empty() {
            Vec::new().into_iter()
        } else {
            self.store(records).await?.into_iter()
        };
        let mut answers = Vec::with_capacity(batches.len());
        for Pending { mut answer, places, masked, begun, protocol, .. } in batches {
            let mut stored = 0;
            for (place, outcome) in places.into_iter().zip(&mut appended) {
                answer.results[place].outcome = Some(match outcome {
                    Ok(position) => {
                        stored += 1;
                        publish_result::Outcome::Ack(acknowledged(&position))
                    }
                    Err(rejection) => self.reject(rejection),
                });
            }
            answer.accepted += stored;
            self.metrics.accepted.inc_by(u64::from(stored));
            self.metrics.masked(&masked);
            self.metrics.answered(protocol, begun.elapsed());
            answers.push(answer);
        }
        Ok(answers)
    }

    fn record(&self, record: Record, traceparent: Option<Bytes>) -> NewRecord {
        let Record { key, value, .. } = record;
        let partition = partition_of(&key, self.partitions);
        let mut headers = Headers::default();
        headers.push(SCHEMA.0, SCHEMA.1);
        if let Some(traceparent) = traceparent {
            headers.push(TRACEPARENT, traceparent);
        }
        NewRecord {
            partition: TopicPartition::new(Arc::clone(&self.topic), partition),
            key: Some(key),
            value: Some(value),
            headers,
        }
    }

    fn reject(&self, rejection: Rejection) -> publish_result::Outcome {
        self.metrics.rejected(rejection.code);
        publish_result::Outcome::Rejection(rejection.into())
    }

    async fn store(
        &self,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Result<Position, Rejection>>, ServiceError> {
        let Ok(appended) = timeout(self.patience, self.log.append(records)).await else {
            let reason = format!("it did not confirm within {} s", self.patience.as_secs());
            return Err(self.failed("timeout", &reason, true));
        };
        let mut outcomes = Vec::with_capacity(appended.len());
        for result in appended {
            outcomes.push(match result {
                Ok(position) => Ok(position),
                Err(error @ LogError::TooLarge { .. }) => {
                    Err(Rejection::new("event", Code::TooLong, error.to_string()))
                }
                Err(error) => {
                    return Err(self.failed(
                        error.kind(),
                        &error.to_string(),
                        error.is_transient(),
                    ));
                }
            });
        }
        self.health.succeeded();
        Ok(outcomes)
    }

    fn failed(&self, kind: &'static str, reason: &str, transient: bool) -> ServiceError {
        self.metrics.log_failed(kind);
        self.metrics.refused("log");
        self.health.failed(reason);
        let message = format!(
            "not all events are known to be in the log; publish them again, which is harmless: \
             {reason}"
        );
        let error = ServiceError::new(ErrorCode::Unavailable, message);
        if transient { error.retry_after(RETRY) } else { error }
    }
}

fn acknowledged(position: &Position) -> Acknowledgement {
    Acknowledgement {
        topic: position.partition.topic.to_string(),
        partition: position.partition.partition,
        offset: position.offset,
        dropped: false,
    }
}

/// The trace of the running call, or the caller's own where no traces are collected.
fn trace_of(incoming: Option<&str>) -> Option<Bytes> {
    let mut headers = Headers::default();
    if let Some(incoming) = incoming.filter(|text| is_traceparent(text)) {
        headers.push(TRACEPARENT, Bytes::copy_from_slice(incoming.as_bytes()));
    }
    traceparent_of(&Span::current(), &headers)
}

/// Whether a text is a `traceparent` of W3C Trace Context, version 00. Anything else is dropped:
/// it would reach the log unmasked.
fn is_traceparent(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut hex = |length: usize| {
        parts.next().filter(|part| {
            part.len() == length
                && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let nonzero = |part: &str| part.bytes().any(|byte| byte != b'0');
    hex(2) == Some("00")
        && hex(32).is_some_and(nonzero)
        && hex(16).is_some_and(nonzero)
        && hex(2).is_some()
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_traceparent_of_w3c_is_passed_on() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(good));
        for bad in [
            "",
            "13800138000",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }
}
