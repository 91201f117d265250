//! Scores of service quality (`scorecard.v1`): seven dimensions of indicators, with weights, fatal
//! items and what is not measured as data.

use serde::Deserialize;

const S2: &str = include_str!("../scorecards/s2.toml");

/// How service is scored: a dated, versioned data file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "File")]
pub struct Scorecard {
    file: File,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: String,
    version: u32,
    source: String,
    dimensions: Vec<Dimension>,
    #[serde(default)]
    fatal: Vec<Fatal>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dimension {
    key: String,
    name: Name,
    weight: f64,
    indicators: Vec<Indicator>,
}

/// What a dimension is called.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Name {
    /// In Chinese.
    pub zh: String,
    /// In English.
    pub en: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Indicator {
    metric: String,
    weight: f64,
    /// Value that earns 0 points.
    zero: f64,
    /// Value that earns 100 points.
    full: f64,
}

/// Why a scorecard is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScorecardError {
    /// Not of the form of a scorecard.
    #[error("the scorecard cannot be read: {0}")]
    Unreadable(String),
    /// A dimension without indicators, or a scorecard without dimensions.
    #[error("{0}: there is nothing to score")]
    Empty(String),
    /// A weight that is no positive number.
    #[error("{0}: a weight is a number above 0")]
    Weight(String),
    /// Bounds that tell no better from worse.
    #[error("{0}: zero and full are two different numbers")]
    Bounds(String),
    /// A key or metric that is there twice.
    #[error("{0} is there twice")]
    Twice(String),
}

/// What a scorecard makes of measurements.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Version of the scorecard.
    pub version: u32,
    /// 0 to 100; `None` if nothing was measured.
    pub total: Option<f64>,
    /// Share of the weights that was measured, 0 to 1: a total of little is worth little.
    pub measured: f64,
    /// Metrics of fatal items that happened; the total is 0 if there are any.
    pub fatal: Vec<String>,
    /// In the scorecard's order.
    pub dimensions: Vec<DimensionScore>,
}

/// What a dimension comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct DimensionScore {
    /// Its key.
    pub key: String,
    /// What it is called.
    pub name: Name,
    /// Its weight in the total.
    pub weight: f64,
    /// 0 to 100; `None` is not measured.
    pub score: Option<f64>,
    /// In the scorecard's order.
    pub indicators: Vec<IndicatorScore>,
}

/// What an indicator comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct IndicatorScore {
    /// Its metric.
    pub metric: String,
    /// Its weight in the dimension.
    pub weight: f64,
    /// Value of the metric that earns 0 points.
    pub zero: f64,
    /// Value of the metric that earns 100 points.
    pub full: f64,
    /// 0 to 100; `None` is not measured.
    pub points: Option<f64>,
}

/// A value of a metric that makes the whole 0.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fatal {
    /// The metric.
    pub metric: String,
    /// What it must not be above.
    pub above: f64,
}

impl Scorecard {
    /// The seven dimensions of S2, with weights of ours.
    ///
    /// # Errors
    /// Never with the file that comes with the crate, which a test reads.
    pub fn s2() -> Result<Self, ScorecardError> {
        Self::parse(S2)
    }

    /// Reads a scorecard in TOML.
    ///
    /// # Errors
    /// What cannot be read, or makes no sense, by its place.
    pub fn parse(text: &str) -> Result<Self, ScorecardError> {
        let file: File =
            toml::from_str(text).map_err(|error| ScorecardError::Unreadable(error.to_string()))?;
        Self::try_from(file)
    }

    /// Its id in the metric book.
    pub fn id(&self) -> &str {
        &self.file.id
    }

    /// Raised with every change.
    pub fn version(&self) -> u32 {
        self.file.version
    }

    /// Where dimensions, weights and lines come from.
    pub fn source(&self) -> &str {
        &self.file.source
    }

    /// Values that make the whole 0.
    pub fn fatal(&self) -> &[Fatal] {
        &self.file.fatal
    }

    /// Metrics that it looks at, in its order; a fatal one may be an indicator too.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        let indicators = self.file.dimensions.iter().flat_map(|dimension| &dimension.indicators);
        let indicators = indicators.map(|indicator| indicator.metric.as_str());
        indicators.chain(self.file.fatal.iter().map(|fatal| fatal.metric.as_str()))
    }

    /// Scores what `value` says of each metric, in the metric's own unit; `None` is not measured
    /// and leaves numerator and denominator.
    pub fn score(&self, value: impl Fn(&str) -> Option<f64>) -> Scores {
        let dimensions: Vec<DimensionScore> =
            self.file.dimensions.iter().map(|dimension| dimension.score(&value)).collect();
        let fatal: Vec<String> = self
            .file
            .fatal
            .iter()
            .filter(|fatal| value(&fatal.metric).is_some_and(|value| value > fatal.above))
            .map(|fatal| fatal.metric.clone())
            .collect();
        let weighed = dimensions.iter().map(|it| (it.weight, it.score));
        let total = if fatal.is_empty() { mean(weighed) } else { Some(0.0) };
        // Of the indicators of a dimension, as far as they were measured.
        let measured = |dimension: &Dimension| {
            let all: f64 = dimension.indicators.iter().map(|it| it.weight).sum();
            let known = dimension.indicators.iter().filter(|it| value(&it.metric).is_some());
            dimension.weight * known.map(|it| it.weight).sum::<f64>() / all
        };
        let all: f64 = self.file.dimensions.iter().map(|dimension| dimension.weight).sum();
        let measured = self.file.dimensions.iter().map(measured).sum::<f64>() / all;
        Scores { version: self.file.version, total, measured, fatal, dimensions }
    }
}

impl TryFrom<File> for Scorecard {
    type Error = ScorecardError;

    fn try_from(file: File) -> Result<Self, ScorecardError> {
        let mut known = std::collections::BTreeSet::new();
        if file.dimensions.is_empty() {
            return Err(ScorecardError::Empty("dimensions".to_owned()));
        }
        let positive = |weight: f64| weight.is_finite() && weight > 0.0;
        for dimension in &file.dimensions {
            let place = format!("dimensions.{}", dimension.key);
            if dimension.indicators.is_empty() {
                return Err(ScorecardError::Empty(place));
            }
            if !positive(dimension.weight) {
                return Err(ScorecardError::Weight(place));
            }
            for key in std::iter::once(&dimension.key)
                .chain(dimension.indicators.iter().map(|indicator| &indicator.metric))
            {
                if !known.insert(key.clone()) {
                    return Err(ScorecardError::Twice(key.clone()));
                }
            }
            for Indicator { metric, weight, zero, full } in &dimension.indicators {
                let place = format!("{place}.{metric}");
                if !positive(*weight) {
                    return Err(ScorecardError::Weight(place));
                }
                let differ = (full - zero).is_finite() && (full - zero).abs() > 0.0;
                if !differ {
                    return Err(ScorecardError::Bounds(place));
                }
            }
        }
        Ok(Self { file })
    }
}

impl Dimension {
    fn score(&self, value: &impl Fn(&str) -> Option<f64>) -> DimensionScore {
        let points = |indicator: &Indicator| {
            let Indicator { zero, full, .. } = *indicator;
            let value = value(&indicator.metric).filter(|value| value.is_finite())?;
            Some((100.0 * (value - zero) / (full - zero)).clamp(0.0, 100.0))
        };
        let indicators: Vec<IndicatorScore> = self
            .indicators
            .iter()
            .map(|it| IndicatorScore {
                metric: it.metric.clone(),
                weight: it.weight,
                zero: it.zero,
                full: it.full,
                points: points(it),
            })
            .collect();
        let weighed = indicators.iter().map(|it| (it.weight, it.points));
        DimensionScore {
            key: self.key.clone(),
            name: self.name.clone(),
            weight: self.weight,
            score: mean(weighed),
            indicators,
        }
    }
}

/// Weighted mean of what was measured; `None` if nothing was.
fn mean(weighed: impl Iterator<Item = (f64, Option<f64>)>) -> Option<f64> {
    let (mut sum, mut weights) = (0.0, 0.0);
    for (weight, points) in weighed {
        if let Some(points) = points {
            sum += weight * points;
            weights += weight;
        }
    }
    (weights > 0.0).then(|| sum / weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzzed_scorecards_are_read_or_refused() {
        let words = &[
            "[[dimensions]]",
            "[[fatal]]",
            "id = ",
            "weight = ",
            "metric = ",
            "-1",
            "nan",
            "inf",
            "1e999",
            "0",
            "\"\"",
            "[",
            "]",
            "\n",
            " = ",
            "version = ",
        ];
        let search = zhili_fuzz::Search::of("scorecards").corpus([S2]).words(words).longest(8192);
        search.run(|input| match Scorecard::parse(&String::from_utf8_lossy(input)) {
            Ok(card) => zhili_fuzz::kind(&(card.metrics().count(), card.fatal().len())),
            Err(error) => zhili_fuzz::words_of(&error.to_string()),
        });
    }

    const TWO: &str = r#"
id = "scorecard.v1"
version = 3
source = "a test"
dimensions = [
    { key = "one", name = { zh = "一", en = "one" }, weight = 2, indicators = [
        { metric = "a", weight = 1, zero = 0, full = 1 },
        { metric = "b", weight = 3, zero = 600, full = 0 },
    ] },
    { key = "two", name = { zh = "二", en = "two" }, weight = 1, indicators = [
        { metric = "c", weight = 1, zero = 0, full = 100 },
    ] },
]
fatal = [{ metric = "insults", above = 0 }]
"#;

    fn score(values: &[(&str, f64)]) -> Scores {
        let known = |name: &str| values.iter().find(|(known, _)| *known == name).map(|it| it.1);
        Scorecard::parse(TWO).map_or_else(|error| panic!("{error}"), |card| card.score(known))
    }

    #[test]
    fn the_scorecard_that_comes_with_the_crate_has_seven_dimensions_and_weighs_100() {
        let card = Scorecard::s2().unwrap_or_else(|error| panic!("{error}"));
        let weights: Vec<f64> = card.file.dimensions.iter().map(|it| it.weight).collect();
        assert_eq!((weights.len(), weights.iter().sum::<f64>()), (7, 100.0));
        assert_eq!(card.id(), "scorecard.v1");
    }

    #[test]
    fn points_are_weighed_twice() {
        // a 50, b 100: one is 87.5; two is 20; total (2 * 87.5 + 20) / 3.
        let scores = score(&[("a", 0.5), ("b", 0.0), ("c", 20.0)]);
        assert_eq!(scores.dimensions[0].score, Some(87.5));
        assert_eq!(scores.total, Some(65.0));
        assert_eq!((scores.measured, scores.version), (1.0, 3));
    }

    #[test]
    fn what_is_not_measured_leaves_the_denominator() {
        let scores = score(&[("a", 0.5)]);
        assert_eq!(scores.dimensions[0].score, Some(50.0));
        assert_eq!(scores.dimensions[1].score, None);
        assert_eq!(scores.total, Some(50.0));
        assert!((scores.measured - 2.0 / 3.0 / 4.0).abs() < 1e-12);
        assert_eq!(score(&[]).total, None);
    }

    #[test]
    fn a_value_beyond_the_bounds_earns_no_more_than_all() {
        assert_eq!(score(&[("b", 900.0)]).total, Some(0.0));
        assert_eq!(score(&[("c", 130.0)]).total, Some(100.0));
    }

    #[test]
    fn a_fatal_item_makes_the_whole_nothing() {
        let scores = score(&[("a", 1.0), ("b", 0.0), ("c", 100.0), ("insults", 1.0)]);
        assert_eq!((scores.total, scores.fatal), (Some(0.0), vec!["insults".to_owned()]));
        assert_eq!(scores.dimensions[0].score, Some(100.0), "the rest is still told");
        assert_eq!(score(&[("a", 1.0), ("insults", 0.0)]).total, Some(100.0));
    }

    #[test]
    fn a_scorecard_that_makes_no_sense_is_refused_by_its_place() {
        let refused = |from: &str, to: &str| {
            Scorecard::parse(&TWO.replacen(from, to, 1))
                .map_or_else(|it| it.to_string(), |_| String::new())
        };
        assert_eq!(
            refused("weight = 2", "weight = 0"),
            "dimensions.one: a weight is a number above 0"
        );
        assert_eq!(
            refused("full = 100", "full = 0"),
            "dimensions.two.c: zero and full are two different numbers"
        );
        assert_eq!(refused("metric = \"c\"", "metric = \"a\""), "a is there twice");
        assert!(refused("version = 3", "vresion = 3").contains("vresion"));
        let empty = "id = 'x'\nversion = 1\nsource = ''\ndimensions = []";
        assert!(Scorecard::parse(empty).is_err());
    }
}
