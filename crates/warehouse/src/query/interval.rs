//! How sure a figure is: 95 % intervals, and what they let one say of two figures.

/// Two-sided 95 % of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Below so many observations nothing is said about who is better (metrics.md).
pub const FEW: u64 = 30;

/// Where the true value probably is: 95 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Wilson's interval of a share `p` of `n`; `None` for nothing.
    /// E. B. Wilson, Journal of the American Statistical Association 22 (1927), 209-212.
    #[must_use]
    pub fn wilson(p: f64, n: u64) -> Option<Self> {
        if n == 0 {
            return None;
        }
        let n = n as f64;
        let z2 = Z * Z;
        let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        Some(Self { low: (centre - half).max(0.0), high: (centre + half).min(1.0) })
    }

    /// The interval of a mean whose values have this standard deviation; `None` for fewer than two.
    /// It is the normal one: good from some thirty values on, too narrow below.
    #[must_use]
    pub fn of_mean(mean: f64, deviation: f64, n: u64) -> Option<Self> {
        if n < 2 || !deviation.is_finite() {
            return None;
        }
        let half = Z * deviation / (n as f64).sqrt();
        Some(Self { low: mean - half, high: mean + half })
    }

    /// The part of it between two bounds. A mean of values that cannot leave them lies between them
    /// as well, so what is cut off holds no value that could be true: the normal interval of few
    /// values near a bound reaches beyond it, and the rest is as sure as the whole.
    #[must_use]
    pub fn within(self, (least, greatest): (f64, f64)) -> Self {
        Self { low: self.low.clamp(least, greatest), high: self.high.clamp(least, greatest) }
    }

    /// The interval of `a - b` of two independent figures, from theirs. R. G. Newcombe, Statistics
    /// in Medicine 17 (1998), 873-890, method 10; for means it is the usual one.
    #[must_use]
    pub fn of_difference(a: (f64, Self), b: (f64, Self)) -> Self {
        let ((a, of_a), (b, of_b)) = (a, b);
        let below = (a - of_a.low).hypot(of_b.high - b);
        let above = (of_a.high - a).hypot(b - of_b.low);
        Self { low: a - b - below, high: a - b + above }
    }

    /// Whether a value is in it.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(interval: Interval, low: f64, high: f64) {
        let close = |a: f64, b: f64| (a - b).abs() < 5e-5;
        assert!(close(interval.low, low) && close(interval.high, high), "{interval:?}");
    }

    #[test]
    fn wilson_agrees_with_newcombes_published_examples() {
        // R. G. Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3.
        near(Interval::wilson(81.0 / 263.0, 263).unwrap(), 0.2553, 0.3662);
        near(Interval::wilson(15.0 / 148.0, 148).unwrap(), 0.0624, 0.1605);
        near(Interval::wilson(0.0, 20).unwrap(), 0.0, 0.1611);
        near(Interval::wilson(1.0 / 29.0, 29).unwrap(), 0.0061, 0.1718);
        assert_eq!(Interval::wilson(0.0, 0), None);
    }

    #[test]
    fn the_difference_of_shares_agrees_with_newcombes_published_examples() {
        // The same, 873-890, table II, method 10.
        let share = |k: f64, n: u64| (k / n as f64, Interval::wilson(k / n as f64, n).unwrap());
        near(Interval::of_difference(share(56.0, 70), share(48.0, 80)), 0.0524, 0.3339);
        near(Interval::of_difference(share(10.0, 10), share(0.0, 10)), 0.6075, 1.0);
    }

    #[test]
    fn what_no_value_can_be_is_not_in_an_interval() {
        let interval = Interval::of_mean(97.0, 20.0, 16).unwrap();
        assert!(interval.high > 100.0);
        let within = interval.within((0.0, 100.0));
        assert_eq!(within, Interval { low: interval.low, high: 100.0 });
        assert_eq!(within.within((f64::NEG_INFINITY, f64::INFINITY)), within);
    }

    #[test]
    fn one_value_says_nothing_about_a_mean() {
        assert_eq!(Interval::of_mean(1.0, f64::NAN, 1), None);
        near(Interval::of_mean(10.0, 10.0, 100).unwrap(), 8.040_04, 11.959_96);
    }
}
