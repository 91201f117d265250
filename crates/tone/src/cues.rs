//! What the rules saw in a customer's message, as bits that the trained heads weigh.

use crate::assessment::{Act, Acts, Polarity};
use crate::library::Class;
use crate::reading::Reading;
use crate::rules::Side;
use crate::sentiment::Verdict;

/// Where each group of bits begins.
const VALUE: u32 = 0;
const LENGTH: u32 = 10;
const HITS: u32 = 20;
const RULES: u32 = 40;
const ACTS: u32 = 56;
const MARKS: u32 = 72;
const CONTEXT: u32 = 90;

/// Upper edges of the bands of the rules' value, in thousandths.
const VALUES: [i32; 9] = [-600, -400, -240, -150, 0, 149, 239, 399, 599];

/// Upper edges of the length bands, in characters.
const LENGTHS: [usize; 7] = [2, 4, 8, 16, 32, 64, 128];

/// Where each group of bits of an agent's message begins; `VALUE` and `LENGTH` as above.
const CLASSES: u32 = 20;
const AGENT_ACTS: u32 = 84;
const AGENT_MARKS: u32 = 100;

/// Lower edges of the bands of the rules' politeness, in thousandths of a point.
const POLITENESS: [i32; 7] = [25_000, 40_000, 55_000, 55_001, 60_000, 65_000, 80_000];

/// The bits of an agent's reading and of the points that the rules gave it.
pub(crate) fn of_agent(reading: &Reading<'_, '_>, points: i32, acts: Acts) -> u128 {
    let mut bits = 0_u128;
    let mut set = |at: u32| bits |= 1 << at;
    set(VALUE + POLITENESS.partition_point(|edge| *edge <= points) as u32);
    set(LENGTH + length_band(reading.length));
    for hit in reading.hits.iter().filter(|hit| hit.entry.politeness != 0) {
        set(CLASSES + (hit.entry.class as u32).min(AGENT_ACTS - CLASSES - 1));
    }
    for act in act_bits(acts) {
        set(AGENT_ACTS + act);
    }
    let (asked, cues) = marked(reading);
    let marks = [
        asked,
        cues & Class::Question.bit() != 0,
        cues & Class::Rhetorical.bit() != 0,
        cues & Class::Negator.bit() != 0,
        cues & Class::Hypothetical.bit() != 0,
        reading.contrast.is_some(),
        reading.text.contains('!'),
        reading.clauses.len() > 2,
    ];
    for (at, mark) in marks.into_iter().enumerate() {
        if mark {
            set(AGENT_MARKS + at as u32);
        }
    }
    bits
}

/// The bits of a reading and of what the sentiment rules made of it.
pub(crate) fn of(reading: &Reading<'_, '_>, verdict: &Verdict, acts: Acts) -> u128 {
    let mut bits = 0_u128;
    let mut set = |at: u32| bits |= 1 << at;
    // A message without a hit is not the same as one whose hits cancel out.
    if verdict.hits != 0 {
        set(VALUE + VALUES.partition_point(|edge| *edge < verdict.value) as u32);
    }
    set(LENGTH + length_band(reading.length));
    for kind in 0..16 {
        if verdict.hits & (1 << kind) != 0 {
            set(HITS + kind);
        }
    }
    for rule in 0..16 {
        if verdict.fired & (1 << rule) != 0 {
            set(RULES + rule);
        }
    }
    for act in act_bits(acts) {
        set(ACTS + act);
    }
    let (asked, cues) = marked(reading);
    let marks = [
        asked,
        cues & Class::Question.bit() != 0,
        cues & Class::Rhetorical.bit() != 0,
        cues & Class::Negator.bit() != 0,
        cues & Class::Intensifier.bit() != 0,
        cues & Class::Hypothetical.bit() != 0,
        cues & Class::SarcasmCue.bit() != 0,
        cues & Class::Withdrawn.bit() != 0,
        cues & Class::Resolved.bit() != 0,
        cues & Class::Resolve.bit() != 0,
        cues & Class::ThirdParty.bit() != 0,
        reading.contrast.is_some(),
        reading.text.contains('!'),
        reading.clauses.len() > 2,
    ];
    for (at, mark) in marks.into_iter().enumerate() {
        if mark {
            set(MARKS + at as u32);
        }
    }
    bits
}

/// Which of the length bands a text of so many characters is in.
fn length_band(length: usize) -> u32 {
    LENGTHS.partition_point(|edge| *edge < length) as u32
}

/// The acts, each by its place.
fn act_bits(acts: Acts) -> impl Iterator<Item = u32> {
    (0_u32..).zip(Act::ALL).filter(move |(_, act)| acts.contains(**act)).map(|(at, _)| at)
}

/// Whether any clause ends with a question mark, and the classes of all cues.
fn marked(reading: &Reading<'_, '_>) -> (bool, u64) {
    let asked = reading.clauses.iter().any(|clause| clause.asked);
    (asked, reading.clauses.iter().fold(0, |cues, clause| cues | clause.cues))
}

/// Cues of the lines before a message.
pub(crate) struct Context(u128);

impl Context {
    /// For a message after `lines` others.
    pub(crate) fn new(lines: usize) -> Context {
        // The first line has nothing before it, and no cue that says so.
        Context(if lines == 0 { 0 } else { 1 << (CONTEXT + lines.min(3) as u32) })
    }

    /// A line of the customer's: the `nth` of theirs going back, `age` lines before.
    pub(crate) fn customer(&mut self, nth: usize, age: usize, label: Polarity, same: bool) {
        let at = CONTEXT + 4;
        let side = match label {
            Polarity::Neg => Some(0),
            Polarity::Pos => Some(1),
            Polarity::Neutral => None,
        };
        if let Some(side) = side {
            // The last line and those before it are told apart.
            self.0 |= 1 << (at + side + if nth == 0 { 0 } else { 2 });
        }
        self.0 |= u128::from(same) << (at + 4);
        // Nobody has answered what was said last.
        self.0 |= u128::from(age == 0) << (at + 5);
        self.0 |= u128::from(age == 1 && nth == 1) << (at + 6);
    }

    /// The agent's last line, `age` lines before.
    pub(crate) fn agent(&mut self, age: usize, acts: Acts) {
        let at = CONTEXT + 11;
        self.0 |= u128::from(age == 0) << at;
        for (nth, act) in Act::ALL.iter().enumerate() {
            self.0 |= u128::from(acts.contains(*act)) << (at + 1 + nth as u32);
        }
    }

    pub(crate) fn bits(&self) -> u128 {
        self.0
    }

    /// Whether the customer's last line and one before it were negative.
    pub(crate) fn angry(bits: u128) -> bool {
        let both = (1 << (CONTEXT + 4)) | (1 << (CONTEXT + 6));
        bits & both == both
    }

    /// Whether one of the customer's lines was the same.
    pub(crate) fn repeated(bits: u128) -> bool {
        bits & (1 << (CONTEXT + 8)) != 0
    }
}

/// The bits of emoji among [`Verdict::hits`].
pub(crate) const EMOJI: u32 = 0b11 << 6;

/// The bit of a hit before or after a contrast word among [`Verdict::hits`].
pub(crate) fn conceded(side: Side, value: i32) -> u32 {
    let first = if side == Side::Before { 12 } else { 14 };
    match value.signum() {
        0 => 0,
        sign => 1 << (first + u32::from(sign > 0)),
    }
}

/// The bit of a hit among [`Verdict::hits`]: its class and its sign.
pub(crate) fn kind(class: Class, points: i32) -> u32 {
    let class = match class {
        Class::Positive | Class::Negative => 0,
        Class::Complaint => 1,
        Class::Idiom => 2,
        Class::Emoji => 3,
        Class::Thanks => 4,
        _ => 5,
    };
    1 << (class * 2 + u32::from(points > 0))
}
