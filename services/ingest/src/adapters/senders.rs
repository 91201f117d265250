//! Who sent a platform's body. A platform proves it with a secret, which says for which tenant it
//! sends; comparisons take the same time wherever the difference is.

use std::collections::BTreeSet;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zhili_runtime::Failure;
use zhili_runtime::auth::{Principal, Role, Tenant};
use zhili_runtime::config::Secret;

use super::Platform;

/// How far the time in a signature may be from ours: what Standard Webhooks allow.
const TOLERANCE_S: u64 = 300;
/// Bytes of the shortest secret that is taken; platforms make longer ones.
const SHORTEST: usize = 16;

/// A secret of a platform, and whose conversations come with it. Two for one tenant are taken, so
/// that one can replace the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sender {
    /// `chatwoot` or `sunshine`, which make secrets; the others send a token.
    pub platform: Platform,
    /// Whose conversations they are.
    #[serde(default = "Tenant::default_tenant")]
    pub tenant: Tenant,
    /// Where the secret is: `env:NAME` or `file:PATH`. Read at the start.
    pub secret: String,
}

/// Senders with their secrets.
#[derive(Clone, Default)]
pub(crate) struct Senders(Vec<(Platform, Tenant, Secret)>);

impl fmt::Debug for Senders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(platform, tenant, _)| (platform, tenant)))
            .finish()
    }
}

impl Senders {
    /// Reads the secrets.
    ///
    /// # Errors
    /// [`Failure::Usage`] that says which cannot be used and why, never what is in it.
    pub(crate) fn read(senders: &[Sender]) -> Result<Self, Failure> {
        let mut read = Vec::with_capacity(senders.len());
        for Sender { platform, tenant, secret } in senders {
            let wrong = |why: &str| {
                let name = platform.name();
                Failure::Usage(format!("senders: {name} of tenant {tenant}: {why}"))
            };
            if !matches!(platform, Platform::Chatwoot | Platform::Sunshine) {
                return Err(wrong("it sends a token, see `zhili token`, and needs no secret here"));
            }
            let text = match secret.split_once(':') {
                Some(("env", name)) => std::env::var(name)
                    .map_err(|_| wrong(&format!("the environment variable {name} is not set")))?,
                Some(("file", file)) => std::fs::read_to_string(file)
                    .map_err(|error| wrong(&format!("cannot read {file}: {}", error.kind())))?,
                // Not repeated: it may be the secret itself.
                _ => return Err(wrong("`secret` must be env:NAME or file:PATH")),
            };
            let secret = Secret::new(text.trim());
            if secret.expose().len() < SHORTEST {
                return Err(wrong(&format!("the secret has fewer than {SHORTEST} bytes")));
            }
            if read.iter().any(|(other, _, known): &(Platform, Tenant, Secret)| {
                other == platform && *known == secret
            }) {
                return Err(wrong("the same secret stands for somebody else"));
            }
            read.push((*platform, tenant.clone(), secret));
        }
        Ok(Self(read))
    }

    pub(crate) fn knows(&self, platform: Platform) -> bool {
        self.0.iter().any(|(known, ..)| *known == platform)
    }

    /// Whose secret makes this true.
    fn find(&self, platform: Platform, fits: impl Fn(&str) -> bool) -> Option<Principal> {
        // All are tried, so that the time does not tell how many come before the right one.
        let of_platform = self.0.iter().filter(|(known, ..)| *known == platform);
        let fitting = of_platform.filter(|(.., secret)| fits(secret.expose()));
        let (_, tenant, _) = fitting.collect::<Vec<_>>().pop()?;
        let roles = BTreeSet::from([Role::Publisher]);
        Some(Principal::new(platform.name(), tenant.clone(), roles))
    }

    /// Who sends this shared secret.
    pub(crate) fn of_key(&self, platform: Platform, key: &str) -> Option<Principal> {
        self.find(platform, |secret| secret.as_bytes().ct_eq(key.as_bytes()).into())
    }

    /// Who has signed this body.
    pub(crate) fn of_signature(
        &self,
        platform: Platform,
        signed: &Signed,
        body: &[u8],
    ) -> Option<Principal> {
        self.find(platform, |secret| signed.is_by(secret, body))
    }
}

/// A signature as Chatwoot makes it: `sha256=` and the HMAC in hexadecimal of the time in seconds, a
/// full stop and the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    timestamp: String,
    tag: [u8; 32],
}

impl Signed {
    /// Out of its two headers; `None` for what is no signature, or none of now.
    pub(crate) fn of(timestamp: &str, signature: &str, now_ms: i64) -> Option<Self> {
        let at_s: i64 = timestamp.parse().ok()?;
        if at_s.abs_diff(now_ms.div_euclid(1000)) > TOLERANCE_S {
            return None;
        }
        let digits = signature.strip_prefix("sha256=")?.as_bytes();
        let (pairs, []) = digits.as_chunks::<2>() else { return None };
        let mut tag = [0; 32];
        if pairs.len() != tag.len() {
            return None;
        }
        for (byte, pair) in tag.iter_mut().zip(pairs) {
            let pair = std::str::from_utf8(pair).ok()?;
            // A sign would be taken for a digit.
            if pair.starts_with('+') {
                return None;
            }
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self { timestamp: timestamp.to_owned(), tag })
    }

    fn is_by(&self, secret: &str, body: &[u8]) -> bool {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
        mac.update(self.timestamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        mac.verify_slice(&self.tag).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a secret of the platform";

    fn senders() -> Senders {
        let tenant = |name: &str| Tenant::try_from(name.to_owned()).unwrap();
        Senders(vec![
            (Platform::Sunshine, tenant("a"), Secret::new(SECRET)),
            (Platform::Chatwoot, tenant("b"), Secret::new("another secret of one")),
            (Platform::Chatwoot, tenant("c"), Secret::new(SECRET)),
        ])
    }

    #[test]
    fn a_signature_says_for_whom_it_is_made() {
        // `printf '1700000000.{}' | openssl dgst -sha256 -hmac 'a secret of the platform'`
        let tag = "sha256=ca62116e44cc4e7ad289631c8b06eaf7ae6eee294ae5f15b86a132c2a48cec8a";
        let signed = Signed::of("1700000000", tag, 1_700_000_300_000).unwrap();
        let found = |body: &[u8]| senders().of_signature(Platform::Chatwoot, &signed, body);
        let principal = found(b"{}").unwrap();
        assert_eq!(principal.tenant.as_str(), "c");
        assert!(principal.roles.contains(&Role::Publisher) && principal.roles.len() == 1);
        assert_eq!(found(b"{} "), None);
        let other = Signed::of("1700000001", tag, 1_700_000_000_000).unwrap();
        assert_eq!(senders().of_signature(Platform::Chatwoot, &other, b"{}"), None);
    }

    #[test]
    fn a_signature_of_another_day_or_form_is_none() {
        let tag = format!("sha256={}", "0f".repeat(32));
        let at = |timestamp: &str, tag: &str| Signed::of(timestamp, tag, 1_700_000_000_000);
        assert!(at("1699999700", &tag).is_some() && at("1700000300", &tag).is_some());
        for (timestamp, tag) in [
            ("1699999699", tag.as_str()),
            ("1700000301", &tag),
            ("-9223372036854775808", &tag),
            ("", &tag),
            ("1700000000", &tag[7..]),
            ("1700000000", &tag[..70]),
            ("1700000000", &format!("{tag}0")),
            ("1700000000", &tag.replacen("0f", "+f", 1)),
            ("1700000000", &tag.replacen("0f", "é", 1)),
        ] {
            assert_eq!(at(timestamp, tag), None, "{timestamp} {tag}");
        }
    }

    #[test]
    fn a_key_is_known_to_its_platform_only() {
        let of = |platform, key| senders().of_key(platform, key).map(|it| it.tenant.to_string());
        assert_eq!(of(Platform::Sunshine, SECRET).as_deref(), Some("a"));
        assert_eq!(of(Platform::Sunshine, "another secret of one"), None);
        assert_eq!(of(Platform::Sunshine, &SECRET[1..]), None);
        assert_eq!(of(Platform::Sca, SECRET), None);
    }

    #[test]
    fn a_secret_is_read_from_where_it_is_and_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{SECRET}\n")).unwrap();
        let place = format!("file:{}", file.path().display());
        let sender = |platform, secret: &str| Sender {
            platform,
            tenant: Tenant::default_tenant(),
            secret: secret.to_owned(),
        };
        let read = Senders::read(&[sender(Platform::Sunshine, &place)]).unwrap();
        assert!(read.of_key(Platform::Sunshine, SECRET).is_some());
        assert!(!format!("{read:?}").contains(SECRET));
        for (senders, words) in [
            (vec![sender(Platform::Sunshine, SECRET)], "must be env:NAME or file:PATH"),
            (vec![sender(Platform::Sunshine, "file:/no/such")], "cannot read /no/such"),
            (vec![sender(Platform::Sunshine, "env:ZHILI_TEST_NO_SUCH")], "is not set"),
            (vec![sender(Platform::Sca, &place)], "sends a token"),
            (vec![sender(Platform::Chatwoot, &place); 2], "stands for somebody else"),
        ] {
            let error = Senders::read(&senders).unwrap_err();
            assert_eq!(error.code(), 64);
            let said = error.to_string();
            assert!(said.contains(words) && !said.contains(SECRET), "{said}");
        }
        std::fs::write(file.path(), "short\n").unwrap();
        assert!(Senders::read(&[sender(Platform::Sunshine, &place)]).is_err());
    }
}
