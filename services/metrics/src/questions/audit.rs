//! Comparing the log with the tables, and mending these.

use zhili_eventlog::{LogError, TopicPartition};
use zhili_proto::metrics::v1 as proto;
use zhili_runtime::auth::{Permission, Principal};
use zhili_runtime::{ErrorCode, ServiceError};
use zhili_warehouse::sink::PositionNote;
use zhili_warehouse::{AuditError, audit, repair};

use super::{Service, failed, invalid};
use crate::{GROUP, TOPICS};

/// Offsets that one call audits: a few seconds of work.
const AUDIT_AT_ONCE: u64 = 20_000;

impl Service {
    pub(super) async fn audit(
        &self,
        caller: &Principal,
        request: proto::AuditRequest,
    ) -> Result<proto::AuditResponse, ServiceError> {
        if request.repair {
            caller.does(Permission::Config, format!("repair of {}", request.topic));
        }
        caller.require(Permission::Config)?;
        if !TOPICS.contains(&request.topic.as_str()) {
            return Err(invalid(format!("topic: one of {}", TOPICS.join(", "))));
        }
        let partitions = self.log.topic(&request.topic).await.map_err(unread)?.partitions;
        if request.partition >= partitions {
            return Err(invalid(format!("partition: the topic has {partitions}")));
        }
        let at = TopicPartition::new(&*request.topic, request.partition);
        let start = self.log.bounds(&at).await.map_err(unread)?.start;
        let end = match self.log.committed(GROUP, &at).await.map_err(unread)? {
            None => start,
            Some(done) => {
                let note = PositionNote::parse(&done.metadata, done.offset).unwrap_or_default();
                // Nobody writes what a halted sink has announced, so it can be looked at too.
                match note.pending {
                    Some(range) if self.observer.is_halted(&at) => range.end(),
                    _ => done.offset,
                }
            }
        };
        let from = request.from_offset.max(start).min(end);
        let to = end.min(from.saturating_add(AUDIT_AT_ONCE));
        let found = if request.repair {
            repair(&*self.log, &self.warehouse, &at, from, to).await
        } else {
            audit(&*self.log, &self.warehouse, &at, from, to).await
        };
        let found = found.map_err(|error| match error {
            AuditError::Log(error) => unread(error),
            AuditError::Warehouse(error) => failed(error),
        })?;
        Ok(proto::AuditResponse {
            partitions,
            next_offset: to,
            end_offset: end,
            records: found.records as u64,
            rows: found.rows as u64,
            replaced: found.replaced as u64,
            poison: found.poison as u64,
            holes: found.holes.len() as u64,
            duplicates: found.duplicates.len() as u64,
            strays: found.strays.len() as u64,
            repaired: found.repaired as u64,
        })
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unread(error: LogError) -> ServiceError {
    let code = if error.is_transient() { ErrorCode::Unavailable } else { ErrorCode::Internal };
    ServiceError::new(code, error.to_string())
}
