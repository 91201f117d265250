//! Contracts of Zhili, generated from the `.proto` files beside this crate: gRPC services, the
//! records of the event log, and one JSON mapping for both HTTP and files.
//!
//! JSON uses the field names of the `.proto` files (`sent_at`) and takes their camel case too;
//! enum values are the contract's own words (`"customer"`, `"resolved"`).

/// Encoded `FileDescriptorSet` of all contracts, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

macro_rules! package {
    ($path:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $path, ".rs"));
        include!(concat!(env!("OUT_DIR"), "/", $path, ".serde.rs"));
    };
}

/// Conversations: events, and the service that takes them in.
#[allow(missing_docs, clippy::all, clippy::pedantic, unused_qualifications)]
pub mod conversation {
    pub mod v1 {
        package!("zhili.conversation.v1");
    }
}

/// Escalation: signals, incidents, commands and pages.
#[allow(missing_docs, clippy::all, clippy::pedantic, unused_qualifications)]
pub mod escalation {
    pub mod v1 {
        package!("zhili.escalation.v1");
    }
}

/// The log itself: time, configuration, snapshots, dead letters.
#[allow(missing_docs, clippy::all, clippy::pedantic, unused_qualifications)]
pub mod log {
    pub mod v1 {
        package!("zhili.log.v1");
    }
}

/// Metrics: queries over what was measured.
#[allow(missing_docs, clippy::all, clippy::pedantic, unused_qualifications)]
pub mod metrics {
    pub mod v1 {
        package!("zhili.metrics.v1");
    }
}

/// Privacy: erasures and holds.
#[allow(missing_docs, clippy::all, clippy::pedantic, unused_qualifications)]
pub mod privacy {
    pub mod v1 {
        package!("zhili.privacy.v1");
    }
}

/// Scoring: assessments, facts, and the service that scores on request.
#[allow(missing_docs, clippy::all, clippy::pedantic, unused_qualifications)]
pub mod scoring {
    pub mod v1 {
        package!("zhili.scoring.v1");
    }
}

pub use pbjson_types::{Duration, Timestamp};

/// A timestamp of `ms` milliseconds since the Unix epoch.
#[must_use]
pub fn timestamp(ms: i64) -> Timestamp {
    Timestamp { seconds: ms.div_euclid(1000), nanos: (ms.rem_euclid(1000) * 1_000_000) as i32 }
}

/// A length of time in milliseconds.
#[must_use]
pub fn duration(ms: i64) -> Duration {
    Duration { seconds: ms / 1000, nanos: (ms % 1000 * 1_000_000) as i32 }
}

/// Milliseconds of a length of time; `None` when they do not fit 64 bits.
#[must_use]
pub fn duration_millis(length: &Duration) -> Option<i64> {
    length.seconds.checked_mul(1000)?.checked_add(i64::from(length.nanos) / 1_000_000)
}

/// Milliseconds since the Unix epoch, rounded down; `None` when it does not fit 64 bits.
#[must_use]
pub fn millis(timestamp: &Timestamp) -> Option<i64> {
    timestamp.seconds.checked_mul(1000)?.checked_add(i64::from(timestamp.nanos) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use conversation::v1::{Author, Event, EventType, author};

    #[test]
    fn json_uses_the_words_of_the_contract() {
        let event = Event {
            tenant: "default".into(),
            event_id: "e1".into(),
            r#type: EventType::Message.into(),
            sent_at: Some(timestamp(1_700_000_000_123)),
            author: Some(Author {
                id: "u1".into(),
                role: author::Role::Customer.into(),
                ..Author::default()
            }),
            ..Event::default()
        };
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json["type"], "message");
        assert_eq!(json["author"]["role"], "customer");
        assert_eq!(json["sent_at"], "2023-11-14T22:13:20.123+00:00");
        let back: Event = serde_json::from_value(json).unwrap();
        assert_eq!(back, event);
    }

    #[test]
    fn camel_case_and_numeric_offsets_of_the_time_zone_are_read_too() {
        let event: Event =
            serde_json::from_str(r#"{"eventId":"e1","sentAt":"2023-11-15T06:13:20.123+08:00"}"#)
                .unwrap();
        assert_eq!(event.event_id, "e1");
        assert_eq!(millis(&event.sent_at.unwrap()), Some(1_700_000_000_123));
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let error = serde_json::from_str::<Event>(r#"{"event_idd":"e1"}"#).unwrap_err();
        assert!(error.to_string().contains("event_idd"), "{error}");
    }
}
