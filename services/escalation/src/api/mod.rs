//! What supervisors and their tools ask for, over gRPC and HTTP alike.

mod commands;
mod destinations;
pub(crate) mod grpc;
pub(crate) mod http;
mod on_call;
pub(crate) mod page;
mod silences;

use std::sync::Arc;

use zhili_eventlog::{Clock, EventLog};
use zhili_incident::Held;
use zhili_proto::escalation::v1 as pb;
use zhili_runtime::auth::{Permission, Principal};
use zhili_runtime::{ErrorCode, ServiceError};

use crate::board::Board;
use crate::channel::Sender;
use crate::link::Links;
use crate::metrics::Metrics;
use crate::reach::Reach;
use crate::warning::{Reason, Warning};
use crate::watch::{Responses, Watching};

pub(crate) use commands::Request;

const DEFAULT_LIMIT: usize = 100;
const MOST: usize = 1_000;

/// Answers calls. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) board: Arc<Board>,
    pub(crate) reach: Reach,
    pub(crate) watching: Watching,
    pub(crate) metrics: Metrics,
    pub(crate) sender: Sender,
    pub(crate) clock: Clock,
    pub(crate) links: Links,
    /// Partitions of the escalation log.
    pub(crate) partitions: u32,
}

impl Api {
    /// The caller, if they may see incidents and there are any to be seen yet.
    fn admit<'a>(&self, caller: Option<&'a Principal>) -> Result<&'a Principal, ServiceError> {
        let caller = caller.ok_or_else(|| {
            ServiceError::new(
                ErrorCode::Unauthenticated,
                "send a token: `Authorization: Bearer ...`",
            )
        })?;
        caller.require(Permission::Incidents)?;
        if self.board.is_complete() {
            return Ok(caller);
        }
        let reading = "still reading the incidents of the log, try again in a second";
        Err(ServiceError::new(ErrorCode::Unavailable, reading)
            .retry_after(std::time::Duration::from_secs(1)))
    }

    /// The caller, if they may act on `target`; that they did, or tried, goes into the audit log.
    fn admit_to<'a>(
        &self,
        caller: Option<&'a Principal>,
        target: &str,
    ) -> Result<&'a Principal, ServiceError> {
        if let Some(caller) = caller {
            caller.does(Permission::Incidents, target);
        }
        self.admit(caller)
    }

    pub(crate) fn list(
        &self,
        caller: Option<&Principal>,
        request: &pb::ListRequest,
    ) -> Result<pb::ListResponse, ServiceError> {
        let tenant = self.admit(caller)?.tenant.as_str();
        let limit = match request.limit as usize {
            0 => DEFAULT_LIMIT,
            limit if limit <= MOST => limit,
            limit => {
                let message = format!("limit: {limit} is over {MOST}");
                return Err(ServiceError::new(ErrorCode::Invalid, message));
            }
        };
        let found = self.board.list(tenant, &request.team, request.all);
        let mut warnings = self.reach.warnings(tenant);
        warnings.extend(silent(&found));
        let details = warnings.iter().map(Into::into).collect();
        let warnings = warnings.iter().map(ToString::to_string).collect();
        let incidents = found.iter().take(limit).map(|incident| pb::Incident::clone(incident));
        Ok(pb::ListResponse { incidents: incidents.collect(), warnings, details })
    }

    pub(crate) async fn get(
        &self,
        caller: Option<&Principal>,
        incident_id: &str,
    ) -> Result<pb::GetResponse, ServiceError> {
        let tenant = self.admit(caller)?.tenant.as_str();
        let incident = self.find(tenant, incident_id).await?;
        let attempts = self.board.attempts(&incident.incident_id);
        Ok(pb::GetResponse { incident: Some(pb::Incident::clone(&incident)), attempts })
    }

    pub(crate) async fn watch(
        &self,
        caller: Option<&Principal>,
        cursor: &str,
    ) -> Result<Responses, ServiceError> {
        let tenant = self.admit(caller)?.tenant.to_string();
        self.watching.start(tenant, cursor).await
    }
}

/// Incidents for which nobody is paged though nobody has answered and nobody has wanted that, by why.
fn silent(found: &[Arc<pb::Incident>]) -> impl Iterator<Item = Warning> {
    Reason::ALL.into_iter().filter_map(|reason| {
        let of = |incident: &&Arc<pb::Incident>| why_silent(incident) == Some(reason);
        let incidents: Vec<String> =
            found.iter().filter(of).map(|incident| incident.incident_id.clone()).collect();
        (!incidents.is_empty()).then_some(Warning::Silent { reason, incidents })
    })
}

fn why_silent(incident: &pb::Incident) -> Option<Reason> {
    if incident.suppression.as_ref().is_some_and(|it| it.cause == Held::Nobody.name()) {
        return Some(Reason::NobodyAvailable);
    }
    if !incident.exhausted || incident.state() == pb::incident::State::Resolved {
        return None;
    }
    Some(match incident.exhausted_reason.as_str() {
        "nobody_reachable" => Reason::NobodyReachable,
        _ => Reason::PolicyEnded,
    })
}
