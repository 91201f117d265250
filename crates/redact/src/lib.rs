//! Masking of personal data and keyed pseudonyms. Pure: no clock, no I/O.
//!
//! [`mask`] replaces mobile and landline numbers, identity card numbers, bank card numbers
//! and e-mail addresses by tokens; [`pseudonym`] replaces ids so that repeat contacts still
//! join. Both run in ingest, before anything is logged or stored.
//!
//! # Tokens
//!
//! `[PHONE]`, `[ID]`, `[CARD]` and `[EMAIL]`: the same in every language, readable for a
//! reviewer, without digits or at signs, so that no token is ever masked again. Masking is
//! idempotent: `mask(mask(text)) == mask(text)`.
//!
//! # What counts
//!
//! Digits are read as an eye reads them: full width and mathematical digits, invisible
//! characters between them, every kind of dash and blank. A run of digits is taken whole or
//! not at all; runs may be joined by blanks, hyphens or dots in the groups that people use
//! for that kind of number.
//!
//! - **Mobile**: mainland 11 digits `1[3-9]`, with `+86`, `0086`, `86` or a dialled `0`;
//!   Taiwan `09xx-xxx-xxx`.
//! - **Landline**: mainland area code with a local number, Taiwan area code.
//! - **Phone**: `+` or `00` and a country code, North American `415-563-0800`, British
//!   `01223 351880`, and any number of 7 to 12 digits right after a cue such as 电话 or
//!   `call`. Service lines (`400-...`, `800-...`, 95588) belong to companies and stay.
//! - **ID card**: 18 digits with province, date of birth and check digit (GB 11643-1999),
//!   or, after a cue such as 身份证, without the right check digit, for customers mistype;
//!   15 digits with province and date of birth.
//! - **Bank card**: 13 to 19 digits with an issuer's prefix and length (ISO/IEC 7812) and
//!   the Luhn digit; after a cue such as 银行卡 or `card` one of the two is enough.
//! - **E-mail**: blanks around the at sign or the dot are allowed when the last label is a
//!   well-known one.
//!
//! # Doubtful numbers
//!
//! A leaked number costs more than a masked order number, so doubt is resolved towards
//! masking. One order number in ten of a card's length passes Luhn; the issuer's prefix
//! keeps most of them, and a cue such as 订单号, 运单 or `tracking` right in front keeps the
//! rest. A landline or an old identity number stays after such a cue of its clause. An 11-digit number that looks like a mobile stays only
//! when the words before it name it a reference (`订单号：`, `order no.`, `order_id=`).
//! Digits that touch letters (`SF13800138000`) are part of a code and stay, unless the letters
//! are a word that people write onto a number (`13800138000vx`), as do amounts
//! with a currency sign or unit and numbers in the path of a link.

mod cues;
mod email;
mod fold;
mod numbers;
mod pseudonym;

use std::borrow::Cow;

pub use pseudonym::{PseudonymKey, Subject, pseudonym};

/// The kind of personal data that a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A mobile number of mainland China or Taiwan.
    Mobile,
    /// A landline number of mainland China or Taiwan, with its area code.
    Landline,
    /// Any other telephone number.
    Phone,
    /// A mainland identity card number.
    IdCard,
    /// A bank card number.
    BankCard,
    /// An e-mail address.
    Email,
}

impl Kind {
    /// Every kind, for tables of metrics.
    pub const ALL: [Self; 6] =
        [Self::Mobile, Self::Landline, Self::Phone, Self::IdCard, Self::BankCard, Self::Email];

    /// The name in metric labels and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mobile => "mobile",
            Self::Landline => "landline",
            Self::Phone => "phone",
            Self::IdCard => "id_card",
            Self::BankCard => "bank_card",
            Self::Email => "email",
        }
    }

    /// What stands in the masked text in its place. Always ASCII.
    pub fn token(self) -> &'static str {
        match self {
            Self::Mobile | Self::Landline | Self::Phone => "[PHONE]",
            Self::IdCard => "[ID]",
            Self::BankCard => "[CARD]",
            Self::Email => "[EMAIL]",
        }
    }
}

/// One token in a masked text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MaskedSpan {
    /// What was there.
    pub kind: Kind,
    /// First Unicode scalar of the token, counted in the masked text from 0.
    pub start: usize,
    /// One past its last Unicode scalar.
    pub end: usize,
}

/// A text without personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masked<'a> {
    /// The text with tokens; borrowed when nothing had to be masked.
    pub text: Cow<'a, str>,
    /// The tokens put in, left to right, without overlap.
    pub spans: Vec<MaskedSpan>,
}

impl Masked<'_> {
    /// Whether the text differs from what was given.
    pub fn changed(&self) -> bool {
        !self.spans.is_empty()
    }
}

/// Masks the personal data in `text`; the crate's documentation says what that is.
///
/// Never fails, takes time linear in the length of the text, and allocates only when the
/// text holds an at sign or enough digits for a telephone number.
///
/// ```
/// use zhili_redact::{Kind, mask};
///
/// let masked = mask("我的电话１３８ 0013 8000，订单号 20240115000123");
/// assert_eq!(masked.text, "我的电话[PHONE]，订单号 20240115000123");
/// assert_eq!((masked.spans[0].kind, masked.spans[0].start, masked.spans[0].end), (Kind::Mobile, 4, 11));
/// ```
pub fn mask(text: &str) -> Masked<'_> {
    if !fold::worth_reading(text, numbers::FEWEST_DIGITS) {
        return Masked { text: Cow::Borrowed(text), spans: Vec::new() };
    }
    let mut units = fold::units(text);
    let emails = email::find(&units);
    email::take(&mut units, &emails);
    let mut found: Vec<(Kind, usize, usize)> =
        emails.into_iter().map(|(start, end)| (Kind::Email, start, end)).collect();
    found.extend(numbers::find(&mut units));
    if found.is_empty() {
        return Masked { text: Cow::Borrowed(text), spans: Vec::new() };
    }
    found.sort_unstable_by_key(|&(_, start, _)| start);

    let mut masked = String::with_capacity(text.len());
    let mut spans = Vec::with_capacity(found.len());
    let (mut copied, mut scalars) = (0, 0);
    for (kind, first, end) in found {
        let kept = &text[copied..units[first].start];
        masked.push_str(kept);
        scalars += kept.chars().count();
        let start = scalars;
        masked.push_str(kind.token());
        scalars += kind.token().len();
        spans.push(MaskedSpan { kind, start, end: scalars });
        copied = units[end - 1].end;
    }
    masked.push_str(&text[copied..]);
    Masked { text: Cow::Owned(masked), spans }
}
