//! What becomes of one event on its way into the log: checked, masked, its ids replaced by
//! keyed pseudonyms, encoded. Pure: no clock, no I/O; the same event, lead, time and keys give the
//! same bytes.
//!
//! | field | what the log holds |
//! |---|---|
//! | `conversation_id` | pseudonym of [`Subject::Conversation`] |
//! | `author.id` | pseudonym of [`Subject::Author`]; of [`Subject::Customer`] for role customer |
//! | `customer.id` | pseudonym of [`Subject::Customer`]; the author's id where role customer gives none |
//! | `customer.former_ids` | pseudonyms of the same id under replaced keys that are joined |
//! | `event_id`, `target`, `reply_to`, `source`, names of `attrs` | as they are; a pseudonym of [`Subject::Event`] where masking would change them |
//! | `order` | as it is, digits of any length included; e-mail addresses masked |
//! | `text` | masked, as the continuation of what its author wrote shortly before |
//! | every other text | masked |
//!
//! Names that tell things apart are never masked, for two of them could become one: a `source`
//! `whatsapp:+8613800138000` and its neighbour would share the identities of their events. All
//! ids are taken byte for byte; a platform that writes one id in two ways has two of them.

use std::borrow::Cow;

use bytes::Bytes;
use prost::Message;
use zhili_proto::conversation::v1::{
    Customer, Event, EventType, LogEntry, author, event, log_entry,
};
use zhili_proto::timestamp;
use zhili_redact::{
    Finding, KeyRing, Kind, Lead, Masked, Subject, find, found_after, mask, mask_found,
};
use zhili_runtime::auth::Tenant;

use crate::check::check;
use crate::config::Limits;
use crate::rejection::Rejection;

/// What is to be done with an event that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// Append this.
    Record(Record),
    /// Acknowledge it and forget it: typing.
    Dropped,
}

/// An event as the log will hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `tenant/conversation`, the conversation as its pseudonym; decides on the partition.
    pub key: Bytes,
    /// An encoded [`LogEntry`].
    pub value: Bytes,
    /// Kinds of personal data that were masked, one for each place.
    pub masked: Vec<Kind>,
}

/// What stands in front of an order number when it is masked, so that its digits are read as
/// those of an order and not of a telephone.
const ORDER: &str = "order no. ";

/// Checks an event and makes it ready for the log; `now_ms` is our clock, milliseconds since the
/// Unix epoch, and becomes `received_at`.
///
/// # Errors
/// The first fault that was found, by field.
pub fn prepare(
    event: Event,
    tenant: &Tenant,
    now_ms: i64,
    keys: &KeyRing,
    limits: &Limits,
) -> Result<Prepared, Rejection> {
    let found = find(&event.text);
    prepare_after(&Lead::default(), found, event, tenant, now_ms, keys, limits)
}

/// [`prepare`] for a message whose author wrote `lead` shortly before, and in whose text [`find`]
/// found `found`.
///
/// # Errors
/// The first fault that was found, by field.
pub fn prepare_after(
    lead: &Lead,
    found: Vec<Finding>,
    mut event: Event,
    tenant: &Tenant,
    now_ms: i64,
    keys: &KeyRing,
    limits: &Limits,
) -> Result<Prepared, Rejection> {
    check(&event, tenant.as_str(), now_ms, limits)?;
    if event.r#type == EventType::Typing as i32 {
        return Ok(Prepared::Dropped);
    }
    tenant.as_str().clone_into(&mut event.tenant);
    event.received_at = Some(timestamp(now_ms));
    if event.mode == 0 {
        event.mode = event::Mode::Live.into();
    }
    let names = Names { keys, tenant: tenant.as_str(), now_ms };
    replace_ids(&mut event, &names);
    let masked = mask_texts(lead, found, &mut event);
    let key = Bytes::from(format!("{tenant}/{}", event.conversation_id));
    let entry = LogEntry { entry: Some(log_entry::Entry::Event(event)) };
    Ok(Prepared::Record(Record { key, value: entry.encode_to_vec().into(), masked }))
}

/// Makes pseudonyms for one tenant.
struct Names<'a> {
    keys: &'a KeyRing,
    tenant: &'a str,
    now_ms: i64,
}

impl Names<'_> {
    fn replace(&self, subject: Subject, id: &mut String) {
        if !id.is_empty() {
            *id = self.keys.name(self.tenant, subject, id);
        }
    }

    /// What a publisher says of former ids is nobody's pseudonym.
    fn replace_customer(&self, customer: &mut Customer) {
        let id = &customer.id;
        let names = (!id.is_empty()).then(|| self.keys.customer(self.tenant, id, self.now_ms));
        let names = names.unwrap_or_default();
        customer.id = names.id;
        customer.former_ids = names.former;
        customer.speaker = names.speaker;
    }

    /// Equal names stay equal and different ones different, so an edit still finds its target.
    fn replace_if_personal(&self, name: &mut String) {
        if mask(name).changed() {
            self.replace(Subject::Event, name);
        }
    }
}

fn replace_ids(event: &mut Event, names: &Names<'_>) {
    names.replace(Subject::Conversation, &mut event.conversation_id);
    if let Some(author) = &mut event.author {
        if author.role == author::Role::Customer as i32 {
            let customer = event.customer.get_or_insert_default();
            if customer.id.is_empty() {
                customer.id.clone_from(&author.id);
            }
            names.replace(Subject::Customer, &mut author.id);
        } else {
            names.replace(Subject::Author, &mut author.id);
        }
    }
    if let Some(customer) = &mut event.customer {
        names.replace_customer(customer);
    }
    for name in [&mut event.source, &mut event.event_id, &mut event.target, &mut event.reply_to] {
        names.replace_if_personal(name);
    }
    if event.attrs.keys().any(|name| mask(name).changed()) {
        let attrs = std::mem::take(&mut event.attrs);
        event.attrs = attrs
            .into_iter()
            .map(|(mut name, value)| {
                names.replace_if_personal(&mut name);
                (name, value)
            })
            .collect();
    }
}

fn mask_texts(lead: &Lead, found: Vec<Finding>, event: &mut Event) -> Vec<Kind> {
    let mut masked = Vec::new();
    let text = std::mem::take(&mut event.text);
    let found = found_after(lead, &text, found);
    event.text = clean(mask_found(&text, &found), &mut masked).unwrap_or(text);
    let texts = [
        &mut event.channel,
        &mut event.content_type,
        &mut event.lang,
        &mut event.queue,
        &mut event.team,
    ];
    let segment = event.customer.as_mut().map(|customer| &mut customer.segment);
    for text in texts.into_iter().chain(segment).chain(event.attrs.values_mut()) {
        mask_in_place(text, &mut masked);
    }
    if mask(&event.order).changed() {
        let mut order = format!("{ORDER}{}", event.order);
        mask_in_place(&mut order, &mut masked);
        // No token begins in the words in front, which hold no digit and no at sign.
        event.order = order.strip_prefix(ORDER).unwrap_or(&order).to_owned();
    }
    masked
}

fn mask_in_place(text: &mut String, masked: &mut Vec<Kind>) {
    if let Some(clean) = clean(mask(text), masked) {
        *text = clean;
    }
}

/// The masked text where it differs; counts what was masked.
fn clean(found: Masked<'_>, masked: &mut Vec<Kind>) -> Option<String> {
    masked.extend(found.spans.iter().map(|span| span.kind));
    match found.text {
        Cow::Owned(clean) => Some(clean),
        Cow::Borrowed(_) => None,
    }
}
