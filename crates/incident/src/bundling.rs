//! Pages that wait for their turn at a destination with limits go together with the next one
//! that goes there: one message about several incidents instead of a queue of messages that
//! grows faster than it is told.
//!
//! A page waits ([`PageState::Waiting`]) while its destination has no room. The claim of
//! another page to the same destination takes it along ([`PageState::Bundled`]), and what comes
//! of that page comes of it: told with it when it is delivered; on its own again when it has
//! failed or is called off.

use crate::event::{Cause, EventKind, IncidentEvent};
use crate::id::PageId;
use crate::lifecycle::Context;
use crate::page::PageState;
use crate::partition::{Partition, context};

/// What became of the page that others go with.
enum Fate {
    Delivered { claimed_at_ms: Option<i64>, detail: String },
    Gone,
}

impl Partition {
    /// Takes along what waits for the destination of a page that was just claimed.
    pub(crate) fn bundle(&mut self, leader: PageId) {
        let Some((incident, page)) = self.page(leader) else { return };
        let place = (incident.tenant.clone(), incident.team.clone(), page.destination.clone());
        let waiting = self.index.waiting.get(&place).cloned().unwrap_or_default();
        for page_id in waiting {
            let Some(&id) = self.index.pages.get(&page_id) else { continue };
            let Some(tracked) = self.durable.incidents.get_mut(&id) else { continue };
            if let Some(page) = tracked.page_mut(page_id) {
                page.state = PageState::Bundled { with: leader };
            }
            self.refresh(id);
        }
    }

    /// Does for pages that went with others what came of those.
    pub(crate) fn settle_bundles(&mut self, events: &mut Vec<IncidentEvent>) {
        let leaders: Vec<PageId> = self.index.bundled.keys().copied().collect();
        for leader in leaders {
            let fate = match self.page(leader).map(|(_, page)| page) {
                Some(page) if page.state == PageState::Delivered => Fate::Delivered {
                    claimed_at_ms: page.claimed_at_ms(),
                    detail: format!("told with {leader}: {}", page.detail),
                },
                Some(page) if !page.is_settled() => continue,
                Some(_) | None => Fate::Gone,
            };
            let followers = self.index.bundled.get(&leader).cloned().unwrap_or_default();
            for page_id in followers {
                match &fate {
                    Fate::Delivered { claimed_at_ms, detail } => {
                        self.delivered(page_id, *claimed_at_ms, detail, events);
                    }
                    Fate::Gone => self.part(page_id),
                }
            }
        }
    }

    fn delivered(
        &mut self,
        page_id: PageId,
        claimed_at_ms: Option<i64>,
        detail: &str,
        events: &mut Vec<IncidentEvent>,
    ) {
        let Some(&id) = self.index.pages.get(&page_id) else { return };
        let Some(tracked) = self.durable.incidents.get_mut(&id) else { return };
        if let Some(page) = tracked.page_mut(page_id) {
            page.state = PageState::Delivered;
            detail.clone_into(&mut page.detail);
        }
        let mut context = context!(self, events);
        let cause = Cause {
            effective_ms: claimed_at_ms,
            note: detail.to_owned(),
            page: Some(page_id),
            ..Cause::default()
        };
        tracked.emit(EventKind::Paged, cause, &mut context);
        self.refresh(id);
    }

    /// Goes on its own: at once, or when its destination has room.
    fn part(&mut self, page_id: PageId) {
        let now_ms = self.durable.now_ms;
        let Some(&id) = self.index.pages.get(&page_id) else { return };
        let Some(tracked) = self.durable.incidents.get_mut(&id) else { return };
        if let Some(page) = tracked.page_mut(page_id) {
            page.state = PageState::Waiting { not_before_ms: now_ms };
        }
        tracked.page_time_passed(page_id, now_ms, &mut self.durable.paces);
        self.refresh(id);
    }
}
