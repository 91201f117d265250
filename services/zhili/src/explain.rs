//! `zhili explain`: how each score of one text comes about.

use std::fmt::{self, Display, Formatter};
use std::io::Write;

use serde::Serialize;
use zhili_runtime::Failure;
use zhili_tone::{
    Act, COMPLAINT_FROM, Engine, Evidence, IMPOLITE_BELOW, POLITE_FROM, PolitenessLabel, Target,
    UrgentCategory,
};

use crate::score::paint::{Color, Paint, Style};
use crate::score::report::{Report, Running, base, reasons, thousandths};
use crate::score::{About, Scored, quiet};

/// From this value on, either way, a sentiment has a side: [`zhili_tone::SIDED`] as a person reads
/// it. A test holds this edge and the next against the engine's labels.
const SIDED_FROM: f64 = 0.15;
/// From this probability on a message is urgent.
const URGENT_FROM: f64 = 0.5;

/// What `zhili explain` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The message.
    text: String,
    #[command(flatten)]
    about: About,
    /// Write one JSON object.
    #[arg(long)]
    json: bool,
    /// When to colour.
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: Color,
}

/// Explains the scores of one text.
///
/// # Errors
/// [`Failure::Usage`] if the text is too long, [`Failure::Io`] if output fails.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let engine = arguments.about.engine()?;
    let scored = arguments.about.assess(&engine, &arguments.text)?;
    let mut stdout = std::io::stdout().lock();
    let written = if arguments.json {
        serde_json::to_writer_pretty(&mut stdout, &Explanation::new(&engine, &scored))
            .map_err(Into::into)
            .and_then(|()| writeln!(stdout))
    } else {
        let paint = Paint::for_stdout(arguments.color);
        write!(stdout, "{}", Page { engine: &engine, scored: &scored, paint })
    };
    quiet(written.and_then(|()| stdout.flush()))
}

/// The long form for a person.
struct Page<'a> {
    engine: &'a Engine,
    scored: &'a Scored<'a>,
    paint: Paint,
}

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (assessment, masked) = (&self.scored.assessment, &self.scored.masked);
        let report = Report { text: &masked.text, assessment, paint: self.paint };
        report.marked(f)?;
        if masked.changed() {
            let kinds: Vec<String> = masked
                .spans
                .iter()
                .map(|span| format!("{} {}..{}", span.kind.as_str(), span.start, span.end))
                .collect();
            writeln!(f, "masked        {}", kinds.join(", "))?;
        }
        report.labels(f)?;
        let acts: Vec<&str> = assessment.acts.iter().map(Act::as_str).collect();
        writeln!(
            f,
            "acts          {}",
            if acts.is_empty() { "-".into() } else { acts.join(", ") }
        )?;
        for target in report.targets() {
            writeln!(f)?;
            report.table(f, target, Running::Yes)?;
            writeln!(f, "{}", self.paint.paint(Style::Dim, bands(target)))?;
        }
        let (version, entries) = (self.engine.version(), self.engine.entries());
        writeln!(f, "\nengine        {version}, {entries} phrases")?;
        writeln!(f, "library       {}", self.engine.library_hash())
    }
}

/// The labels of a score and where one ends and the next begins.
fn bands(target: Target) -> String {
    match target {
        Target::Politeness => format!(
            "{} below {IMPOLITE_BELOW}, {} from {POLITE_FROM}",
            PolitenessLabel::Impolite,
            PolitenessLabel::Polite
        ),
        Target::Sentiment => format!("neg to -{SIDED_FROM}, pos from {SIDED_FROM}"),
        Target::Complaint => format!("complaint from {COMPLAINT_FROM}, unless urgent"),
        Target::Urgency => format!("urgent from {URGENT_FROM}"),
    }
}

/// The explanation as data.
#[derive(Serialize)]
struct Explanation<'a> {
    engine: &'static str,
    library: &'a str,
    role: &'static str,
    lang: &'static str,
    text: &'a str,
    masked: Vec<MaskedSpan>,
    acts: Vec<&'static str>,
    /// The message does nothing but this.
    only: Option<&'static str>,
    forbidden: bool,
    satisfaction: Option<&'static str>,
    category: Option<&'static str>,
    scores: Vec<Score<'a>>,
}

#[derive(Serialize)]
struct MaskedSpan {
    kind: &'static str,
    start: usize,
    end: usize,
}

/// One score from its base to its label.
#[derive(Serialize)]
struct Score<'a> {
    name: &'static str,
    base: f64,
    value: f64,
    label: &'static str,
    bands: String,
    contributions: Vec<Contribution<'a>>,
}

#[derive(Serialize)]
struct Contribution<'a> {
    start: usize,
    end: usize,
    quote: String,
    class: &'static str,
    rule: &'a str,
    points: f64,
    /// Base and points up to and with this contribution.
    sum: f64,
}

impl<'a> Explanation<'a> {
    fn new(engine: &'a Engine, message: &'a Scored<'a>) -> Self {
        let (assessment, text) = (&message.assessment, &*message.masked.text);
        let mut scores = Vec::new();
        let mut add = |target, value, label| {
            scores.push(Score {
                name: Target::as_str(target),
                base: base(target),
                value,
                label,
                bands: bands(target),
                contributions: contributions(text, target, reasons(assessment, target)),
            });
        };
        if let Some(politeness) = assessment.politeness {
            add(Target::Politeness, politeness.score, politeness.label.as_str());
        }
        if let Some(sentiment) = assessment.sentiment {
            add(Target::Sentiment, sentiment.value, sentiment.label.as_str());
        }
        if let Some(complaint) = assessment.complaint {
            add(Target::Complaint, complaint.dissatisfaction, complaint.label.as_str());
            add(Target::Urgency, complaint.probability, complaint.label.as_str());
        }
        let spans = &message.masked.spans;
        Self {
            engine: engine.version(),
            library: engine.library_hash(),
            role: message.role.as_str(),
            lang: assessment.lang.as_str(),
            text,
            masked: spans
                .iter()
                .map(|span| MaskedSpan {
                    kind: span.kind.as_str(),
                    start: span.start,
                    end: span.end,
                })
                .collect(),
            acts: assessment.acts.iter().map(Act::as_str).collect(),
            only: assessment.only.map(Act::as_str),
            forbidden: assessment.forbidden,
            satisfaction: assessment.satisfaction.map(zhili_tone::Polarity::as_str),
            category: assessment
                .complaint
                .and_then(|complaint| complaint.category)
                .map(UrgentCategory::as_str),
            scores,
        }
    }
}

fn contributions<'a>(
    text: &str,
    target: Target,
    reasons: impl Iterator<Item = &'a Evidence>,
) -> Vec<Contribution<'a>> {
    let mut sum = thousandths(base(target));
    let mut contribution = |reason: &'a Evidence| {
        sum += thousandths(reason.points);
        Contribution {
            start: reason.start,
            end: reason.end,
            quote: text.chars().skip(reason.start).take(reason.end - reason.start).collect(),
            class: reason.class,
            rule: &reason.rule,
            points: reason.points,
            sum: sum as f64 / 1000.0,
        }
    };
    reasons.map(&mut contribution).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use zhili_tone::{ComplaintLabel, Message, Polarity, Role};

    #[test]
    fn the_band_edges_shown_are_those_of_the_engine() {
        let engine = Engine::new().unwrap();
        let texts = [
            "好",
            "不太好",
            "还行",
            "差",
            "太差了，垃圾",
            "不满意",
            "谢谢",
            "很好，满意",
            "有点慢",
        ];
        let urgent = ["我要去12315举报", "我已经报警了", "投诉你们", "法院见", "不想活了"];
        let mut labels = Vec::new();
        for text in texts.into_iter().chain(urgent) {
            let message = Message { role: Role::Customer, text, lang: None, context: &[] };
            let assessment = engine.assess(&message);
            let (sentiment, complaint) =
                (assessment.sentiment.unwrap(), assessment.complaint.unwrap());
            assert_eq!(sentiment.label == Polarity::Neg, sentiment.value <= -SIDED_FROM, "{text}");
            assert_eq!(sentiment.label == Polarity::Pos, sentiment.value >= SIDED_FROM, "{text}");
            let is_urgent = complaint.label == ComplaintLabel::Urgent;
            assert_eq!(is_urgent, complaint.probability >= URGENT_FROM, "{text}");
            let reproaches = complaint.dissatisfaction >= COMPLAINT_FROM;
            assert_eq!(complaint.label == ComplaintLabel::Normal, !is_urgent && !reproaches);
            labels.extend([sentiment.label.as_str(), complaint.label.as_str()]);
        }
        for label in ["neg", "neutral", "pos", "urgent", "normal"] {
            assert!(labels.contains(&label), "no text is {label}");
        }
    }
}
