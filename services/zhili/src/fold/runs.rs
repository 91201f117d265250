//! The turns as profiles of platforms look at them.

use std::collections::BTreeMap;

use zhili_dialogue::{Fact, FactBody, Run};
use zhili_proto::conversation::v1::author::{Role, Subtype};
use zhili_proto::conversation::v1::{Event, EventType};

use super::facts::InForce;

/// When customers and people who answer them said something, by tenant and conversation: facts say
/// so of the first and last message of a turn alone.
#[derive(Debug, Default)]
pub(super) struct Spoken(BTreeMap<(String, String), Times>);

/// Milliseconds since the Unix epoch, in no order until all are there.
#[derive(Debug, Default)]
struct Times {
    customer: Vec<i64>,
    human: Vec<i64>,
}

impl Spoken {
    /// Notes an event that was taken in at `now_ms`.
    pub(super) fn note(&mut self, event: &Event, now_ms: i64) {
        let Some(author) = event.author.as_ref() else { return };
        if event.r#type() != EventType::Message || event.private {
            return;
        }
        let is_human = match (author.role(), author.subtype()) {
            (Role::Customer, _) => false,
            (Role::Agent, Subtype::Unspecified | Subtype::Assist | Subtype::Template) => true,
            _ => return,
        };
        let Some(sent_ms) = event.sent_at.as_ref().and_then(zhili_proto::millis) else { return };
        let times = self.0.entry((event.tenant.clone(), event.conversation_id.clone()));
        let times = times.or_default();
        let side = if is_human { &mut times.human } else { &mut times.customer };
        side.push(sent_ms.min(now_ms));
    }

    /// The runs of every tenant that said anything, in order of their starts.
    pub(super) fn runs(
        mut self,
        in_force: &InForce<'_>,
        facts: &[(&Fact, bool)],
    ) -> BTreeMap<String, Vec<Run>> {
        for times in self.0.values_mut() {
            times.customer.sort_unstable();
            times.human.sort_unstable();
        }
        let mut runs: BTreeMap<String, Vec<Run>> = BTreeMap::new();
        // Start of the run that follows in the same conversation.
        let mut next: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for (fact, _) in facts.iter().rev() {
            let Some(mut run) = run(fact, in_force) else { continue };
            let id = (fact.tenant.as_str(), fact.conversation_id.as_str());
            let until_ms = next.insert(id, run.started_ms).unwrap_or(i64::MAX);
            let key = (run.tenant.clone(), run.conversation_id.clone());
            let last_ms = self.0.get(&key).and_then(|times| times.last_before(until_ms));
            run.last_ms = run.last_ms.max(last_ms.unwrap_or(i64::MIN));
            runs.entry(run.tenant.clone()).or_default().push(run);
        }
        for runs in runs.values_mut() {
            runs.reverse();
        }
        runs
    }
}

impl Times {
    /// The last message before a customer's message of this time.
    fn last_before(&self, started_ms: i64) -> Option<i64> {
        let customer = self.customer.partition_point(|&at_ms| at_ms < started_ms);
        let human = self.human.partition_point(|&at_ms| at_ms <= started_ms);
        let last = |times: &[i64], count: usize| times[..count].last().copied();
        last(&self.customer, customer).max(last(&self.human, human))
    }
}

fn run(fact: &Fact, in_force: &InForce<'_>) -> Option<Run> {
    let FactBody::Turn(turn) = &fact.body else { return None };
    let cycle = in_force.cycle_of(fact)?;
    let customer = if fact.customer.is_empty() { &fact.conversation_id } else { &fact.customer };
    Some(Run {
        tenant: fact.tenant.clone(),
        conversation_id: fact.conversation_id.clone(),
        customer: customer.clone(),
        started_ms: turn.started_ms,
        last_ms: turn.started_ms,
        answered_ms: turn.answered_ms,
        closed: !cycle.provisional,
        bot_only: cycle.bot_served && cycle.frt_human_ms.is_none() && !cycle.handed_over,
    })
}
