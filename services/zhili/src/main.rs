//! `zhili`: real-time quality monitoring of customer-service conversations, in one binary.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks to people")]

mod audit;
mod backup;
mod client;
mod config;
mod dead_letters;
mod doctor;
#[cfg(test)]
mod documents;
mod duration;
mod erase;
mod explain;
mod files;
mod find;
mod fold;
mod incidents;
mod migrate;
mod pseudonym_key;
mod publish;
mod replay;
mod report;
mod restore;
mod score;
mod simulate;
mod status;
mod store;
mod tail;
mod token;
mod topics;
mod up;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use zhili_runtime::Failure;

/// Real-time quality monitoring of customer-service conversations.
#[derive(Debug, Parser)]
#[command(name = "zhili", version, max_term_width = 100, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything on this machine, in one terminal.
    Up(up::Arguments),
    /// Run the store alone: ClickHouse on one machine.
    Store(store::Arguments),
    /// Say how the running system is.
    Status(status::Arguments),
    /// Look for what keeps the system from working, and say what to do.
    Doctor(doctor::Arguments),
    /// Publish a file of events or dialogues.
    Publish(publish::Arguments),
    /// Write simulated traffic with its ground truth as JSON lines.
    Simulate(simulate::Arguments),
    /// Turn a file of events into turns, response times, signals, without a server.
    Fold(fold::Arguments),
    /// Fold the events in the log again and compare with what was stored.
    Replay(replay::Arguments),
    /// Show who has seen or done what must be answered for.
    Audit(audit::Arguments),
    /// Write a day, a week or a month on one page, as HTML or CSV.
    Report(report::Arguments),
    /// Show scores, signals and incidents as they happen.
    Tail(tail::Arguments),
    /// Score texts: one text for a person, or JSON lines for programs.
    Score(score::Arguments),
    /// Show how the score of one text comes about.
    Explain(explain::Arguments),
    /// List, acknowledge and resolve incidents.
    Incidents(incidents::Arguments),
    /// Say what an id of the platform is called here: ids are pseudonyms behind ingest.
    Find(find::Arguments),
    /// Look at records that could not be processed, and publish them again.
    DeadLetters(dead_letters::Arguments),
    /// List the topics of the log, or make those of a Kafka cluster.
    Topics(topics::Arguments),
    /// Look at and change what is in force: who is paged, targets, phrases.
    Config(config::Arguments),
    /// Write log and tables of the running system into a folder.
    Backup(backup::Arguments),
    /// Make a new data folder of a backup, and erase again who was erased since.
    Restore(restore::Arguments),
    /// Make the keys of pseudonyms, replace and retire them.
    PseudonymKey(pseudonym_key::Arguments),
    /// Erase a person, hold one back from it, and check receipts.
    Erase(erase::Arguments),
    /// Bring the schema in ClickHouse up to date.
    Migrate(migrate::Arguments),
    /// Make and list tokens.
    Token(token::Arguments),
    /// Print completions for a shell.
    Completions {
        /// bash, zsh, fish, ...
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no misuse.
            error.print().unwrap_or_default();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report("zhili"),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Up(arguments) => up::run(arguments),
        Command::Store(arguments) => store::run(arguments),
        Command::Status(arguments) => client::block_on(status::run(arguments)),
        Command::Doctor(arguments) => client::block_on(doctor::run(arguments)),
        Command::Publish(arguments) => client::block_on(publish::run(arguments)),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Fold(arguments) => fold::run(&arguments),
        Command::Replay(arguments) => client::block_on(replay::run(arguments)),
        Command::Report(arguments) => client::block_on(report::run(arguments)),
        Command::Audit(arguments) => client::block_on(audit::run(arguments)),
        Command::Tail(arguments) => client::block_on(tail::run(arguments)),
        Command::Score(arguments) => score::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Incidents(arguments) => client::block_on(incidents::run(arguments)),
        Command::Find(arguments) => client::block_on(find::run(arguments)),
        Command::DeadLetters(arguments) => client::block_on(dead_letters::run(arguments)),
        Command::Topics(arguments) => client::block_on(topics::run(arguments)),
        Command::Config(arguments) => client::block_on(config::run(arguments)),
        Command::Backup(arguments) => client::block_on(backup::run(arguments)),
        Command::Restore(arguments) => client::block_on(restore::run(arguments)),
        Command::Erase(arguments) => client::block_on(erase::run(arguments)),
        Command::PseudonymKey(arguments) => pseudonym_key::run(arguments),
        Command::Migrate(arguments) => client::block_on(migrate::run(arguments)),
        Command::Token(arguments) => token::run(arguments),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Arguments::command(),
                "zhili",
                &mut std::io::stdout(),
            );
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Arguments::command().debug_assert();
    }
}
