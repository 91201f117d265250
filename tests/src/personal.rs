//! Personal data of nobody: made from a seed, with the check digits that real ones have.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What is promised to be masked wherever it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Of the mainland, eleven digits.
    Mobile,
    /// Eighteen characters, the last one a check digit (GB 11643).
    IdCard,
    /// UnionPay with its Luhn digit.
    BankCard,
    /// At a domain of RFC 2606.
    Email,
    /// Down to the room.
    Address,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Mobile, Self::IdCard, Self::BankCard, Self::Email, Self::Address];
}

/// Hands out values, each once, and remembers what each was given for.
pub struct Values {
    random: StdRng,
    given: BTreeMap<String, String>,
}

impl Values {
    /// The same seed gives the same values in the same order.
    pub fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), given: BTreeMap::new() }
    }

    /// A value that nobody had before, for `place`.
    pub fn take(&mut self, class: Class, place: &str) -> String {
        loop {
            let value = self.make(class);
            if !self.given.contains_key(&value) {
                self.given.insert(value.clone(), format!("{class:?} in {place}"));
                return value;
            }
        }
    }

    /// Every value so far, with what it is and where it was sent.
    pub fn given(&self) -> impl Iterator<Item = (&str, &str)> {
        self.given.iter().map(|(value, place)| (value.as_str(), place.as_str()))
    }

    fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b'0' + self.random.random_range(0..10))).collect()
    }

    fn make(&mut self, class: Class) -> String {
        match class {
            Class::Mobile => {
                let second = self.random.random_range(5..10);
                // 15x has no 154, 17x no 179, 19x no 194: a third digit that all of them have.
                format!("1{second}{}{}", self.random.random_range(5..9), self.digits(8))
            }
            Class::IdCard => {
                let (year, month, day) = (
                    self.random.random_range(1960..2005),
                    self.random.random_range(1..13),
                    self.random.random_range(1..29),
                );
                let body = format!("330106{year}{month:02}{day:02}{}", self.digits(3));
                let check = id_check(&body);
                format!("{body}{check}")
            }
            Class::BankCard => {
                let body = format!("622202{}", self.digits(12));
                let check = luhn(&body);
                format!("{body}{check}")
            }
            Class::Email => {
                let name: String =
                    (0..10).map(|_| char::from(b'a' + self.random.random_range(0..26))).collect();
                format!("{name}@example.com")
            }
            Class::Address => format!(
                "文一西路{}号{}幢{}室",
                self.random.random_range(100..1000),
                self.random.random_range(10..100),
                self.random.random_range(1000..10_000)
            ),
        }
    }
}

/// The last character of an identity card (ISO 7064, MOD 11-2).
fn id_check(body: &str) -> char {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let digits = body.bytes().map(|digit| u32::from(digit - b'0'));
    let sum: u32 = digits.zip(WEIGHTS).map(|(digit, weight)| digit * weight).sum();
    char::from(b"10X98765432"[(sum % 11) as usize])
}

/// The digit that makes a card number valid (ISO/IEC 7812).
fn luhn(body: &str) -> u32 {
    let digits = body.bytes().rev().map(|digit| u32::from(digit - b'0'));
    let sum: u32 = digits
        .enumerate()
        .map(|(place, digit)| {
            let twice = digit * (2 - place as u32 % 2);
            twice / 10 + twice % 10
        })
        .sum();
    (10 - sum % 10) % 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_those_of_the_standards() {
        // The standard's own example, and the one that every card form shows.
        assert_eq!(id_check("11010519491231002"), 'X');
        assert_eq!(luhn("411111111111111"), 1);
    }

    #[test]
    fn what_is_made_is_masked_as_what_it_is() {
        let mut values = Values::new(1);
        for class in Class::ALL {
            for _ in 0..200 {
                let value = values.take(class, "a test");
                let masked = zhili_redact::mask(&value);
                assert!(!masked.text.contains(&value), "{class:?}: {value}");
            }
        }
        assert_eq!(values.given().count(), 1_000);
    }
}
