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
    "回鄉卡",
    "臺胞證",
    "臺胞证",
    "永久居留证",
    "永久居留證",
    "永居证",
    "永久居民",
    "出生证",
    "出生證",
    "出生医学证明",
    "军官证",
    "士兵证",
    "居留卡",
    "dl",
    "dl#",
    "海員證",
    "證件號",
    "证件号",
    "证件号码",
    "green card",
    "alien number",
    "a-number",
    "visa number",
    "license number",
    "my license",
    "license no",
    "license #",
    "state id",
    "military id",
];

const BRITISH: &[&str] = &[
    "ni number",
    "national insurance number",
    "national insurance",
    "nino",
    "ni",
    "ni no",
    "nat ins",
    "insurance number",
    "insurance no",
];

const IDENTITY: &[&str] = &[
    "身份证",
    "身份證",
    "身分證",
    "字號",
    "nric",
    "id",
    "證號碼",
    "证号",
    "fin",
    "ic",
    "ic number",
    "mykad",
    "居留證",
    "統一證號",
    "澳门身份证",
    "澳門身份證",
];

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
    let end = view.skip(at, LONGEST, |ch| ch.is_ascii_alphanumeric());
    let digits = (at..end).filter(|&i| view.at(i).is_ascii_digit()).count();
    // No number of any kind begins with three letters and goes on without a digit.
    if digits == 0 && end - at > 2 {
        return None;
    }
    if let Some(end) = hong_kong(view, at).or_else(|| malaysian(view, at)) {
        return Some((Kind::IdCard, end));
    }
    if let Some(end) = bank_account(view, at) {
        return Some((Kind::BankCard, end));
    }
    if let Some(end) = spaced_insurance(view, at).or_else(|| taxpayer(view, at)) {
        return Some((Kind::SocialSecurity, end));
    }
    if let Some(end) = lettered_identity(view, at, end) {
        return Some((Kind::IdCard, end));
    }
    // The form first: to look for what names it costs more.
    let insurance = grouped(view, at, &[2, 2, 2, 2, 1])
        .or_else(|| grouped(view, at, &[2, 6, 1]))
        .or_else(|| (end - at == 9).then_some(end));
    if let Some(end) = insurance.filter(|_| named(view, at, BRITISH).is_some()) {
        return Some((Kind::SocialSecurity, end));
    }
    paper(view, at, end).map(|end| (Kind::Document, end))
}

/// How long the international account numbers of a country are (ISO 13616, the registry of SWIFT).
const ACCOUNTS: &[(&str, usize)] = &[
    ("ad", 24),
    ("ae", 23),
    ("at", 20),
    ("be", 16),
    ("bg", 22),
    ("br", 29),
    ("ch", 21),
    ("cy", 28),
    ("cz", 24),
    ("de", 22),
    ("dk", 18),
    ("ee", 20),
    ("eg", 29),
    ("es", 24),
    ("fi", 18),
    ("fr", 27),
    ("gb", 22),
    ("gr", 27),
    ("hr", 21),
    ("hu", 28),
    ("ie", 22),
    ("il", 23),
    ("is", 26),
    ("it", 27),
    ("kw", 30),
    ("kz", 20),
    ("li", 21),
    ("lt", 20),
    ("lu", 20),
    ("lv", 21),
    ("mc", 27),
    ("mt", 31),
    ("nl", 18),
    ("no", 15),
    ("pk", 24),
    ("pl", 28),
    ("pt", 25),
    ("qa", 29),
    ("ro", 24),
    ("sa", 24),
    ("se", 24),
    ("si", 19),
    ("sk", 24),
    ("tr", 26),
    ("ua", 29),
];

/// The end of an international account number, in one word or in fours, whose check digits are
/// right (ISO 13616, ISO/IEC 7064 MOD 97-10): one word in 97 of that form is right by chance.
fn bank_account(view: View<'_>, at: usize) -> Option<usize> {
    // A pseudonym begins with a letter and a bar.
    let bar = view.before(at) == '_';
    if bar || !view.at(at + 2).is_ascii_digit() || !view.at(at + 3).is_ascii_digit() {
        return None;
    }
    let &(_, length) = ACCOUNTS.iter().find(|(country, _)| view.starts(at, country))?;
    let (mut end, mut size) = (at, 0);
    while size < length {
        if view.at(end).is_ascii_alphanumeric() {
            size += 1;
        } else if view.at(end) != ' ' || size % 4 != 0 {
            return None;
        }
        end += 1;
    }
    let whole = !view.at(end).is_ascii_alphanumeric();
    (whole && is_account(view, at, end)).then_some(end)
}

/// Whether the letters and digits of `start..end`, the first four at the end, leave 1 of 97.
fn is_account(view: View<'_>, start: usize, end: usize) -> bool {
    let characters = || (start..end).map(|i| view.at(i)).filter(char::is_ascii_alphanumeric);
    let rest = characters().skip(4).chain(characters().take(4)).fold(0, |rest, ch| {
        let value = ch.to_digit(36).unwrap_or(0);
        (rest * if value > 9 { 100 } else { 10 } + value) % 97
    });
    rest == 1
}

/// `QQ 12 34 56 C`: nothing but a national insurance number is grouped like that.
fn spaced_insurance(view: View<'_>, at: usize) -> Option<usize> {
    let letters = view.skip(at, 3, |ch| ch.is_ascii_alphabetic()) - at;
    let spaced = [2, 5, 8, 11].iter().all(|&gap| view.at(at + gap) == ' ');
    let digits = [3, 4, 6, 7, 9, 10].iter().all(|&i| view.at(at + i).is_ascii_digit());
    let ends = ('a'..='d').contains(&view.at(at + 12)) && !view.at(at + 13).is_ascii_alphanumeric();
    (letters == 2 && spaced && digits && ends).then_some(at + 13)
}

const TAXPAYERS: &[&str] =
    &["pan", "pan card", "pan no", "pan number", "pps", "ppsn", "pps number"];

/// Of India five letters, four digits and a letter, of Ireland seven digits and one letter or two.
fn taxpayer(view: View<'_>, at: usize) -> Option<usize> {
    let end = view.skip(at, 11, |ch| ch.is_ascii_alphanumeric());
    let is = |i: usize, digit: bool| {
        let ch = view.at(at + i);
        if digit { ch.is_ascii_digit() } else { ch.is_ascii_alphabetic() }
    };
    let indian = end - at == 10 && (0..10).all(|i| is(i, (5..9).contains(&i)));
    let irish = matches!(end - at, 8 | 9) && (0..end - at).all(|i| is(i, i < 7));
    ((indian || irish) && named(view, at, TAXPAYERS).is_some()).then_some(end)
}

/// `900101-14-5678`, behind what names it.
fn malaysian(view: View<'_>, at: usize) -> Option<usize> {
    let part = |from: usize, length: usize| {
        (view.skip(from, length + 1, |ch| ch.is_ascii_digit()) == from + length)
            .then_some(from + length)
    };
    let birth = part(at, 6).filter(|&end| view.at(end) == '-')?;
    let place = part(birth + 1, 2).filter(|&end| view.at(end) == '-')?;
    let end = part(place + 1, 4)?;
    named(view, at, &["ic", "ic number", "ic no", "nric", "mykad"]).map(|_| end)
}

/// `A123456(3)`, and `1234567(8)` of Macau.
fn hong_kong(view: View<'_>, at: usize) -> Option<usize> {
    let digits = view.skip(at, 2, |ch| ch.is_ascii_alphabetic());
    let bracket = view.skip(digits, 8, |ch| ch.is_ascii_digit());
    let size = bracket - digits;
    let fits = view.at(bracket) == '('
        && (view.at(bracket + 1).is_ascii_digit() || view.at(bracket + 1) == 'a')
        && view.at(bracket + 2) == ')'
        && (digits > at && size == 6
            || digits == at && size == 7 && named(view, at, IDENTITY).is_some());
    fits.then_some(bracket + 3)
}

/// `A123456789` of Taiwan with its check digit or after a cue, `S0000001I` of Singapore after one.
fn lettered_identity(view: View<'_>, at: usize, end: usize) -> Option<usize> {
    let letter = view.at(at);
    let digits = view.skip(at + 1, 10, |ch| ch.is_ascii_digit()) - at - 1;
    if !letter.is_ascii_alphabetic() {
        return None;
    }
    // `member id W187430418` is no identity.
    let cued =
        || named(view, at, IDENTITY).is_some() && !cues::before(view.0, at).names_reference();
    match (end - at, digits) {
        (10, 9) if matches!(view.at(at + 1), '1' | '2') => {
            // One order number in ten of this shape passes the check.
            let is_order = || cues::before(view.0, at).is_reference();
            (is_taiwanese(view, at) && !is_order() || cued()).then_some(end)
        }
        (9, 7) if "stfgm".contains(letter) && view.before(end).is_ascii_alphabetic() => {
            cued().then_some(end)
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
    (floor..=at).rev().find(|&end| {
        // `ni` is none of `nice`.
        let cut = view.before(end).is_ascii_alphabetic() && view.at(end).is_ascii_alphabetic();
        !cut && view.before_any(end, words).is_some()
    })
}
