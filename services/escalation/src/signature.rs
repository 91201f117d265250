//! Signatures of Standard Webhooks (specification 1.0.0, symmetric scheme `v1`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;
use zhili_runtime::config::Secret;

use crate::config::OWN_SECRET;

const PREFIX: &str = "whsec_";
/// The specification asks for 24 to 64 bytes; shorter ones are guessable.
const LEAST_BYTES: usize = 24;
/// Largest file of secrets; hundreds fit.
const MOST_BYTES: u64 = 64 << 10;

/// Why a request cannot be signed. Never quotes the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("the environment variable {0} is not set")]
    NoVariable(String),
    #[error("cannot read {file}: {cause}")]
    NoFile { file: String, cause: String },
    #[error("{0} is not in the settings of this process")]
    NoSetting(String),
    #[error("the secret is empty")]
    Empty,
    #[error("the secret is not whsec_ and base64")]
    NotBase64,
    #[error("the secret has {0} bytes, at least {LEAST_BYTES} are needed")]
    TooShort(usize),
}

/// The keys behind a reference, newest first. Blanks separate several, all of which sign while
/// a receiver changes from one to the next.
///
/// `own` is the secret that `config:default_webhook.secret` stands for.
pub(crate) async fn keys(
    reference: &str,
    own: &Secret,
) -> Result<Vec<Zeroizing<Vec<u8>>>, SecretError> {
    let text = match reference.split_once(':') {
        Some(("env", name)) => {
            std::env::var(name).map_err(|_| SecretError::NoVariable(name.to_owned()))?
        }
        Some(("file", file)) => read(file).await.map_err(|error| SecretError::NoFile {
            file: file.to_owned(),
            cause: match error.kind() {
                // Our own words; those of others may quote the content.
                std::io::ErrorKind::Unsupported => error.to_string(),
                kind => kind.to_string(),
            },
        })?,
        _ if reference == OWN_SECRET && !own.is_empty() => own.expose().to_owned(),
        _ => {
            let setting = reference.strip_prefix("config:").unwrap_or("the secret");
            return Err(SecretError::NoSetting(setting.to_owned()));
        }
    };
    parse(&Zeroizing::new(text))
}

/// Reads a small regular file: a pipe would never end, and a device may not either.
async fn read(file: &str) -> std::io::Result<String> {
    let unsupported = |cause| std::io::Error::new(std::io::ErrorKind::Unsupported, cause);
    // Before it is opened, because opening a pipe waits for its other end.
    if !tokio::fs::metadata(file).await?.is_file() {
        return Err(unsupported("not a regular file"));
    }
    let mut text = String::new();
    let file = tokio::fs::File::open(file).await?;
    file.take(MOST_BYTES + 1).read_to_string(&mut text).await?;
    if text.len() as u64 > MOST_BYTES {
        return Err(unsupported("over 64 KiB, which is no secret"));
    }
    Ok(text)
}

fn parse(text: &str) -> Result<Vec<Zeroizing<Vec<u8>>>, SecretError> {
    let keys = text.split_whitespace().map(|secret| {
        let digits = secret.strip_prefix(PREFIX).unwrap_or(secret);
        let key = STANDARD.decode(digits).map_err(|_| SecretError::NotBase64)?;
        if key.len() < LEAST_BYTES {
            return Err(SecretError::TooShort(key.len()));
        }
        Ok(Zeroizing::new(key))
    });
    let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
    if keys.is_empty() { Err(SecretError::Empty) } else { Ok(keys) }
}

/// Value of `webhook-signature`: one entry per key over `id.timestamp.body`, where `timestamp`
/// is that of the attempt, in seconds since the Unix epoch.
pub(crate) fn sign(keys: &[Zeroizing<Vec<u8>>], id: &str, timestamp: i64, body: &[u8]) -> String {
    let entries = keys.iter().filter_map(|key| {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    });
    entries.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
    const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

    /// The vector of the reference implementation's own tests.
    #[test]
    fn signs_as_the_reference_does() {
        let keys = parse(SECRET).unwrap();
        assert_eq!(sign(&keys, ID, 1_649_367_553, BODY), SIGNATURE);
    }

    #[test]
    fn several_secrets_sign_side_by_side() {
        let other = format!("whsec_{}", STANDARD.encode([7; 32]));
        let keys = parse(&format!("{other} {SECRET}\n")).unwrap();
        let both = sign(&keys, ID, 1_649_367_553, BODY);
        let entries: Vec<&str> = both.split(' ').collect();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[1], SIGNATURE);
    }

    #[test]
    fn a_secret_that_cannot_be_used_is_named_but_not_shown() {
        assert_eq!(parse(" \n").unwrap_err(), SecretError::Empty);
        assert_eq!(parse("whsec_???").unwrap_err(), SecretError::NotBase64);
        let error = parse("whsec_c2hvcnQ=").unwrap_err();
        assert_eq!(error, SecretError::TooShort(5));
        assert!(!error.to_string().contains("c2hvcnQ"));
    }

    #[tokio::test]
    async fn a_secret_that_is_not_there_says_where_it_was_looked_for() {
        let none = Secret::default();
        let error = keys("env:ZHILI_TEST_NO_SUCH_VARIABLE", &none).await.unwrap_err().to_string();
        assert!(error.contains("ZHILI_TEST_NO_SUCH_VARIABLE"), "{error}");
        let error = keys("file:/no/such/file", &none).await.unwrap_err().to_string();
        assert!(error.contains("/no/such/file"), "{error}");
        let error = keys("file:/dev/null", &none).await.unwrap_err().to_string();
        assert!(error.contains("/dev/null: not a regular file"), "{error}");
        let large = tempfile::NamedTempFile::new().unwrap();
        let file = format!("file:{}", large.path().display());
        let padded = |blanks: usize| format!("{SECRET}{}", " ".repeat(blanks));
        std::fs::write(large.path(), padded((64 << 10) - SECRET.len())).unwrap();
        assert!(keys(&file, &none).await.is_ok());
        std::fs::write(large.path(), padded(64 << 10)).unwrap();
        let error = keys(&file, &none).await.unwrap_err().to_string();
        assert!(error.contains("over 64 KiB"), "{error}");
        let error = keys(OWN_SECRET, &none).await.unwrap_err().to_string();
        assert!(error.contains("default_webhook.secret"), "{error}");
        assert!(keys(OWN_SECRET, &Secret::new(SECRET)).await.is_ok());
    }
}
