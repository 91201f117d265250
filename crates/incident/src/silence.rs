//! Silences and maintenance windows: for a time, what matches pages nobody. It is recorded all
//! the same.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::command::Until;
use crate::configs::Configs;
use crate::id::{SilenceId, digest};
use crate::incident::Incident;
use crate::matcher::{Matcher, Subject};

/// The latest end of a silence, from when it is made. The log that tells of it is kept longer.
pub const LONGEST_SILENCE_MS: i64 = 30 * 24 * 60 * 60_000;
/// Silences of a team that have not ended.
pub const MOST_SILENCES: usize = 200;
/// How long a silence that has ended is remembered.
pub(crate) const ENDED_FOR_MS: i64 = 24 * 60 * 60_000;

/// What becomes of the incidents that match.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Their pages are called off; at the end those that are still open start from the first
    /// step as if they had just come.
    #[default]
    Silence,
    /// Their policies stand still: no step is taken, pages under way go on, and at the end each
    /// waits for what was left of its step's delay.
    Maintenance,
}

impl Mode {
    /// The name used in configuration and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::Maintenance => "maintenance",
        }
    }
}

/// An agreement that what matches pages nobody for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Derived from the team and the command that made it or its name in the configuration.
    pub silence_id: SilenceId,
    /// Whose it is.
    pub tenant: String,
    /// The team whose incidents it holds.
    pub team: String,
    /// What it holds; never empty.
    pub matcher: Matcher,
    /// How.
    pub mode: Mode,
    /// From then on, milliseconds since the Unix epoch.
    pub starts_at_ms: i64,
    /// Until just before then.
    pub ends_at_ms: i64,
    /// Who made it; `configuration` for one of the bundle.
    pub author: String,
    /// Why.
    pub comment: String,
}

/// Where a silence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SilenceState {
    /// It has not begun.
    Pending,
    /// It holds.
    Active,
    /// It has ended, or was ended early.
    Expired,
}

impl SilenceState {
    /// Where a silence between two instants stands at a third.
    pub fn at(starts_at_ms: i64, ends_at_ms: i64, at_ms: i64) -> Self {
        if at_ms >= ends_at_ms {
            Self::Expired
        } else if at_ms < starts_at_ms {
            Self::Pending
        } else {
            Self::Active
        }
    }
}

impl Silence {
    /// Where it stands at an instant.
    pub fn state(&self, at_ms: i64) -> SilenceState {
        SilenceState::at(self.starts_at_ms, self.ends_at_ms, at_ms)
    }
}

/// What a person wants done about silences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceCommand {
    /// Chosen by the caller, unique per team; the same id again makes no second silence.
    pub command_id: String,
    /// Tenant of the principal.
    pub tenant: String,
    /// The team.
    pub team: String,
    /// Principal that gave the command.
    pub actor: String,
    /// What to do.
    pub action: SilenceAction,
}

/// A silence as somebody wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSilence {
    /// What it holds; must not be empty.
    pub matcher: Matcher,
    /// How.
    pub mode: Mode,
    /// When it begins; at once if it is not given.
    pub starts_at_ms: Option<i64>,
    /// When it ends; a length counts from the beginning.
    pub ends: Until,
    /// Why; must not be empty.
    pub comment: String,
}

/// What can be done about silences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SilenceAction {
    /// Make one.
    Create(Box<NewSilence>),
    /// End one. One that has ended stays so.
    Expire {
        /// The silence as the caller spelled it.
        silence_id: String,
    },
}

/// A silence of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedSilence {
    /// What it holds; at least one condition.
    #[serde(rename = "match")]
    pub matcher: Matcher,
    /// What becomes of the incidents that match.
    #[serde(default)]
    pub mode: Mode,
    /// When it begins.
    pub starts: Instant,
    /// When it ends, later than it starts.
    pub ends: Instant,
    /// Why; its name unless given.
    #[serde(default)]
    pub comment: String,
}

/// An instant, written as `2026-10-01T00:00:00+08:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Instant {
    /// Milliseconds since the Unix epoch.
    pub ms: i64,
}

impl FromStr for Instant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text.parse::<Timestamp>().map_err(|_| {
            format!("{text:?} is no instant with an offset such as \"2026-10-01T00:00:00+08:00\"")
        })?;
        Ok(Self { ms: at.as_millisecond() })
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.ms) {
            Ok(at) => at.fmt(formatter),
            Err(_) => write!(formatter, "{} ms", self.ms),
        }
    }
}

impl TryFrom<String> for Instant {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Instant> for String {
    fn from(instant: Instant) -> Self {
        instant.to_string()
    }
}

impl PlannedSilence {
    /// The silence that it is for a team.
    pub fn of(&self, tenant: &str, team: &str, name: &str) -> Silence {
        let parts = [tenant, team, name].map(str::as_bytes);
        Silence {
            silence_id: SilenceId(digest("planned silence", &parts)),
            tenant: tenant.to_owned(),
            team: team.to_owned(),
            matcher: self.matcher.clone(),
            mode: self.mode,
            starts_at_ms: self.starts.ms,
            ends_at_ms: self.ends.ms,
            author: "configuration".to_owned(),
            comment: if self.comment.is_empty() { name } else { &self.comment }.to_owned(),
        }
    }
}

/// Silences that people have made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Silences {
    pub(crate) made: BTreeMap<SilenceId, Silence>,
}

/// A silence that holds an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Holding {
    pub(crate) mode: Mode,
    pub(crate) ends_at_ms: i64,
    pub(crate) silence_id: SilenceId,
}

impl Silences {
    /// The silence that holds an incident now: a silence rather than a maintenance window, and
    /// of those the one that ends last.
    pub(crate) fn holding(
        &self,
        configs: &Configs,
        incident: &Incident,
        now_ms: i64,
    ) -> Option<Holding> {
        let (tenant, team) = (&incident.tenant, &incident.team);
        let subject = Subject::of_incident(incident);
        let active = |starts: i64, ends: i64| starts <= now_ms && now_ms < ends;
        let made = self.made.values().filter(|it| it.tenant == *tenant && it.team == *team);
        let made = made.filter(|it| active(it.starts_at_ms, it.ends_at_ms));
        let made = made.filter(|it| it.matcher.matches(subject)).map(|it| Holding {
            mode: it.mode,
            ends_at_ms: it.ends_at_ms,
            silence_id: it.silence_id,
        });
        let planned = configs.team(tenant, team).into_iter().flat_map(|team| &team.silences);
        let planned = planned.filter(|(_, it)| active(it.starts.ms, it.ends.ms));
        let planned = planned.filter(|(_, it)| it.matcher.matches(subject)).map(|(name, it)| {
            let Silence { silence_id, mode, ends_at_ms, .. } = it.of(tenant, team, name);
            Holding { mode, ends_at_ms, silence_id }
        });
        made.chain(planned).max_by_key(|it| (it.mode == Mode::Silence, it.ends_at_ms, *it))
    }

    /// Forgets those that ended long ago.
    pub(crate) fn forget(&mut self, now_ms: i64) {
        self.made.retain(|_, it| now_ms < it.ends_at_ms.saturating_add(ENDED_FOR_MS));
    }
}
