//! Many times more events than the machine can take, with a bound on memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::publisher::{PUBLISHERS, Publishing, now_ms};
use super::run::{Driver, LOOK, Run};
use super::stage::Stage;
use crate::conservation::plan::{Home, Part};
use crate::conservation::{Disturbance, Report};
use crate::program;

/// How long it is measured what the machine can take.
const MEASURED: Duration = Duration::from_secs(30);
/// One beat in so many the program runs, the others it stands still: a machine that is too small, so
/// that those who publish are not what there is too little of.
const BEATS: u32 = 10;
/// Publishers at a time, and events in one of their requests: together more bytes than ingest has room for.
const CROWD: u32 = 400;
const CROWD_BATCH: usize = 500;

/// What an overload came to.
#[derive(Debug, Serialize)]
pub struct Overload {
    /// Events a second that were acknowledged to few publishers who waited for each answer.
    pub capacity_per_s: f64,
    /// Events a second that were offered afterwards, each attempt counted.
    pub offered_per_s: f64,
    /// Events a second of these that were acknowledged.
    pub accepted_per_s: f64,
    /// Requests that were refused for now.
    pub refused: u64,
    /// Those of them that were not told when to come again.
    pub without_hint: u64,
    /// Most resident memory of `zhili up` before the overload, MiB.
    pub peak_before_mib: u64,
    /// The same until everything was read after it.
    pub peak_mib: u64,
    /// What it may take, MiB.
    pub limit_mib: u64,
    /// What was kept of everything.
    pub kept: Report,
}

impl Overload {
    /// Whether the run kept every promise.
    pub fn is_clean(&self) -> bool {
        self.kept.is_clean() && self.without_hint == 0 && self.peak_mib <= self.limit_mib
    }
}

/// Offers `zhili up` `times` what it can take for as long as the run says; it may take `limit_mib` of
/// memory.
///
/// # Panics
/// When the system does not start at all.
pub async fn overload(run: &Run, times: u32, limit_mib: u64) -> Overload {
    let build = program().parent().unwrap();
    let stage = Stage::start(Home::Embedded, false, build, limit_mib).await;
    let mut publishing = Publishing::new(stage.ingest(), stage.token.clone(), u32::MAX);
    publishing.unthrottled = AtomicBool::new(true);
    let publishing = Arc::new(publishing);
    let mut driver = Driver::new(stage, Arc::clone(&publishing), run.seed);
    let mut publishers = JoinSet::new();
    for number in 0..PUBLISHERS {
        publishers.spawn(Arc::clone(&publishing).publish(run.seed, number));
    }
    crawl(&mut driver, MEASURED).await;
    publishing.ended.store(true, Ordering::SeqCst);
    let capacity_per_s = acknowledged(&publishing) as f64 / MEASURED.as_secs_f64();
    let peak_before_mib = driver.process(Part::Everything).peak_mib;
    while publishers.join_next().await.is_some() {}

    // The same ledger, so that one judgement is about both.
    let mut crowd = Publishing::new(driver.stage.ingest(), driver.stage.token.clone(), u32::MAX);
    crowd.unthrottled = AtomicBool::new(true);
    crowd.batch = CROWD_BATCH;
    let offered_per_s = capacity_per_s * f64::from(times);
    crowd.retry = Duration::from_secs_f64(f64::from(CROWD) * CROWD_BATCH as f64 / offered_per_s);
    crowd.ledger = std::mem::take(&mut *publishing.ledger.lock().unwrap()).into();
    let crowd = Arc::new(crowd);
    driver.publish_as(Arc::clone(&crowd));
    for number in 0..CROWD {
        publishers.spawn(Arc::clone(&crowd).publish(run.seed, PUBLISHERS + number));
    }
    let (before, began_ms) = (acknowledged(&crowd), now_ms());
    crawl(&mut driver, run.length).await;
    let seconds = run.length.as_secs_f64();
    let attempts = &crowd.attempts;
    let offered = attempts.all.load(Ordering::Relaxed) * CROWD_BATCH as u64;
    let (offered_per_s, accepted) = (offered as f64 / seconds, acknowledged(&crowd) - before);
    crowd.ended.store(true, Ordering::SeqCst);
    // What stands still for most of the time may miss the answer to any page.
    driver.disturbances.push(Disturbance { began_ms, ended_ms: now_ms(), unheard: true });

    let rested = Instant::now();
    let idle = driver.rest(&mut publishers).await;
    let recovery_s = rested.elapsed().as_secs_f64();
    let peak_mib = driver.process(Part::Everything).peak_mib;
    Overload {
        capacity_per_s,
        offered_per_s,
        accepted_per_s: accepted as f64 / seconds,
        refused: attempts.refused.load(Ordering::Relaxed),
        without_hint: attempts.without_hint.load(Ordering::Relaxed),
        peak_before_mib,
        peak_mib,
        limit_mib,
        kept: driver.judge(run, idle, recovery_s).await,
    }
}

/// For some time `zhili up` runs one beat in so many.
async fn crawl(driver: &mut Driver, length: Duration) {
    let until = Instant::now() + length;
    for beat in 0u32.. {
        if Instant::now() >= until {
            break;
        }
        let runs = beat.is_multiple_of(BEATS);
        let signal = if runs { Signal::CONT } else { Signal::STOP };
        driver.process(Part::Everything).signal(signal);
        driver.go_on(Duration::ZERO);
        tokio::time::sleep(LOOK).await;
    }
    driver.process(Part::Everything).signal(Signal::CONT);
}

fn acknowledged(publishing: &Publishing) -> u64 {
    publishing.ledger.lock().unwrap().acknowledged()
}
