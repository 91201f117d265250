//! The same over HTTP: JSON, and Server-Sent Events for watching.

use std::convert::Infallible;

use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use axum::{Extension, Json};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::HeaderMap;
use serde::Deserialize;
use zhili_proto::escalation::v1 as pb;
use zhili_runtime::auth::Principal;
use zhili_runtime::{ErrorCode, Routes, ServiceError};

use super::{Api, Request};

/// Body of a command; the largest note fits.
const MOST_BYTES: usize = 16 << 10;

const ACTIONS: &str =
    "acknowledge, snooze, reassign, escalate, markFalsePositive, resolve, redeliver";

pub(crate) fn routes(api: Api) -> Routes {
    Routes::default()
        .get("/v1/incidents", list)
        .get("/v1/incidents:watch", watch)
        .get("/v1/incidents/{target}", one)
        .post("/v1/incidents/{target}", command)
        .post("/v1/conversations/{target}", attend)
        .get("/v1/on-call", on_call)
        .get("/v1/schedules/{file}", schedule)
        .get("/v1/silences", silences)
        .post("/v1/silences", create_silence)
        .post("/v1/silences/{target}", expire_silence)
        .post("/v1/destinations/{target}", test_destination)
        .body_limit(MOST_BYTES)
        .with_state(api)
}

/// What needs no login.
pub(crate) fn open_routes(api: Api) -> Routes {
    Routes::default().get("/calendars/{token}", linked_schedule).with_state(api)
}

type Caller = Option<Extension<Principal>>;

fn principal(caller: &Caller) -> Option<&Principal> {
    caller.as_ref().map(|Extension(principal)| principal)
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ListQuery {
    /// Present without a value means yes.
    all: Option<String>,
    limit: u32,
    team: String,
}

async fn list(
    State(api): State<Api>,
    caller: Caller,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<pb::ListResponse>, ServiceError> {
    let Query(query) = query.map_err(|error| invalid(error.body_text()))?;
    let all = yes("all", query.all.as_deref())?;
    let request = pb::ListRequest { all, limit: query.limit, team: query.team };
    api.list(principal(&caller), &request).map(Json)
}

async fn one(
    State(api): State<Api>,
    caller: Caller,
    Path(incident_id): Path<String>,
) -> Result<Json<pb::GetResponse>, ServiceError> {
    api.get(principal(&caller), &incident_id).await.map(Json)
}

async fn command(
    State(api): State<Api>,
    caller: Caller,
    Path(target): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<serde_json::Value>, ServiceError> {
    let body = whole(body)?;
    let (incident_id, action) = target.split_once(':').ok_or_else(|| {
        let message = format!("POST to /v1/incidents/{{id}}:ACTION; there are {ACTIONS}");
        ServiceError::new(ErrorCode::NotFound, message)
    })?;
    let request: Request = match action {
        "acknowledge" => parse::<pb::AcknowledgeRequest>(&body)?.try_into(),
        "resolve" => parse::<pb::ResolveRequest>(&body)?.try_into(),
        "snooze" => parse::<pb::SnoozeRequest>(&body)?.try_into(),
        "reassign" => parse::<pb::ReassignRequest>(&body)?.try_into(),
        "escalate" => parse::<pb::EscalateNowRequest>(&body)?.try_into(),
        "redeliver" => parse::<pb::RedeliverRequest>(&body)?.try_into(),
        "markFalsePositive" => parse::<pb::MarkFalsePositiveRequest>(&body)?.try_into(),
        other => {
            let message = format!("{other:?} is not an action; there are {ACTIONS}");
            return Err(ServiceError::new(ErrorCode::NotFound, message));
        }
    }?;
    if !request.incident_id.is_empty() && request.incident_id != incident_id {
        return Err(invalid("incident_id: is another than that of the path".to_owned()));
    }
    let request = Request { incident_id: incident_id.to_owned(), ..request };
    let incident = api.command(principal(&caller), request).await?;
    Ok(Json(serde_json::json!({ "incident": incident })))
}

fn whole(body: Result<Bytes, BytesRejection>) -> Result<Bytes, ServiceError> {
    body.map_err(|error| {
        let message = format!("cannot read the body: {}", error.body_text());
        let large = error.status() == http::StatusCode::PAYLOAD_TOO_LARGE;
        let code = if large { ErrorCode::TooLarge } else { ErrorCode::Invalid };
        ServiceError::new(code, message)
    })
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct SilencesQuery {
    /// Present without a value means yes.
    all: Option<String>,
    team: String,
}

async fn silences(
    State(api): State<Api>,
    caller: Caller,
    query: Result<Query<SilencesQuery>, QueryRejection>,
) -> Result<Json<pb::ListSilencesResponse>, ServiceError> {
    let Query(query) = query.map_err(|error| invalid(error.body_text()))?;
    let request =
        pb::ListSilencesRequest { team: query.team, all: yes("all", query.all.as_deref())? };
    api.list_silences(principal(&caller), &request).map(Json)
}

async fn create_silence(
    State(api): State<Api>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<pb::CreateSilenceResponse>, ServiceError> {
    let request = parse(&whole(body)?)?;
    api.create_silence(principal(&caller), request).await.map(Json)
}

async fn expire_silence(
    State(api): State<Api>,
    caller: Caller,
    Path(target): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<pb::ExpireSilenceResponse>, ServiceError> {
    let silence_id = target.strip_suffix(":expire").ok_or_else(|| {
        ServiceError::new(ErrorCode::NotFound, "POST to /v1/silences/{id}:expire")
    })?;
    let request: pb::ExpireSilenceRequest = parse(&whole(body)?)?;
    let request = pb::ExpireSilenceRequest { silence_id: silence_id.to_owned(), ..request };
    api.expire_silence(principal(&caller), request).await.map(Json)
}

async fn attend(
    State(api): State<Api>,
    caller: Caller,
    Path(target): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<pb::AttendResponse>, ServiceError> {
    let (conversation_id, leaves) = match target.rsplit_once(':') {
        Some((conversation_id, "attend")) => (conversation_id.to_owned(), false),
        Some((conversation_id, "leave")) => (conversation_id.to_owned(), true),
        _ => {
            let message = "POST to /v1/conversations/{id}:attend or :leave";
            return Err(ServiceError::new(ErrorCode::NotFound, message));
        }
    };
    let request: pb::AttendRequest = parse(&whole(body)?)?;
    let request = pb::AttendRequest { conversation_id, leaves, ..request };
    api.attend(principal(&caller), request).await.map(Json)
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct OnCallQuery {
    team: String,
    schedule: String,
    /// Of the window.
    days: Option<i64>,
}

async fn on_call(
    State(api): State<Api>,
    caller: Caller,
    query: Result<Query<OnCallQuery>, QueryRejection>,
) -> Result<Json<pb::OnCallResponse>, ServiceError> {
    let Query(query) = query.map_err(|error| invalid(error.body_text()))?;
    let window = query
        .days
        .map(|days| zhili_proto::Duration { seconds: days.saturating_mul(24 * 60 * 60), nanos: 0 });
    let OnCallQuery { team, schedule, .. } = query;
    let request = pb::OnCallRequest { team, schedule, at: None, window };
    api.on_call(principal(&caller), &request).map(Json)
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ScheduleQuery {
    team: String,
}

async fn schedule(
    State(api): State<Api>,
    caller: Caller,
    Path(file): Path<String>,
    query: Result<Query<ScheduleQuery>, QueryRejection>,
) -> Result<impl IntoResponse, ServiceError> {
    let Query(query) = query.map_err(|error| invalid(error.body_text()))?;
    let name = file
        .strip_suffix(".ics")
        .ok_or_else(|| ServiceError::new(ErrorCode::NotFound, "GET /v1/schedules/{name}.ics"))?;
    api.calendar(principal(&caller), &query.team, name).map(calendar)
}

/// For calendar programs that were given the link.
async fn linked_schedule(
    State(api): State<Api>,
    Path(token): Path<String>,
) -> Result<impl IntoResponse, ServiceError> {
    api.linked_calendar(&token).map(calendar)
}

fn calendar(text: String) -> impl IntoResponse {
    ([(http::header::CONTENT_TYPE, "text/calendar; charset=utf-8")], text)
}

/// A switch of a query: present without a value means yes.
fn yes(name: &str, value: Option<&str>) -> Result<bool, ServiceError> {
    match value {
        None | Some("false" | "0") => Ok(false),
        Some("" | "true" | "1") => Ok(true),
        Some(other) => Err(invalid(format!("{name}: {other:?} is neither true nor false"))),
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct TestQuery {
    team: String,
}

async fn test_destination(
    State(api): State<Api>,
    caller: Caller,
    Path(target): Path<String>,
    query: Result<Query<TestQuery>, QueryRejection>,
) -> Result<Json<pb::TestDestinationResponse>, ServiceError> {
    let Query(TestQuery { team }) = query.map_err(|error| invalid(error.body_text()))?;
    let Some((destination, "test")) = target.split_once(':') else {
        let message = "POST to /v1/destinations/{name}:test";
        return Err(ServiceError::new(ErrorCode::NotFound, message));
    };
    let request = pb::TestDestinationRequest { team, destination: destination.to_owned() };
    api.test_destination(principal(&caller), &request).await.map(Json)
}

fn parse<T: Default + serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, ServiceError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| invalid(error.to_string()))
}

fn invalid(message: String) -> ServiceError {
    ServiceError::new(ErrorCode::Invalid, message)
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct WatchQuery {
    cursor: String,
}

/// Each event has the cursor after it as its id, so that a browser that connects again goes on
/// where it was.
async fn watch(
    State(api): State<Api>,
    caller: Caller,
    query: Result<Query<WatchQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ServiceError> {
    let Query(query) = query.map_err(|error| invalid(error.body_text()))?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let cursor = last.unwrap_or(&query.cursor);
    let responses = api.watch(principal(&caller), cursor).await?;
    let events = responses.map(|response| {
        let event = match response {
            Ok(response) => {
                let name = response
                    .event
                    .as_ref()
                    .map_or("heartbeat", |event| event.r#type().as_str_name());
                Event::default().event(name).id(&response.cursor).json_data(&response)
            }
            Err(ended) => {
                let problem = serde_json::json!({
                    "status": ended.error.code.http().as_u16(),
                    "detail": ended.error.message,
                    "cursor": ended.cursor,
                });
                Event::default().event("error").id(&ended.cursor).json_data(problem)
            }
        };
        // A record of the contract always has a JSON form.
        Ok(event.unwrap_or_default())
    });
    Ok(Sse::new(events))
}
