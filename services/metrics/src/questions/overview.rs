//! A tenant at a glance: what it has, and what is going on now.

use std::time::Duration;

use futures::{Stream, stream};
use tokio::time::Instant;
use zhili_eventlog::system_clock;
use zhili_proto::metrics::v1 as proto;
use zhili_proto::timestamp;
use zhili_runtime::ServiceError;
use zhili_runtime::auth::{Permission, Principal};
use zhili_warehouse::query::{summary, wall};

use super::{Service, failed, invalid};

/// How far a summary looks back unless asked otherwise, milliseconds: 30 days.
const SUMMARY_MS: i64 = 30 * 86_400_000;

/// How often the wall is looked at for those who watch it: what happens is seen within 2 s.
const LOOK: Duration = Duration::from_millis(800);
/// After so long a wall that did not change is told again: who watches knows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long one may watch before asking again, which needs a right that is still there.
const WATCH: Duration = Duration::from_secs(300);

/// Somebody who watches the wall.
struct Watch {
    service: Service,
    caller: Principal,
    /// What was told last, and when.
    told: proto::GetWallResponse,
    told_at: Instant,
    until: Instant,
    begun: bool,
}

impl Watch {
    /// The next wall to tell; `None` when it is over. While nobody answers nothing is told, and the
    /// one who watches sees by its time that the wall is old.
    async fn next(mut self) -> Option<(proto::GetWallResponse, Self)> {
        if !self.begun {
            self.begun = true;
            return Some((self.told.clone(), self));
        }
        loop {
            tokio::select! {
                () = self.service.shutdown.cancelled() => return None,
                () = tokio::time::sleep(LOOK) => {}
            }
            if Instant::now() >= self.until {
                return None;
            }
            let Ok(wall) = self.service.get_wall(&self.caller).await else { continue };
            let same = proto::GetWallResponse { at: self.told.at, ..wall.clone() } == self.told;
            if !same || self.told_at.elapsed() >= HEARTBEAT {
                (self.told, self.told_at) = (wall.clone(), Instant::now());
                return Some((wall, self));
            }
        }
    }
}

impl Service {
    /// The wall now, and whenever it changes; ends after a while, and with the service.
    pub(super) async fn watch_wall(
        &self,
        caller: Principal,
    ) -> Result<impl Stream<Item = proto::GetWallResponse> + use<>, ServiceError> {
        let told = self.get_wall(&caller).await?;
        let told_at = Instant::now();
        let service = self.clone();
        let until = told_at + WATCH;
        let watch = Watch { service, caller, told, told_at, until, begun: false };
        Ok(stream::unfold(watch, Watch::next))
    }

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
