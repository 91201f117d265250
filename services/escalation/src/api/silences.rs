//! Silences: made, ended and listed.

use std::time::Duration;

use tokio::time::Instant;
use zhili_incident::{DEFAULT_TEAM, NewSilence, SilenceAction, SilenceCommand, Until};
use zhili_proto::escalation::v1 as pb;
use zhili_proto::{duration_millis, millis};
use zhili_runtime::auth::Principal;
use zhili_runtime::{ErrorCode, ServiceError, masked};

use super::Api;
use super::commands::{LONGEST_NOTE, PATIENCE, check_id, check_length, command_id, invalid};
use crate::convert;

/// Values of one condition.
const MOST_VALUES: usize = 50;
const SEARCH: Duration = Duration::from_secs(2);

impl Api {
    pub(crate) async fn create_silence(
        &self,
        caller: Option<&Principal>,
        request: pb::CreateSilenceRequest,
    ) -> Result<pb::CreateSilenceResponse, ServiceError> {
        let caller = self.admit_to(caller, "a new silence")?;
        let ends = match (&request.ends_at, &request.duration) {
            (Some(at), None) => millis(at).map(Until::At),
            (None, Some(length)) => duration_millis(length).map(Until::For),
            _ => return Err(invalid("give one of `ends_at` and `duration`")),
        };
        let matcher = request.matcher.unwrap_or_default();
        check_matcher(&matcher)?;
        check_length("comment", &request.comment, LONGEST_NOTE)?;
        check_id("team", &request.team)?;
        let unknown = |field| move |_| invalid(&format!("{field}: a value that is not known here"));
        let new = NewSilence {
            matcher: convert::matcher(matcher).map_err(unknown("matcher"))?,
            mode: convert::mode(request.mode).map_err(unknown("mode"))?,
            starts_at_ms: request.starts_at.as_ref().and_then(millis),
            ends: ends.ok_or_else(|| invalid("ends_at: beyond what can be counted"))?,
            comment: masked(&request.comment),
        };
        let action = SilenceAction::Create(Box::new(new));
        let team = if request.team.is_empty() { DEFAULT_TEAM.to_owned() } else { request.team };
        let silence = self.order(caller, team, request.command_id, action).await?;
        Ok(pb::CreateSilenceResponse { silence: Some(silence) })
    }

    pub(crate) async fn expire_silence(
        &self,
        caller: Option<&Principal>,
        request: pb::ExpireSilenceRequest,
    ) -> Result<pb::ExpireSilenceResponse, ServiceError> {
        let caller = self.admit_to(caller, &request.silence_id)?;
        let tenant = caller.tenant.as_str();
        let pb::ExpireSilenceRequest { silence_id, command_id } = request;
        if self.board.silence(tenant, &silence_id).is_none() {
            // It may have been made elsewhere just now; what is known then decides.
            let _ = tokio::time::timeout(SEARCH, self.board.catch_up()).await;
        }
        let known = self.board.silence(tenant, &silence_id).ok_or_else(|| {
            let message = zhili_incident::Refusal::UnknownSilence.to_string();
            ServiceError::new(ErrorCode::NotFound, message)
        })?;
        let action = SilenceAction::Expire { silence_id };
        let silence = self.order(caller, known.team.clone(), command_id, action).await?;
        Ok(pb::ExpireSilenceResponse { silence: Some(silence) })
    }

    pub(crate) fn list_silences(
        &self,
        caller: Option<&Principal>,
        request: &pb::ListSilencesRequest,
    ) -> Result<pb::ListSilencesResponse, ServiceError> {
        let tenant = self.admit(caller)?.tenant.as_str();
        let now_ms = (self.clock)();
        let mut silences = self.board.silences(tenant);
        if let Some(config) = self.reach.config(tenant) {
            let teams = config.teams().iter();
            silences.extend(teams.flat_map(|(team, settings)| {
                let planned = settings.silences.iter();
                planned.map(move |(name, it)| convert::silence(&it.of(tenant, team, name)))
            }));
        }
        silences.retain(|it| request.team.is_empty() || it.team == request.team);
        for silence in &mut silences {
            stand(silence, now_ms);
        }
        silences.retain(|it| request.all || it.state() != pb::silence::State::Expired);
        silences.sort_by_key(|it| (it.starts_at.as_ref().and_then(millis), it.silence_id.clone()));
        Ok(pb::ListSilencesResponse { silences })
    }

    /// Has a command carried out, and gives the silence as it is then.
    async fn order(
        &self,
        caller: &Principal,
        team: String,
        chosen: String,
        action: SilenceAction,
    ) -> Result<pb::Silence, ServiceError> {
        check_id("command_id", &chosen)?;
        let command_id = command_id(chosen);
        let tenant = caller.tenant.to_string();
        let actor = caller.name.clone();
        let command = SilenceCommand {
            command_id: command_id.clone(),
            tenant: tenant.clone(),
            team: team.clone(),
            actor,
            action,
        };
        let answered = self.board.answer_about_silence(&command);
        let value = convert::silence_record(command);
        let deadline = Instant::now() + PATIENCE;
        let event = self.ask(&tenant, &team, value, answered, deadline, &command_id).await?;
        match event.refusal.as_str() {
            "" => event.silence.clone().ok_or_else(|| {
                ServiceError::new(ErrorCode::Internal, "the answer names no silence")
            }),
            "unknown_silence" => Err(ServiceError::new(ErrorCode::NotFound, event.note.clone())),
            "command_id_reused" | "too_many_silences" => {
                Err(ServiceError::new(ErrorCode::Conflict, event.note.clone()))
            }
            _ => Err(invalid(&event.note)),
        }
    }
}

/// Says where a silence stands at an instant.
fn stand(silence: &mut pb::Silence, at_ms: i64) {
    let at = |time: Option<&zhili_proto::Timestamp>| time.and_then(millis).unwrap_or_default();
    let (starts, ends) = (at(silence.starts_at.as_ref()), at(silence.ends_at.as_ref()));
    silence.state = convert::standing(starts, ends, at_ms).into();
}

fn check_matcher(matcher: &pb::Matcher) -> Result<(), ServiceError> {
    let pb::Matcher { family, severity, kind, category, queue, agent, channel, conversation_id } =
        matcher;
    let texts = [kind, category, queue, agent, channel, conversation_id];
    let counts = texts.map(Vec::len).into_iter().chain([family.len(), severity.len()]);
    if counts.max().unwrap_or_default() > MOST_VALUES {
        return Err(invalid(&format!("matcher: at most {MOST_VALUES} values in each condition")));
    }
    texts.into_iter().flatten().try_for_each(|text| check_id("matcher", text))
}
