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
    if is_uuid(name) || !zhili_redact::mask(name).changed() {
        return Ok(());
    }
    let message = format!("{field}: holds personal data; give a name or a pseudonym of Zhili");
    Err(ServiceError::new(ErrorCode::Invalid, message))
}

/// Whether a name has the form of a UUID (RFC 9562), of which one in some thousands has a group that
/// looks like a telephone number by chance. Programs name their commands so.
fn is_uuid(name: &str) -> bool {
    let groups: Vec<&str> = name.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let digits = groups.iter().flat_map(|group| group.bytes());
    // Version and variant are fixed, so that not every text of this length is one.
    lengths == [8, 4, 4, 4, 12]
        && digits.clone().all(|byte| byte.is_ascii_hexdigit())
        && groups[2].starts_with(['4', '7'])
        && groups[3].starts_with(['8', '9', 'a', 'b', 'A', 'B'])
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
        // One that is seen for a telephone number where it is not seen for what it is.
        let likely = "2e212151-11aa-4b13-929a-051012421205";
        assert!(zhili_redact::mask(likely).changed());
        assert!(impersonal("command_id", likely).is_ok());
        for version in ["0", "1"] {
            let other = likely.replace("-4", &format!("-{version}"));
            assert!(impersonal("command_id", &other).is_err(), "{other}");
        }
        for _ in 0..10_000 {
            let id = format!("cmd_{:032x}", rand::random::<u128>());
            assert!(impersonal("command_id", &id).is_ok(), "{id}");
        }
    }
}
