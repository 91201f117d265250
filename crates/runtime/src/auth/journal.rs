//! Who has made and removed tokens: a file beside theirs, to which entries are only added.
//!
//! The audit log is for what callers do. Whoever changes the file of the tokens is no caller, and
//! often there is no log to be reached from where the file is.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{TokenRecord, list_tokens};
use crate::Failure;

/// A change of the tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenChange {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The user of the operating system, `uid 1000`: whoever can change the file has no other name.
    pub actor: String,
    /// What was done.
    pub action: TokenAction,
    /// The token as it is from then on, or was until then; its hash opens nothing.
    pub token: TokenRecord,
}

/// What was done to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenAction {
    /// It is new.
    Create,
    /// It is new and takes the place of one of the same name, which opens nothing any more.
    Replace,
    /// It opens nothing any more.
    Revoke,
}

impl TokenAction {
    /// The word for it on the command line and in the audit log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Revoke => "revoke",
        }
    }
}

/// The journal of a file of tokens.
fn journal_of(tokens: &Path) -> PathBuf {
    tokens.with_extension("journal")
}

/// Notes a change, durably, before it is made: what cannot be noted is not done.
pub(super) fn note(tokens: &Path, action: TokenAction, token: &TokenRecord) -> Result<(), Failure> {
    let path = journal_of(tokens);
    let fail =
        |error: io::Error| Failure::Io(format!("cannot write to {}: {error}", path.display()));
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // A file of this process belongs to whoever runs it.
    let actor = fs::metadata("/proc/self")
        .map_or_else(|_| "unknown".to_owned(), |process| format!("uid {}", process.uid()));
    let at_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    let change = TokenChange { at_ms, actor, action, token: token.clone() };
    let line = serde_json::to_string(&change).map_err(|error| fail(error.into()))?;
    let mut file =
        OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(fail)?;
    file.write_all(format!("{line}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(fail)
}

/// All changes of a file of tokens that were noted, oldest first; none where there is no journal.
///
/// # Errors
/// [`Failure::Io`] when the journal cannot be read, [`Failure::Problems`] that names the line that
/// is no entry: somebody else has written there.
pub fn token_changes(tokens: &Path) -> Result<Vec<TokenChange>, Failure> {
    let path = journal_of(tokens);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Failure::Io(format!("cannot read {}: {error}", path.display())));
        }
    };
    let entry = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            Failure::Problems(format!("{} line {}: {error}", path.display(), number + 1))
        })
    };
    text.lines().enumerate().map(entry).collect()
}

/// Names of tokens that open something although no entry says who made them, and of tokens that
/// were revoked and are there again: somebody has changed the file by hand.
///
/// # Errors
/// Those of [`token_changes`] and [`list_tokens`].
pub fn unexplained_tokens(tokens: &Path) -> Result<Vec<String>, Failure> {
    let changes = token_changes(tokens)?;
    let explained = |record: &TokenRecord| {
        let last = changes.iter().rev().find(|change| change.token.name == record.name);
        last.is_some_and(|it| it.action != TokenAction::Revoke && it.token == *record)
    };
    let records = list_tokens(tokens)?;
    Ok(records.into_iter().filter(|it| !explained(it)).map(|it| it.name).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::PermissionsExt;

    use super::super::{Role, Tenant, add_token, new_token, remove_token};
    use super::*;

    fn add(file: &Path, name: &str, role: Role) {
        let (_, record) = new_token(name, Tenant::default_tenant(), BTreeSet::from([role]), None);
        add_token(file, record).unwrap();
    }

    #[test]
    fn every_change_is_noted_with_who_made_it_and_no_token() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens.json");
        add(&file, "a", Role::Qa);
        add(&file, "a", Role::Admin);
        assert!(remove_token(&file, "a").unwrap());
        assert!(!remove_token(&file, "a").unwrap());
        let changes = token_changes(&file).unwrap();
        let told: Vec<_> = changes.iter().map(|it| (it.action, it.token.roles.clone())).collect();
        assert_eq!(
            told,
            [
                (TokenAction::Create, BTreeSet::from([Role::Qa])),
                (TokenAction::Replace, BTreeSet::from([Role::Admin])),
                (TokenAction::Revoke, BTreeSet::from([Role::Admin])),
            ]
        );
        let own = fs::metadata(&file).unwrap().uid();
        assert!(changes.iter().all(|it| it.actor == format!("uid {own}") && it.at_ms > 0));
        let journal = journal_of(&file);
        assert_eq!(fs::metadata(&journal).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!fs::read_to_string(journal).unwrap().contains("zhili_"));
    }

    #[test]
    fn what_cannot_be_noted_is_not_done() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens.json");
        add(&file, "a", Role::Qa);
        fs::remove_file(journal_of(&file)).unwrap();
        fs::create_dir(journal_of(&file)).unwrap();
        let (_, record) =
            new_token("b", Tenant::default_tenant(), BTreeSet::from([Role::Admin]), None);
        assert!(add_token(&file, record).is_err());
        assert!(remove_token(&file, "a").is_err());
        let names: Vec<_> = list_tokens(&file).unwrap().into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["a"]);
    }

    #[test]
    fn a_token_that_was_written_by_hand_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens.json");
        add(&file, "a", Role::Qa);
        add(&file, "b", Role::Qa);
        assert!(unexplained_tokens(&file).unwrap().is_empty());
        let text = fs::read_to_string(&file).unwrap();
        remove_token(&file, "b").unwrap();
        // The file of before: what was revoked is there again. And more rights for `a`.
        fs::write(&file, text.replacen("qa", "admin", 1)).unwrap();
        assert_eq!(unexplained_tokens(&file).unwrap(), ["a", "b"]);
        fs::write(journal_of(&file), "not an entry\n").unwrap();
        assert!(token_changes(&file).unwrap_err().to_string().contains("line 1"));
    }
}
