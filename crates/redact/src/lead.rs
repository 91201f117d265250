//! Numbers and names that run on from one message into the next: `13800`, then `138000`.

use std::collections::VecDeque;
use std::fmt;

use zeroize::Zeroize;

use crate::{Finding, Kind, cues, find, fold};

/// Bytes of what an author wrote before that are kept: a cue and the first part of a number.
const KEPT: usize = 96;

/// How many messages a number may be spread over before the last.
const MESSAGES: usize = 3;

/// Bytes that the rest of a number has at least; 3点 is an hour.
const SHORTEST_REST: usize = 3;

/// Words that announce the rest of a number.
const SEQUELS: &[&str] = &[
    "last four are",
    "and the rest",
    "last part is",
    "the rest is",
    "and then",
    "rest is",
    "后面的是",
    "后四位是",
    "then",
    "后八位是",
    "后半部分",
    "后面是",
    "后四位",
    "后几位",
    "然后是",
    "剩下的",
    "后八位",
    "后半段",
    "后一半",
    "后面接",
    "接下来",
    "后面",
    "然后",
    "接着",
    "还有",
    "再来",
];

/// The end of what one author wrote shortly before, as far as it may be the first part of
/// something personal. Holds personal data: keep it in memory only, and for minutes only. Never
/// printed; overwritten when dropped.
#[derive(Clone, Default)]
pub struct Lead(VecDeque<String>);

impl Lead {
    /// Adds the author's next message, as it came.
    pub fn push(&mut self, text: &str) {
        // A short number after a cue may be the first part of a longer one.
        let masked = find(text).last().map_or(0, |finding| match finding.kind {
            Kind::Phone => finding.bytes.start,
            _ => finding.bytes.end,
        });
        let mut from = masked.max(text.len().saturating_sub(KEPT));
        while !text.is_char_boundary(from) {
            from += 1;
        }
        if masked > 0 && text[from..].trim().is_empty() {
            self.clear();
            return;
        }
        if self.0.len() == MESSAGES
            && let Some(mut oldest) = self.0.pop_front()
        {
            oldest.zeroize();
        }
        self.0.push_back(text[from..].trim().to_owned());
    }

    /// Adds what `other` holds, as said later.
    pub fn append(&mut self, other: &Self) {
        for message in &other.0 {
            if self.0.len() == MESSAGES
                && let Some(mut oldest) = self.0.pop_front()
            {
                oldest.zeroize();
            }
            self.0.push_back(message.clone());
        }
    }

    /// Whether there is nothing to go on from.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn clear(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
        self.0.clear();
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lead(..)")
    }
}

/// What is personal in `text`, read as the continuation of `lead`.
///
/// The first part of a number is in the log before the second is written; only what is left of it
/// can be masked.
pub fn find_after(lead: &Lead, text: &str) -> Vec<Finding> {
    let mut found = find(text);
    let begin = text.len() - text.trim_start().len();
    let sequel = SEQUELS.iter().find(|word| text[begin..].to_ascii_lowercase().starts_with(**word));
    let skipped = begin + sequel.map_or(0, |word| word.len());
    let rest = text[skipped..].trim_start();
    let skipped = text.len() - rest.len();
    if lead.0.back().is_some_and(|last| names_reference(last)) {
        found.retain(|finding| finding.kind != Kind::BankCard || finding.bytes.start > skipped);
    }
    let mut before = String::new();
    for message in lead.0.iter().rev() {
        before.insert_str(0, message);
        for joint in ["", " "] {
            // Nobody breaks an order number in two: digits and nothing else in both messages, as
            // many as a card has, are one whatever the check digit says.
            let cue = if is_card_length(&before, rest) { CARD_CUE } else { "" };
            let joined = format!("{cue}{before}{joint}{rest}");
            let start = cue.len() + before.len() + joint.len();
            let run_on = find(&joined).into_iter().filter(|finding| finding.bytes.end > start);
            let run_on = run_on.filter(|finding| {
                finding.bytes.start < start || finding.bytes.start < start + 12 && !joint.is_empty()
            });
            for finding in run_on {
                let crossing = finding.bytes.start < start;
                let short = finding.bytes.end < start + SHORTEST_REST;
                if crossing && (short || matches!(finding.kind, Kind::Address | Kind::Name)) {
                    continue;
                }
                let from = finding.bytes.start.max(start) - start + skipped;
                let bytes = from..finding.bytes.end - start + skipped;
                found.push(Finding { kind: finding.kind, bytes });
            }
        }
        before.insert(0, ' ');
    }
    before.zeroize();
    disjoint(found)
}

/// Whether `message` ends with what names the number that follows an order's or the like:
/// 保单号, then the number alone.
fn names_reference(message: &str) -> bool {
    let units = fold::units(message);
    cues::before(&units, units.len()).touches_reference()
}

/// What makes a number of a card's length that of a card.
const CARD_CUE: &str = "card ";

/// Whether `before` and `rest` are digits in groups and together as long as a card number.
fn is_card_length(before: &str, rest: &str) -> bool {
    let digits = |text: &str| {
        let grouped = text.chars().all(|ch| ch.is_ascii_digit() || matches!(ch, ' ' | '-'));
        if grouped { text.bytes().filter(u8::is_ascii_digit).count() } else { 0 }
    };
    let (first, second) = (digits(before), digits(rest));
    first >= 4 && second >= 4 && (16..=19).contains(&(first + second))
}

/// Findings left to right; of two that overlap the longer one.
fn disjoint(mut found: Vec<Finding>) -> Vec<Finding> {
    found.sort_by_key(|finding| (std::cmp::Reverse(finding.bytes.len()), finding.bytes.start));
    let mut kept: Vec<Finding> = Vec::with_capacity(found.len());
    for finding in found {
        let apart = |other: &Finding| {
            finding.bytes.end <= other.bytes.start || other.bytes.end <= finding.bytes.start
        };
        if kept.iter().all(apart) {
            kept.push(finding);
        }
    }
    kept.sort_by_key(|finding| finding.bytes.start);
    kept
}
