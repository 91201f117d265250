//! Seeded conversations, with the things that go wrong at publishers: events that come again,
//! others under the id of an earlier one, events that are too large.
//! Pure: time is passed in; the same seed and the same calls give the same events.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

/// `source` of every event.
pub const SOURCE: &str = "chaos";

/// Conversations that one publisher has open at a time: one event in so many follows another of
/// the same conversation.
const OPEN: usize = 40;
/// Messages of a conversation, from and below.
const LENGTH: std::ops::Range<u32> = 4..17;
/// One conversation in so many holds an urgent complaint.
const URGENT_EVERY: u32 = 25;
/// Of a thousand events, those that come again though they were acknowledged.
const AGAIN: u32 = 20;
/// Of a thousand, those that say something else under the id of an acknowledged one.
const CONFLICTS: u32 = 3;
/// Of a thousand, those that say that somebody types.
const TYPING: u32 = 10;
/// Of a thousand, those that are larger than is taken.
const OVERSIZED: u32 = 1;
/// Bytes of a text that is larger than the 16 KiB that are taken.
const OVERSIZED_BYTES: usize = 17 << 10;

/// What pages somebody, whatever else is said.
const URGENT: &str = "再不退款我现在就打12315投诉你们";

/// Nothing in them is personal, so they are stored as they are.
const CUSTOMER: [&str; 8] = [
    "请问我的快递什么时候能到",
    "好的,那我再等等看",
    "这件衣服有大一码的吗",
    "发票可以开公司抬头吗",
    "我想换个颜色,可以吗",
    "Could you tell me whether the blue one is still in stock?",
    "Thanks, that helps.",
    "已经三天了,物流一直没有更新",
];
const AGENT: [&str; 8] = [
    "亲,您好,正在为您查询,预计明天下午送达",
    "好的,已经为您备注,请您放心",
    "您稍等,我帮您看一下库存",
    "可以的,请您在订单页面填写抬头",
    "非常抱歉让您久等了,我马上催促仓库",
    "Of course, let me check that for you.",
    "You're welcome, have a nice day!",
    "感谢您的耐心等待,祝您生活愉快",
];

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something was said.
    Message,
    /// Acknowledged and forgotten, by contract.
    Typing,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The customer of the conversation.
    Customer,
    /// One of some agents.
    Agent,
}

impl Kind {
    /// As tables and JSON have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Typing => "typing",
        }
    }
}

impl Role {
    /// As tables and JSON have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Agent => "agent",
        }
    }
}

/// An event as a platform publishes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Unique within [`SOURCE`].
    pub id: String,
    /// Of which conversation; its customer has the same name.
    pub conversation: String,
    /// What it is.
    pub kind: Kind,
    /// Whose it is.
    pub role: Role,
    /// What was said.
    pub text: String,
    /// When, milliseconds since the Unix epoch.
    pub sent_ms: i64,
}

impl Event {
    /// The body that is published.
    pub fn json(&self) -> Value {
        let author = match self.role {
            Role::Customer => self.conversation.clone(),
            Role::Agent => format!("agent-{}", self.text.len() % 7),
        };
        json!({
            "source": SOURCE,
            "event_id": self.id,
            "conversation_id": self.conversation,
            "type": self.kind.name(),
            "sent_at": crate::samples::time(self.sent_ms),
            "customer": {"id": self.conversation},
            "author": {"id": author, "role": self.role.name()},
            "channel": "app",
            "text": self.text,
        })
    }

    /// Hash of what its row must say.
    pub fn payload(&self) -> u64 {
        payload(self.kind.name(), self.role.name(), &self.text, self.sent_ms)
    }
}

/// Hash of what a row says.
pub(crate) fn payload(kind: &str, role: &str, text: &str, sent_ms: i64) -> u64 {
    let mut hash = blake3::Hasher::new();
    for part in [kind, role, text] {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hash.update(&sent_ms.to_le_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// What must become of an event once it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// One row.
    New,
    /// One row, a signal, an incident and a page.
    Urgent,
    /// Nothing: it was acknowledged before.
    Again,
    /// One dead letter, and the row of the first stays.
    Conflict,
    /// Nothing.
    Typing,
    /// It is refused.
    Oversized,
}

/// An event and what must become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The event.
    pub event: Event,
    /// What must become of it.
    pub intent: Intent,
}

/// One open conversation.
struct Open {
    number: u32,
    length: u32,
    /// Which of its messages is the complaint.
    urgent_at: Option<u32>,
    /// What was said in earlier batches.
    said: Vec<Event>,
    /// What was said in this batch.
    fresh: Vec<Event>,
}

impl Open {
    fn next(&self) -> u32 {
        (self.said.len() + self.fresh.len()) as u32
    }
}

/// The events of one publisher, who sends a batch when the one before was acknowledged.
pub struct Traffic {
    random: StdRng,
    name: String,
    begun: u32,
    open: Vec<Open>,
    extra: u32,
}

impl Traffic {
    /// Of publisher `publisher` under a seed. Names of two publishers or seeds never meet.
    pub fn new(seed: u64, publisher: u32) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed.wrapping_mul(1_000_003) ^ u64::from(publisher)),
            name: format!("{seed:x}.{publisher}"),
            begun: 0,
            open: Vec::new(),
            extra: 0,
        }
    }

    /// The next `size` events, sent at `now_ms`. Every event of the batches before must have been
    /// acknowledged.
    pub fn batch(&mut self, size: usize, now_ms: i64) -> Vec<Item> {
        for open in &mut self.open {
            open.said.append(&mut open.fresh);
        }
        (0..size).map(|_| self.item(now_ms)).collect()
    }

    fn item(&mut self, now_ms: i64) -> Item {
        while self.open.len() < OPEN {
            self.begin();
        }
        let at = self.random.random_range(0..self.open.len());
        let dice = self.random.random_range(0..1_000);
        if dice < AGAIN + CONFLICTS {
            let open = &self.open[at];
            if !open.said.is_empty() {
                let which = self.random.random_range(0..open.said.len());
                let mut event = open.said[which].clone();
                if dice < AGAIN {
                    return Item { event, intent: Intent::Again };
                }
                // No two say the same, or the second would be a duplicate of the first. In letters:
                // digits may be a telephone number.
                self.extra += 1;
                event.text.push(' ');
                event.text.extend(self.extra.to_string().bytes().map(|it| char::from(it + 49)));
                return Item { event, intent: Intent::Conflict };
            }
        } else if dice < AGAIN + CONFLICTS + TYPING {
            return self.aside(at, now_ms, Kind::Typing);
        } else if dice < AGAIN + CONFLICTS + TYPING + OVERSIZED {
            return self.aside(at, now_ms, Kind::Message);
        }
        self.say(at, now_ms)
    }

    /// Something beside the messages of a conversation: typing, or what is too large.
    fn aside(&mut self, at: usize, now_ms: i64, kind: Kind) -> Item {
        self.extra += 1;
        let conversation = self.conversation(self.open[at].number);
        let id = format!("{}~{}", self.name, self.extra);
        let (text, intent) = match kind {
            Kind::Typing => (String::new(), Intent::Typing),
            Kind::Message => ("x".repeat(OVERSIZED_BYTES), Intent::Oversized),
        };
        let role = Role::Customer;
        Item { event: Event { id, conversation, kind, role, text, sent_ms: now_ms }, intent }
    }

    fn say(&mut self, at: usize, now_ms: i64) -> Item {
        let (number, next) = (self.open[at].number, self.open[at].next());
        let urgent = self.open[at].urgent_at == Some(next);
        let (role, texts) = match next % 2 {
            0 => (Role::Customer, &CUSTOMER),
            _ => (Role::Agent, &AGENT),
        };
        let text = texts[self.random.random_range(0..texts.len())];
        let conversation = self.conversation(number);
        let event = Event {
            id: format!("{conversation}-{next}"),
            conversation,
            kind: Kind::Message,
            role,
            text: if urgent { URGENT } else { text }.to_owned(),
            sent_ms: now_ms,
        };
        let open = &mut self.open[at];
        open.fresh.push(event.clone());
        if open.next() == open.length {
            self.open.swap_remove(at);
        }
        Item { event, intent: if urgent { Intent::Urgent } else { Intent::New } }
    }

    fn begin(&mut self) {
        let length = self.random.random_range(LENGTH);
        let urgent = self.begun.is_multiple_of(URGENT_EVERY);
        // Customers speak at even places.
        let urgent_at = urgent.then(|| self.random.random_range(0..length.div_ceil(2)) * 2);
        let number = self.begun;
        self.begun += 1;
        self.open.push(Open { number, length, urgent_at, said: Vec::new(), fresh: Vec::new() });
    }

    fn conversation(&self, number: u32) -> String {
        format!("{}/{number}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn some(seed: u64) -> Vec<Item> {
        let mut traffic = Traffic::new(seed, 3);
        (0..200).flat_map(|number| traffic.batch(50, 1_000 + number)).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_events_and_another_seed_others() {
        assert_eq!(some(1), some(1));
        assert_ne!(some(1), some(2));
    }

    #[test]
    fn ids_are_new_but_for_those_that_come_again_or_conflict() {
        let mut first: BTreeMap<String, Event> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for Item { event, intent } in some(7) {
            seen.insert(format!("{intent:?}"));
            match intent {
                Intent::Again => assert_eq!(first[&event.id], event),
                Intent::Conflict => {
                    assert_eq!(first[&event.id].conversation, event.conversation);
                    assert_ne!(first[&event.id].text, event.text);
                }
                _ => assert!(first.insert(event.id.clone(), event).is_none()),
            }
        }
        assert_eq!(seen.len(), 6, "{seen:?}");
    }

    #[test]
    fn what_is_repeated_was_acknowledged_in_an_earlier_batch() {
        let mut traffic = Traffic::new(11, 0);
        let mut acknowledged = BTreeSet::new();
        for number in 0..100 {
            let batch = traffic.batch(50, number);
            for Item { event, intent } in &batch {
                if matches!(intent, Intent::Again | Intent::Conflict) {
                    assert!(acknowledged.contains(&event.id), "{event:?}");
                }
            }
            acknowledged.extend(batch.into_iter().map(|item| item.event.id));
        }
    }

    #[test]
    fn a_conversation_holds_at_most_one_complaint_and_a_customer_says_it() {
        let mut complaints = BTreeSet::new();
        for Item { event, intent } in some(5) {
            if intent == Intent::Urgent {
                assert_eq!(event.role, Role::Customer);
                assert!(complaints.insert(event.conversation));
            }
        }
        assert!(complaints.len() > 20, "{}", complaints.len());
    }

    #[test]
    fn a_payload_tells_every_part_apart() {
        let hashes = [
            payload("message", "agent", "a", 1),
            payload("typing", "agent", "a", 1),
            payload("message", "customer", "a", 1),
            payload("message", "agent", "b", 1),
            payload("message", "agent", "a", 2),
            payload("messagea", "gent", "a", 1),
        ];
        assert_eq!(hashes.iter().collect::<BTreeSet<_>>().len(), hashes.len());
    }
}
