//! Every line of the golden files: what is masked, to what, and what stays.

// Helpers of tests may fail like tests.
#![allow(clippy::expect_used)]

use std::borrow::Cow;

use zhili_redact::mask;

/// The lines of a golden file with their numbers, without comments, escapes resolved.
fn lines(file: &'static str) -> impl Iterator<Item = (usize, String)> {
    file.lines().enumerate().filter(|(_, line)| !line.starts_with("# ")).map(|(i, line)| {
        let mut text = String::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("\\u{") {
            let (hex, tail) = after.split_once('}').expect("an escape ends with }");
            let scalar = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
            text.push_str(before);
            text.push(scalar.expect("an escape is a scalar"));
            rest = tail;
        }
        text.push_str(rest);
        (i + 1, text)
    })
}

#[test]
fn every_golden_text_is_masked_as_written() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (line, text) in lines(include_str!("golden/masked.tsv")) {
        let (text, expected) = text.split_once('\t').expect("two columns");
        let masked = mask(text).text;
        if masked != expected {
            wrong.push(format!("line {line}: {text} -> {masked}, not {expected}"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 150, "only {count} lines");
}

#[test]
fn every_harmless_text_stays_and_is_borrowed() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (line, text) in lines(include_str!("golden/kept.txt")) {
        let masked = mask(&text);
        if masked.text != text || !matches!(masked.text, Cow::Borrowed(_)) {
            wrong.push(format!("line {line}: {text} -> {}", masked.text));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 100, "only {count} lines");
}
