//! Words that were split or spelt with other signs to slip through: 投 诉, 滚。蛋, s u e, stu.pid,
//! sh1t. What comes of undoing that is read for risks, and for what agents should not say.

use crate::normalize::{Letter, is_han};

/// Separators between two characters of a split word.
const SEPARATORS: usize = 3;

/// Letters of a word that is spelt with spaces: fewer are initials.
const SPELT: usize = 3;

/// A text without its disguises.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    pub(crate) text: String,
    /// The characters of `text`, which came from bytes of the given text.
    pub(crate) letters: Vec<Letter>,
}

/// Puts the text without its disguises in place of the one before; whether there are any.
pub(crate) fn undo(text: &str, letters: &[Letter], plain: &mut Plain) -> bool {
    if !looks_disguised(text, letters) {
        return false;
    }
    plain.text.clear();
    plain.letters.clear();
    // What stands from here on up to the next disguise is still to be copied.
    let mut same = 0;
    let mut undone = false;
    let mut at = 0;
    while at < letters.len() {
        // What splits or disguises is Latin or a sign.
        if is_han(letters[at].c) {
            at += 1;
            continue;
        }
        let joined = between_han(letters, at).or_else(|| between_letters(letters, at));
        let next = if let Some(next) = joined {
            plain.copy(&letters[same..at]);
            next
        } else if let Some(run) = spelt(letters, at) {
            plain.copy(&letters[same..at]);
            run.clone().step_by(2).for_each(|at| plain.push(&letters[at], letters[at].c));
            run.end
        } else if let Some(end) = leet(letters, at) {
            plain.copy(&letters[same..at]);
            letters[at..end].iter().for_each(|given| plain.push(given, letter(given.c)));
            end
        } else {
            at += 1;
            continue;
        };
        undone = true;
        (at, same) = (next, next);
    }
    if undone {
        plain.copy(&letters[same..]);
    }
    undone && plain.text != text
}

impl Plain {
    fn copy(&mut self, letters: &[Letter]) {
        for given in letters {
            self.push(given, given.c);
        }
    }

    /// A sign and the letter that it stands for are both of one byte.
    fn push(&mut self, given: &Letter, c: char) {
        let at = self.text.len() as u32;
        self.text.push(c);
        self.letters.push(Letter { c, at, start: given.at, end: given.at + c.len_utf8() as u32 });
    }
}

/// Whether there is likely to be anything to undo, seen in one pass: most messages have nothing.
fn looks_disguised(text: &str, letters: &[Letter]) -> bool {
    let bytes = text.as_bytes();
    let byte = |at: usize| bytes.get(at).copied();
    let is_letter = |at: usize| byte(at).is_some_and(|byte| byte.is_ascii_alphabetic());
    let is_word = |at: usize| byte(at).is_some_and(|byte| byte.is_ascii_alphanumeric());
    let is_wide = |at: usize| byte(at).is_some_and(|byte| byte >= 0x80);
    // A Chinese character of three bytes from here on has nothing of its kind beside it.
    let ends = |at: usize| !is_wide(at) || bytes[at..].starts_with(STOP);
    letters.iter().any(|letter| {
        let (at, c) = (letter.at as usize, letter.c);
        // Letters of any kind are most of a text.
        if is_han(c) || c.is_ascii_lowercase() {
            return false;
        }
        let stop = c == '。';
        if !c.is_ascii() && !stop && !SOFT.contains(&c) {
            return false;
        }
        if at == 0 {
            return is_letter(1);
        }
        let (before, next) = (at - 1, at + c.len_utf8());
        let between_han =
            is_wide(before) && (is_wide(next) || (!is_word(next) && next < bytes.len()));
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
const SOFT: [char; 2] = ['·', '、'];

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
fn between_han(letters: &[Letter], at: usize) -> Option<usize> {
    let separates = |c: char| is_soft(c) || is_hard(c);
    let char_at = |at: usize| letters.get(at).map(|one| one.c);
    let before = at.checked_sub(1)?;
    if !separates(letters[at].c) || !is_han(letters[before].c) {
        return None;
    }
    let count = letters[at..].iter().take_while(|one| separates(one.c)).count();
    let next = at + count;
    if count > SEPARATORS || !char_at(next).is_some_and(is_han) {
        return None;
    }
    let soft = letters[at..next].iter().all(|one| is_soft(one.c));
    let edge = |c: Option<char>| c.is_none_or(separates);
    let alone = edge(before.checked_sub(1).and_then(char_at)) || edge(char_at(next + 1));
    (soft || alone).then_some(next)
}

/// The letter after a sign between two letters: stu.pid, not "well. no".
fn between_letters(letters: &[Letter], at: usize) -> Option<usize> {
    let is_letter = |at: usize| letters.get(at).is_some_and(|one| one.c.is_ascii_alphabetic());
    let splits = matches!(letters[at].c, '.' | '*' | '-' | '_' | '/' | '|' | '+' | '~' | '#');
    // s/b are two; p-o-l-i-c-e and stu.pid are one.
    let same = |other: Option<usize>| {
        other.and_then(|other| letters.get(other)).is_some_and(|one| one.c == letters[at].c)
    };
    let longer = || {
        is_letter(at + 2)
            || at.checked_sub(2).is_some_and(is_letter)
            || same(Some(at + 2))
            || same(at.checked_sub(2))
    };
    (splits && at > 0 && is_letter(at - 1) && is_letter(at + 1) && longer()).then_some(at + 1)
}

/// Letters that stand alone, one after the other: s u e.
fn spelt(letters: &[Letter], at: usize) -> Option<std::ops::Range<usize>> {
    let word = |at: usize| letters.get(at).is_some_and(|one| one.c.is_ascii_alphanumeric());
    let alone = |at: usize| {
        letters.get(at).is_some_and(|one| one.c.is_ascii_alphabetic())
            && !word(at + 1)
            && at.checked_sub(1).is_none_or(|before| !word(before))
    };
    let spaced = |at: usize| letters.get(at).is_some_and(|one| one.c == ' ');
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
fn leet(letters: &[Letter], at: usize) -> Option<usize> {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '@' | '$');
    if !part(letters[at].c) || (at > 0 && part(letters[at - 1].c)) {
        return None;
    }
    let word = letters[at..].iter().map(|one| one.c).take_while(|c| part(*c));
    let (mut length, mut alphabetic) = (0, 0);
    for c in word {
        length += 1;
        alphabetic += usize::from(c.is_ascii_alphabetic());
        if !letter(c).is_ascii_alphabetic() {
            return None;
        }
    }
    // 5b is a door, su3 a threat.
    (alphabetic >= 2 && alphabetic < length).then_some(at + length)
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

    fn undo(text: &str) -> Option<Plain> {
        let letter = |(at, c)| Letter { c, at: at as u32, start: 0, end: 0 };
        let letters: Vec<Letter> = text.char_indices().map(letter).collect();
        let mut plain = Plain::default();
        super::undo(text, &letters, &mut plain).then_some(plain)
    }

    fn undone(text: &str) -> String {
        undo(text).map_or_else(|| text.to_owned(), |plain| plain.text)
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
    fn every_character_knows_where_it_came_from() {
        for text in
            ["报#警", "我 要 s u e 你。们", "sh1t 、 a.b", "é4 ,", "1a", "。", "好 。", "a 。b"]
        {
            let Some(plain) = undo(text) else { continue };
            let mut last = 0;
            for letter in &plain.letters {
                let given = &text[letter.start as usize..letter.end as usize];
                assert_eq!(given.chars().count(), 1, "{text}");
                assert!(plain.text[letter.at as usize..].starts_with(letter.c), "{text}");
                assert!(letter.start >= last, "{text}");
                last = letter.end;
            }
        }
    }
}
