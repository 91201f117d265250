//! ClickHouse exceptions as they appear on its HTTP interface.

use http::StatusCode;

use crate::chdb::EngineError;

/// An exception: ClickHouse's numeric code and the text a client shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exception {
    /// ClickHouse's error code, e.g. 60 for an unknown table.
    pub(crate) code: u32,
    /// `Code: 60. DB::Exception: ... (UNKNOWN_TABLE)`, without the version.
    pub(crate) text: String,
}

/// Codes that the store itself raises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    BadArguments = 36,
    NotImplemented = 48,
    SyntaxError = 62,
    UnknownCompressionMethod = 89,
    CannotReadAllData = 33,
    ChecksumDoesntMatch = 40,
    CannotDecompress = 271,
    TooManySimultaneousQueries = 202,
    SocketTimeout = 209,
    Aborted = 236,
    MemoryLimitExceeded = 241,
    QueryIsTooLarge = 229,
    AccessDenied = 497,
    AuthenticationFailed = 516,
    RequiredPassword = 194,
    UnknownException = 1002,
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Self::BadArguments => "BAD_ARGUMENTS",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::SyntaxError => "SYNTAX_ERROR",
            Self::UnknownCompressionMethod => "UNKNOWN_COMPRESSION_METHOD",
            Self::CannotReadAllData => "CANNOT_READ_ALL_DATA",
            Self::ChecksumDoesntMatch => "CHECKSUM_DOESNT_MATCH",
            Self::CannotDecompress => "CANNOT_DECOMPRESS",
            Self::TooManySimultaneousQueries => "TOO_MANY_SIMULTANEOUS_QUERIES",
            Self::SocketTimeout => "SOCKET_TIMEOUT",
            Self::Aborted => "ABORTED",
            Self::MemoryLimitExceeded => "MEMORY_LIMIT_EXCEEDED",
            Self::QueryIsTooLarge => "QUERY_IS_TOO_LARGE",
            Self::AccessDenied => "ACCESS_DENIED",
            Self::AuthenticationFailed => "AUTHENTICATION_FAILED",
            Self::RequiredPassword => "REQUIRED_PASSWORD",
            Self::UnknownException => "UNKNOWN_EXCEPTION",
        }
    }
}

impl Exception {
    pub(crate) fn new(code: Code, reason: impl std::fmt::Display) -> Self {
        let number = code as u32;
        Self {
            code: number,
            text: format!("Code: {number}. DB::Exception: {reason}. ({})", code.name()),
        }
    }

    /// The HTTP status that ClickHouse 26.7 answers this code with.
    pub(crate) fn status(&self) -> StatusCode {
        match self.code {
            194 => StatusCode::UNAUTHORIZED,
            192 | 193 | 497 | 512 | 516 => StatusCode::FORBIDDEN,
            6 | 8 | 15 | 25 | 26 | 27 | 36 | 37 | 38 | 41 | 44 | 53 | 62 | 72 | 117 | 123 | 167
            | 168 | 223 | 321 | 376 | 427 | 441 | 675 | 676 => StatusCode::BAD_REQUEST,
            46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 152 | 336 | 511 => {
                StatusCode::NOT_FOUND
            }
            159 => StatusCode::REQUEST_TIMEOUT,
            381 => StatusCode::LENGTH_REQUIRED,
            229 => StatusCode::PAYLOAD_TOO_LARGE,
            48 => StatusCode::NOT_IMPLEMENTED,
            779 => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            76 | 209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The text as a server of `version` sends it, ended by a newline.
    pub(crate) fn body(&self, version: &str) -> String {
        format!("{} (version {version} (official build))\n", self.text)
    }
}

impl From<EngineError> for Exception {
    fn from(error: EngineError) -> Self {
        let code = error
            .0
            .strip_prefix("Code: ")
            .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next())
            .and_then(|digits| digits.parse().ok());
        match code {
            Some(code) => Self { code, text: error.0.trim_end().into() },
            None => Self::new(Code::UnknownException, error.0.trim_end()),
        }
    }
}
