use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::Offset;

use super::Client;
use super::client::Logged;
use super::error::{log_error, partition_error};
use super::record;
use crate::{Batch, Bounds, Committed, LogError, ReadLimit, TopicPartition};

/// Readers need a group's name although they never join it.
const READER_GROUP: &str = "zhili-readers";

/// Consumers kept for reads that go on where one ended; each holds up to 8 MiB of prefetched
/// records.
const IDLE_READERS: usize = 4;

/// Consumers that belong to no group, and those that ask for groups' positions.
#[derive(Default)]
pub(super) struct Readers {
    idle: Mutex<Vec<Reader>>,
    askers: Mutex<HashMap<String, Arc<BaseConsumer<Logged>>>>,
}

struct Reader {
    consumer: BaseConsumer<Logged>,
    partition: TopicPartition,
    next: u64,
}

impl Readers {
    fn askers(&self) -> MutexGuard<'_, HashMap<String, Arc<BaseConsumer<Logged>>>> {
        self.askers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, partition: &TopicPartition, from: u64) -> Option<Reader> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let index =
            idle.iter().position(|reader| reader.next == from && reader.partition == *partition)?;
        Some(idle.remove(index))
    }

    fn put(&self, reader: Reader) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(reader);
        let oldest = (idle.len() > IDLE_READERS).then(|| idle.remove(0));
        drop(idle);
        drop(oldest);
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // Closing a consumer waits for its threads.
        let idle = std::mem::take(&mut self.idle);
        let askers = std::mem::take(&mut self.askers);
        std::thread::spawn(move || drop((idle, askers)));
    }
}

impl Client {
    /// Blocks. The end is that of committed data.
    pub(super) fn bounds(&self, partition: &TopicPartition) -> Result<Bounds, LogError> {
        self.check_partition_blocking(partition)?;
        let producer = self.appender.producer()?;
        let watermarks = producer.client().fetch_watermarks(
            &partition.topic,
            partition.partition.cast_signed(),
            self.config.request_timeout,
        );
        match watermarks {
            Ok((start, end)) => {
                Ok(Bounds { start: start.cast_unsigned(), end: end.cast_unsigned() })
            }
            Err(error) => Err(self.confirm_blocking(partition_error(&error, partition))),
        }
    }

    /// Blocks.
    pub(super) fn read(
        &self,
        partition: &TopicPartition,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Batch, LogError> {
        let bounds = self.bounds(partition)?;
        check_range(partition, from, bounds)?;
        if from == bounds.end && limit.wait.is_zero() {
            return Ok(Batch { records: Vec::new(), next: from, caught_up: true });
        }
        let known = self.readers.take(partition, from);
        let fresh = known.is_none();
        let mut reader = match known {
            Some(reader) => reader,
            None => self.reader(partition, from)?,
        };
        let batch = self.poll(&mut reader, bounds.end, limit, fresh)?;
        self.readers.put(reader);
        Ok(batch)
    }

    fn poll(
        &self,
        reader: &mut Reader,
        end: u64,
        limit: ReadLimit,
        mut fresh: bool,
    ) -> Result<Batch, LogError> {
        let started = Instant::now();
        let left = |most: Duration| most.saturating_sub(started.elapsed());
        let mut batch = Batch::default();
        let mut bytes = 0;
        while batch.records.len() < limit.records.max(1) && bytes < limit.bytes.max(1) {
            let patience = if reader.next < end {
                left(self.config.request_timeout)
            } else if batch.records.is_empty() {
                left(limit.wait)
            } else {
                Duration::ZERO
            };
            match reader.consumer.poll(patience) {
                Some(Ok(message)) => {
                    let offset = record::offset(&message);
                    // What the log holds before the position was asked for, as part of a batch.
                    if offset < reader.next {
                        continue;
                    }
                    reader.next = offset + 1;
                    let record = record::from_kafka(&message);
                    bytes += size(&record);
                    batch.records.push(record);
                }
                // Everything before `end` is decided: nothing but control records is left there,
                // if the end was met after `end` was known. A reader that goes on may still have
                // an older one in its queue.
                Some(Err(KafkaError::PartitionEOF(_))) if reader.next < end => {
                    if fresh {
                        reader.next = end;
                    } else {
                        fresh = true;
                        assign(&reader.consumer, &reader.partition, reader.next)?;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) => self.read_error(&error, reader)?,
                None if reader.next < end => {
                    return Err(LogError::Unavailable(format!(
                        "no answer from the leader of {} within {:?}",
                        reader.partition, self.config.request_timeout
                    )));
                }
                None => break,
            }
        }
        batch.next = reader.next;
        batch.caught_up = reader.next >= end;
        Ok(batch)
    }

    /// Nothing for what librdkafka gets over by itself.
    fn read_error(&self, error: &KafkaError, reader: &Reader) -> Result<(), LogError> {
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                let bounds = self.bounds(&reader.partition)?;
                check_range(&reader.partition, reader.next, bounds)?;
                Err(LogError::Unavailable(error.to_string()))
            }
            Some(
                Code::UnknownTopic
                | Code::UnknownPartition
                | Code::UnknownTopicOrPartition
                | Code::TopicAuthorizationFailed,
            ) => Err(self.confirm_blocking(partition_error(error, &reader.partition))),
            _ => {
                tracing::debug!(partition = %reader.partition, "while reading: {error}");
                Ok(())
            }
        }
    }

    fn reader(&self, partition: &TopicPartition, from: u64) -> Result<Reader, LogError> {
        let consumer = self.consumer(READER_GROUP)?;
        assign(&consumer, partition, from)?;
        Ok(Reader { consumer, partition: partition.clone(), next: from })
    }

    fn consumer(&self, group: &str) -> Result<BaseConsumer<Logged>, LogError> {
        BaseConsumer::from_config_and_context(&self.config.reader(group), Logged)
            .map_err(|error| log_error(&error))
    }

    /// A consumer to ask for a group's positions.
    fn asker(&self, group: &str) -> Result<Arc<BaseConsumer<Logged>>, LogError> {
        let mut askers = self.readers.askers();
        if let Some(consumer) = askers.get(group) {
            return Ok(Arc::clone(consumer));
        }
        let consumer = Arc::new(self.consumer(group)?);
        askers.insert(group.to_owned(), Arc::clone(&consumer));
        Ok(consumer)
    }

    /// Blocks.
    pub(super) fn committed(
        &self,
        group: &str,
        partition: &TopicPartition,
    ) -> Result<Option<Committed>, LogError> {
        self.check_partition_blocking(partition)?;
        let consumer = self.asker(group)?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&partition.topic, partition.partition.cast_signed());
        let answer = consumer
            .committed_offsets(asked, self.config.request_timeout)
            .map_err(|error| log_error(&error));
        // Nobody else takes what librdkafka logs on this connection.
        drop(consumer.poll(Duration::ZERO));
        if answer.is_err() {
            // It may have no broker left to ask; the next question is asked by a new one.
            self.readers.askers().remove(group);
        }
        let answer = answer?;
        let element = answer.elements();
        let Some(element) = element.first() else {
            return Ok(None);
        };
        element
            .error()
            .map_err(|error| self.confirm_blocking(partition_error(&error, partition)))?;
        Ok(match element.offset() {
            Offset::Offset(offset) => Some(Committed {
                offset: offset.cast_unsigned(),
                metadata: element.metadata().to_owned(),
            }),
            _ => None,
        })
    }
}

pub(super) fn check_range(
    partition: &TopicPartition,
    offset: u64,
    bounds: Bounds,
) -> Result<(), LogError> {
    if (bounds.start..=bounds.end).contains(&offset) {
        return Ok(());
    }
    Err(LogError::OutOfRange {
        partition: partition.clone(),
        offset,
        start: bounds.start,
        end: bounds.end,
    })
}

/// Bytes of a record that count against a read's limit.
pub(super) fn size(record: &crate::Record) -> usize {
    record.key.as_ref().map_or(0, bytes::Bytes::len)
        + record.value.as_ref().map_or(0, bytes::Bytes::len)
}

fn assign(
    consumer: &BaseConsumer<Logged>,
    partition: &TopicPartition,
    from: u64,
) -> Result<(), LogError> {
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(
            &partition.topic,
            partition.partition.cast_signed(),
            Offset::Offset(from.cast_signed()),
        )
        .and_then(|()| consumer.assign(&assignment))
        .map_err(|error| log_error(&error))
}
