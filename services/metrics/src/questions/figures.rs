//! Figures of the registry's metrics: series, leaderboards, distributions, comparisons, and what
//! they rest on.

use zhili_proto::metrics::v1 as proto;
use zhili_proto::{Timestamp, timestamp};
use zhili_runtime::ServiceError;
use zhili_runtime::auth::{Permission, Principal, Tenant};
use zhili_warehouse::query::{
    Dimension, Figure, Filter, Measure, Metric, MetricQuery, Order, Scope, Standing, Unit, Zone,
    comparison, distribution, leaderboard, metric, observations,
};

use super::{Service, failed, invalid};

/// Observations listed unless asked otherwise.
const DEFAULT_LIMIT: u32 = 100;

/// What every question about a metric names.
pub(super) struct About<'a> {
    pub(super) metric_id: &'a str,
    pub(super) from: Option<&'a Timestamp>,
    pub(super) to: Option<&'a Timestamp>,
    pub(super) filter: Option<proto::Filter>,
    pub(super) zone: &'a str,
}

impl About<'_> {
    pub(super) fn scope(self) -> Result<Scope, ServiceError> {
        let metric = Metric::from_id(self.metric_id).map_err(failed)?;
        let from_ms = millis("from", self.from)?;
        let to_ms = millis("to", self.to)?;
        let filter = self.filter.map(into_filter).unwrap_or_default();
        let zone = Zone::new(self.zone).map_err(failed)?;
        Ok(Scope { metric, from_ms, to_ms, filter, zone })
    }
}

pub(super) fn millis(field: &str, value: Option<&Timestamp>) -> Result<i64, ServiceError> {
    value.and_then(zhili_proto::millis).ok_or_else(|| invalid(format!("{field}: a time")))
}

fn dimension(word: &str) -> Result<Dimension, ServiceError> {
    Dimension::from_word(word).ok_or_else(|| {
        let words: Vec<&str> = Dimension::ALL.into_iter().map(Dimension::word).collect();
        invalid(format!("by: one of {}", words.join(", ")))
    })
}

pub(super) fn into_filter(filter: proto::Filter) -> Filter {
    let proto::Filter { agent, channel, queue, team, level, slot, .. } = filter;
    let proto::Filter { topic, category, promise, hour, weekday, day, .. } = filter;
    Filter {
        agent,
        channel,
        queue,
        team,
        level,
        slot,
        topic,
        category,
        promise,
        hour,
        weekday,
        day,
    }
}

pub(super) fn into_proto(figure: &Figure) -> proto::Figure {
    proto::Figure {
        n: figure.n,
        value: figure.value,
        mean: figure.mean,
        low: figure.interval.map(|interval| interval.low),
        high: figure.interval.map(|interval| interval.high),
        p50: figure.p50,
        p90: figure.p90,
        p99: figure.p99,
    }
}

impl From<&'static Metric> for Described {
    fn from(metric: &'static Metric) -> Self {
        let (least, greatest) = match metric.unit {
            Unit::Score(least, greatest) => (Some(least), Some(greatest)),
            _ => (None, None),
        };
        let of_time = Dimension::ALL.into_iter().filter(|dimension| dimension.is_of_time());
        let dimensions = metric.dimensions.iter().copied().chain(of_time);
        Self(proto::Metric {
            id: metric.id.to_owned(),
            about: metric.about.to_owned(),
            unit: metric.unit.word().to_owned(),
            measure: match metric.measure {
                Measure::Mean => "mean".to_owned(),
                Measure::Median => "median".to_owned(),
                Measure::Rate => "rate".to_owned(),
            },
            better: metric.better.word().to_owned(),
            dimensions: dimensions.map(|dimension| dimension.word().to_owned()).collect(),
            benchmarks: metric
                .benchmarks
                .iter()
                .map(|line| proto::Benchmark {
                    value: line.value,
                    target: line.target,
                    about: line.about.to_owned(),
                })
                .collect(),
            least,
            greatest,
        })
    }
}

/// A metric in the words of the contract.
struct Described(proto::Metric);

impl Service {
    /// Whether an answer would rate agents where they are not scored: then nothing was measured.
    pub(super) fn withholds(&self, tenant: &Tenant, scope: &Scope, by: Option<Dimension>) -> bool {
        let of_agents = scope.metric.rates_agents()
            || by == Some(Dimension::Agent)
            || scope.filter.agent.is_some();
        of_agents && !self.scores_agents(tenant)
    }

    pub(super) fn list_metrics(
        caller: &Principal,
    ) -> Result<proto::ListMetricsResponse, ServiceError> {
        caller.require(Permission::Aggregates)?;
        let metrics = Metric::ALL.iter().map(|metric| Described::from(metric).0).collect();
        Ok(proto::ListMetricsResponse { metrics })
    }

    pub(super) async fn query(
        &self,
        caller: &Principal,
        request: proto::QueryRequest,
    ) -> Result<proto::QueryResponse, ServiceError> {
        caller.require(Permission::Aggregates)?;
        let scope = About {
            metric_id: &request.metric_id,
            from: request.from.as_ref(),
            to: request.to.as_ref(),
            filter: request.filter,
            zone: &request.zone,
        }
        .scope()?;
        let by = match request.by.as_str() {
            "" => None,
            word => Some(dimension(word)?),
        };
        let bucket_ms =
            (request.bucket_seconds > 0).then(|| request.bucket_seconds.saturating_mul(1_000));
        let unit = scope.metric.unit.word().to_owned();
        if self.withholds(&caller.tenant, &scope, by) {
            let metric_id = request.metric_id;
            return Ok(proto::QueryResponse { metric_id, unit, points: Vec::new() });
        }
        let query = MetricQuery { scope, bucket_ms, by };
        let _turn = self.turn().await?;
        let points =
            metric(&self.warehouse, caller.tenant.as_str(), &query).await.map_err(failed)?;
        let points = points.into_iter().map(|point| {
            let Figure { n, value, interval, mean, p50, p90, p99 } = point.figure;
            proto::Point {
                from: Some(timestamp(point.from_ms)),
                to: Some(timestamp(point.to_ms)),
                group: point.group,
                n,
                value,
                mean,
                p50,
                p90,
                p99,
                low: interval.map(|interval| interval.low),
                high: interval.map(|interval| interval.high),
            }
        });
        Ok(proto::QueryResponse { metric_id: request.metric_id, unit, points: points.collect() })
    }

    pub(super) async fn rank(
        &self,
        caller: &Principal,
        request: proto::RankRequest,
    ) -> Result<proto::RankResponse, ServiceError> {
        caller.require(Permission::Aggregates)?;
        let scope = About {
            metric_id: &request.metric_id,
            from: request.from.as_ref(),
            to: request.to.as_ref(),
            filter: request.filter,
            zone: &request.zone,
        }
        .scope()?;
        let by = dimension(&request.by)?;
        if self.withholds(&caller.tenant, &scope, Some(by)) {
            return Ok(proto::RankResponse {
                metric_id: request.metric_id,
                unit: scope.metric.unit.word().to_owned(),
                all: Some(proto::Figure::default()),
                ranks: Vec::new(),
            });
        }
        let _turn = self.turn().await?;
        let board = leaderboard(&self.warehouse, caller.tenant.as_str(), &scope, by)
            .await
            .map_err(failed)?;
        let ranks = board.groups.into_iter().map(|one| proto::Rank {
            group: one.group,
            figure: Some(into_proto(&one.figure)),
            standing: one.standing.word().to_owned(),
        });
        Ok(proto::RankResponse {
            metric_id: request.metric_id,
            unit: scope.metric.unit.word().to_owned(),
            all: Some(into_proto(&board.all)),
            ranks: ranks.collect(),
        })
    }

    pub(super) async fn get_distribution(
        &self,
        caller: &Principal,
        request: proto::GetDistributionRequest,
    ) -> Result<proto::GetDistributionResponse, ServiceError> {
        caller.require(Permission::Aggregates)?;
        let scope = About {
            metric_id: &request.metric_id,
            from: request.from.as_ref(),
            to: request.to.as_ref(),
            filter: request.filter,
            zone: &request.zone,
        }
        .scope()?;
        if self.withholds(&caller.tenant, &scope, None) {
            return Ok(proto::GetDistributionResponse {
                metric_id: request.metric_id,
                unit: scope.metric.unit.word().to_owned(),
                figure: Some(proto::Figure::default()),
                bins: Vec::new(),
            });
        }
        let _turn = self.turn().await?;
        let spread =
            distribution(&self.warehouse, caller.tenant.as_str(), &scope).await.map_err(failed)?;
        let bins = spread.bins.into_iter().map(|bin| proto::Bin {
            low: bin.low,
            high: bin.high,
            n: bin.n,
        });
        Ok(proto::GetDistributionResponse {
            metric_id: request.metric_id,
            unit: scope.metric.unit.word().to_owned(),
            figure: Some(into_proto(&spread.figure)),
            bins: bins.collect(),
        })
    }

    pub(super) async fn compare(
        &self,
        caller: &Principal,
        request: proto::CompareRequest,
    ) -> Result<proto::CompareResponse, ServiceError> {
        caller.require(Permission::Aggregates)?;
        let scope = About {
            metric_id: &request.metric_id,
            from: request.from.as_ref(),
            to: request.to.as_ref(),
            filter: request.filter,
            zone: &request.zone,
        }
        .scope()?;
        let (from_ms, to_ms) = match (&request.baseline_from, &request.baseline_to) {
            (None, None) => {
                let length = scope.to_ms.saturating_sub(scope.from_ms);
                (scope.from_ms.saturating_sub(length), scope.from_ms)
            }
            (from, to) => {
                (millis("baseline_from", from.as_ref())?, millis("baseline_to", to.as_ref())?)
            }
        };
        if self.withholds(&caller.tenant, &scope, None) {
            return Ok(proto::CompareResponse {
                metric_id: request.metric_id,
                unit: scope.metric.unit.word().to_owned(),
                current: Some(proto::Figure::default()),
                baseline: Some(proto::Figure::default()),
                standing: Standing::NotDistinguishable.word().to_owned(),
                baseline_from: Some(timestamp(from_ms)),
                baseline_to: Some(timestamp(to_ms)),
                ..proto::CompareResponse::default()
            });
        }
        let _turn = self.turn().await?;
        let compared = comparison(&self.warehouse, caller.tenant.as_str(), &scope, from_ms, to_ms)
            .await
            .map_err(failed)?;
        Ok(proto::CompareResponse {
            metric_id: request.metric_id,
            unit: scope.metric.unit.word().to_owned(),
            current: Some(into_proto(&compared.current)),
            baseline: Some(into_proto(&compared.baseline)),
            difference: compared.difference,
            low: compared.interval.map(|interval| interval.low),
            high: compared.interval.map(|interval| interval.high),
            standing: compared.standing.word().to_owned(),
            baseline_from: Some(timestamp(from_ms)),
            baseline_to: Some(timestamp(to_ms)),
        })
    }

    pub(super) async fn list_observations(
        &self,
        caller: &Principal,
        request: proto::ListObservationsRequest,
    ) -> Result<proto::ListObservationsResponse, ServiceError> {
        caller.does(Permission::Transcripts, request.metric_id.as_str());
        caller.require(Permission::Transcripts)?;
        let scope = About {
            metric_id: &request.metric_id,
            from: request.from.as_ref(),
            to: request.to.as_ref(),
            filter: request.filter,
            zone: &request.zone,
        }
        .scope()?;
        let order = match request.order.as_str() {
            "" => Order::Latest,
            word => {
                Order::from_word(word).ok_or_else(|| invalid("order: latest, greatest or least"))?
            }
        };
        if self.withholds(&caller.tenant, &scope, None) {
            return Ok(proto::ListObservationsResponse {
                metric_id: request.metric_id,
                unit: scope.metric.unit.word().to_owned(),
                observations: Vec::new(),
            });
        }
        let scored = self.scores_agents(&caller.tenant);
        let limit = if request.limit == 0 { DEFAULT_LIMIT } else { request.limit };
        let _turn = self.turn().await?;
        let tenant = caller.tenant.as_str();
        let customer = request.customer.as_deref();
        let rows = observations(&self.warehouse, tenant, &scope, customer, order, limit)
            .await
            .map_err(failed)?;
        let rows = rows.into_iter().map(|row| proto::Observation {
            conversation_id: row.conversation_id,
            event_id: row.event_id,
            at: Some(timestamp(row.observed_ms)),
            value: row.value,
            agent: if scored { row.agent } else { String::new() },
            channel: row.channel,
            queue: row.queue,
            team: row.team,
        });
        Ok(proto::ListObservationsResponse {
            metric_id: request.metric_id,
            unit: scope.metric.unit.word().to_owned(),
            observations: rows.collect(),
        })
    }
}
