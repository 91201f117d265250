//! What is derived from the incidents to find them, their timers and their pages fast.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{IncidentId, PageId};
use crate::pace::Place;
use crate::signal::Key;
use crate::storm::{Crowd, Crowds};

/// When which incident or page wants to be looked at; fires in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timer {
    pub(crate) due_ms: i64,
    pub(crate) incident: IncidentId,
    pub(crate) page: Option<PageId>,
}

/// What is derived from the durable state to find things fast.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Index {
    pub(crate) timers: BTreeSet<Timer>,
    /// When a silence of which tenant begins, [`crate::ANY_TENANT`] for every one.
    pub(crate) starts: BTreeSet<(i64, String)>,
    /// Pages that want to be claimed or sent, by the time since when.
    pub(crate) active: BTreeSet<(i64, PageId)>,
    /// Incident of every kept page.
    pub(crate) pages: BTreeMap<PageId, IncidentId>,
    /// Incidents of a key, oldest first.
    pub(crate) keys: BTreeMap<Key, Vec<IncidentId>>,
    /// Incidents of a tenant that are not resolved.
    pub(crate) open: BTreeMap<String, BTreeSet<IncidentId>>,
    /// Pages that wait for their destination to have room.
    pub(crate) waiting: BTreeMap<Place, BTreeSet<PageId>>,
    /// Pages that go together with another, by that one.
    pub(crate) bundled: BTreeMap<PageId, BTreeSet<PageId>>,
    /// Open incidents of a queue that somebody is or was paged for.
    pub(crate) crowds: Crowds,
    /// What was entered for an incident, to take it out again.
    pub(crate) entered: BTreeMap<IncidentId, Entered>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Entered {
    pub(crate) timers: Vec<Timer>,
    pub(crate) active: Vec<(i64, PageId)>,
    pub(crate) pages: Vec<PageId>,
    pub(crate) waiting: Vec<(Place, PageId)>,
    /// Those it goes with first.
    pub(crate) bundled: Vec<(PageId, PageId)>,
    pub(crate) crowd: Option<Crowd>,
}

impl Index {
    /// Replaces what was entered for an incident.
    pub(crate) fn replace(&mut self, id: IncidentId, new: Entered) {
        let old = self.entered.remove(&id).unwrap_or_default();
        if old == new {
            self.entered.insert(id, old);
            return;
        }
        for timer in &old.timers {
            self.timers.remove(timer);
        }
        for active in &old.active {
            self.active.remove(active);
        }
        for page in old.pages.iter().filter(|page| !new.pages.contains(page)) {
            self.pages.remove(page);
        }
        for (place, page) in &old.waiting {
            leave(&mut self.waiting, place, *page);
        }
        for (with, page) in &old.bundled {
            leave(&mut self.bundled, with, *page);
        }
        for (place, page) in &new.waiting {
            self.waiting.entry(place.clone()).or_default().insert(*page);
        }
        for (with, page) in &new.bundled {
            self.bundled.entry(*with).or_default().insert(*page);
        }
        if let Some(crowd) = old.crowd
            && let Some(ids) = self.crowds.get_mut(&crowd)
        {
            ids.remove(&id);
            if ids.is_empty() {
                self.crowds.remove(&crowd);
            }
        }
        if let Some(crowd) = new.crowd {
            self.crowds.entry(crowd).or_default().insert(id);
        }
        self.timers.extend(&new.timers);
        self.active.extend(&new.active);
        for &page in new.pages.iter().filter(|page| !old.pages.contains(page)) {
            self.pages.insert(page, id);
        }
        self.entered.insert(id, new);
    }
}

/// Takes a page out of its group, and the group with its last one.
fn leave<K: Ord>(groups: &mut BTreeMap<K, BTreeSet<PageId>>, key: &K, page: PageId) {
    if let Some(group) = groups.get_mut(key) {
        group.remove(&page);
        if group.is_empty() {
            groups.remove(key);
        }
    }
}
