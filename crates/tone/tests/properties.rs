//! What holds for every text.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod invariants;

use std::collections::HashMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use zhili_tone::{Assessment, Engine, Evidence, Message, Role, Target};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new().unwrap());

fn assess(role: Role, text: &str) -> Assessment {
    ENGINE.assess(&Message { role, text, lang: None, context: &[] })
}

/// Arbitrary text, and text made of pieces that the library knows.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "投诉",
        "不",
        "满意",
        "没有",
        "取消",
        "您好",
        "，",
        "。",
        "?",
        "！！！",
        " ",
        "12315",
        "如果",
        "但是",
        "“",
        "”",
        "很",
        "吗",
        "等了",
        "小时",
        "謝謝",
        "滚",
        "自己看",
        "not",
        " good ",
        "never ",
        "lawyer",
        "if ",
        "sorry",
        "👍",
        "👍🏽",
        "ﬁ",
        "℡",
        "①",
        "Ａ",
        "\u{200b}",
        "\u{301}",
        "\n",
        "死",
        "着火",
        "我们会",
        "24",
        "两",
        "半",
        "个",
        "小时内",
        "工作日",
        "今天",
        "明早",
        "下周",
        "五",
        "点",
        "前",
        "18:00",
        "尽快",
        "回电",
        "退款",
        "的",
        "您",
        " we will ",
        "call you ",
        " within ",
        "3-5 ",
        "business days",
        " by ",
        "6 p.m.",
        "tomorrow",
        "friday ",
        "什么时候",
        "您的意思是",
        "what a",
        "投 诉",
        "tou su",
        "[ORDERID_1]",
        "第三次",
        "还没",
    ]);
    prop_oneof![
        any::<String>(),
        prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat()),
    ]
}

/// What was counted, without its places.
fn reasons(result: &Assessment) -> Vec<(Target, String, i64)> {
    let thousandths = |points: f64| (points * 1000.0).round() as i64;
    let reason = |one: &Evidence| (one.target, one.rule.to_string(), thousandths(one.points));
    result.evidence.iter().map(reason).collect()
}

/// A text in traditional characters: of several that became one, the first.
fn traditional(text: &str) -> String {
    static TABLE: LazyLock<HashMap<char, char>> = LazyLock::new(|| {
        let mut table = HashMap::new();
        let lines = include_str!("../library/traditional.txt").lines();
        let pairs = lines.filter(|line| !line.starts_with('#') && !line.starts_with("both "));
        for pair in pairs.flat_map(str::split_whitespace) {
            let mut chars = pair.chars();
            if let (Some(from), Some(to)) = (chars.next(), chars.next()) {
                table.entry(to).or_insert(from);
            }
        }
        table
    });
    text.chars().map(|c| TABLE.get(&c).copied().unwrap_or(c)).collect()
}

fn roles() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Customer), Just(Role::Agent)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spans_sums_and_ranges_hold(text in texts(), role in roles()) {
        prop_assert_eq!(invariants::broken(&text, &assess(role, &text)), None);
    }

    #[test]
    fn more_spaces_where_there_are_some_change_only_offsets(text in texts(), role in roles()) {
        let wide = format!("  {} ", text.replace(' ', "   "));
        prop_assert_eq!(reasons(&assess(role, &text)), reasons(&assess(role, &wide)));
    }

    #[test]
    fn traditional_characters_change_nothing_but_the_language(text in texts(), role in roles()) {
        let traditional = traditional(&text);
        let (simple, other) = (assess(role, &text), assess(role, &traditional));
        prop_assert_eq!(simple.evidence, other.evidence, "{}", traditional);
    }

    #[test]
    fn zero_width_characters_change_only_offsets(text in texts(), role in roles(), at in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let mut chars: Vec<char> = text.chars().collect();
        for index in at {
            chars.insert(index.index(chars.len() + 1), '\u{200b}');
        }
        let widened: String = chars.into_iter().collect();
        let (plain, wide) = (assess(role, &text), assess(role, &widened));
        prop_assert_eq!(reasons(&plain), reasons(&wide));
        prop_assert_eq!((plain.lang, plain.acts, plain.only), (wide.lang, wide.acts, wide.only));
    }

    #[test]
    fn the_same_text_gives_the_same_assessment(text in texts(), role in roles()) {
        prop_assert_eq!(assess(role, &text), assess(role, &text));
    }
}

#[test]
fn traditional_and_simplified_score_the_same() {
    for (traditional, simplified) in [
        ("客服態度很差，我要投訴你們", "客服态度很差，我要投诉你们"),
        ("謝謝，問題解決了，服務很周到", "谢谢，问题解决了，服务很周到"),
        ("熱水器漏電，剛才我被電了一下", "热水器漏电，刚才我被电了一下"),
    ] {
        let (one, other) =
            (assess(Role::Customer, traditional), assess(Role::Customer, simplified));
        assert_eq!(one.evidence, other.evidence);
        assert_eq!((one.lang.as_str(), other.lang.as_str()), ("zh-Hant", "zh"));
    }
}

/// Texts that once broke something, or might have.
#[test]
fn the_corpus_of_the_fuzzer_holds() {
    for line in include_str!("fuzz/corpus.txt").lines() {
        let text: String = line.parse::<serde_json::Value>().unwrap().as_str().unwrap().to_owned();
        for role in [Role::Customer, Role::Agent] {
            assert_eq!(invariants::broken(&text, &assess(role, &text)), None, "{line}");
        }
    }
}

#[test]
fn evidence_points_at_the_words_in_the_original() {
    let text = "你好！！！！我要投 诉";
    let result = assess(Role::Customer, text);
    let reason = result.evidence.iter().find(|one| one.target == Target::Urgency).unwrap();
    let span: String = text.chars().skip(reason.start).take(reason.end - reason.start).collect();
    assert!(span.ends_with("投 诉"), "{span}");
}

#[test]
fn a_message_of_16_kib_is_no_special_case() {
    for piece in ["没", "没ﷺ", "投诉", "不满意,", "a b ", "……", "等了", "“好", "好吗好"]
    {
        let text = piece.repeat(16 * 1024 / piece.len());
        for role in [Role::Customer, Role::Agent] {
            assert!(assess(role, &text).evidence.len() <= text.len());
        }
    }
}
