//! The engine: one message in, its assessment out.

use std::cell::RefCell;

use crate::assessment::{
    Act, Acts, Assessment, Complaint, ComplaintLabel, Evidence, Lang, Polarity, Role, Target,
};
use crate::confidence::Confidence;
use crate::grams::{Cut, Gram, Grams};
use crate::head::{self, Head};
use crate::library::{Library, LibraryError};
use crate::normalize::Normalized;
use crate::promise::Promises;
use crate::question::Questions;
use crate::reading::{self, Reading};
use crate::score::{RuleNames, Sum};
use crate::sentiment::Mood;
use crate::suggest::{Phrase, Phrasebook, Query, Suggestion};
use crate::topic::Topics;
use crate::{
    acts, complaint, confidence, cues, grams, lang, politeness, promise, question, sentiment,
    topic, urgency,
};

/// The files of the heads, in the order of [`Heads`].
const HEADS: [(&str, &[u8]); 6] = [
    ("zh_sentiment", include_bytes!("../model/zh_sentiment.head")),
    ("en_sentiment", include_bytes!("../model/en_sentiment.head")),
    ("zh_satisfaction", include_bytes!("../model/zh_satisfaction.head")),
    ("en_satisfaction", include_bytes!("../model/en_satisfaction.head")),
    ("en_complaint", include_bytes!("../model/en_complaint.head")),
    ("en_politeness", include_bytes!("../model/en_politeness.head")),
];

/// Of the lines before, only the latest weigh on satisfaction.
const LINES: usize = 6;

/// A shorter message (bytes) may be said twice without being asked twice.
const REPEAT: usize = 12;

/// A line that came before the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextLine<'a> {
    /// Who wrote it.
    pub role: Role,
    /// Masked text.
    pub text: &'a str,
}

/// What is to be assessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Who wrote it.
    pub role: Role,
    /// Masked text: evidence points into it.
    pub text: &'a str,
    /// Language by another source; decides only where the letters do not.
    pub lang: Option<Lang>,
    /// Earlier lines of the conversation, oldest first. Only satisfaction looks at them.
    pub context: &'a [ContextLine<'a>],
}

/// What the trained heads see of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Read by the Chinese heads or by the English ones; `None` if by neither.
    pub chinese: Option<bool>,
    /// Buckets of the n-grams, repeats included, in the order of the text.
    pub grams: Vec<u32>,
    /// Cues of the rules, each once, in order.
    pub cues: Vec<u8>,
    /// What the rules alone say: an agent's politeness in points, a customer's sentiment, -1 to 1.
    pub rules: f64,
}

/// The compiled library and the rules. Shared freely between threads.
pub struct Engine {
    library: Library,
    heads: Heads,
    confidence: Confidence,
    phrasebook: Phrasebook,
    promises: Promises,
    questions: Questions,
    topics: Topics,
    names: RuleNames,
}

/// Room in which one message after another is assessed, so that an assessment allocates nothing
/// but itself.
#[derive(Debug, Default)]
struct Room {
    message: Normalized,
    /// A line that came before.
    line: Normalized,
    reading: reading::Room,
    grams: Vec<Gram>,
    head: head::Room,
    evidence: Vec<Evidence>,
}

/// Bytes of a message from which on its room is not kept: few are so long.
const LARGE: usize = 64 * 1024;

thread_local! {
    /// A thread assesses one message at a time.
    static ROOM: RefCell<Room> = RefCell::default();
}

/// A message with what was found in it.
struct Read<'r, 'l, 't> {
    reading: &'r Reading<'l, 't>,
    acts: Acts,
    /// `None` in a language without heads.
    grams: Option<Grams<'r>>,
}

/// The trained heads: Chinese, English.
struct Heads {
    sentiment: Option<[Head; 2]>,
    satisfaction: Option<[Head; 2]>,
    /// English alone: no set of Chinese says what complains.
    complaint: Option<Head>,
    /// English alone: no set of Chinese says how polite an agent is.
    politeness: Option<Head>,
}

impl Heads {
    const NONE: Heads =
        Heads { sentiment: None, satisfaction: None, complaint: None, politeness: None };

    fn embedded() -> Result<Heads, LibraryError> {
        let parse = |file: usize| {
            let (name, bytes) = HEADS[file];
            Head::parse(bytes).map_err(|problem| LibraryError::Head { name, problem })
        };
        Ok(Heads {
            sentiment: Some([parse(0)?, parse(1)?]),
            satisfaction: Some([parse(2)?, parse(3)?]),
            complaint: Some(parse(4)?),
            politeness: Some(parse(5)?),
        })
    }

    fn of<'h, 'g>(
        heads: Option<&'h [Head; 2]>,
        grams: Option<&'g Grams<'g>>,
    ) -> Option<(&'h Head, &'g Grams<'g>)> {
        let ([chinese, english], grams) = (heads?, grams?);
        match grams.cut {
            Cut::Chinese => Some((chinese, grams)),
            Cut::English => Some((english, grams)),
        }
    }

    fn of_english<'h, 'g>(
        head: Option<&'h Head>,
        grams: Option<&'g Grams<'g>>,
    ) -> Option<(&'h Head, &'g Grams<'g>)> {
        Some((head?, grams.filter(|grams| grams.cut == Cut::English)?))
    }
}

impl Engine {
    /// Compiles the embedded phrase library (some milliseconds in a release build).
    ///
    /// # Errors
    ///
    /// A line of the library that cannot be read. The embedded library is tested, so
    /// this does not happen to a released program.
    pub fn new() -> Result<Engine, LibraryError> {
        Engine::with_phrases(&[])
    }

    /// An engine with phrases of one's own on top of the embedded library: files by name and
    /// content, in the format that `library/README.md` describes. A phrase that stands in the
    /// library in the same class and the same words, gaps included, is replaced: its points change,
    /// and become none with `politeness=0`, `sentiment=0` or `urgency=0`. The files are part of
    /// [`Engine::library_hash`].
    ///
    /// # Errors
    ///
    /// The first line that cannot be read, by file and number.
    pub fn with_phrases(own: &[(&str, &str)]) -> Result<Engine, LibraryError> {
        let mut engine = Engine { heads: Heads::embedded()?, ..Engine::rules(own)? };
        let mut hasher = blake3::Hasher::new();
        hasher.update(engine.library.hash.as_bytes());
        for (_, bytes) in HEADS {
            hasher.update(bytes);
        }
        hasher.update(confidence::TABLE.as_bytes());
        for (_, content) in [promise::FILE, question::FILE, topic::FILE] {
            hasher.update(content.as_bytes());
        }
        engine.library.hash = hasher.finalize().to_hex().to_string();
        Ok(engine)
    }

    /// The rules alone, as they are without the trained heads: to train those, and to
    /// see what they add.
    ///
    /// # Errors
    ///
    /// As [`Engine::new`].
    pub fn without_heads() -> Result<Engine, LibraryError> {
        Engine::rules(&[])
    }

    fn rules(own: &[(&str, &str)]) -> Result<Engine, LibraryError> {
        let library = Library::layered(own)?;
        let confidence = Confidence::embedded()?;
        let phrasebook = Phrasebook::embedded(&library.normalizer)?;
        let promises = Promises::embedded(&library.normalizer)?;
        let questions = Questions::embedded(&library.normalizer)?;
        let topics = Topics::embedded(&library.normalizer)?;
        let (heads, names) = (Heads::NONE, RuleNames::new());
        Ok(Engine { library, heads, confidence, phrasebook, promises, questions, topics, names })
    }

    /// Version of the engine's rules.
    pub fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// BLAKE3 of the phrase library, the heads and the confidences, in hex: with
    /// [`Engine::version`] it pins every score.
    pub fn library_hash(&self) -> &str {
        &self.library.hash
    }

    /// Number of phrases in the library, alternatives counted.
    pub fn entries(&self) -> usize {
        self.library.len()
    }

    /// The keys that [`Assessment::topic`] may have.
    pub fn topics(&self) -> impl Iterator<Item = &'static str> {
        self.topics.names()
    }

    /// Assesses one message. Deterministic, never panics, linear in the text.
    pub fn assess(&self, message: &Message<'_>) -> Assessment {
        if message.text.len() > LARGE {
            return self.assess_in(&mut Room::default(), message);
        }
        ROOM.with_borrow_mut(|room| self.assess_in(room, message))
    }

    fn assess_in(&self, room: &mut Room, message: &Message<'_>) -> Assessment {
        let Room { message: normalized, line, reading: within, grams, head: reasons, evidence } =
            room;
        evidence.clear();
        self.library.normalizer.normalize_into(message.text, normalized);
        let normalized = &*normalized;
        let reading = Reading::new(&self.library, normalized, within);
        let acts = acts::of(&reading);
        let mut assessment = Assessment {
            lang: lang::detect(normalized, message.lang),
            sentiment: None,
            politeness: None,
            complaint: None,
            satisfaction: None,
            forbidden: false,
            acts,
            only: acts::only(&reading, message.role, acts),
            promises: Vec::new(),
            question: self.questions.of(&reading, acts.contains(Act::Question)),
            topic: None,
            evidence: Vec::new(),
        };
        let cut = Cut::of(assessment.lang);
        match message.role {
            Role::Agent => {
                let base = politeness::BASE;
                let mut sum = Sum::new(Target::Politeness, base, normalized, &self.names, evidence);
                let verdict = politeness::rules(&reading, &mut sum);
                if cut == Some(Cut::English)
                    && let Some(head) = &self.heads.politeness
                {
                    let bits = cues::of_agent(&reading, verdict.score, acts);
                    let grams = Grams::new(Cut::English, reading.text, grams);
                    politeness::ask(head, &grams, bits, &verdict, &mut sum, reasons);
                }
                assessment.politeness = Some(politeness::politeness(sum));
                assessment.forbidden = verdict.forbidden;
                assessment.promises = self.promises.of(&reading, normalized);
            }
            Role::Customer => {
                let sum = Sum::new(Target::Sentiment, 0, normalized, &self.names, evidence);
                let grams = cut.map(|cut| Grams::new(cut, reading.text, grams));
                let read = Read { reading: &reading, acts, grams };
                let (mood, bits) = self.mood(&read, sum, reasons);
                let sum =
                    Sum::new(Target::Urgency, urgency::BASE, normalized, &self.names, evidence);
                let urgency = urgency::assess(&reading, mood.content, sum);
                let mut sum = Sum::new(Target::Complaint, 0, normalized, &self.names, evidence);
                complaint::rules(&reading, &mood, &mut sum);
                let head = Heads::of_english(self.heads.complaint.as_ref(), read.grams.as_ref());
                if let Some((head, grams)) = head {
                    complaint::ask(head, grams, bits, &mood, &mut sum, reasons);
                }
                let dissatisfaction = sum.within(0, 1000);
                let complaint = Complaint {
                    label: if urgency.is_urgent() {
                        ComplaintLabel::Urgent
                    } else if dissatisfaction >= complaint::FROM {
                        ComplaintLabel::Complaint
                    } else {
                        ComplaintLabel::Normal
                    },
                    category: urgency.category,
                    dissatisfaction: f64::from(dissatisfaction) / 1000.0,
                    probability: f64::from(urgency.probability) / 1000.0,
                };
                let bits = || bits | self.context(message, reading.text, line, within);
                let satisfaction = self.satisfaction(&read, &mood, &complaint, bits);
                assessment.sentiment = Some(mood.sentiment);
                assessment.satisfaction = Some(satisfaction);
                assessment.complaint = Some(complaint);
                assessment.topic = self.topics.of(reading.text);
            }
        }
        if assessment.question.is_some() {
            assessment.acts.insert(Act::Question);
        }
        evidence.sort_by_key(|evidence| (evidence.target, evidence.start, evidence.end));
        assessment.evidence.reserve_exact(evidence.len());
        assessment.evidence.append(evidence);
        assessment
    }

    /// The standard phrases that fit what a customer said and what an agent is about to say, best
    /// first. Chinese unless the texts are English.
    pub fn suggest(&self, query: &Query<'_>) -> Vec<Suggestion<'_>> {
        let customer = Message { role: Role::Customer, text: query.text, lang: None, context: &[] };
        let said = self.assess(&customer);
        let lang = match said.lang {
            Lang::Unknown => lang::detect(&self.library.normalizer.normalize(query.draft), None),
            lang => lang,
        };
        let mood = said.sentiment.map_or(Polarity::Neutral, |sentiment| sentiment.label);
        self.phrasebook.suggest(&self.library.normalizer, query, lang != Lang::En, mood)
    }

    /// The standard phrases, Chinese ones first.
    pub fn standard_phrases(&self) -> &[Phrase] {
        self.phrasebook.phrases()
    }

    /// The phrases of the library that sound like a side, or like none: for training the heads.
    pub fn phrases(&self) -> impl Iterator<Item = (&str, Polarity)> {
        self.library.moods().map(|(phrase, value)| (phrase, sentiment::label(value)))
    }

    /// What the trained heads see of a message: for training them.
    pub fn features(&self, message: &Message<'_>) -> Features {
        let normalized = self.library.normalizer.normalize(message.text);
        let mut room = Room::default();
        let reading = Reading::new(&self.library, &normalized, &mut room.reading);
        let acts = acts::of(&reading);
        let mut unused = Vec::new();
        let (target, base) = match message.role {
            Role::Agent => (Target::Politeness, politeness::BASE),
            Role::Customer => (Target::Sentiment, 0),
        };
        let mut sum = Sum::new(target, base, &normalized, &self.names, &mut unused);
        let (bits, rules) = match message.role {
            Role::Agent => {
                let verdict = politeness::rules(&reading, &mut sum);
                (cues::of_agent(&reading, verdict.score, acts), verdict.score)
            }
            Role::Customer => {
                let verdict = sentiment::rules(&reading, &mut sum);
                let bits = cues::of(&reading, &verdict, acts);
                let Room { line, reading: within, .. } = &mut room;
                (bits | self.context(message, &normalized.text, line, within), verdict.value)
            }
        };
        let cut = Cut::of(lang::detect(&normalized, message.lang));
        let grams = cut.map(|cut| grams::buckets(cut, &normalized.text));
        Features {
            chinese: cut.map(|cut| cut == Cut::Chinese),
            grams: grams.unwrap_or_default(),
            cues: (0..128).filter(|cue| bits & (1 << cue) != 0).collect(),
            rules: f64::from(rules) / 1000.0,
        }
    }

    /// Sentiment by the rules and, where they leave it open, by the head.
    fn mood(
        &self,
        read: &Read<'_, '_, '_>,
        mut sum: Sum<'_>,
        reasons: &mut head::Room,
    ) -> (Mood, u128) {
        let verdict = sentiment::rules(read.reading, &mut sum);
        let bits = cues::of(read.reading, &verdict, read.acts);
        let grams = read.grams.as_ref();
        if let Some((head, grams)) = Heads::of(self.heads.sentiment.as_ref(), grams) {
            sentiment::ask(head, grams, read.reading, bits, &verdict, &mut sum, reasons);
        }
        let cut = grams.map(|grams| grams.cut);
        (sentiment::mood(&verdict, sum, &self.confidence, cut), bits)
    }

    /// Satisfaction with the service so far: the message itself in the light of the lines
    /// before. Whoever must be escalated is not satisfied, whatever the head says. `bits` are the
    /// cues of the message and of those lines.
    fn satisfaction(
        &self,
        read: &Read<'_, '_, '_>,
        mood: &Mood,
        complaint: &Complaint,
        bits: impl FnOnce() -> u128,
    ) -> Polarity {
        if complaint.label == ComplaintLabel::Urgent {
            return Polarity::Neg;
        }
        let heads = self.heads.satisfaction.as_ref();
        let Some((head, grams)) = Heads::of(heads, read.grams.as_ref()) else {
            return match complaint.label {
                ComplaintLabel::Normal => mood.sentiment.label,
                _ => Polarity::Neg,
            };
        };
        let bits = bits();
        match head.score(grams, bits).logits {
            [neg, pos] if neg > 0 && neg >= pos => Polarity::Neg,
            [_, pos] if pos > 0 => Polarity::Pos,
            // Having to say the same again satisfies nobody, and who was angry twice running is not
            // content because of a word that is not.
            _ if cues::Context::repeated(bits) || cues::Context::angry(bits) => Polarity::Neg,
            _ => Polarity::Neutral,
        }
    }

    /// The cues of the lines before: how the customer's last lines sounded to the rules,
    /// whether one said the same, what the agent did last.
    fn context(
        &self,
        message: &Message<'_>,
        text: &str,
        normalized: &mut Normalized,
        room: &mut reading::Room,
    ) -> u128 {
        let mut context = cues::Context::new(message.context.len());
        let mut customer = 0;
        let mut agent = false;
        for (age, line) in message.context.iter().rev().take(LINES).enumerate() {
            self.library.normalizer.normalize_into(line.text, normalized);
            let normalized = &*normalized;
            let reading = Reading::new(&self.library, normalized, room);
            match line.role {
                Role::Customer => {
                    let mut unused = Vec::new();
                    let mut sum =
                        Sum::new(Target::Sentiment, 0, normalized, &self.names, &mut unused);
                    let value = sentiment::rules(&reading, &mut sum).value;
                    let same = text.len() > REPEAT && normalized.text == text;
                    context.customer(customer, age, sentiment::label(value), same);
                    customer += 1;
                }
                Role::Agent if !agent => {
                    context.agent(age, acts::of(&reading));
                    agent = true;
                }
                Role::Agent => {}
            }
        }
        context.bits()
    }
}
