//! Faults at seeded points of a publish, and what must be true afterwards.
//!
//! A fault is planned as "after so many acknowledged batches, so many milliseconds after the next
//! one was sent": the batches make it the same plan on every machine, the milliseconds spread the
//! faults over what the parts do meanwhile.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::System;

/// Longest time from the sending of a batch to the fault, in milliseconds: about as long as the
/// way from the log into the tables.
const SPREAD_MS: u64 = 400;

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// `zhili up` with all services; it is started again.
    Everything,
    /// The store; `zhili up` starts it again.
    Store,
}

/// One planned fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Batches that are acknowledged before it.
    pub after_batches: usize,
    /// Milliseconds after the next one was sent.
    pub after_ms: u64,
}

/// `count` faults over a publish of `batches` batches, the same for the same seed.
pub fn plan(seed: u64, count: usize, batches: usize) -> Vec<Fault> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut faults: Vec<Fault> = (0..count)
        .map(|number| Fault {
            after_batches: random.random_range(0..batches),
            // Every other one may strike while the batch is still on its way.
            after_ms: random.random_range(0..if number % 2 == 0 { SPREAD_MS } else { 15 }),
        })
        .collect();
    faults.sort_by_key(|fault| fault.after_batches);
    faults
}

/// Points of the kill matrix: `ZHILI_CHAOS_POINTS`, else `otherwise`.
pub fn points(otherwise: usize) -> usize {
    let asked = std::env::var("ZHILI_CHAOS_POINTS").ok();
    asked.map_or(otherwise, |text| text.parse().expect("ZHILI_CHAOS_POINTS is a number"))
}

/// What a publish under faults came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Events that were acknowledged.
    pub acknowledged: usize,
    /// Batches that had to be sent again because no answer came.
    pub repeated: usize,
    /// Faults that hit something that ran.
    pub hit: usize,
}

/// Publishes events in batches of `size`, with the faults planned. A batch without an answer is
/// sent again once the system answers, as a careful publisher does.
///
/// # Panics
/// When an event is rejected, the system does not start again or leaves a store behind.
pub async fn publish(
    system: &mut System,
    events: &[Value],
    size: usize,
    victim: Victim,
    faults: &[Fault],
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut faults = faults.iter().peekable();
    for (number, batch) in events.chunks(size).enumerate() {
        let mut answered = false;
        while let Some(fault) = faults.next_if(|fault| fault.after_batches <= number) {
            let strike = tokio::time::Instant::now() + Duration::from_millis(fault.after_ms);
            if !answered {
                let sent = tokio::time::timeout_at(strike, system.post(batch, &[])).await;
                answered = sent.is_ok_and(|answer| answer.is_ok_and(|it| accepted(&it, batch)));
                outcome.repeated += usize::from(!answered);
            }
            tokio::time::sleep_until(strike).await;
            match victim {
                Victim::Everything => {
                    system.kill();
                    outcome.hit += 1;
                    system.up();
                }
                Victim::Store => {
                    // Fault by fault: a store that is still down cannot be hit.
                    system.store_answers().await;
                    outcome.hit += usize::from(system.kill_store());
                }
            }
        }
        while !answered {
            let answer = system.post(batch, &[]).await;
            answered = answer.is_ok_and(|answer| accepted(&answer, batch));
            outcome.repeated += usize::from(!answered);
        }
        outcome.acknowledged += batch.len();
    }
    outcome
}

/// Whether all of a batch was accepted.
///
/// # Panics
/// When an event was rejected: a fault must never look like a bad event.
fn accepted(answer: &Value, batch: &[Value]) -> bool {
    assert_eq!(answer["accepted"], batch.len(), "{answer}");
    true
}
