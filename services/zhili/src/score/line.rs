//! One line of `zhili score --format jsonl`: a request read, its answer written.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use zhili_scoring::text::{Fault, assess, quoted};
use zhili_tone::{Assessment, Engine, Role};

const FIELDS: [&str; 5] = ["id", "role", "text", "lang", "context"];

/// The answer to one line.
#[derive(Serialize)]
pub(crate) struct Answer<'a> {
    id: &'a RawValue,
    lang: &'static str,
    sentiment: Option<Sentiment>,
    politeness: Option<Politeness>,
    complaint: Option<Complaint>,
    satisfaction: Option<Satisfaction>,
    forbidden: bool,
    /// Left out when there is none, as are the two below.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    promises: Vec<Promise>,
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'static str>,
    evidence: Vec<Evidence<'a>>,
    /// Only if masking changed it; offsets count in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

#[derive(Serialize)]
struct Sentiment {
    label: &'static str,
    value: f64,
    confidence: f64,
}

#[derive(Serialize)]
struct Politeness {
    label: &'static str,
    score: f64,
}

#[derive(Serialize)]
struct Complaint {
    label: &'static str,
    category: Option<&'static str>,
    probability: f64,
}

#[derive(Serialize)]
struct Satisfaction {
    label: &'static str,
}

#[derive(Serialize)]
struct Promise {
    kind: &'static str,
    start: usize,
    end: usize,
    /// None for what is promised soon.
    due: Option<Due>,
}

/// As the contract has it.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Due {
    WithinMs(i64),
    WorkDays(u32),
    Day { days: u32, minute: u16 },
    Weekday { weeks: u8, weekday: u8, minute: u16 },
}

impl Promise {
    fn new(promise: &zhili_tone::Promise) -> Self {
        let due = match promise.due {
            zhili_tone::Due::Within { ms } => Some(Due::WithinMs(ms)),
            zhili_tone::Due::WorkDays { days } => Some(Due::WorkDays(days)),
            zhili_tone::Due::Day { days, minute } => Some(Due::Day { days, minute }),
            zhili_tone::Due::Weekday { weeks, weekday, minute } => {
                Some(Due::Weekday { weeks, weekday, minute })
            }
            zhili_tone::Due::Vague => None,
        };
        Self { kind: promise.kind.as_str(), start: promise.start, end: promise.end, due }
    }
}

#[derive(Serialize)]
struct Evidence<'a> {
    start: usize,
    end: usize,
    class: &'static str,
    rule: &'a str,
    points: f64,
}

impl<'a> Answer<'a> {
    /// `text` is the masked text if it differs from what was given.
    pub(crate) fn new(id: &'a RawValue, assessment: &'a Assessment, text: Option<&'a str>) -> Self {
        Self {
            id,
            lang: assessment.lang.as_str(),
            sentiment: assessment.sentiment.map(|sentiment| Sentiment {
                label: sentiment.label.as_str(),
                value: sentiment.value,
                // More digits would promise more than a distance to an edge can tell.
                confidence: (sentiment.confidence * 1000.0).round() / 1000.0,
            }),
            politeness: assessment.politeness.map(|politeness| Politeness {
                label: politeness.label.as_str(),
                score: politeness.score,
            }),
            complaint: assessment.complaint.map(|complaint| Complaint {
                label: complaint.label.as_str(),
                category: complaint.category.map(zhili_tone::UrgentCategory::as_str),
                probability: complaint.probability,
            }),
            satisfaction: assessment
                .satisfaction
                .map(|satisfaction| Satisfaction { label: satisfaction.as_str() }),
            forbidden: assessment.forbidden,
            promises: assessment.promises.iter().map(Promise::new).collect(),
            question: assessment.question.map(zhili_tone::QuestionKind::as_str),
            topic: assessment.topic,
            evidence: assessment
                .evidence
                .iter()
                .map(|evidence| Evidence {
                    start: evidence.start,
                    end: evidence.end,
                    class: evidence.class,
                    rule: &evidence.rule,
                    points: evidence.points,
                })
                .collect(),
            text,
        }
    }
}

/// Why a line has no score. An empty field name stands for the line as a whole.
#[derive(Debug)]
pub(crate) struct Refusal {
    field: &'static str,
    message: String,
}

impl Refusal {
    fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self { field, message: message.into() }
    }
}

impl From<Fault> for Refusal {
    fn from(Fault { field, message }: Fault) -> Self {
        Self { field, message }
    }
}

/// What a line asks, as far as it is of the right types.
#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    text: Cow<'a, str>,
    #[serde(borrow, default)]
    lang: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    context: Option<Vec<Cow<'a, str>>>,
}

/// Scores `line` (without its line feed) and appends one line to `out`; false if it is bad.
pub(crate) fn answer(engine: &Engine, line: &[u8], out: &mut Vec<u8>) -> bool {
    let text = match std::str::from_utf8(line) {
        Ok(text) => text,
        Err(error) => {
            let valid = String::from_utf8_lossy(&line[..error.valid_up_to()]);
            let message = format!("not valid UTF-8 at byte {} of the line", error.valid_up_to());
            let whole = String::from_utf8_lossy(line);
            refuse_unread(&valid, &whole, &message, out);
            return false;
        }
    };
    let scored = match serde_json::from_str::<Request<'_>>(text) {
        Ok(request) => score(engine, &request, out),
        Err(_) => match serde_json::from_str::<Value>(text) {
            Ok(value) => score_value(engine, &value, out),
            Err(error) => {
                refuse_unread(text, text, &format!("not JSON: {error}"), out);
                return false;
            }
        },
    };
    match scored {
        Ok(()) => true,
        Err(refusal) => {
            refuse(read(text, Care::Form).id.as_deref(), &refusal, out);
            false
        }
    }
}

/// Refuses a line of which only `start` was kept because it is longer than `limit` bytes.
pub(crate) fn refuse_too_long(start: &[u8], limit: usize, out: &mut Vec<u8>) {
    let start = String::from_utf8_lossy(start);
    let message = format!("the line is longer than {limit} bytes");
    refuse_unread(&start, &start, &message, out);
}

fn score(engine: &Engine, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let canonical = id(request.id)?;
    let role = role(&request.role)?;
    let context = request.context.as_deref().unwrap_or_default();
    let (masked, assessment) =
        assess(engine, role, &request.text, request.lang.as_deref(), context)?;
    let changed = masked.changed().then_some(&*masked.text);
    write(&Answer::new(canonical.as_deref().unwrap_or(request.id), &assessment, changed), out);
    Ok(())
}

/// Checks an id; gives it in another spelling if its own might not be valid for every reader.
fn id(given: &RawValue) -> Result<Option<Box<RawValue>>, Refusal> {
    let wrong = || Refusal::new("id", "a string or a number is needed");
    match given.get().as_bytes().first() {
        Some(b'"') if given.get().contains('\\') => {
            // Only a parse finds an escape that is no character, such as half a surrogate pair.
            let id: String = serde_json::from_str(given.get()).map_err(|_| wrong())?;
            serde_json::value::to_raw_value(&id).map(Some).map_err(|_| wrong())
        }
        Some(b'"' | b'-' | b'0'..=b'9') => Ok(None),
        _ => Err(wrong()),
    }
}

fn role(name: &str) -> Result<Role, Refusal> {
    Role::from_name(name).ok_or_else(|| {
        Refusal::new("role", format!("customer or agent is needed, not {}", quoted(name)))
    })
}

/// Scores what could not be read in one go: says which field is wrong, or scores a line whose
/// only fault is a repeated field, which counts with its last value.
fn score_value(engine: &Engine, value: &Value, out: &mut Vec<u8>) -> Result<(), Refusal> {
    if let Some(refusal) = wrong_type(value) {
        return Err(refusal);
    }
    let line = value.to_string();
    match serde_json::from_str::<Request<'_>>(&line) {
        Ok(request) => score(engine, &request, out),
        Err(error) => Err(Refusal::new("", error.to_string())),
    }
}

/// The first field that is missing or of the wrong type.
fn wrong_type(value: &Value) -> Option<Refusal> {
    let Value::Object(fields) = value else {
        return Some(Refusal::new("", "a JSON object is needed"));
    };
    let wrong = |field, what: &str| Some(Refusal::new(field, format!("{what} is needed")));
    for field in ["id", "role", "text"] {
        let what = if field == "id" { "a string or a number" } else { "a string" };
        match fields.get(field) {
            Some(Value::String(_)) => {}
            Some(Value::Number(_)) if field == "id" => {}
            None => return Some(Refusal::new(field, format!("missing, {what} is needed"))),
            Some(_) => return wrong(field, what),
        }
    }
    if !matches!(fields.get("lang"), None | Some(Value::Null | Value::String(_))) {
        return wrong("lang", "a string");
    }
    match fields.get("context") {
        None | Some(Value::Null) => None,
        Some(Value::Array(lines)) if lines.iter().all(Value::is_string) => None,
        Some(_) => wrong("context", "an array of strings"),
    }
}

/// Refuses a line that cannot be read beyond `start`: whatever field ends there is at fault.
/// `whole` is the line as it can be shown, for an id that comes later.
fn refuse_unread(start: &str, whole: &str, message: &str, out: &mut Vec<u8>) {
    let found = read(start, Care::Values);
    let found_id = found.id.or_else(|| {
        let id = read(whole, Care::Form).id?;
        (!id.get().contains(char::REPLACEMENT_CHARACTER)).then_some(id)
    });
    let refusal = Refusal::new(found.field.unwrap_or_default(), message);
    refuse(found_id.as_deref(), &refusal, out);
}

fn refuse(found_id: Option<&RawValue>, refusal: &Refusal, out: &mut Vec<u8>) {
    #[derive(Serialize)]
    struct Refused<'a> {
        id: Option<&'a RawValue>,
        error: ErrorBody<'a>,
    }
    #[derive(Serialize)]
    struct ErrorBody<'a> {
        field: &'a str,
        message: &'a str,
    }
    let field = if refusal.field.is_empty() { "line" } else { refusal.field };
    let error = ErrorBody { field, message: &refusal.message };
    write(&Refused { id: found_id, error }, out);
}

fn write(answer: &impl Serialize, out: &mut Vec<u8>) {
    let before = out.len();
    // Writing plain structs to memory cannot fail; half a line would be worse than none.
    if serde_json::to_writer(&mut *out, answer).is_err() {
        out.truncate(before);
    }
    out.push(b'\n');
}

/// What can be read of a line that is no valid request.
#[derive(Default)]
struct Found {
    id: Option<Box<RawValue>>,
    /// The known field at whose value reading stopped.
    field: Option<&'static str>,
}

/// How closely a line is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    /// Only where values begin and end, so that an id after a broken value is found.
    Form,
    /// The values of known fields too, so that reading stops at a broken one.
    Values,
}

fn read(text: &str, care: Care) -> Found {
    let mut found = Found::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    // What was found before an error is the point here, not the error.
    let _ = Reader { found: &mut found, care }.deserialize(&mut deserializer);
    found
}

struct Reader<'f> {
    found: &'f mut Found,
    care: Care,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            self.found.field = FIELDS.into_iter().find(|field| *field == key);
            if key == "id" {
                let given: &RawValue = map.next_value()?;
                if let Ok(canonical) = id(given) {
                    self.found.id = Some(canonical.unwrap_or_else(|| given.to_owned()));
                }
            } else if self.care == Care::Values && self.found.field.is_some() {
                map.next_value::<Value>()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            self.found.field = None;
        }
        Ok(())
    }
}
