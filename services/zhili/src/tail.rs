//! `zhili tail`: scores, signals and incidents as they happen.

use std::io::IsTerminal;

use prost::Message;
use tokio::task::JoinSet;
use zhili_eventlog::topics;
use zhili_proto::escalation::v1::{IncidentEvent, LogEntry, Signal, log_entry};
use zhili_proto::log::v1::log_service_client::LogServiceClient;
use zhili_proto::log::v1::{TailRequest, TailResponse};
use zhili_proto::scoring::v1::{ScoredEvent, complaint, politeness, sentiment};
use zhili_runtime::Failure;

use crate::client::{System, print, print_json, said};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    system: System,
    /// Start with this many records of each partition before now.
    #[arg(long, default_value_t = 0)]
    last: u64,
    /// End at what is there now instead of waiting for more.
    #[arg(long)]
    until_now: bool,
    /// One JSON object a record.
    #[arg(long)]
    json: bool,
}

/// One of the things that are shown.
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
    let mut tails = JoinSet::new();
    let (found, mut results) = tokio::sync::mpsc::channel(1_000);
    for topic in [topics::SCORES, topics::ESCALATION, topics::INCIDENTS] {
        let mut client = LogServiceClient::new(connection.clone());
        let request = TailRequest {
            topic: topic.to_owned(),
            last: arguments.last,
            until_now: arguments.until_now,
        };
        let found = found.clone();
        tails.spawn(async move {
            let mut stream = client.tail(request).await?.into_inner();
            while let Some(record) = stream.message().await? {
                if let Some(shown) = read(record)
                    && found.send(shown).await.is_err()
                {
                    break;
                }
            }
            Ok::<_, tonic::Status>(())
        });
    }
    drop(found);
    while let Some(shown) = results.recv().await {
        match (&shown, arguments.json) {
            (Shown::Score(scored), true) => print_json(&**scored)?,
            (Shown::Signal(signal), true) => print_json(&**signal)?,
            (Shown::Incident(event), true) => print_json(&**event)?,
            (_, false) => print(&line(&shown, colour))?,
        }
    }
    while let Some(ended) = tails.join_next().await {
        if let Ok(Err(status)) = ended {
            return Err(said(&status));
        }
    }
    Ok(())
}

fn read(record: TailResponse) -> Option<Shown> {
    match record.topic.as_str() {
        topics::SCORES => ScoredEvent::decode(record.value).ok().map(|s| Shown::Score(s.into())),
        topics::INCIDENTS => {
            IncidentEvent::decode(record.value).ok().map(|event| Shown::Incident(event.into()))
        }
        _ => match LogEntry::decode(record.value).ok()?.entry? {
            log_entry::Entry::Signal(signal) => Some(Shown::Signal(signal.into())),
            _ => None,
        },
    }
}

fn line(shown: &Shown, colour: bool) -> String {
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
            format!("score    {mark} {role:<10} {}\n", event.text.replace('\n', " "))
        }
        Shown::Signal(signal) => {
            let what = format!("{} {}", signal.kind, signal.category);
            format!("signal   {} {}\n", paint(RED, &format!("{what:<29}")), signal.excerpt)
        }
        Shown::Incident(event) => {
            let kind = format!("{:<18}", event.r#type().as_str_name());
            let incident = event.incident.clone().unwrap_or_default();
            format!("incident {} {}", paint(BOLD, &kind), crate::incidents::line(&incident))
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
