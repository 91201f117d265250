//! Ends the store when the process that asked for it ends.
//!
//! A pidfd of the parent is watched instead of `PR_SET_PDEATHSIG`, which fires when the parent's
//! *thread* that spawned the child ends, as threads of an async runtime's blocking pool do.

use std::io;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getpid, getppid, kill_process, pidfd_open};

use crate::StoreError;

/// Starts to watch `parent`, the process that spawned this one. When it ends, this process is
/// killed on the spot: acknowledged data is on disk, and the lock is free for a successor.
///
/// # Errors
///
/// When `parent` is not (or no longer) the parent, or the kernel is older than Linux 5.3.
pub(crate) fn die_with(parent: u32) -> Result<(), StoreError> {
    let failed = |source: io::Error| StoreError::Parent { pid: parent, source };
    let gone = || failed(io::Error::new(io::ErrorKind::NotFound, "not the parent of this process"));
    let pid = i32::try_from(parent).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| failed(errno.into()))?;
    // Only now: had the parent ended before, this process would have another one already.
    if getppid() != Some(pid) {
        return Err(gone());
    }
    thread::Builder::new()
        .name("parent-watch".into())
        .spawn(move || {
            let mut watched = [PollFd::new(&pidfd, PollFlags::IN)];
            while poll(&mut watched, None).is_err() {}
            let _ = kill_process(getpid(), Signal::KILL);
        })
        .map_err(failed)?;
    Ok(())
}
