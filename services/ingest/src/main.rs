//! `zhili-ingest`: the ingest service as a process of its own.

use std::process::ExitCode;

use zhili_ingest::{Keys, Settings};
use zhili_runtime::standalone;

fn main() -> ExitCode {
    standalone::start("zhili-ingest", |settings: Settings, process| async move {
        let keys = Keys::of_file(&settings.pseudonym_key)?;
        let (log, context) = (process.log, process.context);
        zhili_ingest::serve(process.listener, settings.ingest, log, keys, context).await
    })
}
