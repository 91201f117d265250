//! Calendars and policies in files: TOML, YAML or JSON by the ending of the name.
//!
//! A policy may come in a whole bundle, where the address of a webhook is often its password: errors
//! show no line of the file, and quote of it no more than a short word.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;
use zhili_dialogue::{Calendar, Policies, Policy};
use zhili_runtime::{Failure, bundle};

/// The settings of two files, either of which may be missing.
pub(super) fn policies(
    policy: Option<&Path>,
    calendar: Option<&Path>,
) -> Result<Option<Policies>, Failure> {
    if policy.is_none() && calendar.is_none() {
        return Ok(None);
    }
    let given: Option<Calendar> = calendar.map(read).transpose()?;
    let Some(path) = policy else {
        return one(Policy::default(), given, calendar.unwrap_or(Path::new(""))).map(Some);
    };
    let value: Value = read(path)?;
    let whole = value.get("dialogue").cloned().unwrap_or(value);
    let is_whole = ["policies", "calendars", "queues"].iter().any(|key| whole.get(key).is_some());
    if !is_whole {
        return one(parse(whole, path)?, given, path).map(Some);
    }
    if given.is_some() {
        let message = format!("{} has calendars of its own: leave --calendar out", path.display());
        return Err(Failure::Usage(message));
    }
    parse(whole, path).map(Some)
}

fn one(policy: Policy, calendar: Option<Calendar>, path: &Path) -> Result<Policies, Failure> {
    Policies::one(policy, calendar).map_err(|error| wrong(path, &error))
}

fn parse<T: DeserializeOwned>(value: Value, path: &Path) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| wrong(path, &error))
}

fn wrong(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Problems(format!("{}: {}", path.display(), blanked(&error.to_string())))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Io(format!("cannot read {}: {error}", path.display())))?;
    let value = match path.extension().and_then(std::ffi::OsStr::to_str) {
        Some("toml") => bundle::parse(text.as_bytes()).map_err(|error| wrong(path, &error))?,
        Some("json") => serde_json::from_str(&text).map_err(|error| wrong(path, &error))?,
        _ => serde_saphyr::from_str(&text).map_err(|error| wrong(path, error.without_snippet()))?,
    };
    parse(value, path)
}

/// Longest word of a file that an error may repeat: the longest name of a time zone has as many
/// characters, the password in an address more.
const LONGEST_WORD: usize = 32;

/// A parser's message without values: what it says of a field of the wrong type, and whatever looks
/// like an address or a key.
fn blanked(message: &str) -> String {
    const BLANK: &str = "...";
    let mut message = message.to_owned();
    for (before, end) in [("string \"", '"'), ("unknown variant `", '`')] {
        let mut from = 0;
        while let Some(found) = message[from..].find(before) {
            from += found + before.len();
            let length = closing(&message[from..], end);
            message.replace_range(from..from + length, BLANK);
            from += BLANK.len();
        }
    }
    let is_word = |word: &str| word.chars().count() <= LONGEST_WORD && !word.contains("://");
    let is_around = |c: char| c.is_whitespace() || matches!(c, '"' | '`' | '\'');
    let words = message.split_inclusive(is_around).map(|word| {
        let bare = word.trim_end_matches(is_around);
        if is_word(bare) { word.to_owned() } else { format!("{BLANK}{}", &word[bare.len()..]) }
    });
    words.collect()
}

/// Bytes before the quote that ends a quotation.
fn closing(quoted: &str, end: char) -> usize {
    let mut escaped = false;
    let is_end = |(_, c): &(usize, char)| {
        let ends = *c == end && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    };
    quoted.char_indices().find(is_end).map_or(quoted.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_password_is_blanked_and_names_of_fields_stay() {
        for (message, expected) in [
            ("unknown field `frt_ms`, expected `frt`", "unknown field `frt_ms`, expected `frt`"),
            ("tz: \"Mars/Olympus\" is none", "tz: \"Mars/Olympus\" is none"),
            (
                "invalid type: string \"s3 \\\"cr3t\", expected i64",
                "invalid type: string \"...\", expected i64",
            ),
            ("at https://hooks.example/T0/s3cr3t now", "at ... now"),
            ("key 'hooks.example/services/T0/B0/s3cr3t' twice", "key '...' twice"),
        ] {
            assert_eq!(blanked(message), expected);
        }
    }
}
