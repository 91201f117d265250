//! What each author wrote in the last minutes, for numbers that are sent in two messages. Holds
//! personal data: in memory only, bounded, forgotten by age.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use zhili_proto::conversation::v1::{Event, EventType};
use zhili_proto::millis;
use zhili_redact::{Finding, Lead};

/// Two messages further apart than this, by the platform's clock, are not read together.
const TOGETHER_MS: i64 = 120_000;

/// Messages of one author that are kept: a number in more parts than four is not put together.
const MESSAGES: usize = 8;

/// Authors in one generation; two generations are kept, so the memory is bounded by twice as many.
const AUTHORS: usize = 8_192;

/// The last messages of recent authors.
#[derive(Default)]
pub(crate) struct Leads {
    young: HashMap<Author, VecDeque<Said>>,
    old: HashMap<Author, VecDeque<Said>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Author {
    tenant: String,
    source: String,
    conversation: String,
    id: String,
}

struct Said {
    sent_ms: i64,
    event_id: String,
    lead: Lead,
}

impl Leads {
    /// What the author of `event` wrote before it, by the platform's clock; remembers the event,
    /// in whose text `found` is what there is to be masked.
    ///
    /// A message published again is given the same lead as the first time, as long as its author
    /// is remembered, so that its text is masked the same.
    pub(crate) fn before(&mut self, tenant: &str, event: &Event, found: &[Finding]) -> Lead {
        let (Some(author), Some(sent_ms)) =
            (&event.author, event.sent_at.as_ref().and_then(millis))
        else {
            return Lead::default();
        };
        if event.r#type != EventType::Message as i32 || event.text.is_empty() {
            return Lead::default();
        }
        let author = Author {
            tenant: tenant.to_owned(),
            source: event.source.clone(),
            conversation: event.conversation_id.clone(),
            id: author.id.clone(),
        };
        if self.young.len() >= AUTHORS && !self.young.contains_key(&author) {
            self.old = std::mem::take(&mut self.young);
        }
        let said = match self.young.entry(author) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let said = self.old.remove(new.key()).unwrap_or_default();
                new.insert(said)
            }
        };
        let own = said.iter().position(|said| said.event_id == event.event_id);
        let place = own.unwrap_or_else(|| said.partition_point(|said| said.sent_ms <= sent_ms));
        let earlier = said.iter().take(place);
        let recent = earlier.filter(|earlier| sent_ms - earlier.sent_ms <= TOGETHER_MS);
        let lead = Lead::of(recent.map(|earlier| &earlier.lead));
        if own.is_none() {
            let mut said_now = Lead::default();
            said_now.push_found(&event.text, found);
            let event_id = event.event_id.clone();
            said.insert(place, Said { sent_ms, event_id, lead: said_now });
            if said.len() > MESSAGES {
                said.pop_front();
            }
        }
        lead
    }
}

#[cfg(test)]
mod tests {
    use zhili_proto::conversation::v1;
    use zhili_proto::timestamp;
    use zhili_redact::{find, mask_after};

    use super::*;

    fn message(id: &str, at_ms: i64, author: &str, text: &str) -> Event {
        Event {
            source: "test".into(),
            event_id: id.into(),
            conversation_id: "c".into(),
            r#type: EventType::Message.into(),
            sent_at: Some(timestamp(at_ms)),
            author: Some(v1::Author { id: author.into(), ..v1::Author::default() }),
            text: text.into(),
            ..Event::default()
        }
    }

    fn masked(leads: &mut Leads, event: &Event) -> String {
        let lead = leads.before("default", event, &find(&event.text));
        mask_after(&lead, &event.text).text.into_owned()
    }

    #[test]
    fn the_rest_of_a_number_is_masked_in_the_next_message() {
        let mut leads = Leads::default();
        assert_eq!(masked(&mut leads, &message("1", 0, "a", "13800")), "13800");
        assert_eq!(masked(&mut leads, &message("2", 5_000, "a", "138000")), "[PHONE]");
    }

    #[test]
    fn a_message_published_again_is_masked_as_before() {
        let mut leads = Leads::default();
        let (first, second) = (message("1", 0, "a", "13800"), message("2", 5_000, "a", "138000"));
        for _ in 0..2 {
            assert_eq!(masked(&mut leads, &first), "13800");
            assert_eq!(masked(&mut leads, &second), "[PHONE]");
        }
    }

    #[test]
    fn another_author_and_a_later_hour_do_not_go_on() {
        let mut leads = Leads::default();
        masked(&mut leads, &message("1", 0, "a", "13800"));
        assert_eq!(masked(&mut leads, &message("2", 5_000, "b", "138000")), "138000");
        assert_eq!(masked(&mut leads, &message("3", 3_600_000, "a", "138000")), "138000");
    }

    #[test]
    fn messages_that_arrive_out_of_order_are_read_by_the_platforms_clock() {
        let mut leads = Leads::default();
        masked(&mut leads, &message("0", 0, "a", "13800"));
        masked(&mut leads, &message("2", 9_000, "a", "谢谢"));
        assert_eq!(masked(&mut leads, &message("1", 5_000, "a", "138000")), "[PHONE]");
    }

    #[test]
    fn as_many_authors_as_there_are_keep_the_memory_bounded() {
        let mut leads = Leads::default();
        for author in 0..3 * AUTHORS {
            masked(&mut leads, &message("1", 0, &author.to_string(), "13800"));
        }
        assert!(leads.young.len() + leads.old.len() <= 2 * AUTHORS);
    }
}
