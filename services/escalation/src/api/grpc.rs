//! `zhili.escalation.v1.EscalationService` over gRPC.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use tonic::{Request, Response, Status};
use zhili_proto::escalation::v1::escalation_service_server::EscalationService;
use zhili_proto::escalation::v1::{
    AcknowledgeRequest, AcknowledgeResponse, AttendRequest, AttendResponse, CreateSilenceRequest,
    CreateSilenceResponse, EscalateNowRequest, EscalateNowResponse, ExpireSilenceRequest,
    ExpireSilenceResponse, GetRequest, GetResponse, Incident, ListRequest, ListResponse,
    ListSilencesRequest, ListSilencesResponse, MarkFalsePositiveRequest, MarkFalsePositiveResponse,
    OnCallRequest, OnCallResponse, ReassignRequest, ReassignResponse, RedeliverRequest,
    RedeliverResponse, ResolveRequest, ResolveResponse, SnoozeRequest, SnoozeResponse,
    TestDestinationRequest, TestDestinationResponse, WatchRequest, WatchResponse,
};
use zhili_runtime::ServiceError;
use zhili_runtime::auth::Principal;

use super::Api;
use crate::watch::Ended;

/// Metadata of a stream's end: where to go on.
const CURSOR: &str = "zhili-cursor";

impl From<Ended> for Status {
    fn from(ended: Ended) -> Self {
        let mut status = Status::from(ended.error);
        if let Ok(cursor) = ended.cursor.parse() {
            status.metadata_mut().insert(CURSOR, cursor);
        }
        status
    }
}

fn caller<T>(request: &Request<T>) -> Option<Principal> {
    request.extensions().get::<Principal>().cloned()
}

impl Api {
    async fn obey<T>(&self, request: Request<T>) -> Result<Incident, Status>
    where
        super::Request: TryFrom<T, Error = ServiceError>,
    {
        let caller = caller(&request);
        let request = super::Request::try_from(request.into_inner())?;
        Ok(self.command(caller.as_ref(), request).await?)
    }
}

#[tonic::async_trait]
impl EscalationService for Api {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        Ok(Response::new(Api::list(self, caller(&request).as_ref(), request.get_ref())?))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let caller = caller(&request);
        Ok(Response::new(Api::get(self, caller.as_ref(), &request.get_ref().incident_id).await?))
    }

    async fn acknowledge(
        &self,
        request: Request<AcknowledgeRequest>,
    ) -> Result<Response<AcknowledgeResponse>, Status> {
        let incident = Some(self.obey(request).await?);
        Ok(Response::new(AcknowledgeResponse { incident }))
    }

    async fn resolve(
        &self,
        request: Request<ResolveRequest>,
    ) -> Result<Response<ResolveResponse>, Status> {
        let incident = Some(self.obey(request).await?);
        Ok(Response::new(ResolveResponse { incident }))
    }

    async fn snooze(
        &self,
        request: Request<SnoozeRequest>,
    ) -> Result<Response<SnoozeResponse>, Status> {
        let incident = Some(self.obey(request).await?);
        Ok(Response::new(SnoozeResponse { incident }))
    }

    async fn reassign(
        &self,
        request: Request<ReassignRequest>,
    ) -> Result<Response<ReassignResponse>, Status> {
        let incident = Some(self.obey(request).await?);
        Ok(Response::new(ReassignResponse { incident }))
    }

    async fn escalate_now(
        &self,
        request: Request<EscalateNowRequest>,
    ) -> Result<Response<EscalateNowResponse>, Status> {
        let incident = Some(self.obey(request).await?);
        Ok(Response::new(EscalateNowResponse { incident }))
    }

    async fn mark_false_positive(
        &self,
        request: Request<MarkFalsePositiveRequest>,
    ) -> Result<Response<MarkFalsePositiveResponse>, Status> {
        let incident = Some(self.obey(request).await?);
        Ok(Response::new(MarkFalsePositiveResponse { incident }))
    }

    async fn redeliver(
        &self,
        request: Request<RedeliverRequest>,
    ) -> Result<Response<RedeliverResponse>, Status> {
        let incident = Some(self.obey(request).await?);
        Ok(Response::new(RedeliverResponse { incident }))
    }

    async fn create_silence(
        &self,
        request: Request<CreateSilenceRequest>,
    ) -> Result<Response<CreateSilenceResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        Ok(Response::new(Api::create_silence(self, caller.as_ref(), request).await?))
    }

    async fn expire_silence(
        &self,
        request: Request<ExpireSilenceRequest>,
    ) -> Result<Response<ExpireSilenceResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        Ok(Response::new(Api::expire_silence(self, caller.as_ref(), request).await?))
    }

    async fn list_silences(
        &self,
        request: Request<ListSilencesRequest>,
    ) -> Result<Response<ListSilencesResponse>, Status> {
        let caller = caller(&request);
        Ok(Response::new(Api::list_silences(self, caller.as_ref(), request.get_ref())?))
    }

    async fn test_destination(
        &self,
        request: Request<TestDestinationRequest>,
    ) -> Result<Response<TestDestinationResponse>, Status> {
        let caller = caller(&request);
        Ok(Response::new(Api::test_destination(self, caller.as_ref(), request.get_ref()).await?))
    }

    async fn attend(
        &self,
        request: Request<AttendRequest>,
    ) -> Result<Response<AttendResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        Ok(Response::new(Api::attend(self, caller.as_ref(), request).await?))
    }

    async fn on_call(
        &self,
        request: Request<OnCallRequest>,
    ) -> Result<Response<OnCallResponse>, Status> {
        let caller = caller(&request);
        Ok(Response::new(Api::on_call(self, caller.as_ref(), request.get_ref())?))
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let caller = caller(&request);
        let responses = Api::watch(self, caller.as_ref(), &request.get_ref().cursor).await?;
        let responses = responses.map(|response| response.map_err(Status::from));
        Ok(Response::new(Box::pin(responses)))
    }
}
