//! A process whose standard error goes to a full disk.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

use std::fs::File;
use std::process::{Command, Stdio};

use zhili_runtime::Failure;
use zhili_runtime::telemetry::{self, LogFormat, TelemetryConfig};

/// Logs in both formats; a part of the other test, which gives it nowhere to write.
#[test]
#[ignore = "a part of what_cannot_be_logged_ends_nothing"]
fn a_process_that_logs() {
    let format = match std::env::var("FORMAT").as_deref() {
        Ok("json") => LogFormat::Json,
        _ => LogFormat::Pretty,
    };
    let config = TelemetryConfig { format, ..TelemetryConfig::default() };
    let _telemetry = telemetry::start("test", &config).unwrap();
    tracing::error!("the disk is full");
    let _ = Failure::Io("the disk is full".to_owned()).report("test");
}

#[test]
fn what_cannot_be_logged_ends_nothing() {
    for format in ["pretty", "json"] {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_process_that_logs", "--ignored", "--nocapture"])
            .env("FORMAT", format)
            .stdout(Stdio::null())
            .stderr(File::options().write(true).open("/dev/full").unwrap())
            .status()
            .unwrap();
        assert!(status.success(), "{format}: {status}");
    }
}
