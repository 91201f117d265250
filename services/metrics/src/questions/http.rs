//! The questions over HTTP: the messages of the contract as JSON.

use std::convert::Infallible;

use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::{Extension, Json};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use zhili_proto::metrics::v1 as proto;
use zhili_runtime::auth::Principal;
use zhili_runtime::{ErrorCode, Routes, ServiceError};

use super::openapi::{Documented, of};
use super::{Service, invalid};

/// A thousand scores with long names; a question with every filter is a thousandth of it.
const MOST_BYTES: usize = 1 << 20;

/// All routes, and the document that describes them.
pub(crate) fn routes(service: Service) -> Routes {
    Documented::default()
        .get("/v1/metrics", list_metrics, &[of("ListMetrics", "/v1/metrics")])
        .post(
            "/v1/metrics/{question}",
            ask,
            &[
                of("Query", "/v1/metrics/{metric_id}:query"),
                of("Rank", "/v1/metrics/{metric_id}:rank"),
                of("GetDistribution", "/v1/metrics/{metric_id}:distribution"),
                of("Compare", "/v1/metrics/{metric_id}:compare"),
                of("ListObservations", "/v1/metrics/{metric_id}:observations"),
            ],
        )
        .post(
            "/v1/scorecards/{question}",
            scorecard,
            &[of("GetScorecard", "/v1/scorecards/{scorecard_id}:query")],
        )
        .post("/v1/scores", scores, &[of("BringInScores", "/v1/scores")])
        .post("/v1/complaints", complaints, &[of("GetComplaints", "/v1/complaints")])
        .post("/v1/phrases", phrases, &[of("GetPhraseUse", "/v1/phrases")])
        .post("/v1/data-health", data_health, &[of("GetDataHealth", "/v1/data-health")])
        .post("/v1/profiles", profiles, &[of("GetProfiles", "/v1/profiles")])
        .get("/v1/wall:watch", watch_wall, &[])
        .get("/v1/wall", wall, &[of("GetWall", "/v1/wall")])
        .get("/v1/summary", summary, &[of("GetSummary", "/v1/summary")])
        .post("/v1/audit", audit, &[of("Audit", "/v1/audit")])
        .get(
            "/v1/conversations/{id}",
            conversation,
            &[of("GetConversation", "/v1/conversations/{conversation_id}")],
        )
        .get(
            "/v1/incidents/{target}/events",
            incident_events,
            &[of("ListIncidentEvents", "/v1/incidents/{incident_id}/events")],
        )
        .finish()
        .body_limit(MOST_BYTES)
        .with_state(service)
}

type Caller = Extension<Principal>;

async fn list_metrics(
    Extension(caller): Caller,
) -> Result<Json<proto::ListMetricsResponse>, ServiceError> {
    Service::list_metrics(&caller).map(Json)
}

async fn ask(
    State(service): State<Service>,
    Extension(caller): Caller,
    Path(question): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<serde_json::Value>, ServiceError> {
    let body = body.map_err(|error| unreadable(&error))?;
    let unknown = || {
        let words = "query, rank, distribution, compare, observations";
        let message = format!("POST to /v1/metrics/{{metric id}}:{{{words}}}");
        ServiceError::new(ErrorCode::NotFound, message)
    };
    let (metric_id, verb) = question.rsplit_once(':').ok_or_else(unknown)?;
    let metric_id = metric_id.to_owned();
    match verb {
        "query" => {
            let request = proto::QueryRequest { metric_id, ..parse(&body)? };
            json(&service.query(&caller, request).await?)
        }
        "rank" => {
            let request = proto::RankRequest { metric_id, ..parse(&body)? };
            json(&service.rank(&caller, request).await?)
        }
        "distribution" => {
            let request = proto::GetDistributionRequest { metric_id, ..parse(&body)? };
            json(&service.get_distribution(&caller, request).await?)
        }
        "compare" => {
            let request = proto::CompareRequest { metric_id, ..parse(&body)? };
            json(&service.compare(&caller, request).await?)
        }
        "observations" => {
            let request = proto::ListObservationsRequest { metric_id, ..parse(&body)? };
            json(&service.list_observations(&caller, request).await?)
        }
        _ => Err(unknown()),
    }
}

fn parse<T: Default + serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, ServiceError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| invalid(error.to_string()))
}

fn json<T: serde::Serialize>(answer: &T) -> Result<Json<serde_json::Value>, ServiceError> {
    serde_json::to_value(answer)
        .map(Json)
        .map_err(|error| ServiceError::new(ErrorCode::Internal, error.to_string()))
}

fn unreadable(error: &BytesRejection) -> ServiceError {
    let large = error.status() == StatusCode::PAYLOAD_TOO_LARGE;
    let code = if large { ErrorCode::TooLarge } else { ErrorCode::Invalid };
    ServiceError::new(code, format!("cannot read the body: {}", error.body_text()))
}

async fn wall(
    State(service): State<Service>,
    Extension(caller): Caller,
) -> Result<Json<proto::GetWallResponse>, ServiceError> {
    service.get_wall(&caller).await.map(Json)
}

async fn summary(
    State(service): State<Service>,
    Extension(caller): Caller,
) -> Result<Json<proto::GetSummaryResponse>, ServiceError> {
    service.get_summary(&caller, proto::GetSummaryRequest::default()).await.map(Json)
}

async fn scorecard(
    State(service): State<Service>,
    Extension(caller): Caller,
    Path(question): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<proto::GetScorecardResponse>, ServiceError> {
    let body = body.map_err(|error| unreadable(&error))?;
    let scorecard_id = question.strip_suffix(":query").ok_or_else(|| {
        let message = "POST to /v1/scorecards/{scorecard id}:query";
        ServiceError::new(ErrorCode::NotFound, message)
    })?;
    let scorecard_id = scorecard_id.to_owned();
    let request = proto::GetScorecardRequest { scorecard_id, ..parse(&body)? };
    service.get_scorecard(&caller, request).await.map(Json)
}

async fn scores(
    State(service): State<Service>,
    Extension(caller): Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<proto::BringInScoresResponse>, ServiceError> {
    let request = parse(&body.map_err(|error| unreadable(&error))?)?;
    service.bring_in_scores(&caller, request).await.map(Json)
}

async fn complaints(
    State(service): State<Service>,
    Extension(caller): Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<proto::GetComplaintsResponse>, ServiceError> {
    let request = parse(&body.map_err(|error| unreadable(&error))?)?;
    service.get_complaints(&caller, request).await.map(Json)
}

async fn phrases(
    State(service): State<Service>,
    Extension(caller): Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<proto::GetPhraseUseResponse>, ServiceError> {
    let request = parse(&body.map_err(|error| unreadable(&error))?)?;
    service.get_phrase_use(&caller, request).await.map(Json)
}

async fn data_health(
    State(service): State<Service>,
    Extension(caller): Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<proto::GetDataHealthResponse>, ServiceError> {
    let request = parse(&body.map_err(|error| unreadable(&error))?)?;
    service.get_data_health(&caller, request).await.map(Json)
}

async fn profiles(
    State(service): State<Service>,
    Extension(caller): Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<proto::GetProfilesResponse>, ServiceError> {
    let request = parse(&body.map_err(|error| unreadable(&error))?)?;
    service.get_profiles(&caller, request).await.map(Json)
}

/// Each event is the wall as `GET /v1/wall` answers it.
async fn watch_wall(
    State(service): State<Service>,
    Extension(caller): Caller,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ServiceError> {
    let walls = service.watch_wall(caller).await?;
    // A message of the contract always has a JSON form.
    Ok(Sse::new(walls.map(|wall| Ok(Event::default().json_data(wall).unwrap_or_default()))))
}

async fn audit(
    State(service): State<Service>,
    Extension(caller): Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<proto::AuditResponse>, ServiceError> {
    let request = parse(&body.map_err(|error| unreadable(&error))?)?;
    service.audit(&caller, request).await.map(Json)
}

async fn conversation(
    State(service): State<Service>,
    Extension(caller): Caller,
    Path(id): Path<String>,
) -> Result<Json<proto::GetConversationResponse>, ServiceError> {
    service.get_conversation(&caller, id).await.map(Json)
}

async fn incident_events(
    State(service): State<Service>,
    Extension(caller): Caller,
    Path(id): Path<String>,
) -> Result<Json<proto::ListIncidentEventsResponse>, ServiceError> {
    service.list_incident_events(&caller, &id).await.map(Json)
}
