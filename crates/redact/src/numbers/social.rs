//! Social security numbers of the United States, social insurance numbers of Canada, and the
//! twelve digits of an Indian identity.

use super::{Found, Joint, Reading};
use crate::Kind;
use crate::cues::{Context, Cue};
use crate::view::View;

/// `987-65-4320` anywhere, nine digits in any grouping after a cue.
pub(super) fn find(reading: &Reading<'_>, context: Context) -> Option<Found> {
    if context.glued || context.amount || context.names_reference() || reading.continues_leftwards()
    {
        return None;
    }
    let announced = context.cue == Some(Cue::Social) || named_behind(reading);
    let (shape, joints) = reading.shape(0, 9)?;
    let grouped = match shape.lengths() {
        [3, 2, 4] => joints == Joint::HYPHEN || announced,
        [9] | [3, 3, 3] => announced,
        _ => false,
    };
    let goes_on = matches!(reading.next(9), Some('-' | '.'))
        && reading.units.get(reading.end(9) + 1).is_some_and(|unit| unit.ch.is_ascii_digit());
    let fits = grouped
        && joints.is_plain()
        && !goes_on
        && !reading.runs_into_letters(9)
        && !reading.is_money(9);
    fits.then(|| Found::new(Kind::SocialSecurity, 9))
}

/// `987654320 is my ssn`.
fn named_behind(reading: &Reading<'_>) -> bool {
    let view = View(reading.units);
    let end = reading.end(9);
    view.after_any(end, &[" is my ssn", " is my social", " (ssn)", " ssn", " is the ssn"]).is_some()
}

/// Twelve digits in fours after a cue of an identity.
pub(super) fn find_indian(reading: &Reading<'_>, context: Context) -> Option<Found> {
    let (shape, joints) = reading.shape(0, 12)?;
    let fits = context.cue == Some(Cue::Id)
        && matches!(shape.lengths(), [4, 4, 4])
        && joints.is_plain()
        && !reading.runs_into_letters(12);
    fits.then(|| Found::new(Kind::IdCard, 12))
}
