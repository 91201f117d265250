//! What an erasure did, under a signature that whoever holds the receipt can check.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

/// Why a receipt cannot be made, read or believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The key is none.
    #[error("the key of receipts must be 32 bytes, the seed of an Ed25519 key")]
    Key,
    /// The text is none.
    #[error("this is not a receipt: {0}")]
    Unreadable(String),
    /// It was signed with another key than the one expected.
    #[error("the receipt is signed with {found}, expected {expected}: it is from another system")]
    Stranger {
        /// Public key of the receipt.
        found: String,
        /// The one that the caller trusts.
        expected: String,
    },
    /// It was changed after it was signed.
    #[error("the signature does not fit the receipt: it was changed, or not signed with its key")]
    Forged,
}

/// What an erasure did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Form of this document: 1.
    pub version: u32,
    /// Which erasure.
    pub erasure_id: String,
    /// Whose subject it was.
    pub tenant: String,
    /// `customer` or `conversation`.
    pub kind: String,
    /// Number of conversations erased.
    pub conversations: u64,
    /// Who asked for it.
    pub requested_by: String,
    /// When, RFC 3339.
    pub requested_at: String,
    /// Why, as given.
    pub reason: String,
    /// When everything below was so, RFC 3339.
    pub verified_at: String,
    /// Records removed from the log by Zhili, by topic.
    pub records_removed: BTreeMap<String, u64>,
    /// Rows of tables that were replaced by ones without the person or deleted, by table.
    pub rows_removed: BTreeMap<String, u64>,
    /// How the log got rid of its records: `rewritten`, or `retention`.
    pub log: String,
    /// Records of the log that were read to verify. None of them named the person.
    pub records_searched: u64,
    /// Tables of which every text was searched. None of it named the person.
    pub tables_searched: u64,
    /// By what the folds recognised the person, and a restored backup will: salt and hashes in
    /// Base64. Whoever does not know a pseudonym cannot get one from it.
    pub marks: Marks,
    /// What this receipt does not speak of.
    pub not_covered: Vec<String>,
    /// Version of Zhili that did it.
    pub software: String,
}

/// Salted hashes of a person's pseudonyms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marks {
    /// 32 bytes.
    pub salt: String,
    /// 16 bytes each.
    pub names: Vec<String>,
}

/// A receipt with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// What was done.
    pub receipt: Receipt,
    /// Ed25519 public key, Base64.
    pub public_key: String,
    /// Ed25519 over the receipt as JSON without blanks, its fields in this order; Base64.
    pub signature: String,
}

/// Signs receipts. Its secret is never printed.
pub struct Signer(Ed25519KeyPair);

impl Signer {
    /// A signer with this 32-byte seed.
    ///
    /// # Errors
    /// [`ReceiptError::Key`].
    pub fn new(seed: &[u8]) -> Result<Self, ReceiptError> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|_| ReceiptError::Key)
    }

    /// The public key, Base64: what receipts are checked with.
    #[must_use]
    pub fn public_key(&self) -> String {
        STANDARD.encode(self.0.public_key().as_ref())
    }

    /// The receipt under a signature.
    ///
    /// # Errors
    /// [`ReceiptError::Unreadable`] if it cannot be written as JSON, which does not happen.
    pub fn sign(&self, receipt: Receipt) -> Result<Signed, ReceiptError> {
        let signature = STANDARD.encode(self.0.sign(&bytes(&receipt)?).as_ref());
        Ok(Signed { receipt, public_key: self.public_key(), signature })
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.public_key())
    }
}

fn bytes(receipt: &Receipt) -> Result<Vec<u8>, ReceiptError> {
    serde_json::to_vec(receipt).map_err(|error| ReceiptError::Unreadable(error.to_string()))
}

impl Signed {
    /// Reads a receipt and checks it. Without `trusted`, a public key in Base64, it only says that
    /// the receipt is as whoever signed it made it.
    ///
    /// # Errors
    /// All of [`ReceiptError`] but [`ReceiptError::Key`].
    pub fn verify(text: &str, trusted: Option<&str>) -> Result<Self, ReceiptError> {
        let signed: Self = serde_json::from_str(text)
            .map_err(|error| ReceiptError::Unreadable(error.to_string()))?;
        if let Some(expected) = trusted.map(str::trim)
            && expected != signed.public_key
        {
            return Err(ReceiptError::Stranger {
                found: signed.public_key,
                expected: expected.to_owned(),
            });
        }
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| ReceiptError::Forged);
        let (key, signature) = (decode(&signed.public_key)?, decode(&signed.signature)?);
        UnparsedPublicKey::new(&ED25519, key)
            .verify(&bytes(&signed.receipt)?, &signature)
            .map_err(|_| ReceiptError::Forged)?;
        Ok(signed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> Receipt {
        Receipt {
            version: 1,
            erasure_id: "era_1".to_owned(),
            tenant: "shop".to_owned(),
            kind: "customer".to_owned(),
            conversations: 2,
            requested_by: "dpo".to_owned(),
            requested_at: "2026-01-01T00:00:00Z".to_owned(),
            reason: "ticket 7".to_owned(),
            verified_at: "2026-01-01T00:01:00Z".to_owned(),
            records_removed: BTreeMap::from([("zhili.events.v1".to_owned(), 3)]),
            rows_removed: BTreeMap::from([("events".to_owned(), 3)]),
            log: "rewritten".to_owned(),
            records_searched: 100,
            tables_searched: 12,
            marks: Marks::default(),
            not_covered: Vec::new(),
            software: "zhili 0.1.0".to_owned(),
        }
    }

    fn sealed() -> (Signer, String) {
        let signer = Signer::new(&[7; 32]).unwrap();
        let sealed = signer.sign(receipt()).unwrap();
        (signer, serde_json::to_string_pretty(&sealed).unwrap())
    }

    #[test]
    fn a_receipt_as_it_was_signed_is_believed() {
        let (signer, text) = sealed();
        let read = Signed::verify(&text, Some(&signer.public_key())).unwrap();
        assert_eq!(read.receipt, receipt());
        assert!(Signed::verify(&text, None).is_ok());
    }

    #[test]
    fn a_receipt_that_was_changed_is_not() {
        let (_, text) = sealed();
        for (is, was) in
            [("\"conversations\": 3", "\"conversations\": 2"), ("\"events\": 4", "\"events\": 3")]
        {
            let changed = text.replace(was, is);
            assert_ne!(changed, text);
            assert_eq!(Signed::verify(&changed, None), Err(ReceiptError::Forged));
        }
    }

    #[test]
    fn a_receipt_of_another_key_is_a_stranger() {
        let (_, text) = sealed();
        let other = Signer::new(&[8; 32]).unwrap().public_key();
        assert!(matches!(Signed::verify(&text, Some(&other)), Err(ReceiptError::Stranger { .. })));
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        assert_eq!(Signer::new(&[7; 31]).err(), Some(ReceiptError::Key));
    }
}
