//! Invented personal data: valid by its check digits, nobody's by its long runs of zeros.

use super::draw::Draw;

/// A mainland mobile number.
pub(super) fn phone(draw: &mut Draw) -> String {
    format!("{}0000{:04}", draw.one_of(&["164", "168", "169"]), draw.below(10_000))
}

/// A mainland identity card number of somebody born in the 1900s.
pub(super) fn id_card(draw: &mut Draw) -> String {
    // GB 11643-1999: weights 2^(17-i) mod 11, and the digit for each remainder.
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const CHECKS: &[u8; 11] = b"10X98765432";
    let (year, month) = (1900 + draw.below(10), 1 + draw.below(12));
    let (day, number) = (1 + draw.below(28), draw.below(1_000));
    let body = format!("110101{year}{month:02}{day:02}{number:03}");
    let sum: u32 = body.bytes().zip(WEIGHTS).map(|(digit, w)| u32::from(digit - b'0') * w).sum();
    format!("{body}{}", char::from(CHECKS[(sum % 11) as usize]))
}

/// A bank card number.
pub(super) fn bank_card(draw: &mut Draw) -> String {
    let body = format!("622202000000000{:03}", draw.below(1_000));
    // ISO/IEC 7812 (Luhn): every second digit from the right is doubled.
    let sum: u32 = body
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0');
            if place % 2 == 1 { digit } else { digit * 2 / 10 + digit * 2 % 10 }
        })
        .sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

/// An address in a domain kept for examples.
pub(super) fn email(draw: &mut Draw) -> String {
    let name = draw.one_of(&["li.na", "wang.wei", "zhao", "chen.jing", "anna", "tom.k"]);
    format!("{name}{}@example.com", draw.below(1_000))
}
