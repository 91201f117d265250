//! How erasures and holds stand: the last record of each key in `zhili.erasures.v1`.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use zhili_eventlog::{EventLog, LogError, NewRecord, ReadLimit, Record, TopicPartition, topics};
use zhili_proto::privacy::v1::{Entry, Hold, Job, entry};

/// Erasures and holds, by id.
#[derive(Clone, Debug, Default)]
pub struct Register {
    /// Erasures.
    pub jobs: BTreeMap<String, Job>,
    /// Holds, released ones too.
    pub holds: BTreeMap<String, Hold>,
}

impl Register {
    /// Takes a record in.
    pub fn take(&mut self, record: &Record) {
        let entry = record.value.as_deref().and_then(|value| Entry::decode(value).ok());
        match entry.and_then(|entry| entry.entry) {
            Some(entry::Entry::Job(job)) => {
                let id = job.erasure.as_ref().map(|erasure| erasure.erasure_id.clone());
                self.jobs.insert(id.unwrap_or_default(), job);
            }
            Some(entry::Entry::Hold(hold)) => {
                self.holds.insert(hold.hold_id.clone(), hold);
            }
            None => {
                tracing::error!(offset = record.offset, "unknown entry in {}", topics::ERASURES);
            }
        }
    }

    /// Everything that the log holds.
    ///
    /// # Errors
    /// Those of [`EventLog::read`].
    pub async fn read(log: &dyn EventLog) -> Result<Self, LogError> {
        let mut register = Self::default();
        let limit = ReadLimit { wait: Duration::from_millis(50), ..ReadLimit::default() };
        let mut next = log.bounds(&partition()).await?.start;
        loop {
            let batch = log.read(&partition(), next, limit).await?;
            for record in &batch.records {
                register.take(record);
            }
            next = batch.next;
            if batch.caught_up {
                return Ok(register);
            }
        }
    }

    /// Whether the hold that an erasure waits for is still on.
    #[must_use]
    pub fn is_still_held(&self, job: &Job) -> bool {
        let waits_for = job.erasure.as_ref().map_or("", |erasure| erasure.waits_for.as_str());
        let waited_for = |hold: &Hold| waits_for.ends_with(&hold.hold_id);
        self.holds.values().any(|hold| hold.released_at.is_none() && waited_for(hold))
    }

    /// The hold of a tenant that keeps any of these names from being erased.
    #[must_use]
    pub fn hold_on<'a>(
        &self,
        tenant: &str,
        mut names: impl Iterator<Item = &'a String>,
    ) -> Option<&Hold> {
        names.find_map(|name| {
            self.holds.values().find(|hold| {
                hold.released_at.is_none() && hold.tenant == tenant && hold.subject == *name
            })
        })
    }
}

/// Notes how an erasure stands.
///
/// # Errors
/// Those of [`EventLog::append`].
pub async fn note_job(log: &dyn EventLog, job: &Job) -> Result<(), LogError> {
    let id = job.erasure.as_ref().map_or("", |erasure| erasure.erasure_id.as_str());
    note(log, format!("erasure/{id}"), entry::Entry::Job(job.clone())).await
}

/// Notes how a hold stands.
///
/// # Errors
/// Those of [`EventLog::append`].
pub async fn note_hold(log: &dyn EventLog, hold: &Hold) -> Result<(), LogError> {
    note(log, format!("hold/{}", hold.hold_id), entry::Entry::Hold(hold.clone())).await
}

async fn note(log: &dyn EventLog, key: String, entry: entry::Entry) -> Result<(), LogError> {
    let value = Entry { entry: Some(entry) }.encode_to_vec();
    let record = NewRecord::new(partition(), Bytes::from(key), Bytes::from(value));
    log.append(vec![record]).await.into_iter().try_for_each(|result| result.map(|_| ()))
}

/// An id that nobody has yet.
#[must_use]
pub fn new_id(prefix: &str) -> String {
    format!("{prefix}_{:032x}", rand::random::<u128>())
}

pub(crate) fn partition() -> TopicPartition {
    TopicPartition::new(topics::ERASURES, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(id: &str, tenant: &str, subject: &str, released: bool) -> Hold {
        Hold {
            hold_id: id.to_owned(),
            tenant: tenant.to_owned(),
            subject: subject.to_owned(),
            released_at: released.then(|| zhili_proto::timestamp(1)),
            ..Hold::default()
        }
    }

    #[test]
    fn a_hold_keeps_its_subject_until_it_is_released() {
        let mut register = Register::default();
        register.holds.insert("h".to_owned(), hold("h", "shop", "v_1", false));
        let names = ["c_1".to_owned(), "v_1".to_owned()];
        assert!(register.hold_on("shop", names.iter()).is_some());
        assert!(register.hold_on("other", names.iter()).is_none());
        assert!(register.hold_on("shop", names[..1].iter()).is_none());
        register.holds.insert("h".to_owned(), hold("h", "shop", "v_1", true));
        assert!(register.hold_on("shop", names.iter()).is_none());
    }
}
