//! Clients from Python, in a virtual environment below the target folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::skipped;

/// The interpreter of an environment with these packages, made on first use; `None`, after one
/// line that says why, where there is no Python or no package index. On CI that is a failure.
pub fn python_with(test: &str, packages: &[&str]) -> Option<PathBuf> {
    let name = format!("python-{}", packages.join("-"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target").join(name);
    let python = folder.join("bin/python");
    let complete = folder.join("complete");
    if complete.is_file() {
        return Some(python);
    }
    let made = run(Command::new("python3").args(["-m", "venv"]).arg(&folder)).and_then(|()| {
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages))
    });
    match made {
        Ok(()) => {
            std::fs::write(complete, "").unwrap();
            Some(python)
        }
        Err(reason) => {
            skipped(test, &reason);
            None
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().display().to_string();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.lines().last().unwrap_or("no message");
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {last}")) }
}
