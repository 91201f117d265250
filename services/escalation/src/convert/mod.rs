//! Between the records of the log and the fold's own types: the one place that knows both.

mod silences;

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use zhili_eventlog::runner::{self, Marker, Undecodable};
use zhili_incident::{
    Action, Answer, Assignee, Attempt, Background, Claim, Command, DEFAULT_TEAM, DeliveryResult,
    Entry, Erased, EventKind, Exhausted, Family, Incident, IncidentEvent, Outcome, Page, PageState,
    Presence, Said, Severity, Signal, SilenceCommand, Speaker, State, Until,
};
use zhili_proto::conversation::v1::author::Role;
use zhili_proto::escalation::v1 as pb;
use zhili_proto::log::v1 as log;
use zhili_proto::{millis, timestamp};

use pb::log_entry::Entry as Wire;

pub(crate) use silences::{matcher, mode, silence, standing};

fn poison(detail: impl Into<String>) -> Undecodable {
    Undecodable::Poison { reason: "invalid", detail: detail.into() }
}

/// What a record of the escalation log says.
///
/// Values that this version does not know, be it a kind of record, an action or a word of an
/// enumeration, were written by a newer one and are [`Undecodable::UnknownKind`].
pub(crate) fn entry(value: Option<&[u8]>) -> Result<runner::Entry<Entry>, Undecodable> {
    let value = value.filter(|value| !value.is_empty()).ok_or_else(|| poison("it is empty"))?;
    let record = pb::LogEntry::decode(value).map_err(|error| Undecodable::Poison {
        reason: "undecodable",
        detail: error.to_string(),
    })?;
    // Fields that were skipped are those of a newer version.
    let newer = record.encoded_len() < value.len();
    let input = match record.entry.ok_or(Undecodable::UnknownKind)? {
        Wire::Tick(tick) => return Ok(runner::Entry::Tick { at_ms: tick.at_ms }),
        Wire::Marker(marker) => {
            let log::Marker { tenant, bundle, sequence } = marker;
            return Ok(runner::Entry::Marker(Marker { tenant, bundle, sequence }));
        }
        // Of one that cannot be read it is not known who is to be forgotten: it is not skipped.
        Wire::Erasure(it) => {
            let erasure = runner::Erasure::try_from(it).map_err(|_| Undecodable::UnknownKind)?;
            return Ok(runner::Entry::Erasure(erasure));
        }
        Wire::Signal(it) => Entry::Signal(signal(it)?),
        Wire::Command(it) => Entry::Command(command(it, newer)?),
        Wire::Silence(it) => Entry::Silence(silences::command(it, newer)?),
        Wire::Presence(presence) => {
            let pb::Presence { tenant, team, conversation_id, actor, here, at_ms } = presence;
            let at_ms = Some(at_ms).filter(|at_ms| *at_ms != 0);
            Entry::Presence(Presence { tenant, team, conversation_id, actor, here, at_ms })
        }
        Wire::Claim(it) => Entry::Claim(claim(it)?),
        Wire::Result(it) => Entry::Result(result(it)?),
    };
    Ok(runner::Entry::Input(input))
}

fn signal(it: pb::Signal) -> Result<Signal, Undecodable> {
    for (field, value) in [
        ("signal_id", &it.signal_id),
        ("tenant", &it.tenant),
        ("conversation_id", &it.conversation_id),
    ] {
        if value.is_empty() {
            return Err(poison(format!("signal.{field} is empty")));
        }
    }
    if !it.probability.is_finite() {
        return Err(poison("signal.probability is not a number"));
    }
    Ok(Signal {
        family: family(it.family)?,
        severity: severity(it.severity)?,
        team: if it.team.is_empty() { DEFAULT_TEAM.to_owned() } else { it.team },
        signal_id: it.signal_id,
        tenant: it.tenant,
        conversation_id: it.conversation_id,
        kind: it.kind,
        category: it.category,
        event_id: it.event_id,
        effective_ms: it.effective_ms,
        probability: it.probability,
        rules: it.rules,
        related: it.related,
        excerpt: it.excerpt,
        agent: it.agent,
        customer: it.customer,
        channel: it.channel,
        queue: it.queue,
        historical: it.historical,
        engine: it.engine,
        background: Background {
            customer_tier: it.customer_tier,
            said: it.said.into_iter().map(said).collect(),
        },
    })
}

fn said(it: pb::Said) -> Said {
    Said {
        speaker: speaker(it.role()),
        sent_at_ms: it.sent_at.as_ref().and_then(millis).unwrap_or_default(),
        event_id: it.event_id,
        text: it.text,
        sentiment: it.sentiment.filter(|value| value.is_finite()),
    }
}

fn family(value: i32) -> Result<Family, Undecodable> {
    match pb::Family::try_from(value) {
        Ok(pb::Family::Complaint) => Ok(Family::Complaint),
        Ok(pb::Family::Wording) => Ok(Family::Wording),
        Ok(pb::Family::Sla) => Ok(Family::Sla),
        Ok(pb::Family::Crisis) => Ok(Family::Crisis),
        Ok(pb::Family::Unspecified) => Err(poison("signal.family is not given")),
        Err(_) => Err(Undecodable::UnknownKind),
    }
}

fn severity(value: i32) -> Result<Severity, Undecodable> {
    match pb::incident::Severity::try_from(value) {
        Ok(pb::incident::Severity::Info) => Ok(Severity::Info),
        Ok(pb::incident::Severity::Warning) => Ok(Severity::Warning),
        Ok(pb::incident::Severity::High) => Ok(Severity::High),
        Ok(pb::incident::Severity::Critical) => Ok(Severity::Critical),
        Ok(pb::incident::Severity::Unspecified) => Err(poison("signal.severity is not given")),
        Err(_) => Err(Undecodable::UnknownKind),
    }
}

fn command(it: pb::Command, newer: bool) -> Result<Command, Undecodable> {
    let action = match it.action {
        Some(pb::command::Action::Acknowledge(_)) => Action::Acknowledge,
        Some(pb::command::Action::Resolve(_)) => Action::Resolve,
        Some(pb::command::Action::Snooze(it)) => Action::Snooze(match it.end {
            Some(pb::snooze_action::End::UntilMs(at_ms)) => Until::At(at_ms),
            Some(pb::snooze_action::End::ForMs(ms)) => Until::For(ms),
            None if newer => return Err(Undecodable::UnknownKind),
            None => return Err(poison("command.snooze has no end")),
        }),
        Some(pb::command::Action::Reassign(it)) => Action::Reassign(match it.to {
            Some(pb::reassign_action::To::Destination(name)) => Assignee::Destination(name),
            Some(pb::reassign_action::To::Policy(name)) => Assignee::Policy(name),
            None if newer => return Err(Undecodable::UnknownKind),
            None => return Err(poison("command.reassign says not to whom")),
        }),
        Some(pb::command::Action::EscalateNow(_)) => Action::EscalateNow,
        Some(pb::command::Action::MarkFalsePositive(_)) => Action::MarkFalsePositive,
        Some(pb::command::Action::Redeliver(it)) => Action::Redeliver(
            it.page_id
                .parse()
                .map_err(|error| poison(format!("command.redeliver.page_id: {error}")))?,
        ),
        None if newer => return Err(Undecodable::UnknownKind),
        None => return Err(poison("command.action is not given")),
    };
    Ok(Command {
        command_id: it.command_id,
        tenant: it.tenant,
        team: it.team,
        incident_id: it.incident_id,
        expected_version: it.expected_version,
        actor: it.actor,
        note: it.note,
        action,
    })
}

fn claim(it: pb::Claim) -> Result<Claim, Undecodable> {
    let page_id = it.page_id.parse().map_err(|error| poison(format!("claim.page_id: {error}")))?;
    Ok(Claim { page_id, attempt: it.attempt, owner: it.owner })
}

fn result(it: pb::DeliveryResult) -> Result<DeliveryResult, Undecodable> {
    use pb::delivery_result::Outcome as Word;
    let page_id = it.page_id.parse().map_err(|error| poison(format!("result.page_id: {error}")))?;
    let outcome = match Word::try_from(it.outcome) {
        Ok(Word::Delivered) => Outcome::Delivered,
        Ok(Word::Failed) => Outcome::Failed,
        Ok(Word::Rejected) => Outcome::Rejected,
        Ok(Word::Unspecified) => return Err(poison("result.outcome is not given")),
        Err(_) => return Err(Undecodable::UnknownKind),
    };
    Ok(DeliveryResult {
        page_id,
        code: it.code,
        excerpt: it.excerpt,
        attempt: it.attempt,
        outcome,
        detail: it.detail,
        duration_ms: it.duration_ms,
        retry_after_ms: it.retry_after_ms,
    })
}

/// Key of everything about a team, in the escalation log as in the incident log.
pub(crate) fn key(tenant: &str, team: &str) -> Bytes {
    Bytes::from(format!("{tenant}/{team}"))
}

fn record(entry: Wire) -> Bytes {
    Bytes::from(pb::LogEntry { entry: Some(entry) }.encode_to_vec())
}

pub(crate) fn tick_record(at_ms: i64) -> Bytes {
    record(Wire::Tick(log::Tick { at_ms }))
}

pub(crate) fn marker_record(marker: &Marker) -> Bytes {
    let Marker { tenant, bundle, sequence } = marker.clone();
    record(Wire::Marker(log::Marker { tenant, bundle, sequence }))
}

pub(crate) fn command_record(command: Command) -> Bytes {
    let action = match command.action {
        Action::Acknowledge => pb::command::Action::Acknowledge(pb::AcknowledgeAction {}),
        Action::Resolve => pb::command::Action::Resolve(pb::ResolveAction {}),
        Action::Snooze(until) => pb::command::Action::Snooze(pb::SnoozeAction {
            end: Some(match until {
                Until::At(at_ms) => pb::snooze_action::End::UntilMs(at_ms),
                Until::For(ms) => pb::snooze_action::End::ForMs(ms),
            }),
        }),
        Action::Reassign(to) => pb::command::Action::Reassign(pb::ReassignAction {
            to: Some(match to {
                Assignee::Destination(name) => pb::reassign_action::To::Destination(name),
                Assignee::Policy(name) => pb::reassign_action::To::Policy(name),
            }),
        }),
        Action::EscalateNow => pb::command::Action::EscalateNow(pb::EscalateNowAction {}),
        Action::MarkFalsePositive => {
            pb::command::Action::MarkFalsePositive(pb::MarkFalsePositiveAction {})
        }
        Action::Redeliver(page_id) => {
            pb::command::Action::Redeliver(pb::RedeliverAction { page_id: page_id.to_string() })
        }
    };
    record(Wire::Command(pb::Command {
        command_id: command.command_id,
        tenant: command.tenant,
        team: command.team,
        incident_id: command.incident_id,
        expected_version: command.expected_version,
        actor: command.actor,
        note: command.note,
        action: Some(action),
    }))
}

pub(crate) fn silence_record(command: SilenceCommand) -> Bytes {
    record(Wire::Silence(silences::command_of(command)))
}

pub(crate) fn presence_record(presence: Presence) -> Bytes {
    let Presence { tenant, team, conversation_id, actor, here, at_ms } = presence;
    let at_ms = at_ms.unwrap_or_default();
    record(Wire::Presence(pb::Presence { tenant, team, conversation_id, actor, here, at_ms }))
}

pub(crate) fn claim_record(tenant: &str, team: &str, claim: Claim) -> Bytes {
    record(Wire::Claim(pb::Claim {
        tenant: tenant.to_owned(),
        team: team.to_owned(),
        page_id: claim.page_id.to_string(),
        attempt: claim.attempt,
        owner: claim.owner,
    }))
}

pub(crate) fn result_record(tenant: &str, team: &str, result: DeliveryResult) -> Bytes {
    record(Wire::Result(pb::DeliveryResult {
        tenant: tenant.to_owned(),
        team: team.to_owned(),
        page_id: result.page_id.to_string(),
        attempt: result.attempt,
        outcome: wire_outcome(result.outcome).into(),
        detail: result.detail,
        code: result.code,
        excerpt: result.excerpt,
        duration_ms: result.duration_ms,
        retry_after_ms: result.retry_after_ms,
    }))
}

pub(crate) fn wire_outcome(outcome: Outcome) -> pb::delivery_result::Outcome {
    use pb::delivery_result::Outcome as Word;
    match outcome {
        Outcome::Delivered => Word::Delivered,
        Outcome::Failed => Word::Failed,
        Outcome::Rejected => Word::Rejected,
    }
}

fn attempt((page, it): (&Page, &Attempt)) -> pb::DeliveryAttempt {
    pb::DeliveryAttempt {
        page_id: page.page_id.to_string(),
        destination: page.destination.clone(),
        channel: page.channel.name().to_owned(),
        attempt: it.attempt,
        claimed_at: Some(timestamp(it.claimed_at_ms)),
        settled_at: it.settled_at_ms.map(timestamp),
        outcome: it.outcome.map_or(0, |outcome| wire_outcome(outcome).into()),
        code: it.code.clone(),
        detail: it.detail.clone(),
        excerpt: it.excerpt.clone(),
        duration_ms: it.duration_ms,
        owner: it.owner.clone(),
    }
}

/// An event as a record of the incident log.
pub(crate) fn event_record(event: IncidentEvent) -> Bytes {
    let refusal = match &event.answer {
        Some(Answer::Refused(refusal)) => refusal.code().to_owned(),
        Some(Answer::Applied { .. }) | None => String::new(),
    };
    let event = pb::IncidentEvent {
        r#type: kind(event.kind).into(),
        incident: event.incident.as_deref().map(incident),
        at_ms: event.at_ms,
        actor: event.actor,
        note: event.note,
        page: event.page.as_ref().map(page),
        attempt: event.page.as_ref().zip(event.attempt.as_ref()).map(attempt),
        command_id: event.command_id,
        event_id: event.event_id,
        effective_ms: event.effective_ms,
        tenant: event.tenant,
        team: event.team,
        refusal,
        silence: event.silence.as_ref().map(silence),
        erased_incidents: Vec::new(),
    };
    Bytes::from(event.encode_to_vec())
}

fn kind(kind: EventKind) -> pb::incident_event::Type {
    use pb::incident_event::Type;
    match kind {
        EventKind::Triggered => Type::Triggered,
        EventKind::Paged => Type::Paged,
        EventKind::Acknowledged => Type::Acknowledged,
        EventKind::Snoozed => Type::Snoozed,
        EventKind::Suppressed => Type::Suppressed,
        EventKind::Reassigned => Type::Reassigned,
        EventKind::FalsePositive => Type::FalsePositive,
        EventKind::Updated => Type::Updated,
        EventKind::Escalated => Type::Escalated,
        EventKind::Resolved => Type::Resolved,
        EventKind::Exhausted => Type::Exhausted,
        EventKind::DeliveryFailed => Type::DeliveryFailed,
        EventKind::Redelivered => Type::Redelivered,
        EventKind::Recorded => Type::Recorded,
        EventKind::Silenced => Type::Silenced,
        EventKind::SilenceExpired => Type::SilenceExpired,
        EventKind::Refused => Type::Refused,
        EventKind::Repeated => Type::AnsweredAgain,
        EventKind::Attempted => Type::Attempted,
    }
}

fn incident(it: &Incident) -> pb::Incident {
    use pb::incident::{Severity as Level, State as Standing};
    let state = match it.state {
        State::Triggered => Standing::Triggered,
        State::Acknowledged => Standing::Acknowledged,
        State::Snoozed => Standing::Snoozed,
        State::Suppressed => Standing::Suppressed,
        State::Resolved => Standing::Resolved,
    };
    let exhausted_reason = match it.exhausted {
        Some(Exhausted::NobodyReachable) => "nobody_reachable",
        Some(Exhausted::PolicyEnded) => "policy_ended",
        None => "",
    };
    pb::Incident {
        incident_id: it.incident_id.to_string(),
        tenant: it.tenant.clone(),
        team: it.team.clone(),
        conversation_id: it.conversation_id.clone(),
        family: wire_family(it.family).into(),
        kind: it.kind.clone(),
        category: it.category.clone(),
        state: state.into(),
        severity: Level::from(Words(it.severity)).into(),
        version: it.version,
        triggered_at: Some(timestamp(it.triggered_at_ms)),
        acknowledged_at: it.acknowledged_at_ms.map(timestamp),
        resolved_at: it.resolved_at_ms.map(timestamp),
        owner: it.owner.clone(),
        evidence: it.evidence.iter().map(evidence).collect(),
        signals: it.signals,
        policy: it.policy.name.clone(),
        step: it.step,
        r#loop: it.pass,
        next_at: it.next_at_ms.map(timestamp),
        exhausted: it.exhausted.is_some(),
        pages: it.pages.iter().map(page).collect(),
        previous_incident_id: it.previous.map(|id| id.to_string()).unwrap_or_default(),
        historical: it.historical,
        repeats_left: it.repeats_left,
        exhausted_reason: exhausted_reason.to_owned(),
        resolution: it.resolution.map(|how| how.name().to_owned()).unwrap_or_default(),
        queue: it.queue.clone(),
        suppression: it.suppression.as_ref().map(|suppression| pb::Suppression {
            cause: suppression.held.name().to_owned(),
            detail: suppression.held.to_string(),
            since: Some(timestamp(suppression.since_ms)),
        }),
        assigned_to: it.policy.assigned.clone().unwrap_or_default(),
    }
}

pub(crate) fn wire_family(family: Family) -> pb::Family {
    match family {
        Family::Complaint => pb::Family::Complaint,
        Family::Wording => pb::Family::Wording,
        Family::Sla => pb::Family::Sla,
        Family::Crisis => pb::Family::Crisis,
    }
}

pub(super) struct Words<T>(pub(super) T);

impl From<Words<Severity>> for pb::incident::Severity {
    fn from(Words(severity): Words<Severity>) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Warning => Self::Warning,
            Severity::High => Self::High,
            Severity::Critical => Self::Critical,
        }
    }
}

/// The word for a severity in configuration, cards and metric labels.
pub(crate) fn severity_name(severity: Severity) -> &'static str {
    pb::incident::Severity::from(Words(severity)).as_str_name()
}

fn evidence(it: &Arc<Signal>) -> pb::Signal {
    pb::Signal {
        signal_id: it.signal_id.clone(),
        tenant: it.tenant.clone(),
        team: it.team.clone(),
        conversation_id: it.conversation_id.clone(),
        family: wire_family(it.family).into(),
        kind: it.kind.clone(),
        category: it.category.clone(),
        severity: pb::incident::Severity::from(Words(it.severity)).into(),
        event_id: it.event_id.clone(),
        effective_ms: it.effective_ms,
        probability: it.probability,
        rules: it.rules.clone(),
        related: it.related.clone(),
        excerpt: it.excerpt.clone(),
        agent: it.agent.clone(),
        customer: it.customer.clone(),
        channel: it.channel.clone(),
        queue: it.queue.clone(),
        historical: it.historical,
        engine: it.engine.clone(),
        customer_tier: it.background.customer_tier.clone(),
        said: it.background.said.iter().map(wire_said).collect(),
    }
}

/// The side that an author is on.
pub(crate) fn speaker(role: Role) -> Speaker {
    match role {
        Role::Customer => Speaker::Customer,
        Role::Agent => Speaker::Agent,
        Role::Supervisor => Speaker::Supervisor,
        Role::Bot | Role::System | Role::Unspecified => Speaker::Machine,
    }
}

fn wire_said(it: &Said) -> pb::Said {
    let role = match it.speaker {
        Speaker::Customer => Role::Customer,
        Speaker::Agent => Role::Agent,
        Speaker::Machine => Role::System,
        Speaker::Supervisor => Role::Supervisor,
    };
    pb::Said {
        event_id: it.event_id.clone(),
        role: role.into(),
        sent_at: Some(timestamp(it.sent_at_ms)),
        text: it.text.clone(),
        sentiment: it.sentiment,
    }
}

fn page(it: &Page) -> pb::Page {
    use pb::page::State as Standing;
    let state = match &it.state {
        PageState::Pending { .. }
        | PageState::Ready { .. }
        | PageState::Waiting { .. }
        | PageState::Bundled { .. } => Standing::Pending,
        PageState::Sending { .. } | PageState::Unsettled { .. } => Standing::Sending,
        PageState::Delivered => Standing::Delivered,
        PageState::Failed => Standing::Failed,
        PageState::Cancelled => Standing::Cancelled,
    };
    pb::Page {
        page_id: it.page_id.to_string(),
        destination: it.destination.clone(),
        channel: it.channel.name().to_owned(),
        state: state.into(),
        attempts: it.attempts,
        detail: it.detail.clone(),
        reason: it.reason.name().to_owned(),
        step: it.step,
        created_at: Some(timestamp(it.created_at_ms)),
        redelivery_of: it.redelivery_of.map(|id| id.to_string()).unwrap_or_default(),
    }
}

/// The record that tells of incidents of one team that they were erased.
pub(crate) fn erased_record(at_ms: i64, erasure_id: &str, of_team: &[Erased]) -> Bytes {
    let first = of_team.first();
    let event = pb::IncidentEvent {
        r#type: pb::incident_event::Type::Erased.into(),
        at_ms,
        effective_ms: at_ms,
        tenant: first.map(|erased| erased.tenant.clone()).unwrap_or_default(),
        team: first.map(|erased| erased.team.clone()).unwrap_or_default(),
        command_id: erasure_id.to_owned(),
        event_id: format!("{erasure_id}/{}", first.map_or("", |erased| &erased.team)),
        erased_incidents: of_team.iter().map(|it| it.incident_id.to_string()).collect(),
        ..pb::IncidentEvent::default()
    };
    event.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(entry: Wire) -> Result<runner::Entry<Entry>, Undecodable> {
        super::entry(Some(&record(entry)))
    }

    fn a_signal() -> pb::Signal {
        pb::Signal {
            signal_id: "s".into(),
            tenant: "t".into(),
            conversation_id: "c".into(),
            family: pb::Family::Complaint.into(),
            severity: pb::incident::Severity::High.into(),
            ..pb::Signal::default()
        }
    }

    #[test]
    fn a_signal_without_a_team_is_for_the_default_team() {
        let Ok(runner::Entry::Input(Entry::Signal(signal))) = decoded(Wire::Signal(a_signal()))
        else {
            panic!("not a signal");
        };
        assert_eq!(signal.team, "default");
    }

    #[test]
    fn a_signal_that_lacks_what_it_is_about_is_poison_that_names_the_field() {
        let unnamed = pb::Signal { signal_id: String::new(), ..a_signal() };
        let vague = pb::Signal { family: 0, ..a_signal() };
        for (signal, field) in [(unnamed, "signal_id"), (vague, "family")] {
            match decoded(Wire::Signal(signal)) {
                Err(Undecodable::Poison { detail, .. }) => assert!(detail.contains(field)),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn bytes_that_are_no_record_are_poison() {
        for value in [None, Some(&b""[..]), Some(&b"\xff\xff\xff"[..])] {
            assert!(matches!(entry(value), Err(Undecodable::Poison { .. })), "{value:?}");
        }
    }

    #[test]
    fn what_a_newer_version_wrote_is_an_unknown_kind() {
        let newer_family = pb::Signal { family: 99, ..a_signal() };
        assert!(matches!(decoded(Wire::Signal(newer_family)), Err(Undecodable::UnknownKind)));
        // Field 15 of the record, length 0.
        assert!(matches!(entry(Some(&[0x7a, 0x00])), Err(Undecodable::UnknownKind)));
        // A command (field 2, length 3) whose action is field 31, length 0.
        let newer_action = [0x12, 0x03, 0xfa, 0x01, 0x00];
        assert!(matches!(entry(Some(&newer_action)), Err(Undecodable::UnknownKind)));
        // A command without any action.
        assert!(matches!(entry(Some(&[0x12, 0x00])), Err(Undecodable::Poison { .. })));
    }
}
