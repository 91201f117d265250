//! Words that were split or spelt with other signs to slip through: 投 诉, 滚。蛋, s u e, stu.pid,
//! sh1t. What comes of undoing that is read for risks, and for what agents should not say.

use crate::normalize::is_han;

/// Separators between two characters of a split word.
const SEPARATORS: usize = 3;

/// Letters of a word that is spelt with spaces: fewer are initials.
const SPELT: usize = 3;

/// A text without its disguises.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    pub(crate) text: String,
    /// By byte of `text`: the byte of the given text.
    pub(crate) origin: Vec<usize>,
    /// The characters of the given text.
    chars: Vec<(usize, char)>,
}

/// Puts the text without its disguises in place of the one before; whether there were any.
pub(crate) fn undo(text: &str, plain: &mut Plain) -> bool {
    if !looks_disguised(text) {
        return false;
    }
    let mut chars = std::mem::take(&mut plain.chars);
    chars.clear();
    chars.extend(text.char_indices());
    plain.text.clear();
    plain.origin.clear();
    let mut at = 0;
    while at < chars.len() {
        let next = if let Some(next) = between_han(&chars, at) {
            next
        } else if let Some(next) = between_letters(&chars, at) {
            next
        } else if let Some(run) = spelt(&chars, at) {
            run.clone().step_by(2).for_each(|at| plain.push(chars[at], chars[at].1));
            run.end
        } else if let Some(end) = leet(&chars, at) {
            (at..end).for_each(|at| plain.push(chars[at], letter(chars[at].1)));
            end
        } else {
            plain.push(chars[at], chars[at].1);
            at + 1
        };
        at = next;
    }
    plain.chars = chars;
    plain.text != text
}

impl Plain {
    fn push(&mut self, (at, given): (usize, char), c: char) {
        self.text.push(c);
        // A sign that stands for a letter may be longer; both begin at the same byte.
        let bytes = at..at + given.len_utf8();
        self.origin.extend(bytes.take(c.len_utf8()));
    }
}

/// Whether there is likely to be anything to undo, seen in one pass over the bytes: most messages have
/// nothing.
fn looks_disguised(text: &str) -> bool {
    let bytes = text.as_bytes();
    let byte = |at: usize| bytes.get(at).copied();
    let is_letter = |at: usize| byte(at).is_some_and(|byte| byte.is_ascii_alphabetic());
    let is_word = |at: usize| byte(at).is_some_and(|byte| byte.is_ascii_alphanumeric());
    let is_han = |at: usize| byte(at).is_some_and(|byte| byte >= 0x80);
    // A Chinese character of three bytes from here on has nothing of its kind beside it.
    let ends = |at: usize| !is_han(at) || bytes[at..].starts_with(STOP);
    (0..bytes.len()).any(|at| {
        // Letters of any kind are most of a text.
        if bytes[at].is_ascii_lowercase() {
            return false;
        }
        let stop = bytes[at] == STOP[0] && bytes[at..].starts_with(STOP);
        let soft = SOFT.iter().find(|sign| bytes[at] == sign[0] && bytes[at..].starts_with(sign));
        if bytes[at] >= 0x80 && !stop && soft.is_none() {
            return false;
        }
        if at == 0 {
            return is_letter(1);
        }
        let width = if stop { STOP.len() } else { soft.map_or(1, |sign| sign.len()) };
        let (before, next) = (at - 1, at + width);
        let between_han =
            is_han(before) && (is_han(next) || (!is_word(next) && next < bytes.len()));
        match bytes[at] {
            b'0'..=b'9' | b'@' | b'$' => is_letter(before) || is_letter(next),
            b' ' if is_letter(before) => is_letter(next) && !is_word(next + 1),
            _ if between_han && (stop || is_hard(char::from(bytes[at]))) => {
                let lone_before = at < 4 || ends(at - 4) || bytes[..at - 3].ends_with(STOP);
                lone_before || ends(next + 3)
            }
            _ => between_han || (is_letter(before) && is_letter(next)),
        }
    })
}

/// Soft signs of more than one byte.
const SOFT: [&[u8]; 2] = ["·".as_bytes(), "、".as_bytes()];

/// A full stop in Chinese.
const STOP: &[u8] = "。".as_bytes();

/// Signs that split a word and mean nothing there.
fn is_soft(c: char) -> bool {
    matches!(
        c,
        '.' | '*' | '-' | '_' | '/' | '\\' | '|' | '+' | '~' | '·' | '`' | '\'' | '^' | '、' | '#'
    )
}

/// Signs between sentences or clauses, which split a word only where its characters stand alone.
fn is_hard(c: char) -> bool {
    matches!(c, '。' | ',' | '!' | '?' | ' ')
}

/// Where the word goes on if separators between two Chinese characters begin here.
fn between_han(chars: &[(usize, char)], at: usize) -> Option<usize> {
    let separates = |c: char| is_soft(c) || is_hard(c);
    let char_at = |at: usize| chars.get(at).map(|(_, c)| *c);
    let before = at.checked_sub(1)?;
    if !separates(chars[at].1) || !is_han(chars[before].1) {
        return None;
    }
    let count = chars[at..].iter().take_while(|(_, c)| separates(*c)).count();
    let next = at + count;
    if count > SEPARATORS || !char_at(next).is_some_and(is_han) {
        return None;
    }
    let soft = chars[at..next].iter().all(|(_, c)| is_soft(*c));
    let edge = |c: Option<char>| c.is_none_or(separates);
    let alone = edge(before.checked_sub(1).and_then(char_at)) || edge(char_at(next + 1));
    (soft || alone).then_some(next)
}

/// The letter after a sign between two letters: stu.pid, not "well. no".
fn between_letters(chars: &[(usize, char)], at: usize) -> Option<usize> {
    let is_letter = |at: usize| chars.get(at).is_some_and(|(_, c)| c.is_ascii_alphabetic());
    let splits = matches!(chars[at].1, '.' | '*' | '-' | '_' | '/' | '|' | '+' | '~' | '#');
    // s/b are two; p-o-l-i-c-e and stu.pid are one.
    let same = |other: Option<usize>| {
        other.and_then(|other| chars.get(other)).is_some_and(|(_, c)| *c == chars[at].1)
    };
    let longer = is_letter(at + 2)
        || at.checked_sub(2).is_some_and(is_letter)
        || same(Some(at + 2))
        || same(at.checked_sub(2));
    (splits && at > 0 && is_letter(at - 1) && is_letter(at + 1) && longer).then_some(at + 1)
}

/// Letters that stand alone, one after the other: s u e.
fn spelt(chars: &[(usize, char)], at: usize) -> Option<std::ops::Range<usize>> {
    let word = |at: usize| chars.get(at).is_some_and(|(_, c)| c.is_ascii_alphanumeric());
    let alone = |at: usize| {
        chars.get(at).is_some_and(|(_, c)| c.is_ascii_alphabetic())
            && !word(at + 1)
            && at.checked_sub(1).is_none_or(|before| !word(before))
    };
    let spaced = |at: usize| chars.get(at).is_some_and(|(_, c)| *c == ' ');
    if !alone(at) {
        return None;
    }
    let mut last = at;
    while spaced(last + 1) && alone(last + 2) {
        last += 2;
    }
    ((last - at) / 2 + 1 >= SPELT).then_some(at..last + 1)
}

/// Where a word ends that begins here and mixes letters with signs that stand for letters.
fn leet(chars: &[(usize, char)], at: usize) -> Option<usize> {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '@' | '$');
    if !part(chars[at].1) || (at > 0 && part(chars[at - 1].1)) {
        return None;
    }
    let word = chars[at..].iter().map(|(_, c)| *c).take_while(|c| part(*c));
    let (mut length, mut letters) = (0, 0);
    for c in word {
        length += 1;
        letters += usize::from(c.is_ascii_alphabetic());
        if !letter(c).is_ascii_alphabetic() {
            return None;
        }
    }
    // 5b is a door, su3 a threat.
    (letters >= 2 && letters < length).then_some(at + length)
}

/// The letter that a sign stands for.
fn letter(c: char) -> char {
    match c {
        '0' => 'o',
        '1' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undone(text: &str) -> String {
        let mut plain = Plain::default();
        if undo(text, &mut plain) { plain.text } else { text.to_owned() }
    }

    #[test]
    fn split_chinese_is_joined() {
        assert_eq!(undone("我要投 诉"), "我要投诉");
        assert_eq!(undone("报#警了"), "报警了");
        assert_eq!(undone("投*~*诉"), "投诉");
        assert_eq!(undone("投·诉"), "投诉");
        assert_eq!(undone("起、诉你们"), "起诉你们");
        assert_eq!(undone("滚。蛋。"), "滚蛋。");
    }

    #[test]
    fn sentences_stay_apart() {
        assert_eq!(undone("已经上报。警察还没来"), "已经上报。警察还没来");
        assert_eq!(undone("已经上报 警察还没来"), "已经上报 警察还没来");
        assert_eq!(undone("不去法院,子女也不去"), "不去法院,子女也不去");
    }

    #[test]
    fn split_english_is_joined() {
        assert_eq!(undone("i am going to s u e you"), "i am going to sue you");
        assert_eq!(undone("p-o-l-i-c-e"), "police");
        assert_eq!(undone("stu.pid"), "stupid");
        assert_eq!(undone("size a b only"), "size a b only");
        assert_eq!(undone("well. no"), "well. no");
        assert_eq!(undone("s/b or s-b"), "s/b or s-b");
    }

    #[test]
    fn signs_that_stand_for_letters_are_read_as_such() {
        assert_eq!(undone("you id1ot"), "you idiot");
        assert_eq!(undone("c@lling my l4wyer"), "calling my lawyer");
        assert_eq!(undone("4ttorney"), "attorney");
        assert_eq!(undone("order 12315 of 2024"), "order 12315 of 2024");
        assert_eq!(undone("x9 and mp8"), "x9 and mp8");
        assert_eq!(undone("5b or s3"), "5b or s3");
    }

    #[test]
    fn every_byte_knows_where_it_came_from() {
        for text in
            ["报#警", "我 要 s u e 你。们", "sh1t 、 a.b", "é4 ,", "1a", "。", "好 。", "a 。b"]
        {
            let mut plain = Plain::default();
            undo(text, &mut plain);
            assert_eq!(plain.origin.len(), plain.text.len(), "{text}");
            assert!(plain.origin.is_sorted() && plain.origin.iter().all(|at| *at < text.len()));
        }
    }
}
