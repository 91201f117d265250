//! Tokens that an identity provider has signed (OpenID Connect).
//!
//! What counts is fixed by the settings: the issuer, the audience, the algorithms, and what a
//! group may do. A token says who somebody is, and no more than that.

mod ask;
mod claims;
mod keys;
pub(crate) mod login;
mod settings;
mod signature;

use crate::{ErrorCode, Failure, ServiceError};

pub use settings::{LoginSettings, OidcSettings, SigningAlgorithm};

use self::ask::Provider;
use self::claims::{Refusal, principal};
use self::keys::Keys;
use self::login::Login;
use super::Principal;

/// Recognises the tokens of one provider.
pub(super) struct Oidc {
    settings: OidcSettings,
    keys: Keys,
    login: Option<Login>,
}

impl Oidc {
    pub(super) fn new(settings: &OidcSettings) -> Result<Self, Failure> {
        settings.check()?;
        signature::install();
        let provider = Provider::new(settings)?;
        let login = Login::new(settings, provider.clone())?;
        Ok(Self { settings: settings.clone(), keys: Keys::new(settings, provider), login })
    }

    /// How people log in at the provider, where the settings say so.
    pub(super) const fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// Whose token it is at `now`, seconds since the Unix epoch.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`], or [`ErrorCode::Unavailable`] when the provider cannot be
    /// asked for its keys.
    pub(super) async fn recognise(&self, token: &str, now: u64) -> Result<Principal, ServiceError> {
        let keys = self.keys.known().await.map_err(|error| {
            tracing::warn!(error, "no keys of the identity provider");
            let message = "the identity provider cannot be asked for its keys, try again later";
            ServiceError::new(ErrorCode::Unavailable, message)
                .retry_after(std::time::Duration::from_secs(10))
        })?;
        let mut told = principal(&self.settings, &keys, token, now);
        // The provider may have begun to use another.
        if told == Err(Refusal::UnknownKey)
            && let Some(newer) = self.keys.newer(&keys).await
        {
            told = principal(&self.settings, &newer, token, now);
        }
        told.map_err(|refusal| {
            tracing::info!(%refusal, "refused a token of the identity provider");
            let message = "the token is not valid or has expired";
            ServiceError::new(ErrorCode::Unauthenticated, message)
        })
    }
}
