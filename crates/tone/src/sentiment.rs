//! Sentiment of a customer's message.

use crate::acts;
use crate::assessment::{Polarity, Sentiment};
use crate::confidence::Confidence;
use crate::cues;
use crate::grams::{Cut, Grams};
use crate::head::{self, Head};
use crate::library::{Class, Hit};
use crate::reading::Reading;
use crate::rules::{self, Side};
use crate::score::{Rule, Sum};
use crate::urgency;

/// A value at least this far from 0 has a side; thousandths.
pub const SIDED: i32 = 150;

/// In a short message the head's best side must be this much likelier than neutral, in
/// thousandths of a logit: most short messages to a service are neutral.
const ABSTAIN: i32 = 250;

/// A message of at most so many bytes is short: 20 Chinese characters.
const SHORT: usize = 60;

/// A head that sees at least this much (thousandths) in a long message is not told by one risk
/// word that it complains.
const PRAISE: i32 = 750;

/// What one word counts at most, in thousandths: far beyond the range, far from overflow.
const MOST: i64 = 1_000_000;

/// What a standing risk takes from the value at least; thousandths.
const ESCALATION: i32 = -400;

/// What the rules say before the head is asked.
pub(crate) struct Verdict {
    /// In thousandths.
    pub(crate) value: i32,
    /// Points of complaint entries alone, in thousandths, never positive.
    pub(crate) complaint: i32,
    /// Kinds of the entries that counted, by [`cues::kind`].
    pub(crate) hits: u32,
    /// The rules that changed something.
    pub(crate) fired: u32,
    /// Whether the words alone, risks aside, are positive.
    pub(crate) content: bool,
}

/// Sentiment, and what the complaint reading takes from it.
pub(crate) struct Mood {
    pub(crate) sentiment: Sentiment,
    /// In thousandths.
    pub(crate) value: i32,
    /// What the rules alone say, in thousandths.
    pub(crate) rules: i32,
    /// Whether the words alone, risks aside, are positive.
    pub(crate) content: bool,
    /// Points of complaint entries alone, in thousandths, never positive.
    pub(crate) complaint: i32,
}

/// Counts the entries and the rules.
pub(crate) fn rules(reading: &Reading<'_, '_>, sum: &mut Sum<'_>) -> Verdict {
    let hits = reading.leftmost(|hit| hit.entry.sentiment != 0);
    let reproachful = hits.iter().any(|hit| hit.entry.class == Class::Complaint);
    let mut complaint = 0;
    let mut after = 0;
    let mut kinds = 0;
    for hit in &hits {
        let value = judge(reading, hit, after, reproachful, sum);
        kinds |= cues::kind(hit.entry.class, hit.entry.sentiment);
        if let Some((_, side)) = rules::contrast(reading, hit) {
            kinds |= cues::conceded(side, value);
        }
        if hit.entry.class == Class::Complaint {
            complaint = i32::saturating_add(complaint, value.min(0));
        }
        after = hit.end;
    }
    let content = is_content(reading, &hits, sum.total());
    // Whoever escalates, or is in danger, is not content, however politely it is put.
    if let Some(risk) = urgency::standing(reading, content) {
        sum.rule(Rule::Escalation, (&risk).into(), ESCALATION.min(-SIDED - sum.total()));
    }
    Verdict {
        value: sum.total().clamp(-1000, 1000),
        complaint,
        hits: kinds,
        fired: sum.fired(),
        content,
    }
}

/// Whether the message praises and nothing else: thanks and what stands before a 但 are manners, and
/// whoever says that something is not done is not content.
fn is_content(reading: &Reading<'_, '_>, hits: &[Hit<'_>], total: i32) -> bool {
    let praises = |hit: &Hit<'_>| {
        matches!(hit.entry.class, Class::Positive | Class::Idiom | Class::Emoji)
            && hit.entry.sentiment > 0
    };
    let doubts = |cue: &Hit<'_>| {
        matches!(cue.entry.class, Class::Negator | Class::SarcasmCue | Class::Contrast)
    };
    total >= SIDED
        && hits.iter().any(praises)
        && hits.iter().all(|hit| hit.entry.sentiment >= 0)
        && !reading.cues.iter().any(doubts)
}

/// What the head makes of a message, as a value in thousandths.
fn head_value(logits: [i32; 2], short: bool) -> i32 {
    let (most, sign) = if logits[1] > logits[0] { (logits[1], 1) } else { (logits[0], -1) };
    let abstain = if short { ABSTAIN } else { 0 };
    sign * head::points(SIDED, 1000, most.saturating_sub(abstain))
}

/// Lets the head speak where it sees another side than the rules.
pub(crate) fn ask(
    head: &Head,
    grams: &Grams<'_>,
    reading: &Reading<'_, '_>,
    bits: u128,
    verdict: &Verdict,
    sum: &mut Sum<'_>,
    room: &mut head::Room,
) {
    let answer = head.score(grams, bits);
    let short = reading.text.len() <= SHORT;
    let value = head_value(answer.logits, short);
    let (said, seen) = (label(verdict.value), label(value));
    // Whoever escalates is not content, unless a long text is all praise: a hotel beside a court.
    let escalates = verdict.fired & Rule::Escalation.bit() != 0 && (short || value < PRAISE);
    // A short message with a face means the face.
    let face = short && verdict.value != 0 && verdict.hits & cues::EMOJI != 0;
    if said == seen || escalates || face || (said == Polarity::Neutral && acts::is_nod(reading)) {
        return;
    }
    let output = |label| match label {
        Polarity::Neg => Some(0),
        Polarity::Pos => Some(1),
        Polarity::Neutral => None,
    };
    let spans = head.reasons(grams, &answer, output(seen), output(said), room);
    sum.head(&spans, value - sum.total());
}

/// The sentiment that a sum stands for.
pub(crate) fn mood(
    verdict: &Verdict,
    sum: Sum<'_>,
    confidence: &Confidence,
    cut: Option<Cut>,
) -> Mood {
    let value = sum.within(-1000, 1000);
    let label = label(value);
    Mood {
        sentiment: Sentiment {
            label,
            value: f64::from(value) / 1000.0,
            confidence: confidence.of(cut, label, value),
        },
        value,
        rules: verdict.value,
        content: verdict.content,
        complaint: verdict.complaint,
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
            let more = i64::from(value) * i64::from(factor) / 1000;
            becomes(Rule::Intensity, cue, more.clamp(-MOST, MOST) as i32, &mut value);
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
    // What is mended is no reproach any more.
    if value < 0
        && matches!(hit.entry.class, Class::Negative | Class::Complaint)
        && let Some(cue) = rules::resolved(reading, hit)
    {
        becomes(Rule::Resolved, cue, 0, &mut value);
        return value;
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
