//! Saved states of folds, kept in the log itself.
//!
//! Taken only at a committed offset. Chunks are appended first, the manifest last and under the
//! owner's fence, so a snapshot is complete or does not count.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};
use zhili_proto::log::v1::{SnapshotChunk, SnapshotManifest, snapshot_chunk};

use super::Fold;
use crate::{EventLog, LogError, NewRecord, ReadLimit, TopicPartition, topics};

/// Leaves room for keys and headers below the record limit.
const CHUNK_BYTES: usize = 900 << 10;
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

    /// Splits a state into chunk records and the manifest that completes it. The manifest comes
    /// with tombstones of what it makes unnecessary; both go into the owner's next commit. Until
    /// that commit is [`completed`](Self::complete) the snapshot does not count.
    pub(super) fn prepare<F: Fold>(
        &mut self,
        fold: &F,
        input: &TopicPartition,
        offset: u64,
        now_ms: i64,
        log_id: &str,
    ) -> Prepared {
        let id = format!("{offset:020}");
        let place = place(input);
        let state = Bytes::from(fold.save());
        let mut chunks = Vec::new();
        let mut hashes = Vec::new();
        // Some of the chunks may reach the log even if not all do, and are to be forgotten then.
        let snapshot = self.kept.entry(id.clone()).or_default();
        for (number, from) in (0..state.len().max(1)).step_by(CHUNK_BYTES).enumerate() {
            let data = state.slice(from..state.len().min(from + CHUNK_BYTES));
            hashes.push(Bytes::copy_from_slice(&Sha256::digest(&data)));
            let value = SnapshotChunk { part: Some(snapshot_chunk::Part::Data(data)) };
            let key = key(fold.name(), input.partition, &id, &number.to_string());
            chunks.push(NewRecord::new(place.clone(), key, Bytes::from(value.encode_to_vec())));
            snapshot.chunks.insert(number as u32, Bytes::new());
        }
        let manifest = SnapshotManifest {
            offset,
            now_ms,
            chunks: hashes,
            engine: fold.engine().to_owned(),
            log_id: log_id.to_owned(),
            state_hash: Bytes::copy_from_slice(&fold.hash()),
        };
        let value = SnapshotChunk { part: Some(snapshot_chunk::Part::Manifest(manifest.clone())) };
        let mut closing = vec![NewRecord::new(
            place.clone(),
            key(fold.name(), input.partition, &id, MANIFEST),
            Bytes::from(value.encode_to_vec()),
        )];
        let superseded = self.superseded_by(&id);
        for id in &superseded {
            let chunks = self.kept.get(id).into_iter().flat_map(|old| old.chunks.keys());
            let names = chunks.map(ToString::to_string).chain([MANIFEST.to_owned()]);
            closing.extend(names.map(|chunk| {
                let key = key(fold.name(), input.partition, id, &chunk);
                NewRecord::new(place.clone(), key, None)
            }));
        }
        Prepared { chunks, closing, id, manifest, superseded }
    }

    /// The chunks are in the log and the closing records were committed.
    pub(super) fn complete(&mut self, id: String, manifest: SnapshotManifest, gone: &[String]) {
        self.kept.entry(id).or_default().manifest = Some(manifest);
        for id in gone {
            self.kept.remove(id);
        }
    }

    /// All but the newest complete ones, once the one named `id` is complete; incomplete ones
    /// older than those too.
    fn superseded_by(&self, id: &str) -> Vec<String> {
        let oldest_kept = self
            .kept
            .iter()
            .rev()
            .filter(|(known, snapshot)| known.as_str() == id || snapshot.manifest.is_some())
            .nth(KEEP - 1)
            .map(|(id, _)| id.clone());
        oldest_kept.map_or_else(Vec::new, |oldest| {
            self.kept.range(..oldest).map(|(id, _)| id.clone()).collect()
        })
    }
}

/// A snapshot on its way into the log.
pub(super) struct Prepared {
    /// To be appended first.
    pub(super) chunks: Vec<NewRecord>,
    /// To be committed when all chunks are in the log.
    pub(super) closing: Vec<NewRecord>,
    pub(super) id: String,
    pub(super) manifest: SnapshotManifest,
    /// What `closing` forgets.
    pub(super) superseded: Vec<String>,
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
    fold: &F,
    input: &TopicPartition,
    offset: u64,
    now_ms: i64,
    log_id: &str,
) -> NewRecord {
    let manifest = SnapshotManifest {
        offset,
        now_ms,
        chunks: Vec::new(),
        engine: fold.engine().to_owned(),
        log_id: log_id.to_owned(),
        state_hash: Bytes::copy_from_slice(&fold.hash()),
    };
    let value = SnapshotChunk { part: Some(snapshot_chunk::Part::Manifest(manifest)) };
    let key = Bytes::from(format!("{}/{}/{HASH}", fold.name(), input.partition));
    NewRecord::new(place(input), key, Bytes::from(value.encode_to_vec()))
}

/// What a note says.
pub(super) fn read_note(record: &NewRecord) -> Option<Noted> {
    let chunk = SnapshotChunk::decode(record.value.as_deref()?).ok()?;
    let snapshot_chunk::Part::Manifest(manifest) = chunk.part? else {
        return None;
    };
    Some(Noted::from(manifest))
}
