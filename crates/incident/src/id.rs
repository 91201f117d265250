//! Deterministic identities: the same cause gives the same id, so a replay reuses it.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// First 128 bits of BLAKE3 over `domain` and `parts`, each preceded by its length, so that no
/// two lists of parts run together.
pub(crate) fn digest(domain: &str, parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in std::iter::once(&domain.as_bytes()).chain(parts) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    id
}

/// `prefix` and 26 lower-case base32 characters (RFC 4648 alphabet).
pub(crate) fn spell(prefix: &str, bytes: [u8; 16]) -> String {
    let mut text = BASE32_NOPAD.encode(&bytes);
    text.make_ascii_lowercase();
    format!("{prefix}{text}")
}

/// The text is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}<26 base32 characters>: {text:?}")]
pub struct IdError {
    prefix: &'static str,
    text: String,
}

fn parse(prefix: &'static str, text: &str) -> Result<[u8; 16], IdError> {
    let error = || IdError { prefix, text: text.chars().take(64).collect() };
    let digits = text.strip_prefix(prefix).ok_or_else(error)?;
    if digits.len() != 26 || digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(error());
    }
    let bytes = BASE32_NOPAD.decode(digits.to_ascii_uppercase().as_bytes()).map_err(|_| error())?;
    bytes.try_into().map_err(|_| error())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&spell($prefix, self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse($prefix, text).map(Self)
            }
        }

        // Text where people read it, 16 bytes in snapshots.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
                } else {
                    <[u8; 16]>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

id! {
    /// `inc_...`, derived from the incident's key and the signal that opened it.
    IncidentId, "inc_"
}
id! {
    /// `ntf_...`, derived from incident, pass, step and destination, or from the page that is sent
    /// once more and the command that wants it: the same on every attempt and after every replay,
    /// and the `webhook-id` of the request.
    PageId, "ntf_"
}

id! {
    /// `sil_...`, derived from the team and the command that made the silence, or its name in
    /// the configuration.
    SilenceId, "sil_"
}

impl PageId {
    pub(crate) fn of(incident: IncidentId, pass: u32, step: u32, destination: &str) -> Self {
        Self(digest(
            "page",
            &[&incident.0, &pass.to_le_bytes(), &step.to_le_bytes(), destination.as_bytes()],
        ))
    }

    /// Of what tells a destination what an incident of this version has become.
    pub(crate) fn of_news(incident: IncidentId, version: u64, destination: &str) -> Self {
        let parts = [&incident.0[..], &version.to_le_bytes(), destination.as_bytes()];
        Self(digest("news", &parts))
    }

    /// Of a page that a command sends once more: another one than that of the page, which its
    /// receiver would take for a copy, and the same however often the command is repeated.
    pub(crate) fn again(self, command_id: &str) -> Self {
        Self(digest("page again", &[&self.0, command_id.as_bytes()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text() {
        let id = PageId::of(IncidentId([7; 16]), 1, 2, "ops");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().starts_with("ntf_"));
        assert!(!id.to_string().contains('.'), "webhook ids must not contain a dot");
    }

    #[test]
    fn an_id_of_another_kind_or_spelling_is_refused() {
        let page = PageId([7; 16]).to_string();
        assert!(page.parse::<IncidentId>().is_err());
        assert!(page.to_ascii_uppercase().parse::<PageId>().is_err());
        assert!(page[..page.len() - 1].parse::<PageId>().is_err());
        assert!("ntf_0000000000000000000000000!".parse::<PageId>().is_err());
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(digest("d", &[b"ab", b"c"]), digest("d", &[b"a", b"bc"]));
    }
}
