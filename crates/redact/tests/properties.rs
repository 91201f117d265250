//! What holds for every text.

use std::borrow::Cow;

use proptest::prelude::*;
use zhili_redact::{Kind, PseudonymKey, Subject, mask, pseudonym};

/// Texts in which numbers, cues, separators and addresses meet in ways nobody writes.
fn crowded() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[0-9]{1,8}",
        4 => "[ \\-./()_,。、+@]{1,2}",
        2 => "1[3-9][0-9]{9}",
        1 => "[０-９]{1,6}",
        1 => prop::sample::select(vec![
            "电话", "订单号", "：", "银行卡", "身份证", "快递", "call ", "order ", "no. ", "card ",
            "SF", "x", "X", "元", "¥", "+86", "0086", "+1 ", "010", "852", "400-820-8820", "0755-",
            "138 0013 8000", "138-0013-8000", "110105500203251", "4111 1111 1111 1111",
            "13800138000", "415-555-0132", "6222", "\u{200b}", "\u{3000}", "://", "www.", "/", "?",
            "收件人", "姓名：", "张伟", "李娜", "我叫", "先生", "收", "微信", "加v", "qq", "abc_123", "my name is ",
            "John Smith", "Regards, ", "12 Oak Lane", ", ", "Flat 3, ", "SW1A 1AA", "浙江省杭州市", "文一路", "号", "栋", "室",
            "京A", "12345", "护照", "E12345678", "passport ", "987-65-4320", "ssn ", "一三八", "零零", "five ", "①③⑧", "(at)", " dot ",
            "A123456(3)", "a@example.com", "@example.com", "me @ ", "qq.com", ".com", "[PHONE]", "[", "]", "😡",
        ]).prop_map(str::to_owned),
        1 => "[a-zA-Z一-龥]{1,4}",
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn masking_a_masked_text_changes_nothing(text in crowded()) {
        let once = mask(&text).text.into_owned();
        let twice = mask(&once);
        prop_assert_eq!(&twice.text, &once, "from {:?}", text);
        prop_assert!(!twice.changed());
    }

    #[test]
    fn spans_point_at_the_tokens_and_the_rest_is_the_text(text in crowded()) {
        let masked = mask(&text);
        let scalars: Vec<char> = masked.text.chars().collect();
        let mut rest = text.as_str();
        let mut at = 0;
        for span in &masked.spans {
            prop_assert!(at <= span.start && span.start < span.end && span.end <= scalars.len());
            let token: String = scalars[span.start..span.end].iter().collect();
            prop_assert_eq!(&token, span.kind.token());
            let kept: String = scalars[at..span.start].iter().collect();
            // What was kept stands in the text in the same order.
            let found = rest.find(&kept);
            prop_assert!(found.is_some());
            rest = &rest[found.unwrap() + kept.len()..];
            at = span.end;
        }
        let tail: String = scalars[at..].iter().collect();
        prop_assert!(rest.ends_with(&tail));
    }

    #[test]
    fn any_text_is_masked_without_panic(text in any::<String>()) {
        let once = mask(&text).text.into_owned();
        prop_assert_eq!(&mask(&once).text, &once);
    }

    #[test]
    fn a_text_without_digits_and_at_signs_is_borrowed(text in "[^0-9@０-９＠﹫𝟎-𝟿]{0,80}") {
        let masked = mask(&text);
        prop_assert!(matches!(masked.text, Cow::Borrowed(same) if same == text));
        prop_assert!(masked.spans.is_empty());
    }

    #[test]
    fn a_mobile_is_masked_in_any_chinese_surroundings(
        before in "[一-龥，。！？“”、\n]{0,12}",
        number in "1[3-9][0-9]{9}",
        after in "[一-丿，。！？“”、\n]{0,12}",
    ) {
        prop_assume!(!["号", "號", "码", "碼", "单", "單", "元", "块", "塊"].iter().any(|c| before.contains(c) || after.contains(c)));
        let text = format!("{before}{number}{after}");
        // What stands beside it may be a name, or make it the id in a messenger that it may be.
        let masked = mask(&text).text;
        let token = masked.contains("[PHONE]") || masked.contains("[HANDLE]");
        prop_assert!(token && !masked.contains(&number), "{}", masked);
    }

    #[test]
    fn every_valid_card_of_an_issuer_is_masked(body in "6222[0-9]{14}", gap in "[ -]?") {
        let valid = (0..10).map(|check| format!("{body}{check}")).find(|digits| luhn(digits));
        let digits = valid.unwrap();
        let grouped: Vec<&str> = [0..4, 4..8, 8..12, 12..16, 16..19].map(|r| &digits[r]).to_vec();
        let text = grouped.join(&gap);
        prop_assert_eq!(mask(&text).text, "[CARD]");
    }

    #[test]
    fn a_pseudonym_is_never_masked(raw in any::<String>(), key in any::<[u8; 32]>()) {
        let key = PseudonymKey::new(key);
        for subject in [Subject::Customer, Subject::Author, Subject::Conversation] {
            let name = pseudonym(&key, "default", subject, &raw);
            prop_assert!(!mask(&name).changed());
        }
    }

    #[test]
    fn the_parts_of_an_id_never_run_into_each_other(a in "[a-c]{0,3}", b in "[a-c]{0,3}", c in "[a-c]{0,3}", d in "[a-c]{0,3}") {
        let key = PseudonymKey::new([3; 32]);
        let same = (&a, &b) == (&c, &d);
        let left = pseudonym(&key, &a, Subject::Customer, &b);
        prop_assert_eq!(left == pseudonym(&key, &c, Subject::Customer, &d), same);
    }
}

fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(i, byte)| u32::from(byte - b'0') * (1 + i as u32 % 2))
        .map(|n| n / 10 + n % 10)
        .sum();
    sum.is_multiple_of(10)
}

#[test]
fn no_token_is_masked_and_none_looks_like_personal_data() {
    for kind in Kind::ALL {
        let token = kind.token();
        assert!(!mask(token).changed());
        assert!(!token.contains(|ch: char| ch.is_ascii_digit() || ch == '@'));
        assert!(token.is_ascii());
    }
}
