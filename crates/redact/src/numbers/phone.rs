//! Telephone numbers.

// One pattern per way of grouping digits reads as a list; nested ones would be a puzzle.
#![allow(clippy::unnested_or_patterns)]

use super::id_card::is_day;
use super::{Found, Joint, Reading};
use crate::Kind;
use crate::cues::{Context, Cue};

pub(super) fn find(reading: &Reading<'_>, context: Context) -> Option<Found> {
    if context.amount {
        return None;
    }
    mobile(reading, context)
        .or_else(|| abroad(reading, context))
        .or_else(|| with_area_code(reading, context))
        .or_else(|| north_american(reading, context))
        .or_else(|| announced(reading, context))
}

/// A mainland mobile: 11 digits from `1[3-9]`, after `86`, `086`, `0086` or `0`.
pub(super) fn mobile(reading: &Reading<'_>, context: Context) -> Option<Found> {
    if context.glued || context.names_reference() {
        return None;
    }
    [&[][..], &[8, 6], &[0, 0, 8, 6], &[0, 8, 6], &[0]].into_iter().find_map(|prefix| {
        let (from, to) = (prefix.len(), prefix.len() + 11);
        if reading.total() < to
            || reading.digits[..from] != *prefix
            || reading.digits[from] != 1
            || reading.digits[from + 1] < 3
        {
            return None;
        }
        let (shape, joints) = reading.shape(from, to)?;
        let joined = match joints {
            Joint::NONE => !reading.is_money(to),
            _ => {
                (is_mobile_grouping(reading, from, shape.lengths(), joints)
                    || context.is_called() && joints.within(Joint::BLANK.and(Joint::HYPHEN)))
                    && !reading.continues_leftwards()
                    && !(reading.continues_code() && context.cue != Some(Cue::Phone))
            }
        };
        let fits = joined
            && !reading.runs_into_letters(to)
            // A lone zero is dialled, not counted: it touches the number.
            && (from != 1 || reading.first_run() > 1);
        fits.then(|| Found::new(Kind::Mobile, to))
    })
}

fn is_mobile_grouping(
    reading: &Reading<'_>,
    from: usize,
    lengths: &[usize],
    joints: Joint,
) -> bool {
    if joints.has(Joint::OTHER) || joints.has(Joint::BRACKET) {
        // `158,1599,1699` are prices.
        let is_price = |from: usize| matches!(reading.number(from, from + 4) % 100, 0 | 99);
        return lengths == [3, 4, 4] && !(is_price(from + 3) && is_price(from + 7))
            || lengths.len() == 11;
    }
    match lengths {
        [3, 4, 4]
        | [3, 3, 5]
        | [4, 3, 4]
        | [4, 4, 3]
        | [7, 4]
        | [3, 3, 3, 2]
        | [3, 2, 2, 2, 2]
        | [1, 1, 1, ..] => true,
        // `150 20240115` is a sum and a day.
        [3, 8] => joints != Joint::BLANK || !is_calendar_day(reading, from + 3),
        // Two numbers in a row are more likely than this grouping with a blank.
        [5, 6] | [6, 5] => joints == Joint::HYPHEN,
        _ => lengths.len() >= 6 && lengths.iter().all(|&length| length <= 2),
    }
}

/// `+` or `00` and a country code (ITU-T E.164), or `852`, `853`, `886` and a full number.
fn abroad(reading: &Reading<'_>, context: Context) -> Option<Found> {
    let plus = has_plus(reading);
    let zeros = !plus && reading.digits[0] == 0 && reading.digits[1] == 0;
    let from = if zeros { 2 } else { 0 };
    let bare = !plus && !zeros;
    if context.glued && !plus || bare && (reading.first_run() != 3 || reading.continues_leftwards())
    {
        return None;
    }
    let lengths = match (
        reading.number(from, from + 1),
        reading.number(from, from + 2),
        reading.number(from, from + 3),
    ) {
        (_, _, 852 | 853) => 11..=11,
        (_, _, 886) => 11..=12,
        _ if bare => return None,
        (1, _, _) if is_north_american(reading, from + 1) => 11..=11,
        (7, _, _) => 11..=11,
        (0 | 1, _, _) => return None,
        (_, 65, _) => 10..=10,
        (_, 44 | 86, _) => 11..=13,
        _ => 9..=14,
    };
    let fits = |&digits: &usize| {
        reading.shape(0, digits).is_some_and(|(shape, joints)| {
            let joined = !joints.has(Joint::OTHER);
            // Many zeros begin an article number too; groups or a cue make it a telephone.
            let chinese = matches!(reading.number(from, from + 3), 852 | 853) && digits == 13;
            let meant = !zeros || !shape.is_single() || context.is_called() || chinese;
            // The rest after a bare country code in one or two groups.
            let whole = !bare
                || matches!(
                    shape.lengths(),
                    [3, 4, 4] | [3, 8] | [3, 3, 3, 3] | [3, 3, 6] | [3, 9] | [3, 1, 4, 4]
                );
            joined && meant && whole
        }) && !reading.runs_into_letters(digits)
            && !reading.is_money(digits)
    };
    let digits = lengths.rev().map(|digits| digits + from).find(fits)?;
    let kind = if reading.number(from, from + 2) == 86 { Kind::Landline } else { Kind::Phone };
    Some(Found::new(kind, digits))
}

/// Whether a plus sign that is no sum (`5+13800138000`) touches the number.
fn has_plus(reading: &Reading<'_>) -> bool {
    let mut before = reading.units[..reading.start].iter().rev().map(|unit| unit.ch).peekable();
    before.next_if_eq(&'(');
    before.next() == Some('+') && !before.next().is_some_and(|ch| ch.is_ascii_digit())
}

/// A number dialled with a leading zero: mainland landlines, Taiwan, Britain.
fn with_area_code(reading: &Reading<'_>, context: Context) -> Option<Found> {
    if context.glued || reading.continues_leftwards() {
        return None;
    }
    // `86-10-12345678`: the country code in place of the zero.
    if reading.first_run() == 2 && reading.number(0, 2) == 86 {
        let area = match reading.digits[2] {
            1 if reading.digits[3] == 0 => 2,
            2 => 2,
            3..=9 => 3,
            _ => return None,
        };
        return local(reading, 2, 2 + area, context);
    }
    if reading.digits[0] != 0 || reading.digits[1] == 0 {
        return None;
    }
    let area = match reading.digits[1] {
        1 if reading.digits[2] != 0 => None,
        1 | 2 => Some(3),
        _ => Some(4),
    };
    area.and_then(|area| local(reading, 0, area, context))
        .or_else(|| taiwan(reading, context))
        .or_else(|| british(reading, context))
}

/// Digits `from..area` are an area code; a local number of 7 or 8 digits must follow.
fn local(reading: &Reading<'_>, from: usize, area: usize, context: Context) -> Option<Found> {
    if reading.digits[area] == 0 {
        return None;
    }
    let long_area = area - from == 4 || from > 0 && area - from == 3;
    [8, 7].into_iter().filter(|&length| length == 8 || long_area).find_map(|length| {
        let to = area + length;
        let (shape, joints) = reading.shape(area, to)?;
        let (whole, all) = reading.shape(0, to)?;
        let fits = matches!(shape.lengths(), [8 | 7] | [4, 4] | [3, 4] | [4, 3] | [2, 2, 2, 2])
            && (whole.is_single() || reading.shape(0, area).is_some() || shape.is_single())
            // 03 08 15 22 27 33 are numbers of a lottery.
            && (shape.lengths().len() < 4
                || reading.shape(0, area).is_some_and(|(area, _)| area.is_single()))
            && joints.is_plain()
            && (!all.has(Joint::OTHER) || all.within(Joint::OTHER))
            && no_reference(&whole, context)
            && !reading.runs_into_letters(to)
            && !reading.is_money(to);
        fits.then(|| Found::new(Kind::Landline, to))
    })
}

/// Taiwan: mobiles `09xx xxx xxx`, landlines `02-xxxx-xxxx`.
fn taiwan(reading: &Reading<'_>, context: Context) -> Option<Found> {
    let (shape, joints) = reading.shape(0, 10)?;
    let kind = match (reading.digits[1], shape.lengths()) {
        (9, [10] | [4, 3, 3] | [4, 6] | [4, 2, 2, 2]) => Kind::Mobile,
        (2, [2, 4, 4] | [2, 8]) => Kind::Landline,
        // Australia: `(03) 5550 0123`.
        (3 | 7 | 8, [2, 4, 4]) if joints.has(Joint::BRACKET) => Kind::Phone,
        _ => return None,
    };
    let fits = !joints.has(Joint::OTHER)
        && no_reference(&shape, context)
        && !reading.runs_into_letters(10)
        && !reading.is_money(10);
    fits.then(|| Found::new(kind, 10))
}

/// Britain, and any other run of 11 digits from a zero: nothing else is written like that.
fn british(reading: &Reading<'_>, context: Context) -> Option<Found> {
    let (shape, joints) = reading.shape(0, 11)?;
    let fits =
        matches!(shape.lengths(), [11] | [5, 6] | [5, 3, 3] | [4, 7] | [4, 3, 4] | [3, 4, 4])
            && joints.within(Joint::BLANK.and(Joint::HYPHEN).and(Joint::BRACKET))
            && no_reference(&shape, context)
            && !reading.runs_into_letters(11)
            && !reading.is_money(11);
    fits.then(|| Found::new(Kind::Phone, 11))
}

/// A run without groups is a reference after any reference cue of its clause, a grouped number
/// only when the cue names it.
fn no_reference(shape: &super::Shape, context: Context) -> bool {
    !(context.names_reference() || shape.is_single() && context.is_reference())
}

/// `415-563-0800`, `(415) 563-0800`, `1 415 563 0800`; ten digits without groups only after a
/// telephone cue.
fn north_american(reading: &Reading<'_>, context: Context) -> Option<Found> {
    if context.glued || context.names_reference() || reading.continues_leftwards() {
        return None;
    }
    let called = context.is_called();
    [0, 1].into_iter().find_map(|from| {
        let to = from + 10;
        let (shape, joints) = reading.shape(0, to)?;
        if from == 1 && reading.digits[0] != 1 || !is_north_american(reading, from) {
            return None;
        }
        let spaced = joints == Joint::BLANK;
        let grouped = match shape.lengths() {
            // With blanks only, `256 512 1024` and prices are likelier.
            [3, 3, 4] => called || !spaced || !is_round(reading.number(6, 10)),
            [1, 3, 3, 4] => true,
            [3, 7] => joints.has(Joint::BRACKET),
            [10 | 11] | [1, 1, 1, 1, 1, 1, 1, ..] => called || joints.has(Joint::HYPHEN),
            _ => false,
        };
        let joined = called || !joints.has(Joint::OTHER);
        let fits = grouped && joined && !reading.runs_into_letters(to);
        fits.then(|| Found::new(Kind::Phone, to))
    })
}

/// Ten digits from `from` follow the North American plan: area and exchange from 2 up,
/// neither a service code such as 911 nor, for the area, a special one such as 800.
fn is_north_american(reading: &Reading<'_>, from: usize) -> bool {
    if reading.total() < from + 10 {
        return false;
    }
    let (area, exchange) = (reading.number(from, from + 3), reading.number(from + 3, from + 6));
    area >= 200
        && exchange >= 200
        && area % 100 != 11
        && area / 10 % 10 != 9
        && exchange % 100 != 11
}

/// Numbers that are sizes or prices rather than the end of a telephone number.
fn is_round(number: u32) -> bool {
    number.is_multiple_of(100) || number.is_power_of_two() || matches!(number, 1900..=2099)
}

/// 7 to 12 digits after a cue such as 电话 or `call`, in groups of two digits or more.
fn announced(reading: &Reading<'_>, context: Context) -> Option<Found> {
    if !context.is_called() || context.glued {
        return None;
    }
    (7..=12).rev().find_map(|digits| {
        let (shape, joints) = reading.shape(0, digits)?;
        let grouped = match shape.lengths() {
            [8] => !is_calendar_day(reading, 0),
            [4, 4] => {
                !(is_year(reading.number(0, 4))
                    && is_day(2000, reading.number(4, 6), reading.number(6, 8)))
            }
            [7..=12]
            | [3, 4]
            | [3, 3, 3]
            | [3, 3, 4]
            | [2, 3, 4]
            | [4, 3, 4]
            | [2, 4, 4]
            | [3, 4, 4]
            | [4, 3, 3]
            | [4, 6]
            | [5, 5]
            | [5, 6]
            | [2, 2, 2, 2]
            | [1, 1, 1, 1, 1, 1, 1, ..] => true,
            _ => false,
        };
        let fits = grouped
            && joints.within(Joint::BLANK.and(Joint::HYPHEN).and(Joint::DOT).and(Joint::BRACKET))
            && !reading.runs_into_letters(digits)
            && !reading.is_money(digits);
        fits.then(|| Found::new(Kind::Phone, digits))
    })
}

/// The unit after the line of a company: `400-820-8820`, `1010 1111`, `1-800-555-0199`,
/// `0800 123 4567`.
///
/// Such a line is passed over whole, so that no shorter number is found within it.
pub(super) fn service_line(reading: &Reading<'_>) -> Option<usize> {
    mainland_line(reading).or_else(|| toll_free(reading)).or_else(|| british_line(reading))
}

/// `400` and `800` with ten digits, `9510` and `1010` with eight.
fn mainland_line(reading: &Reading<'_>) -> Option<usize> {
    if has_plus(reading) {
        return None;
    }
    if matches!(reading.number(0, 4), 1010 | 9510)
        && let Some((shape, joints)) = reading.shape(0, 8)
    {
        let is_line = matches!(shape.lengths(), [8] | [4, 4] | [5, 3]) && joints.is_plain();
        return is_line.then(|| reading.end(8));
    }
    let (shape, joints) = reading.shape(0, 10)?;
    let is_line = matches!(reading.number(0, 3), 400 | 800)
        && matches!(
            shape.lengths(),
            [10] | [3, 3, 4] | [3, 4, 3] | [4, 3, 3] | [3, 7] | [3, 1, 3, 3]
        )
        && joints.is_plain();
    is_line.then(|| reading.end(10))
}

/// North American codes that the called party pays for.
fn toll_free(reading: &Reading<'_>) -> Option<usize> {
    [0, 1].into_iter().find_map(|from| {
        let (shape, joints) = reading.shape(0, from + 10)?;
        let is_line = (from == 0 || reading.digits[0] == 1)
            && matches!(reading.number(from, from + 3), 800 | 833 | 844 | 855 | 866 | 877 | 888)
            && matches!(shape.lengths(), [3, 3, 4] | [1, 3, 3, 4] | [4, 3, 4])
            && !joints.has(Joint::OTHER);
        is_line.then(|| reading.end(from + 10))
    })
}

/// British codes that no person has: `0800`, `0808`, `03xx`, `084x`, `087x`.
fn british_line(reading: &Reading<'_>) -> Option<usize> {
    let code = reading.number(0, 4);
    let is_code = matches!(code, 800 | 808 | 300..=399 | 843..=845 | 870..=873);
    let (shape, joints) = reading.shape(0, 11)?;
    // Mainland area codes begin like that, too, and are not followed by three digits.
    let is_line = is_code
        && matches!(shape.lengths(), [4, 3, 4] | [11])
        && (!shape.is_single() || matches!(code, 800 | 808))
        && joints.is_plain();
    is_line.then(|| reading.end(11))
}

fn is_calendar_day(reading: &Reading<'_>, from: usize) -> bool {
    let year = reading.number(from, from + 4);
    is_year(year)
        && is_day(year, reading.number(from + 4, from + 6), reading.number(from + 6, from + 8))
}

fn is_year(year: u32) -> bool {
    (1900..2100).contains(&year)
}
