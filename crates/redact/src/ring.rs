//! The keys of pseudonyms that there are: one in use, and those that it replaced.
//!
//! A customer keeps one pseudonym for each key. While a replaced key is *joined*, an event carries
//! the customer's pseudonym under it beside the newest one, so that whoever remembers the customer
//! by the former name goes on remembering. A *retired* key names nobody any more; it stays in the
//! ring to find whom it named. ADR 11 has why.

use std::fmt::{self, Write};

use zeroize::Zeroizing;

use crate::pseudonym::{PseudonymKey, Subject, pseudonym};

/// How long a key is joined before the history under its successor is complete, in milliseconds: 31
/// days, as long as what is said of repeat contacts may change, and a day for conversations that
/// were open when the key was replaced and for replicas that read the ring later than others.
pub const JOIN_WINDOW_MS: i64 = 32 * 24 * 60 * 60 * 1000;

/// Keys that name a customer at once. Each costs 30 bytes of every event and a contact of its own.
pub const JOINED_KEYS: usize = 4;

/// First words of a ring in writing.
const HEADER: &str = "zhili pseudonym keys 1";

/// Length of a key, and of a file that holds one key and nothing else.
const KEY_BYTES: usize = 32;

/// Whose ids a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Customers alone. Conversations, agents and events keep their pseudonyms when it comes.
    Customers,
    /// Everything. When it comes, open conversations begin anew and agents have new pseudonyms.
    Everything,
}

impl Scope {
    /// The scope's name in writing: `customers`, `everything`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Customers => "customers",
            Self::Everything => "everything",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Customers, Self::Everything].into_iter().find(|scope| scope.name() == name)
    }
}

/// A key and what becomes of it. Never shows its secret.
#[derive(Clone, Debug)]
pub struct RingKey {
    /// Counts keys from 1; none is given twice.
    pub number: u32,
    /// Since when it is the newest, milliseconds since the Unix epoch; 0 if that is not known.
    pub since_ms: i64,
    /// Whose ids it names.
    pub scope: Scope,
    /// Customers are not named by it any more.
    pub retired: bool,
    secret: PseudonymKey,
}

/// The keys of pseudonyms. Holds one at least that names customers, and one for everything.
#[derive(Clone, Debug)]
pub struct KeyRing {
    /// Oldest first.
    keys: Vec<RingKey>,
}

/// What a customer is called under every key that is joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomerNames {
    /// The pseudonym under the newest key.
    pub id: String,
    /// Those under replaced keys that are joined, newest key first.
    pub former: Vec<String>,
    /// Under which of them repeat contacts are stated: 0 for `id`, `n` for the `n`-th of `former`.
    pub speaker: u32,
}

/// Why a ring cannot be read or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RingError {
    /// It is neither 32 bytes nor a ring in writing; the line, from 1, that cannot be read.
    Malformed(usize),
    /// Its keys contradict each other.
    Inconsistent(&'static str),
    /// There is no key of that number.
    Unknown(u32),
    /// The newest key cannot be retired or removed: replace it first.
    InUse(u32),
    /// The key still names conversations, agents and events.
    NamesOthers(u32),
    /// The key is joined: retire it first.
    Joined(u32),
    /// As many keys are joined as may be: retire one first.
    TooMany,
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(line) => {
                write!(f, "neither 32 bytes nor a ring of keys: line {line} cannot be read")
            }
            Self::Inconsistent(what) => write!(f, "the keys contradict each other: {what}"),
            Self::Unknown(number) => write!(f, "there is no key {number}"),
            Self::InUse(number) => write!(f, "key {number} is the newest: replace it first"),
            Self::NamesOthers(number) => write!(
                f,
                "key {number} still names conversations, agents and events: replace it there first, \
                 by a key for everything"
            ),
            Self::Joined(number) => write!(f, "key {number} is not retired"),
            Self::TooMany => {
                write!(f, "{JOINED_KEYS} keys name each customer already: retire one first")
            }
        }
    }
}

impl std::error::Error for RingError {}

impl From<PseudonymKey> for KeyRing {
    /// A ring of one key for everything, in use since ever.
    fn from(secret: PseudonymKey) -> Self {
        let scope = Scope::Everything;
        Self { keys: vec![RingKey { number: 1, since_ms: 0, scope, retired: false, secret }] }
    }
}

impl KeyRing {
    /// Reads what [`to_text`](Self::to_text) wrote, or 32 bytes that are one key for everything.
    ///
    /// # Errors
    /// [`RingError::Malformed`] or [`RingError::Inconsistent`]; neither shows what was read.
    pub fn parse(bytes: &[u8]) -> Result<Self, RingError> {
        if let Ok(key) = <[u8; KEY_BYTES]>::try_from(bytes) {
            return Ok(PseudonymKey::new(key).into());
        }
        let text = std::str::from_utf8(bytes).map_err(|_| RingError::Malformed(1))?;
        let mut lines = text.lines().enumerate();
        if lines.next().is_none_or(|(_, line)| line != HEADER) {
            return Err(RingError::Malformed(1));
        }
        let keys = lines.map(|(at, line)| read(line).ok_or(RingError::Malformed(at + 1)));
        let ring = Self { keys: keys.collect::<Result<_, _>>()? };
        ring.check()?;
        Ok(ring)
    }

    fn check(&self) -> Result<(), RingError> {
        let numbers = self.keys.iter().map(|key| key.number);
        if !numbers.clone().zip(numbers.skip(1)).all(|(one, next)| one < next) {
            return Err(RingError::Inconsistent("their numbers do not rise"));
        }
        if self.keys.last().is_none_or(|key| key.retired) {
            return Err(RingError::Inconsistent("the newest one is retired"));
        }
        if !self.keys.iter().any(|key| key.scope == Scope::Everything) {
            return Err(RingError::Inconsistent("none is for everything"));
        }
        if self.joined().count() > JOINED_KEYS {
            return Err(RingError::TooMany);
        }
        Ok(())
    }

    /// The ring in writing, with its secrets: for a file that ingest alone can read.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(format!("{HEADER}\n"));
        // Grown once: what a string leaves behind when it moves is not overwritten.
        text.reserve(self.keys.len() * 128);
        for key in &self.keys {
            let state = if key.retired { "retired" } else { "joined" };
            let (number, since_ms, scope) = (key.number, key.since_ms, key.scope.name());
            // Writing into a string does not fail.
            let _ = write!(text, "{number} {since_ms} {scope} {state} ");
            for byte in key.secret.bytes() {
                let _ = write!(text, "{byte:02x}");
            }
            text.push('\n');
        }
        text
    }

    /// All keys, oldest first.
    #[must_use]
    pub fn keys(&self) -> &[RingKey] {
        &self.keys
    }

    /// Those that name customers, newest first.
    fn joined(&self) -> impl Iterator<Item = &RingKey> {
        self.keys.iter().rev().filter(|key| !key.retired)
    }

    /// Which of the joined keys, counted from the newest, speaks: the newest one whose history is
    /// complete, or the oldest.
    fn speaker(&self, now_ms: i64) -> usize {
        let complete = |key: &RingKey| key.since_ms.saturating_add(JOIN_WINDOW_MS) <= now_ms;
        let oldest = self.joined().count().saturating_sub(1);
        self.joined().position(complete).unwrap_or(oldest)
    }

    /// Number of the key under which repeat contacts are stated at `now_ms`.
    #[must_use]
    pub fn speaking(&self, now_ms: i64) -> u32 {
        self.joined().nth(self.speaker(now_ms)).map_or(0, |key| key.number)
    }

    /// From when on a replaced key is not needed to join, milliseconds since the Unix epoch: its
    /// successor speaks for [`JOIN_WINDOW_MS`], and what the key itself spoke for is settled. `None`
    /// for the newest key and for an unknown number.
    #[must_use]
    pub fn retires_ms(&self, number: u32) -> Option<i64> {
        let later = self.keys.iter().find(|key| key.number > number && !key.retired)?;
        let is_known = self.keys.iter().any(|key| key.number == number);
        is_known.then(|| later.since_ms.saturating_add(2 * JOIN_WINDOW_MS))
    }

    /// What a customer is called at `now_ms`.
    #[must_use]
    pub fn customer(&self, tenant: &str, raw: &str, now_ms: i64) -> CustomerNames {
        let mut names =
            self.joined().map(|key| pseudonym(&key.secret, tenant, Subject::Customer, raw));
        CustomerNames {
            id: names.next().unwrap_or_default(),
            former: names.collect(),
            speaker: self.speaker(now_ms) as u32,
        }
    }

    /// The pseudonym under which an id is stored from now on: for a customer that of
    /// [`customer`](Self::customer), else that of the newest key for everything.
    #[must_use]
    pub fn name(&self, tenant: &str, subject: Subject, raw: &str) -> String {
        let key = self.keys_of(subject).find(|key| subject != Subject::Customer || !key.retired);
        key.map(|key| pseudonym(&key.secret, tenant, subject, raw)).unwrap_or_default()
    }

    /// Every pseudonym that the id may be stored under, that of the newest key first.
    #[must_use]
    pub fn names(&self, tenant: &str, subject: Subject, raw: &str) -> Vec<String> {
        self.keys_of(subject).map(|key| pseudonym(&key.secret, tenant, subject, raw)).collect()
    }

    /// Keys that name or named ids of a subject, newest first.
    fn keys_of(&self, subject: Subject) -> impl Iterator<Item = &RingKey> {
        let all = subject == Subject::Customer;
        self.keys.iter().rev().filter(move |key| all || key.scope == Scope::Everything)
    }

    /// Puts a new key in use from `now_ms` on, and says its number. Those before it are joined
    /// until they are retired.
    ///
    /// # Errors
    /// [`RingError::TooMany`].
    pub fn rotate(
        &mut self,
        secret: PseudonymKey,
        scope: Scope,
        now_ms: i64,
    ) -> Result<u32, RingError> {
        if self.joined().count() >= JOINED_KEYS {
            return Err(RingError::TooMany);
        }
        let number = self.keys.last().map_or(1, |key| key.number + 1);
        self.keys.push(RingKey { number, since_ms: now_ms, scope, retired: false, secret });
        Ok(number)
    }

    /// Names customers by a key no longer. Before [`retires_ms`](Self::retires_ms) repeat contacts
    /// are cut by it.
    ///
    /// # Errors
    /// [`RingError::Unknown`], [`RingError::InUse`].
    pub fn retire(&mut self, number: u32) -> Result<(), RingError> {
        let at = self.at(number)?;
        if at + 1 == self.keys.len() {
            return Err(RingError::InUse(number));
        }
        self.keys[at].retired = true;
        Ok(())
    }

    /// Drops a retired key: nobody is found by it any more.
    ///
    /// # Errors
    /// [`RingError::Unknown`], [`RingError::InUse`], [`RingError::Joined`] of a key that is not
    /// retired, [`RingError::NamesOthers`] of the newest key for everything.
    pub fn remove(&mut self, number: u32) -> Result<(), RingError> {
        let at = self.at(number)?;
        if at + 1 == self.keys.len() {
            return Err(RingError::InUse(number));
        }
        if self.names_others(number) {
            return Err(RingError::NamesOthers(number));
        }
        if !self.keys[at].retired {
            return Err(RingError::Joined(number));
        }
        self.keys.remove(at);
        Ok(())
    }

    /// Whether it is the key that names conversations, agents and events.
    #[must_use]
    pub fn names_others(&self, number: u32) -> bool {
        self.keys_of(Subject::Conversation).next().is_some_and(|key| key.number == number)
    }

    fn at(&self, number: u32) -> Result<usize, RingError> {
        let at = self.keys.iter().position(|key| key.number == number);
        at.ok_or(RingError::Unknown(number))
    }
}

/// A line of a ring in writing.
fn read(line: &str) -> Option<RingKey> {
    let mut words = line.split(' ');
    let number = words.next()?.parse().ok()?;
    let since_ms = words.next()?.parse().ok()?;
    let scope = Scope::named(words.next()?)?;
    let retired = match words.next()? {
        "joined" => false,
        "retired" => true,
        _ => return None,
    };
    let digits = words.next()?.as_bytes();
    if words.next().is_some() || digits.len() != 2 * KEY_BYTES {
        return None;
    }
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let of = |digit: u8| char::from(digit).to_digit(16);
        *byte = (of(pair[0])? << 4 | of(pair[1])?) as u8;
    }
    Some(RingKey { number, since_ms, scope, retired, secret: PseudonymKey::new(*bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = JOIN_WINDOW_MS / 32;

    fn key(byte: u8) -> PseudonymKey {
        PseudonymKey::new([byte; 32])
    }

    fn of(byte: u8, subject: Subject) -> String {
        pseudonym(&key(byte), "t", subject, "u")
    }

    /// Key 1 for everything since ever, key 2 for customers since day 100.
    fn rotated() -> KeyRing {
        let mut ring = KeyRing::from(key(1));
        assert_eq!(ring.rotate(key(2), Scope::Customers, 100 * DAY), Ok(2));
        ring
    }

    #[test]
    fn a_key_alone_is_a_ring() {
        let ring = KeyRing::parse(&[1; 32]).unwrap();
        let names = ring.customer("t", "u", 0);
        assert_eq!(names.id, of(1, Subject::Customer));
        assert_eq!((names.former.len(), names.speaker), (0, 0));
        assert_eq!(ring.name("t", Subject::Customer, "u"), names.id);
        assert_eq!(ring.name("t", Subject::Author, "u"), of(1, Subject::Author));
    }

    #[test]
    fn after_a_rotation_a_customer_has_both_names_and_the_former_one_speaks_for_a_window() {
        let ring = rotated();
        let names = ring.customer("t", "u", 101 * DAY);
        assert_eq!(names.id, of(2, Subject::Customer));
        assert_eq!(names.former, [of(1, Subject::Customer)]);
        assert_eq!((names.speaker, ring.speaking(101 * DAY)), (1, 1));
        assert_eq!(ring.speaking(132 * DAY - 1), 1);
        assert_eq!((ring.customer("t", "u", 132 * DAY).speaker, ring.speaking(132 * DAY)), (0, 2));
        assert_eq!((ring.retires_ms(1), ring.retires_ms(2)), (Some(164 * DAY), None));
    }

    #[test]
    fn a_rotation_of_customers_leaves_other_names_alone() {
        let ring = rotated();
        for subject in [Subject::Conversation, Subject::Author, Subject::Event] {
            assert_eq!(ring.name("t", subject, "u"), of(1, subject));
            assert_eq!(ring.names("t", subject, "u"), [of(1, subject)]);
        }
    }

    #[test]
    fn a_rotation_of_everything_renames_everything() {
        let mut ring = rotated();
        ring.rotate(key(3), Scope::Everything, 101 * DAY).unwrap();
        for subject in [Subject::Conversation, Subject::Author, Subject::Event] {
            assert_eq!(ring.name("t", subject, "u"), of(3, subject));
            assert_eq!(ring.names("t", subject, "u"), [of(3, subject), of(1, subject)]);
        }
        let names = ring.customer("t", "u", 102 * DAY);
        assert_eq!(names.former, [of(2, Subject::Customer), of(1, Subject::Customer)]);
        assert_eq!(names.speaker, 2);
        assert_eq!(ring.customer("t", "u", 132 * DAY).speaker, 1);
        assert_eq!(ring.customer("t", "u", 133 * DAY).speaker, 0);
    }

    #[test]
    fn a_retired_key_names_nobody_and_still_finds() {
        let mut ring = rotated();
        ring.retire(1).unwrap();
        let names = ring.customer("t", "u", 101 * DAY);
        assert_eq!((names.id, names.former.len()), (of(2, Subject::Customer), 0));
        assert_eq!(names.speaker, 0, "what is left speaks, complete or not");
        let found = [of(2, Subject::Customer), of(1, Subject::Customer)];
        assert_eq!(ring.names("t", Subject::Customer, "u"), found);
        assert_eq!(ring.name("t", Subject::Author, "u"), of(1, Subject::Author));
    }

    #[test]
    fn what_is_in_use_is_neither_retired_nor_removed() {
        let mut ring = rotated();
        assert_eq!(ring.retire(2), Err(RingError::InUse(2)));
        assert_eq!(ring.remove(2), Err(RingError::InUse(2)));
        assert_eq!(ring.retire(3), Err(RingError::Unknown(3)));
        ring.retire(1).unwrap();
        assert_eq!(ring.remove(1), Err(RingError::NamesOthers(1)));
        ring.rotate(key(3), Scope::Everything, 101 * DAY).unwrap();
        assert_eq!(ring.remove(2), Err(RingError::Joined(2)));
        ring.remove(1).unwrap();
        let numbers: Vec<u32> = ring.keys().iter().map(|key| key.number).collect();
        assert_eq!(numbers, [2, 3]);
    }

    #[test]
    fn more_keys_than_an_event_carries_are_refused() {
        let mut ring = KeyRing::from(key(1));
        for byte in 2..=JOINED_KEYS as u8 {
            ring.rotate(key(byte), Scope::Customers, 0).unwrap();
        }
        assert_eq!(ring.rotate(key(9), Scope::Customers, 0), Err(RingError::TooMany));
        ring.retire(1).unwrap();
        assert_eq!(ring.rotate(key(9), Scope::Customers, 0), Ok(5));
    }

    #[test]
    fn a_ring_is_read_as_it_was_written() {
        let mut ring = rotated();
        ring.rotate(key(0xfe), Scope::Everything, 101 * DAY).unwrap();
        ring.retire(1).unwrap();
        let read = KeyRing::parse(ring.to_text().as_bytes()).unwrap();
        assert_eq!(*read.to_text(), *ring.to_text());
        for now_ms in [101 * DAY, 200 * DAY] {
            assert_eq!(read.customer("t", "u", now_ms), ring.customer("t", "u", now_ms));
        }
    }

    #[test]
    fn what_is_no_ring_is_refused_by_its_line_and_not_shown() {
        let good = rotated().to_text();
        assert!(KeyRing::parse(good.as_bytes()).is_ok());
        let swapped = {
            let lines: Vec<&str> = good.lines().collect();
            [lines[0], lines[2], lines[1]].join("\n")
        };
        for (text, refusal) in [
            (String::new(), RingError::Malformed(1)),
            (good.replace("keys 1", "keys 2"), RingError::Malformed(1)),
            (good.replace("0202", "zz02"), RingError::Malformed(3)),
            (good.replace("joined 01", "idle 01"), RingError::Malformed(2)),
            (format!("{HEADER}\n"), RingError::Inconsistent("the newest one is retired")),
            (good.replace("joined 02", "retired 02"), {
                RingError::Inconsistent("the newest one is retired")
            }),
            (good.replace("everything", "customers"), {
                RingError::Inconsistent("none is for everything")
            }),
            (swapped, RingError::Inconsistent("their numbers do not rise")),
        ] {
            let error = KeyRing::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error, refusal);
            assert!(!error.to_string().contains("0202"));
        }
        assert_eq!(KeyRing::parse(&[0xff; 33]).unwrap_err(), RingError::Malformed(1));
    }

    #[test]
    fn a_ring_never_shows_its_keys() {
        let shown = format!("{:?}", rotated());
        assert!(shown.contains("PseudonymKey(..)") && !shown.contains("0202"), "{shown}");
    }
}
