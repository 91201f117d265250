//! `MetricsService` over gRPC and HTTP: the caller's tenant is bound as a parameter, always.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use tonic::{Request, Response, Status};
use zhili_eventlog::{EventLog, LogError, TopicPartition, system_clock};
use zhili_proto::metrics::v1 as proto;
use zhili_proto::metrics::v1::metrics_service_server::MetricsService;
use zhili_proto::timestamp;
use zhili_runtime::auth::{Permission, Principal};
use zhili_runtime::{ErrorCode, ServiceError};
use zhili_warehouse::query::{Dimension, Metric, MetricQuery, conversation, metric, summary};
use zhili_warehouse::sink::PositionNote;
use zhili_warehouse::{AuditError, Warehouse, WarehouseError, audit, repair};

use crate::observer::Observed;
use crate::{GROUP, TOPICS};

/// How far a summary looks back unless asked otherwise, milliseconds: 30 days.
const SUMMARY_MS: i64 = 30 * 86_400_000;

/// Offsets that one call audits: a few seconds of work.
const AUDIT_AT_ONCE: u64 = 20_000;

#[derive(Clone)]
pub(crate) struct Service {
    warehouse: Warehouse,
    log: Arc<dyn EventLog>,
    observer: Arc<Observed>,
}

impl Service {
    pub(crate) fn new(
        warehouse: Warehouse,
        log: Arc<dyn EventLog>,
        observer: Arc<Observed>,
    ) -> Self {
        Self { warehouse, log, observer }
    }

    async fn answer(
        &self,
        caller: &Principal,
        request: proto::QueryRequest,
    ) -> Result<proto::QueryResponse, ServiceError> {
        caller.require(Permission::Aggregates)?;
        let invalid = |message: &str| ServiceError::new(ErrorCode::Invalid, message);
        let time = |value: Option<&zhili_proto::Timestamp>| value.and_then(zhili_proto::millis);
        let from_ms = time(request.from.as_ref()).ok_or_else(|| invalid("from: a time"))?;
        let to_ms = time(request.to.as_ref()).ok_or_else(|| invalid("to: a time"))?;
        let by = match request.by.as_str() {
            "" => None,
            word => Some(
                Dimension::from_word(word)
                    .ok_or_else(|| invalid("by: agent, channel, queue or team"))?,
            ),
        };
        let bucket_ms =
            (request.bucket_seconds > 0).then(|| request.bucket_seconds.saturating_mul(1_000));
        let asked = Metric::from_id(&request.metric_id).map_err(failed)?;
        let query = MetricQuery { metric: asked, from_ms, to_ms, bucket_ms, by };
        let points =
            metric(&self.warehouse, caller.tenant.as_str(), &query).await.map_err(failed)?;
        Ok(proto::QueryResponse {
            metric_id: request.metric_id,
            unit: asked.unit().word().to_owned(),
            points: points
                .into_iter()
                .map(|point| proto::Point {
                    from: Some(timestamp(point.from_ms)),
                    to: Some(timestamp(point.to_ms)),
                    group: point.group,
                    n: point.n,
                    mean: point.mean,
                    p50: point.p50,
                    p90: point.p90,
                    p99: point.p99,
                })
                .collect(),
        })
    }

    async fn summarise(
        &self,
        caller: &Principal,
        request: proto::GetSummaryRequest,
    ) -> Result<proto::GetSummaryResponse, ServiceError> {
        caller.require(Permission::Aggregates)?;
        let from_ms = match &request.from {
            Some(from) => zhili_proto::millis(from)
                .ok_or_else(|| ServiceError::new(ErrorCode::Invalid, "from: a time"))?,
            None => (system_clock())() - SUMMARY_MS,
        };
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

    async fn audit(
        &self,
        caller: &Principal,
        request: proto::AuditRequest,
    ) -> Result<proto::AuditResponse, ServiceError> {
        caller.require(Permission::Config)?;
        let invalid = |message: String| ServiceError::new(ErrorCode::Invalid, message);
        if !TOPICS.contains(&request.topic.as_str()) {
            return Err(invalid(format!("topic: one of {}", TOPICS.join(", "))));
        }
        let partitions = self.log.topic(&request.topic).await.map_err(unread)?.partitions;
        if request.partition >= partitions {
            return Err(invalid(format!("partition: the topic has {partitions}")));
        }
        let at = TopicPartition::new(&*request.topic, request.partition);
        let start = self.log.bounds(&at).await.map_err(unread)?.start;
        let end = match self.log.committed(GROUP, &at).await.map_err(unread)? {
            None => start,
            Some(done) => {
                let note = PositionNote::parse(&done.metadata, done.offset).unwrap_or_default();
                // Nobody writes what a halted sink has announced, so it can be looked at too.
                match note.pending {
                    Some(range) if self.observer.is_halted(&at) => range.end(),
                    _ => done.offset,
                }
            }
        };
        let from = request.from_offset.max(start).min(end);
        let to = end.min(from.saturating_add(AUDIT_AT_ONCE));
        let found = if request.repair {
            repair(&*self.log, &self.warehouse, &at, from, to).await
        } else {
            audit(&*self.log, &self.warehouse, &at, from, to).await
        };
        let found = found.map_err(|error| match error {
            AuditError::Log(error) => unread(error),
            AuditError::Warehouse(error) => failed(error),
        })?;
        Ok(proto::AuditResponse {
            partitions,
            next_offset: to,
            end_offset: end,
            records: found.records as u64,
            rows: found.rows as u64,
            replaced: found.replaced as u64,
            poison: found.poison as u64,
            holes: found.holes.len() as u64,
            duplicates: found.duplicates.len() as u64,
            strays: found.strays.len() as u64,
            repaired: found.repaired as u64,
        })
    }

    async fn look_up(
        &self,
        caller: &Principal,
        conversation_id: String,
    ) -> Result<proto::GetConversationResponse, ServiceError> {
        caller.require(Permission::Transcripts)?;
        let found = conversation(&self.warehouse, caller.tenant.as_str(), &conversation_id)
            .await
            .map_err(failed)?;
        if found.messages.is_empty() {
            let message = format!("there is no conversation {conversation_id}");
            return Err(ServiceError::new(ErrorCode::NotFound, message));
        }
        let seconds = |ms: Option<i64>| ms.map(|ms| ms as f64 / 1_000.0);
        Ok(proto::GetConversationResponse {
            conversation_id,
            messages: found
                .messages
                .into_iter()
                .map(|message| proto::ConversationMessage {
                    event_id: message.event_id,
                    r#type: message.r#type,
                    sent_at: Some(timestamp(message.sent_ms)),
                    role: message.role,
                    author: message.author,
                    text: message.text,
                    sentiment: message.sentiment,
                    politeness: message.politeness,
                    complaint: message.complaint,
                })
                .collect(),
            turns: found
                .turns
                .into_iter()
                .map(|turn| proto::ConversationTurn {
                    cycle: turn.cycle,
                    turn: turn.turn,
                    started_at: Some(timestamp(turn.started_ms)),
                    agent: turn.agent,
                    rt_first_unanswered_seconds: seconds(turn.rt_first_unanswered_ms),
                    rt_last_msg_seconds: seconds(turn.rt_last_msg_ms),
                })
                .collect(),
        })
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unread(error: LogError) -> ServiceError {
    let code = if error.is_transient() { ErrorCode::Unavailable } else { ErrorCode::Internal };
    ServiceError::new(code, error.to_string())
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: WarehouseError) -> ServiceError {
    let code = match &error {
        WarehouseError::InvalidRange(_)
        | WarehouseError::UnknownMetric(_)
        | WarehouseError::NoSuchDimension { .. } => ErrorCode::Invalid,
        error if error.is_transient() => ErrorCode::Unavailable,
        _ => ErrorCode::Internal,
    };
    ServiceError::new(code, error.to_string())
}

fn caller<T>(request: &Request<T>) -> Result<Principal, ServiceError> {
    request
        .extensions()
        .get::<Principal>()
        .cloned()
        .ok_or_else(|| ServiceError::new(ErrorCode::Unauthenticated, "send a token"))
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn query(
        &self,
        request: Request<proto::QueryRequest>,
    ) -> Result<Response<proto::QueryResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(self.answer(&caller, request.into_inner()).await?))
    }

    async fn get_summary(
        &self,
        request: Request<proto::GetSummaryRequest>,
    ) -> Result<Response<proto::GetSummaryResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(self.summarise(&caller, request.into_inner()).await?))
    }

    async fn audit(
        &self,
        request: Request<proto::AuditRequest>,
    ) -> Result<Response<proto::AuditResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(Service::audit(self, &caller, request.into_inner()).await?))
    }

    async fn get_conversation(
        &self,
        request: Request<proto::GetConversationRequest>,
    ) -> Result<Response<proto::GetConversationResponse>, Status> {
        let caller = caller(&request)?;
        let conversation_id = request.into_inner().conversation_id;
        Ok(Response::new(self.look_up(&caller, conversation_id).await?))
    }
}

pub(crate) fn routes(service: Service) -> Router {
    Router::new()
        .route("/v1/metrics/{question}", post(query_over_http))
        .route("/v1/summary", get(summary_over_http))
        .route("/v1/audit", post(audit_over_http))
        .route("/v1/conversations/{id}", get(conversation_over_http))
        .with_state(service)
}

async fn query_over_http(
    State(service): State<Service>,
    Extension(caller): Extension<Principal>,
    Path(question): Path<String>,
    Json(request): Json<proto::QueryRequest>,
) -> Result<Json<proto::QueryResponse>, ServiceError> {
    let metric_id = question.strip_suffix(":query").ok_or_else(|| {
        ServiceError::new(ErrorCode::NotFound, "ask POST /v1/metrics/{metric id}:query")
    })?;
    let request = proto::QueryRequest { metric_id: metric_id.to_owned(), ..request };
    service.answer(&caller, request).await.map(Json)
}

async fn summary_over_http(
    State(service): State<Service>,
    Extension(caller): Extension<Principal>,
) -> Result<Json<proto::GetSummaryResponse>, ServiceError> {
    service.summarise(&caller, proto::GetSummaryRequest::default()).await.map(Json)
}

async fn audit_over_http(
    State(service): State<Service>,
    Extension(caller): Extension<Principal>,
    Json(request): Json<proto::AuditRequest>,
) -> Result<Json<proto::AuditResponse>, ServiceError> {
    service.audit(&caller, request).await.map(Json)
}

async fn conversation_over_http(
    State(service): State<Service>,
    Extension(caller): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<Json<proto::GetConversationResponse>, ServiceError> {
    service.look_up(&caller, id).await.map(Json)
}
