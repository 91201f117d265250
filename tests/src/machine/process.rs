//! A program that is started again when it ends, as whoever runs it in production does.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::system::children;

/// Between the end of a program and its next start.
const PAUSE: Duration = Duration::from_millis(300);

/// How long a program may take to end that was told to, on a busy machine: they promise 30 s.
const DRAIN: Duration = Duration::from_secs(45);

/// How a program ended that nobody told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It said that what it needs is not there: exit codes 69, 74 and 75.
    GaveUp,
    /// In another way.
    Crashed(ExitStatus),
    /// It was told to stop, did not within the time for that, and was killed.
    Stuck,
}

/// A program under supervision. Killed when dropped.
pub(crate) struct Process {
    pub(crate) name: String,
    make: Box<dyn Fn() -> Command + Send + Sync>,
    words: PathBuf,
    child: Option<Child>,
    /// Whether it is to run.
    wanted: bool,
    not_before: Instant,
    /// Told to stop; killed if it has not by then.
    leaves_by: Option<Instant>,
    /// The program is a child of what was started, of this name.
    inner: Option<&'static str>,
    /// Most resident memory, MiB.
    pub(crate) peak_mib: u64,
}

impl Process {
    /// What `make` gives, with its words in the file `words`. Not started yet.
    pub(crate) fn new(
        name: impl Into<String>,
        words: PathBuf,
        make: impl Fn() -> Command + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            make: Box::new(make),
            words,
            child: None,
            wanted: false,
            not_before: Instant::now(),
            leaves_by: None,
            inner: None,
            peak_mib: 0,
        }
    }

    /// Signals go to the child of this name.
    pub(crate) fn within(mut self, name: &'static str) -> Self {
        self.inner = Some(name);
        self
    }

    /// Starts it, and from now on again whenever it ends.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
        self.not_before = Instant::now();
        self.start();
    }

    fn start(&mut self) {
        if self.child.is_some() {
            return;
        }
        let file = File::options().create(true).append(true).open(&self.words).unwrap();
        let mut command = (self.make)();
        // Closed when this process ends, which ends what is tied to it.
        command.stdin(Stdio::piped()).stdout(file.try_clone().unwrap()).stderr(file);
        self.child = Some(command.spawn().unwrap());
    }

    /// Looks whether it ended by itself, and starts it again if so.
    pub(crate) fn supervise(&mut self) -> Option<End> {
        let pid = self.pid();
        let Some(child) = &mut self.child else {
            if self.wanted && Instant::now() >= self.not_before {
                self.start();
            }
            return None;
        };
        if let Some(status) = child.try_wait().unwrap() {
            self.child = None;
            self.not_before = Instant::now() + PAUSE;
            let told_to = self.leaves_by.take().is_some();
            return (self.wanted && !told_to).then(|| match status.code() {
                Some(69 | 74 | 75) => End::GaveUp,
                _ => End::Crashed(status),
            });
        }
        if self.leaves_by.is_some_and(|by| Instant::now() > by) {
            let wanted = self.wanted;
            self.kill();
            self.wanted = wanted;
            return Some(End::Stuck);
        }
        self.peak_mib = self.peak_mib.max(pid.map_or(0, peak_mib));
        None
    }

    pub(crate) fn pid(&self) -> Option<Pid> {
        let outer = Pid::from_child(self.child.as_ref()?);
        let Some(name) = self.inner else { return Some(outer) };
        let is_it = |pid: &Pid| {
            let file = format!("/proc/{}/comm", pid.as_raw_nonzero());
            std::fs::read_to_string(file).is_ok_and(|comm| comm.trim() == name)
        };
        children(outer).into_iter().find(is_it)
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Sends a signal; false where there is nobody to take it.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        self.pid().is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    /// SIGKILL, and waits until it is gone; it stays away until it is wanted again.
    pub(crate) fn kill(&mut self) -> bool {
        self.wanted = false;
        self.leaves_by = None;
        let hit = self.signal(Signal::KILL);
        if let Some(mut child) = self.child.take() {
            if self.inner.is_none() || !hit {
                child.kill().ok();
            }
            child.wait().unwrap();
        }
        hit
    }

    /// SIGTERM; it stays away until it is wanted again, and has [`DRAIN`] to go.
    pub(crate) fn stop(&mut self) -> bool {
        self.wanted = false;
        let hit = self.signal(Signal::TERM);
        self.leaves_by = hit.then(|| Instant::now() + DRAIN);
        hit
    }

    /// From now on no file grows beyond some bytes, or every one as it likes.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) -> bool {
        let limit = Rlimit { current: bytes, maximum: None };
        self.pid().is_some_and(|pid| prlimit(Some(pid), Resource::Fsize, limit).is_ok())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn peak_mib(pid: Pid) -> u64 {
    let file = format!("/proc/{}/status", pid.as_raw_nonzero());
    let status = std::fs::read_to_string(file).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1_024
}

/// The program with its arguments, which a limit on the size of files gives an error rather than a
/// signal: as a disk does that refuses to be written.
pub(crate) fn command(program: &std::path::Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(program);
    for (name, _) in std::env::vars_os() {
        let own = name.to_string_lossy();
        if own.starts_with("ZHILI_") && own != "ZHILI_CACHE" && own != "ZHILI_LIBCHDB" {
            command.env_remove(&name);
        }
    }
    command
}
