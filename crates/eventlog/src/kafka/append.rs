use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, Statistics};
use tokio::sync::oneshot;

use super::contact::Contact;
use super::error::{delivery_error, log_error, partition_error};
use super::{Client, client, record};
use crate::{LogError, NewRecord, Position};

/// Where the outcome of one record goes: its offset, if the broker told it, or why it has none.
type Outcome = oneshot::Sender<Result<Option<u64>, KafkaError>>;

/// The idempotent producer of this process. librdkafka serves its events on a thread of its own.
pub(super) type SharedProducer = ThreadedProducer<Reports>;

/// Delivers the outcomes of records, and remembers why a broker could not be reached.
#[derive(Default)]
pub(super) struct Reports {
    failure: Mutex<Option<String>>,
    contact: Contact,
}

impl Reports {
    /// Why the last attempt to reach a broker failed, such as a refused connection or a
    /// certificate that is not trusted. What a request itself returns is only that time was up.
    pub(super) fn failure(&self) -> Option<String> {
        let failure = self.failure.lock();
        failure.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::log_failure(&error, reason);
        // Says only that there were failures.
        if error.rdkafka_error_code() != Some(Code::AllBrokersDown) {
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            *failure = Some(reason.to_owned());
        }
    }

    fn stats(&self, statistics: Statistics) {
        self.contact.look(&statistics);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Outcome>;

    fn delivery(&self, result: &DeliveryResult<'_>, outcome: Box<Outcome>) {
        let result = match result {
            // Negative when the answer for this record was lost and that for a later one implies it.
            Ok(message) => Ok(u64::try_from(message.offset()).ok()),
            Err((error, _)) => Err(error.clone()),
        };
        // Whoever asked may have stopped waiting.
        outcome.send(result).ok();
    }
}

/// Keeps a working producer: one that met a fatal error or lost all brokers is replaced.
pub(super) struct Appender {
    config: ClientConfig,
    producer: Mutex<Arc<SharedProducer>>,
}

impl Appender {
    pub(super) fn new(config: ClientConfig) -> Result<Self, LogError> {
        let producer = Mutex::new(Self::create(&config)?);
        Ok(Self { config, producer })
    }

    fn create(config: &ClientConfig) -> Result<Arc<SharedProducer>, LogError> {
        let producer = SharedProducer::from_config_and_context(config, Reports::default());
        Ok(Arc::new(producer.map_err(|error| log_error(&error))?))
    }

    /// The producer to use now.
    pub(super) fn producer(&self) -> Result<Arc<SharedProducer>, LogError> {
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        let client = producer.client();
        let over = match client.fatal_error() {
            Some((code, reason)) => Some(format!("{code}: {reason}")),
            None => client.context().contact.is_lost().then(|| "it knows no broker".to_owned()),
        };
        if let Some(why) = over {
            tracing::warn!(why, "starting a new producer");
            let old = std::mem::replace(&mut *producer, Self::create(&self.config)?);
            // Its drop settles what was in flight and waits for a thread.
            std::thread::spawn(move || drop(old));
        }
        Ok(Arc::clone(&producer))
    }
}

impl Client {
    pub(super) async fn append(
        self: &Arc<Self>,
        records: Vec<NewRecord>,
    ) -> Vec<Result<Position, LogError>> {
        // All are sent before the first is waited for, so they share requests.
        let mut sent = Vec::with_capacity(records.len());
        for record in &records {
            sent.push(self.send(record).await);
        }
        let mut results = Vec::with_capacity(records.len());
        for (record, sent) in records.into_iter().zip(sent) {
            let result = match sent {
                Ok(outcome) => match outcome.await {
                    Ok(Ok(Some(offset))) => Ok(Position { partition: record.partition, offset }),
                    Ok(Ok(None)) => {
                        Err(LogError::Ambiguous("stored at an offset that was not told".to_owned()))
                    }
                    Ok(Err(error)) => {
                        let error = delivery_error(&error, &record.partition, record.size());
                        Err(self.confirm(error).await)
                    }
                    Err(_) => Err(LogError::Ambiguous("the producer was closed".to_owned())),
                },
                Err(error) => Err(error),
            };
            results.push(result);
        }
        results
    }

    async fn send(
        self: &Arc<Self>,
        record: &NewRecord,
    ) -> Result<oneshot::Receiver<Result<Option<u64>, KafkaError>>, LogError> {
        record::check(record)?;
        self.check_partition(&record.partition).await?;
        let (outcome, receiver) = oneshot::channel();
        let mut outcome = Box::new(outcome);
        loop {
            match offer(&*self.appender.producer()?, record, outcome) {
                Ok(()) => return Ok(receiver),
                Err((error, back)) => match error.rdkafka_error_code() {
                    // The queue drains as brokers answer, which takes a round trip; after a
                    // fatal error there is a new producer to send with.
                    Some(Code::QueueFull | Code::Fatal) => {
                        outcome = back;
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    Some(Code::MessageSizeTooLarge) => {
                        return Err(delivery_error(&error, &record.partition, record.size()));
                    }
                    _ => {
                        return Err(self.confirm(partition_error(&error, &record.partition)).await);
                    }
                },
            }
        }
    }
}

/// Hands a record to a producer without waiting; gives the opaque back when it is not taken.
pub(super) fn offer<C: ProducerContext>(
    producer: &ThreadedProducer<C>,
    record: &NewRecord,
    opaque: C::DeliveryOpaque,
) -> Result<(), (KafkaError, C::DeliveryOpaque)> {
    let message: BaseRecord<'_, [u8], [u8], C::DeliveryOpaque> = BaseRecord {
        topic: &record.partition.topic,
        partition: Some(record.partition.partition.cast_signed()),
        payload: record.value.as_deref(),
        key: record.key.as_deref(),
        timestamp: None,
        headers: record::headers_to_kafka(&record.headers),
        delivery_opaque: opaque,
    };
    producer.send(message).map_err(|(error, message)| (error, message.delivery_opaque))
}
