use std::sync::atomic::{AtomicU32, Ordering};

use rdkafka::Statistics;

/// How many looks in a row must find nobody: a client that begins anew with its bootstrap servers
/// has none for a moment.
const LOOKS: u32 = 2;

/// Notices a client that has no broker left to ask and will never find one.
///
/// librdkafka drops the brokers that an answer about the cluster does not name. One that is being
/// stopped or was fenced names none, not even itself, and a client that loses its last broker so
/// can miss the moment to go back to its bootstrap servers, for good (librdkafka issue 5301, since
/// 2.10). Such a client has to be replaced.
#[derive(Debug, Default)]
pub(super) struct Contact {
    alone: AtomicU32,
}

impl Contact {
    /// Looks at what librdkafka says every few seconds about itself.
    pub(super) fn look(&self, statistics: &Statistics) {
        // The others are names for a role, such as a group's coordinator, or for nobody.
        let somebody = |source: &str| source == "learned" || source == "configured";
        if statistics.brokers.values().any(|broker| somebody(&broker.source)) {
            self.alone.store(0, Ordering::Relaxed);
        } else {
            self.alone.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the client is of no more use.
    pub(super) fn is_lost(&self) -> bool {
        self.alone.load(Ordering::Relaxed) >= LOOKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(sources: &[&str]) -> Statistics {
        let brokers = sources.iter().map(|source| {
            let broker = rdkafka::statistics::Broker {
                source: (*source).to_owned(),
                ..rdkafka::statistics::Broker::default()
            };
            ((*source).to_owned(), broker)
        });
        Statistics { brokers: brokers.collect(), ..Statistics::default() }
    }

    #[test]
    fn a_client_is_lost_that_had_no_broker_twice_in_a_row() {
        let contact = Contact::default();
        for (sources, lost) in [
            (&["logical", "internal"][..], false),
            (&["logical", "configured"], false),
            (&["logical"], false),
            (&["logical"], true),
            (&["learned"], false),
        ] {
            contact.look(&statistics(sources));
            assert_eq!(contact.is_lost(), lost, "{sources:?}");
        }
    }
}
