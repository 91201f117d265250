//! Browser sessions: a cookie that stands for a token.
//!
//! A browser must not keep a token where a script can read it, and a cookie is sent to every port
//! of a host. So the cookie is a random name for a token that only this process keeps; it is
//! `HttpOnly` and `SameSite=Strict`, and what changes something needs a second secret besides,
//! which only a page of ours can know. Sessions end with the process.
//!
//! The token is what somebody pastes, or what an identity provider gives for a code.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::auth::oidc::login::{LoginError, PATIENCE, Returned};
use crate::auth::{Authenticator, Permission, Principal};
use crate::config::Secret;
use crate::{ErrorCode, Routes, ServiceError};

/// Name of the cookie in the clear.
const COOKIE: &str = "zhili_session";
/// Its name over TLS: a browser takes one of this name from this host alone and only over TLS, so
/// that neither another host of the domain nor somebody on the line can put one in its place
/// (RFC 6265bis, section 4.1.3).
const SECURE_COOKIE: &str = "__Host-zhili_session";
/// Names of the cookie of somebody who is at the provider, in the clear and over TLS.
const LOGIN_COOKIES: (&str, &str) = ("zhili_login", "__Host-zhili_login");
/// Header of the second secret.
const CSRF: &str = "x-csrf-token";
/// A session ends after a shift and its overtime, seconds.
const LIFETIME: u64 = 12 * 3_600;
/// More people than look at one replica; then the oldest session ends.
const MOST: usize = 10_000;

type Hash = [u8; 32];

struct Session {
    token: Secret,
    csrf: String,
    expires: u64,
}

/// The sessions of one process. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    auth: Authenticator,
    /// Whether this server speaks TLS itself.
    tls: bool,
    open: Arc<Mutex<HashMap<Hash, Session>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    token: String,
}

/// Who is logged in.
#[derive(Serialize)]
struct Welcome {
    name: String,
    tenant: String,
    permissions: Vec<&'static str>,
    /// To be sent as `x-csrf-token` with whatever changes something.
    csrf: String,
}

impl Welcome {
    fn new(principal: &Principal, csrf: String) -> Self {
        let permissions = [
            ("transcripts", Permission::Transcripts),
            ("aggregates", Permission::Aggregates),
            ("incidents", Permission::Incidents),
        ];
        Self {
            name: principal.name.clone(),
            tenant: principal.tenant.to_string(),
            permissions: permissions
                .into_iter()
                .filter(|(_, permission)| principal.may(*permission))
                .map(|(word, _)| word)
                .collect(),
            csrf,
        }
    }
}

impl Sessions {
    /// No sessions yet; tokens are those of `auth`.
    #[must_use]
    pub fn new(auth: Authenticator) -> Self {
        Self { auth, tls: false, open: Arc::default() }
    }

    /// The same, of a server that speaks TLS itself or does not.
    pub(crate) fn over_tls(self, tls: bool) -> Self {
        Self { tls, ..self }
    }

    /// Whether the browser that asks does so over TLS. Whoever ends TLS before us says so; that
    /// somebody else may say so too only keeps their browser from sending the cookie.
    fn is_secure(&self, headers: &HeaderMap) -> bool {
        self.tls || headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https")
    }

    /// Opens a session for a token; the secret of its cookie.
    async fn begin(&self, token: &str, now: u64) -> Result<(String, Welcome), ServiceError> {
        let principal = self.auth.authenticate(Some(&bearer(token)), now).await?;
        let (id, csrf) = (random(), random());
        let mut open = self.open();
        open.retain(|_, session| now < session.expires);
        if open.len() >= MOST {
            let oldest = open.iter().min_by_key(|(_, session)| session.expires);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                open.remove(&oldest);
            }
        }
        let session =
            Session { token: Secret::new(token), csrf: csrf.clone(), expires: now + LIFETIME };
        open.insert(hash(&id), session);
        Ok((id, Welcome::new(&principal, csrf)))
    }

    /// Who has a session, as they may be now: a token that was removed opens nothing.
    async fn current(&self, id: Option<&str>, now: u64) -> Result<Welcome, ServiceError> {
        let known = id.and_then(|id| self.find(id, now));
        let (authorization, csrf) = known.map(|(token, csrf)| (bearer(&token), csrf)).unzip();
        let principal = self.auth.authenticate(authorization.as_deref(), now).await?;
        Ok(Welcome::new(&principal, csrf.unwrap_or_default()))
    }

    fn end(&self, id: &str) {
        self.open().remove(&hash(id));
    }

    /// Token and second secret of a session.
    fn find(&self, id: &str, now: u64) -> Option<(String, String)> {
        let open = self.open();
        let session = open.get(&hash(id)).filter(|session| now < session.expires)?;
        Some((session.token.expose().to_owned(), session.csrf.clone()))
    }

    /// The header that stands for a request's cookie; `None` without a session.
    fn authorization(
        &self,
        method: &Method,
        headers: &HeaderMap,
        now: u64,
    ) -> Result<Option<HeaderValue>, ServiceError> {
        let Some((token, csrf)) = cookie(headers).and_then(|id| self.find(id, now)) else {
            return Ok(None);
        };
        if !method.is_safe() {
            let sent = headers.get(CSRF).map(HeaderValue::as_bytes).unwrap_or_default();
            if !bool::from(sent.ct_eq(csrf.as_bytes())) {
                return Err(ServiceError::new(
                    ErrorCode::Denied,
                    format!("send the session's {CSRF}, or a token instead of a cookie"),
                ));
            }
        }
        let mut value = HeaderValue::try_from(bearer(&token))
            .map_err(|error| ServiceError::new(ErrorCode::Internal, error.to_string()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Hash, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `POST /session` opens a session, `GET` tells whose it is, `DELETE` ends it; `/login` leads to
    /// the identity provider, and `/login/callback` back from it into a session.
    pub(crate) fn routes(&self) -> Routes {
        Routes::default()
            .post("/session", log_in)
            .get("/session", who)
            .delete("/session", log_out)
            .get("/login", go_to_provider)
            .get("/login/callback", come_back)
            .get("/login/provider", provider)
            .with_state(self.clone())
    }
}

async fn log_in(
    State(sessions): State<Sessions>,
    headers: HeaderMap,
    // A form of another site cannot send JSON.
    Json(login): Json<Login>,
) -> Result<Response, ServiceError> {
    from_here(&headers)?;
    let (id, welcome) = sessions.begin(login.token.trim(), now()).await?;
    let secure = sessions.is_secure(&headers);
    Ok(with_cookie(secure, &id, None, Json(welcome).into_response()))
}

async fn who(
    State(sessions): State<Sessions>,
    headers: HeaderMap,
) -> Result<Response, ServiceError> {
    let welcome = sessions.current(cookie(&headers), now()).await?;
    let mut response = Json(welcome).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn log_out(
    State(sessions): State<Sessions>,
    headers: HeaderMap,
) -> Result<Response, ServiceError> {
    from_here(&headers)?;
    if let Some(id) = cookie(&headers) {
        sessions.end(id);
    }
    let response = StatusCode::NO_CONTENT.into_response();
    Ok(with_cookie(sessions.is_secure(&headers), "", Some(0), response))
}

/// Where somebody wants to be once they are logged in.
#[derive(Deserialize)]
struct Destination {
    #[serde(default)]
    path: String,
}

/// What the page asks, to offer it.
#[derive(Serialize)]
struct Offer {
    /// Name of the provider; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

async fn provider(State(sessions): State<Sessions>) -> Json<Offer> {
    Json(Offer { name: sessions.auth.login().map(|login| login.name().to_owned()) })
}

fn no_provider() -> ServiceError {
    let message = "nobody logs in at an identity provider here: auth.oidc.login is not set";
    ServiceError::new(ErrorCode::NotFound, message)
}

async fn go_to_provider(
    State(sessions): State<Sessions>,
    headers: HeaderMap,
    destination: Result<Query<Destination>, QueryRejection>,
) -> Result<Response, ServiceError> {
    let login = sessions.auth.login().ok_or_else(no_provider)?;
    let path = destination.map(|Query(it)| it.path).unwrap_or_default();
    match login.begin(&path, now()).await {
        Ok(begun) => {
            let mut response = see_other(&begun.location);
            // Lax: the way back begins on a page of the provider.
            let kept =
                format!("{}; Path=/; HttpOnly; SameSite=Lax; Max-Age={PATIENCE}", begun.state);
            add_cookie(sessions.is_secure(&headers), LOGIN_COOKIES, &kept, &mut response);
            Ok(response)
        }
        Err(error) => Ok(not_logged_in(&error)),
    }
}

async fn come_back(
    State(sessions): State<Sessions>,
    headers: HeaderMap,
    returned: Result<Query<Returned>, QueryRejection>,
) -> Result<Response, ServiceError> {
    let login = sessions.auth.login().ok_or_else(no_provider)?;
    let secure = sessions.is_secure(&headers);
    let (clear, over_tls) = LOGIN_COOKIES;
    // Over TLS no other counts: one in the clear could be planted, and the code of somebody else
    // with it.
    let kept = cookie_named(&headers, if secure { over_tls } else { clear });
    let ended = async {
        let Query(returned) = returned.map_err(|_| LoginError::Unknown)?;
        let arrived = login.end(kept, returned, now()).await?;
        let (id, _) = sessions
            .begin(arrived.token.expose(), now())
            .await
            .map_err(|error| LoginError::Token(error.message))?;
        Ok((id, arrived.path))
    };
    let mut response = match ended.await {
        Ok((id, path)) => with_cookie(secure, &id, None, see_other(&path)),
        Err(error) => not_logged_in(&error),
    };
    let gone = "; Path=/; HttpOnly; SameSite=Lax; Max-Age=0";
    add_cookie(secure, LOGIN_COOKIES, gone, &mut response);
    Ok(response)
}

/// Back to the page, which says it in a person's words; the cause is for whoever runs the system.
fn not_logged_in(error: &LoginError) -> Response {
    if error.is_ours() {
        tracing::warn!(%error, "nobody can log in at the identity provider");
    } else {
        tracing::info!(%error, "somebody was not logged in at the identity provider");
    }
    see_other(&format!("/?login={}", error.word()))
}

fn see_other(location: &str) -> Response {
    let Ok(location) = HeaderValue::try_from(location) else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Refuses what a page of another site has a browser do: it would log somebody in as somebody
/// else, or out. Browsers say where a request comes from (Fetch Metadata); programs do not.
fn from_here(headers: &HeaderMap) -> Result<(), ServiceError> {
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(ServiceError::new(
            ErrorCode::Denied,
            "a session begins and ends on the pages of this address, not on those of another",
        )),
    }
}

/// Puts the token of a session into its requests, before the caller is recognised. A request that
/// brings a token of its own is left as it is.
pub(crate) async fn unlock(
    State(sessions): State<Sessions>,
    mut request: Request,
    next: Next,
) -> Response {
    if !request.headers().contains_key(header::AUTHORIZATION) {
        match sessions.authorization(request.method(), request.headers(), now()) {
            Ok(None) => {}
            Ok(Some(value)) => {
                request.headers_mut().insert(header::AUTHORIZATION, value);
            }
            Err(error) => return error.into_response(),
        }
    }
    next.run(request).await
}

fn with_cookie(secure: bool, id: &str, max_age: Option<u64>, mut response: Response) -> Response {
    let mut kept = format!("{id}; Path=/; HttpOnly; SameSite=Strict");
    if let Some(seconds) = max_age {
        kept += &format!("; Max-Age={seconds}");
    }
    add_cookie(secure, (COOKIE, SECURE_COOKIE), &kept, &mut response);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Without TLS a browser keeps no secure cookie.
fn add_cookie(secure: bool, names: (&str, &str), kept: &str, response: &mut Response) {
    let cookie =
        if secure { format!("{}={kept}; Secure", names.1) } else { format!("{}={kept}", names.0) };
    if let Ok(value) = HeaderValue::try_from(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    cookie_named(headers, SECURE_COOKIE).or_else(|| cookie_named(headers, COOKIE))
}

fn cookie_named<'h>(headers: &'h HeaderMap, wanted: &str) -> Option<&'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == wanted && !value.is_empty()).then_some(value))
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

fn hash(id: &str) -> Hash {
    Sha256::digest(id).into()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::auth::{Role, Tenant, new_token};

    fn sessions() -> (Sessions, String) {
        let roles = BTreeSet::from([Role::Supervisor]);
        let (token, record) = new_token("mei", Tenant::default_tenant(), roles, Some(50_000));
        (Sessions::new(Authenticator::from_records(vec![record])), token.expose().to_owned())
    }

    fn headers(pairs: &[(&'static str, String)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (http::HeaderName::from_static(name), HeaderValue::try_from(value).unwrap())
            })
            .collect()
    }

    #[tokio::test]
    async fn a_session_stands_for_its_token_until_it_ends() {
        let (sessions, token) = sessions();
        let (id, welcome) = sessions.begin(&token, 0).await.unwrap();
        assert_eq!(welcome.permissions, ["transcripts", "aggregates", "incidents"]);
        let request = headers(&[("cookie", format!("a=b; {COOKIE}={id}"))]);
        let stands = |now| sessions.authorization(&Method::GET, &request, now).unwrap();
        assert_eq!(stands(LIFETIME - 1).unwrap(), bearer(&token));
        assert_eq!(stands(LIFETIME), None);
        sessions.end(&id);
        assert_eq!(stands(0), None);
    }

    #[tokio::test]
    async fn what_changes_something_needs_the_second_secret() {
        let (sessions, token) = sessions();
        let (id, welcome) = sessions.begin(&token, 0).await.unwrap();
        let cookie = ("cookie", format!("{COOKIE}={id}"));
        let post = |headers: &HeaderMap| sessions.authorization(&Method::POST, headers, 1);
        for wrong in [vec![], vec![(CSRF, String::new())], vec![(CSRF, "guess".to_owned())]] {
            let request = headers(&[vec![cookie.clone()], wrong].concat());
            assert_eq!(post(&request).unwrap_err().code, ErrorCode::Denied);
        }
        let request = headers(&[cookie, (CSRF, welcome.csrf)]);
        assert!(post(&request).unwrap().is_some());
    }

    #[tokio::test]
    async fn a_session_opens_no_more_than_its_token_does_now() {
        let (sessions, token) = sessions();
        let (id, _) = sessions.begin(&token, 40_000).await.unwrap();
        assert!(sessions.current(Some(&id), 49_999).await.is_ok());
        let error = sessions.current(Some(&id), 50_000).await.map(|_| ()).unwrap_err();
        assert_eq!(error.code, ErrorCode::Unauthenticated);
        assert!(sessions.begin("zhili_guess", 0).await.is_err());
        assert!(sessions.current(Some("guess"), 0).await.is_err());
    }

    #[test]
    fn the_cookie_is_out_of_reach_of_scripts_and_other_sites() {
        let (sessions, _) = sessions();
        let set = |sessions: &Sessions, proto: &str| {
            let headers = headers(&[("x-forwarded-proto", proto.to_owned())]);
            let secure = sessions.is_secure(&headers);
            let response = with_cookie(secure, "id", None, StatusCode::OK.into_response());
            response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned()
        };
        let clear = "zhili_session=id; Path=/; HttpOnly; SameSite=Strict";
        let secure = "__Host-zhili_session=id; Path=/; HttpOnly; SameSite=Strict; Secure";
        assert_eq!(set(&sessions, "http"), clear);
        assert_eq!(set(&sessions, "https"), secure);
        assert_eq!(set(&sessions.over_tls(true), "http"), secure);
    }

    #[test]
    fn a_cookie_that_only_tls_can_set_goes_before_one_that_anybody_can() {
        let pair = |cookies: &str| headers(&[("cookie", cookies.to_owned())]);
        for (cookies, id) in [
            ("zhili_session=planted; __Host-zhili_session=own", Some("own")),
            ("a=b; zhili_session=own", Some("own")),
            ("zhili_session=; a=zhili_session=x", None),
        ] {
            assert_eq!(cookie(&pair(cookies)), id, "{cookies}");
        }
    }

    #[tokio::test]
    async fn pages_of_other_sites_can_log_nobody_in_or_out() {
        let (sessions, token) = sessions();
        let (id, _) = sessions.begin(&token, 0).await.unwrap();
        for site in ["cross-site", "same-site"] {
            let request = headers(&[
                ("sec-fetch-site", site.to_owned()),
                ("cookie", format!("{COOKIE}={id}")),
            ]);
            let login = Json(Login { token: token.clone() });
            let state = State(sessions.clone());
            let error = log_in(state.clone(), request.clone(), login).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::Denied, "{site}");
            assert!(log_out(state, request).await.is_err(), "{site}");
        }
        assert!(sessions.open().contains_key(&hash(&id)));
        let own = headers(&[
            ("sec-fetch-site", "same-origin".to_owned()),
            ("cookie", format!("{COOKIE}={id}")),
        ]);
        log_out(State(sessions.clone()), own).await.unwrap();
        assert!(!sessions.open().contains_key(&hash(&id)));
    }

    #[tokio::test]
    async fn the_oldest_session_makes_room() {
        let (sessions, token) = sessions();
        let (first, _) = sessions.begin(&token, 0).await.unwrap();
        for _ in 0..MOST {
            sessions.begin(&token, 1).await.unwrap();
        }
        assert_eq!(sessions.find(&first, 2), None);
        assert_eq!(sessions.open().len(), MOST);
    }
}
