//! Response times as the big platforms count them.

use zhili_dialogue::{Measured, Profile, Run};
use zhili_eventlog::system_clock;
use zhili_proto::metrics::v1 as proto;
use zhili_runtime::auth::{Permission, Principal};
use zhili_runtime::{ErrorCode, ServiceError};
use zhili_warehouse::query::{CustomerRun, customer_runs};

use super::figures::{into_filter, millis};
use super::{Service, failed, invalid};

impl Service {
    pub(super) async fn get_profiles(
        &self,
        caller: &Principal,
        request: proto::GetProfilesRequest,
    ) -> Result<proto::GetProfilesResponse, ServiceError> {
        caller.require(Permission::Aggregates)?;
        let from_ms = millis("from", request.from.as_ref())?;
        let to_ms = millis("to", request.to.as_ref())?;
        let filter = request.filter.map(into_filter).unwrap_or_default();
        let tenant = caller.tenant.as_str();
        if filter.agent.is_some() && !self.scores_agents(&caller.tenant) {
            return Err(invalid("agents are not scored"));
        }
        let profiles =
            Profile::all().map_err(|error| ServiceError::new(ErrorCode::Internal, error))?;
        let now_ms = (system_clock())();
        let _turn = self.turn().await?;
        let runs = customer_runs(&self.warehouse, tenant, from_ms, to_ms, &filter, now_ms)
            .await
            .map_err(failed)?;
        let runs: Vec<Run> = runs.into_iter().map(|one| run(tenant, one)).collect();
        let figures = profiles.iter().flat_map(|profile| {
            profile.measure(&runs, now_ms).into_iter().map(|one| figure(profile, one))
        });
        Ok(proto::GetProfilesResponse { figures: figures.collect() })
    }
}

fn run(tenant: &str, one: CustomerRun) -> Run {
    Run {
        tenant: tenant.to_owned(),
        conversation_id: one.conversation_id,
        customer: one.customer,
        started_ms: one.started_ms,
        last_ms: one.last_ms,
        answered_ms: one.answered_ms,
        closed: one.closed,
        bot_only: one.bot_only,
    }
}

fn figure(profile: &Profile, measured: Measured) -> proto::ProfileFigure {
    let Measured { id, value, n, reason } = measured;
    // The one mean of them is an `art`, in seconds.
    let unit = if id.starts_with("art.") { "s" } else { "ratio" };
    proto::ProfileFigure {
        profile: profile.name().to_owned(),
        source: profile.source().to_owned(),
        metric_id: id,
        unit: unit.to_owned(),
        value,
        n: n as u64,
        not_measured: reason,
    }
}
