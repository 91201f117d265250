//! `zhili-metrics`: the metrics service as a process of its own.

use std::process::ExitCode;

use zhili_metrics::Settings;
use zhili_runtime::standalone;

fn main() -> ExitCode {
    standalone::start("zhili-metrics", |settings: Settings, process| async move {
        let warehouse = settings.clickhouse.warehouse()?;
        let (log, layout) = (process.log, settings.clickhouse.layout());
        let (listener, context) = (process.listener, process.context);
        zhili_metrics::serve(listener, settings.metrics, log, warehouse, layout, context).await
    })
}
