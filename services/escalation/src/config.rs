//! Settings of the process. Who is paged is not among them: that is data in the log, see
//! [`crate::bundle`].

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use zhili_runtime::config::Secret;

/// Settings of the escalation service.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where gRPC and HTTP are served; read by whoever binds the listener.
    pub listen: SocketAddr,
    /// Name of this replica in its consumer group; unique, and stable over restarts, so that a
    /// quick restart moves no partition.
    pub member: String,
    /// Where a person sees an incident, with `{incident_id}` for its id, such as
    /// `https://zhili.example/incidents/{incident_id}`; goes into every page. Empty for none.
    pub link: String,
    /// Address under which people reach this service, such as `https://page.zhili.example`. With
    /// [`Config::link_secret`] the link of a page opens `/i/...` there, where whoever was paged
    /// answers without logging in.
    pub public_url: String,
    /// Signs those links; at least 32 bytes that nobody can guess, the same for all replicas.
    pub link_secret: Secret,
    /// Requested by POST once a minute for as long as nothing is late here, for a watcher outside
    /// that raises the alarm when that stays away. Empty for none.
    pub heartbeat_url: Secret,
    /// Every so many seconds a message that says it is a test goes to each destination; one that
    /// it does not reach is told of at another one of its team. 0 for never; an hour is usual.
    pub canary_every_s: u64,
    /// Every destination may be in a private network or on this machine. Otherwise only those
    /// whose settings say `allow_private = true`.
    pub allow_private_destinations: bool,
    /// Pages every tenant without a bundle of its own, as the only destination.
    pub default_webhook: Option<DefaultWebhook>,
    /// Most pages that are claimed or being sent at a time, over all partitions of this
    /// process.
    pub max_sends: usize,
    /// Most of them for one destination, so that a slow receiver does not hold up the others.
    pub max_sends_per_destination: usize,
    /// Events that a watcher may fall behind before it is disconnected.
    pub watch_buffer: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7402)),
            member: "escalation-1".to_owned(),
            link: String::new(),
            public_url: String::new(),
            link_secret: Secret::default(),
            heartbeat_url: Secret::default(),
            canary_every_s: 0,
            allow_private_destinations: false,
            default_webhook: None,
            max_sends: 256,
            max_sends_per_destination: 32,
            watch_buffer: 4_096,
        }
    }
}

/// A webhook that needs no bundle.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DefaultWebhook {
    /// `https://...` or `http://...`. Not shown, because its path is often a password.
    pub url: Secret,
    /// Signing secret, `whsec_` and base64 of 24 to 64 bytes, or where it is: `env:NAME` or
    /// `file:PATH`. Only where it is goes into the log. Empty for requests without a signature.
    pub secret: Secret,
    /// The address may be in a private network or on this machine.
    pub allow_private: bool,
}

/// What the bundle says in place of a secret that stands in the settings themselves.
pub(crate) const OWN_SECRET: &str = "config:default_webhook.secret";

impl DefaultWebhook {
    /// Where the secret is, for the bundle.
    pub(crate) fn secret_reference(&self) -> &str {
        match self.secret.expose().split_once(':') {
            Some(("env" | "file", _)) => self.secret.expose(),
            _ => OWN_SECRET,
        }
    }
}
