//! Who of the team is in a conversation: nobody is paged for what a supervisor is looking at.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Cause, EventKind, IncidentEvent};
use crate::id::IncidentId;
use crate::incident::{Incident, State};
use crate::lifecycle::{Context, Tracked};
use crate::partition::{Partition, context};
use crate::signal::{Family, Key};

/// How long somebody counts as present after the last sign of it: one who leaves without a word
/// must not keep others from being paged for ever.
pub const PRESENT_FOR_MS: i64 = 15 * 60_000;
/// An acknowledgement is prolonged when that moves its end at least so much.
const LEAST_PROLONGED_MS: i64 = 60_000;

/// Somebody of the team enters a conversation, does something in it, or leaves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Whose conversation it is.
    pub tenant: String,
    /// The team that answers for it.
    pub team: String,
    /// The conversation, pseudonymous.
    pub conversation_id: String,
    /// The principal.
    pub actor: String,
    /// Whether they are there; false when they leave.
    pub here: bool,
    /// When they did it, milliseconds since the Unix epoch; `None` means now. What comes late
    /// counts as long as it would have.
    pub at_ms: Option<i64>,
}

impl Presence {
    /// Until when it makes somebody present, if it still does at `now_ms`.
    fn stays_until(&self, now_ms: i64) -> Option<i64> {
        let at_ms = self.at_ms.map_or(now_ms, |at_ms| at_ms.min(now_ms));
        let until_ms = at_ms.saturating_add(PRESENT_FOR_MS);
        (self.here && until_ms > now_ms).then_some(until_ms)
    }
}

/// Until when who counts as present, by tenant and conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Presences {
    by_conversation: BTreeMap<(String, String), BTreeMap<String, i64>>,
}

impl Presences {
    fn take(&mut self, presence: &Presence, now_ms: i64) {
        for present in self.by_conversation.values_mut() {
            present.retain(|_, until_ms| *until_ms > now_ms);
        }
        let place = (presence.tenant.clone(), presence.conversation_id.clone());
        let present = self.by_conversation.entry(place).or_default();
        if let Some(until_ms) = presence.stays_until(now_ms) {
            let known = present.entry(presence.actor.clone()).or_insert(until_ms);
            *known = until_ms.max(*known);
        } else if !presence.here {
            present.remove(&presence.actor);
        }
        self.by_conversation.retain(|_, present| !present.is_empty());
    }

    /// Forgets who is in the conversations that `gone` names.
    pub(crate) fn forget(&mut self, gone: impl Fn(&str, &str) -> bool) {
        self.by_conversation.retain(|(tenant, conversation), _| !gone(tenant, conversation));
    }

    /// Who is in the conversation of an incident, the one that stays longest.
    pub(crate) fn attending(&self, incident: &Incident, now_ms: i64) -> Option<(&str, i64)> {
        if self.by_conversation.is_empty() {
            return None;
        }
        let place = (incident.tenant.clone(), incident.conversation_id.clone());
        let present = self.by_conversation.get(&place)?;
        let stays = present.iter().filter(|(_, until_ms)| **until_ms > now_ms);
        stays.max_by_key(|(_, until_ms)| **until_ms).map(|(actor, until_ms)| (&**actor, *until_ms))
    }
}

impl Partition {
    pub(crate) fn presence(&mut self, presence: &Presence, events: &mut Vec<IncidentEvent>) {
        let now_ms = self.durable.now_ms;
        self.durable.presences.take(presence, now_ms);
        let stays = presence.stays_until(now_ms).is_some();
        let Presence { tenant, team, conversation_id, actor, .. } = presence;
        for family in Family::ALL {
            let key = Key::of(tenant, team, conversation_id, family);
            let Some(&id) = self.index.keys.get(&key).and_then(|ids| ids.last()) else {
                continue;
            };
            if stays {
                self.prolong(id, actor, events);
            }
            self.look_again_at(id, events);
        }
    }

    fn prolong(&mut self, id: IncidentId, actor: &str, events: &mut Vec<IncidentEvent>) {
        if let Some(tracked) = self.durable.incidents.get_mut(&id) {
            tracked.prolong(actor, &mut context!(self, events));
        }
    }
}

impl Tracked {
    /// The owner is at work: the acknowledgement counts from now.
    fn prolong(&mut self, actor: &str, context: &mut Context<'_>) {
        let incident = &mut self.incident;
        let Some(before_ms) = incident.next_at_ms else { return };
        let end_ms = context.now_ms + incident.policy.ack_timeout_ms;
        let owns = incident.state == State::Acknowledged && incident.owner == actor;
        if owns && end_ms - before_ms >= LEAST_PROLONGED_MS {
            incident.next_at_ms = Some(end_ms);
            let note = format!("{actor} is at work in the conversation");
            self.emit(EventKind::Updated, Cause { note, ..Cause::default() }, context);
        }
    }
}
