//! One conversation, and what happened to one incident.

use zhili_dialogue::SignalKind;
use zhili_proto::metrics::v1 as proto;
use zhili_proto::timestamp;
use zhili_runtime::auth::{Permission, Principal};
use zhili_runtime::{ErrorCode, ServiceError};
use zhili_warehouse::query::{
    Care, Conversation, Cycle, Incident, Message, Promise, Reason, Signal, Slot, Turn,
    conversation, timeline,
};

use super::{Service, failed};

impl Service {
    pub(super) async fn get_conversation(
        &self,
        caller: &Principal,
        conversation_id: String,
    ) -> Result<proto::GetConversationResponse, ServiceError> {
        caller.does(Permission::Transcripts, conversation_id.as_str());
        caller.require(Permission::Transcripts)?;
        let _turn = self.turn().await?;
        let found = conversation(&self.warehouse, caller.tenant.as_str(), &conversation_id)
            .await
            .map_err(failed)?;
        if found.messages.is_empty() {
            let message = format!("there is no conversation {conversation_id}");
            return Err(ServiceError::new(ErrorCode::NotFound, message));
        }
        let mut shown = into_proto(conversation_id, found);
        if !self.scores_agents(&caller.tenant) {
            withhold(&mut shown);
        }
        Ok(shown)
    }

    pub(super) async fn list_incident_events(
        &self,
        caller: &Principal,
        incident_id: &str,
    ) -> Result<proto::ListIncidentEventsResponse, ServiceError> {
        caller.require(Permission::Incidents)?;
        let _turn = self.turn().await?;
        let events =
            timeline(&self.warehouse, caller.tenant.as_str(), incident_id).await.map_err(failed)?;
        if events.is_empty() {
            let message = format!("nothing is stored of an incident {incident_id}");
            return Err(ServiceError::new(ErrorCode::NotFound, message));
        }
        let events = events.into_iter().map(|event| proto::IncidentEvent {
            event_id: event.event_id,
            r#type: event.r#type,
            at: Some(timestamp(event.at_ms)),
            actor: event.actor,
            note: event.note,
            state: event.state,
            severity: event.severity,
            version: event.version,
            signals: event.signals,
        });
        Ok(proto::ListIncidentEventsResponse { events: events.collect() })
    }
}

/// Leaves out what rates agents.
fn withhold(shown: &mut proto::GetConversationResponse) {
    for message in shown.messages.iter_mut().filter(|message| message.role == "agent") {
        message.politeness = None;
        message.politeness_label.clear();
        message.forbidden = false;
        message.acts.clear();
        message.reasons.clear();
    }
    for care in shown.cycles.iter_mut().filter_map(|cycle| cycle.care.as_mut()) {
        care.identified = None;
        care.felt = None;
        care.solved = None;
        care.followed_up = None;
        care.soothing = None;
    }
    shown.slots.clear();
    shown.signals.retain(|signal| signal.kind != SignalKind::ForbiddenWording.name());
    shown.incidents.retain(|incident| incident.kind != SignalKind::ForbiddenWording.name());
}

fn seconds(ms: Option<i64>) -> Option<f64> {
    ms.map(|ms| ms as f64 / 1_000.0)
}

fn into_proto(conversation_id: String, found: Conversation) -> proto::GetConversationResponse {
    let mut care: Vec<Care> = found.care;
    let cycles = found.cycles.into_iter().map(|one| {
        let place = care.iter().position(|care| care.cycle == one.cycle);
        cycle(&one, place.map(|place| care.swap_remove(place)))
    });
    proto::GetConversationResponse {
        conversation_id,
        cycles: cycles.collect(),
        messages: found.messages.into_iter().map(message).collect(),
        turns: found.turns.into_iter().map(turn).collect(),
        slots: found.slots.into_iter().map(slot).collect(),
        promises: found.promises.into_iter().map(promise).collect(),
        signals: found.signals.into_iter().map(signal).collect(),
        incidents: found.incidents.into_iter().map(incident).collect(),
    }
}

fn message(message: Message) -> proto::ConversationMessage {
    proto::ConversationMessage {
        event_id: message.event_id,
        r#type: message.r#type,
        sent_at: Some(timestamp(message.sent_ms)),
        role: message.role,
        author: message.author,
        text: message.text,
        sentiment: message.sentiment,
        politeness: message.politeness,
        complaint: message.complaint,
        subtype: message.subtype,
        private: message.private,
        status: message.status,
        supersedes: message.supersedes,
        deletes: message.deletes,
        sentiment_value: message.sentiment_value,
        sentiment_confidence: message.sentiment_confidence,
        politeness_label: message.politeness_label,
        complaint_category: message.complaint_category,
        urgent_probability: message.urgent_probability,
        forbidden: message.forbidden,
        acts: message.acts,
        reasons: message.reasons.into_iter().map(reason).collect(),
        engine: message.engine,
        library: message.library,
    }
}

fn reason((start, end, class, rule, points, target): Reason) -> proto::ConversationReason {
    proto::ConversationReason { start, end, class, rule, points, target }
}

fn turn(turn: Turn) -> proto::ConversationTurn {
    proto::ConversationTurn {
        cycle: turn.cycle,
        turn: turn.turn,
        started_at: Some(timestamp(turn.started_ms)),
        agent: turn.agent,
        rt_first_unanswered_seconds: seconds(turn.rt_first_unanswered_ms),
        rt_last_msg_seconds: seconds(turn.rt_last_msg_ms),
        rt_human_seconds: seconds(turn.rt_human_ms),
        first_event_id: turn.first_event_id,
        last_event_id: turn.last_event_id,
        answer_event_id: turn.answer_event_id,
        sla_nrt: turn.sla_nrt,
    }
}

fn cycle(cycle: &Cycle, care: Option<Care>) -> proto::ConversationCycle {
    proto::ConversationCycle {
        cycle: cycle.cycle,
        started_at: Some(timestamp(cycle.started_ms)),
        ended_at: cycle.ended_ms.map(timestamp),
        resolved: cycle.resolved,
        reopened: cycle.reopened,
        turns: cycle.turns,
        unanswered: cycle.unanswered,
        frt_any_seconds: seconds(cycle.frt_any_ms),
        frt_human_seconds: seconds(cycle.frt_human_ms),
        frt_substantive_seconds: seconds(cycle.frt_substantive_ms),
        sla_frt: cycle.sla_frt.clone(),
        sla_resolution: cycle.sla_resolution.clone(),
        care: care.map(|care| proto::ConversationCare {
            mood_begin: care.mood_begin,
            mood_end: care.mood_end,
            cl5: care.cl5,
            converted: care.converted,
            aggravations: care.aggravations,
            complaint: care.complaint,
            topic: care.topic,
            identified: care.identified,
            felt: care.felt,
            solved: care.solved,
            followed_up: care.followed_up,
            soothing: care.soothing,
        }),
    }
}

fn slot(slot: Slot) -> proto::ConversationSlot {
    let Slot { cycle, slot, level, due_event_id, present, event_id } = slot;
    proto::ConversationSlot { cycle, slot, level, due_event_id, present, event_id }
}

fn promise(promise: Promise) -> proto::ConversationPromise {
    proto::ConversationPromise {
        promise: promise.promise,
        made_at: Some(timestamp(promise.made_ms)),
        due_at: Some(timestamp(promise.due_ms)),
        state: promise.state,
        made_event_id: promise.made_event_id,
        event_id: promise.event_id,
    }
}

fn signal(signal: Signal) -> proto::ConversationSignal {
    proto::ConversationSignal {
        signal_id: signal.signal_id,
        family: signal.family,
        kind: signal.kind,
        category: signal.category,
        severity: signal.severity,
        event_id: signal.event_id,
        effective_at: Some(timestamp(signal.effective_ms)),
        probability: signal.probability,
        rules: signal.rules,
        corrected: signal.corrected,
    }
}

fn incident(incident: Incident) -> proto::ConversationIncident {
    proto::ConversationIncident {
        incident_id: incident.incident_id,
        family: incident.family,
        kind: incident.kind,
        category: incident.category,
        state: incident.state,
        severity: incident.severity,
        triggered_at: incident.triggered_ms.map(timestamp),
        acknowledged_at: incident.acknowledged_ms.map(timestamp),
        resolved_at: incident.resolved_ms.map(timestamp),
        owner: incident.owner,
    }
}
