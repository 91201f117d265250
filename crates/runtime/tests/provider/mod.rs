//! An identity provider, played by a server of the test: its keys, its page, its tokens.
#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode, header};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use zhili_runtime::auth::{Authenticator, LoginSettings, OidcSettings, Role};

/// Seconds since the Unix epoch, of whenever.
pub(crate) const NOW: u64 = 1_800_000_000;

/// Of the console with the provider.
pub(crate) const CLIENT: &str = "zhili console";
/// What the provider knows it by.
pub(crate) const SECRET: &str = "s%cret&of=the+console";

/// A provider that runs until the test ends.
#[derive(Clone)]
pub(crate) struct Provider {
    pub(crate) issuer: String,
    keys: Arc<Mutex<Vec<Value>>>,
    asked: Arc<AtomicUsize>,
    discovered: Arc<AtomicUsize>,
    pub(crate) down: Arc<AtomicBool>,
    /// What it signs its tokens with.
    signs: Arc<Mutex<Option<Arc<Key>>>>,
    /// Claims that it puts into its tokens in the place of the right ones.
    pub(crate) lies: Arc<Mutex<Value>>,
    /// What was asked for each code.
    codes: Arc<Mutex<HashMap<String, HashMap<String, String>>>>,
}

/// A key of a provider.
pub(crate) struct Key {
    pub(crate) id: &'static str,
    pub(crate) pair: EcdsaKeyPair,
}

impl Key {
    pub(crate) fn new(id: &'static str) -> Self {
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

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({ "alg": "ES256", "typ": "JWT", "kid": self.id }), claims)
    }

    pub(crate) fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl Provider {
    pub(crate) async fn start(keys: &[&Key]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Self {
            issuer: format!("http://{}/shop", listener.local_addr().unwrap()),
            keys: Arc::default(),
            asked: Arc::default(),
            discovered: Arc::default(),
            down: Arc::default(),
            signs: Arc::default(),
            lies: Arc::new(Mutex::new(json!({}))),
            codes: Arc::default(),
        };
        provider.publish(keys);
        let discovery = async |State(it): State<Self>| {
            it.discovered.fetch_add(1, Ordering::SeqCst);
            let at = |path: &str| format!("{}/{path}", it.issuer);
            Json(json!({ "issuer": it.issuer, "jwks_uri": at("keys"),
                "authorization_endpoint": at("authorize?theme=plain"),
                "token_endpoint": at("token") }))
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
            .route("/shop/authorize", get(page))
            .route("/shop/token", post(tokens))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider
    }

    pub(crate) fn publish(&self, keys: &[&Key]) {
        *self.keys.lock().unwrap() = keys.iter().map(|key| key.public()).collect();
    }

    /// Signs the tokens that it gives for codes with this key.
    pub(crate) fn sign_with(&self, key: Key) {
        *self.signs.lock().unwrap() = Some(Arc::new(key));
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn discovered(&self) -> usize {
        self.discovered.load(Ordering::SeqCst)
    }

    pub(crate) fn settings(&self) -> OidcSettings {
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

    /// The same, and people log in at the provider into a console at `address`.
    pub(crate) fn login_settings(&self, address: &str, secret: &std::path::Path) -> OidcSettings {
        let login = LoginSettings {
            client_id: CLIENT.to_owned(),
            client_secret_file: Some(secret.to_owned()),
            redirect_url: format!("{address}/login/callback"),
            scope: "openid groups".to_owned(),
            name: "Shop ID".to_owned(),
        };
        let audience = BTreeSet::from(["zhili".to_owned(), CLIENT.to_owned()]);
        OidcSettings { login: Some(login), audience, ..self.settings() }
    }

    pub(crate) fn auth(&self) -> Authenticator {
        Authenticator::with_provider(None, &self.settings()).unwrap()
    }

    pub(crate) fn claims(&self) -> Value {
        json!({
            "iss": self.issuer, "aud": "zhili", "sub": "mei", "exp": NOW + 300, "iat": NOW - 5,
            "zhili": { "tenant": "hongqiao" }, "groups": ["leads", "choir"],
        })
    }

    /// The claims, some of them others.
    pub(crate) fn but(&self, others: &Value) -> Value {
        let mut claims = self.claims();
        claims.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
        claims
    }
}

/// A page with a link for whoever agrees and one for whoever does not.
async fn page(
    State(it): State<Provider>,
    Query(asked): Query<HashMap<String, String>>,
) -> Html<String> {
    let code = {
        let mut codes = it.codes.lock().unwrap();
        let code = format!("code-{}", codes.len());
        codes.insert(code.clone(), asked.clone());
        code
    };
    let (back, state) = (&asked["redirect_uri"], &asked["state"]);
    let issuer = &it.issuer;
    Html(format!(
        "<!doctype html><title>Shop ID</title>\
         <a id=\"agree\" href=\"{back}?code={code}&state={state}&iss={issuer}\">Sign in</a> \
         <a id=\"refuse\" href=\"{back}?error=access_denied&state={state}\">Refuse</a>"
    ))
}

/// A token for a code, to the client that has the secret and began with the hash of the verifier.
async fn tokens(State(it): State<Provider>, headers: HeaderMap, body: String) -> Response {
    let refuse =
        |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    let form: http::Uri = format!("/?{body}").parse().unwrap();
    let Query(form): Query<HashMap<String, String>> = Query::try_from_uri(&form).unwrap();
    let escaped = "zhili%20console:s%25cret%26of%3Dthe%2Bconsole";
    let basic = format!("Basic {}", STANDARD.encode(escaped));
    if headers.get(header::AUTHORIZATION).is_none_or(|given| given != basic.as_str()) {
        return refuse("invalid_client");
    }
    let Some(asked) = it.codes.lock().unwrap().remove(&form["code"]) else {
        return refuse("invalid_grant");
    };
    let hash = digest(&SHA256, form["code_verifier"].as_bytes());
    let right = form["grant_type"] == "authorization_code"
        && form["client_id"] == CLIENT
        && form["redirect_uri"] == asked["redirect_uri"]
        && asked["code_challenge_method"] == "S256"
        && URL_SAFE_NO_PAD.encode(hash) == asked["code_challenge"];
    if !right {
        return refuse("invalid_grant");
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut claims = it.but(&json!({
        "aud": CLIENT, "nonce": asked["nonce"], "iat": now, "exp": now + 3_600,
    }));
    claims.as_object_mut().unwrap().extend(it.lies.lock().unwrap().as_object().unwrap().clone());
    let key = it.signs.lock().unwrap().clone().unwrap();
    let token = key.sign(&claims);
    Json(json!({ "access_token": "of no use", "token_type": "Bearer", "id_token": token }))
        .into_response()
}
