//! Whose tokens count, and what their claims mean.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use http::Uri;
use jsonwebtoken::Algorithm;
use serde::{Deserialize, Serialize};

use super::super::{Role, Tenant};
use crate::Failure;

/// An identity provider whose tokens (JWT) let people in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OidcSettings {
    /// The provider, exactly as its tokens name it in `iss`.
    pub issuer: String,
    /// Tokens must be meant for one of these (`aud`): the id of the console with the provider, and
    /// of whoever else calls.
    pub audience: BTreeSet<String>,
    /// Algorithms that count, whatever a token says of itself.
    pub algorithms: BTreeSet<SigningAlgorithm>,
    /// Where the provider's keys are; empty to be told by its discovery document.
    pub jwks_url: String,
    /// Roots of the provider's certificate, as PEM; empty for those of the machine.
    pub ca: PathBuf,
    /// How far the provider's clock may be from ours, seconds; at most 300.
    pub leeway_s: u64,
    /// Claim that names the caller in commands and in the audit log.
    pub name_claim: String,
    /// Claim that names the tenant; without it everybody is of `tenant`.
    pub tenant_claim: String,
    /// The tenant of everybody, without `tenant_claim`.
    pub tenant: Option<Tenant>,
    /// Claim that holds one group or several; dots lead into objects, as in `realm_access.roles`.
    pub roles_claim: String,
    /// What each group may do. A token without any of them opens nothing.
    pub roles: BTreeMap<String, Role>,
    /// How people log into the console at the provider; without it they bring a token.
    pub login: Option<LoginSettings>,
}

/// The console as a client of the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoginSettings {
    /// Its id with the provider, one of the audience.
    pub client_id: String,
    /// File of its secret; without one it is a public client, and PKCE alone protects its codes.
    pub client_secret_file: Option<PathBuf>,
    /// Where the provider sends browsers back, as it knows it: `https://HOST/login/callback`.
    pub redirect_url: String,
    /// What is asked for; `openid` is among it. Groups and names often need more.
    pub scope: String,
    /// What the button calls the provider; empty for its host.
    pub name: String,
}

impl Default for LoginSettings {
    fn default() -> Self {
        Self {
            client_id: String::new(),
            client_secret_file: None,
            redirect_url: String::new(),
            scope: "openid".to_owned(),
            name: String::new(),
        }
    }
}

/// How a provider signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names of RFC 7518 and RFC 8037")]
pub enum SigningAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl From<SigningAlgorithm> for Algorithm {
    fn from(algorithm: SigningAlgorithm) -> Self {
        match algorithm {
            SigningAlgorithm::RS256 => Self::RS256,
            SigningAlgorithm::RS384 => Self::RS384,
            SigningAlgorithm::RS512 => Self::RS512,
            SigningAlgorithm::PS256 => Self::PS256,
            SigningAlgorithm::PS384 => Self::PS384,
            SigningAlgorithm::PS512 => Self::PS512,
            SigningAlgorithm::ES256 => Self::ES256,
            SigningAlgorithm::ES384 => Self::ES384,
            SigningAlgorithm::EdDSA => Self::EdDSA,
        }
    }
}

impl Default for OidcSettings {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: BTreeSet::new(),
            algorithms: BTreeSet::from([SigningAlgorithm::RS256, SigningAlgorithm::ES256]),
            jwks_url: String::new(),
            ca: PathBuf::new(),
            leeway_s: 60,
            name_claim: "sub".to_owned(),
            tenant_claim: String::new(),
            tenant: None,
            roles_claim: "groups".to_owned(),
            roles: BTreeMap::new(),
            login: None,
        }
    }
}

impl OidcSettings {
    pub(super) fn check(&self) -> Result<(), Failure> {
        let wrong = |setting: &str, cause: &str| {
            Err(Failure::Usage(format!("auth.oidc.{setting}: {cause}")))
        };
        if let Err(cause) = address(&self.issuer) {
            return wrong("issuer", &cause);
        }
        if !self.jwks_url.is_empty()
            && let Err(cause) = address(&self.jwks_url)
        {
            return wrong("jwks_url", &cause);
        }
        if self.audience.is_empty() || self.audience.contains("") {
            return wrong("audience", "name whom the tokens are meant for, or any token counts");
        }
        if self.algorithms.is_empty() {
            return wrong("algorithms", "name at least one");
        }
        if self.leeway_s > 300 {
            return wrong("leeway_s", "more than 300 s is no difference of clocks");
        }
        if self.tenant_claim.is_empty() == self.tenant.is_none() {
            return wrong("tenant", "give one of tenant and tenant_claim");
        }
        if self.name_claim.is_empty() || self.roles_claim.is_empty() {
            return wrong("name_claim", "and roles_claim: neither may be empty");
        }
        if self.roles.is_empty() {
            return wrong("roles", "say what a group may do, or nobody may do anything");
        }
        let Some(login) = &self.login else { return Ok(()) };
        if !self.audience.contains(&login.client_id) {
            return wrong("login.client_id", "must be in audience, or no token of it counts");
        }
        match address(&login.redirect_url) {
            Err(cause) => return wrong("login.redirect_url", &cause),
            Ok(url) if url.path() != "/login/callback" || url.query().is_some() => {
                return wrong("login.redirect_url", "must end with /login/callback");
            }
            Ok(_) => {}
        }
        if !login.scope.split(' ').any(|scope| scope == "openid") {
            return wrong("login.scope", "must have openid in it, or the provider names nobody");
        }
        Ok(())
    }
}

/// An address whose answers can be believed: over TLS, or on this machine.
pub(super) fn address(url: &str) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|_| format!("`{url}` is no URL"))?;
    let here = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if here => Ok(uri),
        _ => Err(format!("`{url}` does not begin with https://")),
    }
}
