use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use zhili_proto::log::v1::{ConfigEntry, ConfigHead, config_entry};

use crate::{EventLog, LogError, NewRecord, ReadLimit, TopicPartition, topics};

/// How often to say that a bundle is still missing.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// Which bundle a tenant has in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Lower-case hex SHA-256.
    pub bundle: String,
    /// Grows with each change.
    pub sequence: u64,
    /// When it was put in force, milliseconds since the Unix epoch.
    pub changed_ms: i64,
    /// Who did.
    pub changed_by: String,
    /// The bundle in force before; empty for the first.
    pub previous: String,
}

/// The configuration bundles of the log, kept up to date. Content-addressed: a name never means
/// another content, so a replay sees what the first run saw.
#[derive(Debug)]
pub struct Bundles {
    state: RwLock<State>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    blobs: HashMap<String, Bytes>,
    /// By tenant and sequence.
    heads: BTreeMap<String, BTreeMap<u64, Head>>,
}

/// What became of a bundle that was to follow another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// It was put in force.
    InForce(Head),
    /// Another one is in force, of this sequence; 0 for none.
    Conflict(u64),
}

/// Stores a bundle and puts it in force for a tenant, whatever is in force: as sequence one above
/// the last.
///
/// # Errors
/// Those of [`EventLog::append`] and [`EventLog::read`].
pub async fn publish_bundle(
    log: &dyn EventLog,
    tenant: &str,
    bundle: Bytes,
    by: &str,
    now_ms: i64,
) -> Result<Head, LogError> {
    let mut known = sequence(&Bundles::read(log).await?, tenant);
    loop {
        match publish_bundle_after(log, tenant, known, bundle.clone(), by, now_ms).await? {
            Published::InForce(head) => return Ok(head),
            // Whoever was first has got further, so somebody always does.
            Published::Conflict(sequence) => known = sequence,
        }
    }
}

/// Stores a bundle and puts it in force for a tenant unless another than the one of sequence
/// `expected` is in force, 0 for none.
///
/// Processes on one log may do so at once: the head that comes first in the log is the one of its
/// sequence for every reader, and what this returns was read back.
///
/// # Errors
/// Those of [`EventLog::append`] and [`EventLog::read`].
pub async fn publish_bundle_after(
    log: &dyn EventLog,
    tenant: &str,
    expected: u64,
    bundle: Bytes,
    by: &str,
    now_ms: i64,
) -> Result<Published, LogError> {
    let before = Bundles::read(log).await?.head(tenant);
    let in_force = before.as_ref().map_or(0, |head| head.sequence);
    if in_force != expected {
        return Ok(Published::Conflict(in_force));
    }
    let hash = hex(&Sha256::digest(&bundle));
    let head = Head {
        bundle: hash.clone(),
        sequence: expected + 1,
        changed_ms: now_ms,
        changed_by: by.to_owned(),
        previous: before.map(|head| head.bundle).unwrap_or_default(),
    };
    let entry = |key: String, entry| {
        let value = ConfigEntry { entry: Some(entry) }.encode_to_vec();
        NewRecord::new(partition(), Bytes::from(key), Bytes::from(value))
    };
    let records = vec![
        entry(format!("blob/{hash}"), config_entry::Entry::Blob(bundle)),
        entry(head_key(tenant, &head), config_entry::Entry::Head(head.clone().into())),
    ];
    let mut end = 0;
    for result in log.append(records).await {
        end = end.max(result?.offset + 1);
    }
    let (bundles, _) = Bundles::load(log, end).await?;
    if bundles.is_in_history(tenant, &head) {
        return Ok(Published::InForce(head));
    }
    Ok(Published::Conflict(sequence(&bundles, tenant)))
}

fn sequence(bundles: &Bundles, tenant: &str) -> u64 {
    bundles.head(tenant).map_or(0, |head| head.sequence)
}

/// Every head has a key of its own, so that compaction leaves all of them in their order: of two
/// of one sequence it would keep the second, and who reads later would take that for the first.
fn head_key(tenant: &str, head: &Head) -> String {
    let hash = hex(&Sha256::digest(ConfigHead::from(head.clone()).encode_to_vec()));
    format!("head/{tenant}/{}-{hash:.16}", head.sequence)
}

impl From<Head> for ConfigHead {
    fn from(head: Head) -> Self {
        Self {
            bundle: head.bundle,
            sequence: head.sequence,
            changed_at: Some(zhili_proto::timestamp(head.changed_ms)),
            changed_by: head.changed_by,
            previous: head.previous,
        }
    }
}

impl From<ConfigHead> for Head {
    fn from(head: ConfigHead) -> Self {
        Self {
            bundle: head.bundle,
            sequence: head.sequence,
            changed_ms: head.changed_at.as_ref().and_then(zhili_proto::millis).unwrap_or(0),
            changed_by: head.changed_by,
            previous: head.previous,
        }
    }
}

impl Bundles {
    /// Reads what there is, then follows changes until `shutdown`.
    ///
    /// # Errors
    /// Those of [`EventLog::read`].
    pub async fn follow(
        log: Arc<dyn EventLog>,
        shutdown: CancellationToken,
    ) -> Result<Arc<Self>, LogError> {
        let (bundles, mut next) = Self::load(&*log, 0).await?;
        let bundles = Arc::new(bundles);
        let followed = Arc::clone(&bundles);
        tokio::spawn(async move {
            let partition = partition();
            while !shutdown.is_cancelled() {
                let read = tokio::select! {
                    () = shutdown.cancelled() => return,
                    read = log.read(&partition, next, ReadLimit::default()) => read,
                };
                match read {
                    Ok(batch) => {
                        next = batch.next;
                        followed.take(batch.records);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot follow the configuration, trying again");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        });
        Ok(bundles)
    }

    /// What there is now.
    ///
    /// # Errors
    /// Those of [`EventLog::read`].
    pub async fn read(log: &dyn EventLog) -> Result<Self, LogError> {
        Ok(Self::load(log, 0).await?.0)
    }

    /// What there is now, the records below `end` among it, and where to read on.
    async fn load(log: &dyn EventLog, end: u64) -> Result<(Self, u64), LogError> {
        let bundles = Self { state: RwLock::default(), changed: watch::Sender::new(0) };
        let mut next = log.bounds(&partition()).await?.start;
        let limit = ReadLimit { wait: Duration::from_millis(50), ..ReadLimit::default() };
        loop {
            let batch = log.read(&partition(), next, limit).await?;
            next = batch.next;
            bundles.take(batch.records);
            if batch.caught_up && next >= end {
                return Ok((bundles, next));
            }
        }
    }

    fn take(&self, records: Vec<crate::Record>) {
        if records.is_empty() {
            return;
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
            let entry = record.value.as_deref().and_then(|value| ConfigEntry::decode(value).ok());
            match (key.and_then(|key| key.split_once('/')), entry.and_then(|entry| entry.entry)) {
                (Some(("blob", hash)), Some(config_entry::Entry::Blob(blob))) => {
                    if hex(&Sha256::digest(&blob)) == hash {
                        state.blobs.insert(hash.to_owned(), blob);
                    } else {
                        tracing::error!(hash, "a configuration bundle is not what its name says");
                    }
                }
                (Some(("head", key)), Some(config_entry::Entry::Head(head))) => {
                    // The name of the tenant alone was a key once.
                    let tenant = key.split_once('/').map_or(key, |(tenant, _)| tenant);
                    let heads = state.heads.entry(tenant.to_owned()).or_default();
                    // The first of a sequence stays: folds that saw it go by it already.
                    if heads.last_key_value().is_none_or(|(last, _)| head.sequence > *last) {
                        heads.insert(head.sequence, head.into());
                    } else if heads.get(&head.sequence) != Some(&Head::from(head)) {
                        tracing::warn!(tenant, "a change of the configuration came too late");
                    }
                }
                _ => tracing::error!(offset = record.offset, "unknown entry in {}", topics::CONFIG),
            }
        }
        drop(state);
        self.changed.send_modify(|version| *version += 1);
    }

    /// What a tenant has in force.
    pub fn head(&self, tenant: &str) -> Option<Head> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.heads.get(tenant)?.values().next_back().cloned()
    }

    /// What every tenant has in force.
    pub fn heads(&self) -> BTreeMap<String, Head> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let last = |heads: &BTreeMap<u64, Head>| heads.values().next_back().cloned();
        let all = state.heads.iter();
        all.filter_map(|(tenant, heads)| Some((tenant.clone(), last(heads)?))).collect()
    }

    /// Whether a bundle is or was in force for a tenant.
    pub fn was_in_force(&self, tenant: &str, bundle: &str) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let mut heads = state.heads.get(tenant).into_iter().flat_map(BTreeMap::values);
        heads.any(|head| head.bundle == bundle || head.previous == bundle)
    }

    /// Whether this head is or was the one of its sequence.
    fn is_in_history(&self, tenant: &str, head: &Head) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.heads.get(tenant).and_then(|heads| heads.get(&head.sequence)) == Some(head)
    }

    /// A bundle's bytes, if they are here.
    pub fn get(&self, hash: &str) -> Option<Bytes> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).blobs.get(hash).cloned()
    }

    /// Waits for a bundle, saying so for as long as it takes.
    pub async fn wait_for(&self, hash: &str) -> Bytes {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            if let Some(bundle) = self.get(hash) {
                return bundle;
            }
            if tokio::time::timeout(COMPLAIN_EVERY, changed.changed()).await.is_err() {
                tracing::error!(hash, "waiting for a configuration bundle that is not in the log");
            }
        }
    }
}

fn partition() -> TopicPartition {
    TopicPartition::new(topics::CONFIG, 0)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
