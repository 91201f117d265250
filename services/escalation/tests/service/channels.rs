//! Every channel from signal to delivery, and what happens when a provider refuses.

use serde_json::Value;
use zhili_proto::escalation::v1::incident_event::Type;
use zhili_proto::escalation::v1::log_entry::Entry;

use crate::bench::Bench;

/// Settings with one destination of a kind, below the receiver's address.
fn destination(bench: &Bench, name: &str, kind: &str, path: &str, more: &str) -> String {
    let address = bench.receiver.address;
    format!(
        "[escalation.teams.default.destinations.{name}.{kind}]\n\
         url = 'http://{address}{path}'\nallow_private = true\n{more}\n"
    )
}

fn result_of(attempt: u32) -> impl Fn(&Entry) -> bool {
    move |entry| matches!(entry, Entry::Result(result) if result.attempt == attempt)
}

/// Robot first, webhook after a minute.
async fn robot_then_floor(kind: &str, path: &str) -> Bench {
    let bench = Bench::new().await;
    let settings = destination(&bench, "robot", kind, path, "")
        + &bench.floor()
        + "[escalation.teams.default.policies.default]\n\
           steps = [{ destinations = ['robot'], delay_ms = 60000 }, { destinations = ['floor'] }]\n";
    bench.configure("default", &settings).await;
    bench
}

#[tokio::test]
async fn a_page_reaches_every_kind_of_robot_in_its_own_words() {
    let bench = Bench::new().await;
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "SEC0123456789").unwrap();
    let signed = format!("secret = 'file:{}'\nmentions = ['u1']", secret.path().display());
    let key = format!("routing_key = 'file:{}'", secret.path().display());
    let settings = [
        destination(&bench, "ding", "dingtalk", "/robot/send?access_token=t0ken", &signed),
        destination(&bench, "wecom", "wecom", "/cgi-bin/webhook/send?key=t0ken", ""),
        destination(&bench, "lark", "feishu", "/open-apis/bot/v2/hook/t0ken", &signed),
        destination(&bench, "slack", "slack", "/slack/t0ken", "language = 'en'"),
        destination(&bench, "pd", "pagerduty", "/v2/enqueue", &key),
    ];
    bench.configure("default", &settings.concat()).await;
    let _service = bench.start().await;
    bench.signal(bench.urgent("s1", "c1")).await;
    let mut pages = Vec::new();
    for _ in 0..5 {
        pages.push(bench.receiver.next().await);
    }
    let sent = |path: &str| {
        let page = pages.iter().find(|page| page.target.starts_with(path)).unwrap();
        (page.target.clone(), page.json())
    };
    let (target, ding) = sent("/robot/send?access_token=t0ken&timestamp=");
    assert!(target.contains("&sign="), "{target}");
    let text = ding["markdown"]["text"].as_str().unwrap();
    assert!(text.contains("我要打12315投诉你们") && text.contains("@u1"), "{text}");
    let (_, wecom) = sent("/cgi-bin/webhook/send?key=t0ken");
    assert!(wecom["markdown"]["content"].as_str().unwrap().contains("监管投诉"), "{wecom}");
    let (_, lark) = sent("/open-apis/bot/v2/hook/t0ken");
    assert!(lark["sign"].is_string() && lark["timestamp"].is_string(), "{lark}");
    let (_, slack) = sent("/slack/t0ken");
    assert!(slack["text"].as_str().unwrap().contains("Customer complaint"), "{slack}");
    let (_, pd) = sent("/v2/enqueue");
    assert_eq!(
        (&pd["routing_key"], &pd["event_action"]),
        (&"SEC0123456789".into(), &"trigger".into())
    );
    for _ in 0..5 {
        bench.told(Type::Paged, "c1").await;
    }
    let delivered = |event: &zhili_proto::escalation::v1::IncidentEvent| {
        event.incident.as_ref().is_some_and(|it| it.pages.iter().all(|page| page.state == 3))
    };
    let event = bench.event(delivered).await;
    let channels: Vec<String> =
        event.incident.unwrap().pages.into_iter().map(|page| page.channel).collect();
    assert_eq!(channels, ["dingtalk", "feishu", "pagerduty", "slack", "wecom"]);
}

#[tokio::test]
async fn a_refusal_under_status_200_is_a_failure_and_the_next_step_does_not_wait() {
    for (kind, path, answer, code) in [
        (
            "dingtalk",
            "/robot/send",
            r#"{"errcode":310000,"errmsg":"keywords not in content"}"#,
            "310000",
        ),
        ("dingtalk", "/robot/send", r#"{"errcode":"460101","errmsg":"too large"}"#, "460101"),
        (
            "wecom",
            "/cgi-bin/webhook/send",
            r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#,
            "93000",
        ),
        (
            "feishu",
            "/open-apis/bot/v2/hook/x",
            r#"{"code":19021,"msg":"sign match fail"}"#,
            "19021",
        ),
        ("slack", "/slack/x", "invalid_blocks", "invalid_blocks"),
    ] {
        let bench = robot_then_floor(kind, path).await;
        let _service = bench.start().await;
        bench.receiver.say(answer);
        bench.signal(bench.urgent("s1", "c1")).await;
        assert!(bench.receiver.next().await.target.starts_with(path));
        let floor: Value = bench.receiver.next().await.json();
        assert_eq!(floor["data"]["page"]["reason"], "step_failed", "{kind}");
        let failed = bench.told(Type::DeliveryFailed, "c1").await;
        assert!(failed.note.contains(code), "{}", failed.note);
    }
}

#[tokio::test]
async fn a_robot_that_is_deaf_for_ten_minutes_is_left_alone_and_the_next_step_is_taken() {
    let bench = robot_then_floor("dingtalk", "/robot/send").await;
    let _service = bench.start().await;
    bench.receiver.say(r#"{"errcode":130101,"errmsg":"send too fast"}"#);
    bench.signal(bench.urgent("s1", "c1")).await;
    assert!(bench.receiver.next().await.target.starts_with("/robot"));
    bench.entry(result_of(1)).await;
    bench.wait_ms(61_000);
    let floor = bench.receiver.next().await;
    assert_eq!(floor.json()["data"]["page"]["reason"], "next_step");
    bench.told(Type::Paged, "c1").await;
    // Past the schedule of retries, not yet past the penalty.
    bench.wait_ms(500_000);
    bench.told(Type::Escalated, "c1").await;
    bench.wait_ms(60_000);
    let again = bench.receiver.next().await;
    assert!(again.target.starts_with("/robot"), "{}", again.target);
}

#[tokio::test]
async fn an_overloaded_robot_is_tried_again_until_it_takes_the_page() {
    let bench = robot_then_floor("slack", "/slack/x").await;
    let _service = bench.start().await;
    bench.receiver.answer(&[(500, None), (429, Some("7"))]);
    bench.signal(bench.urgent("s1", "c1")).await;
    for (attempt, wait_ms) in [(1, 3_000), (2, 7_100)] {
        bench.receiver.next().await;
        bench.entry(result_of(attempt)).await;
        bench.wait_ms(wait_ms);
    }
    assert!(bench.receiver.next().await.target.starts_with("/slack"));
    let paged = bench.told(Type::Paged, "c1").await;
    assert_eq!(paged.page.unwrap().attempts, 3);
}

#[tokio::test]
async fn a_storm_of_incidents_is_told_to_a_robot_within_its_limit() {
    let bench = robot_then_floor("dingtalk", "/robot/send").await;
    let _service = bench.start().await;
    for number in 0..30 {
        bench.signal(bench.urgent(&format!("s{number}"), &format!("conv-{number}"))).await;
    }
    for number in 0..30 {
        bench.told(Type::Triggered, &format!("conv-{number}")).await;
    }
    let mut told = String::new();
    let told_of_all = |told: &str| (0..30).all(|number| told.contains(&format!("conv-{number} ")));
    let (mut messages, mut waited) = (0, false);
    while !told_of_all(&told) {
        if messages == 20 && !waited {
            // All of them were sent before a minute had passed; no other one comes until then.
            assert!(
                !bench.receiver.rest().await.iter().any(|page| page.target.starts_with("/robot"))
            );
            bench.wait_ms(65_001);
            waited = true;
        }
        let page = bench.receiver.next().await;
        if !page.target.starts_with("/robot") {
            continue;
        }
        messages += 1;
        told += &page.json()["markdown"]["text"].as_str().unwrap().replace(['\n', '*'], " ");
        told.push(' ');
    }
    for number in 0..30 {
        bench.told(Type::Paged, &format!("conv-{number}")).await;
    }
}

#[tokio::test]
async fn every_attempt_can_be_looked_up_with_what_the_provider_said() {
    let bench = robot_then_floor("dingtalk", "/robot/send?access_token=t0ken-1").await;
    let service = bench.start().await;
    bench.receiver.say(r#"{"errcode":-1,"errmsg":"busy, call 13800138000 about t0ken-1"}"#);
    bench.signal(bench.urgent("s1", "c1")).await;
    bench.receiver.next().await;
    bench.entry(result_of(1)).await;
    bench.wait_ms(3_000);
    bench.receiver.next().await;
    let incident = bench.told(Type::Paged, "c1").await.incident.unwrap();
    let both = |body: &Value| body["attempts"].as_array().map(Vec::len) == Some(2);
    let body = service.until(&format!("/v1/incidents/{}", incident.incident_id), both).await;
    let [first, second] = &body["attempts"].as_array().unwrap()[..] else { panic!("{body}") };
    assert_eq!((&first["outcome"], &first["code"]), (&"failed".into(), &"-1".into()));
    assert_eq!(first["destination"], "robot");
    let excerpt = first["excerpt"].as_str().unwrap();
    assert_eq!(excerpt, r#"{"errcode":-1,"errmsg":"busy, call [PHONE] about ***"}"#);
    assert_eq!((&second["outcome"], &second["attempt"]), (&"delivered".into(), &2.into()));
    for value in bench.all(zhili_eventlog::topics::ESCALATION).await {
        assert!(!String::from_utf8_lossy(&value).contains("13800138000"));
    }
}

#[tokio::test]
async fn a_destination_is_tried_out_before_it_is_needed() {
    let bench = robot_then_floor("dingtalk", "/robot/send").await;
    let service = bench.start().await;
    let test = |name: &str| format!("/v1/destinations/{name}:test");
    let configured = async || service.post(&test("robot"), serde_json::json!({})).await;
    let (status, answer) = configured().await;
    assert_eq!((status, &answer["outcome"]), (200, &"delivered".into()), "{answer}");
    let message = bench.receiver.next().await.json();
    assert!(message["markdown"]["title"].as_str().unwrap().contains("测试"), "{message}");
    bench.receiver.say(r#"{"errcode":310000,"errmsg":"keywords not in content"}"#);
    let (_, answer) = configured().await;
    assert_eq!((&answer["outcome"], &answer["code"]), (&"rejected".into(), &"310000".into()));
    assert_eq!(service.post(&test("nobody"), serde_json::json!({})).await.0, 404);
    let path = test("robot");
    assert_eq!(service.post_as(&service.publisher, &path, serde_json::json!({})).await.0, 403);
    assert_eq!(service.post_as(&service.stranger, &path, serde_json::json!({})).await.0, 404);
}

#[tokio::test]
async fn a_page_is_sent_once_more_when_a_person_wants_it() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    bench.signal(bench.urgent("s1", "c1")).await;
    let first = bench.receiver.next().await;
    let incident = bench.told(Type::Paged, "c1").await.incident.unwrap().incident_id;
    let path = format!("/v1/incidents/{incident}:redeliver");
    let body = serde_json::json!({ "page_id": first.id(), "note": "lost", "command_id": "once" });
    for _ in 0..2 {
        let (status, answer) = service.post(&path, body.clone()).await;
        assert_eq!(status, 200, "{answer}");
    }
    let again = bench.receiver.next().await;
    assert_ne!(again.id(), first.id(), "the receiver is not to take it for a copy");
    assert_eq!(again.json()["data"]["page"]["redelivery_of"], first.id());
    let told = bench.told(Type::Redelivered, "c1").await;
    assert_eq!((told.actor.as_str(), told.note.as_str()), ("mei", "lost"));
    let both = |body: &Value| body["attempts"].as_array().map(Vec::len) == Some(2);
    service.until(&format!("/v1/incidents/{incident}"), both).await;
    assert!(bench.receiver.rest().await.is_empty(), "once for one command");
    for (page_id, status) in [("ntf_aaaaaaaaaaaaaaaaaaaaaaaaaa", 404), ("the last one", 400)] {
        let body = serde_json::json!({ "page_id": page_id });
        assert_eq!(service.post(&path, body).await.0, status);
    }
}

#[tokio::test]
async fn pagerduty_is_told_when_somebody_answers_and_when_it_is_over() {
    let bench = Bench::new().await;
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "R0UT1NG").unwrap();
    let key = format!("routing_key = 'file:{}'", key.path().display());
    bench.configure("default", &destination(&bench, "pd", "pagerduty", "/v2/enqueue", &key)).await;
    let service = bench.start().await;
    bench.signal(bench.urgent("s1", "c1")).await;
    let trigger = bench.receiver.next().await.json();
    let incident = bench.told(Type::Paged, "c1").await.incident.unwrap().incident_id;
    assert_eq!(
        (&trigger["event_action"], &trigger["dedup_key"]),
        (&"trigger".into(), &incident.as_str().into())
    );
    for action in ["acknowledge", "resolve"] {
        let path = format!("/v1/incidents/{incident}:{action}");
        assert_eq!(service.post(&path, serde_json::json!({})).await.0, 200);
        let told = bench.receiver.next().await.json();
        assert_eq!(told["event_action"], action);
        assert_eq!(told["dedup_key"], incident.as_str());
    }
}
