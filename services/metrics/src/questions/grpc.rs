//! The questions over gRPC.

use tonic::{Request, Response, Status};
use zhili_proto::metrics::v1 as proto;
use zhili_proto::metrics::v1::metrics_service_server::MetricsService;
use zhili_runtime::auth::Principal;
use zhili_runtime::{ErrorCode, ServiceError};

use super::Service;

pub(crate) fn caller<T>(request: &Request<T>) -> Result<Principal, ServiceError> {
    request
        .extensions()
        .get::<Principal>()
        .cloned()
        .ok_or_else(|| ServiceError::new(ErrorCode::Unauthenticated, "send a token"))
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn list_metrics(
        &self,
        request: Request<proto::ListMetricsRequest>,
    ) -> Result<Response<proto::ListMetricsResponse>, Status> {
        Ok(Response::new(Service::list_metrics(&caller(&request)?)?))
    }

    async fn query(
        &self,
        request: Request<proto::QueryRequest>,
    ) -> Result<Response<proto::QueryResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(Service::query(self, &caller, request.into_inner()).await?))
    }

    async fn rank(
        &self,
        request: Request<proto::RankRequest>,
    ) -> Result<Response<proto::RankResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(Service::rank(self, &caller, request.into_inner()).await?))
    }

    async fn get_distribution(
        &self,
        request: Request<proto::GetDistributionRequest>,
    ) -> Result<Response<proto::GetDistributionResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(Service::get_distribution(self, &caller, request.into_inner()).await?))
    }

    async fn compare(
        &self,
        request: Request<proto::CompareRequest>,
    ) -> Result<Response<proto::CompareResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(Service::compare(self, &caller, request.into_inner()).await?))
    }

    async fn list_observations(
        &self,
        request: Request<proto::ListObservationsRequest>,
    ) -> Result<Response<proto::ListObservationsResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(Service::list_observations(self, &caller, request.into_inner()).await?))
    }

    async fn get_wall(
        &self,
        request: Request<proto::GetWallRequest>,
    ) -> Result<Response<proto::GetWallResponse>, Status> {
        Ok(Response::new(Service::get_wall(self, &caller(&request)?).await?))
    }

    async fn get_summary(
        &self,
        request: Request<proto::GetSummaryRequest>,
    ) -> Result<Response<proto::GetSummaryResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(Service::get_summary(self, &caller, request.into_inner()).await?))
    }

    async fn get_conversation(
        &self,
        request: Request<proto::GetConversationRequest>,
    ) -> Result<Response<proto::GetConversationResponse>, Status> {
        let caller = caller(&request)?;
        let id = request.into_inner().conversation_id;
        Ok(Response::new(Service::get_conversation(self, &caller, id).await?))
    }

    async fn list_incident_events(
        &self,
        request: Request<proto::ListIncidentEventsRequest>,
    ) -> Result<Response<proto::ListIncidentEventsResponse>, Status> {
        let caller = caller(&request)?;
        let id = &request.get_ref().incident_id;
        Ok(Response::new(Service::list_incident_events(self, &caller, id).await?))
    }

    async fn get_scorecard(
        &self,
        request: Request<proto::GetScorecardRequest>,
    ) -> Result<Response<proto::GetScorecardResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(Service::get_scorecard(self, &caller, request.into_inner()).await?))
    }

    async fn get_complaints(
        &self,
        request: Request<proto::GetComplaintsRequest>,
    ) -> Result<Response<proto::GetComplaintsResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(Service::get_complaints(self, &caller, request.into_inner()).await?))
    }

    async fn get_phrase_use(
        &self,
        request: Request<proto::GetPhraseUseRequest>,
    ) -> Result<Response<proto::GetPhraseUseResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(Service::get_phrase_use(self, &caller, request.into_inner()).await?))
    }

    async fn get_data_health(
        &self,
        request: Request<proto::GetDataHealthRequest>,
    ) -> Result<Response<proto::GetDataHealthResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(Service::get_data_health(self, &caller, request.into_inner()).await?))
    }

    async fn get_profiles(
        &self,
        request: Request<proto::GetProfilesRequest>,
    ) -> Result<Response<proto::GetProfilesResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(Service::get_profiles(self, &caller, request.into_inner()).await?))
    }

    async fn bring_in_scores(
        &self,
        request: Request<proto::BringInScoresRequest>,
    ) -> Result<Response<proto::BringInScoresResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(Service::bring_in_scores(self, &caller, request.into_inner()).await?))
    }

    async fn audit(
        &self,
        request: Request<proto::AuditRequest>,
    ) -> Result<Response<proto::AuditResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(Service::audit(self, &caller, request.into_inner()).await?))
    }
}
