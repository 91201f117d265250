//! What an agent promises, and by when.
//!
//! A promise is something to be done (回电, refund) with a time ([`time`]) in the same clause, or
//! in the clause next to it when the time stands alone there. `library/promise.txt` gives the words
//! around; a time without one of them that promises is none. Rather none than a wrong one: what is
//! promised may be found broken, and that is somebody's record. Not promised is therefore what is
//! asked, wished, expected (预计, usually), conditional (如果, once), counted from something else
//! than now (收到后3天), past, denied, quoted, for the customer or somebody outside to do, and what
//! holds for everybody (7天无理由).

mod chinese;
mod english;
mod time;

use crate::assessment::{Due, Promise, PromiseKind};
use crate::lexicon::{Found, Lexicon};
use crate::library::{LibraryError, Problem};
use crate::normalize::{Normalized, Normalizer, is_han};
use crate::reading::Reading;

use self::time::Time;

pub(crate) const FILE: (&str, &str) = ("promise.txt", include_str!("../library/promise.txt"));

/// What is done stands this close to its time, in bytes: 20 Chinese characters.
const REACH: usize = 60;

/// Words further from all times than this, in bytes, are not looked for.
const AROUND: usize = 240;

/// Letters besides the time that a clause may hold and still say nothing but the time.
const ALONE: usize = 2;

macro_rules! classes {
    ($($variant:ident => $name:literal),+ $(,)?) => {
        /// What a word does around a time.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Class { $($variant),+ }

        impl Class {
            fn from_name(name: &str) -> Option<Class> {
                match name { $($name => Some(Class::$variant),)+ _ => None }
            }
        }
    };
}

classes! {
    // What is promised.
    Callback => "callback",
    Refund => "refund",
    Ship => "ship",
    Reply => "reply",
    Solve => "solve",
    Other => "other",
    // What the customer will get.
    GotCallback => "got_callback",
    GotRefund => "got_refund",
    GotShip => "got_ship",
    GotReply => "got_reply",
    // Our side, what is to come, to whom.
    Own => "own",
    Future => "future",
    Then => "then",
    ForYou => "for_you",
    Can => "can",
    // Others, and words that make them no subject (联系商家).
    You => "you",
    Third => "third",
    Contact => "contact",
    // What makes it no promise.
    Asks => "asks",
    Negator => "negator",
    Past => "past",
    Hypothetical => "hypothetical",
    Hedge => "hedge",
    Relative => "relative",
    Case => "case",
    Directive => "directive",
    Says => "says",
    // What changes nothing.
    Consent => "consent",
    Filler => "filler",
    Neutral => "other_words",
}

impl Class {
    /// What it promises, and whether the customer is who gets it.
    fn action(self) -> Option<(PromiseKind, bool)> {
        Some(match self {
            Class::Callback => (PromiseKind::Callback, false),
            Class::Refund => (PromiseKind::Refund, false),
            Class::Ship => (PromiseKind::Ship, false),
            Class::Reply => (PromiseKind::Reply, false),
            Class::Solve => (PromiseKind::Solve, false),
            Class::Other => (PromiseKind::Other, false),
            Class::GotCallback => (PromiseKind::Callback, true),
            Class::GotRefund => (PromiseKind::Refund, true),
            Class::GotShip => (PromiseKind::Ship, true),
            Class::GotReply => (PromiseKind::Reply, true),
            _ => return None,
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Word {
    start: usize,
    end: usize,
    class: Class,
}

/// A stretch of a message up to a mark that ends it.
#[derive(Clone, Copy, Debug)]
struct Clause {
    start: usize,
    end: usize,
    /// Ends a sentence: what follows is another matter.
    stops: bool,
    /// Ends with a question mark.
    asked: bool,
}

#[derive(Clone, Copy, Debug)]
struct Action {
    start: usize,
    end: usize,
    kind: PromiseKind,
    /// The customer gets it: 您会收到退款.
    got: bool,
}

/// The words around times, compiled.
pub(crate) struct Promises {
    lexicon: Lexicon,
    classes: Vec<Class>,
}

impl Promises {
    pub(crate) fn embedded(normalizer: &Normalizer) -> Result<Promises, LibraryError> {
        let (file, content) = FILE;
        let (lexicon, names) = Lexicon::parse(file, content, normalizer)?;
        let class = |name: &&'static str| {
            let unknown = || LibraryError::at(file, 1, Problem::Class((*name).into()));
            Class::from_name(name).ok_or_else(unknown)
        };
        let classes = names.iter().map(class).collect::<Result<_, _>>()?;
        Ok(Promises { lexicon, classes })
    }

    /// What an agent's message promises, in the order of the text. A message that names a time has
    /// no promise without one besides.
    pub(crate) fn of(&self, reading: &Reading<'_, '_>, normalized: &Normalized) -> Vec<Promise> {
        let mut from = 0;
        let mut times: Vec<Time> = Vec::new();
        while let Some(time) = time::next(reading.text, from) {
            from = time.end;
            times.push(time);
        }
        if times.iter().all(|time| time.due.is_none()) {
            return Vec::new();
        }
        let sight = self.sight(reading, times);
        let mut promises: Vec<Promise> = Vec::new();
        for (at, time) in sight.times.iter().enumerate() {
            let Some((due, action)) = time.due.and_then(|due| Some((due, sight.promised(at)?)))
            else {
                continue;
            };
            let (start, end) =
                normalized.span(time.start.min(action.start), time.end.max(action.end));
            let promise = Promise { kind: action.kind, due, start, end };
            let same = |other: &Promise| other.kind == promise.kind && other.due == promise.due;
            if !promises.iter().any(same) {
                promises.push(promise);
            }
        }
        if promises.iter().any(|promise| promise.due != Due::Vague) {
            promises.retain(|promise| promise.due != Due::Vague);
        }
        promises
    }

    fn sight<'r, 'l, 't>(
        &self,
        reading: &'r Reading<'l, 't>,
        times: Vec<Time>,
    ) -> Sight<'r, 'l, 't> {
        let word = |found: Found| Word {
            start: found.start,
            end: found.end,
            class: self.classes[found.class],
        };
        // Nothing far from every time tells anything of it.
        let text = reading.text;
        let start = times.first().map_or(0, |time| time.start.saturating_sub(AROUND));
        let end = times.last().map_or(0, |time| time.end + AROUND).min(text.len());
        let boundary = |at: &usize| text.is_char_boundary(*at);
        let start = (start..text.len()).find(boundary).unwrap_or(0);
        let end = (end..text.len()).find(boundary).unwrap_or(text.len());
        let word = |mut found: Found| {
            found.start += start;
            found.end += start;
            word(found)
        };
        let mut words: Vec<Word> = self.lexicon.find(&text[start..end]).map(word).collect();
        words.retain(|word| {
            let after = times.partition_point(|time| time.end <= word.start);
            times.get(after).is_none_or(|time| word.end <= time.start)
        });
        let clauses = clauses(reading.text, &times, &words);
        Sight { reading, times, words, clauses }
    }
}

/// A message with its times and the words around them.
struct Sight<'r, 'l, 't> {
    reading: &'r Reading<'l, 't>,
    times: Vec<Time>,
    words: Vec<Word>,
    clauses: Vec<Clause>,
}

impl Sight<'_, '_, '_> {
    /// What the time at `at` promises.
    fn promised(&self, at: usize) -> Option<Action> {
        let time = &self.times[at];
        if self.reading.is_quoted(time.start, time.end) {
            return None;
        }
        let here = self.clauses.partition_point(|clause| clause.end <= time.start);
        let clause = self.clauses.get(here)?;
        // What lies beyond another time belongs to that one.
        let first = at.checked_sub(1).map_or(0, |before| self.times[before].end);
        let last = self.times.get(at + 1).map_or(usize::MAX, |next| next.start);
        let behind = self.action(time.end, clause.end.min(last), false);
        let ahead = || self.action(clause.start.max(first), time.start, true);
        let behind = match behind {
            Some(action) if action.kind == PromiseKind::Other => ahead().or(behind),
            Some(_) => behind,
            None => ahead(),
        };
        if let Some(action) = behind {
            return self.stands(here, time, &action).then_some(action);
        }
        if !self.is_alone(clause, time) || !self.allows(here, usize::MAX) {
            return None;
        }
        let beside = |other: usize| {
            let clause = self.clauses.get(other)?;
            let timed = self.times.iter().any(|time| {
                (clause.start..clause.end).contains(&time.start) && time.due != Some(Due::Vague)
            });
            let action = self.action(clause.start, clause.end, false).filter(|_| !timed)?;
            self.stands(other, time, &action).then_some(action)
        };
        let next = (!clause.stops).then(|| beside(here + 1)).flatten();
        next.or_else(|| {
            let before = here.checked_sub(1)?;
            if self.clauses[before].stops { None } else { beside(before) }
        })
    }

    /// What is done between two places: something definite rather than 处理, the nearest to the time.
    fn action(&self, start: usize, end: usize, backwards: bool) -> Option<Action> {
        let within = |word: &&Word| word.start >= start && word.end <= end;
        let mut best: Option<(u8, Action)> = None;
        for word in self.words.iter().filter(within) {
            let Some((kind, got)) = word.class.action() else { continue };
            let near = if backwards { end - word.end } else { word.start - start };
            if near > REACH {
                continue;
            }
            let rank = match kind {
                PromiseKind::Other => 0,
                PromiseKind::Solve => 1,
                _ => 2,
            };
            let rank = if backwards { rank.min(1) } else { rank };
            let better = |(known, _): &(u8, Action)| rank > *known || (backwards && rank == *known);
            if best.as_ref().is_none_or(better) {
                best = Some((rank, Action { start: word.start, end: word.end, kind, got }));
            }
        }
        let (_, mut action) = best?;
        if action.kind == PromiseKind::Solve {
            // 退款24小时内处理: what is handled is named before.
            let named = |word: &&Word| {
                matches!(word.class, Class::Refund | Class::Ship) && word.end <= action.start
            };
            let clause = self.clause(action.start);
            let mut before = self.words.iter().filter(|word| word.start >= clause.start);
            if let Some((kind, _)) = before.rfind(named).and_then(|word| word.class.action()) {
                action.kind = kind;
            }
        }
        Some(action)
    }

    fn clause(&self, at: usize) -> Clause {
        let here = self.clauses.partition_point(|clause| clause.end <= at);
        self.clauses[here.min(self.clauses.len() - 1)]
    }

    /// Words of a clause.
    fn within(&self, clause: &Clause) -> impl Iterator<Item = &Word> + Clone {
        let (start, end) = (clause.start, clause.end);
        self.words.iter().filter(move |word| word.start >= start && word.end <= end)
    }

    /// Whether a clause says nothing but a time.
    fn is_alone(&self, clause: &Clause, time: &Time) -> bool {
        let letters = |start: usize, end: usize| {
            self.reading.text[start..end].chars().filter(|c| c.is_alphanumeric()).count()
        };
        let mut covered = time.end - time.start;
        let mut rest = letters(clause.start, clause.end) - letters(time.start, time.end);
        for word in self.within(clause) {
            let fills = matches!(
                word.class,
                Class::Filler
                    | Class::Neutral
                    | Class::Own
                    | Class::Future
                    | Class::Then
                    | Class::ForYou
            );
            if fills {
                covered += word.end - word.start;
                rest -= letters(word.start, word.end);
            }
        }
        covered > 0 && rest <= ALONE
    }

    /// Whether nothing in a clause, up to byte `to`, or in what leads to it takes back a promise.
    fn allows(&self, here: usize, to: usize) -> bool {
        let clause = &self.clauses[here];
        let consents = self.within(clause).any(|word| word.class == Class::Consent);
        if clause.asked && !consents {
            return false;
        }
        let takes_back = |word: &Word| match word.class {
            Class::Asks | Class::Hypothetical | Class::Hedge => true,
            Class::Negator => word.start < to,
            _ => false,
        };
        if self.within(clause).any(takes_back) {
            return false;
        }
        let mut before = here;
        while before > 0 && here - before < 3 && !self.clauses[before - 1].stops {
            before -= 1;
            if self.binds(before) {
                return false;
            }
        }
        true
    }

    /// Whether a clause makes what follows depend on it: 如果…, 审核通过后…, 收到商品…, 18点前提交的….
    fn binds(&self, before: usize) -> bool {
        let clause = &self.clauses[before];
        let timed = self.times.iter().any(|time| (clause.start..clause.end).contains(&time.start));
        let future = self.within(clause).any(|word| word.class == Class::Future);
        self.within(clause).any(|word| match word.class {
            Class::Hypothetical => true,
            Class::Case => timed,
            Class::GotShip => !future,
            Class::Relative => {
                let rest = &self.reading.text[word.end..clause.end];
                timed || !rest.contains(char::is_alphanumeric)
            }
            _ => false,
        })
    }

    /// Whether what is done by the time is promised.
    fn stands(&self, here: usize, time: &Time, action: &Action) -> bool {
        let text = self.reading.text;
        let clause = &self.clauses[here];
        // Directly behind: 发不了, 处理过, 发货了.
        let behind = &text[action.end..];
        let denied =
            ["不了", "不到", "不出", "不成", "没", "未"].iter().any(|end| behind.starts_with(end));
        if denied || !self.allows(here, action.end) {
            return false;
        }
        let timed = (clause.start..clause.end).contains(&time.start);
        let to = if timed { action.start.max(time.start) } else { action.start };
        let words = || self.within(clause).filter(|word| word.start < to);
        let own = |word: &Word| matches!(word.class, Class::Own | Class::Future | Class::Then);
        let future = words().any(|word| word.class == Class::Future);
        let english = !text[action.start..action.end].starts_with(is_han);
        let done = ["了", "过", "完了", "好了"].iter().any(|end| behind.starts_with(end));
        if done && !behind.starts_with("过去") && !behind.starts_with("过来") && !future {
            return false;
        }
        // 今天发货的订单: which ones, not that they will be.
        if let Some(next) = behind.strip_prefix('的').and_then(|rest| rest.chars().next())
            && is_han(next)
            && !"呢哦哈啊呀噢喔嘛哟请您亲还谢吧哒，".contains(next)
        {
            return false;
        }
        // 是今天发货的 tells when it was.
        let is = text[..time.start].ends_with('是') || text[time.end..].starts_with('是');
        if timed && is && !future {
            return false;
        }
        // 收到商品时2日内 counts from then.
        if text[..time.start].ends_with('时') {
            return false;
        }
        // 72小时 after what is done is how long it takes.
        let long = matches!(time.due, Some(Due::Within { .. } | Due::WorkDays { .. }));
        if !english && long && !time.firm && action.end <= time.start {
            return false;
        }
        for word in words() {
            let later = |other: &Word| own(other) && other.start >= word.end;
            let holds = match word.class {
                // 已经登记, 24小时内会…
                Class::Past => words().any(later) && !(timed && word.start >= time.end),
                Class::Relative | Class::Case => false,
                Class::GotShip => future || word.start == action.start,
                Class::Says => timed && word.start >= time.end,
                // Who is to pay within a day is not who will call.
                Class::Directive => {
                    let by = |other: &Word| later(other) && (!timed || other.start <= time.start);
                    words().any(by)
                }
                Class::You => {
                    let by = |other: &Word| later(other) && (!timed || other.start <= time.start);
                    (action.got && future)
                        || words().any(|other| other.class != Class::Future && by(other))
                }
                Class::Third => {
                    let asked = words().any(|other| {
                        other.class == Class::Contact
                            && other.end <= word.start
                            && word.start - other.end <= 6
                    });
                    asked
                        || words().any(|other| other.class == Class::Own && other.start >= word.end)
                }
                _ => true,
            };
            if !holds {
                return false;
            }
        }
        // 可以 tells what may be.
        let can = words().find(|word| word.class == Class::Can);
        if let Some(can) = can
            && !future
            && (!time.firm
                || (action.kind == PromiseKind::Refund && text[can.start..].starts_with('可')))
        {
            return false;
        }
        if action.got {
            return future || can.is_some();
        }
        if english {
            return future;
        }
        // 联系您 says for whom.
        let for_you = text[action.start..action.end].contains(['您', '你']);
        let marked = for_you
            || self.within(clause).any(|word| {
                matches!(word.class, Class::Own | Class::Future | Class::Then | Class::ForYou)
                    && word.start <= action.end
            });
        match (time.due, action.kind) {
            (Some(Due::Vague), PromiseKind::Other) => false,
            (_, PromiseKind::Solve | PromiseKind::Other) => marked,
            _ => marked || (time.firm && timed),
        }
    }
}

/// Clauses end at a mark, at a space between Chinese characters, and where an English "and" or
/// "but" goes on with another subject. A mark within a time (18:00) ends nothing.
fn clauses(text: &str, times: &[Time], words: &[Word]) -> Vec<Clause> {
    const SUBJECTS: &[&str] = &[
        "we", "i", "you", "our", "my", "your", "someone", "the", "a", "they", "it", "he", "she",
        "this", "please",
    ];
    let mut clauses: Vec<Clause> = Vec::with_capacity(4);
    let mut start = 0;
    let mut previous = ' ';
    let mut passed = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        while times.get(passed).is_some_and(|time| time.end <= at) {
            passed += 1;
        }
        let within = times.get(passed).is_some_and(|time| time.start <= at);
        let next = chars.peek().map(|(_, next)| *next);
        let (ends, stops) = match c {
            _ if within => (false, false),
            '!' | '。' | '\n' | '?' => (true, true),
            '.' => {
                let inside = next.is_some_and(|next| next.is_ascii_alphanumeric());
                (!inside, !inside)
            }
            ',' | ';' | ':' | '、' | '~' | '·' | '|' => (true, false),
            ' ' if is_han(previous) && next.is_some_and(|next| !next.is_ascii_alphabetic()) => {
                (true, false)
            }
            ' ' => {
                let goes_on =
                    ["and ", "but ", "so ", "then ", "because "].iter().find_map(|word| {
                        let rest = text[at + 1..].strip_prefix(word)?;
                        rest.split([' ', '\'']).next()
                    });
                (goes_on.is_some_and(|subject| SUBJECTS.contains(&subject)), false)
            }
            _ => (false, false),
        };
        if ends {
            let end = at + c.len_utf8();
            match clauses.last_mut() {
                Some(last) if start == at => {
                    last.end = end;
                    last.stops |= stops;
                    last.asked |= c == '?';
                }
                _ => clauses.push(Clause { start, end, stops, asked: c == '?' }),
            }
            start = end;
        }
        previous = c;
    }
    if start < text.len() || clauses.is_empty() {
        clauses.push(Clause { start, end: text.len(), stops: true, asked: false });
    }
    // 您看可以吗 asks for leave to do what was promised before it.
    for word in words.iter().filter(|word| word.class == Class::Consent) {
        let here = clauses.partition_point(|clause| clause.end <= word.start);
        if let Some(clause) = clauses.get(here).copied()
            && clause.start < word.start
        {
            clauses[here].start = word.start;
            clauses.insert(
                here,
                Clause { start: clause.start, end: word.start, stops: false, asked: false },
            );
        }
    }
    clauses
}
