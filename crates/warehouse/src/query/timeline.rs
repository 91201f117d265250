//! What happened to one incident.

use serde::Deserialize;

use super::scope::interactive;
use crate::{Warehouse, WarehouseError};

/// Most events of one answer; an incident rarely has a tenth of it.
const MOST: u32 = 1_000;

/// Something that happened to an incident.
#[derive(Clone, Debug, PartialEq, clickhouse::Row, Deserialize)]
pub struct IncidentEvent {
    /// Identity.
    pub event_id: String,
    /// `triggered`, `paged`, `acknowledged`, ...
    pub r#type: String,
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Whose command it was; empty if nobody's.
    pub actor: String,
    /// What they said.
    pub note: String,
    /// State after it.
    pub state: String,
    /// Severity after it.
    pub severity: String,
    /// Version after it.
    pub version: u64,
    /// Signals counted in after it.
    pub signals: u64,
}

/// The events of an incident, the oldest first; empty when the tenant has none of that id.
pub async fn timeline(
    warehouse: &Warehouse,
    tenant: &str,
    incident_id: &str,
) -> Result<Vec<IncidentEvent>, WarehouseError> {
    let request = interactive(
        warehouse,
        "SELECT event_id, toString(type) AS type, toUnixTimestamp64Milli(at) AS at_ms, actor, \
         note, toString(state) AS state, toString(severity) AS severity, version, signals \
         FROM incidents FINAL \
         WHERE tenant = {tenant:String} AND incident_id = {incident:String} \
         ORDER BY log_partition, log_offset, log_index LIMIT {most:UInt32}",
    )
    .param("tenant", tenant)
    .param("incident", incident_id)
    .param("most", MOST);
    warehouse.run("look an incident's events up", request.fetch_all()).await
}
