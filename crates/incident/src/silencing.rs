//! What people do about silences, and what the beginning and the end of one does to incidents.

use crate::command::{Answer, Refusal};
use crate::config::ANY_TENANT;
use crate::event::{Cause, EventKind, IncidentEvent, reply_id};
use crate::id::{IncidentId, SilenceId, digest};
use crate::incident::State;
use crate::lifecycle::{Context, Tracked};
use crate::page::Reason;
use crate::partition::{Partition, context};
use crate::silence::{
    LONGEST_SILENCE_MS, MOST_SILENCES, NewSilence, Silence, SilenceAction, SilenceCommand,
    SilenceState,
};

impl Partition {
    /// Silences that people have made for a tenant and that have not ended a day ago, by their
    /// beginning. Those of the configuration are not among them.
    pub fn silences(&self, tenant: &str) -> Vec<&Silence> {
        let made = self.durable.silences.made.values();
        let mut silences: Vec<&Silence> = made.filter(|it| it.tenant == tenant).collect();
        silences.sort_by_key(|silence| (silence.starts_at_ms, silence.silence_id));
        silences
    }

    pub(crate) fn silence(&mut self, command: &SilenceCommand, events: &mut Vec<IncidentEvent>) {
        self.durable.silences.forget(self.durable.now_ms);
        let (kind, answer, silence) = match self.silenced(command) {
            Ok((kind, silence)) => (kind, Answer::Applied { version: 0 }, Some(silence)),
            Err(refusal) => (EventKind::Refused, Answer::Refused(refusal), None),
        };
        self.durable.replies += 1;
        let id = silence.as_ref().map(|it| it.silence_id.to_string()).unwrap_or_default();
        let note = match &answer {
            Answer::Refused(refusal) => refusal.to_string(),
            Answer::Applied { .. } => String::new(),
        };
        events.push(IncidentEvent {
            event_id: reply_id(self.durable.replies, &command.tenant, &id, &command.command_id),
            kind,
            tenant: command.tenant.clone(),
            team: command.team.clone(),
            incident: None,
            at_ms: self.durable.now_ms,
            effective_ms: self.durable.now_ms,
            actor: command.actor.clone(),
            note,
            page: None,
            attempt: None,
            silence,
            command_id: command.command_id.clone(),
            answer: Some(answer),
        });
        if matches!(kind, EventKind::Silenced | EventKind::SilenceExpired) {
            self.enter_starts();
            self.look_again(&command.tenant, events);
        }
    }

    fn silenced(&mut self, command: &SilenceCommand) -> Result<(EventKind, Silence), Refusal> {
        if command.command_id.is_empty() {
            return Err(Refusal::MissingCommandId);
        }
        let now_ms = self.durable.now_ms;
        let made = &mut self.durable.silences.made;
        let silence = match &command.action {
            SilenceAction::Create(new) => silence_of(command, new, now_ms)?,
            SilenceAction::Expire { silence_id } => {
                let unknown = || Refusal::UnknownSilence;
                let id: SilenceId = silence_id.parse().map_err(|_| unknown())?;
                let known = made.get_mut(&id).ok_or_else(unknown)?;
                if known.tenant != command.tenant || known.team != command.team {
                    return Err(unknown());
                }
                if known.state(now_ms) == SilenceState::Expired {
                    return Ok((EventKind::Repeated, known.clone()));
                }
                known.ends_at_ms = now_ms;
                return Ok((EventKind::SilenceExpired, known.clone()));
            }
        };
        if let Some(known) = made.get(&silence.silence_id) {
            // It may have been ended early, and a length counts from when it came first.
            let same = Silence {
                starts_at_ms: known.starts_at_ms,
                ends_at_ms: known.ends_at_ms,
                ..silence
            };
            let again = *known == same;
            return if again {
                Ok((EventKind::Repeated, same))
            } else {
                Err(Refusal::CommandIdReused)
            };
        }
        let of_team = made.values().filter(|it| it.tenant == silence.tenant);
        let of_team = of_team.filter(|it| it.team == silence.team && now_ms < it.ends_at_ms);
        if of_team.count() >= MOST_SILENCES {
            return Err(Refusal::TooManySilences);
        }
        made.insert(silence.silence_id, silence.clone());
        Ok((EventKind::Silenced, silence))
    }

    /// Looks again at everything of a tenant that pages or is held: a silence begins, is made or
    /// ended.
    pub(crate) fn look_again(&mut self, tenant: &str, events: &mut Vec<IncidentEvent>) {
        let of_tenant = |name: &str| tenant == ANY_TENANT || name == tenant;
        let open = self.index.open.iter().filter(|(name, _)| of_tenant(name));
        let ids: Vec<IncidentId> = open.flat_map(|(_, ids)| ids.iter().copied()).collect();
        for id in ids {
            self.look_again_at(id, events);
        }
    }

    pub(crate) fn look_again_at(&mut self, id: IncidentId, events: &mut Vec<IncidentEvent>) {
        let Some(tracked) = self.durable.incidents.get_mut(&id) else {
            return;
        };
        tracked.look_again(&mut context!(self, events));
        self.refresh(id);
    }

    /// Enters when silences begin that have not yet.
    pub(crate) fn enter_starts(&mut self) {
        let now_ms = self.durable.now_ms;
        let made = self.durable.silences.made.values();
        let made = made.map(|it| (it.starts_at_ms, it.tenant.clone()));
        let planned = self.durable.configs.planned_silences();
        let planned = planned.map(|(tenant, it)| (it.starts.ms, tenant.to_owned()));
        self.index.starts = made.chain(planned).filter(|(at_ms, _)| *at_ms > now_ms).collect();
    }
}

/// The silence that a command wants.
fn silence_of(command: &SilenceCommand, new: &NewSilence, now_ms: i64) -> Result<Silence, Refusal> {
    let NewSilence { matcher, mode, starts_at_ms, ends, comment } = new;
    let starts_at_ms = starts_at_ms.unwrap_or(now_ms).max(now_ms);
    let ends_at_ms = ends.instant_ms(starts_at_ms);
    if matcher.is_empty() {
        return Err(Refusal::EmptyMatcher);
    }
    if comment.trim().is_empty() {
        return Err(Refusal::MissingComment);
    }
    if ends_at_ms <= starts_at_ms || ends_at_ms > now_ms.saturating_add(LONGEST_SILENCE_MS) {
        return Err(Refusal::SilenceOutOfRange);
    }
    let parts = [&command.tenant, &command.team, &command.command_id].map(String::as_bytes);
    Ok(Silence {
        silence_id: SilenceId(digest("silence", &parts)),
        tenant: command.tenant.clone(),
        team: command.team.clone(),
        matcher: matcher.clone(),
        mode: *mode,
        starts_at_ms,
        ends_at_ms,
        author: command.actor.clone(),
        comment: comment.clone(),
    })
}

impl Tracked {
    /// What holds pages back has changed: holds or releases those of this incident.
    pub(crate) fn look_again(&mut self, context: &mut Context<'_>) {
        let incident = &self.incident;
        match incident.state {
            State::Suppressed => {
                self.reconsider(Reason::Released, Cause::default(), context);
            }
            State::Triggered if incident.exhausted.is_none() => self.suppress_and_tell(context),
            _ => {}
        }
    }

    fn suppress_and_tell(&mut self, context: &mut Context<'_>) {
        if self.suppress(context) {
            let cause = Cause { note: self.suppression_words(), ..Cause::default() };
            self.emit(EventKind::Suppressed, cause, context);
        }
    }
}
