//! Commands: a record of the escalation log, answered by the event that it leads to.

use std::sync::Arc;
use std::time::Duration;

use tracing::Span;
use zhili_eventlog::{Headers, LogError, NewRecord, TopicPartition, partition_of, topics, trace};
use zhili_incident::{Action, Command};
use zhili_proto::escalation::v1 as pb;
use zhili_runtime::auth::Principal;
use zhili_runtime::{ErrorCode, ServiceError};

use super::Api;
use crate::{convert, metrics};

/// How long a caller waits for the owner of the incident. A takeover takes less.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to look for an incident that is not known here yet.
const SEARCH: Duration = Duration::from_secs(2);
const LONGEST_ID: usize = 128;
const LONGEST_NOTE: usize = 2_000;

/// What a caller wants done.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) action: Action,
    pub(crate) incident_id: String,
    pub(crate) expected_version: u64,
    /// Empty for one of our own making.
    pub(crate) command_id: String,
    pub(crate) note: String,
}

impl From<pb::AcknowledgeRequest> for Request {
    fn from(request: pb::AcknowledgeRequest) -> Self {
        let pb::AcknowledgeRequest { incident_id, expected_version, command_id, note } = request;
        Self { action: Action::Acknowledge, incident_id, expected_version, command_id, note }
    }
}

impl From<pb::ResolveRequest> for Request {
    fn from(request: pb::ResolveRequest) -> Self {
        let pb::ResolveRequest { incident_id, expected_version, command_id, note } = request;
        Self { action: Action::Resolve, incident_id, expected_version, command_id, note }
    }
}

impl Api {
    /// Has a command carried out, and gives the incident as it is then.
    pub(crate) async fn command(
        &self,
        caller: Option<&Principal>,
        request: Request,
    ) -> Result<pb::Incident, ServiceError> {
        let outcome = self.carry_out(caller, request).await;
        let answer = match &outcome {
            Ok(_) => "done",
            Err(error) => match error.code {
                ErrorCode::Conflict => "refused",
                ErrorCode::Timeout => "timeout",
                ErrorCode::NotFound => "not_found",
                _ => "error",
            },
        };
        self.metrics.commands.get_or_create(&metrics::Answer { answer }).inc();
        outcome
    }

    async fn carry_out(
        &self,
        caller: Option<&Principal>,
        request: Request,
    ) -> Result<pb::Incident, ServiceError> {
        let caller = self.admit(caller)?;
        check_length("command_id", &request.command_id, LONGEST_ID)?;
        check_length("note", &request.note, LONGEST_NOTE)?;
        let tenant = caller.tenant.as_str();
        let incident = self.find(tenant, &request.incident_id).await?;
        let command_id = if request.command_id.is_empty() {
            format!("cmd_{:032x}", rand::random::<u128>())
        } else {
            request.command_id
        };
        let command = Command {
            command_id: command_id.clone(),
            tenant: tenant.to_owned(),
            team: incident.team.clone(),
            incident_id: incident.incident_id.clone(),
            expected_version: request.expected_version,
            actor: caller.name.clone(),
            // People paste numbers into notes.
            note: zhili_redact::mask(&request.note).text.into_owned(),
            action: request.action,
        };
        let answered = self.board.answer(tenant, &incident.incident_id, &command_id);
        self.append(&incident, command).await?;
        let Ok(Ok(event)) = tokio::time::timeout(PATIENCE, answered).await else {
            let seconds = PATIENCE.as_secs();
            return Err(ServiceError::new(
                ErrorCode::Timeout,
                format!(
                    "no answer within {seconds} s; the command may still be carried out: look at \
                     the incident, or repeat the command with command_id {command_id}"
                ),
            ));
        };
        match event.refusal.as_str() {
            "" => event.incident.clone().ok_or_else(|| {
                ServiceError::new(ErrorCode::Internal, "the answer names no incident")
            }),
            "unknown_incident" => Err(unknown(&incident.incident_id)),
            _ => Err(ServiceError::new(ErrorCode::Conflict, event.note.clone())),
        }
    }

    async fn append(&self, incident: &pb::Incident, command: Command) -> Result<(), ServiceError> {
        let key = convert::key(&incident.tenant, &incident.team);
        let partition = partition_of(&key, self.partitions);
        let mut headers = Headers::default();
        if let Some(parent) = trace::traceparent_of(&Span::current(), &Headers::default()) {
            headers.push(trace::TRACEPARENT, parent);
        }
        let record = NewRecord {
            partition: TopicPartition::new(topics::ESCALATION, partition),
            key: Some(key),
            value: Some(convert::command_record(command)),
            headers,
        };
        match self.log.append(vec![record]).await.pop() {
            // If it is there it will be answered, if not the wait ends.
            Some(Ok(_) | Err(LogError::Ambiguous(_))) | None => Ok(()),
            Some(Err(error)) => Err(ServiceError::new(ErrorCode::Unavailable, error.to_string())
                .retry_after(Duration::from_secs(1))),
        }
    }

    /// An incident of a tenant; one that is not known here may have been told elsewhere just
    /// now.
    pub(super) async fn find(
        &self,
        tenant: &str,
        incident_id: &str,
    ) -> Result<Arc<pb::Incident>, ServiceError> {
        if let Some(incident) = self.board.get(tenant, incident_id) {
            return Ok(incident);
        }
        // Too long or failed: what is known then decides.
        let _ = tokio::time::timeout(SEARCH, self.board.catch_up()).await;
        self.board.get(tenant, incident_id).ok_or_else(|| unknown(incident_id))
    }
}

fn unknown(incident_id: &str) -> ServiceError {
    let incident_id: String = incident_id.chars().take(LONGEST_ID).collect();
    ServiceError::new(
        ErrorCode::NotFound,
        format!("there is no incident {incident_id:?}, or it was resolved over 24 hours ago"),
    )
}

fn check_length(field: &str, value: &str, most: usize) -> Result<(), ServiceError> {
    let length = value.chars().count();
    if length <= most {
        return Ok(());
    }
    let message = format!("{field}: {length} characters, at most {most}");
    Err(ServiceError::new(ErrorCode::Invalid, message))
}
