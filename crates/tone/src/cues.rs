//! What the rules saw in a customer's message, as bits that the trained heads weigh.

use crate::assessment::{Act, Acts};
use crate::library::Class;
use crate::reading::Reading;
use crate::sentiment::Verdict;

/// Where each group of bits begins.
const VALUE: u32 = 0;
const LENGTH: u32 = 10;
const HITS: u32 = 20;
const RULES: u32 = 40;
const ACTS: u32 = 56;
const MARKS: u32 = 72;

/// Upper edges of the bands of the rules' value, in thousandths.
const VALUES: [i32; 9] = [-600, -400, -240, -150, 0, 149, 239, 399, 599];

/// Upper edges of the length bands, in characters.
const LENGTHS: [usize; 7] = [2, 4, 8, 16, 32, 64, 128];

/// The bits of a reading and of what the sentiment rules made of it.
pub(crate) fn of(reading: &Reading<'_, '_>, verdict: &Verdict, acts: Acts) -> u128 {
    let mut bits = 0_u128;
    let mut set = |at: u32| bits |= 1 << at;
    // A message without a hit is not the same as one whose hits cancel out.
    if verdict.hits != 0 {
        set(VALUE + VALUES.partition_point(|edge| *edge < verdict.value) as u32);
    }
    let length = reading.text.chars().count();
    set(LENGTH + LENGTHS.partition_point(|edge| *edge < length) as u32);
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
    for (at, act) in Act::ALL.iter().enumerate() {
        if acts.contains(*act) {
            set(ACTS + at as u32);
        }
    }
    let mut asked = false;
    let mut cues = 0;
    for clause in &reading.clauses {
        asked |= clause.asked;
        cues |= clause.cues;
    }
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

/// The bits of idioms and emoji among [`Verdict::hits`].
pub(crate) const SAYINGS: u32 = 0b1111 << 4;

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
