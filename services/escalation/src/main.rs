//! `zhili-escalation`: the escalation service as a process of its own.

use std::process::ExitCode;
use std::sync::Arc;

use zhili_escalation::Settings;
use zhili_eventlog::runner::Bundles;
use zhili_eventlog::system_clock;
use zhili_runtime::{standalone, unusable};

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
