//! How often a destination may be written to. Chat robots that hear too much turn deaf, some for
//! ten minutes, so their limits are kept here, where every attempt is known.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::page::{Channel, LONGEST_RETRY_AFTER_MS};

/// At most so many messages in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Messages.
    pub count: usize,
    /// In any span of this length, milliseconds.
    pub window_ms: i64,
}

/// A minute, and what may pass between the claim of an attempt and its arrival: two attempts a
/// minute apart here may be less than that apart there.
const MINUTE_MS: i64 = 65_000;
const SECOND_MS: i64 = 1_000;
/// Of every four messages one is kept for incidents of which nobody has been told.
const SHARE: (usize, usize) = (3, 4);

impl Channel {
    /// The limits of the provider for one robot; empty for channels that take everything.
    /// DingTalk and WeCom: 20 a minute; Feishu: 100 a minute and 5 a second; Slack: one a second.
    pub fn limits(self) -> &'static [Limit] {
        const fn limit(count: usize, window_ms: i64) -> Limit {
            Limit { count, window_ms }
        }
        match self {
            Self::Dingtalk | Self::Wecom => const { &[limit(20, MINUTE_MS)] },
            Self::Feishu => const { &[limit(100, MINUTE_MS), limit(5, SECOND_MS)] },
            Self::Slack => const { &[limit(1, SECOND_MS)] },
            Self::Webhook | Self::Watch | Self::Unknown | Self::Pagerduty | Self::Email => &[],
        }
    }
}

impl Limit {
    /// How many messages may have gone before another one goes.
    fn below(self, first: bool) -> usize {
        if first { self.count } else { (self.count * SHARE.0 / SHARE.1).max(1) }
    }
}

/// Tenant, team and destination.
pub(crate) type Place = (String, String, String);

/// What has gone to each destination that has limits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Paces {
    by_place: BTreeMap<Place, Pace>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Pace {
    /// When the newest attempts became ready, oldest first.
    taken: VecDeque<i64>,
    /// The receiver wants to hear nothing until then.
    closed_until_ms: i64,
}

impl Paces {
    /// Takes a turn at a destination for an attempt at `now_ms`, or says when to ask again.
    /// `first` is whether nobody has been told of the incident.
    pub(crate) fn take(
        &mut self,
        place: &Place,
        channel: Channel,
        first: bool,
        now_ms: i64,
    ) -> Result<(), i64> {
        let limits = channel.limits();
        let Some(most) = limits.iter().map(|limit| limit.count).max() else { return Ok(()) };
        let known = self.by_place.entry(place.clone()).or_default();
        let mut free_ms = known.closed_until_ms;
        for limit in limits {
            let newest_but = known.taken.len().checked_sub(limit.below(first));
            if let Some(&gone_ms) = newest_but.and_then(|index| known.taken.get(index)) {
                free_ms = free_ms.max(gone_ms + limit.window_ms);
            }
        }
        if free_ms > now_ms {
            return Err(free_ms);
        }
        if known.taken.len() >= most {
            known.taken.pop_front();
        }
        known.taken.push_back(now_ms);
        Ok(())
    }

    /// A receiver with limits has asked to be left alone: nobody's pages are of use there.
    pub(crate) fn close(&mut self, place: &Place, channel: Channel, wait_ms: i64, now_ms: i64) {
        if wait_ms > 0 && !channel.limits().is_empty() {
            let known = self.by_place.entry(place.clone()).or_default();
            let until_ms = now_ms + wait_ms.min(LONGEST_RETRY_AFTER_MS);
            known.closed_until_ms = known.closed_until_ms.max(until_ms);
        }
    }

    /// Forgets destinations that are gone.
    pub(crate) fn retain(&mut self, configured: impl Fn(&Place) -> bool) {
        self.by_place.retain(|place, _| configured(place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        ("acme".to_owned(), "default".to_owned(), "robot".to_owned())
    }

    #[test]
    fn a_quarter_is_kept_for_incidents_of_which_nobody_knows() {
        let mut paces = Paces::default();
        let mut take = |first, now_ms| paces.take(&place(), Channel::Dingtalk, first, now_ms);
        for n in 0..15 {
            assert_eq!(take(false, n), Ok(()), "{n}");
        }
        assert_eq!(take(false, 15), Err(MINUTE_MS), "when the first of them is a minute old");
        for n in 15..20 {
            assert_eq!(take(true, n), Ok(()), "{n}");
        }
        assert_eq!(take(true, 20), Err(MINUTE_MS));
        assert_eq!(take(true, MINUTE_MS), Ok(()));
        assert_eq!(take(true, MINUTE_MS), Err(MINUTE_MS + 1));
    }

    #[test]
    fn every_limit_of_a_channel_counts() {
        let mut paces = Paces::default();
        let mut take = |now_ms| paces.take(&place(), Channel::Feishu, true, now_ms);
        for n in 0..100 {
            assert_eq!(take(n / 5 * SECOND_MS), Ok(()), "{n}");
        }
        assert_eq!(take(20 * SECOND_MS), Err(MINUTE_MS), "a hundred a minute");
        let mut paces = Paces::default();
        let mut take = |now_ms| paces.take(&place(), Channel::Feishu, true, now_ms);
        assert!((0..5).all(|_| take(0).is_ok()));
        assert_eq!(take(0), Err(SECOND_MS), "five a second");
    }

    #[test]
    fn a_receiver_that_wants_to_be_left_alone_is() {
        let mut paces = Paces::default();
        paces.close(&place(), Channel::Slack, 30_000, 0);
        assert_eq!(paces.take(&place(), Channel::Slack, true, 29_999), Err(30_000));
        assert_eq!(paces.take(&place(), Channel::Slack, true, 30_000), Ok(()));
        paces.close(&place(), Channel::Webhook, 30_000, 0);
        let webhook = paces.take(&place(), Channel::Webhook, true, 0);
        assert_eq!(webhook, Ok(()), "one page's answer is nothing to the others of a webhook");
    }

    proptest::proptest! {
        #[test]
        fn no_span_of_time_ever_holds_more_than_a_limit(
            waits in proptest::collection::vec((0_i64..3_000, proptest::bool::ANY), 1..400)
        ) {
            for channel in [Channel::Dingtalk, Channel::Feishu, Channel::Slack] {
                let (mut paces, mut now_ms, mut gone) = (Paces::default(), 0, Vec::new());
                for &(wait_ms, first) in &waits {
                    now_ms += wait_ms;
                    match paces.take(&place(), channel, first, now_ms) {
                        Ok(()) => gone.push(now_ms),
                        Err(later_ms) => proptest::prop_assert!(later_ms > now_ms),
                    }
                }
                for limit in channel.limits() {
                    for (index, at) in gone.iter().enumerate() {
                        let within = gone[index..].iter().take_while(|t| **t < at + limit.window_ms);
                        proptest::prop_assert!(within.count() <= limit.count);
                    }
                }
            }
        }
    }
}
