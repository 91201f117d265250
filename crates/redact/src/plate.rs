//! Number plates of vehicles.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;
use std::sync::LazyLock;

use crate::fold::Unit;
use crate::view::{CharHasher, View, is_han};

/// What the plates of the mainland begin with.
const PROVINCES: &str =
    "京津沪滬冀豫云雲辽遼黑湘皖鲁魯新苏蘇浙赣贛鄂桂甘晋晉蒙陕陝吉闽閩贵貴粤粵青藏川宁寧琼瓊渝";

static PROVINCE_SET: LazyLock<HashSet<char, BuildHasherDefault<CharHasher>>> =
    LazyLock::new(|| PROVINCES.chars().collect());

/// What they may end with in place of the last character.
const ENDINGS: &str = "挂学警港澳领使试超临";

const CUES: &[&str] = &[
    "number plate",
    "license plate",
    "licence plate",
    "plate number",
    "plate",
    "car reg",
    "my reg",
    "reg number",
    "vehicle registration",
    "registration number",
    "registration",
    "tags",
    "reg",
    "reg no",
    "rego",
    "tag number",
    "tag",
    "vehicle number",
    "vehicle no",
    "vehicle reg",
    "車牌",
    "车牌",
    "車號",
    "车号",
    "牌照",
    "出租車",
    "車牌號",
    "車牌號碼",
    "车牌号",
    "车牌号码",
    "plates",
    "reg.",
    "licence plate's",
    "license plate's",
];

const SURE_CUES: &[&str] = &[
    "license plate",
    "licence plate",
    "number plate",
    "plate number",
    "reg number",
    "registration number",
    "vehicle registration",
    "car reg",
];

const FILLERS: &[&str] =
    &[" ", ":", "#", "is", "are", "no", "no.", "number", "(", "是", "为", "為", "号", "號"];

/// What makes letters and digits in the British form a plate.
const CARS: &[&str] =
    &["car", "van", "vehicle", "parked", "parking", "towed", "bmw", "audi", "ford", "mot", "reg"];

/// The plates in `units`, as first unit and one past the last.
pub(crate) fn find(units: &[Unit]) -> Vec<(usize, usize)> {
    let view = View(units);
    let mut found = Vec::new();
    let mut at = 0;
    while at < view.len() {
        let plate = chinese(view, at)
            .or_else(|| official(view, at))
            .or_else(|| british(view, at))
            .or_else(|| english(view, at));
        match plate {
            Some(end) => {
                found.push((at, end));
                at = end;
            }
            None => at += 1,
        }
    }
    found
}

/// Whether a plate of the mainland begins with `ch`.
fn is_province(ch: char) -> bool {
    is_han(ch) && PROVINCE_SET.contains(&ch)
}

/// Whether a Chinese character is part of a plate.
pub(crate) fn is_part(ch: char) -> bool {
    is_province(ch) || ENDINGS.contains(ch)
}

/// WJ京12345 of the armed police.
fn official(view: View<'_>, at: usize) -> Option<usize> {
    if !view.starts(at, "wj") || !is_province(view.at(at + 2)) {
        return None;
    }
    let end = view.skip(at + 3, 6, |ch| ch.is_ascii_digit());
    (end == at + 8).then_some(end)
}

/// `AB12 CDE` where a car is spoken of: two letters, two digits of the year and three letters.
fn british(view: View<'_>, at: usize) -> Option<usize> {
    let form = |i: usize| match i {
        0 | 1 | 5..=7 => view.exact(at + i).is_ascii_uppercase(),
        4 => view.at(at + i) == ' ',
        _ => view.at(at + i).is_ascii_digit(),
    };
    let alone =
        !view.before(at).is_ascii_alphanumeric() && !view.at(at + 8).is_ascii_alphanumeric();
    if !alone || !(0..8).all(form) {
        return None;
    }
    let from = view.skip_back(at, 30, |ch| !matches!(ch, '.' | '!' | '?' | '\n'));
    let spoken = (from..at)
        .any(|i| !view.before(i).is_ascii_alphabetic() && view.after_any(i, CARS).is_some());
    spoken.then_some(at + 8)
}

/// A province, a letter and five or six letters and digits, one of them a digit: GA 36-2018.
fn chinese(view: View<'_>, at: usize) -> Option<usize> {
    if !is_province(view.at(at)) {
        return None;
    }
    let gap = |ch: char| matches!(ch, '.' | ' ' | '-');
    let cued = view
        .before_any(
            view.skip_back(at, 6, |ch| " :是为號号码(".contains(ch)),
            &["车牌", "車牌", "牌照", "车"],
        )
        .is_some();
    let letter = view.skip(at + 1, 1, |ch| ch == '-' || cued && ch == ' ');
    // No office has a letter behind V; 新X5 is a car.
    if !matches!(view.at(letter), 'a'..='h' | 'j'..='v' | 'z') {
        return None;
    }
    let first = view.skip(letter + 1, 2, gap);
    let mut end = first;
    let (mut count, mut digits) = (0, 0);
    while count < 6 {
        let here = if cued && count > 0 { view.skip(end, 1, gap) } else { end };
        let ch = view.at(here);
        if !ch.is_ascii_alphanumeric() {
            break;
        }
        count += 1;
        digits += usize::from(ch.is_ascii_digit());
        end = here + 1;
    }
    if count == 4 && digits > 0 && ENDINGS.contains(view.at(end)) {
        return Some(end + 1);
    }
    if ENDINGS.contains(view.at(end)) && count == 5 {
        return Some(end + 1);
    }
    let whole = matches!(count, 5 | 6)
        && digits > 0
        && !view.at(end).is_ascii_alphanumeric()
        && !(view.at(end) == '-' && view.at(end + 1).is_ascii_alphanumeric());
    // 京B 20240 is a permit; six characters belong to electric cars, D or F in front or behind.
    let electric = count != 6
        || cued
        || ('a'..='k').contains(&view.at(first))
        || ('a'..='k').contains(&view.before(end));
    (whole && electric).then_some(end)
}

/// Capitals and digits after a cue, in one word or two.
fn english(view: View<'_>, at: usize) -> Option<usize> {
    if !view.at(at).is_ascii_alphanumeric() || view.before(at).is_ascii_alphanumeric() {
        return None;
    }
    // Behind a cue that is one and nothing else people write small letters, too.
    let small = view.at(at).is_ascii_alphanumeric()
        && view.before_any(view.skip_back(at, 4, |ch| " :is".contains(ch)), SURE_CUES).is_some();
    let is_part = |i: usize| {
        let ch = view.exact(i);
        ch.is_ascii_uppercase() || ch.is_ascii_digit() || small && ch.is_ascii_lowercase()
    };
    if !is_part(at) {
        return None;
    }
    let mut cue = at;
    while let Some(before) = view.before_any(cue, FILLERS).filter(|_| at - cue < 12) {
        cue = before;
    }
    if view.after_any(at, &["is", "no", "are", "number"]).is_some()
        || cue == at && !is_han(view.before(at))
        || view.before_any(cue, CUES).is_none()
            && (1..=2).all(|i| view.before_any(cue + i, CUES).is_none())
    {
        return None;
    }
    let word = |from: usize| (from..from + 9).find(|&i| !is_part(i)).unwrap_or(from + 9);
    let mut end = word(at);
    if matches!(view.at(end), ' ' | '-') && is_part(end + 1) && end - at <= 4 {
        let second = word(end + 1);
        if !view.at(second).is_ascii_alphanumeric() && second - end <= 6 {
            end = second;
        }
    }
    let count = |is: fn(&char) -> bool| (at..end).map(|i| view.at(i)).filter(is).count();
    let (letters, digits) = (count(char::is_ascii_alphabetic), count(char::is_ascii_digit));
    (letters > 0
        && digits > 0
        && (if is_han(view.before(at)) { 5 } else { 4 }..=8).contains(&(letters + digits)))
    .then_some(end)
}
