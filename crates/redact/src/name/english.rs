//! English names after what announces them.

use crate::Kind;
use crate::fold::Unit;
use crate::view::View;

/// What a name follows for sure: one word of it is enough.
const FIELDS: &[&str] = &[
    "my name is",
    "my name's",
    "my full name is",
    "name is",
    "name:",
    "full name",
    "name on the card",
    "cardholder",
    "cardholder name",
    "recipient",
    "recipient is",
    "attn",
    "c/o",
    "account holder",
    "passenger",
    "passenger name",
    "passenger's name is",
    "guest name",
    "surname",
    "first name",
    "last name",
    "patient",
    "patient's name is",
    "contact person",
    "sender",
    "signed by",
    "insured",
    "driver's name was",
    "name on the booking is",
    "name on the account is",
    "under the name",
    "name on file is",
    "customer name",
    "i am called",
];

/// What a name follows now and then: it takes two capitalised words, none of them a common one.
const HINTS: &[&str] = &[
    "i'm",
    "i am",
    "booked under",
    "reservation for",
    "registered to",
    "registered under",
    "speaking with",
    "speaking to",
    "spoke to",
    "spoke with",
    "talked to",
    "agent called",
    "agent named",
    "agent",
    "colleague",
    "deliver to",
    "ship to",
    "delivered to",
    "send to",
    "belongs to",
    "confirm that",
    "wife",
    "husband",
    "son",
    "daughter",
    "mother",
    "father",
    "brother",
    "sister",
    "thank you",
    "mr",
    "ms",
    "mrs",
    "dr",
    "name was",
    "passenger is",
    "cardholder is",
];

/// The same, with a comma between: how letters end.
const CLOSINGS: &[&str] = &["regards", "sincerely", "best", "thanks", "cheers", "yours"];

/// The same, where the speaker says so behind the name.
const SPEAKING: &[&str] = &["this is", "it's", "it is"];

/// Words that no name has, however they are written.
const WORDS: &[&str] = &[
    "a",
    "an",
    "the",
    "not",
    "no",
    "on",
    "in",
    "at",
    "is",
    "was",
    "are",
    "be",
    "been",
    "so",
    "very",
    "too",
    "still",
    "just",
    "also",
    "already",
    "and",
    "or",
    "but",
    "with",
    "from",
    "for",
    "to",
    "of",
    "by",
    "my",
    "your",
    "our",
    "his",
    "her",
    "their",
    "it",
    "its",
    "i",
    "you",
    "we",
    "they",
    "he",
    "she",
    "this",
    "that",
    "there",
    "here",
    "what",
    "who",
    "why",
    "how",
    "when",
    "where",
    "spelled",
    "spelt",
    "wrong",
    "misspelled",
    "missing",
    "listed",
    "incorrect",
    "under",
    "found",
    "unavailable",
    "refused",
    "agreement",
    "seat",
    "locator",
    "form",
    "field",
    "required",
    "number",
    "name",
    "customer",
    "service",
    "services",
    "support",
    "team",
    "care",
    "department",
    "returns",
    "economy",
    "flex",
    "air",
    "store",
    "manager",
    "amazon",
    "google",
    "apple",
    "sorry",
    "happy",
    "order",
    "please",
    "thanks",
    "thank",
    "hello",
    "hi",
    "hey",
    "dear",
    "sir",
    "madam",
    "much",
    "all",
    "day",
    "bank",
    "express",
    "card",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "and",
    "looking",
    "waiting",
    "account",
    "new",
    "united",
];

/// What stands between a cue and its name.
const FILLERS: &[&str] = &[" ", ":", ",", "#", "-", "is", "name", "of", "\n"];

/// The names in `units`, as first unit and one past the last.
pub(super) fn find(units: &[Unit]) -> Vec<(usize, usize)> {
    let view = View(units);
    let mut found = Vec::new();
    let mut at = 0;
    while at < view.len() {
        if view.before(at).is_ascii_alphabetic() || !view.at(at).is_ascii_alphabetic() {
            at += 1;
            continue;
        }
        let name = view
            .after_any(at, FIELDS)
            .and_then(|past| after(view, past, true, may_be_small(view, at)))
            .or_else(|| hinted(view, at));
        match name {
            Some((start, end)) => {
                found.push((start, end));
                at = end;
            }
            None => at = view.skip(at, 30, |ch| ch.is_ascii_alphabetic()).max(at + 1),
        }
    }
    found
}

/// A name of two words or more behind a hint at `at`.
fn hinted(view: View<'_>, at: usize) -> Option<(usize, usize)> {
    if let Some(past) = view.after_any(at, HINTS) {
        // `Mr. John Watson`.
        let past = view.skip(past, 1, |ch| ch == '.');
        return after(view, past, false, false);
    }
    if let Some(past) = view.after_any(at, CLOSINGS) {
        return if view.at(past) == ',' { after(view, past, false, false) } else { None };
    }
    let name = after(view, view.after_any(at, SPEAKING)?, false, false)?;
    view.after_any(name.1, &[" speaking", " here", " calling", " from"]).map(|_| name)
}

/// People write their own name in small letters, too.
fn may_be_small(view: View<'_>, at: usize) -> bool {
    view.after_any(at, &["my name is", "my name's", "my full name is", "i am called"]).is_some()
}

fn after(view: View<'_>, past: usize, sure: bool, small: bool) -> Option<(usize, usize)> {
    let mut start = past;
    while let Some(next) = view.after_any(start, FILLERS).filter(|&next| next <= past + 8) {
        start = next;
    }
    if start == past {
        return None;
    }
    let (end, words) = words(view, start, small);
    // A text in capitals throughout has no capitalised words.
    let shouted = !sure && (start..end).all(|i| !view.exact(i).is_ascii_lowercase());
    (!shouted && words >= if sure { 1 } else { 2 }).then_some((start, end))
}

/// The words of a name from `start`: where they end and how many there are, four at most.
fn words(view: View<'_>, start: usize, small: bool) -> (usize, usize) {
    let (mut end, mut words) = (start, 0);
    // Nothing shows where a name in small letters ends; most have two words.
    let most = if small && !view.exact(start).is_ascii_uppercase() { 2 } else { 4 };
    while words < most {
        let here = if words == 0 { start } else { end + 1 };
        if words > 0 && view.at(end) != ' ' {
            break;
        }
        let capital = view.exact(here).is_ascii_uppercase();
        let past = view.skip(here, 20, |ch| ch.is_ascii_alphabetic() || matches!(ch, '\'' | '-'));
        let past = view.skip_back(past, past - here.min(past), |ch| matches!(ch, '\'' | '-'));
        let common = WORDS.iter().any(|word| word.len() == past - here && view.starts(here, word));
        if past < here + 2 || common || !(capital || small) || view.at(past).is_ascii_digit() {
            break;
        }
        end = past;
        words += 1;
    }
    (end, words)
}

/// `Tom Hardy, 212-555-0199`: two capitalised words at the start of a line.
pub(super) fn find_beside(units: &[Unit], taken: &[(Kind, usize, usize)]) -> Vec<(usize, usize)> {
    let view = View(units);
    let beside = |&&(kind, ..): &&(Kind, usize, usize)| {
        matches!(kind, Kind::Mobile | Kind::Landline | Kind::Phone | Kind::Address | Kind::Email)
    };
    taken
        .iter()
        .filter(beside)
        .filter_map(|&(_, first, _)| {
            let past = view.skip_back(first, 2, |ch| matches!(ch, ' ' | ','));
            let start = view.skip_back(past, 30, |ch| {
                ch.is_ascii_alphabetic() || matches!(ch, '\'' | '-' | ' ')
            });
            let opens = matches!(view.before(start), '\0' | '\n');
            let (end, count) = words(view, start, false);
            (opens && past < first && end == past && (2..=3).contains(&count))
                .then_some((start, end))
        })
        .collect()
}
