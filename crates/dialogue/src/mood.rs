//! How the customer of one cycle feels from message to message (metrics.md section 3).
//!
//! Sums are kept in whole thousandths, so that the order of platforms and compilers cannot matter.

use serde::{Deserialize, Serialize};

use crate::event::{Polarity, Sentiment};

/// Messages at either end that `begin` and `end` are a mean of, at most.
const MOST_AT_AN_END: usize = 4;
/// Labels that the progressive score looks back at: three, and two before them for their streaks.
const LABELS: usize = 5;
/// A drop of the customer's sentiment after an agent's message that counts, in thousandths.
const DROP: i16 = 400;
/// Messages of a falling mood, each worse than the one before.
const FALL: usize = 3;
/// A mood that fell to this or below needs somebody, in thousandths.
const LOW: i16 = -400;
/// Sessions that begin at or below this may be converted, in thousandths.
const UNHAPPY: f64 = -0.2;
/// They are if they end at or above this.
const CONTENT: f64 = -0.05;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mood {
    messages: u32,
    positive: u32,
    negative: u32,
    /// Values of the first messages and, the latest at the end, of the last ones, in thousandths.
    first: [i16; MOST_AT_AN_END],
    last: [i16; MOST_AT_AN_END],
    /// Labels of the last messages, the latest at the end: -1, 0, 1.
    labels: [i8; LABELS],
    /// Sums of i * value and of i over messages that are not neutral, i from 1.
    weighted: i64,
    weights: i64,
    /// An agent has spoken since the customer's last message.
    answered: bool,
    aggravations: u32,
    /// It was told that the mood falls.
    fall_told: bool,
}

/// How badly a customer's mood goes down with a message.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fall {
    /// It dropped badly after an agent's message.
    pub(crate) aggravated: bool,
    /// It falls from message to message.
    pub(crate) goes_on: bool,
}

/// What the mood of a session comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MoodStatement {
    /// Customer messages with a sentiment.
    pub messages: u32,
    /// Of them positive.
    pub positive: u32,
    /// Of them negative.
    pub negative: u32,
    /// Mean value of the first third, one to four messages; `None` below two messages.
    pub begin: Option<f64>,
    /// Mean value of the last third.
    pub end: Option<f64>,
    /// `cl5.v1`, -5 ..= 5.
    pub cl5: Option<f64>,
    /// `cl5.progressive.v1` at the last message, -5 ..= 5.
    pub progressive: Option<f64>,
    /// `gc100.v1`, -100 ..= 100; `None` if every message is neutral.
    pub gc100: Option<f64>,
    /// `emo.conv.v1`: of a session that began unhappy, whether it ended content; `None` if it did
    /// not begin so, or if the customer said nothing after the agent's last answer.
    pub converted: Option<bool>,
    /// Began unhappy.
    pub unhappy: bool,
    /// `aggravation.v1`: drops of 0.4 or more after an agent's message.
    pub aggravations: u32,
}

impl Mood {
    /// A message of the customer; says by how much the mood dropped, in thousandths, if it dropped
    /// badly after an agent's message.
    pub(crate) fn customer(&mut self, sentiment: Sentiment) -> Option<i16> {
        let before = (self.messages > 0).then_some(self.last[MOST_AT_AN_END - 1]);
        let value = sentiment.thousandths;
        if let Some(first) = self.first.get_mut(self.messages as usize) {
            *first = value;
        }
        self.messages += 1;
        push(&mut self.last, value);
        let label = match sentiment.label {
            Polarity::Negative => -1,
            Polarity::Neutral => 0,
            Polarity::Positive => 1,
        };
        push(&mut self.labels, label);
        self.positive += u32::from(label > 0);
        self.negative += u32::from(label < 0);
        if label != 0 {
            self.weighted += i64::from(self.messages) * i64::from(value);
            self.weights += i64::from(self.messages);
        }
        let drop = before.map_or(0, |before| before.saturating_sub(value));
        let is_bad = std::mem::take(&mut self.answered) && drop >= DROP;
        self.aggravations += u32::from(is_bad);
        is_bad.then_some(drop)
    }

    /// The mood has fallen over the last three messages, each worse than the one before, by 0.4 or
    /// more in all and to -0.4 or below; true once in a cycle.
    pub(crate) fn falls(&mut self) -> bool {
        let fall = &self.last[MOST_AT_AN_END - FALL..];
        let [first, .., last] = *fall else { return false };
        let falls = self.messages as usize >= FALL
            && fall.is_sorted_by(|before, after| before > after)
            && last <= LOW
            && first.saturating_sub(last) >= DROP;
        falls && !std::mem::replace(&mut self.fall_told, true)
    }

    /// A person answers.
    pub(crate) fn agent(&mut self) {
        self.answered = true;
    }

    pub(crate) fn state(&self) -> MoodStatement {
        let n = self.messages;
        let third = (n.div_ceil(3) as usize).clamp(1, MOST_AT_AN_END);
        let begin = mean(&self.first[..third]).filter(|_| n > 1);
        let end = mean(&self.last[MOST_AT_AN_END - third..]).filter(|_| n > 1);
        let unhappy = begin.is_some_and(|begin| begin <= UNHAPPY);
        // Who has not spoken since the last answer may feel anything.
        let known = unhappy && !self.answered;
        MoodStatement {
            messages: n,
            positive: self.positive,
            negative: self.negative,
            begin,
            end,
            cl5: (n > 0).then(|| {
                5.0 * (f64::from(self.positive) - f64::from(self.negative)) / f64::from(n)
            }),
            progressive: self.progressive(),
            gc100: (self.weights > 0).then(|| self.weighted as f64 / self.weights as f64 / 10.0),
            converted: end.filter(|_| known).map(|end| end >= CONTENT),
            unhappy,
            aggravations: self.aggravations,
        }
    }

    /// Five times the mean of the last three labels; of a streak the first counts 0.75 once a
    /// second has followed, the second 1.5, those after them 1.
    fn progressive(&self) -> Option<f64> {
        let labels = &self.labels;
        if self.messages == 0 {
            return None;
        }
        let known = LABELS.saturating_sub(self.messages as usize);
        let weight = |at: usize| {
            let same = |other: Option<usize>| {
                let other = other.filter(|&other| other >= known);
                other.and_then(|other| labels.get(other)) == Some(&labels[at])
            };
            let before = at.checked_sub(1);
            match (same(before), same(before.and_then(|before| before.checked_sub(1)))) {
                (true, false) => 1.5,
                (false, _) if same(Some(at + 1)) => 0.75,
                (true, true) | (false, _) => 1.0,
            }
        };
        let window = known.max(LABELS - 3)..LABELS;
        let sum: f64 = window.map(|at| weight(at) * f64::from(labels[at])).sum();
        Some((5.0 * sum / 3.0).clamp(-5.0, 5.0))
    }
}

/// Drops the oldest.
fn push<T: Copy, const N: usize>(list: &mut [T; N], value: T) {
    list.rotate_left(1);
    list[N - 1] = value;
}

/// Mean of thousandths.
fn mean(values: &[i16]) -> Option<f64> {
    let sum: i64 = values.iter().map(|&value| i64::from(value)).sum();
    (!values.is_empty()).then(|| sum as f64 / values.len() as f64 / 1000.0)
}

/// `empathy100.v1` of so many empathic and unempathic messages, -100 ..= 100.
pub(crate) fn empathy100(empathic: u32, unempathic: u32) -> Option<f64> {
    let (e, u) = (f64::from(empathic), f64::from(unempathic));
    (empathic + unempathic > 0).then(|| 100.0 * (e - u) / (e + u))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(label: i8) -> Sentiment {
        let label_of = match label {
            -1 => Polarity::Negative,
            0 => Polarity::Neutral,
            _ => Polarity::Positive,
        };
        Sentiment { label: label_of, thousandths: i16::from(label) * 1000 }
    }

    fn progress(labels: &[i8]) -> (Vec<f64>, Option<f64>) {
        let mut mood = Mood::default();
        let mut progress = Vec::new();
        for &label in labels {
            mood.customer(said(label));
            progress.push((mood.state().progressive.unwrap_or(f64::NAN) * 1000.0).round() / 1000.0);
        }
        (progress, mood.state().cl5)
    }

    #[test]
    fn scores_are_those_of_the_golden_vectors() {
        let (progressive, cl5) = progress(&[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1]);
        let third = 1.667;
        assert_eq!(
            progressive,
            [0.0, 0.0, 0.0, 0.0, 0.0, third, third, third, 0.0, 0.0, third, third, 3.333]
        );
        assert!((cl5.unwrap_or(0.0) - 1.153_846_153_8).abs() < 1e-9);
        assert_eq!(progress(&[1, 1, 1]).0, [third, 3.75, 5.0]);
        let (progressive, cl5) = progress(&[-1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0]);
        let expected =
            [-third, -3.75, -3.75, -2.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, third, 3.75, 3.75];
        assert_eq!((progressive.as_slice(), cl5), (&expected[..], Some(0.0)));
        assert!((empathy100(2, 5).unwrap_or(0.0) + 42.857).abs() < 1e-3);
        assert_eq!(empathy100(0, 0), None);
    }

    #[test]
    fn begin_and_end_are_means_of_a_third() {
        let mut mood = Mood::default();
        let value = |thousandths| Sentiment { label: Polarity::Negative, thousandths };
        mood.customer(value(-600));
        assert_eq!((mood.state().begin, mood.state().unhappy), (None, false));
        mood.customer(value(-200));
        assert_eq!((mood.state().begin, mood.state().end), (Some(-0.6), Some(-0.2)));
        for _ in 0..30 {
            mood.customer(value(0));
        }
        assert_eq!((mood.state().begin, mood.state().end), (Some(-0.2), Some(0.0)));
    }

    #[test]
    fn who_says_nothing_after_the_last_answer_is_neither_converted_nor_lost() {
        let value = |thousandths| Sentiment { label: Polarity::Neutral, thousandths };
        let mut mood = Mood::default();
        mood.customer(value(-500));
        mood.agent();
        mood.customer(value(100));
        assert_eq!(mood.state().converted, Some(true));
        mood.agent();
        assert_eq!((mood.state().converted, mood.state().unhappy), (None, true));
        mood.customer(value(-300));
        assert_eq!(mood.state().converted, Some(false));
        assert_eq!(mood.state().aggravations, 1);
    }

    #[test]
    fn a_drop_counts_only_after_an_agent_has_spoken() {
        let value = |thousandths| Sentiment { label: Polarity::Neutral, thousandths };
        let mut mood = Mood::default();
        assert_eq!(mood.customer(value(300)), None);
        assert_eq!(mood.customer(value(-300)), None);
        mood.agent();
        assert_eq!(mood.customer(value(-699)), None);
        mood.agent();
        assert_eq!(mood.customer(value(-1000)), None);
        mood.customer(value(0));
        mood.agent();
        assert_eq!(mood.customer(value(-400)), Some(400));
    }
    #[test]
    fn a_mood_that_falls_three_times_running_falls_once() {
        let value = |thousandths| Sentiment { label: Polarity::Negative, thousandths };
        let mut mood = Mood::default();
        for thousandths in [100, -200, -500] {
            mood.customer(value(thousandths));
        }
        assert!(mood.falls());
        mood.customer(value(-900));
        assert!(!mood.falls(), "told already");
        let falls = |values: [i16; 3]| {
            let mut mood = Mood::default();
            for thousandths in values {
                mood.customer(value(thousandths));
            }
            mood.falls()
        };
        assert!(falls([0, -100, -400]), "0.4 in all, to -0.4");
        assert!(!falls([0, -100, -399]), "not low enough");
        assert!(!falls([-100, -200, -499]), "not far enough");
        assert!(!falls([0, -400, -400]), "not worse");
        let mut two = Mood::default();
        two.customer(value(-100));
        two.customer(value(-600));
        assert!(!two.falls(), "two messages are no trend");
    }
}
