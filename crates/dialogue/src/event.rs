//! What the fold reads of an event: identity, author, times and the engine's marks; never text.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// One event of a conversation as the fold sees it.
///
/// Borrowed from the decoded log record: the fold copies only what it keeps. An empty string
/// means that the event does not say.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    /// Owner of the conversation; the same conversation id of two tenants is two conversations.
    pub tenant: &'a str,
    /// Publishing system; `(tenant, source, event_id)` is the event's identity.
    pub source: &'a str,
    /// Unique per tenant and source.
    pub event_id: &'a str,
    /// The conversation that the event belongs to.
    pub conversation_id: &'a str,
    /// What happened.
    pub kind: EventKind<'a>,
    /// The platform's clock, milliseconds since the Unix epoch.
    pub sent_ms: i64,
    /// Who did it; an event without an author counts as the system's.
    pub author: Option<Author<'a>>,
    /// A note among colleagues that the customer does not see.
    pub private: bool,
    /// Live, or loaded from history.
    pub mode: Mode,
    /// chat, phone, e-mail, ...
    pub channel: &'a str,
    /// The queue that serves the conversation now.
    pub queue: &'a str,
    /// The team that owns its policies.
    pub team: &'a str,
    /// Pseudonym of the customer.
    pub customer: &'a str,
    /// Other pseudonyms of the customer, under keys before the newest.
    pub former: Former<'a>,
    /// Hash of the event's type, author and text. The same identity with another fingerprint
    /// is a conflicting duplicate; other times alone do not conflict, so leave them out.
    pub fingerprint: [u8; 16],
    /// What the scoring engine says of the text of this event.
    pub marks: Marks<'a>,
}

/// Pseudonyms that a customer has under keys that were replaced and are still joined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Former<'a> {
    /// The latest key's first.
    pub ids: &'a [String],
    /// Under which of the customer's pseudonyms repeat contacts are stated: 0 for the newest, n for
    /// the n-th of `ids`. Beyond them it counts as the last.
    pub speaker: u32,
}

impl Former<'_> {
    pub(crate) fn spoken_by(self) -> u32 {
        self.speaker.min(self.ids.len() as u32)
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EventKind<'a> {
    /// Somebody wrote or said something.
    Message,
    /// The text of `target` was replaced; times and answers stay those of the first version.
    Edit {
        /// `event_id` of the message.
        target: &'a str,
    },
    /// `target` was withdrawn; it keeps its place and still starts or answers a turn.
    Delete {
        /// `event_id` of the message.
        target: &'a str,
    },
    /// An agent came in.
    Join,
    /// An agent went away.
    Leave,
    /// From a bot to people, or from one person to another.
    Handoff,
    /// The conversation was given to the author, if that is an agent.
    Assign,
    /// The platform's state of the conversation changed.
    Status(Status),
    /// The customer rated the service.
    Csat {
        /// The rating.
        score: f64,
        /// Best possible rating.
        max: f64,
    },
}

/// The platform's state of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Begins a care cycle if none is open.
    Open,
    /// Ends the open cycle as resolved.
    Resolved,
    /// Begins a cycle if none is open; inside an open cycle it means nothing.
    Reopened,
    /// Ends the open cycle unresolved.
    Closed,
}

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Author<'a> {
    /// Pseudonym of the author.
    pub id: &'a str,
    /// The side the author is on.
    pub role: Role,
    /// How the message came about.
    pub subtype: Subtype,
}

/// The side an author is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The one who asks.
    Customer,
    /// The one who answers, a person unless the subtype says otherwise.
    Agent,
    /// A machine of its own name.
    Bot,
    /// The platform itself.
    System,
    /// Somebody who looks after agents; answers nobody.
    Supervisor,
}

/// How an agent's message came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subtype {
    /// Written and sent by the author.
    #[default]
    None,
    /// Sent by the platform in the agent's name.
    Auto,
    /// Drafted by a machine, sent by the person.
    Assist,
    /// A saved text, sent by the person.
    Template,
    /// Written and sent by a machine in the agent's name.
    Ai,
}

/// Whether an event is news or history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Happens now.
    #[default]
    Live,
    /// Loaded from history: counted, but fires no timer and sends no page.
    Backfill,
}

/// What the scoring engine says of a text, as far as the fold needs it.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent readings of one text")]
pub struct Marks<'a> {
    /// A greeting and nothing else.
    pub greeting_only: bool,
    /// A holding reply and nothing else (稍等, "one moment").
    pub holding_only: bool,
    /// Thanks or farewell and nothing else: expects no answer.
    pub thanks_or_farewell_only: bool,
    /// What the text does.
    pub acts: Acts,
    /// Equal for two texts of the conversation that say the same but for digits, signs and case.
    /// Of an agent; `None` for what is too short to be told from others.
    pub print: Option<NonZeroU32>,
    /// How it asks, if it asks something.
    pub question: Option<QuestionKind>,
    /// Of a customer.
    pub sentiment: Option<Sentiment>,
    /// The customer complains, urgently or not.
    pub complaint: bool,
    /// The agent is impolite.
    pub impolite: bool,
    /// Key of what the customer's text is about; empty if that cannot be told.
    pub topic: &'a str,
    /// What the agent promises by a time.
    pub promises: Vec<Promise>,
    /// The customer's text needs a person now.
    pub urgent: Option<Urgent>,
    /// The text holds wording that is never acceptable.
    pub forbidden: bool,
    /// Names of the rules behind `urgent` or `forbidden`, for the signal.
    pub rules: Vec<&'a str>,
}

/// What a text does, as far as the fold needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Act {
    /// 您好, hello.
    Greeting,
    /// Thanks.
    Thanks,
    /// Farewell, or the end of the service.
    Closing,
    /// Sorry for something.
    Apology,
    /// Names or shares the customer's feeling.
    Empathy,
    /// Says what to do or what will be done.
    Advice,
    /// States a fault of one's own side.
    OwnFault,
    /// Promises something to come.
    Promise,
    /// Takes note: 好的, got it.
    Acknowledge,
}

/// A set of [`Act`]s.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Acts(u16);

impl Acts {
    /// Whether `act` is in the set.
    pub fn contains(self, act: Act) -> bool {
        self.0 & (1 << act as u16) != 0
    }
}

impl FromIterator<Act> for Acts {
    fn from_iter<T: IntoIterator<Item = Act>>(acts: T) -> Self {
        Self(acts.into_iter().fold(0, |set, act| set | 1 << act as u16))
    }
}

/// How a text asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuestionKind {
    /// To be answered in one's own words.
    Open,
    /// To be answered by yes, no or one of a choice.
    Closed,
    /// Restates what was said, to be sure of it.
    Clarifying,
}

/// How a customer's text feels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sentiment {
    /// Which side.
    pub label: Polarity,
    /// -1,000 ..= 1,000.
    pub thousandths: i16,
}

/// A side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polarity {
    /// Unhappy.
    Negative,
    /// Neither.
    Neutral,
    /// Happy.
    Positive,
}

/// Something an agent says will be done by a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// What is promised.
    pub kind: PromiseKind,
    /// By when.
    pub due: PromiseDue,
}

/// What an agent promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromiseKind {
    /// To call or to get in touch.
    Callback,
    /// To pay back or to compensate.
    Refund,
    /// To send or to deliver.
    Ship,
    /// To settle, repair or carry out something.
    Solve,
    /// To answer or to bring a result.
    Reply,
    /// Something else.
    Other,
}

impl PromiseKind {
    /// The kind's name in contracts and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Callback => "callback",
            Self::Refund => "refund",
            Self::Ship => "ship",
            Self::Solve => "solve",
            Self::Reply => "reply",
            Self::Other => "other",
        }
    }
}

/// By when something is promised, as the words say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromiseDue {
    /// So long after it was said, in milliseconds.
    Within(i64),
    /// By the end of so many working days after the day it was said.
    WorkDays(u32),
    /// On a day counted from the one it was said on, by this minute, 1 to 1,440.
    Day {
        /// 0 today, 1 tomorrow.
        days: u32,
        /// Minute of that day.
        minute: u16,
    },
    /// On a weekday, by this minute, 1 to 1,440.
    Weekday {
        /// 0: the first such day from the day it was said, that day included; n: in the n-th week
        /// after that day's, weeks beginning on Monday.
        weeks: u8,
        /// 0 is Monday.
        weekday: u8,
        /// Minute of that day.
        minute: u16,
    },
}

/// Why a text is urgent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Urgent {
    /// What it is about, if the engine can say.
    pub category: Option<UrgentCategory>,
    /// Probability that it is urgent, 0 ..= 1.
    pub probability: f64,
}

/// Categories of urgency (metrics.md section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UrgentCategory {
    /// Threatens with a regulator (12315, 消协).
    Regulator,
    /// Threatens with a lawyer or a court.
    Legal,
    /// Threatens with media or exposure.
    Media,
    /// Threatens with or calls the police.
    Police,
    /// Somebody's health or life.
    Safety,
    /// Money or goods are being lost now.
    Loss,
    /// Not the first complaint about the same thing.
    Repeat,
    /// Many customers, or danger to the company.
    Crisis,
}

impl UrgentCategory {
    /// The category's name in contracts and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Regulator => "regulator",
            Self::Legal => "legal",
            Self::Media => "media",
            Self::Police => "police",
            Self::Safety => "safety",
            Self::Loss => "loss",
            Self::Repeat => "repeat",
            Self::Crisis => "crisis",
        }
    }
}

/// What a message does to turns and response times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Asks.
    Customer,
    /// Answers as a person; `substantive` unless it only greets or holds.
    Human { substantive: bool },
    /// A machine speaks to the customer: counts for `frt.any` alone. A bot `serves`; what is sent
    /// automatically in an agent's name does not.
    Machine { serves: bool },
    /// Neither ends nor starts a run: notes, system, supervisors.
    Silent,
}

impl Marks<'_> {
    /// Whether a customer's text is more than taking note, thanks or praise.
    pub(crate) fn demands(&self) -> bool {
        let label = self.sentiment.map(|sentiment| sentiment.label);
        let asks = self.question.is_some()
            || self.complaint
            || !self.topic.is_empty()
            || label == Some(Polarity::Negative);
        let takes_note = self.thanks_or_farewell_only
            || label == Some(Polarity::Positive)
            || self.acts.contains(Act::Acknowledge)
            || self.acts.contains(Act::Thanks);
        asks || !takes_note
    }
}

impl Event<'_> {
    /// The supervisor who does this, and whether they are in the conversation after it. A note
    /// that the customer does not see counts too: who writes it is looking.
    pub(crate) fn supervisor(&self) -> Option<(&str, bool)> {
        let author = self.author.filter(|author| author.role == Role::Supervisor)?;
        match self.kind {
            EventKind::Message | EventKind::Join => Some((author.id, true)),
            EventKind::Leave => Some((author.id, false)),
            _ => None,
        }
    }

    /// The part that this event plays if it is a message (metrics.md section 1, **Human**).
    pub(crate) fn part(&self) -> Part {
        let Some(author) = self.author.filter(|_| !self.private) else {
            return Part::Silent;
        };
        match (author.role, author.subtype) {
            (Role::Customer, _) => Part::Customer,
            (Role::Agent, Subtype::None | Subtype::Assist | Subtype::Template) => {
                Part::Human { substantive: !self.marks.greeting_only && !self.marks.holding_only }
            }
            (Role::Agent, Subtype::Auto) => Part::Machine { serves: false },
            (Role::Agent, Subtype::Ai) | (Role::Bot, _) => Part::Machine { serves: true },
            (Role::System | Role::Supervisor, _) => Part::Silent,
        }
    }
}
