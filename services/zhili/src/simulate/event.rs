//! An event as the contract's JSON writes it (`zhili.conversation.v1.Event`).

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// Borrowed, with only what the simulation uses; a test reads each line back as the contract's
/// own type.
#[allow(clippy::struct_field_names, reason = "the contract's name")]
#[derive(Debug, Clone, Serialize)]
pub(super) struct Event<'a> {
    pub(super) tenant: &'a str,
    pub(super) source: &'a str,
    pub(super) event_id: &'a str,
    pub(super) conversation_id: &'a str,
    pub(super) r#type: &'static str,
    pub(super) sent_at: Instant,
    pub(super) seq: u32,
    pub(super) channel: &'static str,
    pub(super) author: Author<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) text: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) private: bool,
    pub(super) queue: &'static str,
    pub(super) scene: &'static str,
    pub(super) customer: Customer<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) order: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) csat: Option<Csat>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Author<'a> {
    pub(super) id: &'a str,
    pub(super) role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subtype: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Customer<'a> {
    pub(super) id: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) vip: bool,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Csat {
    pub(super) score: u8,
    pub(super) max: u8,
}

/// Milliseconds since the Unix epoch, written as RFC 3339 with all three digits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instant(pub(super) i64);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let instant = Timestamp::from_millisecond(self.0).map_err(serde::ser::Error::custom)?;
        serializer.collect_str(&format_args!("{instant:.3}"))
    }
}
