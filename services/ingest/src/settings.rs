//! Everything that `zhili-ingest`, the service as a process of its own, is told.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zhili_runtime::standalone::{self, AuthSettings, Common};
use zhili_runtime::{Failure, KafkaSettings, RuntimeConfig};

use crate::{Config, Keys};

/// Settings of the process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What is taken, and from whom.
    pub ingest: Config,
    /// The log.
    pub kafka: KafkaSettings,
    /// Who may call.
    pub auth: AuthSettings,
    /// Logs, certificates and bounds of the process.
    pub runtime: RuntimeConfig,
    /// File of the keys of pseudonyms, or of one key of 32 bytes; the same for all replicas. Read
    /// again when it changes.
    pub pseudonym_key: PathBuf,
}

impl standalone::Settings for Settings {
    fn common(&self) -> Common<'_> {
        let Self { kafka, auth, runtime, .. } = self;
        Common { listen: self.ingest.listen, kafka, auth, runtime }
    }

    fn check(&self) -> Result<(), Failure> {
        self.ingest.check()?;
        Keys::of_file(&self.pseudonym_key).map(|_| ())
    }
}
