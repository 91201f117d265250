//! The log written anew: without some of its records, or into another place.
//!
//! redb frees pages without overwriting them, so what was removed stays readable in the file until
//! something else happens to need the page. A file written from what is live holds nothing else.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use redb::{
    Builder, Database, Key, ReadTransaction, ReadableTable, TableDefinition, Value,
    WriteTransaction,
};

use super::codec;
use super::tables::{self, BATCHES, BOUNDS, COUNTERS, KEYS, POSITIONS, TOPICS, storage};
use super::{CACHE_BYTES, Inner};
use crate::{Condemned, LogError, Purged, Record, TopicPartition};

/// Where a rewrite of `file` takes shape; it counts once it is renamed.
fn unfinished(file: &Path) -> PathBuf {
    file.with_extension("redb.new")
}

/// Removes what a rewrite left that did not come to its end.
pub(super) fn discard_unfinished(file: &Path) -> Result<(), LogError> {
    match std::fs::remove_file(unfinished(file)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(storage(error)),
        _ => Ok(()),
    }
}

impl Inner {
    /// See [`crate::EventLog::purge`]. The caller is the only one who writes; readers go on with
    /// the old file until the new one takes its place.
    pub(super) fn purge(&self, condemned: &Condemned) -> Result<Purged, LogError> {
        let Some(file) = &self.file else {
            return Err(LogError::Refused(
                "a log without a file cannot be written anew".to_owned(),
            ));
        };
        discard_unfinished(file)?;
        let old = self.database()?;
        let (new, records) = write_anew(&old, &unfinished(file), condemned)?;
        drop(old);
        std::fs::rename(unfinished(file), file).map_err(storage)?;
        sync_folder_of(file)?;
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(new));
        for state in self.states() {
            for tail in &state.tails {
                // What is in memory still holds them.
                tail.reset(tail.bounds());
            }
        }
        Ok(Purged::Now { records })
    }

    /// See [`crate::EventLog::copy_to`].
    pub(super) fn copy_to(&self, folder: &Path) -> Result<(), LogError> {
        std::fs::create_dir_all(folder).map_err(storage)?;
        let file = folder.join("log.redb");
        if file.exists() {
            return Err(LogError::Refused(format!("there is a log at {}", file.display())));
        }
        let all: Condemned = Arc::new(|_, _| false);
        write_anew(&*self.database()?, &unfinished(&file), &all)?;
        std::fs::rename(unfinished(&file), &file).map_err(storage)?;
        sync_folder_of(&file)
    }
}

/// Writes what is live and not condemned to `path`; durable when this returns.
fn write_anew(
    from: &Database,
    path: &Path,
    condemned: &Condemned,
) -> Result<(Database, u64), LogError> {
    let to = Builder::new().set_cache_size(CACHE_BYTES).create(path).map_err(storage)?;
    let read = tables::read(from)?;
    let write = to.begin_write().map_err(storage)?;
    copy(&read, &write, TOPICS)?;
    copy(&read, &write, BOUNDS)?;
    copy(&read, &write, POSITIONS)?;
    copy(&read, &write, COUNTERS)?;
    let removed = copy_batches(&tables::topics(from)?, &read, &write, condemned)?;
    {
        let from = read.open_table(KEYS).map_err(storage)?;
        let mut to = write.open_table(KEYS).map_err(storage)?;
        for entry in from.iter().map_err(storage)? {
            let (key, offset) = entry.map_err(storage)?;
            let (topic, partition, _) = key.value();
            if !removed.contains(&(topic, partition, offset.value())) {
                to.insert(key.value(), offset.value()).map_err(storage)?;
            }
        }
    }
    write.commit().map_err(storage)?;
    Ok((to, removed.len() as u64))
}

fn copy<K: Key + 'static, V: Value + 'static>(
    read: &ReadTransaction,
    write: &WriteTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<(), LogError> {
    let from = read.open_table(table).map_err(storage)?;
    let mut to = write.open_table(table).map_err(storage)?;
    for entry in from.iter().map_err(storage)? {
        let (key, value) = entry.map_err(storage)?;
        to.insert(key.value(), value.value()).map_err(storage)?;
    }
    Ok(())
}

/// Copies what is not condemned, and says what was.
fn copy_batches(
    topics: &[tables::Topic],
    read: &ReadTransaction,
    write: &WriteTransaction,
    condemned: &Condemned,
) -> Result<BTreeSet<(u32, u32, u64)>, LogError> {
    let mut removed = BTreeSet::new();
    let from = read.open_table(BATCHES).map_err(storage)?;
    let mut to = write.open_table(BATCHES).map_err(storage)?;
    for entry in from.iter().map_err(storage)? {
        let (key, value) = entry.map_err(storage)?;
        let (topic, partition, base) = key.value();
        let name = topics.iter().find(|known| known.number == topic).ok_or_else(|| {
            LogError::Corrupt(format!("there are records of a topic {topic} that does not exist"))
        })?;
        let place = TopicPartition::new(name.info.name.as_str(), partition);
        let batch = codec::decode(base, value.value().to_vec().into())?;
        let before = removed.len();
        let mut kept: Vec<Record> = Vec::with_capacity(batch.records.len());
        for record in batch.records {
            if condemned(&place, &record) {
                removed.insert((topic, partition, record.offset));
            } else {
                kept.push(record);
            }
        }
        if removed.len() == before {
            to.insert(key.value(), value.value()).map_err(storage)?;
            continue;
        }
        // A batch has no gaps: what is left and right of one becomes two.
        for run in kept.chunk_by(|left, right| left.offset + 1 == right.offset) {
            let Some(first) = run.first() else { continue };
            let encoded = codec::encode(first.append_ms, run);
            to.insert((topic, partition, first.offset), encoded.as_ref()).map_err(storage)?;
        }
    }
    Ok(removed)
}

/// Makes a rename durable.
fn sync_folder_of(file: &Path) -> Result<(), LogError> {
    let folder = file.parent().unwrap_or_else(|| Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(storage)
}
