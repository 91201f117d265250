//! What a tenant expects of its service: business hours and targets, by queue.
//!
//! ```toml
//! tz = "Asia/Shanghai"                 # in which 今天18点前 is meant; else that of the calendar
//! calendar = "office"                  # of business values, unless a queue names another
//! policy = "standard"                  # unless a queue names another
//!
//! [calendars.office]                   # see the calendar's own page
//! tz = "Asia/Shanghai"
//! weekly = { mon-fri = [["09:00", "18:00"]] }
//!
//! [policies.standard]
//! calendar = "office"                  # targets run in business hours; without it on the clock
//! frt = { target_ms = 60000, warn_ms = 45000 }
//! nrt = { target_ms = 120000 }
//! resolution = { target_ms = 86400000, pauses_on_customer = true }
//! frt_waits_for_handoff = true
//! silence = { agent_ms = 30000, customer_ms = 30000 }
//! question_ms = 100000
//! promise_warn_ms = 1800000
//! aggravation = true
//! negative_trend = true
//!
//! [queues.vip]
//! policy = "vip"
//! ```

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::calendar::{self, Calendar};

/// No target is longer.
const MOST_MS: i64 = 90 * 24 * 60 * 60 * 1000;

/// What a tenant expects of its service: business hours and targets, by queue. Invalid ones are refused.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Policies {
    settings: Unchecked,
    /// What holds in a queue; the first for those without an entry of their own.
    terms: Vec<(String, Terms)>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Unchecked {
    /// IANA zone in which promises such as 今天18点前 are meant, such as `Asia/Shanghai`; that of the
    /// calendar unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    tz: Option<String>,
    /// Name of the calendar by which waits are counted in business hours, for every queue that names
    /// none; without one there are no such values.
    #[serde(skip_serializing_if = "Option::is_none")]
    calendar: Option<String>,
    /// Name of the policy of every queue that names none; without one nothing is measured against a
    /// target.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    /// Business hours, by name.
    calendars: BTreeMap<String, Calendar>,
    /// Targets, by name. A target that is absent is not measured and fires nothing.
    policies: BTreeMap<String, Policy>,
    /// What single queues have of their own, by the queue that events name.
    queues: BTreeMap<String, Queue>,
}

/// What a queue has of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Queue {
    /// Name of its calendar; that of all queues unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    calendar: Option<String>,
    /// Name of its policy; that of all queues unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
}

/// Targets of one kind of service. A target that is absent is not measured and fires nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Name of the calendar whose hours the targets run in; without one they run on the clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
    /// Time until the first human reply of a cycle (`sla.frt.v1`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frt: Option<Target>,
    /// Time until every later reply, from the first unanswered message (`sla.nrt.v1`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nrt: Option<Target>,
    /// Time from the beginning of a cycle until it is resolved (`sla.resolution.v1`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Target>,
    /// While a bot serves and nobody was asked to take over, the first reply has no due time.
    pub frt_waits_for_handoff: bool,
    /// Silence inside an open cycle that is worth a signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silence: Option<Silence>,
    /// A customer's question that nobody answered for so long is worth a signal: 1 s to 90 days,
    /// in milliseconds, on the clock. Qianniu warns after 100 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question_ms: Option<i64>,
    /// Tell so long before a promise is due that it is not kept yet, and when it is broken: 1 s to
    /// 90 days, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promise_warn_ms: Option<i64>,
    /// Tell when a customer's mood drops badly after an agent's message (`aggravation.v1`).
    pub aggravation: bool,
    /// Tell when a customer's mood falls from message to message (`negative_trend`).
    pub negative_trend: bool,
}

/// A time within which something is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// What the time should not exceed, 1 s to 90 days, in milliseconds; exactly at the due time meets
    /// it.
    pub target_ms: i64,
    /// Warns when so much of the target has passed, in milliseconds, from 1 and less than the target;
    /// never unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_ms: Option<i64>,
    /// For `resolution` only: its time stands still while the customer is asked for something, which
    /// is from an agent's answer until the customer's next message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pauses_on_customer: bool,
}

/// A customer who waits for a reply, as far as a target asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// First message that nobody has answered, milliseconds since the Unix epoch.
    pub asked_ms: i64,
    /// The last hand-off of the care cycle, if there was one.
    pub handed_over_ms: Option<i64>,
    /// No person has answered in the care cycle yet: the target is that of the first reply.
    pub is_first: bool,
    /// A bot serves, and nobody was asked to take over.
    pub bot_serves: bool,
}

/// When a reply is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyDue {
    /// Of the first reply, `sla.frt.v1`; else of the next one, `sla.nrt.v1`.
    pub is_first: bool,
    /// From when on it is close, milliseconds since the Unix epoch: when the policy warns, and where
    /// it does not, when three quarters of the target have passed.
    pub close_ms: i64,
    /// Milliseconds since the Unix epoch; exactly then meets the target.
    pub due_ms: i64,
}

/// How long nobody may say anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Silence {
    /// While the customer waits for an answer: 1 s to 90 days, in milliseconds, on the clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_ms: Option<i64>,
    /// After an agent's message, when it is time to ask again: 1 s to 90 days, in milliseconds, on the
    /// clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_ms: Option<i64>,
}

/// Why settings are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A name without a definition.
    #[error("{place}: there is no {what} {name:?}")]
    Unknown {
        /// Where it is named.
        place: String,
        /// `calendar` or `policy`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// No time zone.
    #[error("{0}")]
    Zone(String),
    /// A time that makes no sense.
    #[error("{place}: {problem}")]
    Time {
        /// Where it is set.
        place: String,
        /// What is wrong, and what would be right.
        problem: &'static str,
    },
}

/// What holds in one queue.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Terms {
    /// Of business values.
    pub(crate) calendar: Option<Calendar>,
    pub(crate) policy: Policy,
    /// Of the targets.
    hours: Option<Calendar>,
    zone: Option<TimeZone>,
}

impl Policies {
    /// One policy and one calendar for every queue.
    ///
    /// # Errors
    /// As for settings that are read: a time out of range, or a policy that names a calendar when
    /// none is given. The calendar goes by whatever name the policy gives it.
    pub fn one(policy: Policy, calendar: Option<Calendar>) -> Result<Self, PolicyError> {
        let name = policy.calendar.clone().unwrap_or_else(|| "default".to_owned());
        Self::try_from(Unchecked {
            calendar: calendar.is_some().then(|| name.clone()),
            policy: Some("default".to_owned()),
            calendars: calendar.into_iter().map(|calendar| (name.clone(), calendar)).collect(),
            policies: BTreeMap::from([("default".to_owned(), policy)]),
            ..Unchecked::default()
        })
    }

    /// When a reply in a queue is due by these settings; `None` without a target, while a bot's
    /// service lets the first reply wait, and if the calendar has no such time.
    ///
    /// It starts as the targets do: the first reply at the latest of message and hand-off, the next
    /// one at the first message that nobody has answered.
    pub fn reply_due(&self, queue: &str, wait: Wait) -> Option<ReplyDue> {
        let terms = self.terms(self.index_of(queue))?;
        let Wait { asked_ms, handed_over_ms, is_first, bot_serves } = wait;
        let (target, from_ms) = if is_first {
            if bot_serves && terms.policy.frt_waits_for_handoff {
                return None;
            }
            (terms.policy.frt?, handed_over_ms.map_or(asked_ms, |moved_ms| moved_ms.max(asked_ms)))
        } else {
            (terms.policy.nrt?, asked_ms)
        };
        let warn_ms = target.warn_ms.unwrap_or(target.target_ms / 4 * 3);
        Some(ReplyDue {
            is_first,
            close_ms: terms.due(from_ms, warn_ms)?,
            due_ms: terms.due(from_ms, target.target_ms)?,
        })
    }

    /// Whether a reply is due in time anywhere.
    pub fn expects_replies(&self) -> bool {
        let expects = |terms: &Terms| terms.policy.frt.is_some() || terms.policy.nrt.is_some();
        self.terms.iter().any(|(_, terms)| expects(terms))
    }

    /// Which terms hold in a queue, for [`terms`](Self::terms).
    pub(crate) fn index_of(&self, queue: &str) -> u32 {
        let own = self.terms.iter().skip(1).position(|(name, _)| name == queue);
        own.map_or(0, |index| index as u32 + 1)
    }

    pub(crate) fn terms(&self, index: u32) -> Option<&Terms> {
        self.terms.get(index as usize).map(|(_, terms)| terms)
    }
}

impl TryFrom<Unchecked> for Policies {
    type Error = PolicyError;

    fn try_from(settings: Unchecked) -> Result<Self, PolicyError> {
        for (name, policy) in &settings.policies {
            policy.check(&format!("policies.{name}"))?;
        }
        let own = Queue { calendar: settings.calendar.clone(), policy: settings.policy.clone() };
        let mut terms = vec![(String::new(), settings.terms("", &own)?)];
        for (name, queue) in &settings.queues {
            let queue = Queue {
                calendar: queue.calendar.clone().or_else(|| own.calendar.clone()),
                policy: queue.policy.clone().or_else(|| own.policy.clone()),
            };
            let place = format!("queues.{name}");
            terms.push((name.clone(), settings.terms(&place, &queue)?));
        }
        Ok(Self { settings, terms })
    }
}

impl From<Policies> for Unchecked {
    fn from(policies: Policies) -> Self {
        policies.settings
    }
}

impl Unchecked {
    fn terms(&self, place: &str, queue: &Queue) -> Result<Terms, PolicyError> {
        let known = |place: &str, name: &Option<String>| match name {
            None => Ok(None),
            Some(name) => match self.calendars.get(name) {
                Some(calendar) => Ok(Some(calendar.clone())),
                None => Err(PolicyError::Unknown {
                    place: place.to_owned(),
                    what: "calendar",
                    name: name.clone(),
                }),
            },
        };
        let policy = match &queue.policy {
            None => Policy::default(),
            Some(name) => self.policies.get(name).cloned().ok_or_else(|| PolicyError::Unknown {
                place: format!("{place}.policy").trim_start_matches('.').to_owned(),
                what: "policy",
                name: name.clone(),
            })?,
        };
        let place = format!("{place}.calendar");
        let zone = self.tz.as_deref().map(calendar::time_zone).transpose();
        Ok(Terms {
            zone: zone.map_err(|error| PolicyError::Zone(error.to_string()))?,
            calendar: known(place.trim_start_matches('.'), &queue.calendar)?,
            hours: known("the policy's calendar", &policy.calendar)?,
            policy,
        })
    }
}

impl Policy {
    pub(crate) fn expects_anything(&self) -> bool {
        self.frt.is_some()
            || self.nrt.is_some()
            || self.resolution.is_some()
            || self.silence.is_some()
            || self.question_ms.is_some()
    }

    fn check(&self, place: &str) -> Result<(), PolicyError> {
        let targets = [("frt", self.frt), ("nrt", self.nrt), ("resolution", self.resolution)];
        for (name, target) in targets {
            let Some(target) = target else { continue };
            let place = format!("{place}.{name}");
            in_range(&format!("{place}.target_ms"), target.target_ms)?;
            let warns_in_time =
                target.warn_ms.is_none_or(|warn_ms| (1..target.target_ms).contains(&warn_ms));
            if !warns_in_time {
                let problem = "a warning comes after 1 ms or later and before the target";
                return Err(PolicyError::Time { place: format!("{place}.warn_ms"), problem });
            }
            if target.pauses_on_customer && name != "resolution" {
                let problem = "only the resolution pauses on the customer";
                return Err(PolicyError::Time { place, problem });
            }
        }
        let silence = self.silence.unwrap_or_default();
        for (name, time_ms) in [
            ("silence.agent_ms", silence.agent_ms),
            ("silence.customer_ms", silence.customer_ms),
            ("question_ms", self.question_ms),
            ("promise_warn_ms", self.promise_warn_ms),
        ] {
            if let Some(time_ms) = time_ms {
                in_range(&format!("{place}.{name}"), time_ms)?;
            }
        }
        Ok(())
    }
}

fn in_range(place: &str, time_ms: i64) -> Result<(), PolicyError> {
    if (1_000..=MOST_MS).contains(&time_ms) {
        return Ok(());
    }
    let problem = "a time of 1,000 ms to 90 days is needed";
    Err(PolicyError::Time { place: place.to_owned(), problem })
}

impl Terms {
    /// When `time_ms` of the time that targets run in have passed since `from_ms`.
    pub(crate) fn due(&self, from_ms: i64, time_ms: i64) -> Option<i64> {
        match &self.hours {
            None => Some(from_ms.saturating_add(time_ms)),
            Some(hours) => hours.due(from_ms, time_ms),
        }
    }

    /// How much of the time that targets run in has passed.
    pub(crate) fn passed(&self, from_ms: i64, to_ms: i64) -> i64 {
        match &self.hours {
            None => to_ms.saturating_sub(from_ms).max(0),
            Some(hours) => hours.elapsed(from_ms, to_ms),
        }
    }

    /// Calendar by whose working days promises are meant.
    pub(crate) fn days(&self) -> Option<&Calendar> {
        self.calendar.as_ref().or(self.hours.as_ref())
    }

    /// Zone in which words such as "today" are meant.
    pub(crate) fn zone(&self) -> Option<&TimeZone> {
        self.zone.as_ref().or_else(|| self.days().map(Calendar::zone))
    }

    /// Business value of a wait: none without a calendar.
    pub(crate) fn business(&self, from_ms: i64, to_ms: i64) -> Option<i64> {
        self.calendar.as_ref()?.business(from_ms, to_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policies() -> Policies {
        let settings = r#"{
            "policy": "standard",
            "calendars": {"office": {"tz": "UTC", "weekly": {"mon-fri": [["09:00", "18:00"]]}}},
            "policies": {
                "standard": {
                    "frt": {"target_ms": 60000, "warn_ms": 45000},
                    "nrt": {"target_ms": 120000},
                    "frt_waits_for_handoff": true
                },
                "vip": {"calendar": "office", "frt": {"target_ms": 30000}}
            },
            "queues": {"vip": {"policy": "vip"}}
        }"#;
        serde_json::from_str(settings).unwrap()
    }

    const FIRST: Wait =
        Wait { asked_ms: 1_000, handed_over_ms: None, is_first: true, bot_serves: false };

    fn due(queue: &str, wait: Wait) -> Option<(i64, i64)> {
        policies().reply_due(queue, wait).map(|due| (due.close_ms, due.due_ms))
    }

    #[test]
    fn a_first_reply_is_due_from_the_later_of_message_and_hand_off() {
        assert_eq!(due("any", FIRST), Some((46_000, 61_000)));
        let handed_over = Wait { handed_over_ms: Some(5_000), ..FIRST };
        assert_eq!(due("any", handed_over), Some((50_000, 65_000)));
        let earlier = Wait { handed_over_ms: Some(500), ..FIRST };
        assert_eq!(due("any", earlier), due("any", FIRST));
    }

    #[test]
    fn a_next_reply_is_due_from_the_message_and_close_at_three_quarters_without_a_warning() {
        let next = Wait { is_first: false, handed_over_ms: Some(5_000), ..FIRST };
        assert_eq!(due("any", next), Some((91_000, 121_000)));
    }

    #[test]
    fn without_a_target_or_while_a_bot_serves_nothing_is_due() {
        assert_eq!(due("any", Wait { bot_serves: true, ..FIRST }), None);
        assert_eq!(due("vip", Wait { is_first: false, ..FIRST }), None);
        assert_eq!(Policies::default().reply_due("any", FIRST), None);
    }

    #[test]
    fn time_of_a_target_runs_in_the_hours_of_its_calendar() {
        // A Thursday at midnight: 09:00 is 32,400 s later.
        let opens_ms = 32_400_000;
        assert_eq!(due("vip", FIRST), Some((opens_ms + 22_500, opens_ms + 30_000)));
    }
}
