//! How the English head hears agents, on lines of our own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use zhili_tone::{Engine, Message, Politeness, PolitenessLabel, Role};

fn politeness(engine: &Engine, text: &str) -> Politeness {
    let message = Message { role: Role::Agent, text, lang: None, context: &[] };
    engine.assess(&message).politeness.unwrap()
}

fn lines(file: &str) -> impl Iterator<Item = &str> {
    file.lines().filter(|line| !line.starts_with('#'))
}

#[test]
fn plain_english_of_agents_is_not_impolite() {
    let engine = Engine::new().unwrap();
    let impolite: Vec<_> = lines(include_str!("lines/plain_en.txt"))
        .map(|text| (text, politeness(&engine, text)))
        .filter(|(_, politeness)| politeness.label == PolitenessLabel::Impolite)
        .collect();
    assert!(impolite.is_empty(), "{impolite:#?}");
}

#[test]
fn a_courteous_line_scores_above_the_blunt_one_that_asks_the_same() {
    let engine = Engine::new().unwrap();
    for line in lines(include_str!("lines/tone_en.tsv")) {
        let (blunt, courteous) = line.split_once('\t').unwrap();
        let scores = [blunt, courteous].map(|text| politeness(&engine, text).score);
        assert!(scores[0] < scores[1], "{blunt} {} / {courteous} {}", scores[0], scores[1]);
    }
}

#[test]
fn the_head_is_silent_where_a_phrase_has_spoken() {
    let engine = Engine::new().unwrap();
    for text in ["Shut up and let me finish.", "Thank you so much for your patience!"] {
        let message = Message { role: Role::Agent, text, lang: None, context: &[] };
        let heads = engine.assess(&message).evidence.iter().filter(|it| it.class == "head").count();
        assert_eq!(heads, 0, "{text}");
    }
}
