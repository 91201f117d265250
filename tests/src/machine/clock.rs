//! The wall clock of a program, which goes wrong when it is told to.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds what is preloaded into programs, into a folder.
///
/// # Panics
/// Without a C compiler, of which the build of the programs has need as well.
pub(crate) fn build(folder: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/machine/clock.c");
    let library = folder.join("clock.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"])
        .args([&library, &source])
        .status();
    assert!(built.as_ref().is_ok_and(std::process::ExitStatus::success), "cc: {built:?}");
}

/// One program's clock.
pub(crate) struct WallClock {
    file: PathBuf,
    library: PathBuf,
}

impl WallClock {
    /// A clock that is right, kept in a file.
    pub(crate) fn new(file: PathBuf, library: &Path) -> Self {
        let clock = Self { file, library: library.to_owned() };
        File::create(&clock.file).unwrap();
        clock.set(0);
        clock
    }

    /// From now on it is off by so many milliseconds, also after a restart of the program.
    pub(crate) fn set(&self, ms: i64) {
        // In place: the program has the file mapped.
        let file = File::options().write(true).open(&self.file).unwrap();
        file.write_all_at(&ms.to_ne_bytes(), 0).unwrap();
    }

    /// Gives a program this clock.
    pub(crate) fn give(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("CLOCK_SHIFT", &self.file);
    }
}
