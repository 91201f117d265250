//! Everything that `zhili-metrics`, the service as a process of its own, is told.

use serde::{Deserialize, Serialize};
use zhili_runtime::standalone::{self, AuthSettings, Common};
use zhili_runtime::{Failure, KafkaSettings, RuntimeConfig};

use crate::{ClickHouseSettings, Config};

/// Settings of the process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Figures, erasures and the console.
    pub metrics: Config,
    /// Where the tables are.
    pub clickhouse: ClickHouseSettings,
    /// The log.
    pub kafka: KafkaSettings,
    /// Who may call.
    pub auth: AuthSettings,
    /// Logs, certificates and bounds of the process.
    pub runtime: RuntimeConfig,
}

impl standalone::Settings for Settings {
    fn common(&self) -> Common<'_> {
        let Self { kafka, auth, runtime, .. } = self;
        Common { listen: self.metrics.listen, kafka, auth, runtime }
    }

    fn check(&self) -> Result<(), Failure> {
        self.metrics.check()?;
        self.clickhouse.warehouse().map(|_| ())
    }
}
