//! The reading view of a text: what a human eye takes the characters for.

use crate::Kind;
use crate::name;
use crate::spoken::numeral;

/// One visible scalar of the text after folding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit {
    /// The folded character: full width becomes ASCII, every dash `-`, every blank a space.
    pub(crate) ch: char,
    /// Byte range of the original character in the text.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Written over the units of a span that has been found.
///
/// Later decisions then see the character that a token ends with, exactly as a second
/// masking of the masked text would; this is what makes masking idempotent.
pub(crate) const TAKEN: char = ']';

/// The visible scalars of `text`, folded. Invisible ones belong to no unit; a span that
/// runs from one unit to a later one covers the invisible characters between them.
pub(crate) fn units(text: &str) -> Vec<Unit> {
    let mut units = Vec::with_capacity(text.len());
    let mut past_token = 0;
    for (start, ch) in text.char_indices() {
        if start < past_token {
            continue;
        }
        if ch == '['
            && let Some(length) = token_length(&text[start..])
        {
            past_token = start + length;
            units.push(Unit { ch: TAKEN, start, end: past_token });
            continue;
        }
        let end = start + ch.len_utf8();
        if let Some(folded) = fold(ch) {
            units.push(Unit { ch: folded, start, end });
        } else if matches!(ch, '\u{fe0f}' | '\u{20e3}')
            && let Some(last) = units.last_mut()
        {
            // The frame of a key belongs to its digit.
            last.end = end;
        }
    }
    units
}

/// How long the token is that `text` begins with, if it does.
fn token_length(text: &str) -> Option<usize> {
    Kind::ALL.iter().map(|kind| kind.token()).find(|token| text.starts_with(token)).map(str::len)
}

/// The character that `ch` stands for, or `None` when it is invisible.
#[allow(clippy::match_same_arms, reason = "the first arm is the last one, taken earlier")]
fn fold(ch: char) -> Option<char> {
    // Nearly everything, and in none of the ranges below.
    if matches!(ch, ' '..='~' | '\u{4e00}'..='\u{9fff}') {
        return Some(ch);
    }
    Some(match ch {
        // Soft hyphen, grapheme joiner, zero-width and bidi controls, variation selectors,
        // byte order mark, and the keycap that turns `1` into an emoji.
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{180b}'..='\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{20e3}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' => return None,
        '\t' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' | 'ー' => '-',
        '·' | '•' | '・' | '\u{2024}' => '.',
        '｡' => '。',
        '\u{2236}' | '\u{fe55}' | '\u{a789}' => ':',
        'ⅴ' | 'ᴠ' | 'Ⅴ' => 'v',
        '\u{fe6b}' => '@',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(ch as u32 - 0xfee0).unwrap_or(ch),
        // Digits in circles, brackets and with full stops.
        '⓪' | '⓿' | '🄋' | '🄌' => '0',
        '①'..='⑨' => circled(ch, '①'),
        '⑴'..='⑼' => circled(ch, '⑴'),
        '⒈'..='⒐' => circled(ch, '⒈'),
        '⓵'..='⓽' => circled(ch, '⓵'),
        '❶'..='❾' => circled(ch, '❶'),
        '➀'..='➈' => circled(ch, '➀'),
        '➊'..='➒' => circled(ch, '➊'),
        '㊀'..='㊈' => circled(ch, '㊀'),
        '➕' => '+',
        // Five mathematical alphabets of ten digits each.
        '\u{1d7ce}'..='\u{1d7ff}' => {
            char::from_digit((ch as u32 - 0x1_d7ce) % 10, 10).unwrap_or(ch)
        }
        _ => ch,
    })
}

/// The digit of `ch`, in a row of nine that begins with `one`.
fn circled(ch: char, one: char) -> char {
    char::from_digit(ch as u32 - one as u32 + 1, 10).unwrap_or(ch)
}

/// How many units come first for which `is_part` holds. Every search that may go on for as long as
/// the text does is one of these, so that what a text costs can be counted.
pub(crate) fn run_length<'a>(
    units: impl Iterator<Item = &'a Unit>,
    is_part: impl Fn(char) -> bool,
) -> usize {
    let length = units.take_while(|unit| is_part(unit.ch)).count();
    #[cfg(test)]
    tests::READ.with(|read| read.set(read.get() + length + 1));
    length
}

/// Whether `ch` belongs to an alphabet written with letters, so that it glues to digits.
///
/// Chinese characters do not: `电话13800138000` is a number after a word.
pub(crate) fn is_letter(ch: char) -> bool {
    ch.is_ascii_alphabetic() || matches!(ch, '\u{c0}'..='\u{52f}')
}

/// What a text is made of, to know which searches it is worth.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Survey {
    /// Digits of every script that is folded to one.
    pub(crate) digits: usize,
    /// Chinese numerals.
    pub(crate) numerals: usize,
    /// Letters that stand alone or in words.
    pub(crate) letters: usize,
    /// At signs.
    pub(crate) ats: usize,
    /// Characters that every Chinese cue of a name has one of.
    pub(crate) name_cues: usize,
}

impl Survey {
    /// Counts in one pass that folds nothing, since it stands in front of every message.
    pub(crate) fn of(text: &str) -> Self {
        let mut survey = Self::default();
        for ch in text.chars() {
            match ch {
                '0'..='9' => survey.digits += 1,
                'a'..='z' | 'A'..='Z' | '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}' => {
                    survey.letters += 1;
                }
                '@' | '\u{ff20}' | '\u{fe6b}' => survey.ats += 1,
                ..='\u{7f}' => {}
                _ if name::is_cue_part(ch) => survey.name_cues += 1,
                _ if numeral(ch).is_some() => survey.numerals += 1,
                '\u{2460}'..='\u{24ff}'
                | '\u{2776}'..='\u{2793}'
                | '\u{3280}'..='\u{3288}'
                | '\u{ff10}'..='\u{ff19}'
                | '\u{1d7ce}'..='\u{1d7ff}' => survey.digits += 1,
                _ => {}
            }
        }
        survey
    }

    /// Whether there is nothing in the text that any search begins with.
    pub(crate) fn is_plain(self) -> bool {
        self.digits + self.numerals + self.letters + self.ats + self.name_cues == 0
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use crate::mask;

    thread_local! {
        /// Units that searches have read in this thread.
        pub(crate) static READ: Cell<usize> = const { Cell::new(0) };
    }

    /// Most looks at a character for one byte of text.
    const MOST_STEPS: usize = 400;

    /// Sixteen times the text is read in sixteen times the steps; a quadratic reader would take
    /// 256 times as many.
    #[test]
    fn hostile_texts_are_read_in_steps_linear_in_their_length() {
        for unit in [
            "1",
            "1 ",
            "1-",
            "@",
            "a@",
            "a@b.",
            "a.",
            "1@",
            "138 ",
            "6222 ",
            "电话1",
            "订单号1 ",
            "(0",
            "+1",
            "://1/",
            "www.1",
            "1\u{200b}",
            "１ ",
            "1380013800",
            "13800138000 ",
            "x@ ",
            "@ . ",
            "a@b.c@",
            "1@1.",
            "a-@",
            "@a",
            "一",
            "一，",
            "one ",
            "a#b.com ",
            "a(at)b ",
            "o1",
            "路1号",
            "1号2栋",
            "市区路",
            "12 Oak ",
            "1 Oak Lane, ",
            "微信",
            "加v a1",
            "qq1",
            "@a.b",
            "护照A1 ",
            "京A1",
            "plate A1 ",
            "收件人",
            "收件人张",
            "我叫张，",
            "my name is A ",
            "mr ",
            "[PHONE]",
        ] {
            let steps = |length: usize| {
                let text = unit.repeat(length / unit.len() + 1);
                READ.set(0);
                std::hint::black_box(mask(&text));
                READ.get()
            };
            let (short, long) = (steps(1 << 10), steps(16 << 10));
            assert!(long <= 17 * short + 100, "{unit:?}: {short} for 1 KiB, {long} for 16 KiB");
            assert!(long <= MOST_STEPS * (16 << 10), "{unit:?}: {long} for 16 KiB");
        }
    }
}
