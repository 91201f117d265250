use std::sync::{Mutex, PoisonError};

use rdkafka::Statistics;

/// How many looks in a row must find nobody: a client that begins anew with its bootstrap servers
/// has none for a moment, and one that has nothing to ask connects to none until it has.
const LOOKS: u32 = 2;

/// Notices a client that has no broker left to ask and will never find one.
///
/// librdkafka drops the brokers that an answer about the cluster does not name. One that is being
/// stopped or was fenced names none, not even itself, and a client that loses its last broker so
/// can miss the moment to go back to its bootstrap servers, for good (librdkafka issue 5301, since
/// 2.10). The broker may still be listed when something holds on to it, such as a partition that
/// was read from it; what it shows then is that nobody tries to connect to it. Such a client has
/// to be replaced.
#[derive(Debug, Default)]
pub(super) struct Contact {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Looks in a row that found nobody.
    alone: u32,
    /// Attempts to connect, of all brokers that were listed at the last look.
    attempts: i64,
}

impl Contact {
    /// Looks at what librdkafka says every few seconds about itself.
    pub(super) fn look(&self, statistics: &Statistics) {
        // The others are names for a role, such as a group's coordinator, or for nobody.
        let is_somebody = |source: &str| source == "learned" || source == "configured";
        // Attempts come at least once a second, so in these states nothing is under way.
        let is_idle = |state: &str| ["INIT", "DOWN", "TRY_CONNECT"].contains(&state);
        let (mut connected, mut attempts) = (false, 0);
        for broker in statistics.brokers.values().filter(|broker| is_somebody(&broker.source)) {
            connected |= !is_idle(&broker.state);
            attempts += broker.connects.unwrap_or(0);
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let tried = attempts > seen.attempts;
        *seen = Seen { alone: if connected || tried { 0 } else { seen.alone + 1 }, attempts };
    }

    /// Whether the client is of no more use.
    pub(super) fn is_lost(&self) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).alone >= LOOKS
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::statistics::Broker;

    use super::*;

    fn statistics(brokers: &[(&str, &str, i64)]) -> Statistics {
        let brokers = brokers.iter().map(|&(source, state, connects)| {
            let broker = Broker {
                source: source.to_owned(),
                state: state.to_owned(),
                connects: Some(connects),
                ..Broker::default()
            };
            (source.to_owned(), broker)
        });
        Statistics { brokers: brokers.collect(), ..Statistics::default() }
    }

    fn lost(looks: &[&[(&str, &str, i64)]]) -> Vec<bool> {
        let contact = Contact::default();
        let look = |brokers: &&[(&str, &str, i64)]| {
            contact.look(&statistics(brokers));
            contact.is_lost()
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn a_client_is_lost_that_had_no_broker_twice_in_a_row() {
        let looks: &[&[_]] = &[
            &[("logical", "UP", 1), ("internal", "UP", 0)],
            &[("logical", "UP", 1), ("configured", "CONNECT", 1)],
            &[("logical", "UP", 1)],
            &[("logical", "TRY_CONNECT", 2)],
            &[("learned", "UP", 1)],
        ];
        assert_eq!(lost(looks), [false, false, false, true, false]);
    }

    #[test]
    fn a_broker_that_is_listed_but_not_tried_any_more_is_none() {
        let coordinator = |attempts| ("logical", "TRY_CONNECT", attempts);
        let looks: &[&[_]] = &[
            &[("learned", "UP", 1), ("logical", "UP", 1)],
            &[("learned", "INIT", 2), coordinator(4)],
            &[("learned", "INIT", 2), coordinator(7)],
            &[("learned", "INIT", 2), coordinator(10)],
        ];
        assert_eq!(lost(looks), [false, false, false, true]);
    }

    #[test]
    fn a_client_is_not_lost_while_it_tries() {
        let looks: &[&[_]] = &[
            &[("learned", "TRY_CONNECT", 3)],
            &[("learned", "DOWN", 6)],
            &[("learned", "TRY_CONNECT", 9)],
            // Into a network that answers nothing, which takes as long as the system lets it.
            &[("learned", "CONNECT", 10)],
            &[("learned", "CONNECT", 10)],
            &[("learned", "CONNECT", 10)],
        ];
        assert_eq!(lost(looks), [false; 6]);
    }
}
