//! Mainland identity card numbers (GB 11643-1999; 15 digits before 1999).

use super::{Found, Joint, Reading};
use crate::Kind;
use crate::cues::{Context, Cue};
use crate::fold::is_letter;

/// Weights of the first 17 digits, and the check characters by remainder of 11.
const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CHECKS: [u8; 11] = *b"10X98765432";

/// An 18-character number. Province, date and check digit together pass once in thousands
/// of random numbers, so no grouping, letter or order cue speaks against it.
pub(super) fn find(reading: &Reading<'_>, context: Context) -> Option<Found> {
    if reading.total() < 17 || !is_province(reading) || !is_date(reading, 6, 14) {
        return None;
    }
    let (found, check) = if let Some((_, joints)) = reading.shape(0, 18) {
        (joints.is_plain().then(|| Found::new(Kind::IdCard, 18))?, b'0' + reading.digits[17])
    } else {
        let (_, joints) = reading.shape(0, 17).filter(|(_, joints)| joints.is_plain())?;
        (Found { tail: letter_x(reading, joints)?, ..Found::new(Kind::IdCard, 17) }, b'X')
    };
    let sum: u32 =
        WEIGHTS.iter().zip(reading.digits).map(|(weight, digit)| weight * u32::from(digit)).sum();
    let right = CHECKS[sum as usize % 11] == check;
    (right || context.cue == Some(Cue::Id)).then_some(found)
}

/// A 15-digit number: no check digit, so letters and order cues speak against it. About one
/// random number in seventy passes.
pub(super) fn find_old(reading: &Reading<'_>, context: Context) -> Option<Found> {
    let (shape, joints) = reading.shape(0, 15)?;
    let fits = matches!(shape.lengths(), [15] | [6, 6, 3])
        && joints.is_plain()
        && is_province(reading)
        && is_date(reading, 6, 12)
        && !context.is_reference()
        && !context.glued
        && !context.amount
        && !reading.runs_into_letters(15)
        && !reading.is_money(15);
    fits.then(|| Found::new(Kind::IdCard, 15))
}

/// How many units the final X takes; a grouped number may have a blank or hyphen before it.
fn letter_x(reading: &Reading<'_>, joints: Joint) -> Option<usize> {
    let after = &reading.units[reading.end(17)..];
    let gap = usize::from(
        joints != Joint::NONE && after.first().is_some_and(|unit| matches!(unit.ch, ' ' | '-')),
    );
    let is_x = matches!(after.get(gap)?.ch, 'X' | 'x' | '×' | 'Х' | 'х');
    let ends = after.get(gap + 1).is_none_or(|unit| !is_letter(unit.ch));
    (is_x && ends).then_some(gap + 1)
}

/// The first two digits are a province of GB/T 2260.
fn is_province(reading: &Reading<'_>) -> bool {
    matches!(
        reading.number(0, 2),
        11..=15 | 21..=23 | 31..=37 | 41..=46 | 50..=54 | 61..=65 | 71 | 81..=83
    )
}

/// Digits `from..to` are a date: eight with the year in full, six with two digits of it.
fn is_date(reading: &Reading<'_>, from: usize, to: usize) -> bool {
    let year = match to - from {
        8 => reading.number(from, from + 4),
        _ => 1900 + reading.number(from, from + 2),
    };
    (1900..2100).contains(&year)
        && is_day(year, reading.number(to - 4, to - 2), reading.number(to - 2, to))
}

/// Whether the month has that day.
pub(super) fn is_day(year: u32, month: u32, day: u32) -> bool {
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(if year.is_multiple_of(100) { 400 } else { 4 }) => 29,
        2 => 28,
        _ => 0,
    };
    (1..=days).contains(&day)
}
