//! `zhili-store`: ClickHouse on one machine.
#![allow(clippy::print_stderr, reason = "a program says why it does not start")]

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use zhili_store::{Key, StoreConfig, StoreError, run};

/// ClickHouse on one machine: libchdb behind ClickHouse's HTTP interface.
///
/// Writes `listening on ADDRESS` to standard output once it answers.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Data folder; made when absent.
    #[arg(long)]
    data: PathBuf,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7404")]
    listen: SocketAddr,
    /// Let `--listen` be an address that other machines reach.
    #[arg(long)]
    allow_remote: bool,
    /// The one user.
    #[arg(long, default_value = "default")]
    user: String,
    /// File that holds the user's key; else the key is taken from `ZHILI_STORE_KEY`.
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// libchdb.so; else the one that deploy/libchdb/fetch.sh put into the cache.
    #[arg(long, env = "ZHILI_LIBCHDB")]
    libchdb: Option<PathBuf>,
    /// Memory of the engine in MiB [default: a quarter of the RAM, at most 2048].
    #[arg(long)]
    memory_mib: Option<u64>,
    /// End at once when this process, the store's parent, ends.
    #[arg(long, value_name = "PID")]
    die_with_parent: Option<u32>,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            error.print().unwrap_or_default();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zhili-store: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn start(arguments: Arguments) -> Result<(), StoreError> {
    let key = match arguments.key_file {
        Some(path) => std::fs::read_to_string(&path).map_err(|source| StoreError::Io {
            what: "read the key file",
            path,
            source,
        })?,
        None => std::env::var("ZHILI_STORE_KEY").unwrap_or_default(),
    };
    let mut config = StoreConfig::new(arguments.data, Key::new(&key)?);
    config.listen = arguments.listen;
    config.allow_remote = arguments.allow_remote;
    config.user = arguments.user;
    config.libchdb = arguments.libchdb;
    config.die_with_parent = arguments.die_with_parent;
    if let Some(mib) = arguments.memory_mib {
        config.limits.memory_bytes = mib << 20;
    }
    run(config, |address| {
        // Whoever started the store may not listen; it serves all the same.
        writeln!(io::stdout(), "listening on {address}").unwrap_or_default();
    })
}
