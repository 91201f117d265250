//! Language of a message by its letters.

use crate::assessment::Lang;
use crate::normalize::{Normalized, is_han};

/// An English word says about as much as this many Chinese characters.
const HAN_PER_WORD: f64 = 1.7;

/// Share of the smaller language from which a message counts as mixed.
const MIXED_SHARE: f64 = 0.5;

/// A placeholder (`[ORDERID_1]`, `[数字x]`) is at most this many bytes long.
const PLACEHOLDER: u32 = 48;

/// The language of a normalised message; `hint` decides only where the letters do not.
pub(crate) fn detect(read: &Normalized, hint: Option<Lang>) -> Lang {
    let (mut han, mut words, mut foreign) = (0_u32, 0_u32, 0_u32);
    let mut rest = read.letters.as_slice();
    while let Some((letter, behind)) = rest.split_first() {
        rest = behind;
        let c = letter.c;
        if is_han(c) {
            han += 1;
        } else if c.is_ascii_alphanumeric() {
            let part = |c: char| c.is_ascii_alphanumeric() || c == '\'' || c == '_';
            let more = behind.iter().take_while(|letter| part(letter.c)).count();
            rest = &behind[more..];
            let (word, tail) = read.text[letter.at as usize..].split_at(more + 1);
            if word == "www" || ((word == "http" || word == "https") && tail.starts_with("://")) {
                let more = rest.iter().take_while(|letter| letter.c.is_ascii_graphic()).count();
                rest = &rest[more..];
                continue;
            }
            let letters = word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'\'');
            if letters && (word.len() > 1 || word == "i" || word == "a") {
                words += 1;
            }
        } else if c == '[' {
            let window = behind.iter().take_while(|other| other.at < letter.at + PLACEHOLDER);
            if let Some(close) = window.map(|other| other.c).position(|c| c == ']') {
                rest = &behind[close + 1..];
            }
        } else if !c.is_ascii() && c.is_alphabetic() {
            foreign += 1;
        }
    }
    let chinese = f64::from(han) / HAN_PER_WORD;
    let english = f64::from(words);
    if f64::from(foreign) > f64::from(han) + english * 4.0 {
        return Lang::Unknown;
    }
    if han == 0 && words == 0 {
        return hint.unwrap_or(Lang::Unknown);
    }
    if han > 2 && words > 2 && chinese.min(english) >= MIXED_SHARE * chinese.max(english) {
        return Lang::Mixed;
    }
    if english > chinese {
        return Lang::En;
    }
    match (read.traditional, read.simplified, hint) {
        (0, 0, Some(Lang::ZhHant)) => Lang::ZhHant,
        (traditional, simplified, _) if traditional > simplified => Lang::ZhHant,
        _ => Lang::Zh,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalize::Normalizer;

    fn lang(text: &str) -> &'static str {
        hinted(text, None)
    }

    fn hinted(text: &str, hint: Option<Lang>) -> &'static str {
        let table = Normalizer::new("table", "貨货 還还 沒没 謝谢").unwrap();
        detect(&table.normalize(text), hint).as_str()
    }

    #[test]
    fn each_language_is_known_by_its_letters() {
        assert_eq!(lang("我的货还没到"), "zh");
        assert_eq!(lang("我的貨還沒到"), "zh-Hant");
        assert_eq!(lang("where is my parcel"), "en");
        assert_eq!(lang("我的 parcel where is it 急用啊"), "mixed");
    }

    #[test]
    fn a_product_name_does_not_make_a_message_mixed() {
        assert_eq!(lang("我买的iPhone 15 Pro到哪了"), "zh");
    }

    #[test]
    fn cards_emoji_and_a_lone_question_mark_have_no_language() {
        for text in
            ["", "?", "👍👍", "[ORDERID_10293]", "1234567", "https://a.example/x?y=1", "JD0021839"]
        {
            assert_eq!(lang(text), "unknown", "{text}");
        }
    }

    #[test]
    fn the_hint_decides_only_where_the_letters_do_not() {
        assert_eq!(hinted("👍", Some(Lang::Zh)), "zh");
        assert_eq!(hinted("where is it", Some(Lang::Zh)), "en");
        assert_eq!(hinted("你好", Some(Lang::ZhHant)), "zh-Hant");
    }

    #[test]
    fn another_script_is_unknown() {
        assert_eq!(lang("Здравствуйте"), "unknown");
        assert_eq!(lang("ありがとうございます"), "unknown");
    }
}
