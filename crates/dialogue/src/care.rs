//! How the agents of one cycle care: questions, empathy, the four stages of a complaint
//! (`funnel.v1`), soothing (`soothing.v1`), holding replies (`stall.v1`).

use serde::{Deserialize, Serialize};

use crate::event::{Act, Marks, QuestionKind};
use crate::mood::empathy100;

/// What agents do for a customer who complains (`soothing.v1`), one bit each.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Soothing {
    /// Asks.
    Listen,
    /// Names or shares the feeling.
    Empathise,
    /// Says sorry.
    Steady,
    /// Thanks or takes note.
    Affirm,
    /// Advises or promises.
    Solve,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Care {
    complaint: bool,
    urgent: bool,
    /// An agent asked something.
    asked: bool,
    /// Whether that was before the first advice; `None` before any.
    identified: Option<bool>,
    soothing: u8,
    messages: u32,
    holding: u32,
    empathic: u32,
    unempathic: u32,
    questions: [u32; 3],
    /// The agent run before this one asked; this one asks.
    asked_before: bool,
    asks_now: bool,
    /// An agent spoke last.
    after_agent: bool,
    follow_ups: u32,
    topic: Box<str>,
}

/// What the care of a session comes to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CareStatement {
    /// The customer complained, and urgently.
    pub complaint: bool,
    /// Urgently.
    pub urgent: bool,
    /// What the customer's first message with a topic was about; empty if none had one.
    pub topic: String,
    /// `funnel.v1`, identification: an agent asked before the first advice; `None` without a
    /// complaint or advice.
    pub identified: Option<bool>,
    /// `funnel.v1`, emotion: no emotion slot was missed; `None` without a complaint or an answer.
    pub felt: Option<bool>,
    /// `funnel.v1`, solution: advice was given and the cycle was resolved; `None` without a
    /// complaint. Whether the same customer comes back is not known here.
    pub solved: Option<bool>,
    /// `funnel.v1`, follow-up: no promise was broken, and it was not resolved while the customer
    /// waited for an answer; `None` without a complaint.
    pub followed_up: Option<bool>,
    /// `soothing.v1`: how many of five; `None` without a complaint.
    pub soothing: Option<u8>,
    /// Human messages.
    pub messages: u32,
    /// Messages that only asked to wait.
    pub holding: u32,
    /// `stall.v1`: the first reply only asked to wait; `None` without one.
    pub first_is_holding: Option<bool>,
    /// `empathy100.v1`; `None` without empathic and unempathic messages.
    pub empathy100: Option<f64>,
    /// `questions.v1` of agents: open.
    pub open_questions: u32,
    /// Closed.
    pub closed_questions: u32,
    /// Clarifying.
    pub clarifying_questions: u32,
    /// Of all of them, those after an agent's question that the customer has answered.
    pub follow_up_questions: u32,
}

/// How a cycle ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    pub(crate) resolved: bool,
    /// A customer message waited for an answer.
    pub(crate) waiting: bool,
    /// An emotion slot was missed.
    pub(crate) cold: bool,
    /// A promise was broken.
    pub(crate) broken: bool,
    /// The first human reply only asked to wait; `None` without one.
    pub(crate) first_is_holding: Option<bool>,
}

impl Care {
    /// How far the customer has complained: 0 not, 1 so, 2 urgently.
    pub(crate) fn complains(&self) -> u8 {
        u8::from(self.complaint || self.urgent) + u8::from(self.urgent)
    }

    pub(crate) fn customer(&mut self, marks: &Marks<'_>) {
        self.complaint |= marks.complaint;
        self.urgent |= marks.urgent.is_some();
        if self.topic.is_empty() && !marks.topic.is_empty() {
            self.topic = marks.topic.into();
        }
        if std::mem::take(&mut self.after_agent) {
            self.asked_before = std::mem::take(&mut self.asks_now);
        }
    }

    pub(crate) fn agent(&mut self, marks: &Marks<'_>) {
        self.messages += 1;
        self.holding += u32::from(marks.holding_only);
        self.empathic += u32::from(marks.acts.contains(Act::Empathy));
        self.unempathic += u32::from(marks.impolite || marks.forbidden);
        if let Some(kind) = marks.question {
            self.questions[match kind {
                QuestionKind::Open => 0,
                QuestionKind::Closed => 1,
                QuestionKind::Clarifying => 2,
            }] += 1;
            self.follow_ups += u32::from(self.asked_before);
            self.asks_now = true;
        }
        let does = |act| marks.acts.contains(act);
        self.asked |= marks.question.is_some();
        if does(Act::Advice) && self.identified.is_none() {
            self.identified = Some(self.asked);
        }
        self.after_agent = true;
        if !self.complaint {
            return;
        }
        for (does, what) in [
            (marks.question.is_some(), Soothing::Listen),
            (does(Act::Empathy), Soothing::Empathise),
            (does(Act::Apology), Soothing::Steady),
            (does(Act::Thanks) || does(Act::Acknowledge), Soothing::Affirm),
            (does(Act::Advice) || does(Act::Promise), Soothing::Solve),
        ] {
            self.soothing |= u8::from(does) << what as u8;
        }
    }

    pub(crate) fn state(&self, end: Ending) -> CareStatement {
        let of_complaint = |value: bool| self.complaint.then_some(value);
        // Where nobody answered, nothing was felt or followed up, well or badly.
        let of_answers = |value: bool| of_complaint(value).filter(|_| self.messages > 0);
        CareStatement {
            complaint: self.complaint,
            urgent: self.urgent,
            topic: self.topic.to_string(),
            identified: self.identified.filter(|_| self.complaint),
            felt: of_answers(!end.cold),
            solved: of_complaint(self.identified.is_some() && end.resolved),
            followed_up: of_answers(!(end.broken || end.resolved && end.waiting)),
            soothing: self.complaint.then_some(self.soothing.count_ones() as u8),
            messages: self.messages,
            holding: self.holding,
            first_is_holding: end.first_is_holding,
            empathy100: empathy100(self.empathic, self.unempathic),
            open_questions: self.questions[0],
            closed_questions: self.questions[1],
            clarifying_questions: self.questions[2],
            follow_up_questions: self.follow_ups,
        }
    }
}
