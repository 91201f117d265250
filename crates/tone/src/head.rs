//! Trained linear heads: n-grams and cues of the rules in, one number per output out.
//!
//! A head is a file made by `examples/train.rs`. Its weights are integers and its one
//! square root is IEEE's, so a score is the same on every machine.

use crate::grams::{self, Cut};

/// Cues that a head can give a weight, see `cues.rs`.
pub(crate) const CUES: usize = 128;

/// Outputs that a head can have.
pub(crate) const OUTPUTS: usize = 2;

const MAGIC: &[u8; 4] = b"zhh1";

/// Bytes before the cue weights: magic, cut, outputs, bits, a spare one, then per output
/// scale and bias.
const HEADER: usize = 8 + OUTPUTS * 8;

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
}

/// A head over the embedded bytes of its file.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) cut: Cut,
    outputs: usize,
    /// Buckets of the hash are folded to this many bits.
    shift: u32,
    /// What one step of a weight is worth, in thousandths of a logit.
    scale: [f64; OUTPUTS],
    /// In thousandths of a logit.
    bias: [i32; OUTPUTS],
    /// By cue, in thousandths of a logit.
    cues: Vec<[i32; OUTPUTS]>,
    /// By bucket, then output: `i8`.
    weights: &'static [u8],
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
        if header[..4] != *MAGIC || !(1..=OUTPUTS).contains(&outputs) || bits > grams::BITS {
            return Err(HeadProblem::Format);
        }
        let expected = HEADER + CUES * outputs * 2 + (outputs << bits);
        if bytes.len() != expected {
            return Err(HeadProblem::Size { expected, found: bytes.len() });
        }
        let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let mut head = Head {
            cut,
            outputs,
            shift: grams::BITS - bits,
            scale: [0.0; OUTPUTS],
            bias: [0; OUTPUTS],
            cues: vec![[0; OUTPUTS]; CUES],
            weights: &bytes[HEADER + CUES * outputs * 2..],
        };
        for output in 0..outputs {
            head.scale[output] = f64::from(f32::from_le_bytes(word(8 + output * 8)));
            head.bias[output] = i32::from_le_bytes(word(12 + output * 8));
            for cue in 0..CUES {
                let at = HEADER + (cue * outputs + output) * 2;
                let weight = i16::from_le_bytes([bytes[at], bytes[at + 1]]);
                head.cues[cue][output] = i32::from(weight);
            }
        }
        Ok(head)
    }

    fn weight(&self, bucket: u32, output: usize) -> i32 {
        let at = (bucket >> self.shift) as usize * self.outputs + output;
        i32::from(self.weights[at] as i8)
    }

    /// Logits of a normalised text with the cues that the rules saw in it, by output,
    /// in thousandths.
    pub(crate) fn score(&self, text: &str, cues: u128) -> [i32; OUTPUTS] {
        let mut sums = [0_i64; OUTPUTS];
        let mut count = 0_u32;
        if self.outputs == 2 {
            grams::grams(self.cut, text, |bucket, _, _| {
                let at = (bucket >> self.shift) as usize * 2;
                sums[0] += i64::from(self.weights[at] as i8);
                sums[1] += i64::from(self.weights[at + 1] as i8);
                count += 1;
            });
        } else {
            grams::grams(self.cut, text, |bucket, _, _| {
                sums[0] += i64::from(self.weight(bucket, 0));
                count += 1;
            });
        }
        let mut logits = self.bias;
        let root = f64::from(count.max(1)).sqrt();
        for output in 0..self.outputs {
            let grams = sums[output] as f64 * self.scale[output] / root;
            logits[output] += grams as i32;
        }
        let mut left = cues;
        while left != 0 {
            let weights = &self.cues[left.trailing_zeros() as usize];
            for (logit, weight) in logits.iter_mut().zip(weights) {
                *logit += weight;
            }
            left &= left - 1;
        }
        logits
    }

    /// Where in a text the n-grams spoke for output `toward` (and against output
    /// `from`), strongest first: bytes and share of all that spoke so, in thousandths.
    pub(crate) fn reasons(
        &self,
        text: &str,
        toward: Option<usize>,
        from: Option<usize>,
    ) -> Vec<(usize, usize, i32)> {
        // Every n-gram spreads its weight over its bytes; sums of differences in one pass.
        let mut change = vec![0_i64; text.len() + 1];
        grams::grams(self.cut, text, |bucket, start, end| {
            let weight = |output: Option<usize>| {
                output.map_or(0.0, |output| {
                    f64::from(self.weight(bucket, output)) * self.scale[output]
                })
            };
            let each = (weight(toward) - weight(from)) as i64 * FINE / (end - start).max(1) as i64;
            change[start] += each;
            change[end] -= each;
        });
        let mut sum = 0;
        let mut words: Vec<(usize, usize, i64)> = words(text);
        let mut at = 0;
        for (start, end, credit) in &mut words {
            while at < *end {
                sum += change[at];
                if at >= *start {
                    *credit += sum;
                }
                at += 1;
            }
        }
        let all: i64 = words.iter().map(|(_, _, credit)| (*credit).max(0)).sum();
        let mut reasons = Vec::new();
        while reasons.len() < REASONS {
            let Some((first, last, credit)) = heaviest(&words) else { break };
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

/// Parts of a weight that are kept when it is spread over bytes.
const FINE: i64 = 64;

/// Spans that an explanation names.
const REASONS: usize = 3;

/// A span with less than this share (thousandths) explains nothing.
const LEAST: i32 = 120;

/// Words of a span: a longer one is no reason but the message.
const LONGEST: usize = 6;

/// Chinese characters and words with their bytes, punctuation left out.
fn words(text: &str) -> Vec<(usize, usize, i64)> {
    let mut words: Vec<(usize, usize, i64)> = Vec::new();
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
    words
}

/// The run of at most [`LONGEST`] words with the most credit.
fn heaviest(words: &[(usize, usize, i64)]) -> Option<(usize, usize, i64)> {
    let mut best = None;
    for first in 0..words.len() {
        let mut sum = 0;
        for (last, word) in words.iter().enumerate().skip(first).take(LONGEST) {
            sum += word.2;
            if sum > best.map_or(0, |(_, _, most)| most) {
                best = Some((first, last, sum));
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head of 2 outputs and one bit for which every n-gram speaks for the second output.
    fn head() -> Head {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([0, 2, 1, 0]);
        for bias in [-100_i32, 300] {
            bytes.extend(10.0_f32.to_le_bytes());
            bytes.extend(bias.to_le_bytes());
        }
        bytes.extend(vec![0; CUES * 4]);
        let cue = HEADER + 7 * 4;
        bytes[cue..cue + 2].copy_from_slice(&(-50_i16).to_le_bytes());
        bytes.extend([0, 10, 0, 10]);
        Head::parse(Vec::leak(bytes)).unwrap()
    }

    #[test]
    fn bytes_that_are_no_head_are_refused() {
        assert_eq!(Head::parse(b"").err(), Some(HeadProblem::Format));
        assert_eq!(Head::parse(&[0; 64]).err(), Some(HeadProblem::Format));
        let short = Vec::leak([MAGIC.as_slice(), &[0, 2, 18, 0], &[0; 16]].concat());
        let problem = Head::parse(short).err().unwrap();
        assert_eq!(problem.to_string(), "the head has 24 bytes, not 524824");
    }

    #[test]
    fn a_logit_is_bias_plus_ngrams_by_the_root_of_their_number_plus_cues() {
        // One character makes 3 n-grams: itself, and with each edge; both edges a fourth.
        assert_eq!(head().score("好", 0), [-100, 300 + 4 * 10 * 10 / 2]);
        assert_eq!(head().score("好", 1 << 7), [-150, 500]);
        assert_eq!(head().score("", 0), [-100, 400]);
    }

    #[test]
    fn reasons_lie_on_words_and_share_no_more_than_there_is() {
        let text = "a, 好的 ok 物流很快客服也很有耐心";
        let reasons = head().reasons(text, Some(1), None);
        assert!(!reasons.is_empty());
        for (start, end, _) in &reasons {
            assert!(text.is_char_boundary(*start) && text.is_char_boundary(*end) && start < end);
        }
        assert!(reasons.iter().map(|(_, _, share)| share).sum::<i32>() <= 1000);
        assert!(head().reasons(text, Some(0), Some(1)).is_empty());
    }
}
