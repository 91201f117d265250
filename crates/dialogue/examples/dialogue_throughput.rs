//! Events a second and bytes a conversation of the fold alone.
//!
//! `cargo run --release -p zhili-dialogue --example dialogue_throughput [CONVERSATIONS] [MESSAGES] [IDS] [targets] [hash]`
//!
//! Folds conversations that are all open at once, one message of each in turn, so that every
//! message finds its conversation as cold as it can be. A conversation is an ordinary one: one
//! customer, one agent, sometimes a second; each side says one to three things before the other
//! answers; texts carry the marks that the engine gives them. Conversations, customers and agents
//! are pseudonyms as ingest makes them, 28 characters; ids of events are `text` (20 letters and
//! digits, nothing in common; the default), `uuid` (random) or `number` (19 digits, by time). With
//! `targets`, service is expected: first reply, next reply, resolution, silence, questions. With `hash`, the
//! hash of the state is asked for as often as a service does, which counts what changed and packs it.
//!
//! Events are made in batches outside the measured time, as a service decodes them. Time is that
//! of the processor, so other programs count as far as they take the caches. Bytes are the growth
//! of resident memory: the fold with all that it keeps beside the conversations.

#![allow(clippy::print_stdout, reason = "a program that prints figures")]
#![allow(clippy::expect_used, reason = "settings of ours that are wrong are a failure")]

use rustix::time::{ClockId, clock_gettime};
use zhili_dialogue::{
    Act, Author, Config, Event, EventKind, Former, Marks, Mode, Partition, Polarity, Policies,
    Promise, PromiseDue, PromiseKind, QuestionKind, Role, Sentiment, Subtype,
};

/// That of the services.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events that are made before they are folded.
const BATCH: u64 = 500;
/// Events after which the state's hash is asked for, as the service does.
const HASH_EVERY: u64 = 4_096;
const AGENTS: u64 = 5_000;
const QUEUES: [&str; 4] = ["returns", "pre-sales", "logistics", "vip"];
const TOPICS: [&str; 4] = ["refund", "delivery", "invoice", "quality"];
const TARGETS: &str = r#"{
    "policy": "standard",
    "policies": {"standard": {
        "frt": {"target_ms": 60000, "warn_ms": 45000},
        "nrt": {"target_ms": 120000},
        "resolution": {"target_ms": 86400000, "pauses_on_customer": true},
        "silence": {"agent_ms": 30000, "customer_ms": 60000},
        "question_ms": 100000
    }}
}"#;

/// Resident bytes of this process; 0 where the system does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Seconds that this thread has run.
fn ran() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Drawn from two numbers, always the same.
fn draw(a: u64, b: u64) -> u64 {
    let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xd134_2543_de82_ef95);
    for _ in 0..2 {
        x = (x ^ (x >> 31)).wrapping_mul(0x5851_f42d_4c95_7f2d);
    }
    x ^ (x >> 29)
}

fn letters(seed: u64, count: usize, alphabet: &[u8], text: &mut String) {
    let mut drawn = draw(seed, 0);
    for index in 0..count as u64 {
        if index % 8 == 7 {
            drawn = draw(seed, index);
        }
        text.push(char::from(alphabet[(drawn % alphabet.len() as u64) as usize]));
        drawn /= alphabet.len() as u64;
    }
}

fn pseudonym(kind: char, seed: u64) -> String {
    let mut text = format!("{kind}_");
    letters(draw(seed, kind.into()), 26, b"abcdefghijklmnopqrstuvwxyz234567", &mut text);
    text
}

#[derive(Clone, Copy)]
enum Ids {
    Text,
    Uuid,
    Number,
}

impl Ids {
    fn of(self, conversation: u64, round: u64, at_ms: i64) -> String {
        let (a, b) = (draw(conversation, round), draw(round, conversation));
        match self {
            Self::Text => {
                let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
                let mut text = String::with_capacity(20);
                letters(a, 20, alphabet, &mut text);
                text
            }
            Self::Uuid => format!(
                "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
                a >> 32,
                (a >> 16) & 0xffff,
                a & 0xfff,
                b >> 52,
                b & 0xffff_ffff_ffff
            ),
            // Milliseconds since a year of the platform's choice, a machine and a counter.
            Self::Number => {
                (((at_ms - 1_500_000_000_000) as u64) << 22 | a & 0x3f_ffff).to_string()
            }
        }
    }
}

/// An event with its own strings.
struct Draft {
    at_ms: i64,
    conversation: String,
    customer: String,
    agent: String,
    event_id: String,
    role: Role,
    queue: &'static str,
    sent_ms: i64,
    marks: Marks<'static>,
}

/// Message `round` of a conversation; one of its customer's if `round` is 0.
fn message(conversation: u64, round: u64, at_ms: i64, ids: Ids) -> Draft {
    // Who has the word: seven times of ten somebody else than before.
    let turns = (2..=round).filter(|&round| draw(conversation, round + 77) % 10 < 7).count() as u64;
    let is_customer = round == 0 || (round > 1 && turns % 2 == 1);
    // One conversation of eight goes on to a colleague.
    let is_second = conversation.is_multiple_of(8) && round > 10;
    let agent = draw(conversation, u64::from(is_second)) % AGENTS;
    let chance = draw(conversation, round + 7_000) % 100;
    let marks = if is_customer { of_customer(chance) } else { of_agent(chance, round) };
    Draft {
        at_ms,
        conversation: pseudonym('v', conversation),
        customer: pseudonym('c', conversation),
        agent: pseudonym('a', agent),
        event_id: ids.of(conversation, round, at_ms),
        role: if is_customer { Role::Customer } else { Role::Agent },
        queue: QUEUES[(conversation % 4) as usize],
        sent_ms: at_ms - 50 - (draw(round, conversation) % 700) as i64,
        marks,
    }
}

fn of_customer(chance: u64) -> Marks<'static> {
    let thousandths = (chance * 7919 % 1300) as i16 - 700;
    let label = match thousandths {
        ..-149 => Polarity::Negative,
        150.. => Polarity::Positive,
        _ => Polarity::Neutral,
    };
    Marks {
        sentiment: Some(Sentiment { label, thousandths }),
        question: (chance < 35).then_some(QuestionKind::Open),
        complaint: chance < 6,
        topic: if chance < 60 { TOPICS[(chance % 4) as usize] } else { "" },
        acts: (chance >= 90).then_some(Act::Acknowledge).into_iter().collect(),
        ..Marks::default()
    }
}

fn of_agent(chance: u64, round: u64) -> Marks<'static> {
    let acts = match (round, chance) {
        (1, _) => Some(Act::Greeting),
        (_, 0..40) => Some(Act::Advice),
        (_, 40..50) => Some(Act::Empathy),
        (_, 50..58) => Some(Act::Apology),
        (_, 58..62) => Some(Act::Promise),
        _ => None,
    };
    let promise = Promise { kind: PromiseKind::Reply, due: PromiseDue::Within(2 * 60 * 60 * 1000) };
    Marks {
        acts: acts.into_iter().collect(),
        greeting_only: round == 1 && chance < 50,
        holding_only: round > 1 && chance >= 90,
        question: (62..75).contains(&chance).then_some(QuestionKind::Clarifying),
        promises: if round > 1 && chance == 58 { vec![promise] } else { Vec::new() },
        ..Marks::default()
    }
}

impl Draft {
    fn event(&self) -> Event<'_> {
        let id = if self.role == Role::Customer { &self.customer } else { &self.agent };
        Event {
            tenant: "acme",
            source: "platform",
            event_id: &self.event_id,
            conversation_id: &self.conversation,
            kind: EventKind::Message,
            sent_ms: self.sent_ms,
            author: Some(Author { id, role: self.role, subtype: Subtype::None }),
            private: false,
            mode: Mode::Live,
            channel: "chat",
            queue: self.queue,
            team: "default",
            customer: &self.customer,
            former: Former::default(),
            fingerprint: [7; 16],
            marks: self.marks.clone(),
        }
    }
}

fn main() {
    let argument = |index: usize, default: u64| {
        std::env::args().nth(index).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (conversations, messages) = (argument(1, 100_000), argument(2, 20));
    let is_given = |word: &str| std::env::args().any(|argument| argument == word);
    let hashes = is_given("hash");
    let ids = match () {
        () if is_given("uuid") => Ids::Uuid,
        () if is_given("number") => Ids::Number,
        () => Ids::Text,
    };

    let mut partition = Partition::new(Config::default());
    let mut out = Vec::new();
    let mut at_ms = 1_800_000_000_000_i64;
    if is_given("targets") {
        let policies: Policies = serde_json::from_str(TARGETS).expect("settings");
        partition.configure(at_ms, "*", 1, Some(policies), &mut out);
    }
    let held_before = resident();
    let (mut stated, mut folded) = (0, 0_u64);
    let mut spent = 0.0;
    for round in 0..messages {
        let from_ms = at_ms;
        for first in (0..conversations).step_by(BATCH as usize) {
            let drafts: Vec<Draft> = (first..conversations.min(first + BATCH))
                .map(|conversation| {
                    // Conversations write within twenty seconds, however many there are.
                    let at_ms = from_ms + (conversation * 20_000 / conversations) as i64;
                    message(conversation, round, at_ms, ids)
                })
                .collect();
            let events: Vec<(i64, Event<'_>)> =
                drafts.iter().map(|draft| (draft.at_ms, draft.event())).collect();
            let begin = ran();
            for (at_ms, event) in &events {
                partition.apply(*at_ms, event, &mut out);
                stated += out.len();
                out.clear();
                folded += 1;
                if hashes && folded.is_multiple_of(HASH_EVERY) {
                    partition.hash();
                }
            }
            spent += ran() - begin;
        }
        at_ms += 20_000;
    }
    drop(out);
    let held = resident().saturating_sub(held_before);
    let events = conversations * messages;
    println!(
        "{events} events, {conversations} open conversations, {stated} facts and signals: \
         {:.0} events/s, {:.0} ns each, {} bytes a conversation in memory",
        events as f64 / spent,
        spent * 1e9 / events as f64,
        held / conversations,
    );
    let begin = ran();
    let bytes = partition.snapshot();
    let written = ran() - begin;
    let begin = ran();
    let restored = Partition::restore(&bytes);
    println!(
        "snapshot: {} bytes a conversation, written in {written:.2} s, restored in {:.2} s, {}",
        bytes.len() as u64 / conversations,
        ran() - begin,
        if restored.is_ok() { "readable" } else { "not readable" },
    );
}
