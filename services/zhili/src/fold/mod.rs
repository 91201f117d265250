//! `zhili fold`: the facts of a file of events, without a server.
//!
//! The same fold as in the scoring service, over events in the order of the file: to check
//! history, and what a policy or a calendar would have said.

mod document;
mod line;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use serde::Serialize;
use zhili_dialogue::{Applied, Config, Fact, FactBody, Output, Partition, Profile, Run, Signal};
use zhili_proto::conversation::v1::Event;
use zhili_runtime::Failure;
use zhili_scoring::Assessor;

use self::line::Line;

/// Tenant and source of events that name none.
const NOBODY: &str = "default";

#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Events are JSON lines as they are published, with `at`, the time at which the log would have taken
each in (ISO 8601; sent_at where it is missing), in the order of the log. Facts come out as JSON
lines, corrections applied; times in seconds, null where not measured:
  {\"kind\": \"turn\", \"conversation_id\", \"agent\", \"rt.first_unanswered.v1\", \"rt.last_msg.v1\",
   \"rt.human.v1\", \"business\": {the same ids}, \"sla.nrt.v1\", ...}
  {\"kind\": \"cycle\", \"conversation_id\", \"frt.any.v1\", \"frt.human.v1\", \"frt.substantive.v1\",
   \"resolved\", \"business\", \"sla.frt.v1\", \"sla.resolution.v1\", \"silence.v1\", ...}
  {\"kind\": \"session\", \"cl5.v1\", \"emo.conv.v1\", \"funnel.v1\", ...}: mood and care of a cycle
  {\"kind\": \"slot\", \"slot\": \"greeting\", \"present\", ...}: a standard phrase that was due
  {\"kind\": \"promise\", \"promise\": \"refund\", \"due\", \"state\": \"kept\", ...}
  {\"kind\": \"signal\", \"conversation_id\", \"signal\": \"sla.frt.breach\", \"effective\", ...}
  {\"kind\": \"profile\", \"profile\": \"taobao\", \"art.taobao.v1\", \"n\", ...}
  {\"kind\": \"refused\", \"line\", \"reason\"}: an event that would be a dead letter
What is still open at the end is there too, with \"open\": true. docs/metrics.md explains the ids
and the files.")]
pub(crate) struct Arguments {
    /// Events, JSON lines; .gz is read too, `-` is standard input.
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
    /// Business hours: tz, weekly, holidays, makeup; TOML, YAML or JSON.
    #[arg(long, value_name = "FILE")]
    calendar: Option<PathBuf>,
    /// Targets: frt, nrt, resolution, ...; TOML, YAML or JSON; or a whole bundle with [dialogue].
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Count as this platform does too: taobao, jd, pdd, douyin; may be repeated.
    #[arg(long, value_name = "NAME")]
    profile: Vec<String>,
    /// Fold what was logged until then, and let time pass until then; else until the last event.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<i64>,
}

fn parse_time(text: &str) -> Result<i64, String> {
    text.parse::<Timestamp>()
        .map(Timestamp::as_millisecond)
        .map_err(|_| format!("{text:?} is no time such as 2026-11-22T10:01:00Z"))
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let policies = document::policies(arguments.policy.as_deref(), arguments.calendar.as_deref())?;
    let profiles = profiles(&arguments.profile)?;
    let mut history = History::new(policies)?;
    let path = &arguments.events;
    for (index, line) in reader(path)?.lines().enumerate() {
        let number = index + 1;
        let at = |error: &dyn std::fmt::Display| {
            Failure::Problems(format!("{}, line {number}: {error}", path.display()))
        };
        let line = line.map_err(|error| at(&error))?;
        if line.trim().is_empty() {
            continue;
        }
        let (at_ms, event) = event(&line, number).map_err(|error| at(&error))?;
        if arguments.until.is_some_and(|until_ms| at_ms > until_ms) {
            break;
        }
        history.apply(number, at_ms, &event);
    }
    let until_ms = arguments.until.unwrap_or(history.partition.now_ms());
    history.partition.advance(until_ms, &mut history.outputs);
    print(&history.lines(&profiles, until_ms))
}

fn reader(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let file = std::fs::File::open(path)
        .map_err(|error| Failure::Io(format!("cannot read {}: {error}", path.display())))?;
    let reader: Box<dyn Read> = if path.extension().is_some_and(|extension| extension == "gz") {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    Ok(Box::new(BufReader::new(reader)))
}

fn profiles(names: &[String]) -> Result<Vec<Profile>, Failure> {
    let all = Profile::all().map_err(Failure::Problems)?;
    let known: Vec<&str> = all.iter().map(Profile::name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        let known = known.join(", ");
        return Err(Failure::Usage(format!("there is no profile {unknown:?}: {known}")));
    }
    let asked = |profile: &Profile| names.iter().any(|name| name == profile.name());
    Ok(all.iter().filter(|profile| asked(profile)).cloned().collect())
}

/// An event and the log time that its line gives it.
fn event(line: &str, number: usize) -> Result<(i64, Event), String> {
    let mut value: serde_json::Value =
        serde_json::from_str(line).map_err(|error| error.to_string())?;
    let fields = value.as_object_mut().ok_or("an event is a JSON object")?;
    let at = fields.remove("at");
    let mut event: Event = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let sent_ms = event.sent_at.as_ref().and_then(zhili_proto::millis);
    let at_ms = match at {
        Some(serde_json::Value::String(at)) => {
            parse_time(&at).map_err(|error| format!("at: {error}"))?
        }
        Some(_) => return Err("at: an ISO 8601 time in quotes is needed".to_owned()),
        None => sent_ms.ok_or("at and sent_at are both missing")?,
    };
    if sent_ms.is_none() {
        event.sent_at = Some(zhili_proto::timestamp(at_ms));
    }
    if event.conversation_id.is_empty() {
        return Err("conversation_id is missing".to_owned());
    }
    for name in [&mut event.tenant, &mut event.source] {
        if name.is_empty() {
            NOBODY.clone_into(name);
        }
    }
    if event.event_id.is_empty() {
        event.event_id = format!("line-{number}");
    }
    Ok((at_ms, event))
}

/// What was folded.
struct History {
    assessor: Assessor,
    partition: Partition,
    outputs: Vec<Output>,
    refused: Vec<line::Refused>,
}

impl History {
    fn new(policies: Option<zhili_dialogue::Policies>) -> Result<Self, Failure> {
        let assessor = Assessor::new()
            .map_err(|error| Failure::Problems(format!("phrase library: {error}")))?;
        let mut partition = Partition::new(Config::default());
        let mut outputs = Vec::new();
        partition.configure(i64::MIN, "*", 1, policies, &mut outputs);
        Ok(Self { assessor, partition, outputs, refused: Vec::new() })
    }

    fn apply(&mut self, line: usize, at_ms: i64, event: &Event) {
        let applied = self.assessor.fold(&mut self.partition, at_ms, event, &mut self.outputs);
        let reason = match applied {
            Some(Applied::Accepted { .. } | Applied::Duplicate) => return,
            Some(Applied::Conflict) => "conflicting_duplicate",
            // Typing is accepted everywhere and means nothing.
            None if event.r#type() == zhili_proto::conversation::v1::EventType::Typing => return,
            None => "invalid",
        };
        self.refused.push(line::Refused { line, reason });
    }

    /// Everything in force: turns and cycles by start, then signals, then profiles.
    fn lines(self, profiles: &[Profile], until_ms: i64) -> Vec<Line> {
        let unsettled = self.partition.unsettled();
        let mut facts: BTreeMap<&str, (&Fact, bool)> = BTreeMap::new();
        let mut signals: Vec<&Signal> = Vec::new();
        let mut corrected: BTreeSet<&str> = BTreeSet::new();
        let stated = self.outputs.iter().map(|output| (output, false));
        for (output, open) in stated.chain(unsettled.iter().map(|output| (output, true))) {
            match output {
                Output::Fact(fact) => match &fact.body {
                    FactBody::Correction(correction) => {
                        corrected.insert(&correction.signal_id);
                    }
                    _ => {
                        facts.insert(&fact.fact_id, (fact, open));
                    }
                },
                Output::Signal(signal) => signals.push(signal),
            }
        }
        let mut in_order: Vec<(&Fact, bool)> = facts.into_values().collect();
        in_order.sort_by_key(|(fact, _)| (fact.at_ms, matches!(fact.body, FactBody::Cycle(_))));
        signals.retain(|signal| !corrected.contains(signal.signal_id.as_str()));
        signals.sort_by_key(|signal| signal.effective_ms);

        let mut lines: Vec<Line> =
            in_order.iter().filter_map(|&(fact, open)| Line::fact(fact, open)).collect();
        lines.extend(signals.into_iter().map(Line::signal));
        let runs = runs(&in_order);
        lines.extend(profiles.iter().map(|profile| Line::profile(profile, &runs, until_ms)));
        lines.extend(self.refused.into_iter().map(Line::Refused));
        lines
    }
}

/// The turns as profiles look at them.
fn runs(facts: &[(&Fact, bool)]) -> Vec<Run> {
    let cycles: BTreeMap<(&str, u32), &zhili_dialogue::Cycle> = facts
        .iter()
        .filter_map(|(fact, _)| match &fact.body {
            FactBody::Cycle(cycle) => Some(((fact.conversation_id.as_str(), cycle.cycle), cycle)),
            _ => None,
        })
        .collect();
    let run = |fact: &Fact| {
        let FactBody::Turn(turn) = &fact.body else { return None };
        let cycle = cycles.get(&(fact.conversation_id.as_str(), turn.cycle))?;
        let customer =
            if fact.customer.is_empty() { &fact.conversation_id } else { &fact.customer };
        Some(Run {
            conversation_id: fact.conversation_id.clone(),
            customer: customer.clone(),
            started_ms: turn.started_ms,
            last_ms: turn.answered_ms.unwrap_or(turn.started_ms),
            answered_ms: turn.answered_ms,
            closed: !cycle.provisional,
            bot_only: cycle.frt_any_ms.is_some()
                && cycle.frt_human_ms.is_none()
                && !cycle.handed_over,
        })
    };
    facts.iter().filter_map(|(fact, _)| run(fact)).collect()
}

fn print(lines: &[impl Serialize]) -> Result<(), Failure> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let written = lines.iter().try_for_each(|line| {
        serde_json::to_writer(&mut out, line)?;
        out.write_all(b"\n")
    });
    match written.and_then(|()| out.flush()) {
        // Whoever reads has read enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::Io(format!("cannot write: {error}"))),
        Ok(()) => Ok(()),
    }
}
