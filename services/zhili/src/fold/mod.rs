//! `zhili fold`: the facts of a file of events, without a server.
//!
//! The same fold as in the scoring service, over events in the order of the file: to check
//! history, and what a policy or a calendar would have said.

mod document;
mod events;
mod facts;
mod line;
mod runs;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use serde::Serialize;
use zhili_dialogue::{
    Applied, Config, Contact, Count, Customers, Dimensions, Output, Partition, Profile, Pulse,
};
use zhili_runtime::Failure;
use zhili_scoring::Assessor;

use self::events::{Lines, Logged, NOBODY};
use self::facts::InForce;
use self::line::{Line, Reason, Refused};
use self::runs::Spoken;

#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Events are JSON lines as they are published, with `at`, the time at which the log would have taken
each in (ISO 8601; sent_at where it is missing), in the order of the log. Facts come out as JSON
lines, corrections applied, each with its tenant; times in seconds, null where not measured:
  {\"kind\": \"turn\", \"conversation_id\", \"agent\", \"rt.first_unanswered.v1\", \"rt.last_msg.v1\",
   \"rt.human.v1\", \"business\": {the same ids}, \"sla.nrt.v1\", ...}
  {\"kind\": \"cycle\", \"conversation_id\", \"frt.any.v1\", \"frt.human.v1\", \"frt.substantive.v1\",
   \"resolved\", \"business\", \"sla.frt.v1\", \"sla.resolution.v1\", \"silence.v1\", ...}
  {\"kind\": \"session\", \"cl5.v1\", \"emo.conv.v1\", \"funnel.v1\", ...}: mood and care of a cycle
  {\"kind\": \"slot\", \"slot\": \"greeting\", \"present\", ...}: a standard phrase that was due
  {\"kind\": \"promise\", \"promise\": \"refund\", \"due\", \"state\": \"kept\", ...}
  {\"kind\": \"signal\", \"conversation_id\", \"signal\": \"sla.frt.breach\", \"effective\", ...}
  {\"kind\": \"profile\", \"profile\": \"taobao\", \"art.taobao.v1\", \"n\", ...}
  {\"kind\": \"refused\", \"line\", \"reason\", \"detail\"}: not folded. `undecodable` is no event,
   `invalid` one that ingest would not take: exit code 1 in the end. `conflicting_duplicate` has the
   event_id of another and would be a dead letter.
Of a conversation that is in the file again after more than 24 hours, what was found out first stays.
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
    let mut lines = Lines::new(reader(path)?);
    loop {
        let next = lines.next().map_err(|error| {
            let number = lines.number() + 1;
            Failure::Problems(format!("{}, line {number}: {error}", path.display()))
        })?;
        match next {
            None => break,
            Some(Err(refused)) => history.refused.push(refused),
            Some(Ok(logged)) if arguments.until.is_some_and(|until| logged.at_ms > until) => break,
            Some(Ok(logged)) => history.apply(&logged),
        }
    }
    let until_ms = arguments.until.unwrap_or(history.partition.now_ms());
    history.advance(until_ms);
    let problem = problem(&history.refused, path);
    print(&history.lines(&profiles, until_ms))?;
    problem.map_or(Ok(()), |problem| Err(Failure::Problems(problem)))
}

/// What is to be said of lines that are no events. Conflicting duplicates happen, and are no fault
/// of the file.
fn problem(refused: &[Refused], path: &Path) -> Option<String> {
    let mut wrong = refused.iter().filter(|line| line.reason != Reason::ConflictingDuplicate);
    let Refused { line, detail, .. } = wrong.next()?;
    let first = format!("{}, line {line}: {detail}", path.display());
    Some(match wrong.count() {
        0 => first,
        more => format!("{first}; and {more} more lines, see those of kind refused"),
    })
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

/// What was folded.
struct History {
    assessor: Assessor,
    partition: Partition,
    customers: Customers,
    pulse: Pulse,
    outputs: Vec<Output>,
    spoken: Spoken,
    /// Tenants of the events.
    tenants: BTreeSet<String>,
    refused: Vec<Refused>,
}

impl History {
    fn new(policies: Option<zhili_dialogue::Policies>) -> Result<Self, Failure> {
        let assessor = Assessor::new()
            .map_err(|error| Failure::Problems(format!("phrase library: {error}")))?;
        let mut partition = Partition::new(Config::default());
        let mut outputs = Vec::new();
        partition.configure(i64::MIN, "*", 1, policies, &mut outputs);
        Ok(Self {
            assessor,
            partition,
            customers: Customers::new(),
            pulse: Pulse::new(),
            outputs,
            spoken: Spoken::default(),
            tenants: BTreeSet::new(),
            refused: Vec::new(),
        })
    }

    /// Lets time pass in all folds.
    fn advance(&mut self, at_ms: i64) {
        let begin = self.outputs.len();
        self.partition.advance(at_ms, &mut self.outputs);
        self.pass_on(begin, Dimensions::default());
        let now_ms = self.partition.now_ms();
        self.customers.advance(now_ms, &mut self.outputs);
    }

    /// Tells the folds over many conversations what was stated from output `begin` on.
    fn pass_on(&mut self, begin: usize, about: Dimensions<'_>) {
        let now_ms = self.partition.now_ms();
        let (mut contacts, mut counts) = (Vec::new(), Vec::new());
        for output in &self.outputs[begin..] {
            contacts.extend(Contact::of(output));
            if let Output::Complaint(complaint) = output {
                counts.extend(Count::of(complaint, about, now_ms));
            }
        }
        for count in counts {
            self.pulse.apply(now_ms, &count, &mut self.outputs);
        }
        for contact in contacts {
            self.customers.apply(now_ms, contact, &mut self.outputs);
        }
    }

    fn apply(&mut self, logged: &Logged) {
        let Logged { line, at_ms, event } = logged;
        if !self.tenants.contains(&event.tenant) {
            self.tenants.insert(event.tenant.clone());
        }
        self.advance(*at_ms);
        let begin = self.outputs.len();
        let folded = self.assessor.fold(&mut self.partition, *at_ms, event, &mut self.outputs);
        let (applied, about) =
            folded.map_or((None, Dimensions::default()), |(applied, about)| (Some(applied), about));
        self.pass_on(begin, about);
        let (reason, detail) = match applied {
            Some(Applied::Accepted { .. }) => {
                self.spoken.note(event, self.partition.now_ms());
                return;
            }
            Some(Applied::Duplicate) => return,
            Some(Applied::Conflict) => (
                Reason::ConflictingDuplicate,
                "event_id: seen before with another type, author or text, which stays",
            ),
            // Typing is accepted everywhere and means nothing.
            None if event.r#type() == zhili_proto::conversation::v1::EventType::Typing => return,
            None => (Reason::Invalid, "event: a conversation knows no such thing"),
        };
        let (tenant, detail) = (event.tenant.clone(), detail.to_owned());
        self.refused.push(Refused { line: *line, reason, detail, tenant });
    }

    /// Everything in force: facts by start, then signals, then profiles, then what was refused.
    fn lines(self, profiles: &[Profile], until_ms: i64) -> Vec<Line> {
        let unsettled = self.partition.unsettled();
        let in_force = InForce::of(&self.outputs, &unsettled);
        let facts = in_force.facts();
        let mut lines: Vec<Line> =
            facts.iter().filter_map(|&(fact, open)| Line::fact(fact, open)).collect();
        lines.extend(in_force.signals().into_iter().map(Line::signal));
        let runs = self.spoken.runs(&in_force, &facts);
        let mut tenants = self.tenants;
        if tenants.is_empty() {
            tenants.insert(NOBODY.to_owned());
        }
        for tenant in &tenants {
            let runs = runs.get(tenant).map(Vec::as_slice).unwrap_or_default();
            let line = |profile| Line::profile(tenant, profile, runs, until_ms);
            lines.extend(profiles.iter().map(line));
        }
        lines.extend(self.refused.into_iter().map(Line::Refused));
        lines
    }
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
