//! Everything that `zhili-escalation`, the service as a process of its own, is told.

use serde::{Deserialize, Serialize};
use zhili_runtime::standalone::{self, AuthSettings, Common};
use zhili_runtime::{KafkaSettings, RuntimeConfig};

use crate::Config;

/// Settings of the process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How this process pages people; whom, is in the bundles of the tenants.
    pub escalation: Config,
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
        Common { listen: self.escalation.listen, kafka, auth, runtime }
    }
}
