//! The decisions that a reader of the documentation may rely on, one by one.

use zhili_redact::{Kind, MaskedSpan, mask};

fn masked(text: &str) -> String {
    mask(text).text.into_owned()
}

fn kinds(text: &str) -> Vec<Kind> {
    mask(text).spans.iter().map(|span| span.kind).collect()
}

#[test]
fn spans_count_scalars_of_the_masked_text() {
    let spans = mask("我😡：13800138000，邮箱 a@example.com").spans;
    assert_eq!(
        spans,
        [
            MaskedSpan { kind: Kind::Mobile, start: 3, end: 10 },
            MaskedSpan { kind: Kind::Email, start: 14, end: 21 },
        ]
    );
}

#[test]
fn each_kind_is_told_apart() {
    assert_eq!(kinds("13800138000"), [Kind::Mobile]);
    assert_eq!(kinds("010-82345671"), [Kind::Landline]);
    assert_eq!(kinds("+1 415-555-0132"), [Kind::Phone]);
    assert_eq!(kinds("110105500203251"), [Kind::IdCard]);
    assert_eq!(kinds("4111 1111 1111 1111"), [Kind::BankCard]);
    assert_eq!(kinds("a@example.com"), [Kind::Email]);
}

#[test]
fn invisible_characters_between_digits_hide_nothing_and_go_with_the_number() {
    assert_eq!(masked("打1\u{200b}3\u{feff}8001\u{2060}38000吧"), "打[PHONE]吧");
}

#[test]
fn a_longer_run_that_contains_a_mobile_is_not_one() {
    let text = "订单 20241380013800012345";
    assert_eq!(masked(text), text);
}

#[test]
fn digits_that_touch_letters_are_part_of_a_code() {
    for text in ["SF13800138000", "13800138000A", "快递 YT13800138000"] {
        assert_eq!(masked(text), text);
    }
}

#[test]
fn a_cue_may_touch_its_number() {
    assert_eq!(masked("tel13800138000 wx13800138000"), "tel[PHONE] wx[PHONE]");
}

#[test]
fn a_number_named_as_an_order_stays_and_the_same_number_alone_does_not() {
    assert_eq!(masked("订单号：13800138000"), "订单号：13800138000");
    assert_eq!(masked("查订单 13800138000"), "查订单 [PHONE]");
}

#[test]
fn the_cue_nearest_to_a_card_number_decides() {
    assert_eq!(masked("退款订单的银行卡 4111111111111111"), "退款订单的银行卡 [CARD]");
    let order = "银行卡付的，订单号 4111111111111111";
    assert_eq!(masked(order), order);
}

#[test]
fn a_cue_belongs_to_the_next_number_only() {
    assert_eq!(masked("订单 12 卡 4111111111111111"), "订单 12 卡 [CARD]");
    assert_eq!(masked("订单号 1234567 4111111111111111"), "订单号 1234567 [CARD]");
}

#[test]
fn a_mistyped_identity_number_is_masked_after_its_cue_only() {
    // The right check digit of 11010519491231002 is X.
    assert_eq!(masked("身份证 110105194912310021"), "身份证 [ID]");
    assert_eq!(masked("编号 110105194912310021"), "编号 110105194912310021");
    assert_eq!(masked("编号 11010519491231002x"), "编号 [ID]");
}

#[test]
fn a_mistyped_card_number_is_masked_after_its_cue_only() {
    assert_eq!(masked("信用卡 4111 1111 1111 1112"), "信用卡 [CARD]");
    assert_eq!(masked("4111 1111 1111 1112"), "4111 1111 1111 1112");
}

#[test]
fn the_line_of_a_company_stays() {
    for text in ["客服电话 400-820-8820", "call 800 820 8820", "电话4008208820", "打12315"] {
        assert_eq!(masked(text), text);
    }
}

#[test]
fn an_article_number_in_a_link_stays_and_a_telephone_number_does_not() {
    let article = "https://item.example.com/13800138000.html";
    assert_eq!(masked(article), article);
    assert_eq!(masked("https://wa.me/8613800138000"), "https://wa.me/[PHONE]");
    assert_eq!(masked("http://a.example/?tel=13800138000"), "http://a.example/?tel=[PHONE]");
}

#[test]
fn the_security_code_after_a_card_does_not_hide_the_card() {
    assert_eq!(masked("4111 1111 1111 1111 12/27 123"), "[CARD] 12/27 123");
}

#[test]
fn a_plus_sign_and_brackets_go_with_the_number() {
    assert_eq!(masked("(+86)13800138000"), "[PHONE]");
    assert_eq!(masked("（010）82345671"), "[PHONE]");
}

#[test]
fn an_address_with_blanks_needs_a_well_known_ending() {
    assert_eq!(masked("me @ example . com"), "[EMAIL]");
    assert_eq!(masked("meet @ starbucks.thanks"), "meet @ starbucks.thanks");
}

#[test]
fn an_address_and_a_number_without_a_gap_are_both_masked() {
    assert_eq!(masked("a@example.com13800138000"), "[EMAIL][PHONE]");
}

#[test]
fn a_number_that_was_hidden_by_the_one_beside_it_is_masked() {
    assert_eq!(masked("13000000000一三八00000000上"), "[PHONE][PHONE]上");
    assert_eq!(
        masked("13000000000一三八00000000一三八00000000"),
        "[PHONE]一三八00000000一三八00000000"
    );
}
