//! Words by class, found in a text from left to right: the longest at each place, none twice.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::library::{LibraryError, Problem};
use crate::normalize::Normalizer;

/// Classes of words, compiled from a file:
///
/// ```text
/// # a comment
/// [callback]
/// 回电{话|} / call you{ back|}
/// [callback 2]
/// 致电
/// ```
///
/// Words stand between ` / `, `{a|b|}` is each of its alternatives, and a class may have a weight,
/// 1 without it. A word of Latin letters is found only where it stands alone.
///
/// A message has few of the words: most places are dismissed by their first character, and nearly
/// all others by their first two.
pub(crate) struct Lexicon {
    first: Chars,
    /// Words of one character.
    single: Chars,
    /// Words by their first three characters, the longest first.
    words: Vec<(Box<str>, u32)>,
    /// Hash table with free places: the first characters (0 where a word has fewer than three), and
    /// where in `words` theirs begin and end.
    table: Vec<(u64, u32, u32)>,
}

/// A set of Chinese and ASCII characters.
#[derive(Clone)]
pub(crate) struct Chars([u64; CHARS]);

const FIRST_HAN: u32 = 0x4e00;
const CHARS: usize = 2 + ((0x9fff - FIRST_HAN + 1) / 64) as usize;

impl Chars {
    pub(crate) const NONE: Chars = Chars([0; CHARS]);

    /// The place of a character; one that cannot be in a set has a place beyond it.
    const fn place(c: u32) -> usize {
        match c {
            0..128 => c as usize,
            FIRST_HAN.. => (c - FIRST_HAN + 128) as usize,
            _ => usize::MAX,
        }
    }

    pub(crate) const fn with(mut self, chars: &[char]) -> Chars {
        let mut at = 0;
        while at < chars.len() {
            let place = Chars::place(chars[at] as u32);
            self.0[place / 64] |= 1 << (place % 64);
            at += 1;
        }
        self
    }

    /// Adds a character; what is neither Chinese nor ASCII begins no word.
    fn insert(&mut self, c: char) {
        let place = Chars::place(c as u32);
        if let Some(word) = self.0.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    pub(crate) fn contains(&self, c: char) -> bool {
        let place = Chars::place(c as u32);
        self.0.get(place / 64).is_some_and(|word| word & (1 << (place % 64)) != 0)
    }

    /// Where the first of them stands from byte `from` on.
    pub(crate) fn find(&self, text: &str, from: usize) -> Option<usize> {
        let mut chars = text[from..].char_indices();
        chars.find(|(_, c)| self.contains(*c)).map(|(at, _)| from + at)
    }
}

/// A word that was found, by bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Its class: the place of its name among the names.
    pub(crate) class: usize,
    pub(crate) weight: u32,
}

impl Lexicon {
    /// The lexicon, and the names of its classes in the order of their first lines.
    pub(crate) fn parse(
        file: &str,
        content: &'static str,
        normalizer: &Normalizer,
    ) -> Result<(Lexicon, Vec<&'static str>), LibraryError> {
        let mut names: Vec<&'static str> = Vec::new();
        let mut words = BTreeMap::new();
        let mut section = None;
        for (number, line) in content.lines().enumerate() {
            let bad = |problem| LibraryError::at(file, number + 1, problem);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(header) = line.strip_prefix('[') {
                let header = header.strip_suffix(']').ok_or_else(|| bad(Problem::Section))?;
                let (name, weight) = header.split_once(' ').unwrap_or((header, "1"));
                let weight: u8 = weight.parse().map_err(|_| bad(Problem::Key(weight.into())))?;
                let class = names.iter().position(|known| *known == name);
                let class = class.unwrap_or_else(|| {
                    names.push(name);
                    names.len() - 1
                });
                section = Some(((class as u32) << 8) | u32::from(weight));
                continue;
            }
            let section = section.ok_or_else(|| bad(Problem::NoSection))?;
            for phrase in line.split(" / ") {
                let mut spelt = Vec::new();
                expand(phrase.trim(), String::new(), &mut spelt)
                    .ok_or_else(|| bad(Problem::Braces(phrase.into())))?;
                for word in spelt {
                    let word = normalizer.normalize(&word).text;
                    if word.is_empty() {
                        return Err(bad(Problem::Empty(phrase.into())));
                    }
                    // The first class that has a word keeps it.
                    words.entry(word).or_insert(section);
                }
            }
        }
        Ok((Lexicon::of(words), names))
    }

    fn of(words: BTreeMap<String, u32>) -> Lexicon {
        let mut words: Vec<(Box<str>, u32)> =
            words.into_iter().map(|(word, value)| (word.into(), value)).collect();
        words.sort_by_key(|(word, _)| (key(word), Reverse(word.len())));
        let mut lexicon =
            Lexicon { first: Chars::NONE, single: Chars::NONE, words, table: Vec::new() };
        let size = (lexicon.words.len() * 4).next_power_of_two();
        lexicon.table = vec![(0, 0, 0); size];
        let mut runs = Vec::new();
        let mut start = 0;
        for run in lexicon.words.chunk_by(|(one, _), (next, _)| key(one) == key(next)) {
            let end = start + run.len();
            runs.push((key(&run[0].0), start as u32, end as u32));
            start = end;
        }
        for (key, start, end) in runs {
            lexicon.put(key, start, end);
            // What only longer words begin with is known too.
            if lexicon.known(key & PAIR).is_none() {
                lexicon.put(key & PAIR, 0, 0);
            }
        }
        for (word, _) in &lexicon.words {
            let mut chars = word.chars();
            if let Some(first) = chars.next() {
                lexicon.first.insert(first);
                if chars.next().is_none() {
                    lexicon.single.insert(first);
                }
            }
        }
        lexicon
    }

    fn put(&mut self, key: u64, start: u32, end: u32) {
        let mask = self.table.len() - 1;
        let mut place = hash(key) & mask;
        while !matches!(self.table[place].0, 0) && self.table[place].0 != key {
            place = (place + 1) & mask;
        }
        self.table[place] = (key, start, end);
    }

    /// The words with these first characters; `None` if no longer one begins with them either.
    fn known(&self, key: u64) -> Option<&[(Box<str>, u32)]> {
        let mask = self.table.len() - 1;
        let mut place = hash(key) & mask;
        loop {
            match self.table[place] {
                (0, ..) => return None,
                (known, start, end) if known == key => {
                    return Some(&self.words[start as usize..end as usize]);
                }
                _ => place = (place + 1) & mask,
            }
        }
    }

    /// The words in `text`.
    pub(crate) fn find<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Found> + 'a {
        let bytes = text.as_bytes();
        let letter = move |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
        let mut at = 0;
        std::iter::from_fn(move || {
            loop {
                let start = self.first.find(text, at)?;
                if letter(start) && start > 0 && letter(start - 1) {
                    at = start + 1;
                    continue;
                }
                let mut rest = text[start..].chars();
                let first = rest.next()?;
                at = start + first.len_utf8();
                let fits = |(word, _): &&(Box<str>, u32)| {
                    let end = start + word.len();
                    text[start..].starts_with(&**word) && !(letter(end - 1) && letter(end))
                };
                let pair = u64::from(first as u32) << 42
                    | rest.next().map_or(0, |second| u64::from(second as u32) << 21);
                let found = self.known(pair).and_then(|two| {
                    let third = rest.next().map_or(0, |third| u64::from(third as u32));
                    let longer = self.known(pair | third).filter(|_| third > 0);
                    longer
                        .and_then(|longer| longer.iter().find(fits))
                        .or_else(|| two.iter().find(fits))
                });
                let single = || {
                    let known = self.single.contains(first).then(|| self.known(pair & FIRST));
                    known.flatten()?.iter().find(fits)
                };
                let found = found.or_else(single);
                if let Some((word, value)) = found {
                    at = start + word.len();
                    let class = (value >> 8) as usize;
                    return Some(Found { start, end: at, class, weight: value & 0xff });
                }
            }
        })
    }
}

/// The first character of a key, and the first two.
const FIRST: u64 = !0 << 42;
const PAIR: u64 = !0 << 21;

/// The first three characters of a word.
fn key(word: &str) -> u64 {
    let mut chars = word.chars().map(|c| u64::from(c as u32));
    let mut next = || chars.next().unwrap_or(0);
    next() << 42 | next() << 21 | next()
}

fn hash(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize
}

/// Each spelling of a phrase with alternatives.
fn expand(phrase: &str, head: String, spelt: &mut Vec<String>) -> Option<()> {
    let Some((before, rest)) = phrase.split_once('{') else {
        if phrase.contains('}') {
            return None;
        }
        spelt.push(head + phrase);
        return Some(());
    };
    let (choices, after) = rest.split_once('}')?;
    if before.contains('}') || choices.contains('{') {
        return None;
    }
    choices
        .split('|')
        .try_for_each(|choice| expand(after, format!("{head}{before}{choice}"), spelt))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lexicon(content: &'static str) -> Result<(Lexicon, Vec<&'static str>), LibraryError> {
        Lexicon::parse("mine.txt", content, &Normalizer::new("table", "會会").unwrap())
    }

    fn found(content: &'static str, text: &str) -> Vec<(&'static str, String, u32)> {
        let (lexicon, names) = lexicon(content).unwrap();
        let word = |found: Found| {
            (names[found.class], text[found.start..found.end].to_owned(), found.weight)
        };
        lexicon.find(text).map(word).collect()
    }

    #[test]
    fn the_longest_word_is_read_and_none_twice() {
        let content = "[a]\n會 / 能\n[b 3]\n会员{卡|}";
        assert_eq!(
            found(content, "会员卡会"),
            [("b", "会员卡".to_owned(), 3), ("a", "会".to_owned(), 1)]
        );
    }

    #[test]
    fn latin_words_stand_alone() {
        let content = "[a]\ncall / 'll";
        assert_eq!(found(content, "recall calls"), []);
        assert_eq!(found(content, "i'll call,").len(), 2);
        assert_eq!(found(content, "我call你").len(), 1);
        assert_eq!(found("[a]\nwhat / what a", "what appeals").len(), 1);
        assert_eq!(found("[a]\nab / bc", "abcd ab").len(), 1);
    }

    #[test]
    fn a_bad_line_is_named() {
        let problem = |content| lexicon(content).err().unwrap().to_string();
        assert!(problem("会").starts_with("mine.txt, line 1: "));
        assert!(problem("[a\n会").starts_with("mine.txt, line 1: "));
        assert!(problem("[a]\n{会").starts_with("mine.txt, line 2: "));
        assert!(problem("[a]\n会}").starts_with("mine.txt, line 2: "));
        assert!(problem("[a]\n会 / \u{200b}").starts_with("mine.txt, line 2: "));
        assert!(problem("[a x]\n会").starts_with("mine.txt, line 1: "));
    }
}
