//! Lengths of time as people write them: `20s`, `9.5s`, `3m`, `2h`, `5d`.

use std::str::FromStr;

use jiff::{Span, SpanRelativeTo};
use serde::{Deserialize, Deserializer, de};

/// A length of time; a day has 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Length {
    pub(crate) ms: i64,
}

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no length of time such as 20s, 9.5s, 3m, 2h or 5d");
        let span: Span = text.parse().map_err(|_| wrong())?;
        let duration =
            span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
        let ms = i64::try_from(duration.as_millis()).map_err(|_| wrong())?;
        if ms < 0 { Err(wrong()) } else { Ok(Self { ms }) }
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_lengths_of_time_in_these_ways() {
        for (text, ms) in [
            ("20s", 20_000),
            ("9.5s", 9_500),
            ("3m", 180_000),
            ("2h", 7_200_000),
            ("5d", 432_000_000),
        ] {
            assert_eq!(text.parse::<Length>().unwrap().ms, ms, "{text}");
        }
        for text in ["", "20", "soon", "-3s"] {
            assert!(text.parse::<Length>().is_err(), "{text}");
        }
    }
}
