//! The provider's keys, fetched when they are needed and kept for a while.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::ask::Provider;
use super::settings::{OidcSettings, address};

/// Keys are looked at again after this long, so that one that the provider has given up opens
/// nothing for longer.
const FRESH: Duration = Duration::from_secs(5 * 60);
/// Without an answer of the provider the keys of before count for this long.
const STALE: Duration = Duration::from_secs(24 * 3_600);
/// The provider is asked no more often than this, whatever tokens are brought.
const PAUSE: Duration = Duration::from_secs(10);
/// The keys of one provider.
pub(super) struct Keys {
    issuer: String,
    jwks_url: String,
    provider: Provider,
    held: RwLock<Option<Held>>,
    /// When the provider was asked last. Held while it is asked: others wait for that answer
    /// instead of asking too.
    asked: Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct Held {
    keys: Arc<JwkSet>,
    since: Instant,
}

impl Keys {
    pub(super) fn new(settings: &OidcSettings, provider: Provider) -> Self {
        Self {
            issuer: settings.issuer.clone(),
            jwks_url: settings.jwks_url.clone(),
            provider,
            held: RwLock::default(),
            asked: Mutex::default(),
        }
    }

    /// The keys as they are known, asked for when there are none or none that are fresh.
    ///
    /// # Errors
    /// Why there are none that count.
    pub(super) async fn known(&self) -> Result<Arc<JwkSet>, String> {
        let held = self.held();
        if let Some(held) = &held
            && held.since.elapsed() < FRESH
        {
            return Ok(Arc::clone(&held.keys));
        }
        let told = self.ask(held.as_ref().map(|held| held.since)).await;
        match (self.held(), told) {
            (Some(held), _) if held.since.elapsed() < STALE => Ok(held.keys),
            (_, Err(error)) => Err(error),
            (_, Ok(())) => Err("the provider was asked just now and did not answer".to_owned()),
        }
    }

    /// The keys after the provider was asked whether there are more than `known`; these when it
    /// was asked just now.
    pub(super) async fn newer(&self, known: &Arc<JwkSet>) -> Option<Arc<JwkSet>> {
        let held = self.held()?;
        if !Arc::ptr_eq(&held.keys, known) {
            return Some(held.keys);
        }
        // What it says is in the log; the keys of before are no use to whoever asks for others.
        self.ask(Some(held.since)).await.ok()?;
        Some(self.held()?.keys).filter(|keys| !Arc::ptr_eq(keys, known))
    }

    fn held(&self) -> Option<Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the provider, unless somebody has since or it is too early to ask again.
    async fn ask(&self, unless_after: Option<Instant>) -> Result<(), String> {
        let mut asked = self.asked.lock().await;
        if self.held().map(|held| held.since) != unless_after {
            return Ok(());
        }
        if asked.is_some_and(|last| last.elapsed() < PAUSE) {
            return Ok(());
        }
        *asked = Some(Instant::now());
        let keys = self.fetch().await.inspect_err(|error| {
            tracing::warn!(issuer = self.issuer, error, "cannot read the keys of the provider");
        })?;
        let held = Held { keys: Arc::new(keys), since: Instant::now() };
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(held);
        Ok(())
    }

    async fn fetch(&self) -> Result<JwkSet, String> {
        let url = if self.jwks_url.is_empty() {
            self.provider.discover().await?.jwks_uri
        } else {
            self.jwks_url.clone()
        };
        self.provider.get(&address(&url)?).await
    }
}
