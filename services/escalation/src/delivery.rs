//! One send of a page, from the request to the result in the log.

use std::time::Duration;

use tokio::time::Instant;
use zhili_eventlog::{Headers, LogError, TopicPartition, trace};
use zhili_incident::{DeliveryResult, Destination, Outcome, PageId};

use crate::attempts::in_lease;
use crate::card::Card;
use crate::channel::{Courier, Send, Sent};
use crate::convert;
use crate::metrics;
use crate::owner::{Pager, record, seconds};

/// Pauses before an append is tried again, growing from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// One send, from the request to the result in the log.
pub(crate) struct Delivery<C> {
    pub(crate) pager: Pager<C>,
    pub(crate) partition: TopicPartition,
    pub(crate) tenant: String,
    pub(crate) team: String,
    pub(crate) page_id: PageId,
    pub(crate) attempt: u32,
    pub(crate) destination: Destination,
    pub(crate) card: Card,
    /// When its claim was given to the log first.
    pub(crate) claimed: Instant,
    pub(crate) traceparent: Option<bytes::Bytes>,
    /// When the incident's first signal became true, if this page tells of it.
    pub(crate) triggered_ms: Option<i64>,
}

/// Ends a delivery in any case, also when it panics: as long as it counts as under way, nobody tries
/// its page again.
struct Ending<'a, C: Courier> {
    delivery: &'a Delivery<C>,
    noted: bool,
}

impl<C: Courier> Drop for Ending<'_, C> {
    fn drop(&mut self) {
        self.delivery.end(self.noted);
    }
}

impl<C: Courier> Delivery<C> {
    pub(crate) async fn run(self) {
        let mut ending = Ending { delivery: &self, noted: false };
        let request = Send {
            destination: &self.destination,
            card: &self.card,
            at_ms: (self.pager.clock)(),
            traceparent: self.traceparent.clone(),
        };
        let started = Instant::now();
        let sent =
            self.pager.courier.send(request, || in_lease(self.claimed, Instant::now())).await;
        let Some(sent) = sent else {
            tracing::warn!(
                "the lease ended before the page could be sent, it will be claimed again"
            );
            self.pager.metrics.late_sends.inc();
            return;
        };
        self.count(&sent);
        match sent.outcome {
            Outcome::Delivered => tracing::info!(detail = sent.detail, "page delivered"),
            Outcome::Failed => tracing::warn!(detail = sent.detail, "page failed, trying again"),
            Outcome::Rejected => tracing::error!(detail = sent.detail, "page refused for good"),
        }
        let result = DeliveryResult {
            page_id: self.page_id,
            attempt: self.attempt,
            outcome: sent.outcome,
            detail: sent.detail,
            duration_ms: started.elapsed().as_millis() as i64,
            retry_after_ms: sent.retry_after_ms,
            code: sent.code,
            excerpt: sent.excerpt,
        };
        ending.noted = self.note(result).await;
    }

    fn end(&self, noted: bool) {
        let owned = self.pager.lock_owned().contains_key(&self.partition);
        self.pager.lock().ended((self.page_id, self.attempt), noted, owned);
    }

    /// Appends the result until the log has it: without it the page would be sent once more.
    async fn note(&self, result: DeliveryResult) -> bool {
        let value = convert::result_record(&self.tenant, &self.team, result);
        let mut headers = Headers::default();
        if let Some(parent) = &self.traceparent {
            headers.push(trace::TRACEPARENT, parent.clone());
        }
        let record = record(&self.partition, &self.tenant, &self.team, value, headers);
        let mut pause = BACKOFF.0;
        loop {
            match self.pager.log.append(vec![record.clone()]).await.pop() {
                // A second copy of a result has no effect.
                Some(Err(error)) if error.is_transient() => {
                    tracing::warn!(%error, "cannot note what came of a page, trying again");
                }
                // The topic was there when the service started and will be there again.
                Some(Err(error @ (LogError::UnknownTopic(_) | LogError::UnknownPartition(_)))) => {
                    tracing::error!(%error, "cannot note what came of a page, trying again");
                }
                Some(Err(error)) => {
                    tracing::error!(%error, "cannot note what came of a page, it may be sent again");
                    return false;
                }
                Some(Ok(_)) | None => return true,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    fn count(&self, sent: &Sent) {
        let channel = self.destination.channel().name();
        let metrics = &self.pager.metrics;
        let outcome = match sent.outcome {
            Outcome::Delivered => metrics::Outcome::Delivered,
            Outcome::Failed => metrics::Outcome::Failed,
            Outcome::Rejected => metrics::Outcome::Rejected,
        };
        let label = metrics::Delivery { channel, outcome };
        metrics.deliveries.get_or_create(&label).inc();
        let channel = metrics::Channel { channel };
        if sent.outcome == Outcome::Delivered {
            metrics.sent.get_or_create(&channel).inc();
            if let Some(since) = self.triggered_ms {
                metrics.signal_to_page.observe(seconds((self.pager.clock)() - since));
            }
        } else {
            metrics.failed.get_or_create(&channel).inc();
        }
    }
}
