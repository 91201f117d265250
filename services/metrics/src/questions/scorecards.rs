//! Scorecards: what figures come to when they are weighed, and scores that are brought in for them.

use std::collections::BTreeMap;

use zhili_dialogue::{Fatal, IndicatorScore, Scorecard};
use zhili_eventlog::system_clock;
use zhili_proto::metrics::v1 as proto;
use zhili_runtime::auth::{Permission, Principal, Tenant};
use zhili_runtime::{ErrorCode, ServiceError, impersonal};
use zhili_warehouse::query::{Figure, Metric, Scope, figure};
use zhili_warehouse::{Instant, OutsideScore, WarehouseError, bring_in};

use super::figures::{About, into_proto};
use super::{Service, failed, invalid};

/// Most scores in one request.
const MOST_SCORES: usize = 1_000;
/// Longest identity or name, bytes.
const LONGEST_NAME: usize = 256;

/// What is known of a metric that a scorecard looks at.
#[derive(Debug, Clone, Default)]
struct Known {
    figure: Figure,
    /// Why there is none.
    reason: String,
}

impl Known {
    fn value(&self) -> Option<f64> {
        self.figure.value
    }
}

fn scorecard(id: &str) -> Result<Scorecard, ServiceError> {
    let card = Scorecard::s2()
        .map_err(|error| ServiceError::new(ErrorCode::Internal, error.to_string()))?;
    if card.id() == id {
        return Ok(card);
    }
    let message = format!("no scorecard {id:?}; there is {:?}", card.id());
    Err(ServiceError::new(ErrorCode::NotFound, message))
}

impl Service {
    pub(super) async fn get_scorecard(
        &self,
        caller: &Principal,
        request: proto::GetScorecardRequest,
    ) -> Result<proto::GetScorecardResponse, ServiceError> {
        caller.require(Permission::Aggregates)?;
        let card = scorecard(&request.scorecard_id)?;
        let mut known: BTreeMap<&str, Known> = BTreeMap::new();
        let _turn = self.turn().await?;
        for metric_id in card.metrics() {
            if known.contains_key(metric_id) {
                continue;
            }
            let about = About {
                metric_id,
                from: request.from.as_ref(),
                to: request.to.as_ref(),
                filter: request.filter.clone(),
                zone: &request.zone,
            };
            let measured = self.measured(&caller.tenant, &about.scope()?).await?;
            known.insert(metric_id, measured);
        }
        Ok(answer(&card, &known))
    }

    async fn measured(&self, tenant: &Tenant, scope: &Scope) -> Result<Known, ServiceError> {
        if self.withholds(tenant, scope, None) {
            let reason = "agents are not scored".to_owned();
            return Ok(Known { figure: Figure::default(), reason });
        }
        let (figure, reason) = match figure(&self.warehouse, tenant.as_str(), scope).await {
            Ok(figure) if figure.n > 0 => (figure, String::new()),
            Ok(figure) => (figure, "nothing was observed".to_owned()),
            // What is nobody's own is not held against them.
            Err(error @ WarehouseError::NoSuchDimension { .. }) => {
                (Figure::default(), error.to_string())
            }
            Err(error) => return Err(failed(error)),
        };
        Ok(Known { figure, reason })
    }

    pub(super) async fn bring_in_scores(
        &self,
        caller: &Principal,
        request: proto::BringInScoresRequest,
    ) -> Result<proto::BringInScoresResponse, ServiceError> {
        // Who says what good service is: quality management and those who run it.
        caller.require(Permission::Library)?;
        if !self.scores_agents(&caller.tenant) {
            return Err(ServiceError::new(
                ErrorCode::Conflict,
                "agents are not scored: `[agents] scored = false` is in force",
            ));
        }
        let given = request.scores.len();
        if given > MOST_SCORES {
            let message = format!("scores: at most {MOST_SCORES} in one request, got {given}");
            return Err(invalid(message));
        }
        let scores = request.scores.into_iter().enumerate().map(|(index, score)| {
            outside(score).map_err(|message| invalid(format!("scores[{index}].{message}")))
        });
        let scores = scores.collect::<Result<Vec<OutsideScore>, ServiceError>>()?;
        let now = Instant::new((system_clock())()).unwrap_or_default();
        let _turn = self.turn().await?;
        bring_in(&self.warehouse, caller.tenant.as_str(), &caller.name, now, &scores)
            .await
            .map_err(failed)?;
        Ok(proto::BringInScoresResponse { accepted: given as u64 })
    }
}

/// A score as it is kept, or the field that is wrong.
fn outside(score: proto::OutsideScore) -> Result<OutsideScore, String> {
    let proto::OutsideScore { score_id, metric_id, agent, queue, team, at, value, withdrawn } =
        score;
    let known = Metric::from_id(&metric_id).is_ok_and(Metric::is_brought_in);
    if !known {
        let words = Metric::ALL.iter().filter(|metric| metric.is_brought_in());
        let words: Vec<&str> = words.map(|metric| metric.id).collect();
        return Err(format!("metric_id: one of {}", words.join(", ")));
    }
    for (field, text) in [("score_id", &score_id), ("agent", &agent)] {
        if text.is_empty() {
            return Err(format!("{field}: must not be empty"));
        }
    }
    for (field, text) in
        [("score_id", &score_id), ("agent", &agent), ("queue", &queue), ("team", &team)]
    {
        if text.len() > LONGEST_NAME {
            return Err(format!("{field}: at most {LONGEST_NAME} bytes"));
        }
        impersonal(field, text).map_err(|error| error.message)?;
    }
    if !(0.0..=100.0).contains(&value) {
        return Err("value: 0 to 100".to_owned());
    }
    let at = at.as_ref().and_then(zhili_proto::millis).and_then(Instant::new);
    let at = at.ok_or_else(|| "at: a time from 1900 to 2299".to_owned())?;
    Ok(OutsideScore { score_id, metric_id, agent, queue, team, at, value, withdrawn })
}

fn answer(card: &Scorecard, known: &BTreeMap<&str, Known>) -> proto::GetScorecardResponse {
    let of = |metric: &str| known.get(metric).cloned().unwrap_or_default();
    let scores = card.score(|metric| of(metric).value());
    let indicator = |it: IndicatorScore| {
        let Known { figure, reason } = of(&it.metric);
        proto::ScorecardIndicator {
            figure: Some(into_proto(&figure)),
            not_measured: reason,
            metric_id: it.metric,
            weight: it.weight,
            zero: it.zero,
            full: it.full,
            points: it.points,
        }
    };
    let fatal = |it: &Fatal| {
        let Known { figure, reason } = of(&it.metric);
        proto::ScorecardFatal {
            happened: scores.fatal.contains(&it.metric),
            figure: Some(into_proto(&figure)),
            not_measured: reason,
            metric_id: it.metric.clone(),
            above: it.above,
        }
    };
    proto::GetScorecardResponse {
        scorecard_id: card.id().to_owned(),
        version: card.version(),
        source: card.source().to_owned(),
        total: scores.total,
        measured: scores.measured,
        fatal: card.fatal().iter().map(fatal).collect(),
        dimensions: scores
            .dimensions
            .into_iter()
            .map(|dimension| proto::ScorecardDimension {
                key: dimension.key,
                name_zh: dimension.name.zh,
                name_en: dimension.name.en,
                weight: dimension.weight,
                score: dimension.score,
                indicators: dimension.indicators.into_iter().map(indicator).collect(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_of_the_scorecard_can_be_asked_for() {
        let card = scorecard("scorecard.v1").unwrap();
        for metric in card.metrics() {
            assert!(Metric::from_id(metric).is_ok(), "{metric}");
        }
        let unknown = scorecard("scorecard.v9").unwrap_err();
        assert!(unknown.to_string().contains("scorecard.v1"), "{unknown}");
    }

    #[test]
    fn a_score_that_makes_no_sense_is_refused_by_its_field() {
        let good = proto::OutsideScore {
            score_id: "2026-q1/a1".into(),
            metric_id: "exam.v1".into(),
            agent: "a1".into(),
            at: Some(zhili_proto::timestamp(0)),
            value: 88.0,
            ..proto::OutsideScore::default()
        };
        assert!(outside(good.clone()).is_ok());
        let refused = |change: &dyn Fn(&mut proto::OutsideScore)| {
            let mut score = good.clone();
            change(&mut score);
            outside(score).unwrap_err()
        };
        assert!(refused(&|it| it.metric_id = "art.v1".into()).contains("exam.v1, review."));
        assert!(refused(&|it| it.score_id.clear()).starts_with("score_id: "));
        assert!(refused(&|it| it.agent.clear()).starts_with("agent: "));
        assert!(refused(&|it| it.team = "x".repeat(257)).starts_with("team: at most"));
        assert!(refused(&|it| it.agent = "13800138000".into()).starts_with("agent: holds"));
        assert!(refused(&|it| it.value = 100.5).starts_with("value: "));
        assert!(refused(&|it| it.value = f64::NAN).starts_with("value: "));
        assert!(refused(&|it| it.at = None).starts_with("at: "));
    }
}
