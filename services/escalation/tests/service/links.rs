//! The page that a card's link opens.

use reqwest::Method;
use reqwest::redirect::Policy;
use zhili_escalation::Config;
use zhili_eventlog::testkit::fused::Fuse;
use zhili_proto::escalation::v1::incident_event::Type;
use zhili_runtime::config::Secret;

use crate::bench::{Bench, Service};

const PUBLIC: &str = "https://page.zhili.example";

fn config() -> Config {
    Config {
        public_url: PUBLIC.to_owned(),
        link_secret: Secret::new("0123456789abcdef0123456789abcdef"),
        link: "https://zhili.example/incidents/{incident_id}".to_owned(),
        ..Config::default()
    }
}

/// Status, content security policy and text of a request that nobody is logged in for.
async fn ask(service: &Service, method: Method, path: &str) -> (u16, String, String) {
    let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let request = client.request(method, service.url(path)).header("accept-language", "en");
    let response = request.send().await.unwrap();
    let policy = response.headers().get("content-security-policy");
    let policy = policy.map(|policy| policy.to_str().unwrap().to_owned()).unwrap_or_default();
    (response.status().as_u16(), policy, response.text().await.unwrap())
}

/// The path of the link of the first page.
async fn paged(bench: &Bench) -> String {
    bench.signal(bench.urgent("s1", "c1")).await;
    let page = bench.receiver.next().await.json();
    bench.told(Type::Paged, "c1").await;
    let link = page["data"]["link"].as_str().unwrap();
    link.strip_prefix(PUBLIC).unwrap().to_owned()
}

#[tokio::test]
async fn whoever_was_paged_acknowledges_by_a_button_and_looking_changes_nothing() {
    let bench = Bench::with_floor().await;
    let service = bench.start_with(&Fuse::never(), config()).await;
    let path = paged(&bench).await;
    for _ in 0..2 {
        let (status, policy, html) = ask(&service, Method::GET, &path).await;
        assert_eq!(status, 200, "{html}");
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert!(html.contains("Waiting for somebody") && html.contains("我要打12315"), "{html}");
    }
    let acknowledge = format!("{path}/acknowledge");
    assert_eq!(ask(&service, Method::GET, &acknowledge).await.0, 405);
    // A second tap does no more.
    for _ in 0..2 {
        let (status, _, html) = ask(&service, Method::POST, &acknowledge).await;
        assert_eq!(status, 303, "{html}");
    }
    let told = bench.told(Type::Acknowledged, "c1").await;
    assert_eq!(told.actor, "link:floor");
    let (_, _, html) = ask(&service, Method::GET, &path).await;
    assert!(html.contains("Acknowledged by link:floor"), "{html}");
    let (status, ..) = ask(&service, Method::POST, &format!("{path}/resolve")).await;
    assert_eq!(status, 303);
    bench.told(Type::Resolved, "c1").await;
    let acknowledged =
        bench.events().await.iter().filter(|event| event.r#type() == Type::Acknowledged).count();
    assert_eq!(acknowledged, 1);
}

#[tokio::test]
async fn an_incident_that_somebody_else_has_says_so() {
    let bench = Bench::with_floor().await;
    let service = bench.start_with(&Fuse::never(), config()).await;
    let path = paged(&bench).await;
    let id = service.incidents().await[0]["incident_id"].as_str().unwrap().to_owned();
    let body = serde_json::json!({});
    assert_eq!(service.post(&format!("/v1/incidents/{id}:acknowledge"), body).await.0, 200);
    let (status, _, html) = ask(&service, Method::POST, &format!("{path}/acknowledge")).await;
    assert_eq!(status, 409);
    assert!(html.contains("mei has acknowledged it already"), "{html}");
}

#[tokio::test]
async fn a_link_that_is_old_or_made_up_opens_nothing() {
    let bench = Bench::with_floor().await;
    let service = bench.start_with(&Fuse::never(), config()).await;
    let path = paged(&bench).await;
    let forged = format!("{}A", &path[..path.len() - 1]);
    let forged = if forged == path { format!("{path}A") } else { forged };
    for method in [Method::GET, Method::POST] {
        let suffix = if method == Method::POST { "/resolve" } else { "" };
        let (status, ..) = ask(&service, method.clone(), &format!("{forged}{suffix}")).await;
        assert_eq!(status, 404);
    }
    bench.wait_ms(4 * 60 * 60_000);
    let (status, _, html) = ask(&service, Method::GET, &path).await;
    assert_eq!(status, 410, "{html}");
    assert_eq!(ask(&service, Method::POST, &format!("{path}/resolve")).await.0, 410);
}

#[tokio::test]
async fn a_calendar_program_reads_a_schedule_by_its_link_without_a_token() {
    let bench = Bench::new().await;
    let schedule = "[escalation.teams.default.schedules.day]\ntz = 'Asia/Shanghai'\n\
        [[escalation.teams.default.schedules.day.layers]]\nmembers = ['floor']\n\
        rotation = 'weekly'\nstarts = '2020-01-06T09:00'\n\
        [[escalation.teams.default.policies.default.steps]]\non_call = ['day']\n";
    bench.configure("default", &format!("{}{schedule}", bench.floor())).await;
    let service = bench.start_with(&Fuse::never(), config()).await;
    let (_, answer) = service.get("/v1/on-call").await;
    let url = answer["schedules"][0]["calendar_url"].as_str().unwrap();
    let path = url.strip_prefix(PUBLIC).unwrap();
    let (status, _, calendar) = ask(&service, Method::GET, path).await;
    assert_eq!(status, 200, "{calendar}");
    assert!(calendar.contains("SUMMARY:floor"), "{calendar}");
    let (status, _, refusal) = ask(&service, Method::GET, &format!("{path}x")).await;
    assert_eq!(status, 404, "{refusal}");
}
