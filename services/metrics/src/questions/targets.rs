//! When replies that customers wait for are due.
//!
//! An unanswered turn is no fact yet, and the fact of an open care cycle is as old as its last
//! answer: the due time is worked out from the messages, by the settings in force now. The fact that
//! comes of it goes by those in force when the care cycle began, as metrics.md says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use zhili_dialogue::{Policies, ReplyDue, Wait};
use zhili_eventlog::runner::Bundles;
use zhili_runtime::bundle;
use zhili_warehouse::query::Waiting;

use super::agents::ANY_TENANT;

/// What is read of a bundle; scoring describes its tables.
#[derive(Deserialize)]
struct Tables {
    dialogue: Option<Policies>,
}

/// Targets by tenant, as they are in force. Cheap to clone.
#[derive(Clone)]
pub(super) struct Targets {
    bundles: Arc<Bundles>,
    /// What bundles say, by their hash: the wall is asked for every second by every screen.
    read: Arc<Mutex<HashMap<String, Option<Arc<Policies>>>>>,
}

impl Targets {
    pub(super) fn new(bundles: Arc<Bundles>) -> Self {
        Self { bundles, read: Arc::default() }
    }

    /// What a tenant expects; a tenant that says nothing has the targets of tenant `*`.
    pub(super) fn of(&self, tenant: &str) -> Option<Arc<Policies>> {
        let of = |tenant: &str| self.read(&self.bundles.head(tenant)?.bundle);
        of(tenant).or_else(|| of(ANY_TENANT))
    }

    fn read(&self, hash: &str) -> Option<Arc<Policies>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(policies) = read.get(hash) {
            return policies.clone();
        }
        // Scoring says of one that cannot be read so; here it says nothing.
        let policies = bundle::parse::<Tables>(&self.bundles.get(hash)?).ok();
        let policies = policies.and_then(|tables| tables.dialogue).map(Arc::new);
        let in_force = self.bundles.heads();
        read.retain(|hash, _| in_force.values().any(|head| head.bundle == *hash));
        read.insert(hash.to_owned(), policies.clone());
        policies
    }
}

/// When the reply to a waiting customer is due.
pub(super) fn due(policies: &Policies, waiting: &Waiting) -> Option<ReplyDue> {
    let wait = Wait {
        asked_ms: waiting.since_ms,
        handed_over_ms: (waiting.handed_over_ms > 0).then_some(waiting.handed_over_ms),
        is_first: waiting.is_first,
        bot_serves: waiting.bot_only,
    };
    policies.reply_due(&waiting.queue, wait)
}
