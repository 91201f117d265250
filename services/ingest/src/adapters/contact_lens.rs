//! Amazon Connect Contact Lens: segments of calls (version 1.0.0) and chats (2.0.0) as they come out
//! of a Kinesis stream, and the file that is written after a chat.
//!
//! The stream reaches us through Firehose, through a pipe of EventBridge or through a function; each
//! wraps its records in its own way, and each of the ways is taken, as is a segment by itself.
//!
//! Calls carry no time of day, only offsets: an utterance is taken to have begun as long before its
//! record came into the stream as its beginning lies before the last end in the record.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use zhili_proto::conversation::v1::author::{Role, Subtype};
use zhili_proto::conversation::v1::event::Status;
use zhili_proto::conversation::v1::{Author, Event, EventType, Voice};

use super::value::{id, instant, text};
use super::{Delivery, author, element, malformed, missing};
use crate::parse::{BodyError, Element, clean};
use crate::rejection::Rejection;

const EXPECTED: &str = "send records of the segment stream, through Firehose, a pipe or a function, \
     or the file of a chat";

pub(super) fn read(body: &str, delivery: &Delivery) -> Result<Vec<Element>, BodyError> {
    let mut found = Vec::new();
    for record in values(body)? {
        unwrap(&record, delivery.now_ms, delivery, &mut found)?;
        if found.len() > delivery.limit {
            return Err(BodyError::TooMany(found.len()));
        }
    }
    Ok(found)
}

/// One value or several after another, which is how records lie in a batch.
fn values(text: &str) -> Result<Vec<Value>, BodyError> {
    let values = serde_json::Deserializer::from_str(text).into_iter();
    values
        .collect::<Result<Vec<Value>, _>>()
        .map_err(|error| BodyError::Malformed(clean(&error.to_string())))
}

/// What is in the wrapping; `came_ms` is when the record came, as far as is known.
fn unwrap(
    value: &Value,
    came_ms: i64,
    delivery: &Delivery,
    found: &mut Vec<Element>,
) -> Result<(), BodyError> {
    let records = match value {
        Value::Array(records) => Some(records),
        // Firehose, and a function's event.
        _ => value["records"].as_array().or_else(|| value["Records"].as_array()),
    };
    if let Some(records) = records {
        let came_ms = instant(&value["timestamp"]).unwrap_or(came_ms);
        // Of wrappings within each other there are two at most.
        return records.iter().try_for_each(|record| {
            if record.is_array() || record["records"].is_array() || record["Records"].is_array() {
                return Err(malformed(EXPECTED));
            }
            unwrap(record, came_ms, delivery, found)
        });
    }
    let record = if value["kinesis"].is_object() { &value["kinesis"] } else { value };
    if let Some(data) = text(&record["data"]) {
        let came_ms = instant(&record["approximateArrivalTimestamp"]).unwrap_or(came_ms);
        let bytes = STANDARD
            .decode(data)
            .map_err(|_| malformed("`data` of a record must be base64, as it comes"))?;
        let decoded = std::str::from_utf8(&bytes)
            .map_err(|_| malformed("`data` of a record must hold JSON; turn compression off"))?;
        for told in values(decoded)? {
            contact(&told, came_ms, delivery, found)?;
        }
        return Ok(());
    }
    contact(record, came_ms, delivery, found)
}

/// What one record of the stream, or the file of a chat, says.
fn contact(
    told: &Value,
    came_ms: i64,
    delivery: &Delivery,
    found: &mut Vec<Element>,
) -> Result<(), BodyError> {
    // A rule that matched: of the bus of EventBridge, and no part of a conversation.
    if told["detail-type"].is_string() {
        return Ok(());
    }
    let kind = text(&told["StreamingEventType"]).or_else(|| text(&told["EventType"]));
    let file = told["Transcript"].as_array();
    if kind.is_none() && file.is_none() {
        return Err(malformed(EXPECTED));
    }
    let of_file = id(&told["CustomerMetadata"]["ContactId"]);
    let Some(contact) = id(&told["ContactId"]).or(of_file) else {
        found.push(element("", Err(missing("ContactId", "say which it belongs to"))));
        return Ok(());
    };
    let told = Contact { told, id: contact, came_ms, delivery };
    if let Some(lines) = file {
        found.extend(lines.iter().filter_map(|line| told.line(line)));
        return Ok(());
    }
    match kind {
        Some("SEGMENTS") if !told.is_said_twice() => {
            let segments = told.told["Segments"].as_array().map_or(&[][..], Vec::as_slice);
            let last_ms = segments.iter().filter_map(last_end).max();
            found.extend(segments.iter().flat_map(|segment| told.segment(segment, last_ms)));
        }
        Some("COMPLETED") => {
            let id = format!("{}/completed", told.id);
            let mut event = told.event(EventType::Status, id, came_ms);
            event.status = Status::Closed.into();
            found.push(event.into());
        }
        // STARTED is told before anybody spoke, FAILED is about the analysis.
        _ => {}
    }
    Ok(())
}

fn last_end(segment: &Value) -> Option<i64> {
    segment["Transcript"]["EndOffsetMillis"].as_i64()
}

struct Contact<'a> {
    told: &'a Value,
    id: String,
    came_ms: i64,
    delivery: &'a Delivery,
}

impl Contact<'_> {
    /// Where both forms of a text are streamed, the one that is redacted is taken: they have the
    /// same ids.
    fn is_said_twice(&self) -> bool {
        let both = self.told["StreamingSettings"]["Output"] == "RedactedAndRaw";
        both && self.told["OutputType"] == "Raw"
    }

    fn event(&self, kind: EventType, id: String, sent_ms: i64) -> Event {
        let mut event = self.delivery.event(kind, &self.id, id, sent_ms);
        event.channel = match text(&self.told["Channel"]).unwrap_or_default() {
            "VOICE" => "phone".to_owned(),
            other => other.to_lowercase(),
        };
        let lang = text(&self.told["LanguageCode"])
            .or_else(|| text(&self.told["StreamingSettings"]["LanguageCode"]));
        lang.unwrap_or_default().clone_into(&mut event.lang);
        event
    }

    /// Things that one segment holds; categories, issues, summaries and halves of sentences are
    /// none.
    fn segment(&self, segment: &Value, last_ms: Option<i64>) -> Vec<Element> {
        let mut found = Vec::new();
        for (name, what) in segment.as_object().into_iter().flatten() {
            let items = what.as_array().map_or(std::slice::from_ref(what), Vec::as_slice);
            for item in items {
                let said = match name.as_str() {
                    "Transcript" => self.said(item, last_ms).map(Some),
                    "Attachments" | "Attachment" => self.files(item).map(Some),
                    "Events" | "Event" => self.happened(item),
                    _ => Ok(None),
                };
                let shown = id(&item["Id"]).unwrap_or_default();
                found.extend(said.transpose().map(|event| element(&shown, event)));
            }
        }
        found
    }

    fn line(&self, line: &Value) -> Option<Element> {
        let said = match line["Type"].as_str() {
            Some("EVENT") => self.happened(line),
            Some("ATTACHMENT") => self.files(line).map(Some),
            _ => self.said(line, None).map(Some),
        };
        let shown = id(&line["Id"]).unwrap_or_default();
        said.transpose().map(|event| element(&shown, event))
    }

    fn said(&self, item: &Value, last_ms: Option<i64>) -> Result<Event, Rejection> {
        let begin_ms = item["BeginOffsetMillis"].as_i64();
        let spoken = || {
            let before_ms = last_ms?.checked_sub(begin_ms?)?;
            self.came_ms.checked_sub(before_ms)
        };
        let sent_ms = written_ms(item).or_else(spoken).ok_or_else(|| {
            let what = "it has no time of day; stream calls instead of sending their files";
            missing("AbsoluteTime", what)
        })?;
        let mut event = self.event(EventType::Message, identity(item)?, sent_ms);
        event.author = Some(writer(&self.id, item)?);
        text(&item["Content"]).unwrap_or_default().clone_into(&mut event.text);
        match text(&item["ContentType"]) {
            // A form of buttons and the like: not for people to read.
            Some(kind) if !kind.starts_with("text/") => {
                event.text.clear();
                event.attrs.insert("attachments".to_owned(), kind.to_owned());
            }
            kind => kind.unwrap_or_default().clone_into(&mut event.content_type),
        }
        if let (Some(begin_ms), Some(end_ms)) = (begin_ms, item["EndOffsetMillis"].as_i64()) {
            event.voice = Some(Voice { begin_ms, end_ms, ..Voice::default() });
        }
        Ok(event)
    }

    fn files(&self, item: &Value) -> Result<Event, Rejection> {
        let sent_ms = written_ms(item).unwrap_or(self.came_ms);
        let mut event = self.event(EventType::Message, identity(item)?, sent_ms);
        event.author = Some(writer(&self.id, item)?);
        let files = item["Attachments"].as_array().into_iter().flatten();
        let kinds: Vec<&str> =
            files.map(|file| text(&file["ContentType"]).unwrap_or("file")).collect();
        event.attrs.insert("attachments".to_owned(), kinds.join(","));
        Ok(event)
    }

    /// Somebody came or went, or the chat ended.
    fn happened(&self, item: &Value) -> Result<Option<Event>, Rejection> {
        let name = text(&item["EventType"]).or_else(|| text(&item["Content"]));
        // A type of media in the stream and in the file.
        let name = name.unwrap_or_default().rsplit("connect.event.").next().unwrap_or_default();
        let kind = match name {
            "participant.joined" => EventType::Join,
            "participant.left" => EventType::Leave,
            "chat.ended" => EventType::Status,
            "transfer.succeeded" => EventType::Handoff,
            _ => return Ok(None),
        };
        let sent_ms = written_ms(item).unwrap_or(self.came_ms);
        let mut event = self.event(kind, identity(item)?, sent_ms);
        match kind {
            EventType::Status => event.status = Status::Closed.into(),
            // It may say nothing of who.
            _ => event.author = writer(&self.id, item).ok(),
        }
        Ok(Some(event))
    }
}

fn identity(item: &Value) -> Result<String, Rejection> {
    id(&item["Id"]).ok_or_else(|| missing("Id", "a segment has one"))
}

fn written_ms(item: &Value) -> Option<i64> {
    instant(&item["Time"]["AbsoluteTime"]).or_else(|| instant(&item["AbsoluteTime"]))
}

/// Who wrote it. Participants are named within a contact only: an agent by what the platform calls
/// them, and a customer so that nobody is taken for one of another contact.
fn writer(contact: &str, item: &Value) -> Result<Author, Rejection> {
    let role = item["ParticipantRole"].as_str().unwrap_or_default();
    let known = match role {
        "AGENT" => Role::Agent,
        "CUSTOMER" => Role::Customer,
        "SUPERVISOR" => Role::Supervisor,
        "CUSTOM_BOT" => Role::Bot,
        "SYSTEM" => Role::System,
        _ => {
            let what = "must be AGENT, CUSTOMER, SUPERVISOR, CUSTOM_BOT or SYSTEM";
            return Err(missing("ParticipantRole", what));
        }
    };
    let who = id(&item["ParticipantId"]).unwrap_or_else(|| role.to_owned());
    let who = if known == Role::Customer { format!("{contact}/{who}") } else { who };
    Ok(author(who, known, Subtype::Unspecified))
}
