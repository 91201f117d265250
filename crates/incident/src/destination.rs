//! Places that can be paged: what a team's configuration says of each.
//!
//! ```toml
//! [teams.default.destinations]
//! floor    = { webhook = { url = "https://hooks.example/floor", secret = "env:FLOOR_SECRET" } }
//! shift    = { dingtalk = { url = "env:SHIFT_URL", secret = "env:SHIFT_SECRET", mentions = ["user123"] } }
//! leads    = { wecom = { url = "file:/run/secrets/leads" } }
//! hub      = { feishu = { url = "env:HUB_URL", secret = "env:HUB_SECRET" } }
//! abroad   = { slack = { url = "env:SLACK_URL", mentions = ["U024BE7LH"], language = "en" } }
//! night    = { pagerduty = { routing_key = "env:PAGERDUTY_KEY" } }
//! director = { email = { server = "smtp.example:587", from = "zhili@example.com", to = ["director@example.com"] } }
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, wrong};
use crate::page::Channel;

/// Receivers of one e-mail; a list of its own is the place for more.
const MOST_RECEIVERS: usize = 20;
/// People named in one message.
const MOST_MENTIONS: usize = 20;

/// A place that can be paged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Destination {
    /// An HTTP endpoint that receives signed requests.
    Webhook(Webhook),
    /// Whoever is connected to the `Watch` stream. Counts as told, never as reached: there may
    /// be nobody.
    Watch {},
    /// A custom robot of a DingTalk group.
    Dingtalk(Robot),
    /// A robot of a WeCom group.
    Wecom(Robot),
    /// A custom robot of a Feishu or Lark group.
    Feishu(Robot),
    /// An incoming webhook of Slack.
    Slack(Robot),
    /// An integration of PagerDuty, Events API v2.
    Pagerduty(Pagerduty),
    /// A mailbox, or several, by SMTP.
    Email(Email),
}

/// An HTTP endpoint.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where pages are sent by POST, `https://...` or `http://...`.
    pub url: String,
    /// Where the signing secret is: `env:NAME`, `file:PATH`, or `config:KEY` in the settings of
    /// the process. Never the secret itself, because this configuration is kept in the log. Without it
    /// requests are not signed.
    #[serde(default)]
    pub secret: Option<String>,
    /// The address may be in a private network or on this machine. Otherwise such addresses are
    /// refused when the page is sent, so that nobody reaches inner services by way of a page.
    #[serde(default)]
    pub allow_private: bool,
}

/// A robot of a chat group.
///
/// People are mentioned by the ids that they have with the provider. There is no mention by
/// telephone number, which two of the providers also know: it would put the number into this
/// configuration, which is kept in the log, and into every message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Robot {
    /// The address that the provider gave, `https://...`, or better where it is, `env:NAME` or
    /// `file:PATH`: whoever knows the address can write to the group.
    pub url: String,
    /// Where the signing secret is, `env:NAME` or `file:PATH`. DingTalk and Feishu alone have
    /// one; without it requests are not signed.
    #[serde(default)]
    pub secret: Option<String>,
    /// Ids of people to be mentioned, at most 20: `userid` of DingTalk and WeCom, `open_id` of
    /// Feishu, member id of Slack.
    #[serde(default)]
    pub mentions: Vec<String>,
    /// Mention the whole group. Refused for WeCom, whose formatted messages cannot.
    #[serde(default)]
    pub mention_all: bool,
    /// Language of the card.
    #[serde(default)]
    pub language: Language,
    /// The address may be in a private network or on this machine.
    #[serde(default)]
    pub allow_private: bool,
}

/// An integration of PagerDuty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pagerduty {
    /// Where the integration key is, `env:NAME` or `file:PATH`.
    pub routing_key: String,
    /// Where events are sent; in the European region it is
    /// `https://events.eu.pagerduty.com/v2/enqueue`.
    #[serde(default = "events_v2")]
    pub url: String,
    /// Language of the summary; English unless given, as PagerDuty's own pages are.
    #[serde(default = "english")]
    pub language: Language,
    /// The address may be in a private network or on this machine.
    #[serde(default)]
    pub allow_private: bool,
}

fn events_v2() -> String {
    "https://events.pagerduty.com/v2/enqueue".to_owned()
}

fn english() -> Language {
    Language::En
}

/// A mailbox, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Email {
    /// `host:port` of the submission server, such as `smtp.example.com:587`.
    pub server: String,
    /// How the connection is kept private.
    #[serde(default)]
    pub security: Security,
    /// Who writes, an address such as `zhili@example.com`.
    pub from: String,
    /// Who is written to, 1 to 20 addresses.
    pub to: Vec<String>,
    /// Name to log in with, together with `password`; without both nobody logs in.
    #[serde(default)]
    pub username: Option<String>,
    /// Where the password of `username` is, `env:NAME` or `file:PATH`.
    #[serde(default)]
    pub password: Option<String>,
    /// Language of the mail.
    #[serde(default)]
    pub language: Language,
    /// The address may be in a private network or on this machine.
    #[serde(default)]
    pub allow_private: bool,
}

/// How a connection to a mail server is kept private.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// STARTTLS before anything else is said (RFC 3207); the usual port is 587. A server that
    /// does not offer it gets no mail.
    #[default]
    Starttls,
    /// TLS from the first byte (RFC 8314); the usual port is 465.
    Tls,
    /// None, for a relay on this machine or in a private network alone: nobody logs in, and
    /// `allow_private` must be set.
    None,
}

/// Language in which a card is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Simplified Chinese.
    #[default]
    Zh,
    /// English.
    En,
}

impl Destination {
    /// How pages get there.
    pub fn channel(&self) -> Channel {
        match self {
            Self::Webhook(_) => Channel::Webhook,
            Self::Watch {} => Channel::Watch,
            Self::Dingtalk(_) => Channel::Dingtalk,
            Self::Wecom(_) => Channel::Wecom,
            Self::Feishu(_) => Channel::Feishu,
            Self::Slack(_) => Channel::Slack,
            Self::Pagerduty(_) => Channel::Pagerduty,
            Self::Email(_) => Channel::Email,
        }
    }

    /// Whether a page there is a request that somebody answers. `watch` is told by the event
    /// log itself, and nobody may be looking.
    pub fn pages_somebody(&self) -> bool {
        !matches!(self, Self::Watch {})
    }

    pub(crate) fn check(&self, field: &str) -> Result<(), ConfigError> {
        let field = format!("{field}.{}", self.channel().name());
        match self {
            Self::Webhook(webhook) => webhook.check(&field),
            Self::Watch {} => Ok(()),
            Self::Dingtalk(robot) | Self::Feishu(robot) => robot.check(&field),
            Self::Wecom(robot) | Self::Slack(robot) => {
                if robot.secret.is_some() {
                    return wrong(
                        format!("{field}.secret"),
                        "its address is its secret; there is no other",
                    );
                }
                if robot.mention_all && matches!(self, Self::Wecom(_)) {
                    return wrong(
                        format!("{field}.mention_all"),
                        "formatted messages of WeCom cannot mention everybody; name people under \
                         mentions",
                    );
                }
                robot.check(&field)
            }
            Self::Pagerduty(pagerduty) => {
                check_reference(&format!("{field}.routing_key"), &pagerduty.routing_key)?;
                check_url(&format!("{field}.url"), &pagerduty.url)
            }
            Self::Email(email) => email.check(&field),
        }
    }
}

impl Webhook {
    fn check(&self, field: &str) -> Result<(), ConfigError> {
        check_url(&format!("{field}.url"), &self.url)?;
        match self.secret.as_deref().map(|secret| secret.split_once(':')) {
            None | Some(Some(("env" | "file" | "config", _))) => Ok(()),
            _ => wrong(
                format!("{field}.secret"),
                "says where the secret is, as env:NAME or file:PATH; the secret itself must not \
                 stand here",
            ),
        }
    }
}

impl Robot {
    /// Where the address is, if it does not stand here itself.
    pub fn url_reference(&self) -> Option<&str> {
        is_reference(&self.url).then_some(self.url.as_str())
    }

    fn check(&self, field: &str) -> Result<(), ConfigError> {
        if self.url_reference().is_none() {
            check_url(&format!("{field}.url"), &self.url)?;
        }
        if let Some(secret) = &self.secret {
            check_reference(&format!("{field}.secret"), secret)?;
        }
        if self.mentions.len() > MOST_MENTIONS {
            let count = self.mentions.len();
            return wrong(
                format!("{field}.mentions"),
                format!("{count} people; at most {MOST_MENTIONS}"),
            );
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.$:@".contains(&byte);
        let is_id = |id: &String| (1..=128).contains(&id.len()) && id.bytes().all(plain);
        if !self.mentions.iter().all(is_id) {
            return wrong(
                format!("{field}.mentions"),
                "ids are 1 to 128 characters of a-z, A-Z, 0-9 and _-.$:@",
            );
        }
        Ok(())
    }
}

impl Email {
    fn check(&self, field: &str) -> Result<(), ConfigError> {
        let server = self.server.rsplit_once(':');
        let usable = server.is_some_and(|(host, port)| {
            !host.is_empty()
                && !host.contains(|c: char| c.is_whitespace() || c == '/' || c == '@')
                && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if !usable {
            return wrong(format!("{field}.server"), "not host:port, such as smtp.example.com:587");
        }
        if !(1..=MOST_RECEIVERS).contains(&self.to.len()) {
            let count = self.to.len();
            return wrong(
                format!("{field}.to"),
                format!("{count} receivers; give 1 to {MOST_RECEIVERS}"),
            );
        }
        if !is_mailbox(&self.from) {
            return wrong(format!("{field}.from"), "not an address such as zhili@example.com");
        }
        if !self.to.iter().all(|to| is_mailbox(to)) {
            return wrong(format!("{field}.to"), "not addresses such as lead@example.com");
        }
        if self.username.is_some() != self.password.is_some() {
            return wrong(format!("{field}.password"), "goes with username; give both or neither");
        }
        if let Some(password) = &self.password {
            check_reference(&format!("{field}.password"), password)?;
        }
        if self.security == Security::None && (self.username.is_some() || !self.allow_private) {
            return wrong(
                format!("{field}.security"),
                "none is for a relay in a private network: set allow_private = true and no \
                 username, or use starttls or tls",
            );
        }
        Ok(())
    }
}

/// A bare address in ASCII; the mail library parses it in full.
fn is_mailbox(text: &str) -> bool {
    let printable =
        text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>,;\"()".contains(&byte));
    printable
        && text.len() <= 254
        && text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.contains('@')
        })
}

fn is_reference(text: &str) -> bool {
    matches!(text.split_once(':'), Some(("env" | "file", place)) if !place.is_empty())
}

fn check_reference(field: &str, text: &str) -> Result<(), ConfigError> {
    if is_reference(text) {
        return Ok(());
    }
    wrong(
        field,
        "says where the secret is, as env:NAME or file:PATH; the secret itself must not stand here",
    )
}

fn check_url(field: &str, url: &str) -> Result<(), ConfigError> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    if host.is_empty() || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        // The URL itself is not shown: its path may be a password.
        return wrong(field, "not an http:// or https:// address of a host");
    }
    Ok(())
}

/// Scheme and host alone: the path and query of a webhook are often its password.
fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}/...")
}

impl fmt::Debug for Webhook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Webhook")
            .field("url", &format_args!("{}", shown(&self.url)))
            .field("secret", &self.secret)
            .field("allow_private", &self.allow_private)
            .finish()
    }
}

impl fmt::Debug for Robot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url_reference().map_or_else(|| shown(&self.url), str::to_owned);
        formatter
            .debug_struct("Robot")
            .field("url", &format_args!("{url}"))
            .field("secret", &self.secret)
            .field("mentions", &self.mentions)
            .field("mention_all", &self.mention_all)
            .field("language", &self.language)
            .field("allow_private", &self.allow_private)
            .finish()
    }
}
