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

/// Acts of a message that alone asks for nothing, as on the wall.
const THANKS: [&str; 2] = ["thanks", "closing"];

/// What the customer has said since the last answer of a person and what ended the care cycle, in
/// the order of the log; an answer that was sent before a message does not answer it.
fn waiting(messages: &[Message]) -> Option<proto::ConversationWaiting> {
    let mut open: Vec<&Message> = Vec::new();
    for one in messages {
        let says = one.r#type == "message" && !one.private;
        let is_human = one.role == "agent" && !matches!(one.subtype.as_str(), "auto" | "ai");
        let ends = one.r#type == "status" && matches!(one.status.as_str(), "resolved" | "closed");
        if ends {
            open.clear();
        } else if says && is_human {
            open.retain(|asked| asked.sent_ms > one.sent_ms);
        } else if says && one.role == "customer" && asks(&one.acts) {
            open.push(one);
        }
    }
    let first = open.iter().min_by_key(|asked| asked.sent_ms)?;
    Some(proto::ConversationWaiting {
        since: Some(timestamp(first.sent_ms)),
        first_event_id: first.event_id.clone(),
        messages: open.len() as u32,
    })
}

/// Whether a customer's message is more than thanks or farewell.
fn asks(acts: &[String]) -> bool {
    let is_thanks = |act: &String| THANKS.contains(&act.as_str());
    !acts.iter().any(is_thanks) || !acts.iter().all(|act| is_thanks(act) || act == "acknowledge")
}

/// The counts of an open care cycle, whose fact is as old as its last answer: turns that were
/// answered, and the one that waits.
fn as_of_now(cycle: Cycle, turns: &[Turn], waits: bool) -> Cycle {
    if cycle.ended_ms.is_some() {
        return cycle;
    }
    let is_answered = |turn: &&Turn| turn.cycle == cycle.cycle && !turn.answer_event_id.is_empty();
    let answered = turns.iter().filter(is_answered).count() as u32;
    Cycle { turns: answered + u32::from(waits), unanswered: u32::from(waits), ..cycle }
}

fn into_proto(conversation_id: String, found: Conversation) -> proto::GetConversationResponse {
    let mut care: Vec<Care> = found.care;
    let waiting = waiting(&found.messages);
    let cycles = found.cycles.into_iter().map(|one| {
        let one = as_of_now(one, &found.turns, waiting.is_some());
        let place = care.iter().position(|care| care.cycle == one.cycle);
        cycle(&one, place.map(|place| care.swap_remove(place)))
    });
    proto::GetConversationResponse {
        conversation_id,
        cycles: cycles.collect(),
        waiting,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u32, role: &str, sent_s: i64) -> Message {
        Message {
            event_id: format!("e{id}"),
            r#type: "message".into(),
            sent_ms: sent_s * 1_000,
            role: role.into(),
            subtype: String::new(),
            author: String::new(),
            private: false,
            text: String::new(),
            status: String::new(),
            supersedes: String::new(),
            deletes: String::new(),
            sentiment: String::new(),
            sentiment_value: None,
            sentiment_confidence: None,
            politeness_label: String::new(),
            politeness: None,
            complaint: String::new(),
            complaint_category: String::new(),
            urgent_probability: None,
            forbidden: false,
            acts: Vec::new(),
            reasons: Vec::new(),
            engine: String::new(),
            library: String::new(),
        }
    }

    fn open_cycle() -> Cycle {
        Cycle {
            cycle: 1,
            started_ms: 0,
            ended_ms: None,
            resolved: false,
            reopened: false,
            turns: 1,
            unanswered: 0,
            frt_any_ms: Some(10_000),
            frt_human_ms: Some(10_000),
            frt_substantive_ms: Some(10_000),
            sla_frt: String::new(),
            sla_resolution: String::new(),
        }
    }

    fn turn(number: u32) -> Turn {
        Turn {
            cycle: 1,
            turn: number,
            started_ms: 0,
            agent: "a".into(),
            first_event_id: String::new(),
            last_event_id: String::new(),
            answer_event_id: "e1".into(),
            rt_first_unanswered_ms: Some(10_000),
            rt_last_msg_ms: Some(10_000),
            rt_human_ms: Some(10_000),
            sla_nrt: String::new(),
        }
    }

    /// First event that waits and how many do.
    fn waits(messages: &[Message]) -> Option<(String, u32)> {
        waiting(messages).map(|waiting| (waiting.first_event_id, waiting.messages))
    }

    #[test]
    fn an_open_cycle_agrees_with_the_messages_below_it() {
        let asked = [event(0, "customer", 0), event(1, "agent", 10)];
        let again = [event(2, "customer", 60), event(3, "customer", 70)];
        let shown = |messages: Vec<Message>| {
            let (turns, cycles) = (vec![turn(1)], vec![open_cycle()]);
            let shown = into_proto(
                "v".into(),
                Conversation { messages, turns, cycles, ..Conversation::default() },
            );
            (shown.cycles[0].turns, shown.cycles[0].unanswered, shown.waiting.is_some())
        };
        assert_eq!(shown(asked.to_vec()), (1, 0, false));
        // The fact of the cycle is still that of the first answer.
        assert_eq!(shown([asked, again].concat()), (2, 1, true));
    }

    #[test]
    fn an_ended_cycle_is_told_as_its_fact_has_it() {
        let cycle = Cycle { ended_ms: Some(1), turns: 3, unanswered: 1, ..open_cycle() };
        assert_eq!(as_of_now(cycle.clone(), &[turn(1)], true), cycle);
    }

    #[test]
    fn a_customer_waits_from_the_first_message_that_no_person_has_answered() {
        let bot = |mut one: Message| {
            one.subtype = "auto".into();
            one
        };
        let messages = [
            event(0, "customer", 0),
            event(1, "agent", 10),
            event(2, "customer", 20),
            event(3, "bot", 21),
            bot(event(4, "agent", 22)),
            event(5, "customer", 30),
        ];
        assert_eq!(waits(&messages), Some(("e2".into(), 2)));
        assert_eq!(waits(&messages[..2]), None);
    }

    #[test]
    fn a_note_an_end_and_thanks_leave_nobody_waiting() {
        let mut note = event(1, "agent", 5);
        note.private = true;
        assert_eq!(waits(&[event(0, "customer", 0), note]), Some(("e0".into(), 1)));
        let mut end = event(1, "system", 5);
        (end.r#type, end.status) = ("status".into(), "closed".into());
        assert_eq!(waits(&[event(0, "customer", 0), end]), None);
        let mut thanks = event(2, "customer", 20);
        thanks.acts = vec!["thanks".into(), "acknowledge".into()];
        let answered = [event(0, "customer", 0), event(1, "agent", 10)];
        let with = |last: Message| [answered.to_vec(), vec![last]].concat();
        assert_eq!(waits(&with(thanks.clone())), None);
        thanks.acts.push("question".into());
        assert_eq!(waits(&with(thanks)), Some(("e2".into(), 1)));
    }

    #[test]
    fn a_late_answer_answers_what_was_there_when_it_was_sent() {
        let messages = [
            event(0, "customer", 0),
            event(1, "customer", 10),
            // Sent between the two, logged after them.
            event(2, "agent", 9),
        ];
        assert_eq!(waits(&messages), Some(("e1".into(), 1)));
    }
}
