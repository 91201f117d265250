//! What the engine says about one message.

use std::fmt;
use std::sync::Arc;

/// Who wrote the message. Politeness is asked of agents; sentiment, complaint
/// and satisfaction of customers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The person served.
    Customer,
    /// The person (or template) that serves.
    Agent,
}

/// Language of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lang {
    /// Chinese in simplified characters.
    Zh,
    /// Chinese in traditional characters.
    ZhHant,
    /// English.
    En,
    /// Chinese and English in comparable shares.
    Mixed,
    /// Neither: emoji, numbers, order cards, another language.
    Unknown,
}

/// Three-way polarity, used for sentiment and for satisfaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Polarity {
    /// Negative.
    Neg,
    /// Neither, or not enough evidence.
    Neutral,
    /// Positive.
    Pos,
}

/// Band of a politeness score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PolitenessLabel {
    /// Score below [`crate::IMPOLITE_BELOW`].
    Impolite,
    /// In between.
    Neutral,
    /// Score of [`crate::POLITE_FROM`] or more.
    Polite,
}

/// What a customer's message asks of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ComplaintLabel {
    /// Escalate now.
    Urgent,
    /// Dissatisfied, no reason to escalate.
    Complaint,
    /// No complaint.
    Normal,
}

/// Why a message is urgent (`metrics.md` section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UrgentCategory {
    /// A person is at risk of harming themselves.
    Crisis,
    /// Injury, fire, gas, poisoning, a failing brake.
    Safety,
    /// The police were or will be called.
    Police,
    /// Lawyer, court, arbitration.
    Legal,
    /// 12315, consumer association, ombudsman.
    Regulator,
    /// Press, social media, public protest.
    Media,
    /// Money or an account is being lost right now.
    Loss,
    /// The same matter again and again.
    Repeat,
}

/// The score a contribution belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// [`Politeness::score`], starting at [`crate::POLITENESS_BASE`].
    Politeness,
    /// [`Sentiment::value`], starting at 0.
    Sentiment,
    /// [`Complaint::dissatisfaction`], starting at 0.
    Complaint,
    /// [`Complaint::probability`], starting at [`crate::URGENCY_BASE`].
    Urgency,
}

macro_rules! names {
    ($type:ident { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// All values, in the order of their definition here.
            pub const ALL: &'static [$type] = &[$($type::$variant),+];

            /// The name used in every interface.
            pub fn as_str(self) -> &'static str {
                match self { $($type::$variant => $name),+ }
            }

            /// The value with this name, if there is one.
            pub fn from_name(name: &str) -> Option<$type> {
                Self::ALL.iter().copied().find(|value| value.as_str() == name)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

names!(Role { Customer => "customer", Agent => "agent" });
names!(Lang { Zh => "zh", ZhHant => "zh-Hant", En => "en", Mixed => "mixed", Unknown => "unknown" });
names!(Polarity { Neg => "neg", Neutral => "neutral", Pos => "pos" });
names!(PolitenessLabel { Impolite => "impolite", Neutral => "neutral", Polite => "polite" });
names!(ComplaintLabel { Urgent => "urgent", Complaint => "complaint", Normal => "normal" });
names!(UrgentCategory {
    Crisis => "crisis",
    Safety => "safety",
    Police => "police",
    Legal => "legal",
    Regulator => "regulator",
    Media => "media",
    Loss => "loss",
    Repeat => "repeat",
});
names!(Target { Politeness => "politeness", Sentiment => "sentiment", Complaint => "complaint", Urgency => "urgency" });

/// A dialogue act: what a piece of a message does in the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Act {
    /// 您好, hello.
    Greeting,
    /// 谢谢, thank you.
    Thanks,
    /// Farewell or the end of the service: 再见, 祝您生活愉快.
    Closing,
    /// Sorry for something.
    Apology,
    /// Names or shares the customer's feeling.
    Empathy,
    /// Asks to wait, without an answer yet.
    Holding,
    /// Says what to do or what will be done.
    Advice,
    /// Says no.
    Refusal,
    /// Asks something.
    Question,
    /// States a fault of one's own side.
    OwnFault,
    /// Promises something to come.
    Promise,
    /// Offers further help.
    Offer,
    /// Acknowledges: 好的, got it.
    Acknowledge,
}

names!(Act {
    Greeting => "greeting",
    Thanks => "thanks",
    Closing => "closing",
    Apology => "apology",
    Empathy => "empathy",
    Holding => "holding",
    Advice => "advice",
    Refusal => "refusal",
    Question => "question",
    OwnFault => "own_fault",
    Promise => "promise",
    Offer => "offer",
    Acknowledge => "acknowledge",
});

/// A set of [`Act`]s.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Acts(u32);

impl Acts {
    /// No act.
    pub const NONE: Acts = Acts(0);

    /// Whether `act` is in the set.
    pub fn contains(self, act: Act) -> bool {
        self.0 & (1 << act as u32) != 0
    }

    /// Adds `act`.
    pub fn insert(&mut self, act: Act) {
        self.0 |= 1 << act as u32;
    }

    /// Adds every act of `other`.
    pub fn extend(&mut self, other: Acts) {
        self.0 |= other.0;
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the sets share an act.
    pub fn intersects(self, other: Acts) -> bool {
        self.0 & other.0 != 0
    }

    /// The acts in the order of [`Act::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Act> {
        Act::ALL.iter().copied().filter(move |act| self.contains(*act))
    }
}

impl FromIterator<Act> for Acts {
    fn from_iter<T: IntoIterator<Item = Act>>(acts: T) -> Acts {
        let mut set = Acts::NONE;
        for act in acts {
            set.insert(act);
        }
        set
    }
}

impl fmt::Debug for Acts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Sentiment of a customer's message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sentiment {
    /// Band of `value`.
    pub label: Polarity,
    /// -1 (bad) to 1 (good), in steps of 0.001: the sum of the contributions.
    pub value: f64,
    /// Share of right labels among answers like this one, 0..1, as measured; `model/README.md`
    /// says on what, and how far that carries.
    pub confidence: f64,
}

/// Politeness of an agent's message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Politeness {
    /// Band of `score`.
    pub label: PolitenessLabel,
    /// 0..100: [`crate::POLITENESS_BASE`] plus the sum of the contributions.
    pub score: f64,
}

/// Complaint reading of a customer's message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Complaint {
    /// Urgent, complaint or normal.
    pub label: ComplaintLabel,
    /// Why it is urgent; `None` unless urgent, and for an urgent message
    /// without one of the categories (a plain demand to lodge a complaint).
    pub category: Option<UrgentCategory>,
    /// How much the message complains, 0..1: the sum of the contributions. From
    /// [`crate::COMPLAINT_FROM`] on it is a complaint.
    pub dissatisfaction: f64,
    /// P(urgent), 0..1: [`crate::URGENCY_BASE`] plus the sum of the contributions.
    pub probability: f64,
}

/// One reason for a score: a place in the text, and the points it gives.
///
/// A rule that changes what an entry says (negation, question, contrast) is an
/// evidence of its own with the difference as points, so that points always sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// First Unicode scalar of the given text.
    pub start: usize,
    /// One past the last Unicode scalar.
    pub end: usize,
    /// Class of the library entry, `rule` for a named rule, `head` for a trained head.
    pub class: &'static str,
    /// The entry as the library writes it, or the name of the rule; of a head `n-grams` for
    /// a span that spoke most, `rest` for all else it saw.
    pub rule: Arc<str>,
    /// Points given to `target`, in steps of 0.001.
    pub points: f64,
    /// The score the points belong to.
    pub target: Target,
}

/// What an agent promises to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PromiseKind {
    /// To call or to get in touch: 给您回电, we will call you back.
    Callback,
    /// To pay back or to compensate: 退款到账, your refund will arrive.
    Refund,
    /// To send, to send again or to deliver: 安排补发, we will ship it.
    Ship,
    /// To settle, repair or carry out something: 处理好, we will fix this.
    Solve,
    /// To answer or to bring a result: 给您答复, we will let you know.
    Reply,
    /// To do something else by a time that is named.
    Other,
}

names!(PromiseKind {
    Callback => "callback",
    Refund => "refund",
    Ship => "ship",
    Solve => "solve",
    Reply => "reply",
    Other => "other",
});

/// By when a promise falls due, as far as the words tell it. Days and minutes are those of the
/// agent's calendar; where words leave a span (1-3 days, in the morning) this is its end, so that
/// no promise counts as broken too soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Due {
    /// So long after it was said: 24小时内, in 30 minutes, 三天内.
    Within {
        /// Milliseconds, more than 0.
        ms: i64,
    },
    /// By the end of so many working days after the day it was said: 3个工作日内.
    WorkDays {
        /// Working days, at least 1.
        days: u32,
    },
    /// On a day counted from the one it was said on: 今天18点前, 明早, by end of day.
    Day {
        /// 0 today, 1 tomorrow.
        days: u32,
        /// By this minute of that day, 1 to 1,440 (its end). An hour that may be of the morning or
        /// of the evening (今天8点前) is the later one today. With `days` 0 the time may have been
        /// named without its day (18点前): if it is past when it is said, the next one is meant.
        minute: u16,
    },
    /// On a weekday: 周五前 and by Friday mean the end of Friday, and on Friday said the same day.
    Weekday {
        /// 0: the first such day from the day it was said, that day included. n: the one in the
        /// n-th week after that day's; weeks begin on Monday.
        weeks: u8,
        /// 0 is Monday, 6 Sunday.
        weekday: u8,
        /// By this minute of that day, 1 to 1,440 (its end).
        minute: u16,
    },
    /// Soon, with no time named (尽快, as soon as possible): never due.
    Vague,
}

/// As a person reads it: within 24 h, in 3 working days, tomorrow by 18:00, Friday, soon.
impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = |f: &mut fmt::Formatter<'_>, minute: u16| match minute {
            1440 => Ok(()),
            minute => write!(f, " by {}:{:02}", minute / 60, minute % 60),
        };
        match *self {
            Due::Within { ms } if ms % 3_600_000 == 0 => write!(f, "within {} h", ms / 3_600_000),
            Due::Within { ms } => write!(f, "within {} min", ms / 60_000),
            Due::WorkDays { days: 1 } => f.write_str("within 1 working day"),
            Due::WorkDays { days } => write!(f, "within {days} working days"),
            Due::Day { days, minute } => {
                match days {
                    0 => f.write_str("today")?,
                    1 => f.write_str("tomorrow")?,
                    _ => write!(f, "in {days} days")?,
                }
                by(f, minute)
            }
            Due::Weekday { weeks, weekday, minute } => {
                const NAMES: [&str; 7] =
                    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
                f.write_str(NAMES.get(usize::from(weekday)).copied().unwrap_or("Sunday"))?;
                match weeks {
                    0 => {}
                    1 => f.write_str(" next week")?,
                    _ => write!(f, " in {weeks} weeks")?,
                }
                by(f, minute)
            }
            Due::Vague => f.write_str("soon"),
        }
    }
}

/// A promise of an agent, with the place that holds its time and what is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Promise {
    /// What is promised.
    pub kind: PromiseKind,
    /// By when.
    pub due: Due,
    /// First Unicode scalar of the given text.
    pub start: usize,
    /// One past the last Unicode scalar.
    pub end: usize,
}

/// How a message asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QuestionKind {
    /// To be answered in one's own words: 什么时候发货, what happened?
    Open,
    /// To be answered by yes, no or one of a choice: 收到了吗, did it arrive?
    Closed,
    /// Restates what was said, to be sure of it: 您的意思是要退货对吗, just to confirm.
    Clarifying,
}

names!(QuestionKind { Open => "open", Closed => "closed", Clarifying => "clarifying" });

/// Everything the engine says about one message.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// Language of the message.
    pub lang: Lang,
    /// `None` for agents.
    pub sentiment: Option<Sentiment>,
    /// `None` for customers.
    pub politeness: Option<Politeness>,
    /// `None` for agents.
    pub complaint: Option<Complaint>,
    /// Satisfaction of a customer in the light of the lines before; `None` for agents.
    pub satisfaction: Option<Polarity>,
    /// An agent used wording that is never acceptable. Always false for customers.
    pub forbidden: bool,
    /// What the message does.
    pub acts: Acts,
    /// `Some` if the message does nothing but this (fillers aside): only
    /// `Greeting`, `Holding`, `Thanks`, `Closing` occur here.
    pub only: Option<Act>,
    /// What an agent promises, in the order of the text. Always empty for customers.
    pub promises: Vec<Promise>,
    /// How the message asks; `None` if it asks nothing that wants an answer, so that
    /// [`Act::Question`] may stand without it (可以帮您吗, 稍等一下好吗), never it without that.
    pub question: Option<QuestionKind>,
    /// What a customer's message is about, one of [`crate::Engine::topics`] such as `refund`; `None` if
    /// nothing tells, and for agents.
    pub topic: Option<&'static str>,
    /// Reasons, ordered by target, start and end.
    pub evidence: Vec<Evidence>,
}

impl Assessment {
    /// Nothing but a greeting (您好, 亲在的).
    pub fn is_greeting_only(&self) -> bool {
        self.only == Some(Act::Greeting)
    }

    /// Nothing but a holding reply (稍等, one moment), greeting included or not.
    pub fn is_holding_only(&self) -> bool {
        self.only == Some(Act::Holding)
    }

    /// Nothing but thanks or a farewell.
    pub fn is_thanks_or_farewell_only(&self) -> bool {
        matches!(self.only, Some(Act::Thanks | Act::Closing))
    }

    /// Whether an agent's message counts for `frt.substantive.v1`: it is neither
    /// a greeting alone nor a holding reply alone.
    pub fn is_substantive(&self) -> bool {
        !self.is_greeting_only() && !self.is_holding_only()
    }

    /// Whether a customer's message opens a turn (`metrics.md` section 2):
    /// thanks or farewell alone do not.
    pub fn opens_turn(&self) -> bool {
        !self.is_thanks_or_farewell_only()
    }

    /// The points given to `target`, summed in whole thousandths and therefore
    /// free of rounding: base + this = the score.
    pub fn points(&self, target: Target) -> f64 {
        let thousandths: i64 = self
            .evidence
            .iter()
            .filter(|evidence| evidence.target == target)
            .map(|evidence| (evidence.points * 1000.0).round() as i64)
            .sum();
        thousandths as f64 / 1000.0
    }
}
