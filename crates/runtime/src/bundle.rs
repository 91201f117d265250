//! Configuration bundles: one TOML document per tenant, with a table for each service.
//!
//! A bundle is read by whoever a part of it concerns. Errors name line and field and never quote
//! the document, because the address of a webhook is often its password.

use std::iter;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml_edit::{ImDocument, Item};

/// Longest text that is taken for a name when a parser quotes it.
const LONGEST_WORD: usize = 32;

/// A bundle that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Not UTF-8.
    #[error("the bundle is not UTF-8 text, from byte {0} on")]
    NotText(usize),
    /// Not TOML, or not the settings that were looked for.
    #[error("line {line}: {problem}")]
    Invalid {
        /// Line of the document, from 1; 0 when it concerns the whole.
        line: usize,
        /// What is wrong, naming the field.
        problem: String,
    },
}

/// The part of a bundle that `T` asks for; tables that it does not name are left to others.
///
/// # Errors
/// [`BundleError`] naming line and field.
pub fn parse<T: DeserializeOwned>(bundle: &[u8]) -> Result<T, BundleError> {
    let text =
        std::str::from_utf8(bundle).map_err(|error| BundleError::NotText(error.valid_up_to()))?;
    toml::from_str(text).map_err(|error| invalid(text, &error))
}

fn invalid(text: &str, error: &toml::de::Error) -> BundleError {
    // What is found in a table as a whole has the table's place; its words name the field.
    let named = error.message().split_once(": ").and_then(|(path, _)| place(text, path));
    let start = named.or_else(|| error.span().map(|span| span.start));
    let line = start.map_or(0, |start| {
        1 + text.as_bytes().iter().take(start).filter(|byte| **byte == b'\n').count()
    });
    BundleError::Invalid { line, problem: blanked(text, error.message()) }
}

/// Where the value of a path such as `teams.default.policies.night.steps[1].destinations` begins; the
/// path may leave out the table of the service.
fn place(text: &str, path: &str) -> Option<usize> {
    let steps: Vec<&str> = path.split(['.', '[']).map(|step| step.trim_end_matches(']')).collect();
    let document = ImDocument::parse(text).ok()?;
    let tables = document.iter().map(|(_, table)| table);
    let found = iter::once(document.as_item()).chain(tables).find_map(|item| walk(item, &steps));
    found.map(|span| span.start)
}

fn walk(item: &Item, steps: &[&str]) -> Option<Range<usize>> {
    let Some((step, rest)) = steps.split_first() else { return item.span() };
    if let Some(table) = item.as_table_like() {
        return walk(table.get(step)?, rest);
    }
    let number: usize = step.parse().ok()?;
    if let Some(tables) = item.as_array_of_tables() {
        return walk(&Item::Table(tables.get(number)?.clone()), rest);
    }
    walk(&Item::Value(item.as_array()?.get(number)?.clone()), rest)
}

/// What parsers quote of the document goes: any value may be the address of a webhook in the
/// wrong place, and what remains still names the line and the field.
fn blanked(text: &str, message: &str) -> String {
    const BLANK: &str = "...";
    let Ok(document) = toml::from_str::<toml::Value>(text) else {
        // Then there is no telling what is a value. Syntax errors quote keys at most.
        let about = if message.contains("://") { "not valid TOML" } else { message };
        return about.to_owned();
    };
    let mut quoted = Vec::new();
    quotable(document, &mut quoted);
    quoted.sort_by_key(|text| std::cmp::Reverse(text.len()));
    let mut message = message.to_owned();
    for text in quoted {
        for text in [text.escape_debug().to_string(), text] {
            if text.len() > LONGEST_WORD || !is_word(&text) {
                message = message.replace(&text, BLANK);
            } else {
                // Field names and the like are not quotations.
                for quote in ['"', '`'] {
                    let blank = format!("{quote}{BLANK}{quote}");
                    message = message.replace(&format!("{quote}{text}{quote}"), &blank);
                }
            }
        }
    }
    message
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// The strings of a document, and keys that cannot be names of fields.
fn quotable(value: toml::Value, found: &mut Vec<String>) {
    match value {
        toml::Value::String(text) if !text.is_empty() => found.push(text),
        toml::Value::Array(values) => {
            for value in values {
                quotable(value, found);
            }
        }
        toml::Value::Table(table) => {
            for (key, value) in table {
                if !is_word(&key) {
                    found.push(key);
                }
                quotable(value, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUNDLE: &str = "\
[escalation.teams.default]
shifts = { early = { on = 1 } }

[[escalation.teams.default.steps]]
destinations = ['a']

[[escalation.teams.default.steps]]
delay_ms = 1
destinations = [
  'b',
]
";

    #[test]
    fn a_path_is_found_where_its_value_begins() {
        let line = |path| place(BUNDLE, path).map(|at| 1 + BUNDLE[..at].matches('\n').count());
        assert_eq!(line("escalation.teams.default.steps[1].destinations"), Some(9));
        // The table of the service may be left out.
        assert_eq!(line("teams.default.steps[0].destinations[0]"), Some(5));
        assert_eq!(line("teams.default.steps[1]"), Some(7));
        assert_eq!(line("teams.default.shifts.early.on"), Some(2));
        for absent in ["", "teams.other", "steps[1]", "teams.default.steps[2]", "no table"] {
            assert_eq!(line(absent), None, "{absent}");
        }
    }
}
