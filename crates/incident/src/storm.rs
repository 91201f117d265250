//! When too many incidents of a queue are open: one incident pages for all that come beyond.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::IncidentEvent;
use crate::id::{IncidentId, digest};
use crate::incident::{Incident, State};
use crate::lifecycle::Context;
use crate::partition::Partition;
use crate::signal::{Background, Family, Severity, Signal};
use crate::suppression::{Held, Hold};

/// Kind of the signals that such an incident consists of.
pub const STORM: &str = "storm";
/// How often a held incident looks whether there is room.
const LOOK_MS: i64 = 5 * 60_000;

/// Tenant, team and queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Crowd([u8; 16]);

/// Open incidents of a queue that somebody is or was paged for.
pub(crate) type Crowds = BTreeMap<Crowd, BTreeSet<IncidentId>>;

impl Crowd {
    pub(crate) fn of(incident: &Incident) -> Self {
        let parts = [&incident.tenant, &incident.team, &incident.queue];
        Self(digest("crowd", &parts.map(String::as_bytes)))
    }

    /// Whether an incident takes room in its queue.
    pub(crate) fn counts(incident: &Incident) -> bool {
        let paged =
            matches!(incident.state, State::Triggered | State::Acknowledged | State::Snoozed);
        paged && incident.exhausted.is_none() && incident.kind != STORM
    }
}

impl Context<'_> {
    /// Holds an incident back that finds no room in its queue. One that has room keeps it.
    pub(crate) fn storm(&self, incident: &Incident) -> Option<Hold> {
        let team = self.configs.team(&incident.tenant, &incident.team)?;
        let most = team.most_open_per_queue as usize;
        if most == 0 || incident.kind == STORM {
            return None;
        }
        let crowd = self.crowds.get(&Crowd::of(incident))?;
        let is_full = crowd.len() >= most && !crowd.contains(&incident.incident_id);
        is_full.then(|| Hold { held: Held::Storm, until_ms: self.now_ms + LOOK_MS })
    }
}

/// What the incident that pages for all hears of one that does not.
fn signal_of(incident: &Incident) -> Signal {
    let newest = incident.evidence.last();
    let text = |part: fn(&Signal) -> &String| newest.map(|it| part(it).clone()).unwrap_or_default();
    Signal {
        signal_id: format!("{STORM}/{}", incident.incident_id),
        tenant: incident.tenant.clone(),
        team: incident.team.clone(),
        conversation_id: format!("queue:{}", incident.queue),
        family: Family::Crisis,
        kind: STORM.to_owned(),
        category: String::new(),
        severity: incident.severity.max(Severity::High),
        event_id: text(|signal| &signal.event_id),
        effective_ms: newest.map_or(incident.triggered_at_ms, |signal| signal.effective_ms),
        probability: 1.0,
        rules: Vec::new(),
        related: vec![incident.conversation_id.clone()],
        excerpt: text(|signal| &signal.excerpt),
        agent: String::new(),
        customer: String::new(),
        channel: String::new(),
        queue: incident.queue.clone(),
        historical: false,
        engine: text(|signal| &signal.engine),
        background: Background::default(),
    }
}

impl Partition {
    /// Has one incident page for a new one that found no room in its queue.
    pub(crate) fn tell_of_storm(&mut self, id: IncidentId, events: &mut Vec<IncidentEvent>) {
        let Some(incident) = self.get(id) else { return };
        if incident.suppression.as_ref().is_some_and(|it| it.held == Held::Storm) {
            let signal = signal_of(incident);
            // It is the first about this incident, so it is never a duplicate.
            let _ = self.signal(signal, events);
        }
    }
}
