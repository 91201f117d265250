//! Stretches without a message (`silence.v1`).

use serde::{Deserialize, Serialize};

use crate::output;

/// A stretch that is longer than this is a silence (metrics.md section 2).
const SILENCE_MS: i64 = 30_000;

/// Who says something that the customer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Speaker {
    Customer,
    Human,
    Machine,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Last {
    sent_ms: i64,
    speaker: Speaker,
    /// History starts no deadline.
    live: bool,
}

/// Silences of a cycle. A late message breaks none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Silences {
    /// The latest message and who said it.
    last: Option<Last>,
    stated: output::Silences,
    /// How many were told by a signal.
    told: u32,
}

impl Silences {
    /// A message; `waits` if the customer waited for an answer before it. Says whether it is late.
    pub(crate) fn said(&mut self, sent_ms: i64, speaker: Speaker, live: bool, waits: bool) -> bool {
        if self.last.is_some_and(|last| sent_ms < last.sent_ms) {
            return true;
        }
        let was_customers = self.end(sent_ms, waits) == Some(false);
        if was_customers && speaker == Speaker::Human {
            self.stated.restated += 1;
        }
        self.last = Some(Last { sent_ms, speaker, live });
        false
    }

    /// Whether nothing is known that was said after `sent_ms`.
    pub(crate) fn is_last(&self, sent_ms: i64) -> bool {
        self.last.is_none_or(|last| sent_ms >= last.sent_ms)
    }

    /// When the latest message was sent.
    pub(crate) fn since(&self) -> Option<i64> {
        self.last.map(|last| last.sent_ms)
    }

    /// Counts the stretch until now if it is long; says whether it was the agent's.
    pub(crate) fn end(&mut self, at_ms: i64, waits: bool) -> Option<bool> {
        let time_ms = at_ms.saturating_sub(self.last?.sent_ms);
        if time_ms <= SILENCE_MS {
            return None;
        }
        let stated = &mut self.stated;
        let (count, sum_ms) = if waits {
            (&mut stated.agent, &mut stated.agent_ms)
        } else {
            (&mut stated.customer, &mut stated.customer_ms)
        };
        *count += 1;
        *sum_ms += time_ms;
        Some(waits)
    }

    /// When a silence has lasted for as long as the policy bears it.
    pub(crate) fn due(
        &self,
        waits: bool,
        agent_ms: Option<i64>,
        customer_ms: Option<i64>,
    ) -> Option<i64> {
        let last = self.last.filter(|last| last.live)?;
        let most_ms = match (waits, last.speaker) {
            (true, _) => agent_ms,
            (false, Speaker::Human) => customer_ms,
            (false, Speaker::Customer | Speaker::Machine) => None,
        };
        Some(last.sent_ms.saturating_add(most_ms?))
    }

    /// Counts a signal and says how many there were before.
    pub(crate) fn tell(&mut self) -> u32 {
        self.told += 1;
        self.told - 1
    }

    pub(crate) fn stated(&self) -> output::Silences {
        self.stated
    }
}
