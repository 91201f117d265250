//! Pages that a person sends once more: the receiver had lost them, or was not there.

use crate::command::Refusal;
use crate::id::PageId;
use crate::lifecycle::{Context, Tracked};
use crate::page::{Page, PageState};

impl Tracked {
    /// Sends a page that has come to its end once more, as a page of its own; gives its id.
    ///
    /// It has no part in the policy: when it fails no step is taken, and neither quiet hours nor
    /// silences hold it back, for a person wants it now. Whatever stops the other pages of the
    /// incident afterwards stops it too.
    pub(crate) fn redeliver(
        &mut self,
        page_id: PageId,
        command_id: &str,
        context: &mut Context<'_>,
    ) -> Result<PageId, Refusal> {
        let first = self.nobody_told();
        let incident = &mut self.incident;
        let page = incident.page(page_id).ok_or(Refusal::UnknownPage)?;
        if !page.is_settled() {
            return Err(Refusal::PageUnderWay);
        }
        let again = page_id.again(command_id);
        if incident.page(again).is_some() {
            return Err(Refusal::CommandIdReused);
        }
        let name = page.destination.clone();
        let settings = context
            .configs
            .destination(&incident.tenant, &incident.team, &name)
            .filter(|settings| settings.pages_somebody())
            .ok_or_else(|| Refusal::UnknownAssignee { name: name.clone() })?;
        let mut page = Page {
            page_id: again,
            channel: settings.channel(),
            state: PageState::Ready { since_ms: context.now_ms },
            created_at_ms: context.now_ms,
            attempts: 0,
            log: Vec::new(),
            detail: String::new(),
            stop: None,
            redelivery_of: Some(page_id),
            ..page.clone()
        };
        let place = (incident.tenant.clone(), incident.team.clone(), name);
        let taken = context.paces.take(&place, page.channel, first, context.now_ms);
        page.turn(taken, context.now_ms);
        incident.pages.push(page);
        self.forget_settled_pages();
        Ok(again)
    }
}
