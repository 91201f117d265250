//! Looks for a text that breaks the engine: `cargo run -p zhili-tone --release --example fuzz --
//! --seconds 600`. Texts are mutated; one that makes the engine say something new is kept to be
//! mutated again, so that the search goes where the rules are. No instrumentation is needed and
//! none is used: it runs on the stable toolchain.
//!
//! `--seed N` makes another run; the corpus to begin with is `tests/fuzz/corpus.txt`, a JSON string
//! a line, to which a text that broke something belongs.
#![allow(clippy::print_stdout, reason = "an example talks to its user")]

#[path = "../tests/invariants/mod.rs"]
mod invariants;

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::error::Error;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use zhili_tone::{Assessment, ContextLine, Engine, Message, Role};

/// Longest text, in bytes: that of a message.
const LONGEST: usize = 16 * 1024;

/// A text of a message's greatest length is assessed within this, or something is not linear.
const SLOWEST: Duration = Duration::from_millis(500);

/// Readings of a text that seems slow, the shortest of which counts: others use the machine, too.
const READINGS: usize = 20;

/// Texts kept: beyond this a new one takes the place of another.
const KEPT: usize = 4096;

/// Characters that have broken programs before, and those that rules look for.
const CHARS: &[char] = &[
    '\0',
    ' ',
    '\n',
    '\u{200b}',
    '\u{202e}',
    '\u{fe0f}',
    '\u{301}',
    '\u{1f3fd}',
    '\u{10ffff}',
    '。',
    '，',
    '“',
    '”',
    '「',
    '」',
    '《',
    '》',
    '?',
    '!',
    '…',
    '[',
    ']',
    '{',
    '|',
    '/',
    '\'',
    '0',
    '1',
    'a',
    's',
    'İ',
    'ß',
    'ﷺ',
    '㍿',
    '𠮷',
    '不',
    '没',
    '但',
    '吗',
    '就',
    '🙄',
    '🚓',
    '😡',
    '～',
];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`, 0 if that is 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |name: &str, otherwise: u64| {
        let at = arguments.iter().position(|one| one == name);
        at.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(otherwise)
    };
    let mut random = Random(number("--seed", 1).max(1));
    let seconds = Duration::from_secs(number("--seconds", 600));
    let engine = Engine::new()?;
    let mut corpus = corpus()?;
    let mut seen = HashSet::new();
    let (begin, mut tried) = (Instant::now(), 0_u64);
    while begin.elapsed() < seconds {
        let text = mutate(&corpus, &mut random);
        let role = if random.below(2) == 0 { Role::Agent } else { Role::Customer };
        let line = corpus[random.below(corpus.len())].as_str();
        let context = [ContextLine { role: Role::Customer, text: line }];
        let context = if random.below(8) == 0 { &context[..] } else { &[] };
        let message = Message { role, text: &text, lang: None, context };
        let started = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| engine.assess(&message)));
        tried += 1;
        let mut took = started.elapsed();
        for _ in 1..READINGS {
            if took <= SLOWEST || result.is_err() {
                break;
            }
            let again = Instant::now();
            let _ = engine.assess(&message);
            took = took.min(again.elapsed());
        }
        let wrong = match &result {
            Err(_) => Some("it panics".to_owned()),
            Ok(_) if took > SLOWEST => Some(format!("it takes {} ms", took.as_millis())),
            Ok(result) => invariants::broken(&text, result),
        };
        if let Some(wrong) = wrong {
            println!("{wrong}: {role}, {}", serde_json::to_string(&text)?);
            return Err("the engine breaks on this text; add it to tests/fuzz/corpus.txt".into());
        }
        if let Ok(result) = result
            && seen.insert(said(&result))
        {
            if corpus.len() < KEPT {
                corpus.push(text);
            } else {
                let at = random.below(corpus.len());
                corpus[at] = text;
            }
        }
    }
    println!("{tried} texts, {} kinds of assessment, nothing broken", seen.len());
    Ok(())
}

fn corpus() -> Result<Vec<String>, serde_json::Error> {
    let own = include_str!("../tests/fuzz/corpus.txt").lines().map(serde_json::from_str);
    let lines = include_str!("../tests/lines/robustness.tsv").lines();
    let lines = lines.filter_map(|line| line.rsplit('\t').next()).map(|text| Ok(text.to_owned()));
    own.chain(lines).collect()
}

/// What the engine said, its numbers and places left out.
fn said(result: &Assessment) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut reasons: Vec<_> =
        result.evidence.iter().map(|one| (one.target, one.class, &*one.rule)).collect();
    reasons.sort_unstable();
    reasons.dedup();
    reasons.hash(&mut hasher);
    (result.lang, result.only, result.acts, result.forbidden).hash(&mut hasher);
    hasher.finish()
}

/// One to eight changes of a text of the corpus.
fn mutate(corpus: &[String], random: &mut Random) -> String {
    let mut chars: Vec<char> = corpus[random.below(corpus.len())].chars().collect();
    for _ in 0..=random.below(8) {
        let at = random.below(chars.len() + 1);
        let end = (at + random.below(8)).min(chars.len());
        match random.below(8) {
            0 => chars.insert(at, CHARS[random.below(CHARS.len())]),
            1 => chars
                .insert(at, char::from_u32(random.next() as u32 % 0x11_0000).unwrap_or('\u{fffd}')),
            2 => drop(chars.drain(at..end)),
            3 => {
                let piece: Vec<char> = chars[at..end].to_vec();
                let times = 1 << random.below(10);
                let room = (LONGEST / 4).saturating_sub(chars.len()) / piece.len().max(1);
                chars.splice(at..at, piece.repeat(times.min(room)));
            }
            4 => chars[at..end].reverse(),
            5 => {
                let other: Vec<char> = corpus[random.below(corpus.len())].chars().collect();
                let from = random.below(other.len() + 1);
                chars.splice(at..at, other[from..].iter().take(64).copied());
            }
            6 => chars.truncate(at),
            _ => {
                let separator = CHARS[random.below(CHARS.len())];
                let split: Vec<char> =
                    chars[at..end].iter().flat_map(|c| [*c, separator]).collect();
                chars.splice(at..end, split);
            }
        }
    }
    let mut text: String = chars.into_iter().collect();
    while text.len() > LONGEST {
        text.pop();
    }
    text
}
