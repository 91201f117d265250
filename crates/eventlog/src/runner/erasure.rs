use std::collections::BTreeSet;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use zhili_proto::log::v1 as log;

/// Bytes of a name's hash that are kept: two names of a billion meet with probability 1e-21.
const HASH_BYTES: usize = 16;

/// Whom a fold has to forget at a place of its input. Names the subject only to whoever knows its
/// names already, so that the record of an erasure is not what is left of its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Names the erasure.
    pub id: String,
    tenant: String,
    salt: [u8; 32],
    names: BTreeSet<[u8; HASH_BYTES]>,
}

impl Erasure {
    /// The erasure of what goes by any of `names`: pseudonyms of a customer, of a person who
    /// wrote, of conversations. `salt` is random and used for this erasure alone.
    pub fn new<'a>(
        id: &str,
        tenant: &str,
        salt: [u8; 32],
        names: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let names = names.into_iter().map(|name| hash(&salt, tenant, name)).collect();
        Self { id: id.to_owned(), tenant: tenant.to_owned(), salt, names }
    }

    /// Whose subject it is.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Whether `name` of `tenant` is one of those to be forgotten.
    #[must_use]
    pub fn names(&self, tenant: &str, name: &str) -> bool {
        tenant == self.tenant
            && !name.is_empty()
            && self.names.contains(&hash(&self.salt, tenant, name))
    }
}

fn hash(salt: &[u8; 32], tenant: &str, name: &str) -> [u8; HASH_BYTES] {
    // Fixed width, then a tenant, which has no zero byte: no two inputs share an encoding.
    let mut hasher = Sha256::new();
    hasher.update(salt);
    hasher.update(tenant.as_bytes());
    hasher.update([0]);
    hasher.update(name.as_bytes());
    let digest = hasher.finalize();
    std::array::from_fn(|index| digest[index])
}

impl From<&Erasure> for log::Erasure {
    fn from(erasure: &Erasure) -> Self {
        Self {
            erasure_id: erasure.id.clone(),
            tenant: erasure.tenant.clone(),
            salt: Bytes::copy_from_slice(&erasure.salt),
            names: erasure.names.iter().map(|name| Bytes::copy_from_slice(name)).collect(),
        }
    }
}

/// A record of an erasure that is none.
#[derive(Debug, thiserror::Error)]
#[error("an erasure has a salt of 32 bytes and names of {HASH_BYTES}")]
pub struct NotAnErasure;

impl TryFrom<log::Erasure> for Erasure {
    type Error = NotAnErasure;

    fn try_from(erasure: log::Erasure) -> Result<Self, NotAnErasure> {
        let names = erasure.names.iter().map(|name| name.as_ref().try_into().ok());
        Ok(Self {
            salt: erasure.salt.as_ref().try_into().map_err(|_| NotAnErasure)?,
            names: names.collect::<Option<_>>().ok_or(NotAnErasure)?,
            id: erasure.erasure_id,
            tenant: erasure.tenant,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_erasure_recognises_its_names_of_its_tenant_alone() {
        let erasure = Erasure::new("e", "shop", [7; 32], ["c_1", "v_1"]);
        let erasure = Erasure::try_from(log::Erasure::from(&erasure)).unwrap();
        assert!(erasure.names("shop", "c_1") && erasure.names("shop", "v_1"));
        assert!(!erasure.names("shop", "v_2") && !erasure.names("other", "v_1"));
        assert!(!erasure.names("shop", ""));
    }

    #[test]
    fn the_record_of_an_erasure_holds_none_of_its_names() {
        use prost::Message;
        let name = "c_3wevrlvcrwyic3ezochhctldrq";
        let record = log::Erasure::from(&Erasure::new("e", "shop", [7; 32], [name]));
        let bytes = record.encode_to_vec();
        assert!(!bytes.windows(8).any(|window| name.as_bytes().windows(8).any(|n| n == window)));
    }

    #[test]
    fn a_record_with_a_short_salt_is_no_erasure() {
        assert!(Erasure::try_from(log::Erasure::default()).is_err());
    }
}
