//! Configuration bundles: one TOML document per tenant, of which `[escalation]` is ours.
//!
//! ```toml
//! [escalation.teams.default.destinations.floor.webhook]
//! url = "https://hooks.example/floor"
//! secret = "env:FLOOR_SECRET"          # or file:/run/secrets/floor
//!
//! [escalation.teams.default.policies.default]
//! repeat = 3
//! steps = [{ destinations = ["floor"], delay_ms = 300000 }]
//! ```
//!
//! All of it is described at [`zhili_incident::Config`]. Other tables of the document belong to
//! other services. A document without `[escalation]` leaves the tenant to the bundle of tenant
//! `*`, which serves all that have none of their own.

use bytes::Bytes;
use serde::Deserialize;
use zhili_eventlog::runner::{Bundles, publish_bundle};
use zhili_eventlog::{EventLog, LogError};
use zhili_incident::{ANY_TENANT, DEFAULT_TEAM};
use zhili_runtime::bundle::{self, BundleError};

use crate::config::{Config, DefaultWebhook};

/// Name of the destination that [`Config::default_webhook`] becomes, by which it is recognised
/// when it is to go.
const DESTINATION: &str = "default_webhook";
const SECTION: &str = "escalation";

#[derive(Deserialize)]
struct Document {
    escalation: Option<zhili_incident::Config>,
}

/// The escalation settings of a bundle; `None` when it has no `[escalation]`.
///
/// # Errors
/// [`BundleError`] naming line and field.
pub fn parse(bundle: &[u8]) -> Result<Option<zhili_incident::Config>, BundleError> {
    let document: Document = bundle::parse(bundle)?;
    Ok(document.escalation)
}

/// What came of [`publish_default`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// What is in force is what the configuration says.
    Unchanged,
    /// The default webhook is in force from now on.
    Changed,
    /// A default webhook published before was taken back.
    Withdrawn,
}

/// Why the default could not be published.
#[derive(Debug, thiserror::Error)]
pub enum DefaultError {
    /// The setting itself is wrong.
    #[error("default_webhook: {0}")]
    Invalid(String),
    /// The bundle in force for tenant `*` cannot be read, so it is left alone.
    #[error("the bundle in force for tenant `*` cannot be read, correct it first: {0}")]
    InForce(#[source] BundleError),
    /// The log refused.
    #[error("cannot publish the default webhook: {0}")]
    Log(#[from] LogError),
}

/// Puts [`Config::default_webhook`] in force for every tenant without a bundle of its own.
///
/// It becomes the `[escalation]` of the bundle of tenant `*`, other tables of which are kept, so
/// that a replay of the log sees what was in force when. Nothing is published when that is in
/// force already. Without a default webhook, one that was published before is taken back;
/// settings that somebody wrote by hand stay.
///
/// # Errors
/// [`DefaultError`].
pub async fn publish_default(
    log: &dyn EventLog,
    config: &Config,
    now_ms: i64,
) -> Result<Published, DefaultError> {
    let wanted = config.default_webhook.as_ref().map(section).transpose()?;
    let bundles = Bundles::read(log).await?;
    let in_force = match bundles.head(ANY_TENANT) {
        Some(head) => bundles.get(&head.bundle).unwrap_or_default(),
        None => Bytes::new(),
    };
    let mut document = bundle::parse::<toml::Table>(&in_force).map_err(DefaultError::InForce)?;
    let present = document.get(SECTION);
    let published = match wanted {
        Some(wanted) if present == Some(&wanted) => return Ok(Published::Unchanged),
        Some(wanted) => {
            document.insert(SECTION.to_owned(), wanted);
            Published::Changed
        }
        None if present.is_some_and(is_default) => {
            document.remove(SECTION);
            Published::Withdrawn
        }
        None => return Ok(Published::Unchanged),
    };
    let bundle = Bytes::from(document.to_string());
    publish_bundle(log, ANY_TENANT, bundle, "default_webhook", now_ms).await?;
    Ok(published)
}

/// `[escalation]` with the webhook as the only destination of the only team.
fn section(webhook: &DefaultWebhook) -> Result<toml::Value, DefaultError> {
    let mut fields = toml::Table::new();
    fields.insert("url".to_owned(), webhook.url.expose().into());
    if !webhook.secret.is_empty() {
        fields.insert("secret".to_owned(), webhook.secret_reference().into());
    }
    if webhook.allow_private {
        fields.insert("allow_private".to_owned(), true.into());
    }
    let mut value = toml::Value::Table(fields);
    for name in ["webhook", DESTINATION, "destinations", DEFAULT_TEAM, "teams"] {
        value = toml::Table::from_iter([(name.to_owned(), value)]).into();
    }
    zhili_incident::Config::deserialize(value.clone())
        .map_err(|error| DefaultError::Invalid(error.message().to_owned()))?;
    Ok(value)
}

/// Whether a section has the shape that [`section`] gives it.
fn is_default(section: &toml::Value) -> bool {
    let mut value = section;
    for name in ["teams", DEFAULT_TEAM, "destinations", DESTINATION] {
        match value.as_table().filter(|table| table.len() == 1).and_then(|table| table.get(name)) {
            Some(inner) => value = inner,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use zhili_runtime::config::Secret;

    use super::*;

    #[test]
    fn fuzzed_bundles_are_read_or_refused() {
        let corpus = zhili_fuzz::blocks(include_str!("../../../docs/operations.md"), "toml");
        let words = &[
            "[escalation.teams.default",
            "]\n",
            " = ",
            "\"",
            "{ ",
            " }",
            "[[",
            "env:X",
            "file:/x",
            "-1",
            "1e999",
            "9223372036854775807",
            "repeat = ",
            "delay_ms = ",
            "match = ",
            "\"*\"",
            "policy = ",
            "true",
            "{incident_id}",
            "tz = \"Asia/Shanghai\"",
            "2026-10-01T00:00:00Z",
            "calendar = ",
            "layers",
            "mon-fri",
            "\n",
        ];
        let search = zhili_fuzz::Search::of("bundles of escalation").corpus(corpus).words(words);
        search.longest(4096).run(|input| match parse(input) {
            Ok(found) => zhili_fuzz::kind(&found.map(|config| config.teams().len().min(4))),
            Err(error) => zhili_fuzz::words_of(&error.to_string()),
        });
    }

    const FLOOR: &str = r#"
[scoring]
anything = 1

[escalation.teams.default.destinations.floor.webhook]
url = "https://hooks.example/t0ken"
secret = "env:FLOOR_SECRET"
"#;

    #[test]
    fn a_bundle_holds_the_settings_of_escalation_among_those_of_others() {
        let config = parse(FLOOR.as_bytes()).unwrap().unwrap();
        assert!(config.teams()["default"].destinations.contains_key("floor"));
        assert_eq!(parse(b"[scoring]\nanything = 1"), Ok(None));
    }

    #[test]
    fn a_wrong_bundle_is_refused_with_line_and_field_but_without_the_address() {
        let unknown = FLOOR.replace("secret =", "secrets =");
        let error = parse(unknown.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("secrets") && error.starts_with("line "), "{error}");
        assert!(!error.contains("t0ken"), "{error}");
        let text = format!("{FLOOR}\n[escalation.teams.default]\npolicy = \"night\"");
        let error = parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("teams.default.policy: no policy is called \"...\""), "{error}");
        assert_eq!(parse(&[b'a', 0xff]), Err(BundleError::NotText(1)));
    }

    #[test]
    fn an_address_in_the_wrong_place_is_not_quoted() {
        const HOOK: &str = "https://hooks.example/t0ken";
        let destinations = "[escalation.teams.default.destinations]";
        for (wrong, told) in [
            (format!("{destinations}\nfloor.webhook = \"{HOOK}\""), "invalid type: string"),
            (
                format!("[escalation.teams.default]\ndestinations = {{ floor = \"{HOOK}\" }}"),
                "unknown variant",
            ),
            (format!("{destinations}\n\"{HOOK}\".watch = {{}}"), "names are 1 to 64 characters"),
            (format!("{destinations}\nfloor = {{ \"{HOOK}\" = 1 }}"), "unknown variant"),
            (
                format!(
                    "{destinations}\na.watch = {{}}\n\
                     [[escalation.teams.default.policies.p.steps]]\ndestinations = ['{HOOK}']"
                ),
                "no destination is called",
            ),
            (format!("{destinations}\nfloor = 't0ken'"), "unknown variant"),
            (format!("{destinations}\nfloor.webhook = 'say \"t0ken\"'"), "invalid type"),
            (format!("{destinations}\n\"{HOOK}\" = 1\n\"{HOOK}\" = 1"), "line "),
            (format!("{destinations}\nfloor.webhook.url = {HOOK}"), "line "),
        ] {
            let error = parse(wrong.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("t0ken"), "{error}");
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn only_what_was_made_from_the_default_is_taken_for_it() {
        let webhook =
            DefaultWebhook { url: Secret::new("https://h/x"), ..DefaultWebhook::default() };
        assert!(is_default(&section(&webhook).unwrap()));
        let by_hand: toml::Table = bundle::parse(FLOOR.as_bytes()).unwrap();
        assert!(!is_default(&by_hand[SECTION]));
    }

    #[test]
    fn the_secret_of_a_default_is_not_published() {
        let webhook = |secret: &str| DefaultWebhook {
            url: Secret::new("https://h/x"),
            secret: Secret::new(secret),
            ..DefaultWebhook::default()
        };
        let published = section(&webhook("whsec_abcdef")).unwrap().to_string();
        assert!(published.contains("config:default_webhook.secret"), "{published}");
        assert!(!published.contains("abcdef"), "{published}");
        let published = section(&webhook("env:HOOK_SECRET")).unwrap().to_string();
        assert!(published.contains("env:HOOK_SECRET"), "{published}");
    }
}
