//! Why an incident pages nobody for a while though nobody has answered: it is recorded, and
//! looked at again when the cause ends.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::event::{Cause, EventKind};
use crate::id::SilenceId;
use crate::incident::{Incident, Resolution, State};
use crate::lifecycle::{Context, Notices, Tracked};
use crate::page::{Reason, Stop};
use crate::silence::Mode;

/// An incident whose signals are not to page is resolved by itself after so long.
pub const UNPAGED_FOR_MS: i64 = 24 * 60 * 60_000;

/// What holds an incident's pages back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// None of its signals pages, see [`crate::Rule::page`].
    Unpaged,
    /// A silence matches it.
    Silence(SilenceId),
    /// A maintenance window matches it: its policy stands still.
    Maintenance(SilenceId),
    /// This principal is in the conversation.
    Attended(String),
    /// Too many of its queue are open: an incident of kind `storm` pages for all of them.
    Storm,
    /// Nobody of its policy can be paged: quiet hours, or nobody is on call.
    Nobody,
}

impl Held {
    /// The name used on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unpaged => "unpaged",
            Self::Silence(_) => "silence",
            Self::Maintenance(_) => "maintenance",
            Self::Attended(_) => "attended",
            Self::Storm => "storm",
            Self::Nobody => "nobody_available",
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unpaged => formatter.write_str("its kind pages nobody"),
            Self::Silence(id) => write!(formatter, "silence {id} matches it"),
            Self::Maintenance(id) => write!(formatter, "maintenance window {id} matches it"),
            Self::Attended(actor) => write!(formatter, "{actor} is in the conversation"),
            Self::Storm => formatter.write_str(
                "too many incidents of its queue are open, one of kind storm pages for all",
            ),
            Self::Nobody => {
                formatter.write_str("everybody of its policy has quiet hours, or nobody is on call")
            }
        }
    }
}

/// That and until when an incident's pages are held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// Why.
    pub held: Held,
    /// Since when, log time.
    pub since_ms: i64,
    /// What was left of the current step's delay when the policy was made to stand still.
    pub remaining_ms: Option<i64>,
}

/// A cause and when to look at it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) held: Held,
    pub(crate) until_ms: i64,
}

impl Context<'_> {
    /// What holds an incident's pages back now, if anything does.
    fn hold(&self, incident: &Incident) -> Option<Hold> {
        if incident.insisted {
            return None;
        }
        if !incident.pages_people {
            let since_ms = incident.suppression.as_ref().filter(|it| it.held == Held::Unpaged);
            let since_ms = since_ms.map_or(self.now_ms, |it| it.since_ms);
            return Some(Hold { held: Held::Unpaged, until_ms: since_ms + UNPAGED_FOR_MS });
        }
        if let Some((actor, until_ms)) = self.presences.attending(incident, self.now_ms) {
            return Some(Hold { held: Held::Attended(actor.to_owned()), until_ms });
        }
        if let Some(holding) = self.silences.holding(self.configs, incident, self.now_ms) {
            let held = match holding.mode {
                Mode::Silence => Held::Silence(holding.silence_id),
                Mode::Maintenance => Held::Maintenance(holding.silence_id),
            };
            return Some(Hold { held, until_ms: holding.ends_at_ms });
        }
        self.storm(incident)
    }
}

impl Tracked {
    /// Holds the incident's pages back if anything wants that now.
    pub(crate) fn suppress(&mut self, context: &Context<'_>) -> bool {
        let Some(hold) = context.hold(&self.incident) else {
            return false;
        };
        self.hold(hold, context.now_ms);
        true
    }

    pub(crate) fn hold(&mut self, hold: Hold, now_ms: i64) {
        let incident = &mut self.incident;
        let before = incident.suppression.as_ref();
        let since_ms = before.filter(|it| it.held == hold.held).map_or(now_ms, |it| it.since_ms);
        let stands_still = matches!(hold.held, Held::Maintenance(_));
        let remaining_ms = match before {
            _ if !stands_still => None,
            Some(before) => before.remaining_ms,
            // Never none at all: what is due now has happened.
            None => incident.next_at_ms.map(|at_ms| (at_ms - now_ms).max(1)),
        };
        incident.state = State::Suppressed;
        incident.next_at_ms = Some(hold.until_ms);
        incident.exhausted = None;
        incident.suppression = Some(Suppression { held: hold.held, since_ms, remaining_ms });
        if remaining_ms.is_none() {
            self.stop_pages(Stop::Suppressed);
        }
    }

    /// What holds the incident's pages back, for people.
    pub(crate) fn suppression_words(&self) -> String {
        let held = self.incident.suppression.as_ref().map(|it| it.held.to_string());
        format!("nobody is paged: {}", held.unwrap_or_default())
    }

    /// Looks again at what holds a suppressed incident's pages back; `cause` is why. Says whether
    /// that has been told of.
    pub(crate) fn reconsider(
        &mut self,
        reason: Reason,
        cause: Cause,
        context: &mut Context<'_>,
    ) -> bool {
        let Some(before) = self.incident.suppression.clone() else {
            return false;
        };
        match context.hold(&self.incident) {
            Some(hold) if hold.until_ms <= context.now_ms => {
                self.resolve(Resolution::Unpaged, context.now_ms);
                let note = "nobody was to be paged for it, and nobody has taken it".to_owned();
                self.emit(EventKind::Resolved, Cause { note, ..cause }, context);
                true
            }
            Some(hold) => {
                let same = hold.held == before.held;
                self.hold(hold, context.now_ms);
                if !same {
                    let note = self.suppression_words();
                    self.emit(EventKind::Suppressed, Cause { note, ..cause }, context);
                }
                !same
            }
            None if before.held == Held::Nobody
                && let Some(until_ms) =
                    context.configs.somebody_at(&self.incident, context.now_ms) =>
            {
                self.incident.next_at_ms = Some(until_ms);
                false
            }
            None => {
                if let Some(remaining_ms) = before.remaining_ms {
                    self.wake();
                    self.incident.next_at_ms = Some(context.now_ms + remaining_ms);
                    let note = "maintenance has ended, the policy goes on".to_owned();
                    self.emit(EventKind::Triggered, Cause { note, ..cause }, context);
                    return true;
                }
                let mut notices = Notices::new();
                self.restart(reason, &mut notices, context);
                self.emit_triggered(EventKind::Triggered, cause, notices, context);
                true
            }
        }
    }
}
