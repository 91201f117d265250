//! The engine: one message in, its assessment out.

use crate::assessment::{
    Acts, Assessment, Complaint, ComplaintLabel, Lang, Polarity, Role, Target,
};
use crate::grams::{self, Cut};
use crate::head::Head;
use crate::library::{Library, LibraryError};
use crate::normalize::Normalized;
use crate::reading::Reading;
use crate::score::{RuleNames, Sum};
use crate::sentiment::Mood;
use crate::{acts, cues, lang, politeness, sentiment, urgency};

const ZH_SENTIMENT: &[u8] = include_bytes!("../model/zh_sentiment.head");
const EN_SENTIMENT: &[u8] = include_bytes!("../model/en_sentiment.head");

/// Of the lines before, only the latest of the customer's weigh on satisfaction.
const LINES: usize = 3;

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

/// What the trained heads see of a customer's message.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Read by the Chinese heads or by the English ones; `None` if by neither.
    pub chinese: Option<bool>,
    /// Buckets of the n-grams, repeats included, in the order of the text.
    pub grams: Vec<u32>,
    /// Cues of the rules, each once, in order.
    pub cues: Vec<u8>,
    /// Sentiment by the rules alone, -1 to 1.
    pub rules: f64,
}

/// The compiled library and the rules. Shared freely between threads.
pub struct Engine {
    library: Library,
    heads: Heads,
    names: RuleNames,
}

/// The trained heads, by language.
struct Heads {
    chinese: Option<Head>,
    english: Option<Head>,
}

impl Heads {
    const NONE: Heads = Heads { chinese: None, english: None };

    fn embedded() -> Result<Heads, LibraryError> {
        let parse = |name, bytes| {
            Head::parse(bytes).map(Some).map_err(|problem| LibraryError::Head { name, problem })
        };
        Ok(Heads {
            chinese: parse("zh_sentiment", ZH_SENTIMENT)?,
            english: parse("en_sentiment", EN_SENTIMENT)?,
        })
    }

    fn sentiment(&self, lang: Lang) -> Option<&Head> {
        match Cut::of(lang)? {
            Cut::Chinese => self.chinese.as_ref(),
            Cut::English => self.english.as_ref(),
        }
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
        Ok(Engine { heads: Heads::embedded()?, ..Engine::without_heads()? })
    }

    /// The rules alone, as they are without the trained heads: to train those, and to
    /// see what they add.
    ///
    /// # Errors
    ///
    /// As [`Engine::new`].
    pub fn without_heads() -> Result<Engine, LibraryError> {
        let library = Library::embedded()?;
        Ok(Engine { library, heads: Heads::NONE, names: RuleNames::new() })
    }

    /// Version of the engine's rules.
    pub fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// BLAKE3 of the phrase library, in hex: with [`Engine::version`] it pins every score.
    pub fn library_hash(&self) -> &str {
        &self.library.hash
    }

    /// Number of phrases in the library, alternatives counted.
    pub fn entries(&self) -> usize {
        self.library.len()
    }

    /// Assesses one message. Deterministic, never panics, linear in the text.
    pub fn assess(&self, message: &Message<'_>) -> Assessment {
        let normalized = self.library.normalizer.normalize(message.text);
        let reading = Reading::new(&self.library, &normalized.text);
        let acts = acts::of(&reading);
        let mut assessment = Assessment {
            lang: lang::detect(&normalized, message.lang),
            sentiment: None,
            politeness: None,
            complaint: None,
            satisfaction: None,
            forbidden: false,
            acts,
            only: acts::only(&reading, message.role, acts),
            evidence: Vec::with_capacity(reading.hits.len() + 2),
        };
        let evidence = &mut assessment.evidence;
        match message.role {
            Role::Agent => {
                let base = (politeness::POLITENESS_BASE * 1000.0) as i32;
                let sum = Sum::new(Target::Politeness, base, &normalized, &self.names, evidence);
                let (politeness, forbidden) = politeness::assess(&reading, sum);
                assessment.politeness = Some(politeness);
                assessment.forbidden = forbidden;
            }
            Role::Customer => {
                let sum = Sum::new(Target::Sentiment, 0, &normalized, &self.names, evidence);
                let mood = self.mood(&reading, acts, assessment.lang, sum);
                let sum =
                    Sum::new(Target::Urgency, urgency::BASE, &normalized, &self.names, evidence);
                let complaint = urgency::assess(&reading, &mood, sum);
                let satisfaction = self.satisfaction(message, &normalized, &mood, &complaint);
                assessment.sentiment = Some(mood.sentiment);
                assessment.satisfaction = Some(satisfaction);
                assessment.complaint = Some(complaint);
            }
        }
        assessment.evidence.sort_by_key(|evidence| (evidence.target, evidence.start, evidence.end));
        assessment
    }

    /// What the trained heads see of a customer's message: for training them.
    pub fn features(&self, text: &str) -> Features {
        let normalized = self.library.normalizer.normalize(text);
        let reading = Reading::new(&self.library, &normalized.text);
        let mut unused = Vec::new();
        let mut sum = Sum::new(Target::Sentiment, 0, &normalized, &self.names, &mut unused);
        let verdict = sentiment::rules(&reading, &mut sum);
        let bits = cues::of(&reading, &verdict, acts::of(&reading));
        let cut = Cut::of(lang::detect(&normalized, None));
        let mut grams = Vec::new();
        if let Some(cut) = cut {
            grams::grams(cut, &normalized.text, |bucket, _, _| grams.push(bucket));
        }
        Features {
            chinese: cut.map(|cut| cut == Cut::Chinese),
            grams,
            cues: (0..128).filter(|cue| bits & (1 << cue) != 0).collect(),
            rules: f64::from(verdict.value) / 1000.0,
        }
    }

    /// Sentiment by the rules and, where they leave it open, by the head.
    fn mood(&self, reading: &Reading<'_, '_>, acts: Acts, lang: Lang, mut sum: Sum<'_>) -> Mood {
        let verdict = sentiment::rules(reading, &mut sum);
        if let Some(head) = self.heads.sentiment(lang) {
            let bits = cues::of(reading, &verdict, acts);
            sentiment::ask(head, reading.text, bits, &verdict, &mut sum);
        }
        sentiment::mood(&verdict, sum)
    }

    /// Satisfaction with the service so far: the message itself, coloured by the mood
    /// of the customer's last lines and by having to say the same again.
    fn satisfaction(
        &self,
        message: &Message<'_>,
        normalized: &Normalized,
        mood: &Mood,
        complaint: &Complaint,
    ) -> Polarity {
        if complaint.label != ComplaintLabel::Normal {
            return Polarity::Neg;
        }
        let mut value = mood.value;
        let earlier =
            message.context.iter().rev().filter(|line| line.role == Role::Customer).take(LINES);
        for (age, line) in earlier.enumerate() {
            let before = self.library.normalizer.normalize(line.text);
            if normalized.text.len() > 12 && before.text == normalized.text {
                value -= 300;
            }
            let mut unused = Vec::new();
            let reading = Reading::new(&self.library, &before.text);
            let sum = Sum::new(Target::Sentiment, 0, &before, &self.names, &mut unused);
            let lang = lang::detect(&before, message.lang);
            value += self.mood(&reading, acts::of(&reading), lang, sum).value / (4 << age);
        }
        sentiment::label(value)
    }
}
