use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::NamedTempFile;
use zhili_eventlog::system_clock;
use zhili_ingest::adapters::{Platform, Sender};
use zhili_ingest::{Config, Limits};
use zhili_proto::conversation::v1::event::Mode;
use zhili_runtime::auth::Tenant;

use crate::support::{Running, event_of};

const SECRET: &str = "made by the platform";
const CHATWOOT: &str = "POST /v1/adapters/chatwoot";

/// With a secret of each platform that makes one, in a file that is read at the start.
async fn with_secrets() -> (Running, NamedTempFile) {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), SECRET).unwrap();
    let sender = |platform, tenant: &str| Sender {
        platform,
        tenant: Tenant::try_from(tenant.to_owned()).unwrap(),
        secret: format!("file:{}", file.path().display()),
    };
    let senders = vec![sender(Platform::Chatwoot, "shop"), sender(Platform::Sunshine, "store")];
    (Running::with(Config { senders, ..Config::default() }).await, file)
}

fn now_s() -> i64 {
    system_clock()() / 1000
}

fn signature(timestamp: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{timestamp}.{body}").as_bytes());
    let digits = mac.finalize().into_bytes().into_iter().map(|byte| format!("{byte:02x}"));
    format!("sha256={}", digits.collect::<String>())
}

fn webhook(text: &str) -> String {
    json!({
        "event": "message_created", "id": 9, "content": text, "message_type": "incoming",
        "created_at": now_s(), "sender": { "id": 31 }, "conversation": { "id": 42, "inbox_id": 7 },
    })
    .to_string()
}

fn batch(text: &str) -> String {
    json!({ "events": [{
        "id": "e", "type": "conversation:message", "payload": {
            "conversation": { "id": "c" },
            "message": { "id": "m", "received": now_s(), "content": { "text": text },
                "author": { "type": "user", "userId": "u" } },
        },
    }] })
    .to_string()
}

/// The keys of everything in the log: tenant and pseudonym of the conversation.
async fn tenants(service: &Running) -> Vec<String> {
    let records = service.log.records().await;
    let tenant = |key: &[u8]| {
        let key = String::from_utf8(key.to_vec()).unwrap();
        key.split_once('/').unwrap().0.to_owned()
    };
    records.iter().map(|(_, record)| tenant(record.key.as_deref().unwrap())).collect()
}

#[tokio::test]
async fn a_signed_webhook_is_taken_for_the_tenant_of_its_secret_and_masked_like_any_other() {
    let (service, _file) = with_secrets().await;
    let (body, at) = (webhook("我的手机号是16800014477"), now_s().to_string());
    let tag = signature(&at, &body);
    let headers = [("x-chatwoot-timestamp", at.as_str()), ("x-chatwoot-signature", &tag)];
    let reply = service.send(CHATWOOT, &headers, body.as_bytes()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json()["results"][0]["event_id"], "9");
    assert_eq!(tenants(&service).await, ["shop"]);
    let records = service.log.records().await;
    let event = event_of(&records[0].1);
    assert!(
        event.text.contains("我的手机号是") && !event.text.contains("16800014477"),
        "{event:?}"
    );
    assert_ne!(event.conversation_id, "7/42");
    assert_eq!((event.source.as_str(), event.mode()), ("chatwoot", Mode::Live));
    let line = "zhili_ingest_adapter_requests_total{platform=\"chatwoot\",outcome=\"events\"} 1";
    service.metric(line).await;
}

#[tokio::test]
async fn a_signature_for_another_body_or_time_lets_nobody_in() {
    let (service, _file) = with_secrets().await;
    let (body, now) = (webhook("hi"), now_s());
    let (at, old) = (now.to_string(), (now - 3600).to_string());
    let (tag, stale) = (signature(&at, &body), signature(&old, &body));
    let other = webhook("ho");
    for (at, tag, body) in [
        (at.as_str(), tag.as_str(), other.as_str()),
        (&old, &tag, &body),
        (&old, &stale, &body),
        ("", &tag, &body),
        (&at, "sha256=00", &body),
    ] {
        let headers = [
            ("x-chatwoot-timestamp", at),
            ("x-chatwoot-signature", tag),
            // No way around a signature that is wrong.
            ("authorization", service.publisher.as_str()),
        ];
        let reply = service.send(CHATWOOT, &headers, body.as_bytes()).await;
        assert_eq!(reply.status, 401, "{reply:?}");
    }
    assert!(service.log.records().await.is_empty());
}

#[tokio::test]
async fn a_shared_secret_is_taken_for_its_tenant_and_another_for_nobody() {
    let (service, _file) = with_secrets().await;
    let send = async |key: &str| {
        let headers = [("x-api-key", key)];
        service.send("POST /v1/adapters/sunshine", &headers, batch("hi").as_bytes()).await
    };
    assert_eq!(send("made by somebody else").await.status, 401);
    assert_eq!(send(SECRET).await.status, 200);
    assert_eq!(tenants(&service).await, ["store"]);
}

#[tokio::test]
async fn a_token_is_taken_where_the_platform_can_put_it() {
    let service = Running::start().await;
    let bare = |bearer: &str| bearer.strip_prefix("Bearer ").unwrap().to_owned();
    let (publisher, admin) = (bare(&service.publisher), bare(&service.admin));
    let lens = "POST /v1/adapters/contact-lens";
    for (line, headers, status) in [
        (CHATWOOT.to_owned(), vec![], 401),
        (CHATWOOT.to_owned(), vec![("authorization", service.publisher.as_str())], 200),
        (format!("{CHATWOOT}?token={publisher}"), vec![], 200),
        // Who reads an address on its way could do more than publish.
        (format!("{CHATWOOT}?token={admin}"), vec![], 403),
        (format!("{CHATWOOT}?token=zhili_wrong"), vec![], 401),
        (lens.to_owned(), vec![("x-amz-firehose-access-key", publisher.as_str())], 200),
        (lens.to_owned(), vec![("x-api-key", publisher.as_str())], 200),
        (CHATWOOT.to_owned(), vec![("x-api-key", publisher.as_str())], 401),
    ] {
        let body = if line.contains("chatwoot") { webhook("hi") } else { "[]".to_owned() };
        let reply = service.send(&line, &headers, body.as_bytes()).await;
        assert_eq!(reply.status, status, "{line} {headers:?}: {reply:?}");
        assert!(!reply.body.contains(&publisher) && !reply.body.contains(&admin), "{reply:?}");
    }
}

#[tokio::test]
async fn what_stands_behind_the_address_is_said_of_the_events() {
    let service = Running::start().await;
    let auth = [("authorization", service.publisher.as_str())];
    let line = format!("{CHATWOOT}?source=chatwoot-eu&mode=backfill");
    assert_eq!(service.send(&line, &auth, webhook("hi").as_bytes()).await.status, 200);
    let records = service.log.records().await;
    let event = event_of(&records[0].1);
    assert_eq!((event.source.as_str(), event.mode()), ("chatwoot-eu", Mode::Backfill));
    for wrong in ["tenant=other", "mode=past", "business=human"] {
        let line = format!("{CHATWOOT}?{wrong}");
        let reply = service.send(&line, &auth, webhook("hi").as_bytes()).await;
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(reply.body.contains("backfill"), "{reply:?}");
    }
}

#[tokio::test]
async fn nothing_to_do_is_no_fault_and_what_is_wrong_is_said() {
    let service = Running::start().await;
    let auth = [("authorization", service.publisher.as_str())];
    let send = async |body: Value| service.send(CHATWOOT, &auth, body.to_string().as_bytes()).await;
    let reply = send(json!({ "event": "conversation_typing_on" })).await;
    assert_eq!((reply.status, &reply.json()["accepted"]), (200, &json!(0)), "{reply:?}");
    let reply = send(json!({ "hello": "world" })).await;
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains("an object with `event`"), "{reply:?}");
    let reply = send(json!({ "event": "message_created", "id": 9 })).await;
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains("conversation.id"), "{reply:?}");
}

#[tokio::test]
async fn the_limits_of_other_bodies_are_those_of_platforms() {
    let limits = Limits { batch_bytes: 4096, batch_events: 2, ..Limits::default() };
    let service = Running::with(Config { limits, ..Config::default() }).await;
    let auth = [("authorization", service.publisher.as_str())];
    let long = webhook(&"x".repeat(5000));
    assert_eq!(service.send(CHATWOOT, &auth, long.as_bytes()).await.status, 413);
    let sentence = json!({ "role": "客户", "words": "喂", "beginTime": now_s() });
    let many = json!({ "tickets": [{ "tid": 1, "dialogue": [sentence, sentence, sentence] }] });
    let line = "POST /v1/adapters/sca";
    let reply = service.send(line, &auth, many.to_string().as_bytes()).await;
    assert_eq!(reply.status, 413, "{reply:?}");
    assert!(service.log.records().await.is_empty());
}

#[tokio::test]
async fn firehose_is_answered_in_its_own_words_and_not_at_all_while_the_log_is_away() {
    let service = Running::start().await;
    let headers =
        [("authorization", service.publisher.as_str()), ("x-amz-firehose-request-id", "r-1")];
    let body = json!({ "requestId": "r-1", "timestamp": now_s() * 1000, "records": [{
        // {"EventType":"COMPLETED","ContactId":"k"}
        "data": "eyJFdmVudFR5cGUiOiJDT01QTEVURUQiLCJDb250YWN0SWQiOiJrIn0=",
    }] })
    .to_string();
    let line = "POST /v1/adapters/contact-lens";
    service.log.fail(true);
    assert_eq!(service.send(line, &headers, body.as_bytes()).await.status, 503);
    service.log.fail(false);
    let reply = service.send(line, &headers, body.as_bytes()).await;
    assert_eq!((reply.status, &reply.json()["requestId"]), (200, &json!("r-1")), "{reply:?}");
    assert!(reply.json()["timestamp"].is_i64(), "{reply:?}");
    assert_eq!(service.log.records().await.len(), 1);
}
