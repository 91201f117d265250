//! What is there when everything is over: asked of ClickHouse itself, of the log and of the
//! receiver of pages.

use std::time::Duration;

use prost::Message as _;
use serde_json::Value;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use zhili_proto::conversation::v1::{EventType, LogEntry, author, log_entry};
use zhili_proto::log::v1::ListGroupsRequest;
use zhili_proto::log::v1::log_service_client::LogServiceClient;
use zhili_proto::metrics::v1::AuditRequest;
use zhili_proto::metrics::v1::metrics_service_client::MetricsServiceClient;

use super::process::command;
use super::stage::Stage;
use crate::conservation::{Arrival, DeadLetter, Judge, Kind, Poison, Role, SOURCE, payload};
use crate::{Tables, program};

/// Rows are asked for in so many pieces, each of which fits the store's memory.
const SLICES: u32 = 16;

/// How long a store may be away that has just met what its disk did not take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Adds the token to every call.
#[derive(Clone)]
struct Bearer(MetadataValue<Ascii>);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, tonic::Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

type Connection = InterceptedService<Channel, Bearer>;

async fn connect(stage: &Stage, address: String) -> Result<Connection, String> {
    let endpoint = Channel::from_shared(address).unwrap();
    let channel = endpoint.connect().await.map_err(|error| error.to_string())?;
    let bearer = format!("Bearer {}", stage.token).parse().unwrap();
    Ok(InterceptedService::new(channel, Bearer(bearer)))
}

/// Records that some group has not read.
pub(crate) async fn lag(stage: &Stage) -> Result<u64, String> {
    let connection = connect(stage, stage.address("ingest", 0)).await?;
    let mut client = LogServiceClient::new(connection);
    let groups = client.list_groups(ListGroupsRequest {}).await.map_err(|it| it.to_string())?;
    let behind = groups.into_inner().positions.into_iter();
    Ok(behind.map(|position| position.end.saturating_sub(position.committed)).sum())
}

/// What tables and the log say besides the events.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Rows of any table that stand for a record that another row stands for.
    pub(crate) duplicates: u64,
    /// See [`crate::conservation::Report::differing_facts`].
    pub(crate) differing: u64,
    pub(crate) pages: u64,
    pub(crate) examples: Vec<String>,
}

/// Tells the judge everything.
pub(crate) async fn collect(stage: &Stage, judge: &mut Judge<'_>) -> Facts {
    let tables = stage.tables().patient(PATIENCE);
    let mut facts = Facts::default();
    // The table itself and not the view, which would hide a second row.
    let mut rows = 0;
    for slice in 0..SLICES {
        let sql = format!(
            "SELECT event_id, type, role, text, toUnixTimestamp64Milli(sent_at) AS sent_ms \
             FROM events WHERE source = '{SOURCE}' AND cityHash64(event_id) % {SLICES} = {slice}"
        );
        for row in tables.rows(&sql).await {
            let text = |name: &str| row[name].as_str().unwrap();
            let sent_ms = row["sent_ms"].as_i64().unwrap();
            judge.row(text("event_id"), payload(text("type"), text("role"), text("text"), sent_ms));
            rows += 1;
        }
    }
    for view in ["v_events", "v_messages"] {
        let shown = format!("SELECT count() FROM {view} WHERE source = '{SOURCE}'");
        let shown = tables.number(&shown).await;
        if shown != rows {
            facts.differing += shown.abs_diff(rows);
            facts.examples.push(format!("{view} shows {shown} of {rows} rows"));
        }
    }
    dead_letters(&tables, judge).await;
    let urgent = "SELECT event_id, conversation_id FROM v_signals WHERE kind = 'urgent_complaint'";
    for row in tables.rows(urgent).await {
        judge.signal(row["event_id"].as_str().unwrap(), row["conversation_id"].as_str().unwrap());
    }
    let incidents =
        "SELECT incident_id, conversation_id FROM v_incidents WHERE family = 'complaint'";
    for row in tables.rows(incidents).await {
        let text = |name: &str| row[name].as_str().unwrap();
        judge.incident(text("incident_id"), text("conversation_id"));
    }
    pages(stage, judge, &mut facts);
    facts.duplicates = tables.duplicates().await;
    audit(stage, &mut facts).await;
    replay(stage, &mut facts).await;
    facts
}

async fn dead_letters(tables: &Tables, judge: &mut Judge<'_>) {
    let sql = "SELECT source_topic, source_partition, source_offset, hex(payload) AS payload, \
               payload_sha256, payload_length FROM dead_letters";
    for row in tables.rows(sql).await {
        let number = |name: &str| row[name].as_u64().unwrap();
        let (partition, offset) = (number("source_partition") as u32, number("source_offset"));
        let bytes = unhex(row["payload"].as_str().unwrap());
        let entry = LogEntry::decode(&*bytes).ok().and_then(|entry| entry.entry);
        let letter = match entry {
            Some(log_entry::Entry::Event(event)) => {
                let kind = match event.r#type() {
                    EventType::Message => Kind::Message.name(),
                    _ => Kind::Typing.name(),
                };
                let customer =
                    event.author.as_ref().map(|it| it.role) == Some(author::Role::Customer.into());
                let role = if customer { Role::Customer } else { Role::Agent };
                let sent_ms = event.sent_at.as_ref().and_then(zhili_proto::millis).unwrap_or(0);
                let payload = payload(kind, role.name(), &event.text, sent_ms);
                DeadLetter::Event { id: event.event_id, payload, at: (partition, offset) }
            }
            _ => DeadLetter::Bytes(Poison {
                partition,
                offset,
                sha256: row["payload_sha256"].as_str().unwrap().to_owned(),
                length: number("payload_length"),
            }),
        };
        judge.dead_letter(letter);
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn pages(stage: &Stage, judge: &mut Judge<'_>, facts: &mut Facts) {
    let mut ids = std::collections::BTreeSet::new();
    for page in stage.receiver.pages() {
        if !page.verified {
            facts.differing += 1;
            facts.examples.push(format!("a page with a wrong signature: {}", page.body));
        }
        let data = page.data();
        let conversation = data["conversation_id"].as_str().unwrap_or_default().to_owned();
        ids.insert(page.id.clone());
        let since = page.at.duration_since(std::time::UNIX_EPOCH).unwrap();
        judge.page(Arrival { page: page.id, conversation, at_ms: since.as_millis() as i64 });
    }
    facts.pages = ids.len() as u64;
}

/// Compares the log with the tables.
async fn audit(stage: &Stage, facts: &mut Facts) {
    let connection = connect(stage, stage.address("metrics", 0)).await.unwrap();
    let mut client = MetricsServiceClient::new(connection);
    for topic in [
        "zhili.scores.v1",
        "zhili.facts.v1",
        "zhili.escalation.v1",
        "zhili.incidents.v1",
        "zhili.dead-letters.v1",
    ] {
        let mut request = AuditRequest { topic: topic.to_owned(), ..AuditRequest::default() };
        loop {
            let answer = client.audit(request.clone()).await.unwrap().into_inner();
            let (holes, strays, twice) = (answer.holes, answer.strays, answer.duplicates);
            facts.differing += holes + strays;
            facts.duplicates += twice;
            if holes + strays + twice > 0 {
                let at = request.partition;
                let words = format!("{topic}[{at}]: {holes} holes, {strays} strays, {twice} twice");
                facts.examples.push(words);
            }
            if answer.next_offset < answer.end_offset {
                request.from_offset = answer.next_offset;
            } else if request.partition + 1 < answer.partitions {
                (request.partition, request.from_offset) = (request.partition + 1, 0);
            } else {
                break;
            }
        }
    }
}

/// Folds the whole log once more, in one go and without faults, and compares.
async fn replay(stage: &Stage, facts: &mut Facts) {
    let mut replay = command(program());
    replay.args(["replay", "--json", "--url", &stage.address("ingest", 0)]);
    replay.args(["--token", &stage.token]);
    let output = tokio::task::spawn_blocking(move || replay.output().unwrap()).await.unwrap();
    let Ok(answer) = serde_json::from_slice::<Value>(&output.stdout) else {
        facts.differing += 1;
        facts.examples.push(format!("no replay: {}", String::from_utf8_lossy(&output.stderr)));
        return;
    };
    let partitions = answer["partitions"].as_array().unwrap();
    for partition in partitions.iter().filter(|it| it["equal"] == false) {
        let number = |name: &str| partition[name].as_u64().unwrap();
        facts.differing += number("replayed").abs_diff(number("stored")).max(1);
        facts.examples.push(format!("the replay differs: {partition}"));
    }
    let scores = partitions.iter().filter(|it| it["topic"] == "zhili.scores.v1");
    let replayed: u64 = scores.map(|it| it["replayed"].as_u64().unwrap()).sum();
    assert!(replayed > 0, "the replay compared nothing: {answer}");
}
