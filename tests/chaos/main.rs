//! The long run of the conservation oracle: `make chaos`. By itself:
//! `chaos LOG [--minutes N] [--seed N] [--rate N] [--only WORD]... [--no-disks] [--older FOLDER]
//! --report FILE`, where LOG is `embedded` or `kafka`; `chaos overload N [--memory MIB]` offers N times
//! what a slow `zhili up` can take instead, which may take so much memory. The programs are those of ZHILI_BIN and its folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use zhili_tests::conservation::append_to;
use zhili_tests::conservation::plan::Home;
use zhili_tests::machine::{Run, overload, run};

/// Above a million events in half an hour, with what faults cost.
const RATE: u32 = 700;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(chaos())
}

async fn chaos() -> ExitCode {
    let mut asked = Run {
        home: Home::Embedded,
        seed: 1,
        length: Duration::from_secs(30 * 60),
        rate: RATE,
        disks: true,
        older: None,
        only: Vec::new(),
        words: PathBuf::new(),
    };
    let (mut times, mut limit_mib) = (None, 1_000);
    let mut file = PathBuf::from("target/chaos/report.json");
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("a value behind it");
        match &*argument {
            "embedded" => asked.home = Home::Embedded,
            "kafka" => asked.home = Home::Kafka,
            "overload" => times = Some(value().parse().expect("how many times what it can take")),
            "--memory" => limit_mib = value().parse().expect("MiB"),
            "--minutes" => {
                let minutes: f64 = value().parse().expect("a number of minutes");
                asked.length = Duration::from_secs_f64(minutes * 60.0);
            }
            "--seed" => asked.seed = value().parse().expect("a number"),
            "--rate" => asked.rate = value().parse().expect("events a second"),
            "--only" => asked.only.push(value()),
            "--older" => asked.older = Some(value().into()),
            "--no-disks" => asked.disks = false,
            "--report" => file = value().into(),
            other => panic!("{other} is no argument of this"),
        }
    }
    asked.words = file.with_file_name(format!("{}-{}", asked.home.name(), asked.seed));
    if let Some(times) = times {
        let report = overload(&asked, times, limit_mib).await;
        append_to(&file, &report).unwrap();
        println!("{}", serde_json::to_string_pretty(&report).unwrap());
        return if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let report = run(&asked).await;
    append_to(&file, &report).unwrap();
    println!("{}", serde_json::to_string_pretty(&report).unwrap());
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
