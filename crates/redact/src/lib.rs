//! Masking of personal data and keyed pseudonyms. Pure: no clock, no I/O.
//!
//! [`mask`] replaces telephone numbers, identity, social security and bank card numbers, papers,
//! e-mail and postal addresses, plates, messenger ids and names by tokens; [`mask_after`] does so
//! for a message that may go on where another ended; [`pseudonym`] replaces ids so that repeat
//! contacts still join. All run in ingest, before anything is logged or stored.
//!
//! # Tokens
//!
//! `[PHONE]`, `[NAME]` and the others of [`Kind::token`]: the same in every language, readable for
//! a reviewer, without digits or at signs, so that no token is ever masked again. Masking is
//! idempotent: `mask(mask(text)) == mask(text)`.
//!
//! # What counts
//!
//! Digits are read as an eye reads them: full width, circled and mathematical digits, 一三八 and
//! 壹叁捌, `five five five`, invisible characters between them, every kind of dash and blank. A run
//! of digits is taken whole or not at all; runs may be joined by blanks, hyphens or dots in the
//! groups that people use for that kind of number.
//!
//! - **Mobile**: mainland 11 digits `1[3-9]`, with `+86`, `0086`, `86` or a dialled `0`;
//!   Taiwan `09xx-xxx-xxx`.
//! - **Landline**: mainland area code with a local number, Taiwan area code.
//! - **Phone**: `+` or `00` and a country code, North American `415-563-0800`, British
//!   `01223 351880`, and any number of 7 to 12 digits right after a cue such as 电话 or
//!   `call`. Service lines (`400-...`, `1-800-...`, `0800 ...`, 95588) belong to companies and stay.
//! - **ID card**: 18 digits with province, date of birth and check digit (GB 11643-1999),
//!   or, after a cue such as 身份证, without the right check digit, for customers mistype;
//!   15 digits with province and date of birth; `A123456(3)` of Hong Kong; ten characters of
//!   Taiwan with their check digit.
//! - **Social security**: `123-45-6789`, nine digits after a cue, British national insurance
//!   numbers, and after a cue the taxpayer numbers of India and Ireland.
//! - **Bank card**: 13 to 19 digits with an issuer's prefix and length (ISO/IEC 7812) and
//!   the Luhn digit; after a cue such as 银行卡 or `card` one of the two is enough.
//!   An IBAN of the length of its country with the right check digits (ISO 13616).
//! - **E-mail**: blanks around the at sign or the dot are allowed when the last label is a
//!   well-known one, as is a sign in words (`(at)`, 艾特, ` dot `).
//! - **Document, handle, name**: what has the form of one behind a cue of its kind.
//! - **Plate**: province, letter and five or six letters and digits (GA 36-2018); others after a
//!   cue, and `AB12 CDE` where a car is spoken of.
//! - **Address**: the name of a road, village or estate and a number in it, with what is around.
//!
//! A surname with a title, a place without a number and the address of a shop stay;
//! `tests/corpus/README.md` has all decisions.
//!
//! # Doubtful numbers
//!
//! A leaked number costs more than a masked order number, so doubt is resolved towards
//! masking. One order number in ten of a card's length passes Luhn; the issuer's prefix
//! keeps most of them, and a cue such as 订单号, 运单 or `tracking` right in front keeps the
//! rest. A landline or an old identity number stays after such a cue of its clause. An 11-digit
//! number that looks like a mobile stays only when the words before it name it a reference
//! (`订单号：`, `order no.`, `order_id=`).
//! Digits that touch letters (`SF13800138000`) are part of a code and stay, unless the letters
//! are a word that people write onto a number (`13800138000vx`), as do amounts
//! with a currency sign or unit and numbers in the path of a link.

mod address;
mod cues;
mod document;
mod email;
mod fold;
#[cfg(test)]
mod fuzzed;
mod handle;
mod lead;
mod name;
mod numbers;
mod plate;
mod pseudonym;
mod ring;
mod spoken;
mod view;

use std::borrow::Cow;
use std::ops::Range;

use fold::{Survey, TAKEN, Unit};
pub use lead::{Lead, find_after, found_after};
pub use pseudonym::{PseudonymKey, Subject, pseudonym};
pub use ring::{CustomerNames, JOIN_WINDOW_MS, JOINED_KEYS, KeyRing, RingError, RingKey, Scope};

/// The kind of personal data that a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A mobile number of mainland China or Taiwan.
    Mobile,
    /// A landline number of mainland China or Taiwan, with its area code.
    Landline,
    /// Any other telephone number.
    Phone,
    /// An identity card number: of the mainland, Hong Kong, Taiwan, or named as one.
    IdCard,
    /// A social security, national insurance or taxpayer number.
    SocialSecurity,
    /// A bank card number or an IBAN.
    BankCard,
    /// An e-mail address.
    Email,
    /// A passport, travel permit or driving licence.
    Document,
    /// A postal address down to a house.
    Address,
    /// A number plate.
    Plate,
    /// An id in a messenger: WeChat, QQ, Skype.
    Handle,
    /// A person's name.
    Name,
}

impl Kind {
    /// Every kind, for tables of metrics.
    pub const ALL: [Self; 12] = [
        Self::Mobile,
        Self::Landline,
        Self::Phone,
        Self::IdCard,
        Self::SocialSecurity,
        Self::BankCard,
        Self::Email,
        Self::Document,
        Self::Address,
        Self::Plate,
        Self::Handle,
        Self::Name,
    ];

    /// The name in metric labels and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mobile => "mobile",
            Self::Landline => "landline",
            Self::Phone => "phone",
            Self::IdCard => "id_card",
            Self::SocialSecurity => "social_security",
            Self::BankCard => "bank_card",
            Self::Email => "email",
            Self::Document => "document",
            Self::Address => "address",
            Self::Plate => "plate",
            Self::Handle => "handle",
            Self::Name => "name",
        }
    }

    /// What stands in the masked text in its place. Always ASCII.
    pub fn token(self) -> &'static str {
        match self {
            Self::Mobile | Self::Landline | Self::Phone => "[PHONE]",
            Self::IdCard => "[ID]",
            Self::SocialSecurity => "[SSN]",
            Self::BankCard => "[CARD]",
            Self::Email => "[EMAIL]",
            Self::Document => "[DOCUMENT]",
            Self::Address => "[ADDRESS]",
            Self::Plate => "[PLATE]",
            Self::Handle => "[HANDLE]",
            Self::Name => "[NAME]",
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
/// Never fails and takes time linear in the length of the text. A text without digits, letters
/// and characters of cues is passed over in one pass that allocates nothing.
///
/// ```
/// use zhili_redact::{Kind, mask};
///
/// let masked = mask("我的电话１３８ 0013 8000，订单号 20240115000123");
/// assert_eq!(masked.text, "我的电话[PHONE]，订单号 20240115000123");
/// assert_eq!((masked.spans[0].kind, masked.spans[0].start, masked.spans[0].end), (Kind::Mobile, 4, 11));
/// ```
pub fn mask(text: &str) -> Masked<'_> {
    mask_found(text, &find(text))
}

/// [`mask`] for a message that may go on where `lead` ended.
pub fn mask_after<'a>(lead: &Lead, text: &'a str) -> Masked<'a> {
    mask_found(text, &find_after(lead, text))
}

/// `text` with a token in the place of each of `found`: findings in it, left to right, without
/// overlap, as [`find`] and its like return them.
///
/// # Panics
/// For findings of another text.
pub fn mask_found<'a>(text: &'a str, found: &[Finding]) -> Masked<'a> {
    if found.is_empty() {
        return Masked { text: Cow::Borrowed(text), spans: Vec::new() };
    }
    let mut masked = String::with_capacity(text.len());
    let mut spans = Vec::with_capacity(found.len());
    let (mut copied, mut scalars) = (0, 0);
    for &Finding { kind, ref bytes } in found {
        let kept = &text[copied..bytes.start];
        masked.push_str(kept);
        scalars += kept.chars().count();
        let start = scalars;
        masked.push_str(kind.token());
        scalars += kind.token().len();
        spans.push(MaskedSpan { kind, start, end: scalars });
        copied = bytes.end;
    }
    masked.push_str(&text[copied..]);
    Masked { text: Cow::Owned(masked), spans }
}

/// Something personal in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// Where it stands, in bytes of the text.
    pub bytes: Range<usize>,
}

/// How often a text is read again with tokens in it. Nobody writes one that takes more than two.
const READINGS: usize = 4;

/// What is personal in `text`, left to right, without overlap: what [`mask`] masks.
///
/// What was found may have hidden what is beside it: of 13000000000一三八00000000 the second number
/// is one only once the first is away. So the text is read again with the tokens in place.
pub fn find(text: &str) -> Vec<Finding> {
    let mut found = find_once(text);
    for _ in 1..READINGS {
        if found.is_empty() {
            break;
        }
        let masked = mask_found(text, &found).text;
        let more = find_once(&masked);
        if more.is_empty() {
            break;
        }
        found = merge(found, more);
    }
    found
}

/// `found` and what a reading of the text masked so found more, which takes in what it covers.
fn merge(found: Vec<Finding>, more: Vec<Finding>) -> Vec<Finding> {
    let mut merged = Vec::with_capacity(found.len() + more.len());
    let mut found = found.into_iter().peekable();
    // How far the masked text is ahead of the text.
    let (mut tokens, mut masked) = (0, 0);
    for Finding { kind, bytes } in more {
        let in_text = |at: usize, tokens: usize, masked: usize| at + masked - tokens;
        while let Some(next) = found.next_if(|next| {
            in_text(bytes.start, tokens, masked) >= next.bytes.start + next.kind.token().len()
        }) {
            tokens += next.kind.token().len();
            masked += next.bytes.len();
            merged.push(next);
        }
        let mut covered = in_text(bytes.start, tokens, masked)..0;
        while let Some(next) =
            found.next_if(|next| in_text(bytes.end, tokens, masked) > next.bytes.start)
        {
            tokens += next.kind.token().len();
            masked += next.bytes.len();
            covered.start = covered.start.min(next.bytes.start);
            covered.end = next.bytes.end;
        }
        covered.end = covered.end.max(in_text(bytes.end, tokens, masked));
        merged.push(Finding { kind, bytes: covered });
    }
    merged.extend(found);
    merged
}

fn find_once(text: &str) -> Vec<Finding> {
    let survey = Survey::of(text);
    if survey.is_plain() {
        return Vec::new();
    }
    let mut units = fold::units(text);
    spoken::read(&mut units, survey);
    let mut found = Search { units, found: Vec::new() };
    if survey.ats > 0 || survey.letters > 3 {
        found.take(Kind::Email, email::find);
    }
    if survey.letters + survey.digits + survey.numerals > 3 {
        // Papers first: QQ 12 34 56 C is one, although ids of QQ are numbers.
        for (kind, start, end) in document::find(&found.units) {
            found.add(kind, start, end);
        }
        found.take(Kind::Handle, handle::find);
    }
    if survey.letters > 0 && survey.digits > 0 {
        found.take(Kind::Plate, plate::find);
    }
    found.take(Kind::Address, |units| address::find(units, survey));
    found.take(Kind::Name, |units| name::find(units, survey));
    if survey.digits + survey.numerals + survey.letters >= numbers::FEWEST_DIGITS {
        let numbers = numbers::find(&mut found.units);
        found.found.extend(numbers);
    }
    let beside = name::find_beside(&found.units, &found.found);
    for (start, end) in beside {
        found.add(Kind::Name, start, end);
    }
    found.finish()
}

/// The units of a text and what was found in them.
struct Search {
    units: Vec<Unit>,
    found: Vec<(Kind, usize, usize)>,
}

impl Search {
    fn take(&mut self, kind: Kind, find: impl Fn(&[Unit]) -> Vec<(usize, usize)>) {
        for (start, end) in find(&self.units) {
            self.add(kind, start, end);
        }
    }

    /// Takes the units of a span that is free.
    fn add(&mut self, kind: Kind, start: usize, end: usize) {
        if start < end && self.units[start..end].iter().all(|unit| unit.ch != TAKEN) {
            for unit in &mut self.units[start..end] {
                unit.ch = TAKEN;
            }
            self.found.push((kind, start, end));
        }
    }

    fn finish(mut self) -> Vec<Finding> {
        self.found.sort_unstable_by_key(|&(_, start, _)| start);
        let units = &self.units;
        self.found
            .iter()
            .map(|&(kind, start, end)| Finding {
                kind,
                bytes: units[start].start..units[end - 1].end,
            })
            .collect()
    }
}
