//! Events as they come over HTTP: JSON, lines of JSON, CloudEvents. Every element is parsed on
//! its own, so that one that cannot be read leaves the others standing.

use std::borrow::Cow;
use std::fmt;

use http::HeaderMap;
use serde::Deserialize;
use serde::de::value::Error as Fault;
use serde::de::{
    DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
use zhili_proto::Timestamp;
use zhili_proto::conversation::v1::Event;
use zhili_redact::mask;

use crate::rejection::{Code, Rejection};

/// Longest message of a parser that is passed on, in characters; it may repeat what it read.
const MESSAGE_CHARS: usize = 200;
/// Longest id that is repeated to tell which element could not be read, in characters.
const ID_CHARS: usize = 128;
/// How deep messages lie in an event, and then some: an author, a rating or a customer.
const MESSAGES_DEEP: usize = 4;

/// One element of a request.
#[derive(Debug)]
pub struct Element {
    /// As it came, for the answer; empty when it could not be found.
    pub event_id: String,
    /// The trace in which the event was made, if the element itself says so.
    pub traceparent: Option<String>,
    /// What it says, or why it cannot be read.
    pub event: Result<Event, Rejection>,
}

impl From<Event> for Element {
    fn from(event: Event) -> Self {
        Self { event_id: event.event_id.clone(), traceparent: None, event: Ok(event) }
    }
}

/// How a body holds its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// An object or an array of objects.
    Json,
    /// One object a line.
    Lines,
    /// One CloudEvent 1.0 in structured mode; its data is the event.
    CloudEvent,
    /// An array of CloudEvents.
    CloudEvents,
}

impl Form {
    /// Media types that are taken, for people.
    pub(crate) const ACCEPTED: &str = "application/json, application/x-ndjson, \
         application/cloudevents+json, application/cloudevents-batch+json";

    /// The form that a `Content-Type` announces.
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        match media.to_ascii_lowercase().as_str() {
            "application/json" => Some(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
                Some(Self::Lines)
            }
            "application/cloudevents+json" => Some(Self::CloudEvent),
            "application/cloudevents-batch+json" => Some(Self::CloudEvents),
            _ => None,
        }
    }
}

/// Why a body as a whole cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyError {
    /// Not JSON of the announced form.
    Malformed(String),
    /// This many elements, more than the limit.
    TooMany(usize),
}

/// The elements of a body, at most `limit`, in order.
pub(crate) fn elements(form: Form, body: &[u8], limit: usize) -> Result<Vec<Element>, BodyError> {
    match form {
        Form::Lines => {
            let lines = || {
                body.split(|byte| *byte == b'\n')
                    .map(<[u8]>::trim_ascii)
                    .filter(|line| !line.is_empty())
            };
            let count = lines().count();
            if count > limit {
                return Err(BodyError::TooMany(count));
            }
            // At once: an event is large, and a list of them that grows is copied again and again into
            // memory that the system has to clear first.
            let mut elements = Vec::with_capacity(count);
            elements.extend(lines().map(line));
            Ok(elements)
        }
        Form::Json if body.trim_ascii_start().first() == Some(&b'[') => {
            array(text(body)?, limit, event)
        }
        Form::Json => Ok(vec![event(text(body)?)]),
        Form::CloudEvent => Ok(vec![cloud_event(text(body)?)]),
        Form::CloudEvents => array(text(body)?, limit, cloud_event),
    }
}

fn text(body: &[u8]) -> Result<&str, BodyError> {
    std::str::from_utf8(body).map_err(|error| BodyError::Malformed(error.to_string()))
}

fn line(line: &[u8]) -> Element {
    match std::str::from_utf8(line) {
        Ok(line) => event(line),
        Err(error) => {
            unreadable(String::new(), Rejection::new("event", Code::Malformed, error.to_string()))
        }
    }
}

fn array(
    text: &str,
    limit: usize,
    element: impl Fn(&str) -> Element,
) -> Result<Vec<Element>, BodyError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let (found, count) = Items { limit }
        .deserialize(&mut deserializer)
        .and_then(|found| deserializer.end().map(|()| found))
        .map_err(|error| BodyError::Malformed(clean(&error.to_string())))?;
    if count > limit {
        return Err(BodyError::TooMany(count));
    }
    Ok(found.into_iter().map(|raw| element(raw.get())).collect())
}

/// Cuts an array into its first `limit` elements and counts the others.
struct Items {
    limit: usize,
}

impl<'de> DeserializeSeed<'de> for Items {
    type Value = (Vec<&'de RawValue>, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items {
    type Value = (Vec<&'de RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while found.len() < self.limit {
            let Some(item) = items.next_element()? else {
                let count = found.len();
                return Ok((found, count));
            };
            found.push(item);
        }
        let mut count = found.len();
        while items.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((found, count))
    }
}

fn event(json: &str) -> Element {
    match parse_event(json) {
        Ok(event) => event.into(),
        Err(rejection) => unreadable(id_in(json, &["event_id", "eventId"]), rejection),
    }
}

/// The envelope of a CloudEvent 1.0; attributes that say nothing to us are passed over.
#[derive(Deserialize)]
struct Envelope<'a> {
    specversion: Option<String>,
    id: Option<String>,
    source: Option<String>,
    time: Option<Timestamp>,
    /// Of the distributed tracing extension.
    traceparent: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

fn cloud_event(json: &str) -> Element {
    match read_cloud_event(json) {
        Ok(element) => element,
        Err(rejection) => unreadable(id_in(json, &["id"]), rejection),
    }
}

fn read_cloud_event(json: &str) -> Result<Element, Rejection> {
    let envelope: Envelope<'_> = parse(json)?;
    if envelope.specversion.as_deref() != Some("1.0") {
        return Err(Rejection::new("specversion", Code::OutOfRange, "must be 1.0"));
    }
    let Some(data) = envelope.data else {
        return Err(Rejection::new("data", Code::Missing, "must hold the event as a JSON object"));
    };
    let event = parse_event(data.get())?;
    let Envelope { id, source, time, traceparent, .. } = envelope;
    Ok(completed(event, id, source, time, traceparent))
}

/// An event with what its CloudEvent says of it, where it does not itself.
fn completed(
    mut event: Event,
    id: Option<String>,
    source: Option<String>,
    time: Option<Timestamp>,
    traceparent: Option<String>,
) -> Element {
    if event.event_id.is_empty() {
        event.event_id = id.unwrap_or_default();
    }
    if event.source.is_empty() {
        event.source = source.unwrap_or_default();
    }
    if event.sent_at.is_none() {
        event.sent_at = time;
    }
    Element { traceparent, ..event.into() }
}

/// A CloudEvent 1.0 in binary mode, if the headers say so: its attributes are in them, its data is
/// the body.
pub(crate) fn binary_cloud_event(headers: &HeaderMap, body: &[u8]) -> Option<Element> {
    headers.get("ce-specversion")?;
    let id = attribute(headers, "id").ok().flatten().unwrap_or_default();
    let shown = id.chars().take(ID_CHARS).collect();
    let read = || {
        if attribute(headers, "specversion")?.as_deref() != Some("1.0") {
            return Err(Rejection::new("specversion", Code::OutOfRange, "must be 1.0"));
        }
        let time = attribute(headers, "time")?
            .map(|time| Timestamp::deserialize(IntoDeserializer::<Fault>::into_deserializer(time)))
            .transpose()
            .map_err(|error| Rejection::new("time", Code::Malformed, clean(&error.to_string())))?;
        let text = std::str::from_utf8(body)
            .map_err(|error| Rejection::new("event", Code::Malformed, error.to_string()))?;
        let (id, source) = (attribute(headers, "id")?, attribute(headers, "source")?);
        let traceparent = attribute(headers, "traceparent")?;
        Ok(completed(parse_event(text)?, id, source, time, traceparent))
    };
    Some(read().unwrap_or_else(|rejection| unreadable(shown, rejection)))
}

/// An attribute out of its header: section 3.1.3.2 of the HTTP binding, which puts what is not
/// printable ASCII into percent signs, and may quote the whole.
fn attribute(headers: &HeaderMap, name: &'static str) -> Result<Option<String>, Rejection> {
    let Some(value) = headers.get(format!("ce-{name}")) else { return Ok(None) };
    let decoded = value.to_str().ok().and_then(|value| {
        let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let plain = quoted.map(unescaped);
        percent_decoded(plain.as_deref().unwrap_or(value))
    });
    let refuse =
        || Rejection::new(name, Code::Malformed, "must be ASCII, the rest in percent signs");
    decoded.map(Some).ok_or_else(refuse)
}

/// A quoted text without the backslashes in front of what they keep.
fn unescaped(quoted: &str) -> String {
    let mut chars = quoted.chars();
    let next = || match chars.next()? {
        '\\' => chars.next(),
        other => Some(other),
    };
    std::iter::from_fn(next).collect()
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, after @ ..] = rest else { return None };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push((digit(*high)? * 16 + digit(*low)?) as u8);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// An event as it is published in JSON; a member that is null is not set.
///
/// # Errors
/// The first fault, by the path of its field.
pub fn parse_event(json: &str) -> Result<Event, Rejection> {
    let set = json.contains("null").then(|| without_nulls(json, MESSAGES_DEEP)).flatten();
    parse(set.as_deref().unwrap_or(json))
}

/// The object without its members that are null and without those of the objects within, down
/// to `depth`: the JSON mapping of protobuf says that such a member is not set, which the types
/// made from the contract do not know. `None` for what is no object.
fn without_nulls(json: &str, depth: usize) -> Option<String> {
    let Members(members) = serde_json::from_str(json).ok()?;
    let mut set = String::with_capacity(json.len());
    for (name, value) in members {
        let (name, value) = (name.get(), value.get());
        if value == "null" {
            continue;
        }
        let inner = (depth > 0 && value.starts_with('{'))
            .then(|| without_nulls(value, depth - 1))
            .flatten();
        set.push(if set.is_empty() { '{' } else { ',' });
        set.extend([name, ":", inner.as_deref().unwrap_or(value)]);
    }
    set.push_str(if set.is_empty() { "{}" } else { "}" });
    Some(set)
}

/// The members of an object as they stand there, repeated ones too.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Read)
    }
}

fn parse<'de, T: Deserialize<'de>>(json: &'de str) -> Result<T, Rejection> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        // A fault of the element itself is at `.`, one of its syntax below it at `?`.
        let path = error.path().to_string();
        let field = match path.trim_end_matches('?').trim_end_matches('.') {
            "" => "event".to_owned(),
            path => clean(path),
        };
        let message = error.inner().to_string();
        let message = if message.starts_with("unknown field") {
            "there is no such field; see the contract for those that there are".to_owned()
        } else {
            clean(&message)
        };
        Rejection::new(field, Code::Malformed, message)
    })?;
    deserializer
        .end()
        .map_err(|error| Rejection::new("event", Code::Malformed, clean(&error.to_string())))?;
    Ok(value)
}

fn unreadable(event_id: String, rejection: Rejection) -> Element {
    Element { event_id, traceparent: None, event: Err(rejection) }
}

/// The id of an element that is no event, so that its publisher finds it again: the value of the
/// first of `names` that is there. Of the rest, which may be anything, nothing is kept.
fn id_in(json: &str, names: &[&str]) -> String {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    Id { names }.deserialize(&mut deserializer).unwrap_or_default()
}

struct Id<'n> {
    names: &'n [&'n str],
}

impl<'de> DeserializeSeed<'de> for Id<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Id<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        let mut found: Option<(usize, String)> = None;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let place = self.names.iter().position(|wanted| *wanted == name);
            let better = |place: &usize| found.as_ref().is_none_or(|(best, _)| place <= best);
            let Some(place) = place.filter(better) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value::<&RawValue>()?.get();
            if let Ok(id) = serde_json::from_str::<Cow<'_, str>>(value) {
                found = Some((place, id.chars().take(ID_CHARS).collect()));
            }
        }
        Ok(found.map(|(_, id)| id).unwrap_or_default())
    }
}

/// A parser's message without what must not be repeated.
pub(crate) fn clean(message: &str) -> String {
    mask(message).text.chars().take(MESSAGE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(form: Form, body: &str) -> Element {
        let mut found = elements(form, body.as_bytes(), 10).unwrap();
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    #[test]
    fn a_fault_is_named_by_its_path() {
        for (body, field) in [
            (r#"{"author":{"role":"chef"}}"#, "author.role"),
            (r#"{"author":{"nick":"x"}}"#, "author.nick"),
            (r#"{"sent_at":"yesterday"}"#, "sent_at"),
            (r#"{"attrs":{"a":1}}"#, "attrs.a"),
            (r#"{"type":99}"#, "type"),
            (r#"{"text":"a","text":"b"}"#, "event"),
            ("true", "event"),
            ("{", "event"),
            (r#"{"author":{"#, "author"),
        ] {
            let rejection = one(Form::Json, body).event.unwrap_err();
            assert_eq!(
                (rejection.field.as_ref(), rejection.code),
                (field, Code::Malformed),
                "{body}"
            );
        }
    }

    #[test]
    fn a_rejection_does_not_repeat_personal_data_or_whole_texts() {
        let body = format!(r#"{{"type":"{} a@example.com"}}"#, "x".repeat(10));
        let rejection = one(Form::Json, &body).event.unwrap_err();
        assert!(!rejection.message.contains("a@example.com"), "{rejection}");
        let body = format!(r#"{{"type":"{}"}}"#, "x".repeat(5000));
        let rejection = one(Form::Json, &body).event.unwrap_err();
        assert!(rejection.message.chars().count() <= MESSAGE_CHARS);
    }

    #[test]
    fn members_that_are_null_go_and_the_rest_stays_as_it_is() {
        for (json, expected) in [
            (r#"{"a":null}"#, "{}"),
            (r#"{"a": null, "b" : "null" , "c": 1}"#, r#"{"b":"null","c":1}"#),
            (r#"{"a":{"b":null,"c":{"d":null}},"e":[null]}"#, r#"{"a":{"c":{}},"e":[null]}"#),
            (r#"{"\u0061":1,"a":2,"n":null}"#, r#"{"\u0061":1,"a":2}"#),
        ] {
            assert_eq!(without_nulls(json, MESSAGES_DEEP).as_deref(), Some(expected));
        }
        for json in ["null", "[null]", "{", r#"{"a":null"#] {
            assert_eq!(without_nulls(json, MESSAGES_DEEP), None, "{json}");
        }
    }

    #[test]
    fn a_null_hides_no_repeated_field() {
        let rejection = one(Form::Json, r#"{"text":"a","queue":null,"text":"b"}"#).event;
        assert_eq!(rejection.unwrap_err().code, Code::Malformed);
    }

    #[test]
    fn the_id_of_what_is_no_event_is_found_among_anything_else() {
        for (body, id) in [
            (r#"{"x":[{"event_id":"no"}],"event_id":"m-1"}"#, "m-1"),
            (r#"{"eventId":"m-2","x":1}"#, "m-2"),
            (r#"{"event_id":"m-3","eventId":"m-4","x":1}"#, "m-3"),
            (r#"{"eventId":"m-4","event_id":"m-3","x":1}"#, "m-3"),
            (r#"{"event_id":3,"eventId":"m-4"}"#, "m-4"),
            (r#"{"event_id":"m-\u0031","x":1}"#, "m-1"),
            (r#"{"event_id":"m-1""#, ""),
            (r#"["event_id"]"#, ""),
        ] {
            assert_eq!(id_in(body, &["event_id", "eventId"]), id, "{body}");
        }
    }

    #[test]
    fn the_attributes_of_a_cloud_event_in_binary_mode_are_read_out_of_their_headers() {
        for (header, value) in [
            ("shop", Some("shop")),
            ("caf%C3%A9 100%25", Some("café 100%")),
            (r#""a \"quoted\" one""#, Some(r#"a "quoted" one"#)),
            ("100%", None),
            ("%zz", None),
            ("%ff", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("ce-source", header.parse().unwrap());
            assert_eq!(attribute(&headers, "source").ok().flatten().as_deref(), value, "{header}");
        }
        assert_eq!(attribute(&HeaderMap::new(), "source").unwrap(), None);
        assert!(binary_cloud_event(&HeaderMap::new(), b"{}").is_none());
    }

    #[test]
    fn something_after_the_event_is_malformed() {
        assert!(one(Form::Json, "{} {}").event.is_err());
        let broken = elements(Form::Json, b"[{}] x", 10).unwrap_err();
        assert!(matches!(broken, BodyError::Malformed(_)));
    }

    #[test]
    fn an_array_beyond_the_limit_is_counted_and_not_kept() {
        assert_eq!(elements(Form::Json, b"[1,2,3]", 2).unwrap_err(), BodyError::TooMany(3));
        assert_eq!(elements(Form::Json, b"[1,2,3]", 3).unwrap().len(), 3);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_panic(body in any::<Vec<u8>>()) {
            for form in [Form::Json, Form::Lines, Form::CloudEvent, Form::CloudEvents] {
                let _ = elements(form, &body, 10);
            }
        }

        #[test]
        fn any_json_like_text_is_read_or_refused_without_panic(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\n", "null", "1", "1e999", "\"\\ud800\"", "\"a\"",
                "\"type\"", "\"message\"", "\"author\"", "\"role\"", "\"sent_at\"", "\"data\"",
                "\"specversion\"", "\"1.0\"", "\"2023-11-14T22:13:00Z\"", "\"attrs\"",
            ]), 0..24),
        ) {
            for form in [Form::Json, Form::Lines, Form::CloudEvent, Form::CloudEvents] {
                let _ = elements(form, pieces.concat().as_bytes(), 10);
            }
        }
    }
}
