//! The life of one incident: triggered, acknowledged, snoozed, resolved, and what records and
//! time do to it on the way.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::command::Answered;
use crate::configs::Configs;
use crate::entry::Ignored;
use crate::event::{Cause, EventKind, IncidentEvent};
use crate::health::Health;
use crate::id::{IncidentId, PageId};
use crate::incident::{Incident, KEPT_EVIDENCE, KEPT_SIGNAL_IDS, Resolution, State};
use crate::pace::Paces;
use crate::page::{Channel, Claim, DeliveryResult, Page, PageState, Reason, Settled, Stop};
use crate::policy::Policy;
use crate::presence::Presences;
use crate::signal::Signal;
use crate::silence::Silences;
use crate::storm::Crowds;

/// What an incident's transitions may look at and write to.
pub(crate) struct Context<'a> {
    pub(crate) now_ms: i64,
    pub(crate) configs: &'a Configs,
    pub(crate) silences: &'a Silences,
    pub(crate) presences: &'a Presences,
    pub(crate) crowds: &'a Crowds,
    pub(crate) health: &'a mut Health,
    pub(crate) paces: &'a mut Paces,
    /// Counts events that changed no incident.
    pub(crate) replies: &'a mut u64,
    pub(crate) events: &'a mut Vec<IncidentEvent>,
}

/// Pages whose fate is told after the event that created or replaced them.
pub(crate) type Notices = Vec<(EventKind, PageId)>;

/// An incident with what the fold remembers about it besides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tracked {
    pub(crate) incident: Incident,
    /// The how manieth incident of the partition it is; orders those of a key.
    pub(crate) nth: u64,
    seen: VecDeque<u64>,
    pub(crate) answers: VecDeque<Answered>,
}

impl Tracked {
    /// Opens an incident; `pages` says whether its signal is of a kind that does. A historical
    /// signal opens one that is resolved already.
    pub(crate) fn open(
        nth: u64,
        signal: Signal,
        pages: bool,
        policy: Arc<Policy>,
        previous: Option<IncidentId>,
        context: &mut Context<'_>,
    ) -> Self {
        let historical = signal.historical;
        let effective_ms = Some(signal.effective_ms);
        let incident = Incident {
            incident_id: signal.incident_id(),
            tenant: signal.tenant.clone(),
            team: signal.team.clone(),
            conversation_id: signal.conversation_id.clone(),
            queue: signal.queue.clone(),
            family: signal.family,
            kind: signal.kind.clone(),
            category: signal.category.clone(),
            state: if historical { State::Resolved } else { State::Triggered },
            severity: signal.severity,
            version: 0,
            triggered_at_ms: context.now_ms,
            acknowledged_at_ms: None,
            resolved_at_ms: historical.then_some(context.now_ms),
            resolution: historical.then_some(Resolution::Historical),
            owner: String::new(),
            previous,
            historical,
            evidence: Vec::new(),
            signals: 0,
            repeats_left: policy.repeat,
            policy,
            step: 0,
            pass: 0,
            pages_people: pages && !historical,
            insisted: false,
            suppression: None,
            next_at_ms: None,
            exhausted: None,
            pages: Vec::new(),
        };
        let mut tracked = Self { incident, nth, seen: VecDeque::new(), answers: VecDeque::new() };
        tracked.keep(signal);
        if historical {
            let note = "historical: recorded, nobody is paged".to_owned();
            let cause = Cause { effective_ms, note, ..Cause::default() };
            tracked.emit(EventKind::Recorded, cause, context);
            return tracked;
        }
        let mut notices = Notices::new();
        tracked.start(Reason::Triggered, &mut notices, context);
        let cause = Cause { effective_ms, ..Cause::default() };
        tracked.emit_triggered(EventKind::Triggered, cause, notices, context);
        tracked
    }

    /// Whether a signal was folded into this incident before.
    pub(crate) fn has_seen(&self, fingerprint: u64) -> bool {
        self.seen.contains(&fingerprint)
    }

    /// Whether a live signal is to be kept with this resolved incident instead of opening
    /// another.
    pub(crate) fn cools_down(&self, signal: &Signal, now_ms: i64) -> bool {
        let incident = &self.incident;
        !incident.historical
            && signal.severity <= incident.severity
            && incident
                .resolved_at_ms
                .is_some_and(|at| now_ms < at.saturating_add(incident.policy.cool_down_ms))
    }

    /// Adds evidence. An open incident pages nobody for it, unless its severity rises and its
    /// policy says so, or rises when the policy had come to its end or the incident is snoozed:
    /// then nobody else would hear of it. A resolved one stays resolved.
    pub(crate) fn add(&mut self, signal: Signal, pages: bool, context: &mut Context<'_>) {
        let effective_ms = Some(signal.effective_ms);
        let cause = |note: &str| Cause { effective_ms, note: note.to_owned(), ..Cause::default() };
        if signal.historical {
            self.keep(signal);
            let cause = cause("historical: recorded, nobody is paged");
            self.emit(EventKind::Recorded, cause, context);
            return;
        }
        let rises = signal.severity > self.incident.severity;
        if rises {
            self.incident.severity = signal.severity;
            self.incident.kind.clone_from(&signal.kind);
            self.incident.category.clone_from(&signal.category);
        }
        self.keep(signal);
        self.incident.pages_people |= pages;
        let incident = &self.incident;
        if !incident.is_open() {
            let note = "within the cool-down of the resolved incident: nobody is paged";
            self.emit(EventKind::Updated, cause(note), context);
        } else if incident.state == State::Suppressed {
            let reason = if rises { Reason::SeverityRise } else { Reason::Triggered };
            let note = if rises { "the severity rose" } else { "" };
            if !self.reconsider(reason, cause(note), context) {
                self.emit(EventKind::Updated, cause(note), context);
            }
        } else if !rises {
            self.emit(EventKind::Updated, cause(""), context);
        } else if pages
            && incident.policy.has_destination()
            && (incident.policy.page_on_rise
                || incident.state == State::Snoozed
                || incident.exhausted.is_some())
        {
            let kind = if incident.state != State::Triggered || incident.exhausted.is_some() {
                EventKind::Triggered
            } else {
                EventKind::Updated
            };
            let mut notices = Notices::new();
            self.restart(Reason::SeverityRise, &mut notices, context);
            self.emit_triggered(kind, cause("the severity rose"), notices, context);
        } else {
            self.emit(EventKind::Updated, cause("the severity rose"), context);
        }
    }

    pub(crate) fn stop_pages(&mut self, stop: Stop) {
        for page in &mut self.incident.pages {
            page.stop(stop);
        }
    }

    /// The incident's own timer is due: the next step, or the end of an acknowledgement.
    pub(crate) fn time_passed(&mut self, due_ms: i64, context: &mut Context<'_>) {
        let mut notices = Notices::new();
        let cause = Cause { effective_ms: Some(due_ms), ..Cause::default() };
        match self.incident.state {
            State::Triggered => {
                if self.suppress(context) {
                    let cause = Cause { note: self.suppression_words(), ..cause };
                    self.emit(EventKind::Suppressed, cause, context);
                } else {
                    self.next_step(Reason::NextStep, &mut notices, context);
                    self.emit_escalated(cause, notices, context);
                }
            }
            State::Acknowledged => {
                let note = format!("the acknowledgement of {} timed out", self.incident.owner);
                self.restart(Reason::AckTimeout, &mut notices, context);
                let cause = Cause { note, ..cause };
                self.emit_triggered(EventKind::Triggered, cause, notices, context);
            }
            State::Snoozed => {
                let note = format!("the snooze of {} has ended", self.incident.owner);
                self.restart(Reason::SnoozeEnded, &mut notices, context);
                let cause = Cause { note, ..cause };
                self.emit_triggered(EventKind::Triggered, cause, notices, context);
            }
            State::Suppressed => {
                self.reconsider(Reason::Released, cause, context);
            }
            State::Resolved => {}
        }
    }

    /// A page's waiting time or lease has ended.
    pub(crate) fn page_time_passed(&mut self, page_id: PageId, now_ms: i64, paces: &mut Paces) {
        let first = self.nobody_told();
        let (tenant, team) = (self.incident.tenant.clone(), self.incident.team.clone());
        let Some(page) = self.page_mut(page_id) else { return };
        if page.wants_turn() {
            let place = (tenant, team, page.destination.clone());
            page.turn(paces.take(&place, page.channel, first, now_ms), now_ms);
        } else {
            page.lease_ended();
        }
    }

    /// Whether no page about the incident has arrived yet.
    pub(crate) fn nobody_told(&self) -> bool {
        let told =
            |page: &Page| page.state == PageState::Delivered && page.channel != Channel::Watch;
        !self.incident.pages.iter().any(told)
    }

    pub(crate) fn claim(&mut self, claim: Claim, now_ms: i64) -> Result<(), Ignored> {
        self.page_mut(claim.page_id).ok_or(Ignored::UnknownPage)?.claim(claim, now_ms)
    }

    pub(crate) fn result(
        &mut self,
        result: DeliveryResult,
        context: &mut Context<'_>,
    ) -> Result<(), Ignored> {
        let page_id = result.page_id;
        let (attempt, outcome) = (result.attempt, result.outcome);
        let incident = &mut self.incident;
        let page = incident
            .pages
            .iter_mut()
            .find(|page| page.page_id == page_id)
            .ok_or(Ignored::UnknownPage)?;
        let (detail, retry_after_ms) = (result.detail.clone(), result.retry_after_ms);
        let settled = page.settle(result, context.now_ms)?;
        let told = page.log.iter().find(|kept| kept.attempt == attempt).cloned();
        context.health.record(
            (&incident.tenant, &incident.team, &page.destination),
            outcome,
            &detail,
            context.now_ms,
        );
        let place = (incident.tenant.clone(), incident.team.clone(), page.destination.clone());
        context.paces.close(&place, page.channel, retry_after_ms, context.now_ms);
        let cause = Cause {
            effective_ms: told.as_ref().map(|attempt| attempt.claimed_at_ms),
            note: detail,
            page: Some(page_id),
            attempt: told,
            ..Cause::default()
        };
        match settled {
            Settled::Delivered => self.emit(EventKind::Paged, cause, context),
            Settled::Failed => {
                self.emit(EventKind::DeliveryFailed, cause, context);
                self.leave_failed_step(page_id, context);
            }
            // One that is no longer kept could not be told from its repetition.
            Settled::Cancelled | Settled::Open if cause.attempt.is_some() => {
                self.emit_attempted(cause, context);
            }
            Settled::Cancelled | Settled::Open => {}
        }
        Ok(())
    }

    pub(crate) fn page_mut(&mut self, page_id: PageId) -> Option<&mut Page> {
        self.incident.pages.iter_mut().find(|page| page.page_id == page_id)
    }

    fn keep(&mut self, signal: Signal) {
        if self.seen.len() == KEPT_SIGNAL_IDS {
            self.seen.pop_front();
        }
        self.seen.push_back(signal.fingerprint());
        let incident = &mut self.incident;
        incident.signals += 1;
        if let Some(before) =
            incident.evidence.last_mut().filter(|it| !it.background.said.is_empty())
        {
            Arc::make_mut(before).background.said.clear();
        }
        if incident.evidence.len() == KEPT_EVIDENCE {
            incident.evidence.remove(1);
        }
        incident.evidence.push(Arc::new(signal));
    }
}
