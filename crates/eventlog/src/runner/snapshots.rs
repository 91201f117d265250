//! Saved states of folds, kept in the log itself.
//!
//! Taken only at a committed offset. Chunks first, the manifest last, so a snapshot is complete or
//! does not count. All of them go into the owner's commits: whoever is not the owner any more
//! writes none, so nothing of a state comes after the snapshot that gave it up.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};
use zhili_proto::log::v1::{SnapshotChunk, SnapshotManifest, snapshot_chunk};

use super::{Fold, Frozen};
use crate::{EventLog, LogError, NewRecord, ReadLimit, TopicPartition, topics};

/// What is folded waits for the commit that a chunk is in, so chunks are far below the record limit.
const CHUNK_BYTES: usize = 256 << 10;
/// Complete snapshots kept, newest first.
const KEEP: usize = 2;
const MANIFEST: &str = "manifest";
const HASH: &str = "hash";

/// The snapshots of one fold and partition that are in the log.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// By id, which is the offset in fixed width: complete ones have a manifest.
    kept: BTreeMap<String, Snapshot>,
    /// Hash noted last: offset and hash.
    pub(super) noted: Option<Noted>,
}

#[derive(Debug, Default)]
struct Snapshot {
    manifest: Option<SnapshotManifest>,
    chunks: BTreeMap<u32, Bytes>,
}

/// A state hash that an owner noted while it ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) offset: u64,
    pub(super) engine: String,
    pub(super) log_id: String,
    pub(super) hash: Vec<u8>,
}

impl From<SnapshotManifest> for Noted {
    fn from(manifest: SnapshotManifest) -> Self {
        Self {
            offset: manifest.offset,
            engine: manifest.engine,
            log_id: manifest.log_id,
            hash: manifest.state_hash.to_vec(),
        }
    }
}

/// A state to start from.
#[derive(Debug)]
pub(super) struct Restored {
    pub(super) offset: u64,
    pub(super) now_ms: i64,
}

fn place(input: &TopicPartition) -> TopicPartition {
    TopicPartition::new(topics::SNAPSHOTS, input.partition)
}

/// Offset in fixed width.
fn id_of(offset: u64) -> String {
    format!("{offset:020}")
}

fn key(fold: &str, partition: u32, id: &str, chunk: &str) -> Bytes {
    Bytes::from(format!("{fold}/{partition}/{id}/{chunk}"))
}

impl Snapshots {
    pub(super) async fn load(
        log: &dyn EventLog,
        fold: &str,
        input: &TopicPartition,
    ) -> Result<Self, LogError> {
        let mut snapshots = Self::default();
        let prefix = format!("{fold}/{}/", input.partition);
        let place = place(input);
        let mut next = log.bounds(&place).await?.start;
        let limit = ReadLimit { wait: Duration::from_millis(50), ..ReadLimit::default() };
        loop {
            let batch = log.read(&place, next, limit).await?;
            for record in batch.records {
                let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
                let Some(rest) = key.and_then(|key| key.strip_prefix(&prefix)) else {
                    continue;
                };
                snapshots.take(rest, record.value);
            }
            next = batch.next;
            if batch.caught_up {
                snapshots.kept.retain(|_, snapshot| {
                    snapshot.manifest.is_some() || !snapshot.chunks.is_empty()
                });
                return Ok(snapshots);
            }
        }
    }

    fn take(&mut self, rest: &str, value: Option<Bytes>) {
        let part = value.and_then(|value| SnapshotChunk::decode(value).ok()).and_then(|c| c.part);
        if rest == HASH {
            if let Some(snapshot_chunk::Part::Manifest(manifest)) = part {
                self.noted = Some(Noted::from(manifest));
            }
            return;
        }
        let Some((id, chunk)) = rest.split_once('/') else {
            return;
        };
        let snapshot = self.kept.entry(id.to_owned()).or_default();
        match (chunk, part) {
            (MANIFEST, Some(snapshot_chunk::Part::Manifest(manifest))) => {
                snapshot.manifest = Some(manifest);
            }
            (MANIFEST, _) => snapshot.manifest = None,
            (chunk, part) => {
                let Ok(number) = chunk.parse() else { return };
                match part {
                    Some(snapshot_chunk::Part::Data(data)) => {
                        snapshot.chunks.insert(number, data);
                    }
                    _ => {
                        snapshot.chunks.remove(&number);
                    }
                }
            }
        }
    }

    /// Loads the newest complete snapshot at or below `committed` into the fold. Damaged ones
    /// and those of another engine are passed over.
    pub(super) fn restore<F: Fold>(
        &mut self,
        fold: &mut F,
        committed: u64,
        log_id: &str,
    ) -> Result<Option<Restored>, Recreated> {
        let mut restored = None;
        for snapshot in self.kept.values().rev() {
            let Some(manifest) = &snapshot.manifest else {
                continue;
            };
            if manifest.log_id != log_id {
                return Err(Recreated);
            }
            if manifest.offset > committed || manifest.engine != fold.engine() {
                continue;
            }
            match snapshot.state(manifest).and_then(|state| {
                fold.load(&state)?;
                if fold.hash().as_slice() == manifest.state_hash {
                    Ok(())
                } else {
                    Err("its hash differs".to_owned())
                }
            }) {
                Ok(()) => {
                    restored = Some(Restored { offset: manifest.offset, now_ms: manifest.now_ms });
                    break;
                }
                Err(error) => {
                    tracing::error!(fold = fold.name(), offset = manifest.offset, %error, "cannot use a snapshot");
                }
            }
        }
        // The bytes are not needed again, only the names, to forget them in the log one day.
        for snapshot in self.kept.values_mut() {
            for chunk in snapshot.chunks.values_mut() {
                *chunk = Bytes::new();
            }
        }
        Ok(restored)
    }

    /// The records that complete a snapshot whose chunks are in the log: its manifest, with
    /// tombstones of what it makes unnecessary. They go into the owner's next commit; until that
    /// commit is [`completed`](Self::complete) the snapshot does not count.
    pub(super) fn close(&mut self, made: &Made) -> Closing {
        let Made { fold, input, manifest, keep, .. } = made;
        let id = id_of(manifest.offset);
        let value = SnapshotChunk { part: Some(snapshot_chunk::Part::Manifest(manifest.clone())) };
        let mut records = vec![NewRecord::new(
            place(input),
            key(fold, input.partition, &id, MANIFEST),
            Bytes::from(value.encode_to_vec()),
        )];
        let superseded = self.superseded_by(&id, *keep);
        for id in &superseded {
            let chunks = self.kept.get(id).into_iter().flat_map(|old| old.chunks.keys());
            let names = chunks.map(ToString::to_string).chain([MANIFEST.to_owned()]);
            records.extend(names.map(|chunk| {
                NewRecord::new(place(input), key(fold, input.partition, id, &chunk), None)
            }));
        }
        Closing { records, superseded }
    }

    /// Chunks of a snapshot are about to be committed: until it is complete, they are forgotten with
    /// those that the next one makes unnecessary.
    pub(super) fn begin(&mut self, made: &Made) {
        let snapshot = self.kept.entry(id_of(made.manifest.offset)).or_default();
        let count = made.manifest.chunks.len() as u32;
        snapshot.chunks = (0..count).map(|number| (number, Bytes::new())).collect();
    }

    /// The closing records were committed.
    pub(super) fn complete(&mut self, made: Made, closing: &Closing) {
        let id = id_of(made.manifest.offset);
        self.kept.entry(id).or_default().manifest = Some(made.manifest);
        for id in &closing.superseded {
            self.kept.remove(id);
        }
    }

    /// All but the newest `keep` complete ones, once the one named `id` is complete; incomplete ones
    /// older than those too.
    fn superseded_by(&self, id: &str, keep: usize) -> Vec<String> {
        let oldest_kept = self
            .kept
            .iter()
            .rev()
            .filter(|(known, snapshot)| known.as_str() == id || snapshot.manifest.is_some())
            .nth(keep - 1)
            .map(|(id, _)| id.clone());
        oldest_kept.map_or_else(Vec::new, |oldest| {
            self.kept.range(..oldest).map(|(id, _)| id.clone()).collect()
        })
    }
}

/// A snapshot that is to be written.
pub(super) struct Draft {
    fold: &'static str,
    input: TopicPartition,
    state: Frozen,
    /// Complete snapshots that stay, this one included.
    keep: usize,
    /// Without chunks so far.
    manifest: SnapshotManifest,
}

/// A snapshot whose bytes are there, on its way into the log.
#[derive(Debug)]
pub(super) struct Made {
    fold: &'static str,
    input: TopicPartition,
    manifest: SnapshotManifest,
    keep: usize,
    /// Not yet committed, with their numbers.
    chunks: VecDeque<(usize, Bytes)>,
}

impl Made {
    /// The position whose state it holds.
    pub(super) const fn offset(&self) -> u64 {
        self.manifest.offset
    }

    /// The next chunk, to be committed.
    pub(super) fn next_chunk(&mut self) -> Option<NewRecord> {
        let (number, data) = self.chunks.pop_front()?;
        let value = SnapshotChunk { part: Some(snapshot_chunk::Part::Data(data)) };
        let id = id_of(self.manifest.offset);
        let key = key(self.fold, self.input.partition, &id, &number.to_string());
        Some(NewRecord::new(place(&self.input), key, Bytes::from(value.encode_to_vec())))
    }

    /// Whether only what completes it is left to be committed.
    pub(super) fn is_written(&self) -> bool {
        self.chunks.is_empty()
    }
}

/// What completes a snapshot.
pub(super) struct Closing {
    /// To be committed.
    pub(super) records: Vec<NewRecord>,
    /// Snapshots that these forget.
    superseded: Vec<String>,
}

impl Draft {
    /// A snapshot of the state at `offset`. Costs the fold little time; its bytes are to be
    /// [made](Self::make) beside it.
    pub(super) fn new<F: Fold>(
        fold: &mut F,
        input: &TopicPartition,
        offset: u64,
        now_ms: i64,
        log_id: &str,
    ) -> Self {
        let manifest = manifest(fold, offset, now_ms, log_id);
        let (fold, state, input) = (fold.name(), fold.freeze(), input.clone());
        Self { fold, input, state, keep: KEEP, manifest }
    }

    /// The same, after which no earlier snapshot stays.
    pub(super) fn alone(self) -> Self {
        Self { keep: 1, ..self }
    }

    /// Makes the bytes. Takes time: belongs on a thread that may work.
    pub(super) fn make(self) -> Made {
        let Self { fold, input, state, keep, mut manifest } = self;
        let state = Bytes::from(state());
        let starts = (0..state.len().max(1)).step_by(CHUNK_BYTES);
        let chunk = |from: usize| state.slice(from..state.len().min(from + CHUNK_BYTES));
        let chunks: Vec<Bytes> = starts.map(chunk).collect();
        let hash = |chunk: &Bytes| Bytes::copy_from_slice(&Sha256::digest(chunk));
        manifest.chunks = chunks.iter().map(hash).collect();
        let chunks = chunks.into_iter().enumerate().collect();
        Made { fold, input, manifest, keep, chunks }
    }
}

impl Snapshot {
    fn state(&self, manifest: &SnapshotManifest) -> Result<Vec<u8>, String> {
        let mut state = Vec::new();
        for (number, hash) in manifest.chunks.iter().enumerate() {
            let data = self
                .chunks
                .get(&(number as u32))
                .ok_or_else(|| format!("chunk {number} is missing"))?;
            if Sha256::digest(data).as_slice() != hash.as_ref() {
                return Err(format!("chunk {number} is damaged"));
            }
            state.extend_from_slice(data);
        }
        Ok(state)
    }
}

/// The input topic is not the one that the snapshots were made from.
#[derive(Debug)]
pub(super) struct Recreated;

/// The note of a state hash, to be committed with the outputs of the records before `offset`.
pub(super) fn note<F: Fold>(
    fold: &mut F,
    input: &TopicPartition,
    offset: u64,
    now_ms: i64,
    log_id: &str,
) -> NewRecord {
    let manifest = manifest(fold, offset, now_ms, log_id);
    let value = SnapshotChunk { part: Some(snapshot_chunk::Part::Manifest(manifest)) };
    let key = Bytes::from(format!("{}/{}/{HASH}", fold.name(), input.partition));
    NewRecord::new(place(input), key, Bytes::from(value.encode_to_vec()))
}

/// What identifies a state, without chunks.
fn manifest<F: Fold>(fold: &mut F, offset: u64, now_ms: i64, log_id: &str) -> SnapshotManifest {
    SnapshotManifest {
        offset,
        now_ms,
        chunks: Vec::new(),
        engine: fold.engine().to_owned(),
        log_id: log_id.to_owned(),
        state_hash: Bytes::copy_from_slice(&fold.hash()),
    }
}

/// What a note says.
pub(super) fn read_note(record: &NewRecord) -> Option<Noted> {
    let chunk = SnapshotChunk::decode(record.value.as_deref()?).ok()?;
    let snapshot_chunk::Part::Manifest(manifest) = chunk.part? else {
        return None;
    };
    Some(Noted::from(manifest))
}
