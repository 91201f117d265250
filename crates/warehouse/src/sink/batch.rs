//! The records of one range, as blocks for the tables that they feed. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use zhili_eventlog::{NewRecord, Record, TopicPartition, partition_of, topics};
use zhili_proto::log::v1::DeadLetter;

use super::OffsetRange;
use crate::block::Block;
use crate::column::Instant;
use crate::rows::rows_of;
use crate::{Origin, Table};

/// Rows of consecutive records of one partition, encoded.
#[derive(Clone, Debug)]
pub struct Batch {
    first: u64,
    end: u64,
    sources: Vec<Record>,
    source_bytes: usize,
    blocks: BTreeMap<Table, Arc<Block>>,
    dead_letters: Vec<DeadLetter>,
}

impl Batch {
    /// An empty range that begins at `first`.
    #[must_use]
    pub fn new(first: u64) -> Self {
        Self {
            first,
            end: first,
            sources: Vec::new(),
            source_bytes: 0,
            blocks: BTreeMap::new(),
            dead_letters: Vec::new(),
        }
    }

    /// Adds the next record. One that can never be stored becomes a dead letter of `component`.
    pub fn push(
        &mut self,
        log_id: &str,
        partition: &TopicPartition,
        record: &Record,
        component: &str,
    ) {
        let origin = Origin {
            log_id: log_id.into(),
            topic: (&*partition.topic).into(),
            partition: partition.partition,
            offset: record.offset,
            append_at: Instant(record.append_ms),
        };
        match rows_of(&partition.topic, &origin, record) {
            Ok(rows) => {
                let mut indexes: BTreeMap<Table, u16> = BTreeMap::new();
                for row in rows {
                    let table = row.table();
                    let index = indexes.entry(table).or_insert(0);
                    let block =
                        self.blocks.entry(table).or_insert_with(|| Arc::new(Block::new(table)));
                    // Nobody shares it while it grows, so nothing is copied.
                    Arc::make_mut(block).push(&row, &origin, *index);
                    *index += 1;
                }
            }
            Err(poison) => {
                let letter = poison.dead_letter(partition, record, component);
                self.dead_letters.push(letter);
            }
        }
        // Shares the record's bytes; a few of them may have to be read again.
        self.sources.push(record.clone());
        self.source_bytes += record.value.as_ref().map_or(0, Bytes::len);
        self.end = record.offset + 1;
    }

    /// Stretches the range over gaps, up to before `next`.
    pub fn extend_to(&mut self, next: u64) {
        self.end = self.end.max(next);
    }

    /// The offsets covered; `None` when there are none.
    #[must_use]
    pub fn range(&self) -> Option<OffsetRange> {
        (self.end > self.first).then(|| OffsetRange { first: self.first, last: self.end - 1 })
    }

    /// First offset of the range.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Offset after the range.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Number of records.
    #[must_use]
    pub fn records(&self) -> usize {
        self.sources.len()
    }

    /// The records.
    pub(super) fn sources(&self) -> &[Record] {
        &self.sources
    }

    /// Rows over all tables.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.blocks.values().map(|block| block.rows()).sum()
    }

    /// Bytes that it holds: of the records, whether they gave rows or dead letters or nothing,
    /// and of the encoded rows, whichever are more.
    #[must_use]
    pub fn size(&self) -> usize {
        let encoded = self.blocks.values().map(|block| block.size()).sum();
        self.source_bytes.max(encoded)
    }

    /// The blocks, one for each table that gets rows.
    pub fn blocks(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.blocks.values()
    }

    /// Records that can never be stored.
    #[must_use]
    pub fn dead_letters(&self) -> &[DeadLetter] {
        &self.dead_letters
    }

    /// The dead letters as records of their topic, which has `partitions` partitions; those of
    /// one source partition keep their order.
    #[must_use]
    pub fn dead_letter_records(&self, partitions: u32) -> Vec<NewRecord> {
        self.dead_letters
            .iter()
            .map(|letter| {
                let key = Bytes::from(format!("{}:{}", letter.topic, letter.partition));
                let partition =
                    TopicPartition::new(topics::DEAD_LETTERS, partition_of(&key, partitions));
                NewRecord::new(partition, key, Bytes::from(letter.encode_to_vec()))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zhili_eventlog::Headers;

    #[test]
    fn records_that_give_no_rows_count_by_their_number_and_size() {
        let partition = TopicPartition::new(topics::FACTS, 0);
        let mut batch = Batch::new(0);
        for offset in 0..3 {
            let record = Record {
                offset,
                append_ms: 0,
                key: None,
                value: Some(Bytes::from(vec![0xff; 1_000])),
                headers: Headers::default(),
            };
            batch.push("log", &partition, &record, "test");
        }
        assert_eq!((batch.rows(), batch.dead_letters().len(), batch.records()), (0, 3, 3));
        assert!(batch.size() >= 3_000, "{}", batch.size());
    }
}
