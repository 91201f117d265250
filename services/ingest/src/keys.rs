use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use zeroize::Zeroizing;
use zhili_redact::{KeyRing, PseudonymKey};
use zhili_runtime::Failure;

/// The keys of pseudonyms as they are now: those of a file are read again when it changes.
#[derive(Debug)]
pub struct Keys {
    file: Option<PathBuf>,
    read: RwLock<Read>,
}

#[derive(Clone, Debug)]
struct Read {
    ring: Arc<KeyRing>,
    version: Option<Version>,
}

/// What tells a file from the one that was there before: a change within a tick of the file
/// system's clock has another inode, for the file is replaced as a whole.
type Version = (SystemTime, u64, u64);

impl From<KeyRing> for Keys {
    /// These and no others.
    fn from(ring: KeyRing) -> Self {
        Self { file: None, read: RwLock::new(Read { ring: ring.into(), version: None }) }
    }
}

impl From<PseudonymKey> for Keys {
    /// This one and no others.
    fn from(key: PseudonymKey) -> Self {
        KeyRing::from(key).into()
    }
}

impl Keys {
    /// Those of a file: a ring as `zhili pseudonym-key` writes it, or one key of 32 bytes.
    ///
    /// # Errors
    /// [`Failure::Usage`] when it cannot be read or holds something else.
    pub fn of_file(file: &Path) -> Result<Self, Failure> {
        let version = version(file);
        let ring = Arc::new(read(file)?);
        Ok(Self { file: Some(file.to_owned()), read: RwLock::new(Read { ring, version }) })
    }

    /// The keys that are in force now. A file that cannot be read leaves those read before, and
    /// says so once for each that is put there.
    pub(crate) fn current(&self) -> Arc<KeyRing> {
        let read_before = || self.read.read().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = &self.file else { return Arc::clone(&read_before().ring) };
        let found = version(file);
        let before = read_before().clone();
        // One that is gone is about to be replaced, or to be missed at the next start.
        if found == before.version || found.is_none() {
            return before.ring;
        }
        let ring = match read(file) {
            Ok(ring) => {
                tracing::info!("read the keys of pseudonyms again");
                Arc::new(ring)
            }
            Err(error) => {
                tracing::error!(%error, "keeping the keys of pseudonyms read before");
                before.ring
            }
        };
        let read = Read { ring: Arc::clone(&ring), version: found };
        *self.read.write().unwrap_or_else(PoisonError::into_inner) = read;
        ring
    }
}

fn version(file: &Path) -> Option<Version> {
    let of = |metadata: Metadata| Some((metadata.modified().ok()?, metadata.ino(), metadata.len()));
    std::fs::metadata(file).ok().and_then(of)
}

fn read(file: &Path) -> Result<KeyRing, Failure> {
    let shown = file.display();
    let bytes = std::fs::read(file)
        .map(Zeroizing::new)
        .map_err(|error| Failure::Usage(format!("pseudonym_key: cannot read {shown}: {error}")))?;
    KeyRing::parse(&bytes)
        .map_err(|error| Failure::Usage(format!("pseudonym_key: cannot use {shown}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use zhili_redact::{Scope, Subject};

    fn key(byte: u8) -> PseudonymKey {
        PseudonymKey::new([byte; 32])
    }

    fn name(ring: &KeyRing) -> String {
        ring.name("t", Subject::Customer, "u")
    }

    #[test]
    fn a_file_that_changes_is_read_again_and_a_bad_one_leaves_the_keys() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pseudonym.key");
        // As its writers do: a new file in the place of the old one.
        let write = |bytes: &[u8]| {
            let new = folder.path().join("new");
            std::fs::write(&new, bytes).unwrap();
            std::fs::rename(&new, &file).unwrap();
        };
        assert_eq!(Keys::of_file(&file).unwrap_err().code(), 64);
        write(&[1; 32]);
        let keys = Keys::of_file(&file).unwrap();
        let mut ring = KeyRing::from(key(1));
        assert_eq!(name(&keys.current()), name(&ring));
        ring.rotate(key(2), Scope::Customers, 0).unwrap();
        write(ring.to_text().as_bytes());
        assert_eq!(name(&keys.current()), name(&ring));
        write(b"nothing of the kind");
        assert_eq!(name(&keys.current()), name(&ring));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(name(&keys.current()), name(&ring));
        write(&[3; 32]);
        assert_eq!(name(&keys.current()), name(&key(3).into()));
    }
}
