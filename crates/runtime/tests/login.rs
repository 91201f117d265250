//! A browser that logs in at an identity provider, hop by hop.
#![allow(clippy::unwrap_used, reason = "what helps the tests may fail as they may")]

mod provider;

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use axum::extract::Query;
use http::{StatusCode, Uri};
use provider::{CLIENT, Key, Provider, SECRET};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use zhili_runtime::auth::Authenticator;
use zhili_runtime::{Context, Server, Sessions};

/// A server whose console people log into, and its provider.
struct Stage {
    address: String,
    provider: Provider,
    http: reqwest::Client,
    shutdown: CancellationToken,
    _secret: tempfile::NamedTempFile,
}

/// Where a browser is sent, and what it is given to keep.
struct Hop {
    location: String,
    cookies: Vec<String>,
}

impl Hop {
    /// The value of a cookie, empty when it is taken away.
    fn cookie(&self, name: &str) -> &str {
        let of = |it: &String| it.starts_with(&format!("{name}="));
        let cookie = self.cookies.iter().find(|it| of(it)).unwrap();
        cookie.split(';').next().unwrap()
    }

    fn query(&self) -> HashMap<String, String> {
        let uri: Uri = self.location.parse().unwrap();
        Query::try_from_uri(&uri).unwrap().0
    }
}

impl Stage {
    async fn start() -> Self {
        let key = Key::new("k1");
        let provider = Provider::start(&[&key]).await;
        provider.sign_with(key);
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), format!("{SECRET}\n")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let settings = provider.login_settings(&address, secret.path());
        let auth = Authenticator::with_provider(None, &settings).unwrap();
        let shutdown = CancellationToken::new();
        let context = Context::new(shutdown.clone(), auth.clone());
        let server = Server::default().sessions(Sessions::new(auth));
        tokio::spawn(async move { server.serve(listener, &context).await.unwrap() });
        let http =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { address, provider, http, shutdown, _secret: secret }
    }

    async fn hop(&self, url: &str, cookie: &str) -> Hop {
        let url =
            if url.starts_with('/') { format!("{}{url}", self.address) } else { url.to_owned() };
        let answer = self.http.get(url).header("cookie", cookie).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        Hop {
            location: text(&answer.headers()["location"]),
            cookies: answer.headers().get_all("set-cookie").iter().map(text).collect(),
        }
    }

    /// Goes to the provider and follows a link of its page: where that leads, and the cookie of the
    /// attempt.
    async fn visit(&self, path: &str, link: &str) -> (String, String) {
        let sent = self.hop(&format!("/login?path={path}"), "").await;
        let page = self.http.get(&sent.location).send().await.unwrap().text().await.unwrap();
        let (_, rest) = page.split_once(&format!("id=\"{link}\" href=\"")).unwrap();
        (rest.split('"').next().unwrap().to_owned(), sent.cookie("zhili_login").to_owned())
    }

    /// Logs in and says where that ends.
    async fn outcome(&self) -> String {
        let (back, cookie) = self.visit("/", "agree").await;
        self.hop(&back, &cookie).await.location
    }

    async fn who(&self, cookie: &str) -> Option<Value> {
        let url = format!("{}/session", self.address);
        let answer = self.http.get(url).header("cookie", cookie).send().await.unwrap();
        if answer.status() == StatusCode::UNAUTHORIZED {
            return None;
        }
        Some(answer.json().await.unwrap())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

#[tokio::test]
async fn whoever_the_provider_names_is_logged_in_and_where_they_wanted_to_be() {
    let stage = Stage::start().await;
    let offer = stage.http.get(format!("{}/login/provider", stage.address)).send().await.unwrap();
    assert_eq!(offer.json::<Value>().await.unwrap(), json!({ "name": "Shop ID" }));

    let sent = stage.hop("/login?path=/incidents/inc_1?lang=zh", "").await;
    assert!(sent.location.starts_with(&stage.provider.issuer), "{}", sent.location);
    let asked = sent.query();
    for (name, value) in [
        ("theme", "plain"),
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", &format!("{}/login/callback", stage.address)),
        ("scope", "openid groups"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(asked[name], value, "{name}");
    }
    for random in ["state", "nonce", "code_challenge"] {
        assert_eq!(asked[random].len(), 43, "{random}");
    }
    let cookie = sent.cookies[0].as_str();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=600"), "{cookie}");

    let (back, cookie) = stage.visit("/incidents/inc_1", "agree").await;
    let arrived = stage.hop(&back, &cookie).await;
    assert_eq!(arrived.location, "/incidents/inc_1");
    assert_eq!(arrived.cookie("zhili_login"), "zhili_login=");
    let session = arrived.cookie("zhili_session");
    let told = arrived.cookies.iter().find(|it| it.starts_with("zhili_session")).unwrap();
    assert!(told.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{told}");
    let who = stage.who(session).await.unwrap();
    assert_eq!((&who["name"], &who["tenant"]), (&json!("mei"), &json!("hongqiao")));
    assert_eq!(who["permissions"], json!(["transcripts", "aggregates", "incidents"]));

    // The same way back once more leads nowhere.
    assert_eq!(stage.hop(&back, &cookie).await.location, "/?login=expired");
}

#[tokio::test]
async fn nobody_comes_back_with_what_another_browser_began() {
    let stage = Stage::start().await;
    let (back, own) = stage.visit("/", "agree").await;
    let (_, other) = stage.visit("/", "agree").await;
    for cookie in ["", other.as_str(), "zhili_login=", "zhili_login=guess"] {
        let ended = stage.hop(&back, cookie).await;
        assert_eq!(ended.location, "/?login=expired", "{cookie}");
        assert!(!ended.cookies.iter().any(|it| it.starts_with("zhili_session")), "{cookie}");
    }
    // Behind TLS a cookie in the clear may be planted by somebody else, and does not count.
    let url = format!("{}{}", stage.address, back.strip_prefix(&stage.address).unwrap());
    let answer = stage.http.get(url).header("cookie", &own).header("x-forwarded-proto", "https");
    assert_eq!(answer.send().await.unwrap().headers()["location"], "/?login=expired");
    // A state of their own making, in the address and in the cookie.
    let made_up = "/login/callback?code=code-0&state=guess";
    assert_eq!(stage.hop(made_up, "zhili_login=guess").await.location, "/?login=expired");
    assert_eq!(stage.hop("/login/callback", "zhili_login=").await.location, "/?login=expired");
    // None of this has used up the attempt, or asked the provider again what it is.
    assert_eq!(stage.hop(&back, &own).await.location, "/");
    assert_eq!(stage.provider.discovered(), 1);
}

#[tokio::test]
async fn a_code_of_another_attempt_is_worth_nothing() {
    let stage = Stage::start().await;
    let (stolen, _) = stage.visit("/", "agree").await;
    let (back, cookie) = stage.visit("/", "agree").await;
    let code = |url: &str| url.split_once("code=").unwrap().1.split('&').next().unwrap().to_owned();
    let mixed = back.replace(&code(&back), &code(&stolen));
    // The provider compares the hash of the verifier with that of the attempt.
    assert_eq!(stage.hop(&mixed, &cookie).await.location, "/?login=provider");
    let mixed = back.replace(&format!("iss={}", stage.provider.issuer), "iss=https://evil.example");
    assert_ne!(mixed, back);
    let (_, cookie) = stage.visit("/", "agree").await;
    assert_eq!(stage.hop(&mixed, &cookie).await.location, "/?login=expired");
}

#[tokio::test]
async fn a_token_that_is_not_for_this_attempt_opens_nothing() {
    let stage = Stage::start().await;
    for (lie, word) in [
        (json!({}), None),
        (json!({ "nonce": "another" }), Some("nothing")),
        (json!({ "nonce": null }), Some("nothing")),
        (json!({ "aud": "zhili" }), Some("nothing")),
        (json!({ "aud": [CLIENT, "zhili"] }), Some("nothing")),
        (json!({ "aud": [CLIENT, "zhili"], "azp": "zhili" }), Some("nothing")),
        (json!({ "aud": [CLIENT, "zhili"], "azp": CLIENT }), None),
        (json!({ "azp": "zhili" }), Some("nothing")),
        (json!({ "iss": "https://id.example" }), Some("nothing")),
        (json!({ "exp": 1 }), Some("nothing")),
        (json!({ "groups": ["choir"] }), Some("nothing")),
    ] {
        *stage.provider.lies.lock().unwrap() = lie.clone();
        let expected = word.map_or_else(|| "/".to_owned(), |word| format!("/?login={word}"));
        assert_eq!(stage.outcome().await, expected, "{lie}");
    }
    *stage.provider.lies.lock().unwrap() = json!({});
    // Signed by somebody who calls their key by the same name.
    stage.provider.sign_with(Key::new("k1"));
    assert_eq!(stage.outcome().await, "/?login=nothing");
}

#[tokio::test]
async fn who_refuses_is_told_so_and_nobody_is_led_astray() {
    let stage = Stage::start().await;
    let (back, cookie) = stage.visit("/", "refuse").await;
    assert_eq!(stage.hop(&back, &cookie).await.location, "/?login=refused");
    for astray in ["//evil.example", "https://evil.example", "/%5Cevil.example", "/a%0d%0ab"] {
        let (back, cookie) = stage.visit(astray, "agree").await;
        assert_eq!(stage.hop(&back, &cookie).await.location, "/", "{astray}");
    }
    // Its tokens cannot be checked without its keys, which it is asked for once in a while only.
    let stage = Stage::start().await;
    stage.provider.down.store(true, Ordering::SeqCst);
    assert_eq!(stage.outcome().await, "/?login=nothing");
}

#[tokio::test]
async fn without_a_provider_nobody_is_sent_anywhere() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let auth = Authenticator::from_records(Vec::new());
    let context = Context::new(CancellationToken::new(), auth.clone());
    let server = Server::default().sessions(Sessions::new(auth));
    tokio::spawn(async move { server.serve(listener, &context).await.unwrap() });
    for (path, status) in [("", 404), ("/callback?code=x&state=y", 404), ("/provider", 200)] {
        let answer = reqwest::get(format!("{address}/login{path}")).await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }
}
