//! Searches for what breaks masking and the file of keys; see `zhili_fuzz`.

use zhili_fuzz::{Search, kind, words_of};

use crate::{KeyRing, Lead, PseudonymKey, Scope, mask, mask_after};

const WORDS: &[&str] = &[
    "13800138000",
    "１３８",
    "一三八",
    "+86 ",
    "电话",
    "订单号",
    "：",
    "6222",
    "@",
    ".com",
    " at ",
    "(at)",
    "微信",
    "加v",
    "qq",
    "身份证",
    "110105500203251",
    "X",
    "浙江省杭州市",
    "文一路",
    "号",
    "栋",
    "京A",
    "收件人",
    "我叫",
    "张伟",
    "先生",
    "Flat 3, ",
    "Oak Lane",
    "SW1A 1AA",
    "my name is ",
    "passport ",
    "E12345678",
    "-",
    " ",
    "\u{200b}",
    "\u{301}",
    "[PHONE]",
    "[",
    "\n",
    "①",
    "five ",
    "😡",
    "İ",
];

#[test]
fn fuzzed_texts_are_masked_once_and_for_all() {
    let corpus = [
        "我的手机号是13800138000,地址浙江省杭州市文一路12号3栋",
        "call me at +1 415-555-0132 or a.b@example.com, John Smith",
        "微信 abc_123 订单号 9876543210 身份证11010519491231002X",
        "my card is 4111 1111 1111 1111, Flat 3, 12 Oak Lane, SW1A 1AA",
        "一三八 零零一三 八零零零",
    ];
    Search::of("masking").corpus(corpus).words(WORDS).longest(128).inputs(200).run(|input| {
        let text = String::from_utf8_lossy(input);
        let once = mask(&text);
        let twice = mask(&once.text);
        assert!(!twice.changed(), "{:?} is masked again to {:?}", once.text, twice.text);
        let scalars: Vec<char> = once.text.chars().collect();
        let mut from = 0;
        for span in &once.spans {
            assert!(from <= span.start && span.end <= scalars.len(), "spans lie across each other");
            let token: String = scalars[span.start..span.end].iter().collect();
            assert_eq!(token, span.kind.token());
            from = span.end;
        }
        // The same text as the continuation of its own first half.
        let middle = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
        let mut lead = Lead::default();
        lead.push(&text[..middle]);
        let after = mask_after(&lead, &text[middle..]);
        let kinds = |masked: &crate::Masked<'_>| -> Vec<&str> {
            masked.spans.iter().take(4).map(|span| span.kind.as_str()).collect()
        };
        kind(&(kinds(&once), kinds(&after)))
    });
}

#[test]
fn fuzzed_files_of_keys_are_read_as_they_were_written_or_refused() {
    let mut ring = KeyRing::from(PseudonymKey::new([7; 32]));
    ring.rotate(PseudonymKey::new([8; 32]), Scope::Customers, 1_700_000_000_000).unwrap();
    let corpus = [ring.to_text().as_bytes().to_vec(), vec![1; 32]];
    let words = &[
        "retired",
        "joined",
        "\n",
        " ",
        "00",
        "customers",
        "everything",
        "-1",
        "18446744073709551616",
    ];
    Search::of("files of keys").corpus(corpus).words(words).longest(1024).run(|input| {
        match KeyRing::parse(input) {
            Ok(ring) => {
                let text = ring.to_text();
                let again = KeyRing::parse(text.as_bytes()).unwrap();
                assert_eq!(*again.to_text(), *text);
                kind(&text.lines().count())
            }
            Err(error) => words_of(&error.to_string()),
        }
    });
}
