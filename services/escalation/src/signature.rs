//! Signatures of Standard Webhooks (specification 1.0.0): the symmetric scheme `v1` and the
//! asymmetric `v1a`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{Ed25519KeyPair, KeyPair};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::secret::SecretError;

const SYMMETRIC: &str = "whsec_";
const PRIVATE: &str = "whsk_";
/// The specification asks for 24 to 64 bytes; shorter ones are guessable.
const LEAST_BYTES: usize = 24;
/// An ed25519 seed (RFC 8032). A private key is the seed alone or with its public key after it.
const SEED_BYTES: usize = 32;

/// Why a request cannot be signed. Never quotes the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the secret is not whsec_ or whsk_ and base64")]
    NotBase64,
    #[error("the secret has {0} bytes, at least {LEAST_BYTES} are needed")]
    TooShort(usize),
    #[error(
        "the private key has {0} bytes; an ed25519 key has 32, or 64 with its public key after it"
    )]
    NotEd25519(usize),
    #[error("the private key does not belong to the public key after it")]
    OtherPublicKey,
}

/// A key that signs.
#[derive(Debug)]
pub(crate) enum Key {
    /// Shared with the receiver, who could sign as well.
    Symmetric(Zeroizing<Vec<u8>>),
    /// The receiver has the public key, `whpk_`, and can only verify.
    Private(Ed25519KeyPair),
}

/// The keys of a secret, newest first. Blanks separate several, all of which sign while a
/// receiver changes from one to the next.
pub(crate) fn keys(text: &str) -> Result<Vec<Key>, KeyError> {
    let keys: Vec<Key> = text.split_whitespace().map(key).collect::<Result<_, _>>()?;
    if keys.is_empty() { Err(SecretError::Empty.into()) } else { Ok(keys) }
}

fn key(secret: &str) -> Result<Key, KeyError> {
    let decode = |digits: &str| STANDARD.decode(digits).map_err(|_| KeyError::NotBase64);
    if let Some(digits) = secret.strip_prefix(PRIVATE) {
        return private(&Zeroizing::new(decode(digits)?));
    }
    let key = Zeroizing::new(decode(secret.strip_prefix(SYMMETRIC).unwrap_or(secret))?);
    if key.len() < LEAST_BYTES {
        Err(KeyError::TooShort(key.len()))
    } else {
        Ok(Key::Symmetric(key))
    }
}

fn private(bytes: &[u8]) -> Result<Key, KeyError> {
    let wrong = || KeyError::NotEd25519(bytes.len());
    let (seed, public) = bytes.split_at_checked(SEED_BYTES).ok_or_else(wrong)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| wrong())?;
    match public.len() {
        0 => Ok(Key::Private(pair)),
        SEED_BYTES if pair.public_key().as_ref() == public => Ok(Key::Private(pair)),
        SEED_BYTES => Err(KeyError::OtherPublicKey),
        _ => Err(wrong()),
    }
}

/// Value of `webhook-signature`: one entry per key over `id.timestamp.body`, where `timestamp`
/// is that of the attempt, in seconds since the Unix epoch.
pub(crate) fn sign(keys: &[Key], id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut signed = format!("{id}.{timestamp}.").into_bytes();
    signed.extend_from_slice(body);
    let entries = keys.iter().filter_map(|key| match key {
        Key::Symmetric(key) => {
            // HMAC takes keys of any length.
            let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
            mac.update(&signed);
            Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
        }
        Key::Private(pair) => Some(format!("v1a,{}", STANDARD.encode(pair.sign(&signed)))),
    });
    entries.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;
    use crate::vectors::{self, Vectors};

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;

    fn signed(secret: &str) -> String {
        sign(&keys(secret).unwrap(), ID, 1_649_367_553, BODY)
    }

    #[test]
    fn signs_as_the_references_do() {
        let Vectors { standard_webhooks, .. } = vectors::read();
        assert_eq!(standard_webhooks.len(), 2);
        for it in standard_webhooks {
            let keys = keys(&it.secret).unwrap();
            let signature = sign(&keys, &it.id, it.timestamp, it.body.as_bytes());
            assert_eq!(signature, it.signature, "{}", it.source);
        }
    }

    #[test]
    fn several_secrets_sign_side_by_side_whatever_their_scheme() {
        let other = format!("whsec_{}", STANDARD.encode([7; 32]));
        let private = format!("whsk_{}", STANDARD.encode([9; 32]));
        let all = signed(&format!("{other} {private} {SECRET}\n"));
        let entries: Vec<&str> = all.split(' ').collect();
        assert_eq!(entries, [signed(&other), signed(&private), signed(SECRET)]);
        assert!(entries[1].starts_with("v1a,"), "{}", entries[1]);
    }

    #[test]
    fn an_asymmetric_signature_is_verified_with_the_public_key_alone() {
        let seed = [9; 32];
        let public =
            Ed25519KeyPair::from_seed_unchecked(&seed).unwrap().public_key().as_ref().to_vec();
        let with_public = [&seed[..], &public].concat();
        let entry = signed(&format!("whsk_{}", STANDARD.encode(with_public)));
        let signature = STANDARD.decode(entry.strip_prefix("v1a,").unwrap()).unwrap();
        let message = [format!("{ID}.1649367553.").as_bytes(), BODY].concat();
        let verifier = UnparsedPublicKey::new(&ED25519, &public);
        assert!(verifier.verify(&message, &signature).is_ok());
        assert!(verifier.verify(&message[1..], &signature).is_err());
    }

    #[test]
    fn a_secret_that_cannot_be_used_is_named_but_not_shown() {
        let error = |text: &str| keys(text).unwrap_err();
        assert_eq!(error(" \n"), KeyError::Secret(SecretError::Empty));
        assert_eq!(error("whsec_???"), KeyError::NotBase64);
        assert_eq!(error("whsec_c2hvcnQ="), KeyError::TooShort(5));
        assert!(!error("whsec_c2hvcnQ=").to_string().contains("c2hvcnQ"));
        assert_eq!(error("whsk_c2hvcnQ="), KeyError::NotEd25519(5));
        let strange = STANDARD.encode([1; 64]);
        assert_eq!(error(&format!("whsk_{strange}")), KeyError::OtherPublicKey);
    }
}
