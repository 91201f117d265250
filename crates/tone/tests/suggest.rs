//! Standard phrases: what they are like themselves, and which are suggested.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use zhili_tone::{Engine, Level, Message, PolitenessLabel, Query, Role, Suggestion, Why};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new().unwrap());

fn suggest<'e>(text: &str, scene: &str, draft: &str) -> Vec<Suggestion<'e>> {
    ENGINE.suggest(&Query { text, scene, draft, limit: 3 })
}

fn ids(suggestions: &[Suggestion<'_>]) -> Vec<&'static str> {
    suggestions.iter().map(|one| one.phrase.id).collect()
}

#[test]
fn the_engine_finds_no_fault_with_a_standard_phrase() {
    let mut wrong = Vec::new();
    for phrase in ENGINE.standard_phrases() {
        // What an agent would fill in is of no matter here.
        let text = phrase.text.replace(['{', '}'], "");
        let message = Message { role: Role::Agent, text: &text, lang: None, context: &[] };
        let result = ENGINE.assess(&message);
        let politeness = result.politeness.unwrap();
        if result.forbidden || politeness.label == PolitenessLabel::Impolite {
            wrong.push((phrase.id, politeness.score));
        }
        if phrase.level != Level::Professional && politeness.label != PolitenessLabel::Polite {
            wrong.push((phrase.id, politeness.score));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn each_language_has_all_levels_and_the_scenes_that_matter() {
    for chinese in [true, false] {
        let phrases = || ENGINE.standard_phrases().iter().filter(|one| one.chinese == chinese);
        let levels: BTreeSet<Level> = phrases().map(|one| one.level).collect();
        assert_eq!(levels.len(), 3);
        let scenes: BTreeSet<&str> = phrases().map(|one| one.scene).collect();
        for scene in
            ["greeting", "waiting", "logistics", "quality", "refund", "complaint", "closing"]
        {
            assert!(scenes.contains(scene), "{scene}");
        }
    }
}

#[test]
fn what_a_customer_says_finds_its_phrase() {
    for (text, id) in [
        ("我的包裹四天没有动静了，到底什么情况", "logistics.stuck"),
        ("你们给我发错颜色了", "quality.wrong"),
        ("退的钱到现在都没收到", "refund.late"),
        ("这个月怎么又扣了我两次钱", "account.charge"),
        ("打了好几次电话了，每次都说在处理", "complaint.repeat"),
        ("再不解决我就去12315", "complaint.regulator"),
        ("插上去就冒烟着火了", "complaint.safety"),
        ("我想换一个大一点的尺码", "returns.how"),
        ("the tracking page hasn't moved since monday", "logistics.stuck"),
        ("you charged me twice this month", "account.charge"),
        ("i'm still waiting for my refund", "refund.late"),
        ("i have called five times about this already", "complaint.repeat"),
    ] {
        let found = suggest(text, "", "");
        assert!(ids(&found).contains(&id), "{text}: {:?}", ids(&found));
    }
}

#[test]
fn scene_draft_and_mood_have_their_say() {
    let found = suggest("好的", "refund", "规定就是这样");
    let refuse = found.iter().find(|one| one.phrase.id == "refund.refuse").unwrap();
    let whys: Vec<Why> = refuse.reasons.iter().map(|(why, _)| *why).collect();
    assert!(whys.contains(&Why::Scene) && whys.contains(&Why::Instead("规定就是这样")), "{whys:?}");
    let angry = suggest("快递怎么还没到，气死我了", "", "");
    assert_eq!(angry[0].phrase.level, Level::Emotion, "{:?}", ids(&angry));
    assert!(angry[0].reasons.iter().any(|(why, _)| *why == Why::Mood));
}

#[test]
fn reasons_sum_to_the_score_and_the_order_is_by_it() {
    let found =
        ENGINE.suggest(&Query { text: "退款什么时候到", limit: 100, ..Query::default() });
    assert!(found.is_sorted_by(|one, next| one.score >= next.score));
    for one in &found {
        let sum: f64 = one.reasons.iter().map(|(_, points)| points).sum();
        assert!((sum - one.score).abs() < 1e-9 && one.score <= 1.0);
    }
}

#[test]
fn nothing_is_suggested_where_nothing_fits() {
    assert!(suggest("", "", "").is_empty());
    assert!(suggest("🙂", "nowhere", "").is_empty());
}
