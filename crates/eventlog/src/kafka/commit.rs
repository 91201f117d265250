use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::Offset;
use rdkafka::{Statistics, TopicPartitionList};
use tokio::sync::oneshot;

use super::append::offer;
use super::client;
use super::config::KafkaConfig;
use super::contact::Contact;
use super::error::{delivery_error, log_error};
use super::member::{Context, spawn};
use super::partition::Owned;
use crate::{Commit, LogError};

/// Most commits that share a transaction: more than a member has partitions in practice.
const MOST_REQUESTS: usize = 64;

/// How long one call into librdkafka may take before we look whether the partitions are still
/// ours; the call is then made again.
const SLICE: Duration = Duration::from_secs(1);

/// The ownership stays locked while positions are sent, so this bounds how long a rebalance waits
/// for a coordinator that does not answer.
const SEND_POSITIONS: Duration = Duration::from_secs(5);

/// Before an aborted transaction is tried again; most wait for a rebalance to end.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// What the committer is told.
pub(super) enum Word {
    Commit(Request),
    /// The membership cannot go on.
    Fail(LogError),
    Stop,
}

/// A commit that somebody waits for.
pub(super) struct Request {
    owned: Arc<Owned>,
    commit: Commit,
    answer: Option<oneshot::Sender<Result<(), LogError>>>,
    /// Whether anything of it was sent to a broker.
    attempted: bool,
}

impl Request {
    pub(super) fn new(
        owned: Arc<Owned>,
        commit: Commit,
        answer: oneshot::Sender<Result<(), LogError>>,
    ) -> Self {
        Self { owned, commit, answer: Some(answer), attempted: false }
    }

    fn answer(&mut self, result: Result<(), LogError>) {
        if let Some(answer) = self.answer.take() {
            // Whoever asked may have stopped waiting.
            answer.send(result).ok();
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let unanswered = if self.attempted {
            LogError::Ambiguous(format!("the commits of {} ended", self.owned.partition))
        } else {
            self.owned.gone()
        };
        self.answer(Err(unanswered));
    }
}

/// Which record of which transaction a delivery report is about.
pub(super) struct Tag {
    transaction: u64,
    request: usize,
    record: usize,
}

pub(super) struct Report {
    tag: Tag,
    error: Option<KafkaError>,
}

pub(super) struct Reports {
    reports: Sender<Report>,
    contact: Contact,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::log_failure(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.contact.look(&statistics);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Tag>;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: Box<Tag>) {
        let error = result.as_ref().err().map(|(error, _)| error.clone());
        // The committer is gone when its member is.
        self.reports.send(Report { tag: *tag, error }).ok();
    }
}

/// Why an attempt is not known to be visible.
enum Failure {
    /// Nothing of it is visible; after an abort it can be tried again with those still owned.
    Again(String),
    /// The commit was asked for and refused: as before, if there is still something to abort.
    Undone(String),
    /// One commit cannot succeed, however often it is tried; the others can.
    Refused { request: usize, error: LogError },
    /// Nothing of it is or will be visible, and the producer cannot be used any more.
    Over(KafkaError),
    /// The producer cannot be used any more after the commit was asked for.
    Unknown(String),
}

/// What an abort found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aborted {
    /// A transaction, which is over now.
    Now,
    /// None, or it was settled when a new producer began: committed, had that been under way.
    Before,
}

/// Carries out the commits of one member, one transaction at a time; what arrives meanwhile
/// shares the next.
pub(super) struct Committer {
    config: KafkaConfig,
    group: String,
    member: String,
    producer: Arc<ThreadedProducer<Reports>>,
    reports: Receiver<Report>,
    transaction: u64,
}

impl Committer {
    /// Fences the member's predecessor and settles its open transaction. Blocks.
    pub(super) fn new(config: KafkaConfig, group: &str, member: &str) -> Result<Self, LogError> {
        let (producer, reports) = start(&config, group, member)?;
        Ok(Self {
            config,
            group: group.to_owned(),
            member: member.to_owned(),
            producer,
            reports,
            transaction: 0,
        })
    }

    /// Serves until told to stop or until the outcome of a commit cannot be known, which ends the
    /// membership.
    pub(super) fn serve(
        mut self,
        words: &Receiver<Word>,
        consumer: &Weak<BaseConsumer<Context>>,
        context: &Context,
    ) {
        loop {
            let mut requests = Vec::new();
            let mut stop = false;
            match words.recv() {
                Ok(Word::Commit(request)) => requests.push(request),
                Ok(Word::Fail(error)) => return context.fail(error),
                Ok(Word::Stop) | Err(_) => return,
            }
            while requests.len() < MOST_REQUESTS {
                match words.try_recv() {
                    Ok(Word::Commit(request)) => requests.push(request),
                    Ok(Word::Fail(error)) => context.fail(error),
                    Ok(Word::Stop) => {
                        stop = true;
                        break;
                    }
                    Err(_) => break,
                }
            }
            if let Err(error) = self.settle(&mut requests, consumer, context) {
                // The handles are dead before anybody hears of it.
                context.fail(error.clone());
                for request in &mut requests {
                    let result = match &error {
                        LogError::Ambiguous(_) => error.clone(),
                        _ => request.owned.gone(),
                    };
                    request.answer(Err(result));
                }
                return;
            }
            if stop {
                return;
            }
        }
    }

    /// Tries until each is either visible, refused or no longer owned. An error ends the
    /// membership: ambiguous where the requests that are left may be visible.
    fn settle(
        &mut self,
        requests: &mut Vec<Request>,
        consumer: &Weak<BaseConsumer<Context>>,
        context: &Context,
    ) -> Result<(), LogError> {
        loop {
            requests.retain_mut(|request| {
                let revoked = request.owned.is_revoked();
                if revoked {
                    request.answer(Err(request.owned.gone()));
                }
                !revoked
            });
            if requests.is_empty() {
                return Ok(());
            }
            match self.attempt(requests, consumer, context) {
                Ok(()) => {
                    for request in requests.iter_mut() {
                        request.answer(Ok(()));
                    }
                    return Ok(());
                }
                Err(Failure::Again(error)) => {
                    tracing::debug!("trying a commit again: {error}");
                    self.abort(context)?;
                    match self.refusal(requests) {
                        Some((request, error)) => refuse(requests, request, error, context),
                        None => std::thread::sleep(TRY_AGAIN),
                    }
                }
                Err(Failure::Undone(error)) => {
                    tracing::info!("a commit was refused: {error}");
                    if self.abort(context)? != Aborted::Now {
                        return Err(LogError::Ambiguous(error));
                    }
                    std::thread::sleep(TRY_AGAIN);
                }
                Err(Failure::Refused { request, error }) => {
                    self.abort(context)?;
                    refuse(requests, request, error, context);
                }
                Err(Failure::Over(error)) => self.renew(&error, context)?,
                Err(Failure::Unknown(error)) => return Err(LogError::Ambiguous(error)),
            }
        }
    }

    /// Aborts the transaction, so that nothing of it becomes visible.
    fn abort(&mut self, context: &Context) -> Result<Aborted, LogError> {
        loop {
            let Err(error) = self.producer.abort_transaction(SLICE) else {
                return Ok(Aborted::Now);
            };
            // There was no transaction to abort.
            if error.rdkafka_error_code() == Some(Code::State) {
                return Ok(Aborted::Before);
            }
            if context.has_ended() {
                return Err(LogError::Unavailable(error.to_string()));
            }
            if !is_retriable(&error) || self.is_lost() {
                self.renew(&error, context)?;
                return Ok(Aborted::Before);
            }
        }
    }

    /// Whether the producer has no broker left to talk to; see [`Contact`].
    fn is_lost(&self) -> bool {
        self.producer.client().context().contact.is_lost()
    }

    /// Replaces a producer that librdkafka has given up on, as it does when a broker's restart
    /// leaves the two of different opinions about a transaction. Beginning anew aborts whatever was
    /// open. That the partitions are ours rests on the group, not on the producer.
    fn renew(&mut self, error: &KafkaError, context: &Context) -> Result<(), LogError> {
        tracing::warn!(
            group = self.group,
            member = self.member,
            "starting a new transactional producer: {error}"
        );
        if error.rdkafka_error_code() == Some(Code::Fenced) {
            // By ourselves, having stood still for longer than a transaction may last, or by a
            // process that took our place, of which the group tells us with the next heartbeat.
            let heard = Instant::now() + self.config.session_timeout / 2;
            while !context.has_ended() && Instant::now() < heard {
                std::thread::sleep(TRY_AGAIN);
            }
        }
        loop {
            if context.has_ended() {
                return Err(LogError::Unavailable(error.to_string()));
            }
            match start(&self.config, &self.group, &self.member) {
                Ok((producer, reports)) => {
                    (self.producer, self.reports) = (producer, reports);
                    return Ok(());
                }
                Err(error) if error.is_transient() => {
                    tracing::info!("cannot start a new transactional producer: {error}");
                    std::thread::sleep(TRY_AGAIN);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn attempt(
        &mut self,
        requests: &mut [Request],
        consumer: &Weak<BaseConsumer<Context>>,
        context: &Context,
    ) -> Result<(), Failure> {
        self.transaction += 1;
        self.producer.begin_transaction().map_err(failure)?;
        for request in requests.iter_mut() {
            request.attempted = true;
        }
        let mut pending = self.send_outputs(requests)?;
        self.send_positions(requests, consumer, context)?;
        while pending > 0 {
            self.take_report(requests, &mut pending)?;
        }
        // rdkafka's commit waits for 100 ms when a report is still being disposed of.
        while self.producer.in_flight_count() > 0 {
            std::thread::sleep(Duration::from_micros(20));
        }
        self.finish(requests, context)
    }

    /// Hands all outputs to the producer; returns how many reports are to come.
    fn send_outputs(&mut self, requests: &[Request]) -> Result<usize, Failure> {
        let mut pending = 0;
        for (index, request) in requests.iter().enumerate() {
            for (position, record) in request.commit.outputs.iter().enumerate() {
                let mut tag = Box::new(Tag {
                    transaction: self.transaction,
                    request: index,
                    record: position,
                });
                while let Err((error, back)) = offer(&self.producer, record, tag) {
                    tag = back;
                    if error.rdkafka_error_code() == Some(Code::QueueFull) {
                        self.take_report(requests, &mut pending)?;
                    } else {
                        return Err(self.output_failure(requests, &tag, &error));
                    }
                }
                pending += 1;
            }
        }
        Ok(pending)
    }

    /// Waits for one report of this transaction.
    fn take_report(&self, requests: &[Request], pending: &mut usize) -> Result<(), Failure> {
        // Every record is reported, at the latest when its delivery times out.
        let report = self.reports.recv().map_err(|error| Failure::Again(error.to_string()))?;
        if report.tag.transaction != self.transaction {
            return Ok(());
        }
        *pending -= 1;
        match report.error {
            None => Ok(()),
            Some(error) => Err(self.output_failure(requests, &report.tag, &error)),
        }
    }

    fn output_failure(&self, requests: &[Request], tag: &Tag, error: &KafkaError) -> Failure {
        if let Some((code, _)) = self.producer.client().fatal_error() {
            return Failure::Over(KafkaError::Global(code));
        }
        let output = &requests[tag.request].commit.outputs[tag.record];
        match delivery_error(error, &output.partition, output.size()) {
            error if error.is_transient() => Failure::Again(error.to_string()),
            error => Failure::Refused { request: tag.request, error },
        }
    }

    /// The record of the aborted transaction that a broker refuses for good, of which the positions
    /// may have heard first: as a transaction that cannot go on. All its reports are in.
    fn refusal(&self, requests: &[Request]) -> Option<(usize, LogError)> {
        while let Ok(report) = self.reports.try_recv() {
            if report.tag.transaction == self.transaction
                && let Some(error) = report.error
                && let Failure::Refused { request, error } =
                    self.output_failure(requests, &report.tag, &error)
            {
                return Some((request, error));
            }
        }
        None
    }

    /// Sends the positions while nothing can be taken from us. A partition that was taken before
    /// this, with its outputs already sent, makes the transaction be aborted.
    fn send_positions(
        &self,
        requests: &[Request],
        consumer: &Weak<BaseConsumer<Context>>,
        context: &Context,
    ) -> Result<(), Failure> {
        let mut positions = TopicPartitionList::with_capacity(requests.len());
        for Request { owned, commit, .. } in requests {
            let mut element = positions
                .add_partition(&owned.partition.topic, owned.partition.partition.cast_signed());
            element.set_metadata(&commit.metadata);
            element
                .set_offset(Offset::Offset(commit.offset.cast_signed()))
                .map_err(|error| Failure::Again(error.to_string()))?;
        }
        // Nothing can be taken from us while this is held.
        let owned = context.ownership.lock();
        if let Some(gone) = requests.iter().find(|request| request.owned.is_revoked()) {
            return Err(Failure::Again(gone.owned.gone().to_string()));
        }
        let metadata = consumer
            .upgrade()
            .and_then(|consumer| consumer.group_metadata())
            .ok_or_else(|| Failure::Again("the member left".to_owned()))?;
        // librdkafka does not keep to the time given: the call can hang until a coordinator
        // answers. On a thread of its own it can be left behind, with a producer that nobody
        // commits with any more and that the next one fences.
        let (answer, answered) = sync_channel(1);
        let producer = Arc::clone(&self.producer);
        spawn("kafka-positions", move || {
            let sent = producer.send_offsets_to_transaction(&positions, &metadata, SEND_POSITIONS);
            answer.send(sent).ok();
        })
        .map_err(|error| Failure::Again(error.to_string()))?;
        let sent = answered.recv_timeout(SEND_POSITIONS + SLICE);
        drop(owned);
        match sent {
            Ok(sent) => sent.map_err(failure),
            Err(_) => Err(Failure::Over(KafkaError::Global(Code::OperationTimedOut))),
        }
    }

    /// Asks for the commit until it is known what became of it.
    fn finish(&self, requests: &mut [Request], context: &Context) -> Result<(), Failure> {
        loop {
            let Err(error) = self.producer.commit_transaction(SLICE) else {
                return Ok(());
            };
            if is_fatal(&error) {
                return Err(Failure::Unknown(error.to_string()));
            }
            if !is_retriable(&error) {
                return Err(Failure::Undone(error.to_string()));
            }
            if self.is_lost() {
                return Err(Failure::Unknown(error.to_string()));
            }
            tracing::info!("a commit is not confirmed yet: {error}");
            for request in requests.iter_mut().filter(|request| request.owned.is_revoked()) {
                request.answer(Err(LogError::Ambiguous(error.to_string())));
            }
            if context.has_ended() {
                return Err(Failure::Unknown(error.to_string()));
            }
        }
    }
}

/// Answers a commit that cannot succeed, unless it was only that a partition has no leader.
fn refuse(requests: &mut Vec<Request>, request: usize, error: LogError, context: &Context) {
    let error = context.confirm(error);
    if error.is_transient() {
        tracing::debug!("trying a commit again: {error}");
        std::thread::sleep(TRY_AGAIN);
    } else {
        requests.remove(request).answer(Err(error));
    }
}

/// A transactional producer that has fenced its predecessor, and where it reports deliveries.
fn start(
    config: &KafkaConfig,
    group: &str,
    member: &str,
) -> Result<(Arc<ThreadedProducer<Reports>>, Receiver<Report>), LogError> {
    let (sender, reports) = channel();
    let producer = ThreadedProducer::from_config_and_context(
        &config.transactional_producer(group, member),
        Reports { reports: sender, contact: Contact::default() },
    )
    .map_err(|error| log_error(&error))?;
    let deadline = Instant::now() + config.request_timeout;
    while let Err(error) = producer.init_transactions(SLICE) {
        if !is_retriable(&error) || Instant::now() > deadline {
            return Err(log_error(&error));
        }
    }
    Ok((Arc::new(producer), reports))
}

/// What the error of a transactional call before the commit means.
fn failure(error: KafkaError) -> Failure {
    if is_fatal(&error) { Failure::Over(error) } else { Failure::Again(error.to_string()) }
}

fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.is_fatal())
}

fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable() && !error.txn_requires_abort(),
        KafkaError::Flush(_) => true,
        _ => false,
    }
}
