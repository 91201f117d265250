//! The engine and the masking read each class as it promises to be read.

use std::sync::LazyLock;

use zhili_tone::{Assessment, Engine, Message, Role};

use super::draw::Draw;
use super::personal;
use super::texts::{self, Class};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new().unwrap());

/// Every text of a class with its slots filled, read by the engine.
fn read(class: Class, role: Role) -> Vec<(String, Assessment)> {
    let fill = |text: &str, english: bool| {
        let of = |class: Class| if english { class.en[0] } else { class.zh[0] };
        text.replace("{order}", "R012345678")
            .replace("{item}", of(texts::ITEMS))
            .replace("{city}", of(texts::CITIES))
            .replace("{days}", "3")
            .replace("{amount}", "120")
    };
    let zh = class.zh.iter().map(|text| fill(text, false));
    let en = class.en.iter().map(|text| fill(text, true));
    zh.chain(en)
        .map(|text| {
            let message = Message { role, text: &text, lang: None, context: &[] };
            let assessment = ENGINE.assess(&message);
            (text, assessment)
        })
        .collect()
}

fn all(class: Class, role: Role, holds: impl Fn(&Assessment) -> bool) -> Vec<String> {
    let wrong = read(class, role).into_iter().filter(|(_, assessment)| !holds(assessment));
    wrong.map(|(text, _)| text).collect()
}

const NONE: &[String] = &[];

#[test]
fn urgent_texts_are_urgent_for_their_category() {
    for &(category, class) in texts::URGENT {
        let wrong = all(class, Role::Customer, |assessment| {
            let found = assessment.complaint.unwrap().category;
            found.is_some_and(|found| found.as_str() == category)
        });
        assert_eq!(wrong, NONE, "{category}");
    }
}

#[test]
fn no_other_text_of_a_customer_is_urgent_or_thanks() {
    for class in [texts::QUESTIONS, texts::FOLLOW_UPS, texts::ANGRY, texts::WANTS_PERSON] {
        let wrong = all(class, Role::Customer, |assessment| {
            assessment.complaint.unwrap().label.as_str() != "urgent" && assessment.opens_turn()
        });
        assert_eq!(wrong, NONE);
    }
}

#[test]
fn thanks_open_no_turn() {
    let wrong = all(texts::THANKS, Role::Customer, |assessment| !assessment.opens_turn());
    assert_eq!(wrong, NONE);
}

#[test]
fn greetings_greet_and_holding_replies_hold() {
    let greets = all(texts::GREETINGS, Role::Agent, Assessment::is_greeting_only);
    let holds = all(texts::HOLDING, Role::Agent, Assessment::is_holding_only);
    assert_eq!((greets.as_slice(), holds.as_slice()), (NONE, NONE));
}

#[test]
fn answers_are_substantive_and_none_is_forbidden() {
    for class in [texts::POLITE, texts::PLAIN, texts::BLUNT] {
        let wrong = all(class, Role::Agent, |assessment| {
            assessment.is_substantive() && !assessment.forbidden
        });
        assert_eq!(wrong, NONE);
    }
}

#[test]
fn forbidden_wording_is_found() {
    assert_eq!(all(texts::FORBIDDEN, Role::Agent, |assessment| assessment.forbidden), NONE);
}

#[test]
fn every_slot_is_known() {
    let classes = [
        texts::QUESTIONS,
        texts::FOLLOW_UPS,
        texts::ANGRY,
        texts::WANTS_PERSON,
        texts::POLITE,
        texts::PLAIN,
        texts::BLUNT,
        texts::BOT,
        texts::NOTES,
    ];
    for class in classes.into_iter().chain(texts::URGENT.iter().map(|&(_, class)| class)) {
        for (text, _) in read(class, Role::Customer) {
            assert!(!text.contains(['{', '}']), "{text}");
        }
    }
}

#[test]
fn personal_data_is_masked_wherever_it_stands() {
    let mut draw = Draw::new(7, 0, 0);
    for _ in 0..200 {
        for template in texts::PERSONAL.zh.iter().chain(texts::PERSONAL.en) {
            for (slot, value) in [
                ("{phone}", personal::phone(&mut draw)),
                ("{id}", personal::id_card(&mut draw)),
                ("{card}", personal::bank_card(&mut draw)),
                ("{email}", personal::email(&mut draw)),
            ] {
                if !template.contains(slot) {
                    continue;
                }
                let text = template.replace(slot, &value);
                let masked = zhili_redact::mask(&text);
                assert!(!masked.text.contains(&value), "{text}");
                assert_eq!(masked.spans.len(), 1, "{text}");
            }
        }
    }
}

#[test]
fn order_numbers_survive_masking() {
    for (text, _) in read(texts::QUESTIONS, Role::Customer) {
        assert!(!zhili_redact::mask(&text).changed(), "{text}");
    }
}
