//! A fold for tests of the runner.
#![allow(dead_code, clippy::unwrap_used, reason = "a module of test binaries")]

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use zhili_eventlog::runner::{Entry, Erasure, Fold, Frozen, Marker, Outputs, Undecodable};
use zhili_eventlog::{Record, topics};
use zhili_proto::log::v1::DeadLetter;

const PATIENCE: Duration = Duration::from_secs(60);

/// Sums what it is given and says each sum; 1,000 ms after a name was first seen says its total
/// and forgets it. What comes late has its total due 500 ms ago. A name that is `unwanted` is a dead
/// letter.
#[derive(Clone, Default)]
pub(crate) struct Sums {
    pub(crate) greeting: String,
    pub(crate) sequence: u64,
    /// Name to (sum, due).
    pub(crate) open: BTreeMap<String, (i64, i64)>,
    /// Totals said in this life.
    pub(crate) fired: usize,
    /// Makes the engine lie about being the same.
    pub(crate) crooked: bool,
    pub(crate) gate: Option<Gate>,
}

impl Sums {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let open = self.open.iter().map(|(name, (sum, due))| format!("|{name},{sum},{due}"));
        let open: String = open.collect();
        format!("{}|{}{open}", self.greeting, self.sequence).into_bytes()
    }

    fn say(&self, text: &str, outputs: &mut Outputs) {
        outputs.emit(topics::FACTS, b"k", Bytes::from(format!("{}{text}", self.greeting)));
    }
}

impl Fold for Sums {
    type Input = (String, i64, i64);

    fn name(&self) -> &'static str {
        "sums"
    }
    fn engine(&self) -> &'static str {
        "1"
    }
    fn decode(&self, record: &Record) -> Result<Entry<Self::Input>, Undecodable> {
        let text = std::str::from_utf8(record.value.as_deref().unwrap_or_default()).unwrap();
        let words: Vec<&str> = text.split(' ').collect();
        let poison = || Undecodable::Poison { reason: "undecodable", detail: "not a sum".into() };
        match words.as_slice() {
            [kind @ ("add" | "late"), name, value] => {
                let value = value.parse().map_err(|_| poison())?;
                let after_ms = if *kind == "add" { 1_000 } else { -500 };
                Ok(Entry::Input(((*name).to_owned(), value, after_ms)))
            }
            ["tick", at] => Ok(Entry::Tick { at_ms: at.parse().map_err(|_| poison())? }),
            ["marker", tenant, bundle, sequence] => Ok(Entry::Marker(Marker {
                tenant: (*tenant).to_owned(),
                bundle: (*bundle).to_owned(),
                sequence: sequence.parse().map_err(|_| poison())?,
            })),
            ["erase", name] => Ok(Entry::Erasure(Erasure::new("e", "t", [1; 32], [*name]))),
            ["new-kind"] => Err(Undecodable::UnknownKind),
            _ => Err(poison()),
        }
    }
    fn encode_tick(&self, at_ms: i64) -> Bytes {
        Bytes::from(format!("tick {at_ms}"))
    }
    fn encode_marker(&self, marker: &Marker) -> Bytes {
        Bytes::from(format!("marker {} {} {}", marker.tenant, marker.bundle, marker.sequence))
    }
    fn advance(&mut self, now_ms: i64, outputs: &mut Outputs) {
        while let Some(due) = self.next_due().filter(|due| *due <= now_ms) {
            let name = self.open.iter().find(|(_, (_, d))| *d == due).unwrap().0.clone();
            let (sum, _) = self.open.remove(&name).unwrap();
            self.fired += 1;
            self.say(&format!("{name} is {sum} at {due}"), outputs);
        }
    }
    fn apply(&mut self, now_ms: i64, record: &Record, input: Self::Input, outputs: &mut Outputs) {
        let (name, value, after_ms) = input;
        if name == "unwanted" {
            outputs.dead_letter(record, DeadLetter::default());
            return;
        }
        let entry = self.open.entry(name.clone()).or_insert((0, now_ms + after_ms));
        entry.0 += value;
        let sum = entry.0;
        self.say(&format!("{name} has {sum} at {now_ms}"), outputs);
    }
    fn configure(
        &mut self,
        _: i64,
        marker: &Marker,
        bundle: &[u8],
        _: &mut Outputs,
    ) -> Result<(), String> {
        self.greeting = String::from_utf8(bundle.to_vec()).map_err(|error| error.to_string())?;
        self.sequence = marker.sequence;
        Ok(())
    }
    fn erase(&mut self, _: i64, erasure: &Erasure, _: &mut Outputs) {
        self.open.retain(|name, _| !erasure.names("t", name));
    }
    fn config_sequence(&self, _: &str) -> u64 {
        self.sequence
    }
    fn next_due(&self) -> Option<i64> {
        self.open.values().map(|(_, due)| *due).min()
    }
    fn freeze(&self) -> Frozen {
        let bytes = self.bytes();
        let gate = self.gate.clone();
        Box::new(move || {
            if let Some(gate) = gate {
                gate.wait();
            }
            bytes
        })
    }
    fn load(&mut self, state: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(state).map_err(|error| error.to_string())?;
        let mut parts = text.split('|');
        parts.next().unwrap().clone_into(&mut self.greeting);
        self.sequence = parts.next().unwrap().parse().unwrap();
        self.open = parts
            .map(|part| {
                let fields: Vec<&str> = part.split(',').collect();
                (fields[0].to_owned(), (fields[1].parse().unwrap(), fields[2].parse().unwrap()))
            })
            .collect();
        Ok(())
    }
    fn hash(&mut self) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.bytes())
            .chain_update([u8::from(self.crooked)])
            .finalize()
            .into()
    }
}

/// Keeps snapshots from being written until it is opened.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let is_open = self.0.0.lock().unwrap();
        let (is_open, _) =
            self.0.1.wait_timeout_while(is_open, PATIENCE, |is_open| !*is_open).unwrap();
        assert!(*is_open);
    }
}
