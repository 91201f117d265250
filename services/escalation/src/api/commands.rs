//! Commands: a record of the escalation log, answered by the event that it leads to.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Span;
use zhili_eventlog::{Headers, LogError, NewRecord, TopicPartition, partition_of, topics, trace};
use zhili_incident::{Action, Assignee, Command, PageId, Until};
use zhili_proto::escalation::v1 as pb;
use zhili_proto::{duration_millis, millis};
use zhili_runtime::auth::Principal;
use zhili_runtime::{ErrorCode, ServiceError, impersonal, masked};

use super::Api;
use crate::{convert, metrics};

/// How long a caller waits in all, from the search for the incident to the answer of its owner.
/// Less than the 30 s after which proxies and clients give up, so that it hears what to do. A
/// takeover may take longer: then the command is carried out after it.
pub(super) const PATIENCE: Duration = Duration::from_secs(25);
/// How long to look for an incident that is not known here yet.
const SEARCH: Duration = Duration::from_secs(2);
pub(super) const LONGEST_ID: usize = 128;
pub(super) const LONGEST_NOTE: usize = 2_000;

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

/// Requests that say no more than which incident.
macro_rules! plain {
    ($($message:ident => $action:ident),* $(,)?) => {$(
        impl TryFrom<pb::$message> for Request {
            type Error = ServiceError;

            fn try_from(request: pb::$message) -> Result<Self, ServiceError> {
                let pb::$message { incident_id, expected_version, command_id, note } = request;
                let action = Action::$action;
                Ok(Self { action, incident_id, expected_version, command_id, note })
            }
        }
    )*};
}

plain! {
    AcknowledgeRequest => Acknowledge,
    ResolveRequest => Resolve,
    EscalateNowRequest => EscalateNow,
    MarkFalsePositiveRequest => MarkFalsePositive,
}

impl TryFrom<pb::SnoozeRequest> for Request {
    type Error = ServiceError;

    fn try_from(request: pb::SnoozeRequest) -> Result<Self, ServiceError> {
        let until = match (&request.until, &request.duration) {
            (Some(until), None) => millis(until).map(Until::At),
            (None, Some(length)) => duration_millis(length).map(Until::For),
            _ => return Err(invalid("give one of `until` and `duration`")),
        };
        let until = until.ok_or_else(|| invalid("until: beyond what can be counted"))?;
        let pb::SnoozeRequest { incident_id, expected_version, command_id, note, .. } = request;
        let action = Action::Snooze(until);
        Ok(Self { action, incident_id, expected_version, command_id, note })
    }
}

impl TryFrom<pb::ReassignRequest> for Request {
    type Error = ServiceError;

    fn try_from(request: pb::ReassignRequest) -> Result<Self, ServiceError> {
        let pb::ReassignRequest {
            incident_id,
            expected_version,
            command_id,
            note,
            destination,
            policy,
        } = request;
        let to = match (destination.is_empty(), policy.is_empty()) {
            (false, true) => Assignee::Destination(destination),
            (true, false) => Assignee::Policy(policy),
            _ => return Err(invalid("give one of `destination` and `policy`")),
        };
        check_id("the name of the assignee", to.name())?;
        let action = Action::Reassign(to);
        Ok(Self { action, incident_id, expected_version, command_id, note })
    }
}

impl TryFrom<pb::RedeliverRequest> for Request {
    type Error = ServiceError;

    fn try_from(request: pb::RedeliverRequest) -> Result<Self, ServiceError> {
        let pb::RedeliverRequest { incident_id, expected_version, command_id, note, page_id } =
            request;
        let page_id =
            page_id.parse::<PageId>().map_err(|error| invalid(&format!("page_id: {error}")))?;
        let action = Action::Redeliver(page_id);
        Ok(Self { action, incident_id, expected_version, command_id, note })
    }
}

pub(super) fn invalid(message: &str) -> ServiceError {
    ServiceError::new(ErrorCode::Invalid, message)
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
        let caller = self.admit_to(caller, &request.incident_id)?;
        check_id("command_id", &request.command_id)?;
        check_length("note", &request.note, LONGEST_NOTE)?;
        let deadline = Instant::now() + PATIENCE;
        let tenant = caller.tenant.as_str();
        let incident = self.find(tenant, &request.incident_id).await?;
        let command_id = command_id(request.command_id);
        let command = Command {
            command_id: command_id.clone(),
            tenant: tenant.to_owned(),
            team: incident.team.clone(),
            incident_id: incident.incident_id.clone(),
            expected_version: request.expected_version,
            actor: caller.name.clone(),
            note: masked(&request.note),
            action: request.action,
        };
        let answered = self.board.answer(&command);
        let value = convert::command_record(command);
        let (tenant, team) = (&incident.tenant, &incident.team);
        let event = self.ask(tenant, team, value, answered, deadline, &command_id).await?;
        match event.refusal.as_str() {
            "" => event.incident.clone().ok_or_else(|| {
                ServiceError::new(ErrorCode::Internal, "the answer names no incident")
            }),
            "unknown_incident" => Err(unknown(&incident.incident_id)),
            "unknown_page" => Err(ServiceError::new(ErrorCode::NotFound, event.note.clone())),
            "snooze_out_of_range" | "unknown_assignee" => Err(invalid(&event.note)),
            _ => Err(ServiceError::new(ErrorCode::Conflict, event.note.clone())),
        }
    }

    /// Appends a command about a team and waits for the event that answers it.
    pub(super) async fn ask(
        &self,
        tenant: &str,
        team: &str,
        value: Bytes,
        answered: oneshot::Receiver<Arc<pb::IncidentEvent>>,
        deadline: Instant,
        command_id: &str,
    ) -> Result<Arc<pb::IncidentEvent>, ServiceError> {
        let asked = async {
            self.append(tenant, team, value).await?;
            Ok(answered.await)
        };
        let event = match tokio::time::timeout_at(deadline, asked).await {
            Ok(event) => event?.ok(),
            Err(_) => None,
        };
        event.ok_or_else(|| {
            let seconds = PATIENCE.as_secs();
            ServiceError::new(
                ErrorCode::Timeout,
                format!(
                    "no answer within {seconds} s; the command may still be carried out: look \
                     again, or repeat the command with command_id {command_id}"
                ),
            )
        })
    }

    pub(super) async fn append(
        &self,
        tenant: &str,
        team: &str,
        value: Bytes,
    ) -> Result<(), ServiceError> {
        let key = convert::key(tenant, team);
        let partition = partition_of(&key, self.partitions);
        let mut headers = Headers::default();
        if let Some(parent) = trace::traceparent_of(&Span::current(), &Headers::default()) {
            headers.push(trace::TRACEPARENT, parent);
        }
        let record = NewRecord {
            partition: TopicPartition::new(topics::ESCALATION, partition),
            key: Some(key),
            value: Some(value),
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

/// The id that a caller has chosen, or one of our own making.
pub(super) fn command_id(chosen: String) -> String {
    if chosen.is_empty() { format!("cmd_{:032x}", rand::random::<u128>()) } else { chosen }
}

fn unknown(incident_id: &str) -> ServiceError {
    let incident_id: String = incident_id.chars().take(LONGEST_ID).collect();
    ServiceError::new(
        ErrorCode::NotFound,
        format!("there is no incident {incident_id:?}, or it was resolved over 24 hours ago"),
    )
}

/// What names something in the log: short, and nothing personal.
pub(super) fn check_id(field: &str, value: &str) -> Result<(), ServiceError> {
    check_length(field, value, LONGEST_ID)?;
    impersonal(field, value)
}

pub(super) fn check_length(field: &str, value: &str, most: usize) -> Result<(), ServiceError> {
    let length = value.chars().count();
    if length <= most {
        return Ok(());
    }
    let message = format!("{field}: {length} characters, at most {most}");
    Err(ServiceError::new(ErrorCode::Invalid, message))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prometheus_client::registry::Registry;
    use prost::Message;
    use redb::backends::InMemoryBackend;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::AbortOnDropHandle;
    use zhili_eventlog::embedded::EmbeddedLog;
    use zhili_eventlog::runner::Bundles;
    use zhili_eventlog::{EventLog, system_clock};
    use zhili_runtime::auth::{Role, Tenant};

    use super::*;
    use zhili_runtime::config::Secret;

    use crate::board::{Board, place};
    use crate::channel::Sender;
    use crate::faulty::Faulty;
    use crate::link::Links;
    use crate::metrics::Metrics;
    use crate::reach::Reach;
    use crate::watch::Watching;

    #[tokio::test]
    async fn a_log_that_hangs_holds_nobody_longer_than_they_would_wait_for_an_answer() {
        let log = EmbeddedLog::open_on(InMemoryBackend::new, system_clock()).unwrap();
        log.ensure_topics(&topics::all(1)).await.unwrap();
        let incident = pb::Incident {
            incident_id: "inc_1".into(),
            tenant: "default".into(),
            team: "default".into(),
            ..pb::Incident::default()
        };
        let event = pb::IncidentEvent { incident: Some(incident), ..pb::IncidentEvent::default() };
        let record = NewRecord::new(place(0), None, Bytes::from(event.encode_to_vec()));
        assert!(log.append(vec![record]).await[0].is_ok());
        let faulty = Faulty::new(&log);
        let log: Arc<dyn EventLog> = faulty.clone();
        let board = Board::open(Arc::clone(&log), 4).await.unwrap();
        let followed = Arc::clone(&board);
        let following = AbortOnDropHandle::new(tokio::spawn(async move {
            followed.follow(0).await;
        }));
        board.catch_up().await.unwrap();
        drop(following);
        let shutdown = CancellationToken::new();
        let metrics = Metrics::register(&mut Registry::default());
        let bundles = Bundles::follow(Arc::clone(&log), shutdown.clone()).await.unwrap();
        let watching = Watching {
            log: Arc::clone(&log),
            board: Arc::clone(&board),
            metrics: metrics.clone(),
            shutdown,
        };
        let api = Api {
            log,
            board,
            reach: Reach::new(bundles),
            watching,
            metrics,
            sender: Sender::new(false, Secret::default()).unwrap(),
            clock: system_clock(),
            links: Links::default(),
            partitions: 1,
        };
        let tenant = Tenant::try_from("default".to_owned()).unwrap();
        let caller = Principal::new("mei", tenant, BTreeSet::from([Role::Supervisor]));
        faulty.hang();
        tokio::time::pause();
        let begun = Instant::now();
        let request = pb::AcknowledgeRequest {
            incident_id: "inc_1".into(),
            command_id: "click".into(),
            ..pb::AcknowledgeRequest::default()
        };
        let request = request.try_into().unwrap();
        let late = api.command(Some(&caller), request).await.unwrap_err();
        assert_eq!(late.code, ErrorCode::Timeout);
        assert!(late.message.contains("command_id click"), "{}", late.message);
        assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs());
    }
}
