//! What the sink notes with the group's position. Pure.

use std::fmt;

use zhili_eventlog::TopicPartition;

/// Offsets from the first to the last, both included. Some of them may be gaps of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OffsetRange {
    /// First offset.
    pub first: u64,
    /// Last offset.
    pub last: u64,
}

impl OffsetRange {
    /// Offset after the last.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.last + 1
    }

    /// Whether it holds the offset.
    #[must_use]
    pub const fn contains(self, offset: u64) -> bool {
        self.first <= offset && offset <= self.last
    }
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// The metadata of a position: `log=<id>` and, while a range is being written,
/// `pending=<first>-<last>`, separated by `;`. Empty before the first note.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PositionNote {
    /// Identity of the log that the position belongs to; `None` if it was not noted.
    pub log_id: Option<String>,
    /// The range that was announced and not yet said to be done.
    pub pending: Option<OffsetRange>,
}

impl PositionNote {
    /// Reads the metadata that goes with position `offset`.
    ///
    /// # Errors
    /// What is wrong with the text, in a few words.
    pub fn parse(metadata: &str, offset: u64) -> Result<Self, &'static str> {
        let mut note = Self::default();
        for part in metadata.split(';').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("log", id)) if note.log_id.is_none() => note.log_id = Some(id.to_owned()),
                Some(("pending", range)) if note.pending.is_none() => {
                    note.pending = Some(parse_range(range)?);
                }
                Some(("log" | "pending", _)) => return Err("a part occurs twice"),
                _ => return Err("it has a part that this version does not know"),
            }
        }
        // The position is the first offset that is not done, and that is where a range begins.
        if note.pending.is_some_and(|range| range.first != offset) {
            return Err("the pending range does not begin at the position");
        }
        Ok(note)
    }
}

fn parse_range(text: &str) -> Result<OffsetRange, &'static str> {
    let malformed = "the pending range is not first-last";
    let (first, last) = text.split_once('-').ok_or(malformed)?;
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse::<u64>().ok()).flatten()
    };
    let (first, last) = number(first).zip(number(last)).ok_or(malformed)?;
    if last < first || last == u64::MAX {
        return Err("the pending range is empty or has no end");
    }
    Ok(OffsetRange { first, last })
}

impl fmt::Display for PositionNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(log_id) = &self.log_id {
            write!(f, "log={log_id}")?;
        }
        if let Some(pending) = self.pending {
            let separator = if self.log_id.is_some() { ";" } else { "" };
            write!(f, "{separator}pending={pending}")?;
        }
        Ok(())
    }
}

/// The token of a range's INSERT. Tables keep their tokens apart, so one text serves all of them.
#[must_use]
pub fn token(log_id: &str, partition: &TopicPartition, range: OffsetRange) -> String {
    format!("{log_id}:{}:{}:{range}", partition.topic, partition.partition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fuzzed_notes_of_positions_are_read_as_they_were_written_or_refused() {
        let corpus = ["", "log=a", "log=a;pending=7-9", "pending=7-7;log=b"];
        let words =
            &["log=", "pending=", ";", "-", "=", "7-", "18446744073709551615", "+7", "\u{feff}"];
        let search = zhili_fuzz::Search::of("notes of positions").corpus(corpus).words(words);
        search.longest(128).run(|input| {
            match PositionNote::parse(&String::from_utf8_lossy(input), 7) {
                Ok(note) => {
                    assert_eq!(PositionNote::parse(&note.to_string(), 7).as_ref(), Ok(&note));
                    zhili_fuzz::kind(&(
                        note.log_id.map(|id| id.len().min(4)),
                        note.pending.is_some(),
                    ))
                }
                Err(error) => zhili_fuzz::words_of(error),
            }
        });
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(
            log_id in proptest::option::of("[A-Za-z0-9_-]{1,40}"),
            first in 0..u64::MAX - 1,
            length in proptest::option::of(0..1_000_000_u64),
        ) {
            let pending = length.map(|length| OffsetRange {
                first,
                last: first.saturating_add(length).min(u64::MAX - 1),
            });
            let note = PositionNote { log_id, pending };
            let text = note.to_string();
            prop_assert!(text.len() <= zhili_eventlog::MAX_METADATA_BYTES);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(PositionNote::parse(&text, first), Ok(note));
        }
    }

    #[test]
    fn an_empty_text_is_a_position_without_a_note() {
        assert_eq!(PositionNote::parse("", 7), Ok(PositionNote::default()));
    }

    #[test]
    fn a_text_that_this_sink_did_not_write_is_refused() {
        for text in [
            "pending=7",
            "pending=7-",
            "pending=8-7",
            "pending=+7-9",
            "pending=7-18446744073709551615",
            "pending=7-8;pending=7-8",
            "pending=8-9",
            "log=a;log=b",
            "colour=red",
            "nonsense",
        ] {
            assert!(PositionNote::parse(text, 7).is_err(), "{text}");
        }
    }
}
