//! A message laid out for the rules: its clauses, its hits, its cues.

use std::cmp::Reverse;
use std::ptr;

use smallvec::{SmallVec, smallvec};

use crate::disguise::{self, Plain};
use crate::library::{Class, Hit, Library, Search};
use crate::normalize::{Letter, Normalized, is_han, origin};

/// A stretch between two punctuation marks (or a space between Chinese characters).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clause {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Ends with a question mark.
    pub(crate) asked: bool,
    /// Classes of the cues in it, by [`Class::bit`].
    pub(crate) cues: u64,
    /// Where its first hypothetical cue starts.
    pub(crate) hypothetical: usize,
}

impl Clause {
    pub(crate) fn has(&self, class: Class) -> bool {
        self.cues & class.bit() != 0
    }
}

/// Hits of a message: room for those of one in a hundred of the usual length is not enough.
pub(crate) type Hits<'l> = SmallVec<[Hit<'l>; 20]>;

/// Hits that are less than all of a message.
pub(crate) type Picked<'l> = SmallVec<[Hit<'l>; 8]>;

/// Where something stands in a text, by bytes.
type Spans = SmallVec<[(usize, usize); 4]>;

/// Room in which one message after another is read.
#[derive(Debug, Default)]
pub(crate) struct Room {
    search: Search,
    plain: Plain,
}

/// Normalised text with everything the library found in it.
pub(crate) struct Reading<'l, 't> {
    pub(crate) text: &'t str,
    /// In characters.
    pub(crate) length: usize,
    pub(crate) clauses: SmallVec<[Clause; 4]>,
    /// Hits of all classes but cues, exceptions applied, by start, longest first.
    pub(crate) hits: Hits<'l>,
    /// Hits of cue classes that no longer hit contains, by start.
    pub(crate) cues: Picked<'l>,
    /// Byte ranges inside quotation marks.
    quoted: Spans,
    /// Start of the last contrast word (但是, but).
    pub(crate) contrast: Option<Hit<'l>>,
    /// The first word that something is mended (已经解决了). Kept, because every hit asks for it.
    pub(crate) resolved: Option<Hit<'l>>,
    /// The first word that something is told of elsewhere (新闻里说).
    pub(crate) hearsay: Option<Hit<'l>>,
}

impl<'l, 't> Reading<'l, 't> {
    pub(crate) fn new(
        library: &'l Library,
        Normalized { text, letters, .. }: &'t Normalized,
        room: &mut Room,
    ) -> Reading<'l, 't> {
        let mut found: SmallVec<[Hit<'l>; 32]> = SmallVec::new();
        library.find(text, letters, &mut room.search, |hit| found.push(hit));
        found.reverse();
        find_disguised(library, text, letters, room, |hit| found.push(hit));
        found.sort_unstable_by(|a, b| {
            let place = |hit: &Hit<'l>| (hit.start, Reverse(hit.end));
            let key = |hit: &Hit<'l>| (hit.rank(), hit.entry.class);
            place(a).cmp(&place(b)).then_with(|| {
                let name = key(a).cmp(&key(b)).then_with(|| a.entry.phrase.cmp(&b.entry.phrase));
                name.then_with(|| ptr::from_ref(a.entry).cmp(&ptr::from_ref(b.entry)))
            })
        });
        let mut reading = Reading {
            text,
            length: letters.len(),
            clauses: split(letters),
            hits: Hits::new(),
            cues: Picked::new(),
            quoted: quotations(text, letters),
            contrast: None,
            resolved: None,
            hearsay: None,
        };
        let Reading { clauses, hits, cues, .. } = &mut reading;
        let (mut excepted, mut covered) = (0, 0);
        let exceptions = exceptions(&found);
        for hit in found {
            if hit.entry.class == Class::Exception {
                excepted = excepted.max(hit.end);
                covered = covered.max(hit.end);
            } else if hit.end > excepted {
                if hit.entry.class.is_cue() {
                    // A cue inside a longer phrase is part of that phrase: 不 in 不满意. In a gap it
                    // may still tell that nothing has happened: 充电宝会不会着火.
                    if hit.end > covered
                        || (hit.entry.class == Class::Hypothetical && in_gap(hits, &hit))
                        || same_span(cues.last(), &hit)
                        || same_span(hits.last(), &hit)
                    {
                        cues.push(hit);
                    }
                } else if !exceptions.is_empty() && runs_into(&hit, &exceptions) {
                    continue;
                } else {
                    hits.push(hit);
                }
                covered = covered.max(hit.end);
            }
        }
        let mut at = 0;
        for cue in cues.iter() {
            while at + 1 < clauses.len() && clauses[at].end <= cue.start {
                at += 1;
            }
            if let Some(clause) = clauses.get_mut(at) {
                // "When" and "how" ask at the head of a clause or before a question mark.
                let latin = text.as_bytes()[cue.start].is_ascii();
                let heads = text[clause.start..cue.start].trim().is_empty();
                if cue.entry.class == Class::Question && latin && !heads && !clause.asked {
                    continue;
                }
                clause.cues |= cue.entry.class.bit();
                if cue.entry.class == Class::Hypothetical {
                    clause.hypothetical = clause.hypothetical.min(cue.start);
                }
            }
        }
        let first = |class| cues.iter().find(|cue| cue.entry.class == class).copied();
        let contrast = cues.iter().rev().find(|cue| cue.entry.class == Class::Contrast).copied();
        let (resolved, hearsay) = (first(Class::Resolved), first(Class::Hearsay));
        (reading.contrast, reading.resolved, reading.hearsay) = (contrast, resolved, hearsay);
        reading
    }

    /// The clause that holds the byte `at`.
    pub(crate) fn clause(&self, at: usize) -> &Clause {
        const NOWHERE: &Clause =
            &Clause { start: 0, end: 0, asked: false, cues: 0, hypothetical: usize::MAX };
        let after = self.clauses.partition_point(|clause| clause.start <= at);
        self.clauses.get(after.wrapping_sub(1)).unwrap_or(NOWHERE)
    }

    /// Cues of `class` that lie in the same clause as byte `at`, within `window`
    /// bytes before it; the nearest first.
    pub(crate) fn cues_before(
        &self,
        at: usize,
        class: Class,
        window: usize,
    ) -> impl Iterator<Item = &Hit<'l>> {
        let from = self.clause(at).start.max(at.saturating_sub(window));
        let stop = self.cues.partition_point(|cue| cue.start < at);
        self.cues[..stop]
            .iter()
            .rev()
            .take_while(move |cue| cue.start >= from)
            .filter(move |cue| cue.entry.class == class && cue.end <= at)
    }

    /// Whether a span lies within quotation marks, with other text outside of them.
    pub(crate) fn is_quoted(&self, start: usize, end: usize) -> bool {
        let after = self.quoted.partition_point(|(open, _)| *open <= start);
        after > 0 && self.quoted[after - 1].1 >= end
    }

    /// Of the hits that `counts` accepts, those that the leftmost longest one leaves standing.
    pub(crate) fn leftmost(&self, counts: impl Fn(&Hit<'l>) -> bool) -> Picked<'l> {
        let mut end = 0;
        let mut chosen = Picked::new();
        for hit in self.hits.iter().filter(|hit| counts(hit)) {
            if hit.start >= end {
                end = hit.end;
                chosen.push(*hit);
            }
        }
        chosen
    }

    /// Of the hits with a `weight`, those that the heaviest one (then the longest)
    /// leaves standing, in the order of the text.
    pub(crate) fn heaviest(&self, weight: impl Fn(&Hit<'l>) -> i32) -> Picked<'l> {
        let mut hits: SmallVec<[(i32, Hit<'l>); 8]> = self
            .hits
            .iter()
            .map(|hit| (weight(hit), *hit))
            .filter(|(weight, _)| *weight != 0)
            .collect();
        if hits.len() > 1 {
            hits.sort_by_key(|(weight, hit)| (-weight, hit.start, Reverse(hit.end)));
            let mut taken: SmallVec<[bool; 256]> = smallvec![false; self.text.len()];
            hits.retain(|(_, hit)| {
                let span = &mut taken[hit.start..hit.end];
                let free = !span.iter().any(|byte| *byte);
                if free {
                    span.fill(true);
                }
                free
            });
            hits.sort_by_key(|(_, hit)| hit.start);
        }
        hits.into_iter().map(|(_, hit)| hit).collect()
    }
}

/// Whether a cue lies behind the first piece of a phrase with gaps.
fn in_gap(hits: &[Hit<'_>], cue: &Hit<'_>) -> bool {
    hits.iter().rev().take(GAPPED).any(|hit| hit.gap().contains(&cue.start))
}

/// Phrases that may lie around a cue.
const GAPPED: usize = 8;

fn same_span(one: Option<&Hit<'_>>, other: &Hit<'_>) -> bool {
    one.is_some_and(|one| one.start == other.start && one.end == other.end)
}

/// Risks and abuse that were disguised to slip through are read as they sound.
fn find_disguised<'l>(
    library: &'l Library,
    text: &str,
    letters: &[Letter],
    room: &mut Room,
    mut found: impl FnMut(Hit<'l>),
) {
    let Room { search, plain } = room;
    if !disguise::undo(text, letters, plain) {
        return;
    }
    let Plain { text: plain, letters } = &*plain;
    let mut hits = Hits::new();
    library.find(plain, letters, search, |hit| hits.push(hit));
    hits.reverse();
    let exceptions = exceptions(&hits);
    for hit in hits {
        let (start, end) = origin(letters, hit.start, hit.end);
        let grave = hit.entry.class == Class::Risk || hit.entry.politeness < 0;
        // What stands there undisguised has been found.
        let other = plain[hit.start..hit.end] != text[start..end];
        let meant = grave
            && other
            && !holds(&exceptions, &hit)
            && !runs_into(&hit, &exceptions)
            && ends_a_word(text, start, end);
        if meant {
            found(Hit { start, end, entry: hit.entry });
        }
    }
}

/// Whether a word that signs between words were taken out of is whole: 强/弱/智能 lists, 投 诉
/// disguises.
fn ends_a_word(text: &str, start: usize, end: usize) -> bool {
    let lists = text[start..end].contains([' ', '/', '~', ',', '、', '!', '?', '。']);
    !lists || !text[end..].starts_with(char::is_alphanumeric)
}

/// Where exceptions stand.
fn exceptions(found: &[Hit<'_>]) -> Spans {
    let is_exception = |hit: &&Hit<'_>| hit.entry.class == Class::Exception;
    found.iter().filter(is_exception).map(|hit| (hit.start, hit.end)).collect()
}

/// Whether a phrase lies within an exception.
fn holds(exceptions: &[(usize, usize)], hit: &Hit<'_>) -> bool {
    exceptions.iter().any(|(start, end)| *start <= hit.start && *end >= hit.end)
}

/// Whether an exception begins within a phrase and goes on: 报警器 in 要报警器.
fn runs_into(hit: &Hit<'_>, exceptions: &[(usize, usize)]) -> bool {
    let into =
        |(start, end): &(usize, usize)| (hit.start + 1..hit.end).contains(start) && *end > hit.end;
    // The pieces of a phrase with gaps mean what they mean: 剪好 before 了.
    hit.gap().is_empty() && exceptions.iter().any(into)
}

fn split(letters: &[Letter]) -> SmallVec<[Clause; 4]> {
    let mut clauses: SmallVec<[Clause; 4]> = SmallVec::new();
    let mut start = 0;
    for (index, letter) in letters.iter().enumerate() {
        let c = letter.c;
        let han = |at: Option<usize>| {
            at.and_then(|at| letters.get(at)).is_some_and(|letter| is_han(letter.c))
        };
        let ends = match c {
            ',' | ';' | ':' | '.' | '!' | '?' | '~' | '\n' | '、' | '。' => true,
            ' ' => han(index.checked_sub(1)) && han(Some(index + 1)),
            _ => false,
        };
        if ends {
            let at = letter.at as usize;
            let end = at + c.len_utf8();
            match clauses.last_mut() {
                Some(last) if start == at => {
                    last.end = end;
                    last.asked |= c == '?';
                }
                _ => clauses.push(clause(start, end, c == '?')),
            }
            start = end;
        }
    }
    let end = letters.last().map_or(0, |last| last.at as usize + last.c.len_utf8());
    if start < end {
        clauses.push(clause(start, end, false));
    }
    clauses
}

fn clause(start: usize, end: usize, asked: bool) -> Clause {
    Clause { start, end, asked, cues: 0, hypothetical: usize::MAX }
}

/// Text within quotation marks, unless the marks hold the whole message.
fn quotations(text: &str, letters: &[Letter]) -> Spans {
    const MARKS: &[(char, char)] =
        &[('“', '”'), ('「', '」'), ('『', '』'), ('《', '》'), ('"', '"')];
    let mut quoted = Spans::new();
    let mut open: Option<(usize, char)> = None;
    for letter in letters {
        let (at, c) = (letter.at as usize, letter.c);
        if is_han(c) {
            continue;
        }
        match open {
            Some((start, close)) if c == close => {
                quoted.push((start, at + c.len_utf8()));
                open = None;
            }
            Some(_) => {}
            None => {
                open = MARKS.iter().find(|(mark, _)| *mark == c).map(|(_, close)| (at, *close));
            }
        }
    }
    let inside: usize = quoted.iter().map(|(start, end)| end - start).sum();
    if inside == text.trim().len() {
        quoted.clear();
    }
    quoted
}
