//! Whether a customer's message complains: what its sentiment says of it and, in English, a
//! trained head where the sentiment of the words does not decide.

use crate::grams::Grams;
use crate::head::{self, Head};
use crate::reading::Reading;
use crate::rules::Cue;
use crate::score::{Rule, Sum};
use crate::sentiment::Mood;

/// From here on a message complains.
pub const COMPLAINT_FROM: f64 = 0.5;

/// The same in thousandths.
pub(crate) const FROM: i32 = 500;

/// Reproaches, or rules and head together, that weigh this much complain; thousandths of sentiment.
const REPROACH: i32 = 250;

/// What the sentiment head alone calls negative complains only from here on; thousandths.
const SURE: i32 = 500;

/// Counts what the sentiment says.
pub(crate) fn rules(reading: &Reading<'_, '_>, mood: &Mood, sum: &mut Sum<'_>) {
    let bad = -mood.value;
    let both = mood.rules.max(mood.value) <= -REPROACH;
    let complains = reproaches(mood) || both || bad >= SURE;
    let points = if complains { bad.max(FROM) } else { bad.clamp(0, FROM - 1) };
    sum.rule(Rule::Sentiment, Cue { start: 0, end: reading.text.len() }, points);
}

/// Lets the head speak where no reproach does.
pub(crate) fn ask(
    head: &Head,
    grams: &Grams<'_>,
    bits: u128,
    mood: &Mood,
    sum: &mut Sum<'_>,
    room: &mut head::Room,
) {
    let answer = head.score(grams, bits);
    let [complaint, praise] = answer.logits;
    let sure = complaint.saturating_sub(praise.max(0));
    let seen = sure > 0;
    if seen == (sum.total() >= FROM) || reproaches(mood) {
        return;
    }
    let value = head::points(FROM, 999, sure);
    let (toward, from) = if seen { (Some(0), None) } else { (None, Some(0)) };
    sum.head(&head.reasons(grams, &answer, toward, from, room), value - sum.total());
}

/// Whether the words themselves reproach: such phrases are ours, and mean what they say.
fn reproaches(mood: &Mood) -> bool {
    mood.complaint <= -REPROACH
}
