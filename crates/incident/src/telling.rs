//! Turns what an incident has done into events.

use std::sync::Arc;

use crate::command::{Answer, Command};
use crate::event::{Cause, EventKind, IncidentEvent, attempt_id, event_id, reply_id};
use crate::incident::{Incident, State};
use crate::lifecycle::{Context, Notices, Tracked};

impl Tracked {
    pub(crate) fn emit_escalated(
        &mut self,
        cause: Cause,
        notices: Notices,
        context: &mut Context<'_>,
    ) {
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
            let (kind, cause) = self.as_it_came(EventKind::Escalated, Cause { note, ..cause });
            self.emit(kind, cause, context);
        }
        self.emit_notices(notices, context);
    }

    pub(crate) fn emit_triggered(
        &mut self,
        kind: EventKind,
        cause: Cause,
        notices: Notices,
        context: &mut Context<'_>,
    ) {
        let effective_ms = cause.effective_ms;
        let (kind, cause) = self.as_it_came(kind, cause);
        self.emit(kind, cause, context);
        if let Some(exhausted) = self.incident.exhausted {
            let note = exhausted.words().to_owned();
            let cause = Cause { effective_ms, note, ..Cause::default() };
            self.emit(EventKind::Exhausted, cause, context);
        }
        self.emit_notices(notices, context);
    }

    /// What was to be told, or that the incident was suppressed instead.
    fn as_it_came(&self, kind: EventKind, cause: Cause) -> (EventKind, Cause) {
        if self.incident.state != State::Suppressed {
            return (kind, cause);
        }
        let words = self.suppression_words();
        let note = if cause.note.is_empty() { words } else { format!("{}; {words}", cause.note) };
        (EventKind::Suppressed, Cause { note, ..cause })
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

    /// Tells what came of an attempt that changes nothing yet.
    pub(crate) fn emit_attempted(&mut self, cause: Cause, context: &mut Context<'_>) {
        let version = self.incident.version;
        self.emit(EventKind::Attempted, cause, context);
        self.incident.version = version;
        let Some(event) = context.events.last_mut() else { return };
        if let Some((page, attempt)) = event.page.as_ref().zip(event.attempt.as_ref()) {
            event.event_id = attempt_id(page.page_id, attempt.attempt);
        }
        if let Some(incident) = &mut event.incident {
            Arc::make_mut(incident).version = version;
        }
    }

    /// Raises the version and tells of it.
    pub(crate) fn emit(&mut self, kind: EventKind, cause: Cause, context: &mut Context<'_>) {
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
            silence: None,
            attempt: cause.attempt,
            command_id: cause.command_id,
            answer: None,
            incident: Some(incident),
        });
    }

    /// Answers a command without changing anything.
    pub(crate) fn reply(
        &self,
        kind: EventKind,
        command: &Command,
        answer: Answer,
        context: &mut Context<'_>,
    ) {
        let incident = Some(Arc::new(self.incident.clone()));
        reply(kind, command, incident, answer, context);
    }
}

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
        silence: None,
        attempt: None,
        command_id: command.command_id.clone(),
        answer: Some(answer),
    });
}
