//! Looks for inputs that break a parser.
//!
//! Inputs are changes of a corpus; one that makes the parser say something new is kept to be changed
//! again, so that the search goes where the rules are. No instrumentation is needed and none is
//! used: it runs on the stable toolchain, as a test beside the parser, which sees what is private.
//!
//! A test runs a few thousand inputs, the same every time. With `ZHILI_FUZZ_SECONDS` it runs so long,
//! and with `ZHILI_FUZZ_SEED` it takes another way; `make fuzz` does that for every search.

mod change;
mod random;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

pub use random::Random;

/// Inputs of a search that is given no time, unless it says otherwise.
const INPUTS: u64 = 2_000;
/// Inputs kept: beyond this a new one takes the place of another.
const KEPT: usize = 4_096;
/// No input takes longer, or something is not linear.
const SLOWEST: Duration = Duration::from_millis(500);
/// Readings of an input that seems slow.
const READINGS: usize = 20;

/// A search for inputs that break one parser.
pub struct Search {
    name: &'static str,
    corpus: Vec<Vec<u8>>,
    words: &'static [&'static str],
    longest: usize,
    json: bool,
    inputs: u64,
}

impl Search {
    /// A search of this name, from nothing.
    #[must_use]
    pub const fn of(name: &'static str) -> Self {
        Self {
            name,
            corpus: Vec::new(),
            words: &[],
            longest: 16 << 10,
            json: false,
            inputs: INPUTS,
        }
    }

    /// Begins with these inputs, each of which is tried as it is.
    #[must_use]
    pub fn corpus<T: Into<Vec<u8>>>(mut self, inputs: impl IntoIterator<Item = T>) -> Self {
        self.corpus.extend(inputs.into_iter().map(Into::into));
        self
    }

    /// Puts these into inputs.
    #[must_use]
    pub fn words(self, words: &'static [&'static str]) -> Self {
        Self { words, ..self }
    }

    /// Bytes of the longest input.
    #[must_use]
    pub fn longest(self, longest: usize) -> Self {
        Self { longest, ..self }
    }

    /// Changes values of JSON beside bytes, so that most of what comes out is JSON again.
    #[must_use]
    pub fn json(self) -> Self {
        Self { json: true, ..self }
    }

    /// Inputs when no time is given, where a parser is slow without optimisation.
    #[must_use]
    pub fn inputs(self, inputs: u64) -> Self {
        Self { inputs, ..self }
    }

    /// Searches. `parse` panics where something is wrong, and says what kind of answer it gave; see
    /// [`kind`].
    ///
    /// # Panics
    /// With the input on which `parse` panicked or took too long.
    pub fn run(self, parse: impl Fn(&[u8]) -> u64) {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
        let seconds: Option<u64> = number("ZHILI_FUZZ_SECONDS");
        let mut random = Random::new(number("ZHILI_FUZZ_SEED").unwrap_or(1));
        let (begun, mut tried) = (Instant::now(), 0);
        let Self { name, words, longest, json, inputs, .. } = self;
        let mut waiting = self.corpus.clone();
        let mut corpus = self.corpus;
        if corpus.is_empty() {
            corpus.push(Vec::new());
        }
        let mut seen = HashSet::new();
        loop {
            let done = match seconds {
                Some(seconds) => begun.elapsed() >= Duration::from_secs(seconds),
                None => tried >= inputs,
            };
            let input = match waiting.pop() {
                Some(given) => given,
                None if done => break,
                None => change::one(&corpus, words, longest, json, &mut random),
            };
            let at = Instant::now();
            let said = catch_unwind(AssertUnwindSafe(|| parse(&input)));
            let mut took = at.elapsed();
            // The shortest of some readings counts: others use the machine, too.
            for _ in 1..READINGS {
                if took < SLOWEST || said.is_err() {
                    break;
                }
                let again = Instant::now();
                let _ = catch_unwind(AssertUnwindSafe(|| parse(&input)));
                took = took.min(again.elapsed());
            }
            tried += 1;
            let shown = || input.escape_ascii();
            let Ok(kind) = said else {
                panic!("{name} breaks on this input, which belongs into its corpus: {}", shown());
            };
            assert!(
                seconds.is_none() || took < SLOWEST,
                "{name} takes {} ms for this input of {} bytes: {}",
                took.as_millis(),
                input.len(),
                shown()
            );
            if !seen.insert(kind) {
                continue;
            }
            if corpus.len() < KEPT {
                corpus.push(input);
            } else {
                let place = random.below(corpus.len());
                corpus[place] = input;
            }
        }
        told(&format!("fuzzed {name}: {tried} inputs, {} kinds of answer", seen.len()));
    }
}

#[allow(clippy::print_stderr, reason = "what a search has done is for people")]
fn told(line: &str) {
    eprintln!("{line}");
}

/// A number for what a parser said: equal for answers of one kind.
pub fn kind(answer: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    answer.hash(&mut hasher);
    hasher.finish()
}

/// What of a message tells its kind: its words without digits and without what is quoted, which
/// would make every one a kind of its own.
#[must_use]
pub fn words_of(message: &str) -> u64 {
    let mut quoted = false;
    let plain = message.chars().filter(|c| {
        if matches!(c, '"' | '`' | '\'') {
            quoted = !quoted;
        }
        !quoted && !c.is_ascii_digit()
    });
    kind(&plain.take(80).collect::<String>())
}

/// The code of a language in a page of Markdown, block by block: what people are shown is a corpus.
pub fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let blocks = page.split(fence.as_str()).skip(1);
    blocks.filter_map(|rest| rest.split_once("```").map(|(block, _)| block)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_what_no_single_change_would() {
        let found = catch_unwind(|| {
            // A kind for each right beginning leads on to the next.
            Search::of("prefix").corpus(["zzzz"]).words(&["a", "b", "c"]).run(|input| {
                let right = input.iter().zip(b"abc").take_while(|(given, wanted)| given == wanted);
                let right = right.count();
                assert!(right < 3);
                right as u64
            });
        });
        let message = *found.unwrap_err().downcast::<String>().unwrap();
        assert!(message.starts_with("prefix breaks on this input") && message.contains("abc"));
    }

    #[test]
    fn a_search_is_the_same_every_time_and_keeps_to_its_length() {
        let inputs = || {
            let seen = std::cell::RefCell::new(Vec::new());
            Search::of("same").corpus([r#"{"a":[1,"x"]}"#]).json().longest(4096).run(|input| {
                assert!(input.len() <= 4096);
                seen.borrow_mut().push(input.to_vec());
                0
            });
            seen.into_inner()
        };
        let once = inputs();
        assert_eq!(once.len() as u64, INPUTS);
        assert_eq!(once, inputs());
        let json = once.iter().filter(|it| serde_json::from_slice::<serde_json::Value>(it).is_ok());
        assert!(json.count() > once.len() / 4);
    }

    #[test]
    fn blocks_of_one_language_are_taken_out_of_a_page() {
        let page = "a\n```toml\nx = 1\n```\nb\n```sh\nls\n```\n```toml\ny = 2\n```\n";
        assert_eq!(blocks(page, "toml"), ["x = 1\n", "y = 2\n"]);
    }

    #[test]
    fn a_message_is_of_one_kind_whatever_it_quotes() {
        assert_eq!(words_of("unknown `a` at 12"), words_of("unknown `bc` at 3"));
        assert_ne!(words_of("unknown `a` at 12"), words_of("missing `a` at 12"));
    }
}
