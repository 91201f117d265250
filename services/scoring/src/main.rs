//! `zhili-scoring`: the scoring service as a process of its own.

use std::process::ExitCode;
use std::sync::Arc;

use zhili_eventlog::runner::Bundles;
use zhili_eventlog::system_clock;
use zhili_runtime::{standalone, unusable};
use zhili_scoring::{Config, Settings};

fn main() -> ExitCode {
    standalone::start("zhili-scoring", |settings: Settings, process| async move {
        let config = Config { partitions: settings.kafka.partitions, ..settings.scoring };
        let (log, context) = (process.log, process.context);
        let bundles = Bundles::follow(Arc::clone(&log), context.shutdown.clone())
            .await
            .map_err(|error| unusable(&error))?;
        zhili_scoring::serve(process.listener, config, log, bundles, system_clock(), context).await
    })
}
