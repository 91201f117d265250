//! How the values of a metric are spread.

use serde::Deserialize;

use super::{Figure, Measure, Metric, Scope, Unit, figure};
use crate::{Warehouse, WarehouseError};

/// Lower ends of the bins of waits, milliseconds: closer where people notice a difference.
const WAITS: [f64; 15] = [
    0.0,
    1_000.0,
    2_000.0,
    5_000.0,
    10_000.0,
    20_000.0,
    30_000.0,
    60_000.0,
    120_000.0,
    180_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
    86_400_000.0,
];

/// Bins of a scale that has two ends.
const STEPS: u32 = 20;

/// Lower ends of the bins of counts.
const COUNTS: [f64; 7] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0];

/// A bin of a histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Bin {
    /// Least value in it; smaller ones are in the first bin too.
    pub low: f64,
    /// First value beyond it; `None` for the last bin, which has all that are greater.
    pub high: Option<f64>,
    /// Observations.
    pub n: u64,
}

/// The spread of a metric's values.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// Mean and quantiles.
    pub figure: Figure,
    /// All bins of the metric's scale, also empty ones.
    pub bins: Vec<Bin>,
}

impl Metric {
    fn bounds(&self) -> Vec<f64> {
        let steps = |low: f64, high: f64| {
            (0..STEPS).map(|step| low + (high - low) * f64::from(step) / f64::from(STEPS)).collect()
        };
        match self.unit {
            Unit::Milliseconds => WAITS.to_vec(),
            Unit::Count => COUNTS.to_vec(),
            Unit::Ratio => steps(0.0, 1.0),
            Unit::Score(low, high) => steps(low, high),
        }
    }
}

#[derive(clickhouse::Row, Deserialize)]
struct BinRow {
    bin: u32,
    n: u64,
}

/// The spread of a scope's values.
///
/// # Errors
/// A rate, whose values are yes or no.
pub async fn distribution(
    warehouse: &Warehouse,
    tenant: &str,
    scope: &Scope,
) -> Result<Distribution, WarehouseError> {
    if scope.metric.measure == Measure::Rate {
        return Err(WarehouseError::NoDistribution(scope.metric.id));
    }
    let bounds = scope.metric.bounds();
    let (figure, rows) = tokio::try_join!(
        figure(warehouse, tenant, scope),
        counts(warehouse, tenant, scope, &bounds)
    )?;
    Ok(Distribution { figure, bins: bins(&bounds, &rows) })
}

async fn counts(
    warehouse: &Warehouse,
    tenant: &str,
    scope: &Scope,
    bounds: &[f64],
) -> Result<Vec<BinRow>, WarehouseError> {
    let plan = scope.plan(warehouse, tenant, None).await?;
    let mut parts = Vec::new();
    if let Some(plan) = &plan {
        parts.push(format!("SELECT * FROM {}", scope.rolled("arrayJoin(values) AS value", plan)?));
    }
    let raw = plan.as_ref().map_or(&[][..], |plan| &plan.raw);
    if plan.is_none() || !raw.is_empty() {
        parts.push(format!("SELECT value FROM {}", scope.observations("", raw)?));
    }
    let statement = format!(
        "SELECT toUInt32(indexOf({{bounds:Array(Float64)}}, low) - 1) AS bin, n FROM ( \
         SELECT roundDown(value, {{bounds:Array(Float64)}}) AS low, count() AS n \
         FROM ({}) GROUP BY low) ORDER BY bin",
        parts.join(" UNION ALL ")
    );
    let request = scope.ask(warehouse, tenant, &statement).param("bounds", bounds);
    // What a version lacks would be missing in the figure.
    let request = if plan.is_some() { warehouse.whole(request) } else { request };
    let doing = format!("compute the distribution of {}", scope.metric.id);
    warehouse.run(&doing, request.fetch_all()).await
}

fn bins(bounds: &[f64], rows: &[BinRow]) -> Vec<Bin> {
    let mut rows = rows.iter().peekable();
    bounds
        .iter()
        .enumerate()
        .map(|(index, &low)| Bin {
            low,
            high: bounds.get(index + 1).copied(),
            n: rows.next_if(|row| row.bin as usize == index).map_or(0, |row| row.n),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_bins_are_there_too() {
        let bins = bins(&[0.0, 1.0, 2.0], &[BinRow { bin: 1, n: 3 }]);
        let shape: Vec<_> = bins.iter().map(|bin| (bin.low, bin.high, bin.n)).collect();
        assert_eq!(shape, [(0.0, Some(1.0), 0), (1.0, Some(2.0), 3), (2.0, None, 0)]);
    }

    #[test]
    fn bounds_grow() {
        for metric in Metric::ALL {
            let bounds = metric.bounds();
            assert!(bounds.is_sorted_by(|a, b| a < b), "{}", metric.id);
        }
    }
}
