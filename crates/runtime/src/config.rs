//! Configuration: defaults, then a TOML file, then `ZHILI_...` variables. Unknown keys are
//! refused, so that a typing error is not a setting that silently does nothing.

use std::fmt;
use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Failure;

/// Prefix of environment variables; `ZHILI_KAFKA__BROKERS` sets `kafka.brokers`.
pub const PREFIX: &str = "ZHILI_";

/// Variables with the prefix that are not settings of a service.
const NOT_SETTINGS: [&str; 7] =
    ["bin", "cache", "chaos_points", "data", "libchdb", "store_bin", "token"];

/// Reads a configuration.
///
/// # Errors
/// [`Failure::Usage`] with the key and where it came from.
pub fn load<T>(file: Option<&Path>) -> Result<T, Failure>
where
    T: Default + Serialize + DeserializeOwned,
{
    let mut figment = Figment::from(Serialized::defaults(T::default()));
    if let Some(file) = file {
        if !file.is_file() {
            return Err(Failure::Usage(format!(
                "there is no configuration file {}",
                file.display()
            )));
        }
        figment = figment.merge(Toml::file_exact(file));
    }
    figment
        .merge(Env::prefixed(PREFIX).ignore(&NOT_SETTINGS).split("__"))
        .extract()
        .map_err(|error| Failure::Usage(format!("configuration: {error}")))
}

/// Prints a configuration as TOML would say it, secrets withheld.
#[must_use]
pub fn show<T: Serialize>(config: &T) -> String {
    serde_json::to_string_pretty(config).unwrap_or_else(|error| error.to_string())
}

/// A text that must not be seen: printed and serialised as `***`, or empty when it is empty.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text from being seen.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself; for use, not for show.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing was given.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    const fn shown(&self) -> &'static str {
        if self.0.is_empty() { "" } else { "***" }
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[derive(Debug, Default, Serialize, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Sample {
        port: u16,
        key: Secret,
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn a_file_overrides_defaults() {
        let file = file("port = 7");
        let sample: Sample = load(Some(file.path())).unwrap();
        assert_eq!(sample.port, 7);
    }

    #[test]
    fn an_unknown_key_is_a_usage_error_that_names_it() {
        let file = file("prot = 7");
        let error = load::<Sample>(Some(file.path())).unwrap_err();
        assert!(matches!(error, Failure::Usage(_)));
        assert!(error.to_string().contains("prot"), "{error}");
    }

    #[test]
    fn a_missing_file_is_a_usage_error() {
        let error = load::<Sample>(Some(Path::new("no-such-file.toml"))).unwrap_err();
        assert_eq!(error.code(), 64);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let sample = Sample { port: 1, key: Secret::new("hunter2") };
        assert!(!show(&sample).contains("hunter2"));
        assert!(!format!("{sample:?}").contains("hunter2"));
    }
}
