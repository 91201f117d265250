//! What a run came to, as `target/chaos/report.json` has it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::oracle::Verdict;

/// One run. The file is an array of them, the newest last.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// `embedded` or `kafka`.
    pub log: String,
    /// Traffic and faults follow from it.
    pub seed: u64,
    /// How long traffic and faults went on.
    pub minutes: f64,
    /// Acknowledged, again and conflicting ones and poison counted.
    pub events: u64,
    /// How often each kind of fault was injected.
    pub faults: BTreeMap<String, u64>,
    /// What is wrong with what was kept; its duplicates count rows of facts too that stand for one
    /// record twice, its examples are of everything.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Processes that ended by themselves in another way than by saying that what they need is
    /// not there.
    pub crashes: u64,
    /// Facts of the log that a replay of it does not give, and rows of tables that are not what
    /// the log says.
    pub differing_facts: u64,
    /// Whether everything was read and ready in time after the last fault.
    pub idle: bool,
    /// Urgent events among the acknowledged.
    pub urgent: u64,
    /// Pages that arrived, copies not counted.
    pub pages: u64,
    /// From the answer to the publisher until the page arrived, milliseconds: half of the urgent events
    /// took no longer.
    pub page_p50_ms: f64,
    /// The same of 99 in 100.
    pub page_p99_ms: f64,
    /// Processes that ended by saying that what they need is not there, and brokers whose disk failed, which
    /// were all started again: how often, by name.
    pub restarts: BTreeMap<String, u64>,
    /// Segments that brokers found damaged and deleted, as Kafka 4.2 sometimes does after a full disk; the
    /// other brokers have what was in them.
    pub deleted_by_brokers: u64,
    /// Seconds from the end of the last fault until everything was read and ready.
    pub recovery_s: f64,
    /// Most resident memory of each program, in MiB.
    pub peak_mib: BTreeMap<String, u64>,
}

impl Report {
    /// Whether the run kept every promise.
    pub fn is_clean(&self) -> bool {
        self.idle && self.crashes == 0 && self.differing_facts == 0 && self.verdict.is_clean()
    }
}

/// Appends a run to the array in a file.
///
/// # Errors
/// When the file cannot be written or holds something else.
pub fn append_to(file: &Path, run: &impl Serialize) -> std::io::Result<()> {
    let mut runs: Vec<serde_json::Value> = match std::fs::read(file) {
        Ok(text) => serde_json::from_slice(&text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    runs.push(serde_json::to_value(run)?);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, serde_json::to_vec_pretty(&runs)?)
}
