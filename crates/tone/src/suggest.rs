//! Standard phrases to suggest to an agent: those whose examples are nearest to what the customer
//! says and whose counter-examples are nearest to what the agent is about to say.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;

use crate::assessment::Polarity;
use crate::grams::{self, Cut};
use crate::library::{LibraryError, Problem};
use crate::normalize::Normalizer;

const FILES: [(&str, Cut, &str); 2] = [
    ("phrases/zh.txt", Cut::Chinese, include_str!("../phrases/zh.txt")),
    ("phrases/en.txt", Cut::English, include_str!("../phrases/en.txt")),
];

/// What each reason gives at most; together they are 1.
const SAID: f64 = 0.55;
const SCENE: f64 = 0.2;
const DRAFT: f64 = 0.15;
const MOOD: f64 = 0.1;

/// A likeness below this is chance: half of all messages share a syllable.
const LEAST: f64 = 0.2;

/// A level of standard phrases (`metrics.md` section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Greeting, thanks, please, closing.
    Basic,
    /// Evidence and advice.
    Professional,
    /// Names the feeling and says what will be done.
    Emotion,
}

impl Level {
    /// All levels.
    pub const ALL: [Level; 3] = [Level::Basic, Level::Professional, Level::Emotion];

    /// The name used in every interface.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Basic => "basic",
            Level::Professional => "professional",
            Level::Emotion => "emotion",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A standard phrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    /// Name that does not change, such as `refund.late`; the same in each language.
    pub id: &'static str,
    /// What the conversation is about, such as `refund`.
    pub scene: &'static str,
    /// Its level.
    pub level: Level,
    /// The words; `{…}` is for the agent to fill in.
    pub text: &'static str,
    /// Written in Chinese, else in English.
    pub chinese: bool,
}

/// What phrases are wanted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    /// What the customer said last, masked.
    pub text: &'a str,
    /// A scene to prefer; none if empty.
    pub scene: &'a str,
    /// What the agent is about to say, masked; may be empty.
    pub draft: &'a str,
    /// Phrases wanted at most.
    pub limit: usize,
}

/// Why a phrase is suggested.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Why {
    /// Customers say something like this when it fits.
    Said(&'static str),
    /// It belongs to the scene that was asked for.
    Scene,
    /// It is said instead of something like the draft.
    Instead(&'static str),
    /// The customer is unhappy, and it answers the feeling.
    Mood,
}

/// A phrase that fits.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggestion<'p> {
    /// The phrase.
    pub phrase: &'p Phrase,
    /// How well it fits, 0 to 1: the sum of its reasons.
    pub score: f64,
    /// The reasons with the points of each.
    pub reasons: Vec<(Why, f64)>,
}

/// A line of examples or counter-examples.
struct Line {
    phrase: usize,
    /// Of the words that an agent should not say.
    counter: bool,
    text: &'static str,
    /// Sum of the squares of the weights of its n-grams.
    square: f64,
}

/// The phrases with an index of their examples.
pub(crate) struct Phrasebook {
    phrases: Vec<Phrase>,
    lines: Vec<Line>,
    /// By language and bucket: the lines with this n-gram and its weight in them.
    index: [HashMap<u32, (f64, Vec<usize>)>; 2],
}

impl Phrasebook {
    pub(crate) fn embedded(normalizer: &Normalizer) -> Result<Phrasebook, LibraryError> {
        Phrasebook::compile(normalizer, &FILES)
    }

    fn compile(
        normalizer: &Normalizer,
        files: &[(&'static str, Cut, &'static str)],
    ) -> Result<Phrasebook, LibraryError> {
        let mut book =
            Phrasebook { phrases: Vec::new(), lines: Vec::new(), index: Default::default() };
        for (file, cut, content) in files {
            let mut scene = "";
            for (number, line) in content.lines().enumerate() {
                let bad = || LibraryError::at(file, number + 1, Problem::Phrase(line.to_owned()));
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                if let Some(name) = line.strip_prefix('[') {
                    scene = name.strip_suffix(']').ok_or_else(bad)?;
                    continue;
                }
                let examples =
                    [("for ", false), ("not ", true)].into_iter().find_map(|(prefix, counter)| {
                        line.strip_prefix(prefix).map(|rest| (rest, counter))
                    });
                if let Some((rest, counter)) = examples {
                    let phrase = book.phrases.len().checked_sub(1).ok_or_else(bad)?;
                    let texts = rest.split(" / ").map(str::trim);
                    let line = |text| Line { phrase, counter, text, square: 0.0 };
                    book.lines.extend(texts.map(line));
                    continue;
                }
                let (head, text) = line.split_once(" | ").ok_or_else(bad)?;
                let (id, level) = head.split_once(' ').ok_or_else(bad)?;
                let level = Level::ALL.into_iter().find(|one| one.as_str() == level);
                let level = level.ok_or_else(bad)?;
                let chinese = *cut == Cut::Chinese;
                let twice = |one: &Phrase| one.id == id && one.chinese == chinese;
                if scene.is_empty() || book.phrases.iter().any(twice) {
                    return Err(bad());
                }
                book.phrases.push(Phrase { id, scene, level, text, chinese });
            }
        }
        book.weigh(normalizer);
        Ok(book)
    }

    /// Weighs the n-grams of the examples: those of few lines tell more.
    fn weigh(&mut self, normalizer: &Normalizer) {
        let mut cuts = Vec::with_capacity(self.lines.len());
        for (at, line) in self.lines.iter().enumerate() {
            let chinese = self.phrases[line.phrase].chinese;
            let buckets = buckets(normalizer, cut(chinese), line.text);
            let index = &mut self.index[usize::from(!chinese)];
            for bucket in &buckets {
                index.entry(*bucket).or_default().1.push(at);
            }
            cuts.push((chinese, buckets));
        }
        let all = self.lines.len() as f64;
        for index in &mut self.index {
            for (weight, lines) in index.values_mut() {
                *weight = (1.0 + all / lines.len() as f64).ln();
            }
        }
        for (line, (chinese, buckets)) in self.lines.iter_mut().zip(&cuts) {
            let index = &self.index[usize::from(!chinese)];
            let square = |bucket| index.get(bucket).map_or(0.0, |(weight, _)| weight * weight);
            line.square = buckets.iter().map(square).sum();
        }
    }

    pub(crate) fn phrases(&self) -> &[Phrase] {
        &self.phrases
    }

    /// The phrases that fit best, best first; of equal ones the one that comes first in the file.
    pub(crate) fn suggest(
        &self,
        normalizer: &Normalizer,
        query: &Query<'_>,
        chinese: bool,
        mood: Polarity,
    ) -> Vec<Suggestion<'_>> {
        let said = self.likeness(normalizer, chinese, query.text, false);
        let drafted = self.likeness(normalizer, chinese, query.draft, true);
        let mut fitting: Vec<Suggestion<'_>> = Vec::new();
        for (at, phrase) in self.phrases.iter().enumerate() {
            if phrase.chinese != chinese {
                continue;
            }
            let of = |likeness: &HashMap<usize, (usize, f64)>| likeness.get(&at).copied();
            let mut reasons = Vec::new();
            if let Some((line, share)) = of(&said) {
                reasons.push((Why::Said(self.lines[line].text), SAID * share));
            }
            if phrase.scene == query.scene {
                reasons.push((Why::Scene, SCENE));
            }
            if let Some((line, share)) = of(&drafted) {
                reasons.push((Why::Instead(self.lines[line].text), DRAFT * share));
            }
            // A feeling alone chooses no phrase.
            if !reasons.is_empty() && mood == Polarity::Neg && phrase.level == Level::Emotion {
                reasons.push((Why::Mood, MOOD));
            }
            if !reasons.is_empty() {
                let score = reasons.iter().map(|(_, points)| points).sum();
                fitting.push(Suggestion { phrase, score, reasons });
            }
        }
        fitting.sort_by(|one, other| other.score.total_cmp(&one.score));
        fitting.truncate(query.limit);
        fitting
    }

    /// By phrase: its line that is most like a text, and how like.
    fn likeness(
        &self,
        normalizer: &Normalizer,
        chinese: bool,
        text: &str,
        counter: bool,
    ) -> HashMap<usize, (usize, f64)> {
        let index = &self.index[usize::from(!chinese)];
        let mut shared: HashMap<usize, f64> = HashMap::new();
        let mut square = 0.0;
        for bucket in buckets(normalizer, cut(chinese), text) {
            let Some((weight, lines)) = index.get(&bucket) else { continue };
            square += weight * weight;
            for line in lines.iter().filter(|line| self.lines[**line].counter == counter) {
                *shared.entry(*line).or_default() += weight * weight;
            }
        }
        let mut best: HashMap<usize, (usize, f64)> = HashMap::new();
        for (at, sum) in shared {
            let line = &self.lines[at];
            // How much of the example is there, and how much of the text is of the example: a long
            // message holds many examples by the way.
            let likeness = (sum / line.square).powf(0.75) * (sum / square).powf(0.25);
            let better = |old: &(usize, f64)| {
                likeness.total_cmp(&old.1).then(old.0.cmp(&at)) == Ordering::Greater
            };
            if likeness >= LEAST && best.get(&line.phrase).is_none_or(better) {
                best.insert(line.phrase, (at, likeness));
            }
        }
        best
    }
}

fn cut(chinese: bool) -> Cut {
    if chinese { Cut::Chinese } else { Cut::English }
}

/// The n-grams of a text, each once.
fn buckets(normalizer: &Normalizer, cut: Cut, text: &str) -> Vec<u32> {
    let plain = normalizer.normalize(text).text;
    let mut buckets = grams::buckets(cut, &plain);
    buckets.sort_unstable();
    buckets.dedup();
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(content: &'static str) -> String {
        let normalizer = Normalizer::new("table", "謝谢").unwrap();
        let files = [("mine.txt", Cut::Chinese, content)];
        Phrasebook::compile(&normalizer, &files).err().unwrap().to_string()
    }

    #[test]
    fn a_bad_line_is_named() {
        assert!(problem("[a\n").starts_with("mine.txt, line 1: "));
        assert!(problem("x.y basic | 好").starts_with("mine.txt, line 1: "));
        assert!(problem("[a]\nx.y polite | 好").starts_with("mine.txt, line 2: "));
        assert!(problem("[a]\nfor 好").starts_with("mine.txt, line 2: "));
        assert!(problem("[a]\nx.y basic | 好\nx.y basic | 您好").starts_with("mine.txt, line 3: "));
    }
}
