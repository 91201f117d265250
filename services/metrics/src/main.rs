//! `zhili-metrics`: the metrics service as a process of its own.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use zhili_metrics::{ClickHouseSettings, Config};
use zhili_runtime::standalone::{self, AuthSettings, Common};
use zhili_runtime::{Failure, KafkaSettings, RuntimeConfig};

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    metrics: Config,
    clickhouse: ClickHouseSettings,
    kafka: KafkaSettings,
    auth: AuthSettings,
    runtime: RuntimeConfig,
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

fn main() -> ExitCode {
    standalone::start("zhili-metrics", |settings: Settings, process| async move {
        let warehouse = settings.clickhouse.reach().await?;
        let (log, layout) = (process.log, settings.clickhouse.layout());
        let (listener, context) = (process.listener, process.context);
        zhili_metrics::serve(listener, settings.metrics, log, warehouse, layout, context).await
    })
}
