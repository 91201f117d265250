//! `zhili-escalation`: the escalation service as a process of its own.

use std::process::ExitCode;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zhili_escalation::Config;
use zhili_eventlog::runner::Bundles;
use zhili_eventlog::system_clock;
use zhili_runtime::standalone::{self, AuthSettings, Common};
use zhili_runtime::{KafkaSettings, RuntimeConfig, unusable};

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    escalation: Config,
    kafka: KafkaSettings,
    auth: AuthSettings,
    runtime: RuntimeConfig,
}

impl standalone::Settings for Settings {
    fn common(&self) -> Common<'_> {
        let Self { kafka, auth, runtime, .. } = self;
        Common { listen: self.escalation.listen, kafka, auth, runtime }
    }
}

fn main() -> ExitCode {
    standalone::start("zhili-escalation", |settings: Settings, process| async move {
        let config = settings.escalation;
        let (log, context) = (process.log, process.context);
        let bundles = Bundles::follow(Arc::clone(&log), context.shutdown.clone())
            .await
            .map_err(|error| unusable(&error))?;
        zhili_escalation::serve(process.listener, config, log, bundles, system_clock(), context)
            .await
    })
}
