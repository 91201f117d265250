//! The figures of a log by a second reading of `docs/metrics.md` that shares no code with the
//! engine: every question is asked of the whole history of a conversation, nothing is carried from
//! one event to the next, and nobody minds how long that takes.

mod history;
mod statements;
mod targets;

use std::collections::BTreeMap;

use serde_json::Value;

use self::history::History;
use crate::hours::{Hours, Table};
use crate::traffic::{Record, Tenant, What};

const DAY: i64 = 24 * 3_600_000;
const SILENCE: i64 = 30_000;

const FRT: &str = "sla.frt.breach";
const NRT: &str = "sla.nrt.breach";
const RESOLUTION: &str = "sla.resolution.breach";

/// A turn, as the reference has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Turn {
    pub(crate) tenant: String,
    pub(crate) conversation: String,
    /// From 0, in this log.
    pub(crate) cycle: usize,
    pub(crate) first: String,
    pub(crate) last: String,
    pub(crate) messages: usize,
    pub(crate) started_ms: i64,
    pub(crate) answered_ms: Option<i64>,
    pub(crate) first_unanswered: Option<i64>,
    pub(crate) last_msg: Option<i64>,
    pub(crate) human: Option<i64>,
    /// The same three in business hours.
    pub(crate) business: [Option<i64>; 3],
    pub(crate) nrt: Option<Target>,
    pub(crate) agent: String,
    pub(crate) queue: String,
}

/// A care cycle, as the reference has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cycle {
    pub(crate) tenant: String,
    pub(crate) conversation: String,
    pub(crate) started_ms: i64,
    pub(crate) ended_ms: Option<i64>,
    /// Nothing more will be stated of it.
    pub(crate) is_final: bool,
    pub(crate) resolved: bool,
    pub(crate) reopened: bool,
    pub(crate) handed_over: bool,
    /// `frt.any`, `frt.human`, `frt.substantive`.
    pub(crate) first: [Option<i64>; 3],
    pub(crate) join: Option<i64>,
    pub(crate) business: [Option<i64>; 3],
    pub(crate) frt: Option<Target>,
    pub(crate) resolution: Option<State>,
    /// `silence.v1`: count and time while the customer waited, and otherwise; restated.
    pub(crate) silences: [i64; 5],
    pub(crate) turns: usize,
    pub(crate) unanswered: usize,
    pub(crate) agent: String,
    pub(crate) queue: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Pending,
    Breached,
    Met,
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) state: State,
    pub(crate) due_ms: Option<i64>,
}

/// A target that was told as missed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Breach {
    pub(crate) tenant: String,
    pub(crate) conversation: String,
    pub(crate) kind: &'static str,
    pub(crate) effective_ms: i64,
    /// Taken back later.
    pub(crate) corrected: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) turns: Vec<Turn>,
    pub(crate) cycles: Vec<Cycle>,
    pub(crate) breaches: Vec<Breach>,
}

/// All figures of a log, whose time ends with its last record.
pub(crate) fn figures(tenants: &[Tenant], log: &[Record]) -> Figures {
    let until_ms = log.iter().map(|record| record.at_ms).max().unwrap_or(0);
    // Waits of history begin before the log, and targets may be due after it.
    let from_ms = log.iter().map(|record| record.sent_ms).min().unwrap_or(0);
    let mut by_conversation: BTreeMap<(&str, &str), Vec<&Record>> = BTreeMap::new();
    for record in log.iter().filter(|record| record.what != What::Tick) {
        by_conversation.entry((record.tenant, &record.conversation)).or_default().push(record);
    }
    let mut figures = Figures::default();
    for tenant in tenants {
        let terms = Settings::read(&tenant.settings, from_ms, until_ms + 20 * DAY);
        for ((name, _), records) in &by_conversation {
            if *name == tenant.name {
                History::new(&terms, records, until_ms).tell(&mut figures);
            }
        }
    }
    figures
}

/// A tenant's settings, as they are written.
struct Settings<'a> {
    json: &'a Value,
    hours: BTreeMap<&'a str, Table>,
}

/// What holds in one queue.
#[derive(Clone, Copy)]
struct Terms<'a> {
    calendar: Option<&'a Table>,
    policy: &'a Value,
    /// Of the targets.
    hours: Option<&'a Table>,
}

impl<'a> Settings<'a> {
    fn read(json: &'a Value, from_ms: i64, until_ms: i64) -> Self {
        let calendars = json["calendars"].as_object().into_iter().flatten();
        let hours = calendars
            .map(|(name, hours)| (name.as_str(), Hours::read(hours).table(from_ms, until_ms)));
        Self { json, hours: hours.collect() }
    }

    fn of(&self, queue: &str) -> Terms<'_> {
        let own = |what: &str| {
            let own = self.json["queues"][queue][what].as_str();
            own.or(self.json[what].as_str())
        };
        let policy = &self.json["policies"][own("policy").unwrap_or_default()];
        let table = |name: Option<&str>| name.map(|name| &self.hours[name]);
        Terms {
            calendar: table(own("calendar")),
            policy,
            hours: table(policy["calendar"].as_str()),
        }
    }
}

impl Terms<'_> {
    fn target(self, kind: &str) -> Option<i64> {
        self.policy[kind]["target_ms"].as_i64()
    }

    fn due(self, from_ms: i64, target_ms: i64) -> i64 {
        self.hours.map_or(from_ms + target_ms, |hours| hours.due(from_ms, target_ms))
    }

    fn passed(self, from_ms: i64, to_ms: i64) -> i64 {
        self.hours.map_or((to_ms - from_ms).max(0), |hours| hours.split(from_ms, to_ms).0)
    }

    fn business(self, from_ms: i64, to_ms: i64) -> Option<i64> {
        self.calendar.and_then(|calendar| calendar.business(from_ms, to_ms))
    }
}
