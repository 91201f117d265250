//! The program under test, and what a machine must have to run it.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// Says in one line why a test does nothing. On CI that is a failure.
pub fn skipped(test: &str, reason: &str) {
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{test}: {reason}");
    eprintln!("skipped: {test}: {reason}");
}

/// Whether libchdb is there, which the store needs; see [`skipped`] for when it is not.
pub fn has_library(test: &str) -> bool {
    let library =
        env::var_os("ZHILI_LIBCHDB").map_or_else(zhili_store::cached_library, PathBuf::from);
    if !library.is_file() {
        skipped(test, &format!("no {}, run deploy/libchdb/fetch.sh", library.display()));
    }
    library.is_file()
}

/// The `zhili` program: that of `ZHILI_BIN`, else one built with the profile of the tests.
pub fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| env::var_os("ZHILI_BIN").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--package", "zhili", "--message-format", "json-render-diagnostics"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(
        output.status.success(),
        "cannot build zhili: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let artifacts = String::from_utf8(output.stdout).unwrap();
    let executable = artifacts
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|artifact| artifact["target"]["name"] == "zhili")
        .find_map(|artifact| artifact["executable"].as_str().map(PathBuf::from));
    executable.expect("cargo names the program that it built")
}
