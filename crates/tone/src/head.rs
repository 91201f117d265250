//! Trained heads: n-grams and cues of the rules in, one number per output out.
//!
//! A head is a file made by `examples/train.rs`: a linear model, to some of them a layer of
//! hidden units is added that are 0 below their threshold (ReLU). Where the units stand,
//! such a head is linear too, so that every n-gram has its exact share of an output. Weights of
//! n-grams are integers, all else is added in one order and its one square root is IEEE's, so a
//! score is the same on every machine.

use smallvec::SmallVec;

use crate::grams::{self, Cut, Grams};

/// Cues that a head can give a weight, see `cues.rs`.
pub(crate) const CUES: usize = 128;

/// Outputs that a head can have.
pub(crate) const OUTPUTS: usize = 2;

/// Numbers that a bucket holds in a head with hidden units: one for each output and unit.
const LANES: usize = 16;

const MAGIC: &[u8; 4] = b"zhh2";

/// Bytes before the numbers: magic, cut, outputs, bits, hidden units.
const HEADER: usize = 8;

/// Why the bytes of a head cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadProblem {
    /// Not a head, or one of another version.
    #[error("this is no head of this version")]
    Format,
    /// A head with fewer or more bytes than it announces.
    #[error("the head has {found} bytes, not {expected}")]
    Size {
        /// Bytes that the header asks for.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// A number that is none, or too large for a score to stay finite.
    #[error("the head holds a number that is out of range")]
    Number,
}

/// A head over the embedded bytes of its file. Its lanes are the outputs, then the hidden units.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    cut: Cut,
    /// Buckets of the hash are folded to this many bits.
    shift: u32,
    /// By lane: what one step of a weight is worth. Outputs count thousandths of a logit.
    step: Vec<f64>,
    /// By lane.
    bias: Vec<f64>,
    /// By hidden unit: thousandths of a logit that it gives to each output.
    out: Vec<[f64; OUTPUTS]>,
    /// By cue, then lane.
    cues: Vec<f64>,
    /// By bucket, then lane: `i8`.
    weights: &'static [u8],
}

/// What a head says of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// By output, in thousandths of a logit; the logit of the base class is 0.
    pub(crate) logits: [i32; OUTPUTS],
    /// The hidden units above their threshold, a bit for each.
    active: u16,
}

/// The numbers after the header, one by one.
struct Numbers<'b>(std::slice::ChunksExact<'b, u8>);

impl Numbers<'_> {
    /// The next one.
    fn one(&mut self) -> Result<f64, HeadProblem> {
        let bytes = self.0.next().and_then(|four| four.try_into().ok());
        let number = f32::from_le_bytes(bytes.ok_or(HeadProblem::Format)?);
        if number.abs() <= 1e6 { Ok(f64::from(number)) } else { Err(HeadProblem::Number) }
    }

    fn take(&mut self, count: usize) -> Result<Vec<f64>, HeadProblem> {
        (0..count).map(|_| self.one()).collect()
    }
}

impl Head {
    pub(crate) fn parse(bytes: &'static [u8]) -> Result<Head, HeadProblem> {
        let header = bytes.get(..HEADER).ok_or(HeadProblem::Format)?;
        let cut = match header[4] {
            0 => Cut::Chinese,
            1 => Cut::English,
            _ => return Err(HeadProblem::Format),
        };
        let (outputs, bits) = (usize::from(header[5]), u32::from(header[6]));
        let hidden = usize::from(header[7]);
        let lanes = outputs + hidden;
        let known = header[..4] == *MAGIC && outputs == OUTPUTS && bits <= grams::BITS;
        if !known || !matches!(lanes, OUTPUTS | LANES) {
            return Err(HeadProblem::Format);
        }
        let numbers = 2 * lanes + hidden * outputs + CUES * lanes;
        let expected = HEADER + numbers * 4 + (lanes << bits);
        if bytes.len() != expected {
            return Err(HeadProblem::Size { expected, found: bytes.len() });
        }
        let (numbers, weights) = bytes[HEADER..].split_at(numbers * 4);
        let mut numbers = Numbers(numbers.chunks_exact(4));
        Ok(Head {
            cut,
            shift: grams::BITS - bits,
            step: numbers.take(lanes)?,
            bias: numbers.take(lanes)?,
            out: (0..hidden)
                .map(|_| Ok([numbers.one()?, numbers.one()?]))
                .collect::<Result<_, HeadProblem>>()?,
            cues: numbers.take(CUES * lanes)?,
            weights,
        })
    }

    /// The weights of a bucket, by lane.
    fn weights(&self, bucket: u32) -> &'static [u8] {
        let lanes = self.step.len();
        let at = (bucket >> self.shift) as usize * lanes;
        &self.weights[at..at + lanes]
    }

    /// Adds up the weights of n-grams, by lane.
    fn sums<const N: usize>(&self, grams: &Grams<'_>) -> [i32; N] {
        let mut sums = [0_i32; N];
        // The number of lanes is known here, and weights are few enough for their sum to be a
        // number of 16 bits: both make this loop fast.
        let (weights, _) = self.weights.as_chunks::<N>();
        for few in grams.all.chunks(256) {
            let mut part = [0_i16; N];
            for gram in few {
                let weights = &weights[(gram.bucket >> self.shift) as usize];
                for (sum, weight) in part.iter_mut().zip(weights) {
                    *sum += i16::from(*weight as i8);
                }
            }
            for (sum, part) in sums.iter_mut().zip(part) {
                *sum += i32::from(part);
            }
        }
        sums
    }

    /// What the head says of a text with the cues that the rules saw in it.
    pub(crate) fn score(&self, grams: &Grams<'_>, cues: u128) -> Answer {
        debug_assert_eq!(self.cut, grams.cut);
        let count = grams.all.len();
        if self.out.is_empty() {
            self.answer(self.sums::<OUTPUTS>(grams), count, cues)
        } else {
            self.answer(self.sums::<LANES>(grams), count, cues)
        }
    }

    fn answer<const N: usize>(&self, sums: [i32; N], count: usize, cues: u128) -> Answer {
        let root = (count.max(1) as f64).sqrt();
        let mut lanes = [0.0; N];
        for (lane, value) in lanes.iter_mut().enumerate() {
            *value = f64::from(sums[lane]) * self.step[lane] / root + self.bias[lane];
        }
        let mut left = cues;
        while left != 0 {
            let from = left.trailing_zeros() as usize * N;
            for (value, weight) in lanes.iter_mut().zip(&self.cues[from..from + N]) {
                *value += weight;
            }
            left &= left - 1;
        }
        let (outputs, units) = lanes.split_at(OUTPUTS);
        let mut logits = [outputs[0], outputs[1]];
        let mut active = 0;
        for (unit, (value, out)) in units.iter().zip(&self.out).enumerate() {
            if *value > 0.0 {
                active |= 1 << unit;
                for (logit, weight) in logits.iter_mut().zip(out) {
                    *logit += value * weight;
                }
            }
        }
        Answer { logits: logits.map(|logit| logit as i32), active }
    }

    /// Where in a text the n-grams spoke for output `toward` (and against output
    /// `from`), strongest first: bytes and share of all that spoke so, in thousandths.
    pub(crate) fn reasons(
        &self,
        grams: &Grams<'_>,
        answer: &Answer,
        toward: Option<usize>,
        from: Option<usize>,
        room: &mut Room,
    ) -> Reasons {
        // What a step of each lane gives to the difference of the two outputs.
        let difference =
            |weight: &dyn Fn(usize) -> f64| toward.map_or(0.0, weight) - from.map_or(0.0, weight);
        let worth = |lane: usize| match lane.checked_sub(OUTPUTS) {
            None => difference(&|output| if output == lane { self.step[lane] } else { 0.0 }),
            Some(unit) if answer.active & (1 << unit) != 0 => {
                self.step[lane] * difference(&|output| self.out[unit][output])
            }
            Some(_) => 0.0,
        };
        // Most units are below their threshold.
        let speak: SmallVec<[(usize, f64); LANES]> = (0..self.step.len())
            .map(|lane| (lane, worth(lane)))
            .filter(|(_, worth)| *worth != 0.0)
            .collect();
        // Every n-gram spreads its weight over its bytes; sums of differences in one pass.
        let text = grams.text;
        let Room { change, words } = room;
        change.clear();
        change.resize(text.len() + 1, 0);
        for gram in grams.all {
            let weights = self.weights(gram.bucket);
            let lanes = speak.iter().map(|(lane, worth)| f64::from(weights[*lane] as i8) * worth);
            let weight: f64 = lanes.sum();
            let (start, end) = (gram.start as usize, gram.end as usize);
            let each = (weight * FINE) as i64 / (end - start).max(1) as i64;
            change[start] += each;
            change[end] -= each;
        }
        let mut sum = 0;
        find_words(text, words);
        let mut at = 0;
        for (start, end, credit) in words.iter_mut() {
            while at < *end {
                sum += change[at];
                if at >= *start {
                    *credit += sum;
                }
                at += 1;
            }
        }
        let all: i64 = words.iter().map(|(_, _, credit)| (*credit).max(0)).sum();
        let mut reasons = Reasons::new();
        while reasons.len() < REASONS {
            let Some((first, last, credit)) = heaviest(words) else { break };
            let share = (credit * 1000 / all.max(1)) as i32;
            if share < LEAST {
                break;
            }
            reasons.push((words[first].0, words[last].1, share));
            for word in &mut words[first..=last] {
                word.2 = i64::MIN / 1024;
            }
        }
        reasons
    }
}

/// Bytes of a text and their share of what spoke for an output, in thousandths.
pub(crate) type Reasons = SmallVec<[(usize, usize, i32); REASONS]>;

/// Room in which the reasons of one text after another are found.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// By byte: what the n-grams say of it beside what they say of the byte before.
    change: Vec<i64>,
    /// Words by their bytes, and what the n-grams say of them.
    words: Vec<(usize, usize, i64)>,
}

/// Beyond this (thousandths of a logit) nothing changes: it keeps products small.
const FURTHEST: i32 = 100_000;

/// A head that is this sure (thousandths of a logit) gives half of the points there are.
const HALFWAY: i32 = 1_500;

/// What a head that is so sure (thousandths of a logit) gives: from `edge` on up to `most` if it is
/// sure of it at all, less than `edge` otherwise. Grows with `sure` and never reaches its bounds.
pub(crate) fn points(edge: i32, most: i32, sure: i32) -> i32 {
    let sure = sure.clamp(-FURTHEST, FURTHEST);
    if sure > 0 {
        edge + (most - edge) * sure / (sure + HALFWAY)
    } else {
        (edge - 1) * HALFWAY / (HALFWAY - sure)
    }
}

/// Parts of a weight that are kept when it is spread over bytes.
const FINE: f64 = 64.0;

/// Spans that an explanation names.
const REASONS: usize = 3;

/// A span with less than this share (thousandths) explains nothing.
const LEAST: i32 = 120;

/// Words of a span: a longer one is no reason but the message.
const LONGEST: usize = 6;

/// Chinese characters and words with their bytes, punctuation left out.
fn find_words(text: &str, words: &mut Vec<(usize, usize, i64)>) {
    words.clear();
    for (at, c) in text.char_indices() {
        let latin = c.is_ascii_alphanumeric() || c == '\'';
        match words.last_mut() {
            Some(word) if latin && word.1 == at && text.as_bytes()[at - 1].is_ascii() => {
                word.1 = at + 1;
            }
            _ if latin || !c.is_ascii() => words.push((at, at + c.len_utf8(), 0)),
            _ => {}
        }
    }
}

/// The run of at most [`LONGEST`] words with the most credit.
fn heaviest(words: &[(usize, usize, i64)]) -> Option<(usize, usize, i64)> {
    let (mut best, mut most) = (None, 0);
    for first in 0..words.len() {
        let mut sum = 0;
        for (more, word) in words[first..].iter().take(LONGEST).enumerate() {
            sum += word.2;
            if sum > most {
                (best, most) = (Some((first, first + more)), sum);
            }
        }
    }
    best.map(|(first, last)| (first, last, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head with one bit for which every n-gram speaks for the second output; with `hidden`
    /// units, the first of which doubles what is above 300 and the others are never there.
    fn head(hidden: u8) -> Head {
        let lanes = OUTPUTS + usize::from(hidden);
        let mut bytes = MAGIC.to_vec();
        bytes.extend([0, 2, 1, hidden]);
        let mut numbers = vec![10.0_f32; lanes];
        numbers.extend([-100.0, 300.0]);
        numbers.extend((0..hidden).map(|unit| if unit == 0 { -300.0 } else { -1e6 }));
        numbers.extend((0..hidden).flat_map(|_| [0.0, 1.0]));
        let cues = numbers.len();
        numbers.resize(cues + CUES * lanes, 0.0);
        numbers[cues + 7 * lanes] = -50.0;
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        for _ in 0..2 {
            bytes.extend((0..lanes).map(|lane| if lane == 0 { 0_u8 } else { 10 }));
        }
        Head::parse(Vec::leak(bytes)).unwrap()
    }

    fn logits(hidden: u8, text: &str, cues: u128) -> [i32; OUTPUTS] {
        head(hidden).score(&Grams::new(Cut::Chinese, text, &mut Vec::new()), cues).logits
    }

    #[test]
    fn bytes_that_are_no_head_are_refused() {
        let start = |rest: [u8; 4]| [MAGIC.as_slice(), &rest, &[0; 16]].concat();
        let problem = |bytes: Vec<u8>| Head::parse(Vec::leak(bytes)).err().unwrap();
        assert_eq!(problem(Vec::new()), HeadProblem::Format);
        assert_eq!(problem(vec![0; 64]), HeadProblem::Format);
        assert_eq!(problem(start([0, 2, 18, 255])), HeadProblem::Format);
        assert_eq!(problem(start([0, 255, 18, 255])), HeadProblem::Format);
        let short = problem(start([0, 2, 18, 0]));
        assert_eq!(short.to_string(), "the head has 24 bytes, not 525336");
        let mut bytes = start([0, 2, 0, 0]);
        bytes.resize(8 + 4 * (2 * 2 + CUES * 2) + 2, 0);
        bytes[8..12].copy_from_slice(&f32::NAN.to_le_bytes());
        assert_eq!(problem(bytes), HeadProblem::Number);
    }

    #[test]
    fn a_logit_is_bias_plus_ngrams_by_the_root_of_their_number_plus_cues() {
        // One character makes 3 n-grams: itself, and with each edge; both edges a fourth.
        assert_eq!(logits(0, "好", 0), [-100, 300 + 4 * 10 * 10 / 2]);
        assert_eq!(logits(0, "好", 1 << 7), [-150, 500]);
        assert_eq!(logits(0, "", 0), [-100, 400]);
    }

    #[test]
    fn a_hidden_unit_counts_above_its_threshold_alone() {
        assert_eq!(logits(14, "好", 0), [-100, 500]);
        // 64 n-grams and more: the root is beyond 3, what they sum to beyond 300.
        let long: String = ('一'..).take(40).collect();
        let count = 3.0 * 40.0 + 1.0_f64;
        let sum = count * 100.0 / count.sqrt();
        assert!(sum > 300.0);
        assert_eq!(logits(14, &long, 0), [-100, (300.0 + sum + (sum - 300.0)) as i32]);
    }

    #[test]
    fn reasons_lie_on_words_and_share_no_more_than_there_is() {
        let text = "a, 好的 ok 物流很快客服也很有耐心";
        let head = head(14);
        let mut grams = Vec::new();
        let grams = Grams::new(Cut::Chinese, text, &mut grams);
        let answer = head.score(&grams, 0);
        let mut room = Room::default();
        let reasons = head.reasons(&grams, &answer, Some(1), None, &mut room);
        assert!(!reasons.is_empty());
        for (start, end, _) in &reasons {
            assert!(text.is_char_boundary(*start) && text.is_char_boundary(*end) && start < end);
        }
        assert!(reasons.iter().map(|(_, _, share)| share).sum::<i32>() <= 1000);
        assert!(head.reasons(&grams, &answer, Some(0), Some(1), &mut room).is_empty());
    }
}
