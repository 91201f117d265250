//! `zhili`: real-time quality monitoring of customer-service conversations, in one binary.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks to people")]

mod explain;
mod score;
mod simulate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
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
    /// Score texts: one text for a person, or JSON lines for programs.
    Score(score::Arguments),
    /// Show how the score of one text comes about.
    Explain(explain::Arguments),
    /// Write simulated traffic with its ground truth as JSON lines.
    Simulate(simulate::Arguments),
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
        Command::Score(arguments) => score::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
    }
}
