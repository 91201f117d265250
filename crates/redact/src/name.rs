//! Names of persons, found after what announces them: 收件人, 我叫, `my name is`, `Attn:`.
//!
//! A surname with a title (王女士, `Mr Smith`) names nobody and stays, as do nicknames in service.

mod chinese;
mod english;

pub(crate) use chinese::{is_cue_part, may_begin};

use crate::Kind;
use crate::fold::{Survey, Unit};

/// The names in `units`, as first unit and one past the last.
pub(crate) fn find(units: &[Unit], survey: Survey) -> Vec<(usize, usize)> {
    let mut found = if survey.name_cues > 0 { chinese::find(units) } else { Vec::new() };
    if survey.letters > 3 {
        found.extend(english::find(units));
    }
    found
}

/// The names that stand beside a telephone number or address of `taken`: 张三，138..., 浙江省...
pub(crate) fn find_beside(units: &[Unit], taken: &[(Kind, usize, usize)]) -> Vec<(usize, usize)> {
    let mut found = chinese::find_beside(units, taken);
    found.extend(english::find_beside(units, taken));
    found
}
