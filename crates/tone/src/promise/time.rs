//! Times that are named in a text, as far as a promise can fall due by them.

use crate::assessment::Due;
use crate::lexicon::Chars;

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

/// Whether a Chinese time may begin with these two characters; numerals aside.
fn leads(first: char, second: char) -> bool {
    let seconds = match first {
        '今' | '明' => "天日儿晚早",
        '后' => "天",
        '大' | '随' => "后",
        '当' => "天日晚",
        '早' => "上晨日点",
        '上' => "午周星礼个",
        '中' => "午",
        '下' => "午周星礼个下",
        '傍' | '稍' => "晚后",
        '晚' => "上间点些一",
        '凌' => "晨",
        '周' => "一二三四五六日天末",
        '星' => "期",
        '礼' => "拜",
        '本' => "周星礼",
        '这' => "周星礼个两几",
        '每' => "周个星礼",
        '第' => "一二",
        '次' => "日",
        '隔' | '翌' => "天日",
        '尽' => "快早速",
        '马' => "上",
        '立' => "即刻马",
        '即' => "刻",
        '很' => "快",
        '待' => "会",
        '等' => "会下",
        '过' => "会几两",
        '回' => "头",
        '及' => "时",
        '近' => "期日",
        '抓' => "紧",
        '火' => "速",
        _ => return false,
    };
    seconds.contains(second) || (matches!(first, '早' | '晚') && second.is_ascii_digit())
}

/// Whether a number is one of hours, days or of a clock.
fn counts(text: &str) -> bool {
    let unit = text.chars().find(|c| !AMOUNTS.contains(*c));
    unit.is_some_and(|unit| UNITS.contains(unit))
}

/// What a Chinese time may begin with.
const LEADS: &[char] = &[
    '今', '明', '后', '大', '当', '早', '上', '中', '下', '傍', '稍', '晚', '凌', '周', '星', '礼',
    '本', '这', '每', '第', '次', '隔', '翌', '尽', '马', '立', '即', '随', '很', '待', '等', '过',
    '回', '及', '近', '抓', '火',
];

/// The first letters of [`begins`].
const LETTERS: &[char] =
    &['a', 'b', 'c', 'e', 'i', 'l', 'm', 'n', 'o', 'p', 'r', 's', 't', 'v', 'w'];

static STARTS: Chars = Chars::NONE.with(LEADS).with(DIGITS).with(LETTERS);

const DIGITS: &[char] = &[
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '零', '一', '二', '两', '三', '四', '五',
    '六', '七', '八', '九', '十', '半', '几', '数',
];

static NUMERALS: Chars = Chars::NONE.with(DIGITS);

/// What stands in an amount before its unit.
static AMOUNTS: Chars =
    Chars::NONE.with(DIGITS).with(&['-', '~', '到', '至', '或', '者', '个', ' ', '.', '百']);

static UNITS: Chars = Chars::NONE.with(&[
    '小', '钟', '工', '自', '分', '刻', '天', '周', '星', '礼', '日', '月', '年', '号', '点', '时',
    ':', 'h', 'm', '会',
]);

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
    let mut at = from;
    while let Some(start) = STARTS.find(text, at) {
        let rest = &text[start..];
        let mut chars = rest.chars();
        let (first, second) = (chars.next()?, chars.next().unwrap_or(' '));
        at = start + first.len_utf8();
        let before = || text[..start].chars().next_back().unwrap_or(' ');
        let found = if first.is_ascii_lowercase() {
            if before().is_ascii_alphanumeric() || !begins(rest) {
                None
            } else {
                english::read(text, start)
            }
        } else if NUMERALS.contains(first) {
            let inside = first.is_ascii_digit()
                && (before().is_ascii_alphanumeric() || matches!(before(), '.' | ':'));
            if inside || !counts(rest) { None } else { chinese::read(text, start, before()) }
        } else if leads(first, second) {
            chinese::read(text, start, before())
        } else {
            None
        };
        if found.is_some() {
            return found;
        }
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
