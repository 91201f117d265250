//! How far the groups are behind the log, seen from outside: also of a group of which no member is
//! left to say so.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use tokio::time::MissedTickBehavior;
use zhili_eventlog::{LogError, TopicPartition};

use crate::Context;
use crate::log_service::LogReader;
use crate::scrape::gauge;

/// How often to look. What is read within this time counts as read at once.
const EVERY: Duration = Duration::from_secs(10);

/// A partition that a group reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct Place {
    group: &'static str,
    topic: &'static str,
    partition: u32,
}

/// How a group stood at one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    committed: u64,
    end: u64,
    waiting: Waiting,
}

/// What lies between a group's position and the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// Nothing, or what came since the look before.
    Little,
    /// Offsets that hold no record, as transactions leave them.
    Gap,
    /// A record that has been in the log for so many milliseconds, and what follows it.
    Since(i64),
}

impl Look {
    /// What the positions say by themselves; `None` when only the records between can tell.
    fn without_reading(before: Option<&Self>, committed: u64, end: u64) -> Option<Self> {
        let known = |waiting| Some(Self { committed, end, waiting });
        if committed >= end {
            return known(Waiting::Little);
        }
        let before = before?;
        if committed >= before.end {
            return known(Waiting::Little);
        }
        // A gap stays one while nothing moves.
        let same = (before.committed, before.end) == (committed, end);
        (same && before.waiting == Waiting::Gap).then_some(*before)
    }

    const fn records(&self) -> u64 {
        match self.waiting {
            Waiting::Gap => 0,
            Waiting::Little | Waiting::Since(_) => self.end.saturating_sub(self.committed),
        }
    }

    fn seconds(&self) -> f64 {
        match self.waiting {
            Waiting::Gap | Waiting::Little => 0.0,
            Waiting::Since(ms) => ms as f64 / 1_000.0,
        }
    }
}

/// The newest looks, as metrics. Cheap to clone.
#[derive(Clone, Default)]
struct Lag(Arc<Mutex<BTreeMap<Place, Look>>>);

impl Lag {
    /// Looks at every partition that a group reads.
    async fn look(&self, log: &LogReader) -> Result<(), LogError> {
        let before = self.lock().clone();
        let mut looks = BTreeMap::new();
        for (group, topics) in log.groups() {
            for topic in *topics {
                let partitions = log.log().topic(topic).await?.partitions;
                for partition in 0..partitions {
                    let at = TopicPartition::new(*topic, partition);
                    let place = Place { group, topic, partition };
                    let bounds = log.log().bounds(&at).await?;
                    let committed = log.log().committed(group, &at).await?;
                    let committed = committed.map_or(bounds.start, |committed| committed.offset);
                    let known = Look::without_reading(before.get(&place), committed, bounds.end);
                    let look = match known {
                        Some(look) => look,
                        None => Look {
                            committed,
                            end: bounds.end,
                            waiting: log
                                .waiting_ms(&at, committed)
                                .await?
                                .map_or(Waiting::Gap, Waiting::Since),
                        },
                    };
                    looks.insert(place, look);
                }
            }
        }
        *self.lock() = looks;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Look>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.lock().iter()).finish()
    }
}

impl Collector for Lag {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let looks = self.lock().clone();
        let words = "For how long the oldest record has waited that a group has not read; what is read within ten seconds counts as 0";
        let mut family = gauge(&mut encoder, "group_lag_seconds", words)?;
        for (place, look) in &looks {
            family.encode_family(place)?.encode_gauge(&look.seconds())?;
        }
        let words = "Records that a group has not read";
        let mut family = gauge(&mut encoder, "group_lag_records", words)?;
        for (place, look) in &looks {
            let records = look.records().cast_signed();
            family.encode_family(place)?.encode_gauge(&records)?;
        }
        Ok(())
    }
}

/// Tells by metrics how far the groups of the context's log are behind, for as long as it is polled.
/// While the log cannot be asked there are no such metrics, rather than old ones.
pub async fn watch_groups(context: &Context) -> Infallible {
    let Some(log) = context.log.clone() else { return std::future::pending().await };
    let lag = Lag::default();
    context
        .metrics
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .register_collector(Box::new(lag.clone()));
    let mut looks = tokio::time::interval(EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if let Err(error) = lag.look(&log).await {
            tracing::debug!(%error, "cannot see how far the groups are");
            lag.lock().clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use zhili_eventlog::embedded::EmbeddedLog;
    use zhili_eventlog::{
        Commit, EventLog, Membership, NewRecord, ReadLimit, Rebalance, system_clock, topics,
    };

    const GROUP: &str = "readers";

    fn look(committed: u64, end: u64, waiting: Waiting) -> Look {
        Look { committed, end, waiting }
    }

    #[test]
    fn what_is_read_before_the_next_look_is_no_lag() {
        let before = look(3, 5, Waiting::Little);
        let now = Look::without_reading(Some(&before), 5, 9);
        assert_eq!(now, Some(look(5, 9, Waiting::Little)));
        assert_eq!(now.unwrap().records(), 4);
    }

    #[test]
    fn what_was_there_at_the_look_before_has_to_be_looked_at() {
        let before = look(3, 5, Waiting::Little);
        assert_eq!(Look::without_reading(Some(&before), 4, 9), None);
        assert_eq!(Look::without_reading(None, 4, 9), None);
    }

    #[test]
    fn a_gap_is_read_once_and_again_only_when_something_has_moved() {
        let gap = look(4, 5, Waiting::Gap);
        assert_eq!(Look::without_reading(Some(&gap), 4, 5), Some(gap));
        assert_eq!((gap.records(), gap.seconds()), (0, 0.0));
        assert_eq!(Look::without_reading(Some(&gap), 4, 6), None);
    }

    #[tokio::test]
    async fn a_group_of_which_nobody_is_left_is_behind() {
        let folder = tempfile::tempdir().unwrap();
        // Appended when the epoch began, so that everything has waited for long.
        let log = EmbeddedLog::open(folder.path(), Arc::new(|| 0)).unwrap();
        log.ensure_topics(&topics::all(1)).await.unwrap();
        let at = TopicPartition::new(topics::EVENTS, 0);
        let records = (0..3).map(|_| NewRecord::new(at.clone(), None, Bytes::from_static(b"r")));
        assert!(log.append(records.collect()).await.iter().all(Result::is_ok));
        let reader = LogReader::new(Arc::new(log.clone()), 1, [(GROUP, &[topics::EVENTS][..])]);
        let lag = Lag::default();
        lag.look(&reader).await.unwrap();
        let text = crate::scrape::collected(lag.clone());
        let place = format!("{{group=\"{GROUP}\",topic=\"{}\",partition=\"0\"}}", topics::EVENTS);
        assert!(text.contains(&format!("zhili_group_lag_records{place} 3\n")), "{text}");
        let Waiting::Since(ms) = lag.lock().values().next().unwrap().waiting else { panic!() };
        assert!(ms > 0 && ms <= system_clock()());

        let membership = Membership {
            group: GROUP.to_owned(),
            member: "m".to_owned(),
            topics: vec![topics::EVENTS.to_owned()],
        };
        let mut member = log.join(membership).await.unwrap();
        let Rebalance::Assigned(mut handles) = member.next().await.unwrap() else { panic!() };
        handles[0].fetch(ReadLimit::default()).await.unwrap();
        let commit = Commit { outputs: Vec::new(), offset: 3, metadata: String::new() };
        handles[0].commit(commit).await.unwrap();
        lag.look(&reader).await.unwrap();
        assert_eq!(lag.lock().values().next(), Some(&look(3, 3, Waiting::Little)));
    }
}
