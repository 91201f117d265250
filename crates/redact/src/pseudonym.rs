//! Keyed pseudonyms: the same person keeps the same name, and nobody without the key can
//! tell who it is or try out candidate ids.

use std::fmt;

use zeroize::Zeroize;

/// Bound into every pseudonym, so that no other use of the same key can yield one.
const DOMAIN: &[u8] = b"zhili.pseudonym.v1\0";

/// RFC 4648 base32, in lower case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// 26 characters of 5 bits: two of a thousand billion ids collide with probability 1e-15.
const LENGTH: usize = 26;

/// The secret under which ids become pseudonyms. Whoever holds it can test guesses, so it
/// belongs to ingest alone. Never printed; overwritten when dropped.
#[derive(Clone)]
pub struct PseudonymKey([u8; 32]);

impl PseudonymKey {
    /// A key from 32 bytes of a cryptographic random source.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key itself, to be written where ingest alone can read it.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for PseudonymKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self::new(bytes)
    }
}

impl fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PseudonymKey(..)")
    }
}

impl Drop for PseudonymKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Whose id a pseudonym stands for. The same raw id under two subjects gives two
/// unrelated pseudonyms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The customer of a conversation.
    Customer,
    /// The author of a message: agent, bot, supervisor, or the customer as a writer.
    Author,
    /// The conversation itself.
    Conversation,
    /// An event, or another name that tells things apart and must not be masked: masked names
    /// of two things could become one.
    Event,
}

impl Subject {
    /// The letter in front of the underscore: `c`, `a`, `v`, `e`.
    pub fn letter(self) -> char {
        match self {
            Self::Customer => 'c',
            Self::Author => 'a',
            Self::Conversation => 'v',
            Self::Event => 'e',
        }
    }
}

/// The pseudonym of `raw` within `tenant`: the subject's letter, `_`, and 26 characters of
/// lower-case base32 (130 bits of BLAKE3 keyed with `key`).
///
/// Equal input gives the equal pseudonym for as long as the key stays, on every machine.
/// `raw` is taken byte for byte; a source that writes one id in two ways (`A1`, `a1 `) has
/// to agree on one of them first.
///
/// ```
/// use zhili_redact::{PseudonymKey, Subject, pseudonym};
///
/// let key = PseudonymKey::new([7; 32]);
/// let name = pseudonym(&key, "default", Subject::Customer, "u-1001");
/// assert!(name.starts_with("c_") && name.len() == 28);
/// assert_eq!(name, pseudonym(&key, "default", Subject::Customer, "u-1001"));
/// ```
pub fn pseudonym(key: &PseudonymKey, tenant: &str, subject: Subject, raw: &str) -> String {
    // Fixed width, fixed width, length-prefixed, rest: no two inputs share an encoding.
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    hasher.update(DOMAIN);
    hasher.update(&[subject.letter() as u8]);
    hasher.update(&(tenant.len() as u64).to_le_bytes());
    hasher.update(tenant.as_bytes());
    hasher.update(raw.as_bytes());
    let digest = hasher.finalize();

    let mut name = String::with_capacity(2 + LENGTH);
    name.push(subject.letter());
    name.push('_');
    let (mut bits, mut held) = (0_u32, 0);
    let mut bytes = digest.as_bytes().iter();
    for _ in 0..LENGTH {
        if held < 5 {
            bits = (bits << 8) | u32::from(bytes.next().copied().unwrap_or_default());
            held += 8;
        }
        held -= 5;
        name.push(char::from(ALPHABET[(bits >> held) as usize & 31]));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> PseudonymKey {
        PseudonymKey::new([byte; 32])
    }

    #[test]
    fn a_pseudonym_is_stable_across_releases() {
        // A change of these values would cut every repeat contact in stored data.
        let names = [
            pseudonym(&key(1), "default", Subject::Customer, "u-1001"),
            pseudonym(&key(1), "default", Subject::Author, "u-1001"),
            pseudonym(&key(1), "default", Subject::Conversation, "会话-1"),
            pseudonym(&key(1), "default", Subject::Event, "m-1"),
        ];
        assert_eq!(
            names,
            [
                "c_3wevrlvcrwyic3ezochhctldrq",
                "a_5kczi6ba6v3qzpqvx5cq2dwc4w",
                "v_osys7od2nfs4slzkduao6lad57",
                "e_45ef4ab5mzf3vqw4jvj656grqu",
            ]
        );
    }

    #[test]
    fn key_tenant_subject_and_raw_id_each_change_the_pseudonym() {
        let base = pseudonym(&key(1), "t", Subject::Customer, "r");
        for other in [
            pseudonym(&key(2), "t", Subject::Customer, "r"),
            pseudonym(&key(1), "u", Subject::Customer, "r"),
            pseudonym(&key(1), "t", Subject::Author, "r"),
            pseudonym(&key(1), "t", Subject::Customer, "s"),
        ] {
            assert_ne!(base[2..], other[2..]);
        }
    }

    #[test]
    fn moving_a_character_from_tenant_to_id_changes_the_pseudonym() {
        let one = pseudonym(&key(1), "ab", Subject::Customer, "c");
        let two = pseudonym(&key(1), "a", Subject::Customer, "bc");
        assert_ne!(one, two);
    }

    #[test]
    fn the_form_is_a_letter_an_underscore_and_26_base32_characters() {
        for (subject, letter) in
            [(Subject::Customer, "c_"), (Subject::Author, "a_"), (Subject::Conversation, "v_")]
        {
            let name = pseudonym(&key(9), "", subject, "");
            assert_eq!(&name[..2], letter);
            assert_eq!(name.len(), 28);
            assert!(name.bytes().skip(2).all(|byte| ALPHABET.contains(&byte)));
        }
    }

    #[test]
    fn a_key_never_shows_its_bytes() {
        assert_eq!(format!("{:?}", key(200)), "PseudonymKey(..)");
    }
}
