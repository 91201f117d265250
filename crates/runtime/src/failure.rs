use std::io::Write as _;
use std::process::ExitCode;

/// Why a process ends with anything but success, with the exit code that says so to scripts.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command ran and found problems: 1.
    #[error("{0}")]
    Problems(String),
    /// Wrong arguments or configuration: 64.
    #[error("{0}")]
    Usage(String),
    /// Something it depends on is not there: 69.
    #[error("{0}")]
    Unavailable(String),
    /// A file or device cannot be read or written: 74.
    #[error("{0}")]
    Io(String),
    /// It would work later: 75.
    #[error("{0}")]
    TryAgain(String),
}

impl Failure {
    /// The code of `sysexits.h`, or 1.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Problems(_) => 1,
            Self::Usage(_) => 64,
            Self::Unavailable(_) => 69,
            Self::Io(_) => 74,
            Self::TryAgain(_) => 75,
        }
    }

    /// Says on standard error why the process ends, and gives the code to end with.
    #[must_use]
    pub fn report(&self, program: &str) -> ExitCode {
        // Where nobody can be told, the exit code still tells.
        writeln!(std::io::stderr(), "{program}: {self}").unwrap_or_default();
        ExitCode::from(self.code())
    }
}
