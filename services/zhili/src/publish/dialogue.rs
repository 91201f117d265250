//! Dialogues as files have them, and the events that they stand for.

use serde::Deserialize;
use zhili_proto::conversation::v1::author::{Role, Subtype};
use zhili_proto::conversation::v1::event::Status;
use zhili_proto::conversation::v1::{Author, Csat, Customer, Event, EventType};

use crate::duration::Length;

/// How times are made up.
pub(crate) struct Pace {
    /// Between two turns without a time of their own, in milliseconds.
    pub(crate) gap_ms: i64,
    /// End each conversation with `resolved`.
    pub(crate) close: bool,
    /// When the last event of each conversation happens.
    pub(crate) now_ms: i64,
}

/// Agents that turns are spread over when the file does not name any.
const AGENTS: u8 = 12;

/// One dialogue. Fields that are not about what was said, such as expectations of tests, are
/// left alone.
#[derive(Debug, Deserialize)]
pub(super) struct Dialogue {
    id: String,
    #[serde(default)]
    lang: String,
    turns: Vec<Turn>,
}

#[derive(Debug, Deserialize)]
struct Turn {
    role: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    score: Option<f64>,
    #[serde(default)]
    max: Option<f64>,
    #[serde(default)]
    target: Option<usize>,
    #[serde(default)]
    after: Option<Length>,
    #[serde(default)]
    agent: Option<String>,
    #[serde(default)]
    subtype: Option<String>,
    #[serde(default)]
    private: bool,
    #[serde(default)]
    seq: Option<i64>,
}

impl Dialogue {
    /// The events, the last of which happens now.
    pub(super) fn events(&self, source: &str, pace: &Pace) -> Result<Vec<Event>, String> {
        let mut at = 0;
        let mut events = Vec::with_capacity(self.turns.len() + 1);
        for (index, turn) in self.turns.iter().enumerate() {
            if index > 0 {
                let after = turn.after.map_or(pace.gap_ms, |after| after.ms);
                at += after;
            }
            let event = self
                .event(index, turn)
                .map_err(|problem| format!("{}, turn {index}: {problem}", self.id))?;
            events.push((at, event));
        }
        let ended = self.turns.last().is_some_and(|turn| turn.status.is_some());
        if pace.close && !ended && !self.turns.is_empty() {
            at += pace.gap_ms;
            let status = Event {
                event_id: format!("{}-end", self.id),
                r#type: EventType::Status.into(),
                status: Status::Resolved.into(),
                author: Some(author(Role::System, "system")),
                ..Event::default()
            };
            events.push((at, status));
        }
        let begin = pace.now_ms - at;
        Ok(events
            .into_iter()
            .map(|(at, event)| Event {
                source: source.to_owned(),
                conversation_id: self.id.clone(),
                sent_at: Some(zhili_proto::timestamp(begin + at)),
                lang: self.lang.clone(),
                channel: "chat".to_owned(),
                customer: Some(Customer { id: self.id.clone(), ..Customer::default() }),
                ..event
            })
            .collect())
    }

    fn event(&self, index: usize, turn: &Turn) -> Result<Event, String> {
        let role = Role::from_str_name(&turn.role)
            .filter(|role| *role != Role::Unspecified)
            .ok_or_else(|| {
                format!("role {:?} is none of customer, agent, bot, system, supervisor", turn.role)
            })?;
        let name = turn.r#type.as_deref().unwrap_or("message");
        let kind = EventType::from_str_name(name)
            .ok_or_else(|| format!("type {name:?} is not an event type"))?;
        let id = match (&turn.agent, role) {
            (Some(agent), _) => agent.clone(),
            (None, Role::Customer) => self.id.clone(),
            (None, Role::Agent) => self.agent(),
            (None, _) => turn.role.clone(),
        };
        let subtype = match turn.subtype.as_deref() {
            None => Subtype::Unspecified,
            Some(name) => Subtype::from_str_name(name)
                .ok_or_else(|| format!("subtype {name:?} is none of auto, assist, template, ai"))?,
        };
        let status = match turn.status.as_deref() {
            None => Status::Unspecified,
            Some(name) => Status::from_str_name(name).ok_or_else(|| {
                format!("status {name:?} is none of open, resolved, reopened, closed")
            })?,
        };
        Ok(Event {
            event_id: self.event_id(index),
            r#type: kind.into(),
            text: turn.text.clone(),
            author: Some(Author { subtype: subtype.into(), ..author(role, &id) }),
            private: turn.private,
            status: status.into(),
            csat: turn.score.map(|score| Csat { score, max: turn.max.unwrap_or(5.0) }),
            target: turn.target.map_or_else(String::new, |target| self.event_id(target)),
            seq: turn.seq,
            ..Event::default()
        })
    }

    fn event_id(&self, index: usize) -> String {
        format!("{}-{index}", self.id)
    }

    /// One of twelve, the same for a dialogue each time.
    fn agent(&self) -> String {
        use sha2::{Digest, Sha256};
        format!("agent-{:02}", Sha256::digest(&self.id)[0] % AGENTS + 1)
    }
}

fn author(role: Role, id: &str) -> Author {
    Author { id: id.to_owned(), role: role.into(), ..Author::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { gap_ms: 20_000, close: true, now_ms: 1_000_000 };

    fn times(events: &[Event]) -> Vec<i64> {
        let sent = |event: &Event| zhili_proto::millis(event.sent_at.as_ref().unwrap()).unwrap();
        events.iter().map(sent).collect()
    }

    #[test]
    fn times_are_made_up_so_that_the_last_event_is_now() {
        let dialogue: Dialogue = serde_json::from_str(
            r#"{"id":"d","lang":"zh","turns":[{"role":"customer","text":"在吗"},
               {"role":"agent","text":"在的","after":"9.5s"},{"role":"customer","text":"好"}]}"#,
        )
        .unwrap();
        let events = dialogue.events("file:0", &PACE).unwrap();
        assert_eq!(times(&events), [950_500, 960_000, 980_000, 1_000_000]);
        assert_eq!(events[3].status(), Status::Resolved);
        assert_eq!(events[0].author.as_ref().unwrap().id, "d");
        assert!(events[1].author.as_ref().unwrap().id.starts_with("agent-"));
        assert_eq!(events[1].event_id, "d-1");
    }

    #[test]
    fn a_dialogue_that_ends_with_a_status_gets_no_other() {
        let dialogue: Dialogue = serde_json::from_str(
            r#"{"id":"d","turns":[{"role":"customer","text":"在吗"},
               {"role":"system","type":"status","status":"closed"}]}"#,
        )
        .unwrap();
        assert_eq!(dialogue.events("file:0", &PACE).unwrap().len(), 2);
    }

    #[test]
    fn an_unknown_role_is_named() {
        let dialogue: Dialogue =
            serde_json::from_str(r#"{"id":"d","turns":[{"role":"boss","text":"x"}]}"#).unwrap();
        let error = dialogue.events("file:0", &PACE).unwrap_err();
        assert!(error.contains("d, turn 0") && error.contains("boss"), "{error}");
    }
}
