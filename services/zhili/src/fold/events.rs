//! Lines of a file of events, checked as ingest checks what is published.

use std::io::{self, BufRead};

use serde_json::Value;
use zhili_ingest::{Limits, check, parse_event};
use zhili_proto::conversation::v1::Event;

use super::line::{Reason, Refused};
use super::parse_time;

/// Tenant and source of events that name none.
pub(super) const NOBODY: &str = "default";

/// Some programs write it before the first character of a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The lines of a reader that are not empty, with their numbers from 1.
pub(super) struct Lines<R> {
    reader: R,
    number: usize,
}

/// An event and the log time that its line gives it.
pub(super) struct Logged {
    pub(super) line: usize,
    pub(super) at_ms: i64,
    pub(super) event: Event,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, number: 0 }
    }

    /// Number of the line that was read last.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The next event, or why its line is none; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Result<Logged, Refused>>> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            if self.reader.read_until(b'\n', &mut bytes)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            let line = self.number;
            let refused = |detail: String| Refused {
                line,
                reason: Reason::Undecodable,
                detail,
                tenant: String::new(),
            };
            let text = match std::str::from_utf8(&bytes) {
                Ok(text) if line == 1 => text.trim_start_matches(BYTE_ORDER_MARK).trim(),
                Ok(text) => text.trim(),
                Err(error) => return Ok(Some(Err(refused(format!("not UTF-8 text: {error}"))))),
            };
            if !text.is_empty() {
                return Ok(Some(logged(text, line).map_err(refused).and_then(checked)));
            }
        }
    }
}

/// Reads a line; what an event lacks that ingest or the log would add is added.
fn logged(text: &str, line: usize) -> Result<Logged, String> {
    let mut value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let fields = value.as_object_mut().ok_or("an event is a JSON object")?;
    let at = fields.remove("at");
    let mut event = parse_event(&value.to_string()).map_err(|rejection| rejection.to_string())?;
    let sent_ms = event.sent_at.as_ref().and_then(zhili_proto::millis);
    let at_ms = match at {
        Some(Value::String(at)) => parse_time(&at).map_err(|error| format!("at: {error}"))?,
        Some(Value::Null) | None => sent_ms.ok_or("at and sent_at are both missing")?,
        Some(_) => return Err("at: an ISO 8601 time in quotes is needed".to_owned()),
    };
    if event.sent_at.is_none() {
        event.sent_at = Some(zhili_proto::timestamp(at_ms));
    }
    for name in [&mut event.tenant, &mut event.source] {
        if name.is_empty() {
            NOBODY.clone_into(name);
        }
    }
    if event.event_id.is_empty() {
        event.event_id = format!("line-{line}");
    }
    Ok(Logged { line, at_ms, event })
}

fn checked(logged: Logged) -> Result<Logged, Refused> {
    let Logged { line, at_ms, ref event } = logged;
    match check(event, &event.tenant, at_ms, &Limits::default()) {
        Ok(()) => Ok(logged),
        Err(rejection) => Err(Refused {
            line,
            reason: Reason::Invalid,
            detail: rejection.to_string(),
            tenant: event.tenant.clone(),
        }),
    }
}
