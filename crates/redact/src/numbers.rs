//! Numbers that belong to a person, found from runs of digits in one pass.
//!
//! At every run the kinds are tried from the most to the least certain, on that run and the
//! runs joined to it. A decision looks at what is in front, which is final by then, and at
//! the one character behind, which no mask changes; so a second pass finds nothing new.

mod card;
mod id_card;
mod phone;
mod social;

use crate::Kind;
use crate::cues::{self, Context};
use crate::fold::{TAKEN, Unit, is_letter, run_length};

/// The shortest number masked: seven digits after a telephone cue.
pub(crate) const FEWEST_DIGITS: usize = 7;

/// More digits than any number masked has; bounds the work at one run.
const MOST_DIGITS: usize = 20;

/// Words that are written onto the end of a number and make no code of it.
const SEQUELS: [&str; 37] = [
    "v", "vx", "wx", "vv", "weixin", "wechat", "qq", "tel", "phone", "mobile", "whatsapp", "thx",
    "thanks", "thank", "tks", "ty", "pls", "plz", "please", "ok", "call", "and", "or", "is", "my",
    "me", "asap", "ya", "hh", "hhh", "ha", "haha", "la", "cell", "u", "x", "ext",
];

/// Letters of the longest of [`SEQUELS`].
const LONGEST_SEQUEL: usize = 8;

/// Where in a link a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In running text or the query of a link.
    Text,
    Host,
    Path,
}

/// A maximal run of digits.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: usize,
    end: usize,
    place: Place,
    /// Which link of the text, counted from one; zero outside of links.
    link: usize,
}

/// What stands between two joined runs, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Joint(u8);

impl Joint {
    const NONE: Self = Self(0);
    const BLANK: Self = Self(1);
    const HYPHEN: Self = Self(2);
    const DOT: Self = Self(4);
    const BRACKET: Self = Self(8);
    const OTHER: Self = Self(16);

    fn of(ch: char) -> Option<Self> {
        Some(match ch {
            ' ' => Self::BLANK,
            '-' => Self::HYPHEN,
            '.' | '。' => Self::DOT,
            '(' | ')' => Self::BRACKET,
            '/'
            | ','
            | '_'
            | '~'
            | '*'
            | '+'
            | '|'
            | '='
            | '…'
            | '\u{2600}'..='\u{27bf}'
            | '\u{1f300}'..='\u{1faff}' => Self::OTHER,
            _ => return None,
        })
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn within(self, allowed: Self) -> bool {
        self.0 & !allowed.0 == 0
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Blanks, hyphens and dots: what people put into long numbers.
    fn is_plain(self) -> bool {
        self.within(Self::BLANK.and(Self::HYPHEN).and(Self::DOT))
    }
}

/// A run together with the runs joined to it, up to [`MOST_DIGITS`].
struct Reading<'u> {
    units: &'u [Unit],
    start: usize,
    place: Place,
    digits: [u8; MOST_DIGITS],
    /// How many digits there are up to the end of each run.
    totals: [usize; MOST_DIGITS],
    /// What stands in front of each run; the first has nothing.
    joints: [Joint; MOST_DIGITS],
    /// The unit after each run.
    ends: [usize; MOST_DIGITS],
    runs: usize,
}

/// The first so many digits of a reading, which end with a run.
#[derive(Clone, Copy, Debug)]
struct Found {
    kind: Kind,
    digits: usize,
    /// Units taken after the last digit: the X of an identity card.
    tail: usize,
}

impl Found {
    fn new(kind: Kind, digits: usize) -> Self {
        Self { kind, digits, tail: 0 }
    }
}

impl<'u> Reading<'u> {
    fn new(units: &'u [Unit], runs: &[Run]) -> Option<Self> {
        let first = runs.first()?;
        let mut reading = Self {
            units,
            start: first.start,
            place: first.place,
            digits: [0; MOST_DIGITS],
            totals: [0; MOST_DIGITS],
            joints: [Joint::NONE; MOST_DIGITS],
            ends: [0; MOST_DIGITS],
            runs: 0,
        };
        let (mut total, mut previous) = (0, first);
        for run in runs {
            let joint =
                if reading.runs == 0 { Some(Joint::NONE) } else { joint(units, previous, run) };
            let Some(joint) = joint.filter(|_| total + run.end - run.start <= MOST_DIGITS) else {
                break;
            };
            for unit in &units[run.start..run.end] {
                reading.digits[total] = unit.ch as u8 - b'0';
                total += 1;
            }
            reading.totals[reading.runs] = total;
            reading.joints[reading.runs] = joint;
            reading.ends[reading.runs] = run.end;
            reading.runs += 1;
            previous = run;
        }
        (total >= FEWEST_DIGITS).then_some(reading)
    }

    fn total(&self) -> usize {
        self.totals[self.runs - 1]
    }

    fn first_run(&self) -> usize {
        self.totals[0]
    }

    /// The lengths of the runs that make up `digits[from..to]`, and what joins them; `None`
    /// unless a run ends at `to`. The first length is shortened by what `from` cuts off.
    fn shape(&self, from: usize, to: usize) -> Option<(Shape, Joint)> {
        let mut shape = Shape { lengths: [0; MOST_DIGITS], runs: 0 };
        let mut joints = Joint::NONE;
        let mut before = from;
        for run in 0..self.runs {
            let total = self.totals[run];
            if total <= from {
                continue;
            }
            if total > to {
                return None;
            }
            if shape.runs > 0 {
                joints = joints.and(self.joints[run]);
            }
            shape.lengths[shape.runs] = total - before;
            shape.runs += 1;
            before = total;
            if total == to {
                return Some((shape, joints));
            }
        }
        None
    }

    /// The unit after the run that ends with digit number `digits`.
    fn end(&self, digits: usize) -> usize {
        (0..self.runs)
            .find(|&run| self.totals[run] == digits)
            .map_or(self.start, |run| self.ends[run])
    }

    /// The character after `digits` digits.
    fn next(&self, digits: usize) -> Option<char> {
        self.units.get(self.end(digits)).map(|unit| unit.ch)
    }

    /// Whether letters touch the end, so that the digits are part of a code. People in a hurry
    /// write on without a blank, too: `13800138000vx同号`, `13800138000thx`.
    fn runs_into_letters(&self, digits: usize) -> bool {
        let mut letters = self.units[self.end(digits)..]
            .iter()
            .map(|unit| unit.ch.to_ascii_lowercase())
            .take_while(|&ch| is_letter(ch))
            .peekable();
        if letters.peek().is_none() {
            return false;
        }
        let mut word = ['\0'; LONGEST_SEQUEL];
        let mut length = 0;
        for letter in letters {
            let Some(slot) = word.get_mut(length) else {
                return true;
            };
            *slot = letter;
            length += 1;
        }
        !SEQUELS.iter().any(|sequel| sequel.chars().eq(word[..length].iter().copied()))
    }

    /// Whether a unit of money follows, perhaps after a blank.
    fn is_money(&self, digits: usize) -> bool {
        let end = self.end(digits);
        let mut after = self.units[end..].iter().map(|unit| unit.ch);
        let next = match after.next() {
            Some(' ') => after.next(),
            next => next,
        };
        // 元, and 韩元, 日元, 美元.
        let foreign = matches!(
            next,
            Some('日' | '美' | '欧' | '歐' | '韩' | '韓' | '港' | '台' | '卢' | '泰')
        );
        let next = if foreign { after.next() } else { next };
        matches!(next, Some('元' | '块' | '塊' | '圆' | '円' | '币' | '幣'))
    }

    /// Whether the number goes on to the left: a hyphen, dot or the like and three or more
    /// digits, as in `SO-2024-0315-1234567`. A shorter number there counts a list.
    fn continues_leftwards(&self) -> bool {
        let mut before = self.units[..self.start].iter().rev().map(|unit| unit.ch);
        matches!(before.next(), Some('-' | '.' | '_' | '/'))
            && before.take(3).filter(char::is_ascii_digit).count() == 3
    }

    /// Whether letters and a hyphen stand in front, as in the part `RS-138-0013-8000`.
    fn continues_code(&self) -> bool {
        let mut before = self.units[..self.start].iter().rev().map(|unit| unit.ch);
        before.next() == Some('-') && before.next().is_some_and(is_letter)
    }

    fn before(&self) -> Option<char> {
        self.units[..self.start].last().map(|unit| unit.ch)
    }

    fn number(&self, from: usize, to: usize) -> u32 {
        self.digits[from..to].iter().fold(0, |number, &digit| number * 10 + u32::from(digit))
    }
}

/// Lengths of joined runs.
struct Shape {
    lengths: [usize; MOST_DIGITS],
    runs: usize,
}

impl Shape {
    fn lengths(&self) -> &[usize] {
        &self.lengths[..self.runs]
    }

    fn is_single(&self) -> bool {
        self.runs == 1
    }
}

/// What joins two runs, or `None` when they are apart.
fn joint(units: &[Unit], left: &Run, right: &Run) -> Option<Joint> {
    let between = &units[left.end..right.start];
    if between.len() > 3 || left.place != right.place || left.place == Place::Path {
        return None;
    }
    between.iter().try_fold(Joint::NONE, |all, unit| Some(all.and(Joint::of(unit.ch)?)))
}

/// The numbers in `units`, left to right, as kind, first unit and one past the last. Their
/// units are taken.
pub(crate) fn find(units: &mut [Unit]) -> Vec<(Kind, usize, usize)> {
    let mut runs = runs(units);
    let mut found = Vec::new();
    let mut at = 0;
    while at < runs.len() {
        let Some(reading) = Reading::new(units, &runs[at..]) else {
            at += 1;
            continue;
        };
        let mut past = runs[at].end;
        if let Some(end) = phone::service_line(&reading) {
            past = end;
        } else if let Some((kind, start, end)) = recognise(&reading) {
            for unit in &mut units[start..end] {
                unit.ch = TAKEN;
            }
            found.push((kind, start, end));
            past = end;
            leave_link(&mut runs[at..]);
        }
        while runs.get(at).is_some_and(|run| run.start < past) {
            at += 1;
        }
    }
    found
}

/// A token ends with a bracket, and a bracket ends a link: what follows the first of `runs`,
/// which is masked, in its link is text, as a second pass would read it.
fn leave_link(runs: &mut [Run]) {
    let Some(link) = runs.first().map(|run| run.link).filter(|&link| link > 0) else {
        return;
    };
    for run in runs.iter_mut().take_while(|run| run.link == link) {
        run.place = Place::Text;
        run.link = 0;
    }
}

fn recognise(reading: &Reading<'_>) -> Option<(Kind, usize, usize)> {
    let context = cues::before(reading.units, reading.start);
    let found = if reading.place == Place::Path {
        in_path(reading, context)?
    } else {
        id_card::find(reading, context)
            .or_else(|| card::find(reading, context))
            .or_else(|| social::find(reading, context))
            .or_else(|| social::find_indian(reading, context))
            .or_else(|| id_card::find_old(reading, context))
            .or_else(|| phone::find(reading, context))?
    };
    let end = reading.end(found.digits) + found.tail;
    Some((found.kind, first_unit(reading, found), end))
}

/// A segment of a link is a page or an article, unless it is a mobile number and nothing
/// else (`wa.me/8613800138000`) or an identity card.
fn in_path(reading: &Reading<'_>, context: Context) -> Option<Found> {
    let digits = reading.first_run();
    let whole = reading.before() == Some('/')
        && !matches!(reading.next(digits), Some('-' | '_' | '='))
        && !(reading.next(digits) == Some('.')
            && reading.units.get(reading.end(digits) + 1).is_some_and(|unit| is_letter(unit.ch)));
    id_card::find(reading, context)
        .or_else(|| phone::mobile(reading, context).filter(|found| whole && found.digits == digits))
}

/// The plus sign and the opening bracket in front belong to the number.
fn first_unit(reading: &Reading<'_>, found: Found) -> usize {
    let mut first = reading.start;
    if !matches!(found.kind, Kind::Mobile | Kind::Landline | Kind::Phone) {
        return first;
    }
    let char_before = |at: usize| at.checked_sub(1).map(|at| reading.units[at].ch);
    let closes =
        reading.units[reading.start..reading.end(found.digits)].iter().any(|unit| unit.ch == ')');
    if char_before(first) == Some('+') {
        first -= 1;
    }
    if closes && char_before(first) == Some('(') {
        first -= 1;
        if char_before(first) == Some('+') {
            first -= 1;
        }
    }
    first
}

/// The runs of digits and where in a link they stand.
fn runs(units: &[Unit]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut place = Place::Text;
    let mut links = 0;
    let mut at = 0;
    while at < units.len() {
        let ch = units[at].ch;
        if ch.is_ascii_digit() {
            let length = run_length(units[at..].iter(), |ch| ch.is_ascii_digit());
            let length = own_length(units, at, length);
            let link = if place == Place::Text { 0 } else { links };
            runs.push(Run { start: at, end: at + length, place, link });
            at += length;
            continue;
        }
        if begins(&units[at..], "://") {
            place = Place::Host;
            links += 1;
            at += 3;
            continue;
        }
        place = match (place, ch) {
            (Place::Text, 'w' | 'W') if begins(&units[at..], "www.") => {
                links += 1;
                Place::Host
            }
            (Place::Host, '/') => Place::Path,
            (_, ch) if ends_link(ch) => Place::Text,
            (place, _) => place,
        };
        at += 1;
    }
    runs
}

/// How much of the `length` digits at `at` is a number of its own: a circled digit or the minutes
/// of an hour in front of a mobile are none of it: ①138..., 18:30 138... without the blank.
fn own_length(units: &[Unit], at: usize, length: usize) -> usize {
    let is_mobile = |from: usize| {
        length == from + 11
            && units[at + from].ch == '1'
            && matches!(units[at + from + 1].ch, '3'..='9')
    };
    let is_circled = |unit: &Unit| unit.end - unit.start == 3;
    if is_mobile(1) && is_circled(&units[at]) && !is_circled(&units[at + 1]) {
        return 1;
    }
    let minutes = at >= 2 && units[at - 1].ch == ':' && units[at - 2].ch.is_ascii_digit();
    if is_mobile(2) && minutes && units[at].ch <= '5' { 2 } else { length }
}

/// Whether a link, or the path of one, is over: at blanks, line breaks and what RFC 3986 lets no
/// link hold, and at the brackets, commas and semicolons that it does but that people end one
/// with. A page's number read as text is masked at worst; a person's read as a page is not.
fn ends_link(ch: char) -> bool {
    !ch.is_ascii_graphic() || "?#\"<>,;()[]{}|'`^\\".contains(ch)
}

fn begins(units: &[Unit], word: &str) -> bool {
    units.len() >= word.len()
        && units.iter().zip(word.chars()).all(|(unit, ch)| unit.ch.to_ascii_lowercase() == ch)
}
