//! Whether figures can be trusted.

use std::time::Duration;

use zhili_eventlog::{ReadLimit, TopicPartition, system_clock};
use zhili_proto::metrics::v1 as proto;
use zhili_proto::timestamp;
use zhili_runtime::auth::{Permission, Principal};
use zhili_runtime::{ErrorCode, ServiceError};
use zhili_warehouse::query::{Health, health};

use super::figures::millis;
use super::{Service, failed};
use crate::{GROUP, TOPICS};

/// What the tables lack of the log.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lag {
    records: u64,
    /// How long the oldest of them has waited; 0 without any.
    ms: i64,
}

impl Service {
    pub(super) async fn get_data_health(
        &self,
        caller: &Principal,
        request: proto::GetDataHealthRequest,
    ) -> Result<proto::GetDataHealthResponse, ServiceError> {
        caller.require(Permission::Aggregates)?;
        let from_ms = millis("from", request.from.as_ref())?;
        let to_ms = millis("to", request.to.as_ref())?;
        let tenant = caller.tenant.as_str();
        let _turn = self.turn().await?;
        let known = health(&self.warehouse, tenant, from_ms, to_ms).await.map_err(failed)?;
        let lag = self.lag((system_clock())()).await.map_err(|error| {
            ServiceError::new(ErrorCode::Unavailable, format!("cannot look at the log: {error}"))
        })?;
        Ok(answer(known, &lag, self.observer.complaint()))
    }

    /// How far the tables are behind the log. A position that was never committed is the begin.
    async fn lag(&self, now_ms: i64) -> Result<Lag, zhili_eventlog::LogError> {
        let mut lag = Lag::default();
        for topic in TOPICS {
            for partition in 0..self.log.topic(topic).await?.partitions {
                let at = TopicPartition::new(*topic, partition);
                let bounds = self.log.bounds(&at).await?;
                let committed = self.log.committed(GROUP, &at).await?;
                let from = committed.map_or(0, |committed| committed.offset).max(bounds.start);
                if from >= bounds.end {
                    continue;
                }
                lag.records += bounds.end - from;
                let limit = ReadLimit { records: 1, wait: Duration::ZERO, ..ReadLimit::default() };
                let first = self.log.read(&at, from, limit).await?;
                if let Some(record) = first.records.first() {
                    lag.ms = lag.ms.max(now_ms.saturating_sub(record.append_ms));
                }
            }
        }
        Ok(lag)
    }
}

fn seconds(ms: Option<f64>) -> Option<f64> {
    ms.map(|ms| ms / 1_000.0)
}

fn answer(known: Health, lag: &Lag, trouble: Option<String>) -> proto::GetDataHealthResponse {
    let taken = known.taken;
    let masked = known.masked.into_iter().map(|one| proto::Masked {
        kind: one.kind,
        places: one.places,
        messages: one.messages,
    });
    let dead_letters = known.dead_letters.into_iter().map(|one| proto::DeadLetterCount {
        component: one.component,
        reason: one.reason,
        records: one.records,
        last_at: Some(timestamp(one.last_ms)),
    });
    let notifiers = known.notifiers.into_iter().map(|one| proto::NotifierHealth {
        destination: one.destination,
        channel: one.channel,
        delivered: one.delivered,
        failed: one.failed,
        attempts: one.attempts,
        detail: one.detail,
    });
    proto::GetDataHealthResponse {
        events: taken.events,
        live: taken.live,
        late: taken.late,
        delay_p50_seconds: seconds(taken.delay_p50_ms),
        delay_p99_seconds: seconds(taken.delay_p99_ms),
        scoring_p50_seconds: seconds(taken.scoring_p50_ms),
        scoring_p99_seconds: seconds(taken.scoring_p99_ms),
        newest_at: taken.newest_ms.map(timestamp),
        lag_records: lag.records,
        lag_seconds: lag.ms as f64 / 1_000.0,
        trouble: trouble.unwrap_or_default(),
        messages: taken.messages,
        unscored: taken.unscored,
        heard: taken.heard,
        unknown_language: taken.unknown_language,
        unknown_role: taken.unknown_role,
        masked: masked.collect(),
        dead_letters: dead_letters.collect(),
        notifiers: notifiers.collect(),
    }
}
