//! Who of those that a backup holds was erased after it was made.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use zhili_eventlog::EventLog;
use zhili_eventlog::runner::Erasure as Marks;
use zhili_proto::log::v1 as log;
use zhili_proto::privacy::v1::erasure::Stage;
use zhili_proto::privacy::v1::subject::Subject as Who;
use zhili_proto::privacy::v1::{Erasure, Job, Subject};
use zhili_warehouse::Warehouse;
use zhili_warehouse::erase::{STANDS_FOR, people_of};

use crate::ErasureError;
use crate::receipt::Receipt;
use crate::search::people_in_log;

fn marks(receipt: &Receipt) -> Result<log::Erasure, ErasureError> {
    let decode = |text: &String| {
        let bytes = STANDARD.decode(text).map(Bytes::from);
        bytes.map_err(|_| ErasureError::Incomplete(receipt.erasure_id.clone()))
    };
    Ok(log::Erasure {
        erasure_id: receipt.erasure_id.clone(),
        tenant: receipt.tenant.clone(),
        salt: decode(&receipt.marks.salt)?,
        names: receipt.marks.names.iter().map(decode).collect::<Result<_, _>>()?,
    })
}

/// The pseudonyms in log and tables that a receipt marks; empty if its subject is not there.
///
/// # Errors
/// A receipt without marks, or log or tables that cannot be read.
pub async fn names_marked(
    log: &dyn EventLog,
    warehouse: &Warehouse,
    receipt: &Receipt,
) -> Result<BTreeSet<String>, ErasureError> {
    let marks = Marks::try_from(marks(receipt)?)
        .map_err(|_| ErasureError::Incomplete(receipt.erasure_id.clone()))?;
    let mut people = people_of(warehouse, &receipt.tenant).await?;
    people.extend(people_in_log(log, &receipt.tenant).await?);
    people.retain(|name| marks.names(&receipt.tenant, name));
    Ok(people)
}

/// The erasure of a receipt, to be made again of what was restored.
///
/// # Errors
/// A receipt without marks.
pub fn job_again(receipt: &Receipt, names: &BTreeSet<String>) -> Result<Job, ErasureError> {
    let mut erasure = Erasure {
        erasure_id: receipt.erasure_id.clone(),
        tenant: receipt.tenant.clone(),
        requested_by: receipt.requested_by.clone(),
        requested_at: serde_json::from_value(receipt.requested_at.clone().into()).ok(),
        reason: receipt.reason.clone(),
        ..Erasure::default()
    };
    erasure.set_stage(Stage::Forgetting);
    let customer = names.iter().find(|name| name.starts_with("c_"));
    let conversations = names.iter().filter(|name| name.starts_with("v_"));
    let subject = match customer {
        Some(customer) => Who::Customer(customer.clone()),
        None => Who::Conversation(conversations.clone().next().cloned().unwrap_or_default()),
    };
    let stand_in =
        |name: &String| (name.clone(), format!("{STANDS_FOR}{:032x}", rand::random::<u128>()));
    Ok(Job {
        erasure: Some(erasure),
        marks: Some(marks(receipt)?),
        subject: Some(Subject { subject: Some(subject) }),
        names: names.iter().cloned().collect(),
        stand_ins: conversations.map(stand_in).collect(),
        salt: STANDARD.encode(rand::random::<[u8; 32]>()),
        cuts: Vec::new(),
    })
}
