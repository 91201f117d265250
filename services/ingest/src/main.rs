//! `zhili-ingest`: the ingest service as a process of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use zhili_ingest::{Config, Keys};
use zhili_runtime::standalone::{self, AuthSettings, Common};
use zhili_runtime::{Failure, KafkaSettings, RuntimeConfig};

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    ingest: Config,
    kafka: KafkaSettings,
    auth: AuthSettings,
    runtime: RuntimeConfig,
    /// File of the keys of pseudonyms, or of one key of 32 bytes; the same for all replicas. Read
    /// again when it changes.
    pseudonym_key: PathBuf,
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

fn main() -> ExitCode {
    standalone::start("zhili-ingest", |settings: Settings, process| async move {
        let keys = Keys::of_file(&settings.pseudonym_key)?;
        let (log, context) = (process.log, process.context);
        zhili_ingest::serve(process.listener, settings.ingest, log, keys, context).await
    })
}
