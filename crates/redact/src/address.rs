//! Postal addresses down to a house, building or room.
//!
//! A province, city, district, road or building alone says where somebody is, not who; it stays.

mod chinese;
mod english;

pub(crate) use chinese::may_be_counted;

use crate::fold::{Survey, Unit};

/// The addresses in `units`, as first unit and one past the last.
pub(crate) fn find(units: &[Unit], survey: Survey) -> Vec<(usize, usize)> {
    let mut found =
        if survey.digits + survey.numerals > 0 { chinese::find(units) } else { Vec::new() };
    if survey.letters > 3 {
        found.extend(english::find(units));
    }
    found
}
