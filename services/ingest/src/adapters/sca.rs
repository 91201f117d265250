//! Conversations as they are uploaded to Alibaba Cloud's Smart Conversation Analysis: tickets with
//! a dialogue each, `role` in Chinese, times both as offsets and as milliseconds since the epoch.
//!
//! Sentences have no ids: the place in the dialogue stands for one, so a ticket that comes again
//! has no effect, and one that grew adds what is new.

use serde_json::Value;
use serde_json::value::RawValue;
use zhili_proto::conversation::v1::author::{Role, Subtype};
use zhili_proto::conversation::v1::{Event, EventType, Voice};

use super::value::{id, instant, text};
use super::{Delivery, author, element, malformed, missing};
use crate::parse::{BodyError, Element, clean};
use crate::rejection::Rejection;

const EXPECTED: &str =
    "send what is uploaded, an object with `tickets`, or one with it as a text in `JsonStr`";

#[derive(serde::Deserialize)]
struct Upload<'a> {
    #[serde(borrow)]
    tickets: Option<Vec<&'a RawValue>>,
    /// 0 for chats, 1 for telephone calls.
    optional: Option<Value>,
    /// Everything once more, as calls of the platform's API carry it.
    #[serde(alias = "jsonStr")]
    #[serde(rename = "JsonStr")]
    json_str: Option<String>,
}

pub(super) fn read(body: &str, delivery: &Delivery) -> Result<Vec<Element>, BodyError> {
    let parse = |body| {
        serde_json::from_str::<Upload<'_>>(body)
            .map_err(|error| BodyError::Malformed(clean(&error.to_string())))
    };
    let outer = parse(body)?;
    let inner = outer.json_str;
    let upload = match &inner {
        Some(text) => parse(text)?,
        None => Upload { json_str: None, ..outer },
    };
    let tickets = upload.tickets.ok_or_else(|| malformed(EXPECTED))?;
    let hotline = upload.optional.is_some_and(|kind| kind == 1 || kind == "1");
    let mut found = Vec::new();
    for ticket in tickets {
        let ticket: Value = serde_json::from_str(ticket.get())
            .map_err(|error| BodyError::Malformed(clean(&error.to_string())))?;
        let dialogue = ticket["dialogue"].as_array().map_or(&[][..], Vec::as_slice);
        // Counted before anything is made of it.
        if found.len() + dialogue.len() > delivery.limit {
            return Err(BodyError::TooMany(found.len() + dialogue.len()));
        }
        let begun_ms = dialogue.iter().find_map(begun);
        for (place, said) in dialogue.iter().enumerate() {
            let sentence = Sentence { ticket: &ticket, place, said, hotline, begun_ms };
            found.push(element(&place.to_string(), sentence.event(delivery)));
        }
    }
    Ok(found)
}

/// When a dialogue began, as far as one of its sentences says.
fn begun(sentence: &Value) -> Option<i64> {
    instant(&sentence["beginTime"])?.checked_sub(sentence["begin"].as_i64()?)
}

struct Sentence<'a> {
    ticket: &'a Value,
    place: usize,
    said: &'a Value,
    hotline: bool,
    begun_ms: Option<i64>,
}

impl Sentence<'_> {
    fn field(&self, name: &str) -> String {
        format!("dialogue[{}].{name}", self.place)
    }

    fn event(&self, delivery: &Delivery) -> Result<Event, Rejection> {
        let Self { ticket, said: sentence, .. } = self;
        let tid = id(&ticket["tid"]).ok_or_else(|| {
            missing("tid", "without it, a second upload is a second conversation")
        })?;
        let derived = || self.begun_ms?.checked_add(sentence["begin"].as_i64()?);
        let sent_ms = instant(&sentence["beginTime"])
            .or_else(derived)
            .ok_or_else(|| missing(self.field("beginTime"), "say when the sentence was begun"))?;
        let who = id(&sentence["identity"]);
        let (role, who) = match sentence["role"].as_str() {
            Some("客服") => {
                let known = who.or_else(|| id(&ticket["customerServiceId"]));
                let known = known.ok_or_else(|| {
                    missing(self.field("identity"), "say which agent, or give customerServiceId")
                })?;
                (Role::Agent, known)
            }
            // Nobody is taken for the customer of another ticket.
            Some("客户") => (Role::Customer, who.unwrap_or_else(|| format!("tid/{tid}"))),
            Some("系统") => (Role::System, who.unwrap_or_else(|| "系统".to_owned())),
            _ => return Err(missing(self.field("role"), "must be 客服, 客户 or 系统")),
        };
        let event_id = format!("{tid}/{}", self.place);
        let mut event = delivery.event(EventType::Message, &tid, event_id, sent_ms);
        event.author = Some(author(who, role, Subtype::Unspecified));
        event.seq = Some(self.place as i64);
        if self.hotline { "phone" } else { "chat" }.clone_into(&mut event.channel);
        text(&sentence["words"]).unwrap_or_default().clone_into(&mut event.text);
        text(&ticket["skillGroupName"]).unwrap_or_default().clone_into(&mut event.queue);
        let offsets = (sentence["begin"].as_i64(), sentence["end"].as_i64());
        if let (true, (Some(begin_ms), Some(end_ms))) = (self.hotline, offsets) {
            event.voice = Some(Voice { begin_ms, end_ms, ..Voice::default() });
        }
        Ok(event)
    }
}
