//! How much memory the process takes, against how much it may.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::Condition;
use crate::scrape::gauge;

/// Of the limit, in percent; beyond it no new events are taken in, so that what is under way has room.
const FULL_PERCENT: u64 = 80;
/// How old a reading may be: one costs some microseconds, and many may ask.
const FRESH: Duration = Duration::from_millis(10);

/// Resident memory of this process and its limit. Cheap to clone.
#[derive(Clone)]
pub struct Memory {
    limit: u64,
    read: Arc<dyn Fn() -> u64 + Send + Sync>,
    last: Arc<Mutex<Option<(Instant, u64)>>>,
}

impl Memory {
    /// Of this process. `limit` is bytes of resident memory; 0 for what the machine has, or the
    /// control group of the process allows.
    pub fn of_process(limit: u64) -> Self {
        let limit = if limit == 0 { available() } else { limit };
        Self::read_by(limit, resident)
    }

    fn read_by(limit: u64, read: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { limit, read: Arc::new(read), last: Arc::default() }
    }

    /// Most that the process may take, bytes.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// What it takes, bytes; a hundredth of a second old at most.
    pub fn used(&self) -> u64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((at, used)) if at.elapsed() < FRESH => used,
            _ => {
                let used = (self.read)();
                *last = Some((Instant::now(), used));
                used
            }
        }
    }

    /// Whether no new events should be taken in: it takes four fifths of what it may.
    pub fn is_full(&self) -> bool {
        self.used() / 100 >= self.limit / 100 * FULL_PERCENT / 100
    }

    pub(crate) fn condition(&self) -> Condition {
        if !self.is_full() {
            return Condition::Ready;
        }
        Condition::Warning(format!(
            "{} of {} MiB are in use (runtime.memory_mib): give it more, or its partitions more \
             replicas; where it takes events in, publishers are told to come again",
            self.used() >> 20,
            self.limit >> 20
        ))
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::of_process(0)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.used(), self.limit)
    }
}

impl Collector for Memory {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for (name, help, value) in [
            ("memory_bytes", "Resident memory of the process", self.used()),
            ("memory_limit_bytes", "Most that the process may take", self.limit),
        ] {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            gauge(&mut encoder, name, help)?.encode_gauge(&value)?;
        }
        Ok(())
    }
}

/// Resident bytes of this process; 0 where the system does not say.
fn resident() -> u64 {
    fs::read_to_string("/proc/self/status").map_or(0, |text| kibibytes(&text, "VmRSS:"))
}

/// What the machine has, or less where a control group says so; all there is where nobody says.
fn available() -> u64 {
    let machine =
        fs::read_to_string("/proc/meminfo").map_or(0, |text| kibibytes(&text, "MemTotal:"));
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = limits_of_groups(Path::new("/sys/fs/cgroup"), &own);
    std::iter::once(machine).filter(|bytes| *bytes > 0).chain(groups).min().unwrap_or(u64::MAX)
}

/// A value of `/proc` in bytes; 0 where it is missing.
fn kibibytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

/// Limits of the group of a process and of all above it (control groups, version 2).
fn limits_of_groups(root: &Path, own: &str) -> Vec<u64> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let group: PathBuf = root.join(own);
    let groups = group.ancestors().take_while(|folder| folder.starts_with(root));
    let limit = |folder: &Path| fs::read_to_string(folder.join("memory.max")).ok();
    groups.filter_map(|folder| limit(folder)?.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn this_process_takes_memory_and_the_machine_has_more() {
        let memory = Memory::default();
        assert!(memory.used() > 0, "{memory:?}");
        assert!(memory.used() < memory.limit(), "{memory:?}");
    }

    #[test]
    fn four_fifths_are_full_and_say_so() {
        let used = Arc::new(AtomicU64::new(79 << 20));
        let memory = |used: &Arc<AtomicU64>| {
            let used = Arc::clone(used);
            Memory::read_by(100 << 20, move || used.load(Ordering::Relaxed))
        };
        assert_eq!(memory(&used).condition(), Condition::Ready);
        used.store(80 << 20, Ordering::Relaxed);
        let Condition::Warning(words) = memory(&used).condition() else { panic!("no warning") };
        assert!(words.starts_with("80 of 100 MiB"), "{words}");
    }

    #[test]
    fn the_least_limit_of_a_group_and_those_above_it_counts() {
        let root = tempfile::tempdir().unwrap();
        let below = root.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        fs::write(root.path().join("a/memory.max"), "1000\n").unwrap();
        fs::write(below.join("memory.max"), "max\n").unwrap();
        fs::write(root.path().join("memory.max"), "3000\n").unwrap();
        assert_eq!(limits_of_groups(root.path(), "0::/a/b\n"), [1000, 3000]);
        assert_eq!(limits_of_groups(root.path(), "0::/\n"), [3000]);
        assert_eq!(limits_of_groups(root.path(), "12:memory:/a\n"), [3000]);
    }

    #[test]
    fn a_value_of_proc_is_read_by_its_name() {
        let text = "VmHWM:\t  200 kB\nVmRSS:\t  100 kB\n";
        assert_eq!(kibibytes(text, "VmRSS:"), 102_400);
        assert_eq!(kibibytes(text, "VmSwap:"), 0);
    }
}
