use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Message as _, Statistics, TopicPartitionList};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::commit::{Committer, Word};
use super::contact::Contact;
use super::error::log_error;
use super::partition::{Handle, Owned, Ownership};
use super::{Client, client};
use crate::{
    Committed, GroupMember, LogError, Membership, PartitionHandle, Rebalance, TopicPartition,
};

/// How soon a member that was dropped notices it.
const POLL: Duration = Duration::from_millis(50);

/// The positions of newly assigned partitions can be had when the previous owner's transaction is
/// settled, at worst after its timeout; how long one question for them may take.
const ASK_POSITIONS: Duration = Duration::from_secs(5);

/// A member as its owner sees it.
pub(super) struct Member {
    changes: UnboundedReceiver<Result<Rebalance, LogError>>,
    ended: Arc<AtomicBool>,
}

#[async_trait]
impl GroupMember for Member {
    async fn next(&mut self) -> Result<Rebalance, LogError> {
        self.changes.recv().await.unwrap_or(Err(LogError::Closed))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
    }
}

/// A member as its threads see it.
pub(super) struct Context {
    client: Arc<Client>,
    membership: Membership,
    pub(super) ownership: Ownership,
    changes: UnboundedSender<Result<Rebalance, LogError>>,
    commits: Sender<Word>,
    /// Set once the consumer that owns this context exists.
    consumer: OnceLock<Weak<BaseConsumer<Context>>>,
    ended: Arc<AtomicBool>,
    contact: Contact,
}

/// Joins a group.
pub(super) async fn join(client: Arc<Client>, membership: Membership) -> Result<Member, LogError> {
    for topic in &membership.topics {
        client.partitions(topic).await?;
    }
    let shared = Arc::clone(&client);
    client.blocking(move |_| start(shared, membership)).await
}

fn start(client: Arc<Client>, membership: Membership) -> Result<Member, LogError> {
    let config = client.config.clone();
    let Membership { group, member, .. } = membership.clone();
    let topics = membership.topics.clone();
    // The predecessor is fenced before the group gives us anything.
    let committer = Committer::new(config.clone(), &group, &member)?;
    let (changes, receiver) = unbounded_channel();
    let (words, told) = channel();
    let ended = Arc::new(AtomicBool::new(false));
    let context = Context {
        client,
        membership,
        ownership: Ownership::default(),
        changes,
        commits: words,
        consumer: OnceLock::new(),
        ended: Arc::clone(&ended),
        contact: Contact::default(),
    };
    let consumer = BaseConsumer::from_config_and_context(&config.member(&group, &member), context)
        .map_err(|error| log_error(&error))?;
    let consumer = Arc::new(consumer);
    let weak = Arc::downgrade(&consumer);
    consumer.context().consumer.get_or_init(|| weak.clone());
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics).map_err(|error| log_error(&error))?;
    let context = Arc::clone(consumer.context());
    spawn("kafka-commit", move || {
        committer.serve(&told, &weak, &context);
    })?;
    spawn("kafka-member", move || serve(consumer))?;
    Ok(Member { changes: receiver, ended })
}

pub(super) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), LogError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(drop)
        .map_err(|error| LogError::Unavailable(format!("cannot start a thread: {error}")))
}

/// Takes part in the group until the member is dropped or cannot go on.
fn serve(consumer: Arc<BaseConsumer<Context>>) {
    let context = Arc::clone(consumer.context());
    while !context.has_ended() {
        match consumer.poll(POLL) {
            None => {}
            // Every partition has a queue of its own before it is assigned.
            Some(Ok(message)) => context.fail(LogError::Unavailable(format!(
                "{}[{}] was fetched outside of its queue",
                message.topic(),
                message.partition()
            ))),
            Some(Err(error)) => context.on_error(&error),
        }
        if context.contact.is_lost() {
            let group = &context.membership.group;
            context.fail(LogError::Unavailable(format!("the member of {group} knows no broker")));
        }
    }
    context.ownership.end();
    context.commits.send(Word::Stop).ok();
    // Leaves the group, or goes silent where membership is static.
    drop(consumer);
}

impl Context {
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Ends the membership.
    pub(super) fn fail(&self, error: LogError) {
        self.ownership.end();
        if !self.ended.swap(true, Ordering::AcqRel) {
            self.changes.send(Err(error)).ok();
        }
    }

    /// See [`Client::confirm_blocking`].
    pub(super) fn confirm(&self, error: LogError) -> LogError {
        self.client.confirm_blocking(error)
    }

    fn on_error(&self, error: &KafkaError) {
        let Membership { group, member, .. } = &self.membership;
        match (error, error.rdkafka_error_code()) {
            // Brokers also say so to a member whose answer to a request to join was lost.
            (_, Some(Code::FencedInstanceId)) => self.fail(LogError::Unavailable(format!(
                "{group} has another member {member} in our place; join again, and when this \
                 happens again and again give each process a name of its own"
            ))),
            (KafkaError::MessageConsumptionFatal(_), _)
            | (
                _,
                Some(
                    Code::TopicAuthorizationFailed
                    | Code::GroupAuthorizationFailed
                    | Code::InconsistentGroupProtocol
                    | Code::InvalidSessionTimeout,
                ),
            ) => self.fail(log_error(error)),
            // librdkafka gets over everything else by itself.
            _ => tracing::debug!(group, member, "while polling: {error}"),
        }
    }

    /// Positions of newly assigned partitions. They are not to be had while the previous owner's
    /// transaction is open, and without them nothing can be read.
    fn positions(
        &self,
        consumer: &BaseConsumer<Self>,
        assigned: &TopicPartitionList,
    ) -> Result<Vec<(TopicPartition, Option<Committed>)>, LogError> {
        let config = &self.client.config;
        let deadline = Instant::now() + config.transaction_timeout + config.request_timeout;
        loop {
            let answer = consumer.committed_offsets(assigned.clone(), ASK_POSITIONS);
            let answer = answer.and_then(|positions| {
                for element in positions.elements() {
                    element.error()?;
                }
                Ok(positions)
            });
            match answer {
                Ok(positions) => {
                    let elements = positions.elements();
                    return Ok(elements
                        .iter()
                        .map(|element| {
                            let committed = match element.offset() {
                                Offset::Offset(offset) => Some(Committed {
                                    offset: offset.cast_unsigned(),
                                    metadata: element.metadata().to_owned(),
                                }),
                                _ => None,
                            };
                            (partition(element.topic(), element.partition()), committed)
                        })
                        .collect());
                }
                Err(error) if self.has_ended() || Instant::now() > deadline => {
                    return Err(log_error(&error));
                }
                Err(error) => tracing::info!("the positions are not to be had yet: {error}"),
            }
        }
    }

    fn assign(
        &self,
        consumer: &Arc<BaseConsumer<Self>>,
        assigned: &TopicPartitionList,
    ) -> Result<(), LogError> {
        let positions = self.positions(consumer, assigned)?;
        let mut starts = TopicPartitionList::with_capacity(positions.len());
        let mut handles: Vec<Box<dyn PartitionHandle>> = Vec::with_capacity(positions.len());
        let mut ownership = self.ownership.lock();
        for (partition, committed) in positions {
            let number = partition.partition.cast_signed();
            // A first start begins at the first record: said here, because a position outside of
            // the log must stay an error.
            let start = match &committed {
                Some(committed) => Offset::Offset(committed.offset.cast_signed()),
                None => Offset::Beginning,
            };
            starts
                .add_partition_offset(&partition.topic, number, start)
                .map_err(|error| log_error(&error))?;
            let queue = consumer
                .split_partition_queue(&partition.topic, number)
                .ok_or_else(|| LogError::UnknownPartition(partition.clone()))?;
            let owned = Arc::new(Owned::new(partition.clone(), queue));
            ownership.insert(partition, Arc::clone(&owned));
            handles.push(Box::new(Handle::new(
                Arc::clone(&self.client),
                owned,
                self.commits.clone(),
                committed,
            )));
        }
        drop(ownership);
        consumer
            .incremental_assign(&starts)
            // A partition that was paused when it was last ours would stay so.
            .and_then(|()| consumer.resume(&starts))
            .map_err(|error| log_error(&error))?;
        if !handles.is_empty() {
            self.changes.send(Ok(Rebalance::Assigned(handles))).ok();
        }
        Ok(())
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, revoked: &TopicPartitionList) {
        let mut gone = Vec::new();
        let mut ownership = self.ownership.lock();
        for element in revoked.elements() {
            let partition = partition(element.topic(), element.partition());
            if let Some(owned) = ownership.remove(&partition) {
                owned.end();
                gone.push(partition);
            }
        }
        drop(ownership);
        if let Err(error) = consumer.incremental_unassign(revoked) {
            self.fail(log_error(&error));
        }
        if !gone.is_empty() {
            self.changes.send(Ok(Rebalance::Revoked(gone))).ok();
        }
    }
}

fn partition(topic: &str, number: i32) -> TopicPartition {
    TopicPartition::new(topic, number.cast_unsigned())
}

impl ClientContext for Context {
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

impl ConsumerContext for Context {
    /// Called inside of `poll`, on the member's own thread.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        change: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        if change == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // While the consumer is being closed there is nobody to give partitions to.
            let consumer = self.consumer.get().and_then(Weak::upgrade);
            let assigned = consumer.map(|consumer| self.assign(&consumer, partitions));
            if let Some(Err(error)) = assigned {
                self.fail(error);
            }
        } else {
            self.revoke(consumer, partitions);
        }
    }
}
