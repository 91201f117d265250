//! Values as platforms write them: one and the same field as a number here and a text there.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;
use serde_json::{Number, Value};
use zhili_proto::{Timestamp, millis};

/// Below, a number is seconds since the Unix epoch: the year 5138 as such, 1973 in milliseconds.
const SECONDS: f64 = 1e11;

/// An id, digit for digit whatever its size; `None` for what is absent, empty or no id.
pub(super) fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// A text that is not empty.
pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// A time in milliseconds since the Unix epoch: of RFC 3339, as Ruby prints it
/// (`2020-03-03 13:05:57 UTC`), or a number of seconds or milliseconds, in quotes or not.
pub(super) fn instant(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => of_number(number),
        Value::String(text) => {
            let number = serde_json::from_str::<Number>(text).ok();
            number.as_ref().map_or_else(|| of_text(text), of_number)
        }
        _ => None,
    }
}

fn of_number(number: &Number) -> Option<i64> {
    let value = number.as_f64().filter(|value| value.is_finite())?;
    if value.abs() < SECONDS {
        // Seconds may have a fraction; whole milliseconds are within what is exact.
        return Some((value * 1000.0).round() as i64);
    }
    number.as_i64().or_else(|| (value.abs() < 1e15).then(|| value.round() as i64))
}

fn of_text(text: &str) -> Option<i64> {
    let ruby = text.strip_suffix(" UTC").and_then(|text| text.split_once(' '));
    let rewritten = ruby.map(|(day, time)| format!("{day}T{time}Z"));
    let text = rewritten.as_deref().unwrap_or(text);
    let deserializer = IntoDeserializer::<Error>::into_deserializer(text);
    millis(&Timestamp::deserialize(deserializer).ok()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_is_read_in_every_form_that_platforms_write() {
        let expected = Some(1_583_240_757_000);
        for value in [
            json!(1_583_240_757),
            json!(1_583_240_757.0),
            json!(1_583_240_757_000_i64),
            json!("1583240757"),
            json!("1583240757000"),
            json!("2020-03-03T13:05:57Z"),
            json!("2020-03-03T13:05:57.000Z"),
            json!("2020-03-03T21:05:57+08:00"),
            json!("2020-03-03 13:05:57 UTC"),
        ] {
            assert_eq!(instant(&value), expected, "{value}");
        }
        assert_eq!(instant(&json!(1_583_240_757.123_456)), Some(1_583_240_757_123));
        for value in [json!(null), json!(""), json!("soon"), json!([]), json!(true), json!(1e300)] {
            assert_eq!(instant(&value), None, "{value}");
        }
    }

    #[test]
    fn an_id_keeps_all_its_digits() {
        let large = serde_json::from_str("9007199254740993").unwrap();
        assert_eq!(id(&large).as_deref(), Some("9007199254740993"));
        assert_eq!(id(&json!("a")).as_deref(), Some("a"));
        for value in [json!(""), json!(null), json!(1.5), json!({}), json!([1])] {
            assert_eq!(id(&value), None, "{value}");
        }
    }
}
