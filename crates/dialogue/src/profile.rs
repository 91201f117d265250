//! Response times as the big platforms count them, side by side with our own.
//!
//! A profile is a dated data file in `profiles/`: which runs count, and what is made of them.
//! What a platform did not publish is not measured.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::calendar::{self, CalendarError, Hours};

const FILES: [&str; 4] = [
    include_str!("../profiles/taobao.toml"),
    include_str!("../profiles/jd.toml"),
    include_str!("../profiles/pdd.toml"),
    include_str!("../profiles/douyin.toml"),
];

/// How one platform counts.
#[derive(Debug, Clone)]
pub struct Profile {
    name: String,
    source: String,
    zone: TimeZone,
    hours: Hours,
    bot_only_counts: bool,
    metrics: Vec<Metric>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    source: String,
    /// When the source was read.
    #[serde(rename = "read")]
    _read: toml::value::Datetime,
    tz: String,
    hours: [String; 2],
    bot_only_counts: bool,
    metrics: Vec<Metric>,
}

#[derive(Debug, Clone, Deserialize)]
struct Metric {
    id: String,
    #[serde(flatten)]
    rule: Rule,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Rule {
    Mean { cap_s: i64 },
    Within(Within),
    NotMeasured(String),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Within {
    limit_s: i64,
    unit: Unit,
    /// A session goes on for pauses up to this one, and a longer one begins a new session.
    #[serde(default)]
    gap_s: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Unit {
    Run,
    Session,
    CustomerDay,
}

/// A customer run, as much of it as profiles look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Owner of the conversation; the same ids of two tenants are two conversations and customers.
    pub tenant: String,
    /// The conversation it belongs to.
    pub conversation_id: String,
    /// Pseudonym of the customer.
    pub customer: String,
    /// When its first message was sent, milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// When the last message of either side was sent before the next run of the conversation began,
    /// what follows the answer included.
    pub last_ms: i64,
    /// When a person answered.
    pub answered_ms: Option<i64>,
    /// Its cycle has ended: no answer will come.
    pub closed: bool,
    /// Only machines answered in its cycle, and nobody handed over to people.
    pub bot_only: bool,
}

/// One figure of a profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Metric id.
    pub id: String,
    /// Mean in seconds, or share 0..1; `None` is "not measured".
    pub value: Option<f64>,
    /// Runs, sessions or customer-days behind it.
    pub n: usize,
    /// Why it cannot be measured at all; empty if it can.
    pub reason: String,
}

impl Profile {
    /// The profiles that come with this version.
    ///
    /// # Errors
    /// A file that cannot be read: does not happen to a released version, a test reads them.
    pub fn all() -> Result<Vec<Self>, String> {
        FILES.into_iter().map(Self::parse).collect()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let wrong = |error: CalendarError| format!("profile {}: {error}", file.name);
        Ok(Self {
            zone: calendar::time_zone(&file.tz).map_err(wrong)?,
            hours: Hours::parse(&file.hours).map_err(wrong)?,
            name: file.name,
            source: file.source,
            bot_only_counts: file.bot_only_counts,
            metrics: file.metrics,
        })
    }

    /// Its name on the command line: `taobao`, `jd`, `pdd`, `douyin`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its rules were read.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Its figures over runs in order of their start within each conversation, at `now_ms`.
    pub fn measure(&self, runs: &[Run], now_ms: i64) -> Vec<Measured> {
        let counted: Vec<(usize, &Run)> = runs
            .iter()
            .enumerate()
            .filter(|(_, run)| self.bot_only_counts || !run.bot_only)
            .filter(|(_, run)| self.hours.contain(&self.zone, run.started_ms))
            .collect();
        self.metrics
            .iter()
            .map(|metric| match &metric.rule {
                Rule::Mean { cap_s } => mean(metric, &counted, cap_s * 1000, now_ms),
                Rule::Within(within) => self.within(metric, *within, runs, &counted, now_ms),
                Rule::NotMeasured(reason) => {
                    Measured { id: metric.id.clone(), value: None, n: 0, reason: reason.clone() }
                }
            })
            .collect()
    }

    fn within(
        &self,
        metric: &Metric,
        within: Within,
        runs: &[Run],
        counted: &[(usize, &Run)],
        now_ms: i64,
    ) -> Measured {
        let limit_ms = within.limit_s * 1000;
        let mut in_time: Vec<bool> = Vec::new();
        match within.unit {
            Unit::Run => {
                let runs = counted.iter().map(|(_, run)| run);
                in_time.extend(runs.filter_map(|run| run.in_time(limit_ms, now_ms)));
            }
            Unit::Session => {
                let firsts = first_of_sessions(runs, within.gap_s * 1000);
                let firsts = counted.iter().filter(|(index, _)| firsts.contains(index));
                in_time.extend(firsts.filter_map(|(_, run)| run.in_time(limit_ms, now_ms)));
            }
            Unit::CustomerDay => {
                let mut days: BTreeMap<(&str, &str, Option<Date>), bool> = BTreeMap::new();
                for (_, run) in counted {
                    let Some(in_time) = run.in_time(limit_ms, now_ms) else { continue };
                    let day = calendar::date_in(&self.zone, run.started_ms);
                    *days.entry((&run.tenant, &run.customer, day)).or_insert(true) &= in_time;
                }
                in_time.extend(days.into_values());
            }
        }
        let met = in_time.iter().filter(|in_time| **in_time).count();
        let n = in_time.len();
        let value = (n > 0).then(|| met as f64 / n as f64);
        Measured { id: metric.id.clone(), value, n, reason: String::new() }
    }
}

impl Run {
    /// The wait for an answer, capped: a run without one counts the cap once it has lasted so
    /// long or its session is closed, and nothing before.
    fn capped(&self, cap_ms: i64, now_ms: i64) -> Option<i64> {
        match self.answered_ms {
            Some(answered_ms) => Some((answered_ms - self.started_ms).min(cap_ms)),
            None if self.closed || now_ms - self.started_ms >= cap_ms => Some(cap_ms),
            None => None,
        }
    }

    /// Whether it was answered in time; not known yet while it is open and the time has not passed.
    fn in_time(&self, limit_ms: i64, now_ms: i64) -> Option<bool> {
        match self.answered_ms {
            Some(answered_ms) => Some(answered_ms - self.started_ms <= limit_ms),
            None => (self.closed || now_ms - self.started_ms > limit_ms).then_some(false),
        }
    }
}

fn mean(metric: &Metric, runs: &[(usize, &Run)], cap_ms: i64, now_ms: i64) -> Measured {
    let runs = runs.iter().map(|(_, run)| run);
    let waits: Vec<i64> = runs.filter_map(|run| run.capped(cap_ms, now_ms)).collect();
    let sum: i64 = waits.iter().sum();
    let value = (!waits.is_empty()).then(|| sum as f64 / waits.len() as f64 / 1000.0);
    Measured { id: metric.id.clone(), value, n: waits.len(), reason: String::new() }
}

/// Indices of the first run of every session.
fn first_of_sessions(runs: &[Run], gap_ms: i64) -> HashSet<usize> {
    let mut latest: HashMap<(&str, &str), i64> = HashMap::new();
    let mut firsts = HashSet::new();
    for (index, run) in runs.iter().enumerate() {
        let id = (run.tenant.as_str(), run.conversation_id.as_str());
        if latest.get(&id).is_none_or(|last_ms| run.started_ms - last_ms > gap_ms) {
            firsts.insert(index);
        }
        let last_ms = latest.entry(id).or_insert(run.last_ms);
        *last_ms = (*last_ms).max(run.last_ms);
    }
    firsts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-02 in Shanghai, `hour` o'clock, and so many seconds.
    fn at(hour: i64, seconds: i64) -> i64 {
        1_793_548_800_000 + (hour * 3600 + seconds) * 1000
    }

    fn run(conversation: &str, started_ms: i64, wait_s: Option<i64>) -> Run {
        Run {
            tenant: "acme".into(),
            conversation_id: conversation.into(),
            customer: format!("customer of {conversation}"),
            started_ms,
            last_ms: started_ms + wait_s.unwrap_or(0) * 1000,
            answered_ms: wait_s.map(|wait_s| started_ms + wait_s * 1000),
            closed: false,
            bot_only: false,
        }
    }

    fn measure(name: &str, runs: &[Run], now_ms: i64) -> Vec<(String, Option<f64>, usize)> {
        let profiles = Profile::all().unwrap_or_else(|error| panic!("{error}"));
        let profile = profiles.iter().find(|profile| profile.name() == name);
        let measured = profile.map(|profile| profile.measure(runs, now_ms)).unwrap_or_default();
        measured.into_iter().map(|one| (one.id, one.value, one.n)).collect()
    }

    fn figures(name: &str, runs: &[Run], now_ms: i64) -> Vec<(Option<f64>, usize)> {
        measure(name, runs, now_ms).into_iter().map(|(_, value, n)| (value, n)).collect()
    }

    #[test]
    fn taobao_caps_a_late_answer_and_none_at_all() {
        let late = run("a", at(10, 0), Some(640));
        let never = Run { closed: true, ..run("b", at(10, 0), None) };
        for runs in [vec![late.clone()], vec![never.clone()], vec![late, never]] {
            let n = runs.len();
            assert_eq!(figures("taobao", &runs, at(11, 0)), [(Some(600.0), n), (Some(0.0), n)]);
        }
    }

    #[test]
    fn taobao_waits_until_an_open_run_has_reached_the_cap() {
        let open = [run("a", at(10, 0), None)];
        assert_eq!(figures("taobao", &open, at(10, 180)), [(None, 0), (None, 0)]);
        assert_eq!(figures("taobao", &open, at(10, 181)), [(None, 0), (Some(0.0), 1)]);
        assert_eq!(figures("taobao", &open, at(10, 599)), [(None, 0), (Some(0.0), 1)]);
        assert_eq!(figures("taobao", &open, at(10, 600)), [(Some(600.0), 1), (Some(0.0), 1)]);
    }

    #[test]
    fn taobao_leaves_out_what_begins_outside_its_hours_and_what_only_bots_answered() {
        let runs = [
            run("a", at(7, 3599), Some(100)),
            run("b", at(8, 0), Some(10)),
            run("c", at(22, 3599), Some(20)),
            run("d", at(23, 0), Some(100)),
            Run { bot_only: true, closed: true, ..run("e", at(10, 0), None) },
        ];
        assert_eq!(figures("taobao", &runs, at(30, 0)), [(Some(15.0), 2), (Some(1.0), 2)]);
    }

    #[test]
    fn jd_counts_the_first_inquiry_of_a_session() {
        let runs = [
            run("a", at(10, 0), Some(30)),
            run("a", at(10, 60), Some(500)),
            run("a", at(10, 560 + 601), Some(31)),
        ];
        assert_eq!(figures("jd", &runs, at(12, 0)), [(Some(0.5), 2)]);
    }

    #[test]
    fn jd_begins_a_session_after_more_than_ten_minutes_since_the_last_message_of_either_side() {
        let answered = run("a", at(10, 0), Some(10));
        let spoken_on = Run { last_ms: at(10, 300), ..answered.clone() };
        for (first, second_at, sessions) in [
            (&answered, at(10, 610), 1),
            (&answered, at(10, 611), 2),
            (&spoken_on, at(10, 611), 1),
            (&spoken_on, at(10, 900), 1),
            (&spoken_on, at(10, 901), 2),
        ] {
            let runs = [first.clone(), run("a", second_at, Some(10))];
            assert_eq!(figures("jd", &runs, at(12, 0)), [(Some(1.0), sessions)], "{second_at}");
        }
    }

    #[test]
    fn jd_counts_one_of_two_runs_that_began_at_once() {
        let runs = [run("a", at(10, 0), Some(30)), run("a", at(10, 0), Some(31))];
        assert_eq!(figures("jd", &runs, at(12, 0)), [(Some(1.0), 1)]);
    }

    #[test]
    fn the_same_ids_of_two_tenants_are_two_sessions_and_two_customers() {
        let ours = run("a", at(10, 0), Some(10));
        let theirs = Run { tenant: "other".into(), ..run("a", at(10, 5), Some(400)) };
        let runs = [ours, theirs];
        assert_eq!(figures("jd", &runs, at(12, 0)), [(Some(0.5), 2)]);
        assert_eq!(figures("pdd", &runs, at(12, 0)), [(Some(0.5), 2)]);
    }

    #[test]
    fn pdd_counts_a_customer_once_a_day() {
        let runs = [
            run("a", at(10, 0), Some(10)),
            run("a", at(11, 0), Some(301)),
            run("a", at(34, 0), Some(300)),
            run("b", at(10, 0), Some(1)),
        ];
        assert_eq!(figures("pdd", &runs, at(40, 0)), [(Some(2.0 / 3.0), 3)]);
    }

    #[test]
    fn what_was_never_published_is_not_measured() {
        let runs = [run("a", at(10, 0), Some(10))];
        assert_eq!(measure("douyin", &runs, at(12, 0)), [("within.douyin.v1".to_owned(), None, 0)]);
    }
}
