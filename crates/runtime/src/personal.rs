//! What callers write that is kept: masked where it is a text, refused where it names something.

use crate::{ErrorCode, ServiceError};

/// A text of a caller's as it may be kept; people paste numbers into notes.
#[must_use]
pub fn masked(text: &str) -> String {
    zhili_redact::mask(text).text.into_owned()
}

/// Refuses a name that holds personal data. A name tells things apart, so it is kept as it is or
/// not at all: two of them may become one when they are masked.
///
/// # Errors
/// [`ErrorCode::Invalid`] that names the field and not what is in it.
pub fn impersonal(field: &str, name: &str) -> Result<(), ServiceError> {
    if !zhili_redact::mask(name).changed() {
        return Ok(());
    }
    let message = format!("{field}: holds personal data; give a name or a pseudonym of Zhili");
    Err(ServiceError::new(ErrorCode::Invalid, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_a_number_is_refused_without_repeating_it() {
        let error = impersonal("command_id", "13800138000").unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid);
        assert!(error.message.starts_with("command_id: "), "{}", error.message);
        assert!(!error.message.contains("13800138000"), "{}", error.message);
    }

    #[test]
    fn names_as_programs_make_them_are_taken() {
        for name in ["desk-of-day", "c_3wevrlvcrwyic3ezochhctldrq", "2026-q1/a1", "客服一组"] {
            assert!(impersonal("name", name).is_ok(), "{name}");
        }
        for _ in 0..10_000 {
            let bits = rand::random::<u128>();
            let hex = format!("{bits:032x}");
            let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
            for id in [format!("cmd_{hex}"), parts.join("-")] {
                assert!(impersonal("command_id", &id).is_ok(), "{id}");
            }
        }
    }
}
