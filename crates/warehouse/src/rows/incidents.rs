use zhili_proto::escalation::v1::{Family, IncidentEvent, incident, incident_event, page};

use super::{Poison, Row, instant, optional, word};
use crate::Origin;
use crate::column::{Instant, Word};
use crate::table::table_row;

table_row! {
    /// A row of `incidents`.
    IncidentRow of Incidents by [event_id], precedence {
        precedence: i64,
        tenant: Word,
        team: Word,
        incident_id: String,
        event_id: String,
        r#type: Word,
        at: Instant,
        effective_at: Option<Instant>,
        actor: String,
        note: String,
        command_id: String,
        conversation_id: String,
        family: Word,
        kind: Word,
        category: Word,
        state: Word,
        severity: Word,
        version: u64,
        triggered_at: Option<Instant>,
        acknowledged_at: Option<Instant>,
        resolved_at: Option<Instant>,
        owner: String,
        signals: u64,
        policy: Word,
        step: u32,
        r#loop: u32,
        next_at: Option<Instant>,
        exhausted: bool,
    }
}

table_row! {
    /// A row of `deliveries`.
    DeliveryRow of Deliveries by [event_id], precedence {
        precedence: i64,
        tenant: Word,
        team: Word,
        incident_id: String,
        event_id: String,
        page_id: String,
        destination: Word,
        channel: Word,
        r#type: Word,
        state: Word,
        attempts: u32,
        at: Instant,
        sent_at: Option<Instant>,
        triggered_at: Option<Instant>,
        detail: String,
        reason: String,
    }
}

/// One row of `incidents`, and one of `deliveries` if the event tells what became of a page.
pub(super) fn rows(event: &IncidentEvent, origin: &Origin) -> Result<Vec<Row>, Poison> {
    // Silences, and commands about an incident that nobody knows, are rows of nothing.
    if event.incident.is_none() && !event.command_id.is_empty() {
        return Ok(Vec::new());
    }
    let Some(incident) = &event.incident else {
        return Err(Poison::invalid("", "incident is missing"));
    };
    let tenant = incident.tenant.as_str();
    let at = instant(tenant, "at_ms", event.at_ms)?;
    // Zero is how the contract says that an event has no such time.
    let effective_at = (event.effective_ms != 0)
        .then(|| instant(tenant, "effective_ms", event.effective_ms))
        .transpose()?;
    let time = |field, value| optional(tenant, field, value);
    let triggered_at = time("incident.triggered_at", incident.triggered_at.as_ref())?;
    let r#type = word!(incident_event::Type, event.r#type);
    let row = IncidentRow {
        precedence: origin.precedence(),
        tenant: tenant.into(),
        team: incident.team.as_str().into(),
        incident_id: incident.incident_id.clone(),
        event_id: event.event_id.clone(),
        r#type: r#type.clone(),
        at,
        effective_at,
        actor: event.actor.clone(),
        note: event.note.clone(),
        command_id: event.command_id.clone(),
        conversation_id: incident.conversation_id.clone(),
        family: word!(Family, incident.family),
        kind: incident.kind.as_str().into(),
        category: incident.category.as_str().into(),
        state: word!(incident::State, incident.state),
        severity: word!(incident::Severity, incident.severity),
        version: incident.version,
        triggered_at,
        acknowledged_at: time("incident.acknowledged_at", incident.acknowledged_at.as_ref())?,
        resolved_at: time("incident.resolved_at", incident.resolved_at.as_ref())?,
        owner: incident.owner.clone(),
        signals: incident.signals,
        policy: incident.policy.as_str().into(),
        step: incident.step,
        r#loop: incident.r#loop,
        next_at: time("incident.next_at", incident.next_at.as_ref())?,
        exhausted: incident.exhausted,
    };
    let mut rows = vec![Row::Incident(Box::new(row))];
    // An attempt that changed nothing is no outcome: the page is tried again.
    let is_outcome = event.r#type != incident_event::Type::Attempted as i32;
    if let Some(page) = event.page.as_ref().filter(|_| is_outcome) {
        rows.push(Row::Delivery(Box::new(DeliveryRow {
            precedence: origin.precedence(),
            tenant: tenant.into(),
            team: incident.team.as_str().into(),
            incident_id: incident.incident_id.clone(),
            event_id: event.event_id.clone(),
            page_id: page.page_id.clone(),
            destination: page.destination.as_str().into(),
            channel: page.channel.as_str().into(),
            r#type,
            state: word!(page::State, page.state),
            attempts: page.attempts,
            at,
            sent_at: effective_at,
            triggered_at,
            detail: page.detail.clone(),
            reason: page.reason.clone(),
        })));
    }
    Ok(rows)
}
