//! Links of a card: to the console, or to a page of this service where whoever was paged can
//! acknowledge and resolve without logging in.
//!
//! The latter is signed and short-lived. It opens a page with buttons and changes nothing by
//! itself, because mail and chat programs follow links to look at them.
//!
//! Calendar programs cannot log in either: a schedule has a signed link of its own, which lives as
//! long as the secret, because nobody subscribes anew every few hours.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zhili_incident::Page;
use zhili_runtime::config::Secret;

/// How long after a page became due its link works, milliseconds.
const VALID_MS: i64 = 4 * 60 * 60_000;
/// What is signed for one purpose is meant for no other.
const INCIDENT: &[u8] = b"zhili incident link 1\n";
const CALENDAR: &[u8] = b"zhili calendar link 1\n";
/// A shorter secret is guessable.
pub(crate) const LEAST_SECRET: usize = 32;

/// Makes and reads links. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    /// Template with `{incident_id}`; empty for none.
    console: Arc<str>,
    signed: Option<Arc<Signed>>,
}

#[derive(Debug)]
struct Signed {
    /// Without a slash at its end.
    base: String,
    secret: Secret,
}

/// Whoever has a link may answer for this incident in the name of this destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Permit {
    #[serde(rename = "t")]
    pub(crate) tenant: String,
    #[serde(rename = "i")]
    pub(crate) incident_id: String,
    #[serde(rename = "d")]
    pub(crate) destination: String,
    /// Milliseconds since the Unix epoch.
    #[serde(rename = "x")]
    expires_ms: i64,
}

/// Whoever has a link may see who is on call by this schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subscription {
    #[serde(rename = "t")]
    pub(crate) tenant: String,
    #[serde(rename = "m")]
    pub(crate) team: String,
    #[serde(rename = "s")]
    pub(crate) schedule: String,
}

/// Why a link does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("this link was not made here")]
    Forged,
    #[error("this link has expired")]
    Expired,
}

impl Links {
    /// Signed links need both an address and a secret.
    pub(crate) fn new(console: &str, public_url: &str, secret: &Secret) -> Self {
        let signed = (!public_url.is_empty() && !secret.is_empty()).then(|| {
            let base = public_url.trim_end_matches('/').to_owned();
            Arc::new(Signed { base, secret: secret.clone() })
        });
        Self { console: Arc::from(console), signed }
    }

    /// Where a person sees an incident in the console; empty for nowhere.
    pub(crate) fn console(&self, incident_id: &str) -> String {
        self.console.replace("{incident_id}", incident_id)
    }

    /// The link of a page; it is the same on every attempt.
    pub(crate) fn of(&self, tenant: &str, incident_id: &str, page: &Page) -> String {
        let Some(signed) = &self.signed else { return self.console(incident_id) };
        let permit = Permit {
            tenant: tenant.to_owned(),
            incident_id: incident_id.to_owned(),
            destination: page.destination.clone(),
            expires_ms: page.created_at_ms.saturating_add(VALID_MS),
        };
        format!("{}/i/{}", signed.base, signed.token(INCIDENT, &permit))
    }

    /// Where calendar programs read a schedule; nothing without signed links.
    pub(crate) fn of_calendar(&self, subscription: &Subscription) -> Option<String> {
        let signed = self.signed.as_ref()?;
        Some(format!("{}/calendars/{}", signed.base, signed.token(CALENDAR, subscription)))
    }

    /// The schedule that a token shows.
    pub(crate) fn open_calendar(&self, token: &str) -> Result<Subscription, LinkError> {
        self.signed.as_ref().ok_or(LinkError::Forged)?.open(CALENDAR, token)
    }

    /// What a token permits.
    pub(crate) fn open(&self, token: &str, now_ms: i64) -> Result<Permit, LinkError> {
        let signed = self.signed.as_ref().ok_or(LinkError::Forged)?;
        let permit: Permit = signed.open(INCIDENT, token)?;
        if permit.expires_ms <= now_ms { Err(LinkError::Expired) } else { Ok(permit) }
    }
}

impl Signed {
    fn token(&self, purpose: &[u8], permit: &impl Serialize) -> String {
        // Strings and a number always have a JSON form.
        let payload = serde_json::to_vec(permit).unwrap_or_default();
        let mac = self.mac(purpose, &payload).map(|mac| mac.finalize().into_bytes());
        let mac = mac.map(|mac| URL_SAFE_NO_PAD.encode(mac)).unwrap_or_default();
        format!("{}.{mac}", URL_SAFE_NO_PAD.encode(payload))
    }

    fn open<P: DeserializeOwned>(&self, purpose: &[u8], token: &str) -> Result<P, LinkError> {
        let (payload, mac) = token.split_once('.').ok_or(LinkError::Forged)?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| LinkError::Forged);
        let (payload, mac) = (decode(payload)?, decode(mac)?);
        // In constant time.
        let verified = self.mac(purpose, &payload).map(|expected| expected.verify_slice(&mac));
        if !matches!(verified, Some(Ok(()))) {
            return Err(LinkError::Forged);
        }
        serde_json::from_slice(&payload).map_err(|_| LinkError::Forged)
    }

    fn mac(&self, purpose: &[u8], payload: &[u8]) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.expose().as_bytes()).ok()?;
        mac.update(purpose);
        mac.update(payload);
        Some(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzzed_links_open_only_as_they_were_signed() {
        let signed = Signed { base: String::new(), secret: Secret::new(SECRET) };
        let permit = Permit {
            tenant: "t".to_owned(),
            incident_id: "inc_1".to_owned(),
            destination: "floor".to_owned(),
            expires_ms: 1,
        };
        let token = signed.token(INCIDENT, &permit);
        let words = &[".", "=", "_", "-", "A", "%2e"];
        let search = zhili_fuzz::Search::of("signed links").corpus([token.as_str(), "a.b"]);
        search.words(words).longest(512).run(|input| {
            let given = String::from_utf8_lossy(input);
            let opened = signed.open::<Permit>(INCIDENT, &given);
            assert!(opened.is_err() || given == token, "a forged link opens: {given}");
            assert!(signed.open::<Permit>(CALENDAR, &given).is_err());
            zhili_fuzz::kind(&(opened.is_ok(), given.split('.').count().min(4), given.len() / 32))
        });
    }

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn signed(secret: &str) -> Links {
        Links::new("https://c.example/{incident_id}", "https://z.example/", &Secret::new(secret))
    }

    fn permit() -> Permit {
        Permit {
            tenant: "acme".into(),
            incident_id: "inc_1".into(),
            destination: "floor".into(),
            expires_ms: 1_000,
        }
    }

    fn token(links: &Links) -> String {
        links.signed.as_ref().unwrap().token(INCIDENT, &permit())
    }

    #[test]
    fn a_token_permits_what_it_was_made_for_until_it_expires() {
        let links = signed(SECRET);
        assert_eq!(links.open(&token(&links), 999), Ok(permit()));
        assert_eq!(links.open(&token(&links), 1_000), Err(LinkError::Expired));
    }

    #[test]
    fn a_token_of_one_purpose_opens_nothing_else() {
        let links = signed(SECRET);
        let subscription =
            Subscription { tenant: "acme".into(), team: "default".into(), schedule: "day".into() };
        let url = links.of_calendar(&subscription).unwrap();
        let calendar = url.strip_prefix("https://z.example/calendars/").unwrap();
        assert_eq!(links.open_calendar(calendar), Ok(subscription));
        assert_eq!(links.open(calendar, 0), Err(LinkError::Forged));
        assert_eq!(links.open_calendar(&token(&links)), Err(LinkError::Forged));
    }

    #[test]
    fn a_token_that_was_changed_or_made_elsewhere_opens_nothing() {
        let links = signed(SECRET);
        let token = token(&links);
        for index in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(links.open(&changed, 0), Err(LinkError::Forged), "{index}");
        }
        let other = signed("ffffffffffffffffffffffffffffffff");
        assert_eq!(other.open(&token, 0), Err(LinkError::Forged));
        assert_eq!(Links::default().open(&token, 0), Err(LinkError::Forged));
        for nonsense in ["", ".", "a.b", "é.é"] {
            assert_eq!(links.open(nonsense, 0), Err(LinkError::Forged), "{nonsense}");
        }
    }
}
