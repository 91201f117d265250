//! What the trained heads see of a text: hashed n-grams, and cues of the rules.

use crate::assessment::Lang;
use crate::normalize::is_han;

/// Buckets of a head: enough that two n-grams of the training sets rarely meet.
pub(crate) const BITS: u32 = 18;

/// Longest n-gram of Chinese characters.
const HAN_GRAM: usize = 3;

/// N-grams of letters within an English word, its edges counted.
const LETTERS: std::ops::RangeInclusive<usize> = 3..=5;

/// Letters of a word beyond this are not read: no word is so long.
const WORD: usize = 40;

/// How a text is cut into n-grams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Characters, one to three in a row.
    Chinese,
    /// Words, one or two in a row, and letters within words, three to five in a row.
    English,
}

impl Cut {
    /// The cut of a language; without one, the rules alone speak.
    pub(crate) fn of(lang: Lang) -> Option<Cut> {
        match lang {
            Lang::Zh | Lang::ZhHant | Lang::Mixed => Some(Cut::Chinese),
            Lang::En => Some(Cut::English),
            Lang::Unknown => None,
        }
    }
}

/// A normalised text, cut into its n-grams once for all heads.
pub(crate) struct Grams<'t> {
    pub(crate) text: &'t str,
    pub(crate) cut: Cut,
    /// Repeats included, in the order of the text.
    pub(crate) all: &'t [Gram],
}

/// An n-gram: its bucket and its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gram {
    pub(crate) bucket: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl<'t> Grams<'t> {
    /// Kept in `room`, in place of those of the text before.
    pub(crate) fn new(cut: Cut, text: &'t str, room: &'t mut Vec<Gram>) -> Grams<'t> {
        room.clear();
        // A Chinese character of 3 bytes ends 3 n-grams, a letter up to 3.
        room.reserve(text.len() + 4);
        grams(cut, text, |bucket, start, end| {
            room.push(Gram { bucket, start: start as u32, end: end as u32 });
        });
        Grams { text, cut, all: room }
    }
}

/// The buckets of the n-grams of a text, repeats included, in the order of the text.
pub(crate) fn buckets(cut: Cut, text: &str) -> Vec<u32> {
    let mut buckets = Vec::with_capacity(text.len() + 4);
    grams(cut, text, |bucket, _, _| buckets.push(bucket));
    buckets
}

/// One step of the hash (FNV's idea on 64 bits, with a multiplier that spreads to the top).
fn mix(hash: u64, item: u64) -> u64 {
    (hash.rotate_left(23) ^ item).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn bucket(hash: u64) -> u32 {
    (hash >> (64 - BITS)) as u32
}

/// Calls `each` with the bucket and the bytes of every n-gram of a normalised text.
/// N-grams may reach over the edges of the text; their bytes do not.
fn grams(cut: Cut, text: &str, mut each: impl FnMut(u32, usize, usize)) {
    match cut {
        Cut::Chinese => han_grams(text, &mut each),
        Cut::English => word_grams(text, &mut each),
    }
}

/// Numbers differ in every message: one digit stands for all.
fn plain(c: char) -> u64 {
    if c.is_ascii_digit() { u64::from(b'0') } else { u64::from(c) }
}

fn han_grams(text: &str, each: &mut impl FnMut(u32, usize, usize)) {
    const EDGE: u64 = 1;
    // The last characters with the byte each starts at, the newest at the end.
    let mut last = [(EDGE, 0); HAN_GRAM];
    let mut put = |item: u64, start: usize, end: usize, alone: bool| {
        last.rotate_left(1);
        last[HAN_GRAM - 1] = (item, start);
        let mut hash = 7;
        for (length, (item, start)) in last.iter().rev().enumerate() {
            hash = mix(hash, *item);
            if length > 0 || alone {
                each(bucket(mix(hash, length as u64)), *start, end);
            }
            if *item == EDGE && length > 0 {
                break;
            }
        }
    };
    let mut number = false;
    for (at, c) in text.char_indices() {
        let digit = c.is_ascii_digit();
        if c == ' ' || (digit && number) {
            continue;
        }
        number = digit;
        put(plain(c), at, at + c.len_utf8(), true);
    }
    put(EDGE, text.len(), text.len(), false);
}

fn word_grams(text: &str, each: &mut impl FnMut(u32, usize, usize)) {
    let mut before = (mix(3, 1), 0);
    let mut rest = text.char_indices().peekable();
    while let Some((start, c)) = rest.next() {
        if c == ' ' {
            continue;
        }
        let mut end = start + c.len_utf8();
        let mut hash = mix(11, plain(c));
        if c.is_ascii_alphanumeric() {
            let mut number = c.is_ascii_digit();
            while let Some((at, next)) =
                rest.next_if(|(_, next)| next.is_ascii_alphanumeric() || *next == '\'')
            {
                end = at + 1;
                if !(number && next.is_ascii_digit()) {
                    hash = mix(hash, plain(next));
                }
                number = next.is_ascii_digit();
            }
            let word = &text.as_bytes()[start..end];
            if word.len() > 2 && word.len() <= WORD && word.iter().all(u8::is_ascii_alphabetic) {
                letter_grams(word, start, each);
            }
        } else if is_han(c) {
            // Chinese in an English message is left to the rules.
            continue;
        }
        each(bucket(hash), start, end);
        each(bucket(mix(before.0, hash)), before.1, end);
        before = (hash, start);
    }
    each(bucket(mix(before.0, 5)), before.1, text.len());
}

/// N-grams of `<word>`, the edges read as one letter each.
fn letter_grams(word: &[u8], start: usize, each: &mut impl FnMut(u32, usize, usize)) {
    let letter = |at: usize| match at {
        0 => u64::from(b'<'),
        _ => word.get(at - 1).map_or(u64::from(b'>'), |letter| u64::from(*letter)),
    };
    for from in 0..word.len() {
        let mut hash = 17;
        for (length, at) in (from..word.len() + 2).enumerate().take(*LETTERS.end()) {
            hash = mix(hash, letter(at));
            if length + 1 >= *LETTERS.start() {
                let (first, last) = (from.max(1) - 1, at.min(word.len()));
                each(bucket(hash), start + first, start + last);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn cut(how: Cut, text: &str) -> Vec<(u32, &str)> {
        let mut all = Vec::new();
        grams(how, text, |bucket, start, end| all.push((bucket, &text[start..end])));
        all
    }

    fn buckets(how: Cut, text: &str) -> BTreeSet<u32> {
        cut(how, text).into_iter().map(|(bucket, _)| bucket).collect()
    }

    #[test]
    fn chinese_is_cut_into_runs_of_up_to_three_characters() {
        let spans: BTreeSet<&str> =
            cut(Cut::Chinese, "发货慢").into_iter().map(|(_, span)| span).collect();
        assert_eq!(spans, BTreeSet::from(["发", "货", "慢", "发货", "货慢", "发货慢"]));
    }

    #[test]
    fn english_is_cut_into_words_their_pairs_and_their_letters() {
        let spans: BTreeSet<&str> =
            cut(Cut::English, "too slow").into_iter().map(|(_, span)| span).collect();
        for span in ["too", "slow", "too slow", "slo", "low"] {
            assert!(spans.contains(span), "{span}");
        }
    }

    #[test]
    fn numbers_are_all_the_same_number() {
        assert_eq!(buckets(Cut::Chinese, "等了3天"), buckets(Cut::Chinese, "等了15天"));
        assert_eq!(buckets(Cut::English, "waited 3 days"), buckets(Cut::English, "waited 15 days"));
    }

    #[test]
    fn order_matters_beyond_one_character() {
        assert_ne!(buckets(Cut::Chinese, "不好"), buckets(Cut::Chinese, "好不"));
    }

    #[test]
    fn any_text_is_cut_within_itself() {
        for text in ["", " ", "?", "é's", "'", "a'", "👍🏽", "x\u{0}y", "好a好 b"] {
            for how in [Cut::Chinese, Cut::English] {
                cut(how, text);
            }
        }
    }
}
