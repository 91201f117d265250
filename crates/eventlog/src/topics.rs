//! The topics of Zhili: names, keys, retention. Keys and contents are in `docs/architecture.md`.

/// How a topic is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: &'static str,
    /// Number of partitions.
    pub partitions: u32,
    /// What is thrown away.
    pub cleanup: Cleanup,
}

/// What a topic throws away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// Records older than this many milliseconds.
    Delete {
        /// Age in milliseconds.
        retention_ms: i64,
    },
    /// All but the last record of each key.
    Compact,
}

/// Events, ticks and markers; key tenant/conversation.
pub const EVENTS: &str = "zhili.events.v1";
/// One scored event for every accepted event; key tenant/conversation.
pub const SCORES: &str = "zhili.scores.v1";
/// Turns, cycles and their corrections; key tenant/conversation.
pub const FACTS: &str = "zhili.facts.v1";
/// What conversations say of their customers; key tenant/customer.
pub const CUSTOMERS: &str = "zhili.customers.v1";
/// Complaints by what they are about; key tenant.
pub const PULSE: &str = "zhili.pulse.v1";
/// Signals, commands, claims, results, ticks, markers; key tenant/team.
pub const ESCALATION: &str = "zhili.escalation.v1";
/// What happened to incidents; key tenant/team.
pub const INCIDENTS: &str = "zhili.incidents.v1";
/// Chunks of fold states; key fold/partition/id/chunk.
pub const SNAPSHOTS: &str = "zhili.snapshots.v1";
/// Configuration bundles and which are and were in force; key blob/sha256 or head/tenant/sequence
/// with a hash behind it.
pub const CONFIG: &str = "zhili.config.v1";
/// Records that cannot be processed; key source.
pub const DEAD_LETTERS: &str = "zhili.dead-letters.v1";

/// Who has seen or done something that must be answered for; key tenant.
pub const AUDIT: &str = "zhili.audit.v1";
/// How erasures stand and who is held back from them; key erasure/id or hold/id.
pub const ERASURES: &str = "zhili.erasures.v1";

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Every topic of a system whose keyed topics have `partitions` partitions.
#[must_use]
pub fn all(partitions: u32) -> Vec<TopicSpec> {
    let days = |days: i64| Cleanup::Delete { retention_ms: days * DAY_MS };
    let keyed = |name, cleanup| TopicSpec { name, partitions, cleanup };
    vec![
        keyed(EVENTS, days(14)),
        keyed(SCORES, days(7)),
        keyed(FACTS, days(7)),
        keyed(CUSTOMERS, days(35)),
        keyed(PULSE, days(3)),
        keyed(ESCALATION, days(35)),
        keyed(INCIDENTS, days(35)),
        keyed(SNAPSHOTS, Cleanup::Compact),
        TopicSpec { name: CONFIG, partitions: 1, cleanup: Cleanup::Compact },
        keyed(DEAD_LETTERS, days(30)),
        // Whoever looks back at a year sees the whole of it.
        keyed(AUDIT, days(400)),
        TopicSpec { name: ERASURES, partitions: 1, cleanup: Cleanup::Compact },
    ]
}
