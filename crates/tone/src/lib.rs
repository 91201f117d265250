//! Text to assessment: politeness, sentiment, complaint and urgency, with evidence
//! spans. Pure: no clock, no I/O; the same message gives the same assessment.
//!
//! A message goes through five steps:
//!
//! 1. **One spelling** with the way back to the original: width, case, traditional
//!    characters, zero-width characters, repeats. Evidence spans count Unicode
//!    scalars of the text as it was given.
//! 2. **One trie** over the phrase library, which is data (`library/*.txt`).
//!    A longer exception swallows the phrases inside it, so that 尿不湿, 250元 or
//!    报警器 are no insult and no threat. Risks and what agents should not say are also
//!    looked for in the text without its disguises (投·诉, s u e, l4wyer).
//! 3. **Named rules** over the hits: negation with parity, intensity, question,
//!    quotation, hypothetical, contrast, sarcasm, withdrawn, resolved, actor.
//! 4. **Trained heads** (`model/`): models over n-grams and over what the rules saw speak
//!    where they see another side than the rules: of a customer's sentiment and satisfaction,
//!    and in English of complaints and of how polite an agent is. Their evidence has the
//!    class `head`; `model/README.md` says where they do not speak.
//! 5. **Scores** as sums: every entry, every rule and every head leaves an [`Evidence`]
//!    with its points, and base + points = score ([`Assessment::points`]). What would
//!    leave the range of a score is taken back by an evidence named `range`.
//!
//! Beside the scores stands what a fold of the conversation asks of a text and never sees itself:
//! what an agent promises and by when ([`Promise`]), how the message asks ([`QuestionKind`]), what
//! a customer writes about ([`Assessment::topic`]). They change no score.
//!
//! Definitions of the scores are those of `metrics.md` section 3.
//!
//! ```
//! use zhili_tone::{Engine, Message, Role};
//!
//! let engine = Engine::new()?;
//! let assessment = engine.assess(&Message {
//!     role: Role::Customer,
//!     text: "再不退款我就打12315投诉",
//!     lang: None,
//!     context: &[],
//! });
//! let complaint = assessment.complaint.expect("customers have one");
//! assert_eq!(complaint.label.as_str(), "urgent");
//! assert_eq!(complaint.category.map(|category| category.as_str()), Some("regulator"));
//! # Ok::<(), zhili_tone::LibraryError>(())
//! ```

mod acts;
mod assessment;
mod complaint;
mod confidence;
mod cues;
mod disguise;
mod engine;
mod grams;
mod head;
mod lang;
mod lexicon;
mod library;
mod normalize;
mod politeness;
mod promise;
mod question;
mod reading;
mod rules;
mod score;
mod sentiment;
mod suggest;
mod topic;
mod trie;
mod urgency;

pub use assessment::{
    Act, Acts, Assessment, Complaint, ComplaintLabel, Due, Evidence, Lang, Polarity, Politeness,
    PolitenessLabel, Promise, PromiseKind, QuestionKind, Role, Sentiment, Target, UrgentCategory,
};
pub use complaint::COMPLAINT_FROM;
pub use engine::{ContextLine, Engine, Features, Message};
pub use head::HeadProblem;
pub use library::{LibraryError, Problem};
pub use politeness::{IMPOLITE_BELOW, POLITE_FROM, POLITENESS_BASE};
pub use sentiment::SIDED;
pub use suggest::{Level, Phrase, Query, Suggestion, Why};
pub use urgency::URGENCY_BASE;
