//! Secrets of destinations, read from where the configuration says that they are.

use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;
use zhili_runtime::config::Secret;

use crate::config::OWN_SECRET;

/// Largest file of secrets; hundreds fit.
const MOST_BYTES: u64 = 64 << 10;

/// Why a secret cannot be read. Never quotes it.
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
}

/// The text behind a reference, `env:NAME` or `file:PATH`, without blanks around it.
///
/// `own` is the secret that `config:default_webhook.secret` stands for.
pub(crate) async fn read(reference: &str, own: &Secret) -> Result<Zeroizing<String>, SecretError> {
    let text = Zeroizing::new(match reference.split_once(':') {
        Some(("env", name)) => {
            std::env::var(name).map_err(|_| SecretError::NoVariable(name.to_owned()))?
        }
        Some(("file", file)) => read_file(file).await.map_err(|error| SecretError::NoFile {
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
    });
    let trimmed = text.trim();
    if trimmed.is_empty() { Err(SecretError::Empty) } else { Ok(Zeroizing::new(trimmed.into())) }
}

/// Reads a small regular file: a pipe would never end, and a device may not either.
async fn read_file(file: &str) -> std::io::Result<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_secret_that_is_not_there_says_where_it_was_looked_for() {
        let none = Secret::default();
        let failed = async |reference: &str| read(reference, &none).await.unwrap_err().to_string();
        let error = failed("env:ZHILI_TEST_NO_SUCH_VARIABLE").await;
        assert!(error.contains("ZHILI_TEST_NO_SUCH_VARIABLE"), "{error}");
        let error = failed("file:/no/such/file").await;
        assert!(error.contains("/no/such/file"), "{error}");
        let error = failed("file:/dev/null").await;
        assert!(error.contains("/dev/null: not a regular file"), "{error}");
        let error = failed(OWN_SECRET).await;
        assert!(error.contains("default_webhook.secret"), "{error}");
        assert!(read(OWN_SECRET, &Secret::new("whsec_x")).await.is_ok());
    }

    #[tokio::test]
    async fn a_secret_is_read_from_a_small_file_without_the_blanks_around_it() {
        let none = Secret::default();
        let large = tempfile::NamedTempFile::new().unwrap();
        let file = format!("file:{}", large.path().display());
        let padded = |blanks: usize| format!("hidden{}", " ".repeat(blanks));
        std::fs::write(large.path(), padded((64 << 10) - 6)).unwrap();
        assert_eq!(read(&file, &none).await.unwrap().as_str(), "hidden");
        std::fs::write(large.path(), padded(64 << 10)).unwrap();
        let error = read(&file, &none).await.unwrap_err().to_string();
        assert!(error.contains("over 64 KiB"), "{error}");
        std::fs::write(large.path(), " \n").unwrap();
        assert_eq!(read(&file, &none).await, Err(SecretError::Empty));
    }
}
