//! Repairs the engine's deduplication logs before the engine starts.
//!
//! ClickHouse 26.7 writes an INSERT's token to the table's deduplication log first and renames
//! the finished part to its final name second. A process that is killed between the two leaves a
//! token without its rows; sent again under that token, as its writer will, the rows would be
//! taken for a duplicate and be lost. So at every start each token whose part does not exist,
//! nor a part that it was merged into, is forgotten, and so is the torn end of a log that a
//! power cut left.
//!
//! A log is `deduplication_logs/deduplication_log_N.txt` of a table without replication; each
//! line `operation \t part \t block id`, operation 1 for added, 2 for dropped.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// What a repair found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Repaired {
    /// Tokens without their rows.
    pub(crate) orphans: usize,
    /// Lines that are no records.
    pub(crate) torn: usize,
}

/// Repairs the logs of all tables below `engine`, the data folder of an engine that does not run.
/// `scratch` is a file name on the same file system, outside `engine`.
///
/// # Errors
///
/// I/O.
pub(crate) fn repair(engine: &Path, scratch: &Path) -> io::Result<Repaired> {
    let mut repaired = Repaired::default();
    for group in subfolders(&engine.join("store"))? {
        for table in subfolders(&group)? {
            let logs = table.join("deduplication_logs");
            if !logs.is_dir() {
                continue;
            }
            let parts: Vec<Part> = subfolders(&table)?
                .iter()
                .filter_map(|folder| Part::parse(folder.file_name()?.to_str()?))
                .collect();
            for log in fs::read_dir(&logs)? {
                let log = log?.path();
                let before = fs::read(&log)?;
                let (after, found) = kept(&before, &parts);
                if found != Repaired::default() {
                    replace(&log, &after, scratch)?;
                    repaired.orphans += found.orphans;
                    repaired.torn += found.torn;
                }
            }
        }
    }
    Ok(repaired)
}

fn subfolders(folder: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    Ok(folders)
}

fn replace(log: &Path, content: &[u8], scratch: &Path) -> io::Result<()> {
    let mut file = File::create(scratch)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(scratch, log)
}

/// The log without torn lines and without tokens of parts that no part in `parts` holds.
fn kept(log: &[u8], parts: &[Part]) -> (Vec<u8>, Repaired) {
    let mut kept = Vec::with_capacity(log.len());
    let mut found = Repaired::default();
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        match Record::parse(line) {
            None => found.torn += 1,
            Some(Record { added: true, part }) if !parts.iter().any(|other| other.holds(&part)) => {
                found.orphans += 1;
            }
            Some(_) => kept.extend_from_slice(line),
        }
    }
    (kept, found)
}

struct Record {
    added: bool,
    part: Part,
}

impl Record {
    fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
        let mut fields = line.split('\t');
        let added = match fields.next()? {
            "1" => true,
            "2" => false,
            _ => return None,
        };
        let part = Part::parse(fields.next()?)?;
        let block_id = fields.next()?;
        (!block_id.is_empty() && fields.next().is_none()).then_some(Self { added, part })
    }
}

/// A part's name: `partition_first_last_level[_mutation]`, `first` to `last` the blocks in it.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    partition: String,
    first: i64,
    last: i64,
}

impl Part {
    fn parse(name: &str) -> Option<Self> {
        let mut fields = name.split('_');
        let partition = fields.next()?.to_owned();
        let first = fields.next()?.parse().ok()?;
        let last = fields.next()?.parse().ok()?;
        let _level: u32 = fields.next()?.parse().ok()?;
        let _mutation: i64 = fields.next().map_or(Some(0), |text| text.parse().ok())?;
        (!partition.is_empty() && fields.next().is_none()).then_some(Self {
            partition,
            first,
            last,
        })
    }

    fn holds(&self, other: &Self) -> bool {
        self.partition == other.partition && self.first <= other.first && other.last <= self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(names: &[&str]) -> Vec<Part> {
        names
            .iter()
            .map(|name| Part::parse(name).unwrap())
            .collect()
    }

    #[test]
    fn a_token_stays_while_its_part_or_one_merged_from_it_is_there() {
        let log = b"1\tall_1_1_0\tall_1_a\n1\tall_2_2_0\tall_2_b\n1\tall_3_3_0\tall_3_c\n";
        let found = kept(log, &parts(&["all_1_2_1_7", "all_3_3_0"]));
        assert_eq!(found, (log.to_vec(), Repaired::default()));
    }

    #[test]
    fn a_token_whose_part_was_never_committed_is_forgotten() {
        let log = b"1\t202611_1_1_0\ta\n1\t202611_2_2_0\tb\n1\t202612_2_2_0\tc\n";
        let (kept, found) = kept(log, &parts(&["202611_1_1_0", "202612_1_5_2"]));
        assert_eq!(kept, b"1\t202611_1_1_0\ta\n1\t202612_2_2_0\tc\n");
        assert_eq!(
            found,
            Repaired {
                orphans: 1,
                torn: 0
            }
        );
    }

    #[test]
    fn a_dropped_part_needs_none() {
        let log = b"2\tall_2_2_0\tb\n";
        assert_eq!(kept(log, &[]), (log.to_vec(), Repaired::default()));
    }

    #[test]
    fn the_torn_end_of_a_log_goes() {
        for torn in [
            "1\tall_2",
            "1\tall_2_2_0\tall",
            "\0\0\0\0\n",
            "1\tall_2_2_0\n",
        ] {
            let log = [b"1\tall_1_1_0\ta\n", torn.as_bytes()].concat();
            let (kept, found) = kept(&log, &parts(&["all_1_1_0", "all_2_2_0"]));
            assert_eq!(kept, b"1\tall_1_1_0\ta\n", "{torn:?}");
            assert_eq!(
                found,
                Repaired {
                    orphans: 0,
                    torn: 1
                },
                "{torn:?}"
            );
        }
    }

    #[test]
    fn folders_of_inserts_in_flight_are_no_parts() {
        for name in [
            "tmp_insert_all_2_2_0",
            "detached",
            "delete_tmp_all_1_1_0",
            "all_1_1",
        ] {
            assert_eq!(Part::parse(name), None, "{name}");
        }
    }
}
