//! The reading view of a text: what a human eye takes the characters for.

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
    for (start, ch) in text.char_indices() {
        if let Some(folded) = fold(ch) {
            units.push(Unit { ch: folded, start, end: start + ch.len_utf8() });
        }
    }
    units
}

/// The character that `ch` stands for, or `None` when it is invisible.
fn fold(ch: char) -> Option<char> {
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
        '\t' | ' ' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            ' '
        }
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' | 'ー' => '-',
        '·' | '•' | '・' | '\u{2024}' => '.',
        '｡' => '。',
        '\u{fe6b}' => '@',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(ch as u32 - 0xfee0).unwrap_or(ch),
        // Five mathematical alphabets of ten digits each.
        '\u{1d7ce}'..='\u{1d7ff}' => {
            char::from_digit((ch as u32 - 0x1_d7ce) % 10, 10).unwrap_or(ch)
        }
        _ => ch,
    })
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

/// Whether the text may hold anything to mask: an at sign, or at least `digits` digits.
///
/// Reads bytes, since it stands in front of every message.
pub(crate) fn worth_reading(text: &str, digits: usize) -> bool {
    let bytes = text.as_bytes();
    let mut seen = 0;
    for (i, &byte) in bytes.iter().enumerate() {
        match byte {
            b'0'..=b'9' => seen += 1,
            b'@' => return true,
            // U+FF10..=U+FF19 are EF BC 90..=99, U+FF20 is EF BC A0, U+FE6B is EF B9 AB.
            0xef => match bytes.get(i + 1..i + 3) {
                Some([0xbc, 0x90..=0x99]) => seen += 1,
                Some([0xbc, 0xa0] | [0xb9, 0xab]) => return true,
                _ => {}
            },
            // U+1D7CE..=U+1D7FF are F0 9D 9F 8E..=BF.
            0xf0 if bytes.get(i + 1..i + 3) == Some(&[0x9d, 0x9f]) => seen += 1,
            _ => {}
        }
    }
    seen >= digits
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use crate::mask;

    thread_local! {
        /// Units that [`run_length`](super::run_length) has read in this thread.
        pub(super) static READ: Cell<usize> = const { Cell::new(0) };
    }

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
        ] {
            let steps = |length: usize| {
                let text = unit.repeat(length / unit.len() + 1);
                READ.set(0);
                std::hint::black_box(mask(&text));
                READ.get()
            };
            let (short, long) = (steps(4 << 10), steps(64 << 10));
            assert!(long <= 17 * short + 100, "{unit:?}: {short} for 4 KiB, {long} for 64 KiB");
            assert!(long <= 4 * (64 << 10) + 100, "{unit:?}: {long} for 64 KiB");
        }
    }
}
