use std::borrow::Cow;
use std::fmt;

use zhili_proto::conversation::v1 as proto;

/// Why an event is not taken: the words of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// A field that is needed is absent or empty.
    Missing,
    /// Larger than the contract allows.
    TooLong,
    /// A number, time or enum value that the contract does not know.
    OutOfRange,
    /// Well formed, and not the publisher's to say.
    NotAllowed,
    /// It cannot be read as what it should be.
    Malformed,
}

impl Code {
    /// The word in answers and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::TooLong => "too_long",
            Self::OutOfRange => "out_of_range",
            Self::NotAllowed => "not_allowed",
            Self::Malformed => "malformed",
        }
    }
}

/// Why one event is not taken; sending it again as it is will not help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Path of the field, such as `author.role`; `event` for the event as a whole.
    pub field: Cow<'static, str>,
    /// What kind of fault.
    pub code: Code,
    /// One sentence: what is wrong and what would be right. Never repeats a value that could be
    /// personal data.
    pub message: String,
}

impl Rejection {
    pub(crate) fn new(
        field: impl Into<Cow<'static, str>>,
        code: Code,
        message: impl Into<String>,
    ) -> Self {
        Self { field: field.into(), code, message: message.into() }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl From<Rejection> for proto::Rejection {
    fn from(rejection: Rejection) -> Self {
        Self {
            field: rejection.field.into_owned(),
            code: rejection.code.as_str().to_owned(),
            message: rejection.message,
        }
    }
}
