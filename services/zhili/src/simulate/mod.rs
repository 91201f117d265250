//! `zhili simulate`: traffic of made-up contact centres, with what is true of it.
//!
//! The same arguments give the same bytes on every machine: integers alone, a named generator
//! ([`draw`]), and for each conversation a stream of draws of its own.

mod conversation;
mod draw;
mod event;
mod personal;
mod texts;
#[cfg(test)]
mod texts_tests;
mod truth;

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use jiff::Timestamp;
use jiff::civil::Date;
use zhili_runtime::Failure;

use self::conversation::{Conversation, Next};
use self::draw::Draw;
use self::truth::Truth;

/// What `zhili simulate` is asked.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Events go to standard output as JSON lines of zhili.conversation.v1.Event, in the order in which
the platform would deliver them: a late message comes after what was sent later, a duplicate comes
again. The truth file has one JSON line for each conversation, as it ends: its turns with their
response times and its first replies in milliseconds, urgent messages with their category,
messages with forbidden wording or personal data, duplicates, late and dropped events.")]
pub(crate) struct Arguments {
    /// The same seed gives the same bytes.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Days on which conversations begin.
    #[arg(long, default_value_t = 1, value_name = "D", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// Conversations that begin in each tenant on each day; about a dozen events each.
    #[arg(long, default_value_t = 1_000, value_name = "PER_DAY")]
    rate: u32,
    /// Tenants: `default`, `tenant-2`, `tenant-3`, ...
    #[arg(long, default_value_t = 1, value_name = "T", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    tenants: u32,
    /// First instant, with an offset, or a date, which begins at midnight in Shanghai.
    #[arg(long, default_value = "2026-01-05", value_name = "ISO", value_parser = parse_start)]
    start: i64,
    /// Where to write what is true.
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Care cycles in a hundred with an urgent message.
    #[arg(long, default_value_t = 3, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=85))]
    urgent: u8,
    /// Turns in a hundred in which the customer tells personal data.
    #[arg(long, default_value_t = 4, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    personal: u8,
    /// Replies in a hundred that are delivered late, by 30 s to 10 min.
    #[arg(long, default_value_t = 1, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    late: u8,
    /// Events in a hundred that are delivered twice.
    #[arg(long, default_value_t = 1, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    duplicates: u8,
}

/// How often things happen.
#[derive(Clone, Copy, Debug)]
struct Mix {
    per_day: u64,
    urgent_percent: u64,
    personal_percent: u64,
    late_percent: u64,
    duplicate_percent: u64,
}

/// Conversations begin by the hour of the day in Shanghai, in these proportions: nights are
/// quiet, with a peak before noon, in mid-afternoon, and the highest in the evening.
const BY_HOUR: [u64; 24] =
    [10, 6, 4, 3, 3, 4, 8, 16, 32, 52, 64, 60, 46, 50, 60, 62, 56, 50, 48, 58, 70, 66, 44, 22];
/// Of `BY_HOUR`.
const ALL_HOURS: u64 = {
    let (mut sum, mut hour) = (0, 0);
    while hour < BY_HOUR.len() {
        sum += BY_HOUR[hour];
        hour += 1;
    }
    sum
};

const MINUTE_MS: i64 = 60_000;
const MINUTES_A_DAY: i64 = 24 * 60;
/// Shanghai is 8 hours ahead of UTC, all year.
const SHANGHAI_MS: i64 = 8 * 60 * MINUTE_MS;
/// Longer than the last conversation goes on after the last day.
const AFTERMATH_MS: i64 = 10 * MINUTES_A_DAY * MINUTE_MS;

/// One more than any index of a tenant: the stream of draws that tells when conversations begin.
const STARTS: u64 = u64::MAX;

fn parse_start(given: &str) -> Result<i64, String> {
    if let Ok(date) = given.parse::<Date>()
        && given.len() == "2026-01-05".len()
    {
        let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|error| error.to_string())?;
        return Ok(midnight.timestamp().as_millisecond() - SHANGHAI_MS);
    }
    let instant: Timestamp = given.parse().map_err(|_| {
        "an instant such as 2026-01-05T09:00:00+08:00 or a date is needed".to_owned()
    })?;
    Ok(instant.as_millisecond())
}

/// Writes what `arguments` ask for.
///
/// # Errors
/// [`Failure::Usage`] if the days go beyond the calendar, [`Failure::Io`] if output fails.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let days_ms = i64::from(arguments.days) * MINUTES_A_DAY * MINUTE_MS;
    if Timestamp::from_millisecond(arguments.start + days_ms + AFTERMATH_MS).is_err() {
        return Err(Failure::Usage("the days go beyond the year 9999".into()));
    }
    let truth = arguments.truth.as_ref().map(|path| {
        let file = File::create(path)
            .map_err(|error| Failure::Io(format!("cannot create {}: {error}", path.display())))?;
        Ok::<_, Failure>(BufWriter::new(file))
    });
    let output = Output {
        events: BufWriter::with_capacity(256 << 10, io::stdout().lock()),
        truth: truth.transpose()?,
    };
    crate::score::quiet(Simulation::new(arguments, output).run(arguments))
}

struct Output<W: Write> {
    events: W,
    truth: Option<BufWriter<File>>,
}

/// Holds what was sent and not yet delivered, never more.
struct Simulation<W: Write> {
    output: Output<W>,
    mix: Mix,
    due: BinaryHeap<Reverse<Due>>,
    serial: u64,
}

/// Something that happens at a time; of equal times the first made comes first.
struct Due {
    at: i64,
    serial: u64,
    what: What,
}

enum What {
    Line(Vec<u8>),
    Reopen(Box<Conversation>),
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.serial == other.serial
    }
}

impl Eq for Due {}

impl<W: Write> Simulation<W> {
    fn new(arguments: &Arguments, output: Output<W>) -> Self {
        let mix = Mix {
            per_day: arguments.rate.into(),
            urgent_percent: arguments.urgent.into(),
            personal_percent: arguments.personal.into(),
            late_percent: arguments.late.into(),
            duplicate_percent: arguments.duplicates.into(),
        };
        Self { output, mix, due: BinaryHeap::new(), serial: 0 }
    }

    fn run(mut self, arguments: &Arguments) -> io::Result<()> {
        let mut tenants: Vec<Tenant> = (0..arguments.tenants).map(Tenant::new).collect();
        let mut starts = Vec::new();
        for minute in 0..i64::from(arguments.days) * MINUTES_A_DAY {
            let minute_ms = arguments.start + minute * MINUTE_MS;
            let mut draw = Draw::new(arguments.seed, STARTS, minute as u64);
            starts.clear();
            for (index, tenant) in tenants.iter_mut().enumerate() {
                for _ in 0..tenant.begins(self.mix.per_day, minute_ms) {
                    starts.push((minute_ms + draw.between(0, MINUTE_MS - 1), index));
                }
            }
            starts.sort_unstable();
            for &(start, index) in &starts {
                self.deliver_until(start)?;
                let tenant = &mut tenants[index];
                tenant.conversations += 1;
                let (seed, number) = (arguments.seed, tenant.conversations);
                let opened = Conversation::new(seed, index as u64, &tenant.name, number, self.mix);
                self.play(opened, start)?;
            }
        }
        self.deliver_until(i64::MAX)?;
        self.output.events.flush()?;
        self.output.truth.as_mut().map_or(Ok(()), Write::flush)
    }

    fn play(&mut self, conversation: Conversation, start: i64) -> io::Result<()> {
        let (due, serial) = (&mut self.due, &mut self.serial);
        let mut push = |at, what| {
            *serial += 1;
            due.push(Reverse(Due { at, serial: *serial, what }));
        };
        match conversation.play(start, |delivery| push(delivery.at, What::Line(delivery.line))) {
            Next::Reopens(at, conversation) => push(at, What::Reopen(conversation)),
            Next::Done(truth) => self.tell(&truth)?,
        }
        Ok(())
    }

    /// Delivers what is due at or before `until`, before which nothing new can come.
    fn deliver_until(&mut self, until: i64) -> io::Result<()> {
        while self.due.peek().is_some_and(|Reverse(due)| due.at <= until) {
            let Some(Reverse(due)) = self.due.pop() else { break };
            match due.what {
                What::Line(line) => self.output.events.write_all(&line)?,
                What::Reopen(conversation) => self.play(*conversation, due.at)?,
            }
        }
        Ok(())
    }

    fn tell(&mut self, truth: &Truth) -> io::Result<()> {
        if let Some(file) = &mut self.output.truth {
            serde_json::to_writer(&mut *file, truth)?;
            file.write_all(b"\n")?;
        }
        Ok(())
    }
}

struct Tenant {
    name: String,
    conversations: u64,
    /// Conversations due, in parts of `ALL_HOURS` * 60: what is left of one is carried on, so
    /// that a day has exactly its number.
    due: u64,
}

impl Tenant {
    fn new(index: u32) -> Self {
        let name = if index == 0 { "default".into() } else { format!("tenant-{}", index + 1) };
        Self { name, conversations: 0, due: 0 }
    }

    /// How many conversations begin in the minute that begins at `minute_ms`.
    fn begins(&mut self, per_day: u64, minute_ms: i64) -> u64 {
        let hour = (minute_ms + SHANGHAI_MS).div_euclid(60 * MINUTE_MS).rem_euclid(24);
        self.due += per_day * BY_HOUR[hour as usize];
        let begin = self.due / (ALL_HOURS * 60);
        self.due %= ALL_HOURS * 60;
        begin
    }
}
