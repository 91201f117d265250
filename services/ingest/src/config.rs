use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zhili_eventlog::MAX_RECORD_BYTES;
use zhili_runtime::Failure;

use crate::adapters::{Sender, Senders};
use crate::budget::cost;

/// Settings of the service.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where gRPC and HTTP are served.
    pub listen: SocketAddr,
    /// What is taken from a publisher.
    pub limits: Limits,
    /// Bytes of memory for requests that are being read or waiting for the log, over all publishers:
    /// 4 for each byte that comes over the wire and 2 KiB for each event. Beyond, publishers are
    /// told to come again.
    pub budget_bytes: u32,
    /// How long a publisher may leave a request half sent, or the answers of a stream unread, in
    /// milliseconds; then the call ends, for it holds a part of the budget. Beyond what a network
    /// that lost packets needs to go on.
    pub idle_timeout_ms: u64,
    /// Batches of one stream that are read ahead while the log is busy, and that are appended
    /// together when it no longer is.
    pub stream_in_flight: usize,
    /// How long the log may take to confirm, in milliseconds; then the publisher is told to
    /// publish again. Beyond the 10 s that a Kafka client needs to find a new leader.
    pub append_timeout_ms: u64,
    /// Events that one tenant may publish in a second; 0 for no limit. A request beyond is refused
    /// with a hint when to come again, a stream is read more slowly.
    pub tenant_events_per_s: u32,
    /// Platforms that prove who they are with a secret of their own making. Those that send a token
    /// need no setting.
    pub senders: Vec<Sender>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7400)),
            limits: Limits::default(),
            budget_bytes: 64 << 20,
            idle_timeout_ms: 10_000,
            stream_in_flight: 8,
            append_timeout_ms: 15_000,
            tenant_events_per_s: 0,
            senders: Vec::new(),
        }
    }
}

/// Largest things that are taken. The defaults are those of the contract (`event.proto`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of `text`.
    pub text_bytes: usize,
    /// Bytes of all names and values of `attrs`.
    pub attrs_bytes: usize,
    /// Bytes of an event in its protobuf encoding.
    pub event_bytes: usize,
    /// Events of one request.
    pub batch_events: usize,
    /// Bytes of one request.
    pub batch_bytes: u32,
    /// How far `sent_at` may be ahead of our clock, in seconds.
    pub ahead_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            text_bytes: 16 << 10,
            attrs_bytes: 4 << 10,
            event_bytes: 64 << 10,
            batch_events: 1000,
            batch_bytes: 4 << 20,
            ahead_seconds: 24 * 60 * 60,
        }
    }
}

/// Masking and pseudonyms may make an event larger: a token of 7 bytes for an address of 5, a
/// pseudonym of 28 for an id of 1. Four times is beyond what they can do to any event.
const GROWTH: usize = 4;

impl Config {
    /// Whether the settings agree with each other and with the log.
    ///
    /// # Errors
    /// [`Failure::Usage`] that names the setting.
    pub fn check(&self) -> Result<(), Failure> {
        let limits = &self.limits;
        let wrong = |text: String| Err(Failure::Usage(text));
        if self.budget_bytes < self.largest_batch() {
            return wrong(format!(
                "budget_bytes is {} and must be at least {} for a batch of limits.batch_bytes and \
                 limits.batch_events, or the largest one could never be taken",
                self.budget_bytes,
                self.largest_batch()
            ));
        }
        if limits.event_bytes > MAX_RECORD_BYTES / GROWTH {
            return wrong(format!(
                "limits.event_bytes is {} and must be at most {}, for an event grows by masking \
                 and must fit a record of the log",
                limits.event_bytes,
                MAX_RECORD_BYTES / GROWTH
            ));
        }
        for (name, value) in [
            ("stream_in_flight", self.stream_in_flight),
            ("limits.batch_events", limits.batch_events),
            ("limits.event_bytes", limits.event_bytes),
        ] {
            if value == 0 {
                return wrong(format!("{name} must be at least 1"));
            }
        }
        for (name, value) in [
            ("append_timeout_ms", self.append_timeout_ms),
            ("idle_timeout_ms", self.idle_timeout_ms),
        ] {
            if value == 0 {
                return wrong(format!("{name} must be at least 1"));
            }
        }
        Senders::read(&self.senders).map(drop)
    }

    /// How much of the budget one call may hold: a quarter, so that a stream whose answers nobody
    /// reads leaves room for others, but no less than the largest batch and the beginning of
    /// the next, or a stream would wait for itself.
    pub(crate) fn share_bytes(&self) -> u32 {
        /// The largest piece that HTTP/2 hands on at once, four times.
        const NEXT: u32 = 64 << 10;
        (self.budget_bytes / 4).max(self.largest_batch().saturating_add(cost(NEXT, 1)))
    }

    fn largest_batch(&self) -> u32 {
        let events = u32::try_from(self.limits.batch_events).unwrap_or(u32::MAX);
        cost(self.limits.batch_bytes, events)
    }

    pub(crate) const fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    pub(crate) const fn append_timeout(&self) -> Duration {
        Duration::from_millis(self.append_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_agree_with_each_other() {
        Config::default().check().unwrap();
    }

    #[test]
    fn a_budget_below_one_batch_is_refused_by_name() {
        let config = Config { budget_bytes: 1, ..Config::default() };
        let error = config.check().unwrap_err();
        assert_eq!(error.code(), 64);
        assert!(error.to_string().starts_with("budget_bytes"), "{error}");
    }

    #[test]
    fn an_event_that_may_outgrow_a_record_is_refused_by_name() {
        let limits = Limits { event_bytes: MAX_RECORD_BYTES, ..Limits::default() };
        let error = Config { limits, ..Config::default() }.check().unwrap_err();
        assert!(error.to_string().starts_with("limits.event_bytes"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = serde_json::from_str::<Config>(r#"{"limits":{"text_byte":1}}"#).unwrap_err();
        assert!(error.to_string().contains("text_byte"), "{error}");
    }
}
