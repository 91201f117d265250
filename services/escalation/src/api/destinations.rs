//! Trying a destination out, before somebody is needed there.

use std::time::Instant;

use zhili_incident::DEFAULT_TEAM;
use zhili_proto::escalation::v1 as pb;
use zhili_runtime::auth::Principal;
use zhili_runtime::{ErrorCode, ServiceError};

use super::Api;
use crate::card::Card;
use crate::channel::Send;
use crate::convert::wire_outcome;

impl Api {
    /// Sends one message that says it is a test, and tells what came of it. It is no page: it is
    /// neither tried again nor counted against the limits of the destination.
    pub(crate) async fn test_destination(
        &self,
        caller: Option<&Principal>,
        request: &pb::TestDestinationRequest,
    ) -> Result<pb::TestDestinationResponse, ServiceError> {
        let tenant = self.admit_to(caller, &request.destination)?.tenant.as_str();
        let team = if request.team.is_empty() { DEFAULT_TEAM } else { &request.team };
        let name = &request.destination;
        let destination = self.reach.destination(tenant, team, name).ok_or_else(|| {
            let name: String = name.chars().take(64).collect();
            let message = format!("team {team:.64} has no destination called {name:?}");
            ServiceError::new(ErrorCode::NotFound, message)
        })?;
        if !destination.pages_somebody() {
            let message = "destination: is one that watches; it hears of events, nothing is sent";
            return Err(ServiceError::new(ErrorCode::Invalid, message));
        }
        let at_ms = (self.clock)();
        let card = Card::test(tenant, team, name, at_ms, rand::random());
        let started = Instant::now();
        let page = Send { destination: &destination, card: &card, at_ms, traceparent: None };
        let sent = self.sender.send(page, || true).await;
        let sent = sent
            .ok_or_else(|| ServiceError::new(ErrorCode::Internal, "the message was called off"))?;
        tracing::info!(tenant, team, destination = name, detail = sent.detail, "tested");
        Ok(pb::TestDestinationResponse {
            channel: destination.channel().name().to_owned(),
            outcome: wire_outcome(sent.outcome).into(),
            code: sent.code,
            detail: sent.detail,
            excerpt: sent.excerpt,
            duration_ms: started.elapsed().as_millis() as i64,
        })
    }
}
