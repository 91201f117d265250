//! `zhili-ingest`: the ingest service as a process of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use zhili_ingest::Config;
use zhili_redact::PseudonymKey;
use zhili_runtime::standalone::{self, AuthSettings, Common};
use zhili_runtime::{Failure, KafkaSettings, RuntimeConfig};

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    ingest: Config,
    kafka: KafkaSettings,
    auth: AuthSettings,
    runtime: RuntimeConfig,
    /// File of the 32 bytes behind every pseudonym; the same for all replicas, for ever.
    pseudonym_key: PathBuf,
}

impl standalone::Settings for Settings {
    fn common(&self) -> Common<'_> {
        let Self { kafka, auth, runtime, .. } = self;
        Common { listen: self.ingest.listen, kafka, auth, runtime }
    }

    fn check(&self) -> Result<(), Failure> {
        self.ingest.check()?;
        self.key().map(|_| ())
    }
}

impl Settings {
    fn key(&self) -> Result<PseudonymKey, Failure> {
        let file = self.pseudonym_key.display();
        let bytes = std::fs::read(&self.pseudonym_key).map_err(|error| {
            Failure::Usage(format!("pseudonym_key: cannot read {file:?}: {error}"))
        })?;
        let key: [u8; 32] = bytes.try_into().map_err(|_| {
            Failure::Usage(format!("pseudonym_key: {file} must hold exactly 32 bytes"))
        })?;
        Ok(PseudonymKey::new(key))
    }
}

fn main() -> ExitCode {
    standalone::start("zhili-ingest", |settings: Settings, process| async move {
        let key = settings.key()?;
        let (log, context) = (process.log, process.context);
        zhili_ingest::serve(process.listener, settings.ingest, log, key, context).await
    })
}
