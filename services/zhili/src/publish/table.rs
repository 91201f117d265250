//! Exports of platforms as CSV, whose columns are told by a file which fields they are.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};
use encoding_rs::{Encoding, UTF_8};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zhili_proto::conversation::v1::Event;
use zhili_runtime::Failure;

/// Which columns are which fields of an event, as `--columns` has it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_field_names, reason = "the word of the file")]
pub(crate) struct Columns {
    /// Encoding of the file by its name on the web: `utf-8`, `gb18030` (which reads GBK too), `utf-16`.
    #[serde(default = "utf_8")]
    encoding: String,
    /// IANA zone of times that name none, such as `Asia/Shanghai`.
    #[serde(default = "utc")]
    zone: String,
    /// What stands between two columns, one ASCII character.
    #[serde(default = "comma")]
    delimiter: char,
    /// By field of an event the heading of its column: `text = "Message"`, `"author.id" = "Sender"`.
    /// `conversation_id`, `sent_at`, `author.id`, `author.role` and `text` must stand here or under
    /// `always`.
    columns: BTreeMap<String, String>,
    /// By field that has a column, and by word of the file, the word of an event:
    /// `"author.role" = { Visitor = "customer" }`. Other words in that column are then refused.
    #[serde(default)]
    values: BTreeMap<String, BTreeMap<String, String>>,
    /// By field what every event has: `channel = "chat"`. A column goes before it, where it is not empty.
    #[serde(default)]
    always: BTreeMap<String, String>,
}

fn utf_8() -> String {
    UTF_8.name().to_lowercase()
}

fn utc() -> String {
    "UTC".to_owned()
}

const fn comma() -> char {
    ','
}

/// Fields that an event cannot do without.
const NEEDED: [&str; 5] = ["conversation_id", "sent_at", "author.id", "author.role", "text"];

impl Columns {
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::Io(format!("cannot read {}: {error}", file.display())))?;
        Self::parse(&text).map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let columns: Self = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        let missing = NEEDED
            .iter()
            .find(|it| !columns.columns.contains_key(**it) && !columns.always.contains_key(**it));
        if let Some(missing) = missing {
            return Err(format!("[columns] does not say which column is {missing}"));
        }
        let fields = || columns.columns.keys().chain(columns.always.keys());
        for field in fields() {
            let within = format!("{field}.");
            if let Some(other) = fields().find(|other| other.starts_with(&within)) {
                return Err(format!("{field} has fields of its own: {other}"));
            }
        }
        if let Some(field) = columns.values.keys().find(|it| !columns.columns.contains_key(*it)) {
            return Err(format!("[values.\"{field}\"]: no column is this field"));
        }
        TimeZone::get(&columns.zone).map_err(|_| format!("zone: {:?} is none", columns.zone))?;
        if Encoding::for_label(columns.encoding.as_bytes()).is_none() {
            return Err(format!("encoding: {:?} is none", columns.encoding));
        }
        if !columns.delimiter.is_ascii() {
            return Err("delimiter: must be one ASCII character".to_owned());
        }
        Ok(columns)
    }

    /// The events of a file's content, the first line of which has the headings. An event without an id of
    /// its own has the number of its row; one without a source has `source`.
    pub(super) fn events(&self, bytes: &[u8], source: &str) -> Result<Vec<Event>, String> {
        let text = self.decoded(bytes)?;
        let mut rows = ReaderBuilder::new()
            .delimiter(self.delimiter as u8)
            .flexible(true)
            .from_reader(text.as_bytes());
        let headings = rows.headers().map_err(|error| error.to_string())?.clone();
        let places = self.places(&headings)?;
        let zone = TimeZone::get(&self.zone).map_err(|error| error.to_string())?;
        let mut events = Vec::new();
        for (number, row) in rows.records().enumerate() {
            let row = row.map_err(|error| error.to_string())?;
            let event = self
                .event(&row, &places, &zone, source, number)
                .map_err(|error| format!("row {}: {error}", number + 1))?;
            events.push(event);
        }
        Ok(events)
    }

    /// The text of a file, without its byte order mark.
    fn decoded<'a>(&self, bytes: &'a [u8]) -> Result<Cow<'a, str>, String> {
        let encoding = Encoding::for_label(self.encoding.as_bytes()).unwrap_or(UTF_8);
        let (text, used, is_broken) = encoding.decode(bytes);
        if is_broken {
            let hint = if used == UTF_8 {
                "; if it was saved as GBK or GB18030, as Excel does in Chinese, the file of the columns \
                 has to say encoding = \"gb18030\""
            } else {
                ""
            };
            return Err(format!("is not {}{hint}", used.name()));
        }
        Ok(text)
    }

    /// Where each field's column is.
    fn places(&self, headings: &StringRecord) -> Result<Vec<(&str, usize)>, String> {
        let place = |(field, heading): (&'_ String, &'_ String)| {
            let place = headings.iter().position(|it| it.trim() == heading);
            place.ok_or_else(|| {
                let there: Vec<&str> = headings.iter().collect();
                format!("{field}: there is no column {heading:?} but {}", there.join(", "))
            })
        };
        self.columns.iter().map(|pair| Ok((pair.0.as_str(), place(pair)?))).collect()
    }

    fn event(
        &self,
        row: &StringRecord,
        places: &[(&str, usize)],
        zone: &TimeZone,
        source: &str,
        number: usize,
    ) -> Result<Event, String> {
        let mut event = Map::new();
        put(&mut event, "source", source);
        put(&mut event, "event_id", &format!("row-{}", number + 1));
        put(&mut event, "type", "message");
        for (field, value) in &self.always {
            put(&mut event, field, value);
        }
        for (field, place) in places {
            let value = row.get(*place).unwrap_or_default().trim();
            if value.is_empty() {
                continue;
            }
            let words = self.values.get(*field);
            let value = match words.map(|words| words.get(value)) {
                Some(Some(word)) => word.clone(),
                Some(None) => {
                    return Err(format!(
                        "{field}: [values.\"{field}\"] does not say what {value:?} is"
                    ));
                }
                None if *field == "sent_at" => moment(value, zone)?.to_string(),
                None => value.to_owned(),
            };
            put(&mut event, field, &value);
        }
        serde_json::from_value(Value::Object(event)).map_err(|error| error.to_string())
    }
}

/// Puts a value at a path such as `author.id`.
fn put(event: &mut Map<String, Value>, path: &str, value: &str) {
    match path.split_once('.') {
        None => {
            event.insert(path.to_owned(), value.into());
        }
        Some((first, rest)) => {
            let inner = event.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// A time as exports write it: with an offset, without one in `zone`, or as seconds or milliseconds
/// since 1970.
fn moment(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    let wrong = || {
        format!("sent_at: {text:?} is no time such as 2026-01-31 08:00:00 or 2026-01-31T08:00:00Z")
    };
    if let Ok(number) = text.parse::<i64>() {
        return match text.len() {
            10 => Timestamp::from_second(number),
            13 => Timestamp::from_millisecond(number),
            _ => return Err(wrong()),
        }
        .map_err(|_| wrong());
    }
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let text = text.replace('/', "-");
    let civil = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|format| DateTime::strptime(format, &text).ok())
        .ok_or_else(wrong)?;
    civil.to_zoned(zone.clone()).map(|at| at.timestamp()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use zhili_proto::conversation::v1::author::Role;

    use super::*;

    const COLUMNS: &str = r#"
        zone = "Asia/Shanghai"
        [columns]
        conversation_id = "Chat ID"
        sent_at = "Time"
        text = "Message"
        "author.id" = "Sender"
        "author.role" = "Sender Type"
        [values."author.role"]
        Visitor = "customer"
        Staff = "agent"
        [always]
        channel = "chat"
    "#;
    const EXPORT: &str = "\u{feff}Chat ID,Time,Sender,Sender Type,Message\r\n\
        CH-1,2026-11-30 08:00:00,u1,Visitor,\"等了两小时,没人理\"\r\n\
        CH-1,2026/11/30 8:01,a1,Staff,\"He said \"\"wait\"\"\"\r\n\
        CH-2,1796000000,u2,Visitor,hello\r\n";

    fn events(columns: &str, export: &str) -> Result<Vec<Event>, String> {
        Columns::parse(columns)?.events(export.as_bytes(), "file:1")
    }

    #[test]
    fn columns_become_fields_and_words_those_of_an_event() {
        let events = events(COLUMNS, EXPORT).unwrap();
        let millis = |event: &Event| zhili_proto::millis(event.sent_at.as_ref().unwrap()).unwrap();
        assert_eq!(events.len(), 3);
        let first = &events[0];
        assert_eq!((first.conversation_id.as_str(), first.channel.as_str()), ("CH-1", "chat"));
        assert_eq!((first.source.as_str(), first.event_id.as_str()), ("file:1", "row-1"));
        assert_eq!(first.text, "等了两小时,没人理");
        assert_eq!(first.author.as_ref().unwrap().role(), Role::Customer);
        assert_eq!(events[1].text, "He said \"wait\"");
        assert_eq!(events[1].author.as_ref().unwrap().role(), Role::Agent);
        // Shanghai is eight hours ahead of UTC.
        let midnight: Timestamp = "2026-11-30T00:00:00Z".parse().unwrap();
        assert_eq!(millis(first), midnight.as_millisecond());
        assert_eq!(millis(&events[1]) - millis(first), 60_000);
        assert_eq!(millis(&events[2]), 1_796_000_000_000);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let without = |line: &str| COLUMNS.replace(line, "");
        let said = |columns: &str, export: &str| events(columns, export).unwrap_err();
        let all = [
            (said(&without("text = \"Message\""), EXPORT), "which column is text"),
            (said(COLUMNS, "Chat,Time\r\n"), "there is no column"),
            (said(COLUMNS, &EXPORT.replace("Staff", "Robot")), "row 2: author.role"),
            (
                said(COLUMNS, &EXPORT.replace("2026-11-30 08:00:00", "noon")),
                "row 1: sent_at: \"noon\"",
            ),
            (said(&COLUMNS.replace("Asia/Shanghai", "Mars"), EXPORT), "zone: \"Mars\" is none"),
            (said(&format!("colour = 1\n{COLUMNS}"), EXPORT), "colour"),
            (said(&format!("{COLUMNS}\nauthor = \"u\""), EXPORT), "author has fields of its own"),
            (
                said(&COLUMNS.replace("values.\"author.role", "values.\"role"), EXPORT),
                "no column is",
            ),
        ];
        for (said, expected) in all {
            assert!(said.contains(expected), "{said}");
        }
        let columns = Columns::parse(COLUMNS).unwrap();
        assert!(columns.events(&[0xc4, 0xe3], "file:1").unwrap_err().contains("gb18030"));
        assert!(said(&format!("encoding = 'klingon'\n{COLUMNS}"), EXPORT).contains("encoding:"));
    }

    #[test]
    fn other_encodings_are_read_by_their_names() {
        let expected = events(COLUMNS, EXPORT).unwrap();
        let read = |name: &str, bytes: &[u8]| {
            Columns::parse(&format!("encoding = '{name}'\n{COLUMNS}"))?.events(bytes, "file:1")
        };
        let (chinese, _, _) = encoding_rs::GB18030.encode(EXPORT.trim_start_matches('\u{feff}'));
        for name in ["gb18030", "GBK"] {
            assert_eq!(read(name, &chinese).unwrap(), expected, "{name}");
        }
        // With its byte order mark, as Excel writes "Unicode text".
        let wide: Vec<u8> = EXPORT.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(read("utf-16", &wide).unwrap(), expected);
        assert!(read("gb18030", &[0xff, 0xff]).unwrap_err().contains("is not gb18030"));
    }
}
