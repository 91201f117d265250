//! Reading files of events and dialogues.

use std::collections::VecDeque;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use zhili_eventlog::system_clock;
use zhili_proto::conversation::v1::Event;
use zhili_runtime::Failure;

use super::dialogue::{Dialogue, Pace};
use super::table::Columns;

/// A file, or the .jsonl and .jsonl.gz files of a folder in the order of their names.
pub(super) fn files_in(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let cannot = |error| Failure::Io(format!("cannot read {}: {error}", path.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(cannot)? {
        let file = entry.map_err(cannot)?.path();
        let name = file.to_string_lossy();
        if name.ends_with(".jsonl") || name.ends_with(".jsonl.gz") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The name of a file's content, and the content unpacked.
fn content(path: &Path) -> Result<(String, Vec<u8>), Failure> {
    let bytes = std::fs::read(path)
        .map_err(|error| Failure::Io(format!("cannot read {}: {error}", path.display())))?;
    let source = source(&bytes);
    if path.extension().is_none_or(|extension| extension != "gz") {
        return Ok((source, bytes));
    }
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(bytes.as_slice())
        .read_to_end(&mut unpacked)
        .map_err(|error| Failure::Problems(format!("{}: {error}", path.display())))?;
    Ok((source, unpacked))
}

/// The events of a CSV file.
pub(super) fn table(path: &Path, columns: &Columns) -> Result<Vec<Event>, Failure> {
    let (source, text) = content(path)?;
    columns
        .events(&text, &source.replacen("file:", "csv:", 1))
        .map_err(|error| Failure::Problems(format!("{}, {error}", path.display())))
}

/// The events of a file, those of dialogues made up.
pub(super) fn events(path: &Path, pace: &Pace) -> Result<Vec<Event>, Failure> {
    let (source, text) = content(path)?;
    let mut events = Vec::new();
    for (index, line) in text.as_slice().lines().enumerate() {
        let at = |error: &dyn std::fmt::Display| {
            Failure::Problems(format!("{}, line {}: {error}", path.display(), index + 1))
        };
        let line = line.map_err(|error| at(&error))?;
        if line.trim().is_empty() {
            continue;
        }
        let value: serde_json::Value = serde_json::from_str(&line).map_err(|error| {
            let no_json = format!("{error}; this takes JSON lines, and CSV with --columns");
            at(&no_json)
        })?;
        if value.get("turns").is_some() {
            let dialogue: Dialogue = serde_json::from_value(value).map_err(|error| at(&error))?;
            events.extend(dialogue.events(&source, pace).map_err(|error| at(&error))?);
        } else {
            events.push(serde_json::from_value(value).map_err(|error| at(&error))?);
        }
    }
    Ok(events)
}

/// `file:` and the first 8 hex digits of the content's SHA-256, so that the same content is
/// recognised under any name.
fn source(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest[..4].iter().fold("file:".to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

/// Events that are given out as fast as they are taken, or when their time comes.
pub(super) struct Paced {
    events: VecDeque<Event>,
    /// First event's time, and when it is sent: later ones keep their distance.
    realtime: Option<(i64, i64)>,
}

/// In realtime, events go by their times; otherwise in the order of the file.
pub(super) fn paced(mut events: Vec<Event>, realtime: bool, now_ms: i64) -> Paced {
    let realtime = realtime.then(|| {
        events.sort_by_key(sent_ms);
        (events.first().map_or(now_ms, sent_ms), now_ms)
    });
    if let Some((first, start)) = realtime {
        for event in &mut events {
            let at = start + (sent_ms(event) - first);
            event.sent_at = Some(zhili_proto::timestamp(at));
        }
    }
    Paced { events: events.into(), realtime }
}

fn sent_ms(event: &Event) -> i64 {
    event.sent_at.as_ref().and_then(zhili_proto::millis).unwrap_or(0)
}

impl Paced {
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// The next events that are due, at most `most`; empty when there are no more.
    pub(super) async fn next_batch(&mut self, most: usize) -> Vec<Event> {
        if self.realtime.is_none() {
            let count = most.min(self.events.len());
            return self.events.drain(..count).collect();
        }
        let Some(first) = self.events.front() else { return Vec::new() };
        let wait = sent_ms(first) - system_clock()();
        if wait > 0 {
            tokio::time::sleep(Duration::from_millis(wait as u64)).await;
        }
        let now = system_clock()();
        let mut batch = Vec::new();
        while batch.len() < most && self.events.front().is_some_and(|e| sent_ms(e) <= now) {
            batch.extend(self.events.pop_front());
        }
        batch
    }
}
