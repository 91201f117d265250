//! Events a second and bytes a conversation of the fold alone.
//!
//! `cargo run --release -p zhili-dialogue --example dialogue_throughput [CONVERSATIONS] [MESSAGES]`
//!
//! Folds conversations that are all open at once, one message of each in turn: customer and
//! agent alternate, ids are UUIDs. Bytes are the growth of resident memory, a little more than the fold itself.

#![allow(clippy::print_stdout, reason = "a program that prints figures")]
use std::time::{Duration, Instant};

use zhili_dialogue::{Author, Config, Event, EventKind, Marks, Mode, Partition, Role, Subtype};

/// Resident bytes of this process; 0 where the system does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn uuid(a: u64, b: u64) -> String {
    let a = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
    let b = b.wrapping_mul(0xd134_2543_de82_ef95) ^ a.rotate_left(17);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xffff,
        b >> 48,
        b & 0xffff_ffff_ffff
    )
}

fn main() {
    let argument = |index: usize, default: u64| {
        std::env::args().nth(index).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (conversations, messages) = (argument(1, 100_000), argument(2, 20));
    let names: Vec<(String, String, String)> = (0..conversations)
        .map(|i| (uuid(i, 1), uuid(i, 2), format!("agent-{:04}", i % 5000)))
        .collect();

    let held_before = resident();
    let mut partition = Partition::new(Config::default());
    let mut out = Vec::new();
    let mut stated = 0;
    let mut spent = Duration::ZERO;
    let mut at_ms = 1_800_000_000_000_i64;
    for round in 0..messages {
        let ids: Vec<String> = (0..conversations).map(|i| uuid(i, 1000 + round)).collect();
        let begin = Instant::now();
        for ((conversation, customer, agent), event_id) in names.iter().zip(&ids) {
            at_ms += i64::from(at_ms % 3 == 0);
            let (id, role) =
                if round % 2 == 0 { (customer, Role::Customer) } else { (agent, Role::Agent) };
            let event = Event {
                tenant: "acme",
                source: "platform",
                event_id,
                conversation_id: conversation,
                kind: EventKind::Message,
                sent_ms: at_ms - 150,
                author: Some(Author { id, role, subtype: Subtype::None }),
                private: false,
                mode: Mode::Live,
                channel: "chat",
                queue: "returns",
                team: "default",
                customer,
                fingerprint: [7; 16],
                marks: Marks::default(),
            };
            partition.apply(at_ms, &event, &mut out);
            stated += out.len();
            out.clear();
        }
        spent += begin.elapsed();
        at_ms += 20_000;
    }
    drop(out);
    let held = resident().saturating_sub(held_before);
    let events = conversations * messages;
    println!(
        "{events} events, {conversations} open conversations, {stated} facts: \
         {:.0} events/s, {:.0} ns each, {} bytes a conversation in memory",
        events as f64 / spent.as_secs_f64(),
        spent.as_nanos() as f64 / events as f64,
        held / conversations,
    );
    let begin = Instant::now();
    let bytes = partition.snapshot();
    let written = begin.elapsed();
    let begin = Instant::now();
    let restored = Partition::restore(&bytes);
    println!(
        "snapshot: {} bytes a conversation, written in {:.2} s, restored in {:.2} s, {}",
        bytes.len() as u64 / conversations,
        written.as_secs_f64(),
        begin.elapsed().as_secs_f64(),
        if restored.is_ok() { "readable" } else { "not readable" },
    );
}
