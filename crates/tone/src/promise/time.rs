//! Times that are named in a text, as far as a promise can fall due by them.

use crate::assessment::Due;

use super::{chinese, english};

pub(super) const MINUTE: i64 = 60_000;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// The last minute of a day.
pub(super) const MIDNIGHT: u16 = 1440;

/// A number above this is no number of hours or days.
const MOST: u32 = 9_999;

/// A time in a normalised text, by bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time {
    pub(super) start: usize,
    pub(super) end: usize,
    /// `None`: a time that a promise cannot fall due by, such as a date or a span of the past.
    pub(super) due: Option<Due>,
    /// It says by when (内, 前, within, by), not only when.
    pub(super) firm: bool,
}

/// Whether a text may name a time at all: a test that costs next to nothing.
pub(super) fn may_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'a'..=b'z' => {
                let word = &text[at..];
                if begins(word) {
                    return true;
                }
                at += word.bytes().take_while(u8::is_ascii_alphanumeric).count();
            }
            lead @ 0xe4..=0xe9 => {
                let code = u32::from(lead & 0xf) << 12
                    | u32::from(bytes[at + 1] & 0x3f) << 6
                    | u32::from(bytes[at + 2] & 0x3f);
                if char::from_u32(code).is_some_and(|c| UNITS.contains(&c)) {
                    return true;
                }
                at += 3;
            }
            _ => at += 1,
        }
    }
    false
}

/// A Chinese time holds one of these.
const UNITS: &[char] = &[
    '时', '钟', '分', '天', '日', '周', '期', '拜', '月', '点', '晚', '早', '午', '快', '后', '上',
    '即', '刻', '间', '会', '及', '头', '近', '紧', '速', '刻', '号',
];

/// Whether an English time may begin with this word.
fn begins(word: &str) -> bool {
    let one = |starts: &[&str]| starts.iter().any(|start| word.starts_with(start));
    match word.as_bytes().first() {
        Some(b'a') => one(&["as soon", "asap", "as quick", "at "]),
        Some(b'b') => one(&["by ", "before "]),
        Some(b'c') => one(&["close of", "cob", "coming "]),
        Some(b'e') => one(&["end of", "eod"]),
        Some(b'i') => one(&["in ", "immediately"]),
        Some(b'l') => one(&["later today"]),
        Some(b'm') => one(&["momentarily"]),
        Some(b'n') => one(&["next ", "no later"]),
        Some(b'o') => one(&["on "]),
        Some(b'p') => one(&["promptly"]),
        Some(b'r') => one(&["right away"]),
        Some(b's') => one(&["soon", "shortly", "straight away"]),
        Some(b't') => {
            one(&["today", "tonight", "tomorrow", "this ", "the day after", "the end of"])
        }
        Some(b'v') => one(&["very soon"]),
        Some(b'w') => one(&["within "]),
        _ => false,
    }
}

/// The first time that begins at byte `from` or later.
pub(super) fn next(text: &str, from: usize) -> Option<Time> {
    let mut before = text[..from].chars().next_back().unwrap_or(' ');
    for (at, c) in text[from..].char_indices() {
        let start = from + at;
        let found = match c {
            'a'..='z' if !before.is_ascii_alphanumeric() && begins(&text[start..]) => {
                english::read(text, start)
            }
            '0'..='9' if before.is_ascii_alphanumeric() || matches!(before, '.' | ':') => None,
            '0'..='9' | '\u{4e00}'..='\u{9fff}' => chinese::read(text, start, before),
            _ => None,
        };
        if found.is_some() {
            return found;
        }
        before = c;
    }
    None
}

/// Reads a text piece by piece.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn eat(&mut self, word: &str) -> bool {
        let there = self.rest().starts_with(word);
        self.at += if there { word.len() } else { 0 };
        there
    }

    /// Eats the first of the words that is there; says which.
    pub(super) fn one(&mut self, words: &[&str]) -> Option<usize> {
        words.iter().position(|word| self.eat(word))
    }

    /// Eats a Latin word that ends here, and the space before it.
    pub(super) fn word(&mut self, word: &str) -> bool {
        let mut ahead = *self;
        ahead.eat(" ");
        let whole =
            ahead.eat(word) && !ahead.peek().is_some_and(|next| next.is_ascii_alphanumeric());
        if whole {
            *self = ahead;
        }
        whole
    }

    pub(super) fn words(&mut self, words: &[&str]) -> Option<usize> {
        words.iter().position(|word| self.word(word))
    }

    pub(super) fn digits(&mut self) -> Option<u32> {
        let length = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let number = self.rest()[..length].parse().ok().filter(|number| *number <= MOST)?;
        self.at += length;
        Some(number)
    }

    /// A number in Chinese numerals; of two that stand together (两三) the second.
    fn numerals(&mut self) -> Option<u32> {
        let start = self.at;
        let (mut sum, mut last) = (0_u32, None);
        while let Some(c) = self.peek() {
            let digit = match c {
                '零' | '〇' => 0,
                '一' => 1,
                '二' | '两' => 2,
                '三' => 3,
                '四' => 4,
                '五' => 5,
                '六' => 6,
                '七' => 7,
                '八' => 8,
                '九' => 9,
                '十' | '百' => {
                    sum += last.take().unwrap_or(1) * if c == '十' { 10 } else { 100 };
                    self.at += c.len_utf8();
                    continue;
                }
                _ => break,
            };
            last = Some(digit);
            self.at += c.len_utf8();
        }
        let number = sum.saturating_add(last.unwrap_or(0));
        (self.at > start && number <= MOST).then_some(number)
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        self.digits().or_else(|| self.numerals())
    }

    /// What joins the two numbers of a span: 1-3, 1到3.
    pub(super) fn joins(&mut self) -> bool {
        self.one(&["--", "-", "~", "到", "至", "—", "–", "或者", "或"]).is_some()
    }
}

/// Which day is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    Day(u32),
    Weekday { weeks: u8, weekday: u8 },
}

impl On {
    /// By this minute of it.
    pub(super) fn by(self, minute: u16) -> Due {
        match self {
            // The first minute of a day is the last of the one before.
            On::Day(days) if minute == 0 && days > 0 => {
                Due::Day { days: days - 1, minute: MIDNIGHT }
            }
            On::Day(days) => Due::Day { days, minute: minute.max(1) },
            On::Weekday { weeks, weekday } => {
                Due::Weekday { weeks, weekday, minute: minute.max(1) }
            }
        }
    }

    /// An hour that may be of the morning or of the evening. Today it is the later one; on another
    /// day only what nobody opens at is of the evening.
    pub(super) fn either(self, minute: u16) -> u16 {
        let late = self == On::Day(0) || minute < 8 * 60;
        minute + if late { 720 } else { 0 }
    }
}
