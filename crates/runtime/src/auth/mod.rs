//! Who calls, for which tenant, and what they may do.
//!
//! Every call has a [`Principal`].

mod deeds;
mod journal;
pub(crate) mod oidc;
mod tokens;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::deeds::Deeds;
use self::oidc::Oidc;
use self::tokens::Tokens;
use crate::{ErrorCode, Failure, ServiceError};

pub use deeds::Deed;
pub use journal::{TokenAction, TokenChange, token_changes, unexplained_tokens};
pub use oidc::{LoginSettings, OidcSettings, SigningAlgorithm};
pub use tokens::{
    TokenRecord, add_token, last_used, list_tokens, lock, new_token, remove_token, write_private,
};

/// What a caller is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A platform that publishes events.
    Publisher,
    /// An agent who looks at their own results.
    Agent,
    /// A supervisor who is paged.
    Supervisor,
    /// Quality assurance.
    Qa,
    /// Looks at aggregates only.
    Analyst,
    /// Data protection officer.
    Dpo,
    /// Runs the system.
    Admin,
}

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Publish events.
    Publish,
    /// Read masked conversations.
    Transcripts,
    /// Read figures over many conversations.
    Aggregates,
    /// See and act on incidents.
    Incidents,
    /// Score texts, read and change the phrase library.
    Library,
    /// Read and change the configuration, run the log.
    Config,
    /// Erase a subject.
    Erase,
    /// Read the audit log.
    Audit,
}

impl Permission {
    /// Its name in settings, on the command line and in the audit log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Transcripts => "transcripts",
            Self::Aggregates => "aggregates",
            Self::Incidents => "incidents",
            Self::Library => "library",
            Self::Config => "config",
            Self::Erase => "erase",
            Self::Audit => "audit",
        }
    }

    /// Whether every use of it goes into the audit log.
    const fn is_audited(self) -> bool {
        matches!(self, Self::Transcripts | Self::Erase | Self::Audit)
    }
}

impl Role {
    /// The role table of the design.
    #[must_use]
    pub const fn may(self, permission: Permission) -> bool {
        use Permission as P;
        match self {
            Self::Publisher => matches!(permission, P::Publish),
            Self::Agent => false,
            Self::Supervisor => {
                matches!(permission, P::Transcripts | P::Aggregates | P::Incidents)
            }
            Self::Qa => matches!(permission, P::Transcripts | P::Aggregates | P::Library),
            Self::Analyst => matches!(permission, P::Aggregates),
            Self::Dpo => matches!(permission, P::Erase | P::Audit),
            Self::Admin => matches!(
                permission,
                P::Publish | P::Aggregates | P::Incidents | P::Library | P::Config | P::Audit
            ),
        }
    }
}

/// Somebody who was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// For the audit log and as the actor of commands.
    pub name: String,
    /// The only tenant that the caller sees.
    pub tenant: Tenant,
    /// What they are for.
    pub roles: BTreeSet<Role>,
    /// Nothing but these of what the roles allow; `None` for all of it.
    pub scopes: Option<BTreeSet<Permission>>,
    /// What they have done with this request that goes into the audit log.
    deeds: Deeds,
}

impl Principal {
    /// Somebody with all that their roles allow.
    #[must_use]
    pub fn new(name: impl Into<String>, tenant: Tenant, roles: BTreeSet<Role>) -> Self {
        Self { name: name.into(), tenant, roles, scopes: None, deeds: Deeds::default() }
    }

    /// The same with nothing but these permissions of those that the roles allow.
    #[must_use]
    pub fn scoped(self, scopes: Option<BTreeSet<Permission>>) -> Self {
        Self { scopes, ..self }
    }

    /// Says that the request uses a permission on something: it goes into the audit log, whatever
    /// comes of it. What shows transcripts, erases or reads the audit log goes there in any case.
    pub fn does(&self, permission: Permission, target: impl Into<String>) {
        self.deeds.add(permission, target.into());
    }

    /// What was done so far, once.
    pub(crate) fn take_deeds(&self) -> Vec<Deed> {
        self.deeds.take()
    }

    /// Whether the caller may do this.
    ///
    /// # Errors
    /// [`ErrorCode::Denied`] naming what is missing.
    pub fn require(&self, permission: Permission) -> Result<(), ServiceError> {
        if permission.is_audited() {
            self.does(permission, "");
        }
        if self.may(permission) {
            return Ok(());
        }
        let refuse = |needed: &str| {
            let message = format!("{} may not do this: it needs a {needed}", self.name);
            Err(ServiceError::new(ErrorCode::Denied, message))
        };
        if !self.roles.iter().any(|role| role.may(permission)) {
            return refuse(&format!("role with {permission:?}"));
        }
        refuse(&format!("token whose scopes hold {permission:?}"))
    }

    /// Whether the caller may do this, for an answer that tells more to those who may; says nothing
    /// to the audit log.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.roles.iter().any(|role| role.may(permission))
            && self.scopes.as_ref().is_none_or(|scopes| scopes.contains(&permission))
    }
}

/// Name of a tenant: `[a-z0-9_-]{1,64}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tenant(String);

impl Tenant {
    /// The tenant of a system with only one.
    #[must_use]
    pub fn default_tenant() -> Self {
        Self("default".to_owned())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Tenant {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let valid = (1..=64).contains(&name.len())
            && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if valid {
            Ok(Self(name))
        } else {
            Err(format!("tenant {name:?} must match [a-z0-9_-]{{1,64}}"))
        }
    }
}

impl From<Tenant> for String {
    fn from(tenant: Tenant) -> Self {
        tenant.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Recognises callers. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator {
    inner: Arc<Inner>,
}

struct Inner {
    insecure: bool,
    tokens: Tokens,
    oidc: Option<Oidc>,
}

impl Authenticator {
    /// Tokens from a file, read again when it changes.
    ///
    /// # Errors
    /// [`Failure::Io`] when the file cannot be read, [`Failure::Usage`] when it is not valid.
    pub fn from_file(file: &Path) -> Result<Self, Failure> {
        Ok(Self::new(false, Tokens::of_file(file)?))
    }

    /// Exactly these tokens.
    #[must_use]
    pub fn from_records(records: Vec<TokenRecord>) -> Self {
        Self::new(false, Tokens::of_records(records))
    }

    /// Everybody is administrator, supervisor and quality assurance of tenant `default`. Only for
    /// a server on loopback.
    ///
    /// # Errors
    /// [`Failure::Usage`] when the address is not loopback.
    pub fn insecure(listen: SocketAddr) -> Result<Self, Failure> {
        if !listen.ip().is_loopback() {
            return Err(Failure::Usage(format!(
                "--insecure is for loopback addresses only, not for {listen}"
            )));
        }
        Ok(Self::new(true, Tokens::default()))
    }

    fn new(insecure: bool, tokens: Tokens) -> Self {
        Self { inner: Arc::new(Inner { insecure, tokens, oidc: None }) }
    }

    /// Tokens of a file, if one is named, and those that an identity provider signs.
    ///
    /// # Errors
    /// [`Failure::Usage`] that names the setting that cannot be used, [`Failure::Io`] when a file
    /// cannot be read.
    pub fn with_provider(file: Option<&Path>, provider: &OidcSettings) -> Result<Self, Failure> {
        let tokens = file.map(Tokens::of_file).transpose()?.unwrap_or_default();
        let oidc = Some(Oidc::new(provider)?);
        Ok(Self { inner: Arc::new(Inner { insecure: false, tokens, oidc }) })
    }

    /// Every tenant that a caller can be of; `None` where an identity provider names them, too.
    #[must_use]
    pub fn tenants(&self) -> Option<BTreeSet<Tenant>> {
        if self.inner.oidc.is_some() {
            return None;
        }
        let default = self.inner.insecure.then(Tenant::default_tenant);
        Some(self.inner.tokens.tenants().into_iter().chain(default).collect())
    }

    /// How people log in at an identity provider, if they do.
    pub(crate) fn login(&self) -> Option<&oidc::login::Login> {
        self.inner.oidc.as_ref()?.login()
    }

    /// Who sends this `Authorization` header at `now` (seconds since the Unix epoch).
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`], never saying which part was wrong, and
    /// [`ErrorCode::Unavailable`] when an identity provider must be asked and cannot.
    pub async fn authenticate(
        &self,
        authorization: Option<&str>,
        now: u64,
    ) -> Result<Principal, ServiceError> {
        if self.inner.insecure {
            let roles = BTreeSet::from([Role::Admin, Role::Supervisor, Role::Qa]);
            return Ok(Principal::new("insecure", Tenant::default_tenant(), roles));
        }
        let refuse = |message: &str| ServiceError::new(ErrorCode::Unauthenticated, message);
        let token = authorization
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| refuse("send a token: `Authorization: Bearer ...`"))?;
        // A token of ours has no dot in it.
        if let (Some(oidc), true) = (&self.inner.oidc, token.contains('.')) {
            return oidc.recognise(token, now).await;
        }
        let known = self.inner.tokens.recognise(token, now);
        known.ok_or_else(|| refuse("the token is not valid or has expired"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn token(roles: &[Role], expires: Option<u64>) -> (Secret, Authenticator) {
        let roles = roles.iter().copied().collect();
        let (secret, record) = new_token("t", Tenant::default_tenant(), roles, expires);
        assert!(!record.sha256.contains(secret.expose()));
        (secret, Authenticator::from_records(vec![record]))
    }

    fn bearer(secret: &Secret) -> String {
        format!("Bearer {}", secret.expose())
    }

    #[tokio::test]
    async fn a_token_opens_its_tenant_with_its_roles() {
        let (secret, auth) = token(&[Role::Publisher], None);
        let principal = auth.authenticate(Some(&bearer(&secret)), 0).await.unwrap();
        assert_eq!(principal.tenant.as_str(), "default");
        principal.require(Permission::Publish).unwrap();
        let error = principal.require(Permission::Config).unwrap_err();
        assert_eq!(error.code, ErrorCode::Denied);
    }

    #[tokio::test]
    async fn without_a_valid_token_nobody_gets_in() {
        let (secret, auth) = token(&[Role::Admin], Some(100));
        assert!(auth.authenticate(Some(&bearer(&secret)), 99).await.is_ok());
        for (header, now) in [
            (None, 0),
            (Some("Bearer"), 0),
            (Some("Bearer zhili_wrong"), 0),
            (Some("Basic abc"), 0),
            (Some(bearer(&secret).as_str()), 100),
        ] {
            let error = auth.authenticate(header, now).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::Unauthenticated, "{header:?}");
        }
    }

    #[test]
    fn insecure_is_for_loopback_only() {
        assert!(Authenticator::insecure("127.0.0.1:1".parse().unwrap()).is_ok());
        assert!(Authenticator::insecure("0.0.0.0:1".parse().unwrap()).is_err());
    }

    #[tokio::test]
    async fn a_scope_takes_away_and_gives_nothing() {
        let roles = BTreeSet::from([Role::Qa]);
        let (secret, record) = new_token("t", Tenant::default_tenant(), roles, None);
        let scopes = Some(BTreeSet::from([Permission::Aggregates, Permission::Config]));
        let auth = Authenticator::from_records(vec![TokenRecord { scopes, ..record }]);
        let principal = auth.authenticate(Some(&bearer(&secret)), 0).await.unwrap();
        principal.require(Permission::Aggregates).unwrap();
        for permission in [Permission::Transcripts, Permission::Library, Permission::Config] {
            assert!(principal.require(permission).is_err(), "{permission:?}");
        }
    }

    #[test]
    fn tenants_have_plain_names() {
        for good in ["a", "shop-1", "x_y"] {
            assert!(Tenant::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "A", "a/b", "知礼", &"x".repeat(65)] {
            assert!(Tenant::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
