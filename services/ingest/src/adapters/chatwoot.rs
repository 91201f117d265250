//! Webhooks of Chatwoot.
//!
//! Ids of conversations are counted for each account, so the inbox, whose id is the installation's,
//! goes with them. Top-level fields and the copies within a conversation differ in form: message
//! types are words here and numbers there, times ISO 8601 here and seconds there.

use serde_json::Value;
use zhili_proto::conversation::v1::author::{Role, Subtype};
use zhili_proto::conversation::v1::event::Status;
use zhili_proto::conversation::v1::{Author, Csat, Customer, Event, EventType};

use super::value::{id, instant, text};
use super::{Delivery, author, element, malformed, missing};
use crate::parse::{BodyError, Element, clean};
use crate::rejection::Rejection;

/// Who wrote what the platform sends by itself.
const PLATFORM: &str = "chatwoot";
/// An agent who answered in the channel's own application, whom the platform does not name.
const ELSEWHERE: &str = "external_echo";
/// Best rating that its surveys know.
const BEST: f64 = 5.0;

/// What to do with a body that is none.
const EXPECTED: &str = "send the webhook of Chatwoot as it is, an object with `event`";

pub(super) fn read(body: &str, delivery: &Delivery) -> Result<Vec<Element>, BodyError> {
    let hook: Value = serde_json::from_str(body)
        .map_err(|error| BodyError::Malformed(clean(&error.to_string())))?;
    let Some(kind) = text(&hook["event"]) else { return Err(malformed(EXPECTED)) };
    let said = match kind {
        "message_created" => Message::of(&hook).and_then(|message| message.created(delivery)),
        "message_updated" => Message::of(&hook).and_then(|message| message.updated(delivery)),
        "conversation_created" => created(&hook, delivery).map(Some),
        "conversation_status_changed" => status_changed(&hook, delivery),
        "conversation_updated" => assigned(&hook, delivery),
        // Contacts, typing, widgets: nothing of a conversation's course.
        _ => Ok(None),
    };
    let shown = id(&hook["id"]).unwrap_or_default();
    Ok(said.transpose().map(|event| element(&shown, event)).into_iter().collect())
}

/// Nothing, an event, or why there is none.
type Said = Result<Option<Event>, Rejection>;

struct Message<'a> {
    hook: &'a Value,
    id: String,
    conversation: String,
}

/// Who is on which side of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Incoming,
    Outgoing,
    /// "Ada closed the conversation": told by webhooks of its own, too.
    Activity,
    /// Greetings, surveys: sent by the platform.
    Template,
}

impl<'a> Message<'a> {
    fn of(hook: &'a Value) -> Result<Self, Rejection> {
        let id = id(&hook["id"]).ok_or_else(|| missing("id", "a message has one"))?;
        let conversation = conversation_of(&hook["conversation"], &hook["inbox"])?;
        Ok(Self { hook, id, conversation })
    }

    fn direction(&self) -> Result<Direction, Rejection> {
        let kind = &self.hook["message_type"];
        let number = kind.as_u64();
        Ok(match (kind.as_str(), number) {
            (Some("incoming"), _) | (_, Some(0)) => Direction::Incoming,
            (Some("outgoing"), _) | (_, Some(1)) => Direction::Outgoing,
            (Some("activity"), _) | (_, Some(2)) => Direction::Activity,
            (Some("template"), _) | (_, Some(3)) => Direction::Template,
            _ => {
                return Err(missing(
                    "message_type",
                    "must be incoming, outgoing, activity or template",
                ));
            }
        })
    }

    fn content(&self) -> &'a str {
        text(&self.hook["content"]).unwrap_or_default()
    }

    fn attribute(&self, name: &str) -> &'a Value {
        &self.hook["content_attributes"][name]
    }

    fn contact(&self) -> Option<String> {
        let sender = &self.hook["sender"];
        let of_sender = || match sender["type"].as_str() {
            None | Some("contact") => id(&sender["id"]),
            Some(_) => None,
        };
        id(&self.hook["conversation"]["meta"]["sender"]["id"]).or_else(of_sender)
    }

    fn author(&self, direction: Direction) -> Result<Author, Rejection> {
        let sender = &self.hook["sender"];
        let is_set = |value: &Value| !value.is_null();
        if direction == Direction::Incoming {
            let known = id(&sender["id"]).or_else(|| self.contact());
            let known = known.ok_or_else(|| missing("sender.id", "a customer has one"))?;
            return Ok(author(known, Role::Customer, Subtype::Unspecified));
        }
        let by_itself = is_set(self.attribute("automation_rule_id"))
            || is_set(&self.hook["additional_attributes"]["campaign_id"]);
        let named = id(&sender["id"]);
        Ok(match (direction, named, sender["type"].as_str()) {
            (Direction::Outgoing, Some(id), None | Some("user")) => {
                let saved = is_set(&self.hook["additional_attributes"]["template_params"]);
                let subtype = match (by_itself, saved) {
                    (true, _) => Subtype::Auto,
                    (false, true) => Subtype::Template,
                    (false, false) => Subtype::Unspecified,
                };
                author(id, Role::Agent, subtype)
            }
            // Users and bots are counted apart.
            (Direction::Outgoing, Some(id), Some(kind)) => {
                author(format!("{kind}/{id}"), Role::Bot, Subtype::Unspecified)
            }
            (Direction::Outgoing, None, _) if self.attribute("external_echo") == true => {
                author(ELSEWHERE, Role::Agent, Subtype::Unspecified)
            }
            _ => author(PLATFORM, Role::System, Subtype::Auto),
        })
    }

    /// An event about this message, without what is in it.
    fn event(
        &self,
        kind: EventType,
        id: String,
        sent_ms: i64,
        by: Option<Author>,
        delivery: &Delivery,
    ) -> Event {
        let conversation = &self.hook["conversation"];
        let mut event = delivery.event(kind, &self.conversation, id, sent_ms);
        event.author = by;
        event.channel = channel(conversation);
        text(&self.hook["inbox"]["name"]).unwrap_or_default().clone_into(&mut event.queue);
        event.team = team(conversation);
        event.customer = self.contact().map(customer);
        event.private = self.hook["private"] == true;
        event
    }

    fn created(&self, delivery: &Delivery) -> Said {
        let direction = self.direction()?;
        if direction == Direction::Activity {
            return Ok(None);
        }
        let sent_ms = instant(&self.hook["created_at"])
            .ok_or_else(|| missing("created_at", "say when the message was written"))?;
        let by = Some(self.author(direction)?);
        let mut event = self.event(EventType::Message, self.id.clone(), sent_ms, by, delivery);
        self.content().clone_into(&mut event.text);
        event.reply_to = id(self.attribute("in_reply_to")).unwrap_or_default();
        let files: Vec<&str> = self.hook["attachments"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|file| text(&file["file_type"]).unwrap_or("file"))
            .collect();
        if !files.is_empty() {
            event.attrs.insert("attachments".to_owned(), files.join(","));
        }
        Ok(Some(event))
    }

    fn updated(&self, delivery: &Delivery) -> Said {
        let direction = self.direction()?;
        let sent_ms = self.changed_ms().unwrap_or(delivery.now_ms);
        if self.attribute("deleted") == true {
            let id = format!("{}/deleted", self.id);
            let by = Some(self.author(direction)?);
            let mut event = self.event(EventType::Delete, id, sent_ms, by, delivery);
            event.target.clone_from(&self.id);
            return Ok(Some(event));
        }
        if self.hook["content_type"] == "input_csat" {
            return Ok(self.rated(sent_ms, delivery));
        }
        // What was sent is updated for every receipt, and no agent can change its text.
        if direction != Direction::Incoming || self.content().is_empty() {
            return Ok(None);
        }
        let id = format!("{}/edit/{}", self.id, digest(&[self.content()]));
        let by = Some(self.author(direction)?);
        let mut event = self.event(EventType::Edit, id, sent_ms, by, delivery);
        event.target.clone_from(&self.id);
        self.content().clone_into(&mut event.text);
        Ok(Some(event))
    }

    /// The answer to a survey, once there is one.
    fn rated(&self, sent_ms: i64, delivery: &Delivery) -> Option<Event> {
        let answer = &self.attribute("submitted_values")["csat_survey_response"];
        let rating = answer["rating"].as_f64()?;
        let words = text(&answer["feedback_message"]).unwrap_or_default();
        let id = format!("{}/csat/{}", self.id, digest(&[&rating.to_string(), words]));
        let by = self.contact().map(|id| author(id, Role::Customer, Subtype::Unspecified));
        let mut event = self.event(EventType::Csat, id, sent_ms, by, delivery);
        event.csat = Some(Csat { score: rating, max: BEST });
        words.clone_into(&mut event.text);
        Some(event)
    }

    /// When the message was changed, as far as the conversation around it says.
    fn changed_ms(&self) -> Option<i64> {
        let conversation = &self.hook["conversation"];
        let copies = conversation["messages"].as_array().into_iter().flatten();
        let mut own = copies.filter(|copy| id(&copy["id"]).as_ref() == Some(&self.id));
        let of_copy = own.next().and_then(|copy| instant(&copy["updated_at"]));
        of_copy.or_else(|| instant(&conversation["updated_at"]))
    }
}

/// A new conversation.
fn created(hook: &Value, delivery: &Delivery) -> Result<Event, Rejection> {
    let conversation = conversation_of(hook, &hook["inbox"])?;
    let sent_ms = instant(&hook["created_at"])
        .or_else(|| instant(&hook["timestamp"]))
        .ok_or_else(|| missing("created_at", "say when the conversation began"))?;
    let id = format!("{conversation}/created");
    let mut event = about(hook, EventType::Status, &conversation, id, sent_ms, delivery);
    event.status = Status::Open.into();
    Ok(event)
}

/// From one status to another: of what there is no word for in the contract, nothing.
fn status_changed(hook: &Value, delivery: &Delivery) -> Said {
    let conversation = conversation_of(hook, &hook["inbox"])?;
    let before = change(hook, "status").map(|change| &change["previous_value"]);
    let before = before.and_then(Value::as_str);
    let now = text(&hook["status"])
        .ok_or_else(|| missing("status", "must be open, resolved, pending or snoozed"))?;
    let sent_ms = conversation_changed_ms(hook)?;
    let status = match (before, now) {
        (Some(before), now) if before == now => return Ok(None),
        (_, "resolved") => Status::Resolved,
        (Some("resolved"), "open" | "pending") => Status::Reopened,
        // Pending is where bots have conversations; out of it, people do.
        (Some("pending"), "open") => {
            let id = format!("{conversation}/handoff/{sent_ms}");
            let kind = EventType::Handoff;
            return Ok(Some(about(hook, kind, &conversation, id, sent_ms, delivery)));
        }
        (_, "open") => Status::Open,
        _ => return Ok(None),
    };
    let id = format!("{conversation}/{now}/{sent_ms}");
    let mut event = about(hook, EventType::Status, &conversation, id, sent_ms, delivery);
    event.status = status.into();
    Ok(Some(event))
}

/// Whose a conversation now is, if that is what changed.
fn assigned(hook: &Value, delivery: &Delivery) -> Said {
    let Some(assignee) = change(hook, "assignee_id").and_then(|it| id(&it["current_value"])) else {
        return Ok(None);
    };
    let conversation = conversation_of(hook, &hook["inbox"])?;
    let sent_ms = conversation_changed_ms(hook)?;
    let id = format!("{conversation}/assigned/{assignee}/{sent_ms}");
    let mut event = about(hook, EventType::Assign, &conversation, id, sent_ms, delivery);
    event.author = Some(author(assignee, Role::Agent, Subtype::Unspecified));
    Ok(Some(event))
}

/// An event about a conversation as a whole.
fn about(
    hook: &Value,
    kind: EventType,
    conversation: &str,
    id: String,
    sent_ms: i64,
    delivery: &Delivery,
) -> Event {
    let mut event = delivery.event(kind, conversation, id, sent_ms);
    event.channel = channel(hook);
    event.team = team(hook);
    event.customer = self::id(&hook["meta"]["sender"]["id"]).map(customer);
    event
}

/// What `changed_attributes` says of one of them: a list of objects with a member each.
fn change<'a>(hook: &'a Value, name: &str) -> Option<&'a Value> {
    let mut changes = hook["changed_attributes"].as_array()?.iter();
    changes.find_map(|change| change.get(name))
}

fn conversation_changed_ms(hook: &Value) -> Result<i64, Rejection> {
    change(hook, "updated_at")
        .and_then(|change| instant(&change["current_value"]))
        .or_else(|| instant(&hook["updated_at"]))
        .or_else(|| instant(&hook["timestamp"]))
        .ok_or_else(|| missing("updated_at", "say when the conversation changed"))
}

fn conversation_of(conversation: &Value, inbox: &Value) -> Result<String, Rejection> {
    let number = id(&conversation["id"]).or_else(|| id(&conversation["display_id"]));
    let number = number.ok_or_else(|| missing("conversation.id", "say which it belongs to"))?;
    let inbox = id(&conversation["inbox_id"])
        .or_else(|| id(&inbox["id"]))
        .ok_or_else(|| missing("conversation.inbox_id", "ids are counted for each account"))?;
    Ok(format!("{inbox}/{number}"))
}

/// `Channel::WebWidget`, in a word.
fn channel(conversation: &Value) -> String {
    let name = text(&conversation["channel"]).unwrap_or_default();
    match name.rsplit("::").next().unwrap_or_default() {
        "WebWidget" => "chat".to_owned(),
        "Email" => "e-mail".to_owned(),
        other => other.to_lowercase(),
    }
}

fn team(conversation: &Value) -> String {
    text(&conversation["meta"]["team"]["name"]).unwrap_or_default().to_owned()
}

fn customer(id: String) -> Customer {
    Customer { id, ..Customer::default() }
}

/// Enough of a text to tell its versions apart.
fn digest(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}
