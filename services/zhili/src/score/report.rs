//! What a person reads of an assessment: the text with its reasons marked, the labels, and for
//! each score the contributions that make its sum.

use std::fmt::{self, Display, Formatter};

use zhili_tone::{
    Assessment, ComplaintLabel, Evidence, POLITENESS_BASE, Polarity, PolitenessLabel, Target,
    URGENCY_BASE,
};

use super::paint::{Paint, Style, shown};

/// One assessment, to be printed.
pub(crate) struct Report<'a> {
    pub(crate) text: &'a str,
    pub(crate) assessment: &'a Assessment,
    pub(crate) paint: Paint,
}

impl Report<'_> {
    /// The text with each reason in the colour of its effect.
    pub(crate) fn marked(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let shown = shown(self.text, true);
        let scalars: Vec<char> = shown.chars().collect();
        let mut styles = vec![Style::Plain; scalars.len()];
        // The longest first, so that what lies inside another reason is still seen.
        let mut reasons: Vec<&Evidence> = self.assessment.evidence.iter().collect();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.end - reason.start));
        for reason in reasons {
            // What the range takes back it takes from the whole text: it marks nothing.
            if !is_range(reason)
                && let Some(span) = styles.get_mut(reason.start..reason.end)
            {
                span.fill(effect(reason));
            }
        }
        let mut start = 0;
        for run in styles.chunk_by(|one, next| one == next) {
            let piece: String = scalars[start..start + run.len()].iter().collect();
            write!(f, "{}", self.paint.paint(run[0], piece))?;
            start += run.len();
        }
        f.write_str("\n")
    }

    /// One line for each label.
    pub(crate) fn labels(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let assessment = self.assessment;
        if let Some(politeness) = assessment.politeness {
            let style = match politeness.label {
                PolitenessLabel::Impolite => Style::Bad,
                PolitenessLabel::Neutral => Style::Plain,
                PolitenessLabel::Polite => Style::Good,
            };
            let label = self.paint.paint(style, politeness.label);
            writeln!(f, "politeness    {label}, {} of 100", politeness.score)?;
            if assessment.forbidden {
                let forbidden = self.paint.paint(Style::Urgent, "forbidden");
                writeln!(f, "wording       {forbidden}")?;
            }
        }
        if let Some(sentiment) = assessment.sentiment {
            let label = self.paint.paint(polarity(sentiment.label), sentiment.label);
            let (value, sure) = (sentiment.value, sentiment.confidence);
            writeln!(f, "sentiment     {label}, {value:+.3} (confidence {sure:.2})")?;
        }
        if let Some(complaint) = assessment.complaint {
            let style = match complaint.label {
                ComplaintLabel::Urgent => Style::Urgent,
                ComplaintLabel::Complaint => Style::Bad,
                ComplaintLabel::Normal => Style::Plain,
            };
            let label = self.paint.paint(style, complaint.label);
            let category = complaint.category.map(|category| format!(" ({category})"));
            let category = category.unwrap_or_default();
            writeln!(f, "complaint     {label}{category}, P(urgent) {:.3}", complaint.probability)?;
        }
        if let Some(satisfaction) = assessment.satisfaction {
            let label = self.paint.paint(polarity(satisfaction), satisfaction);
            writeln!(f, "satisfaction  {label}")?;
        }
        for promise in &assessment.promises {
            let span = format!("{}..{}", promise.start, promise.end);
            writeln!(f, "promise       {}, {} ({span})", promise.kind, promise.due)?;
        }
        if let Some(question) = assessment.question {
            writeln!(f, "question      {question}")?;
        }
        if let Some(topic) = assessment.topic {
            writeln!(f, "topic         {topic}")?;
        }
        writeln!(f, "language      {}", assessment.lang)
    }

    /// The table of contributions to `target`, from its base to its score.
    pub(crate) fn table(
        &self,
        f: &mut Formatter<'_>,
        target: Target,
        running: Running,
    ) -> fmt::Result {
        let shown = shown(self.text, false);
        let base = base(target);
        let mut sum = thousandths(base);
        writeln!(f, "{}", self.paint.paint(Style::Bold, target))?;
        writeln!(f, "{}  base", columns(sum, sum, running))?;
        for reason in reasons(self.assessment, target) {
            let points = thousandths(reason.points);
            sum += points;
            let figures = columns(points, sum, running);
            let figures = self.paint.paint(effect(reason), figures);
            let span = format!("{}..{}", reason.start, reason.end);
            let quote: String =
                shown.chars().skip(reason.start).take(reason.end - reason.start).collect();
            let quote = shorten(&quote);
            let rule = self.paint.paint(Style::Dim, &reason.rule);
            writeln!(f, "{figures}  {:<12} {span:<9} “{quote}” {rule}", reason.class)?;
        }
        let total = match running {
            Running::No => columns(sum, sum, running),
            Running::Yes => format!("{:>10} {}", "", signed(sum)),
        };
        writeln!(f, "{}  = score", self.paint.paint(Style::Bold, total))
    }

    /// The scores that this assessment has.
    pub(crate) fn targets(&self) -> impl Iterator<Item = Target> {
        let has = |target: &Target| match target {
            Target::Politeness => self.assessment.politeness.is_some(),
            Target::Sentiment => self.assessment.sentiment.is_some(),
            Target::Complaint | Target::Urgency => self.assessment.complaint.is_some(),
        };
        Target::ALL.iter().copied().filter(has)
    }
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.marked(f)?;
        self.labels(f)?;
        self.targets().try_for_each(|target| self.table(f, target, Running::No))
    }
}

/// Whether a table shows the sum so far beside each contribution.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Running {
    No,
    Yes,
}

/// The reasons for a score in reading order; what its range takes back comes last, as it was
/// counted.
pub(crate) fn reasons(assessment: &Assessment, target: Target) -> impl Iterator<Item = &Evidence> {
    let of = move |range| {
        let wanted = move |reason: &&Evidence| reason.target == target && is_range(reason) == range;
        assessment.evidence.iter().filter(wanted)
    };
    of(false).chain(of(true))
}

fn is_range(reason: &Evidence) -> bool {
    reason.class == "rule" && &*reason.rule == "range"
}

/// Where a score starts.
pub(crate) fn base(target: Target) -> f64 {
    match target {
        Target::Politeness => POLITENESS_BASE,
        Target::Sentiment | Target::Complaint => 0.0,
        Target::Urgency => URGENCY_BASE,
    }
}

/// Points are steps of a thousandth: as whole numbers they sum without rounding.
pub(crate) fn thousandths(points: f64) -> i64 {
    (points * 1000.0).round() as i64
}

fn columns(points: i64, sum: i64, running: Running) -> String {
    match running {
        Running::No => signed(points),
        Running::Yes => format!("{} {}", signed(points), signed(sum)),
    }
}

fn signed(thousandths: i64) -> String {
    let sign = match thousandths.signum() {
        -1 => "-",
        1 => "+",
        _ => " ",
    };
    let size = thousandths.unsigned_abs();
    format!("{:>10}", format!("{sign}{}.{:03}", size / 1000, size % 1000))
}

fn effect(reason: &Evidence) -> Style {
    let against = match reason.target {
        Target::Politeness | Target::Sentiment => reason.points,
        Target::Complaint | Target::Urgency => -reason.points,
    };
    match against.partial_cmp(&0.0) {
        Some(std::cmp::Ordering::Less) if reason.target == Target::Urgency => Style::Urgent,
        Some(std::cmp::Ordering::Less) => Style::Bad,
        Some(std::cmp::Ordering::Greater) => Style::Good,
        _ => Style::Plain,
    }
}

fn polarity(label: Polarity) -> Style {
    match label {
        Polarity::Neg => Style::Bad,
        Polarity::Neutral => Style::Plain,
        Polarity::Pos => Style::Good,
    }
}

/// A quote that fits a line of the table.
fn shorten(quote: &str) -> String {
    const LONGEST: usize = 32;
    if quote.chars().count() <= LONGEST {
        return quote.to_owned();
    }
    let half = |text: &mut dyn Iterator<Item = char>| text.take(LONGEST / 2).collect::<String>();
    let start = half(&mut quote.chars());
    let end: String = half(&mut quote.chars().rev()).chars().rev().collect();
    format!("{start}…{end}")
}
