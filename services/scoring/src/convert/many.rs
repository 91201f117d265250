//! What the folds over many conversations read.

use zhili_dialogue as dialogue;
use zhili_proto::scoring::v1 as scoring;

pub(crate) fn contact(contact: dialogue::Contact) -> scoring::Contact {
    use scoring::contact::{Complaint, Cycle, What};
    scoring::Contact {
        tenant: contact.tenant,
        customer: contact.customer,
        stated_as: contact.stated_as,
        silent: contact.silent,
        conversation_id: contact.conversation_id,
        cycle_id: contact.cycle_id,
        agent: contact.agent,
        channel: contact.channel,
        queue: contact.queue,
        team: contact.team,
        historical: contact.historical,
        what: Some(match contact.what {
            dialogue::What::Cycle { started_ms, ended_ms, resolved, asked } => {
                What::Cycle(Cycle { started_ms, ended_ms, resolved, asked })
            }
            dialogue::What::Complaint { event_id, at_ms } => {
                What::Complaint(Complaint { event_id, at_ms })
            }
        }),
    }
}

/// The contact as its fold sees it; `None` if it says nothing, or nothing that this version knows.
pub(crate) fn dialogue_contact(contact: scoring::Contact) -> Option<dialogue::Contact> {
    use scoring::contact::{Complaint, Cycle, What};
    Some(dialogue::Contact {
        what: match contact.what? {
            What::Cycle(Cycle { started_ms, ended_ms, resolved, asked }) => {
                dialogue::What::Cycle { started_ms, ended_ms, resolved, asked }
            }
            What::Complaint(Complaint { event_id, at_ms }) => {
                dialogue::What::Complaint { event_id, at_ms }
            }
        },
        tenant: contact.tenant,
        customer: contact.customer,
        stated_as: contact.stated_as,
        silent: contact.silent,
        conversation_id: contact.conversation_id,
        cycle_id: contact.cycle_id,
        agent: contact.agent,
        channel: contact.channel,
        queue: contact.queue,
        team: contact.team,
        historical: contact.historical,
    })
}

pub(crate) fn count(count: dialogue::Count) -> scoring::PulseCount {
    let dialogue::Count { tenant, at_ms, dimension, value, cycles, weight, conversation_id } =
        count;
    scoring::PulseCount { tenant, at_ms, dimension, value, cycles, weight, conversation_id }
}

pub(crate) fn dialogue_count(count: scoring::PulseCount) -> dialogue::Count {
    let scoring::PulseCount { tenant, at_ms, dimension, value, cycles, weight, conversation_id } =
        count;
    dialogue::Count { tenant, at_ms, dimension, value, cycles, weight, conversation_id }
}
