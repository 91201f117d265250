//! What is known of a customer over conversations: who comes back after an ended cycle, and who
//! complains again.
//!
//! A fold of its own over what the folds of conversations state, ordered by customer. A contact is
//! a care cycle in which the customer asked for something; thanks alone is none.
//!
//! A customer has a pseudonym under each key that is joined (`docs/adr/0011`), and is remembered
//! under each, as if those were several customers with the same history. What is to be said of a
//! cycle or a complaint is said by one of them alone: by the one that was to speak when it was
//! first heard of, for as long as it is remembered.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use zhili_state::{Look, Packed, Parts, encode};

use crate::output::{
    Complaint, Cycle, Fact, FactBody, Family, FormerIds, Output, Recontact, Severity, Signal,
    SignalKind,
};
use crate::snapshot::{self, SnapshotError};
use crate::statement::signal_id;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// When nothing changes any more what is said of a cycle: 30 days, the longest that a first contact
/// may have to prove itself, and a day for contacts that are stated only when they end.
const SETTLES_MS: i64 = 31 * DAY_MS;

/// Cycles and complaints of one customer that are remembered, the latest. Who comes more often is a
/// test or a colleague.
const REMEMBERED: usize = 64;

/// Conversations that a signal names.
const RELATED: usize = 10;

/// Tenant whose settings hold for all that have none.
const ANY_TENANT: &str = "*";

/// First bytes of every snapshot, and what changes with the layout of the state.
const MAGIC: [u8; 4] = *b"ZCUS";
const VERSION: u16 = 4;

/// When complaints of one customer are worth a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct RepeatPolicy {
    unchecked: Unchecked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Unchecked {
    /// Complaints within so many days count, 1 to 30.
    within_days: u32,
    /// So many cycles with a complaint are worth a signal, this one included: 2 to 64, or 0 for
    /// never.
    times: u32,
    /// Severity of the signal.
    severity: Severity,
}

impl Default for Unchecked {
    fn default() -> Self {
        Self { within_days: 7, times: 2, severity: Severity::High }
    }
}

impl Default for RepeatPolicy {
    /// The second complaint within 7 days.
    fn default() -> Self {
        Self { unchecked: Unchecked::default() }
    }
}

impl TryFrom<Unchecked> for RepeatPolicy {
    type Error = &'static str;

    fn try_from(unchecked: Unchecked) -> Result<Self, Self::Error> {
        if !(1..=30).contains(&unchecked.within_days) {
            return Err("within_days is 1 to 30");
        }
        if unchecked.times == 1 || unchecked.times as usize > REMEMBERED {
            return Err("times is 2 to 64, or 0 for never");
        }
        Ok(Self { unchecked })
    }
}

impl From<RepeatPolicy> for Unchecked {
    fn from(policy: RepeatPolicy) -> Self {
        policy.unchecked
    }
}

/// Something that a conversation says of its customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Owner of the conversation.
    pub tenant: String,
    /// Pseudonym under which it is remembered, never empty.
    pub customer: String,
    /// Pseudonym that statements carry: the newest one. Empty if it is `customer`.
    pub stated_as: String,
    /// Remembered only: another pseudonym of the customer states it.
    pub silent: bool,
    /// The conversation.
    pub conversation_id: String,
    /// `fact_id` of the cycle.
    pub cycle_id: String,
    /// Who is or was in charge.
    pub agent: String,
    /// Channel of the conversation.
    pub channel: String,
    /// Queue of the conversation.
    pub queue: String,
    /// Team of the conversation.
    pub team: String,
    /// Backfilled or older than the horizon.
    pub historical: bool,
    /// What it says.
    pub what: What,
}

/// What a conversation says of its customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A care cycle, as it stands.
    Cycle {
        /// When it began, milliseconds since the Unix epoch.
        started_ms: i64,
        /// When it ended; `None` while it is open.
        ended_ms: Option<i64>,
        /// It ended resolved.
        resolved: bool,
        /// The customer asked for something in it.
        asked: bool,
    },
    /// The customer begins to complain in a cycle.
    Complaint {
        /// The message.
        event_id: String,
        /// When it was sent.
        at_ms: i64,
    },
}

impl Contact {
    /// What an output of a conversation says of its customer, once for each pseudonym of theirs;
    /// empty if that is nothing, or if the customer is not known.
    pub fn of(output: &Output) -> Vec<Self> {
        let (contact, former) = match output {
            Output::Fact(fact) => {
                let FactBody::Cycle(cycle) = &fact.body else { return Vec::new() };
                (Self::of_cycle(fact, cycle), &fact.former)
            }
            Output::Complaint(it) if !it.again => (Self::of_complaint(it), &it.former),
            Output::Complaint(_) | Output::Signal(_) | Output::Presence(_) => return Vec::new(),
        };
        if contact.customer.is_empty() {
            return Vec::new();
        }
        let stated_as = contact.customer.clone();
        let silent = |at: u32| former.speaker != at;
        let mut contacts = vec![Self { silent: silent(0), ..contact }];
        for (customer, at) in former.ids.iter().zip(1..) {
            contacts.push(Self {
                customer: customer.to_string(),
                stated_as: stated_as.clone(),
                silent: silent(at),
                ..contacts[0].clone()
            });
        }
        contacts
    }

    fn of_cycle(fact: &Fact, cycle: &Cycle) -> Self {
        Self {
            tenant: fact.tenant.clone(),
            customer: fact.customer.clone(),
            stated_as: String::new(),
            silent: false,
            conversation_id: fact.conversation_id.clone(),
            cycle_id: fact.fact_id.clone(),
            agent: fact.agent.clone(),
            channel: fact.channel.clone(),
            queue: fact.queue.clone(),
            team: fact.team.clone(),
            historical: fact.historical,
            what: What::Cycle {
                started_ms: cycle.started_ms,
                ended_ms: cycle.ended_ms,
                resolved: cycle.resolved,
                asked: cycle.turns > 0,
            },
        }
    }

    fn of_complaint(complaint: &Complaint) -> Self {
        Self {
            tenant: complaint.tenant.clone(),
            customer: complaint.customer.clone(),
            stated_as: String::new(),
            silent: false,
            conversation_id: complaint.conversation_id.clone(),
            cycle_id: complaint.cycle_id.clone(),
            agent: complaint.agent.clone(),
            channel: complaint.channel.clone(),
            queue: complaint.queue.clone(),
            team: complaint.team.clone(),
            historical: complaint.historical,
            what: What::Complaint { event_id: complaint.event_id.clone(), at_ms: complaint.at_ms },
        }
    }
}

/// The fold of one partition of contacts. The same records give the same outputs bit for bit, in
/// any batches and from any snapshot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Customers {
    state: FrozenCustomers,
    /// When a customer has something to settle or to forget; one entry for each at most.
    timers: BTreeSet<(i64, Key)>,
}

/// All that [`Customers`] know at one moment. It shares the customers until they change, so it is
/// made at once, and its bytes can be written while the fold goes on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FrozenCustomers {
    now_ms: Option<i64>,
    /// Of a tenant: sequence, and its own settings.
    settings: BTreeMap<String, (u64, Option<RepeatPolicy>)>,
    known: Parts<Key, Packed<Customer>>,
}

impl FrozenCustomers {
    /// The state as [`Customers::restore`] reads it.
    pub fn to_bytes(&self) -> Vec<u8> {
        snapshot::with_version(MAGIC, VERSION, self)
    }

    /// Lets time reach `at_ms`.
    fn reach(&mut self, at_ms: i64) {
        self.now_ms = Some(self.now_ms.map_or(at_ms, |now_ms| now_ms.max(at_ms)));
    }
}

/// Tenant and customer.
type Key = (Box<str>, Box<str>);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Customer {
    armed_ms: Option<i64>,
    /// In the order in which they came to be known.
    visits: Vec<Visit>,
    complaints: Vec<Complained>,
}

/// A cycle in which the customer asked for something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Visit {
    cycle_id: Box<str>,
    /// As in the contact.
    stated_as: Box<str>,
    /// As in the first contact: who speaks of it does not change.
    silent: bool,
    conversation_id: Box<str>,
    agent: Box<str>,
    channel: Box<str>,
    queue: Box<str>,
    team: Box<str>,
    historical: bool,
    started_ms: i64,
    ended_ms: Option<i64>,
    resolved: bool,
    /// What was stated last, and how often something was.
    stated: Option<Recontact>,
    revisions: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Complained {
    cycle_id: Box<str>,
    /// As in the contact.
    stated_as: Box<str>,
    silent: bool,
    conversation_id: Box<str>,
    event_id: Box<str>,
    agent: Box<str>,
    channel: Box<str>,
    queue: Box<str>,
    team: Box<str>,
    historical: bool,
    at_ms: i64,
    /// It was told that this is one too many.
    told: bool,
}

impl Customers {
    /// Version of the state's layout and meaning; a state of another one cannot be restored.
    pub const STATE_VERSION: u16 = VERSION;

    /// How long after its end something may be stated of a cycle, in milliseconds.
    pub const SETTLES_MS: i64 = SETTLES_MS;

    /// An empty fold.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a tenant's settings in force at log time `at_ms`; a sequence that is not above the one
    /// in force changes nothing. Tenant `*` stands for all that have none of their own.
    pub fn configure(
        &mut self,
        at_ms: i64,
        tenant: &str,
        sequence: u64,
        policy: Option<RepeatPolicy>,
        out: &mut Vec<Output>,
    ) {
        self.advance(at_ms, out);
        if sequence > self.config_sequence(tenant) {
            self.state.settings.insert(tenant.to_owned(), (sequence, policy));
        }
    }

    /// Sequence of a tenant's settings in force; 0 if it has none.
    pub fn config_sequence(&self, tenant: &str) -> u64 {
        self.state.settings.get(tenant).map_or(0, |&(sequence, _)| sequence)
    }

    fn policy(&self, tenant: &str) -> RepeatPolicy {
        let of = |tenant: &str| self.state.settings.get(tenant).and_then(|&(_, policy)| policy);
        of(tenant).or_else(|| of(ANY_TENANT)).unwrap_or_default()
    }

    /// Customers in memory.
    pub fn customers(&self) -> usize {
        self.state.known.len()
    }

    /// When to call [`advance`](Self::advance) next if no record comes.
    pub fn next_due(&self) -> Option<i64> {
        self.timers.first().map(|&(due_ms, _)| due_ms)
    }

    /// Lets time reach `at_ms`: settles what is 31 days old, and forgets it.
    pub fn advance(&mut self, at_ms: i64, out: &mut Vec<Output>) {
        while let Some((due_ms, _)) = self.timers.first()
            && *due_ms <= at_ms
            && let Some((due_ms, key)) = self.timers.pop_first()
        {
            self.state.reach(due_ms);
            let Some(customer) = self.state.known.get_mut(&key) else { continue };
            customer.armed_ms = None;
            customer.state(&key, due_ms, out);
            customer.forget(due_ms);
            self.arm(key);
        }
        self.state.reach(at_ms);
    }

    /// Folds a contact that was appended to the log at `at_ms`.
    pub fn apply(&mut self, at_ms: i64, contact: Contact, out: &mut Vec<Output>) {
        self.advance(at_ms, out);
        let now_ms = self.state.now_ms.unwrap_or(at_ms);
        let key: Key = (contact.tenant.as_str().into(), contact.customer.as_str().into());
        let policy = self.policy(&contact.tenant);
        let customer = self.state.known.get_or_default(key.clone());
        match &contact.what {
            What::Cycle { .. } => {
                customer.visit(contact);
                customer.state(&key, now_ms, out);
            }
            What::Complaint { .. } => {
                customer.complain(contact);
                customer.tell(&key, policy, out);
            }
        }
        customer.forget(now_ms);
        self.arm(key);
    }

    /// Forgets the customers that `gone` names, by any of their pseudonyms, and what is remembered of
    /// conversations that it names, each by tenant and pseudonym. Nothing is stated of them any more.
    pub fn erase(&mut self, gone: impl Fn(&str, &str) -> bool) {
        let touched = |(key, customer): (&Key, Look<'_, Customer>)| {
            let (tenant, name) = key;
            let of = |conversation: &str, stated_as: &str| {
                gone(tenant, conversation) || gone(tenant, stated_as)
            };
            let is_touched = gone(tenant, name)
                || customer.visits.iter().any(|it| of(&it.conversation_id, &it.stated_as))
                || customer.complaints.iter().any(|it| of(&it.conversation_id, &it.stated_as));
            is_touched.then(|| key.clone())
        };
        let keys: Vec<Key> = self.state.known.iter().filter_map(touched).collect();
        for key in keys {
            let Some(customer) = self.state.known.get_mut(&key) else { continue };
            let (tenant, name) = &key;
            let all = gone(tenant, name);
            let of = |conversation: &str, stated_as: &str| {
                all || gone(tenant, conversation) || gone(tenant, stated_as)
            };
            customer.visits.retain(|it| !of(&it.conversation_id, &it.stated_as));
            customer.complaints.retain(|it| !of(&it.conversation_id, &it.stated_as));
            self.arm(key);
        }
    }

    /// Sets the customer's timer, or forgets who has nothing to remember.
    fn arm(&mut self, key: Key) {
        let Some(customer) = self.state.known.get_mut(&key) else { return };
        let due_ms = customer.due_ms();
        if customer.armed_ms == due_ms && due_ms.is_some() {
            return;
        }
        if let Some(armed_ms) = customer.armed_ms {
            self.timers.remove(&(armed_ms, key.clone()));
        }
        customer.armed_ms = due_ms;
        match due_ms {
            Some(due_ms) => {
                self.timers.insert((due_ms, key));
            }
            None => {
                self.state.known.remove(&key);
            }
        }
    }

    /// The whole state. Folds restored from it go on exactly as this one does.
    pub fn snapshot(&self) -> Vec<u8> {
        self.state.to_bytes()
    }

    /// The state as it is now.
    pub fn freeze(&self) -> FrozenCustomers {
        self.state.clone()
    }

    /// The fold that [`snapshot`](Self::snapshot) was taken of.
    ///
    /// # Errors
    /// When the bytes are something else, of another version, or damaged.
    pub fn restore(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let state: FrozenCustomers = snapshot::of_version(MAGIC, VERSION, bytes)?;
        let timer =
            |(key, customer): (&Key, Look<'_, Customer>)| Some((customer.armed_ms?, key.clone()));
        let timers = state.known.iter().filter_map(timer).collect();
        Ok(Self { state, timers })
    }

    /// Hash of the state: equal for folds of the same records. Costs time for the customers that
    /// changed since it was asked last.
    pub fn hash(&mut self) -> [u8; 32] {
        let FrozenCustomers { now_ms, settings, known } = &mut self.state;
        let bytes = encode(&(known.hash(), now_ms, settings), Vec::new());
        blake3::hash(&bytes).into()
    }
}

impl Customer {
    /// When something of it is to be settled or forgotten.
    fn due_ms(&self) -> Option<i64> {
        let visits = self.visits.iter().map(Visit::due_ms);
        visits.chain(self.complaints.iter().map(|it| it.at_ms.saturating_add(SETTLES_MS))).min()
    }

    fn visit(&mut self, contact: Contact) {
        let What::Cycle { started_ms, ended_ms, resolved, asked } = contact.what else { return };
        let known = self.visits.iter().position(|visit| *visit.cycle_id == contact.cycle_id);
        if !asked {
            return;
        }
        let before = known.map(|index| &mut self.visits[index]);
        let (stated, revisions, silent) = before
            .as_ref()
            .map_or((None, 0, contact.silent), |it| (it.stated.clone(), it.revisions, it.silent));
        let visit = Visit {
            cycle_id: contact.cycle_id.into(),
            stated_as: contact.stated_as.into(),
            silent,
            conversation_id: contact.conversation_id.into(),
            agent: contact.agent.into(),
            channel: contact.channel.into(),
            queue: contact.queue.into(),
            team: contact.team.into(),
            historical: contact.historical,
            started_ms,
            ended_ms,
            resolved,
            stated,
            revisions,
        };
        match before {
            Some(before) => *before = visit,
            None => self.visits.push(visit),
        }
        if self.visits.len() > REMEMBERED {
            self.visits.remove(0);
        }
    }

    /// States what changed of ended cycles.
    fn state(&mut self, key: &Key, now_ms: i64, out: &mut Vec<Output>) {
        for index in 0..self.visits.len() {
            if self.visits[index].silent {
                continue;
            }
            let Some(now) = self.recontact(index, now_ms) else { continue };
            let visit = &mut self.visits[index];
            if visit.stated.as_ref() == Some(&now) {
                continue;
            }
            visit.stated = Some(now.clone());
            out.push(Output::Fact(Fact {
                tenant: key.0.to_string(),
                conversation_id: visit.conversation_id.to_string(),
                fact_id: format!("{}/r", visit.cycle_id),
                revision: visit.revisions,
                at_ms: visit.started_ms,
                agent: visit.agent.to_string(),
                customer: name_of(key, &visit.stated_as),
                former: FormerIds::default(),
                channel: visit.channel.to_string(),
                queue: visit.queue.to_string(),
                team: visit.team.to_string(),
                historical: visit.historical,
                body: FactBody::Recontact(now),
            }));
            visit.revisions += 1;
        }
    }

    fn recontact(&self, index: usize, now_ms: i64) -> Option<Recontact> {
        let visit = &self.visits[index];
        let ended_ms = visit.ended_ms?;
        let later = self
            .visits
            .iter()
            .enumerate()
            .filter(|&(other, it)| other != index && it.started_ms >= ended_ms);
        let same = |it: &Visit| it.conversation_id == visit.conversation_id;
        let reopened = later.clone().filter(|(_, it)| same(it));
        Some(Recontact {
            ended_ms,
            resolved: visit.resolved,
            next_ms: later.map(|(_, it)| it.started_ms).min(),
            reopened_ms: reopened.map(|(_, it)| it.started_ms).min(),
            settled: now_ms >= visit.due_ms(),
        })
    }

    /// Remembers a complaint, the first of its cycle.
    fn complain(&mut self, contact: Contact) {
        let What::Complaint { event_id, at_ms } = contact.what else { return };
        if self.complaints.iter().any(|other| *other.cycle_id == contact.cycle_id) {
            return;
        }
        self.complaints.push(Complained {
            cycle_id: contact.cycle_id.into(),
            stated_as: contact.stated_as.into(),
            silent: contact.silent,
            conversation_id: contact.conversation_id.into(),
            event_id: event_id.into(),
            agent: contact.agent.into(),
            channel: contact.channel.into(),
            queue: contact.queue.into(),
            team: contact.team.into(),
            historical: contact.historical,
            at_ms,
            told: false,
        });
        if self.complaints.len() > REMEMBERED {
            self.complaints.remove(0);
        }
    }

    /// Tells of complaints that follow too many others. By the times of the messages, so that it
    /// does not matter which of two conversations was read first.
    fn tell(&mut self, key: &Key, policy: RepeatPolicy, out: &mut Vec<Output>) {
        let Unchecked { within_days, times, .. } = policy.unchecked;
        if times == 0 {
            return;
        }
        for index in 0..self.complaints.len() {
            let this = &self.complaints[index];
            if this.told || this.historical || this.silent {
                continue;
            }
            let since_ms = this.at_ms.saturating_sub(i64::from(within_days) * DAY_MS);
            let before = |other: &&Complained| {
                other.at_ms >= since_ms
                    && (other.at_ms, &other.cycle_id) < (this.at_ms, &this.cycle_id)
            };
            let mut earlier: Vec<&Complained> = self.complaints.iter().filter(before).collect();
            if earlier.len() + 1 < times as usize {
                continue;
            }
            earlier.sort_by_key(|other| std::cmp::Reverse((other.at_ms, &other.cycle_id)));
            out.push(Output::Signal(repeat_complaint(key, this, &earlier, policy)));
            self.complaints[index].told = true;
        }
    }

    fn forget(&mut self, now_ms: i64) {
        self.visits.retain(|visit| visit.due_ms() > now_ms);
        self.complaints.retain(|it| it.at_ms.saturating_add(SETTLES_MS) > now_ms);
    }
}

impl Visit {
    fn due_ms(&self) -> i64 {
        self.ended_ms.unwrap_or(self.started_ms).saturating_add(SETTLES_MS)
    }
}

/// The pseudonym that a statement carries.
fn name_of(key: &Key, stated_as: &str) -> String {
    if stated_as.is_empty() { key.1.to_string() } else { stated_as.to_owned() }
}

fn repeat_complaint(
    key: &Key,
    complaint: &Complained,
    earlier: &[&Complained],
    policy: RepeatPolicy,
) -> Signal {
    let kind = SignalKind::RepeatComplaint;
    let tenant = &key.0;
    let parts = [&**tenant, &*complaint.conversation_id, kind.name(), &*complaint.cycle_id];
    let Unchecked { within_days, severity, .. } = policy.unchecked;
    let mut named = BTreeSet::new();
    let conversations = earlier.iter().map(|other| &*other.conversation_id);
    let related = conversations.filter(|&id| named.insert(id)).take(RELATED);
    let related = related.map(str::to_owned).collect();
    Signal {
        signal_id: signal_id(&parts),
        tenant: tenant.to_string(),
        conversation_id: complaint.conversation_id.to_string(),
        family: Family::Complaint,
        kind,
        category: "repeat".to_owned(),
        severity,
        event_id: complaint.event_id.to_string(),
        effective_ms: complaint.at_ms,
        probability: 1.0,
        rules: vec![format!("complaints_{}_in_{within_days}d", earlier.len() + 1)],
        related,
        agent: complaint.agent.to_string(),
        customer: name_of(key, &complaint.stated_as),
        channel: complaint.channel.to_string(),
        queue: complaint.queue.to_string(),
        team: complaint.team.to_string(),
        historical: false,
    }
}
