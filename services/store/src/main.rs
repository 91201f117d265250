//! `zhili-store`: ClickHouse on one machine.
#![allow(clippy::print_stderr, reason = "a program says why it does not start")]

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;
use zhili_store::{StoreArguments, run};

/// ClickHouse on one machine: libchdb behind ClickHouse's HTTP interface.
///
/// Writes `listening on ADDRESS` to standard output once it answers.
#[derive(Parser)]
#[command(version)]
struct Command {
    #[command(flatten)]
    store: StoreArguments,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(error) => {
            error.print().unwrap_or_default();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    let ended = command.store.config().and_then(|config| {
        run(config, |address| {
            // Whoever started the store may not listen; it serves all the same.
            writeln!(io::stdout(), "listening on {address}").unwrap_or_default();
        })
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zhili-store: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
