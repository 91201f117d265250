//! Politeness of an agent's message: additive points for courtesy and against bluntness.

use crate::assessment::{Politeness, PolitenessLabel};
use crate::grams::Grams;
use crate::head::{self, Head};
use crate::library::{Class, Hit};
use crate::reading::Reading;
use crate::rules;
use crate::score::{Rule, Sum};

/// Where the score starts.
pub const POLITENESS_BASE: f64 = 55.0;

/// The same in thousandths.
pub(crate) const BASE: i32 = 55_000;

/// Below this a message is impolite.
pub const IMPOLITE_BELOW: f64 = 40.0;
/// From this on a message is polite.
pub const POLITE_FROM: f64 = 65.0;

/// Beyond this (thousandths of a logit) nothing changes: it keeps products small.
const FURTHEST: i32 = 50_000;

/// Impolite must be this much likelier than neutral, in thousandths of a logit: people are paid by it.
const ABSTAIN: i32 = 1_000;

/// The same for polite.
const ABSTAIN_POLITE: i32 = 300;

/// A head that is this sure (thousandths of a logit) gives half of the points there are.
const HALFWAY: i32 = 1_500;

/// A courtesy of one class counts this often: 您 in every clause is one manner, not ten.
const COURTESIES: u8 = 2;

/// A denied reproach follows its negator within two Chinese characters.
const DENIAL_REACH: usize = 6;

/// Characters that a curt message may hold before its one phrase.
const ASIDE: usize = 2;

/// Bytes of a particle: 哦.
const PARTICLE: usize = 3;

/// What the rules say before the head is asked.
pub(crate) struct Verdict {
    /// In thousandths of a point, not yet held within the range.
    pub(crate) score: i32,
    /// Whether the message uses forbidden wording.
    pub(crate) forbidden: bool,
}

/// Counts the entries and the rules.
pub(crate) fn rules(reading: &Reading<'_, '_>, sum: &mut Sum<'_>) -> Verdict {
    let mut forbidden = false;
    let mut counted = [0_u8; 64];
    let weight = |hit: &Hit<'_>| match hit.entry.class {
        Class::Curt if !is_curt(reading, hit) => 0,
        _ => hit.entry.politeness.abs(),
    };
    for hit in reading.heaviest(weight) {
        let points = hit.entry.politeness;
        if points > 0 {
            let count = &mut counted[hit.entry.class as usize];
            *count = count.saturating_add(1);
            if *count > COURTESIES {
                continue;
            }
        }
        sum.entry(&hit, points);
        if points > 0 {
            continue;
        }
        // An agent who repeats a customer's or a product's words does not speak so.
        if let Some(cue) = rules::quotation(reading, &hit) {
            sum.rule(Rule::Quotation, cue, -points);
        } else if let Some(cue) = regretted(reading, &hit) {
            sum.rule(Rule::Negation, cue, -points);
        } else {
            forbidden |= hit.entry.forbidden;
        }
    }
    Verdict { score: sum.total(), forbidden }
}

/// What the head makes of a message, in thousandths of a point beside the base.
fn head_points([impolite, polite]: [i32; 2]) -> i32 {
    let (most, edge) = if polite > impolite {
        (polite - ABSTAIN_POLITE, (POLITE_FROM - POLITENESS_BASE) * 1000.0)
    } else {
        (impolite - ABSTAIN, (IMPOLITE_BELOW - POLITENESS_BASE) * 1000.0)
    };
    let (sure, edge) = (most.clamp(-FURTHEST, FURTHEST), edge as i32);
    if sure > 0 {
        return edge + edge * sure / (sure + HALFWAY);
    }
    // Neutral is the likeliest: never up to the edge, and soon next to nothing.
    let part = |points: i32| points * HALFWAY / (HALFWAY - sure);
    part(part(edge - edge.signum()))
}

/// Lets the head speak of the tone between the phrases, where the rules found none.
pub(crate) fn ask(
    head: &Head,
    grams: &Grams<'_>,
    bits: u128,
    verdict: &Verdict,
    sum: &mut Sum<'_>,
    room: &mut head::Room,
) {
    if label(f64::from(verdict.score) / 1000.0) != PolitenessLabel::Neutral {
        return;
    }
    let answer = head.score(grams, bits);
    let points = head_points(answer.logits);
    let output = usize::from(points > 0);
    sum.head(&head.reasons(grams, &answer, Some(output), None, room), points);
}

/// The politeness that a sum stands for.
pub(crate) fn politeness(sum: Sum<'_>) -> Politeness {
    let score = f64::from(sum.within(0, 100_000)) / 1000.0;
    Politeness { label: label(score), score }
}

/// Whether the hit is all the message says, 这个 or a name aside, without a courtesy:
/// 没有。 is curt, 抱歉,没有 and 没有色差 are not.
fn is_curt(reading: &Reading<'_, '_>, hit: &Hit<'_>) -> bool {
    // A particle is curt alone: 可以哦 is friendly.
    let aside = if hit.end - hit.start <= PARTICLE { 0 } else { ASIDE };
    // No further than needed: a long message may hold thousands of such words.
    let more_words =
        |text: &str, than: usize| text.chars().filter(|c| c.is_alphanumeric()).nth(than).is_some();
    let bare =
        !more_words(&reading.text[hit.end..], 0) && !more_words(&reading.text[..hit.start], aside);
    bare && reading.hits.iter().all(|other| other.entry.politeness <= 0)
}

/// 不是说您…, 没有骂您: an insult or a reproach that is denied.
fn regretted(reading: &Reading<'_, '_>, hit: &Hit<'_>) -> Option<rules::Cue> {
    matches!(hit.entry.class, Class::Insult | Class::Blame)
        .then(|| rules::negation(reading, hit, 0))
        .flatten()
        // 你自己不看是你的事 denies nothing: the negator belongs to another verb.
        .filter(|cue| cue.end + DENIAL_REACH >= hit.start)
}

fn label(score: f64) -> PolitenessLabel {
    if score < IMPOLITE_BELOW {
        PolitenessLabel::Impolite
    } else if score >= POLITE_FROM {
        PolitenessLabel::Polite
    } else {
        PolitenessLabel::Neutral
    }
}
