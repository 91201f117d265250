//! `zhili report`: a day, a week or a month on one page, beside the one before.

use std::fmt::Write;
use std::path::PathBuf;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use zhili_proto::metrics::v1::metrics_service_client::MetricsServiceClient;
use zhili_proto::metrics::v1::{
    CompareRequest, CompareResponse, GetComplaintsRequest, GetComplaintsResponse,
    ListMetricsRequest, Metric,
};
use zhili_proto::timestamp;
use zhili_runtime::Failure;

use crate::client::{System, print, said};

/// What is in the report, in its order, with the names that people read.
const FIGURES: [(&str, &str, &str); 17] = [
    ("rt.first_unanswered.v1", "响应时间", "Response time"),
    ("art.v1", "平均人工响应时间", "Average response time"),
    ("frt.human.v1", "首次人工响应", "First human reply"),
    ("resolved.v1", "解决率", "Resolution rate"),
    ("csat.v1", "客户满意度", "Customer satisfaction"),
    ("phrase.coverage.v1", "标准用语覆盖率", "Phrase coverage"),
    ("phrase.compliance.v1", "会话合规率", "Phrase compliance"),
    ("politeness.v1", "坐席礼貌分", "Politeness"),
    ("emo.conv.v1", "情绪转化率", "Emotion conversion"),
    ("complaint.rate.v1", "投诉率", "Complaint rate"),
    ("escalation.rate.v1", "投诉升级率", "Complaints escalated"),
    ("funnel.identification.v1", "投诉处理：识别", "Complaints: identification"),
    ("funnel.emotion.v1", "投诉处理：情绪", "Complaints: emotion"),
    ("funnel.solution.v1", "投诉处理：解决", "Complaints: solution"),
    ("funnel.follow_up.v1", "投诉处理：跟进", "Complaints: follow-up"),
    ("promise.v1", "承诺兑现率", "Promises kept"),
    ("mtta.v1", "事件认领时间", "Time to acknowledge"),
];

/// As many repeats and bursts are listed at most.
const LISTED: usize = 100;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    system: System,
    /// How long a period.
    #[arg(value_enum)]
    period: Kind,
    /// The period that this date is in; else the last one that is over.
    #[arg(long, value_name = "DATE")]
    on: Option<Date>,
    /// Zone of its days.
    #[arg(long, default_value = "Asia/Shanghai")]
    zone: String,
    /// What to write.
    #[arg(long, value_enum, default_value_t = Format::Html)]
    format: Format,
    /// Language of names.
    #[arg(long, value_enum, default_value_t = Language::Zh)]
    lang: Language,
    /// Where to write; else standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Day,
    /// From Monday to Sunday.
    Week,
    Month,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Html,
    Csv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Language {
    Zh,
    En,
}

/// Whole days, the last one not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Period {
    begin: Date,
    end: Date,
}

impl Period {
    /// The period of that kind that a date is in; `None` at the ends of time.
    fn of(kind: Kind, date: Date) -> Option<Self> {
        let begin = match kind {
            Kind::Day => date,
            Kind::Week => {
                date.checked_sub(i32::from(date.weekday().to_monday_zero_offset()).days()).ok()?
            }
            Kind::Month => date.first_of_month(),
        };
        let length = match kind {
            Kind::Day => 1.day(),
            Kind::Week => 7.days(),
            Kind::Month => 1.month(),
        };
        Some(Self { begin, end: begin.checked_add(length).ok()? })
    }

    /// The one before.
    fn before(self, kind: Kind) -> Option<Self> {
        Self::of(kind, self.begin.yesterday().ok()?)
    }

    fn bounds(self, zone: &TimeZone) -> Option<(i64, i64)> {
        let at = |date: Date| {
            Some(
                zone.to_timestamp(date.to_datetime(jiff::civil::Time::midnight()))
                    .ok()?
                    .as_millisecond(),
            )
        };
        Some((at(self.begin)?, at(self.end)?))
    }
}

/// A line of the report.
struct Line<'a> {
    name: &'a str,
    metric: &'a Metric,
    compared: CompareResponse,
}

struct Report<'a> {
    language: Language,
    period: Period,
    lines: Vec<Line<'a>>,
    complaints: GetComplaintsResponse,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { system, period: kind, on, zone: name, format, lang, out } = arguments;
    let zone =
        TimeZone::get(&name).map_err(|error| Failure::Usage(format!("--zone {name}: {error}")))?;
    let impossible = || Failure::Usage("--on: there is no such period".to_owned());
    let today = Timestamp::now().to_zoned(zone.clone()).date();
    let now = Period::of(kind, today).ok_or_else(impossible)?;
    let period = match on {
        Some(date) => Period::of(kind, date),
        None => now.before(kind),
    };
    let period = period.ok_or_else(impossible)?;
    let before = period.before(kind).ok_or_else(impossible)?;
    let (from_ms, to_ms) = period.bounds(&zone).ok_or_else(impossible)?;
    let (baseline_from_ms, baseline_to_ms) = before.bounds(&zone).ok_or_else(impossible)?;

    let addresses = system.addresses()?;
    let mut client = MetricsServiceClient::new(system.connect(&addresses.metrics).await?);
    let metrics = client.list_metrics(ListMetricsRequest {}).await;
    let metrics = metrics.map_err(|status| said(&status))?.into_inner().metrics;
    let mut lines = Vec::new();
    for (id, zh, en) in FIGURES {
        let Some(metric) = metrics.iter().find(|metric| metric.id == id) else { continue };
        let request = CompareRequest {
            metric_id: id.to_owned(),
            from: Some(timestamp(from_ms)),
            to: Some(timestamp(to_ms)),
            baseline_from: Some(timestamp(baseline_from_ms)),
            baseline_to: Some(timestamp(baseline_to_ms)),
            zone: name.clone(),
            ..CompareRequest::default()
        };
        let compared = client.compare(request).await.map_err(|status| said(&status))?.into_inner();
        let name = if lang == Language::Zh { zh } else { en };
        lines.push(Line { name, metric, compared });
    }
    let request = GetComplaintsRequest {
        from: Some(timestamp(from_ms)),
        to: Some(timestamp(to_ms)),
        ..GetComplaintsRequest::default()
    };
    let complaints =
        client.get_complaints(request).await.map_err(|status| said(&status))?.into_inner();
    let report = Report { language: lang, period, lines, complaints };
    let text = match format {
        Format::Html => report.html(),
        Format::Csv => report.csv(),
    };
    match out {
        None => print(&text),
        Some(file) => std::fs::write(&file, text)
            .map_err(|error| Failure::Io(format!("cannot write {}: {error}", file.display()))),
    }
}

/// A cell that a spreadsheet takes for text and never for a formula.
fn cell(text: &str) -> String {
    let runs = text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
        || text.starts_with(['\t', '\r']);
    let guarded = if runs { format!("'{text}") } else { text.to_owned() };
    if guarded.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Report<'_> {
    fn words<'w>(&self, zh: &'w str, en: &'w str) -> &'w str {
        match self.language {
            Language::Zh => zh,
            Language::En => en,
        }
    }

    /// A value in the unit that people read.
    fn value(&self, metric: &Metric, value: Option<f64>) -> String {
        let Some(value) = value else { return self.words("未测量", "not measured").to_owned() };
        match metric.unit.as_str() {
            "ms" => format!("{:.1} {}", value / 1_000.0, self.words("秒", "s")),
            "ratio" => format!("{:.1}%", value * 100.0),
            _ => format!("{value:.2}"),
        }
    }

    fn standing(&self, standing: &str) -> &'static str {
        match (standing, self.language) {
            ("better", Language::Zh) => "更好",
            ("worse", Language::Zh) => "更差",
            (_, Language::Zh) => "无显著差异",
            ("better", Language::En) => "better",
            ("worse", Language::En) => "worse",
            (_, Language::En) => "not distinguishable",
        }
    }

    fn title(&self) -> String {
        let Period { begin, end } = self.period;
        let last = end.yesterday().unwrap_or(end);
        let name = self.words("服务质量报告", "Service quality");
        if last == begin { format!("{name} {begin}") } else { format!("{name} {begin} – {last}") }
    }

    /// One line a figure, in the metric's own unit.
    fn csv(&self) -> String {
        let mut text = "\u{feff}metric_id,name,unit,n,value,low,high,baseline_n,baseline,\
             difference,standing\r\n"
            .to_owned();
        let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        for Line { name, metric, compared } in &self.lines {
            let current = compared.current.unwrap_or_default();
            let baseline = compared.baseline.unwrap_or_default();
            let cells = [
                cell(&metric.id),
                cell(name),
                cell(&metric.unit),
                current.n.to_string(),
                number(current.value),
                number(current.low),
                number(current.high),
                baseline.n.to_string(),
                number(baseline.value),
                number(compared.difference),
                cell(&compared.standing),
            ];
            text += &cells.join(",");
            text += "\r\n";
        }
        text
    }

    /// A page that needs nothing from elsewhere, so that it can be sent.
    fn html(&self) -> String {
        let title = escaped(&self.title());
        let lang = self.words("zh-CN", "en");
        let mut text = format!(
            "<!doctype html>\n<html lang=\"{lang}\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
             <style>body{{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#14201f}}\
             table{{border-collapse:collapse;width:100%;margin-bottom:2rem}}\
             td,th{{padding:.35rem .6rem;border-bottom:1px solid #dde5e4;text-align:right}}\
             td:first-child,th:first-child{{text-align:left}}.better{{color:#15803d}}.worse{{color:#b91c1c}}\
             small{{color:#5a6a68}}</style>\n<h1>{title}</h1>\n<table>\n<thead><tr>"
        );
        for (zh, en) in [
            ("指标", "metric"),
            ("本期", "period"),
            ("95% 区间", "95% interval"),
            ("样本", "n"),
            ("目标", "target"),
            ("上期", "before"),
            ("比较", "compared"),
        ] {
            let _ = write!(text, "<th scope=\"col\">{}</th>", self.words(zh, en));
        }
        text += "</tr></thead>\n<tbody>\n";
        for Line { name, metric, compared } in &self.lines {
            let current = compared.current.unwrap_or_default();
            let baseline = compared.baseline.unwrap_or_default();
            let range = match (current.low, current.high) {
                (Some(low), Some(high)) => format!(
                    "{} – {}",
                    self.value(metric, Some(low)),
                    self.value(metric, Some(high))
                ),
                _ => String::new(),
            };
            let target = metric.benchmarks.iter().find(|line| line.target);
            let target = target.map(|line| self.value(metric, Some(line.value)));
            let _ = writeln!(
                text,
                "<tr><th scope=\"row\">{} <small>{}</small></th><td>{}</td><td>{range}</td>\
                 <td>{}</td><td>{}</td><td>{}</td><td class=\"{}\">{}</td></tr>",
                escaped(name),
                escaped(&metric.id),
                self.value(metric, current.value),
                current.n,
                target.unwrap_or_default(),
                self.value(metric, baseline.value),
                escaped(&compared.standing),
                self.standing(&compared.standing),
            );
        }
        text += "</tbody>\n</table>\n";
        self.counts(&mut text);
        text += "</html>\n";
        text
    }

    fn counts(&self, text: &mut String) {
        let sum = |of: fn(&zhili_proto::metrics::v1::Promised) -> u64| -> u64 {
            self.complaints.promises.iter().map(of).sum()
        };
        let urgent: u64 = self.complaints.urgent.iter().map(|one| one.conversations).sum();
        let listed = |of: usize| if of < LISTED { of.to_string() } else { format!("≥ {LISTED}") };
        *text += "<table>\n<tbody>\n";
        for (name, n) in [
            (
                self.words("紧急投诉会话", "Conversations with urgent complaints"),
                urgent.to_string(),
            ),
            (self.words("重复投诉", "Repeat complaints"), listed(self.complaints.repeats.len())),
            (self.words("集中爆发", "Bursts"), listed(self.complaints.bursts.len())),
            (self.words("作出的承诺", "Promises made"), sum(|one| one.made).to_string()),
            (self.words("已兑现", "Kept"), sum(|one| one.kept).to_string()),
            (self.words("未兑现", "Broken"), sum(|one| one.broken).to_string()),
        ] {
            let _ = writeln!(text, "<tr><th scope=\"row\">{name}</th><td>{n}</td></tr>");
        }
        *text += "</tbody>\n</table>\n";
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use zhili_proto::metrics::v1::Figure;

    use super::*;

    fn days(kind: Kind, on: Date) -> (Date, Date) {
        let period = Period::of(kind, on).unwrap();
        (period.begin, period.end)
    }

    #[test]
    fn a_week_begins_on_monday_and_a_month_on_its_first_day() {
        let sunday = date(2026, 3, 1);
        assert_eq!(days(Kind::Day, sunday), (sunday, date(2026, 3, 2)));
        assert_eq!(days(Kind::Week, sunday), (date(2026, 2, 23), date(2026, 3, 2)));
        assert_eq!(days(Kind::Month, sunday), (sunday, date(2026, 4, 1)));
        let march = Period::of(Kind::Month, sunday).unwrap();
        let before = march.before(Kind::Month).unwrap();
        assert_eq!((before.begin, before.end), (date(2026, 2, 1), sunday));
    }

    #[test]
    fn days_are_those_of_the_zone() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let day = Period::of(Kind::Day, date(2026, 3, 1)).unwrap();
        let (from_ms, to_ms) = day.bounds(&zone).unwrap();
        // 2026-02-28T16:00:00Z.
        assert_eq!((from_ms, to_ms - from_ms), (1_772_294_400_000, 86_400_000));
    }

    #[test]
    fn what_a_sheet_would_run_is_text_and_what_a_page_would_show_as_a_tag_is_not() {
        assert_eq!(cell("=1+1"), "'=1+1");
        assert_eq!(cell(" @cmd"), "' @cmd");
        assert_eq!(cell("-HYPERLINK(\"x\")"), "\"'-HYPERLINK(\"\"x\"\")\"");
        assert_eq!(cell("a, b"), "\"a, b\"");
        assert_eq!(escaped("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
    }

    #[test]
    fn what_was_not_measured_is_said_so_and_empty_in_a_sheet() {
        let metric = Metric { id: "csat.v1".into(), unit: "ratio".into(), ..Metric::default() };
        let compared = CompareResponse {
            baseline: Some(Figure { n: 40, value: Some(0.5), ..Figure::default() }),
            standing: "not_distinguishable".into(),
            ..CompareResponse::default()
        };
        let report = Report {
            language: Language::Zh,
            period: Period::of(Kind::Day, date(2026, 3, 1)).unwrap(),
            lines: vec![Line { name: "客户满意度", metric: &metric, compared }],
            complaints: GetComplaintsResponse::default(),
        };
        let (html, csv) = (report.html(), report.csv());
        assert!(html.contains("<td>未测量</td>") && html.contains("<td>50.0%</td>"), "{html}");
        assert!(html.contains("无显著差异"), "{html}");
        let line = "csat.v1,客户满意度,ratio,0,,,,40,0.5,,not_distinguishable\r\n";
        assert!(csv.ends_with(line), "{csv}");
    }
}
