//! How often a label is right whose value lies so far from where another one begins: measured by
//! `examples/calibrate.rs`, which says on what.

use crate::assessment::Polarity;
use crate::grams::Cut;
use crate::library::{LibraryError, Problem};

/// Where the table stands, as errors call it.
const FILE: &str = "model/confidence.tsv";

/// The table itself.
pub(crate) const TABLE: &str = include_str!("../model/confidence.tsv");

/// Value in thousandths (its size) and the share that is right, by rising value.
type Curve = Vec<(i32, f64)>;

/// A curve for each label in each language that has heads.
pub(crate) struct Confidence {
    curves: [[Curve; 3]; 2],
}

impl Confidence {
    pub(crate) fn embedded() -> Result<Confidence, LibraryError> {
        Confidence::parse(TABLE)
    }

    /// Lines of language, label, value and share, by rising value; `#` begins a remark.
    fn parse(table: &str) -> Result<Confidence, LibraryError> {
        let mut curves: [[Curve; 3]; 2] = Default::default();
        for (number, line) in table.lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let bad = || LibraryError::at(FILE, number + 1, Problem::Curve(line.to_owned()));
            let columns: Vec<&str> = line.split('\t').collect();
            let [lang, label, value, share] = columns[..] else { return Err(bad()) };
            let cut = match lang {
                "zh" => Cut::Chinese,
                "en" => Cut::English,
                _ => return Err(bad()),
            };
            let label = Polarity::ALL.iter().find(|one| one.as_str() == label).ok_or_else(bad)?;
            let value: i32 = value.parse().map_err(|_| bad())?;
            let share: f64 = share.parse().map_err(|_| bad())?;
            let curve = &mut curves[cut as usize][*label as usize];
            let rises = curve.last().is_none_or(|last| last.0 < value && last.1 <= share);
            if !rises || !(0.0..=1.0).contains(&share) {
                return Err(bad());
            }
            curve.push((value, share));
        }
        if curves.iter().flatten().any(Vec::is_empty) {
            let last = table.lines().count();
            return Err(LibraryError::at(FILE, last, Problem::Curve("a label is missing".into())));
        }
        Ok(Confidence { curves })
    }

    /// The share of right answers among those like this one; 0 to 1. A language without heads is
    /// taken for Chinese, whose rules are the better known.
    pub(crate) fn of(&self, cut: Option<Cut>, label: Polarity, value: i32) -> f64 {
        let curve = &self.curves[cut.unwrap_or(Cut::Chinese) as usize][label as usize];
        let value = distance(label, value);
        let above = curve.partition_point(|(at, _)| *at <= value);
        match (curve[..above].last(), curve.get(above)) {
            (Some((_, share)), None) | (None, Some((_, share))) => *share,
            (Some((low, from)), Some((high, to))) => {
                from + (to - from) * f64::from(value - low) / f64::from(high - low)
            }
            (None, None) => 0.0,
        }
    }
}

/// How far into its label a value lies: a side grows away from 0, neutral toward it.
pub(crate) fn distance(label: Polarity, value: i32) -> i32 {
    match label {
        Polarity::Neutral => crate::sentiment::SIDED - value.abs(),
        Polarity::Neg | Polarity::Pos => value.abs(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "# remark\nzh\tneg\t200\t0.6\nzh\tneg\t600\t0.9\nzh\tneutral\t10\t0.5\n\
                         zh\tpos\t150\t0.5\nen\tneg\t150\t0.4\nen\tneutral\t1\t0.3\nen\tpos\t150\t0.2";

    #[test]
    fn between_two_points_the_share_is_a_line_and_beyond_them_flat() {
        let confidence = Confidence::parse(SMALL).unwrap();
        let percent = |cut, label, value| (confidence.of(cut, label, value) * 100.0).round() as i32;
        let of = |value| percent(Some(Cut::Chinese), Polarity::Neg, value);
        assert_eq!([-150, -200, -400, -600, -1000].map(of), [60, 60, 75, 90, 90]);
        assert_eq!(percent(Some(Cut::English), Polarity::Pos, 900), 20);
        assert_eq!(percent(None, Polarity::Neutral, 0), 50);
    }

    #[test]
    fn a_bad_line_is_named() {
        for bad in [
            "zh\tneg",
            "fr\tneg\t1\t0.5",
            "zh\tsad\t1\t0.5",
            "zh\tneg\t700\t0.8",
            "zh\tpos\t900\t1.5",
        ] {
            let error = Confidence::parse(&format!("{SMALL}\n{bad}")).err().unwrap();
            assert!(error.to_string().starts_with("model/confidence.tsv, line 9: "), "{error}");
        }
        let error = Confidence::parse("zh\tneg\t200\t0.6").err().unwrap();
        assert!(error.to_string().contains("missing"), "{error}");
    }

    #[test]
    fn the_table_of_the_program_can_be_read() {
        Confidence::embedded().unwrap();
    }
}
