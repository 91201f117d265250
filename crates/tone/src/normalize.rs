//! One spelling for what people write in many, with the way back to the original.
//!
//! Compatibility forms and full width become plain, upper case lower, traditional
//! characters simplified, Latin letters lose their accents; zero-width characters,
//! skin tones and controls vanish; more than two of the same character in a row
//! become two. Every character of the result knows the Unicode scalars it came from.

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

use crate::library::{LibraryError, Problem};

const FIRST_HAN: u32 = 0x4e00;
const LAST_HAN: u32 = 0x9fff;

/// A character kept more often than this in a row says nothing more.
const REPEATS: u32 = 2;

/// A character that stays as it is.
const STAYS: u16 = 0;

/// One that stays and that only simplified text uses.
const SIMPLIFIED: u16 = 1;

/// The table of characters, compiled from `library/traditional.txt`.
pub(crate) struct Normalizer {
    /// By `char - FIRST_HAN`: [`STAYS`], [`SIMPLIFIED`] or the simplified form.
    forms: Box<[u16]>,
}

/// A character of a text that was made of another one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter {
    pub(crate) c: char,
    /// Its first byte.
    pub(crate) at: u32,
    /// Where in the other text it came from.
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// Where in the other text bytes `start..end` came from.
pub(crate) fn origin(letters: &[Letter], start: usize, end: usize) -> (usize, usize) {
    let holds = |byte: usize| letters.partition_point(|one| one.at as usize <= byte) - 1;
    (letters[holds(start)].start as usize, letters[holds(end - 1)].end as usize)
}

/// A message in its one spelling.
#[derive(Debug, Default)]
pub(crate) struct Normalized {
    pub(crate) text: String,
    /// The characters of `text`, which came from scalars of the original.
    pub(crate) letters: Vec<Letter>,
    /// Characters that were traditional.
    pub(crate) traditional: u32,
    /// Characters that only simplified text uses.
    pub(crate) simplified: u32,
}

impl Normalized {
    /// Scalars of the original that bytes `start..end` of `text` came from.
    pub(crate) fn span(&self, start: usize, end: usize) -> (usize, usize) {
        if start >= end {
            return (0, 0);
        }
        origin(&self.letters, start, end)
    }
}

struct Writer<'o> {
    out: &'o mut Normalized,
    /// Leaves out the space around the text.
    trims: bool,
    last: char,
    run: u32,
}

impl Writer<'_> {
    #[inline]
    fn push(&mut self, c: char, scalar: u32) {
        if self.trims && self.out.text.is_empty() && matches!(c, ' ' | '\n') {
            return;
        }
        if c == self.last {
            self.run += 1;
            let cap = match c {
                ' ' | '\n' => 1,
                '0'..='9' => u32::MAX,
                _ => REPEATS,
            };
            if self.run > cap
                && let Some(last) = self.out.letters.last_mut()
            {
                last.end = scalar + 1;
                return;
            }
        } else {
            self.last = c;
            self.run = 1;
        }
        let at = self.out.text.len() as u32;
        self.out.text.push(c);
        self.out.letters.push(Letter { c, at, start: scalar, end: scalar + 1 });
    }
}

fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1f3fb}'..='\u{1f3ff}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

impl Normalizer {
    pub(crate) fn new(file: &'static str, table: &str) -> Result<Normalizer, LibraryError> {
        let size = (LAST_HAN - FIRST_HAN + 1) as usize;
        let mut forms = vec![STAYS; size].into_boxed_slice();
        let mut simplified = Vec::new();
        let mut both = "";
        for (number, line) in table.lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            if let Some(listed) = line.strip_prefix("both ") {
                both = listed;
                continue;
            }
            for pair in line.split_whitespace() {
                let mut chars = pair.chars();
                let (Some(from), Some(to), None) = (chars.next(), chars.next(), chars.next())
                else {
                    return Err(LibraryError::at(file, number + 1, Problem::Pair(pair.into())));
                };
                let (Some(from), Some(to_index)) = (han_index(from), han_index(to)) else {
                    return Err(LibraryError::at(file, number + 1, Problem::Pair(pair.into())));
                };
                if from != to_index {
                    forms[from] = to as u16;
                    simplified.push(to_index);
                }
            }
        }
        simplified.retain(|index| forms[*index] == STAYS);
        for index in simplified {
            forms[index] = SIMPLIFIED;
        }
        for index in both.chars().filter_map(han_index) {
            if forms[index] == SIMPLIFIED {
                forms[index] = STAYS;
            }
        }
        Ok(Normalizer { forms })
    }

    /// A message; the space around it, which says nothing, is left out.
    pub(crate) fn normalize(&self, text: &str) -> Normalized {
        let mut out = Normalized::default();
        self.normalize_into(text, &mut out);
        out
    }

    /// The same in place of the message before.
    pub(crate) fn normalize_into(&self, text: &str, out: &mut Normalized) {
        self.write(text, true, out);
        let end = out.text.trim_end_matches([' ', '\n']).len();
        out.text.truncate(end);
        let count = out.letters.iter().rev().take_while(|one| one.at as usize >= end).count();
        out.letters.truncate(out.letters.len() - count);
    }

    /// A piece of a phrase, to which the space around it belongs.
    pub(crate) fn piece_into(&self, text: &str, out: &mut Normalized) {
        self.write(text, false, out);
    }

    fn write(&self, text: &str, trims: bool, out: &mut Normalized) {
        out.text.clear();
        out.letters.clear();
        (out.traditional, out.simplified) = (0, 0);
        out.text.reserve(text.len());
        let mut writer = Writer { out, trims, last: '\0', run: 0 };
        for (scalar, c) in (0..).zip(text.chars()) {
            match han_index(c).map(|index| self.forms[index]) {
                // Most of a Chinese text.
                Some(form) if form <= SIMPLIFIED => {
                    writer.out.simplified += u32::from(form);
                    writer.push(c, scalar);
                }
                _ => self.put(c, scalar, &mut writer),
            }
        }
    }

    fn put(&self, c: char, scalar: u32, writer: &mut Writer<'_>) {
        match c {
            'A'..='Z' => writer.push(c.to_ascii_lowercase(), scalar),
            '\n' | '\r' | '\u{2028}' | '\u{2029}' => writer.push('\n', scalar),
            '\t' => writer.push(' ', scalar),
            ' '..='~' => writer.push(c, scalar),
            '\u{4e00}'..='\u{9fff}' => {
                let form = self.forms[(c as u32 - FIRST_HAN) as usize];
                if form <= SIMPLIFIED {
                    writer.out.simplified += u32::from(form);
                    writer.push(c, scalar);
                } else {
                    writer.out.traditional += 1;
                    writer.push(char::from_u32(u32::from(form)).unwrap_or(c), scalar);
                }
            }
            '\u{3001}' | '\u{3002}' | '\u{300a}'..='\u{300f}' | '\u{201c}' | '\u{201d}' => {
                writer.push(c, scalar);
            }
            '\u{2018}' | '\u{2019}' => writer.push('\'', scalar),
            _ if is_invisible(c) || c.is_control() => {}
            _ if c.is_whitespace() => writer.push(' ', scalar),
            _ => decompose_compatible(c, |part| {
                if is_combining_mark(part) || is_invisible(part) {
                    return;
                }
                if han_index(part).is_some() && part != c {
                    self.put(part, scalar, writer);
                } else {
                    for lower in part.to_lowercase() {
                        if !is_combining_mark(lower) {
                            writer.push(lower, scalar);
                        }
                    }
                }
            }),
        }
    }
}

fn han_index(c: char) -> Option<usize> {
    let code = c as u32;
    (FIRST_HAN..=LAST_HAN).contains(&code).then(|| (code - FIRST_HAN) as usize)
}

/// Whether `c` is a Chinese character.
pub(crate) fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{323af}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalizer() -> Normalizer {
        Normalizer::new("traditional", "退退 說说 謝谢 後后 訴诉").unwrap()
    }

    fn plain(text: &str) -> String {
        normalizer().normalize(text).text
    }

    #[test]
    fn full_width_and_case_become_plain() {
        assert_eq!(plain("ＡＢＣ，Ｄｅｆ！　１２"), "abc,def! 12");
    }

    #[test]
    fn traditional_becomes_simplified_and_is_counted() {
        let read = normalizer().normalize("謝謝妳說");
        assert_eq!(read.text, "谢谢妳说");
        assert_eq!(read.traditional, 3);
    }

    #[test]
    fn a_run_is_cut_to_two_and_keeps_its_whole_span() {
        let read = normalizer().normalize("好!!!!!吗");
        assert_eq!(read.text, "好!!吗");
        assert_eq!(read.span(3, 5), (1, 6));
        assert_eq!(read.span(5, 8), (6, 7));
    }

    #[test]
    fn space_around_a_text_is_left_out() {
        let read = normalizer().normalize(" \n 好 吗 \t");
        assert_eq!(read.text, "好 吗");
        assert_eq!(read.span(0, 3), (3, 4));
    }

    #[test]
    fn digits_are_never_cut() {
        assert_eq!(plain("10000元"), "10000元");
    }

    #[test]
    fn accents_and_skin_tones_vanish() {
        assert_eq!(plain("投sù 👍🏽"), "投su 👍");
    }

    #[test]
    fn zero_width_characters_change_only_offsets() {
        let read = normalizer().normalize("投\u{200b}诉");
        assert_eq!(read.text, "投诉");
        assert_eq!(read.span(0, 6), (0, 3));
    }

    #[test]
    fn one_character_that_becomes_three_points_back_to_itself() {
        let read = normalizer().normalize("a℡b");
        assert_eq!(read.text, "atelb");
        assert_eq!(read.span(2, 3), (1, 2));
    }

    #[test]
    fn a_broken_pair_is_named_with_its_line() {
        let error = Normalizer::new("traditional", "謝谢\n說说话").err().unwrap();
        assert_eq!(
            error.to_string(),
            "traditional, line 2: '說说话' is not a pair of Chinese characters"
        );
    }
}
