//! People who are to be forgotten.

use std::sync::Arc;

use crate::id::IncidentId;
use crate::partition::Partition;
use crate::signal::Signal;

impl Partition {
    /// Forgets incidents, presences and silences of the conversations and customers that `gone`
    /// names, open or not, and takes them out of the evidence of other incidents. Nothing is told
    /// and nobody is paged about it any more. `gone` is given a tenant and a pseudonym.
    ///
    /// A page that is on its way arrives; what comes of it is that of an unknown page.
    pub fn erase(&mut self, gone: impl Fn(&str, &str) -> bool) {
        let about = |signal: &Signal| {
            gone(&signal.tenant, &signal.conversation_id) || gone(&signal.tenant, &signal.customer)
        };
        let mut forgotten: Vec<IncidentId> = Vec::new();
        let mut touched: Vec<IncidentId> = Vec::new();
        for (id, tracked) in self.durable.incidents.iter() {
            let incident = &tracked.incident;
            let names = |signal: &Arc<Signal>| {
                about(signal) || signal.related.iter().any(|other| gone(&signal.tenant, other))
            };
            if gone(&incident.tenant, &incident.conversation_id) {
                forgotten.push(*id);
            } else if incident.evidence.iter().any(names) {
                touched.push(*id);
            }
        }
        for id in forgotten {
            self.forget(id);
        }
        for id in touched {
            let Some(tracked) = self.durable.incidents.get_mut(&id) else { continue };
            let evidence = &mut tracked.incident.evidence;
            evidence.retain(|signal| !about(signal));
            for signal in evidence {
                let tenant = signal.tenant.clone();
                if signal.related.iter().any(|other| gone(&tenant, other)) {
                    let signal = Arc::make_mut(signal);
                    signal.related.retain(|other| !gone(&tenant, other));
                    // Words in a signal about several conversations are of one of them.
                    signal.excerpt.clear();
                }
            }
            self.refresh(id);
        }
        self.durable.presences.forget(&gone);
        // Without its conversation a silence would hold everything.
        self.durable.silences.made.retain(|_, silence| {
            let named = &silence.matcher.conversation_id;
            !named.iter().any(|pattern| gone(&silence.tenant, pattern.as_str()))
        });
    }
}
