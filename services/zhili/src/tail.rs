//! `zhili tail`: scores, signals and incidents as they happen.

use std::collections::HashMap;
use std::io::IsTerminal;

use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use zhili_eventlog::topics;
use zhili_proto::escalation::v1::{IncidentEvent, LogEntry, Signal, log_entry};
use zhili_proto::log::v1::log_service_client::LogServiceClient;
use zhili_proto::log::v1::{TailRequest, TailResponse};
use zhili_proto::millis;
use zhili_proto::scoring::v1::{ScoredEvent, complaint, politeness, sentiment};
use zhili_runtime::Failure;

use crate::client::{Connection, System, print, print_json, said};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    system: System,
    /// Start with the last so many of them.
    #[arg(long, default_value_t = 0)]
    last: usize,
    /// End at what is there now instead of waiting for more.
    #[arg(long)]
    until_now: bool,
    /// One JSON object a record.
    #[arg(long)]
    json: bool,
}

/// One of the things that are shown, when it was appended and where.
struct Found {
    append_ms: i64,
    at: (String, u32, u64),
    shown: Shown,
}

enum Shown {
    Score(Box<ScoredEvent>),
    Signal(Box<Signal>),
    Incident(Box<IncidentEvent>),
}

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BOLD: &str = "1";

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let addresses = arguments.system.addresses()?;
    let connection = arguments.system.connect(&addresses.ingest).await?;
    let colour = std::io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let show = |found: &Found| match (&found.shown, arguments.json) {
        (Shown::Score(scored), true) => print_json(&**scored),
        (Shown::Signal(signal), true) => print_json(&**signal),
        (Shown::Incident(event), true) => print_json(&**event),
        (shown, false) => print(&line(found.append_ms, shown, colour)),
    };
    let last = arguments.last as u64;
    // What comes is waited for before what is there is read, so that nothing falls between the two.
    let coming =
        if arguments.until_now { None } else { Some(Tails::open(&connection, last, false).await?) };
    let mut ends: HashMap<(String, u32), u64> = HashMap::new();
    if last > 0 {
        // Over a connection of its own, on which nothing that is not read yet stands in the way.
        let connection = arguments.system.connect(&addresses.ingest).await?;
        let mut tails = Tails::open(&connection, last, true).await?;
        let mut there = Vec::new();
        while let Some(found) = tails.next().await? {
            there.push(found);
        }
        // In the order of times over all partitions.
        there.sort_by(|one, other| (one.append_ms, &one.at).cmp(&(other.append_ms, &other.at)));
        for Found { at: (topic, partition, offset), .. } in &there {
            let end = ends.entry((topic.clone(), *partition)).or_default();
            *end = (*end).max(*offset);
        }
        let from = there.len().saturating_sub(arguments.last);
        there[from..].iter().try_for_each(show)?;
    }
    let Some(mut coming) = coming else { return Ok(()) };
    while let Some(found) = coming.next().await? {
        let (topic, partition, offset) = &found.at;
        if ends.get(&(topic.clone(), *partition)).is_none_or(|end| offset > end) {
            show(&found)?;
        }
    }
    Ok(())
}

/// What stands in the topics, beginning with the last records of each partition.
struct Tails {
    results: mpsc::Receiver<Found>,
    reading: JoinSet<Result<(), tonic::Status>>,
}

impl Tails {
    /// The last records are those that are the last before this returns.
    async fn open(connection: &Connection, last: u64, until_now: bool) -> Result<Self, Failure> {
        let mut reading = JoinSet::new();
        let (sender, results) = mpsc::channel(1_000);
        for topic in [topics::SCORES, topics::ESCALATION, topics::INCIDENTS] {
            let mut client = LogServiceClient::new(connection.clone());
            let request = TailRequest { topic: topic.to_owned(), last, until_now };
            let stream = client.tail(request).await.map_err(|status| said(&status))?;
            let (mut stream, sender) = (stream.into_inner(), sender.clone());
            reading.spawn(async move {
                while let Some(record) = stream.message().await? {
                    if let Some(found) = read(record)
                        && sender.send(found).await.is_err()
                    {
                        break;
                    }
                }
                Ok(())
            });
        }
        Ok(Self { results, reading })
    }

    /// The next one; `None` when there are no more.
    async fn next(&mut self) -> Result<Option<Found>, Failure> {
        if let Some(found) = self.results.recv().await {
            return Ok(Some(found));
        }
        while let Some(ended) = self.reading.join_next().await {
            if let Ok(Err(status)) = ended {
                return Err(said(&status));
            }
        }
        Ok(None)
    }
}

fn read(record: TailResponse) -> Option<Found> {
    let append_ms = record.append_time.as_ref().and_then(millis).unwrap_or_default();
    let shown = match record.topic.as_str() {
        topics::SCORES => ScoredEvent::decode(record.value).ok().map(|s| Shown::Score(s.into())),
        topics::INCIDENTS => {
            IncidentEvent::decode(record.value).ok().map(|event| Shown::Incident(event.into()))
        }
        _ => match LogEntry::decode(record.value).ok()?.entry? {
            log_entry::Entry::Signal(signal) => Some(Shown::Signal(signal.into())),
            _ => None,
        },
    }?;
    Some(Found { append_ms, at: (record.topic, record.partition, record.offset), shown })
}

fn line(append_ms: i64, shown: &Shown, colour: bool) -> String {
    let at = jiff::Timestamp::from_millisecond(append_ms).unwrap_or_default();
    let at = at.to_zoned(jiff::tz::TimeZone::system()).strftime("%m-%d %H:%M:%S").to_string();
    let paint = |code: &str, text: &str| {
        if colour && !code.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    };
    match shown {
        Shown::Score(scored) => {
            let event = scored.event.clone().unwrap_or_default();
            let role = event.author.as_ref().map_or("", |author| author.role().as_str_name());
            let (code, mark) = verdict(scored);
            let mark = paint(code, &format!("{mark:<18}"));
            format!("{at} score    {mark} {role:<10} {}\n", event.text.replace('\n', " "))
        }
        Shown::Signal(signal) => {
            let what = format!("{} {}", signal.kind, signal.category);
            format!("{at} signal   {} {}\n", paint(RED, &format!("{what:<29}")), signal.excerpt)
        }
        Shown::Incident(event) => {
            let kind = format!("{:<18}", event.r#type().as_str_name());
            let incident = event.incident.clone().unwrap_or_default();
            let excerpt = incident.evidence.last().map_or("", |signal| &signal.excerpt);
            let what = crate::incidents::what(&incident);
            let id = &incident.incident_id;
            format!("{at} incident {} {what:<10} {id} {excerpt}\n", paint(BOLD, &kind))
        }
    }
}

/// The most telling of a text's scores, with its colour.
fn verdict(scored: &ScoredEvent) -> (&'static str, String) {
    let Some(assessment) = &scored.assessment else { return ("", "-".to_owned()) };
    if assessment.forbidden {
        return (RED, "forbidden".to_owned());
    }
    if let Some(complaint) = &assessment.complaint
        && complaint.label() == complaint::Label::Urgent
    {
        return (RED, format!("urgent {:.2}", complaint.probability));
    }
    if let Some(politeness) = &assessment.politeness {
        let code = match politeness.label() {
            politeness::Label::Impolite => RED,
            politeness::Label::Polite => GREEN,
            _ => "",
        };
        return (code, format!("{} {:.0}", politeness.label().as_str_name(), politeness.score));
    }
    if let Some(sentiment) = &assessment.sentiment {
        let code = match sentiment.label() {
            sentiment::Label::Neg => YELLOW,
            sentiment::Label::Pos => GREEN,
            _ => "",
        };
        return (code, format!("{} {:+.2}", sentiment.label().as_str_name(), sentiment.value));
    }
    ("", "-".to_owned())
}
