//! Events a second and bytes a conversation of the fold alone.
//!
//! `cargo run --release -p zhili-dialogue --example throughput [CONVERSATIONS] [MESSAGES]`
//!
//! Folds conversations that are all open at once, one message of each in turn: customer and
//! agent alternate, ids are UUIDs. Bytes are what the allocator holds for the fold at the end.

#![allow(clippy::print_stdout, reason = "a program that prints figures")]
#![allow(unsafe_code, reason = "counting allocations needs an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use zhili_dialogue::{Author, Config, Event, EventKind, Marks, Mode, Partition, Role, Subtype};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: passes every call on unchanged and only counts sizes.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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

    let held_before = HELD.load(Ordering::Relaxed);
    let mut partition = Partition::new(Config::default());
    let mut out = Vec::new();
    let mut stated = 0;
    let mut spent = std::time::Duration::ZERO;
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
    let held = HELD.load(Ordering::Relaxed) - held_before;
    let events = conversations * messages;
    println!(
        "{events} events, {conversations} open conversations, {stated} facts: \
         {:.0} events/s, {:.0} ns each, {} bytes a conversation in memory",
        events as f64 / spent.as_secs_f64(),
        spent.as_nanos() as f64 / events as f64,
        held as u64 / conversations,
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
