//! Silences, as records of the log and as callers see them.

use zhili_eventlog::runner::Undecodable;
use zhili_incident::{
    Matcher, Mode, NewSilence, Pattern, Silence, SilenceAction, SilenceCommand, SilenceState, Until,
};
use zhili_proto::escalation::v1 as pb;
use zhili_proto::timestamp;

use super::{Words, family, poison, severity, wire_family};

use pb::silence_command::{self as wire, create::End};

pub(super) fn command(it: pb::SilenceCommand, newer: bool) -> Result<SilenceCommand, Undecodable> {
    let lacks = |what: &str| {
        if newer {
            Undecodable::UnknownKind
        } else {
            poison(format!("silence.{what} is not given"))
        }
    };
    let action = match it.action.ok_or_else(|| lacks("action"))? {
        wire::Action::Create(create) => SilenceAction::Create(Box::new(NewSilence {
            mode: mode(create.mode)?,
            starts_at_ms: (create.starts_at_ms != 0).then_some(create.starts_at_ms),
            ends: match create.end.ok_or_else(|| lacks("end"))? {
                End::EndsAtMs(at_ms) => Until::At(at_ms),
                End::ForMs(ms) => Until::For(ms),
            },
            matcher: matcher(create.matcher.unwrap_or_default())?,
            comment: create.comment,
        })),
        wire::Action::Expire(pb::silence_command::Expire { silence_id }) => {
            SilenceAction::Expire { silence_id }
        }
    };
    let pb::SilenceCommand { command_id, tenant, team, actor, .. } = it;
    Ok(SilenceCommand { command_id, tenant, team, actor, action })
}

pub(super) fn command_of(it: SilenceCommand) -> pb::SilenceCommand {
    let action = match it.action {
        SilenceAction::Create(new) => {
            let NewSilence { matcher, mode, starts_at_ms, ends, comment } = *new;
            wire::Action::Create(wire::Create {
                matcher: Some(matcher_of(&matcher)),
                mode: mode_of(mode).into(),
                starts_at_ms: starts_at_ms.unwrap_or_default(),
                end: Some(match ends {
                    Until::At(at_ms) => End::EndsAtMs(at_ms),
                    Until::For(ms) => End::ForMs(ms),
                }),
                comment,
            })
        }
        SilenceAction::Expire { silence_id } => wire::Action::Expire(wire::Expire { silence_id }),
    };
    let SilenceCommand { command_id, tenant, team, actor, .. } = it;
    pb::SilenceCommand { command_id, tenant, team, actor, action: Some(action) }
}

/// Not given means that pages are called off.
pub(crate) fn mode(value: i32) -> Result<Mode, Undecodable> {
    match pb::silence::Mode::try_from(value) {
        Ok(pb::silence::Mode::Unspecified | pb::silence::Mode::Silence) => Ok(Mode::Silence),
        Ok(pb::silence::Mode::Maintenance) => Ok(Mode::Maintenance),
        Err(_) => Err(Undecodable::UnknownKind),
    }
}

fn mode_of(mode: Mode) -> pb::silence::Mode {
    match mode {
        Mode::Silence => pb::silence::Mode::Silence,
        Mode::Maintenance => pb::silence::Mode::Maintenance,
    }
}

pub(crate) fn matcher(it: pb::Matcher) -> Result<Matcher, Undecodable> {
    let patterns = |texts: Vec<String>| texts.into_iter().map(Pattern::new).collect();
    Ok(Matcher {
        family: it.family.into_iter().map(family).collect::<Result<_, _>>()?,
        severity: it.severity.into_iter().map(severity).collect::<Result<_, _>>()?,
        kind: patterns(it.kind),
        category: patterns(it.category),
        queue: patterns(it.queue),
        agent: patterns(it.agent),
        channel: patterns(it.channel),
        conversation_id: patterns(it.conversation_id),
    })
}

fn matcher_of(it: &Matcher) -> pb::Matcher {
    let texts =
        |patterns: &[Pattern]| patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect();
    let severity = |it: &_| pb::incident::Severity::from(Words(*it)).into();
    pb::Matcher {
        family: it.family.iter().map(|it| wire_family(*it).into()).collect(),
        severity: it.severity.iter().map(severity).collect(),
        kind: texts(&it.kind),
        category: texts(&it.category),
        queue: texts(&it.queue),
        agent: texts(&it.agent),
        channel: texts(&it.channel),
        conversation_id: texts(&it.conversation_id),
    }
}

pub(crate) fn silence(it: &Silence) -> pb::Silence {
    pb::Silence {
        silence_id: it.silence_id.to_string(),
        tenant: it.tenant.clone(),
        team: it.team.clone(),
        matcher: Some(matcher_of(&it.matcher)),
        mode: mode_of(it.mode).into(),
        starts_at: Some(timestamp(it.starts_at_ms)),
        ends_at: Some(timestamp(it.ends_at_ms)),
        author: it.author.clone(),
        comment: it.comment.clone(),
        state: pb::silence::State::Unspecified.into(),
    }
}

/// Where a silence stands at an instant.
pub(crate) fn standing(starts_at_ms: i64, ends_at_ms: i64, at_ms: i64) -> pb::silence::State {
    match SilenceState::at(starts_at_ms, ends_at_ms, at_ms) {
        SilenceState::Pending => pb::silence::State::Pending,
        SilenceState::Active => pb::silence::State::Active,
        SilenceState::Expired => pb::silence::State::Expired,
    }
}
