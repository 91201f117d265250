//! `zhili-store`: ClickHouse on one machine.

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
    // Otherwise a line that a full disk does not take is a panic of the thread that logs it.
    tracing_subscriber::fmt().with_writer(io::stderr).log_internal_errors(false).init();
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
            writeln!(io::stderr(), "zhili-store: {error}").unwrap_or_default();
            ExitCode::from(error.exit_code())
        }
    }
}
