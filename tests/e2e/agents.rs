//! A tenant that does not have its agents scored.

use serde_json::{Value, json};
use zhili_tests::{Options, System, has_library, samples};

/// A customer asks, and an agent answers rudely a second later.
fn talk(conversation: &str) -> Vec<Value> {
    let said =
        [("customer", "u-1", "再不退款我就打12315投诉你们"), ("agent", "agent-7", "关我屁事，滚")];
    let event = |(n, (role, author, text)): (usize, (&str, &str, &str))| {
        json!({
            "source": "desk", "event_id": format!("{conversation}-{n}"), "conversation_id": conversation,
            "type": "message", "sent_at": samples::now(), "author": {"id": author, "role": role},
            "customer": {"id": "u-1"}, "queue": conversation, "text": text,
        })
    };
    said.into_iter().enumerate().map(event).collect()
}

async fn ask(system: &System, question: &str, mut about: Value) -> Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let day = |days: i64| zhili_proto::timestamp(now.as_millis() as i64 + days * 86_400_000);
    about["from"] = serde_json::to_value(day(-1)).unwrap();
    about["to"] = serde_json::to_value(day(1)).unwrap();
    let request = reqwest::Client::new().post(format!("{}/v1/{question}", system.url(3)));
    let answer = request.bearer_auth(system.token()).json(&about).send().await.unwrap();
    assert!(answer.status().is_success(), "{question}: {}", answer.text().await.unwrap());
    answer.json().await.unwrap()
}

fn is_empty(answer: &Value, list: &str) -> bool {
    answer[list].as_array().is_none_or(Vec::is_empty)
}

#[tokio::test(flavor = "multi_thread")]
async fn where_agents_are_not_scored_nothing_of_them_is_stored_or_shown() {
    if !has_library("where_agents_are_not_scored_nothing_of_them_is_stored_or_shown") {
        return;
    }
    let system = System::start(Options::default());
    system.post(&talk("before"), &[]).await.unwrap();
    system.settle().await;
    let politeness = "metrics/politeness.v1:query";
    assert!(!is_empty(&ask(&system, politeness, json!({})).await, "points"));
    let waits = "metrics/rt.human.v1:rank";
    assert!(!is_empty(&ask(&system, waits, json!({"by": "agent"})).await, "ranks"));

    let bundle = system.path().join("bundle.toml");
    std::fs::write(&bundle, "[agents]\nscored = false\n").unwrap();
    let applied = system.run(&["config", "apply", bundle.to_str().unwrap()]);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    system.settle().await;
    system.post(&talk("after"), &[]).await.unwrap();
    system.settle().await;

    // Stored before, and not shown any more.
    assert!(is_empty(&ask(&system, politeness, json!({})).await, "points"));
    assert!(is_empty(&ask(&system, waits, json!({"by": "agent"})).await, "ranks"));
    let shown = ask(&system, waits, json!({"by": "queue"})).await;
    assert_eq!(shown["ranks"].as_array().unwrap().len(), 2, "customers still wait: {shown}");
    let card = ask(&system, "scorecards/scorecard.v1:query", json!({})).await.to_string();
    assert!(card.contains("agents are not scored"), "{card}");

    let number = async |sql: &str| system.tables().number(sql).await;
    let of_agents = "FROM v_messages WHERE role = 'agent' AND queue";
    assert_eq!(number(&format!("SELECT count(politeness_score) {of_agents} = 'before'")).await, 1);
    assert_eq!(number(&format!("SELECT count(politeness_score) {of_agents} = 'after'")).await, 0);
    let named = "SELECT countIf(agent != '') FROM v_turns WHERE queue = 'after'";
    assert_eq!(number(named).await, 0);
    let kinds = "SELECT countIf(kind = 'urgent_complaint') * 10 + countIf(kind = 'forbidden_wording') FROM v_signals WHERE queue = ";
    assert_eq!(number(&format!("{kinds}'before'")).await, 11);
    assert_eq!(number(&format!("{kinds}'after'")).await, 10, "the customer is heard");
    let replay = system.json(&["replay", "--json"]);
    assert_eq!(replay["equal"], true, "{replay}");
}
