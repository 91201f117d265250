//! Every body of a platform of which ingest has a fixture, sent twice to a running system by the means
//! that its platform has to prove itself.

use std::path::Path;

use reqwest::RequestBuilder;
use ring::hmac;
use serde_json::{Value, json};
use tempfile::TempDir;
use zhili_eventlog::system_clock;
use zhili_ingest::adapters::Platform;
use zhili_proto::{Timestamp, millis};
use zhili_redact::{KeyRing, Subject, mask};
use zhili_tests::{Options, System, has_library};

const TENANT: &str = "default";

/// After everything in the fixtures but what ingest's own clock tells, 2026-03-02 11:59 UTC.
const CLOCK_MS: i64 = 1_772_452_740_000;

/// A fixture under a source of its own, for the cases of a platform share their identities.
struct Case {
    platform: Platform,
    source: String,
    name: String,
    body: String,
    business: Option<String>,
    /// `None` where the body as a whole cannot be read.
    told: Option<Vec<Value>>,
}

fn cases() -> Vec<Case> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/ingest/tests/data/adapters");
    let of_platform = |platform: Platform| {
        let file = folder.join(format!("{}.json", platform.name()));
        let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        cases.into_iter().enumerate().map(move |(place, case)| Case {
            platform,
            source: format!("{}-{place}", platform.name()),
            name: format!("{}: {}", platform.name(), case["case"]),
            body: case["text"].as_str().map_or_else(|| case["body"].to_string(), str::to_owned),
            business: case["given"]["business"].as_str().map(str::to_owned),
            told: case["events"].as_array().cloned(),
        })
    };
    Platform::ALL.into_iter().flat_map(of_platform).collect()
}

impl Case {
    fn events(&self) -> impl Iterator<Item = &Value> {
        self.told.iter().flatten().filter(|told| told["rejected"].is_null())
    }

    fn rejected(&self) -> Vec<&str> {
        self.told.iter().flatten().filter_map(|told| told["rejected"].as_str()).collect()
    }

    /// What ingest answers: one outcome for a body, and within it one for each event.
    fn status(&self) -> u16 {
        let told = self.told.as_ref();
        let taken = told.is_some_and(|told| told.is_empty() || self.events().next().is_some());
        if taken { 200 } else { 400 }
    }

    /// Whether Firehose brings it, which wants an answer in its own words.
    fn of_firehose(&self) -> bool {
        self.platform == Platform::ContactLens && self.body.contains("requestId")
    }

    /// The request with what the platform proves itself by.
    fn proven(&self, request: RequestBuilder, secrets: &Secrets) -> RequestBuilder {
        let token = &secrets.token;
        match self.platform {
            Platform::Chatwoot => {
                let at = (system_clock()() / 1000).to_string();
                let tag = signature(&secrets.chatwoot, &at, &self.body);
                request.header("x-chatwoot-timestamp", at).header("x-chatwoot-signature", tag)
            }
            Platform::Sunshine => request.header("x-api-key", &secrets.sunshine),
            Platform::Sca => request.bearer_auth(token),
            Platform::ContactLens if self.of_firehose() => request
                .header("x-amz-firehose-access-key", token)
                .header("x-amz-firehose-request-id", "r-1"),
            Platform::ContactLens => request.header("x-api-key", token),
        }
    }
}

/// What each platform proves itself by.
struct Secrets {
    chatwoot: String,
    sunshine: String,
    token: String,
}

/// As Chatwoot signs: the time in seconds, a full stop and the body.
fn signature(secret: &str, at: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{at}.{body}").as_bytes());
    tag.as_ref().iter().fold("sha256=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// A file for each secret that a platform makes, and the settings that name them.
fn kept(secrets: &Secrets) -> (TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let made = [("chatwoot", &secrets.chatwoot), ("sunshine", &secrets.sunshine)];
    let settings = made.map(|(platform, secret)| {
        let file = folder.path().join(platform);
        std::fs::write(&file, secret).unwrap();
        format!("{platform}=file:{}", file.display())
    });
    (folder, settings.into())
}

/// Sends a case; the status and what was said.
async fn send(
    http: &reqwest::Client,
    ingest: &str,
    case: &Case,
    secrets: &Secrets,
) -> (u16, Value) {
    let platform = case.platform.name();
    let mut url = format!("{ingest}/v1/adapters/{platform}?source={}", case.source);
    if let Some(business) = &case.business {
        url += &format!("&business={business}");
    }
    let request = http.post(url).body(case.body.clone());
    let answer = case.proven(request, secrets).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// What ingest said of a case must be what its fixture says.
fn check_answer(case: &Case, status: u16, answer: &Value) {
    let name = &case.name;
    assert_eq!(status, case.status(), "{name}: {answer}");
    if status == 200 && case.of_firehose() {
        assert_eq!(answer["requestId"], "r-1", "{name}: {answer}");
        return;
    }
    let results = answer["results"].as_array().map_or(&[][..], Vec::as_slice);
    assert_eq!(results.len(), case.told.as_ref().map_or(0, Vec::len), "{name}: {answer}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rejections = results.iter().map(|it| &it["rejection"]).filter(|it| it.is_object());
    let rejected: Vec<_> =
        rejections.map(|it| format!("{}: {}", text(&it["field"]), text(&it["message"]))).collect();
    assert_eq!(rejected, case.rejected(), "{name}");
}

/// What a view shows of an event that is as its fixture has it: pseudonyms in place of ids, masks in
/// place of what is personal.
fn expected(case: &Case, event: &Value, ring: &KeyRing) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = |subject, id: &Value| {
        id.as_str().map_or_else(String::new, |id| ring.name(TENANT, subject, id))
    };
    let author = &event["author"];
    let subject = if author["role"] == "customer" { Subject::Customer } else { Subject::Author };
    let sent_at: Timestamp = serde_json::from_value(event["sent_at"].clone()).unwrap();
    let sent_ms = millis(&sent_at).unwrap();
    json!({
        "source": case.source,
        "event_id": event["event_id"],
        "type": event["type"],
        "conversation_id": name(Subject::Conversation, &event["conversation_id"]),
        "author": name(subject, &author["id"]),
        "role": text(&author["role"]),
        "subtype": text(&author["subtype"]),
        "text": mask(&text(&event["text"])).text,
        "target": text(&event["target"]),
        "status": text(&event["status"]),
        "private": event["private"] == true,
        "attachments": text(&event["attrs"]["attachments"]),
        // What ingest's clock tells is another time than the fixture's.
        "sent_ms": if sent_ms < CLOCK_MS { json!(sent_ms) } else { json!(null) },
    })
}

/// Sorted by what tells events apart.
fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(|row| (row["source"].to_string(), row["event_id"].to_string()));
    rows
}

/// Every event, as [`expected`] has it.
async fn rows(system: &System) -> Vec<Value> {
    let sql = format!(
        "SELECT source, event_id, type, conversation_id, author, role, subtype, text, target, status, \
         private, attrs['attachments'] AS attachments, \
         if(toUnixTimestamp64Milli(sent_at) < {CLOCK_MS}, toUnixTimestamp64Milli(sent_at), NULL) AS sent_ms \
         FROM v_events"
    );
    sorted(system.tables().rows(&sql).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_platforms_send_by_themselves_is_taken_once_and_what_nobody_sent_is_not() {
    let test = "what_platforms_send_by_themselves_is_taken_once_and_what_nobody_sent_is_not";
    if !has_library(test) {
        return;
    }
    let mut secrets = Secrets {
        chatwoot: "made by an installation of Chatwoot".to_owned(),
        sunshine: "made by an app of Sunshine".to_owned(),
        token: String::new(),
    };
    let (_folder, senders) = kept(&secrets);
    let system = System::start(Options { senders, ..Options::default() });
    let made = system.run(&["token", "create", "desk", "--role", "publisher"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    secrets.token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let (http, ingest, cases) = (reqwest::Client::new(), system.url(0), cases());

    let strangers = Secrets {
        chatwoot: "of another installation".to_owned(),
        sunshine: "of another app".to_owned(),
        token: "zhili_of_nobody".to_owned(),
    };
    for case in &cases {
        let (status, answer) = send(&http, &ingest, case, &strangers).await;
        assert_eq!(status, 401, "{}: {answer}", case.name);
    }
    for _ in 0..2 {
        for case in &cases {
            let (status, answer) = send(&http, &ingest, case, &secrets).await;
            check_answer(case, status, &answer);
        }
    }
    system.settle().await;

    let ring = std::fs::read(system.path().join("pseudonym.key")).unwrap();
    let ring = KeyRing::parse(&ring).unwrap();
    let events = cases.iter().flat_map(|case| case.events().map(move |event| (case, event)));
    let expected = sorted(events.map(|(case, event)| expected(case, event, &ring)).collect());
    let found = rows(&system).await;
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
    let masked = found.iter().filter(|row| row["text"] == "我的手机号是[PHONE]").count();
    assert_eq!(masked, Platform::ALL.len(), "a platform without a telephone number");
    assert_eq!(system.tables().duplicates().await, 0);
    let letters = "SELECT count() FROM dead_letters FINAL";
    assert_eq!(system.tables().number(letters).await, 0, "sent again is no conflict");
}
