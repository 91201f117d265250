//! Logging in at the provider (OpenID Connect Core 1.0, section 3.1, with PKCE, RFC 7636).
//!
//! A browser is sent to the provider with a state, a nonce and the hash of a secret that this
//! process keeps; it comes back with the state and a code, and the code is worth a token to whoever
//! has the secret. The state is also in a cookie of the browser that began, so that nobody can be
//! made to come back with somebody else's code.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderValue, Uri};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::ask::{Discovery, Provider, encoded, escaped};
use super::settings::{LoginSettings, OidcSettings, address};
use crate::Failure;
use crate::config::Secret;

/// How long somebody may take at the provider, seconds: a second factor is looked for.
pub(crate) const PATIENCE: u64 = 600;
/// More people than log in at once; then the oldest attempt is given up.
const MOST: usize = 10_000;
/// Longest path to come back to.
const LONGEST_PATH: usize = 512;

/// Why nobody was logged in. What the browser is told is [`Self::word`]; the rest is for the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    /// Too late, twice, in another browser, or never begun.
    #[error("it was not begun in this browser, or too long ago")]
    Unknown,
    /// The person, or the provider's rules.
    #[error("the provider says {0}")]
    Refused(String),
    /// It cannot be asked, or what it says makes no sense.
    #[error("{0}")]
    Provider(String),
    /// It knows the person, and nobody here does.
    #[error("the token that it gave opens nothing: {0}")]
    Token(String),
}

impl LoginError {
    /// Whether it is for whoever runs the system to mend, and not for a person to try again.
    pub(crate) const fn is_ours(&self) -> bool {
        matches!(self, Self::Provider(_))
    }

    /// What the page says in its own words.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "expired",
            Self::Refused(_) => "refused",
            Self::Provider(_) => "provider",
            Self::Token(_) => "nothing",
        }
    }
}

/// Where a browser is sent, and the state that its cookie is to hold.
pub(crate) struct Begun {
    pub(crate) location: String,
    pub(crate) state: String,
}

/// What came back with the browser.
#[derive(Deserialize)]
pub(crate) struct Returned {
    #[serde(default)]
    state: String,
    code: Option<String>,
    error: Option<String>,
    /// RFC 9207.
    iss: Option<String>,
}

/// Whom the provider has named, and where they wanted to go.
pub(crate) struct Arrived {
    /// A token that was looked at for its nonce and not yet for anything else.
    pub(crate) token: Secret,
    pub(crate) path: String,
}

struct Attempt {
    nonce: String,
    verifier: Secret,
    path: String,
    expires: u64,
}

/// Logs people in at one provider.
pub(crate) struct Login {
    issuer: String,
    name: String,
    settings: LoginSettings,
    secret: Secret,
    provider: Provider,
    attempts: Mutex<HashMap<[u8; 32], Attempt>>,
}

impl Login {
    /// `None` where the settings say nothing of it.
    pub(super) fn new(
        settings: &OidcSettings,
        provider: Provider,
    ) -> Result<Option<Self>, Failure> {
        let Some(login) = &settings.login else { return Ok(None) };
        let secret = match &login.client_secret_file {
            None => Secret::default(),
            Some(file) => {
                let text = std::fs::read_to_string(file).map_err(|error| {
                    let file = file.display();
                    let setting = "auth.oidc.login.client_secret_file";
                    Failure::Usage(format!("{setting}: cannot read {file}: {error}"))
                })?;
                Secret::new(text.trim())
            }
        };
        let host = address(&settings.issuer).ok().and_then(|url| url.host().map(str::to_owned));
        let name =
            if login.name.is_empty() { host.unwrap_or_default() } else { login.name.clone() };
        Ok(Some(Self {
            issuer: settings.issuer.clone(),
            name,
            settings: login.clone(),
            secret,
            provider,
            attempts: Mutex::default(),
        }))
    }

    /// What the button says.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Begins at `now` (seconds since the Unix epoch), to go on at `path` of the console.
    pub(crate) async fn begin(&self, path: &str, now: u64) -> Result<Begun, LoginError> {
        let discovery = self.discover().await?;
        let endpoint = checked(&discovery.authorization_endpoint, "authorization_endpoint")?;
        let (state, nonce, verifier) = (random(), random(), random());
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
        let query = encoded(&[
            ("response_type", "code"),
            ("client_id", &self.settings.client_id),
            ("redirect_uri", &self.settings.redirect_url),
            ("scope", &self.settings.scope),
            ("state", &state),
            ("nonce", &nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let joint = if endpoint.query().is_some() { '&' } else { '?' };
        let attempt = Attempt {
            nonce,
            verifier: Secret::new(verifier),
            path: local(path).to_owned(),
            expires: now + PATIENCE,
        };
        let mut attempts = self.attempts();
        attempts.retain(|_, attempt| now < attempt.expires);
        if attempts.len() >= MOST {
            let oldest = attempts.iter().min_by_key(|(_, attempt)| attempt.expires);
            if let Some(oldest) = oldest.map(|(state, _)| *state) {
                attempts.remove(&oldest);
            }
        }
        attempts.insert(hash(&state), attempt);
        Ok(Begun { location: format!("{endpoint}{joint}{query}"), state })
    }

    /// Ends what was begun in the browser whose cookie is `kept`.
    pub(crate) async fn end(
        &self,
        kept: Option<&str>,
        returned: Returned,
        now: u64,
    ) -> Result<Arrived, LoginError> {
        let same = kept.is_some_and(|kept| kept.as_bytes().ct_eq(returned.state.as_bytes()).into());
        if !same {
            return Err(LoginError::Unknown);
        }
        // Once, whatever comes of it.
        let attempt = self.attempts().remove(&hash(&returned.state));
        let attempt = attempt.filter(|attempt| now < attempt.expires);
        let attempt = attempt.ok_or(LoginError::Unknown)?;
        if returned.iss.is_some_and(|issuer| issuer != self.issuer) {
            return Err(LoginError::Provider("another issuer has answered".to_owned()));
        }
        if let Some(error) = returned.error {
            return Err(LoginError::Refused(word(&error)));
        }
        let code = returned.code.ok_or(LoginError::Unknown)?;
        let token = self.redeem(&code, &attempt.verifier).await?;
        let claims = claims(token.expose())
            .ok_or_else(|| LoginError::Token("it is no token that can be read".to_owned()))?;
        if claims.get("nonce").and_then(Value::as_str) != Some(&attempt.nonce) {
            return Err(LoginError::Token("its nonce is not that of this attempt".to_owned()));
        }
        if !self.is_meant_for_us(&claims) {
            return Err(LoginError::Token("it was made for another client".to_owned()));
        }
        Ok(Arrived { token, path: attempt.path })
    }

    /// Section 3.1.3.7, 3 to 5: a token for several says for whom it was made.
    fn is_meant_for_us(&self, claims: &Map<String, Value>) -> bool {
        let own = |value: &Value| value.as_str() == Some(&self.settings.client_id);
        let several = match claims.get("aud") {
            Some(Value::Array(audience)) => {
                if !audience.iter().any(own) {
                    return false;
                }
                audience.len() > 1
            }
            Some(audience) if own(audience) => false,
            _ => return false,
        };
        claims.get("azp").map_or(!several, own)
    }

    async fn redeem(&self, code: &str, verifier: &Secret) -> Result<Secret, LoginError> {
        #[derive(Deserialize)]
        struct Tokens {
            id_token: Secret,
        }
        #[derive(Deserialize)]
        struct Problem {
            error: String,
        }
        let discovery = self.discover().await?;
        let endpoint = checked(&discovery.token_endpoint, "token_endpoint")?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.settings.redirect_url),
            ("client_id", &self.settings.client_id),
            ("code_verifier", verifier.expose()),
        ];
        let authorization = self.authorization()?;
        let (status, body) = self
            .provider
            .post(&endpoint, &form, authorization)
            .await
            .map_err(LoginError::Provider)?;
        if !status.is_success() {
            let told = serde_json::from_slice::<Problem>(&body).map(|problem| word(&problem.error));
            let told = told.unwrap_or_else(|_| status.to_string());
            return Err(LoginError::Provider(format!("{endpoint} answers {told}")));
        }
        let tokens = serde_json::from_slice::<Tokens>(&body);
        // The error of the parser could repeat the token.
        tokens
            .map(|tokens| tokens.id_token)
            .map_err(|_| LoginError::Provider(format!("{endpoint} gives no id_token")))
    }

    /// Who asks for tokens; nothing for a client without a secret (RFC 6749, section 2.3.1).
    fn authorization(&self) -> Result<Option<HeaderValue>, LoginError> {
        if self.secret.is_empty() {
            return Ok(None);
        }
        let (id, secret) = (escaped(&self.settings.client_id), escaped(self.secret.expose()));
        let value = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
        let mut value = HeaderValue::try_from(value)
            .map_err(|error| LoginError::Provider(error.to_string()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    async fn discover(&self) -> Result<Discovery, LoginError> {
        self.provider.discover().await.map_err(LoginError::Provider)
    }

    fn attempts(&self) -> MutexGuard<'_, HashMap<[u8; 32], Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn checked(url: &str, what: &str) -> Result<Uri, LoginError> {
    address(url).map_err(|cause| LoginError::Provider(format!("its {what}: {cause}")))
}

/// A path of this address, and nothing that leads to another.
fn local(path: &str) -> &str {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    let here = path.starts_with('/') && !path.starts_with("//");
    if here && path.len() <= LONGEST_PATH && path.bytes().all(plain) { path } else { "/" }
}

/// A code of the protocol as a log may have it.
fn word(text: &str) -> String {
    let word = |c: &char| c.is_ascii_alphabetic() || *c == '_';
    text.chars().filter(word).take(64).collect()
}

/// What a token says, which somebody else has to check.
fn claims(token: &str) -> Option<Map<String, Value>> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

fn hash(state: &str) -> [u8; 32] {
    Sha256::digest(state).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_to_another_address() {
        for own in ["/", "/incidents/inc_1?lang=en", "/metrics/rt.v1?by=hour&range=7d"] {
            assert_eq!(local(own), own);
        }
        let long = format!("/{}", "a".repeat(LONGEST_PATH));
        for other in [
            "",
            "overview",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\r\nb",
            "/ b",
            long.as_str(),
        ] {
            assert_eq!(local(other), "/", "{other:?}");
        }
    }

    #[test]
    fn what_a_provider_says_is_logged_as_a_word() {
        assert_eq!(word("access_denied"), "access_denied");
        assert_eq!(word("<b>13800138000</b>\n"), "bb");
    }
}
