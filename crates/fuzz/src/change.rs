//! Changes of inputs.

use serde_json::{Map, Value, json};

use crate::Random;

/// Deeper than anything that is meant, and beyond where parsers give up (128 for JSON).
const DEEPEST: usize = 200;

/// One input of the corpus, changed.
pub(crate) fn one(
    corpus: &[Vec<u8>],
    words: &[&str],
    longest: usize,
    json: bool,
    random: &mut Random,
) -> Vec<u8> {
    let mut input = random.of(corpus).cloned().unwrap_or_default();
    let whole = json && random.below(4) > 0;
    if whole && let Ok(mut value) = serde_json::from_slice::<Value>(&input) {
        for _ in 0..=random.below(3) {
            let other = random.of(corpus).and_then(|other| serde_json::from_slice(other).ok());
            change_value(&mut value, other.as_ref(), words, random);
        }
        input = value.to_string().into_bytes();
        if random.below(4) > 0 {
            input.truncate(longest);
            return input;
        }
    }
    for _ in 0..=random.below(6) {
        change_bytes(&mut input, corpus, words, longest, random);
    }
    input.truncate(longest);
    input
}

fn change_value(value: &mut Value, other: Option<&Value>, words: &[&str], random: &mut Random) {
    // Down into what is there, and then something is done.
    let children = match value {
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        _ => 0,
    };
    if children > 0 && random.below(5) > 0 {
        let place = random.below(children);
        let child = match value {
            Value::Array(items) => items.get_mut(place),
            Value::Object(members) => members.values_mut().nth(place),
            _ => None,
        };
        if let Some(child) = child {
            return change_value(child, other, words, random);
        }
    }
    match (random.below(8), &mut *value) {
        // 0, 1 and what does not fit the value are at the end.
        (2 | 3, _) => *value = other.map_or(Value::Null, |other| part(other, random).clone()),
        (4, Value::Array(items)) if !items.is_empty() => {
            let item = items[random.below(items.len())].clone();
            items.extend(std::iter::repeat_n(item, 1 + random.below(8)));
        }
        (4 | 5, Value::Array(items)) => {
            let place = random.below(items.len());
            if place < items.len() {
                items.remove(place);
            }
        }
        (4 | 5, Value::Object(members)) => rename(members, words, random),
        (6, Value::Object(members)) => {
            let gone = members.keys().nth(random.below(members.len())).cloned();
            gone.and_then(|name| members.remove(&name));
        }
        (6, Value::String(text)) => *text = text.repeat(1 + random.below(4)),
        (7, _) => {
            for _ in 0..random.below(DEEPEST) {
                *value = match random.below(2) {
                    0 => Value::Array(vec![value.take()]),
                    _ => json!({ "a": value.take() }),
                };
            }
        }
        _ => *value = scalar(words, random),
    }
}

fn rename(members: &mut Map<String, Value>, words: &[&str], random: &mut Random) {
    let name = members.keys().nth(random.below(members.len())).cloned();
    let value = name.and_then(|name| members.remove(&name)).unwrap_or_default();
    let name = random.of(words).map_or("a", |word| *word);
    members.insert(name.to_owned(), value);
}

/// A piece of a value.
fn part<'a>(value: &'a Value, random: &mut Random) -> &'a Value {
    let children: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => return value,
    };
    match random.of(&children) {
        Some(child) if random.below(4) > 0 => part(child, random),
        _ => value,
    }
}

fn scalar(words: &[&str], random: &mut Random) -> Value {
    match random.below(12) {
        0 => Value::Null,
        1 => json!(random.below(2) == 0),
        2 => json!(0),
        3 => json!(-1),
        4 => json!(i64::MIN),
        5 => json!(u64::MAX),
        6 => json!(1e300),
        7 => json!(random.number()),
        8 => json!(""),
        9 => json!("\u{feff}\u{202e}\0𠮷".repeat(1 + random.below(64))),
        _ => json!(random.of(words).map_or("a", |word| *word)),
    }
}

fn change_bytes(
    input: &mut Vec<u8>,
    corpus: &[Vec<u8>],
    words: &[&str],
    longest: usize,
    random: &mut Random,
) {
    let at = random.below(input.len() + 1);
    let end = (at + random.below(16)).min(input.len());
    match random.below(10) {
        0 | 1 => {
            let word = random.of(words).map_or(&b"\0"[..], |word| word.as_bytes());
            input.splice(at..at, word.iter().copied());
        }
        2 => input.insert(at, random.number() as u8),
        3 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        4 => drop(input.drain(at..end)),
        5 => {
            let piece = input[at..end].to_vec();
            let room = longest.saturating_sub(input.len()) / piece.len().max(1);
            let times = (1 << random.below(10)).min(room);
            input.splice(at..at, piece.repeat(times));
        }
        6 => {
            let other = random.of(corpus).map_or(&[][..], Vec::as_slice);
            let from = random.below(other.len() + 1);
            let to = (from + 1 + random.below(64)).min(other.len());
            input.splice(at..at, other[from..to].iter().copied());
        }
        7 => input.truncate(at),
        8 => {
            // Lengths and counts at their limits, in either order of bytes.
            let limits = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, u32::MAX];
            let number = random.of(&limits).copied().unwrap_or_default();
            let bytes =
                if random.below(2) == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
            let width = 1 << random.below(3);
            let end = (at + width).min(input.len());
            let bytes = &bytes[..width];
            input.splice(at..end, bytes.iter().copied());
        }
        _ => input[at..end].reverse(),
    }
}
