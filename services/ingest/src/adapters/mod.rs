//! What platforms send by themselves, as events: `POST /v1/adapters/{platform}`.
//!
//! Each platform has a pure function from a body of its own to events, to nothing, or to what is
//! wrong with it. Events go the way of all others from there on: checked, masked, their ids
//! replaced. What a platform does not say is not made up: a field of the event stays unset, and an
//! event that cannot do without it is rejected by the name of the platform's field.
//!
//! A delivery that comes again makes the same identities again, so that it has no effect; a field
//! that is none of an event's is passed over, so that a platform may add some.

mod chatwoot;
mod contact_lens;
pub(crate) mod http;
mod sca;
mod senders;
mod sunshine;
mod value;

use serde::{Deserialize, Serialize};
use zhili_proto::conversation::v1::event::Mode;
use zhili_proto::conversation::v1::{Author, Event, EventType, author};
use zhili_proto::timestamp;

use crate::parse::{BodyError, Element};
use crate::rejection::{Code, Rejection};

pub use senders::Sender;
pub(crate) use senders::Senders;

/// A platform whose bodies are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Platform {
    /// Webhooks of Chatwoot.
    Chatwoot,
    /// Webhooks of Sunshine Conversations, version 2.
    Sunshine,
    /// What is uploaded to Alibaba Cloud's Smart Conversation Analysis.
    Sca,
    /// Segment streams and chat files of Amazon Connect Contact Lens.
    ContactLens,
}

impl Platform {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Chatwoot, Self::Sunshine, Self::Sca, Self::ContactLens];

    /// Its name in addresses, settings and metrics, and the `source` of its events unless the
    /// address gives another.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chatwoot => "chatwoot",
            Self::Sunshine => "sunshine",
            Self::Sca => "sca",
            Self::ContactLens => "contact-lens",
        }
    }
}

/// What is known of a body beside what is in it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// `source` of the events: tells two installations of a platform apart, whose ids may be equal.
    pub source: String,
    /// Whether what happened is news or history.
    pub mode: Mode,
    /// Who writes for the business where Sunshine Conversations does not say it.
    pub business: author::Role,
    /// Our clock, milliseconds since the Unix epoch, for what a platform tells without a time.
    pub now_ms: i64,
    /// Events of one body.
    pub limit: usize,
}

impl Delivery {
    /// One that came at `now_ms` without anything being said of it, with up to `limit` events.
    #[must_use]
    pub fn new(platform: Platform, now_ms: i64, limit: usize) -> Self {
        Self {
            source: platform.name().to_owned(),
            mode: Mode::Live,
            business: author::Role::Bot,
            now_ms,
            limit,
        }
    }

    /// An event with what all have.
    fn event(&self, kind: EventType, conversation: &str, id: String, sent_ms: i64) -> Event {
        Event {
            source: self.source.clone(),
            event_id: id,
            conversation_id: conversation.to_owned(),
            r#type: kind.into(),
            sent_at: Some(timestamp(sent_ms)),
            mode: self.mode.into(),
            ..Event::default()
        }
    }
}

/// What a platform's body says, an element for each thing that happened; none where nothing did
/// that events tell of.
///
/// # Errors
/// [`BodyError`] when it is not what the platform sends, or more than the limit.
pub fn read(
    platform: Platform,
    body: &[u8],
    delivery: &Delivery,
) -> Result<Vec<Element>, BodyError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| BodyError::Malformed(format!("not UTF-8: {error}")))?;
    let elements = match platform {
        Platform::Chatwoot => chatwoot::read(text, delivery),
        Platform::Sunshine => sunshine::read(text, delivery),
        Platform::Sca => sca::read(text, delivery),
        Platform::ContactLens => contact_lens::read(text, delivery),
    }?;
    if elements.len() > delivery.limit {
        return Err(BodyError::TooMany(elements.len()));
    }
    Ok(elements)
}

fn author(id: impl Into<String>, role: author::Role, subtype: author::Subtype) -> Author {
    Author { id: id.into(), role: role.into(), subtype: subtype.into() }
}

fn missing(field: impl Into<std::borrow::Cow<'static, str>>, what: &str) -> Rejection {
    Rejection::new(field, Code::Missing, what)
}

fn malformed(what: &str) -> BodyError {
    BodyError::Malformed(what.to_owned())
}

/// An element, under `id` if it turned out to be none.
fn element(id: &str, event: Result<Event, Rejection>) -> Element {
    match event {
        Ok(event) => event.into(),
        Err(rejection) => {
            Element { event_id: id.to_owned(), traceparent: None, event: Err(rejection) }
        }
    }
}
