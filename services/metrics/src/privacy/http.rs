//! The contract over HTTP: its messages as JSON.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use zhili_proto::privacy::v1 as proto;
use zhili_runtime::auth::Principal;
use zhili_runtime::{ErrorCode, Routes, ServiceError};

use super::Service;

pub(crate) fn routes(service: Service) -> Routes {
    Routes::default()
        .get("/v1/erasures", list)
        .post("/v1/erasures", erase)
        .get("/v1/erasures/{id}", one)
        .get("/v1/holds", holds)
        .post("/v1/holds", hold)
        .post("/v1/holds/{target}", release)
        .with_state(service)
}

type Caller = Extension<Principal>;

async fn erase(
    State(service): State<Service>,
    Extension(caller): Caller,
    Json(request): Json<proto::EraseRequest>,
) -> Result<Json<proto::EraseResponse>, ServiceError> {
    service.erase(&caller, request).await.map(Json)
}

async fn list(
    State(service): State<Service>,
    Extension(caller): Caller,
) -> Result<Json<proto::ListErasuresResponse>, ServiceError> {
    service.list_erasures(&caller).await.map(Json)
}

async fn one(
    State(service): State<Service>,
    Extension(caller): Caller,
    Path(id): Path<String>,
) -> Result<Json<proto::GetErasureResponse>, ServiceError> {
    service.get_erasure(&caller, &id).await.map(Json)
}

async fn hold(
    State(service): State<Service>,
    Extension(caller): Caller,
    Json(request): Json<proto::HoldRequest>,
) -> Result<Json<proto::HoldResponse>, ServiceError> {
    service.hold(&caller, request).await.map(Json)
}

async fn release(
    State(service): State<Service>,
    Extension(caller): Caller,
    Path(target): Path<String>,
) -> Result<Json<proto::ReleaseResponse>, ServiceError> {
    let id = target.strip_suffix(":release").ok_or_else(|| {
        ServiceError::new(ErrorCode::NotFound, "POST to /v1/holds/{hold id}:release")
    })?;
    service.release(&caller, id).await.map(Json)
}

async fn holds(
    State(service): State<Service>,
    Extension(caller): Caller,
) -> Result<Json<proto::ListHoldsResponse>, ServiceError> {
    service.list_holds(&caller).await.map(Json)
}
