//! What customers complain about, and what was promised to them.

use zhili_eventlog::system_clock;
use zhili_proto::metrics::v1 as proto;
use zhili_proto::timestamp;
use zhili_runtime::ServiceError;
use zhili_runtime::auth::{Permission, Principal};
use zhili_warehouse::query::{Pending, Promised, Told, Urgent, complaints};

use super::figures::{into_filter, millis};
use super::{Service, failed};

/// Bursts are told under a name that says what they are about.
const BURST: &str = "pulse:";

impl Service {
    pub(super) async fn get_complaints(
        &self,
        caller: &Principal,
        request: proto::GetComplaintsRequest,
    ) -> Result<proto::GetComplaintsResponse, ServiceError> {
        caller.require(Permission::Aggregates)?;
        let reads = caller.may(Permission::Transcripts);
        let scored = self.scores_agents(&caller.tenant);
        let from_ms = millis("from", request.from.as_ref())?;
        let to_ms = millis("to", request.to.as_ref())?;
        let filter = request.filter.map(into_filter).unwrap_or_default();
        let now_ms = (system_clock())();
        let tenant = caller.tenant.as_str();
        let _turn = self.turn().await?;
        let known = complaints(&self.warehouse, tenant, from_ms, to_ms, &filter, now_ms)
            .await
            .map_err(failed)?;
        let told = |one: Told| signal(one, reads);
        Ok(proto::GetComplaintsResponse {
            urgent: known.urgent.into_iter().map(urgent).collect(),
            promises: known.promises.into_iter().map(promised).collect(),
            pending: if reads {
                known.pending.into_iter().map(|one| pending(one, scored)).collect()
            } else {
                Vec::new()
            },
            repeats: known.repeats.into_iter().map(told).collect(),
            bursts: known.bursts.into_iter().map(told).collect(),
        })
    }
}

fn urgent(one: Urgent) -> proto::UrgentComplaints {
    let Urgent { category, messages, conversations } = one;
    proto::UrgentComplaints { category, messages, conversations }
}

fn promised(one: Promised) -> proto::Promised {
    let Promised { promise, made, kept, broken, pending, unknown, not_followed, overdue } = one;
    proto::Promised { promise, made, kept, broken, pending, unknown, not_followed, overdue }
}

fn pending(one: Pending, scored: bool) -> proto::PendingPromise {
    proto::PendingPromise {
        promise: one.promise,
        made_at: Some(timestamp(one.made_ms)),
        due_at: Some(timestamp(one.due_ms)),
        conversation_id: one.conversation_id,
        made_event_id: one.made_event_id,
        agent: if scored { one.agent } else { String::new() },
        queue: one.queue,
    }
}

fn signal(one: Told, reads: bool) -> proto::ComplaintSignal {
    let burst = one.conversation_id.strip_prefix(BURST);
    let (dimension, value) = burst.and_then(|it| it.split_once(':')).unwrap_or_default();
    let (dimension, value) = (dimension.to_owned(), value.to_owned());
    let conversation_id =
        if reads && burst.is_none() { one.conversation_id } else { String::new() };
    proto::ComplaintSignal {
        at: Some(timestamp(one.at_ms)),
        severity: one.severity,
        dimension,
        value,
        rules: one.rules,
        conversation_id,
        related: if reads { one.related } else { Vec::new() },
        excerpt: reads.then_some(one.excerpt),
    }
}
