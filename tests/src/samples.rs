//! The project's own sample conversations with what is expected of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Value, json};

/// A conversation; the format is described in `tests/samples/README.md`.
#[derive(Clone, Debug, Deserialize)]
pub struct Conversation {
    /// Its id; event ids are made from it and the turn.
    pub id: String,
    /// Main language.
    pub lang: String,
    /// What was said and done, in order.
    pub turns: Vec<Turn>,
    /// What a careful person insists on.
    #[serde(default)]
    pub expect: Expectations,
}

/// One thing that was said or done.
#[derive(Clone, Debug, Deserialize)]
pub struct Turn {
    /// Who: customer, agent, bot, system, supervisor.
    pub role: String,
    /// What was written.
    #[serde(default)]
    pub text: String,
    /// Kind of event; a message if absent.
    pub r#type: Option<String>,
    after: Option<String>,
    agent: Option<String>,
    subtype: Option<String>,
    #[serde(default)]
    private: bool,
    status: Option<String>,
    score: Option<f64>,
    max: Option<f64>,
    target: Option<usize>,
    seq: Option<i64>,
}

/// Expectations of one conversation.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Expectations {
    /// Messages that must raise an urgent signal.
    pub urgent: Vec<Urgent>,
    /// Texts that must be masked wherever they stand.
    pub pii: Vec<String>,
    /// Texts that must survive masking.
    pub keep: Vec<String>,
    /// Seconds by metric id; only cycles may have none.
    pub response_times: BTreeMap<String, Vec<Option<f64>>>,
}

/// A message that must raise an urgent signal.
#[derive(Clone, Debug, Deserialize)]
pub struct Urgent {
    /// Index of the turn.
    pub turn: usize,
    /// Category of the signal.
    pub category: String,
}

/// Folder of the samples.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")
}

/// The files of the samples, by name.
pub fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|it| it == "jsonl")).collect();
    files.sort();
    files
}

/// All conversations.
pub fn all() -> Vec<Conversation> {
    let mut conversations = Vec::new();
    for file in files() {
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let conversation: Conversation = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{}: {error}: {line}", file.display()));
            conversations.push(conversation);
        }
    }
    conversations
}

/// The events of conversations with given times, in the order in which a platform would send
/// them: the last event of each is at `end_ms`, milliseconds since the Unix epoch.
pub fn events(conversations: &[Conversation], end_ms: i64) -> Vec<Value> {
    timed(conversations, end_ms).into_iter().map(|(_, event)| event).collect()
}

/// The same, each with when it is sent.
pub fn timed(conversations: &[Conversation], end_ms: i64) -> Vec<(i64, Value)> {
    let mut events = Vec::new();
    for conversation in conversations {
        let mut at = 0;
        let mut timed = Vec::new();
        for (index, turn) in conversation.turns.iter().enumerate() {
            if index > 0 {
                at += turn.after.as_deref().map_or(20_000, milliseconds);
            }
            timed.push((at, event(conversation, index, turn)));
        }
        for (offset, mut event) in timed {
            let sent_ms = end_ms - at + offset;
            event["sent_at"] = time(sent_ms).into();
            events.push((sent_ms, event));
        }
    }
    events
}

fn event(conversation: &Conversation, index: usize, turn: &Turn) -> Value {
    let id = &conversation.id;
    let author = match (&turn.agent, turn.role.as_str()) {
        (Some(agent), _) => agent,
        (None, "customer") => id,
        (None, role) => role,
    };
    let mut event = json!({
        "event_id": format!("{id}-{index}"),
        "source": "samples",
        "conversation_id": id,
        "type": turn.r#type.as_deref().unwrap_or("message"),
        "channel": "chat",
        "lang": conversation.lang,
        "customer": {"id": id},
        "author": {"id": author, "role": turn.role},
        "mode": "live",
        "text": turn.text,
        "private": turn.private,
    });
    if let Some(subtype) = &turn.subtype {
        event["author"]["subtype"] = subtype.as_str().into();
    }
    if let Some(status) = &turn.status {
        event["status"] = status.as_str().into();
    }
    if let Some(score) = turn.score {
        event["csat"] = json!({"score": score, "max": turn.max.unwrap_or(5.0)});
    }
    if let Some(target) = turn.target {
        event["target"] = format!("{id}-{target}").into();
    }
    if let Some(seq) = turn.seq {
        event["seq"] = seq.to_string().into();
    }
    event
}

/// A length such as `9.5s`, `3m`, `2h`, `5d`.
fn milliseconds(length: &str) -> i64 {
    let (number, unit) = length.split_at(length.len() - 1);
    let factor = match unit {
        "s" => 1_000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => panic!("{length}: no unit that the samples use"),
    };
    (number.parse::<f64>().unwrap() * factor) as i64
}

/// The present time as events have it.
pub fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    time(since.as_millis() as i64)
}

/// A time as RFC 3339.
pub fn time(ms: i64) -> String {
    let timestamp = zhili_proto::timestamp(ms);
    serde_json::to_value(timestamp).unwrap().as_str().unwrap().to_owned()
}
