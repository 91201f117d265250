//! Sentiment of a customer's message.

use crate::assessment::{Polarity, Sentiment};
use crate::library::{Class, Hit};
use crate::reading::Reading;
use crate::rules::{self, Side};
use crate::score::{Rule, Sum};
use crate::urgency;

/// A value at least this far from 0 has a side; thousandths.
pub(crate) const SIDED: i32 = 150;

/// What a standing risk takes from the value; thousandths.
const ESCALATION: i32 = -400;

/// Sentiment, and what the complaint reading takes from it.
pub(crate) struct Mood {
    pub(crate) sentiment: Sentiment,
    /// In thousandths.
    pub(crate) value: i32,
    /// Points of complaint entries alone, in thousandths, never positive.
    pub(crate) complaint: i32,
}

pub(crate) fn assess(reading: &Reading<'_, '_>, mut sum: Sum<'_>) -> Mood {
    let hits = reading.leftmost(|hit| hit.entry.sentiment != 0);
    let reproachful = hits.iter().any(|hit| hit.entry.class == Class::Complaint);
    let mut complaint = 0;
    let mut after = 0;
    for hit in &hits {
        let value = judge(reading, hit, after, reproachful, &mut sum);
        if hit.entry.class == Class::Complaint {
            complaint += value.min(0);
        }
        after = hit.end;
    }
    // Whoever escalates, or is in danger, is not content, however politely it is put.
    if let Some(risk) = urgency::standing(reading) {
        sum.rule(Rule::Escalation, (&risk).into(), ESCALATION);
    }
    let value = sum.within(-1000, 1000);
    Mood {
        sentiment: Sentiment {
            label: label(value),
            value: f64::from(value) / 1000.0,
            confidence: confidence(value),
        },
        value,
        complaint,
    }
}

/// What one hit is worth after the rules, in thousandths.
fn judge(
    reading: &Reading<'_, '_>,
    hit: &Hit<'_>,
    after: usize,
    reproachful: bool,
    sum: &mut Sum<'_>,
) -> i32 {
    let mut value = hit.entry.sentiment;
    sum.entry(hit, value);
    let mut becomes = |rule, cue, new: i32, value: &mut i32| {
        sum.rule(rule, cue, new - *value);
        *value = new;
    };
    // Complaints, idioms and emoji mean what they say; words lean on their neighbours.
    let is_word = matches!(hit.entry.class, Class::Positive | Class::Negative);
    if let Some(cue) = rules::quotation(reading, hit) {
        becomes(Rule::Quotation, cue, 0, &mut value);
        return value;
    }
    if is_word {
        if let Some((cue, factor)) = rules::intensity(reading, hit, after) {
            becomes(Rule::Intensity, cue, value * factor / 1000, &mut value);
        }
        if let Some(cue) = rules::negation(reading, hit, after) {
            // "Not bad" is weaker than "good", "not good" as strong as "bad".
            let flipped = if value > 0 { -value * 9 / 10 } else { -value * 7 / 10 };
            becomes(Rule::Negation, cue, flipped, &mut value);
        }
        if let Some(cue) = rules::question(reading, hit) {
            becomes(Rule::Question, cue, 0, &mut value);
            return value;
        }
        if let Some(cue) = rules::hypothetical(reading, hit) {
            becomes(Rule::Hypothetical, cue, value / 4, &mut value);
        }
    }
    if hit.entry.class == Class::Complaint
        && let Some(cue) = rules::question_behind(reading, hit)
    {
        becomes(Rule::Question, cue, 0, &mut value);
        return value;
    }
    if value > 0
        && let Some(cue) = rules::sarcasm(reading, hit, reproachful)
    {
        becomes(Rule::Sarcasm, cue, -value, &mut value);
    }
    match rules::contrast(reading, hit) {
        Some((cue, Side::Before)) => becomes(Rule::Contrast, cue, value / 2, &mut value),
        Some((cue, Side::After)) => becomes(Rule::Contrast, cue, value * 3 / 2, &mut value),
        None => {}
    }
    value
}

pub(crate) fn label(value: i32) -> Polarity {
    if value <= -SIDED {
        Polarity::Neg
    } else if value >= SIDED {
        Polarity::Pos
    } else {
        Polarity::Neutral
    }
}

/// Distance to the nearest band edge, half at the edge itself.
fn confidence(value: i32) -> f64 {
    let (distance, room) = if value.abs() >= SIDED {
        (value.abs() - SIDED, 1000 - SIDED)
    } else {
        (SIDED - value.abs(), SIDED)
    };
    0.5 + 0.45 * f64::from(distance) / f64::from(room)
}
