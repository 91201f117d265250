//! Numbers and names that run on from one message into the next: `13800`, then `138000`.

use std::collections::VecDeque;
use std::fmt;

use zeroize::Zeroize;

use crate::view::is_han;
use crate::{Finding, Kind, address, cues, find, fold, name, plate, spoken};

/// Bytes of what an author wrote before that are kept: a cue and the first part of a number.
const KEPT: usize = 96;

/// How many messages a number may be spread over before the last.
const MESSAGES: usize = 3;

/// Bytes from the beginning of a message within which something begins that the message before it
/// tells the meaning of.
const FIRST: usize = 12;

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
        self.push_found(text, &find(text));
    }

    /// [`push`](Self::push) of a message in which [`find`] found `found`.
    pub fn push_found(&mut self, text: &str, found: &[Finding]) {
        // A short number after a cue may be the first part of a longer one.
        let masked = found.last().map_or(0, |finding| match finding.kind {
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

    /// What all of `leads` hold, the earliest of them first, as far as it is kept.
    pub fn of<'l>(leads: impl DoubleEndedIterator<Item = &'l Self>) -> Self {
        let messages = leads.rev().flat_map(|lead| lead.0.iter().rev());
        let mut kept: VecDeque<String> = VecDeque::with_capacity(MESSAGES);
        for message in messages.take(MESSAGES) {
            kept.push_front(message.clone());
        }
        Self(kept)
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
    found_after(lead, text, find(text))
}

/// [`find_after`] for a text in which [`find`] found `found`.
pub fn found_after(lead: &Lead, text: &str, found: Vec<Finding>) -> Vec<Finding> {
    found_reading(lead, text, found, Reading::Needed)
}

/// Which joined texts are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Those in which something may be found.
    Needed,
    /// All of them, to see that nothing is in the others.
    #[cfg(test)]
    All,
}

fn found_reading(
    lead: &Lead,
    text: &str,
    mut found: Vec<Finding>,
    reading: Reading,
) -> Vec<Finding> {
    if lead.is_empty() {
        return disjoint(found);
    }
    let begin = text.len() - text.trim_start().len();
    let begins = |word: &&&str| {
        let there = text.as_bytes().get(begin..begin + word.len());
        there.is_some_and(|there| there.eq_ignore_ascii_case(word.as_bytes()))
    };
    let sequel = SEQUELS.iter().find(begins);
    let skipped = begin + sequel.map_or(0, |word| word.len());
    let rest = text[skipped..].trim_start();
    let skipped = text.len() - rest.len();
    if lead.0.back().is_some_and(|last| names_reference(last)) {
        found.retain(|finding| finding.kind != Kind::BankCard || finding.bytes.start > skipped);
    }
    let needed = reading == Reading::Needed;
    let mut before = String::new();
    for message in lead.0.iter().rev() {
        before.insert_str(0, message);
        let parted = needed && before.chars().next_back().is_some_and(parts);
        if parted && begins_nothing(rest) {
            break;
        }
        for joint in ["", " "] {
            // Joined without a blank only what crosses the joint counts.
            if parted && joint.is_empty() {
                continue;
            }
            // Nobody breaks an order number in two: digits and nothing else in both messages, as
            // many as a card has, are one whatever the check digit says.
            let cue = if is_card_length(&before, rest) { CARD_CUE } else { "" };
            let joined = format!("{cue}{before}{joint}{rest}");
            let start = cue.len() + before.len() + joint.len();
            let run_on = find(&joined).into_iter().filter(|finding| finding.bytes.end > start);
            let run_on = run_on.filter(|finding| {
                finding.bytes.start < start
                    || finding.bytes.start < start + FIRST && !joint.is_empty()
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

/// Whether nothing that may run on from one message into the next goes on behind `ch`, a name or an
/// address aside: those characters that no number, mail address, paper, plate or id of a messenger has
/// in it, however it is spelt. Half of all readings are spared by it.
fn parts(ch: char) -> bool {
    match ch {
        '!' | '?' | '！' | '？' => true,
        // An at sign, a dot and a hyphen in words.
        '艾' | '特' | '点' | '杠' => false,
        ch => is_han(ch) && !spoken::may_be_digit(ch) && !plate::is_part(ch),
    }
}

/// Whether nothing personal begins in the first bytes of `rest`, whatever stands in front of it, so far
/// as that shows without reading it: it has no letter and too few numerals for a number or id, it
/// counts nothing that an address does, and no surname begins it.
fn begins_nothing(rest: &str) -> bool {
    /// Fewer than the shortest of all that is found by its digits: five of an id of QQ.
    const NUMERALS: usize = 3;
    let mut numerals = 0;
    rest.char_indices().all(|(at, ch)| {
        numerals += usize::from(spoken::may_be_digit(ch));
        let stays =
            is_han(ch) && !address::may_be_counted(ch) || "，。？！、；：,!? \n~～…“”".contains(ch);
        stays && numerals <= NUMERALS && (at >= FIRST || !name::may_begin(ch))
    })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Chinese without letters and digits: names, addresses and numerals, and what announces them.
    fn plain() -> impl Strategy<Value = Vec<String>> {
        let piece = prop_oneof![
            1 => "[一-龥]",
            6 => prop::sample::select(vec![
                "我叫", "收件人", "姓名", "联系人", "客户", "是", "找", "寄给", "张伟", "李娜", "欧阳", "王", "小明", "先生",
                "女士", "收", "艾力·买买提", "古丽", "浙江省", "杭州市", "文一路", "幸福路", "十号", "三号", "号", "栋", "单元",
                "室", "楼", "小区", "地址", "家住", "一", "三", "八", "零", "十", "百", "洞", "杠", "电话", "微信", "京", "挂",
                "艾特", "点", "，", "。", "？", "！", "：", " ", "\n", "～", "吗", "的", "了", "谢谢",
            ])
            .prop_map(str::to_owned),
        ];
        let message = prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat());
        prop::collection::vec(message, 1..3)
    }

    /// Messages that end and begin in the middle of something, and with what parts.
    fn messages() -> impl Strategy<Value = Vec<String>> {
        let piece = prop_oneof![
            4 => "[0-9]{1,8}",
            2 => "[ \\-./()_,。、+@]{1,2}",
            1 => "[一-龥]",
            8 => prop::sample::select(vec![
                "13800138000", "138", "0013", "8000", "6222", "4111 1111", "1111 1111", "110105", "500203251", "X",
                "一三八", "零零", "洞", "拐", "杠", "①③⑧", "five ", "seven", "京", "京A", "A12345", "挂", "学", "护照", "E1234",
                "passport ", "ssn ", "987-65", "-4320", "微信", "加v", "qq", "abc_123", "加我", "wx", "@", "a@b", "艾特", "点", "com",
                " at ", " dot ", "jane", "example.com", "收件人", "我叫", "张伟", "姓名：", "my name is ", "John Smith",
                "浙江省杭州市", "文一路", "12号", "3栋", "502室", "12 Oak Lane", ", ", "电话", "订单号", "银行卡", "身份证", "：",
                "call ", "order no. ", "card ", "吗", "的", "了", "谢谢", "？", "！", "?", "!", "。", "~", "+86", "[PHONE]", "[",
                "]", "\u{fe0f}", "\u{20e3}", "\u{200b}", "然后", "then ", "后面是",
            ])
            .prop_map(str::to_owned),
        ];
        let message = prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat());
        prop::collection::vec(message, 2..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn joined_messages_that_are_not_read_hold_nothing(messages in messages()) {
            let (text, earlier) = messages.split_last().unwrap();
            let mut lead = Lead::default();
            for message in earlier {
                lead.push(message);
            }
            let all = found_reading(&lead, text, find(text), Reading::All);
            prop_assert_eq!(find_after(&lead, text), all, "{:?} behind {:?}", text, lead.0);
        }

        #[test]
        fn plain_messages_that_are_not_read_hold_nothing(
            earlier in messages(),
            announced in plain(),
            text in plain(),
        ) {
            let mut lead = Lead::default();
            for message in earlier.iter().chain(&announced) {
                lead.push(message);
            }
            let text = text.concat();
            let all = found_reading(&lead, &text, find(&text), Reading::All);
            prop_assert_eq!(find_after(&lead, &text), all, "{:?} behind {:?}", text, lead.0);
        }

        #[test]
        fn nothing_that_runs_on_holds_a_character_that_parts(messages in messages()) {
            let text = messages.concat();
            for Finding { kind, bytes } in find(&text) {
                let held = &text[bytes];
                let runs_on = !matches!(kind, Kind::Address | Kind::Name);
                prop_assert!(!runs_on || !held.chars().any(parts), "{:?} is {}", held, kind.as_str());
            }
        }
    }

    #[test]
    fn leads_together_hold_the_last_messages_of_all() {
        let said = ["13800", "138000", "", "6222", "4111"].map(|text| {
            let mut lead = Lead::default();
            lead.push(text);
            lead
        });
        let mut one_by_one = Lead::default();
        for text in ["13800", "138000", "", "6222", "4111"] {
            one_by_one.push(text);
        }
        assert_eq!(Lead::of(said.iter()).0, one_by_one.0);
        assert!(Lead::of([].iter()).is_empty());
    }
}
