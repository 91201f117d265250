//! E-mail addresses, found from their at sign outwards.

use crate::fold::{Unit, run_length};

/// Endings that make an address of `name @ host . com`, where blanks leave room for doubt.
pub(crate) const KNOWN_ENDINGS: [&str; 24] = [
    "com", "cn", "net", "org", "edu", "gov", "io", "co", "me", "cc", "hk", "tw", "mo", "sg", "jp",
    "kr", "uk", "us", "de", "fr", "info", "top", "vip", "xyz",
];

/// The unit ranges (first, one past last) of all addresses, left to right.
///
/// Linear: both directions stop at the next at sign, so no unit is read more than twice.
pub(crate) fn find(units: &[Unit]) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for at in 0..units.len() {
        if units[at].ch != '@' {
            continue;
        }
        let floor = found.last().map_or(0, |&(_, end)| end);
        if let Some(span) = around(units, floor, at) {
            found.push(span);
        }
    }
    found
}

fn around(units: &[Unit], floor: usize, at: usize) -> Option<(usize, usize)> {
    let left = blanks(units[floor..at].iter().rev());
    let right = blanks(units[at + 1..].iter());
    let start = local_start(units, floor, at - left)?;
    let (end, ending) = domain_end(units, at + 1 + right)?;
    let spaced = left + right > 0;
    (!spaced || KNOWN_ENDINGS.contains(&ending.as_str())).then_some((start, end))
}

/// How many blanks come first, three at most.
fn blanks<'a>(units: impl Iterator<Item = &'a Unit>) -> usize {
    units.take(3).take_while(|unit| unit.ch == ' ').count()
}

/// Where the part before the at sign begins: at its first letter or digit.
fn local_start(units: &[Unit], floor: usize, end: usize) -> Option<usize> {
    let is_local = |ch: char| ch.is_ascii_alphanumeric() || "._%+-'".contains(ch);
    let length = run_length(units[floor..end].iter().rev(), is_local);
    (end - length..end).find(|&i| units[i].ch.is_ascii_alphanumeric())
}

/// Where the domain ends, and its last label in lower case.
///
/// The last label is the longest run of letters that begins a label after a dot, so that
/// `me@example.com13800138000` gives up its address and leaves the number to be found.
fn domain_end(units: &[Unit], start: usize) -> Option<(usize, String)> {
    let is_label = |ch: char| ch.is_ascii_alphanumeric() || ch == '-';
    let label_end = |from: usize| from + run_length(units[from..].iter(), is_label);
    let mut end = None;
    let mut here = label_end(start);
    if here == start {
        return None;
    }
    while let Some(next) = after_dot(units, here, end.is_some()) {
        let stop = label_end(next);
        let letters = run_length(units[next..stop].iter(), |ch| ch.is_ascii_alphabetic());
        if letters >= 2 {
            let ending: String = units[next..next + letters]
                .iter()
                .map(|unit| unit.ch.to_ascii_lowercase())
                .collect();
            end = Some((next + letters, ending));
        }
        if stop == next {
            break;
        }
        here = stop;
    }
    end
}

/// The unit after a dot at `here`. Blanks may stand around the dot, or the dot be a Chinese
/// full stop, as long as the address has no ending yet and the next word is one; later they
/// end the sentence.
fn after_dot(units: &[Unit], here: usize, has_ending: bool) -> Option<usize> {
    let dot = here + blanks(units[here..].iter());
    let mark = units.get(dot)?.ch;
    if !matches!(mark, '.' | '。' | ',') {
        return None;
    }
    let next = dot + 1 + blanks(units[dot + 1..].iter());
    if next == here + 1 && mark == '.' {
        return Some(next);
    }
    let word: String = units[next..]
        .iter()
        .take(8)
        .map(|unit| unit.ch.to_ascii_lowercase())
        .take_while(char::is_ascii_alphabetic)
        .collect();
    (!has_ending && KNOWN_ENDINGS.contains(&word.as_str())).then_some(next)
}
