//! Tokens of an identity provider, which a server of the test plays.
#![allow(clippy::unwrap_used, reason = "what helps the tests may fail as they may")]

mod provider;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use provider::{Key, NOW, Provider};
use ring::signature::KeyPair;
use serde_json::{Value, json};
use zhili_runtime::ErrorCode;
use zhili_runtime::auth::{Authenticator, LoginSettings, OidcSettings, Permission, Role, Tenant};

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
    let login = LoginSettings {
        client_id: "console".to_owned(),
        redirect_url: "https://zhili.example/login/callback".to_owned(),
        ..LoginSettings::default()
    };
    let with = |login: LoginSettings| {
        let audience = BTreeSet::from(["console".to_owned()]);
        told(OidcSettings { audience, login: Some(login), ..good.clone() })
    };
    assert_eq!(with(login.clone()), "");
    for (setting, bad) in [
        ("client_id", LoginSettings { client_id: "zhili".to_owned(), ..login.clone() }),
        (
            "redirect_url",
            LoginSettings { redirect_url: "http://a/login/callback".to_owned(), ..login.clone() },
        ),
        (
            "redirect_url",
            LoginSettings { redirect_url: "https://a/login".to_owned(), ..login.clone() },
        ),
        ("scope", LoginSettings { scope: "profile".to_owned(), ..login.clone() }),
        (
            "client_secret_file",
            LoginSettings { client_secret_file: Some("/none".into()), ..login.clone() },
        ),
    ] {
        let told = with(bad);
        assert!(told.starts_with(&format!("auth.oidc.login.{setting}: ")), "{setting}: {told}");
    }
}
