//! `PrivacyService`: erasures and holds, for the data protection officer of a tenant.

mod grpc;
mod http;

use std::path::Path;
use std::sync::Arc;

use zhili_erasure::names::is_pseudonym;
use zhili_erasure::receipt::Signer;
use zhili_erasure::register::{Register, new_id, note_hold, note_job};
use zhili_erasure::{ErasureError, dry_run};
use zhili_eventlog::{Clock, EventLog, LogError};
use zhili_proto::privacy::v1 as proto;
use zhili_proto::privacy::v1::erasure::Stage;
use zhili_proto::privacy::v1::subject::Subject as Who;
use zhili_proto::timestamp;
use zhili_runtime::auth::{Permission, Principal};
use zhili_runtime::{ErrorCode, Failure, ServiceError, masked};
use zhili_warehouse::Warehouse;

pub(crate) use http::routes;

/// Longest reason, in bytes: the name of a ticket, not a story.
const REASON_BYTES: usize = 200;

/// Reads the key that receipts are signed with.
///
/// # Errors
/// [`Failure::Usage`] that names the setting.
pub(crate) fn signer(file: &Path) -> Result<Signer, Failure> {
    let seed = std::fs::read(file).map_err(|error| {
        Failure::Usage(format!("metrics.receipt_key: cannot read {}: {error}", file.display()))
    })?;
    Signer::new(&seed).map_err(|error| Failure::Usage(format!("metrics.receipt_key: {error}")))
}

#[derive(Clone)]
pub(crate) struct Service {
    log: Arc<dyn EventLog>,
    warehouse: Warehouse,
    clock: Clock,
    /// Whether erasures are done here: without a key of receipts none is begun.
    signs: bool,
}

impl Service {
    pub(crate) fn new(
        log: Arc<dyn EventLog>,
        warehouse: Warehouse,
        clock: Clock,
        signs: bool,
    ) -> Self {
        Self { log, warehouse, clock, signs }
    }

    async fn erase(
        &self,
        caller: &Principal,
        request: proto::EraseRequest,
    ) -> Result<proto::EraseResponse, ServiceError> {
        // The id says in the audit log which erasure it was; a name would have to be erased there.
        let erasure_id = new_id("era");
        let what = if request.dry_run { "dry run" } else { erasure_id.as_str() };
        caller.does(Permission::Erase, what);
        caller.require(Permission::Erase)?;
        let tenant = caller.tenant.as_str();
        let (who, _) = named(request.subject.as_ref())?;
        if request.dry_run {
            let found = dry_run(&*self.log, &self.warehouse, tenant, &who).await.map_err(failed)?;
            return Ok(proto::EraseResponse { erasure: None, found: Some(found) });
        }
        if !self.signs {
            let message =
                "erasures are not done here: set metrics.receipt_key to a file of 32 random bytes";
            return Err(ServiceError::new(ErrorCode::Unavailable, message));
        }
        let erasure = proto::Erasure {
            erasure_id,
            tenant: tenant.to_owned(),
            stage: Stage::Requested.into(),
            requested_by: caller.name.clone(),
            requested_at: Some(timestamp((self.clock)())),
            reason: reason(&request.reason)?,
            ..proto::Erasure::default()
        };
        let job = proto::Job {
            erasure: Some(erasure.clone()),
            subject: request.subject,
            ..proto::Job::default()
        };
        note_job(&*self.log, &job).await.map_err(unwritten)?;
        Ok(proto::EraseResponse { erasure: Some(erasure), found: None })
    }

    async fn get_erasure(
        &self,
        caller: &Principal,
        id: &str,
    ) -> Result<proto::GetErasureResponse, ServiceError> {
        let erasures = self.list_erasures(caller).await?.erasures;
        let found = erasures.into_iter().find(|erasure| erasure.erasure_id == id);
        let erasure = found.ok_or_else(|| {
            ServiceError::new(ErrorCode::NotFound, format!("there is no erasure {id}"))
        })?;
        Ok(proto::GetErasureResponse { erasure: Some(erasure) })
    }

    async fn list_erasures(
        &self,
        caller: &Principal,
    ) -> Result<proto::ListErasuresResponse, ServiceError> {
        caller.require(Permission::Erase)?;
        let register = Register::read(&*self.log).await.map_err(unwritten)?;
        let mut erasures: Vec<proto::Erasure> = register
            .jobs
            .into_values()
            .filter_map(|job| job.erasure)
            .filter(|erasure| erasure.tenant == caller.tenant.as_str())
            .collect();
        let at = |it: &proto::Erasure| it.requested_at.as_ref().and_then(zhili_proto::millis);
        erasures.sort_by_key(|erasure| std::cmp::Reverse(at(erasure)));
        Ok(proto::ListErasuresResponse { erasures })
    }

    async fn hold(
        &self,
        caller: &Principal,
        request: proto::HoldRequest,
    ) -> Result<proto::HoldResponse, ServiceError> {
        let hold_id = new_id("hold");
        caller.does(Permission::Erase, hold_id.as_str());
        caller.require(Permission::Erase)?;
        let (_, subject) = named(request.subject.as_ref())?;
        let hold = proto::Hold {
            hold_id,
            tenant: caller.tenant.as_str().to_owned(),
            subject,
            reason: reason(&request.reason)?,
            held_by: caller.name.clone(),
            held_at: Some(timestamp((self.clock)())),
            ..proto::Hold::default()
        };
        note_hold(&*self.log, &hold).await.map_err(unwritten)?;
        Ok(proto::HoldResponse { hold: Some(hold) })
    }

    async fn release(
        &self,
        caller: &Principal,
        id: &str,
    ) -> Result<proto::ReleaseResponse, ServiceError> {
        caller.does(Permission::Erase, id);
        let holds = self.list_holds(caller).await?.holds;
        let mut hold = holds.into_iter().find(|hold| hold.hold_id == id).ok_or_else(|| {
            ServiceError::new(ErrorCode::NotFound, format!("there is no hold {id}"))
        })?;
        if hold.released_at.is_none() {
            hold.released_at = Some(timestamp((self.clock)()));
            hold.released_by.clone_from(&caller.name);
            note_hold(&*self.log, &hold).await.map_err(unwritten)?;
        }
        Ok(proto::ReleaseResponse { hold: Some(hold) })
    }

    async fn list_holds(
        &self,
        caller: &Principal,
    ) -> Result<proto::ListHoldsResponse, ServiceError> {
        caller.require(Permission::Erase)?;
        let register = Register::read(&*self.log).await.map_err(unwritten)?;
        let holds = register.holds.into_values();
        let holds = holds.filter(|hold| hold.tenant == caller.tenant.as_str()).collect();
        Ok(proto::ListHoldsResponse { holds })
    }
}

/// Who a request is about, and their pseudonym.
fn named(subject: Option<&proto::Subject>) -> Result<(Who, String), ServiceError> {
    let who = subject.and_then(|subject| subject.subject.clone());
    let (letter, name) = match &who {
        Some(Who::Customer(name)) => ("c_", name.clone()),
        Some(Who::Conversation(name)) => ("v_", name.clone()),
        None => return Err(invalid("subject: name a customer or a conversation")),
    };
    match who {
        Some(who) if name.starts_with(letter) && is_pseudonym(&name) => Ok((who, name)),
        _ => Err(invalid(
            "subject: give the pseudonym, c_... of a customer or v_... of a conversation; \
             `zhili erase` makes it of the platform's id",
        )),
    }
}

fn reason(reason: &str) -> Result<String, ServiceError> {
    if reason.len() > REASON_BYTES {
        return Err(invalid("reason: at most 200 bytes; name a ticket, no person"));
    }
    Ok(masked(reason))
}

fn invalid(message: &str) -> ServiceError {
    ServiceError::new(ErrorCode::Invalid, message)
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unwritten(error: LogError) -> ServiceError {
    let code = if error.is_transient() { ErrorCode::Unavailable } else { ErrorCode::Internal };
    ServiceError::new(code, error.to_string())
}

fn failed(error: ErasureError) -> ServiceError {
    match error {
        ErasureError::Log(error) => unwritten(error),
        ErasureError::Warehouse(error) => {
            let transient = error.is_transient();
            let code = if transient { ErrorCode::Unavailable } else { ErrorCode::Internal };
            ServiceError::new(code, error.to_string())
        }
        other => ServiceError::new(ErrorCode::Internal, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(who: Who) -> proto::Subject {
        proto::Subject { subject: Some(who) }
    }

    #[test]
    fn a_subject_is_named_by_the_pseudonym_of_its_kind() {
        let customer = "c_3wevrlvcrwyic3ezochhctldrq".to_owned();
        assert!(named(Some(&subject(Who::Customer(customer.clone())))).is_ok());
        for wrong in [
            None,
            Some(subject(Who::Conversation(customer))),
            Some(subject(Who::Customer("u-1001".to_owned()))),
            Some(proto::Subject::default()),
        ] {
            assert_eq!(named(wrong.as_ref()).unwrap_err().code, ErrorCode::Invalid);
        }
    }
}
