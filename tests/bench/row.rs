//! Rows of the table.

use std::fmt::Write as _;

use serde::Serialize;

/// One figure beside what limits it.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    #[allow(clippy::struct_field_names, reason = "the word of the report")]
    pub(crate) row: String,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
    /// The limit, measured in the same run; none where the goal is absolute.
    pub(crate) roofline: Option<f64>,
    /// The value over the limit.
    pub(crate) ratio: Option<f64>,
    pub(crate) goal: String,
    pub(crate) met: bool,
    /// The median, where the value is a high quantile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50: Option<f64>,
    /// Rows that ClickHouse read for one answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows_read: Option<u64>,
}

impl Row {
    fn new(
        row: impl Into<String>,
        unit: &'static str,
        value: f64,
        goal: String,
        met: bool,
    ) -> Self {
        let row = row.into();
        Self {
            row,
            unit,
            value,
            goal,
            met,
            roofline: None,
            ratio: None,
            p50: None,
            rows_read: None,
        }
    }

    /// A figure that should be at least `goal`.
    pub(crate) fn at_least(
        row: impl Into<String>,
        unit: &'static str,
        value: f64,
        goal: f64,
    ) -> Self {
        let (goal, met) = (format!(">= {goal}"), value >= goal);
        Self::new(row, unit, value, goal, met)
    }

    /// A figure that should be at most `goal`.
    pub(crate) fn at_most(
        row: impl Into<String>,
        unit: &'static str,
        value: f64,
        goal: f64,
    ) -> Self {
        let (goal, met) = (format!("<= {goal}"), value <= goal);
        Self::new(row, unit, value, goal, met)
    }

    /// A cost with the least it could be, of which it should be at most so many times.
    pub(crate) fn times(
        row: impl Into<String>,
        unit: &'static str,
        value: f64,
        roofline: f64,
        times: f64,
    ) -> Self {
        let ratio = value / roofline;
        let (goal, met) = (format!("<= {times} times the limit"), ratio <= times);
        Self {
            roofline: Some(roofline),
            ratio: Some(ratio),
            ..Self::new(row, unit, value, goal, met)
        }
    }

    /// A speed with the most it could be, of which it should reach a share.
    pub(crate) fn share(
        row: impl Into<String>,
        unit: &'static str,
        value: f64,
        roofline: f64,
        share: f64,
    ) -> Self {
        let ratio = value / roofline;
        let (goal, met) = (format!(">= {share} of the limit"), ratio >= share);
        Self {
            roofline: Some(roofline),
            ratio: Some(ratio),
            ..Self::new(row, unit, value, goal, met)
        }
    }
}

/// All rows, for a person.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<58} {:>12} {:>12} {:>7}  {:<12} {:<38} met\n",
        "row", "value", "limit", "ratio", "unit", "goal"
    );
    for Row { row, unit, value, roofline, ratio, goal, met, p50, rows_read } in rows {
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), rounded);
        let _ = writeln!(
            text,
            "{row:<58} {:>12} {:>12} {:>7}  {unit:<12} {goal:<38} {}{}{}",
            number(Some(*value)),
            number(*roofline),
            ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            if *met { "yes" } else { "no" },
            p50.map_or_else(String::new, |p50| format!("  p50 {}", rounded(p50))),
            rows_read.map_or_else(String::new, |rows| format!("  {rows} rows read")),
        );
    }
    text
}

fn rounded(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// A quantile of waits, in milliseconds.
pub(crate) fn quantile(waits: &mut [std::time::Duration], share: f64) -> f64 {
    assert!(!waits.is_empty(), "nothing was measured");
    waits.sort();
    let at = ((waits.len() as f64 * share).ceil() as usize).clamp(1, waits.len()) - 1;
    waits[at].as_secs_f64() * 1e3
}
