//! Words by class, found in a text from left to right: the longest at each place, none twice.

use std::collections::BTreeMap;

use daachorse::MatchKind;
use daachorse::charwise::{CharwiseDoubleArrayAhoCorasick, CharwiseDoubleArrayAhoCorasickBuilder};

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
pub(crate) struct Lexicon {
    automaton: CharwiseDoubleArrayAhoCorasick<u32>,
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
        let automaton = CharwiseDoubleArrayAhoCorasickBuilder::new()
            .match_kind(MatchKind::LeftmostLongest)
            .build_with_values(words)
            .map_err(|error| LibraryError::Automaton(format!("{file}: {error}")))?;
        Ok((Lexicon { automaton }, names))
    }

    /// The words in `text`.
    pub(crate) fn find<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Found> + 'a {
        let mut at = 0;
        std::iter::from_fn(move || {
            loop {
                let found = self.automaton.leftmost_find_iter(&text[at..]).next()?;
                let start = at + found.start();
                if let Some(found) = self.alone(text, start, at + found.end(), found.value()) {
                    at = found.end;
                    return Some(found);
                }
                at = start + text[start..].chars().next().map_or(1, char::len_utf8);
            }
        })
    }

    /// The word at `start`, or the longest within it that stands alone: what, where `what a` only
    /// seems to stand in "what appeals".
    fn alone(&self, text: &str, start: usize, mut end: usize, mut value: u32) -> Option<Found> {
        let bytes = text.as_bytes();
        let letter = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
        if start > 0 && letter(start) && letter(start - 1) {
            return None;
        }
        while letter(end - 1) && letter(end) {
            let shorter = self.automaton.leftmost_find_iter(&text[start..end - 1]).next();
            let shorter = shorter.filter(|shorter| shorter.start() == 0)?;
            (end, value) = (start + shorter.end(), shorter.value());
        }
        Some(Found { start, end, class: (value >> 8) as usize, weight: value & 0xff })
    }
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
