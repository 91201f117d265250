//! Speed and memory of one partition with many open incidents:
//! `cargo run --release -p zhili-incident --example load [incidents]`.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a program for people")]

use std::time::Instant;

use zhili_incident::{
    Claim, Config, DeliveryResult, Destination, Effect, Entry, Family, Outcome, Partition,
    Severity, Signal, Team, Webhook,
};

/// Memory of this process in use, bytes; 0 where the system does not say.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or_default() * 1_024
}

fn main() {
    let incidents: u32 =
        std::env::args().nth(1).map_or(100_000, |text| text.parse().expect("a number"));
    let empty = resident();
    let mut partition = Partition::new();
    let mut events = Vec::new();
    let mut now = 1_767_225_600_000;
    let url = "https://hooks.example/floor".to_owned();
    let floor = Destination::Webhook(Webhook { url, secret: None, allow_private: false });
    let team = Team { destinations: [("floor".to_owned(), floor)].into(), ..Team::default() };
    let config = Config::new([("default".to_owned(), team)].into()).expect("valid");
    let (tenant, bundle) = ("acme".to_owned(), "b".to_owned());
    partition.apply(now, Entry::Config { tenant, bundle, sequence: 1, config }, &mut events);

    let mut told = 0;
    let per_second = |what: &str, count: u32, work: &mut dyn FnMut(u32)| {
        let start = Instant::now();
        for n in 0..count {
            work(n);
        }
        let seconds = start.elapsed().as_secs_f64();
        println!("{what}: {:.0} a second ({seconds:.2} s)", f64::from(count) / seconds);
    };
    per_second("signals that open an incident", incidents, &mut |n| {
        now += 1;
        partition.apply(now, Entry::Signal(signal(n, 0)), &mut events);
        told += events.len();
        events.clear();
    });
    let pages: Vec<_> = partition
        .effects(now, "one", |_, _| false)
        .iter()
        .filter_map(|effect| match effect {
            Effect::Claim { page_id, attempt, .. } => Some((*page_id, *attempt)),
            Effect::Send { .. } => None,
        })
        .collect();
    assert_eq!(pages.len(), incidents as usize);
    per_second("pages claimed and delivered", incidents, &mut |n| {
        let (page_id, attempt) = pages[n as usize];
        let owner = "escalation-1".to_owned();
        partition.apply(now, Entry::Claim(Claim { page_id, attempt, owner }), &mut events);
        let result = DeliveryResult {
            page_id,
            attempt,
            outcome: Outcome::Delivered,
            detail: "HTTP 200".to_owned(),
            duration_ms: 12,
            retry_after_ms: 0,
            code: "500".to_owned(),
            excerpt: "busy".to_owned(),
        };
        partition.apply(now, Entry::Result(result), &mut events);
        told += events.len();
        events.clear();
    });
    drop(pages);
    let used = resident() - empty;
    println!("memory: {} bytes per open incident with one signal", used / incidents as usize);
    per_second("signals of open incidents", incidents * 3, &mut |n| {
        now += i64::from(n % 8 == 0);
        partition.apply(now, Entry::Signal(signal(n % incidents, 1 + n / incidents)), &mut events);
        told += events.len();
        events.clear();
    });
    let used = resident() - empty;
    println!("memory: {} bytes per open incident with four signals", used / incidents as usize);

    let start = Instant::now();
    let hash = partition.hash().expect("hashed");
    println!("state hash: {:.3} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let bytes = partition.snapshot().expect("written");
    println!("snapshot: {:.3} s, {} MB", start.elapsed().as_secs_f64(), bytes.len() / 1_000_000);
    let start = Instant::now();
    let mut restored = Partition::restore(&bytes).expect("read");
    println!("restore: {:.3} s", start.elapsed().as_secs_f64());
    assert_eq!(restored.hash().expect("hashed"), hash);

    let start = Instant::now();
    partition.advance(now + 5 * 60_000, &mut events);
    println!("{} steps due at once: {:.3} s", events.len(), start.elapsed().as_secs_f64());
    println!("events in all: {}", told + events.len());
}

fn signal(incident: u32, nth: u32) -> Signal {
    Signal {
        signal_id: format!("c{incident:08}-e{nth:04}-urgent_complaint"),
        tenant: "acme".to_owned(),
        team: "default".to_owned(),
        conversation_id: format!("conversation-{incident:08}-of-the-load"),
        family: Family::Complaint,
        kind: "urgent_complaint".to_owned(),
        category: "regulator".to_owned(),
        severity: Severity::High,
        event_id: format!("event-{incident:08}-{nth:04}"),
        effective_ms: 1_767_225_600_000,
        probability: 0.93,
        rules: vec!["complaint.regulator.12315".to_owned(), "threat.report".to_owned()],
        related: Vec::new(),
        excerpt: "你们再不处理我就打12315投诉,已经等了三天了没有任何人回复我".to_owned(),
        agent: "agent-0f3a9c".to_owned(),
        customer: "customer-77b1d0e2".to_owned(),
        channel: "app".to_owned(),
        queue: "refunds".to_owned(),
        historical: false,
        engine: "zhili-0.1.0".to_owned(),
        background: zhili_incident::Background::default(),
    }
}
