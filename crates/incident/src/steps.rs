//! How an incident goes through its policy: steps, passes, the end, and whom each one pages.

use std::sync::Arc;

use crate::configs::Configs;
use crate::destination::Destination;
use crate::event::{Cause, EventKind};
use crate::id::PageId;
use crate::incident::{Exhausted, Incident, KEPT_PAGES, State};
use crate::lifecycle::{Context, Notices, Tracked};
use crate::page::{Channel, Page, PageState, Reason, Settled, Stop};
use crate::policy::Policy;
use crate::suppression::{Held, Hold};

const REMOVED: &str = "the destination is no longer configured as it was";
const REPLACED: &str =
    "no destination of its policy is configured any more: it starts again with the policy of now";

impl Tracked {
    /// Starts again at the first step, in a pass of its own so that its pages have ids of their
    /// own.
    pub(crate) fn restart(
        &mut self,
        reason: Reason,
        notices: &mut Notices,
        context: &mut Context<'_>,
    ) {
        self.wake();
        self.incident.pass += 1;
        self.start(reason, notices, context);
    }

    /// Nobody answers for it any more.
    pub(crate) fn wake(&mut self) {
        let incident = &mut self.incident;
        incident.state = State::Triggered;
        incident.owner.clear();
        incident.acknowledged_at_ms = None;
        incident.suppression = None;
    }

    /// Enters the first step, unless something holds the pages back.
    pub(crate) fn start(
        &mut self,
        reason: Reason,
        notices: &mut Notices,
        context: &mut Context<'_>,
    ) {
        let incident = &mut self.incident;
        incident.repeats_left = incident.policy.repeat;
        incident.step = 0;
        incident.next_at_ms = None;
        incident.exhausted = None;
        if self.suppress(context) {
            return;
        }
        let incident = &mut self.incident;
        if incident.policy.has_destination() {
            self.enter_step(0, reason, notices, context);
        } else {
            incident.next_at_ms = None;
            incident.exhausted = Some(Exhausted::NobodyReachable);
        }
    }

    /// The step after this one, the next pass, or the end.
    pub(crate) fn next_step(
        &mut self,
        reason: Reason,
        notices: &mut Notices,
        context: &mut Context<'_>,
    ) {
        let incident = &mut self.incident;
        if (incident.step as usize) + 1 < incident.policy.steps.len() {
            let step = incident.step + 1;
            self.enter_step(step, reason, notices, context);
        } else if incident.repeats_left > 0 {
            incident.repeats_left -= 1;
            incident.pass += 1;
            let reason = if reason == Reason::NextStep { Reason::Repeat } else { reason };
            self.enter_step(0, reason, notices, context);
        } else {
            incident.next_at_ms = None;
            incident.exhausted = Some(Exhausted::PolicyEnded);
            self.page_fallback(notices, context);
        }
    }

    /// Pages every destination of a step; goes on at once while none of them can be paged. The
    /// next step is counted from now, not from when this one was due, so that an outage is not
    /// followed by a burst of the steps that it held up.
    fn enter_step(
        &mut self,
        mut step: u32,
        mut reason: Reason,
        notices: &mut Notices,
        context: &mut Context<'_>,
    ) {
        let policy = Arc::clone(&self.incident.policy);
        while let Some(settings) = policy.steps.get(step as usize) {
            self.incident.step = step;
            self.incident.next_at_ms = Some(context.now_ms + settings.delay_ms);
            let targets = context.configs.targets(&self.incident, settings, context.now_ms);
            for destination in &targets {
                self.add_page(destination, step, reason, notices, context);
            }
            if !targets.is_empty() && !self.step_has_failed() {
                return;
            }
            step += 1;
            reason = Reason::StepFailed;
        }
        self.wait_for_somebody(notices, context);
    }

    /// After the last step had nobody: if that holds for all of them only for now, the policy
    /// starts again when the first of its people can be paged. The fallback hears of it at once.
    fn wait_for_somebody(&mut self, notices: &mut Notices, context: &mut Context<'_>) {
        let Some(until_ms) = context.configs.somebody_at(&self.incident, context.now_ms) else {
            return;
        };
        self.incident.next_at_ms = None;
        self.hold(Hold { held: Held::Nobody, until_ms }, context.now_ms);
        self.page_fallback(notices, context);
    }

    fn page_fallback(&mut self, notices: &mut Notices, context: &mut Context<'_>) {
        let policy = Arc::clone(&self.incident.policy);
        let step = policy.steps.len() as u32;
        for destination in &policy.fallback {
            self.add_page(destination, step, Reason::Fallback, notices, context);
        }
    }

    fn add_page(
        &mut self,
        destination: &str,
        step: u32,
        reason: Reason,
        notices: &mut Notices,
        context: &mut Context<'_>,
    ) {
        let first = self.nobody_told();
        let incident = &mut self.incident;
        for older in incident.pages.iter_mut().filter(|page| page.destination == destination) {
            if older.stop(Stop::Superseded) == Settled::Failed {
                notices.push((EventKind::DeliveryFailed, older.page_id));
            }
        }
        let page_id = PageId::of(incident.incident_id, incident.pass, step, destination);
        let mut page = Page {
            page_id,
            destination: destination.to_owned(),
            channel: Channel::Unknown,
            state: PageState::Ready { since_ms: context.now_ms },
            reason,
            pass: incident.pass,
            step,
            created_at_ms: context.now_ms,
            attempts: 0,
            log: Vec::new(),
            detail: String::new(),
            stop: None,
            redelivery_of: None,
        };
        match context.configs.destination(&incident.tenant, &incident.team, destination) {
            Some(settings) => {
                page.channel = settings.channel();
                if settings.pages_somebody() {
                    let place =
                        (incident.tenant.clone(), incident.team.clone(), destination.to_owned());
                    let taken = context.paces.take(&place, page.channel, first, context.now_ms);
                    page.turn(taken, context.now_ms);
                } else {
                    page.state = PageState::Delivered;
                    notices.push((EventKind::Paged, page_id));
                }
            }
            None => {
                page.fail(REMOVED);
                notices.push((EventKind::DeliveryFailed, page_id));
            }
        }
        let quiet = context.configs.quiet_until(incident, destination, context.now_ms);
        // The fallback is the last hope, and whoever was named by hand was meant.
        let wakes = matches!(reason, Reason::Fallback | Reason::Reassigned);
        if !wakes && !page.is_settled() && quiet.is_some() {
            page.stop(Stop::Quiet);
        }
        incident.pages.push(page);
    }

    /// Nobody can be reached by the pages of the current step any more.
    fn step_has_failed(&self) -> bool {
        let incident = &self.incident;
        let mut pages = incident
            .pages
            .iter()
            .filter(|page| page.pass == incident.pass && page.step == incident.step)
            .filter(|page| page.channel != Channel::Watch && page.is_of_policy())
            .peekable();
        pages.peek().is_some()
            && pages.all(|page| page.state == PageState::Failed || page.stop == Some(Stop::Quiet))
    }

    /// After a page has failed: if that was the last hope of the current step, the next step of
    /// this pass does not wait. After the last step the delay is kept, because starting again
    /// at once would only fail again.
    pub(crate) fn leave_failed_step(&mut self, page_id: PageId, context: &mut Context<'_>) {
        let incident = &self.incident;
        let current = incident.page(page_id).is_some_and(|page| {
            page.is_of_policy() && page.pass == incident.pass && page.step == incident.step
        });
        let has_next = (incident.step as usize) + 1 < incident.policy.steps.len();
        if incident.state != State::Triggered
            || incident.exhausted.is_some()
            || !current
            || !has_next
            || !self.step_has_failed()
        {
            return;
        }
        let step = incident.step + 1;
        let mut notices = Notices::new();
        self.enter_step(step, Reason::StepFailed, &mut notices, context);
        self.emit_escalated(Cause::default(), notices, context);
    }

    /// Whether there is nobody left whom the policy could page: every destination that it names
    /// is gone, or it names none.
    pub(crate) fn is_stranded(&self, configs: &Configs) -> bool {
        let Incident { tenant, team, policy, .. } = &self.incident;
        let settings = configs.team(tenant, team);
        policy.destinations().all(|name| configs.destination(tenant, team, name).is_none())
            && !policy
                .schedules()
                .any(|name| settings.is_some_and(|it| it.schedules.contains_key(name)))
    }

    /// Destinations may have been removed or become another kind: pages that still wanted to go
    /// there fail; whether there were any. The next step is left alone if its destinations are
    /// gone as well.
    pub(crate) fn destinations_changed(
        &mut self,
        stranded: bool,
        context: &mut Context<'_>,
    ) -> bool {
        let incident = &mut self.incident;
        let mut failed = Vec::new();
        for page in incident.pages.iter_mut().filter(|page| !page.is_settled()) {
            let (tenant, team) = (&incident.tenant, &incident.team);
            let destination = context.configs.destination(tenant, team, &page.destination);
            if destination.map(Destination::channel) != Some(page.channel) {
                page.fail(REMOVED);
                failed.push(page.page_id);
            }
        }
        for page_id in &failed {
            let cause =
                Cause { page: Some(*page_id), note: REMOVED.to_owned(), ..Cause::default() };
            self.emit(EventKind::DeliveryFailed, cause, context);
            if !stranded {
                self.leave_failed_step(*page_id, context);
            }
        }
        !failed.is_empty()
    }

    /// Takes the policy of now, because nobody is left whom the one before could page, and starts
    /// it unless somebody has acknowledged.
    ///
    /// A policy that has come to its end does not start again for a change of configuration,
    /// unless it took pages with it (`lost`) that might still have arrived.
    pub(crate) fn policy_changed(
        &mut self,
        policy: Arc<Policy>,
        lost: bool,
        context: &mut Context<'_>,
    ) {
        let incident = &mut self.incident;
        if incident.exhausted == Some(Exhausted::PolicyEnded) && !lost {
            return;
        }
        let before = incident.exhausted;
        incident.policy = policy;
        if incident.state != State::Triggered {
            return;
        }
        if incident.policy.has_destination() {
            let (kind, note) = match before {
                Some(Exhausted::NobodyReachable) => {
                    (EventKind::Triggered, "the team can be paged since its configuration changed")
                }
                Some(Exhausted::PolicyEnded) => (EventKind::Triggered, REPLACED),
                None => (EventKind::Escalated, REPLACED),
            };
            let mut notices = Notices::new();
            self.restart(Reason::Reconfigured, &mut notices, context);
            let cause = Cause { note: note.to_owned(), ..Cause::default() };
            self.emit_triggered(kind, cause, notices, context);
        } else if before != Some(Exhausted::NobodyReachable) {
            incident.next_at_ms = None;
            incident.exhausted = Some(Exhausted::NobodyReachable);
            let note = Exhausted::NobodyReachable.words().to_owned();
            self.emit(EventKind::Exhausted, Cause { note, ..Cause::default() }, context);
        }
    }

    pub(crate) fn forget_settled_pages(&mut self) {
        let pages = &mut self.incident.pages;
        let mut surplus = pages.len().saturating_sub(KEPT_PAGES);
        pages.retain(|page| {
            let goes = surplus > 0 && page.is_settled();
            surplus -= usize::from(goes);
            !goes
        });
    }
}
