//! Webhooks of Sunshine Conversations, version 2: a batch of events, each on its own.
//!
//! A message has two clocks: when the platform got it, and when the channel says it was written.
//! The first is the same clock for both sides, so response times come from it; the second stands
//! in `attrs` as `original_sent_at`.

use serde_json::Value;
use serde_json::value::RawValue;
use zhili_proto::conversation::v1::author::{Role, Subtype};
use zhili_proto::conversation::v1::event::Status;
use zhili_proto::conversation::v1::{Author, Event, EventType};

use super::value::{id, instant, text};
use super::{Delivery, author, element, malformed, missing};
use crate::parse::{BodyError, Element, clean};
use crate::rejection::{Code, Rejection};

const EXPECTED: &str = "send the webhook of version 2 as it is, an object with `events`";

/// Integrations of the platform's own whose messages people write, or a program does.
const WORKSPACE: &str = "zd:agentWorkspace";
const BOTS: &str = "zd:answerBot";

#[derive(serde::Deserialize)]
struct Webhook<'a> {
    #[serde(borrow)]
    events: Option<Vec<&'a RawValue>>,
}

pub(super) fn read(body: &str, delivery: &Delivery) -> Result<Vec<Element>, BodyError> {
    let hook: Webhook<'_> = serde_json::from_str(body)
        .map_err(|error| BodyError::Malformed(clean(&error.to_string())))?;
    let events = hook.events.ok_or_else(|| malformed(EXPECTED))?;
    if events.len() > delivery.limit {
        return Err(BodyError::TooMany(events.len()));
    }
    let said = events.into_iter().filter_map(|raw| {
        let event: Value = match serde_json::from_str(raw.get()) {
            Ok(event) => event,
            Err(error) => {
                let rejection =
                    Rejection::new("events", Code::Malformed, clean(&error.to_string()));
                return Some(element("", Err(rejection)));
            }
        };
        let shown = id(&event["id"]).unwrap_or_default();
        one(&event, delivery).transpose().map(|event| element(&shown, event))
    });
    Ok(said.collect())
}

fn one(event: &Value, delivery: &Delivery) -> Result<Option<Event>, Rejection> {
    let kind = text(&event["type"]).ok_or_else(|| missing("type", "say what happened"))?;
    let payload = &event["payload"];
    match kind {
        "conversation:message" => message(payload, delivery).map(Some),
        "conversation:create" => {
            let mut opened = other(EventType::Status, event, delivery)?;
            opened.status = Status::Open.into();
            Ok(Some(opened))
        }
        "conversation:join" | "conversation:leave" => {
            let kind = if kind.ends_with("join") { EventType::Join } else { EventType::Leave };
            let mut event = other(kind, event, delivery)?;
            let user = id(&payload["user"]["id"])
                .ok_or_else(|| missing("payload.user.id", "say who came or went"))?;
            event.author = Some(author(user, Role::Customer, Subtype::Unspecified));
            Ok(Some(event))
        }
        "switchboard:passControl" => {
            let to = &payload["conversation"]["activeSwitchboardIntegration"]["integrationType"];
            // To a program is no hand-off to people.
            if to == BOTS {
                return Ok(None);
            }
            other(EventType::Handoff, event, delivery).map(Some)
        }
        // Receipts, typing, postbacks, users: nothing of a conversation's course.
        _ => Ok(None),
    }
}

fn conversation_of(payload: &Value) -> Result<String, Rejection> {
    id(&payload["conversation"]["id"])
        .ok_or_else(|| missing("payload.conversation.id", "say which it belongs to"))
}

/// An event that is no message: it has no id but that of the notice.
fn other(kind: EventType, event: &Value, delivery: &Delivery) -> Result<Event, Rejection> {
    let conversation = conversation_of(&event["payload"])?;
    let id = id(&event["id"]).ok_or_else(|| missing("id", "an event has one"))?;
    let sent_ms =
        instant(&event["createdAt"]).ok_or_else(|| missing("createdAt", "say when it happened"))?;
    Ok(delivery.event(kind, &conversation, id, sent_ms))
}

fn message(payload: &Value, delivery: &Delivery) -> Result<Event, Rejection> {
    let conversation = conversation_of(payload)?;
    let message = &payload["message"];
    // Its own and not the notice's, for two webhooks of one app tell the same message.
    let id =
        id(&message["id"]).ok_or_else(|| missing("payload.message.id", "a message has one"))?;
    let sent_ms = instant(&message["received"])
        .ok_or_else(|| missing("payload.message.received", "say when it came"))?;
    let by = Some(writer(payload, delivery)?);
    if message["deleted"] == true {
        let gone = format!("{id}/deleted");
        let mut event = delivery.event(EventType::Delete, &conversation, gone, sent_ms);
        event.author = by;
        event.target = id;
        return Ok(event);
    }
    let mut event = delivery.event(EventType::Message, &conversation, id, sent_ms);
    let source = &message["source"];
    if message["author"]["type"] == "user" {
        event.channel = text(&source["type"]).unwrap_or_default().to_lowercase();
    }
    event.author = by;
    let content = &message["content"];
    text(&content["text"]).unwrap_or_default().clone_into(&mut event.text);
    let kind = text(&content["type"]).unwrap_or_default();
    if matches!(kind, "image" | "file") {
        event.attrs.insert("attachments".to_owned(), kind.to_owned());
    }
    if let Some(written) = text(&source["originalMessageTimestamp"]) {
        event.attrs.insert("original_sent_at".to_owned(), written.to_owned());
    }
    event.reply_to = self::id(&message["quotedMessage"]["message"]["id"]).unwrap_or_default();
    Ok(event)
}

fn writer(payload: &Value, delivery: &Delivery) -> Result<Author, Rejection> {
    let message = &payload["message"];
    let by = &message["author"];
    match by["type"].as_str() {
        Some("user") => {
            let id = id(&by["userId"])
                .or_else(|| id(&by["user"]["id"]))
                .ok_or_else(|| missing("payload.message.author.userId", "say who wrote it"))?;
            Ok(author(id, Role::Customer, Subtype::Unspecified))
        }
        Some("business") => {
            let source = message["source"]["type"].as_str().unwrap_or_default();
            let mut subtypes = by["subtypes"].as_array().into_iter().flatten();
            let (role, subtype) = if subtypes.any(|subtype| subtype == "AI") {
                (Role::Bot, Subtype::Ai)
            } else {
                match source {
                    WORKSPACE => (Role::Agent, Subtype::Unspecified),
                    BOTS => (Role::Bot, Subtype::Unspecified),
                    // A program of the business, or people who use one: it does not say.
                    _ => (delivery.business, Subtype::Unspecified),
                }
            };
            let known = id(&by["userId"]).or_else(|| id(&by["displayName"]));
            let known = known.or_else(|| id(&message["source"]["integrationId"]));
            // Nobody in particular: what it is sent through is all that there is.
            let known = known.unwrap_or_else(|| format!("business/{source}"));
            Ok(author(known, role, subtype))
        }
        _ => Err(missing("payload.message.author.type", "must be user or business")),
    }
}
