//! What ids of the platform are called behind ingest, for people who know a conversation by its
//! number there. The keys do not leave this service for it.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use tonic::{Request, Response, Status};
use zhili_proto::conversation::v1::find_pseudonyms_request::Kind;
use zhili_proto::conversation::v1::pseudonym_service_server::{
    PseudonymService, PseudonymServiceServer,
};
use zhili_proto::conversation::v1::{FindPseudonymsRequest, FindPseudonymsResponse};
use zhili_redact::Subject;
use zhili_runtime::auth::{Permission, Principal};
use zhili_runtime::{ErrorCode, Routes, ServiceError};

use crate::check::needed_id;
use crate::keys::Keys;

#[derive(Clone)]
pub(crate) struct Service {
    keys: Arc<Keys>,
}

pub(crate) fn service(keys: Arc<Keys>) -> PseudonymServiceServer<Service> {
    PseudonymServiceServer::new(Service { keys })
}

pub(crate) fn routes(keys: Arc<Keys>) -> Routes {
    Routes::default().post("/v1/pseudonyms", find_over_http).with_state(Service { keys })
}

impl Service {
    /// Whoever may read transcripts may look for one. An id may be a phone number, so the audit log
    /// has the pseudonym that was found, and guesses can be seen there.
    fn find(
        &self,
        caller: &Principal,
        request: &FindPseudonymsRequest,
    ) -> Result<FindPseudonymsResponse, ServiceError> {
        let invalid = |message: String| ServiceError::new(ErrorCode::Invalid, message);
        let subject = match request.kind() {
            Kind::Conversation => Subject::Conversation,
            Kind::Customer => Subject::Customer,
            Kind::Agent => Subject::Author,
            Kind::Unspecified => {
                caller.require(Permission::Transcripts)?;
                return Err(invalid("kind: conversation, customer or agent is needed".to_owned()));
            }
        };
        let mut pseudonyms = Vec::new();
        let sound = needed_id("id", &request.id);
        if sound.is_ok() {
            pseudonyms = self.keys.current().names(caller.tenant.as_str(), subject, &request.id);
        }
        if let Some(newest) = pseudonyms.first() {
            caller.does(Permission::Transcripts, newest);
        }
        caller.require(Permission::Transcripts)?;
        sound.map_err(|rejection| invalid(rejection.to_string()))?;
        Ok(FindPseudonymsResponse { pseudonyms })
    }
}

#[tonic::async_trait]
impl PseudonymService for Service {
    async fn find_pseudonyms(
        &self,
        request: Request<FindPseudonymsRequest>,
    ) -> Result<Response<FindPseudonymsResponse>, Status> {
        let caller = request
            .extensions()
            .get::<Principal>()
            .cloned()
            .ok_or_else(|| Status::unauthenticated("the caller is not known"))?;
        Ok(Response::new(self.find(&caller, request.get_ref())?))
    }
}

async fn find_over_http(
    State(service): State<Service>,
    Extension(caller): Extension<Principal>,
    Json(request): Json<FindPseudonymsRequest>,
) -> Result<Json<FindPseudonymsResponse>, ServiceError> {
    service.find(&caller, &request).map(Json)
}
