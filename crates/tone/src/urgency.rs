//! Whether a customer's message must be escalated, and why.

use crate::assessment::UrgentCategory;
use crate::library::Hit;
use crate::reading::Reading;
use crate::rules;
use crate::score::{Rule, Sum};

/// P(urgent) of a message without any sign of it.
pub const URGENCY_BASE: f64 = 0.02;

/// The base in thousandths.
pub(crate) const BASE: i32 = 20;

/// Rules alone never make a certainty.
const HIGHEST: i32 = 980;

/// From here on a message is urgent; thousandths.
const URGENT: i32 = 500;

/// How urgent a message is.
pub(crate) struct Urgency {
    /// In thousandths.
    pub(crate) probability: i32,
    /// Of the strongest reason; `None` unless urgent.
    pub(crate) category: Option<UrgentCategory>,
}

impl Urgency {
    pub(crate) fn is_urgent(&self) -> bool {
        self.probability >= URGENT
    }
}

/// `content`: the words, risks aside, are positive.
pub(crate) fn assess(reading: &Reading<'_, '_>, content: bool, mut sum: Sum<'_>) -> Urgency {
    let mut strongest: Option<(i32, UrgentCategory)> = None;
    for hit in reading.heaviest(|hit| hit.entry.urgency) {
        let points = hit.entry.urgency;
        sum.entry(&hit, points);
        if let Some((rule, cue)) = guard(reading, &hit, content) {
            sum.rule(rule, cue, -points);
            continue;
        }
        // A plain threat beside a named one says nothing of the reason. Of equally strong
        // reasons the graver one names the category: the order of the enum.
        if let Some(category) = hit.entry.category
            && strongest
                .is_none_or(|(most, old)| points > most || (points == most && category < old))
        {
            strongest = Some((points, category));
        }
    }
    let probability = sum.within(0, HIGHEST);
    let category = strongest.filter(|_| probability >= URGENT).map(|(_, category)| category);
    Urgency { probability, category }
}

/// The first risk that makes a message urgent alone and that no rule takes back.
pub(crate) fn standing<'l>(reading: &Reading<'l, '_>, content: bool) -> Option<Hit<'l>> {
    reading
        .hits
        .iter()
        .find(|hit| hit.entry.urgency + BASE >= URGENT && guard(reading, hit, content).is_none())
        .copied()
}

/// The first rule that takes a risk word back. Crisis listens to quotation alone:
/// whoever writes of ending their life is asked, whatever the grammar.
fn guard(reading: &Reading<'_, '_>, hit: &Hit<'_>, content: bool) -> Option<(Rule, rules::Cue)> {
    let category = hit.entry.category;
    if let Some(cue) = rules::quotation(reading, hit) {
        return Some((Rule::Quotation, cue));
    }
    if category == Some(UrgentCategory::Crisis) {
        return None;
    }
    // Who buys for the third time is pleased; nobody who is need be called at once.
    if category == Some(UrgentCategory::Repeat) && content {
        return Some((Rule::Content, hit.into()));
    }
    let taken_back = rules::withdrawn(reading, hit).map(|cue| (Rule::Withdrawn, cue));
    let settled = || rules::resolved(reading, hit).map(|cue| (Rule::Resolved, cue));
    let happens = matches!(
        category,
        Some(UrgentCategory::Safety | UrgentCategory::Loss | UrgentCategory::Repeat)
    );
    if happens {
        taken_back
            .or_else(|| rules::hypothetical(reading, hit).map(|cue| (Rule::Hypothetical, cue)))
            .or_else(|| rules::question(reading, hit).map(|cue| (Rule::Question, cue)))
            .or_else(|| rules::hearsay(reading, hit).map(|cue| (Rule::Hearsay, cue)))
            .or_else(settled)
    } else {
        taken_back
            .or_else(|| rules::actor(reading, hit).map(|cue| (Rule::Actor, cue)))
            .or_else(settled)
    }
}
