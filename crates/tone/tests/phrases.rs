//! Phrases of one's own on top of the library.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use zhili_tone::{Assessment, ComplaintLabel, Engine, Evidence, Message, Role};

fn assess(engine: &Engine, role: Role, text: &str) -> Assessment {
    engine.assess(&Message { role, text, lang: None, context: &[] })
}

fn refusal(own: &[(&str, &str)]) -> String {
    Engine::with_phrases(own).err().unwrap().to_string()
}

#[test]
fn a_phrase_of_ones_own_counts_and_is_named() {
    let own = "[dismissive] politeness=-34 forbidden\n这边建议您自行百度\n\
               [risk] urgency=0.75 category=regulator\n{去|找}…{玩具协会}\n";
    let engine = Engine::with_phrases(&[("mine.txt", own)]).unwrap();
    let agent = assess(&engine, Role::Agent, "這邊建議您自行百度");
    assert!(agent.forbidden);
    assert!(agent.evidence.iter().any(|one| &*one.rule == "这边建议您自行百度"));
    let customer = assess(&engine, Role::Customer, "我这就去市里的玩具协会");
    assert_eq!(customer.complaint.unwrap().label, ComplaintLabel::Urgent);
    let plain = Engine::new().unwrap();
    assert!(!assess(&plain, Role::Agent, "這邊建議您自行百度").forbidden);
    assert_ne!(plain.library_hash(), engine.library_hash());
}

#[test]
fn a_phrase_of_the_library_can_be_changed_and_silenced() {
    let text = "不归我管";
    let plain = assess(&Engine::new().unwrap(), Role::Agent, text);
    let reason = plain.evidence.iter().find(|one| one.points < 0.0).unwrap();
    let own = format!("[{}] politeness=0\n{}", reason.class, reason.rule);
    let engine = Engine::with_phrases(&[("mine.txt", &own)]).unwrap();
    let silenced = assess(&engine, Role::Agent, text);
    assert!(plain.forbidden && !silenced.forbidden, "{own}");
    let same = |one: &Evidence| (one.class, &one.rule) == (reason.class, &reason.rule);
    assert!(!silenced.evidence.iter().any(same), "{silenced:?}");
}

#[test]
fn a_bad_line_is_refused_by_file_and_number() {
    assert_eq!(
        refusal(&[("a.txt", "[thanks]\n多谢"), ("b.txt", "[thanks]\n谢谢\n\n[nice]\n好")]),
        "b.txt, line 4: there is no class 'nice'"
    );
    assert!(
        refusal(&[("b.txt", "[thanks] politeness=8 colour=red")]).starts_with("b.txt, line 1: ")
    );
    assert!(refusal(&[("b.txt", "[thanks]\n{a|b")]).starts_with("b.txt, line 2: "));
    assert!(refusal(&[("b.txt", "谢谢")]).starts_with("b.txt, line 1: "));
}
