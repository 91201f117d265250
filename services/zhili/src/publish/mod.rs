//! `zhili publish`: files of events or dialogues into the running system.

mod dialogue;
mod read;
mod table;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio_stream::wrappers::ReceiverStream;
use zhili_eventlog::system_clock;
use zhili_proto::conversation::v1::ingest_service_client::IngestServiceClient;
use zhili_proto::conversation::v1::{
    Event, PublishResult, PublishStreamRequest, Rejection, event::Mode, publish_result,
};
use zhili_proto::metrics::v1::GetSummaryRequest;
use zhili_proto::metrics::v1::metrics_service_client::MetricsServiceClient;
use zhili_runtime::Failure;
use zhili_runtime::config::Secret;

use self::dialogue::Pace;
pub(crate) use self::table::Columns;
use crate::client::{System, connect, print, print_json, said};
use crate::duration::Length;
use crate::files::Addresses;

/// Events in one message of the stream.
const BATCH: usize = 200;
/// Messages on the way at once.
const IN_FLIGHT: usize = 8;
/// Rejections shown in full.
const SHOWN: usize = 10;
/// Events older than this are history unless told otherwise.
const HISTORY: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    system: System,
    /// JSON lines of events, or of dialogues {id, lang, turns: [{role, text}]}, or with --columns CSV;
    /// .gz is read too.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The files are CSV with headings; this TOML file says which column is which field of an event.
    #[arg(long, value_name = "FILE")]
    columns: Option<PathBuf>,
    /// Time between two turns that have none of their own; the last one is now.
    #[arg(long, default_value = "20s")]
    gap: Length,
    /// Leave conversations open instead of closing each with `resolved`.
    #[arg(long)]
    open: bool,
    /// Send each event when its time comes instead of as fast as it goes.
    #[arg(long)]
    realtime: bool,
    /// History: score and count, but fire no deadline and page nobody. The default for files
    /// whose first event is over an hour old.
    #[arg(long, conflicts_with = "live")]
    backfill: bool,
    /// News, however old.
    #[arg(long)]
    live: bool,
    /// One JSON object instead of words.
    #[arg(long)]
    json: bool,
}

/// Whether a text says of the columns of an export what they are.
#[cfg(test)]
pub(crate) fn check_columns(text: &str) -> Result<(), String> {
    Columns::parse(text).map(drop)
}

/// What became of the events.
#[derive(Debug, Default)]
struct Tally {
    events: u64,
    accepted: u64,
    rejected: Vec<(String, Rejection)>,
    rejections: u64,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let addresses = arguments.system.addresses()?;
    let token = arguments.system.token()?;
    let pace = Pace { gap_ms: arguments.gap.ms, close: !arguments.open, now_ms: system_clock()() };
    let mode = match (arguments.backfill, arguments.live) {
        (true, _) => Some(Mode::Backfill),
        (_, true) => Some(Mode::Live),
        _ => None,
    };
    let columns = arguments.columns.as_deref().map(Columns::read).transpose()?;
    let started = Instant::now();
    let mut tally = Tally::default();
    for file in &arguments.files {
        let events = match &columns {
            Some(columns) => read::table(file, columns)?,
            None => read::events(file, &pace)?,
        };
        let events = dated(events, &pace, mode);
        let events = read::paced(events, arguments.realtime, pace.now_ms);
        publish(&addresses, &token, &file.display().to_string(), events, &mut tally).await?;
    }
    tally.report(started.elapsed(), arguments.json)
}

/// The events of files and of the files in folders, for `zhili up --publish`.
pub(crate) fn read_paths(paths: &[PathBuf]) -> Result<Vec<Event>, Failure> {
    let pace = Pace { gap_ms: 20_000, close: true, now_ms: system_clock()() };
    let mut events = Vec::new();
    for path in paths {
        for file in read::files_in(path)? {
            events.extend(dated(read::events(&file, &pace)?, &pace, None));
        }
    }
    Ok(events)
}

/// Publishes events as they come, and says what became of them.
pub(crate) async fn publish_all(
    addresses: &Addresses,
    token: &Secret,
    events: Vec<Event>,
) -> Result<(), Failure> {
    let started = Instant::now();
    let mut tally = Tally::default();
    let events = read::paced(events, false, system_clock()());
    publish(addresses, token, "publishing", events, &mut tally).await?;
    tally.report(started.elapsed(), false)
}

/// News or history, where events do not say.
fn dated(mut events: Vec<Event>, pace: &Pace, mode: Option<Mode>) -> Vec<Event> {
    let first_ms = events.first().and_then(|e| e.sent_at.as_ref()).and_then(zhili_proto::millis);
    let old = first_ms.is_some_and(|first| pace.now_ms - first > HISTORY.as_millis() as i64);
    let made_up = events.first().is_some_and(|event| event.source.starts_with("file:"));
    let mode = mode.unwrap_or(if old && !made_up { Mode::Backfill } else { Mode::Live });
    for event in &mut events {
        if event.mode() == Mode::Unspecified {
            event.mode = mode.into();
        }
    }
    events
}

async fn publish(
    addresses: &Addresses,
    token: &Secret,
    what: &str,
    events: read::Paced,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let total = events.len();
    tally.events += total as u64;
    let bar = ProgressBar::new(total as u64).with_message(what.to_owned());
    if let Ok(style) =
        ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} events, {per_sec}, {elapsed}")
    {
        bar.set_style(style.progress_chars("=> "));
    }
    let mut client = IngestServiceClient::new(connect(&addresses.ingest, token).await?);
    let (sender, requests) = tokio::sync::mpsc::channel(IN_FLIGHT);
    let sending = tokio::spawn(async move {
        let mut events = events;
        loop {
            let batch = events.next_batch(BATCH).await;
            if batch.is_empty()
                || sender.send(PublishStreamRequest { events: batch }).await.is_err()
            {
                return;
            }
        }
    });
    let mut answers = client
        .publish_stream(ReceiverStream::new(requests))
        .await
        .map_err(|status| said(&status))?
        .into_inner();
    while let Some(answer) = answers.message().await.map_err(|status| said(&status))? {
        bar.inc(answer.results.len() as u64);
        answer.results.into_iter().for_each(|result| tally.count(result));
    }
    sending.abort();
    bar.finish();
    Ok(())
}

impl Tally {
    fn count(&mut self, result: PublishResult) {
        match result.outcome {
            Some(publish_result::Outcome::Rejection(rejection)) => {
                self.rejections += 1;
                if self.rejected.len() < SHOWN {
                    self.rejected.push((result.event_id, rejection));
                }
            }
            _ => self.accepted += 1,
        }
    }

    fn report(&self, took: Duration, as_json: bool) -> Result<(), Failure> {
        let seconds = took.as_secs_f64();
        if as_json {
            let rejected: Vec<_> = self
                .rejected
                .iter()
                .map(|(id, r)| json!({"event_id": id, "field": r.field, "code": r.code, "message": r.message}))
                .collect();
            print_json(&json!({
                "events": self.events,
                "accepted": self.accepted,
                "rejected": self.rejections,
                "rejections": rejected,
                "seconds": seconds,
            }))?;
        } else {
            let mut text =
                format!("{} of {} events accepted in {seconds:.1} s\n", self.accepted, self.events);
            for (id, rejection) in &self.rejected {
                // Writing to a string does not fail.
                let _ = writeln!(text, "  {id}: {}: {}", rejection.field, rejection.message);
            }
            let more = self.rejections - self.rejected.len() as u64;
            if more > 0 {
                let _ = writeln!(text, "  and {more} more");
            }
            print(&text)?;
        }
        let unanswered = self.events - self.accepted - self.rejections;
        if unanswered > 0 {
            return Err(Failure::TryAgain(format!(
                "{unanswered} events were not answered; publish again, what is there already has no effect"
            )));
        }
        match self.rejections {
            0 => Ok(()),
            rejected => Err(Failure::Problems(format!("{rejected} events were rejected"))),
        }
    }
}

/// The short table of what the system holds.
pub(crate) async fn overview(addresses: &Addresses, token: &Secret) -> Result<String, Failure> {
    let mut client = MetricsServiceClient::new(connect(&addresses.metrics, token).await?);
    let summary =
        client.get_summary(GetSummaryRequest::default()).await.map_err(|status| said(&status))?;
    let summary = summary.into_inner();
    let seconds = |ms: Option<f64>| {
        ms.map_or_else(|| "not measured".to_owned(), |ms| format!("{:.1} s", ms / 1_000.0))
    };
    let rows = [
        ("conversations", summary.conversations.to_string()),
        ("events", summary.events.to_string()),
        ("messages scored", summary.messages_scored.to_string()),
        ("turns answered", summary.turns_answered.to_string()),
        ("response time, median", seconds(summary.rt_first_unanswered_p50_ms)),
        ("response time, 90 % within", seconds(summary.rt_first_unanswered_p90_ms)),
        ("open incidents", summary.open_incidents.to_string()),
        ("dead letters", summary.dead_letters.to_string()),
    ];
    let mut text = String::from("\n");
    for (name, value) in rows {
        let _ = writeln!(text, "{name:<28} {value:>12}");
    }
    text.push('\n');
    Ok(text)
}
