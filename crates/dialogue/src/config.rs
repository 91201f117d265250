//! Settings of the fold.

use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Settings of the fold. Part of its state: a restored fold goes on with those it was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long what has ended stays in memory, in milliseconds of log time, default 24 h, longer
    /// by as much as a publisher's clock was ahead; also
    /// the age beyond which an event of an unknown conversation is historical. Below 1 acts as 1.
    pub horizon_ms: i64,
    /// Silence that ends a care cycle, in milliseconds of log time, default 24 h. Below 1 acts
    /// as 1.
    pub idle_close_ms: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self { horizon_ms: DAY_MS, idle_close_ms: DAY_MS }
    }
}

impl Config {
    pub(crate) fn horizon(&self) -> i64 {
        self.horizon_ms.max(1)
    }

    pub(crate) fn idle_close(&self) -> i64 {
        self.idle_close_ms.max(1)
    }
}
