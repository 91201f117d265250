//! Reading words in the units of a text, case aside. Every look is bounded by the word looked for.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::fold::Unit;

/// What stands beyond either end of a text, and is no character of any.
const NOTHING: char = '\0';

/// A long list of words by the character that tells most of them apart, so that a look at one
/// place of a text does not walk through all of them.
pub(crate) struct Words(ByChar<Vec<&'static str>>);

/// A table of ours by character. Its keys are words of ours, so no text can crowd it, and a character
/// is mixed in a few instructions where a keyed hash takes tens of nanoseconds.
pub(crate) type ByChar<T> = HashMap<char, T, BuildHasherDefault<CharHasher>>;

/// Hashes one character, or some in one number, by a multiplication with the golden ratio.
#[derive(Default)]
pub(crate) struct CharHasher(u64);

impl Hasher for CharHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }

    fn write_u32(&mut self, scalar: u32) {
        self.write_u64(u64::from(scalar));
    }

    fn write_u64(&mut self, scalars: u64) {
        let mixed = (self.0 ^ scalars).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Words {
    pub(crate) fn by_first(words: &[&'static str]) -> Self {
        Self::by(words, |word| word.chars().next())
    }

    pub(crate) fn by_last(words: &[&'static str]) -> Self {
        Self::by(words, |word| word.chars().next_back())
    }

    pub(crate) fn by_last_but_one(words: &[&'static str]) -> Self {
        Self::by(words, |word| word.chars().rev().nth(1))
    }

    fn by(words: &[&'static str], key: impl Fn(&str) -> Option<char>) -> Self {
        let mut by_key: ByChar<Vec<&'static str>> = HashMap::default();
        for word in words {
            if let Some(ch) = key(word) {
                by_key.entry(ch).or_default().push(word);
            }
        }
        Self(by_key)
    }

    /// Those with `ch` as that character.
    pub(crate) fn of(&self, ch: char) -> &[&'static str] {
        self.0.get(&ch).map_or(&[], Vec::as_slice)
    }
}

/// The units of a text as the characters that a reader sees.
#[derive(Clone, Copy)]
pub(crate) struct View<'u>(pub(crate) &'u [Unit]);

impl View<'_> {
    pub(crate) fn len(self) -> usize {
        self.0.len()
    }

    /// The character at `at` as it was written, or [`NOTHING`].
    pub(crate) fn exact(self, at: usize) -> char {
        #[cfg(test)]
        crate::fold::tests::READ.with(|read| read.set(read.get() + 1));
        self.0.get(at).map_or(NOTHING, |unit| unit.ch)
    }

    /// The character at `at` in lower case, or [`NOTHING`].
    pub(crate) fn at(self, at: usize) -> char {
        self.exact(at).to_ascii_lowercase()
    }

    /// The character in front of `at` in lower case, or [`NOTHING`].
    pub(crate) fn before(self, at: usize) -> char {
        at.checked_sub(1).map_or(NOTHING, |at| self.at(at))
    }

    /// Whether `word`, in lower case, stands at `at`.
    pub(crate) fn starts(self, at: usize, word: &str) -> bool {
        word.chars().enumerate().all(|(i, ch)| self.at(at + i) == ch)
    }

    /// Whether `word`, in lower case, ends in front of `end`.
    pub(crate) fn ends(self, end: usize, word: &str) -> bool {
        // From its end, at which most words differ already.
        let mut at = end;
        word.chars().rev().all(|ch| {
            let last = at.checked_sub(1);
            at = last.unwrap_or(0);
            last.is_some_and(|last| self.at(last) == ch)
        })
    }

    /// The longest of `words` at `at`, as the unit behind it. Words of letters end at letters only.
    pub(crate) fn after_any(self, at: usize, words: &[&str]) -> Option<usize> {
        // Most words are told apart by their first character.
        let mut bytes = [0; 4];
        let first = self.at(at).encode_utf8(&mut bytes).as_bytes();
        let mut longest = None;
        for word in words.iter().filter(|word| begins(word.as_bytes(), first)) {
            if !self.starts(at, word) {
                continue;
            }
            let end = at + word.chars().count();
            let cut = word.ends_with(|ch: char| ch.is_ascii_alphabetic())
                && self.at(end).is_ascii_alphabetic();
            if !cut {
                longest = longest.max(Some(end));
            }
        }
        longest
    }

    /// The longest of `words` that ends in front of `end`, as its first unit. Words of letters
    /// begin behind letters only.
    pub(crate) fn before_any(self, end: usize, words: &[&str]) -> Option<usize> {
        let mut bytes = [0; 4];
        let last = self.before(end).encode_utf8(&mut bytes).as_bytes();
        let mut longest: Option<usize> = None;
        for word in words.iter().filter(|word| finishes(word.as_bytes(), last)) {
            if !self.ends(end, word) {
                continue;
            }
            let start = end - word.chars().count();
            let cut = word.starts_with(|ch: char| ch.is_ascii_alphabetic())
                && self.before(start).is_ascii_alphabetic();
            if !cut {
                longest = Some(longest.map_or(start, |longest| longest.min(start)));
            }
        }
        longest
    }

    /// The unit behind at most `most` units from `at` for which `is_part` holds.
    pub(crate) fn skip(self, at: usize, most: usize, is_part: impl Fn(char) -> bool) -> usize {
        let end = (at + most).min(self.len()).max(at);
        (at..end).find(|&i| !is_part(self.at(i))).unwrap_or(end)
    }

    /// The first of at most `most` units that end in front of `end` for which `is_part` holds.
    pub(crate) fn skip_back(
        self,
        end: usize,
        most: usize,
        is_part: impl Fn(char) -> bool,
    ) -> usize {
        let start = end.saturating_sub(most);
        (start..end).rev().find(|&i| !is_part(self.at(i))).map_or(start, |i| i + 1)
    }
}

/// Whether `ch` is a Chinese character.
pub(crate) fn is_han(ch: char) -> bool {
    matches!(ch, '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}' | '〇')
}

/// Whether a word begins with the bytes of a character. Looks at its last byte first: the others are
/// alike in most of Chinese.
fn begins(word: &[u8], ch: &[u8]) -> bool {
    let last = ch.len() - 1;
    word.get(last) == Some(&ch[last]) && word.starts_with(ch)
}

/// Whether a word ends with the bytes of a character.
fn finishes(word: &[u8], ch: &[u8]) -> bool {
    word.last() == ch.last() && word.ends_with(ch)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fold;

    proptest! {
        #[test]
        fn a_word_ends_where_it_stands_right_in_front(
            text in "[a-c一二 ]{0,6}",
            word in "[a-c一二]{0,3}",
            end in 0..8_usize,
        ) {
            let units = fold::units(&text);
            let length = word.chars().count();
            let stands = end.checked_sub(length).is_some_and(|at| View(&units).starts(at, &word));
            prop_assert_eq!(View(&units).ends(end, &word), stands);
        }
    }

    #[test]
    fn every_word_is_found_by_the_character_that_it_is_kept_under() {
        let words = ["company ", "hotel ", "微信", "v信"];
        let of = |index: &Words, ch| index.of(ch).to_vec();
        let (first, last) = (Words::by_first(&words), Words::by_last(&words));
        assert_eq!(of(&first, 'v'), ["v信"]);
        assert_eq!(of(&last, '信'), ["微信", "v信"]);
        assert_eq!(of(&Words::by_last_but_one(&words), 'y'), ["company "]);
        assert!(of(&first, 'x').is_empty());
    }
}
