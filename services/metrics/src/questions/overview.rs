//! A tenant at a glance: what it has, and what is going on now.

use zhili_eventlog::system_clock;
use zhili_proto::metrics::v1 as proto;
use zhili_proto::timestamp;
use zhili_runtime::ServiceError;
use zhili_runtime::auth::{Permission, Principal};
use zhili_warehouse::query::{summary, wall};

use super::{Service, failed, invalid};

/// How far a summary looks back unless asked otherwise, milliseconds: 30 days.
const SUMMARY_MS: i64 = 30 * 86_400_000;

impl Service {
    pub(super) async fn get_summary(
        &self,
        caller: &Principal,
        request: proto::GetSummaryRequest,
    ) -> Result<proto::GetSummaryResponse, ServiceError> {
        caller.require(Permission::Aggregates)?;
        let from_ms = match &request.from {
            Some(from) => zhili_proto::millis(from).ok_or_else(|| invalid("from: a time"))?,
            None => (system_clock())() - SUMMARY_MS,
        };
        let _turn = self.turn().await?;
        let summary =
            summary(&self.warehouse, caller.tenant.as_str(), from_ms).await.map_err(failed)?;
        Ok(proto::GetSummaryResponse {
            events: summary.events,
            messages: summary.messages,
            messages_scored: summary.messages_scored,
            conversations: summary.conversations,
            turns_answered: summary.turns_answered,
            rt_first_unanswered_p50_ms: summary.rt_first_unanswered_p50_ms,
            rt_first_unanswered_p90_ms: summary.rt_first_unanswered_p90_ms,
            open_incidents: summary.open_incidents,
            unacknowledged_incidents: summary.unacknowledged_incidents,
            dead_letters: summary.dead_letters,
            from: Some(timestamp(from_ms)),
        })
    }

    pub(super) async fn get_wall(
        &self,
        caller: &Principal,
    ) -> Result<proto::GetWallResponse, ServiceError> {
        caller.require(Permission::Aggregates)?;
        let reads = caller.may(Permission::Transcripts);
        let now_ms = (system_clock())();
        let _turn = self.turn().await?;
        let seen = wall(&self.warehouse, caller.tenant.as_str(), now_ms).await.map_err(failed)?;
        let waiting = seen.waiting.into_iter().map(|one| proto::Waiting {
            conversation_id: one.conversation_id,
            since: Some(timestamp(one.since_ms)),
            agent: one.agent,
            channel: one.channel,
            queue: one.queue,
            team: one.team,
            text: reads.then_some(one.text),
            sentiment: one.sentiment,
            urgent: one.urgent,
        });
        Ok(proto::GetWallResponse {
            at: Some(timestamp(now_ms)),
            open_conversations: seen.open.conversations,
            waiting_customers: seen.open.waiting,
            negative_conversations: seen.open.negative,
            agents: seen.open.agents,
            open_incidents: seen.incidents.all,
            unacknowledged_incidents: seen.incidents.unacknowledged,
            urgent_incidents: seen.incidents.urgent,
            response: Some(super::figures::into_proto(&seen.response)),
            waiting: waiting.collect(),
        })
    }
}
