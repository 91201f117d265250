//! Event ids as they are kept: most platforms use UUIDs, which need no allocation.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An event id. Prints as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EventId {
    /// A UUID in the usual form: lower case, hyphens.
    Uuid([u8; 16]),
    Text(Box<str>),
}

/// Where the hyphens are.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl From<&str> for EventId {
    fn from(text: &str) -> Self {
        uuid(text.as_bytes()).map_or_else(|| Self::Text(text.into()), Self::Uuid)
    }
}

fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != 36 {
        return None;
    }
    let mut uuid = [0; 16];
    let mut nibbles = 0;
    for (index, &byte) in text.iter().enumerate() {
        if HYPHENS.contains(&index) {
            if byte != b'-' {
                return None;
            }
            continue;
        }
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        uuid[nibbles / 2] = uuid[nibbles / 2] << 4 | value;
        nibbles += 1;
    }
    Some(uuid)
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Uuid(uuid) => {
                let mut text = String::with_capacity(36);
                for byte in uuid {
                    if HYPHENS.contains(&text.len()) {
                        text.push('-');
                    }
                    for nibble in [byte >> 4, byte & 15] {
                        text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
                    }
                }
                f.write_str(&text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prints_as_it_came() {
        for (id, is_uuid) in [
            ("0192f0c1-2b3d-7e4f-8a5b-6c7d8e9f0a1b", true),
            ("00000000-0000-0000-0000-000000000000", true),
            ("0192F0C1-2b3d-7e4f-8a5b-6c7d8e9f0a1b", false),
            ("0192f0c1+2b3d-7e4f-8a5b-6c7d8e9f0a1b", false),
            ("0192f0c12b3d-7e4f-8a5b-6c7d8e9f0a1b-", false),
            ("dialogue-12/3", false),
            ("消息-1", false),
            ("", false),
        ] {
            let kept = EventId::from(id);
            assert_eq!(kept.to_string(), id);
            assert_eq!(matches!(kept, EventId::Uuid(_)), is_uuid, "{id}");
        }
    }
}
