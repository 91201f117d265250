//! What an event must be to be taken: the rules of `event.proto`, field by field.

use prost::Message;
use zhili_proto::conversation::v1::{Author, Csat, Event, EventType, Voice, author, event};
use zhili_proto::{Timestamp, millis};

use crate::config::Limits;
use crate::rejection::{Code, Rejection};

/// Characters of an id of a conversation, event, person or order, of a queue, team or segment.
const ID_CHARS: usize = 128;
/// Characters of `source`.
const SOURCE_CHARS: usize = 64;
/// Characters of `channel`.
const CHANNEL_CHARS: usize = 32;
/// Longest language tag that RFC 5646 wants every implementation to hold.
const LANG_CHARS: usize = 35;

type Checked = Result<(), Rejection>;

/// Whether an event of `tenant` may be taken; `now_ms` is our clock, milliseconds since the Unix
/// epoch. Pure, so that files can be checked as publishers are.
///
/// # Errors
/// The first fault, in the order of the fields.
pub fn check(event: &Event, tenant: &str, now_ms: i64, limits: &Limits) -> Checked {
    if !event.tenant.is_empty() && event.tenant != tenant {
        return Err(Rejection::new(
            "tenant",
            Code::NotAllowed,
            format!("the tenant comes from the token, which is for {tenant}; leave it empty"),
        ));
    }
    needed("source", &event.source, SOURCE_CHARS)?;
    needed("event_id", &event.event_id, ID_CHARS)?;
    needed("conversation_id", &event.conversation_id, ID_CHARS)?;
    let kind = kind(event.r#type)?;
    sent_at(event.sent_at.as_ref(), now_ms, limits)?;
    channel(&event.channel)?;
    match &event.author {
        Some(author) => check_author(author)?,
        None if matches!(kind, EventType::Message | EventType::Edit) => {
            return Err(missing("author", "say who wrote it"));
        }
        None => {}
    }
    bytes("text", event.text.len(), limits.text_bytes)?;
    content_type(&event.content_type)?;
    lang(&event.lang)?;
    short("reply_to", &event.reply_to)?;
    short("queue", &event.queue)?;
    short("team", &event.team)?;
    known::<event::Scene>("scene", event.scene)?;
    if let Some(customer) = &event.customer {
        short("customer.id", &customer.id)?;
        short("customer.segment", &customer.segment)?;
    }
    short("order", &event.order)?;
    event.voice.as_ref().map_or(Ok(()), voice)?;
    let attrs = event.attrs.iter().map(|(name, value)| name.len() + value.len()).sum();
    bytes("attrs", attrs, limits.attrs_bytes)?;
    known::<event::Mode>("mode", event.mode)?;
    known::<event::Status>("status", event.status)?;
    if kind == EventType::Status && event.status == 0 {
        return Err(missing("status", "an event of type status says which"));
    }
    match &event.csat {
        Some(rating) => csat(rating)?,
        None if kind == EventType::Csat => {
            return Err(missing("csat", "an event of type csat carries the rating"));
        }
        None => {}
    }
    short("target", &event.target)?;
    if event.target.is_empty() && matches!(kind, EventType::Edit | EventType::Delete) {
        return Err(missing("target", "an edit or delete names the event_id that it is about"));
    }
    // Last, for a field that is too long says more of what to do.
    bytes("event", event.encoded_len(), limits.event_bytes)
}

fn missing(field: &'static str, what: &str) -> Rejection {
    Rejection::new(field, Code::Missing, what)
}

fn needed(field: &'static str, value: &str, chars: usize) -> Checked {
    if value.is_empty() {
        return Err(missing(field, "must not be empty"));
    }
    at_most(field, value, chars)
}

/// An id that something has to have.
pub(crate) fn needed_id(field: &'static str, value: &str) -> Checked {
    needed(field, value, ID_CHARS)
}

fn short(field: &'static str, value: &str) -> Checked {
    at_most(field, value, ID_CHARS)
}

fn at_most(field: &'static str, value: &str, chars: usize) -> Checked {
    // Bytes bound characters from above, so most values need no count.
    if value.len() <= chars {
        return Ok(());
    }
    let count = value.chars().count();
    if count <= chars {
        return Ok(());
    }
    Err(Rejection::new(
        field,
        Code::TooLong,
        format!("has {count} characters, must have at most {chars}"),
    ))
}

fn bytes(field: &'static str, count: usize, limit: usize) -> Checked {
    if count <= limit {
        return Ok(());
    }
    Err(Rejection::new(
        field,
        Code::TooLong,
        format!("has {count} bytes, must have at most {limit}"),
    ))
}

fn kind(value: i32) -> Result<EventType, Rejection> {
    match EventType::try_from(value) {
        Ok(EventType::Unspecified) => Err(missing("type", "say what happened, such as message")),
        Ok(kind) => Ok(kind),
        Err(_) => Err(unknown("type", value)),
    }
}

fn known<E: TryFrom<i32>>(field: &'static str, value: i32) -> Checked {
    E::try_from(value).map(drop).map_err(|_| unknown(field, value))
}

fn unknown(field: &'static str, value: i32) -> Rejection {
    Rejection::new(field, Code::OutOfRange, format!("{value} is not a value of the contract"))
}

fn sent_at(value: Option<&Timestamp>, now_ms: i64, limits: &Limits) -> Checked {
    let Some(value) = value else {
        return Err(missing("sent_at", "say when it happened, by the platform's clock"));
    };
    if !(0..1_000_000_000).contains(&value.nanos) {
        return Err(Rejection::new(
            "sent_at",
            Code::Malformed,
            "nanos must be between 0 and 999,999,999",
        ));
    }
    let refuse = |message: &str| Err(Rejection::new("sent_at", Code::OutOfRange, message));
    // A time of year 1 or before the epoch is a platform's word for "not set", not a time.
    let Some(sent_ms) = millis(value).filter(|sent_ms| *sent_ms >= 0) else {
        return refuse("must not be before 1970; give the time at which it happened");
    };
    let ahead = limits.ahead_seconds;
    if sent_ms > now_ms.saturating_add(i64::from(ahead) * 1000) {
        let much = match ahead {
            hours if hours >= 3600 && hours.is_multiple_of(3600) => {
                format!("{} hours", hours / 3600)
            }
            seconds => format!("{seconds} seconds"),
        };
        return refuse(&format!(
            "is more than {much} in the future; check the clock of the platform"
        ));
    }
    Ok(())
}

fn channel(value: &str) -> Checked {
    at_most("channel", value, CHANNEL_CHARS)?;
    if value.chars().any(char::is_uppercase) {
        return Err(Rejection::new("channel", Code::Malformed, "must be in lower case"));
    }
    Ok(())
}

fn check_author(author: &Author) -> Checked {
    needed("author.id", &author.id, ID_CHARS)?;
    if author.role == 0 {
        return Err(missing("author.role", "say customer, agent, bot, system or supervisor"));
    }
    known::<author::Role>("author.role", author.role)?;
    known::<author::Subtype>("author.subtype", author.subtype)
}

fn content_type(value: &str) -> Checked {
    short("content_type", value)?;
    let halves = value.split_once('/');
    if value.is_empty() || halves.is_some_and(|(kind, sub)| !kind.is_empty() && !sub.is_empty()) {
        return Ok(());
    }
    Err(Rejection::new("content_type", Code::Malformed, "must be a MIME type such as text/plain"))
}

fn lang(value: &str) -> Checked {
    at_most("lang", value, LANG_CHARS)?;
    let subtag = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let primary = value.split('-').next().unwrap_or_default();
    if value.is_empty()
        || (value.split('-').all(subtag) && primary.bytes().all(|byte| byte.is_ascii_alphabetic()))
    {
        return Ok(());
    }
    Err(Rejection::new("lang", Code::Malformed, "must be a BCP 47 tag such as zh-Hans, or empty"))
}

fn voice(voice: &Voice) -> Checked {
    let refuse =
        |field: &'static str, message: &str| Err(Rejection::new(field, Code::OutOfRange, message));
    if voice.begin_ms < 0 {
        return refuse("voice.begin_ms", "must not be negative");
    }
    if voice.end_ms < voice.begin_ms {
        return refuse("voice.end_ms", "must not be before begin_ms");
    }
    if !voice.rate.is_finite() || voice.rate < 0.0 {
        return refuse("voice.rate", "must be a number of at least 0");
    }
    if !(0.0..=1.0).contains(&voice.asr_confidence) {
        return refuse("voice.asr_confidence", "must be between 0 and 1");
    }
    Ok(())
}

fn csat(rating: &Csat) -> Checked {
    let refuse =
        |field: &'static str, message: &str| Err(Rejection::new(field, Code::OutOfRange, message));
    if !rating.max.is_finite() || rating.max <= 0.0 {
        return refuse("csat.max", "must be positive: the best possible score");
    }
    if !rating.score.is_finite() || rating.score > rating.max {
        return refuse("csat.score", "must be a number of at most csat.max");
    }
    Ok(())
}
