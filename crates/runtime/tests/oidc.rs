//! Tokens of an identity provider, which a server of the test plays.
#![allow(clippy::unwrap_used, reason = "what helps the tests may fail as they may")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use zhili_runtime::ErrorCode;
use zhili_runtime::auth::{Authenticator, OidcSettings, Permission, Role, Tenant};

/// Seconds since the Unix epoch, of whenever.
const NOW: u64 = 1_800_000_000;

#[derive(Clone)]
struct Provider {
    issuer: String,
    keys: Arc<Mutex<Vec<Value>>>,
    asked: Arc<AtomicUsize>,
    down: Arc<AtomicBool>,
}

struct Key {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl Key {
    fn new(id: &'static str) -> Self {
        let (random, how) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let document = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(how, document.as_ref(), &random).unwrap();
        Self { id, pair }
    }

    fn public(&self) -> Value {
        // An uncompressed point: 4, then the coordinates.
        let point = &self.pair.public_key().as_ref()[1..];
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[..32]), URL_SAFE_NO_PAD.encode(&point[32..]));
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id,
            "x": x, "y": y })
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({ "alg": "ES256", "typ": "JWT", "kid": self.id }), claims)
    }

    fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl Provider {
    async fn start(keys: &[&Key]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Self {
            issuer: format!("http://{}/shop", listener.local_addr().unwrap()),
            keys: Arc::default(),
            asked: Arc::default(),
            down: Arc::default(),
        };
        provider.publish(keys);
        let discovery = async |State(it): State<Self>| {
            Json(json!({ "issuer": it.issuer, "jwks_uri": format!("{}/keys", it.issuer) }))
        };
        let published = async |State(it): State<Self>| {
            it.asked.fetch_add(1, Ordering::SeqCst);
            if it.down.load(Ordering::SeqCst) {
                return Err(StatusCode::BAD_GATEWAY);
            }
            let keys = it.keys.lock().unwrap().clone();
            Ok(Json(json!({ "keys": keys })))
        };
        let router = Router::new()
            .route("/shop/.well-known/openid-configuration", get(discovery))
            .route("/shop/keys", get(published))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider
    }

    fn publish(&self, keys: &[&Key]) {
        *self.keys.lock().unwrap() = keys.iter().map(|key| key.public()).collect();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn settings(&self) -> OidcSettings {
        OidcSettings {
            issuer: self.issuer.clone(),
            audience: BTreeSet::from(["zhili".to_owned()]),
            tenant_claim: "zhili.tenant".to_owned(),
            roles: BTreeMap::from([
                ("leads".to_owned(), Role::Supervisor),
                ("checkers".to_owned(), Role::Qa),
            ]),
            ..OidcSettings::default()
        }
    }

    fn auth(&self) -> Authenticator {
        Authenticator::with_provider(None, &self.settings()).unwrap()
    }

    fn claims(&self) -> Value {
        json!({
            "iss": self.issuer, "aud": "zhili", "sub": "mei", "exp": NOW + 300, "iat": NOW - 5,
            "zhili": { "tenant": "hongqiao" }, "groups": ["leads", "choir"],
        })
    }

    /// The claims, some of them others.
    fn but(&self, others: &Value) -> Value {
        let mut claims = self.claims();
        claims.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
        claims
    }
}

async fn code(auth: &Authenticator, token: &str, now: u64) -> Option<ErrorCode> {
    let header = format!("Bearer {token}");
    auth.authenticate(Some(&header), now).await.err().map(|error| error.code)
}

const REFUSED: Option<ErrorCode> = Some(ErrorCode::Unauthenticated);

/// Lets time pass for what waits, without waiting.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_token_opens_the_tenant_and_the_roles_that_its_claims_name() {
    let key = Key::new("k1");
    let provider = Provider::start(&[&key]).await;
    let header = format!("Bearer {}", key.sign(&provider.claims()));
    let principal = provider.auth().authenticate(Some(&header), NOW).await.unwrap();
    assert_eq!((principal.name.as_str(), principal.tenant.as_str()), ("mei", "hongqiao"));
    assert_eq!(principal.roles, BTreeSet::from([Role::Supervisor]));
    principal.require(Permission::Incidents).unwrap();
    principal.require(Permission::Library).unwrap_err();
}

#[tokio::test]
async fn a_token_that_is_wrong_in_one_thing_opens_nothing() {
    let (key, other) = (Key::new("k1"), Key::new("k1"));
    let provider = Provider::start(&[&key]).await;
    let auth = provider.auth();
    let right = provider.claims();
    assert_eq!(code(&auth, &key.sign(&right), NOW).await, None);
    for (what, claims) in [
        ("issuer", json!({ "iss": "https://id.example" })),
        ("audience", json!({ "aud": ["shop", "till"] })),
        ("no audience", json!({ "aud": null })),
        ("tenant", json!({ "zhili": { "tenant": "Hongqiao/../x" } })),
        ("no tenant", json!({ "zhili": null })),
        ("groups", json!({ "groups": ["choir"] })),
        ("no groups", json!({ "groups": null })),
        ("name", json!({ "sub": "" })),
        ("two lines", json!({ "sub": "mei\nadmin" })),
        ("expiry", json!({ "exp": "tomorrow" })),
        ("expired", json!({ "exp": NOW - 61 })),
        ("early", json!({ "nbf": NOW + 61 })),
        ("of the future", json!({ "iat": NOW + 61 })),
    ] {
        assert_eq!(code(&auth, &key.sign(&provider.but(&claims)), NOW).await, REFUSED, "{what}");
    }
    // The provider's clock may be a minute off.
    for claims in [json!({ "exp": NOW - 59 }), json!({ "nbf": NOW + 59, "iat": NOW + 59 })] {
        assert_eq!(code(&auth, &key.sign(&provider.but(&claims)), NOW).await, None);
    }
    assert_eq!(code(&auth, &other.sign(&right), NOW).await, REFUSED, "another key's signature");
    let token = key.sign(&right);
    let cut = token.rsplit_once('.').unwrap().0;
    for token in [format!("{cut}."), cut.to_owned(), "a.b.c".to_owned(), "..".to_owned()] {
        assert_eq!(code(&auth, &token, NOW).await, REFUSED, "{token}");
    }
}

#[tokio::test]
async fn a_token_cannot_choose_how_it_is_checked() {
    let key = Key::new("k1");
    let provider = Provider::start(&[&key]).await;
    let auth = provider.auth();
    let claims = provider.claims();
    for algorithm in ["none", "HS256", "HS512", "RS256", "PS256", "ES384", "EdDSA", ""] {
        let header = json!({ "alg": algorithm, "typ": "JWT", "kid": "k1" });
        assert_eq!(code(&auth, &key.sign_as(&header, &claims), NOW).await, REFUSED, "{algorithm}");
    }
    // The public key as the secret that both know, which checks that follow the header believe.
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({ "alg": "HS256", "typ": "JWT", "kid": "k1" });
    let message = format!("{}.{}", part(&header), part(&claims));
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.pair.public_key().as_ref());
    let signature = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&secret, message.as_bytes()));
    assert_eq!(code(&auth, &format!("{message}.{signature}"), NOW).await, REFUSED);
}

#[tokio::test]
async fn a_new_key_counts_with_the_first_token_of_it_and_an_old_one_not_for_long() {
    let (old, new) = (Key::new("k1"), Key::new("k2"));
    let provider = Provider::start(&[&old]).await;
    let auth = provider.auth();
    assert_eq!(code(&auth, &old.sign(&provider.claims()), NOW).await, None);
    assert_eq!(provider.asked(), 1);
    provider.publish(&[&new]);
    pass(11).await;
    assert_eq!(code(&auth, &new.sign(&provider.claims()), NOW).await, None);
    assert_eq!(provider.asked(), 2);
    assert_eq!(code(&auth, &old.sign(&provider.claims()), NOW).await, REFUSED);

    provider.publish(&[]);
    assert_eq!(code(&auth, &new.sign(&provider.claims()), NOW).await, None);
    pass(301).await;
    assert_eq!(code(&auth, &new.sign(&provider.claims()), NOW).await, REFUSED);
}

#[tokio::test]
async fn the_provider_is_not_asked_for_every_token_that_somebody_makes_up() {
    let key = Key::new("k1");
    let provider = Provider::start(&[&key]).await;
    let auth = provider.auth();
    let claims = provider.claims();
    let guesses: Vec<String> = (0..50)
        .map(|n| key.sign_as(&json!({ "alg": "ES256", "kid": format!("guess-{n}") }), &claims))
        .collect();
    let asking = guesses.iter().map(|token| code(&auth, token, NOW));
    assert!(futures::future::join_all(asking).await.iter().all(|code| *code == REFUSED));
    assert_eq!(provider.asked(), 1);
    pass(11).await;
    let asking = guesses.iter().map(|token| code(&auth, token, NOW));
    futures::future::join_all(asking).await;
    assert_eq!(provider.asked(), 2);
}

#[tokio::test]
async fn while_the_provider_is_away_the_keys_of_before_count_for_a_day() {
    let key = Key::new("k1");
    let provider = Provider::start(&[&key]).await;
    let token = key.sign(&provider.claims());
    let auth = provider.auth();
    provider.down.store(true, Ordering::SeqCst);
    assert_eq!(code(&auth, &token, NOW).await, Some(ErrorCode::Unavailable));
    provider.down.store(false, Ordering::SeqCst);
    pass(11).await;
    assert_eq!(code(&auth, &token, NOW).await, None);
    provider.down.store(true, Ordering::SeqCst);
    pass(3_600).await;
    assert_eq!(code(&auth, &token, NOW).await, None);
    pass(24 * 3_600).await;
    assert_eq!(code(&auth, &token, NOW).await, Some(ErrorCode::Unavailable));
}

#[tokio::test]
async fn a_discovery_document_of_another_issuer_is_not_believed() {
    let key = Key::new("k1");
    let provider = Provider::start(&[&key]).await;
    // The same server by another name.
    let issuer = provider.issuer.replace("127.0.0.1", "localhost");
    let settings = OidcSettings { issuer: issuer.clone(), ..provider.settings() };
    let auth = Authenticator::with_provider(None, &settings).unwrap();
    let token = key.sign(&provider.but(&json!({ "iss": issuer })));
    assert_eq!(code(&auth, &token, NOW).await, Some(ErrorCode::Unavailable));
    let jwks_url = format!("{}/keys", provider.issuer);
    let settings = OidcSettings { jwks_url, ..settings };
    let auth = Authenticator::with_provider(None, &settings).unwrap();
    assert_eq!(code(&auth, &token, NOW).await, None);
}

#[test]
fn settings_that_would_let_in_too_many_are_refused_by_name() {
    let good = OidcSettings {
        issuer: "https://id.example".to_owned(),
        audience: BTreeSet::from(["zhili".to_owned()]),
        tenant: Some(Tenant::default_tenant()),
        roles: BTreeMap::from([("leads".to_owned(), Role::Supervisor)]),
        ..OidcSettings::default()
    };
    let told = |settings: OidcSettings| {
        let refused = Authenticator::with_provider(None, &settings).map(|_| ());
        refused.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(told(good.clone()), "");
    for (setting, bad) in [
        ("issuer", OidcSettings { issuer: "http://id.example".to_owned(), ..good.clone() }),
        ("jwks_url", OidcSettings { jwks_url: "http://id.example/k".to_owned(), ..good.clone() }),
        ("audience", OidcSettings { audience: BTreeSet::new(), ..good.clone() }),
        ("algorithms", OidcSettings { algorithms: BTreeSet::new(), ..good.clone() }),
        ("leeway_s", OidcSettings { leeway_s: 301, ..good.clone() }),
        ("tenant", OidcSettings { tenant: None, ..good.clone() }),
        ("tenant", OidcSettings { tenant_claim: "t".to_owned(), ..good.clone() }),
        ("roles", OidcSettings { roles: BTreeMap::new(), ..good.clone() }),
    ] {
        let told = told(bad);
        assert!(told.starts_with(&format!("auth.oidc.{setting}: ")), "{setting}: {told}");
    }
}
