//! The engine that scores texts, on one core.

use std::hint::black_box;
use std::time::{Duration, Instant};

use zhili_tone::{Engine, Message, Role};

use crate::events;
use crate::row::Row;

pub(crate) const ROWS: &[&str] = &["engine"];
const LENGTH: Duration = Duration::from_secs(5);
const GOAL: f64 = 400_000.0;

pub(crate) fn measure() -> Vec<Row> {
    let value = per_second();
    vec![Row::at_least("engine, one core, with evidence", "messages/s", value, GOAL)]
}

/// Messages a second.
pub(crate) fn per_second() -> f64 {
    let engine = Engine::new().unwrap();
    let texts = events::texts();
    let (mut done, begun) = (0_u64, Instant::now());
    while begun.elapsed() < LENGTH {
        for (agent, text) in &texts {
            let role = if *agent { Role::Agent } else { Role::Customer };
            black_box(engine.assess(&Message { role, text, lang: None, context: &[] }));
        }
        done += texts.len() as u64;
    }
    done as f64 / begun.elapsed().as_secs_f64()
}
