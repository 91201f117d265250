//! Where a watcher is in the incident log, as text that only we need to understand.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The next offset of each partition of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Identity of the topic: a cursor of a topic that was created again is noticed.
    pub(crate) log_id: String,
    /// By partition.
    pub(crate) next: Vec<u64>,
}

/// A text that is no cursor of this log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cursor is not one of this log; give one as it was received, `start` for everything that \
     is kept, or none for what happens from now on"
)]
pub(crate) struct NotACursor;

impl Cursor {
    pub(crate) fn encode(&self) -> String {
        let next: Vec<String> = self.next.iter().map(u64::to_string).collect();
        URL_SAFE_NO_PAD.encode(format!("1 {} {}", next.join(","), self.log_id))
    }

    /// Reads a cursor of a log with `partitions` partitions.
    pub(crate) fn decode(text: &str, log_id: &str, partitions: usize) -> Result<Self, NotACursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotACursor)?;
        let text = String::from_utf8(bytes).map_err(|_| NotACursor)?;
        let mut words = text.splitn(3, ' ');
        let (Some("1"), Some(next), Some(id)) = (words.next(), words.next(), words.next()) else {
            return Err(NotACursor);
        };
        let next: Vec<u64> =
            next.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| NotACursor)?;
        if id != log_id || next.len() != partitions {
            return Err(NotACursor);
        }
        Ok(Self { log_id: id.to_owned(), next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzzed_cursors_are_read_as_they_were_written_or_refused() {
        // What a caller can send is any text; what is in it is searched for, too.
        let corpus = ["1 0,7 log", "1 18446744073709551615,0 log", "start", "MSAwLDcgbG9n"];
        let words = &["1 ", " ", ",", "-1", "+1", "0,0", " log", "18446744073709551616", "=", "\0"];
        let search = zhili_fuzz::Search::of("cursors").corpus(corpus).words(words).longest(256);
        search.run(|input| {
            let given = String::from_utf8_lossy(input);
            let packed = URL_SAFE_NO_PAD.encode(input);
            let read = [&*given, &packed].map(|text| Cursor::decode(text, "log", 2));
            for cursor in read.iter().flatten() {
                assert_eq!(Cursor::decode(&cursor.encode(), "log", 2).as_ref(), Ok(cursor));
            }
            zhili_fuzz::kind(&(read.map(|it| it.is_ok()), input.len().min(8)))
        });
    }

    #[test]
    fn a_cursor_reads_back_and_only_for_its_own_log() {
        let cursor = Cursor { log_id: "log a".into(), next: vec![0, 7, u64::MAX] };
        let text = cursor.encode();
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(Cursor::decode(&text, "log a", 3), Ok(cursor));
        assert_eq!(Cursor::decode(&text, "log b", 3), Err(NotACursor));
        assert_eq!(Cursor::decode(&text, "log a", 4), Err(NotACursor));
        for wrong in ["", "0", "start?", "MSAx"] {
            assert_eq!(Cursor::decode(wrong, "log a", 3), Err(NotACursor), "{wrong}");
        }
    }
}
