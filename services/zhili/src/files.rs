//! What a data folder holds, and how other processes find the system that runs on it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;
use zhili_redact::KeyRing;
use zhili_runtime::Failure;
use zhili_runtime::auth::{Role, Tenant, add_token, new_token, write_private};
use zhili_runtime::config::Secret;

/// Where the services of a running system are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Addresses {
    pub(crate) ingest: String,
    pub(crate) scoring: String,
    pub(crate) escalation: String,
    pub(crate) metrics: String,
    pub(crate) store: String,
}

impl Addresses {
    /// Services on consecutive ports of one host, as the design has them.
    pub(crate) fn from_base(scheme: &str, host: &str, base: u16) -> Self {
        let at = |offset: u16| format!("{scheme}://{host}:{}", base.saturating_add(offset));
        Self { ingest: at(0), scoring: at(1), escalation: at(2), metrics: at(3), store: at(4) }
    }

    /// Name and address of each, in the order of their ports.
    pub(crate) fn each(&self) -> [(&'static str, &str); 5] {
        [
            ("ingest", &self.ingest),
            ("scoring", &self.scoring),
            ("escalation", &self.escalation),
            ("metrics", &self.metrics),
            ("store", &self.store),
        ]
    }
}

/// A data folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Makes the folder, for its owner only: it holds keys and what customers wrote.
    pub(crate) fn create(&self) -> Result<(), Failure> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .map_err(|error| Failure::Io(format!("cannot make {}: {error}", self.path.display())))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    pub(crate) fn tokens(&self) -> PathBuf {
        self.path.join("tokens.json")
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.path.join("token")
    }

    fn running(&self) -> PathBuf {
        self.path.join("running.json")
    }

    /// The token of whoever runs the system on this machine; made on the first start. An
    /// administrator alone reads no transcripts, and who starts `zhili up` is also who looks at
    /// what it found, so the token has the roles of a supervisor and of quality assurance too.
    pub(crate) fn ensure_token(&self) -> Result<Secret, Failure> {
        if self.token_file().exists() && self.tokens().exists() {
            return self.token();
        }
        let roles = [Role::Admin, Role::Supervisor, Role::Qa].into();
        let (secret, record) = new_token("admin", Tenant::default_tenant(), roles, None);
        add_token(&self.tokens(), record)?;
        write_private(&self.token_file(), secret.expose().as_bytes())?;
        Ok(secret)
    }

    /// The administrator's token.
    pub(crate) fn token(&self) -> Result<Secret, Failure> {
        let file = self.token_file();
        let text = std::fs::read_to_string(&file).map_err(|error| {
            Failure::Unavailable(format!(
                "cannot read the token {}: {error}; is this the --data folder of `zhili up`?",
                file.display()
            ))
        })?;
        Ok(Secret::new(text.trim()))
    }

    /// The file of the keys of pseudonyms, with one key in it on the first start. Who has them can
    /// recognise a person, who loses them cannot join old and new data.
    pub(crate) fn ensure_keys(&self) -> Result<PathBuf, Failure> {
        let file = self.pseudonym_key();
        if !file.exists() {
            write_private(&file, &rand::random::<[u8; 32]>())?;
        }
        Ok(file)
    }

    /// The file of the key that receipts of erasures are signed with; made on the first start.
    pub(crate) fn ensure_receipt_key(&self) -> Result<PathBuf, Failure> {
        let file = self.receipt_key();
        if !file.exists() {
            write_private(&file, &rand::random::<[u8; 32]>())?;
        }
        Ok(file)
    }

    /// Where backups are put.
    pub(crate) fn backups(&self) -> PathBuf {
        self.path.join("backups")
    }

    pub(crate) fn pseudonym_key(&self) -> PathBuf {
        self.path.join("pseudonym.key")
    }

    pub(crate) fn receipt_key(&self) -> PathBuf {
        self.path.join("receipt.key")
    }

    /// The keys of pseudonyms, where there are some.
    pub(crate) fn keys(&self) -> Result<KeyRing, Failure> {
        read_keys(&self.pseudonym_key())
    }

    /// Says where the services are, until the guard is dropped.
    pub(crate) fn announce(&self, addresses: &Addresses) -> Result<Announced, Failure> {
        let text = serde_json::to_vec_pretty(addresses)
            .map_err(|error| Failure::Io(format!("cannot write addresses: {error}")))?;
        write_private(&self.running(), &text)?;
        Ok(Announced(self.running()))
    }

    /// Where the services are.
    pub(crate) fn addresses(&self) -> Result<Addresses, Failure> {
        let text = std::fs::read(self.running()).map_err(|_| {
            Failure::Unavailable(format!(
                "nothing runs on {}: start it with `zhili up --data {0}`, or give --url",
                self.path.display()
            ))
        })?;
        serde_json::from_slice(&text)
            .map_err(|error| Failure::Io(format!("{}: {error}", self.running().display())))
    }
}

/// Reads keys of pseudonyms: a ring, or one key of 32 bytes.
pub(crate) fn read_keys(file: &Path) -> Result<KeyRing, Failure> {
    let shown = file.display();
    let bytes = std::fs::read(file)
        .map(Zeroizing::new)
        .map_err(|error| Failure::Io(format!("cannot read {shown}: {error}")))?;
    KeyRing::parse(&bytes)
        .map_err(|error| Failure::Usage(format!("{shown} holds no keys of pseudonyms: {error}")))
}

/// The note that a system runs here; removed with it. After a crash it stays and is wrong, which
/// a refused connection then says.
pub(crate) struct Announced(PathBuf);

impl Drop for Announced {
    fn drop(&mut self) {
        // Somebody may have removed the folder.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Address of a service on loopback.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
