//! A person's pseudonyms, and where they stand in records.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use zhili_eventlog::Record;

/// Letters in front of the pseudonyms that a person can be erased by.
const KINDS: [&str; 2] = ["c_", "v_"];

/// Characters of a pseudonym after its letter and underscore: 130 bits as base32.
const LENGTH: usize = 26;

/// Whether a text has the form of the pseudonym of a customer (`c_`) or a conversation (`v_`).
///
/// A search for anything shorter or likelier could match records of other people.
#[must_use]
pub fn is_pseudonym(text: &str) -> bool {
    KINDS.iter().any(|kind| {
        text.strip_prefix(kind).is_some_and(|rest| {
            rest.len() == LENGTH
                && rest.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
        })
    })
}

/// Pseudonyms to be looked for in bytes.
#[derive(Clone, Debug)]
pub struct Names {
    /// `None` without a name: nothing matches.
    any: Option<AhoCorasick>,
}

impl Names {
    /// Looks for these.
    #[must_use]
    pub fn new(names: &BTreeSet<String>) -> Self {
        let wanted: Vec<&str> =
            names.iter().map(String::as_str).filter(|it| !it.is_empty()).collect();
        // It fails only beyond four billion of them.
        Self { any: AhoCorasick::new(wanted).ok().filter(|any| any.patterns_len() > 0) }
    }

    /// Whether any of the names stands in these bytes.
    #[must_use]
    pub fn are_in(&self, bytes: &[u8]) -> bool {
        self.any.as_ref().is_some_and(|any| any.is_match(bytes))
    }

    /// Whether a record names the person: in its key, value or a header.
    #[must_use]
    pub fn are_in_record(&self, record: &Record) -> bool {
        let parts = [record.key.as_deref(), record.value.as_deref()];
        parts.into_iter().flatten().any(|bytes| self.are_in(bytes))
            || record.headers.0.iter().any(|(_, value)| self.are_in(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use zhili_eventlog::Headers;

    const NAME: &str = "c_3wevrlvcrwyic3ezochhctldrq";

    fn record(key: &str, value: &str, header: &str) -> Record {
        let mut headers = Headers::default();
        headers.push("h", Bytes::copy_from_slice(header.as_bytes()));
        let bytes = |text: &str| Some(Bytes::copy_from_slice(text.as_bytes()));
        Record { offset: 0, append_ms: 0, key: bytes(key), value: bytes(value), headers }
    }

    #[test]
    fn a_name_is_found_in_key_value_and_header() {
        let names = Names::new(&BTreeSet::from([NAME.to_owned()]));
        let within = format!("shop/{NAME}/1");
        assert!(names.are_in_record(&record(&within, "", "")));
        assert!(names.are_in_record(&record("", &within, "")));
        assert!(names.are_in_record(&record("", "", &within)));
        assert!(!names.are_in_record(&record("shop", "c_3wevr", "")));
    }

    #[test]
    fn without_a_name_no_record_matches() {
        let nobody = Names::new(&BTreeSet::from([String::new()]));
        assert!(!nobody.are_in_record(&record("a", "b", "c")));
    }

    #[test]
    fn what_could_match_other_people_is_no_pseudonym() {
        assert!(is_pseudonym(NAME) && is_pseudonym("v_osys7od2nfs4slzkduao6lad57"));
        for text in [
            "",
            "c_",
            "u-1001",
            "c_3wevr",
            "a_5kczi6ba6v3qzpqvx5cq2dwc4w",
            "c_3WEVRLVCRWYIC3EZOCHHCTLDRQ",
        ] {
            assert!(!is_pseudonym(text), "{text}");
        }
    }
}
