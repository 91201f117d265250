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
    heads: BTreeMap<String, Head>,
}

/// Stores a bundle and puts it in force for a tenant, as sequence one above the last.
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
    let before = Bundles::load(log).await?.0.head(tenant);
    let hash = hex(&Sha256::digest(&bundle));
    let head = Head {
        bundle: hash.clone(),
        sequence: before.as_ref().map_or(1, |head| head.sequence + 1),
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
        entry(format!("head/{tenant}"), config_entry::Entry::Head(head.clone().into())),
    ];
    for result in log.append(records).await {
        result?;
    }
    Ok(head)
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
        let (bundles, mut next) = Self::load(&*log).await?;
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
        Ok(Self::load(log).await?.0)
    }

    async fn load(log: &dyn EventLog) -> Result<(Self, u64), LogError> {
        let bundles = Self { state: RwLock::default(), changed: watch::Sender::new(0) };
        let mut next = log.bounds(&partition()).await?.start;
        let limit = ReadLimit { wait: Duration::from_millis(50), ..ReadLimit::default() };
        loop {
            let batch = log.read(&partition(), next, limit).await?;
            next = batch.next;
            bundles.take(batch.records);
            if batch.caught_up {
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
                (Some(("head", tenant)), Some(config_entry::Entry::Head(head))) => {
                    state.heads.insert(tenant.to_owned(), head.into());
                }
                _ => tracing::error!(offset = record.offset, "unknown entry in {}", topics::CONFIG),
            }
        }
        drop(state);
        self.changed.send_modify(|version| *version += 1);
    }

    /// What a tenant has in force.
    pub fn head(&self, tenant: &str) -> Option<Head> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).heads.get(tenant).cloned()
    }

    /// What every tenant has in force.
    pub fn heads(&self) -> BTreeMap<String, Head> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).heads.clone()
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
