//! Who calls, for which tenant, and what they may do.
//!
//! Every call has a [`Principal`]. Tokens are random, shown once, and kept as SHA-256 only.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::Secret;
use crate::{ErrorCode, Failure, ServiceError};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl Principal {
    /// Whether the caller may do this.
    ///
    /// # Errors
    /// [`ErrorCode::Denied`] naming what is missing.
    pub fn require(&self, permission: Permission) -> Result<(), ServiceError> {
        if self.roles.iter().any(|role| role.may(permission)) {
            return Ok(());
        }
        Err(ServiceError::new(
            ErrorCode::Denied,
            format!("{} may not do this: it needs a role with {permission:?}", self.name),
        ))
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

/// A token as it is kept: what it allows, and a hash to recognise it by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// Unique, also the caller's name.
    pub name: String,
    /// Whose data it opens.
    pub tenant: Tenant,
    /// What it allows.
    pub roles: BTreeSet<Role>,
    /// SHA-256 of the token, base64url without padding.
    pub sha256: String,
    /// Seconds since the Unix epoch; absent for no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

/// Makes a token and the record that recognises it. The token is shown once and not kept.
#[must_use]
pub fn new_token(
    name: &str,
    tenant: Tenant,
    roles: BTreeSet<Role>,
    expires: Option<u64>,
) -> (Secret, TokenRecord) {
    let secret: [u8; 32] = rand::random();
    let token = format!("zhili_{}", URL_SAFE_NO_PAD.encode(secret));
    let record =
        TokenRecord { name: name.to_owned(), tenant, roles, sha256: hash(&token), expires };
    (Secret::new(token), record)
}

fn hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token))
}

/// Recognises callers. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator {
    inner: Arc<Inner>,
}

struct Inner {
    file: Option<PathBuf>,
    insecure: bool,
    tokens: RwLock<Tokens>,
}

#[derive(Default)]
struct Tokens {
    records: Vec<TokenRecord>,
    read: Option<SystemTime>,
}

impl Authenticator {
    /// Tokens from a file, read again when it changes.
    ///
    /// # Errors
    /// [`Failure::Io`] when the file cannot be read, [`Failure::Usage`] when it is not valid.
    pub fn from_file(file: &Path) -> Result<Self, Failure> {
        let records = read_tokens(file)?;
        let tokens = Tokens { records, read: modified(file) };
        Ok(Self::new(Some(file.to_owned()), false, tokens))
    }

    /// Exactly these tokens.
    #[must_use]
    pub fn from_records(records: Vec<TokenRecord>) -> Self {
        Self::new(None, false, Tokens { records, read: None })
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
        Ok(Self::new(None, true, Tokens::default()))
    }

    fn new(file: Option<PathBuf>, insecure: bool, tokens: Tokens) -> Self {
        Self { inner: Arc::new(Inner { file, insecure, tokens: RwLock::new(tokens) }) }
    }

    /// Who sends this `Authorization` header at `now` (seconds since the Unix epoch).
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`], never saying which part was wrong.
    pub fn authenticate(
        &self,
        authorization: Option<&str>,
        now: u64,
    ) -> Result<Principal, ServiceError> {
        if self.inner.insecure {
            return Ok(Principal {
                name: "insecure".to_owned(),
                tenant: Tenant::default_tenant(),
                roles: BTreeSet::from([Role::Admin, Role::Supervisor, Role::Qa]),
            });
        }
        let refuse = |message: &str| ServiceError::new(ErrorCode::Unauthenticated, message);
        let token = authorization
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| refuse("send a token: `Authorization: Bearer ...`"))?;
        self.reload();
        let wanted = hash(token);
        let tokens = self.inner.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        // All are compared, in constant time, so that timing tells nothing.
        for record in &tokens.records {
            if bool::from(record.sha256.as_bytes().ct_eq(wanted.as_bytes())) {
                found = Some(record);
            }
        }
        found
            .filter(|record| record.expires.is_none_or(|expires| now < expires))
            .map(|record| Principal {
                name: record.name.clone(),
                tenant: record.tenant.clone(),
                roles: record.roles.clone(),
            })
            .ok_or_else(|| refuse("the token is not valid or has expired"))
    }

    fn reload(&self) {
        let Some(file) = &self.inner.file else { return };
        let changed = modified(file);
        if changed == self.inner.tokens.read().unwrap_or_else(PoisonError::into_inner).read {
            return;
        }
        match read_tokens(file) {
            Ok(records) => {
                let mut tokens = self.inner.tokens.write().unwrap_or_else(PoisonError::into_inner);
                *tokens = Tokens { records, read: changed };
            }
            Err(error) => tracing::error!(%error, "keeping the tokens read before"),
        }
    }
}

fn modified(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

fn read_tokens(file: &Path) -> Result<Vec<TokenRecord>, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::Io(format!("cannot read tokens from {}: {error}", file.display()))
    })?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::Usage(format!("tokens in {}: {error}", file.display())))
}

/// Adds a token to a file, replacing one of the same name; the file is for the owner only.
///
/// # Errors
/// [`Failure::Io`], or [`Failure::Usage`] when the file holds something else.
pub fn add_token(file: &Path, record: TokenRecord) -> Result<(), Failure> {
    let mut records = if file.exists() { read_tokens(file)? } else { Vec::new() };
    records.retain(|old| old.name != record.name);
    records.push(record);
    write_tokens(file, &records)
}

/// The tokens of a file.
///
/// # Errors
/// [`Failure::Io`], or [`Failure::Usage`] when the file holds something else.
pub fn list_tokens(file: &Path) -> Result<Vec<TokenRecord>, Failure> {
    read_tokens(file)
}

/// Removes a token from a file; whether it was there.
///
/// # Errors
/// Those of [`add_token`].
pub fn remove_token(file: &Path, name: &str) -> Result<bool, Failure> {
    let mut records = read_tokens(file)?;
    let before = records.len();
    records.retain(|record| record.name != name);
    if records.len() == before {
        return Ok(false);
    }
    write_tokens(file, &records)?;
    Ok(true)
}

fn write_tokens(file: &Path, records: &[TokenRecord]) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(records)
        .map_err(|error| Failure::Io(format!("cannot write tokens: {error}")))?;
    write_private(file, text.as_bytes())
}

/// Writes a file that only its owner can read, whole or not at all.
///
/// # Errors
/// [`Failure::Io`].
pub fn write_private(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let fail =
        |error: std::io::Error| Failure::Io(format!("cannot write {}: {error}", file.display()));
    let temporary = file.with_extension("new");
    let mut out = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(fail)?;
    out.write_all(bytes).and_then(|()| out.sync_all()).map_err(fail)?;
    std::fs::rename(&temporary, file).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn token(roles: &[Role], expires: Option<u64>) -> (Secret, Authenticator) {
        let roles = roles.iter().copied().collect();
        let (secret, record) = new_token("t", Tenant::default_tenant(), roles, expires);
        assert!(!record.sha256.contains(secret.expose()));
        (secret, Authenticator::from_records(vec![record]))
    }

    fn bearer(secret: &Secret) -> String {
        format!("Bearer {}", secret.expose())
    }

    #[test]
    fn a_token_opens_its_tenant_with_its_roles() {
        let (secret, auth) = token(&[Role::Publisher], None);
        let principal = auth.authenticate(Some(&bearer(&secret)), 0).unwrap();
        assert_eq!(principal.tenant.as_str(), "default");
        principal.require(Permission::Publish).unwrap();
        let error = principal.require(Permission::Config).unwrap_err();
        assert_eq!(error.code, ErrorCode::Denied);
    }

    #[test]
    fn without_a_valid_token_nobody_gets_in() {
        let (secret, auth) = token(&[Role::Admin], Some(100));
        assert!(auth.authenticate(Some(&bearer(&secret)), 99).is_ok());
        for (header, now) in [
            (None, 0),
            (Some("Bearer"), 0),
            (Some("Bearer zhili_wrong"), 0),
            (Some("Basic abc"), 0),
            (Some(bearer(&secret).as_str()), 100),
        ] {
            let error = auth.authenticate(header, now).unwrap_err();
            assert_eq!(error.code, ErrorCode::Unauthenticated, "{header:?}");
        }
    }

    #[test]
    fn insecure_is_for_loopback_only() {
        assert!(Authenticator::insecure("127.0.0.1:1".parse().unwrap()).is_ok());
        assert!(Authenticator::insecure("0.0.0.0:1".parse().unwrap()).is_err());
    }

    #[test]
    fn a_new_token_in_the_file_counts_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens.json");
        let roles = BTreeSet::from([Role::Admin]);
        let (_, record) = new_token("a", Tenant::default_tenant(), roles.clone(), None);
        add_token(&file, record).unwrap();
        let auth = Authenticator::from_file(&file).unwrap();
        // File systems keep times coarsely; the change must not fall into the same tick.
        let later = SystemTime::now() + std::time::Duration::from_secs(5);
        let (secret, record) = new_token("b", Tenant::default_tenant(), roles, None);
        add_token(&file, record).unwrap();
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(later).unwrap();
        assert_eq!(auth.authenticate(Some(&bearer(&secret)), 0).unwrap().name, "b");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
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
