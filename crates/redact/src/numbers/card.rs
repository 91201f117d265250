//! Bank card numbers (ISO/IEC 7812).

use super::{Found, Joint, Reading};
use crate::Kind;
use crate::cues::{Context, Cue};

/// A card number, the longest that fits.
///
/// Without a cue both the issuer and the Luhn digit must be right; after a card cue one of
/// them is enough, since customers mistype and new issuers appear. Orders are talked about
/// where cards are given (`item broken, refund to 4111...`), so only a reference cue right in
/// front makes a right number something else; a number in groups, only one that names it.
pub(super) fn find(reading: &Reading<'_>, context: Context) -> Option<Found> {
    if reading.total() < 13
        || context.names_reference()
        || context.glued
        || context.amount
        || reading.continues_leftwards()
    {
        return None;
    }
    let announced = context.cue == Some(Cue::Card);
    let grouped = |digits: usize| {
        reading.shape(0, digits).is_some_and(|(shape, joints)| {
            let even = matches!(
                joints,
                Joint::NONE | Joint::BLANK | Joint::HYPHEN | Joint::DOT | Joint::OTHER
            );
            even && is_grouping(shape.lengths(), announced)
                && !(shape.is_single() && context.touches_reference())
        })
    };
    let fits = |&digits: &usize| {
        grouped(digits)
            && !reading.runs_into_letters(digits)
            && !reading.is_money(digits)
            && (!context.is_reference() || !goes_on(reading, digits))
    };
    let longest = |certain: bool| {
        (13..=19).rev().filter(fits).find(|&digits| {
            let (issued, valid) = (is_issued(reading, digits), is_luhn(&reading.digits[..digits]));
            if certain { issued && valid } else { (issued || valid) && digits >= 15 }
        })
    };
    longest(true)
        .or_else(|| announced.then(|| longest(false)).flatten())
        .map(|digits| Found::new(Kind::BankCard, digits))
}

/// Whether another group of four follows, as in `tracking 9400 1234 5678 9012 3456 78`.
fn goes_on(reading: &Reading<'_>, digits: usize) -> bool {
    let mut after = reading.units[reading.end(digits)..].iter().map(|unit| unit.ch);
    after.next() == Some(' ') && after.take(4).filter(char::is_ascii_digit).count() == 4
}

/// How people group the digits of a card; after a cue, anyhow.
fn is_grouping(lengths: &[usize], announced: bool) -> bool {
    match lengths {
        [_] | [4, 6, 4 | 5] | [6, 10 | 12 | 13] | [8, 8] => true,
        [fours @ .., last] if fours.len() >= 3 => {
            fours.iter().all(|&length| length == 4) && *last <= 4
                || lengths.iter().all(|&length| length == 1)
                || announced && lengths.iter().all(|&length| length >= 2)
        }
        _ => announced,
    }
}

/// Whether an issuer has numbers of that prefix and length: `UnionPay` and other cards of
/// China (6, 9), Visa (4), Mastercard (51-55, 2221-2720), American Express (34, 37), JCB
/// (3528-3589), Diners Club (30, 36, 38, 39), Discover and Maestro (50, 56-58, 6).
fn is_issued(reading: &Reading<'_>, digits: usize) -> bool {
    let (two, four) = (reading.number(0, 2), reading.number(0, 4));
    match two {
        60..=69 | 90..=99 | 50 | 56..=58 => (16..=19).contains(&digits),
        40..=49 => matches!(digits, 13 | 16 | 19),
        51..=55 => digits == 16,
        22..=27 => digits == 16 && (2221..=2720).contains(&four),
        34 | 37 => digits == 15,
        35 => (16..=19).contains(&digits) && (3528..=3589).contains(&four),
        30 | 36 | 38 | 39 => digits == 14,
        _ => false,
    }
}

/// The check of ISO/IEC 7812-1 annex B: every second digit from the right doubled.
fn is_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, &digit)| match u32::from(digit) << (i % 2) {
            doubled @ 10.. => doubled - 9,
            small => small,
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|&digit| digit != digits[0])
}
