//! One HTTP request of ClickHouse's interface, taken apart.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Parameters that speak to the HTTP interface; every other one without `param_` is a setting.
const INTERFACE_PARAMETERS: [&str; 19] = [
    "buffer_size",
    "client_protocol_version",
    "close_session",
    "compress",
    "database",
    "decompress",
    "default_format",
    "format",
    "http_compression",
    "password",
    "query",
    "query_id",
    "quota_key",
    "role",
    "session_check",
    "session_id",
    "session_timeout",
    "user",
    "wait_end_of_query",
];

/// What the URL, the headers and the form fields of a request say.
#[derive(Default)]
pub(crate) struct Parameters {
    pairs: Vec<(String, String)>,
}

/// The user and the key that a request gives.
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) key: String,
}

impl Parameters {
    pub(crate) fn add(&mut self, name: String, value: String) {
        self.pairs.push((name, value));
    }

    /// The last value wins, as in ClickHouse.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .rev()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value == "1" || value == "true")
    }

    /// Settings for this request, in the order given.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .filter(|(name, _)| {
                !name.starts_with("param_") && !INTERFACE_PARAMETERS.contains(&name.as_str())
            })
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Values for the `{name:Type}` placeholders of the statement.
    pub(crate) fn placeholders(&self) -> Vec<(String, String)> {
        self.pairs
            .iter()
            .filter_map(|(name, value)| {
                name.strip_prefix("param_").map(|name| (name.to_owned(), value.clone()))
            })
            .collect()
    }

    /// Who asks: `X-ClickHouse-User` and `-Key`, else Basic authorization, else the parameters
    /// `user` and `password`, else the user `default` without a key.
    pub(crate) fn credentials(&self, headers: &HeaderMap) -> Credentials {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let named = (header("x-clickhouse-user"), header("x-clickhouse-key"));
        let (user, key) = if named.0.is_some() || named.1.is_some() {
            (named.0.map(str::to_owned), named.1.map(str::to_owned))
        } else if let Some((user, key)) = basic(headers) {
            (Some(user), Some(key))
        } else {
            (self.get("user").map(str::to_owned), self.get("password").map(str::to_owned))
        };
        Credentials { user: user.unwrap_or_else(|| "default".into()), key: key.unwrap_or_default() }
    }
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64.decode(encoded.trim()).ok()?).ok()?;
    let (user, key) = decoded.split_once(':')?;
    Some((user.to_owned(), key.to_owned()))
}

/// A body in the pieces in which it came; a piece is freed when it has been read.
#[derive(Clone, Default)]
pub(crate) struct Pieces(VecDeque<Bytes>);

impl Pieces {
    pub(crate) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.0.push_back(piece);
        }
    }

    /// All pieces as one; copies nothing when there is one only.
    pub(crate) fn joined(mut self) -> Bytes {
        if self.0.len() == 1 {
            return self.0.pop_front().unwrap_or_default();
        }
        let length = self.remaining();
        self.copy_to_bytes(length)
    }
}

impl From<Vec<Bytes>> for Pieces {
    fn from(pieces: Vec<Bytes>) -> Self {
        Self(pieces.into_iter().filter(|piece| !piece.is_empty()).collect())
    }
}

impl IntoIterator for Pieces {
    type Item = Bytes;
    type IntoIter = std::collections::vec_deque::IntoIter<Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.0.front().map_or(&[], |piece| piece)
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let Some(first) = self.0.front_mut() else {
                return;
            };
            let step = count.min(first.len());
            first.advance(step);
            count -= step;
            if first.is_empty() {
                self.0.pop_front();
            }
        }
    }

    fn has_remaining(&self) -> bool {
        !self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> Parameters {
        let mut parameters = Parameters::default();
        for (name, value) in pairs {
            parameters.add((*name).into(), (*value).into());
        }
        parameters
    }

    #[test]
    fn what_is_neither_for_the_interface_nor_a_placeholder_is_a_setting() {
        let parameters = parameters(&[
            ("query", "SELECT {x:UInt8}"),
            ("param_x", "1"),
            ("session_id", "s"),
            ("max_threads", "1"),
        ]);
        assert_eq!(parameters.settings().collect::<Vec<_>>(), [("max_threads", "1")]);
        assert_eq!(parameters.placeholders(), [("x".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn headers_win_over_basic_authorization_and_that_over_parameters() {
        let parameters = parameters(&[("user", "u"), ("password", "p")]);
        let mut headers = HeaderMap::new();
        assert_eq!(parameters.credentials(&headers).user, "u");
        headers.insert(AUTHORIZATION, "Basic Yjpr".parse().unwrap());
        assert_eq!(parameters.credentials(&headers).key, "k");
        headers.insert("x-clickhouse-key", "h".parse().unwrap());
        let credentials = parameters.credentials(&headers);
        assert_eq!((credentials.user.as_str(), credentials.key.as_str()), ("default", "h"));
    }

    #[test]
    fn pieces_read_as_one_body() {
        let mut pieces = Pieces::from(vec![Bytes::from("ab"), Bytes::new(), Bytes::from("cde")]);
        assert_eq!(pieces.remaining(), 5);
        assert_eq!(pieces.copy_to_bytes(3), "abc");
        assert_eq!(pieces.joined(), "de");
    }
}
