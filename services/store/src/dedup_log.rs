//! Repairs the engine's deduplication logs before the engine starts.
//!
//! ClickHouse 26.7 writes an INSERT's token to the table's deduplication log first and renames
//! the finished part to its final name second. A process that is killed between the two leaves a
//! token without its rows; sent again under that token, as its writer will, the rows would be
//! taken for a duplicate and be lost. So at every start each token whose part does not exist,
//! nor a part that it was merged into, is forgotten, and so is the torn end of a log that a
//! power cut left.
//!
//! An INSERT that *fails* between the two leaves the same in a running engine, whose memory
//! holds the token until it ends. So after an INSERT with a token has failed, [`lasting_orphan`]
//! looks for one, and the store ends itself to be started, and repaired, anew. So it does when the
//! engine, as it starts, took out a part that the disk holds only in part; and [`Looked`] finds,
//! before an INSERT is acknowledged, a part that the disk did not take whole.
//!
//! A log is `deduplication_logs/deduplication_log_N.txt` of a table without replication; each
//! line `operation \t part \t block id`, operation 1 for added, 2 for dropped.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::part::is_whole;

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
    for table in tables(engine)? {
        let orphans = table.orphans();
        for log in &table.logs {
            let (after, found) = kept(&log.content, &orphans);
            if found != Repaired::default() {
                replace(&log.path, &after, scratch)?;
                repaired.orphans += found.orphans;
                repaired.torn += found.torn;
            }
        }
    }
    Ok(repaired)
}

/// Whether a token below `engine`, the data folder of a running engine, stays without its rows.
/// An INSERT in flight has one for less than a millisecond, so the token has to be there, still
/// without its rows, at each of several looks.
///
/// # Errors
///
/// I/O.
pub(crate) fn lasting_orphan(engine: &Path) -> io::Result<bool> {
    const LOOKS: u32 = 5;
    const BETWEEN: Duration = Duration::from_millis(100);
    let look = || -> io::Result<BTreeSet<Vec<u8>>> {
        Ok(tables(engine)?.iter().flat_map(Table::orphans).collect())
    };
    let mut lasting = look()?;
    for _ in 1..LOOKS {
        if lasting.is_empty() {
            return Ok(false);
        }
        thread::sleep(BETWEEN);
        let now = look()?;
        lasting.retain(|line| now.contains(line));
    }
    Ok(!lasting.is_empty())
}

/// The parts that were looked at, so that each is looked at once.
#[derive(Default)]
pub(crate) struct Looked(BTreeSet<PathBuf>);

impl Looked {
    /// Whether a part below `engine`, the data folder of a running engine, that came since the
    /// last look is not [whole](is_whole). Tables without a log of tokens are passed over.
    ///
    /// # Errors
    ///
    /// I/O.
    pub(crate) fn finds_broken(&mut self, engine: &Path) -> io::Result<bool> {
        let mut there = BTreeSet::new();
        for group in subfolders(&engine.join("store"))? {
            for table in subfolders(&group)? {
                if table.join("deduplication_logs").is_dir() {
                    let folders = subfolders(&table)?.into_iter();
                    there.extend(folders.filter(|folder| part_of(folder).is_some()));
                }
            }
        }
        let mut found = false;
        for part in there.difference(&self.0) {
            found |= !is_whole(part)?;
        }
        self.0 = there;
        Ok(found)
    }
}

struct Log {
    path: PathBuf,
    content: Vec<u8>,
}

/// A table that deduplicates.
#[derive(Default)]
struct Table {
    /// In the order in which they were written.
    logs: Vec<Log>,
    /// Listed after the logs were read, so that a token's part cannot be missed.
    parts: Vec<Part>,
}

fn tables(engine: &Path) -> io::Result<Vec<Table>> {
    let mut tables = Vec::new();
    for group in subfolders(&engine.join("store"))? {
        for folder in subfolders(&group)? {
            let logs = folder.join("deduplication_logs");
            if !logs.is_dir() {
                continue;
            }
            let mut table = Table::default();
            for entry in fs::read_dir(&logs)? {
                let path = entry?.path();
                let content = fs::read(&path)?;
                table.logs.push(Log { path, content });
            }
            table.logs.sort_by_key(|log| number_of(&log.path));
            for part in subfolders(&folder)? {
                // The engine takes a part that is not whole out when it starts, and would keep its
                // token.
                if is_whole(&part)? {
                    table.parts.extend(part_of(&part));
                }
            }
            tables.push(table);
        }
    }
    Ok(tables)
}

fn part_of(folder: &Path) -> Option<Part> {
    folder.file_name().and_then(|name| Part::parse(name.to_str()?))
}

/// The N of `deduplication_log_N.txt`.
fn number_of(log: &Path) -> Option<u64> {
    log.file_stem()?.to_str()?.rsplit('_').next()?.parse().ok()
}

impl Table {
    /// Lines that were added and neither dropped since nor held by a part.
    fn orphans(&self) -> BTreeSet<Vec<u8>> {
        let mut open = BTreeSet::new();
        for line in self.logs.iter().flat_map(|log| lines(&log.content)) {
            match Record::parse(line) {
                Some(Record { added: true, part }) if !self.holds(&part) => {
                    open.insert(line.to_vec());
                }
                Some(Record { added: false, .. }) => {
                    open.remove(&[b"1", &line[1..]].concat());
                }
                _ => {}
            }
        }
        open
    }

    fn holds(&self, part: &Part) -> bool {
        self.parts.iter().any(|other| other.holds(part))
    }
}

/// The lines of a log with their ends.
fn lines(log: &[u8]) -> impl Iterator<Item = &[u8]> {
    log.split_inclusive(|byte| *byte == b'\n')
}

fn subfolders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
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

/// The log without torn lines and without `orphans`.
fn kept(log: &[u8], orphans: &BTreeSet<Vec<u8>>) -> (Vec<u8>, Repaired) {
    let mut kept = Vec::with_capacity(log.len());
    let mut found = Repaired::default();
    for line in lines(log) {
        if Record::parse(line).is_none() {
            found.torn += 1;
        } else if orphans.contains(line) {
            found.orphans += 1;
        } else {
            kept.extend_from_slice(line);
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

    fn table(logs: &[&str], parts: &[&str]) -> Table {
        Table {
            logs: logs
                .iter()
                .map(|log| Log { path: PathBuf::new(), content: log.as_bytes().to_vec() })
                .collect(),
            parts: parts.iter().map(|name| Part::parse(name).unwrap()).collect(),
        }
    }

    fn orphans(logs: &[&str], parts: &[&str]) -> Vec<String> {
        let orphans = table(logs, parts).orphans().into_iter();
        orphans.map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn a_token_stays_while_its_part_or_one_merged_from_it_is_there() {
        let log = "1\tall_1_1_0\tall_1_a\n1\tall_2_2_0\tall_2_b\n1\tall_3_3_0\tall_3_c\n";
        assert_eq!(orphans(&[log], &["all_1_2_1_7", "all_3_3_0"]), [""; 0]);
    }

    #[test]
    fn a_token_whose_part_was_never_committed_is_forgotten() {
        let log = "1\t202611_1_1_0\ta\n1\t202611_2_2_0\tb\n1\t202612_2_2_0\tc\n";
        let table = table(&[log], &["202611_1_1_0", "202612_1_5_2"]);
        let (kept, found) = kept(log.as_bytes(), &table.orphans());
        assert_eq!(kept, b"1\t202611_1_1_0\ta\n1\t202612_2_2_0\tc\n");
        assert_eq!(found, Repaired { orphans: 1, torn: 0 });
    }

    #[test]
    fn a_part_that_was_dropped_leaves_no_orphan_even_in_a_later_log() {
        let logs = ["1\tall_1_1_0\ta\n1\tall_2_2_0\tb\n", "2\tall_1_1_0\ta\n"];
        assert_eq!(orphans(&logs, &[]), ["1\tall_2_2_0\tb\n"]);
    }

    #[test]
    fn logs_are_read_in_the_order_of_their_numbers() {
        let number = |name: &str| number_of(Path::new(name)).unwrap();
        assert!(number("deduplication_log_9.txt") < number("deduplication_log_10.txt"));
    }

    #[test]
    fn the_torn_end_of_a_log_goes() {
        for torn in ["1\tall_2", "1\tall_2_2_0\tall", "\0\0\0\0\n", "1\tall_2_2_0\n"] {
            let log = ["1\tall_1_1_0\ta\n", torn].concat();
            let orphans = table(&[&log], &["all_1_1_0", "all_2_2_0"]).orphans();
            let (kept, found) = kept(log.as_bytes(), &orphans);
            assert_eq!(kept, b"1\tall_1_1_0\ta\n", "{torn:?}");
            assert_eq!(found, Repaired { orphans: 0, torn: 1 }, "{torn:?}");
        }
    }

    #[test]
    fn folders_of_inserts_in_flight_are_no_parts() {
        for name in ["tmp_insert_all_2_2_0", "detached", "delete_tmp_all_1_1_0", "all_1_1"] {
            assert_eq!(Part::parse(name), None, "{name}");
        }
    }
}
