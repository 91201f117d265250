//! The last words of conversations: what somebody who is paged reads first.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use zhili_proto::conversation::v1::{Event, EventType, event::Mode};
use zhili_proto::{escalation::v1 as escalation, millis, timestamp};
use zhili_state::{Packed, Parts};

/// Changes with the form in which the state is saved.
pub(crate) const STATE_VERSION: u32 = 2;
/// Messages kept of a conversation.
const MOST: usize = 6;
/// Characters kept of a message.
const CHARS: usize = 120;
/// How long the words of a conversation are kept after its last message, milliseconds.
const KEPT_MS: i64 = 24 * 60 * 60_000;

/// A conversation, by a hash of its tenant and name.
type Key = [u8; 16];

/// The last messages of conversations that were written in lately. History is left out: nobody is
/// paged about it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Recent {
    conversations: Parts<Key, Packed<Words>>,
    /// Conversations by when they were last written in.
    order: BTreeSet<(i64, Key)>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Words {
    tenant: Box<str>,
    conversation_id: Box<str>,
    customer_tier: Box<str>,
    /// Log time of the last message.
    last_ms: i64,
    /// Oldest first.
    said: Vec<Said>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Said {
    event_id: Box<str>,
    role: i32,
    sent_ms: i64,
    text: Box<str>,
    sentiment: Option<f64>,
}

/// What a signal says of its conversation.
#[derive(Debug, Default)]
pub(crate) struct Background {
    pub(crate) customer_tier: String,
    pub(crate) said: Vec<escalation::Said>,
}

impl Recent {
    /// Takes an event that was accepted at `now_ms`, log time; `sentiment` is that of its text.
    pub(crate) fn apply(&mut self, now_ms: i64, event: &Event, sentiment: Option<f64>) {
        self.advance(now_ms);
        if event.mode() == Mode::Backfill || event.private {
            return;
        }
        let key = key(&event.tenant, &event.conversation_id);
        match event.r#type() {
            EventType::Message if !event.text.is_empty() => {
                self.message(key, now_ms, event, sentiment);
            }
            EventType::Edit => {
                if let Some(said) = self.said(key, &event.target) {
                    (said.text, said.sentiment) = (cut(&event.text), sentiment);
                }
            }
            EventType::Delete => {
                let target = event.target.as_str();
                if self.said(key, target).is_some()
                    && let Some(words) = self.conversations.get_mut(&key)
                {
                    words.said.retain(|said| &*said.event_id != target);
                }
            }
            _ => {}
        }
    }

    fn message(&mut self, key: Key, now_ms: i64, event: &Event, sentiment: Option<f64>) {
        let words = self.conversations.get_or_default(key);
        if words.said.is_empty() {
            words.tenant = event.tenant.as_str().into();
            words.conversation_id = event.conversation_id.as_str().into();
        }
        if let Some(customer) = &event.customer {
            let tier = if customer.vip { "vip" } else { customer.segment.as_str() };
            if *words.customer_tier != *tier {
                words.customer_tier = tier.into();
            }
        }
        if words.said.len() == MOST {
            words.said.remove(0);
        }
        words.said.push(Said {
            event_id: event.event_id.as_str().into(),
            role: event.author.as_ref().map_or(0, |author| author.role),
            sent_ms: event.sent_at.as_ref().and_then(millis).unwrap_or(now_ms),
            text: cut(&event.text),
            sentiment,
        });
        self.order.remove(&(words.last_ms, key));
        words.last_ms = now_ms;
        self.order.insert((now_ms, key));
    }

    /// The message `event_id` of a conversation, if it is kept.
    fn said(&mut self, key: Key, event_id: &str) -> Option<&mut Said> {
        // Looked at first: what is asked for to be changed counts as changed.
        self.conversations.get(&key)?.said.iter().find(|said| &*said.event_id == event_id)?;
        let words = self.conversations.get_mut(&key)?;
        words.said.iter_mut().find(|said| &*said.event_id == event_id)
    }

    /// Forgets conversations that nobody has written in for a day.
    pub(crate) fn advance(&mut self, now_ms: i64) {
        while let Some(&(last_ms, key)) = self.order.first()
            && last_ms.saturating_add(KEPT_MS) <= now_ms
        {
            self.order.pop_first();
            self.conversations.remove(&key);
        }
    }

    /// Forgets the conversations that `gone` names.
    pub(crate) fn erase(&mut self, gone: impl Fn(&str, &str) -> bool) {
        let named = self.conversations.iter();
        let named = named.filter(|(_, words)| gone(&words.tenant, &words.conversation_id));
        let named: Vec<(i64, Key)> = named.map(|(key, words)| (words.last_ms, *key)).collect();
        for (last_ms, key) in named {
            self.order.remove(&(last_ms, key));
            self.conversations.remove(&key);
        }
    }

    /// What a signal about a conversation says besides.
    pub(crate) fn background(&self, tenant: &str, conversation_id: &str) -> Background {
        let Some(words) = self.conversations.get(&key(tenant, conversation_id)) else {
            return Background::default();
        };
        let said = words.said.iter().map(|said| escalation::Said {
            event_id: said.event_id.to_string(),
            role: said.role,
            sent_at: Some(timestamp(said.sent_ms)),
            text: said.text.to_string(),
            sentiment: said.sentiment,
        });
        Background { customer_tier: words.customer_tier.to_string(), said: said.collect() }
    }

    /// The state, to be saved.
    pub(crate) fn conversations(&self) -> Parts<Key, Packed<impl Clone + Serialize + use<>>> {
        self.conversations.clone()
    }

    pub(crate) fn hash(&mut self) -> [u8; 16] {
        self.conversations.hash()
    }
}

impl<'de> Deserialize<'de> for Recent {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let conversations = Parts::<Key, Packed<Words>>::deserialize(from)?;
        let order = conversations.iter().map(|(key, words)| (words.last_ms, *key)).collect();
        Ok(Self { conversations, order })
    }
}

fn key(tenant: &str, conversation_id: &str) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(tenant.as_bytes()).update(&[0]).update(conversation_id.as_bytes());
    let mut key = Key::default();
    key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    key
}

fn cut(text: &str) -> Box<str> {
    text.char_indices().nth(CHARS).map_or(text, |(end, _)| &text[..end]).into()
}

#[cfg(test)]
mod tests {
    use zhili_proto::conversation::v1::author::Role;
    use zhili_proto::conversation::v1::{Author, Customer};

    use super::*;

    fn says(number: i64, text: &str) -> Event {
        Event {
            tenant: "acme".into(),
            conversation_id: "c1".into(),
            event_id: format!("e{number}"),
            r#type: EventType::Message.into(),
            author: Some(Author { role: Role::Customer.into(), ..Author::default() }),
            text: text.into(),
            sent_at: Some(timestamp(number * 1_000)),
            mode: Mode::Live.into(),
            ..Event::default()
        }
    }

    fn texts(recent: &Recent) -> Vec<String> {
        recent.background("acme", "c1").said.into_iter().map(|said| said.text).collect()
    }

    #[test]
    fn the_last_six_messages_are_kept_with_their_sentiment() {
        let mut recent = Recent::default();
        for number in 0..8 {
            recent.apply(number, &says(number, &number.to_string()), Some(-0.5));
        }
        assert_eq!(texts(&recent), ["2", "3", "4", "5", "6", "7"]);
        let said = recent.background("acme", "c1").said.remove(0);
        assert_eq!((said.event_id.as_str(), said.sentiment), ("e2", Some(-0.5)));
        assert!(recent.background("other", "c1").said.is_empty());
    }

    #[test]
    fn notes_among_colleagues_and_history_are_not() {
        let mut recent = Recent::default();
        recent.apply(0, &Event { private: true, ..says(0, "note") }, None);
        recent.apply(0, &Event { mode: Mode::Backfill.into(), ..says(1, "old") }, None);
        assert!(texts(&recent).is_empty());
    }

    #[test]
    fn what_was_edited_or_taken_back_is_told_as_it_is_now() {
        let mut recent = Recent::default();
        recent.apply(0, &says(0, "first"), None);
        recent.apply(1, &says(1, "second"), None);
        let of = |kind: EventType, target: &str, text: &str| Event {
            r#type: kind.into(),
            target: target.into(),
            ..says(2, text)
        };
        recent.apply(2, &of(EventType::Edit, "e0", "better"), Some(0.5));
        recent.apply(3, &of(EventType::Delete, "e1", ""), None);
        recent.apply(4, &of(EventType::Delete, "unknown", ""), None);
        assert_eq!(texts(&recent), ["better"]);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let mut recent = Recent::default();
        recent.apply(0, &says(0, &"诉".repeat(200)), None);
        assert_eq!(texts(&recent)[0].chars().count(), CHARS);
    }

    #[test]
    fn a_customer_is_known_by_their_tier() {
        let mut recent = Recent::default();
        let customer = |segment: &str, vip| {
            Some(Customer { segment: segment.into(), vip, ..Customer::default() })
        };
        recent.apply(0, &Event { customer: customer("gold", false), ..says(0, "a") }, None);
        assert_eq!(recent.background("acme", "c1").customer_tier, "gold");
        recent.apply(1, &Event { customer: customer("gold", true), ..says(1, "b") }, None);
        recent.apply(2, &says(2, "c"), None);
        assert_eq!(recent.background("acme", "c1").customer_tier, "vip");
    }

    #[test]
    fn a_conversation_is_forgotten_a_day_after_its_last_message_or_when_it_is_erased() {
        let mut recent = Recent::default();
        recent.apply(0, &says(0, "a"), None);
        recent.apply(1_000, &says(1, "b"), None);
        recent.advance(KEPT_MS);
        assert_eq!(texts(&recent).len(), 2);
        recent.advance(KEPT_MS + 1_000);
        assert_eq!(recent, Recent::default());
        recent.apply(KEPT_MS * 2, &says(2, "c"), None);
        recent.erase(|tenant, name| (tenant, name) == ("acme", "c1"));
        assert_eq!(recent, Recent::default());
    }

    #[test]
    fn a_copy_from_its_saved_state_goes_on_the_same() {
        let mut recent = Recent::default();
        recent.apply(0, &says(0, "a"), Some(-1.0));
        let saved = zhili_state::encode(&recent.conversations(), Vec::new());
        let mut copy: Recent = postcard::from_bytes(&saved).unwrap();
        assert_eq!((&copy, copy.clone().hash()), (&recent, recent.clone().hash()));
        copy.advance(KEPT_MS);
        assert!(texts(&copy).is_empty());
    }
}
