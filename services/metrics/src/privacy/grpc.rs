//! The contract over gRPC.

use tonic::{Request, Response, Status};
use zhili_proto::privacy::v1 as proto;
use zhili_proto::privacy::v1::privacy_service_server::PrivacyService;

use super::Service;
use crate::questions::caller;

#[tonic::async_trait]
impl PrivacyService for Service {
    async fn erase(
        &self,
        request: Request<proto::EraseRequest>,
    ) -> Result<Response<proto::EraseResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(Service::erase(self, &caller, request.into_inner()).await?))
    }

    async fn get_erasure(
        &self,
        request: Request<proto::GetErasureRequest>,
    ) -> Result<Response<proto::GetErasureResponse>, Status> {
        let caller = caller(&request)?;
        let id = &request.get_ref().erasure_id;
        Ok(Response::new(Service::get_erasure(self, &caller, id).await?))
    }

    async fn list_erasures(
        &self,
        request: Request<proto::ListErasuresRequest>,
    ) -> Result<Response<proto::ListErasuresResponse>, Status> {
        Ok(Response::new(Service::list_erasures(self, &caller(&request)?).await?))
    }

    async fn hold(
        &self,
        request: Request<proto::HoldRequest>,
    ) -> Result<Response<proto::HoldResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(Service::hold(self, &caller, request.into_inner()).await?))
    }

    async fn release(
        &self,
        request: Request<proto::ReleaseRequest>,
    ) -> Result<Response<proto::ReleaseResponse>, Status> {
        let caller = caller(&request)?;
        let id = &request.get_ref().hold_id;
        Ok(Response::new(Service::release(self, &caller, id).await?))
    }

    async fn list_holds(
        &self,
        request: Request<proto::ListHoldsRequest>,
    ) -> Result<Response<proto::ListHoldsResponse>, Status> {
        Ok(Response::new(Service::list_holds(self, &caller(&request)?).await?))
    }
}
