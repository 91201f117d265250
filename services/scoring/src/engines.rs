//! The engine of every tenant: that of the library, or one with phrases of the tenant's own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use zhili_eventlog::runner::Bundles;
use zhili_tone::{Engine, LibraryError};

use crate::bundle::{Bundle, Phrases};

/// Stands for every tenant without phrases of its own.
pub(crate) const ANY_TENANT: &str = "*";

/// Engines in use. Partitions and requests that want the same phrases share one, for it takes
/// some time and megabytes to make.
#[derive(Clone)]
pub struct Engines {
    base: Arc<Engine>,
    made: Arc<Mutex<HashMap<Phrases, Weak<Engine>>>>,
}

impl Engines {
    /// With the library that comes with the engine for everybody without phrases of their own.
    ///
    /// # Errors
    /// See [`Engine::new`].
    pub fn new() -> Result<Self, LibraryError> {
        Ok(Self { base: Arc::new(Engine::new()?), made: Arc::default() })
    }

    /// The engine of the library alone.
    #[must_use]
    pub fn base(&self) -> &Arc<Engine> {
        &self.base
    }

    /// The engine with these phrases.
    ///
    /// # Errors
    /// The first line that cannot be read, by file and number.
    pub fn with(&self, phrases: &Phrases) -> Result<Arc<Engine>, LibraryError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = made.get(phrases).and_then(Weak::upgrade) {
            return Ok(engine);
        }
        made.retain(|_, engine| engine.strong_count() > 0);
        let engine = Arc::new(phrases.engine()?);
        made.insert(phrases.clone(), Arc::downgrade(&engine));
        Ok(engine)
    }

    /// The engine of what is in force for a tenant now, for requests that no fold answers.
    /// Phrases that cannot be read were refused by the fold as well; then the library alone.
    pub(crate) fn in_force(&self, bundles: &Bundles, tenant: &str) -> Arc<Engine> {
        let of = |tenant: &str| {
            let bundle = bundles.get(&bundles.head(tenant)?.bundle)?;
            Bundle::parse(&bundle).ok()?.phrases
        };
        let phrases = of(tenant).or_else(|| of(ANY_TENANT));
        phrases.and_then(|phrases| self.with(&phrases).ok()).unwrap_or_else(|| self.base.clone())
    }
}
