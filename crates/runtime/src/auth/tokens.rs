//! Tokens of programs and of people without an identity provider: random, shown once, kept as
//! SHA-256 only, in a file that is read again when it changes.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::journal::{self, TokenAction};
use super::{Permission, Principal, Role, Tenant};
use crate::Failure;
use crate::config::Secret;

/// How often the use of a token is noted at most, seconds.
const NOTED_EVERY: u64 = 60;

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
    /// Nothing but these of what the roles allow; absent for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<BTreeSet<Permission>>,
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
    let sha256 = hash(&token);
    let record =
        TokenRecord { name: name.to_owned(), tenant, roles, scopes: None, sha256, expires };
    (Secret::new(token), record)
}

fn hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token))
}

/// The tokens that open something.
#[derive(Default)]
pub(super) struct Tokens {
    file: Option<PathBuf>,
    read: RwLock<Read>,
    /// When the use of a token was noted last, by its hash.
    noted: Mutex<HashMap<String, u64>>,
}

#[derive(Default)]
struct Read {
    records: Vec<TokenRecord>,
    version: Option<Version>,
}

impl Tokens {
    pub(super) fn of_file(file: &Path) -> Result<Self, Failure> {
        let version = version(file);
        let records = read_tokens(file)?;
        let read = RwLock::new(Read { records, version });
        Ok(Self { file: Some(file.to_owned()), read, noted: Mutex::default() })
    }

    pub(super) fn of_records(records: Vec<TokenRecord>) -> Self {
        let read = RwLock::new(Read { records, version: None });
        Self { file: None, read, noted: Mutex::default() }
    }

    /// Whose token this is at `now`, seconds since the Unix epoch.
    pub(super) fn recognise(&self, token: &str, now: u64) -> Option<Principal> {
        self.renew();
        let wanted = hash(token);
        let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        // All are compared, in constant time, so that timing tells nothing.
        for record in &read.records {
            if bool::from(record.sha256.as_bytes().ct_eq(wanted.as_bytes())) {
                found = Some(record);
            }
        }
        let record = found.filter(|record| record.expires.is_none_or(|expires| now < expires))?;
        self.note(&record.sha256, now);
        let TokenRecord { name, tenant, roles, scopes, .. } = record.clone();
        Some(Principal::new(name, tenant, roles).scoped(scopes))
    }

    /// Whose tokens there are, also expired ones.
    pub(super) fn tenants(&self) -> BTreeSet<Tenant> {
        self.renew();
        let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
        read.records.iter().map(|record| record.tenant.clone()).collect()
    }

    fn renew(&self) {
        let Some(file) = &self.file else { return };
        let found = version(file);
        if found == self.read.read().unwrap_or_else(PoisonError::into_inner).version {
            return;
        }
        let records = read_tokens(file);
        let mut read = self.read.write().unwrap_or_else(PoisonError::into_inner);
        match records {
            Ok(records) => *read = Read { records, version: found },
            Err(error) => tracing::error!(%error, "keeping the tokens read before"),
        }
    }

    /// Notes that a token was used, for all processes that share the file: as the time of an empty
    /// file of its own, which the last one sets. Where the folder cannot be written nothing is
    /// noted.
    fn note(&self, sha256: &str, now: u64) {
        let Some(file) = &self.file else { return };
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.get(sha256).is_some_and(|last| now < last.saturating_add(NOTED_EVERY)) {
            return;
        }
        noted.insert(sha256.to_owned(), now);
        if let Err(error) = mark(file, sha256, now) {
            tracing::debug!(%error, "cannot note that a token was used");
        }
    }
}

/// What tells a file from the one that was there before: a change within a tick of the file
/// system's clock has another inode, for the file is replaced as a whole.
type Version = (SystemTime, u64, u64);

fn version(file: &Path) -> Option<Version> {
    let of = |metadata: Metadata| Some((metadata.modified().ok()?, metadata.ino(), metadata.len()));
    fs::metadata(file).ok().and_then(of)
}

fn read_tokens(file: &Path) -> Result<Vec<TokenRecord>, Failure> {
    let text = fs::read_to_string(file).map_err(|error| {
        Failure::Io(format!("cannot read tokens from {}: {error}", file.display()))
    })?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::Usage(format!("tokens in {}: {error}", file.display())))
}

/// Where the use of a token is noted.
fn mark_of(file: &Path, sha256: &str) -> PathBuf {
    file.with_extension("used").join(sha256)
}

fn mark(file: &Path, sha256: &str, now: u64) -> io::Result<()> {
    let mark = mark_of(file, sha256);
    if let Some(folder) = mark.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mark = OpenOptions::new().create(true).append(true).mode(0o600).open(mark)?;
    mark.set_modified(UNIX_EPOCH + Duration::from_secs(now))
}

/// When a token of a file was used last, to the minute; seconds since the Unix epoch. `None` when
/// it never was.
#[must_use]
pub fn last_used(file: &Path, record: &TokenRecord) -> Option<u64> {
    let modified = fs::metadata(mark_of(file, &record.sha256)).ok()?.modified().ok()?;
    modified.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// Adds a token to a file, replacing one of the same name, and notes it in the file's journal first;
/// both are for the owner only.
///
/// # Errors
/// [`Failure::Io`], also when it cannot be noted, or [`Failure::Usage`] when the file holds something else.
pub fn add_token(file: &Path, record: TokenRecord) -> Result<(), Failure> {
    let _alone = lock(file)?;
    let mut records = if file.exists() { read_tokens(file)? } else { Vec::new() };
    let before = records.len();
    records.retain(|old| old.name != record.name);
    let new = records.len() == before;
    journal::note(file, if new { TokenAction::Create } else { TokenAction::Replace }, &record)?;
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

/// Removes a token from a file, and notes it in the file's journal first; whether it was there.
///
/// # Errors
/// Those of [`add_token`].
pub fn remove_token(file: &Path, name: &str) -> Result<bool, Failure> {
    let _alone = lock(file)?;
    let (gone, kept): (Vec<_>, Vec<_>) =
        read_tokens(file)?.into_iter().partition(|record| record.name == name);
    if gone.is_empty() {
        return Ok(false);
    }
    for record in &gone {
        journal::note(file, TokenAction::Revoke, record)?;
    }
    write_tokens(file, &kept)?;
    for record in gone {
        // It may never have been used.
        let _ = fs::remove_file(mark_of(file, &record.sha256));
    }
    Ok(true)
}

/// Keeps others from changing a file meanwhile, until it is dropped.
///
/// # Errors
/// [`Failure::Io`].
pub fn lock(file: &Path) -> Result<File, Failure> {
    let path = file.with_extension("lock");
    let fail = |error| Failure::Io(format!("cannot lock {}: {error}", path.display()));
    let lock =
        OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(fail)?;
    lock.lock().map_err(fail)?;
    Ok(lock)
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
    let fail = |error: io::Error| Failure::Io(format!("cannot write {}: {error}", file.display()));
    let temporary = file.with_extension("new");
    let mut out = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(fail)?;
    out.write_all(bytes).and_then(|()| out.sync_all()).map_err(fail)?;
    fs::rename(&temporary, file).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A file that holds a token of an administrator called `a`.
    fn file() -> (tempfile::TempDir, PathBuf, Secret) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens.json");
        let secret = add(&file, "a");
        (folder, file, secret)
    }

    fn add(file: &Path, name: &str) -> Secret {
        let roles = BTreeSet::from([Role::Admin]);
        let (secret, record) = new_token(name, Tenant::default_tenant(), roles, None);
        add_token(file, record).unwrap();
        secret
    }

    #[test]
    fn what_is_added_or_removed_counts_at_once() {
        let (_folder, file, first) = file();
        let tokens = Tokens::of_file(&file).unwrap();
        // Within one tick of the file system's clock.
        for name in ["b", "c", "d"] {
            let secret = add(&file, name);
            assert_eq!(tokens.recognise(secret.expose(), 0).unwrap().name, name);
            assert!(remove_token(&file, name).unwrap());
            assert_eq!(tokens.recognise(secret.expose(), 0), None);
        }
        assert!(!remove_token(&file, "b").unwrap());
        assert!(tokens.recognise(first.expose(), 0).is_some());
        let again = add(&file, "a");
        assert_eq!(tokens.recognise(first.expose(), 0), None);
        assert!(tokens.recognise(again.expose(), 0).is_some());
    }

    #[test]
    fn a_file_that_cannot_be_read_leaves_the_tokens_as_they_were() {
        let (_folder, file, secret) = file();
        let tokens = Tokens::of_file(&file).unwrap();
        fs::write(&file, "half of a fi").unwrap();
        assert!(tokens.recognise(secret.expose(), 0).is_some());
        fs::remove_file(&file).unwrap();
        assert!(tokens.recognise(secret.expose(), 0).is_some());
    }

    #[test]
    fn the_last_use_is_noted_to_the_minute_and_goes_with_its_token() {
        let (_folder, file, secret) = file();
        let tokens = Tokens::of_file(&file).unwrap();
        let record = list_tokens(&file).unwrap().remove(0);
        assert_eq!(last_used(&file, &record), None);
        for (now, noted) in [(1_000, 1_000), (1_059, 1_000), (1_060, 1_060)] {
            tokens.recognise(secret.expose(), now).unwrap();
            assert_eq!(last_used(&file, &record), Some(noted));
        }
        tokens.recognise("zhili_guess", 2_000);
        assert_eq!(last_used(&file, &record), Some(1_060));
        remove_token(&file, "a").unwrap();
        assert_eq!(last_used(&file, &record), None);
    }

    #[test]
    fn the_file_is_for_its_owner_and_does_not_hold_the_token() {
        let (_folder, file, secret) = file();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!fs::read_to_string(&file).unwrap().contains(secret.expose()));
    }

    #[test]
    fn many_at_once_lose_none_of_their_tokens() {
        let (_folder, file, _) = file();
        std::thread::scope(|scope| {
            for name in 0..8 {
                let file = &file;
                scope.spawn(move || add(file, &format!("t{name}")));
            }
        });
        assert_eq!(list_tokens(&file).unwrap().len(), 9);
    }
}
