//! Numbers of papers with letters in them: passports, travel permits, driving licences, and the
//! identity numbers of Hong Kong, Taiwan, Singapore and Britain.

use crate::Kind;
use crate::cues;
use crate::fold::Unit;
use crate::view::View;

const PAPERS: &[&str] = &[
    "护照",
    "護照",
    "通行证",
    "通行證",
    "回乡证",
    "回鄉證",
    "台胞证",
    "台胞證",
    "档案编号",
    "驾驶证",
    "驾照",
    "駕照",
    "旅行证",
    "passport",
    "travel document",
    "driver's license",
    "drivers license",
    "driver license",
    "driving licence",
    "driver's licence",
    "driving license",
    "海员证",
];

const BRITISH: &[&str] = &["ni number", "national insurance number", "national insurance", "nino"];

const IDENTITY: &[&str] = &["身份证", "身份證", "身分證", "字號", "nric", "id", "證號碼", "证号"];

/// How far a paper may be named in front of its number, in units.
const REACH: usize = 24;

/// Longest number of a paper, blanks and hyphens included.
const LONGEST: usize = 24;

/// The numbers in `units`, as kind, first unit and one past the last.
pub(crate) fn find(units: &[Unit]) -> Vec<(Kind, usize, usize)> {
    let view = View(units);
    let mut found = Vec::new();
    let mut at = 0;
    while at < view.len() {
        if !view.at(at).is_ascii_alphanumeric() || view.before(at).is_ascii_alphanumeric() {
            at += 1;
            continue;
        }
        match number(view, at) {
            Some((kind, end)) => {
                found.push((kind, at, end));
                at = end;
            }
            None => at += 1,
        }
    }
    found
}

fn number(view: View<'_>, at: usize) -> Option<(Kind, usize)> {
    if let Some(end) = hong_kong(view, at) {
        return Some((Kind::IdCard, end));
    }
    let end = view.skip(at, LONGEST, |ch| ch.is_ascii_alphanumeric());
    let digits = (at..end).filter(|&i| view.at(i).is_ascii_digit()).count();
    if digits == 0 && end - at > 2 {
        return None;
    }
    if let Some(end) = lettered_identity(view, at, end) {
        return Some((Kind::IdCard, end));
    }
    if named(view, at, BRITISH).is_some()
        && let Some(end) =
            grouped(view, at, &[2, 2, 2, 2, 1]).or_else(|| grouped(view, at, &[2, 6, 1]))
    {
        return Some((Kind::SocialSecurity, end));
    }
    if named(view, at, BRITISH).is_some() && end - at == 9 {
        return Some((Kind::SocialSecurity, end));
    }
    paper(view, at, end).map(|end| (Kind::Document, end))
}

/// `A123456(3)`.
fn hong_kong(view: View<'_>, at: usize) -> Option<usize> {
    let digits = view.skip(at, 2, |ch| ch.is_ascii_alphabetic());
    let bracket = view.skip(digits, 7, |ch| ch.is_ascii_digit());
    let fits = digits > at
        && bracket - digits == 6
        && view.at(bracket) == '('
        && (view.at(bracket + 1).is_ascii_digit() || view.at(bracket + 1) == 'a')
        && view.at(bracket + 2) == ')';
    fits.then_some(bracket + 3)
}

/// `A123456789` of Taiwan with its check digit or after a cue, `S0000001I` of Singapore after one.
fn lettered_identity(view: View<'_>, at: usize, end: usize) -> Option<usize> {
    let letter = view.at(at);
    let digits = view.skip(at + 1, 10, |ch| ch.is_ascii_digit()) - at - 1;
    if !letter.is_ascii_alphabetic() {
        return None;
    }
    let cued = named(view, at, IDENTITY).is_some();
    match (end - at, digits) {
        (10, 9) if matches!(view.at(at + 1), '1' | '2') => {
            // One order number in ten of this shape passes the check.
            let is_order = || cues::before(view.0, at).is_reference();
            (cued || is_taiwanese(view, at) && !is_order()).then_some(end)
        }
        (9, 7) if "stfgm".contains(letter) && view.before(end).is_ascii_alphabetic() => {
            cued.then_some(end)
        }
        _ => None,
    }
}

/// The check of Taiwan: the letter as two digits, weights 1, 9, 8, ... 1, 1, a multiple of ten.
fn is_taiwanese(view: View<'_>, at: usize) -> bool {
    const ORDER: &str = "abcdefghjklmnpqrstuvxywzio";
    let Some(value) = ORDER.find(view.at(at)).map(|place| place as u32 + 10) else {
        return false;
    };
    let sum: u32 = [8, 7, 6, 5, 4, 3, 2, 1, 1]
        .into_iter()
        .enumerate()
        .filter_map(|(i, weight)| view.at(at + 1 + i).to_digit(10).map(|digit| digit * weight))
        .sum();
    (value / 10 + value % 10 * 9 + sum).is_multiple_of(10)
}

/// The end of `lengths` groups of letters and digits, blanks between.
fn grouped(view: View<'_>, at: usize, lengths: &[usize]) -> Option<usize> {
    let mut here = at;
    for (i, &length) in lengths.iter().enumerate() {
        if i > 0 {
            here = view.skip(here, 1, |ch| ch == ' ');
        }
        let end = view.skip(here, length, |ch| ch.is_ascii_alphanumeric());
        if end - here != length {
            return None;
        }
        here = end;
    }
    (!view.at(here).is_ascii_alphanumeric()).then_some(here)
}

/// The end of a paper's number that begins at `at` and is named in front.
fn paper(view: View<'_>, at: usize, word: usize) -> Option<usize> {
    // Groups as in `E 1234 5678` and `S530-4602-6003` belong together when they hold digits.
    let mut end = word;
    while matches!(view.at(end), ' ' | '-') && end - at < LONGEST {
        let next = view.skip(end + 1, 9, |ch| ch.is_ascii_digit());
        if next == end + 1 || next - end - 1 < 3 || view.at(next).is_ascii_alphanumeric() {
            break;
        }
        end = next;
    }
    let digits = (at..end).filter(|&i| view.at(i).is_ascii_digit()).count();
    let letters = (at..end).filter(|&i| view.at(i).is_ascii_alphabetic()).count();
    let size = digits + letters;
    let lettered = letters > 0 && digits >= 4 && (7..=17).contains(&size);
    let plain = letters == 0 && (7..=12).contains(&size);
    if !lettered && !plain {
        return None;
    }
    let between = named(view, at, PAPERS)?;
    let close = (between..at).all(|i| {
        let ch = view.at(i);
        ch.is_ascii() && !matches!(ch, '.' | '!' | '?') || "号號码碼是为為".contains(ch)
    });
    (lettered || close).then_some(end)
}

/// The unit behind the nearest of `words` in front of `at`, no digit or token between.
fn named(view: View<'_>, at: usize, words: &[&str]) -> Option<usize> {
    let floor = view.skip_back(at, REACH, |ch| !ch.is_ascii_digit() && ch != ']');
    (floor..=at).rev().find(|&end| view.before_any(end, words).is_some())
}
