//! Many small simulations, each of which follows from a number.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text}, not a number")))
}

/// Runs `check` with `usual` seeds, on all cores; `ZHILI_SEEDS` says how many instead, and
/// `ZHILI_SEED` names a single one. The first seed that panics is named, and ends them all.
pub fn each_seed(about: &str, usual: u64, check: impl Fn(u64) + Sync) {
    let (first, end) = match number("ZHILI_SEED") {
        Some(seed) => (seed, seed + 1),
        None => (0, number("ZHILI_SEEDS").unwrap_or(usual)),
    };
    let begun = Instant::now();
    let next = AtomicU64::new(first);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(seed))) {
                next.store(end, Ordering::Relaxed);
                say(&format!("{about}: failed with ZHILI_SEED={seed}"));
                resume_unwind(panic);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let (count, took) = (end - first, begun.elapsed());
    say(&format!("{about}: {count} seeds in {:.1} s without a violation", took.as_secs_f64()));
}

/// Past the test harness, which keeps what a passing test prints.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
