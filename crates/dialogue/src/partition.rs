//! The fold of one log partition: all its conversations, their timers and its time.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use zhili_state::{Digest, Packed, Part};

use crate::book::Book;
use crate::config::Config;
use crate::conversation::{Conversation, Fired};
use crate::event::{Event, Mode};
use crate::output::Output;
use crate::policy::Policies;
use crate::seen::{Known, event_key};
use crate::timers::Timers;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Folded.
    Accepted {
        /// Backfilled, or older than the horizon and of a conversation without live events:
        /// counted, but fires no timer and sends no page.
        historical: bool,
    },
    /// Seen before; nothing changed.
    Duplicate,
    /// Its identity was seen before with another type, author or text; the first wins and
    /// nothing changed.
    Conflict,
}

/// Conversations and empty places between them.
pub(crate) type Slots = Vec<Option<Part<Packed<Conversation>>>>;

/// The fold of one log partition. The same records give the same outputs bit for bit, in any
/// batches and from any snapshot.
#[derive(Debug, Clone)]
pub struct Partition {
    pub(crate) book: Book,
    pub(crate) now_ms: i64,
    pub(crate) slots: Slots,
    pub(crate) digest: Digest<u32>,
    /// Empty slots, the one to fill next last.
    pub(crate) free: Vec<u32>,
    /// Slot of every conversation; for look-up alone, its order means nothing.
    index: HashTable<u32>,
    /// Of the key of the conversation in each slot: so that those that are packed need not be read to
    /// find another.
    hashes: Vec<u64>,
    /// One entry at most for each conversation.
    timers: Timers,
}

impl Partition {
    /// An empty fold at the beginning of time.
    pub fn new(config: Config) -> Self {
        Self::assemble(Book::new(config), i64::MIN, Vec::new(), Vec::new())
    }

    /// Puts a fold together from its state.
    pub(crate) fn assemble(book: Book, now_ms: i64, slots: Slots, free: Vec<u32>) -> Self {
        let mut index = HashTable::with_capacity(slots.len());
        let mut hashes = vec![0; slots.len()];
        let mut timers = Timers::default();
        for (slot, conversation) in slots.iter().enumerate() {
            if let Some(conversation) = conversation.as_ref().map(Part::get) {
                let hash = hash_of(conversation.key());
                hashes[slot] = hash;
                index.insert_unique(hash, slot as u32, |&other| hashes[other as usize]);
                if let Some(due_ms) = conversation.armed_ms {
                    timers.insert(due_ms, slot as u32);
                }
            }
        }
        let digest = (0..slots.len() as u32).collect();
        Self { book, now_ms, slots, digest, free, index, hashes, timers }
    }

    /// Largest log time seen, milliseconds since the Unix epoch; `i64::MIN` before the first.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The settings it was made with, which a snapshot keeps.
    pub fn config(&self) -> Config {
        self.book.config
    }

    /// Puts a tenant's settings in force at log time `at_ms`, after firing what was due until
    /// then. Cycles that are open go on with those they began with. Tenant `*` stands for every
    /// tenant without settings of its own, which is what `None` leaves it; a sequence that is not above the one in force changes
    /// nothing.
    pub fn configure(
        &mut self,
        at_ms: i64,
        tenant: &str,
        sequence: u64,
        policies: Option<Policies>,
        out: &mut Vec<Output>,
    ) {
        self.advance(at_ms, out);
        if sequence > self.book.sequence(tenant) {
            let terms = |it: &Part<Packed<Conversation>>| it.get().terms().collect::<Vec<_>>();
            let used = self.slots.iter().flatten().flat_map(terms);
            self.book.configure(tenant, sequence, policies, used);
        }
    }

    /// Sequence of a tenant's settings in force; 0 if it has none.
    pub fn config_sequence(&self, tenant: &str) -> u64 {
        self.book.sequence(tenant)
    }

    /// Conversations in memory.
    pub fn conversations(&self) -> usize {
        self.index.len()
    }

    /// What is not settled: facts of open cycles and of runs that wait for an answer, as they
    /// would be stated now. For figures of this moment; none of it has been stated.
    pub fn unsettled(&self) -> Vec<Output> {
        let mut out = Vec::new();
        for conversation in self.slots.iter().flatten() {
            conversation.get().unsettled(&self.book, &mut out);
        }
        out
    }

    /// When to call [`advance`](Self::advance) next if no record comes; nothing happens before.
    /// A timer may turn out to have moved, then advancing to it changes only the time.
    pub fn next_due(&self) -> Option<i64> {
        self.timers.first().map(|(due_ms, _)| due_ms)
    }

    /// Lets time reach `at_ms`: fires the timers due until then, in (due, id) order and
    /// effective at their due time. Time never goes back; an earlier `at_ms` does nothing.
    pub fn advance(&mut self, at_ms: i64, out: &mut Vec<Output>) {
        while let Some((due_ms, slot)) = self.timers.first() {
            if due_ms > at_ms {
                break;
            }
            self.timers.pop_first();
            self.now_ms = self.now_ms.max(due_ms);
            let Some(conversation) = change(&mut self.slots, &mut self.digest, slot) else {
                continue;
            };
            conversation.armed_ms = None;
            let fired = match conversation.deadline(&self.book) {
                Some((deadline_ms, what)) if deadline_ms <= due_ms => {
                    conversation.fire(deadline_ms, what, &self.book, out)
                }
                _ => Fired::Stays,
            };
            match fired {
                Fired::Stays => self.arm(slot),
                Fired::Leaves => self.remove(slot),
            }
        }
        self.now_ms = self.now_ms.max(at_ms);
    }

    /// Folds one event that was appended to the log at `at_ms`, after firing what was due until
    /// then. Facts and signals are appended to `out`.
    ///
    /// A log time before one already seen counts as that one. A message counts at the earlier of
    /// its `sent_ms` and the log time.
    pub fn apply(&mut self, at_ms: i64, event: &Event<'_>, out: &mut Vec<Output>) -> Applied {
        self.advance(at_ms, out);
        let key = event_key(event.source, event.event_id);
        let hash = hash_of((event.tenant, event.conversation_id));
        let is_old = event.sent_ms < self.now_ms.saturating_sub(self.book.config.horizon());
        let known = self.find(hash, event.tenant, event.conversation_id);
        let mut historical = event.mode == Mode::Backfill || is_old;
        let slot = if let Some((slot, conversation)) = known {
            match conversation.seen.look_up(key, &event.fingerprint) {
                Known::New => {}
                Known::Same => return Applied::Duplicate,
                Known::Other => return Applied::Conflict,
            }
            historical = event.mode == Mode::Backfill || (is_old && !conversation.live);
            slot
        } else {
            self.insert(hash, Conversation::new(event))
        };
        if let Some(conversation) = change(&mut self.slots, &mut self.digest, slot) {
            conversation.seen.insert(key, &event.fingerprint);
            conversation.apply(event, key, self.now_ms, historical, &self.book, out);
        }
        self.arm(slot);
        Applied::Accepted { historical }
    }

    /// Drops the conversations of which `gone` names the conversation or the customer, each by
    /// tenant and pseudonym. Nothing is stated of what is open in them, now or later.
    pub fn erase(&mut self, gone: impl Fn(&str, &str) -> bool) {
        for slot in 0..self.slots.len() as u32 {
            let Some(conversation) = self.slots[slot as usize].as_ref().map(Part::get) else {
                continue;
            };
            let (tenant, id) = conversation.key();
            if gone(tenant, id) || conversation.customers().any(|customer| gone(tenant, customer)) {
                if let Some(armed_ms) = conversation.armed_ms {
                    self.timers.remove(armed_ms, slot);
                }
                self.remove(slot);
            }
        }
    }

    /// The conversation of a key, and its slot.
    fn find(&mut self, hash: u64, tenant: &str, id: &str) -> Option<(u32, &Conversation)> {
        let Self { index, hashes, slots, digest, .. } = self;
        // Almost always one, and then it is the one.
        let mut alike = index.iter_hash(hash).filter(|slot| hashes[**slot as usize] == hash);
        let slot = alike.find(|&&slot| {
            let part = slots[slot as usize].as_mut();
            part.is_some_and(|part| digest.open(slot, part).is(tenant, id))
        });
        let slot = *slot?;
        Some((slot, digest.open(slot, slots[slot as usize].as_mut()?)))
    }

    fn insert(&mut self, hash: u64, conversation: Conversation) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.hashes.push(0);
            (self.slots.len() - 1) as u32
        });
        self.slots[slot as usize] = Some(self.digest.add(slot, conversation));
        self.hashes[slot as usize] = hash;
        let hashes = &self.hashes;
        self.index.insert_unique(hash, slot, |&other| hashes[other as usize]);
        slot
    }

    fn remove(&mut self, slot: u32) {
        if let Some(conversation) = self.slots[slot as usize].take() {
            let hash = self.hashes[slot as usize];
            if let Ok(entry) = self.index.find_entry(hash, |&other| other == slot) {
                entry.remove();
            }
            let slots = &self.slots;
            let is_there = |&slot: &u32| slots[slot as usize].is_some();
            self.digest.remove(conversation, self.index.len(), is_there);
            self.free.push(slot);
        }
    }

    /// Makes sure that a conversation's timer fires no later than its deadline. A timer that is
    /// too early is left: when it fires it is set again, which is cheaper than moving it with
    /// every message.
    fn arm(&mut self, slot: u32) {
        let Some(part) = &mut self.slots[slot as usize] else { return };
        let conversation = self.digest.open(slot, part);
        let Some((deadline_ms, _)) = conversation.deadline(&self.book) else {
            return;
        };
        if let Some(armed_ms) = conversation.armed_ms {
            if armed_ms <= deadline_ms {
                return;
            }
            self.timers.remove(armed_ms, slot);
        }
        if let Some(conversation) = change(&mut self.slots, &mut self.digest, slot) {
            conversation.armed_ms = Some(deadline_ms);
        }
        self.timers.insert(deadline_ms, slot);
    }
}

/// Place in the index. Nobody can choose many conversations that share one: ingest makes their ids
/// keyed pseudonyms, and of a file that is folded by hand only that run gets slow.
fn hash_of(key: (&str, &str)) -> u64 {
    FixedState::with_seed(0).hash_one(key)
}

/// The conversation of a slot, to be changed.
fn change<'a>(
    slots: &'a mut Slots,
    digest: &mut Digest<u32>,
    slot: u32,
) -> Option<&'a mut Conversation> {
    let part = slots[slot as usize].as_mut()?;
    Some(digest.change(slot, part))
}
