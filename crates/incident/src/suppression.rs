//! Why an incident pages nobody for a while though nobody has answered: it is recorded, and
//! looked at again when the cause ends.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::event::{Cause, EventKind};
use crate::incident::{Incident, Resolution, State};
use crate::lifecycle::{Context, Notices, Tracked};
use crate::page::{Reason, Stop};

/// An incident whose signals are not to page is resolved by itself after so long.
pub const UNPAGED_FOR_MS: i64 = 24 * 60 * 60_000;

/// What holds an incident's pages back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// None of its signals pages, see [`crate::Rule::page`].
    Unpaged,
}

impl Held {
    /// The name used on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unpaged => "unpaged",
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unpaged => formatter.write_str("its kind pages nobody"),
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
        None
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

    fn hold(&mut self, hold: Hold, now_ms: i64) {
        let incident = &mut self.incident;
        let since_ms = match &incident.suppression {
            Some(before) if before.held == hold.held => before.since_ms,
            _ => now_ms,
        };
        incident.state = State::Suppressed;
        incident.next_at_ms = Some(hold.until_ms);
        incident.exhausted = None;
        incident.suppression = Some(Suppression { held: hold.held, since_ms });
        self.stop_pages(Stop::Suppressed);
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
            None => {
                let mut notices = Notices::new();
                self.restart(reason, &mut notices, context);
                self.emit_triggered(EventKind::Triggered, cause, notices, context);
                true
            }
        }
    }
}
