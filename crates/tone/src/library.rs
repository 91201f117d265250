//! The phrase library: data files, their format, and the trie made of them.
//!
//! A file holds sections; a section gives its entries a class and what they count:
//!
//! ```text
//! # a comment
//! [thanks] politeness=8 sentiment=0.25 acts=thanks
//! 谢谢{您|你|} / 感谢{您|你|}的{耐心|}等待
//! ```
//!
//! Entries stand between ` / `. `{a|b|}` stands for each of its alternatives, `…` for
//! nothing or up to [`GAP`] bytes within a sentence. Section keys: `politeness`, `sentiment`,
//! `urgency` (points), `factor` (of an intensifier), `category` (of a risk), `acts`
//! (comma-separated), `forbidden`. A phrase is written in its normalised spelling or
//! any other: it is normalised when read. A later entry of the same class and phrase
//! replaces the earlier one.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use crate::assessment::{Act, Acts, UrgentCategory};
use crate::head::HeadProblem;
use crate::normalize::{Letter, Normalized, Normalizer};
use crate::trie::{Occurrence, Trie};

/// Longest stretch that `…` stands for, in bytes of normalised text: about 14
/// Chinese characters or 8 English words.
pub(crate) const GAP: usize = 42;

/// The bit that every text has: what an entry without followers needs.
const ALWAYS: u32 = 0;

/// Bits that tell sets apart. Sets beyond their number share them.
const BITS: u32 = 1024;

/// Longest piece of a phrase with gaps, in bytes.
const LONGEST: usize = 60;

/// Bytes of a text in which followers are looked up together.
const BLOCK: usize = 512;

/// Followers of an entry: the last is found within a block after the first piece.
const FOLLOWERS: usize = (BLOCK - LONGEST) / (GAP + LONGEST);

/// Places tried for the followers of one entry: more never help in a sentence.
const TRIES: u32 = 48;

/// Alternatives multiply up to this number; beyond it they are matched one after the
/// other, which keeps the trie small.
const PRODUCT: usize = 12;

/// Bytes of a file by entry, or by pattern: both are about as many.
const BYTES: usize = 10;

/// More alternatives than this are a mistake, and so are braces within more than so many others.
const ALTERNATIVES: usize = 4096;
const DEEPEST: usize = 8;

const FILES: &[(&str, &str)] = &[
    ("zh_agent.txt", include_str!("../library/zh_agent.txt")),
    ("zh_customer.txt", include_str!("../library/zh_customer.txt")),
    ("zh_sentiment.txt", include_str!("../library/zh_sentiment.txt")),
    ("zh_risk.txt", include_str!("../library/zh_risk.txt")),
    ("zh_cues.txt", include_str!("../library/zh_cues.txt")),
    ("en_agent.txt", include_str!("../library/en_agent.txt")),
    ("en_customer.txt", include_str!("../library/en_customer.txt")),
    ("en_sentiment.txt", include_str!("../library/en_sentiment.txt")),
    ("en_risk.txt", include_str!("../library/en_risk.txt")),
    ("en_cues.txt", include_str!("../library/en_cues.txt")),
    ("emoji.txt", include_str!("../library/emoji.txt")),
];

const TRADITIONAL: (&str, &str) = ("traditional.txt", include_str!("../library/traditional.txt"));

/// What is wrong with a line of the library.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not two Chinese characters.
    #[error("'{0}' is not a pair of Chinese characters")]
    Pair(String),
    /// A section header without its closing bracket.
    #[error("the section has no closing bracket")]
    Section,
    /// An unknown class.
    #[error("there is no class '{0}'")]
    Class(String),
    /// An unknown key, or a value that does not fit its key.
    #[error("'{0}' is not a key with a fitting value")]
    Key(String),
    /// An entry before the first section.
    #[error("an entry needs a section above it")]
    NoSection,
    /// Unbalanced or nested braces.
    #[error("the braces of '{0}' do not pair up")]
    Braces(String),
    /// Nothing left after normalisation.
    #[error("'{0}' holds nothing to find")]
    Empty(String),
    /// A piece of a phrase with gaps that is too long.
    #[error("a piece of '{0}' is longer than {LONGEST} bytes, and it has gaps")]
    TooLong(String),
    /// More pieces after the first than are looked for.
    #[error("'{0}' has more than {FOLLOWERS} pieces after the first")]
    Followers(String),
    /// More alternatives than a line should give.
    #[error("'{0}' stands for more than {ALTERNATIVES} entries")]
    TooMany(String),
    /// No standard phrase, or one whose name another has.
    #[error(
        "'{0}' is no `[scene]`, no `id level | words` with a new id and no `for` or `not` after one"
    )]
    Phrase(String),
    /// No point of a curve of confidence, or one that does not rise.
    #[error("'{0}' is no language, label, value and share that rise")]
    Curve(String),
}

/// Why a library cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    /// A line that cannot be read.
    #[error("{file}, line {line}: {problem}")]
    Line {
        /// Name of the file.
        file: Box<str>,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        problem: Problem,
    },
    /// A trained head that cannot be read.
    #[error("head {name}: {problem}")]
    Head {
        /// Name of the head.
        name: &'static str,
        /// What is wrong.
        problem: HeadProblem,
    },
    /// More phrases than can be numbered.
    #[error("the phrase library is too large to compile")]
    Large,
}

impl LibraryError {
    pub(crate) fn at(file: &str, line: usize, problem: Problem) -> LibraryError {
        LibraryError::Line { file: file.into(), line, problem }
    }
}

macro_rules! classes {
    ($($variant:ident => $name:literal),+ $(,)?) => {
        /// What kind of phrase an entry is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub(crate) enum Class { $($variant),+ }

        impl Class {
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Class::$variant => $name),+ }
            }

            fn from_name(name: &str) -> Option<Class> {
                match name { $($name => Some(Class::$variant),)+ _ => None }
            }
        }
    };
}

classes! {
    Greeting => "greeting",
    Thanks => "thanks",
    Courtesy => "courtesy",
    Closing => "closing",
    Apology => "apology",
    Empathy => "empathy",
    Holding => "holding",
    Offer => "offer",
    Advice => "advice",
    Promise => "promise",
    Refusal => "refusal",
    OwnFault => "own_fault",
    Acknowledge => "acknowledge",
    Filler => "filler",
    Blunt => "blunt",
    Imperative => "imperative",
    Blame => "blame",
    FlatRefusal => "flat_refusal",
    Dismissive => "dismissive",
    Insult => "insult",
    Threat => "threat",
    Sarcasm => "sarcasm",
    Vague => "vague",
    OverPromise => "over_promise",
    Positive => "positive",
    Negative => "negative",
    Complaint => "complaint",
    Idiom => "idiom",
    Emoji => "emoji",
    Risk => "risk",
    Negator => "negator",
    Intensifier => "intensifier",
    Contrast => "contrast",
    Question => "question",
    Rhetorical => "rhetorical",
    Hypothetical => "hypothetical",
    SarcasmCue => "sarcasm_cue",
    Withdrawn => "withdrawn",
    Resolved => "resolved",
    ThirdParty => "third_party",
    Resolve => "resolve",
    Exception => "exception",
    Hearsay => "hearsay",
    Curt => "curt",
}

impl Class {
    /// Cues say nothing alone: they change what other entries say.
    pub(crate) fn is_cue(self) -> bool {
        matches!(
            self,
            Class::Negator
                | Class::Intensifier
                | Class::Contrast
                | Class::Question
                | Class::Rhetorical
                | Class::Hypothetical
                | Class::SarcasmCue
                | Class::Withdrawn
                | Class::Resolved
                | Class::ThirdParty
                | Class::Resolve
                | Class::Hearsay
        )
    }

    pub(crate) fn bit(self) -> u64 {
        1 << self as u64
    }
}

/// A piece after a gap: one of the alternatives of a set of patterns.
#[derive(Clone, Copy, Debug)]
struct Follower {
    set: u32,
    /// The piece may be missing.
    optional: bool,
    /// Anything may come before it, up to the gap; else it follows at once.
    after_gap: bool,
}

/// One phrase and what it counts. Points are thousandths.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) class: Class,
    /// Its first piece, normalised, with `…` if more must follow: the name of the entry.
    pub(crate) phrase: Arc<str>,
    /// What must follow, each after a gap.
    rest: Box<[Follower]>,
    pub(crate) politeness: i32,
    pub(crate) sentiment: i32,
    pub(crate) urgency: i32,
    pub(crate) factor: i32,
    pub(crate) category: Option<UrgentCategory>,
    pub(crate) acts: Acts,
    pub(crate) forbidden: bool,
}

/// The compiled library.
pub(crate) struct Library {
    pub(crate) normalizer: Normalizer,
    trie: Trie,
    entries: Vec<Entry>,
    /// By entry: the bit of a set of which a follower must be there. Most entries are told by it
    /// not to be in a text.
    needs: Vec<u32>,
    /// By pattern of the trie, and one more that ends the last.
    patterns: Vec<Pattern>,
    /// What patterns can be followers of, the same for many.
    kinds: Vec<Kind>,
    /// The sets of each kind, sorted.
    sets: Vec<u32>,
    pub(crate) hash: String,
}

/// What is known of a pattern of the trie.
#[derive(Clone, Copy, Debug)]
struct Pattern {
    /// The first of the entries that begin with it, up to those of the next pattern.
    entries: u32,
    /// Its [`Kind`].
    kind: u32,
}

/// The sets of followers that a pattern belongs to.
#[derive(Clone, Debug, Default)]
struct Kind {
    /// Those that an entry needs.
    present: Present,
    /// Where all of them stand.
    sets: Range<usize>,
}

/// Which sets of followers are there, by their bits.
#[derive(Clone, Copy, Debug, Default)]
struct Present([u64; BITS as usize / 64]);

impl Present {
    fn in_any() -> Present {
        let mut present = Present::default();
        present.add(ALWAYS);
        present
    }

    fn has(&self, bit: u32) -> bool {
        self.0[(bit / 64) as usize % self.0.len()] & (1 << (bit % 64)) != 0
    }

    fn add(&mut self, bit: u32) {
        self.0[(bit / 64) as usize % self.0.len()] |= 1 << (bit % 64);
    }

    fn add_all(&mut self, others: &Present) {
        for (word, other) in self.0.iter_mut().zip(others.0) {
            *word |= other;
        }
    }
}

/// Room for what is found in a text on the way to its hits.
#[derive(Debug, Default)]
pub(crate) struct Search {
    occurrences: Vec<Occurrence>,
}

/// An entry found in a text, by bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit<'l> {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) entry: &'l Entry,
}

#[derive(Clone, Default)]
struct Section {
    class: Option<Class>,
    politeness: i32,
    sentiment: i32,
    urgency: i32,
    factor: i32,
    category: Option<UrgentCategory>,
    acts: Acts,
    forbidden: bool,
}

impl Section {
    fn parse(header: &str) -> Result<Section, Problem> {
        let (name, keys) = header
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
            .ok_or(Problem::Section)?;
        let mut section = Section {
            class: Some(Class::from_name(name).ok_or_else(|| Problem::Class(name.into()))?),
            factor: 1000,
            ..Section::default()
        };
        for word in keys.split_whitespace() {
            section.set(word).ok_or_else(|| Problem::Key(word.into()))?;
        }
        Ok(section)
    }

    fn set(&mut self, word: &str) -> Option<()> {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let thousandths = || {
            let points: f64 = value.parse().ok()?;
            (points.abs() <= 1000.0).then(|| (points * 1000.0).round() as i32)
        };
        match key {
            "politeness" => self.politeness = thousandths()?,
            "sentiment" => self.sentiment = thousandths()?,
            "urgency" => self.urgency = thousandths()?,
            "factor" => self.factor = thousandths()?,
            "category" => self.category = Some(UrgentCategory::from_name(value)?),
            "acts" => {
                self.acts = value.split(',').map(Act::from_name).collect::<Option<Acts>>()?;
            }
            "forbidden" if value.is_empty() => self.forbidden = true,
            _ => return None,
        }
        Some(())
    }
}

/// A phrase as it is written: pieces that follow each other, at once or after a gap.
struct Piece {
    after_gap: bool,
    alternatives: Vec<String>,
}

/// Splits a phrase into pieces. Alternatives multiply up to [`PRODUCT`] per piece;
/// what comes after becomes a piece of its own that must follow at once.
fn pieces(phrase: &str) -> Result<Vec<Piece>, Problem> {
    let broken = || Problem::Braces(phrase.into());
    let mut pieces = vec![Piece { after_gap: false, alternatives: vec![String::new()] }];
    let mut rest = phrase;
    while let Some(c) = rest.chars().next() {
        if c == '…' {
            // The space before a gap is part of the gap.
            if let Some(last) = pieces.last_mut() {
                for one in &mut last.alternatives {
                    one.truncate(one.trim_end().len());
                }
            }
            pieces.push(Piece { after_gap: true, alternatives: vec![String::new()] });
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let length = if c == '{' {
            closing(rest).ok_or_else(broken)? + 1
        } else {
            rest.find(['{', '…', '}']).unwrap_or(rest.len())
        };
        if length == 0 {
            return Err(broken());
        }
        let choices = if c == '{' {
            let mut choices = Vec::new();
            alternatives(&rest[1..length - 1], DEEPEST, &mut choices)
                .map_err(|fault| fault.of(phrase))?;
            choices
        } else {
            vec![rest[..length].to_owned()]
        };
        if let Some(last) = pieces.last_mut() {
            let full = last.alternatives.len() * choices.len() > PRODUCT;
            if full && last.alternatives.iter().all(|one| !one.is_empty()) {
                pieces.push(Piece { after_gap: false, alternatives: choices });
            } else {
                last.alternatives = product(std::mem::take(&mut last.alternatives), &choices)
                    .map_err(|fault| fault.of(phrase))?;
            }
        }
        rest = &rest[length..];
    }
    Ok(pieces)
}

/// Position of the brace that closes the one at the start.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Why a phrase has no alternatives.
#[derive(Clone, Copy)]
enum Fault {
    Braces,
    TooMany,
}

impl Fault {
    fn of(self, phrase: &str) -> Problem {
        match self {
            Self::Braces => Problem::Braces(phrase.into()),
            Self::TooMany => Problem::TooMany(phrase.into()),
        }
    }
}

/// The alternatives of what stands between two braces, which may hold `depth` more within each
/// other and no gap.
fn alternatives(inner: &str, depth: usize, into: &mut Vec<String>) -> Result<(), Fault> {
    if inner.contains('…') {
        return Err(Fault::Braces);
    }
    let mut sequence = vec![String::new()];
    let mut rest = inner;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '|' => {
                into.append(&mut sequence);
                sequence.push(String::new());
                1
            }
            '{' => {
                let close = closing(rest).ok_or(Fault::Braces)?;
                let depth = depth.checked_sub(1).ok_or(Fault::Braces)?;
                let mut choices = Vec::new();
                alternatives(&rest[1..close], depth, &mut choices)?;
                sequence = product(sequence, &choices)?;
                close + 1
            }
            _ => {
                let length = rest.find(['{', '|']).unwrap_or(rest.len());
                for head in &mut sequence {
                    head.push_str(&rest[..length]);
                }
                length
            }
        };
        rest = &rest[length..];
    }
    into.append(&mut sequence);
    Ok(())
}

/// Every head with every tail, unless they are too many to be made; a lone tail is put to the heads
/// where they are.
fn product(mut heads: Vec<String>, tails: &[String]) -> Result<Vec<String>, Fault> {
    if let [tail] = tails {
        for head in &mut heads {
            head.push_str(tail);
        }
        return Ok(heads);
    }
    if heads.len() * tails.len() > ALTERNATIVES {
        return Err(Fault::TooMany);
    }
    let both = |head: &String, tail: &String| [head.as_str(), tail].concat();
    Ok(heads.iter().flat_map(|head| tails.iter().map(move |tail| both(head, tail))).collect())
}

impl Hit<'_> {
    /// The bytes behind the first piece of a phrase with gaps; nothing of another.
    pub(crate) fn gap(&self) -> Range<usize> {
        let first = self.entry.phrase.trim_end_matches('…').len();
        if self.entry.rest.is_empty() { self.end..self.end } else { self.start + first..self.end }
    }

    /// Where spans are equal: a phrase as it stands, then an exception, then a phrase
    /// with gaps, which an exception of the same length therefore swallows.
    pub(crate) fn rank(&self) -> u8 {
        match (self.entry.class, self.entry.rest.is_empty()) {
            (Class::Exception, _) => 1,
            (_, true) => 0,
            (_, false) => 2,
        }
    }
}

impl Library {
    /// The library that is part of the program.
    #[cfg(test)]
    pub(crate) fn embedded() -> Result<Library, LibraryError> {
        Library::layered(&[])
    }

    /// The library that is part of the program with files (name and content) on top of it.
    pub(crate) fn layered(own: &[(&str, &str)]) -> Result<Library, LibraryError> {
        let files: Vec<(&str, &str)> = FILES.iter().chain(own).copied().collect();
        Library::compile(TRADITIONAL, &files)
    }

    fn compile(
        traditional: (&'static str, &str),
        files: &[(&str, &str)],
    ) -> Result<Library, LibraryError> {
        let normalizer = Normalizer::new(traditional.0, traditional.1)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(traditional.1.as_bytes());
        // Growing step by step would touch twice the memory.
        let bytes: usize = files.iter().map(|(_, content)| content.len()).sum();
        let room = bytes / BYTES;
        let mut draft = Draft {
            normalizer: &normalizer,
            plain: Normalized::default(),
            patterns: HashMap::with_capacity(room),
            entries: Vec::with_capacity(room),
            sets: HashMap::new(),
            nothing: "".into(),
        };
        for (file, content) in files {
            hasher.update(content.as_bytes());
            let mut section = Section::default();
            for (index, line) in content.lines().enumerate() {
                let at = |problem| LibraryError::at(file, index + 1, problem);
                let line = line.trim();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                // A sticker such as [比心] is an entry, not a section.
                if line.starts_with('[') && line[1..].starts_with(|c: char| c.is_ascii_lowercase())
                {
                    section = Section::parse(line).map_err(at)?;
                    continue;
                }
                let class = section.class.ok_or_else(|| at(Problem::NoSection))?;
                for written in line.split(" / ") {
                    draft.add(written.trim(), class, &section).map_err(at)?;
                }
            }
        }
        let Draft { patterns, entries, sets, .. } = draft;
        // Most differ in their first bytes, which compare as a number.
        let first_bytes = |pattern: &str| {
            pattern
                .bytes()
                .chain(std::iter::repeat(0))
                .take(8)
                .fold(0, |all, byte| (all << 8) | u64::from(byte))
        };
        let mut sorted: Vec<(u64, Box<str>, u32)> = patterns
            .into_iter()
            .map(|(pattern, number)| (first_bytes(&pattern), pattern, number))
            .collect();
        sorted.sort_unstable();
        let mut places = vec![0_u32; sorted.len()];
        for (place, (_, _, number)) in (0..).zip(&sorted) {
            places[*number as usize] = place;
        }
        let trie = Trie::new(&sorted.iter().map(|(_, pattern, _)| &**pattern).collect::<Vec<_>>());
        let mut library = Library {
            normalizer,
            trie: trie.ok_or(LibraryError::Large)?,
            entries: Vec::with_capacity(entries.len()),
            needs: Vec::with_capacity(entries.len()),
            patterns: vec![Pattern { entries: 0, kind: 0 }; sorted.len() + 1],
            kinds: Vec::new(),
            sets: Vec::new(),
            hash: hasher.finalize().to_hex().to_string(),
        };
        // How often one of a set is likely to be in a text: short patterns are frequent.
        let mut common = vec![0_u64; sets.len()];
        for (patterns, set) in &sets {
            common[*set as usize] = patterns
                .iter()
                .map(|number| sorted[places[*number as usize] as usize].1.chars().count())
                .map(|length| 1_u64 << (4 * 6_usize.saturating_sub(length)))
                .sum();
        }
        let bits = library.take(entries, &places, &common);
        library.tell_apart(sets, &places, &bits);
        Ok(library)
    }

    /// Puts the entries in order, of those with the same key the last alone. Each needs the least
    /// `common` of its sets; returned are the bits of those.
    fn take(
        &mut self,
        entries: Vec<(Key, Entry)>,
        places: &[u32],
        common: &[u64],
    ) -> HashMap<u32, u32> {
        let tail = |at: usize| &entries[at].0.tail;
        let mut order: Vec<(u32, Class, usize)> = entries
            .iter()
            .enumerate()
            .map(|(at, (key, _))| (places[key.first as usize], key.class, at))
            .collect();
        order.sort_unstable_by(|one, other| {
            let first = (one.0, one.1).cmp(&(other.0, other.1));
            first.then_with(|| tail(one.2).cmp(tail(other.2))).then(other.2.cmp(&one.2))
        });
        order.dedup_by(|other, last| entries[other.2].0 == entries[last.2].0);
        let mut bits: HashMap<u32, u32> = HashMap::new();
        let mut entries: Vec<Option<(Key, Entry)>> = entries.into_iter().map(Some).collect();
        let mut begun = 0;
        for (place, _, at) in order {
            let Some((_, entry)) = entries[at].take() else { continue };
            while begun <= place as usize {
                self.patterns[begun].entries = self.entries.len() as u32;
                begun += 1;
            }
            let needed = entry.rest.iter().filter(|follower| !follower.optional);
            let needed = needed.min_by_key(|follower| common[follower.set as usize]);
            let next = 1 + bits.len() as u32 % (BITS - 1);
            self.needs.push(needed.map_or(ALWAYS, |one| *bits.entry(one.set).or_insert(next)));
            self.entries.push(entry);
        }
        for pattern in &mut self.patterns[begun..] {
            pattern.entries = self.entries.len() as u32;
        }
        bits
    }

    /// Tells each pattern what sets it belongs to.
    fn tell_apart(
        &mut self,
        sets: HashMap<Vec<u32>, u32>,
        places: &[u32],
        bits: &HashMap<u32, u32>,
    ) {
        let mut members: Vec<(u32, u32)> = sets
            .into_iter()
            .flat_map(|(patterns, set)| patterns.into_iter().map(move |one| (one, set)))
            .map(|(number, set)| (places[number as usize], set))
            .collect();
        members.sort_unstable();
        self.kinds.push(Kind::default());
        let mut known: HashMap<Vec<u32>, u32> = HashMap::new();
        for of_one in members.chunk_by(|one, other| one.0 == other.0) {
            let sets: Vec<u32> = of_one.iter().map(|(_, set)| *set).collect();
            let kind = *known.entry(sets).or_insert_with_key(|sets| {
                let mut present = Present::default();
                sets.iter().filter_map(|set| bits.get(set)).for_each(|bit| present.add(*bit));
                let from = self.sets.len();
                self.sets.extend(sets);
                self.kinds.push(Kind { present, sets: from..self.sets.len() });
                self.kinds.len() as u32 - 1
            });
            self.patterns[of_one[0].0 as usize].kind = kind;
        }
    }

    /// Number of entries, alternatives counted.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The phrases without gaps that sound like a side, with their sentiment in thousandths, and
    /// those that everybody says of whatever mood, with 0.
    pub(crate) fn moods(&self) -> impl Iterator<Item = (&str, i32)> {
        let plain = |class| matches!(class, Class::Greeting | Class::Acknowledge | Class::Filler);
        self.entries
            .iter()
            .filter(move |entry| entry.rest.is_empty())
            .filter(move |entry| entry.sentiment != 0 || plain(entry.class))
            .map(|entry| (&*entry.phrase, entry.sentiment))
    }

    fn kind(&self, found: &Occurrence) -> &Kind {
        &self.kinds[self.patterns[found.pattern as usize].kind as usize]
    }

    /// Calls `each` with every entry found in a normalised text, overlapping ones included, from
    /// the last to the first.
    pub(crate) fn find<'l>(
        &'l self,
        text: &str,
        letters: &[Letter],
        search: &mut Search,
        mut each: impl FnMut(Hit<'l>),
    ) {
        let Search { occurrences } = search;
        self.trie.find(letters, occurrences);
        // Most entries with followers lack one of them: told by the sets of what begins later in
        // the block of the text and of what begins in the next one. A long text would have them
        // all.
        let mut near = Present::in_any();
        let mut block = 0;
        for (index, found) in occurrences.iter().enumerate().rev() {
            let (start, end) = (found.start as usize, found.end as usize);
            let later = &occurrences[index + 1..];
            if start / BLOCK != block {
                block = start / BLOCK;
                near = Present::in_any();
                let reach = (block as u32 + 2) * BLOCK as u32;
                for found in later.iter().take_while(|found| found.start < reach) {
                    near.add_all(&self.kind(found).present);
                }
            }
            let pattern = found.pattern as usize;
            let entries = self.patterns[pattern].entries..self.patterns[pattern + 1].entries;
            for at in entries.rev() {
                if !near.has(self.needs[at as usize]) {
                    continue;
                }
                let entry = &self.entries[at as usize];
                if entry.rest.is_empty() {
                    each(Hit { start, end, entry });
                } else if let Some(end) = self.follow(text, end, &entry.rest, later) {
                    each(Hit { start, end, entry });
                }
            }
            near.add_all(&self.kind(found).present);
        }
    }

    /// Where the last of the pieces ends, if each follows the one before within the
    /// gap and the sentence. `later` holds what was found with a start beyond the first.
    fn follow(
        &self,
        text: &str,
        end: usize,
        rest: &[Follower],
        later: &[Occurrence],
    ) -> Option<usize> {
        let mut tries = TRIES;
        self.follow_from(text, end, rest, later, &mut tries)
    }

    /// The nearest place for the first follower that leaves one for the others, and there its
    /// longest pattern: in 十五次 the number before 次 is 十五 or 五, not 十.
    fn follow_from(
        &self,
        text: &str,
        end: usize,
        rest: &[Follower],
        later: &[Occurrence],
        tries: &mut u32,
    ) -> Option<usize> {
        let Some((follower, rest)) = rest.split_first() else {
            return Some(end);
        };
        let gap = if follower.after_gap { sentence(&text[end..]).min(GAP) } else { 0 };
        let (from, reach) = (end as u32, (end + gap) as u32);
        let begin = later.iter().take_while(|found| found.start < from).count();
        let later = &later[begin..];
        for (index, found) in later.iter().enumerate() {
            if found.start > reach {
                break;
            }
            if self.sets[self.kind(found).sets.clone()].binary_search(&follower.set).is_err() {
                continue;
            }
            let end = found.end as usize;
            if rest.is_empty() {
                return Some(end);
            }
            *tries = tries.checked_sub(1)?;
            if let Some(last) = self.follow_from(text, end, rest, &later[index..], tries) {
                return Some(last);
            }
        }
        if follower.optional { self.follow_from(text, end, rest, later, tries) } else { None }
    }
}

/// What makes an entry another one than those before.
#[derive(PartialEq, Eq)]
struct Key {
    /// The pattern that it begins with.
    first: u32,
    class: Class,
    /// The phrase as written, if more must follow its first piece.
    tail: Rc<str>,
}

/// Entries and follower sets while files are read.
struct Draft<'n> {
    normalizer: &'n Normalizer,
    plain: Normalized,
    /// Numbered by first appearance.
    patterns: HashMap<Box<str>, u32>,
    entries: Vec<(Key, Entry)>,
    /// Of patterns; numbered by first appearance.
    sets: HashMap<Vec<u32>, u32>,
    /// The tail of an entry that has none.
    nothing: Rc<str>,
}

impl Draft<'_> {
    fn add(&mut self, written: &str, class: Class, section: &Section) -> Result<(), Problem> {
        // A gap may be empty, so an optional gap is a gap.
        let written = written.replace("{…|}", "…");
        let mut pieces = pieces(&written)?.into_iter();
        let first = pieces.next().map(|piece| self.normalized(&piece)).unwrap_or_default();
        if first.first().is_none_or(|one| one.is_empty()) {
            return Err(Problem::Empty(written));
        }
        if first.len() > ALTERNATIVES {
            return Err(Problem::TooMany(written));
        }
        let mut rest = Vec::new();
        for piece in pieces {
            let mut alternatives = self.normalized(&piece);
            let optional = alternatives.first().is_some_and(|one| one.is_empty());
            alternatives.retain(|one| !one.is_empty());
            if alternatives.is_empty() {
                continue;
            }
            if alternatives.iter().any(|one| one.len() > LONGEST) {
                return Err(Problem::TooLong(written));
            }
            if rest.len() == FOLLOWERS {
                return Err(Problem::Followers(written));
            }
            let alternatives = alternatives.into_iter().map(|one| self.number(one)).collect();
            let next = self.sets.len() as u32;
            let set = *self.sets.entry(alternatives).or_insert(next);
            rest.push(Follower { set, optional, after_gap: piece.after_gap });
        }
        if !rest.is_empty() && first.iter().any(|one| one.len() > LONGEST) {
            return Err(Problem::TooLong(written));
        }
        let tail: Rc<str> = if rest.is_empty() { Rc::clone(&self.nothing) } else { written.into() };
        let rest: Box<[Follower]> = rest.into();
        for first in first {
            let entry = Entry {
                class,
                phrase: if rest.is_empty() {
                    Arc::from(&*first)
                } else {
                    Arc::from([&*first, "…"].concat())
                },
                rest: rest.clone(),
                politeness: section.politeness,
                sentiment: section.sentiment,
                urgency: section.urgency,
                factor: section.factor,
                category: section.category,
                acts: section.acts,
                forbidden: section.forbidden,
            };
            let first = self.number(first);
            self.entries.push((Key { first, class, tail: Rc::clone(&tail) }, entry));
        }
        Ok(())
    }

    /// The normalised alternatives of a piece, sorted, each once. Spaces around a piece that
    /// follows at once belong to it.
    fn normalized(&mut self, piece: &Piece) -> Vec<Box<str>> {
        let mut alternatives: Vec<Box<str>> = Vec::with_capacity(piece.alternatives.len());
        for phrase in &piece.alternatives {
            let phrase = if piece.after_gap { phrase.trim_start() } else { phrase };
            self.normalizer.piece_into(phrase, &mut self.plain);
            alternatives.push(self.plain.text.as_str().into());
        }
        alternatives.sort_unstable();
        alternatives.dedup();
        alternatives
    }

    fn number(&mut self, pattern: Box<str>) -> u32 {
        let next = self.patterns.len() as u32;
        *self.patterns.entry(pattern).or_insert(next)
    }
}

/// Bytes up to the end of the sentence, looking no further than a gap can.
fn sentence(text: &str) -> usize {
    let bytes = text.as_bytes();
    let near = &bytes[..bytes.len().min(GAP)];
    near.iter()
        .enumerate()
        .find(|(at, byte)| {
            matches!(byte, b'.' | b'!' | b'?' | b';' | b'\n')
                || bytes[*at..].starts_with("。".as_bytes())
        })
        .map_or(bytes.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    const TABLE: (&str, &str) = ("traditional.txt", "訴诉");

    fn library(content: &'static str) -> Result<Library, LibraryError> {
        Library::compile(TABLE, &[("mine.txt", content)])
    }

    fn found(content: &'static str, text: &str) -> Vec<String> {
        let library = library(content).unwrap();
        let mut hits = Vec::new();
        let each = |hit: Hit<'_>| hits.push(text[hit.start..hit.end].to_owned());
        let letters = library.normalizer.normalize(text).letters;
        library.find(text, &letters, &mut Search::default(), each);
        hits.reverse();
        hits
    }

    #[test]
    fn alternatives_multiply() {
        assert_eq!(library("[thanks]\n谢谢{您|你|}{了|}").unwrap().len(), 6);
    }

    #[test]
    fn phrases_are_normalised_when_read() {
        assert_eq!(found("[risk]\n投訴", "我要投诉"), ["投诉"]);
    }

    #[test]
    fn a_latin_word_is_not_cut_out_of_a_longer_one() {
        assert!(found("[negative]\nrude", "crude oil").is_empty());
        assert_eq!(found("[negative]\nrude", "so rude!"), ["rude"]);
    }

    #[test]
    fn a_gap_stays_within_its_sentence_and_its_length() {
        let entry = "[risk]\n再不…就告";
        assert_eq!(found(entry, "再不退款,我就告你"), ["再不退款,我就告"]);
        assert!(found(entry, "再不退款。我就告你").is_empty());
        assert!(found(entry, "再不一二三四五六七八九十一二三四五六七就告你").is_empty());
    }

    #[test]
    fn a_bad_line_is_named() {
        let text = |content| library(content).err().unwrap().to_string();
        assert_eq!(text("好"), "mine.txt, line 1: an entry needs a section above it");
        assert_eq!(text("\n[nice]"), "mine.txt, line 2: there is no class 'nice'");
        assert_eq!(
            text("[thanks] politeness=x"),
            "mine.txt, line 1: 'politeness=x' is not a key with a fitting value"
        );
        assert_eq!(text("[thanks]\n{a|b"), "mine.txt, line 2: the braces of '{a|b' do not pair up");
        assert_eq!(text("[thanks]\na / …b"), "mine.txt, line 2: '…b' holds nothing to find");
        assert_eq!(text("[thanks]\n{a|}"), "mine.txt, line 2: '{a|}' holds nothing to find");
    }

    #[test]
    fn alternatives_that_multiply_without_end_are_refused_before_they_are_made() {
        let (optional, inner) = ("{a|}".repeat(64), format!("{{x{}}}", "{a|b}".repeat(64)));
        let deep = format!("x{}a{}", "{".repeat(20_000), "}".repeat(20_000));
        let said = |entry: &str| {
            let content = format!("[thanks]\n{entry}");
            Library::compile(TABLE, &[("mine.txt", &content)]).err().unwrap().to_string()
        };
        assert!(said(&optional).contains("stands for more than 4096 entries"));
        assert!(said(&inner).contains("stands for more than 4096 entries"));
        assert!(said(&deep).contains("do not pair up"));
    }

    #[test]
    fn fuzzed_files_of_phrases_are_read_or_refused_by_line() {
        let corpus = [
            "[thanks] politeness=8 sentiment=0.25 acts=thanks\n谢谢{您|你|} / 感谢{您|你|}的{耐心|}等待",
            "# a comment\n[risk] category=legal urgency=20\n再不…就告 / sue {you|u}\n[比心]",
            "[thanks]\n{a|b}{c|d}{e|}…f",
        ];
        let words = &[
            "{",
            "}",
            "|",
            " / ",
            "…",
            "[",
            "]",
            "\n[thanks] ",
            "politeness=",
            "factor=",
            "acts=thanks",
            "forbidden",
            "1e9",
            "-0",
            "NaN",
            "投訴",
            "İ",
            "\u{200b}",
            "#",
            "category=safety",
        ];
        let search = zhili_fuzz::Search::of("phrase library").corpus(corpus).words(words);
        search.longest(512).inputs(200).run(|input| {
            let content = String::from_utf8_lossy(input);
            match Library::compile(TABLE, &[("mine.txt", &content)]) {
                Ok(library) => {
                    let Normalized { text, letters, .. } = library.normalizer.normalize(&content);
                    let mut hits = 0_usize;
                    library.find(&text, &letters, &mut Search::default(), |hit| {
                        assert!(text.get(hit.start..hit.end).is_some(), "cuts a character");
                        hits += 1;
                    });
                    zhili_fuzz::kind(&(library.len().min(64), hits.min(8)))
                }
                Err(error) => {
                    let said = error.to_string();
                    assert!(said.starts_with("mine.txt, line "), "{said}");
                    zhili_fuzz::words_of(&said)
                }
            }
        });
    }

    #[test]
    fn a_later_entry_replaces_the_earlier_one() {
        let library = library("[thanks] politeness=8\n谢谢\n[thanks] politeness=3\n谢谢").unwrap();
        assert_eq!(library.len(), 1);
        assert_eq!(library.entries[0].politeness, 3000);
    }

    /// Texts of the labelled sets beside the repository and of the project's samples.
    fn held_out() -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut texts = Vec::new();
        for folder in [root.join("../shared/data"), root.join("tests/samples")] {
            let Ok(files) = std::fs::read_dir(&folder) else {
                eprintln!("skipped: there is no {}", folder.display());
                continue;
            };
            for path in files.map(|file| file.unwrap().path()) {
                let name = path.to_string_lossy();
                let labelled = name.ends_with("_hand.jsonl") || folder.ends_with("tests/samples");
                if labelled && name.ends_with(".jsonl") {
                    let content = std::fs::read_to_string(&path).unwrap();
                    texts.extend(content.split("\"text\":").skip(1).filter_map(|rest| {
                        rest.trim_start().strip_prefix('"')?.split('"').next().map(str::to_owned)
                    }));
                }
            }
        }
        texts
    }

    /// Words and short formulas are everybody's; a sentence of a labelled text is not.
    #[test]
    fn no_entry_is_a_labelled_text_or_a_sample_verbatim() {
        let library = Library::embedded().unwrap();
        let sentence = |text: &str| {
            let han = text.chars().filter(|c| crate::normalize::is_han(*c)).count();
            han > 8 || text.split_whitespace().count() > 5
        };
        let phrases: BTreeSet<&str> = library
            .entries
            .iter()
            .filter(|entry| entry.rest.is_empty() && sentence(&entry.phrase))
            .map(|entry| &*entry.phrase)
            .collect();
        let held: Vec<String> = held_out()
            .iter()
            .map(|text| library.normalizer.normalize(text).text)
            .map(|text| text.trim_end_matches(['!', '.', '?', '。', '~', ',']).to_owned())
            .filter(|text| phrases.contains(text.as_str()))
            .collect();
        assert!(held.is_empty(), "{held:?}");
    }

    #[test]
    fn a_follower_may_be_any_of_the_places_that_fit() {
        let library = library("[negative] sentiment=-0.5\n打了…{十|五|一}{次}…没").unwrap();
        let read = library.normalizer.normalize("打了不下十五次电话没有一个人");
        let mut hits = 0;
        library.find(&read.text, &read.letters, &mut Search::default(), |_| {
            hits += 1;
        });
        assert_eq!(hits, 1);
    }

    #[test]
    fn the_embedded_library_compiles() {
        assert!(Library::embedded().unwrap().len() > 1000);
    }
}
