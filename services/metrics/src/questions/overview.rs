//! A tenant at a glance: what it has, and what is going on now.

use std::time::Duration;

use futures::{Stream, stream};
use tokio::time::Instant;
use zhili_dialogue::ReplyDue;
use zhili_eventlog::system_clock;
use zhili_proto::metrics::v1 as proto;
use zhili_proto::{millis, timestamp};
use zhili_runtime::ServiceError;
use zhili_runtime::auth::{Permission, Principal};
use zhili_warehouse::query::{Active, Waiting, summary, wall};

use super::{Service, failed, invalid, targets};

/// How far a summary looks back unless asked otherwise, milliseconds: 30 days.
const SUMMARY_MS: i64 = 30 * 86_400_000;

/// Most waiting conversations of each list of the wall.
const SHOWN: usize = 100;
/// Most agents of it.
const SHOWN_AGENTS: usize = 200;

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
            Some(from) => millis(from).ok_or_else(|| invalid("from: a time"))?,
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
        let policies = self.targets.of(caller.tenant.as_str());
        let waiting: Vec<_> = seen
            .waiting
            .into_iter()
            .map(|one| {
                let due = policies.as_ref().and_then(|policies| targets::due(policies, &one));
                shown(one, due, reads)
            })
            .collect();
        let risks = at_risk(&waiting, now_ms);
        let overdue = risks.iter().filter(|(due_ms, _)| *due_ms < now_ms).count() as u64;
        let scored = self.scores_agents(&caller.tenant);
        let agents = seen.agents.into_iter().filter(|_| scored).take(SHOWN_AGENTS).map(active);
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
            at_risk: risks.len() as u64,
            overdue,
            risks: risks.into_iter().take(SHOWN).map(|(_, one)| one.clone()).collect(),
            waiting: waiting.iter().take(SHOWN).cloned().collect(),
            active_agents: agents.collect(),
            has_targets: policies.is_some_and(|policies| policies.expects_replies()),
        })
    }
}

/// A customer who waits, in the words of the contract.
fn shown(one: Waiting, due: Option<ReplyDue>, reads: bool) -> proto::Waiting {
    let target = due.map_or("", |due| if due.is_first { "frt" } else { "nrt" });
    proto::Waiting {
        conversation_id: one.conversation_id,
        since: Some(timestamp(one.since_ms)),
        agent: one.agent,
        channel: one.channel,
        queue: one.queue,
        team: one.team,
        text: reads.then_some(one.text),
        sentiment: one.sentiment,
        urgent: one.urgent,
        due_at: due.map(|due| timestamp(due.due_ms)),
        close_at: due.map(|due| timestamp(due.close_ms)),
        target: target.to_owned(),
    }
}

/// Those whose reply is close to its target or late at `now_ms`, the one that is due first first,
/// with its due time.
fn at_risk(waiting: &[proto::Waiting], now_ms: i64) -> Vec<(i64, &proto::Waiting)> {
    let is_close = |one: &&proto::Waiting| {
        one.close_at.as_ref().and_then(millis).is_some_and(|close_ms| close_ms <= now_ms)
    };
    let due = |one: &proto::Waiting| one.due_at.as_ref().and_then(millis);
    let close = waiting.iter().filter(is_close);
    let mut risks: Vec<_> = close.filter_map(|one| Some((due(one)?, one))).collect();
    risks.sort_by_key(|(due_ms, _)| *due_ms);
    risks
}

fn active(one: Active) -> proto::ActiveAgent {
    proto::ActiveAgent {
        agent: one.agent,
        open_conversations: one.conversations,
        waiting_customers: one.waiting,
        longest_since: one.longest_ms.map(timestamp),
        negative_conversations: one.negative,
        last_message_at: (one.last_ms > 0).then(|| timestamp(one.last_ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(id: &str, due: Option<(i64, i64)>) -> proto::Waiting {
        proto::Waiting {
            conversation_id: id.to_owned(),
            close_at: due.map(|(close_ms, _)| timestamp(close_ms)),
            due_at: due.map(|(_, due_ms)| timestamp(due_ms)),
            ..proto::Waiting::default()
        }
    }

    #[test]
    fn at_risk_is_what_is_close_or_late_and_the_first_due_comes_first() {
        let waiting = [
            waits("no target", None),
            waits("close", Some((900, 1_200))),
            waits("far", Some((1_001, 2_000))),
            waits("late", Some((400, 600))),
        ];
        let risks: Vec<_> = at_risk(&waiting, 1_000)
            .into_iter()
            .map(|(due_ms, one)| (due_ms, one.conversation_id.as_str()))
            .collect();
        assert_eq!(risks, [(600, "late"), (1_200, "close")]);
    }
}
