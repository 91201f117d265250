//! Everything that a running system leaves behind, to be searched for what must not be there.

use std::collections::BTreeMap;
use std::path::Path;

use aho_corasick::AhoCorasick;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::{EventLog, LogError, ReadLimit, TopicPartition, system_clock, topics};

use crate::{Collector, Receiver, System};

/// Bytes by the name of the place where they are kept.
#[derive(Default)]
pub struct Sinks {
    places: BTreeMap<String, Vec<u8>>,
}

impl Sinks {
    /// Adds to a place.
    pub fn add(&mut self, place: impl Into<String>, bytes: impl AsRef<[u8]>) {
        let place = self.places.entry(place.into()).or_default();
        place.extend_from_slice(bytes.as_ref());
        // What is added side by side is not read as one.
        place.push(b'\n');
    }

    /// Names of the places, with how many bytes they have.
    pub fn places(&self) -> impl Iterator<Item = (&str, usize)> {
        self.places.iter().map(|(name, bytes)| (name.as_str(), bytes.len()))
    }

    /// Which of the values is where, as they are or as addresses and JSON write them: pairs of place
    /// and value.
    pub fn holding<'v>(&self, values: &[&'v str]) -> Vec<(&str, &'v str)> {
        let mut forms = Vec::new();
        for value in values {
            forms.extend([(value.to_string(), *value), (percent(value), *value)]);
            forms.push((escaped(value), *value));
        }
        forms.dedup_by(|one, other| one.0 == other.0);
        let search = AhoCorasick::new(forms.iter().map(|(form, _)| form)).unwrap();
        let mut found = Vec::new();
        for (place, bytes) in &self.places {
            for hit in search.find_overlapping_iter(bytes) {
                found.push((place.as_str(), forms[hit.pattern().as_usize()].1));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// What the services of a running system say of themselves, and all rows of the store.
    pub async fn read_running(&mut self, system: &System) {
        let http = reqwest::Client::new();
        for (offset, service) in ["ingest", "scoring", "escalation", "metrics"].iter().enumerate() {
            for page in ["metrics", "readyz"] {
                let url = format!("{}/{page}", system.url(offset as u16));
                let answer = http.get(url).send().await.unwrap().bytes().await.unwrap();
                self.add(format!("{page} of {service}"), answer);
            }
        }
        for (table, rows) in system.tables().contents().await {
            // What has no rows is no place to look at.
            if !rows.is_empty() {
                self.add(format!("table {table}"), rows);
            }
        }
    }

    /// What a stopped system has written: records, files, standard output and error.
    pub async fn read_stopped(&mut self, system: &System) {
        self.add("standard output", system.output());
        self.add("standard error", system.errors());
        let log = EmbeddedLog::open(&system.path().join("log"), system_clock()).unwrap();
        for spec in topics::all(1) {
            let name = spec.name;
            for partition in 0..log.topic(name).await.unwrap().partitions {
                let at = TopicPartition::new(name, partition);
                self.read_partition(&log, &at).await.unwrap();
            }
        }
        drop(log);
        self.read_files(system.path(), system.path());
    }

    async fn read_partition(
        &mut self,
        log: &EmbeddedLog,
        at: &TopicPartition,
    ) -> Result<(), LogError> {
        let bounds = log.bounds(at).await?;
        let (mut next, place) = (bounds.start, format!("topic {}", at.topic));
        while next < bounds.end {
            let batch = log.read(at, next, ReadLimit::default()).await?;
            for record in batch.records {
                self.add(&place, record.key.unwrap_or_default());
                self.add(&place, record.value.unwrap_or_default());
                for (name, value) in record.headers.0 {
                    self.add(&place, name);
                    self.add(&place, value);
                }
            }
            next = batch.next;
        }
        Ok(())
    }

    /// Files below a folder, each as its first folder below `root`, with their names.
    fn read_files(&mut self, root: &Path, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(root).unwrap();
            let first = below.components().next().unwrap().as_os_str().to_string_lossy();
            self.add(format!("files of {first}"), below.to_string_lossy().as_bytes());
            if path.is_dir() {
                self.read_files(root, &path);
            } else {
                self.add(format!("files of {first}"), std::fs::read(&path).unwrap());
            }
        }
    }

    /// What was sent to others.
    pub fn read_sent(&mut self, pages: &Receiver, collector: &Collector) {
        for page in pages.pages() {
            self.add("pages", page.headers);
            self.add("pages", page.body);
        }
        for export in collector.exports() {
            self.add("traces", export);
        }
    }
}

/// As an address has it.
fn percent(value: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte);
    value.bytes().fold(String::new(), |text, byte| match byte {
        byte if unreserved(byte) => text + &char::from(byte).to_string(),
        byte => text + &format!("%{byte:02X}"),
    })
}

/// As JSON in ASCII has it.
fn escaped(value: &str) -> String {
    let mut units = [0; 2];
    value.chars().fold(String::new(), |text, char| match char {
        char if char.is_ascii() => text + &char.to_string(),
        char => char
            .encode_utf16(&mut units)
            .iter()
            .fold(text, |text, unit| text + &format!("\\u{unit:04x}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_as_it_is_and_as_addresses_and_json_write_it() {
        let mut sinks = Sinks::default();
        sinks.add("plain", "我住在文一路3号");
        sinks.add("address", "GET /x/%E6%96%87%E4%B8%80%E8%B7%AF3%E5%8F%B7");
        sinks.add("json", r"\u6587\u4e00\u8def3\u53f7");
        sinks.add("halves", "文一路");
        sinks.add("halves", "3号");
        let found = sinks.holding(&["文一路3号", "nowhere"]);
        assert_eq!(
            found,
            [("address", "文一路3号"), ("json", "文一路3号"), ("plain", "文一路3号")]
        );
    }
}
