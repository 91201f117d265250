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
use zhili_proto::escalation::v1 as pb;
use zhili_runtime::auth::{Permission, Principal};
use zhili_runtime::{ErrorCode, ServiceError};

use crate::board::Board;
use crate::channel::Sender;
use crate::link::Links;
use crate::metrics::Metrics;
use crate::reach::Reach;
use crate::watch::{Responses, Watching};

pub(crate) use commands::Request;

const DEFAULT_LIMIT: usize = 100;
const MOST: usize = 1_000;
/// Incidents whose policy has ended, named one by one in the warnings.
const MOST_NAMED: usize = 10;

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
        warnings.extend(exhausted(&found));
        let incidents = found.iter().take(limit).map(|incident| pb::Incident::clone(incident));
        Ok(pb::ListResponse { incidents: incidents.collect(), warnings })
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

/// Words about incidents for which nobody is paged though nobody has answered and nobody has
/// wanted that.
fn exhausted(found: &[Arc<pb::Incident>]) -> Vec<String> {
    let silent: Vec<&Arc<pb::Incident>> = found
        .iter()
        .filter(|incident| {
            let ended = incident.exhausted && incident.state() != pb::incident::State::Resolved;
            ended || waits_for_somebody(incident)
        })
        .collect();
    let mut warnings: Vec<String> = silent
        .iter()
        .take(MOST_NAMED)
        .map(|incident| {
            if let Some(suppression) = &incident.suppression {
                return format!(
                    "nobody is paged for {}: {}",
                    incident.incident_id, suppression.detail
                );
            }
            let reason = match incident.exhausted_reason.as_str() {
                "nobody_reachable" => "its team has no destination",
                _ => "its policy has come to its end and nobody has acknowledged",
            };
            format!("nobody is paged for {} any more: {reason}", incident.incident_id)
        })
        .collect();
    if silent.len() > MOST_NAMED {
        warnings.push(format!("the same holds for {} more incidents", silent.len() - MOST_NAMED));
    }
    warnings
}

fn waits_for_somebody(incident: &pb::Incident) -> bool {
    incident.suppression.as_ref().is_some_and(|it| it.cause == zhili_incident::Held::Nobody.name())
}
