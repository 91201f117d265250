//! People who are to be forgotten.

use std::sync::Arc;

use crate::event::{Cause, EventKind, IncidentEvent};
use crate::id::IncidentId;
use crate::lifecycle::Context;
use crate::partition::{Partition, context};
use crate::signal::Signal;

/// An incident that is known no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// Which it was.
    pub incident_id: IncidentId,
    /// Its tenant.
    pub tenant: String,
    /// The team that answered for it.
    pub team: String,
}

impl Partition {
    /// Forgets incidents, presences and silences of the conversations and customers that `gone`
    /// names, open or not, and says which incidents; nobody is paged about them any more. Takes
    /// them out of the evidence of other incidents, which is told as an update of those. `gone` is
    /// given a tenant and a pseudonym.
    ///
    /// A page that is on its way arrives; what comes of it is that of an unknown page.
    pub fn erase(
        &mut self,
        gone: impl Fn(&str, &str) -> bool,
        events: &mut Vec<IncidentEvent>,
    ) -> Vec<Erased> {
        let about = |signal: &Signal| {
            gone(&signal.tenant, &signal.conversation_id) || gone(&signal.tenant, &signal.customer)
        };
        let mut forgotten: Vec<Erased> = Vec::new();
        let mut touched: Vec<IncidentId> = Vec::new();
        for (id, tracked) in self.durable.incidents.iter() {
            let incident = &tracked.incident;
            let names = |signal: &Arc<Signal>| {
                about(signal) || signal.related.iter().any(|other| gone(&signal.tenant, other))
            };
            if gone(&incident.tenant, &incident.conversation_id) {
                forgotten.push(Erased {
                    incident_id: *id,
                    tenant: incident.tenant.clone(),
                    team: incident.team.clone(),
                });
            } else if incident.evidence.iter().any(names) {
                touched.push(*id);
            }
        }
        for erased in &forgotten {
            self.forget(erased.incident_id);
        }
        for id in touched {
            let Some(tracked) = self.durable.incidents.get_mut(&id) else { continue };
            tracked.incident.evidence.retain(|signal| !about(signal));
            for signal in &mut tracked.incident.evidence {
                let tenant = signal.tenant.clone();
                if signal.related.iter().any(|other| gone(&tenant, other)) {
                    let signal = Arc::make_mut(signal);
                    signal.related.retain(|other| !gone(&tenant, other));
                    // Words in a signal about several conversations are of one of them.
                    signal.excerpt.clear();
                }
            }
            let note = "a person was erased".to_owned();
            let cause = Cause { note, ..Cause::default() };
            tracked.emit(EventKind::Updated, cause, &mut context!(self, events));
            self.refresh(id);
        }
        self.durable.presences.forget(&gone);
        // Without its conversation a silence would hold everything.
        self.durable.silences.made.retain(|_, silence| {
            let named = &silence.matcher.conversation_id;
            !named.iter().any(|pattern| gone(&silence.tenant, pattern.as_str()))
        });
        forgotten
    }
}
