//! What people do with an incident.

use std::sync::Arc;

use crate::command::{
    Action, Answer, Answered, Assignee, Command, LONGEST_SNOOZE_MS, Refusal, Until,
};
use crate::event::{Cause, EventKind};
use crate::incident::{KEPT_ANSWERS, Resolution, State};
use crate::lifecycle::{Context, Notices, Tracked};
use crate::page::{Reason, Stop};
use crate::policy::Policy;

impl Tracked {
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
        let done = self.obstacle(command, context).map_or_else(|| self.obey(command, context), Err);
        let answer = match done {
            Ok(version) => Answer::Applied { version },
            Err(refusal) => {
                let answer = Answer::Refused(refusal);
                self.reply(EventKind::Refused, command, answer.clone(), context);
                answer
            }
        };
        if self.answers.len() == KEPT_ANSWERS {
            self.answers.pop_front();
        }
        self.answers.push_back(Answered {
            command_id: command.command_id.clone(),
            action: command.action.clone(),
            actor: command.actor.clone(),
            answer,
        });
    }

    /// The answer that a command got, while it is remembered.
    pub(crate) fn answer(&self, command_id: &str) -> Option<&Answer> {
        self.answers.iter().find(|known| known.command_id == command_id).map(|known| &known.answer)
    }

    fn obstacle(&self, command: &Command, context: &Context<'_>) -> Option<Refusal> {
        let incident = &self.incident;
        let (expected, actual) = (command.expected_version, incident.version);
        let marks = command.action == Action::MarkFalsePositive;
        let repeats = matches!(command.action, Action::Redeliver(_));
        if incident.resolution == Some(Resolution::FalsePositive) && marks {
            return Some(Refusal::AlreadyMarked);
        }
        if incident.state == State::Resolved && !marks && !repeats {
            return Some(Refusal::AlreadyResolved);
        }
        if expected != 0 && expected != actual {
            return Some(Refusal::StaleVersion { expected, actual });
        }
        let taken = !incident.owner.is_empty() && incident.owner != command.actor;
        match command.action {
            Action::Acknowledge | Action::Snooze(_) if taken => {
                Some(Refusal::AlreadyAcknowledged { owner: incident.owner.clone() })
            }
            Action::Snooze(until) => {
                let length_ms = until.instant_ms(context.now_ms).saturating_sub(context.now_ms);
                (!(1..=LONGEST_SNOOZE_MS).contains(&length_ms))
                    .then_some(Refusal::SnoozeOutOfRange { length_ms })
            }
            _ => None,
        }
    }

    /// Carries a command out; gives the version that it led to.
    fn obey(&mut self, command: &Command, context: &mut Context<'_>) -> Result<u64, Refusal> {
        let first = context.events.len();
        let cause = Cause::of(command);
        match &command.action {
            Action::Acknowledge => {
                let news = self.incident.owner.is_empty();
                self.acknowledge(&command.actor, context.now_ms);
                if news {
                    self.tell(Reason::Acknowledged, context);
                }
                self.emit(EventKind::Acknowledged, cause, context);
            }
            Action::Snooze(until) => {
                let news = self.incident.owner.is_empty();
                self.snooze(&command.actor, *until, context.now_ms);
                if news {
                    self.tell(Reason::Acknowledged, context);
                }
                self.emit(EventKind::Snoozed, cause, context);
            }
            Action::Reassign(to) => {
                let policy = self.policy_for(to, context)?;
                self.reassign(policy, cause, context);
            }
            Action::EscalateNow => self.escalate(cause, context),
            Action::MarkFalsePositive => self.mark(cause, context),
            Action::Resolve => {
                self.resolve(Resolution::Resolved, context.now_ms);
                self.tell(Reason::Resolved, context);
                self.emit(EventKind::Resolved, cause, context);
            }
            Action::Redeliver(page_id) => {
                let again = self.redeliver(*page_id, &command.command_id, context)?;
                let cause = Cause { page: Some(again), ..cause };
                self.emit(EventKind::Redelivered, cause, context);
            }
        }
        let mut told = context.events[first..].iter_mut();
        let answered = told.find(|event| event.command_id == command.command_id);
        let version = answered.as_ref().and_then(|event| event.incident.as_ref());
        let version = version.map_or(self.incident.version, |incident| incident.version);
        if let Some(event) = answered {
            event.answer = Some(Answer::Applied { version });
        }
        Ok(version)
    }

    fn acknowledge(&mut self, actor: &str, now_ms: i64) {
        let incident = &mut self.incident;
        incident.state = State::Acknowledged;
        incident.suppression = None;
        actor.clone_into(&mut incident.owner);
        incident.acknowledged_at_ms = Some(now_ms);
        incident.exhausted = None;
        let timeout_ms = incident.policy.ack_timeout_ms;
        incident.next_at_ms = (timeout_ms > 0).then_some(now_ms + timeout_ms);
        self.stop_pages(Stop::Acknowledged);
    }

    fn snooze(&mut self, actor: &str, until: Until, now_ms: i64) {
        let incident = &mut self.incident;
        incident.state = State::Snoozed;
        incident.suppression = None;
        actor.clone_into(&mut incident.owner);
        incident.exhausted = None;
        incident.next_at_ms = Some(until.instant_ms(now_ms));
        self.stop_pages(Stop::Snoozed);
    }

    fn policy_for(&self, to: &Assignee, context: &Context<'_>) -> Result<Policy, Refusal> {
        let incident = &self.incident;
        let (tenant, team) = (&incident.tenant, &incident.team);
        let policy = match to {
            Assignee::Destination(name) => context
                .configs
                .destination(tenant, team, name)
                .map(|_| incident.policy.assigned_to(name)),
            Assignee::Policy(name) => Policy::named(context.configs.of(tenant), team, name),
        };
        policy.ok_or_else(|| Refusal::UnknownAssignee { name: to.name().to_owned() })
    }

    fn reassign(&mut self, policy: Policy, cause: Cause, context: &mut Context<'_>) {
        self.incident.policy = Arc::new(policy);
        self.incident.insisted = true;
        self.stop_pages(Stop::Reassigned);
        let mut notices = Notices::new();
        self.restart(Reason::Reassigned, &mut notices, context);
        self.emit_triggered(EventKind::Reassigned, cause, notices, context);
    }

    /// Goes on from where the policy stood, or starts it again where nothing was left of it.
    fn escalate(&mut self, cause: Cause, context: &mut Context<'_>) {
        let incident = &mut self.incident;
        incident.insisted = true;
        let mut notices = Notices::new();
        let stands = incident.exhausted.is_none() && incident.state != State::Suppressed;
        let has_next = (incident.step as usize) + 1 < incident.policy.steps.len();
        if incident.state == State::Triggered && incident.exhausted.is_none() {
            self.next_step(Reason::EscalatedNow, &mut notices, context);
            self.emit_escalated(cause, notices, context);
        } else if stands && has_next {
            // In a pass of its own: the pages of this one may have been sent.
            incident.pass += 1;
            self.wake();
            self.next_step(Reason::EscalatedNow, &mut notices, context);
            self.emit_triggered(EventKind::Escalated, cause, notices, context);
        } else {
            self.restart(Reason::EscalatedNow, &mut notices, context);
            self.emit_triggered(EventKind::Triggered, cause, notices, context);
        }
    }

    /// Two events for an open incident, so that whoever counts what was resolved need not know
    /// of marks.
    fn mark(&mut self, cause: Cause, context: &mut Context<'_>) {
        if self.incident.is_open() {
            self.resolve(Resolution::FalsePositive, context.now_ms);
            self.tell(Reason::Resolved, context);
            let Cause { actor, note, .. } = &cause;
            let resolved = Cause { actor: actor.clone(), note: note.clone(), ..Cause::default() };
            self.emit(EventKind::Resolved, resolved, context);
        } else {
            self.incident.resolution = Some(Resolution::FalsePositive);
        }
        self.emit(EventKind::FalsePositive, cause, context);
    }

    pub(crate) fn resolve(&mut self, resolution: Resolution, now_ms: i64) {
        let incident = &mut self.incident;
        incident.state = State::Resolved;
        incident.suppression = None;
        incident.resolution = Some(resolution);
        incident.resolved_at_ms = Some(now_ms);
        incident.next_at_ms = None;
        self.stop_pages(Stop::Resolved);
    }
}
