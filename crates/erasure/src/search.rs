//! Looks through the whole log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use prost::Message;
use zhili_eventlog::{EventLog, LogError, ReadLimit, Record, TopicPartition, topics};
use zhili_proto::conversation::v1::{Customer, LogEntry, author, log_entry};

use crate::names::Names;

/// Topics in which a person may stand: all but that of erasures themselves, which names whom it is
/// about until it is done.
pub const TOPICS: [&str; 11] = [
    topics::EVENTS,
    topics::SCORES,
    topics::FACTS,
    topics::CUSTOMERS,
    topics::PULSE,
    topics::ESCALATION,
    topics::INCIDENTS,
    topics::SNAPSHOTS,
    topics::CONFIG,
    topics::DEAD_LETTERS,
    // Who has looked at their conversations.
    topics::AUDIT,
];

/// Where records of a person stop being theirs to erase: the first offset of each partition that
/// counts as collected anew. Of a partition without one everything is looked at.
pub type Cuts = BTreeMap<TopicPartition, u64>;

/// What a search of the log came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Searched {
    /// Records read.
    pub read: u64,
    /// Records that name the person, by topic; none without an entry.
    pub found: BTreeMap<String, u64>,
}

/// Counts the records that name a person.
///
/// A record of a compacted topic that another one has replaced counts too, for as long as the log
/// still gives it.
///
/// # Errors
/// Those of [`EventLog::read`].
pub async fn search(log: &dyn EventLog, names: &Names, cuts: &Cuts) -> Result<Searched, LogError> {
    let mut searched = Searched::default();
    for topic in TOPICS {
        for_each(log, topic, |partition, record| {
            searched.read += 1;
            let theirs = cuts.get(partition).is_none_or(|cut| record.offset < *cut);
            if theirs && names.are_in_record(record) {
                *searched.found.entry(topic.to_owned()).or_default() += 1;
            }
        })
        .await?;
    }
    Ok(searched)
}

/// What the events in the log tell of a customer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// Their conversations.
    pub conversations: BTreeSet<String>,
    /// Under what pseudonyms the customers of those wrote.
    pub writers: BTreeSet<String>,
    /// Pseudonyms of customers who wrote in other conversations.
    pub writers_elsewhere: BTreeSet<String>,
}

/// Looks for a customer's conversations in the events of the log.
///
/// # Errors
/// Those of [`EventLog::read`].
pub async fn traces_of(
    log: &dyn EventLog,
    tenant: &str,
    customer: &str,
) -> Result<Traces, LogError> {
    let mut traces = Traces::default();
    let mut wrote: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for_each(log, topics::EVENTS, |_, record| {
        let entry = record.value.as_deref().and_then(|value| LogEntry::decode(value).ok());
        let Some(log_entry::Entry::Event(event)) = entry.and_then(|entry| entry.entry) else {
            return;
        };
        if event.tenant != tenant {
            return;
        }
        // Under whichever key: an event names its customer under all that are joined.
        let is_theirs =
            |it: &Customer| it.id == customer || it.former_ids.iter().any(|id| id == customer);
        if event.customer.as_ref().is_some_and(is_theirs) {
            traces.conversations.insert(event.conversation_id.clone());
        }
        if let Some(author) = event.author.filter(|it| it.role() == author::Role::Customer)
            && !author.id.is_empty()
        {
            wrote.entry(event.conversation_id).or_default().insert(author.id);
        }
    })
    .await?;
    for (conversation, writers) in wrote {
        if traces.conversations.contains(&conversation) {
            traces.writers.extend(writers);
        } else {
            traces.writers_elsewhere.extend(writers);
        }
    }
    Ok(traces)
}

/// Pseudonyms of a tenant's customers, conversations and writing customers in the events of the
/// log.
///
/// # Errors
/// Those of [`EventLog::read`].
pub async fn people_in_log(log: &dyn EventLog, tenant: &str) -> Result<BTreeSet<String>, LogError> {
    let mut people = BTreeSet::new();
    for_each(log, topics::EVENTS, |_, record| {
        let entry = record.value.as_deref().and_then(|value| LogEntry::decode(value).ok());
        let Some(log_entry::Entry::Event(event)) = entry.and_then(|entry| entry.entry) else {
            return;
        };
        if event.tenant == tenant {
            people.insert(event.conversation_id);
            if let Some(customer) = event.customer {
                people.insert(customer.id);
                people.extend(customer.former_ids);
            }
            people.extend(event.author.map(|author| author.id));
        }
    })
    .await?;
    Ok(people)
}

/// Snapshots of folds that were taken at or before a place and still count, as `fold/partition`.
///
/// # Errors
/// Those of [`EventLog::read`].
pub async fn old_snapshots(
    log: &dyn EventLog,
    taken_after: &BTreeMap<String, u64>,
) -> Result<BTreeSet<String>, LogError> {
    let mut live: BTreeMap<String, u64> = BTreeMap::new();
    for_each(log, topics::SNAPSHOTS, |_, record| {
        let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        let Some(key) = key else { return };
        let mut parts = key.split('/');
        let whose = [parts.next(), parts.next()].map(Option::unwrap_or_default).join("/");
        // Notes of hashes have no offset here, and nothing of anybody in them.
        let Some(offset) = parts.next().and_then(|id| id.parse::<u64>().ok()) else { return };
        if taken_after.get(&whose).is_none_or(|after| offset > *after) {
            return;
        }
        if record.value.is_some() {
            live.insert(key.to_owned(), offset);
        } else {
            live.remove(key);
        }
    })
    .await?;
    let fold = |key: &String| key.splitn(3, '/').take(2).collect::<Vec<_>>().join("/");
    Ok(live.keys().map(fold).collect())
}

/// Shows every record of a topic.
async fn for_each(
    log: &dyn EventLog,
    topic: &str,
    mut see: impl FnMut(&TopicPartition, &Record) + Send,
) -> Result<(), LogError> {
    let limit = ReadLimit { wait: Duration::from_millis(500), ..ReadLimit::default() };
    for number in 0..log.topic(topic).await?.partitions {
        let partition = TopicPartition::new(topic, number);
        let bounds = log.bounds(&partition).await?;
        let mut next = bounds.start;
        while next < bounds.end {
            let batch = match log.read(&partition, next, limit).await {
                // Retention has gone on meanwhile.
                Err(LogError::OutOfRange { start, .. }) if start > next => {
                    next = start;
                    continue;
                }
                other => other?,
            };
            for record in batch.records.iter().filter(|record| record.offset < bounds.end) {
                see(&partition, record);
            }
            if batch.next == next {
                // What lies before the end of a partition is there, or the log says that it ends.
                if batch.caught_up {
                    break;
                }
                continue;
            }
            next = batch.next;
        }
    }
    Ok(())
}
