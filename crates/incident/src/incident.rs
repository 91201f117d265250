//! The life of one incident: triggered, acknowledged, resolved, and who is paged meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::command::{Action, Answer, Answered, Command, Refusal};
use crate::config::Destination;
use crate::configs::Configs;
use crate::event::{Cause, EventKind, IncidentEvent, event_id, reply_id};
use crate::health::Health;
use crate::id::{IncidentId, PageId};
use crate::page::{Channel, Claim, DeliveryResult, Page, PageState, Reason, Settled, Stop};
use crate::partition::Ignored;
use crate::policy::Policy;
use crate::signal::{Family, Severity, Signal};

/// Signals kept with an incident: the first and the newest; all are counted.
pub const KEPT_EVIDENCE: usize = 21;
/// Pages kept with an incident. Beyond it the oldest settled ones go; none that is under way.
pub const KEPT_PAGES: usize = 32;
/// Commands whose answers an incident remembers, the newest.
pub const KEPT_ANSWERS: usize = 64;
/// Signals that an incident recognises when they come again, the newest.
pub const KEPT_SIGNAL_IDS: usize = 256;
/// How long a resolved incident stays in memory.
pub const RESOLVED_FOR_MS: i64 = 24 * 60 * 60_000;

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody answers for it yet.
    Triggered,
    /// `owner` answers for it.
    Acknowledged,
    /// It is over, for good.
    Resolved,
}

impl State {
    /// The name used on the wire and as a metric label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Triggered => "triggered",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

/// Why nothing further happens by itself though nobody has acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exhausted {
    /// The team has no destination at all, so nobody was paged.
    NobodyReachable,
    /// All steps, repeats and the fallback were used.
    PolicyEnded,
}

impl Exhausted {
    fn words(self) -> &'static str {
        match self {
            Self::NobodyReachable => {
                "nobody is reachable: the team has no destination; configure one to page for \
                 this incident"
            }
            Self::PolicyEnded => "the policy has come to its end and nobody has acknowledged",
        }
    }
}

/// Something that a person should look at, from the first signal until it is resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Derived from its key and the signal that opened it.
    pub incident_id: IncidentId,
    /// Whose conversation it is.
    pub tenant: String,
    /// The team that answers for it.
    pub team: String,
    /// The conversation.
    pub conversation_id: String,
    /// What it is about.
    pub family: Family,
    /// Kind of its first most severe signal.
    pub kind: String,
    /// Category of that signal.
    pub category: String,
    /// Where it stands.
    pub state: State,
    /// The highest severity of its live signals; it never falls.
    pub severity: Severity,
    /// Grows by one with every event, from 1.
    pub version: u64,
    /// When it was opened, log time.
    pub triggered_at_ms: i64,
    /// When it was last acknowledged; absent when it came back from that.
    pub acknowledged_at_ms: Option<i64>,
    /// When it was resolved.
    pub resolved_at_ms: Option<i64>,
    /// Who acknowledged and answers for it; empty if nobody does.
    pub owner: String,
    /// The incident of the same key before this one, if it was still in memory.
    pub previous: Option<IncidentId>,
    /// Opened by a historical signal: resolved from the start, never paged.
    pub historical: bool,
    /// The first signal and the newest, at most [`KEPT_EVIDENCE`].
    pub evidence: Vec<Arc<Signal>>,
    /// All signals, also those no longer kept.
    pub signals: u64,
    /// The policy as it was when the incident started.
    pub policy: Arc<Policy>,
    /// Index of the step that was entered last, from 0.
    pub step: u32,
    /// Passes through the policy before this one: repeats and new starts.
    pub pass: u32,
    /// Repeats that remain after this pass.
    pub repeats_left: u32,
    /// When time changes its state: the next step, or the end of the acknowledgement.
    pub next_at_ms: Option<i64>,
    /// Set when nothing further happens by itself.
    pub exhausted: Option<Exhausted>,
    /// Notifications, oldest first, at most [`KEPT_PAGES`] unless more are under way.
    pub pages: Vec<Page>,
}

impl Incident {
    /// Not resolved.
    pub fn is_open(&self) -> bool {
        self.state != State::Resolved
    }

    /// A page of this incident, if it is kept.
    pub fn page(&self, page_id: PageId) -> Option<&Page> {
        self.pages.iter().find(|page| page.page_id == page_id)
    }
}

/// What an incident's transitions may look at and write to.
pub(crate) struct Context<'a> {
    pub(crate) now_ms: i64,
    pub(crate) configs: &'a Configs,
    pub(crate) health: &'a mut Health,
    /// Counts events that changed no incident.
    pub(crate) replies: &'a mut u64,
    pub(crate) events: &'a mut Vec<IncidentEvent>,
}

/// Pages whose fate is told after the event that created or replaced them.
type Notices = Vec<(EventKind, PageId)>;

/// An incident with what the fold remembers about it besides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tracked {
    pub(crate) incident: Incident,
    /// The how manieth incident of the partition it is; orders those of a key.
    pub(crate) nth: u64,
    seen: VecDeque<u64>,
    answers: VecDeque<Answered>,
}

impl Tracked {
    /// Opens an incident. A historical signal opens one that is resolved already.
    pub(crate) fn open(
        nth: u64,
        signal: Signal,
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
            family: signal.family,
            kind: signal.kind.clone(),
            category: signal.category.clone(),
            state: if historical { State::Resolved } else { State::Triggered },
            severity: signal.severity,
            version: 0,
            triggered_at_ms: context.now_ms,
            acknowledged_at_ms: None,
            resolved_at_ms: historical.then_some(context.now_ms),
            owner: String::new(),
            previous,
            historical,
            evidence: Vec::new(),
            signals: 0,
            repeats_left: policy.repeat,
            policy,
            step: 0,
            pass: 0,
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
    /// policy says so, or rises when the policy had come to its end: then nobody else would
    /// hear of it. A resolved one stays resolved.
    pub(crate) fn add(&mut self, signal: Signal, context: &mut Context<'_>) {
        let cause = Cause { effective_ms: Some(signal.effective_ms), ..Cause::default() };
        if signal.historical {
            self.keep(signal);
            let note = "historical: recorded, nobody is paged".to_owned();
            self.emit(EventKind::Recorded, Cause { note, ..cause }, context);
            return;
        }
        let rises = signal.severity > self.incident.severity;
        if rises {
            self.incident.severity = signal.severity;
            self.incident.kind.clone_from(&signal.kind);
            self.incident.category.clone_from(&signal.category);
        }
        self.keep(signal);
        let incident = &self.incident;
        let cause = |note: &str| Cause { note: note.to_owned(), ..cause };
        if !incident.is_open() {
            let note = "within the cool-down of the resolved incident: nobody is paged";
            self.emit(EventKind::Updated, cause(note), context);
        } else if !rises {
            self.emit(EventKind::Updated, cause(""), context);
        } else if incident.policy.has_destination()
            && (incident.policy.page_on_rise || incident.exhausted.is_some())
        {
            let kind = if incident.state == State::Acknowledged || incident.exhausted.is_some() {
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

    /// Does what a person wants, or says why not.
    pub(crate) fn command(&mut self, command: &Command, context: &mut Context<'_>) {
        if let Some(known) =
            self.answers.iter().find(|known| known.command_id == command.command_id)
        {
            if known.action == command.action && known.actor == command.actor {
                let answer = known.answer.clone();
                self.reply(EventKind::Repeated, command, answer, context);
            } else {
                let answer = Answer::Refused(Refusal::CommandIdReused);
                self.reply(EventKind::Refused, command, answer, context);
            }
            return;
        }
        let answer = match self.obstacle(command) {
            Some(refusal) => Answer::Refused(refusal),
            None => Answer::Applied { version: self.incident.version + 1 },
        };
        if self.answers.len() == KEPT_ANSWERS {
            self.answers.pop_front();
        }
        self.answers.push_back(Answered {
            command_id: command.command_id.clone(),
            action: command.action,
            actor: command.actor.clone(),
            answer: answer.clone(),
        });
        if matches!(answer, Answer::Refused(_)) {
            self.reply(EventKind::Refused, command, answer, context);
            return;
        }
        let kind = match command.action {
            Action::Acknowledge => self.acknowledge(&command.actor, context.now_ms),
            Action::Resolve => self.resolve(context.now_ms),
        };
        let cause = Cause {
            actor: command.actor.clone(),
            note: command.note.clone(),
            command_id: command.command_id.clone(),
            ..Cause::default()
        };
        self.emit(kind, cause, context);
        if let Some(event) = context.events.last_mut() {
            event.answer = Some(answer);
        }
    }

    /// The answer that a command got, while it is remembered.
    pub(crate) fn answer(&self, command_id: &str) -> Option<&Answer> {
        self.answers.iter().find(|known| known.command_id == command_id).map(|known| &known.answer)
    }

    fn obstacle(&self, command: &Command) -> Option<Refusal> {
        let incident = &self.incident;
        let (expected, actual) = (command.expected_version, incident.version);
        if incident.state == State::Resolved {
            return Some(Refusal::AlreadyResolved);
        }
        if expected != 0 && expected != actual {
            return Some(Refusal::StaleVersion { expected, actual });
        }
        let taken = incident.state == State::Acknowledged && incident.owner != command.actor;
        if command.action == Action::Acknowledge && taken {
            return Some(Refusal::AlreadyAcknowledged { owner: incident.owner.clone() });
        }
        None
    }

    fn acknowledge(&mut self, actor: &str, now_ms: i64) -> EventKind {
        let incident = &mut self.incident;
        incident.state = State::Acknowledged;
        actor.clone_into(&mut incident.owner);
        incident.acknowledged_at_ms = Some(now_ms);
        incident.exhausted = None;
        let timeout_ms = incident.policy.ack_timeout_ms;
        incident.next_at_ms = (timeout_ms > 0).then_some(now_ms + timeout_ms);
        self.stop_pages(Stop::Acknowledged);
        EventKind::Acknowledged
    }

    fn resolve(&mut self, now_ms: i64) -> EventKind {
        let incident = &mut self.incident;
        incident.state = State::Resolved;
        incident.resolved_at_ms = Some(now_ms);
        incident.next_at_ms = None;
        self.stop_pages(Stop::Resolved);
        EventKind::Resolved
    }

    fn stop_pages(&mut self, stop: Stop) {
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
                self.next_step(&mut notices, context);
                self.emit_escalated(cause, notices, context);
            }
            State::Acknowledged => {
                let note = format!("the acknowledgement of {} timed out", self.incident.owner);
                self.restart(Reason::AckTimeout, &mut notices, context);
                let cause = Cause { note, ..cause };
                self.emit_triggered(EventKind::Triggered, cause, notices, context);
            }
            State::Resolved => {}
        }
    }

    /// A page's waiting time or lease has ended.
    pub(crate) fn page_time_passed(&mut self, page_id: PageId, now_ms: i64) {
        if let Some(page) = self.page_mut(page_id) {
            page.time_passed(now_ms);
        }
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
        let detail = result.detail.clone();
        let settled = page.settle(result, context.now_ms)?;
        let claimed_at_ms =
            page.log.iter().find(|kept| kept.attempt == attempt).map(|kept| kept.claimed_at_ms);
        context.health.record(
            (&incident.tenant, &incident.team, &page.destination),
            outcome,
            &detail,
            context.now_ms,
        );
        let cause = Cause {
            effective_ms: claimed_at_ms,
            note: detail,
            page: Some(page_id),
            ..Cause::default()
        };
        match settled {
            Settled::Delivered => self.emit(EventKind::Paged, cause, context),
            Settled::Failed => {
                self.emit(EventKind::DeliveryFailed, cause, context);
                self.leave_failed_step(page_id, context);
            }
            Settled::Cancelled | Settled::Open => {}
        }
        Ok(())
    }

    /// Destinations may have been removed or become another kind: pages that still wanted to go
    /// there fail.
    pub(crate) fn destinations_changed(&mut self, context: &mut Context<'_>) {
        let incident = &mut self.incident;
        let mut failed = Vec::new();
        for page in incident.pages.iter_mut().filter(|page| !page.is_settled()) {
            let (tenant, team) = (&incident.tenant, &incident.team);
            let destination = context.configs.destination(tenant, team, &page.destination);
            if !matches!(destination, Some(Destination::Webhook(_))) {
                page.fail(REMOVED);
                failed.push(page.page_id);
            }
        }
        for page_id in failed {
            let cause = Cause { page: Some(page_id), note: REMOVED.to_owned(), ..Cause::default() };
            self.emit(EventKind::DeliveryFailed, cause, context);
            self.leave_failed_step(page_id, context);
        }
    }

    /// The team had nobody to page when the incident started; now it takes its new policy, and
    /// starts if nobody has acknowledged meanwhile.
    pub(crate) fn policy_changed(&mut self, policy: Arc<Policy>, context: &mut Context<'_>) {
        self.incident.policy = policy;
        if self.incident.policy.has_destination() && self.incident.exhausted.is_some() {
            let mut notices = Notices::new();
            self.restart(Reason::Reconfigured, &mut notices, context);
            let note = "the team can be paged since its configuration changed".to_owned();
            let cause = Cause { note, ..Cause::default() };
            self.emit_triggered(EventKind::Triggered, cause, notices, context);
        }
    }

    fn page_mut(&mut self, page_id: PageId) -> Option<&mut Page> {
        self.incident.pages.iter_mut().find(|page| page.page_id == page_id)
    }

    fn keep(&mut self, signal: Signal) {
        if self.seen.len() == KEPT_SIGNAL_IDS {
            self.seen.pop_front();
        }
        self.seen.push_back(signal.fingerprint());
        let incident = &mut self.incident;
        incident.signals += 1;
        if incident.evidence.len() == KEPT_EVIDENCE {
            incident.evidence.remove(1);
        }
        incident.evidence.push(Arc::new(signal));
    }

    /// Starts again at the first step, in a pass of its own so that its pages have ids of their
    /// own.
    fn restart(&mut self, reason: Reason, notices: &mut Notices, context: &mut Context<'_>) {
        let incident = &mut self.incident;
        incident.state = State::Triggered;
        incident.owner.clear();
        incident.acknowledged_at_ms = None;
        incident.pass += 1;
        self.start(reason, notices, context);
    }

    fn start(&mut self, reason: Reason, notices: &mut Notices, context: &mut Context<'_>) {
        let incident = &mut self.incident;
        incident.repeats_left = incident.policy.repeat;
        incident.exhausted = None;
        if incident.policy.has_destination() {
            self.enter_step(0, reason, notices, context);
        } else {
            incident.next_at_ms = None;
            incident.exhausted = Some(Exhausted::NobodyReachable);
        }
    }

    /// The step after this one, the next pass, or the end.
    fn next_step(&mut self, notices: &mut Notices, context: &mut Context<'_>) {
        let incident = &mut self.incident;
        if (incident.step as usize) + 1 < incident.policy.steps.len() {
            let step = incident.step + 1;
            self.enter_step(step, Reason::NextStep, notices, context);
        } else if incident.repeats_left > 0 {
            incident.repeats_left -= 1;
            incident.pass += 1;
            self.enter_step(0, Reason::Repeat, notices, context);
        } else {
            incident.next_at_ms = None;
            incident.exhausted = Some(Exhausted::PolicyEnded);
            let policy = Arc::clone(&incident.policy);
            let step = policy.steps.len() as u32;
            for destination in &policy.fallback {
                self.add_page(destination, step, Reason::Fallback, notices, context);
            }
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
            for destination in &settings.destinations {
                self.add_page(destination, step, reason, notices, context);
            }
            if !self.step_has_failed() {
                break;
            }
            step += 1;
            reason = Reason::StepFailed;
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
        };
        match context.configs.destination(&incident.tenant, &incident.team, destination) {
            Some(Destination::Webhook(_)) => page.channel = Channel::Webhook,
            Some(Destination::Watch {}) => {
                page.channel = Channel::Watch;
                page.state = PageState::Delivered;
                notices.push((EventKind::Paged, page_id));
            }
            None => {
                page.fail(REMOVED);
                notices.push((EventKind::DeliveryFailed, page_id));
            }
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
            .filter(|page| page.channel != Channel::Watch)
            .peekable();
        pages.peek().is_some() && pages.all(|page| page.state == PageState::Failed)
    }

    /// After a page has failed: if that was the last hope of the current step, the next step of
    /// this pass does not wait. After the last step the delay is kept, because starting again
    /// at once would only fail again.
    fn leave_failed_step(&mut self, page_id: PageId, context: &mut Context<'_>) {
        let incident = &self.incident;
        let current = incident
            .page(page_id)
            .is_some_and(|page| page.pass == incident.pass && page.step == incident.step);
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

    fn emit_escalated(&mut self, cause: Cause, notices: Notices, context: &mut Context<'_>) {
        let incident = &self.incident;
        if let Some(exhausted) = incident.exhausted {
            let note = exhausted.words().to_owned();
            self.emit(EventKind::Exhausted, Cause { note, ..cause }, context);
        } else {
            let note = format!(
                "step {} of {}, pass {}",
                incident.step + 1,
                incident.policy.steps.len(),
                incident.pass + 1
            );
            self.emit(EventKind::Escalated, Cause { note, ..cause }, context);
        }
        self.emit_notices(notices, context);
    }

    fn emit_triggered(
        &mut self,
        kind: EventKind,
        cause: Cause,
        notices: Notices,
        context: &mut Context<'_>,
    ) {
        let effective_ms = cause.effective_ms;
        self.emit(kind, cause, context);
        if let Some(exhausted) = self.incident.exhausted {
            let note = exhausted.words().to_owned();
            let cause = Cause { effective_ms, note, ..Cause::default() };
            self.emit(EventKind::Exhausted, cause, context);
        }
        self.emit_notices(notices, context);
    }

    fn emit_notices(&mut self, notices: Notices, context: &mut Context<'_>) {
        for (kind, page_id) in notices {
            let note = self.incident.page(page_id).map(|page| page.detail.clone());
            let note = note.unwrap_or_default();
            let cause = Cause { page: Some(page_id), note, ..Cause::default() };
            self.emit(kind, cause, context);
        }
        self.forget_settled_pages();
    }

    fn forget_settled_pages(&mut self) {
        let pages = &mut self.incident.pages;
        let mut surplus = pages.len().saturating_sub(KEPT_PAGES);
        pages.retain(|page| {
            let goes = surplus > 0 && page.is_settled();
            surplus -= usize::from(goes);
            !goes
        });
    }

    /// Raises the version and tells of it.
    fn emit(&mut self, kind: EventKind, cause: Cause, context: &mut Context<'_>) {
        self.incident.version += 1;
        let incident = Arc::new(self.incident.clone());
        context.events.push(IncidentEvent {
            event_id: event_id(&incident),
            kind,
            tenant: incident.tenant.clone(),
            team: incident.team.clone(),
            at_ms: context.now_ms,
            effective_ms: cause.effective_ms.unwrap_or(context.now_ms),
            actor: cause.actor,
            note: cause.note,
            page: cause.page.and_then(|page_id| incident.page(page_id).cloned()),
            command_id: cause.command_id,
            answer: None,
            incident: Some(incident),
        });
    }

    /// Answers a command without changing anything.
    fn reply(&self, kind: EventKind, command: &Command, answer: Answer, context: &mut Context<'_>) {
        let incident = Some(Arc::new(self.incident.clone()));
        reply(kind, command, incident, answer, context);
    }
}

const REMOVED: &str = "the destination is no longer configured as it was";

/// Answers a command that changed nothing.
pub(crate) fn reply(
    kind: EventKind,
    command: &Command,
    incident: Option<Arc<Incident>>,
    answer: Answer,
    context: &mut Context<'_>,
) {
    *context.replies += 1;
    let note = match &answer {
        Answer::Refused(refusal) => refusal.to_string(),
        Answer::Applied { .. } => "done already when the command came first".to_owned(),
    };
    context.events.push(IncidentEvent {
        event_id: reply_id(
            *context.replies,
            &command.tenant,
            &command.incident_id,
            &command.command_id,
        ),
        kind,
        tenant: command.tenant.clone(),
        team: incident.as_ref().map_or_else(|| command.team.clone(), |found| found.team.clone()),
        incident,
        at_ms: context.now_ms,
        effective_ms: context.now_ms,
        actor: command.actor.clone(),
        note,
        page: None,
        command_id: command.command_id.clone(),
        answer: Some(answer),
    });
}
