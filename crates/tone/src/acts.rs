//! Dialogue acts of a message, and whether it does nothing but one of them.

use crate::assessment::{Act, Acts, Role};
use crate::library::{Class, Hit};
use crate::reading::Reading;

/// A message longer than this (normalised bytes) does more than greet or hold.
const SHORT: usize = 240;

/// Everything the message does.
pub(crate) fn of(reading: &Reading<'_, '_>) -> Acts {
    let mut acts = Acts::NONE;
    for hit in &reading.hits {
        acts.extend(hit.entry.acts);
    }
    let asks = |clause: &crate::reading::Clause| clause.asked || clause.has(Class::Question);
    if reading.clauses.iter().any(asks) {
        acts.insert(Act::Question);
    }
    acts
}

/// The one act that the message consists of, fillers and punctuation aside.
pub(crate) fn only(reading: &Reading<'_, '_>, role: Role, acts: Acts) -> Option<Act> {
    let (candidates, along): (&[Act], &[Act]) = match role {
        Role::Agent => (
            &[Act::Holding, Act::Greeting],
            &[Act::Greeting, Act::Holding, Act::Acknowledge, Act::Apology, Act::Thanks],
        ),
        Role::Customer => {
            (&[Act::Thanks, Act::Closing], &[Act::Thanks, Act::Closing, Act::Acknowledge])
        }
    };
    let act = candidates.iter().copied().find(|act| acts.contains(*act))?;
    if reading.text.len() > SHORT {
        return None;
    }
    // A greeting does not apologise: that answers something.
    let along: Acts = along
        .iter()
        .copied()
        .filter(|other| act == Act::Holding || !matches!(other, Act::Apology | Act::Holding))
        .collect();
    let belongs =
        |hit: &Hit<'_>| hit.entry.class == Class::Filler || hit.entry.acts.intersects(along);
    consists_of(reading, belongs).then_some(act)
}

/// Whether the message is nothing but a nod: 好的, 嗯嗯, ok.
pub(crate) fn is_nod(reading: &Reading<'_, '_>) -> bool {
    reading.text.len() <= SHORT
        && consists_of(reading, |hit| {
            matches!(hit.entry.class, Class::Acknowledge | Class::Filler | Class::Greeting)
        })
}

/// Whether hits that belong cover every word.
fn consists_of(reading: &Reading<'_, '_>, belongs: impl Fn(&Hit<'_>) -> bool) -> bool {
    let mut covered = 0;
    for hit in reading.hits.iter().filter(|hit| belongs(hit)) {
        if hit.start > covered && has_words(&reading.text[covered..hit.start]) {
            return false;
        }
        covered = covered.max(hit.end);
    }
    !has_words(&reading.text[covered..])
}

fn has_words(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}
