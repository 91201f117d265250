//! What a page says: a CloudEvent (1.0, structured JSON) whose data is the incident's card.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Value, json};
use zhili_incident::{Incident, Page, Reason, Signal};

use crate::convert::severity_name;

/// Rules named on a card; a person reads the first few.
const MOST_REASONS: usize = 20;
/// Characters of a masked excerpt, as signals are cut to. The limit holds a card far below the
/// 20 kB that receivers of Standard Webhooks accept.
const EXCERPT_CHARS: usize = 500;

/// The body of a page. It follows from the incident and the page alone, not from the attempt,
/// so repeated attempts of an unchanged incident are equal.
///
/// `link` is a template with `{incident_id}`; empty for no link.
pub(crate) fn body(incident: &Incident, page: &Page, link: &str) -> Bytes {
    let time = iso(page.created_at_ms);
    let event = json!({
        "specversion": "1.0",
        "id": page.page_id.to_string(),
        "source": format!("/zhili/tenants/{}/teams/{}", incident.tenant, incident.team),
        "type": format!("zhili.incident.v1.{}", kind(page.reason)),
        "subject": incident.incident_id.to_string(),
        "time": time,
        // Where consumers of Standard Webhooks look for it.
        "timestamp": time,
        "datacontenttype": "application/json",
        "data": data(incident, page, link),
    });
    Bytes::from(event.to_string())
}

/// What has happened to the incident that this page is about.
fn kind(reason: Reason) -> &'static str {
    match reason {
        Reason::Triggered
        | Reason::SeverityRise
        | Reason::AckTimeout
        | Reason::SnoozeEnded
        | Reason::Released
        | Reason::Reconfigured => "triggered",
        Reason::Reassigned => "reassigned",
        Reason::NextStep | Reason::StepFailed | Reason::Repeat | Reason::EscalatedNow => {
            "escalated"
        }
        Reason::Fallback => "exhausted",
    }
}

fn data(incident: &Incident, page: &Page, link: &str) -> Value {
    // The newest signal of the highest severity is why somebody should look now.
    let shown = incident.evidence.iter().max_by_key(|signal| signal.severity);
    let text = |part: fn(&Signal) -> &String| {
        let newest = incident.evidence.iter().rev().map(|signal| part(signal));
        newest.into_iter().find(|value| !value.is_empty()).cloned().unwrap_or_default()
    };
    let mut seen = BTreeSet::new();
    let reasons: Vec<Value> = incident
        .evidence
        .iter()
        .rev()
        .flat_map(|signal| signal.rules.iter().map(move |rule| (rule, signal)))
        .filter(|(rule, _)| seen.insert(rule.as_str()))
        .take(MOST_REASONS)
        .map(|(rule, signal)| {
            json!({
                "rule": rule,
                "event_id": signal.event_id,
                "probability": signal.probability,
                "engine": signal.engine,
            })
        })
        .collect();
    let mut data = json!({
        "incident_id": incident.incident_id.to_string(),
        "version": incident.version,
        "state": incident.state.name(),
        "severity": severity_name(incident.severity),
        "family": incident.family.name(),
        "kind": incident.kind,
        "category": incident.category,
        "reasons": reasons,
        "excerpt": shown.map(|signal| cut(&signal.excerpt)).unwrap_or_default(),
        "signals": incident.signals,
        "tenant": incident.tenant,
        "team": incident.team,
        "conversation_id": incident.conversation_id,
        "customer": text(|signal| &signal.customer),
        "agent": text(|signal| &signal.agent),
        "queue": text(|signal| &signal.queue),
        "channel": text(|signal| &signal.channel),
        "triggered_at": iso(incident.triggered_at_ms),
        "page": {
            "destination": page.destination,
            "reason": page.reason.name(),
        },
        "policy": {
            "name": incident.policy.name,
            "step": page.step + 1,
            "steps": incident.policy.steps.len(),
            "pass": page.pass + 1,
            "next_at": incident.next_at_ms.map(iso),
        },
    });
    if !link.is_empty() {
        data["link"] = link.replace("{incident_id}", &incident.incident_id.to_string()).into();
    }
    data
}

fn cut(text: &str) -> String {
    text.chars().take(EXCERPT_CHARS).collect()
}

/// ISO 8601 in UTC with milliseconds.
fn iso(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|time| format!("{time:.3}")).unwrap_or_default()
}
