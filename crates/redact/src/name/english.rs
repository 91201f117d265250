//! English names after what announces them.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;
use std::sync::LazyLock;

use crate::Kind;
use crate::fold::{Unit, is_letter};
use crate::view::{CharHasher, View, Words};

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
    "name -",
    "name's",
    "name on card",
    "name as on card",
    "name on my card",
    "name as per passport",
    "cardholder's name",
    "guest name is",
    "lead guest",
    "booking name",
    "reservation name",
    "traveller name",
    "traveler name",
    "policyholder name",
    "member name",
    "billing name",
    "payee name",
    "parent name",
    "student name",
    "middle name",
    "maiden name",
    "family name",
    "given name",
    "last name is",
    "first name is",
    "surname is",
    "first:",
    "last:",
    "last name spelled",
    "name spelled",
    "correct the name to",
    "change the name to",
    "name should be",
    "name should read",
    "in the name of",
    "under the name of",
    "name was",
    "the name on it is",
    "account holder's name",
    "legal name",
    "preferred name",
    "emergency contact",
    "next of kin",
    "signed for by",
    "technician's name was",
    "agent's name is",
    "agent's name was",
    "driver's name is",
    "pax name",
    "my names",
    "his name is",
    "her name is",
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
    "mr",
    "ms",
    "mrs",
    "dr",
    "name was",
    "passenger is",
    "cardholder is",
    "in the name of",
    "in my husband's name,",
    "in my wife's name,",
    "guest",
    "lead guest",
    "checked in as",
    "passengers are",
    "passengers",
    "traveller",
    "traveler",
    "on behalf of",
    "policyholder",
    "policy holder",
    "policyholder is",
    "named driver",
    "driver",
    "driver is",
    "driver was",
    "claimant",
    "beneficiary",
    "beneficiary is",
    "member",
    "subscriber",
    "customer",
    "client",
    "user",
    "billed to",
    "shipped to",
    "ship it to",
    "send it to",
    "deliver it to",
    "addressed to",
    "parcel for",
    "package for",
    "delivery for",
    "signed for by",
    "received by",
    "attention",
    "contact",
    "payee",
    "transfer to",
    "money to",
    "payment to",
    "prof",
    "rep called",
    "rep named",
    "chatting with",
    "chat with",
    "transferred by",
    "supervisor",
    "the manager",
    "manager",
    "manager was",
    "technician",
    "engineer",
    "plumber",
    "the driver was",
    "courier",
    "nurse",
    "doctor",
    "landlord",
    "landlady",
    "neighbour",
    "neighbor",
    "friend",
    "roommate",
    "boss",
    "referred by",
    "referral from",
    "employee",
    "accountant",
    "assistant",
    "admin",
    "admin user",
    "owner is",
    "owner",
    "tenant",
    "applicant",
    "co-applicant",
    "borrower",
    "guarantor",
    "nominee",
    "student",
    "teacher",
    "parent",
    "partner",
    "fiance",
    "aunt",
    "uncle",
    "cousin",
    "mum",
    "mom",
    "dad",
    "should say",
    "should be",
    "i'm calling for",
    "calling for",
    "patient is",
    "im",
    "driver's name was",
    "technician's name was",
    "it's under",
    "is under",
    "be under",
    "booking under",
    "reservation under",
    "account under",
    "cc",
    "talking to",
    "talked with",
    "name",
    "from:",
    "to:",
    "sent by",
    "speak to",
    "speak with",
    "ask for",
    "signed",
    "signed,",
    "pax",
];

/// The same, where the clause ends behind the name: `Dear Ms Prince,`, `Thank you Steve Rogers.`
const GREETINGS: &[&str] = &[
    "hi",
    "hello",
    "dear",
    "good morning",
    "good afternoon",
    "good evening",
    "thanks",
    "thank you",
];

/// The same, with a comma or line break between: how letters end.
const CLOSINGS: &[&str] = &[
    "regards",
    "sincerely",
    "best",
    "thanks",
    "cheers",
    "yours",
    "truly",
    "faithfully",
    "thx",
    "wishes",
    "love",
    "respectfully",
    "signed",
];

/// The same, where the speaker says so behind the name.
const SPEAKING: &[&str] = &["this is", "it's", "it is"];

/// What stands between a cue and its name.
const FILLERS: &[&str] = &[" ", ":", ",", "#", "-", "is", "name", "of", "\n"];

static FIELDS_INDEX: LazyLock<Words> = LazyLock::new(|| Words::by_first(FIELDS));
/// By the letter in front of the blank that each of them ends with.
static THINGS_INDEX: LazyLock<Words> = LazyLock::new(|| Words::by_last_but_one(THINGS));
static HINTS_INDEX: LazyLock<Words> = LazyLock::new(|| Words::by_first(HINTS));
/// Words that no name has, however they are written.
static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let lines = include_str!("words.en.txt").lines();
    Words::by_first(&lines.filter(|line| !line.starts_with('#')).collect::<Vec<_>>())
});

/// The first three characters of everything that announces a name, two where it has no more: most
/// words of a text are told from all of it at once.
static OPENINGS: LazyLock<Openings> = LazyLock::new(|| {
    let words = [FIELDS, HINTS, CLOSINGS, GREETINGS, SPEAKING].concat();
    let opening = |word: &str| {
        let mut chars = word.chars();
        [chars.next(), chars.next(), chars.next()].map(Option::unwrap_or_default)
    };
    Openings(words.into_iter().map(opening).map(Openings::packed).collect())
});

/// Characters in one number each, the third 0 where there are only two.
struct Openings(HashSet<u64, BuildHasherDefault<CharHasher>>);

impl Openings {
    fn packed([first, second, third]: [char; 3]) -> u64 {
        u64::from(first) << 42 | u64::from(second) << 21 | u64::from(third)
    }

    fn has(&self, view: View<'_>, at: usize) -> bool {
        let [first, second, third] = [view.at(at), view.at(at + 1), view.at(at + 2)];
        self.0.contains(&Self::packed([first, second, third]))
            || self.0.contains(&Self::packed([first, second, '\0']))
    }
}

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
        let announced = OPENINGS.has(view, at);
        let cued = || {
            view.after_any(at, FIELDS_INDEX.of(view.at(at)))
                .filter(|_| !names_thing(view, at))
                .and_then(|past| after(view, past, true, may_be_small(view, at)))
                .or_else(|| hinted(view, at))
        };
        let name =
            announced.then(cued).flatten().or_else(|| on_ticket(view, at).map(|end| (at, end)));
        match name {
            Some((start, end)) => {
                found.push((start, end));
                at = end;
                // `passengers are Jay Pritchett and Gloria Pritchett`.
                if let Some(second) = view.after_any(end, &[" and ", " & "]) {
                    let (past, count) = words(view, second, false);
                    if count >= 2 {
                        found.push((second, past));
                        at = past;
                    }
                }
            }
            None => at = view.skip(at, 30, |ch| ch.is_ascii_alphabetic()).max(at + 1),
        }
    }
    found
}

/// What has a name and is nobody.
const THINGS: &[&str] = &[
    "company ",
    "business ",
    "hotel ",
    "workspace ",
    "brand ",
    "product ",
    "domain ",
    "host ",
    "file ",
    "store ",
    "project ",
    "team ",
    "school ",
    "bank ",
    "city ",
    "app ",
    "device ",
    "network ",
    "plan ",
    "model ",
    "item ",
    "shop ",
    "restaurant ",
    "airline ",
    "street ",
    "display ",
    "game ",
    "server ",
    "organization ",
    "organisation ",
    "building ",
    "event ",
    "folder ",
    "column ",
    "field ",
];

/// `MOLEN/GERALD MR`: how tickets write names.
fn on_ticket(view: View<'_>, at: usize) -> Option<usize> {
    let capitals = |from: usize| {
        let end = view.skip(from, 24, |ch| ch.is_ascii_alphabetic());
        (end >= from + 2 && (from..end).all(|i| view.exact(i).is_ascii_uppercase())).then_some(end)
    };
    let family = capitals(at).filter(|&end| view.at(end) == '/')?;
    let given = capitals(family + 1)?;
    view.after_any(given, &[" mr", " mrs", " ms", " miss", " mstr", " chd"])
}

/// Whether the field at `at` names a company, a file or the like.
fn names_thing(view: View<'_>, at: usize) -> bool {
    view.before_any(at, THINGS_INDEX.of(view.before(at.saturating_sub(1)))).is_some()
}

/// A name of two words or more behind a hint at `at`.
fn hinted(view: View<'_>, at: usize) -> Option<(usize, usize)> {
    if names_thing(view, at) {
        return None;
    }
    if let Some(past) = view.after_any(at, HINTS_INDEX.of(view.at(at))) {
        // `Mr. John Watson`.
        let past = view.skip(past, 1, |ch| ch == '.');
        return after(view, past, false, false);
    }
    if let Some(past) = view.after_any(at, CLOSINGS) {
        let parted = matches!(view.at(past), ',' | '\n');
        if let Some(name) = parted.then(|| after(view, past, false, false)).flatten() {
            return Some(name);
        }
    }
    if let Some(past) = view.after_any(at, GREETINGS) {
        let name = after(view, past, false, false)?;
        return ends_clause(view, name.1).then_some(name);
    }
    let name = after(view, view.after_any(at, SPEAKING)?, false, false)?;
    let greeted =
        view.before_any(at, &["hi, ", "hi ", "hello, ", "hello ", "hey, ", "hey "]).is_some();
    if greeted && ends_clause(view, name.1) {
        return Some(name);
    }
    let says =
        [" speaking", " here", " calling", " from", " again", ", account", ", booking", ", i"];
    view.after_any(name.1, &says).map(|_| name)
}

/// Whether nothing of the same clause follows.
fn ends_clause(view: View<'_>, end: usize) -> bool {
    matches!(view.at(end), '\0' | ',' | '!' | '.' | '\n' | ':' | ';' | '-')
}

/// People write their own name in small letters, too.
fn may_be_small(view: View<'_>, at: usize) -> bool {
    view.after_any(
        at,
        &[
            "my name is",
            "my name's",
            "my names",
            "my full name is",
            "i am called",
            "name:",
            "guest name",
            "customer name",
        ],
    )
    .is_some()
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
    let shouted = !sure && (start..end).all(|i| !view.exact(i).is_lowercase());
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
        let capital = view.exact(here).is_uppercase();
        let past = view.skip(here, 20, |ch| is_letter(ch) || matches!(ch, '\'' | '-'));
        let past = view.skip_back(past, past - here.min(past), |ch| matches!(ch, '\'' | '-'));
        // `Mr. G. Molen`.
        if capital && words == 0 && past == here + 1 && view.starts(past, ". ") {
            let next = view.skip(past + 2, 20, is_letter);
            if next > past + 3 && view.exact(past + 2).is_uppercase() {
                return (next, 2);
            }
        }
        let common = WORDS
            .of(view.at(here))
            .iter()
            .any(|word| word.len() == past - here && view.starts(here, word));
        if past < here + 2 || common || !(capital || small) || view.at(past).is_ascii_digit() {
            break;
        }
        end = past;
        words += 1;
    }
    (end, words)
}

/// `Tom Hardy, 212-555-0199`: two capitalised words that are a line of their own but for what
/// follows.
pub(super) fn find_beside(units: &[Unit], taken: &[(Kind, usize, usize)]) -> Vec<(usize, usize)> {
    let view = View(units);
    let beside = |&&(kind, ..): &&(Kind, usize, usize)| {
        matches!(kind, Kind::Mobile | Kind::Landline | Kind::Phone | Kind::Address | Kind::Email)
    };
    taken
        .iter()
        .filter(beside)
        .filter_map(|&(_, first, _)| {
            let past = view.skip_back(first, 3, |ch| " ,-(\n|/".contains(ch));
            let start =
                view.skip_back(past, 30, |ch| is_letter(ch) || matches!(ch, '\'' | '-' | ' '));
            let opens = matches!(view.before(start), '\0' | '\n');
            let (end, count) = words(view, start, false);
            (opens && past < first && end == past && (2..=3).contains(&count))
                .then_some((start, end))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold;

    #[test]
    fn whatever_announces_a_name_is_known_by_its_opening() {
        for word in [FIELDS, HINTS, CLOSINGS, GREETINGS, SPEAKING].concat() {
            for text in [word.to_owned(), word.to_uppercase(), format!("{word} Tom")] {
                assert!(OPENINGS.has(View(&fold::units(&text)), 0), "{text}");
            }
        }
        assert!(!OPENINGS.has(View(&fold::units("where")), 0));
    }

    #[test]
    fn whatever_has_a_name_and_is_nobody_ends_with_a_blank() {
        for thing in THINGS {
            assert!(thing.ends_with(' '), "{thing}");
            let units = fold::units(thing);
            assert!(names_thing(View(&units), units.len()), "{thing}");
        }
    }
}
