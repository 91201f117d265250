//! Figures of turns by tenant, queue, agent and day, calculated in two ways that share nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;

use crate::reference::{State, Turn};

/// Tenant, queue, agent and local date.
pub(crate) type Group = (String, String, String, String);

/// Answered turns, mean, median and ninth decile of `rt.human`, and missed next replies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figure {
    answered: usize,
    mean_ms: f64,
    /// In tenths of a millisecond: a tenth of the way between two waits is told.
    p50_tenths: i64,
    p90_tenths: i64,
    missed: usize,
}

fn group(turn: &Turn) -> Group {
    let tz = match turn.tenant.as_str() {
        "cn" => "Asia/Shanghai",
        "us" => "America/New_York",
        _ => "Europe/Berlin",
    };
    let zone = TimeZoneDatabase::bundled().get(tz).expect("a known zone");
    let at = Timestamp::from_millisecond(turn.started_ms).expect("a time");
    let date = zone.to_datetime(at).date().to_string();
    (turn.tenant.clone(), turn.queue.clone(), turn.agent.clone(), date)
}

fn is_missed(turn: &Turn) -> bool {
    turn.nrt.is_some_and(|nrt| nrt.state == State::Breached)
}

/// One pass, then a sort; quantiles between two values are interpolated, as in the tables
/// (`quantilesExactInclusive`).
pub(crate) fn by_sorting(turns: &[Turn]) -> BTreeMap<Group, Figure> {
    let mut groups: BTreeMap<Group, (Vec<i64>, usize)> = BTreeMap::new();
    for turn in turns {
        let (waits, missed) = groups.entry(group(turn)).or_default();
        waits.extend(turn.human);
        *missed += usize::from(is_missed(turn));
    }
    let figure = |(mut waits, missed): (Vec<i64>, usize)| {
        waits.sort_unstable();
        let quantile = |q: f64| {
            let place = q * waits.len().saturating_sub(1) as f64;
            let (low, high) = (place.floor() as usize, place.ceil() as usize);
            let (low, high) = (*waits.get(low)? as f64, *waits.get(high)? as f64);
            Some(((low + (high - low) * place.fract()) * 10.0).round() as i64)
        };
        Figure {
            answered: waits.len(),
            mean_ms: waits.iter().sum::<i64>() as f64 / waits.len().max(1) as f64,
            p50_tenths: quantile(0.5).unwrap_or(0),
            p90_tenths: quantile(0.9).unwrap_or(0),
            missed,
        }
    };
    groups.into_iter().map(|(group, waits)| (group, figure(waits))).collect()
}

/// Group by group over all turns, quantiles by counting how many waits are shorter.
pub(crate) fn by_rank(turns: &[Turn]) -> BTreeMap<Group, Figure> {
    let labels: Vec<Group> = turns.iter().map(group).collect();
    let mut groups = labels.clone();
    groups.sort();
    groups.dedup();
    let places: Vec<_> = labels.iter().map(|label| groups.binary_search(label)).collect();
    let mut figures = BTreeMap::new();
    for (place, label) in groups.iter().enumerate() {
        let is_in = |(_, other): &(&Turn, &Result<usize, usize>)| **other == Ok(place);
        let of_group: Vec<&Turn> =
            turns.iter().zip(&places).filter(is_in).map(|(turn, _)| turn).collect();
        let waits: Vec<i64> = of_group.iter().filter_map(|turn| turn.human).collect();
        // The wait of which exactly so many are shorter, ties counted.
        let ranked = |rank: usize| {
            let shorter = |wait: &i64| waits.iter().filter(|other| *other < wait).count();
            let equal = |wait: &i64| waits.iter().filter(|other| *other == wait).count();
            let has_rank =
                |wait: &&i64| (shorter(wait)..shorter(wait) + equal(wait)).contains(&rank);
            *waits.iter().find(has_rank).expect("a wait of each rank")
        };
        let quantile = |tenths: usize| {
            if waits.is_empty() {
                return 0;
            }
            let steps = tenths * (waits.len() - 1);
            let (rank, rest) = (steps / 10, (steps % 10) as i64);
            let low = ranked(rank);
            let high = if rest > 0 { ranked(rank + 1) } else { low };
            low * (10 - rest) + high * rest
        };
        let mut sum = 0;
        for wait in &waits {
            sum += wait;
        }
        let figure = Figure {
            answered: waits.len(),
            mean_ms: if waits.is_empty() { 0.0 } else { sum as f64 / waits.len() as f64 },
            p50_tenths: quantile(5),
            p90_tenths: quantile(9),
            missed: of_group.into_iter().filter(|turn| is_missed(turn)).count(),
        };
        figures.insert(label.clone(), figure);
    }
    figures
}
