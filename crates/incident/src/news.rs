//! What has become of an incident, told to programs that keep incidents of their own: they would
//! go on calling people about one that somebody has.

use std::collections::BTreeSet;

use crate::id::PageId;
use crate::lifecycle::{Context, Tracked};
use crate::page::{Channel, Page, PageState, Reason};

impl Tracked {
    /// Tells every PagerDuty that may have heard of the incident.
    ///
    /// Such a page is claimed, sent and tried again as any other, and has no part in the policy.
    /// What is told later takes its place.
    pub(crate) fn tell(&mut self, news: Reason, context: &mut Context<'_>) {
        let incident = &mut self.incident;
        let heard = |page: &&Page| {
            page.channel == Channel::Pagerduty && page.attempts > 0 && !page.reason.is_news()
        };
        let destinations: BTreeSet<String> =
            incident.pages.iter().filter(heard).map(|page| page.destination.clone()).collect();
        for destination in destinations {
            let settings =
                context.configs.destination(&incident.tenant, &incident.team, &destination);
            if settings.is_none_or(|settings| settings.channel() != Channel::Pagerduty) {
                continue;
            }
            incident.pages.push(Page {
                page_id: PageId::of_news(incident.incident_id, incident.version, &destination),
                destination,
                channel: Channel::Pagerduty,
                state: PageState::Ready { since_ms: context.now_ms },
                reason: news,
                pass: incident.pass,
                step: incident.step,
                created_at_ms: context.now_ms,
                attempts: 0,
                log: Vec::new(),
                detail: String::new(),
                stop: None,
                redelivery_of: None,
            });
        }
        self.forget_settled_pages();
    }
}
